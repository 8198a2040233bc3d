import { decodeMessage, encodeMessage, message, streamMessage } from 'protons-runtime'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface Alive {
  dueMs: number
  ping?: number
  pong?: number
  unheardMs?: number
}

export namespace Alive {
  let _codec: Codec<Alive>

  export const codec = (): Codec<Alive> => {
    if (_codec == null) {
      _codec = message<Alive>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.dueMs != null && obj.dueMs !== 0)) {
          w.uint32(8)
          w.uint32(obj.dueMs)
        }

        if (obj.ping != null) {
          w.uint32(16)
          w.uint32(obj.ping)
        }

        if (obj.pong != null) {
          w.uint32(24)
          w.uint32(obj.pong)
        }

        if (obj.unheardMs != null) {
          w.uint32(32)
          w.uint32(obj.unheardMs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          dueMs: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.dueMs = reader.uint32()
              break
            }
            case 2: {
              obj.ping = reader.uint32()
              break
            }
            case 3: {
              obj.pong = reader.uint32()
              break
            }
            case 4: {
              obj.unheardMs = reader.uint32()
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
                field: `${prefix}.dueMs`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.ping`,
                value: reader.uint32()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.pong`,
                value: reader.uint32()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.unheardMs`,
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

  export interface AliveDueMsFieldEvent {
    field: '$.dueMs'
    value: number
  }

  export interface AlivePingFieldEvent {
    field: '$.ping'
    value: number
  }

  export interface AlivePongFieldEvent {
    field: '$.pong'
    value: number
  }

  export interface AliveUnheardMsFieldEvent {
    field: '$.unheardMs'
    value: number
  }

  export function encode (obj: Partial<Alive>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Alive.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Alive>): Alive {
    return decodeMessage(buf, Alive.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Alive>): Generator<AliveDueMsFieldEvent | AlivePingFieldEvent | AlivePongFieldEvent | AliveUnheardMsFieldEvent> {
    return streamMessage(buf, Alive.codec(), opts)
  }
}
