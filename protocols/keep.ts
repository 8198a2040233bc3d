import { decodeMessage, encodeMessage, MaxLengthError, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface KeepFrame {
  put?: Put
  get?: Get
  remove?: Remove
  kept?: Kept
  entry?: Entry
  refused?: Refused
}

export namespace KeepFrame {
  let _codec: Codec<KeepFrame>

  export const codec = (): Codec<KeepFrame> => {
    if (_codec == null) {
      _codec = message<KeepFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        obj = { ...obj }

        if (obj.refused != null) {
          obj.entry = undefined
          obj.kept = undefined
          obj.remove = undefined
          obj.get = undefined
          obj.put = undefined
        }

        if (obj.entry != null) {
          obj.refused = undefined
          obj.kept = undefined
          obj.remove = undefined
          obj.get = undefined
          obj.put = undefined
        }

        if (obj.kept != null) {
          obj.refused = undefined
          obj.entry = undefined
          obj.remove = undefined
          obj.get = undefined
          obj.put = undefined
        }

        if (obj.remove != null) {
          obj.refused = undefined
          obj.entry = undefined
          obj.kept = undefined
          obj.get = undefined
          obj.put = undefined
        }

        if (obj.get != null) {
          obj.refused = undefined
          obj.entry = undefined
          obj.kept = undefined
          obj.remove = undefined
          obj.put = undefined
        }

        if (obj.put != null) {
          obj.refused = undefined
          obj.entry = undefined
          obj.kept = undefined
          obj.remove = undefined
          obj.get = undefined
        }

        if (obj.put != null) {
          w.uint32(10)
          Put.codec().encode(obj.put, w)
        }

        if (obj.get != null) {
          w.uint32(18)
          Get.codec().encode(obj.get, w)
        }

        if (obj.remove != null) {
          w.uint32(26)
          Remove.codec().encode(obj.remove, w)
        }

        if (obj.kept != null) {
          w.uint32(34)
          Kept.codec().encode(obj.kept, w)
        }

        if (obj.entry != null) {
          w.uint32(42)
          Entry.codec().encode(obj.entry, w)
        }

        if (obj.refused != null) {
          w.uint32(50)
          Refused.codec().encode(obj.refused, w)
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
              obj.put = Put.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.put
              })
              break
            }
            case 2: {
              obj.get = Get.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.get
              })
              break
            }
            case 3: {
              obj.remove = Remove.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.remove
              })
              break
            }
            case 4: {
              obj.kept = Kept.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.kept
              })
              break
            }
            case 5: {
              obj.entry = Entry.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.entry
              })
              break
            }
            case 6: {
              obj.refused = Refused.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.refused
              })
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        if (obj.refused != null) {
          delete obj.entry
          delete obj.kept
          delete obj.remove
          delete obj.get
          delete obj.put
        }

        if (obj.entry != null) {
          delete obj.refused
          delete obj.kept
          delete obj.remove
          delete obj.get
          delete obj.put
        }

        if (obj.kept != null) {
          delete obj.refused
          delete obj.entry
          delete obj.remove
          delete obj.get
          delete obj.put
        }

        if (obj.remove != null) {
          delete obj.refused
          delete obj.entry
          delete obj.kept
          delete obj.get
          delete obj.put
        }

        if (obj.get != null) {
          delete obj.refused
          delete obj.entry
          delete obj.kept
          delete obj.remove
          delete obj.put
        }

        if (obj.put != null) {
          delete obj.refused
          delete obj.entry
          delete obj.kept
          delete obj.remove
          delete obj.get
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield * Put.codec().stream(reader, reader.uint32(), `${prefix}.put`, {
                limits: opts.limits?.put
              })

              break
            }
            case 2: {
              yield * Get.codec().stream(reader, reader.uint32(), `${prefix}.get`, {
                limits: opts.limits?.get
              })

              break
            }
            case 3: {
              yield * Remove.codec().stream(reader, reader.uint32(), `${prefix}.remove`, {
                limits: opts.limits?.remove
              })

              break
            }
            case 4: {
              yield * Kept.codec().stream(reader, reader.uint32(), `${prefix}.kept`, {
                limits: opts.limits?.kept
              })

              break
            }
            case 5: {
              yield * Entry.codec().stream(reader, reader.uint32(), `${prefix}.entry`, {
                limits: opts.limits?.entry
              })

              break
            }
            case 6: {
              yield * Refused.codec().stream(reader, reader.uint32(), `${prefix}.refused`, {
                limits: opts.limits?.refused
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

  export interface KeepFramePutIdFieldEvent {
    field: '$.put.id'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeepFramePutBaseFieldEvent {
    field: '$.put.base'
    value: number
  }

  export interface KeepFramePutVersionFieldEvent {
    field: '$.put.version'
    value: number
  }

  export interface KeepFramePutFromFieldEvent {
    field: '$.put.from'
    value: number
  }

  export interface KeepFramePutPartsFieldEvent {
    field: '$.put.parts[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeepFramePutTtlMsFieldEvent {
    field: '$.put.ttlMs'
    value: number
  }

  export interface KeepFrameGetIdFieldEvent {
    field: '$.get.id'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeepFrameRemoveIdFieldEvent {
    field: '$.remove.id'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeepFrameKeptVersionFieldEvent {
    field: '$.kept.version'
    value: number
  }

  export interface KeepFrameEntryVersionFieldEvent {
    field: '$.entry.version'
    value: number
  }

  export interface KeepFrameEntryPartsFieldEvent {
    field: '$.entry.parts[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeepFrameEntryLeftMsFieldEvent {
    field: '$.entry.leftMs'
    value: number
  }

  export interface KeepFrameRefusedReasonFieldEvent {
    field: '$.refused.reason'
    value: number
  }

  export interface KeepFrameRefusedVersionFieldEvent {
    field: '$.refused.version'
    value: number
  }

  export function encode (obj: Partial<KeepFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeepFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeepFrame>): KeepFrame {
    return decodeMessage(buf, KeepFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeepFrame>): Generator<KeepFramePutIdFieldEvent | KeepFramePutBaseFieldEvent | KeepFramePutVersionFieldEvent | KeepFramePutFromFieldEvent | KeepFramePutPartsFieldEvent | KeepFramePutTtlMsFieldEvent | KeepFrameGetIdFieldEvent | KeepFrameRemoveIdFieldEvent | KeepFrameKeptVersionFieldEvent | KeepFrameEntryVersionFieldEvent | KeepFrameEntryPartsFieldEvent | KeepFrameEntryLeftMsFieldEvent | KeepFrameRefusedReasonFieldEvent | KeepFrameRefusedVersionFieldEvent> {
    return streamMessage(buf, KeepFrame.codec(), opts)
  }
}

export interface Put {
  id: Uint8Array<ArrayBuffer>
  base: number
  version: number
  from: number
  parts: Uint8Array<ArrayBuffer>[]
  ttlMs: number
}

export namespace Put {
  let _codec: Codec<Put>

  export const codec = (): Codec<Put> => {
    if (_codec == null) {
      _codec = message<Put>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.id != null && obj.id.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.id)
        }

        if ((obj.base != null && obj.base !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.base)
        }

        if ((obj.version != null && obj.version !== 0)) {
          w.uint32(24)
          w.uint64Number(obj.version)
        }

        if ((obj.from != null && obj.from !== 0)) {
          w.uint32(32)
          w.uint32(obj.from)
        }

        if (obj.parts != null && obj.parts.length > 0) {
          for (const value of obj.parts) {
            w.uint32(42)
            w.bytes(value)
          }
        }

        if ((obj.ttlMs != null && obj.ttlMs !== 0)) {
          w.uint32(48)
          w.uint32(obj.ttlMs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          id: uint8ArrayAlloc(0),
          base: 0,
          version: 0,
          from: 0,
          parts: [],
          ttlMs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.id = reader.bytes()
              break
            }
            case 2: {
              obj.base = reader.uint64Number()
              break
            }
            case 3: {
              obj.version = reader.uint64Number()
              break
            }
            case 4: {
              obj.from = reader.uint32()
              break
            }
            case 5: {
              if (opts.limits?.parts != null && obj.parts.length === opts.limits.parts) {
                throw new MaxLengthError('Decode error - repeated field "parts" had too many elements')
              }

              obj.parts.push(reader.bytes())
              break
            }
            case 6: {
              obj.ttlMs = reader.uint32()
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
          parts: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.id`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.base`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.version`,
                value: reader.uint64Number()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.from`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              if (opts.limits?.parts != null && obj.parts === opts.limits.parts) {
                throw new MaxLengthError('Streaming decode error - repeated field "parts" had too many elements')
              }

              yield {
                field: `${prefix}.parts[]`,
                index: obj.parts,
                value: reader.bytes()
              }

              obj.parts++

              break
            }
            case 6: {
              yield {
                field: `${prefix}.ttlMs`,
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

  export interface PutIdFieldEvent {
    field: '$.id'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PutBaseFieldEvent {
    field: '$.base'
    value: number
  }

  export interface PutVersionFieldEvent {
    field: '$.version'
    value: number
  }

  export interface PutFromFieldEvent {
    field: '$.from'
    value: number
  }

  export interface PutPartsFieldEvent {
    field: '$.parts[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export interface PutTtlMsFieldEvent {
    field: '$.ttlMs'
    value: number
  }

  export function encode (obj: Partial<Put>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Put.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Put>): Put {
    return decodeMessage(buf, Put.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Put>): Generator<PutIdFieldEvent | PutBaseFieldEvent | PutVersionFieldEvent | PutFromFieldEvent | PutPartsFieldEvent | PutTtlMsFieldEvent> {
    return streamMessage(buf, Put.codec(), opts)
  }
}

export interface Get {
  id: Uint8Array<ArrayBuffer>
}

export namespace Get {
  let _codec: Codec<Get>

  export const codec = (): Codec<Get> => {
    if (_codec == null) {
      _codec = message<Get>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.id != null && obj.id.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.id)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          id: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.id = reader.bytes()
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
                field: `${prefix}.id`,
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

  export interface GetIdFieldEvent {
    field: '$.id'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Get>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Get.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Get>): Get {
    return decodeMessage(buf, Get.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Get>): Generator<GetIdFieldEvent> {
    return streamMessage(buf, Get.codec(), opts)
  }
}

export interface Remove {
  id: Uint8Array<ArrayBuffer>
}

export namespace Remove {
  let _codec: Codec<Remove>

  export const codec = (): Codec<Remove> => {
    if (_codec == null) {
      _codec = message<Remove>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.id != null && obj.id.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.id)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          id: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.id = reader.bytes()
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
                field: `${prefix}.id`,
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

  export interface RemoveIdFieldEvent {
    field: '$.id'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Remove>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Remove.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Remove>): Remove {
    return decodeMessage(buf, Remove.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Remove>): Generator<RemoveIdFieldEvent> {
    return streamMessage(buf, Remove.codec(), opts)
  }
}

export interface Kept {
  version: number
}

export namespace Kept {
  let _codec: Codec<Kept>

  export const codec = (): Codec<Kept> => {
    if (_codec == null) {
      _codec = message<Kept>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.version != null && obj.version !== 0)) {
          w.uint32(8)
          w.uint64Number(obj.version)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          version: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.version = reader.uint64Number()
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
                field: `${prefix}.version`,
                value: reader.uint64Number()
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

  export interface KeptVersionFieldEvent {
    field: '$.version'
    value: number
  }

  export function encode (obj: Partial<Kept>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Kept.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Kept>): Kept {
    return decodeMessage(buf, Kept.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Kept>): Generator<KeptVersionFieldEvent> {
    return streamMessage(buf, Kept.codec(), opts)
  }
}

export interface Entry {
  version: number
  parts: Uint8Array<ArrayBuffer>[]
  leftMs: number
}

export namespace Entry {
  let _codec: Codec<Entry>

  export const codec = (): Codec<Entry> => {
    if (_codec == null) {
      _codec = message<Entry>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.version != null && obj.version !== 0)) {
          w.uint32(8)
          w.uint64Number(obj.version)
        }

        if (obj.parts != null && obj.parts.length > 0) {
          for (const value of obj.parts) {
            w.uint32(18)
            w.bytes(value)
          }
        }

        if ((obj.leftMs != null && obj.leftMs !== 0)) {
          w.uint32(24)
          w.uint32(obj.leftMs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          version: 0,
          parts: [],
          leftMs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.version = reader.uint64Number()
              break
            }
            case 2: {
              if (opts.limits?.parts != null && obj.parts.length === opts.limits.parts) {
                throw new MaxLengthError('Decode error - repeated field "parts" had too many elements')
              }

              obj.parts.push(reader.bytes())
              break
            }
            case 3: {
              obj.leftMs = reader.uint32()
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
          parts: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.version`,
                value: reader.uint64Number()
              }
              break
            }
            case 2: {
              if (opts.limits?.parts != null && obj.parts === opts.limits.parts) {
                throw new MaxLengthError('Streaming decode error - repeated field "parts" had too many elements')
              }

              yield {
                field: `${prefix}.parts[]`,
                index: obj.parts,
                value: reader.bytes()
              }

              obj.parts++

              break
            }
            case 3: {
              yield {
                field: `${prefix}.leftMs`,
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

  export interface EntryVersionFieldEvent {
    field: '$.version'
    value: number
  }

  export interface EntryPartsFieldEvent {
    field: '$.parts[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export interface EntryLeftMsFieldEvent {
    field: '$.leftMs'
    value: number
  }

  export function encode (obj: Partial<Entry>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Entry.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Entry>): Entry {
    return decodeMessage(buf, Entry.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Entry>): Generator<EntryVersionFieldEvent | EntryPartsFieldEvent | EntryLeftMsFieldEvent> {
    return streamMessage(buf, Entry.codec(), opts)
  }
}

export interface Refused {
  reason: number
  version: number
}

export namespace Refused {
  let _codec: Codec<Refused>

  export const codec = (): Codec<Refused> => {
    if (_codec == null) {
      _codec = message<Refused>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.reason != null && obj.reason !== 0)) {
          w.uint32(8)
          w.uint32(obj.reason)
        }

        if ((obj.version != null && obj.version !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.version)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          reason: 0,
          version: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.reason = reader.uint32()
              break
            }
            case 2: {
              obj.version = reader.uint64Number()
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
                field: `${prefix}.reason`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.version`,
                value: reader.uint64Number()
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

  export interface RefusedReasonFieldEvent {
    field: '$.reason'
    value: number
  }

  export interface RefusedVersionFieldEvent {
    field: '$.version'
    value: number
  }

  export function encode (obj: Partial<Refused>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Refused.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Refused>): Refused {
    return decodeMessage(buf, Refused.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Refused>): Generator<RefusedReasonFieldEvent | RefusedVersionFieldEvent> {
    return streamMessage(buf, Refused.codec(), opts)
  }
}

export interface KeptHead {
  run: Uint8Array<ArrayBuffer>
  model: Uint8Array<ArrayBuffer>
  promptIds: Uint8Array<ArrayBuffer>
  temperature: number
  topP: number
  topK: number
  seed: number
  maxTokens: number
  ttlMs: number
  classes: string[]
  cache?: KeptCache
  penalties?: KeptPenalties
  filters?: KeptFilters
  grammar?: KeptGrammar
}

export namespace KeptHead {
  let _codec: Codec<KeptHead>

  export const codec = (): Codec<KeptHead> => {
    if (_codec == null) {
      _codec = message<KeptHead>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.run != null && obj.run.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.run)
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.model)
        }

        if ((obj.promptIds != null && obj.promptIds.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.promptIds)
        }

        if ((obj.temperature != null && obj.temperature !== 0)) {
          w.uint32(33)
          w.double(obj.temperature)
        }

        if ((obj.topP != null && obj.topP !== 0)) {
          w.uint32(41)
          w.double(obj.topP)
        }

        if ((obj.topK != null && obj.topK !== 0)) {
          w.uint32(48)
          w.uint32(obj.topK)
        }

        if ((obj.seed != null && obj.seed !== 0)) {
          w.uint32(56)
          w.uint64Number(obj.seed)
        }

        if ((obj.maxTokens != null && obj.maxTokens !== 0)) {
          w.uint32(64)
          w.uint32(obj.maxTokens)
        }

        if ((obj.ttlMs != null && obj.ttlMs !== 0)) {
          w.uint32(72)
          w.uint32(obj.ttlMs)
        }

        if (obj.classes != null && obj.classes.length > 0) {
          for (const value of obj.classes) {
            w.uint32(82)
            w.string(value)
          }
        }

        if (obj.cache != null) {
          w.uint32(90)
          KeptCache.codec().encode(obj.cache, w)
        }

        if (obj.penalties != null) {
          w.uint32(98)
          KeptPenalties.codec().encode(obj.penalties, w)
        }

        if (obj.filters != null) {
          w.uint32(106)
          KeptFilters.codec().encode(obj.filters, w)
        }

        if (obj.grammar != null) {
          w.uint32(114)
          KeptGrammar.codec().encode(obj.grammar, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          run: uint8ArrayAlloc(0),
          model: uint8ArrayAlloc(0),
          promptIds: uint8ArrayAlloc(0),
          temperature: 0,
          topP: 0,
          topK: 0,
          seed: 0,
          maxTokens: 0,
          ttlMs: 0,
          classes: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.run = reader.bytes()
              break
            }
            case 2: {
              obj.model = reader.bytes()
              break
            }
            case 3: {
              obj.promptIds = reader.bytes()
              break
            }
            case 4: {
              obj.temperature = reader.double()
              break
            }
            case 5: {
              obj.topP = reader.double()
              break
            }
            case 6: {
              obj.topK = reader.uint32()
              break
            }
            case 7: {
              obj.seed = reader.uint64Number()
              break
            }
            case 8: {
              obj.maxTokens = reader.uint32()
              break
            }
            case 9: {
              obj.ttlMs = reader.uint32()
              break
            }
            case 10: {
              if (opts.limits?.classes != null && obj.classes.length === opts.limits.classes) {
                throw new MaxLengthError('Decode error - repeated field "classes" had too many elements')
              }

              obj.classes.push(reader.string())
              break
            }
            case 11: {
              obj.cache = KeptCache.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.cache
              })
              break
            }
            case 12: {
              obj.penalties = KeptPenalties.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.penalties
              })
              break
            }
            case 13: {
              obj.filters = KeptFilters.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.filters
              })
              break
            }
            case 14: {
              obj.grammar = KeptGrammar.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.grammar
              })
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
          classes: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.run`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.model`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.promptIds`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.temperature`,
                value: reader.double()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.topP`,
                value: reader.double()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.topK`,
                value: reader.uint32()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.seed`,
                value: reader.uint64Number()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.maxTokens`,
                value: reader.uint32()
              }
              break
            }
            case 9: {
              yield {
                field: `${prefix}.ttlMs`,
                value: reader.uint32()
              }
              break
            }
            case 10: {
              if (opts.limits?.classes != null && obj.classes === opts.limits.classes) {
                throw new MaxLengthError('Streaming decode error - repeated field "classes" had too many elements')
              }

              yield {
                field: `${prefix}.classes[]`,
                index: obj.classes,
                value: reader.string()
              }

              obj.classes++

              break
            }
            case 11: {
              yield * KeptCache.codec().stream(reader, reader.uint32(), `${prefix}.cache`, {
                limits: opts.limits?.cache
              })

              break
            }
            case 12: {
              yield * KeptPenalties.codec().stream(reader, reader.uint32(), `${prefix}.penalties`, {
                limits: opts.limits?.penalties
              })

              break
            }
            case 13: {
              yield * KeptFilters.codec().stream(reader, reader.uint32(), `${prefix}.filters`, {
                limits: opts.limits?.filters
              })

              break
            }
            case 14: {
              yield * KeptGrammar.codec().stream(reader, reader.uint32(), `${prefix}.grammar`, {
                limits: opts.limits?.grammar
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

  export interface KeptHeadRunFieldEvent {
    field: '$.run'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeptHeadModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeptHeadPromptIdsFieldEvent {
    field: '$.promptIds'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeptHeadTemperatureFieldEvent {
    field: '$.temperature'
    value: number
  }

  export interface KeptHeadTopPFieldEvent {
    field: '$.topP'
    value: number
  }

  export interface KeptHeadTopKFieldEvent {
    field: '$.topK'
    value: number
  }

  export interface KeptHeadSeedFieldEvent {
    field: '$.seed'
    value: number
  }

  export interface KeptHeadMaxTokensFieldEvent {
    field: '$.maxTokens'
    value: number
  }

  export interface KeptHeadTtlMsFieldEvent {
    field: '$.ttlMs'
    value: number
  }

  export interface KeptHeadClassesFieldEvent {
    field: '$.classes[]'
    index: number
    value: string
  }

  export interface KeptHeadCacheTypeFieldEvent {
    field: '$.cache.type'
    value: number
  }

  export interface KeptHeadCacheTopPFieldEvent {
    field: '$.cache.topP'
    value: number
  }

  export interface KeptHeadPenaltiesPresenceFieldEvent {
    field: '$.penalties.presence'
    value: number
  }

  export interface KeptHeadPenaltiesFrequencyFieldEvent {
    field: '$.penalties.frequency'
    value: number
  }

  export interface KeptHeadPenaltiesRepetitionFieldEvent {
    field: '$.penalties.repetition'
    value: number
  }

  export interface KeptHeadPenaltiesTopPFieldEvent {
    field: '$.penalties.topP'
    value: number
  }

  export interface KeptHeadFiltersMinPFieldEvent {
    field: '$.filters.minP'
    value: number
  }

  export interface KeptHeadFiltersLogitBiasIdFieldEvent {
    field: '$.filters.logitBias[].id'
    value: number
    index: number
  }

  export interface KeptHeadFiltersLogitBiasBiasFieldEvent {
    field: '$.filters.logitBias[].bias'
    value: number
    index: number
  }

  export interface KeptHeadFiltersTopPFieldEvent {
    field: '$.filters.topP'
    value: number
  }

  export interface KeptHeadGrammarSpecFieldEvent {
    field: '$.grammar.spec'
    value: string
  }

  export interface KeptHeadGrammarTopPFieldEvent {
    field: '$.grammar.topP'
    value: number
  }

  export interface KeptHeadGrammarAfterFieldEvent {
    field: '$.grammar.after'
    value: number
  }

  export function encode (obj: Partial<KeptHead>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptHead.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptHead>): KeptHead {
    return decodeMessage(buf, KeptHead.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptHead>): Generator<KeptHeadRunFieldEvent | KeptHeadModelFieldEvent | KeptHeadPromptIdsFieldEvent | KeptHeadTemperatureFieldEvent | KeptHeadTopPFieldEvent | KeptHeadTopKFieldEvent | KeptHeadSeedFieldEvent | KeptHeadMaxTokensFieldEvent | KeptHeadTtlMsFieldEvent | KeptHeadClassesFieldEvent | KeptHeadCacheTypeFieldEvent | KeptHeadCacheTopPFieldEvent | KeptHeadPenaltiesPresenceFieldEvent | KeptHeadPenaltiesFrequencyFieldEvent | KeptHeadPenaltiesRepetitionFieldEvent | KeptHeadPenaltiesTopPFieldEvent | KeptHeadFiltersMinPFieldEvent | KeptHeadFiltersLogitBiasIdFieldEvent | KeptHeadFiltersLogitBiasBiasFieldEvent | KeptHeadFiltersTopPFieldEvent | KeptHeadGrammarSpecFieldEvent | KeptHeadGrammarTopPFieldEvent | KeptHeadGrammarAfterFieldEvent> {
    return streamMessage(buf, KeptHead.codec(), opts)
  }
}

export interface KeptCache {
  type: number
  topP: number
}

export namespace KeptCache {
  let _codec: Codec<KeptCache>

  export const codec = (): Codec<KeptCache> => {
    if (_codec == null) {
      _codec = message<KeptCache>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.type != null && obj.type !== 0)) {
          w.uint32(8)
          w.uint32(obj.type)
        }

        if ((obj.topP != null && obj.topP !== 0)) {
          w.uint32(17)
          w.double(obj.topP)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          type: 0,
          topP: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.type = reader.uint32()
              break
            }
            case 2: {
              obj.topP = reader.double()
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
                field: `${prefix}.type`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.topP`,
                value: reader.double()
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

  export interface KeptCacheTypeFieldEvent {
    field: '$.type'
    value: number
  }

  export interface KeptCacheTopPFieldEvent {
    field: '$.topP'
    value: number
  }

  export function encode (obj: Partial<KeptCache>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptCache.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptCache>): KeptCache {
    return decodeMessage(buf, KeptCache.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptCache>): Generator<KeptCacheTypeFieldEvent | KeptCacheTopPFieldEvent> {
    return streamMessage(buf, KeptCache.codec(), opts)
  }
}

export interface KeptPenalties {
  presence: number
  frequency: number
  repetition: number
  topP: number
}

export namespace KeptPenalties {
  let _codec: Codec<KeptPenalties>

  export const codec = (): Codec<KeptPenalties> => {
    if (_codec == null) {
      _codec = message<KeptPenalties>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.presence != null && obj.presence !== 0)) {
          w.uint32(9)
          w.double(obj.presence)
        }

        if ((obj.frequency != null && obj.frequency !== 0)) {
          w.uint32(17)
          w.double(obj.frequency)
        }

        if ((obj.repetition != null && obj.repetition !== 0)) {
          w.uint32(25)
          w.double(obj.repetition)
        }

        if ((obj.topP != null && obj.topP !== 0)) {
          w.uint32(33)
          w.double(obj.topP)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          presence: 0,
          frequency: 0,
          repetition: 0,
          topP: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.presence = reader.double()
              break
            }
            case 2: {
              obj.frequency = reader.double()
              break
            }
            case 3: {
              obj.repetition = reader.double()
              break
            }
            case 4: {
              obj.topP = reader.double()
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
                field: `${prefix}.presence`,
                value: reader.double()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.frequency`,
                value: reader.double()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.repetition`,
                value: reader.double()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.topP`,
                value: reader.double()
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

  export interface KeptPenaltiesPresenceFieldEvent {
    field: '$.presence'
    value: number
  }

  export interface KeptPenaltiesFrequencyFieldEvent {
    field: '$.frequency'
    value: number
  }

  export interface KeptPenaltiesRepetitionFieldEvent {
    field: '$.repetition'
    value: number
  }

  export interface KeptPenaltiesTopPFieldEvent {
    field: '$.topP'
    value: number
  }

  export function encode (obj: Partial<KeptPenalties>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptPenalties.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptPenalties>): KeptPenalties {
    return decodeMessage(buf, KeptPenalties.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptPenalties>): Generator<KeptPenaltiesPresenceFieldEvent | KeptPenaltiesFrequencyFieldEvent | KeptPenaltiesRepetitionFieldEvent | KeptPenaltiesTopPFieldEvent> {
    return streamMessage(buf, KeptPenalties.codec(), opts)
  }
}

export interface KeptFilters {
  minP: number
  logitBias: KeptBias[]
  topP: number
}

export namespace KeptFilters {
  let _codec: Codec<KeptFilters>

  export const codec = (): Codec<KeptFilters> => {
    if (_codec == null) {
      _codec = message<KeptFilters>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.minP != null && obj.minP !== 0)) {
          w.uint32(9)
          w.double(obj.minP)
        }

        if (obj.logitBias != null && obj.logitBias.length > 0) {
          for (const value of obj.logitBias) {
            w.uint32(18)
            KeptBias.codec().encode(value, w)
          }
        }

        if ((obj.topP != null && obj.topP !== 0)) {
          w.uint32(25)
          w.double(obj.topP)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          minP: 0,
          logitBias: [],
          topP: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.minP = reader.double()
              break
            }
            case 2: {
              if (opts.limits?.logitBias != null && obj.logitBias.length === opts.limits.logitBias) {
                throw new MaxLengthError('Decode error - repeated field "logitBias" had too many elements')
              }

              obj.logitBias.push(KeptBias.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.logitBias$
              }))
              break
            }
            case 3: {
              obj.topP = reader.double()
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
          logitBias: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.minP`,
                value: reader.double()
              }
              break
            }
            case 2: {
              if (opts.limits?.logitBias != null && obj.logitBias === opts.limits.logitBias) {
                throw new MaxLengthError('Streaming decode error - repeated field "logitBias" had too many elements')
              }

              for (const evt of KeptBias.codec().stream(reader, reader.uint32(), `${prefix}.logitBias[]`, {
                limits: opts.limits?.logitBias$
              })) {
                yield {
                  ...evt,
                  index: obj.logitBias
                }
              }

              obj.logitBias++

              break
            }
            case 3: {
              yield {
                field: `${prefix}.topP`,
                value: reader.double()
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

  export interface KeptFiltersMinPFieldEvent {
    field: '$.minP'
    value: number
  }

  export interface KeptFiltersLogitBiasIdFieldEvent {
    field: '$.logitBias[].id'
    value: number
    index: number
  }

  export interface KeptFiltersLogitBiasBiasFieldEvent {
    field: '$.logitBias[].bias'
    value: number
    index: number
  }

  export interface KeptFiltersTopPFieldEvent {
    field: '$.topP'
    value: number
  }

  export function encode (obj: Partial<KeptFilters>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptFilters.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptFilters>): KeptFilters {
    return decodeMessage(buf, KeptFilters.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptFilters>): Generator<KeptFiltersMinPFieldEvent | KeptFiltersLogitBiasIdFieldEvent | KeptFiltersLogitBiasBiasFieldEvent | KeptFiltersTopPFieldEvent> {
    return streamMessage(buf, KeptFilters.codec(), opts)
  }
}

export interface KeptBias {
  id: number
  bias: number
}

export namespace KeptBias {
  let _codec: Codec<KeptBias>

  export const codec = (): Codec<KeptBias> => {
    if (_codec == null) {
      _codec = message<KeptBias>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.id != null && obj.id !== 0)) {
          w.uint32(8)
          w.uint32(obj.id)
        }

        if ((obj.bias != null && obj.bias !== 0)) {
          w.uint32(17)
          w.double(obj.bias)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          id: 0,
          bias: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.id = reader.uint32()
              break
            }
            case 2: {
              obj.bias = reader.double()
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
                field: `${prefix}.id`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.bias`,
                value: reader.double()
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

  export interface KeptBiasIdFieldEvent {
    field: '$.id'
    value: number
  }

  export interface KeptBiasBiasFieldEvent {
    field: '$.bias'
    value: number
  }

  export function encode (obj: Partial<KeptBias>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptBias.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptBias>): KeptBias {
    return decodeMessage(buf, KeptBias.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptBias>): Generator<KeptBiasIdFieldEvent | KeptBiasBiasFieldEvent> {
    return streamMessage(buf, KeptBias.codec(), opts)
  }
}

export interface KeptGrammar {
  spec: string
  topP: number
  after?: number
}

export namespace KeptGrammar {
  let _codec: Codec<KeptGrammar>

  export const codec = (): Codec<KeptGrammar> => {
    if (_codec == null) {
      _codec = message<KeptGrammar>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.spec != null && obj.spec !== '')) {
          w.uint32(10)
          w.string(obj.spec)
        }

        if ((obj.topP != null && obj.topP !== 0)) {
          w.uint32(17)
          w.double(obj.topP)
        }

        if (obj.after != null) {
          w.uint32(24)
          w.uint32(obj.after)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          spec: '',
          topP: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.spec = reader.string()
              break
            }
            case 2: {
              obj.topP = reader.double()
              break
            }
            case 3: {
              obj.after = reader.uint32()
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
                field: `${prefix}.spec`,
                value: reader.string()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.topP`,
                value: reader.double()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.after`,
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

  export interface KeptGrammarSpecFieldEvent {
    field: '$.spec'
    value: string
  }

  export interface KeptGrammarTopPFieldEvent {
    field: '$.topP'
    value: number
  }

  export interface KeptGrammarAfterFieldEvent {
    field: '$.after'
    value: number
  }

  export function encode (obj: Partial<KeptGrammar>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptGrammar.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptGrammar>): KeptGrammar {
    return decodeMessage(buf, KeptGrammar.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptGrammar>): Generator<KeptGrammarSpecFieldEvent | KeptGrammarTopPFieldEvent | KeptGrammarAfterFieldEvent> {
    return streamMessage(buf, KeptGrammar.codec(), opts)
  }
}

export interface KeptTokens {
  start: number
  ids: Uint8Array<ArrayBuffer>
  stop: number
  inexact: boolean
  peers: Uint8Array<ArrayBuffer>[]
}

export namespace KeptTokens {
  let _codec: Codec<KeptTokens>

  export const codec = (): Codec<KeptTokens> => {
    if (_codec == null) {
      _codec = message<KeptTokens>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.start != null && obj.start !== 0)) {
          w.uint32(8)
          w.uint32(obj.start)
        }

        if ((obj.ids != null && obj.ids.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.ids)
        }

        if ((obj.stop != null && obj.stop !== 0)) {
          w.uint32(24)
          w.uint32(obj.stop)
        }

        if ((obj.inexact != null && obj.inexact !== false)) {
          w.uint32(32)
          w.bool(obj.inexact)
        }

        if (obj.peers != null && obj.peers.length > 0) {
          for (const value of obj.peers) {
            w.uint32(42)
            w.bytes(value)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          start: 0,
          ids: uint8ArrayAlloc(0),
          stop: 0,
          inexact: false,
          peers: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.start = reader.uint32()
              break
            }
            case 2: {
              obj.ids = reader.bytes()
              break
            }
            case 3: {
              obj.stop = reader.uint32()
              break
            }
            case 4: {
              obj.inexact = reader.bool()
              break
            }
            case 5: {
              if (opts.limits?.peers != null && obj.peers.length === opts.limits.peers) {
                throw new MaxLengthError('Decode error - repeated field "peers" had too many elements')
              }

              obj.peers.push(reader.bytes())
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
          peers: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.start`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.ids`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.stop`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.inexact`,
                value: reader.bool()
              }
              break
            }
            case 5: {
              if (opts.limits?.peers != null && obj.peers === opts.limits.peers) {
                throw new MaxLengthError('Streaming decode error - repeated field "peers" had too many elements')
              }

              yield {
                field: `${prefix}.peers[]`,
                index: obj.peers,
                value: reader.bytes()
              }

              obj.peers++

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

  export interface KeptTokensStartFieldEvent {
    field: '$.start'
    value: number
  }

  export interface KeptTokensIdsFieldEvent {
    field: '$.ids'
    value: Uint8Array<ArrayBuffer>
  }

  export interface KeptTokensStopFieldEvent {
    field: '$.stop'
    value: number
  }

  export interface KeptTokensInexactFieldEvent {
    field: '$.inexact'
    value: boolean
  }

  export interface KeptTokensPeersFieldEvent {
    field: '$.peers[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<KeptTokens>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, KeptTokens.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptTokens>): KeptTokens {
    return decodeMessage(buf, KeptTokens.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<KeptTokens>): Generator<KeptTokensStartFieldEvent | KeptTokensIdsFieldEvent | KeptTokensStopFieldEvent | KeptTokensInexactFieldEvent | KeptTokensPeersFieldEvent> {
    return streamMessage(buf, KeptTokens.codec(), opts)
  }
}

export interface ShelfFile {
  owner: string
  version: number
  parts: Uint8Array<ArrayBuffer>[]
  leftMs: number
  savedMs: number
}

export namespace ShelfFile {
  let _codec: Codec<ShelfFile>

  export const codec = (): Codec<ShelfFile> => {
    if (_codec == null) {
      _codec = message<ShelfFile>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.owner != null && obj.owner !== '')) {
          w.uint32(10)
          w.string(obj.owner)
        }

        if ((obj.version != null && obj.version !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.version)
        }

        if (obj.parts != null && obj.parts.length > 0) {
          for (const value of obj.parts) {
            w.uint32(26)
            w.bytes(value)
          }
        }

        if ((obj.leftMs != null && obj.leftMs !== 0)) {
          w.uint32(32)
          w.uint32(obj.leftMs)
        }

        if ((obj.savedMs != null && obj.savedMs !== 0)) {
          w.uint32(40)
          w.uint64Number(obj.savedMs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          owner: '',
          version: 0,
          parts: [],
          leftMs: 0,
          savedMs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.owner = reader.string()
              break
            }
            case 2: {
              obj.version = reader.uint64Number()
              break
            }
            case 3: {
              if (opts.limits?.parts != null && obj.parts.length === opts.limits.parts) {
                throw new MaxLengthError('Decode error - repeated field "parts" had too many elements')
              }

              obj.parts.push(reader.bytes())
              break
            }
            case 4: {
              obj.leftMs = reader.uint32()
              break
            }
            case 5: {
              obj.savedMs = reader.uint64Number()
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
          parts: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.owner`,
                value: reader.string()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.version`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              if (opts.limits?.parts != null && obj.parts === opts.limits.parts) {
                throw new MaxLengthError('Streaming decode error - repeated field "parts" had too many elements')
              }

              yield {
                field: `${prefix}.parts[]`,
                index: obj.parts,
                value: reader.bytes()
              }

              obj.parts++

              break
            }
            case 4: {
              yield {
                field: `${prefix}.leftMs`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.savedMs`,
                value: reader.uint64Number()
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

  export interface ShelfFileOwnerFieldEvent {
    field: '$.owner'
    value: string
  }

  export interface ShelfFileVersionFieldEvent {
    field: '$.version'
    value: number
  }

  export interface ShelfFilePartsFieldEvent {
    field: '$.parts[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShelfFileLeftMsFieldEvent {
    field: '$.leftMs'
    value: number
  }

  export interface ShelfFileSavedMsFieldEvent {
    field: '$.savedMs'
    value: number
  }

  export function encode (obj: Partial<ShelfFile>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, ShelfFile.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ShelfFile>): ShelfFile {
    return decodeMessage(buf, ShelfFile.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ShelfFile>): Generator<ShelfFileOwnerFieldEvent | ShelfFileVersionFieldEvent | ShelfFilePartsFieldEvent | ShelfFileLeftMsFieldEvent | ShelfFileSavedMsFieldEvent> {
    return streamMessage(buf, ShelfFile.codec(), opts)
  }
}
