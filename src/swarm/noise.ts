/** Noise for one swarm, with what @chainsafe/libp2p-noise and @libp2p/tcp leave to be mended. */
import { ChaCha20Poly1305, newInstance } from '@chainsafe/as-chacha20poly1305'
import { type NoiseInit, noise } from '@chainsafe/libp2p-noise'
import type { ConnectionEncrypter, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import { sha256 } from '@noble/hashes/sha2.js'
import { NotAdmittedError } from '../errors.ts'
import { compactCipherBytesMax, handshakeMs } from './limits.ts'
import { shortenNoise, shortenSocket } from './short-way.ts'

/**
 * `refused`: what the other end sent was not made with this swarm's secret. `unfinished`: it hung up, which the end that
 * dialled does when it refuses, and any end does whose link or time is too short.
 */
export type HandshakeFailure = 'refused' | 'unfinished'

/** The prologue of every handshake in a swarm; whoever does not have the secret cannot compute it. */
function prologue(secret: Uint8Array): Uint8Array {
  return sha256(new Uint8Array([...new TextEncoder().encode('skein prologue'), ...secret]))
}

/** What a swarm with members adds to it. */
export interface NoiseOptions {
  /** What it is called when two ends agree on one. @default '/noise' */
  readonly protocol?: string
  /** Both ends show who they are, over the connection and before anything else. @throws where one of them is refused */
  readonly admit?: (secured: SecuredConnection, isDialler: boolean) => Promise<void>
}

/** @param secret the swarm's, 32 bytes; who has another cannot finish a handshake, and `onFailed` hears of it */
export function swarmNoise(
  secret: Uint8Array,
  onFailed: (how: HandshakeFailure) => void,
  { protocol, admit }: NoiseOptions = {}
) {
  const init: NoiseInit = { prologueBytes: prologue(secret) }
  return (components: Parameters<ReturnType<typeof noise>>[0]): ConnectionEncrypter => {
    const inner = noise(init)(components)
    useCompactCipher(inner)
    const counted =
      <A extends unknown[]>(secure: (...args: A) => Promise<SecuredConnection>, isDialler: boolean) =>
      async (...args: A): Promise<SecuredConnection> => {
        const connection = args[0] as object
        shortenSocket(connection)
        try {
          if (admit !== undefined) {
            // The time for an admission is no time for idling before one.
            const within = AbortSignal.timeout(handshakeMs)
            const given = (args[1] as SecureConnectionOptions | undefined) ?? {}
            const signal = given.signal === undefined ? within : AbortSignal.any([given.signal, within])
            args[1] = { ...given, signal } as A[1]
          }
          const secured = await secure.apply(inner, args)
          await admit?.(secured, isDialler)
          shortenNoise(connection, secured.connection)
          return secured
        } catch (error) {
          const options = args[1] as { signal?: AbortSignal } | undefined
          // A member that is not the one expected at that address is not refused for its secret.
          const member = (error as Error).name === 'UnexpectedPeerError' || error instanceof NotAdmittedError
          if (options?.signal?.aborted !== true && !member) {
            const isRefused = (error as { code?: string }).code === 'ERR_INVALID_CRYPTO_EXCHANGE'
            onFailed(isRefused ? 'refused' : 'unfinished')
          }
          throw error
        }
      }
    const secureInbound = counted(inner.secureInbound, false)
    const secureOutbound = counted(inner.secureOutbound, true)
    return new Proxy(inner, {
      get(target, key) {
        if (key === 'secureInbound') return secureInbound
        if (key === 'secureOutbound') return secureOutbound
        if (key === 'protocol' && protocol !== undefined) return protocol
        return Reflect.get(target, key)
      }
    })
  }
}

/** What is used of @chainsafe/libp2p-noise 17 beside its types. */
interface Ciphers {
  encrypt(plain: Bytes, nonce: Uint8Array, ad: Uint8Array, key: Uint8Array): Uint8Array
  decrypt(box: Bytes, nonce: Uint8Array, ad: Uint8Array, key: Uint8Array, dst?: Uint8Array): Uint8Array
}
/** It keeps nothing between messages. */
const compact = new ChaCha20Poly1305(newInstance())

type Bytes = { readonly byteLength: number; subarray(): Uint8Array }

/**
 * Enciphers what is short in WebAssembly, as Noise's own choice does for what is shorter still. Node's cipher costs an object of
 * OpenSSL's for each message, whose code and tables are no longer in the processor's cache after a model's weights have been through
 * it: 1,300 bytes then took 50 µs to encipher and 31 to decipher, instead of 18 and 13 (p50, 40 MB read before each).
 */
function useCompactCipher(inner: object): void {
  const { crypto } = inner as { crypto?: Partial<Ciphers> }
  const { encrypt, decrypt } = crypto ?? {}
  if (crypto === undefined || encrypt === undefined || decrypt === undefined) return
  crypto.encrypt = (plain, nonce, ad, key) =>
    plain.byteLength > compactCipherBytesMax
      ? encrypt.call(crypto, plain, nonce, ad, key)
      : compact.seal(key, nonce, plain.subarray(), ad)
  crypto.decrypt = (box, nonce, ad, key, dst) => {
    if (box.byteLength > compactCipherBytesMax) return decrypt.call(crypto, box, nonce, ad, key, dst)
    const plain = compact.open(key, nonce, box.subarray(), ad, dst)
    if (plain === null) throw new Error('a message was not sealed by the other end, or was changed on its way')
    return plain
  }
}
