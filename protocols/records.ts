import { decodeMessage, encodeMessage, MaxLengthError, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface RecordsFrame {
  records: SignedRecord[]
  link?: Link
}

export namespace RecordsFrame {
  let _codec: Codec<RecordsFrame>

  export const codec = (): Codec<RecordsFrame> => {
    if (_codec == null) {
      _codec = message<RecordsFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.records != null && obj.records.length > 0) {
          for (const value of obj.records) {
            w.uint32(10)
            SignedRecord.codec().encode(value, w)
          }
        }

        if (obj.link != null) {
          w.uint32(18)
          Link.codec().encode(obj.link, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          records: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.records != null && obj.records.length === opts.limits.records) {
                throw new MaxLengthError('Decode error - repeated field "records" had too many elements')
              }

              obj.records.push(SignedRecord.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.records$
              }))
              break
            }
            case 2: {
              obj.link = Link.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.link
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
          records: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.records != null && obj.records === opts.limits.records) {
                throw new MaxLengthError('Streaming decode error - repeated field "records" had too many elements')
              }

              for (const evt of SignedRecord.codec().stream(reader, reader.uint32(), `${prefix}.records[]`, {
                limits: opts.limits?.records$
              })) {
                yield {
                  ...evt,
                  index: obj.records
                }
              }

              obj.records++

              break
            }
            case 2: {
              yield * Link.codec().stream(reader, reader.uint32(), `${prefix}.link`, {
                limits: opts.limits?.link
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

  export interface RecordsFrameRecordsPayloadFieldEvent {
    field: '$.records[].payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface RecordsFrameRecordsSignatureFieldEvent {
    field: '$.records[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface RecordsFrameLinkNeighboursFieldEvent {
    field: '$.link.neighbours'
    value: number
  }

  export interface RecordsFrameLinkWantedFieldEvent {
    field: '$.link.wanted'
    value: boolean
  }

  export interface RecordsFrameLinkVerdictFieldEvent {
    field: '$.link.verdict'
    value: number
  }

  export function encode (obj: Partial<RecordsFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, RecordsFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<RecordsFrame>): RecordsFrame {
    return decodeMessage(buf, RecordsFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<RecordsFrame>): Generator<RecordsFrameRecordsPayloadFieldEvent | RecordsFrameRecordsSignatureFieldEvent | RecordsFrameLinkNeighboursFieldEvent | RecordsFrameLinkWantedFieldEvent | RecordsFrameLinkVerdictFieldEvent> {
    return streamMessage(buf, RecordsFrame.codec(), opts)
  }
}

export interface Link {
  neighbours: number
  wanted: boolean
  verdict: number
}

export namespace Link {
  let _codec: Codec<Link>

  export const codec = (): Codec<Link> => {
    if (_codec == null) {
      _codec = message<Link>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.neighbours != null && obj.neighbours !== 0)) {
          w.uint32(8)
          w.uint32(obj.neighbours)
        }

        if ((obj.wanted != null && obj.wanted !== false)) {
          w.uint32(16)
          w.bool(obj.wanted)
        }

        if ((obj.verdict != null && obj.verdict !== 0)) {
          w.uint32(24)
          w.uint32(obj.verdict)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          neighbours: 0,
          wanted: false,
          verdict: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.neighbours = reader.uint32()
              break
            }
            case 2: {
              obj.wanted = reader.bool()
              break
            }
            case 3: {
              obj.verdict = reader.uint32()
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
                field: `${prefix}.neighbours`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.wanted`,
                value: reader.bool()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.verdict`,
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

  export interface LinkNeighboursFieldEvent {
    field: '$.neighbours'
    value: number
  }

  export interface LinkWantedFieldEvent {
    field: '$.wanted'
    value: boolean
  }

  export interface LinkVerdictFieldEvent {
    field: '$.verdict'
    value: number
  }

  export function encode (obj: Partial<Link>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Link.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Link>): Link {
    return decodeMessage(buf, Link.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Link>): Generator<LinkNeighboursFieldEvent | LinkWantedFieldEvent | LinkVerdictFieldEvent> {
    return streamMessage(buf, Link.codec(), opts)
  }
}

export interface SignedRecord {
  payload: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
}

export namespace SignedRecord {
  let _codec: Codec<SignedRecord>

  export const codec = (): Codec<SignedRecord> => {
    if (_codec == null) {
      _codec = message<SignedRecord>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.payload != null && obj.payload.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.payload)
        }

        if ((obj.signature != null && obj.signature.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.signature)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          payload: uint8ArrayAlloc(0),
          signature: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.payload = reader.bytes()
              break
            }
            case 2: {
              obj.signature = reader.bytes()
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
                field: `${prefix}.payload`,
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

  export interface SignedRecordPayloadFieldEvent {
    field: '$.payload'
    value: Uint8Array<ArrayBuffer>
  }

  export interface SignedRecordSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<SignedRecord>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, SignedRecord.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<SignedRecord>): SignedRecord {
    return decodeMessage(buf, SignedRecord.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<SignedRecord>): Generator<SignedRecordPayloadFieldEvent | SignedRecordSignatureFieldEvent> {
    return streamMessage(buf, SignedRecord.codec(), opts)
  }
}

export interface PeerRecord {
  peer: Uint8Array<ArrayBuffer>
  seq: number
  ttlMs: number
  addresses: Uint8Array<ArrayBuffer>[]
  agent: string
  hardware?: Hardware
  budgetBytes: number
  models: ModelOffer[]
  stages: StageOffer[]
  load?: Load
  battery?: Battery
  neighbours: Uint8Array<ArrayBuffer>
  leaving: boolean
  roundTrips: Uint8Array<ArrayBuffer>
  protocols: string[]
  life?: Life
  coming?: Coming
}

export namespace PeerRecord {
  let _codec: Codec<PeerRecord>

  export const codec = (): Codec<PeerRecord> => {
    if (_codec == null) {
      _codec = message<PeerRecord>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.peer != null && obj.peer.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.peer)
        }

        if ((obj.seq != null && obj.seq !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.seq)
        }

        if ((obj.ttlMs != null && obj.ttlMs !== 0)) {
          w.uint32(24)
          w.uint32(obj.ttlMs)
        }

        if (obj.addresses != null && obj.addresses.length > 0) {
          for (const value of obj.addresses) {
            w.uint32(34)
            w.bytes(value)
          }
        }

        if ((obj.agent != null && obj.agent !== '')) {
          w.uint32(42)
          w.string(obj.agent)
        }

        if (obj.hardware != null) {
          w.uint32(50)
          Hardware.codec().encode(obj.hardware, w)
        }

        if ((obj.budgetBytes != null && obj.budgetBytes !== 0)) {
          w.uint32(56)
          w.uint64Number(obj.budgetBytes)
        }

        if (obj.models != null && obj.models.length > 0) {
          for (const value of obj.models) {
            w.uint32(66)
            ModelOffer.codec().encode(value, w)
          }
        }

        if (obj.stages != null && obj.stages.length > 0) {
          for (const value of obj.stages) {
            w.uint32(74)
            StageOffer.codec().encode(value, w)
          }
        }

        if (obj.load != null) {
          w.uint32(82)
          Load.codec().encode(obj.load, w)
        }

        if (obj.battery != null) {
          w.uint32(90)
          Battery.codec().encode(obj.battery, w)
        }

        if ((obj.neighbours != null && obj.neighbours.byteLength > 0)) {
          w.uint32(98)
          w.bytes(obj.neighbours)
        }

        if ((obj.leaving != null && obj.leaving !== false)) {
          w.uint32(104)
          w.bool(obj.leaving)
        }

        if ((obj.roundTrips != null && obj.roundTrips.byteLength > 0)) {
          w.uint32(114)
          w.bytes(obj.roundTrips)
        }

        if (obj.protocols != null && obj.protocols.length > 0) {
          for (const value of obj.protocols) {
            w.uint32(122)
            w.string(value)
          }
        }

        if (obj.life != null) {
          w.uint32(130)
          Life.codec().encode(obj.life, w)
        }

        if (obj.coming != null) {
          w.uint32(138)
          Coming.codec().encode(obj.coming, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          peer: uint8ArrayAlloc(0),
          seq: 0,
          ttlMs: 0,
          addresses: [],
          agent: '',
          budgetBytes: 0,
          models: [],
          stages: [],
          neighbours: uint8ArrayAlloc(0),
          leaving: false,
          roundTrips: uint8ArrayAlloc(0),
          protocols: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.peer = reader.bytes()
              break
            }
            case 2: {
              obj.seq = reader.uint64Number()
              break
            }
            case 3: {
              obj.ttlMs = reader.uint32()
              break
            }
            case 4: {
              if (opts.limits?.addresses != null && obj.addresses.length === opts.limits.addresses) {
                throw new MaxLengthError('Decode error - repeated field "addresses" had too many elements')
              }

              obj.addresses.push(reader.bytes())
              break
            }
            case 5: {
              obj.agent = reader.string()
              break
            }
            case 6: {
              obj.hardware = Hardware.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.hardware
              })
              break
            }
            case 7: {
              obj.budgetBytes = reader.uint64Number()
              break
            }
            case 8: {
              if (opts.limits?.models != null && obj.models.length === opts.limits.models) {
                throw new MaxLengthError('Decode error - repeated field "models" had too many elements')
              }

              obj.models.push(ModelOffer.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.models$
              }))
              break
            }
            case 9: {
              if (opts.limits?.stages != null && obj.stages.length === opts.limits.stages) {
                throw new MaxLengthError('Decode error - repeated field "stages" had too many elements')
              }

              obj.stages.push(StageOffer.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.stages$
              }))
              break
            }
            case 10: {
              obj.load = Load.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.load
              })
              break
            }
            case 11: {
              obj.battery = Battery.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.battery
              })
              break
            }
            case 12: {
              obj.neighbours = reader.bytes()
              break
            }
            case 13: {
              obj.leaving = reader.bool()
              break
            }
            case 14: {
              obj.roundTrips = reader.bytes()
              break
            }
            case 15: {
              if (opts.limits?.protocols != null && obj.protocols.length === opts.limits.protocols) {
                throw new MaxLengthError('Decode error - repeated field "protocols" had too many elements')
              }

              obj.protocols.push(reader.string())
              break
            }
            case 16: {
              obj.life = Life.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.life
              })
              break
            }
            case 17: {
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

        return obj
      }, function * (reader, length, prefix, opts = {}) {
        const obj = {
          addresses: 0,
          models: 0,
          stages: 0,
          protocols: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.peer`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.seq`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.ttlMs`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              if (opts.limits?.addresses != null && obj.addresses === opts.limits.addresses) {
                throw new MaxLengthError('Streaming decode error - repeated field "addresses" had too many elements')
              }

              yield {
                field: `${prefix}.addresses[]`,
                index: obj.addresses,
                value: reader.bytes()
              }

              obj.addresses++

              break
            }
            case 5: {
              yield {
                field: `${prefix}.agent`,
                value: reader.string()
              }
              break
            }
            case 6: {
              yield * Hardware.codec().stream(reader, reader.uint32(), `${prefix}.hardware`, {
                limits: opts.limits?.hardware
              })

              break
            }
            case 7: {
              yield {
                field: `${prefix}.budgetBytes`,
                value: reader.uint64Number()
              }
              break
            }
            case 8: {
              if (opts.limits?.models != null && obj.models === opts.limits.models) {
                throw new MaxLengthError('Streaming decode error - repeated field "models" had too many elements')
              }

              for (const evt of ModelOffer.codec().stream(reader, reader.uint32(), `${prefix}.models[]`, {
                limits: opts.limits?.models$
              })) {
                yield {
                  ...evt,
                  index: obj.models
                }
              }

              obj.models++

              break
            }
            case 9: {
              if (opts.limits?.stages != null && obj.stages === opts.limits.stages) {
                throw new MaxLengthError('Streaming decode error - repeated field "stages" had too many elements')
              }

              for (const evt of StageOffer.codec().stream(reader, reader.uint32(), `${prefix}.stages[]`, {
                limits: opts.limits?.stages$
              })) {
                yield {
                  ...evt,
                  index: obj.stages
                }
              }

              obj.stages++

              break
            }
            case 10: {
              yield * Load.codec().stream(reader, reader.uint32(), `${prefix}.load`, {
                limits: opts.limits?.load
              })

              break
            }
            case 11: {
              yield * Battery.codec().stream(reader, reader.uint32(), `${prefix}.battery`, {
                limits: opts.limits?.battery
              })

              break
            }
            case 12: {
              yield {
                field: `${prefix}.neighbours`,
                value: reader.bytes()
              }
              break
            }
            case 13: {
              yield {
                field: `${prefix}.leaving`,
                value: reader.bool()
              }
              break
            }
            case 14: {
              yield {
                field: `${prefix}.roundTrips`,
                value: reader.bytes()
              }
              break
            }
            case 15: {
              if (opts.limits?.protocols != null && obj.protocols === opts.limits.protocols) {
                throw new MaxLengthError('Streaming decode error - repeated field "protocols" had too many elements')
              }

              yield {
                field: `${prefix}.protocols[]`,
                index: obj.protocols,
                value: reader.string()
              }

              obj.protocols++

              break
            }
            case 16: {
              yield * Life.codec().stream(reader, reader.uint32(), `${prefix}.life`, {
                limits: opts.limits?.life
              })

              break
            }
            case 17: {
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

  export interface PeerRecordPeerFieldEvent {
    field: '$.peer'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PeerRecordSeqFieldEvent {
    field: '$.seq'
    value: number
  }

  export interface PeerRecordTtlMsFieldEvent {
    field: '$.ttlMs'
    value: number
  }

  export interface PeerRecordAddressesFieldEvent {
    field: '$.addresses[]'
    index: number
    value: Uint8Array<ArrayBuffer>
  }

  export interface PeerRecordAgentFieldEvent {
    field: '$.agent'
    value: string
  }

  export interface PeerRecordHardwareCoresFieldEvent {
    field: '$.hardware.cores'
    value: number
  }

  export interface PeerRecordHardwareMemoryBytesFieldEvent {
    field: '$.hardware.memoryBytes'
    value: number
  }

  export interface PeerRecordHardwareArchitectureFieldEvent {
    field: '$.hardware.architecture'
    value: string
  }

  export interface PeerRecordHardwarePlatformFieldEvent {
    field: '$.hardware.platform'
    value: string
  }

  export interface PeerRecordHardwareCpuFieldEvent {
    field: '$.hardware.cpu'
    value: string
  }

  export interface PeerRecordBudgetBytesFieldEvent {
    field: '$.budgetBytes'
    value: number
  }

  export interface PeerRecordModelsModelFieldEvent {
    field: '$.models[].model'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface PeerRecordModelsNameFieldEvent {
    field: '$.models[].name'
    value: string
    index: number
  }

  export interface PeerRecordModelsLayersFieldEvent {
    field: '$.models[].layers'
    value: number
    index: number
  }

  export interface PeerRecordModelsHeldStartFieldEvent {
    field: '$.models[].held[].start'
    value: number
    index: number
  }

  export interface PeerRecordModelsHeldEndFieldEvent {
    field: '$.models[].held[].end'
    value: number
    index: number
  }

  export interface PeerRecordModelsEmbeddingFieldEvent {
    field: '$.models[].embedding'
    value: boolean
    index: number
  }

  export interface PeerRecordModelsHeadFieldEvent {
    field: '$.models[].head'
    value: boolean
    index: number
  }

  export interface PeerRecordModelsVisitMsFieldEvent {
    field: '$.models[].visitMs'
    value: number
    index: number
  }

  export interface PeerRecordModelsLayerMsFieldEvent {
    field: '$.models[].layerMs'
    value: number
    index: number
  }

  export interface PeerRecordModelsNumericClassFieldEvent {
    field: '$.models[].numericClass'
    value: string
    index: number
  }

  export interface PeerRecordModelsPinnedStartFieldEvent {
    field: '$.models[].pinned.start'
    value: number
    index: number
  }

  export interface PeerRecordModelsPinnedEndFieldEvent {
    field: '$.models[].pinned.end'
    value: number
    index: number
  }

  export interface PeerRecordModelsBudgetBytesFieldEvent {
    field: '$.models[].budgetBytes'
    value: number
    index: number
  }

  export interface PeerRecordModelsDemandFieldEvent {
    field: '$.models[].demand'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintLayerBytesFieldEvent {
    field: '$.models[].footprint.layerBytes'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintEmbeddingBytesFieldEvent {
    field: '$.models[].footprint.embeddingBytes'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintHeadBytesFieldEvent {
    field: '$.models[].footprint.headBytes'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintCacheBytesPerLayerFieldEvent {
    field: '$.models[].footprint.cacheBytesPerLayer'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintI8CacheBytesPerLayerFieldEvent {
    field: '$.models[].footprint.i8CacheBytesPerLayer'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintCachePageTokensFieldEvent {
    field: '$.models[].footprint.cachePageTokens'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintI8CachePageTokensFieldEvent {
    field: '$.models[].footprint.i8CachePageTokens'
    value: number
    index: number
  }

  export interface PeerRecordModelsFootprintGivesBackWindowsFieldEvent {
    field: '$.models[].footprint.givesBackWindows'
    value: boolean
    index: number
  }

  export interface PeerRecordModelsIsGraphFieldEvent {
    field: '$.models[].isGraph'
    value: boolean
    index: number
  }

  export interface PeerRecordStagesModelFieldEvent {
    field: '$.stages[].model'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface PeerRecordStagesStartFieldEvent {
    field: '$.stages[].start'
    value: number
    index: number
  }

  export interface PeerRecordStagesEndFieldEvent {
    field: '$.stages[].end'
    value: number
    index: number
  }

  export interface PeerRecordStagesServingFieldEvent {
    field: '$.stages[].serving'
    value: boolean
    index: number
  }

  export interface PeerRecordStagesCacheBytesFreeFieldEvent {
    field: '$.stages[].cacheBytesFree'
    value: number
    index: number
  }

  export interface PeerRecordStagesSessionsFieldEvent {
    field: '$.stages[].sessions'
    value: number
    index: number
  }

  export interface PeerRecordStagesLoadFieldEvent {
    field: '$.stages[].load'
    value: number
    index: number
  }

  export interface PeerRecordStagesPeakFieldEvent {
    field: '$.stages[].peak'
    value: number
    index: number
  }

  export interface PeerRecordLoadSessionsFieldEvent {
    field: '$.load.sessions'
    value: number
  }

  export interface PeerRecordLoadQueuedStepsFieldEvent {
    field: '$.load.queuedSteps'
    value: number
  }

  export interface PeerRecordBatteryLevelFieldEvent {
    field: '$.battery.level'
    value: number
  }

  export interface PeerRecordBatteryChargingFieldEvent {
    field: '$.battery.charging'
    value: boolean
  }

  export interface PeerRecordNeighboursFieldEvent {
    field: '$.neighbours'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PeerRecordLeavingFieldEvent {
    field: '$.leaving'
    value: boolean
  }

  export interface PeerRecordRoundTripsFieldEvent {
    field: '$.roundTrips'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PeerRecordProtocolsFieldEvent {
    field: '$.protocols[]'
    index: number
    value: string
  }

  export interface PeerRecordLifeRunFieldEvent {
    field: '$.life.run'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PeerRecordLifeUpMsFieldEvent {
    field: '$.life.upMs'
    value: number
  }

  export interface PeerRecordLifeHeardFieldEvent {
    field: '$.life.heard'
    value: Uint8Array<ArrayBuffer>
  }

  export interface PeerRecordLifeYieldsFieldEvent {
    field: '$.life.yields'
    value: boolean
  }

  export interface PeerRecordComingModelsModelFieldEvent {
    field: '$.coming.models[].model'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface PeerRecordComingModelsNameFieldEvent {
    field: '$.coming.models[].name'
    value: string
    index: number
  }

  export function encode (obj: Partial<PeerRecord>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, PeerRecord.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<PeerRecord>): PeerRecord {
    return decodeMessage(buf, PeerRecord.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<PeerRecord>): Generator<PeerRecordPeerFieldEvent | PeerRecordSeqFieldEvent | PeerRecordTtlMsFieldEvent | PeerRecordAddressesFieldEvent | PeerRecordAgentFieldEvent | PeerRecordHardwareCoresFieldEvent | PeerRecordHardwareMemoryBytesFieldEvent | PeerRecordHardwareArchitectureFieldEvent | PeerRecordHardwarePlatformFieldEvent | PeerRecordHardwareCpuFieldEvent | PeerRecordBudgetBytesFieldEvent | PeerRecordModelsModelFieldEvent | PeerRecordModelsNameFieldEvent | PeerRecordModelsLayersFieldEvent | PeerRecordModelsHeldStartFieldEvent | PeerRecordModelsHeldEndFieldEvent | PeerRecordModelsEmbeddingFieldEvent | PeerRecordModelsHeadFieldEvent | PeerRecordModelsVisitMsFieldEvent | PeerRecordModelsLayerMsFieldEvent | PeerRecordModelsNumericClassFieldEvent | PeerRecordModelsPinnedStartFieldEvent | PeerRecordModelsPinnedEndFieldEvent | PeerRecordModelsBudgetBytesFieldEvent | PeerRecordModelsDemandFieldEvent | PeerRecordModelsFootprintLayerBytesFieldEvent | PeerRecordModelsFootprintEmbeddingBytesFieldEvent | PeerRecordModelsFootprintHeadBytesFieldEvent | PeerRecordModelsFootprintCacheBytesPerLayerFieldEvent | PeerRecordModelsFootprintI8CacheBytesPerLayerFieldEvent | PeerRecordModelsFootprintCachePageTokensFieldEvent | PeerRecordModelsFootprintI8CachePageTokensFieldEvent | PeerRecordModelsFootprintGivesBackWindowsFieldEvent | PeerRecordModelsIsGraphFieldEvent | PeerRecordStagesModelFieldEvent | PeerRecordStagesStartFieldEvent | PeerRecordStagesEndFieldEvent | PeerRecordStagesServingFieldEvent | PeerRecordStagesCacheBytesFreeFieldEvent | PeerRecordStagesSessionsFieldEvent | PeerRecordStagesLoadFieldEvent | PeerRecordStagesPeakFieldEvent | PeerRecordLoadSessionsFieldEvent | PeerRecordLoadQueuedStepsFieldEvent | PeerRecordBatteryLevelFieldEvent | PeerRecordBatteryChargingFieldEvent | PeerRecordNeighboursFieldEvent | PeerRecordLeavingFieldEvent | PeerRecordRoundTripsFieldEvent | PeerRecordProtocolsFieldEvent | PeerRecordLifeRunFieldEvent | PeerRecordLifeUpMsFieldEvent | PeerRecordLifeHeardFieldEvent | PeerRecordLifeYieldsFieldEvent | PeerRecordComingModelsModelFieldEvent | PeerRecordComingModelsNameFieldEvent> {
    return streamMessage(buf, PeerRecord.codec(), opts)
  }
}

export interface Coming {
  models: ComingModel[]
}

export namespace Coming {
  let _codec: Codec<Coming>

  export const codec = (): Codec<Coming> => {
    if (_codec == null) {
      _codec = message<Coming>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.models != null && obj.models.length > 0) {
          for (const value of obj.models) {
            w.uint32(10)
            ComingModel.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          models: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.models != null && obj.models.length === opts.limits.models) {
                throw new MaxLengthError('Decode error - repeated field "models" had too many elements')
              }

              obj.models.push(ComingModel.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.models$
              }))
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
          models: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.models != null && obj.models === opts.limits.models) {
                throw new MaxLengthError('Streaming decode error - repeated field "models" had too many elements')
              }

              for (const evt of ComingModel.codec().stream(reader, reader.uint32(), `${prefix}.models[]`, {
                limits: opts.limits?.models$
              })) {
                yield {
                  ...evt,
                  index: obj.models
                }
              }

              obj.models++

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

  export interface ComingModelsModelFieldEvent {
    field: '$.models[].model'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface ComingModelsNameFieldEvent {
    field: '$.models[].name'
    value: string
    index: number
  }

  export function encode (obj: Partial<Coming>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Coming.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Coming>): Coming {
    return decodeMessage(buf, Coming.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Coming>): Generator<ComingModelsModelFieldEvent | ComingModelsNameFieldEvent> {
    return streamMessage(buf, Coming.codec(), opts)
  }
}

export interface ComingModel {
  model: Uint8Array<ArrayBuffer>
  name: string
}

export namespace ComingModel {
  let _codec: Codec<ComingModel>

  export const codec = (): Codec<ComingModel> => {
    if (_codec == null) {
      _codec = message<ComingModel>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.model)
        }

        if ((obj.name != null && obj.name !== '')) {
          w.uint32(18)
          w.string(obj.name)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          model: uint8ArrayAlloc(0),
          name: ''
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
              obj.name = reader.string()
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
                field: `${prefix}.name`,
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

  export interface ComingModelModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ComingModelNameFieldEvent {
    field: '$.name'
    value: string
  }

  export function encode (obj: Partial<ComingModel>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, ComingModel.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ComingModel>): ComingModel {
    return decodeMessage(buf, ComingModel.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ComingModel>): Generator<ComingModelModelFieldEvent | ComingModelNameFieldEvent> {
    return streamMessage(buf, ComingModel.codec(), opts)
  }
}

export interface Life {
  run: Uint8Array<ArrayBuffer>
  upMs: number
  heard: Uint8Array<ArrayBuffer>
  yields: boolean
}

export namespace Life {
  let _codec: Codec<Life>

  export const codec = (): Codec<Life> => {
    if (_codec == null) {
      _codec = message<Life>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.run != null && obj.run.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.run)
        }

        if ((obj.upMs != null && obj.upMs !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.upMs)
        }

        if ((obj.heard != null && obj.heard.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.heard)
        }

        if ((obj.yields != null && obj.yields !== false)) {
          w.uint32(32)
          w.bool(obj.yields)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          run: uint8ArrayAlloc(0),
          upMs: 0,
          heard: uint8ArrayAlloc(0),
          yields: false
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
              obj.upMs = reader.uint64Number()
              break
            }
            case 3: {
              obj.heard = reader.bytes()
              break
            }
            case 4: {
              obj.yields = reader.bool()
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
                field: `${prefix}.run`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.upMs`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.heard`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.yields`,
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

  export interface LifeRunFieldEvent {
    field: '$.run'
    value: Uint8Array<ArrayBuffer>
  }

  export interface LifeUpMsFieldEvent {
    field: '$.upMs'
    value: number
  }

  export interface LifeHeardFieldEvent {
    field: '$.heard'
    value: Uint8Array<ArrayBuffer>
  }

  export interface LifeYieldsFieldEvent {
    field: '$.yields'
    value: boolean
  }

  export function encode (obj: Partial<Life>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Life.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Life>): Life {
    return decodeMessage(buf, Life.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Life>): Generator<LifeRunFieldEvent | LifeUpMsFieldEvent | LifeHeardFieldEvent | LifeYieldsFieldEvent> {
    return streamMessage(buf, Life.codec(), opts)
  }
}

export interface Hardware {
  cores: number
  memoryBytes: number
  architecture: string
  platform: string
  cpu: string
}

export namespace Hardware {
  let _codec: Codec<Hardware>

  export const codec = (): Codec<Hardware> => {
    if (_codec == null) {
      _codec = message<Hardware>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.cores != null && obj.cores !== 0)) {
          w.uint32(8)
          w.uint32(obj.cores)
        }

        if ((obj.memoryBytes != null && obj.memoryBytes !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.memoryBytes)
        }

        if ((obj.architecture != null && obj.architecture !== '')) {
          w.uint32(26)
          w.string(obj.architecture)
        }

        if ((obj.platform != null && obj.platform !== '')) {
          w.uint32(34)
          w.string(obj.platform)
        }

        if ((obj.cpu != null && obj.cpu !== '')) {
          w.uint32(42)
          w.string(obj.cpu)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          cores: 0,
          memoryBytes: 0,
          architecture: '',
          platform: '',
          cpu: ''
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.cores = reader.uint32()
              break
            }
            case 2: {
              obj.memoryBytes = reader.uint64Number()
              break
            }
            case 3: {
              obj.architecture = reader.string()
              break
            }
            case 4: {
              obj.platform = reader.string()
              break
            }
            case 5: {
              obj.cpu = reader.string()
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
                field: `${prefix}.cores`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.memoryBytes`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.architecture`,
                value: reader.string()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.platform`,
                value: reader.string()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.cpu`,
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

  export interface HardwareCoresFieldEvent {
    field: '$.cores'
    value: number
  }

  export interface HardwareMemoryBytesFieldEvent {
    field: '$.memoryBytes'
    value: number
  }

  export interface HardwareArchitectureFieldEvent {
    field: '$.architecture'
    value: string
  }

  export interface HardwarePlatformFieldEvent {
    field: '$.platform'
    value: string
  }

  export interface HardwareCpuFieldEvent {
    field: '$.cpu'
    value: string
  }

  export function encode (obj: Partial<Hardware>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Hardware.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Hardware>): Hardware {
    return decodeMessage(buf, Hardware.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Hardware>): Generator<HardwareCoresFieldEvent | HardwareMemoryBytesFieldEvent | HardwareArchitectureFieldEvent | HardwarePlatformFieldEvent | HardwareCpuFieldEvent> {
    return streamMessage(buf, Hardware.codec(), opts)
  }
}

export interface ModelOffer {
  model: Uint8Array<ArrayBuffer>
  name: string
  layers: number
  held: LayerRange[]
  embedding: boolean
  head: boolean
  visitMs: number
  layerMs: number
  numericClass: string
  pinned?: LayerRange
  budgetBytes?: number
  demand: number
  footprint?: Footprint
  isGraph: boolean
}

export namespace ModelOffer {
  let _codec: Codec<ModelOffer>

  export const codec = (): Codec<ModelOffer> => {
    if (_codec == null) {
      _codec = message<ModelOffer>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.model)
        }

        if ((obj.name != null && obj.name !== '')) {
          w.uint32(18)
          w.string(obj.name)
        }

        if ((obj.layers != null && obj.layers !== 0)) {
          w.uint32(24)
          w.uint32(obj.layers)
        }

        if (obj.held != null && obj.held.length > 0) {
          for (const value of obj.held) {
            w.uint32(34)
            LayerRange.codec().encode(value, w)
          }
        }

        if ((obj.embedding != null && obj.embedding !== false)) {
          w.uint32(40)
          w.bool(obj.embedding)
        }

        if ((obj.head != null && obj.head !== false)) {
          w.uint32(48)
          w.bool(obj.head)
        }

        if ((obj.visitMs != null && obj.visitMs !== 0)) {
          w.uint32(57)
          w.double(obj.visitMs)
        }

        if ((obj.layerMs != null && obj.layerMs !== 0)) {
          w.uint32(65)
          w.double(obj.layerMs)
        }

        if ((obj.numericClass != null && obj.numericClass !== '')) {
          w.uint32(74)
          w.string(obj.numericClass)
        }

        if (obj.pinned != null) {
          w.uint32(82)
          LayerRange.codec().encode(obj.pinned, w)
        }

        if (obj.budgetBytes != null) {
          w.uint32(88)
          w.uint64Number(obj.budgetBytes)
        }

        if ((obj.demand != null && obj.demand !== 0)) {
          w.uint32(96)
          w.uint32(obj.demand)
        }

        if (obj.footprint != null) {
          w.uint32(106)
          Footprint.codec().encode(obj.footprint, w)
        }

        if ((obj.isGraph != null && obj.isGraph !== false)) {
          w.uint32(112)
          w.bool(obj.isGraph)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          model: uint8ArrayAlloc(0),
          name: '',
          layers: 0,
          held: [],
          embedding: false,
          head: false,
          visitMs: 0,
          layerMs: 0,
          numericClass: '',
          demand: 0,
          isGraph: false
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
              obj.name = reader.string()
              break
            }
            case 3: {
              obj.layers = reader.uint32()
              break
            }
            case 4: {
              if (opts.limits?.held != null && obj.held.length === opts.limits.held) {
                throw new MaxLengthError('Decode error - repeated field "held" had too many elements')
              }

              obj.held.push(LayerRange.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.held$
              }))
              break
            }
            case 5: {
              obj.embedding = reader.bool()
              break
            }
            case 6: {
              obj.head = reader.bool()
              break
            }
            case 7: {
              obj.visitMs = reader.double()
              break
            }
            case 8: {
              obj.layerMs = reader.double()
              break
            }
            case 9: {
              obj.numericClass = reader.string()
              break
            }
            case 10: {
              obj.pinned = LayerRange.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.pinned
              })
              break
            }
            case 11: {
              obj.budgetBytes = reader.uint64Number()
              break
            }
            case 12: {
              obj.demand = reader.uint32()
              break
            }
            case 13: {
              obj.footprint = Footprint.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.footprint
              })
              break
            }
            case 14: {
              obj.isGraph = reader.bool()
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
          held: 0
        }

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
                field: `${prefix}.name`,
                value: reader.string()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.layers`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              if (opts.limits?.held != null && obj.held === opts.limits.held) {
                throw new MaxLengthError('Streaming decode error - repeated field "held" had too many elements')
              }

              for (const evt of LayerRange.codec().stream(reader, reader.uint32(), `${prefix}.held[]`, {
                limits: opts.limits?.held$
              })) {
                yield {
                  ...evt,
                  index: obj.held
                }
              }

              obj.held++

              break
            }
            case 5: {
              yield {
                field: `${prefix}.embedding`,
                value: reader.bool()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.head`,
                value: reader.bool()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.visitMs`,
                value: reader.double()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.layerMs`,
                value: reader.double()
              }
              break
            }
            case 9: {
              yield {
                field: `${prefix}.numericClass`,
                value: reader.string()
              }
              break
            }
            case 10: {
              yield * LayerRange.codec().stream(reader, reader.uint32(), `${prefix}.pinned`, {
                limits: opts.limits?.pinned
              })

              break
            }
            case 11: {
              yield {
                field: `${prefix}.budgetBytes`,
                value: reader.uint64Number()
              }
              break
            }
            case 12: {
              yield {
                field: `${prefix}.demand`,
                value: reader.uint32()
              }
              break
            }
            case 13: {
              yield * Footprint.codec().stream(reader, reader.uint32(), `${prefix}.footprint`, {
                limits: opts.limits?.footprint
              })

              break
            }
            case 14: {
              yield {
                field: `${prefix}.isGraph`,
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

  export interface ModelOfferModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ModelOfferNameFieldEvent {
    field: '$.name'
    value: string
  }

  export interface ModelOfferLayersFieldEvent {
    field: '$.layers'
    value: number
  }

  export interface ModelOfferHeldStartFieldEvent {
    field: '$.held[].start'
    value: number
    index: number
  }

  export interface ModelOfferHeldEndFieldEvent {
    field: '$.held[].end'
    value: number
    index: number
  }

  export interface ModelOfferEmbeddingFieldEvent {
    field: '$.embedding'
    value: boolean
  }

  export interface ModelOfferHeadFieldEvent {
    field: '$.head'
    value: boolean
  }

  export interface ModelOfferVisitMsFieldEvent {
    field: '$.visitMs'
    value: number
  }

  export interface ModelOfferLayerMsFieldEvent {
    field: '$.layerMs'
    value: number
  }

  export interface ModelOfferNumericClassFieldEvent {
    field: '$.numericClass'
    value: string
  }

  export interface ModelOfferPinnedStartFieldEvent {
    field: '$.pinned.start'
    value: number
  }

  export interface ModelOfferPinnedEndFieldEvent {
    field: '$.pinned.end'
    value: number
  }

  export interface ModelOfferBudgetBytesFieldEvent {
    field: '$.budgetBytes'
    value: number
  }

  export interface ModelOfferDemandFieldEvent {
    field: '$.demand'
    value: number
  }

  export interface ModelOfferFootprintLayerBytesFieldEvent {
    field: '$.footprint.layerBytes'
    value: number
  }

  export interface ModelOfferFootprintEmbeddingBytesFieldEvent {
    field: '$.footprint.embeddingBytes'
    value: number
  }

  export interface ModelOfferFootprintHeadBytesFieldEvent {
    field: '$.footprint.headBytes'
    value: number
  }

  export interface ModelOfferFootprintCacheBytesPerLayerFieldEvent {
    field: '$.footprint.cacheBytesPerLayer'
    value: number
  }

  export interface ModelOfferFootprintI8CacheBytesPerLayerFieldEvent {
    field: '$.footprint.i8CacheBytesPerLayer'
    value: number
  }

  export interface ModelOfferFootprintCachePageTokensFieldEvent {
    field: '$.footprint.cachePageTokens'
    value: number
  }

  export interface ModelOfferFootprintI8CachePageTokensFieldEvent {
    field: '$.footprint.i8CachePageTokens'
    value: number
  }

  export interface ModelOfferFootprintGivesBackWindowsFieldEvent {
    field: '$.footprint.givesBackWindows'
    value: boolean
  }

  export interface ModelOfferIsGraphFieldEvent {
    field: '$.isGraph'
    value: boolean
  }

  export function encode (obj: Partial<ModelOffer>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, ModelOffer.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ModelOffer>): ModelOffer {
    return decodeMessage(buf, ModelOffer.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<ModelOffer>): Generator<ModelOfferModelFieldEvent | ModelOfferNameFieldEvent | ModelOfferLayersFieldEvent | ModelOfferHeldStartFieldEvent | ModelOfferHeldEndFieldEvent | ModelOfferEmbeddingFieldEvent | ModelOfferHeadFieldEvent | ModelOfferVisitMsFieldEvent | ModelOfferLayerMsFieldEvent | ModelOfferNumericClassFieldEvent | ModelOfferPinnedStartFieldEvent | ModelOfferPinnedEndFieldEvent | ModelOfferBudgetBytesFieldEvent | ModelOfferDemandFieldEvent | ModelOfferFootprintLayerBytesFieldEvent | ModelOfferFootprintEmbeddingBytesFieldEvent | ModelOfferFootprintHeadBytesFieldEvent | ModelOfferFootprintCacheBytesPerLayerFieldEvent | ModelOfferFootprintI8CacheBytesPerLayerFieldEvent | ModelOfferFootprintCachePageTokensFieldEvent | ModelOfferFootprintI8CachePageTokensFieldEvent | ModelOfferFootprintGivesBackWindowsFieldEvent | ModelOfferIsGraphFieldEvent> {
    return streamMessage(buf, ModelOffer.codec(), opts)
  }
}

export interface Footprint {
  layerBytes: number
  embeddingBytes: number
  headBytes: number
  cacheBytesPerLayer: number
  i8CacheBytesPerLayer?: number
  cachePageTokens?: number
  i8CachePageTokens?: number
  givesBackWindows?: boolean
}

export namespace Footprint {
  let _codec: Codec<Footprint>

  export const codec = (): Codec<Footprint> => {
    if (_codec == null) {
      _codec = message<Footprint>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.layerBytes != null && obj.layerBytes !== 0)) {
          w.uint32(8)
          w.uint64Number(obj.layerBytes)
        }

        if ((obj.embeddingBytes != null && obj.embeddingBytes !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.embeddingBytes)
        }

        if ((obj.headBytes != null && obj.headBytes !== 0)) {
          w.uint32(24)
          w.uint64Number(obj.headBytes)
        }

        if ((obj.cacheBytesPerLayer != null && obj.cacheBytesPerLayer !== 0)) {
          w.uint32(32)
          w.uint64Number(obj.cacheBytesPerLayer)
        }

        if (obj.i8CacheBytesPerLayer != null) {
          w.uint32(40)
          w.uint64Number(obj.i8CacheBytesPerLayer)
        }

        if (obj.cachePageTokens != null) {
          w.uint32(48)
          w.uint32(obj.cachePageTokens)
        }

        if (obj.i8CachePageTokens != null) {
          w.uint32(56)
          w.uint32(obj.i8CachePageTokens)
        }

        if (obj.givesBackWindows != null) {
          w.uint32(64)
          w.bool(obj.givesBackWindows)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          layerBytes: 0,
          embeddingBytes: 0,
          headBytes: 0,
          cacheBytesPerLayer: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.layerBytes = reader.uint64Number()
              break
            }
            case 2: {
              obj.embeddingBytes = reader.uint64Number()
              break
            }
            case 3: {
              obj.headBytes = reader.uint64Number()
              break
            }
            case 4: {
              obj.cacheBytesPerLayer = reader.uint64Number()
              break
            }
            case 5: {
              obj.i8CacheBytesPerLayer = reader.uint64Number()
              break
            }
            case 6: {
              obj.cachePageTokens = reader.uint32()
              break
            }
            case 7: {
              obj.i8CachePageTokens = reader.uint32()
              break
            }
            case 8: {
              obj.givesBackWindows = reader.bool()
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
                field: `${prefix}.layerBytes`,
                value: reader.uint64Number()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.embeddingBytes`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.headBytes`,
                value: reader.uint64Number()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.cacheBytesPerLayer`,
                value: reader.uint64Number()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.i8CacheBytesPerLayer`,
                value: reader.uint64Number()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.cachePageTokens`,
                value: reader.uint32()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.i8CachePageTokens`,
                value: reader.uint32()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.givesBackWindows`,
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

  export interface FootprintLayerBytesFieldEvent {
    field: '$.layerBytes'
    value: number
  }

  export interface FootprintEmbeddingBytesFieldEvent {
    field: '$.embeddingBytes'
    value: number
  }

  export interface FootprintHeadBytesFieldEvent {
    field: '$.headBytes'
    value: number
  }

  export interface FootprintCacheBytesPerLayerFieldEvent {
    field: '$.cacheBytesPerLayer'
    value: number
  }

  export interface FootprintI8CacheBytesPerLayerFieldEvent {
    field: '$.i8CacheBytesPerLayer'
    value: number
  }

  export interface FootprintCachePageTokensFieldEvent {
    field: '$.cachePageTokens'
    value: number
  }

  export interface FootprintI8CachePageTokensFieldEvent {
    field: '$.i8CachePageTokens'
    value: number
  }

  export interface FootprintGivesBackWindowsFieldEvent {
    field: '$.givesBackWindows'
    value: boolean
  }

  export function encode (obj: Partial<Footprint>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Footprint.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Footprint>): Footprint {
    return decodeMessage(buf, Footprint.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Footprint>): Generator<FootprintLayerBytesFieldEvent | FootprintEmbeddingBytesFieldEvent | FootprintHeadBytesFieldEvent | FootprintCacheBytesPerLayerFieldEvent | FootprintI8CacheBytesPerLayerFieldEvent | FootprintCachePageTokensFieldEvent | FootprintI8CachePageTokensFieldEvent | FootprintGivesBackWindowsFieldEvent> {
    return streamMessage(buf, Footprint.codec(), opts)
  }
}

export interface LayerRange {
  start: number
  end: number
}

export namespace LayerRange {
  let _codec: Codec<LayerRange>

  export const codec = (): Codec<LayerRange> => {
    if (_codec == null) {
      _codec = message<LayerRange>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.start != null && obj.start !== 0)) {
          w.uint32(8)
          w.uint32(obj.start)
        }

        if ((obj.end != null && obj.end !== 0)) {
          w.uint32(16)
          w.uint32(obj.end)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          start: 0,
          end: 0
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
              obj.end = reader.uint32()
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
                field: `${prefix}.start`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.end`,
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

  export interface LayerRangeStartFieldEvent {
    field: '$.start'
    value: number
  }

  export interface LayerRangeEndFieldEvent {
    field: '$.end'
    value: number
  }

  export function encode (obj: Partial<LayerRange>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, LayerRange.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<LayerRange>): LayerRange {
    return decodeMessage(buf, LayerRange.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<LayerRange>): Generator<LayerRangeStartFieldEvent | LayerRangeEndFieldEvent> {
    return streamMessage(buf, LayerRange.codec(), opts)
  }
}

export interface StageOffer {
  model: Uint8Array<ArrayBuffer>
  start: number
  end: number
  serving: boolean
  cacheBytesFree: number
  sessions: number
  load?: number
  peak?: number
}

export namespace StageOffer {
  let _codec: Codec<StageOffer>

  export const codec = (): Codec<StageOffer> => {
    if (_codec == null) {
      _codec = message<StageOffer>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.model != null && obj.model.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.model)
        }

        if ((obj.start != null && obj.start !== 0)) {
          w.uint32(16)
          w.uint32(obj.start)
        }

        if ((obj.end != null && obj.end !== 0)) {
          w.uint32(24)
          w.uint32(obj.end)
        }

        if ((obj.serving != null && obj.serving !== false)) {
          w.uint32(32)
          w.bool(obj.serving)
        }

        if ((obj.cacheBytesFree != null && obj.cacheBytesFree !== 0)) {
          w.uint32(40)
          w.uint64Number(obj.cacheBytesFree)
        }

        if ((obj.sessions != null && obj.sessions !== 0)) {
          w.uint32(48)
          w.uint32(obj.sessions)
        }

        if (obj.load != null) {
          w.uint32(56)
          w.uint32(obj.load)
        }

        if (obj.peak != null) {
          w.uint32(64)
          w.uint32(obj.peak)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          model: uint8ArrayAlloc(0),
          start: 0,
          end: 0,
          serving: false,
          cacheBytesFree: 0,
          sessions: 0
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
              obj.start = reader.uint32()
              break
            }
            case 3: {
              obj.end = reader.uint32()
              break
            }
            case 4: {
              obj.serving = reader.bool()
              break
            }
            case 5: {
              obj.cacheBytesFree = reader.uint64Number()
              break
            }
            case 6: {
              obj.sessions = reader.uint32()
              break
            }
            case 7: {
              obj.load = reader.uint32()
              break
            }
            case 8: {
              obj.peak = reader.uint32()
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
                field: `${prefix}.serving`,
                value: reader.bool()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.cacheBytesFree`,
                value: reader.uint64Number()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.sessions`,
                value: reader.uint32()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.load`,
                value: reader.uint32()
              }
              break
            }
            case 8: {
              yield {
                field: `${prefix}.peak`,
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

  export interface StageOfferModelFieldEvent {
    field: '$.model'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StageOfferStartFieldEvent {
    field: '$.start'
    value: number
  }

  export interface StageOfferEndFieldEvent {
    field: '$.end'
    value: number
  }

  export interface StageOfferServingFieldEvent {
    field: '$.serving'
    value: boolean
  }

  export interface StageOfferCacheBytesFreeFieldEvent {
    field: '$.cacheBytesFree'
    value: number
  }

  export interface StageOfferSessionsFieldEvent {
    field: '$.sessions'
    value: number
  }

  export interface StageOfferLoadFieldEvent {
    field: '$.load'
    value: number
  }

  export interface StageOfferPeakFieldEvent {
    field: '$.peak'
    value: number
  }

  export function encode (obj: Partial<StageOffer>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, StageOffer.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<StageOffer>): StageOffer {
    return decodeMessage(buf, StageOffer.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<StageOffer>): Generator<StageOfferModelFieldEvent | StageOfferStartFieldEvent | StageOfferEndFieldEvent | StageOfferServingFieldEvent | StageOfferCacheBytesFreeFieldEvent | StageOfferSessionsFieldEvent | StageOfferLoadFieldEvent | StageOfferPeakFieldEvent> {
    return streamMessage(buf, StageOffer.codec(), opts)
  }
}

export interface Load {
  sessions: number
  queuedSteps: number
}

export namespace Load {
  let _codec: Codec<Load>

  export const codec = (): Codec<Load> => {
    if (_codec == null) {
      _codec = message<Load>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.sessions != null && obj.sessions !== 0)) {
          w.uint32(8)
          w.uint32(obj.sessions)
        }

        if ((obj.queuedSteps != null && obj.queuedSteps !== 0)) {
          w.uint32(16)
          w.uint32(obj.queuedSteps)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          sessions: 0,
          queuedSteps: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.sessions = reader.uint32()
              break
            }
            case 2: {
              obj.queuedSteps = reader.uint32()
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
                field: `${prefix}.sessions`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.queuedSteps`,
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

  export interface LoadSessionsFieldEvent {
    field: '$.sessions'
    value: number
  }

  export interface LoadQueuedStepsFieldEvent {
    field: '$.queuedSteps'
    value: number
  }

  export function encode (obj: Partial<Load>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Load.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Load>): Load {
    return decodeMessage(buf, Load.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Load>): Generator<LoadSessionsFieldEvent | LoadQueuedStepsFieldEvent> {
    return streamMessage(buf, Load.codec(), opts)
  }
}

export interface Battery {
  level: number
  charging: boolean
}

export namespace Battery {
  let _codec: Codec<Battery>

  export const codec = (): Codec<Battery> => {
    if (_codec == null) {
      _codec = message<Battery>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.level != null && obj.level !== 0)) {
          w.uint32(13)
          w.float(obj.level)
        }

        if ((obj.charging != null && obj.charging !== false)) {
          w.uint32(16)
          w.bool(obj.charging)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          level: 0,
          charging: false
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.level = reader.float()
              break
            }
            case 2: {
              obj.charging = reader.bool()
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
                field: `${prefix}.level`,
                value: reader.float()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.charging`,
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

  export interface BatteryLevelFieldEvent {
    field: '$.level'
    value: number
  }

  export interface BatteryChargingFieldEvent {
    field: '$.charging'
    value: boolean
  }

  export function encode (obj: Partial<Battery>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Battery.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Battery>): Battery {
    return decodeMessage(buf, Battery.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Battery>): Generator<BatteryLevelFieldEvent | BatteryChargingFieldEvent> {
    return streamMessage(buf, Battery.codec(), opts)
  }
}
