import { decodeMessage, encodeMessage, MaxLengthError, message, streamMessage } from 'protons-runtime'
import { alloc as uint8ArrayAlloc } from 'uint8arrays/alloc'
import type { Codec, DecodeOptions } from 'protons-runtime'
import type { Uint8ArrayList } from 'uint8arraylist'

export interface TrustFrame {
  hello?: Hello
  known?: Digests
  items: Item[]
  verdict?: Verdict
  secrets: Secret[]
  timeMs?: number
}

export namespace TrustFrame {
  let _codec: Codec<TrustFrame>

  export const codec = (): Codec<TrustFrame> => {
    if (_codec == null) {
      _codec = message<TrustFrame>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.hello != null) {
          w.uint32(10)
          Hello.codec().encode(obj.hello, w)
        }

        if (obj.known != null) {
          w.uint32(18)
          Digests.codec().encode(obj.known, w)
        }

        if (obj.items != null && obj.items.length > 0) {
          for (const value of obj.items) {
            w.uint32(26)
            Item.codec().encode(value, w)
          }
        }

        if (obj.verdict != null) {
          w.uint32(34)
          Verdict.codec().encode(obj.verdict, w)
        }

        if (obj.secrets != null && obj.secrets.length > 0) {
          for (const value of obj.secrets) {
            w.uint32(42)
            Secret.codec().encode(value, w)
          }
        }

        if (obj.timeMs != null) {
          w.uint32(48)
          w.uint64Number(obj.timeMs)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          items: [],
          secrets: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.hello = Hello.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.hello
              })
              break
            }
            case 2: {
              obj.known = Digests.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.known
              })
              break
            }
            case 3: {
              if (opts.limits?.items != null && obj.items.length === opts.limits.items) {
                throw new MaxLengthError('Decode error - repeated field "items" had too many elements')
              }

              obj.items.push(Item.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.items$
              }))
              break
            }
            case 4: {
              obj.verdict = Verdict.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.verdict
              })
              break
            }
            case 5: {
              if (opts.limits?.secrets != null && obj.secrets.length === opts.limits.secrets) {
                throw new MaxLengthError('Decode error - repeated field "secrets" had too many elements')
              }

              obj.secrets.push(Secret.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.secrets$
              }))
              break
            }
            case 6: {
              obj.timeMs = reader.uint64Number()
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
          items: 0,
          secrets: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield * Hello.codec().stream(reader, reader.uint32(), `${prefix}.hello`, {
                limits: opts.limits?.hello
              })

              break
            }
            case 2: {
              yield * Digests.codec().stream(reader, reader.uint32(), `${prefix}.known`, {
                limits: opts.limits?.known
              })

              break
            }
            case 3: {
              if (opts.limits?.items != null && obj.items === opts.limits.items) {
                throw new MaxLengthError('Streaming decode error - repeated field "items" had too many elements')
              }

              for (const evt of Item.codec().stream(reader, reader.uint32(), `${prefix}.items[]`, {
                limits: opts.limits?.items$
              })) {
                yield {
                  ...evt,
                  index: obj.items
                }
              }

              obj.items++

              break
            }
            case 4: {
              yield * Verdict.codec().stream(reader, reader.uint32(), `${prefix}.verdict`, {
                limits: opts.limits?.verdict
              })

              break
            }
            case 5: {
              if (opts.limits?.secrets != null && obj.secrets === opts.limits.secrets) {
                throw new MaxLengthError('Streaming decode error - repeated field "secrets" had too many elements')
              }

              for (const evt of Secret.codec().stream(reader, reader.uint32(), `${prefix}.secrets[]`, {
                limits: opts.limits?.secrets$
              })) {
                yield {
                  ...evt,
                  index: obj.secrets
                }
              }

              obj.secrets++

              break
            }
            case 6: {
              yield {
                field: `${prefix}.timeMs`,
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

  export interface TrustFrameHelloCertificateGrantsPayloadFieldEvent {
    field: '$.hello.certificate.grants[].payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameHelloCertificateGrantsSignatureFieldEvent {
    field: '$.hello.certificate.grants[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameHelloTimeMsFieldEvent {
    field: '$.hello.timeMs'
    value: number
  }

  export interface TrustFrameHelloDigestFieldEvent {
    field: '$.hello.digest'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TrustFrameHelloEpochFieldEvent {
    field: '$.hello.epoch'
    value: number
  }

  export interface TrustFrameHelloSecretFieldEvent {
    field: '$.hello.secret'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TrustFrameKnownDigestsFieldEvent {
    field: '$.known.digests'
    value: Uint8Array<ArrayBuffer>
  }

  export interface TrustFrameItemsCertificateGrantsPayloadFieldEvent {
    field: '$.items[].certificate.grants[].payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameItemsCertificateGrantsSignatureFieldEvent {
    field: '$.items[].certificate.grants[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameItemsStatementPayloadFieldEvent {
    field: '$.items[].statement.payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameItemsStatementSignatureFieldEvent {
    field: '$.items[].statement.signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameVerdictRefusalFieldEvent {
    field: '$.verdict.refusal'
    value: string
  }

  export interface TrustFrameSecretsEpochFieldEvent {
    field: '$.secrets[].epoch'
    value: number
    index: number
  }

  export interface TrustFrameSecretsSecretFieldEvent {
    field: '$.secrets[].secret'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface TrustFrameTimeMsFieldEvent {
    field: '$.timeMs'
    value: number
  }

  export function encode (obj: Partial<TrustFrame>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, TrustFrame.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<TrustFrame>): TrustFrame {
    return decodeMessage(buf, TrustFrame.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<TrustFrame>): Generator<TrustFrameHelloCertificateGrantsPayloadFieldEvent | TrustFrameHelloCertificateGrantsSignatureFieldEvent | TrustFrameHelloTimeMsFieldEvent | TrustFrameHelloDigestFieldEvent | TrustFrameHelloEpochFieldEvent | TrustFrameHelloSecretFieldEvent | TrustFrameKnownDigestsFieldEvent | TrustFrameItemsCertificateGrantsPayloadFieldEvent | TrustFrameItemsCertificateGrantsSignatureFieldEvent | TrustFrameItemsStatementPayloadFieldEvent | TrustFrameItemsStatementSignatureFieldEvent | TrustFrameVerdictRefusalFieldEvent | TrustFrameSecretsEpochFieldEvent | TrustFrameSecretsSecretFieldEvent | TrustFrameTimeMsFieldEvent> {
    return streamMessage(buf, TrustFrame.codec(), opts)
  }
}

export interface Hello {
  certificate?: Certificate
  timeMs: number
  digest: Uint8Array<ArrayBuffer>
  epoch: number
  secret: Uint8Array<ArrayBuffer>
}

export namespace Hello {
  let _codec: Codec<Hello>

  export const codec = (): Codec<Hello> => {
    if (_codec == null) {
      _codec = message<Hello>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.certificate != null) {
          w.uint32(10)
          Certificate.codec().encode(obj.certificate, w)
        }

        if ((obj.timeMs != null && obj.timeMs !== 0)) {
          w.uint32(16)
          w.uint64Number(obj.timeMs)
        }

        if ((obj.digest != null && obj.digest.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.digest)
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(32)
          w.uint32(obj.epoch)
        }

        if ((obj.secret != null && obj.secret.byteLength > 0)) {
          w.uint32(42)
          w.bytes(obj.secret)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          timeMs: 0,
          digest: uint8ArrayAlloc(0),
          epoch: 0,
          secret: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.certificate = Certificate.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.certificate
              })
              break
            }
            case 2: {
              obj.timeMs = reader.uint64Number()
              break
            }
            case 3: {
              obj.digest = reader.bytes()
              break
            }
            case 4: {
              obj.epoch = reader.uint32()
              break
            }
            case 5: {
              obj.secret = reader.bytes()
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
              yield * Certificate.codec().stream(reader, reader.uint32(), `${prefix}.certificate`, {
                limits: opts.limits?.certificate
              })

              break
            }
            case 2: {
              yield {
                field: `${prefix}.timeMs`,
                value: reader.uint64Number()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.digest`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.secret`,
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

  export interface HelloCertificateGrantsPayloadFieldEvent {
    field: '$.certificate.grants[].payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface HelloCertificateGrantsSignatureFieldEvent {
    field: '$.certificate.grants[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface HelloTimeMsFieldEvent {
    field: '$.timeMs'
    value: number
  }

  export interface HelloDigestFieldEvent {
    field: '$.digest'
    value: Uint8Array<ArrayBuffer>
  }

  export interface HelloEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface HelloSecretFieldEvent {
    field: '$.secret'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Hello>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Hello.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Hello>): Hello {
    return decodeMessage(buf, Hello.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Hello>): Generator<HelloCertificateGrantsPayloadFieldEvent | HelloCertificateGrantsSignatureFieldEvent | HelloTimeMsFieldEvent | HelloDigestFieldEvent | HelloEpochFieldEvent | HelloSecretFieldEvent> {
    return streamMessage(buf, Hello.codec(), opts)
  }
}

export interface Digests {
  digests: Uint8Array<ArrayBuffer>
}

export namespace Digests {
  let _codec: Codec<Digests>

  export const codec = (): Codec<Digests> => {
    if (_codec == null) {
      _codec = message<Digests>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.digests != null && obj.digests.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.digests)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          digests: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
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

  export interface DigestsDigestsFieldEvent {
    field: '$.digests'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Digests>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Digests.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Digests>): Digests {
    return decodeMessage(buf, Digests.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Digests>): Generator<DigestsDigestsFieldEvent> {
    return streamMessage(buf, Digests.codec(), opts)
  }
}

export interface Verdict {
  refusal: string
}

export namespace Verdict {
  let _codec: Codec<Verdict>

  export const codec = (): Codec<Verdict> => {
    if (_codec == null) {
      _codec = message<Verdict>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.refusal != null && obj.refusal !== '')) {
          w.uint32(10)
          w.string(obj.refusal)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          refusal: ''
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
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

  export interface VerdictRefusalFieldEvent {
    field: '$.refusal'
    value: string
  }

  export function encode (obj: Partial<Verdict>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Verdict.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Verdict>): Verdict {
    return decodeMessage(buf, Verdict.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Verdict>): Generator<VerdictRefusalFieldEvent> {
    return streamMessage(buf, Verdict.codec(), opts)
  }
}

export interface Secret {
  epoch: number
  secret: Uint8Array<ArrayBuffer>
}

export namespace Secret {
  let _codec: Codec<Secret>

  export const codec = (): Codec<Secret> => {
    if (_codec == null) {
      _codec = message<Secret>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.epoch != null && obj.epoch !== 0)) {
          w.uint32(8)
          w.uint32(obj.epoch)
        }

        if ((obj.secret != null && obj.secret.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.secret)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          epoch: 0,
          secret: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.epoch = reader.uint32()
              break
            }
            case 2: {
              obj.secret = reader.bytes()
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
                field: `${prefix}.epoch`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.secret`,
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

  export interface SecretEpochFieldEvent {
    field: '$.epoch'
    value: number
  }

  export interface SecretSecretFieldEvent {
    field: '$.secret'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Secret>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Secret.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Secret>): Secret {
    return decodeMessage(buf, Secret.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Secret>): Generator<SecretEpochFieldEvent | SecretSecretFieldEvent> {
    return streamMessage(buf, Secret.codec(), opts)
  }
}

export interface Item {
  certificate?: Certificate
  statement?: Signed
}

export namespace Item {
  let _codec: Codec<Item>

  export const codec = (): Codec<Item> => {
    if (_codec == null) {
      _codec = message<Item>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.certificate != null) {
          w.uint32(10)
          Certificate.codec().encode(obj.certificate, w)
        }

        if (obj.statement != null) {
          w.uint32(18)
          Signed.codec().encode(obj.statement, w)
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
              obj.certificate = Certificate.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.certificate
              })
              break
            }
            case 2: {
              obj.statement = Signed.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.statement
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
        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield * Certificate.codec().stream(reader, reader.uint32(), `${prefix}.certificate`, {
                limits: opts.limits?.certificate
              })

              break
            }
            case 2: {
              yield * Signed.codec().stream(reader, reader.uint32(), `${prefix}.statement`, {
                limits: opts.limits?.statement
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

  export interface ItemCertificateGrantsPayloadFieldEvent {
    field: '$.certificate.grants[].payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface ItemCertificateGrantsSignatureFieldEvent {
    field: '$.certificate.grants[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface ItemStatementPayloadFieldEvent {
    field: '$.statement.payload'
    value: Uint8Array<ArrayBuffer>
  }

  export interface ItemStatementSignatureFieldEvent {
    field: '$.statement.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Item>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Item.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Item>): Item {
    return decodeMessage(buf, Item.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Item>): Generator<ItemCertificateGrantsPayloadFieldEvent | ItemCertificateGrantsSignatureFieldEvent | ItemStatementPayloadFieldEvent | ItemStatementSignatureFieldEvent> {
    return streamMessage(buf, Item.codec(), opts)
  }
}

export interface Certificate {
  grants: Signed[]
}

export namespace Certificate {
  let _codec: Codec<Certificate>

  export const codec = (): Codec<Certificate> => {
    if (_codec == null) {
      _codec = message<Certificate>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if (obj.grants != null && obj.grants.length > 0) {
          for (const value of obj.grants) {
            w.uint32(10)
            Signed.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          grants: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.grants != null && obj.grants.length === opts.limits.grants) {
                throw new MaxLengthError('Decode error - repeated field "grants" had too many elements')
              }

              obj.grants.push(Signed.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.grants$
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
          grants: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              if (opts.limits?.grants != null && obj.grants === opts.limits.grants) {
                throw new MaxLengthError('Streaming decode error - repeated field "grants" had too many elements')
              }

              for (const evt of Signed.codec().stream(reader, reader.uint32(), `${prefix}.grants[]`, {
                limits: opts.limits?.grants$
              })) {
                yield {
                  ...evt,
                  index: obj.grants
                }
              }

              obj.grants++

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

  export interface CertificateGrantsPayloadFieldEvent {
    field: '$.grants[].payload'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface CertificateGrantsSignatureFieldEvent {
    field: '$.grants[].signature'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export function encode (obj: Partial<Certificate>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Certificate.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Certificate>): Certificate {
    return decodeMessage(buf, Certificate.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Certificate>): Generator<CertificateGrantsPayloadFieldEvent | CertificateGrantsSignatureFieldEvent> {
    return streamMessage(buf, Certificate.codec(), opts)
  }
}

export interface Signed {
  payload: Uint8Array<ArrayBuffer>
  signature: Uint8Array<ArrayBuffer>
}

export namespace Signed {
  let _codec: Codec<Signed>

  export const codec = (): Codec<Signed> => {
    if (_codec == null) {
      _codec = message<Signed>((obj, w, opts = {}) => {
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

  export interface SignedPayloadFieldEvent {
    field: '$.payload'
    value: Uint8Array<ArrayBuffer>
  }

  export interface SignedSignatureFieldEvent {
    field: '$.signature'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Signed>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Signed.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Signed>): Signed {
    return decodeMessage(buf, Signed.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Signed>): Generator<SignedPayloadFieldEvent | SignedSignatureFieldEvent> {
    return streamMessage(buf, Signed.codec(), opts)
  }
}

export interface Grant {
  swarm: Uint8Array<ArrayBuffer>
  issuer: Uint8Array<ArrayBuffer>
  subject: Uint8Array<ArrayBuffer>
  kind: string
  serial: Uint8Array<ArrayBuffer>
  notBeforeMs: number
  notAfterMs: number
  roles: string[]
  powers: string[]
  labels: string[]
  attestKey: Uint8Array<ArrayBuffer>
}

export namespace Grant {
  let _codec: Codec<Grant>

  export const codec = (): Codec<Grant> => {
    if (_codec == null) {
      _codec = message<Grant>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.swarm != null && obj.swarm.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.swarm)
        }

        if ((obj.issuer != null && obj.issuer.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.issuer)
        }

        if ((obj.subject != null && obj.subject.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.subject)
        }

        if ((obj.kind != null && obj.kind !== '')) {
          w.uint32(34)
          w.string(obj.kind)
        }

        if ((obj.serial != null && obj.serial.byteLength > 0)) {
          w.uint32(42)
          w.bytes(obj.serial)
        }

        if ((obj.notBeforeMs != null && obj.notBeforeMs !== 0)) {
          w.uint32(48)
          w.uint64Number(obj.notBeforeMs)
        }

        if ((obj.notAfterMs != null && obj.notAfterMs !== 0)) {
          w.uint32(56)
          w.uint64Number(obj.notAfterMs)
        }

        if (obj.roles != null && obj.roles.length > 0) {
          for (const value of obj.roles) {
            w.uint32(66)
            w.string(value)
          }
        }

        if (obj.powers != null && obj.powers.length > 0) {
          for (const value of obj.powers) {
            w.uint32(74)
            w.string(value)
          }
        }

        if (obj.labels != null && obj.labels.length > 0) {
          for (const value of obj.labels) {
            w.uint32(82)
            w.string(value)
          }
        }

        if ((obj.attestKey != null && obj.attestKey.byteLength > 0)) {
          w.uint32(90)
          w.bytes(obj.attestKey)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          swarm: uint8ArrayAlloc(0),
          issuer: uint8ArrayAlloc(0),
          subject: uint8ArrayAlloc(0),
          kind: '',
          serial: uint8ArrayAlloc(0),
          notBeforeMs: 0,
          notAfterMs: 0,
          roles: [],
          powers: [],
          labels: [],
          attestKey: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.swarm = reader.bytes()
              break
            }
            case 2: {
              obj.issuer = reader.bytes()
              break
            }
            case 3: {
              obj.subject = reader.bytes()
              break
            }
            case 4: {
              obj.kind = reader.string()
              break
            }
            case 5: {
              obj.serial = reader.bytes()
              break
            }
            case 6: {
              obj.notBeforeMs = reader.uint64Number()
              break
            }
            case 7: {
              obj.notAfterMs = reader.uint64Number()
              break
            }
            case 8: {
              if (opts.limits?.roles != null && obj.roles.length === opts.limits.roles) {
                throw new MaxLengthError('Decode error - repeated field "roles" had too many elements')
              }

              obj.roles.push(reader.string())
              break
            }
            case 9: {
              if (opts.limits?.powers != null && obj.powers.length === opts.limits.powers) {
                throw new MaxLengthError('Decode error - repeated field "powers" had too many elements')
              }

              obj.powers.push(reader.string())
              break
            }
            case 10: {
              if (opts.limits?.labels != null && obj.labels.length === opts.limits.labels) {
                throw new MaxLengthError('Decode error - repeated field "labels" had too many elements')
              }

              obj.labels.push(reader.string())
              break
            }
            case 11: {
              obj.attestKey = reader.bytes()
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
          roles: 0,
          powers: 0,
          labels: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.swarm`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.issuer`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.subject`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.kind`,
                value: reader.string()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.serial`,
                value: reader.bytes()
              }
              break
            }
            case 6: {
              yield {
                field: `${prefix}.notBeforeMs`,
                value: reader.uint64Number()
              }
              break
            }
            case 7: {
              yield {
                field: `${prefix}.notAfterMs`,
                value: reader.uint64Number()
              }
              break
            }
            case 8: {
              if (opts.limits?.roles != null && obj.roles === opts.limits.roles) {
                throw new MaxLengthError('Streaming decode error - repeated field "roles" had too many elements')
              }

              yield {
                field: `${prefix}.roles[]`,
                index: obj.roles,
                value: reader.string()
              }

              obj.roles++

              break
            }
            case 9: {
              if (opts.limits?.powers != null && obj.powers === opts.limits.powers) {
                throw new MaxLengthError('Streaming decode error - repeated field "powers" had too many elements')
              }

              yield {
                field: `${prefix}.powers[]`,
                index: obj.powers,
                value: reader.string()
              }

              obj.powers++

              break
            }
            case 10: {
              if (opts.limits?.labels != null && obj.labels === opts.limits.labels) {
                throw new MaxLengthError('Streaming decode error - repeated field "labels" had too many elements')
              }

              yield {
                field: `${prefix}.labels[]`,
                index: obj.labels,
                value: reader.string()
              }

              obj.labels++

              break
            }
            case 11: {
              yield {
                field: `${prefix}.attestKey`,
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

  export interface GrantSwarmFieldEvent {
    field: '$.swarm'
    value: Uint8Array<ArrayBuffer>
  }

  export interface GrantIssuerFieldEvent {
    field: '$.issuer'
    value: Uint8Array<ArrayBuffer>
  }

  export interface GrantSubjectFieldEvent {
    field: '$.subject'
    value: Uint8Array<ArrayBuffer>
  }

  export interface GrantKindFieldEvent {
    field: '$.kind'
    value: string
  }

  export interface GrantSerialFieldEvent {
    field: '$.serial'
    value: Uint8Array<ArrayBuffer>
  }

  export interface GrantNotBeforeMsFieldEvent {
    field: '$.notBeforeMs'
    value: number
  }

  export interface GrantNotAfterMsFieldEvent {
    field: '$.notAfterMs'
    value: number
  }

  export interface GrantRolesFieldEvent {
    field: '$.roles[]'
    index: number
    value: string
  }

  export interface GrantPowersFieldEvent {
    field: '$.powers[]'
    index: number
    value: string
  }

  export interface GrantLabelsFieldEvent {
    field: '$.labels[]'
    index: number
    value: string
  }

  export interface GrantAttestKeyFieldEvent {
    field: '$.attestKey'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Grant>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Grant.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Grant>): Grant {
    return decodeMessage(buf, Grant.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Grant>): Generator<GrantSwarmFieldEvent | GrantIssuerFieldEvent | GrantSubjectFieldEvent | GrantKindFieldEvent | GrantSerialFieldEvent | GrantNotBeforeMsFieldEvent | GrantNotAfterMsFieldEvent | GrantRolesFieldEvent | GrantPowersFieldEvent | GrantLabelsFieldEvent | GrantAttestKeyFieldEvent> {
    return streamMessage(buf, Grant.codec(), opts)
  }
}

export interface Statement {
  swarm: Uint8Array<ArrayBuffer>
  signer: Uint8Array<ArrayBuffer>
  number: number
  previous: Uint8Array<ArrayBuffer>
  issuedMs: number
  revocations: Revocation[]
  epoch?: Epoch
  succession?: Succession
}

export namespace Statement {
  let _codec: Codec<Statement>

  export const codec = (): Codec<Statement> => {
    if (_codec == null) {
      _codec = message<Statement>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.swarm != null && obj.swarm.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.swarm)
        }

        if ((obj.signer != null && obj.signer.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.signer)
        }

        if ((obj.number != null && obj.number !== 0)) {
          w.uint32(24)
          w.uint64Number(obj.number)
        }

        if ((obj.previous != null && obj.previous.byteLength > 0)) {
          w.uint32(34)
          w.bytes(obj.previous)
        }

        if ((obj.issuedMs != null && obj.issuedMs !== 0)) {
          w.uint32(40)
          w.uint64Number(obj.issuedMs)
        }

        if (obj.revocations != null && obj.revocations.length > 0) {
          for (const value of obj.revocations) {
            w.uint32(50)
            Revocation.codec().encode(value, w)
          }
        }

        if (obj.epoch != null) {
          w.uint32(58)
          Epoch.codec().encode(obj.epoch, w)
        }

        if (obj.succession != null) {
          w.uint32(66)
          Succession.codec().encode(obj.succession, w)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          swarm: uint8ArrayAlloc(0),
          signer: uint8ArrayAlloc(0),
          number: 0,
          previous: uint8ArrayAlloc(0),
          issuedMs: 0,
          revocations: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.swarm = reader.bytes()
              break
            }
            case 2: {
              obj.signer = reader.bytes()
              break
            }
            case 3: {
              obj.number = reader.uint64Number()
              break
            }
            case 4: {
              obj.previous = reader.bytes()
              break
            }
            case 5: {
              obj.issuedMs = reader.uint64Number()
              break
            }
            case 6: {
              if (opts.limits?.revocations != null && obj.revocations.length === opts.limits.revocations) {
                throw new MaxLengthError('Decode error - repeated field "revocations" had too many elements')
              }

              obj.revocations.push(Revocation.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.revocations$
              }))
              break
            }
            case 7: {
              obj.epoch = Epoch.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.epoch
              })
              break
            }
            case 8: {
              obj.succession = Succession.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.succession
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
          revocations: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.swarm`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.signer`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.number`,
                value: reader.uint64Number()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.previous`,
                value: reader.bytes()
              }
              break
            }
            case 5: {
              yield {
                field: `${prefix}.issuedMs`,
                value: reader.uint64Number()
              }
              break
            }
            case 6: {
              if (opts.limits?.revocations != null && obj.revocations === opts.limits.revocations) {
                throw new MaxLengthError('Streaming decode error - repeated field "revocations" had too many elements')
              }

              for (const evt of Revocation.codec().stream(reader, reader.uint32(), `${prefix}.revocations[]`, {
                limits: opts.limits?.revocations$
              })) {
                yield {
                  ...evt,
                  index: obj.revocations
                }
              }

              obj.revocations++

              break
            }
            case 7: {
              yield * Epoch.codec().stream(reader, reader.uint32(), `${prefix}.epoch`, {
                limits: opts.limits?.epoch
              })

              break
            }
            case 8: {
              yield * Succession.codec().stream(reader, reader.uint32(), `${prefix}.succession`, {
                limits: opts.limits?.succession
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

  export interface StatementSwarmFieldEvent {
    field: '$.swarm'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StatementSignerFieldEvent {
    field: '$.signer'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StatementNumberFieldEvent {
    field: '$.number'
    value: number
  }

  export interface StatementPreviousFieldEvent {
    field: '$.previous'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StatementIssuedMsFieldEvent {
    field: '$.issuedMs'
    value: number
  }

  export interface StatementRevocationsSubjectFieldEvent {
    field: '$.revocations[].subject'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StatementRevocationsSerialFieldEvent {
    field: '$.revocations[].serial'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StatementRevocationsReasonFieldEvent {
    field: '$.revocations[].reason'
    value: string
    index: number
  }

  export interface StatementRevocationsThroughFieldEvent {
    field: '$.revocations[].through'
    value: number
    index: number
  }

  export interface StatementEpochNumberFieldEvent {
    field: '$.epoch.number'
    value: number
  }

  export interface StatementEpochDigestFieldEvent {
    field: '$.epoch.digest'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StatementEpochSenderFieldEvent {
    field: '$.epoch.sender'
    value: Uint8Array<ArrayBuffer>
  }

  export interface StatementEpochSealedRecipientFieldEvent {
    field: '$.epoch.sealed[].recipient'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StatementEpochSealedBoxFieldEvent {
    field: '$.epoch.sealed[].box'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface StatementSuccessionAuthorityFieldEvent {
    field: '$.succession.authority'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Statement>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Statement.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Statement>): Statement {
    return decodeMessage(buf, Statement.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Statement>): Generator<StatementSwarmFieldEvent | StatementSignerFieldEvent | StatementNumberFieldEvent | StatementPreviousFieldEvent | StatementIssuedMsFieldEvent | StatementRevocationsSubjectFieldEvent | StatementRevocationsSerialFieldEvent | StatementRevocationsReasonFieldEvent | StatementRevocationsThroughFieldEvent | StatementEpochNumberFieldEvent | StatementEpochDigestFieldEvent | StatementEpochSenderFieldEvent | StatementEpochSealedRecipientFieldEvent | StatementEpochSealedBoxFieldEvent | StatementSuccessionAuthorityFieldEvent> {
    return streamMessage(buf, Statement.codec(), opts)
  }
}

export interface Revocation {
  subject: Uint8Array<ArrayBuffer>
  serial: Uint8Array<ArrayBuffer>
  reason: string
  through: number
}

export namespace Revocation {
  let _codec: Codec<Revocation>

  export const codec = (): Codec<Revocation> => {
    if (_codec == null) {
      _codec = message<Revocation>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.subject != null && obj.subject.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.subject)
        }

        if ((obj.serial != null && obj.serial.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.serial)
        }

        if ((obj.reason != null && obj.reason !== '')) {
          w.uint32(26)
          w.string(obj.reason)
        }

        if ((obj.through != null && obj.through !== 0)) {
          w.uint32(32)
          w.uint64Number(obj.through)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          subject: uint8ArrayAlloc(0),
          serial: uint8ArrayAlloc(0),
          reason: '',
          through: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.subject = reader.bytes()
              break
            }
            case 2: {
              obj.serial = reader.bytes()
              break
            }
            case 3: {
              obj.reason = reader.string()
              break
            }
            case 4: {
              obj.through = reader.uint64Number()
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
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.serial`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.reason`,
                value: reader.string()
              }
              break
            }
            case 4: {
              yield {
                field: `${prefix}.through`,
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

  export interface RevocationSubjectFieldEvent {
    field: '$.subject'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RevocationSerialFieldEvent {
    field: '$.serial'
    value: Uint8Array<ArrayBuffer>
  }

  export interface RevocationReasonFieldEvent {
    field: '$.reason'
    value: string
  }

  export interface RevocationThroughFieldEvent {
    field: '$.through'
    value: number
  }

  export function encode (obj: Partial<Revocation>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Revocation.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Revocation>): Revocation {
    return decodeMessage(buf, Revocation.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Revocation>): Generator<RevocationSubjectFieldEvent | RevocationSerialFieldEvent | RevocationReasonFieldEvent | RevocationThroughFieldEvent> {
    return streamMessage(buf, Revocation.codec(), opts)
  }
}

export interface Epoch {
  number: number
  digest: Uint8Array<ArrayBuffer>
  sender: Uint8Array<ArrayBuffer>
  sealed: SealedSecret[]
}

export namespace Epoch {
  let _codec: Codec<Epoch>

  export const codec = (): Codec<Epoch> => {
    if (_codec == null) {
      _codec = message<Epoch>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.number != null && obj.number !== 0)) {
          w.uint32(8)
          w.uint32(obj.number)
        }

        if ((obj.digest != null && obj.digest.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.digest)
        }

        if ((obj.sender != null && obj.sender.byteLength > 0)) {
          w.uint32(26)
          w.bytes(obj.sender)
        }

        if (obj.sealed != null && obj.sealed.length > 0) {
          for (const value of obj.sealed) {
            w.uint32(34)
            SealedSecret.codec().encode(value, w)
          }
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          number: 0,
          digest: uint8ArrayAlloc(0),
          sender: uint8ArrayAlloc(0),
          sealed: []
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.number = reader.uint32()
              break
            }
            case 2: {
              obj.digest = reader.bytes()
              break
            }
            case 3: {
              obj.sender = reader.bytes()
              break
            }
            case 4: {
              if (opts.limits?.sealed != null && obj.sealed.length === opts.limits.sealed) {
                throw new MaxLengthError('Decode error - repeated field "sealed" had too many elements')
              }

              obj.sealed.push(SealedSecret.codec().decode(reader, reader.uint32(), {
                limits: opts.limits?.sealed$
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
          sealed: 0
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              yield {
                field: `${prefix}.number`,
                value: reader.uint32()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.digest`,
                value: reader.bytes()
              }
              break
            }
            case 3: {
              yield {
                field: `${prefix}.sender`,
                value: reader.bytes()
              }
              break
            }
            case 4: {
              if (opts.limits?.sealed != null && obj.sealed === opts.limits.sealed) {
                throw new MaxLengthError('Streaming decode error - repeated field "sealed" had too many elements')
              }

              for (const evt of SealedSecret.codec().stream(reader, reader.uint32(), `${prefix}.sealed[]`, {
                limits: opts.limits?.sealed$
              })) {
                yield {
                  ...evt,
                  index: obj.sealed
                }
              }

              obj.sealed++

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

  export interface EpochNumberFieldEvent {
    field: '$.number'
    value: number
  }

  export interface EpochDigestFieldEvent {
    field: '$.digest'
    value: Uint8Array<ArrayBuffer>
  }

  export interface EpochSenderFieldEvent {
    field: '$.sender'
    value: Uint8Array<ArrayBuffer>
  }

  export interface EpochSealedRecipientFieldEvent {
    field: '$.sealed[].recipient'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export interface EpochSealedBoxFieldEvent {
    field: '$.sealed[].box'
    value: Uint8Array<ArrayBuffer>
    index: number
  }

  export function encode (obj: Partial<Epoch>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Epoch.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Epoch>): Epoch {
    return decodeMessage(buf, Epoch.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Epoch>): Generator<EpochNumberFieldEvent | EpochDigestFieldEvent | EpochSenderFieldEvent | EpochSealedRecipientFieldEvent | EpochSealedBoxFieldEvent> {
    return streamMessage(buf, Epoch.codec(), opts)
  }
}

export interface SealedSecret {
  recipient: Uint8Array<ArrayBuffer>
  box: Uint8Array<ArrayBuffer>
}

export namespace SealedSecret {
  let _codec: Codec<SealedSecret>

  export const codec = (): Codec<SealedSecret> => {
    if (_codec == null) {
      _codec = message<SealedSecret>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.recipient != null && obj.recipient.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.recipient)
        }

        if ((obj.box != null && obj.box.byteLength > 0)) {
          w.uint32(18)
          w.bytes(obj.box)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          recipient: uint8ArrayAlloc(0),
          box: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.recipient = reader.bytes()
              break
            }
            case 2: {
              obj.box = reader.bytes()
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
                field: `${prefix}.recipient`,
                value: reader.bytes()
              }
              break
            }
            case 2: {
              yield {
                field: `${prefix}.box`,
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

  export interface SealedSecretRecipientFieldEvent {
    field: '$.recipient'
    value: Uint8Array<ArrayBuffer>
  }

  export interface SealedSecretBoxFieldEvent {
    field: '$.box'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<SealedSecret>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, SealedSecret.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<SealedSecret>): SealedSecret {
    return decodeMessage(buf, SealedSecret.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<SealedSecret>): Generator<SealedSecretRecipientFieldEvent | SealedSecretBoxFieldEvent> {
    return streamMessage(buf, SealedSecret.codec(), opts)
  }
}

export interface Succession {
  authority: Uint8Array<ArrayBuffer>
}

export namespace Succession {
  let _codec: Codec<Succession>

  export const codec = (): Codec<Succession> => {
    if (_codec == null) {
      _codec = message<Succession>((obj, w, opts = {}) => {
        if (opts.lengthDelimited !== false) {
          w.fork()
        }

        if ((obj.authority != null && obj.authority.byteLength > 0)) {
          w.uint32(10)
          w.bytes(obj.authority)
        }

        if (opts.lengthDelimited !== false) {
          w.ldelim()
        }
      }, (reader, length, opts = {}) => {
        const obj: any = {
          authority: uint8ArrayAlloc(0)
        }

        const end = length == null ? reader.len : reader.pos + length

        while (reader.pos < end) {
          const tag = reader.uint32()

          switch (tag >>> 3) {
            case 1: {
              obj.authority = reader.bytes()
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
                field: `${prefix}.authority`,
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

  export interface SuccessionAuthorityFieldEvent {
    field: '$.authority'
    value: Uint8Array<ArrayBuffer>
  }

  export function encode (obj: Partial<Succession>): Uint8Array<ArrayBuffer> {
    return encodeMessage(obj, Succession.codec())
  }

  export function decode (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Succession>): Succession {
    return decodeMessage(buf, Succession.codec(), opts)
  }

  export function stream (buf: Uint8Array | Uint8ArrayList, opts?: DecodeOptions<Succession>): Generator<SuccessionAuthorityFieldEvent> {
    return streamMessage(buf, Succession.codec(), opts)
  }
}
