/**
 * Closes connections that nothing needs any more: those of questions of the DHT, asked or answered, and of sessions that are
 * over. A neighbour's connection stays, and one on which something depends at either end.
 */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { contactIdleMs, contactLookMs, contactsMax } from './limits.ts'
import type { LinkTraffic } from './liveness.ts'

export interface ContactsServiceInit {
  /** All connected peers. */
  readonly traffic: () => Iterable<LinkTraffic>
  /** Whether a peer's connection is needed at either end. */
  readonly isNeeded: (peer: PeerId) => boolean
  /** Closes all connections with a peer, in good order. */
  readonly close: (peer: PeerId) => void
  /** @default the machine's */
  readonly clock?: Clock
}

interface Contact {
  bytes: number
  /** Since when no byte has passed, or it has not been needed. */
  idleMs: number
}

export class ContactsService {
  readonly #init: ContactsServiceInit
  readonly #clock: Clock
  readonly #contacts = new Map<PeerId, Contact>()
  #timer: Timer | undefined

  constructor(init: ContactsServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  start(): void {
    this.#timer ??= this.#clock.every(contactLookMs, () => this.#look()).unref()
  }

  stop(): void {
    this.#timer?.stop()
  }

  /** Whether a query of the DHT may dial one more. Where there are enough, the one that has been idle for longest makes room. */
  makeRoom(): boolean {
    let spare = 0
    for (const { peer } of this.#init.traffic()) if (!this.#init.isNeeded(peer)) spare++
    if (spare < contactsMax) return true
    const [oldest] = this.#idlest()
    if (oldest === undefined || this.#clock.nowMs() - oldest[1].idleMs < contactLookMs) return false
    this.#end(oldest[0])
    return true
  }

  #idlest(): [PeerId, Contact][] {
    return [...this.#contacts].sort(([, a], [, b]) => a.idleMs - b.idleMs)
  }

  #end(peer: PeerId): void {
    this.#contacts.delete(peer)
    this.#init.close(peer)
  }

  #look(): void {
    const nowMs = this.#clock.nowMs()
    const seen = new Set<PeerId>()
    for (const { peer, bytesIn, bytesOut } of this.#init.traffic()) {
      if (this.#init.isNeeded(peer)) continue
      seen.add(peer)
      const bytes = bytesIn + bytesOut
      const contact = this.#contacts.get(peer)
      if (contact === undefined) this.#contacts.set(peer, { bytes, idleMs: nowMs })
      else if (contact.bytes !== bytes) Object.assign(contact, { bytes, idleMs: nowMs })
    }
    for (const peer of this.#contacts.keys()) if (!seen.has(peer)) this.#contacts.delete(peer)
    // Those that have been idle for longest, where there are too many.
    const oldest = this.#idlest()
    for (const [i, [peer, { idleMs }]] of oldest.entries()) {
      const isBeyond = i < oldest.length - contactsMax && nowMs - idleMs >= contactLookMs
      if (!isBeyond && nowMs - idleMs < contactIdleMs) continue
      this.#end(peer)
    }
  }
}
