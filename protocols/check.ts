import { decodeMessage, encodeMessage, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface CheckFrame {
  rowsAsk?: RowsAsk
  rows?: Rows
  case?: Case
  verdict?: Verdict
}

export namespace CheckFrame {
  let _codec: Codec<CheckFrame>

  export const codec = (): Codec<CheckFrame> => {
    if (_codec == null) {
      _codec = message<CheckFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        obj = { ...obj }

        if (obj.verdict != null) {
          obj.case = undefined
          obj.rows = undefined
          obj.rowsAsk = undefined
        }

        if (obj.case != null) {
          obj.verdict = undefined
          obj.rows = undefined
          obj.rowsAsk = undefined
        }

        if (obj.rows != null) {
          obj.verdict = undefined
          obj.case = undefined
          obj.rowsAsk = undefined
        }

        if (obj.rowsAsk != null) {
          obj.verdict = undefined
          obj.case = undefined
          obj.rows = undefined
        }

        if (obj.rowsAsk != null) {
          w.uint32(10)
          RowsAsk.codec().encode(obj.rowsAsk, w)
        }

        if (obj.rows != null) {
          w.uint32(18)
          Rows.codec().encode(obj.rows, w)
        }

        if (obj.case != null) {
          w.uint32(26)
          Case.codec().encode(obj.case, w)
        }

        if (obj.verdict != null) {
          w.uint32(34)
          Verdict.codec().encode(obj.verdict, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {}

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.rowsAsk = RowsAsk.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.rowsAsk
              })
              break
            }
            case 2: {
              obj.rows = Rows.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.rows
              })
              break
            }
            case 3: {
              obj.case = Case.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.case
              })
              break
            }
            case 4: {
              obj.verdict = Verdict.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.verdict
              })
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        if (obj.verdict != null) {
          delete obj.case
          delete obj.rows
          delete obj.rowsAsk
        }

        if (obj.case != null) {
          delete obj.verdict
          delete obj.rows
          delete obj.rowsAsk
        }

        if (obj.rows != null) {
          delete obj.verdict
          delete obj.case
          delete obj.rowsAsk
        }

        if (obj.rowsAsk != null) {
          delete obj.verdict
          delete obj.case
          delete obj.rows
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield * RowsAsk.codec().stream(reader, reader.uint32(), `${prefix}.rowsAsk`, {
                limits: opts.limits?.rowsAsk
              })

              break
            }
            case 2: {
              yield * Rows.codec().stream(reader, reader.uint32(), `${prefix}.rows`, {
                limits: opts.limits?.rows
              })

              break
            }
            case 3: {
              yield * Case.codec().stream(reader, reader.uint32(), `${prefix}.case`, {
                limits: opts.limits?.case
              })

              break
            }
            case 4: {
              yield * Verdict.codec().stream(reader, reader.uint32(), `${prefix}.verdict`, {
                limits: opts.limits?.verdict
              })

              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface CheckFrameRowsAskSessionFieldEvent {
    field: '$.rowsAsk.session'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameRowsAskStartFieldEvent {
    field: '$.rowsAsk.start'
    value: number
  }

  export interface CheckFrameRowsAskEndFieldEvent {
    field: '$.rowsAsk.end'
    value: number
  }

  export interface CheckFrameRowsAskTokensFieldEvent {
    field: '$.rowsAsk.tokens'
    value: number
  }

  export interface CheckFrameRowsPositionFieldEvent {
    field: '$.rows.position'
    value: number
  }

  export interface CheckFrameRowsDataFieldEvent {
    field: '$.rows.data'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameCaseTermsFieldEvent {
    field: '$.case.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameCaseSignatureFieldEvent {
    field: '$.case.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameCaseCommitmentFieldEvent {
    field: '$.case.commitment'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameCaseCommitmentSignatureFieldEvent {
    field: '$.case.commitmentSignature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameCaseDrawnFieldEvent {
    field: '$.case.drawn'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CheckFrameCaseRowBytesFieldEvent {
    field: '$.case.rowBytes'
    value: number
  }

  export interface CheckFrameVerdictVerdictFieldEvent {
    field: '$.verdict.verdict'
    value: number
  }

  export interface CheckFrameVerdictMessageFieldEvent {
    field: '$.verdict.message'
    value: string
  }

  export function encode (obj: Partial<CheckFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, CheckFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<CheckFrame>): CheckFrame {
    return decodeMessage(buf, CheckFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<CheckFrame>): Generator<CheckFrameRowsAskSessionFieldEvent | CheckFrameRowsAskStartFieldEvent | CheckFrameRowsAskEndFieldEvent | CheckFrameRowsAskTokensFieldEvent | CheckFrameRowsPositionFieldEvent | CheckFrameRowsDataFieldEvent | CheckFrameCaseTermsFieldEvent | CheckFrameCaseSignatureFieldEvent | CheckFrameCaseCommitmentFieldEvent | CheckFrameCaseCommitmentSignatureFieldEvent | CheckFrameCaseDrawnFieldEvent | CheckFrameCaseRowBytesFieldEvent | CheckFrameVerdictVerdictFieldEvent | CheckFrameVerdictMessageFieldEvent> {
    return streamMessage(buf, CheckFrame.codec(), opts)
  }
}

export interface RowsAsk {
  session: Uint8Array<ArrayBuffer>
  start: number
  end: number
  tokens: number
}

export namespace RowsAsk {
  let _codec: Codec<RowsAsk>

  export const codec = (): Codec<RowsAsk> => {
    if (_codec == null) {
      _codec = message<RowsAsk>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.session != null && obj.session.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.session)
        }

        if ((obj.start != null && obj.start !== 0)) {
          w.uint32(16)
          w.uint32(obj.start)
        }

        if ((obj.end != null && obj.end !== 0)) {
          w.uint32(24)
          w.uint32(obj.end)
        }

        if ((obj.tokens != null && obj.tokens !== 0)) {
          w.uint32(32)
          w.uint32(obj.tokens)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          session: uint8ArrayAlloc(0),
          start: 0,
          end: 0,
          tokens: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.session = reader.bytes()
              break
            }
            case 2: {
              obj.start = reader.uint32()
              break
            }
            case 3: {
              obj.end = reader.uint32()
              break
            }
            case 4: {
              obj.tokens = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.session`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.start`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.end`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.tokens`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface RowsAskSessionFieldEvent {
    field: '$.session'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RowsAskStartFieldEvent {
    field: '$.start'
    value: number
  }

  export interface RowsAskEndFieldEvent {
    field: '$.end'
    value: number
  }

  export interface RowsAskTokensFieldEvent {
    field: '$.tokens'
    value: number
  }

  export function encode (obj: Partial<RowsAsk>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, RowsAsk.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<RowsAsk>): RowsAsk {
    return decodeMessage(buf, RowsAsk.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<RowsAsk>): Generator<RowsAskSessionFieldEvent | RowsAskStartFieldEvent | RowsAskEndFieldEvent | RowsAskTokensFieldEvent> {
    return streamMessage(buf, RowsAsk.codec(), opts)
  }
}

export interface Rows {
  position: number
  data: Uint8Array<ArrayBuffer>
}

export namespace Rows {
  let _codec: Codec<Rows>

  export const codec = (): Codec<Rows> => {
    if (_codec == null) {
      _codec = message<Rows>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.position != null && obj.position !== 0)) {
          w.uint32(8)
          w.uint32(obj.position)
        }

        if ((obj.data != null && obj.data.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.data)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          position: 0,
          data: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.position = reader.uint32()
              break
            }
            case 2: {
              obj.data = reader.bytes()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.position`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.data`,
                value: reader.bytes()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface RowsPositionFieldEvent {
    field: '$.position'
    value: number
  }

  export interface RowsDataFieldEvent {
    field: '$.data'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Rows>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Rows.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Rows>): Rows {
    return decodeMessage(buf, Rows.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Rows>): Generator<RowsPositionFieldEvent | RowsDataFieldEvent> {
    return streamMessage(buf, Rows.codec(), opts)
  }
}

export interface Case {
  terms: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
  commitment: Uint8Array<ArrayBuffer>
  commitmentSignature: Uint8Array<ArrayBuffer>
  drawn: Uint8Array<ArrayBuffer>
  rowBytes: number
}

export namespace Case {
  let _codec: Codec<Case>

  export const codec = (): Codec<Case> => {
    if (_codec == null) {
      _codec = message<Case>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.terms != null && obj.terms.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.terms)
        }

        if ((obj.signature != null && obj.signature.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.signature)
        }

        if ((obj.commitment != null && obj.commitment.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.commitment)
        }

        if ((obj.commitmentSignature != null && obj.commitmentSignature.byteLength > 0)) {
          w.uint32(34)
          w.bytes(obj.commitmentSignature)
        }

        if ((obj.drawn != null && obj.drawn.byteLength > 0)) {
          w.uint32(42)
          w.bytes(obj.drawn)
        }

        if ((obj.rowBytes != null && obj.rowBytes !== 0)) {
          w.uint32(48)
          w.uint32(obj.rowBytes)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          terms: uint8ArrayAlloc(0),
          signature: uint8ArrayAlloc(0),
          commitment: uint8ArrayAlloc(0),
          commitmentSignature: uint8ArrayAlloc(0),
          drawn: uint8ArrayAlloc(0),
          rowBytes: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.terms = reader.bytes()
              break
            }
            case 2: {
              obj.signature = reader.bytes()
              break
            }
            case 3: {
              obj.commitment = reader.bytes()
              break
            }
            case 4: {
              obj.commitmentSignature = reader.bytes()
              break
            }
            case 5: {
              obj.drawn = reader.bytes()
              break
            }
            case 6: {
              obj.rowBytes = reader.uint32()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.terms`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.signature`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.commitment`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.commitmentSignature`,
                value: reader.bytes()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.drawn`,
                value: reader.bytes()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.rowBytes`,
                value: reader.uint32()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface CaseTermsFieldEvent {
    field: '$.terms'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CaseSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CaseCommitmentFieldEvent {
    field: '$.commitment'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CaseCommitmentSignatureFieldEvent {
    field: '$.commitmentSignature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CaseDrawnFieldEvent {
    field: '$.drawn'
    value: Uint8Array<ArrayBuffer>
  }

  export interface CaseRowBytesFieldEvent {
    field: '$.rowBytes'
    value: number
  }

  export function encode (obj: Partial<Case>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Case.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Case>): Case {
    return decodeMessage(buf, Case.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Case>): Generator<CaseTermsFieldEvent | CaseSignatureFieldEvent | CaseCommitmentFieldEvent | CaseCommitmentSignatureFieldEvent | CaseDrawnFieldEvent | CaseRowBytesFieldEvent> {
    return streamMessage(buf, Case.codec(), opts)
  }
}

export interface Verdict {
  verdict: number
  message: string
}

export namespace Verdict {
  let _codec: Codec<Verdict>

  export const codec = (): Codec<Verdict> => {
    if (_codec == null) {
      _codec = message<Verdict>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.verdict != null && obj.verdict !== 0)) {
          w.uint32(8)
          w.uint32(obj.verdict)
        }

        if ((obj.message != null && obj.message !== '')) {
          w.uint32(18)
          w.string(obj.message)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          verdict: 0,
          message: ''
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.verdict = reader.uint32()
              break
            }
            case 2: {
              obj.message = reader.string()
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.verdict`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.message`,
                value: reader.string()
              }
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }
      })
    }

    return _codec
  }

  export interface VerdictVerdictFieldEvent {
    field: '$.verdict'
    value: number
  }

  export interface VerdictMessageFieldEvent {
    field: '$.message'
    value: string
  }

  export function encode (obj: Partial<Verdict>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Verdict.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Verdict>): Verdict {
    return decodeMessage(buf, Verdict.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Verdict>): Generator<VerdictVerdictFieldEvent | VerdictMessageFieldEvent> {
    return streamMessage(buf, Verdict.codec(), opts)
  }
}
