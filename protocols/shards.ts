import { decodeMessage, encodeMessage, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface ShardsFrame {
  manifestRequest?: ManifestRequest
  manifest?: Manifest
  watch?: Watch
  state?: State
  have?: Have
  listRequest?: ListRequest
  list?: List
  rangeRequest?: RangeRequest
  range?: Range
  refuse?: Refuse
  coming?: Coming
}

export namespace ShardsFrame {
  let _codec: Codec<ShardsFrame>

  export const codec = (): Codec<ShardsFrame> => {
    if (_codec == null) {
      _codec = message<ShardsFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        obj = { ...obj }

        if (obj.coming != null) {
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.refuse != null) {
          obj.coming = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.range != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.rangeRequest != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.list != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.listRequest != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.have != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.state != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.watch = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.watch != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.manifest = undefined
          obj.manifestRequest = undefined
        }

        if (obj.manifest != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifestRequest = undefined
        }

        if (obj.manifestRequest != null) {
          obj.coming = undefined
          obj.refuse = undefined
          obj.range = undefined
          obj.rangeRequest = undefined
          obj.list = undefined
          obj.listRequest = undefined
          obj.have = undefined
          obj.state = undefined
          obj.watch = undefined
          obj.manifest = undefined
        }

        if (obj.manifestRequest != null) {
          w.uint32(10)
          ManifestRequest.codec().encode(obj.manifestRequest, w)
        }

        if (obj.manifest != null) {
          w.uint32(18)
          Manifest.codec().encode(obj.manifest, w)
        }

        if (obj.watch != null) {
          w.uint32(26)
          Watch.codec().encode(obj.watch, w)
        }

        if (obj.state != null) {
          w.uint32(34)
          State.codec().encode(obj.state, w)
        }

        if (obj.have != null) {
          w.uint32(42)
          Have.codec().encode(obj.have, w)
        }

        if (obj.listRequest != null) {
          w.uint32(50)
          ListRequest.codec().encode(obj.listRequest, w)
        }

        if (obj.list != null) {
          w.uint32(58)
          List.codec().encode(obj.list, w)
        }

        if (obj.rangeRequest != null) {
          w.uint32(66)
          RangeRequest.codec().encode(obj.rangeRequest, w)
        }

        if (obj.range != null) {
          w.uint32(74)
          Range.codec().encode(obj.range, w)
        }

        if (obj.refuse != null) {
          w.uint32(82)
          Refuse.codec().encode(obj.refuse, w)
        }

        if (obj.coming != null) {
          w.uint32(90)
          Coming.codec().encode(obj.coming, w)
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
              obj.manifestRequest = ManifestRequest.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.manifestRequest
              })
              break
            }
            case 2: {
              obj.manifest = Manifest.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.manifest
              })
              break
            }
            case 3: {
              obj.watch = Watch.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.watch
              })
              break
            }
            case 4: {
              obj.state = State.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.state
              })
              break
            }
            case 5: {
              obj.have = Have.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.have
              })
              break
            }
            case 6: {
              obj.listRequest = ListRequest.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.listRequest
              })
              break
            }
            case 7: {
              obj.list = List.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.list
              })
              break
            }
            case 8: {
              obj.rangeRequest = RangeRequest.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.rangeRequest
              })
              break
            }
            case 9: {
              obj.range = Range.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.range
              })
              break
            }
            case 10: {
              obj.refuse = Refuse.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.refuse
              })
              break
            }
            case 11: {
              obj.coming = Coming.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.coming
              })
              break
            }
            default: {
              reader.skipType(tag & 7)
              break
            }
          }
        }

        if (obj.coming != null) {
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.refuse != null) {
          delete obj.coming
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.range != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.rangeRequest != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.list != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.listRequest != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.have != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.state
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.state != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.watch
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.watch != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.manifest
          delete obj.manifestRequest
        }

        if (obj.manifest != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifestRequest
        }

        if (obj.manifestRequest != null) {
          delete obj.coming
          delete obj.refuse
          delete obj.range
          delete obj.rangeRequest
          delete obj.list
          delete obj.listRequest
          delete obj.have
          delete obj.state
          delete obj.watch
          delete obj.manifest
        }

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield * ManifestRequest.codec().stream(reader, reader.uint32(), `${prefix}.manifestRequest`, {
                limits: opts.limits?.manifestRequest
              })

              break
            }
            case 2: {
              yield * Manifest.codec().stream(reader, reader.uint32(), `${prefix}.manifest`, {
                limits: opts.limits?.manifest
              })

              break
            }
            case 3: {
              yield * Watch.codec().stream(reader, reader.uint32(), `${prefix}.watch`, {
                limits: opts.limits?.watch
              })

              break
            }
            case 4: {
              yield * State.codec().stream(reader, reader.uint32(), `${prefix}.state`, {
                limits: opts.limits?.state
              })

              break
            }
            case 5: {
              yield * Have.codec().stream(reader, reader.uint32(), `${prefix}.have`, {
                limits: opts.limits?.have
              })

              break
            }
            case 6: {
              yield * ListRequest.codec().stream(reader, reader.uint32(), `${prefix}.listRequest`, {
                limits: opts.limits?.listRequest
              })

              break
            }
            case 7: {
              yield * List.codec().stream(reader, reader.uint32(), `${prefix}.list`, {
                limits: opts.limits?.list
              })

              break
            }
            case 8: {
              yield * RangeRequest.codec().stream(reader, reader.uint32(), `${prefix}.rangeRequest`, {
                limits: opts.limits?.rangeRequest
              })

              break
            }
            case 9: {
              yield * Range.codec().stream(reader, reader.uint32(), `${prefix}.range`, {
                limits: opts.limits?.range
              })

              break
            }
            case 10: {
              yield * Refuse.codec().stream(reader, reader.uint32(), `${prefix}.refuse`, {
                limits: opts.limits?.refuse
              })

              break
            }
            case 11: {
              yield * Coming.codec().stream(reader, reader.uint32(), `${prefix}.coming`, {
                limits: opts.limits?.coming
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

  export interface ShardsFrameManifestRequestModelFieldEvent {
    field: '$.manifestRequest.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameManifestModelFieldEvent {
    field: '$.manifest.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameManifestJsonFieldEvent {
    field: '$.manifest.json'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameManifestSignaturesFieldEvent {
    field: '$.manifest.signatures'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameWatchFileFieldEvent {
    field: '$.watch.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameStateFileFieldEvent {
    field: '$.state.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameStateWholeFieldEvent {
    field: '$.state.whole'
    value: boolean
  }

  export interface ShardsFrameStateChunksFieldEvent {
    field: '$.state.chunks'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameHaveFileFieldEvent {
    field: '$.have.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameHaveChunkFieldEvent {
    field: '$.have.chunk'
    value: number
  }

  export interface ShardsFrameListRequestFileFieldEvent {
    field: '$.listRequest.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameListFileFieldEvent {
    field: '$.list.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameListDigestsFieldEvent {
    field: '$.list.digests'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameRangeRequestFileFieldEvent {
    field: '$.rangeRequest.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameRangeRequestChunkFieldEvent {
    field: '$.rangeRequest.chunk'
    value: number
  }

  export interface ShardsFrameRangeRequestOffsetFieldEvent {
    field: '$.rangeRequest.offset'
    value: number
  }

  export interface ShardsFrameRangeRequestLengthFieldEvent {
    field: '$.rangeRequest.length'
    value: number
  }

  export interface ShardsFrameRangeFileFieldEvent {
    field: '$.range.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameRangeChunkFieldEvent {
    field: '$.range.chunk'
    value: number
  }

  export interface ShardsFrameRangeOffsetFieldEvent {
    field: '$.range.offset'
    value: number
  }

  export interface ShardsFrameRangeDataFieldEvent {
    field: '$.range.data'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameRangeLiveFieldEvent {
    field: '$.range.live'
    value: boolean
  }

  export interface ShardsFrameRefuseSubjectFieldEvent {
    field: '$.refuse.subject'
    value: number
  }

  export interface ShardsFrameRefuseIdFieldEvent {
    field: '$.refuse.id'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameRefuseChunkFieldEvent {
    field: '$.refuse.chunk'
    value: number
  }

  export interface ShardsFrameRefuseOffsetFieldEvent {
    field: '$.refuse.offset'
    value: number
  }

  export interface ShardsFrameComingFileFieldEvent {
    field: '$.coming.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ShardsFrameComingChunkFieldEvent {
    field: '$.coming.chunk'
    value: number
  }

  export function encode (obj: Partial<ShardsFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, ShardsFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ShardsFrame>): ShardsFrame {
    return decodeMessage(buf, ShardsFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ShardsFrame>): Generator<ShardsFrameManifestRequestModelFieldEvent | ShardsFrameManifestModelFieldEvent | ShardsFrameManifestJsonFieldEvent | ShardsFrameManifestSignaturesFieldEvent | ShardsFrameWatchFileFieldEvent | ShardsFrameStateFileFieldEvent | ShardsFrameStateWholeFieldEvent | ShardsFrameStateChunksFieldEvent | ShardsFrameHaveFileFieldEvent | ShardsFrameHaveChunkFieldEvent | ShardsFrameListRequestFileFieldEvent | ShardsFrameListFileFieldEvent | ShardsFrameListDigestsFieldEvent | ShardsFrameRangeRequestFileFieldEvent | ShardsFrameRangeRequestChunkFieldEvent | ShardsFrameRangeRequestOffsetFieldEvent | ShardsFrameRangeRequestLengthFieldEvent | ShardsFrameRangeFileFieldEvent | ShardsFrameRangeChunkFieldEvent | ShardsFrameRangeOffsetFieldEvent | ShardsFrameRangeDataFieldEvent | ShardsFrameRangeLiveFieldEvent | ShardsFrameRefuseSubjectFieldEvent | ShardsFrameRefuseIdFieldEvent | ShardsFrameRefuseChunkFieldEvent | ShardsFrameRefuseOffsetFieldEvent | ShardsFrameComingFileFieldEvent | ShardsFrameComingChunkFieldEvent> {
    return streamMessage(buf, ShardsFrame.codec(), opts)
  }
}

export interface ManifestRequest {
  model: Uint8Array<ArrayBuffer>
}

export namespace ManifestRequest {
  let _codec: Codec<ManifestRequest>

  export const codec = (): Codec<ManifestRequest> => {
    if (_codec == null) {
      _codec = message<ManifestRequest>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.model)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          model: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.model = reader.bytes()
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
                field: `${prefix}.model`,
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

  export interface ManifestRequestModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<ManifestRequest>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, ManifestRequest.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ManifestRequest>): ManifestRequest {
    return decodeMessage(buf, ManifestRequest.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ManifestRequest>): Generator<ManifestRequestModelFieldEvent> {
    return streamMessage(buf, ManifestRequest.codec(), opts)
  }
}

export interface Manifest {
  model: Uint8Array<ArrayBuffer>
  json: Uint8Array<ArrayBuffer>
  signatures: Uint8Array<ArrayBuffer>
}

export namespace Manifest {
  let _codec: Codec<Manifest>

  export const codec = (): Codec<Manifest> => {
    if (_codec == null) {
      _codec = message<Manifest>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.model)
        }

        if ((obj.json != null && obj.json.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.json)
        }

        if ((obj.signatures != null && obj.signatures.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.signatures)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          model: uint8ArrayAlloc(0),
          json: uint8ArrayAlloc(0),
          signatures: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.model = reader.bytes()
              break
            }
            case 2: {
              obj.json = reader.bytes()
              break
            }
            case 3: {
              obj.signatures = reader.bytes()
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
                field: `${prefix}.model`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.json`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.signatures`,
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

  export interface ManifestModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ManifestJsonFieldEvent {
    field: '$.json'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ManifestSignaturesFieldEvent {
    field: '$.signatures'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Manifest>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Manifest.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Manifest>): Manifest {
    return decodeMessage(buf, Manifest.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Manifest>): Generator<ManifestModelFieldEvent | ManifestJsonFieldEvent | ManifestSignaturesFieldEvent> {
    return streamMessage(buf, Manifest.codec(), opts)
  }
}

export interface Watch {
  file: Uint8Array<ArrayBuffer>
}

export namespace Watch {
  let _codec: Codec<Watch>

  export const codec = (): Codec<Watch> => {
    if (_codec == null) {
      _codec = message<Watch>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
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
                field: `${prefix}.file`,
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

  export interface WatchFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Watch>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Watch.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Watch>): Watch {
    return decodeMessage(buf, Watch.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Watch>): Generator<WatchFileFieldEvent> {
    return streamMessage(buf, Watch.codec(), opts)
  }
}

export interface State {
  file: Uint8Array<ArrayBuffer>
  whole: boolean
  chunks: Uint8Array<ArrayBuffer>
}

export namespace State {
  let _codec: Codec<State>

  export const codec = (): Codec<State> => {
    if (_codec == null) {
      _codec = message<State>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if ((obj.whole != null && obj.whole !== false)) {
          w.uint32(16)
          w.bool(obj.whole)
        }

        if ((obj.chunks != null && obj.chunks.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.chunks)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0),
          whole: false,
          chunks: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
              break
            }
            case 2: {
              obj.whole = reader.bool()
              break
            }
            case 3: {
              obj.chunks = reader.bytes()
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
                field: `${prefix}.file`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.whole`,
                value: reader.bool()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.chunks`,
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

  export interface StateFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StateWholeFieldEvent {
    field: '$.whole'
    value: boolean
  }

  export interface StateChunksFieldEvent {
    field: '$.chunks'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<State>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, State.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<State>): State {
    return decodeMessage(buf, State.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<State>): Generator<StateFileFieldEvent | StateWholeFieldEvent | StateChunksFieldEvent> {
    return streamMessage(buf, State.codec(), opts)
  }
}

export interface Have {
  file: Uint8Array<ArrayBuffer>
  chunk: number
}

export namespace Have {
  let _codec: Codec<Have>

  export const codec = (): Codec<Have> => {
    if (_codec == null) {
      _codec = message<Have>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if ((obj.chunk != null && obj.chunk !== 0)) {
          w.uint32(16)
          w.uint32(obj.chunk)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0),
          chunk: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
              break
            }
            case 2: {
              obj.chunk = reader.uint32()
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
                field: `${prefix}.file`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.chunk`,
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

  export interface HaveFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface HaveChunkFieldEvent {
    field: '$.chunk'
    value: number
  }

  export function encode (obj: Partial<Have>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Have.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Have>): Have {
    return decodeMessage(buf, Have.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Have>): Generator<HaveFileFieldEvent | HaveChunkFieldEvent> {
    return streamMessage(buf, Have.codec(), opts)
  }
}

export interface Coming {
  file: Uint8Array<ArrayBuffer>
  chunk: number
}

export namespace Coming {
  let _codec: Codec<Coming>

  export const codec = (): Codec<Coming> => {
    if (_codec == null) {
      _codec = message<Coming>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if ((obj.chunk != null && obj.chunk !== 0)) {
          w.uint32(16)
          w.uint32(obj.chunk)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0),
          chunk: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
              break
            }
            case 2: {
              obj.chunk = reader.uint32()
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
                field: `${prefix}.file`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.chunk`,
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

  export interface ComingFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ComingChunkFieldEvent {
    field: '$.chunk'
    value: number
  }

  export function encode (obj: Partial<Coming>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Coming.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Coming>): Coming {
    return decodeMessage(buf, Coming.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Coming>): Generator<ComingFileFieldEvent | ComingChunkFieldEvent> {
    return streamMessage(buf, Coming.codec(), opts)
  }
}

export interface ListRequest {
  file: Uint8Array<ArrayBuffer>
}

export namespace ListRequest {
  let _codec: Codec<ListRequest>

  export const codec = (): Codec<ListRequest> => {
    if (_codec == null) {
      _codec = message<ListRequest>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
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
                field: `${prefix}.file`,
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

  export interface ListRequestFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<ListRequest>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, ListRequest.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ListRequest>): ListRequest {
    return decodeMessage(buf, ListRequest.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ListRequest>): Generator<ListRequestFileFieldEvent> {
    return streamMessage(buf, ListRequest.codec(), opts)
  }
}

export interface List {
  file: Uint8Array<ArrayBuffer>
  digests: Uint8Array<ArrayBuffer>
}

export namespace List {
  let _codec: Codec<List>

  export const codec = (): Codec<List> => {
    if (_codec == null) {
      _codec = message<List>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if ((obj.digests != null && obj.digests.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.digests)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0),
          digests: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
              break
            }
            case 2: {
              obj.digests = reader.bytes()
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
                field: `${prefix}.file`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.digests`,
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

  export interface ListFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ListDigestsFieldEvent {
    field: '$.digests'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<List>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, List.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<List>): List {
    return decodeMessage(buf, List.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<List>): Generator<ListFileFieldEvent | ListDigestsFieldEvent> {
    return streamMessage(buf, List.codec(), opts)
  }
}

export interface RangeRequest {
  file: Uint8Array<ArrayBuffer>
  chunk: number
  offset: number
  length: number
}

export namespace RangeRequest {
  let _codec: Codec<RangeRequest>

  export const codec = (): Codec<RangeRequest> => {
    if (_codec == null) {
      _codec = message<RangeRequest>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if ((obj.chunk != null && obj.chunk !== 0)) {
          w.uint32(16)
          w.uint32(obj.chunk)
        }

        if ((obj.offset != null && obj.offset !== 0)) {
          w.uint32(24)
          w.uint32(obj.offset)
        }

        if ((obj.length != null && obj.length !== 0)) {
          w.uint32(32)
          w.uint32(obj.length)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0),
          chunk: 0,
          offset: 0,
          length: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
              break
            }
            case 2: {
              obj.chunk = reader.uint32()
              break
            }
            case 3: {
              obj.offset = reader.uint32()
              break
            }
            case 4: {
              obj.length = reader.uint32()
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
                field: `${prefix}.file`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.chunk`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.offset`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.length`,
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

  export interface RangeRequestFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RangeRequestChunkFieldEvent {
    field: '$.chunk'
    value: number
  }

  export interface RangeRequestOffsetFieldEvent {
    field: '$.offset'
    value: number
  }

  export interface RangeRequestLengthFieldEvent {
    field: '$.length'
    value: number
  }

  export function encode (obj: Partial<RangeRequest>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, RangeRequest.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<RangeRequest>): RangeRequest {
    return decodeMessage(buf, RangeRequest.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<RangeRequest>): Generator<RangeRequestFileFieldEvent | RangeRequestChunkFieldEvent | RangeRequestOffsetFieldEvent | RangeRequestLengthFieldEvent> {
    return streamMessage(buf, RangeRequest.codec(), opts)
  }
}

export interface Range {
  file: Uint8Array<ArrayBuffer>
  chunk: number
  offset: number
  data: Uint8Array<ArrayBuffer>
  live: boolean
}

export namespace Range {
  let _codec: Codec<Range>

  export const codec = (): Codec<Range> => {
    if (_codec == null) {
      _codec = message<Range>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.file != null && obj.file.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.file)
        }

        if ((obj.chunk != null && obj.chunk !== 0)) {
          w.uint32(16)
          w.uint32(obj.chunk)
        }

        if ((obj.offset != null && obj.offset !== 0)) {
          w.uint32(24)
          w.uint32(obj.offset)
        }

        if ((obj.data != null && obj.data.byteLength > 0)) {
          w.uint32(34)
          w.bytes(obj.data)
        }

        if ((obj.live != null && obj.live !== false)) {
          w.uint32(40)
          w.bool(obj.live)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          file: uint8ArrayAlloc(0),
          chunk: 0,
          offset: 0,
          data: uint8ArrayAlloc(0),
          live: false
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.file = reader.bytes()
              break
            }
            case 2: {
              obj.chunk = reader.uint32()
              break
            }
            case 3: {
              obj.offset = reader.uint32()
              break
            }
            case 4: {
              obj.data = reader.bytes()
              break
            }
            case 5: {
              obj.live = reader.bool()
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
                field: `${prefix}.file`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.chunk`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.offset`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.data`,
                value: reader.bytes()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.live`,
                value: reader.bool()
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

  export interface RangeFileFieldEvent {
    field: '$.file'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RangeChunkFieldEvent {
    field: '$.chunk'
    value: number
  }

  export interface RangeOffsetFieldEvent {
    field: '$.offset'
    value: number
  }

  export interface RangeDataFieldEvent {
    field: '$.data'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RangeLiveFieldEvent {
    field: '$.live'
    value: boolean
  }

  export function encode (obj: Partial<Range>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Range.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Range>): Range {
    return decodeMessage(buf, Range.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Range>): Generator<RangeFileFieldEvent | RangeChunkFieldEvent | RangeOffsetFieldEvent | RangeDataFieldEvent | RangeLiveFieldEvent> {
    return streamMessage(buf, Range.codec(), opts)
  }
}

export interface Refuse {
  subject: number
  id: Uint8Array<ArrayBuffer>
  chunk: number
  offset: number
}

export namespace Refuse {
  let _codec: Codec<Refuse>

  export const codec = (): Codec<Refuse> => {
    if (_codec == null) {
      _codec = message<Refuse>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.subject != null && obj.subject !== 0)) {
          w.uint32(8)
          w.uint32(obj.subject)
        }

        if ((obj.id != null && obj.id.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.id)
        }

        if ((obj.chunk != null && obj.chunk !== 0)) {
          w.uint32(24)
          w.uint32(obj.chunk)
        }

        if ((obj.offset != null && obj.offset !== 0)) {
          w.uint32(32)
          w.uint32(obj.offset)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          subject: 0,
          id: uint8ArrayAlloc(0),
          chunk: 0,
          offset: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.subject = reader.uint32()
              break
            }
            case 2: {
              obj.id = reader.bytes()
              break
            }
            case 3: {
              obj.chunk = reader.uint32()
              break
            }
            case 4: {
              obj.offset = reader.uint32()
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
                field: `${prefix}.subject`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.id`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.chunk`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.offset`,
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

  export interface RefuseSubjectFieldEvent {
    field: '$.subject'
    value: number
  }

  export interface RefuseIdFieldEvent {
    field: '$.id'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RefuseChunkFieldEvent {
    field: '$.chunk'
    value: number
  }

  export interface RefuseOffsetFieldEvent {
    field: '$.offset'
    value: number
  }

  export function encode (obj: Partial<Refuse>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Refuse.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Refuse>): Refuse {
    return decodeMessage(buf, Refuse.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Refuse>): Generator<RefuseSubjectFieldEvent | RefuseIdFieldEvent | RefuseChunkFieldEvent | RefuseOffsetFieldEvent> {
    return streamMessage(buf, Refuse.codec(), opts)
  }
}
