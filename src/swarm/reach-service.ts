/**
 * Finds those who provide something, and keeps them at hand while somebody wants it: as neighbours for who plans with them, as
 * contacts for whose sessions run through them. A neighbour takes a place of which each end has few, a contact a connection.
 */
import type { ContentId, PeerId } from '../base/ids.ts'
import type { DhtService } from './dht-service.ts'
import type { Dialer, Need } from './dialer.ts'
import { GatherService } from './gather-service.ts'
import { contactsKeptMax, neighboursMax, providerReachMs } from './limits.ts'
import { keptOf } from './neighbourhood.ts'
import { Providers } from './providers.ts'
import type { SwarmRecord } from './record.ts'
import type { Gathering } from './swarm.ts'
import { textAddresses } from './text-addresses.ts'

export interface ReachServiceInit {
  readonly self: PeerId
  readonly dht: Pick<DhtService, 'providers' | 'lookup'>
  readonly dialer: Pick<Dialer, 'need'>
  /** The live record of a peer. */
  readonly recordOf: (peer: PeerId) => SwarmRecord | undefined
  /** Has a look called whenever a record comes. @returns what ends that */
  readonly onRecord: (look: () => void) => () => void
  readonly isNeighbour: (peer: PeerId) => boolean
  readonly isContact: (peer: PeerId) => boolean
  /** Whether the swarm is larger than the neighbourhood. */
  readonly isLarge: () => boolean
  /** @default {@link neighboursMax} */
  readonly neighboursMax?: number | undefined
}

export class ReachService {
  readonly #init: ReachServiceInit
  readonly #providers: Providers
  readonly #neighbours: GatherService
  readonly #contacts: GatherService

  constructor(init: ReachServiceInit) {
    this.#init = init
    const { self, dht, isLarge, isNeighbour, isContact } = init
    this.#providers = new Providers({
      self,
      query: (content, options) => dht.providers(content, options),
      lookup: (peer, options) => dht.lookup(peer, options),
      isLive: peer => init.recordOf(peer) !== undefined,
      offer: record => this.#need(record, 'neighbour', providerReachMs),
      untilLive: (peer, signal) => this.#untilLive(peer, signal),
      nowMs: () => performance.now()
    })
    const gathering = (as: Need, placesMax: number, isAtHand: (peer: PeerId) => boolean): GatherService =>
      new GatherService({
        find: (content, options) => this.find(content, options),
        isLarge,
        want: (peer, forMs) => this.#need(init.recordOf(peer), as, forMs),
        isAtHand,
        placesMax
      })
    const { neighboursMax: max = neighboursMax } = init
    this.#neighbours = gathering('neighbour', Math.max(1, max - keptOf(max)), isNeighbour)
    this.#contacts = gathering('contact', contactsKeptMax, peer => isNeighbour(peer) || isContact(peer))
  }

  stop(): void {
    this.#neighbours.stop()
    this.#contacts.stop()
  }

  find(content: ContentId, options: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void> {
    return this.#providers.find(content, options)
  }

  gather(content: ContentId, as: Need): Gathering {
    return (as === 'neighbour' ? this.#neighbours : this.#contacts).gather(content)
  }

  #need(record: SwarmRecord | undefined, as: Need, forMs: number): void {
    if (record === undefined) return
    this.#init.dialer.need(record.peer, as, { addresses: textAddresses(record.addresses), way: 'DHT', forMs })
  }

  /** Until a peer's record lives, which it does soon after it is connected. */
  async #untilLive(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    const { recordOf, onRecord } = this.#init
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (signal.aborted || recordOf(peer) !== undefined) resolve()
    }
    const end = onRecord(look)
    signal.addEventListener('abort', look)
    try {
      look()
      await promise
    } finally {
      end()
      signal.removeEventListener('abort', look)
    }
    return recordOf(peer) !== undefined
  }
}
