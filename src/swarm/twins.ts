/** What is known of another machine with this peer's identity, as copies of a data directory have it, and what is said of it. Pure. */
import type { PeerId } from '../base/ids.ts'
import { twinForgetMs, twinLookMs, twinsMax } from './limits.ts'

export class Twins {
  readonly #self: PeerId
  /** Addresses that it was said to be at, and when they were looked at or said. */
  readonly #looked = new Map<string, number>()
  readonly #said = new Map<string, number>()
  #state: { readonly sentence: string; readonly atMs: number } | undefined

  constructor(self: PeerId) {
    this.#self = self
  }

  /** A record proves that it is there. Returns what to say, or undefined where that was said lately. */
  proven(addresses: readonly string[], nowMs: number): string | undefined {
    return this.#say(`another machine has this peer's identity and is in the swarm now, at ${list(addresses)}`, nowMs)
  }

  /** Somebody who has the identity's key answered at an address. */
  answered(address: string, way: string, nowMs: number): string | undefined {
    return this.#say(`another machine has this peer's identity: it answers at ${address} (found by ${way})`, nowMs)
  }

  /** What the error says with which this process ends. */
  yielding(addresses: readonly string[]): string {
    const where = `at ${list(addresses)}`
    return `another machine has this peer's identity, ${where}, and has run for longer, so this one stops: ${advice(this.#self)}`
  }

  /**
   * Somebody says that the own id is at these addresses. Returns the first that is none of the own ones and was not looked at
   * lately; undefined when there is none.
   */
  suspect(addresses: readonly string[], own: readonly string[], nowMs: number): string | undefined {
    const mine = new Set(own.map(bare))
    const found = addresses.map(bare).find(address => {
      const atMs = this.#looked.get(address)
      return !mine.has(address) && (atMs === undefined || nowMs - atMs >= twinLookMs)
    })
    // Anybody may say this: no more looks than that in the time, whatever is said.
    for (const [address, atMs] of this.#looked) if (nowMs - atMs >= twinLookMs) this.#looked.delete(address)
    if (found === undefined || this.#looked.size >= twinsMax) return undefined
    this.#looked.set(found, nowMs)
    return found
  }

  /** For a status: what was found out lately. */
  state(nowMs: number): string | undefined {
    return this.#state === undefined || nowMs - this.#state.atMs > twinForgetMs ? undefined : this.#state.sentence
  }

  #say(sentence: string, nowMs: number): string | undefined {
    this.#state = { sentence, atMs: nowMs }
    const atMs = this.#said.get(sentence)
    if (atMs !== undefined && nowMs - atMs < twinForgetMs) return undefined
    if (this.#said.size >= twinsMax) this.#said.clear()
    this.#said.set(sentence, nowMs)
    return `${sentence}; ${advice(this.#self)}`
  }
}

function advice(self: PeerId): string {
  return `one of the two needs an identity of its own instead of ${self}: without identity.key in its data directory it makes one`
}

/** Without the id at its end. */
function bare(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}

function list(addresses: readonly string[]): string {
  return addresses.length === 0 ? 'no address that it says' : addresses.join(', ')
}
