/** Noise for one swarm, with what @chainsafe/libp2p-noise and @libp2p/tcp leave to be mended. */
import { type NoiseInit, noise } from '@chainsafe/libp2p-noise'
import type { ConnectionEncrypter } from '@libp2p/interface'
import { sha256 } from '@noble/hashes/sha2.js'
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

/** @param secret the swarm's, 32 bytes; who has another cannot finish a handshake, and `onFailed` hears of it */
export function swarmNoise(secret: Uint8Array, onFailed: (how: HandshakeFailure) => void) {
  const init: NoiseInit = { prologueBytes: prologue(secret) }
  return (components: Parameters<ReturnType<typeof noise>>[0]): ConnectionEncrypter => {
    const inner = noise(init)(components)
    const counted =
      <A extends unknown[], R extends { readonly connection: object }>(secure: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        const connection = args[0] as object
        shortenSocket(connection)
        try {
          const secured = await secure.apply(inner, args)
          shortenNoise(connection, secured.connection)
          return secured
        } catch (error) {
          const options = args[1] as { signal?: AbortSignal } | undefined
          // A member that is not the one expected at that address is not refused for its secret.
          const member = (error as Error).name === 'UnexpectedPeerError'
          if (options?.signal?.aborted !== true && !member) {
            const isRefused = (error as { code?: string }).code === 'ERR_INVALID_CRYPTO_EXCHANGE'
            onFailed(isRefused ? 'refused' : 'unfinished')
          }
          throw error
        }
      }
    const secureInbound = counted(inner.secureInbound)
    const secureOutbound = counted(inner.secureOutbound)
    return new Proxy(inner, {
      get(target, key) {
        if (key === 'secureInbound') return secureInbound
        if (key === 'secureOutbound') return secureOutbound
        return Reflect.get(target, key)
      }
    })
  }
}
