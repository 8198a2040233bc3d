/**
 * Records of peers that have shown no certificate yet: on its way through a swarm a record may come before the certificate that goes with it.
 * Pure.
 */
import type { PeerId } from '../base/ids.ts'
import { awaitedRecordsMax } from './membership-limits.ts'

export interface AwaitedRecord {
  readonly value: Uint8Array
  /** The neighbour that sent it; undefined when it is from the DHT. */
  readonly from: PeerId | undefined
}

export class AwaitedRecords {
  /** The longest ago first. */
  readonly #records = new Map<PeerId, AwaitedRecord>()

  hold(peer: PeerId, record: AwaitedRecord): void {
    this.#records.delete(peer)
    this.#records.set(peer, record)
    if (this.#records.size > awaitedRecordsMax) this.#records.delete(this.#records.keys().next().value!)
  }

  /** Takes out those of peers that are members by now. */
  take(isMember: (peer: PeerId) => boolean): AwaitedRecord[] {
    const taken = [...this.#records].filter(([peer]) => isMember(peer))
    for (const [peer] of taken) this.#records.delete(peer)
    return taken.map(([, record]) => record)
  }
}
