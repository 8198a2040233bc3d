import { decodeMessage, encodeMessage, MaxLengthError, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface AttestFrame {
  challenge?: Challenge
  evidence?: Evidence
  refusal?: string
}

export namespace AttestFrame {
  let _codec: Codec<AttestFrame>

  export const codec = (): Codec<AttestFrame> => {
    if (_codec == null) {
      _codec = message<AttestFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.challenge != null) {
          w.uint32(10)
          Challenge.codec().encode(obj.challenge, w)
        }

        if (obj.evidence != null) {
          w.uint32(18)
          Evidence.codec().encode(obj.evidence, w)
        }

        if (obj.refusal != null) {
          w.uint32(26)
          w.string(obj.refusal)
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
              obj.challenge = Challenge.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.challenge
              })
              break
            }
            case 2: {
              obj.evidence = Evidence.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.evidence
              })
              break
            }
            case 3: {
              obj.refusal = reader.string()
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
              yield * Challenge.codec().stream(reader, reader.uint32(), `${prefix}.challenge`, {
                limits: opts.limits?.challenge
              })

              break
            }
            case 2: {
              yield * Evidence.codec().stream(reader, reader.uint32(), `${prefix}.evidence`, {
                limits: opts.limits?.evidence
              })

              break
            }
            case 3: {
              yield {
                field: `${prefix}.refusal`,
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

  export interface AttestFrameChallengeNonceFieldEvent {
    field: '$.challenge.nonce'
    value: Uint8Array<ArrayBuffer>
  }

  export interface AttestFrameChallengeKindsFieldEvent {
    field: '$.challenge.kinds[]'
    index: number
    value: string
  }

  export interface AttestFrameChallengeRegistersFieldEvent {
    field: '$.challenge.registers'
    value: number
  }

  export interface AttestFrameEvidenceKindFieldEvent {
    field: '$.evidence.kind'
    value: string
  }

  export interface AttestFrameEvidenceBindingsFieldEvent {
    field: '$.evidence.bindings'
    value: Uint8Array<ArrayBuffer>
  }

  export interface AttestFrameEvidenceStatementFieldEvent {
    field: '$.evidence.statement'
    value: Uint8Array<ArrayBuffer>
  }

  export interface AttestFrameRefusalFieldEvent {
    field: '$.refusal'
    value: string
  }

  export function encode (obj: Partial<AttestFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, AttestFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<AttestFrame>): AttestFrame {
    return decodeMessage(buf, AttestFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<AttestFrame>): Generator<AttestFrameChallengeNonceFieldEvent | AttestFrameChallengeKindsFieldEvent | AttestFrameChallengeRegistersFieldEvent | AttestFrameEvidenceKindFieldEvent | AttestFrameEvidenceBindingsFieldEvent | AttestFrameEvidenceStatementFieldEvent | AttestFrameRefusalFieldEvent> {
    return streamMessage(buf, AttestFrame.codec(), opts)
  }
}

export interface Challenge {
  nonce: Uint8Array<ArrayBuffer>
  kinds: string[]
  registers: number
}

export namespace Challenge {
  let _codec: Codec<Challenge>

  export const codec = (): Codec<Challenge> => {
    if (_codec == null) {
      _codec = message<Challenge>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.nonce != null && obj.nonce.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.nonce)
        }

        if (obj.kinds != null && obj.kinds.length > 0) {
          for (const value of obj.kinds) {
            w.uint32(18)
            w.string(value)
          }
        }

        if ((obj.registers != null && obj.registers !== 0)) {
          w.uint32(24)
          w.uint32(obj.registers)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          nonce: uint8ArrayAlloc(0),
          kinds: [],
          registers: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.nonce = reader.bytes()
              break
            }
            case 2: {
              if (opts.limits?.kinds != null && obj.kinds.length === opts.limits.kinds) {
                throw new MaxLengthError('Decode error - repeated field "kinds" had too many elements')
              }

              obj.kinds.push(reader.string())
              break
            }
            case 3: {
              obj.registers = reader.uint32()
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
        const obj = {
          kinds: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.nonce`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              if (opts.limits?.kinds != null && obj.kinds === opts.limits.kinds) {
                throw new MaxLengthError('Streaming decode error - repeated field "kinds" had too many elements')
              }

              yield {
                field: `${prefix}.kinds[]`,
                index: obj.kinds,
                value: reader.string()
              }

              obj.kinds++

              break
            }
            case 3: {
              yield {
                field: `${prefix}.registers`,
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

  export interface ChallengeNonceFieldEvent {
    field: '$.nonce'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ChallengeKindsFieldEvent {
    field: '$.kinds[]'
    index: number
    value: string
  }

  export interface ChallengeRegistersFieldEvent {
    field: '$.registers'
    value: number
  }

  export function encode (obj: Partial<Challenge>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Challenge.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Challenge>): Challenge {
    return decodeMessage(buf, Challenge.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Challenge>): Generator<ChallengeNonceFieldEvent | ChallengeKindsFieldEvent | ChallengeRegistersFieldEvent> {
    return streamMessage(buf, Challenge.codec(), opts)
  }
}

export interface Evidence {
  kind: string
  bindings: Uint8Array<ArrayBuffer>
  statement: Uint8Array<ArrayBuffer>
}

export namespace Evidence {
  let _codec: Codec<Evidence>

  export const codec = (): Codec<Evidence> => {
    if (_codec == null) {
      _codec = message<Evidence>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.kind != null && obj.kind !== '')) {
          w.uint32(10)
          w.string(obj.kind)
        }

        if ((obj.bindings != null && obj.bindings.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.bindings)
        }

        if ((obj.statement != null && obj.statement.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.statement)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          kind: '',
          bindings: uint8ArrayAlloc(0),
          statement: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.kind = reader.string()
              break
            }
            case 2: {
              obj.bindings = reader.bytes()
              break
            }
            case 3: {
              obj.statement = reader.bytes()
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
                field: `${prefix}.kind`,
                value: reader.string()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.bindings`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.statement`,
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

  export interface EvidenceKindFieldEvent {
    field: '$.kind'
    value: string
  }

  export interface EvidenceBindingsFieldEvent {
    field: '$.bindings'
    value: Uint8Array<ArrayBuffer>
  }

  export interface EvidenceStatementFieldEvent {
    field: '$.statement'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Evidence>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Evidence.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Evidence>): Evidence {
    return decodeMessage(buf, Evidence.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Evidence>): Generator<EvidenceKindFieldEvent | EvidenceBindingsFieldEvent | EvidenceStatementFieldEvent> {
    return streamMessage(buf, Evidence.codec(), opts)
  }
}

export interface TpmEvidence {
  key: Uint8Array<ArrayBuffer>
  quote: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
  values: Uint8Array<ArrayBuffer>
}

export namespace TpmEvidence {
  let _codec: Codec<TpmEvidence>

  export const codec = (): Codec<TpmEvidence> => {
    if (_codec == null) {
      _codec = message<TpmEvidence>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.key != null && obj.key.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.key)
        }

        if ((obj.quote != null && obj.quote.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.quote)
        }

        if ((obj.signature != null && obj.signature.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.signature)
        }

        if ((obj.values != null && obj.values.byteLength > 0)) {
          w.uint32(34)
          w.bytes(obj.values)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          key: uint8ArrayAlloc(0),
          quote: uint8ArrayAlloc(0),
          signature: uint8ArrayAlloc(0),
          values: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.key = reader.bytes()
              break
            }
            case 2: {
              obj.quote = reader.bytes()
              break
            }
            case 3: {
              obj.signature = reader.bytes()
              break
            }
            case 4: {
              obj.values = reader.bytes()
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
                field: `${prefix}.key`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.quote`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.signature`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.values`,
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

  export interface TpmEvidenceKeyFieldEvent {
    field: '$.key'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TpmEvidenceQuoteFieldEvent {
    field: '$.quote'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TpmEvidenceSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TpmEvidenceValuesFieldEvent {
    field: '$.values'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<TpmEvidence>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, TpmEvidence.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<TpmEvidence>): TpmEvidence {
    return decodeMessage(buf, TpmEvidence.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<TpmEvidence>): Generator<TpmEvidenceKeyFieldEvent | TpmEvidenceQuoteFieldEvent | TpmEvidenceSignatureFieldEvent | TpmEvidenceValuesFieldEvent> {
    return streamMessage(buf, TpmEvidence.codec(), opts)
  }
}
