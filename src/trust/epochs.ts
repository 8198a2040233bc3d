/**
 * The swarm's secrets by epoch. A handshake takes the newest one that both ends have; what the one before it opens stays open for a moment,
 * since a change takes a moment to be heard. Two halves of a split swarm may each begin an epoch with one number: whoever has both secrets
 * takes what is made of both, which neither of those has who was revoked on one side. Pure: time comes in as an argument.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { epochGraceMs } from './limits.ts'

/** A secret of 32 bytes and its epoch, as they are kept. */
export interface EpochSecret {
  readonly epoch: number
  readonly secret: Uint8Array
}

export class Epochs {
  /** All that are known of the newest number, by digest. */
  readonly #newest = new Map<string, Uint8Array>()
  #number = 0
  /** What was the secret before, and until when it opens. */
  #past: { readonly secret: Uint8Array; readonly untilMs: number }[] = []

  /** @returns whether it changes what a handshake takes */
  add({ epoch, secret }: EpochSecret, nowMs: number): boolean {
    const digest = bytesToHex(sha256(secret))
    if (epoch < this.#number || (epoch === this.#number && this.#newest.has(digest))) return false
    const before = this.current
    if (before !== undefined) this.#past.push({ secret: before, untilMs: nowMs + epochGraceMs })
    if (epoch > this.#number) {
      this.#newest.clear()
    } else {
      // Who has only the other one is heard, too, until it has both.
      this.#past.push({ secret, untilMs: nowMs + epochGraceMs })
    }
    this.#number = epoch
    this.#newest.set(digest, secret)
    return true
  }

  /** The newest epoch of which there is a secret; 0 without one. */
  get number(): number {
    return this.#number
  }

  /** Whether the secret of that digest (hex) is here. */
  has(digest: string): boolean {
    return this.#newest.has(digest)
  }

  /** What a handshake takes now. */
  get current(): Uint8Array | undefined {
    const secrets = [...this.#newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, secret]) => secret)
    if (secrets.length <= 1) return secrets[0]
    const text = new TextEncoder().encode('skein epochs of one number')
    return sha256(new Uint8Array([...text, ...secrets.flatMap(secret => [...secret])]))
  }

  /** SHA-256 of what a handshake takes now; empty without any. */
  get digest(): Uint8Array {
    const { current } = this
    return current === undefined ? new Uint8Array() : sha256(current)
  }

  /** Secrets that open a handshake now, the newest first. */
  open(nowMs: number): Uint8Array[] {
    this.#past = this.#past.filter(({ untilMs }) => untilMs > nowMs)
    const { current } = this
    return [...(current === undefined ? [] : [current]), ...this.#past.map(({ secret }) => secret).reverse()]
  }

  /** What is kept, and given to a member that has been away. */
  secrets(): EpochSecret[] {
    return [...this.#newest.values()].map(secret => ({ epoch: this.#number, secret }))
  }
}

/** Whether a digest, in hex, is that of a secret. */
export function isDigestOf(digest: string, secret: Uint8Array): boolean {
  return bytesToHex(sha256(secret)) === digest
}
