/** What this peer tells the DHT, and asks of it. */
import { MessageType } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import type { ContentId, PeerId } from '../base/ids.ts'
import { ClosestService } from './closest-service.ts'
import { dhtKey, peerOfDhtKey } from './dht-store.ts'
import type { Host } from './host.ts'
import { verifySignature } from './identity.ts'
import { dhtTellMs } from './limits.ts'
import { ProvideService } from './provide-service.ts'
import { cidOf } from './providers.ts'
import { readRecord, type SwarmRecord } from './record.ts'

interface DhtInit {
  readonly self: PeerId
  /** Whether this peer takes part in it. */
  readonly isOn: boolean
  readonly host: () => Host
  /** Aborted when this peer stops. */
  readonly ended: AbortSignal
  /** The live record of a peer. */
  readonly recordOf: (peer: PeerId) => SwarmRecord | undefined
  /** Why a value is not a peer's record, or undefined. */
  readonly refusal: (peer: PeerId, value: Uint8Array) => string | undefined
  /** A record came of a peer that is known to live. */
  readonly onValue: (value: Uint8Array) => void
  /** Whether the swarm is larger than the neighbourhood. */
  readonly isLarge: () => boolean
  /** Other peers that are known to live. */
  readonly others: () => number
}

export class DhtService {
  readonly #init: DhtInit
  readonly #closest: ClosestService
  readonly #providing: ProvideService
  #publishing = false
  #publishNext: Uint8Array | undefined
  #published: Promise<void> = Promise.resolve()

  constructor(init: DhtInit) {
    this.#init = init
    this.#closest = new ClosestService({ ask: options => this.#askForClosest(options), isLarge: init.isLarge })
    this.#providing = new ProvideService({
      tell: (content, options) => this.#tell(content, options),
      untell: async content => this.#dht?.cancelReprovide(cidOf(content)),
      // Where there is no DHT nobody can be told.
      others: () => (init.isOn ? init.others() : 0)
    })
  }

  start(): void {
    this.#closest.start()
    this.#providing.start()
  }

  stop(): void {
    this.#closest.stop()
    this.#providing.stop()
  }

  /** This peer was alone and is no longer. */
  anew(): void {
    void this.#providing.anew()
    this.#closest.anew()
  }

  /** Says that this peer holds exactly these shards and manifests; failures are tried again. */
  provide(contents: Iterable<ContentId>): Promise<void> {
    return this.#providing.provide(contents)
  }

  /** Until what was published last has been put. */
  get published(): Promise<void> {
    return this.#published
  }

  /** Puts the latest value, one query at a time. */
  publish(value: Uint8Array): void {
    this.#publishNext = value
    if (this.#publishing) return
    this.#publishing = true
    this.#published = (async () => {
      const key = dhtKey(this.#init.self)
      while (this.#publishNext !== undefined && !this.#init.ended.aborted) {
        const next = this.#publishNext
        this.#publishNext = undefined
        try {
          const signal = AbortSignal.any([this.#init.ended, AbortSignal.timeout(dhtTellMs)])
          for await (const _event of this.#dht?.put(key, next, { signal }) ?? []);
        } catch {
          // Pushes have told the neighbours; the next record is put again.
        }
      }
      this.#publishing = false
    })()
  }

  /** kad-dht calls this for every value it is given, whoever gives it. @throws to refuse it. */
  validate(key: Uint8Array, value: Uint8Array): void {
    const peer = peerOfDhtKey(new TextDecoder().decode(key))
    if (peer === undefined) throw new Error('a value of this DHT is under /skein/<peer id> and under nothing else')
    const refusal = this.#init.refusal(peer, value)
    if (refusal !== undefined) throw new Error(refusal)
    // Of someone unknown it may be as old as the DHT keeps values: it is stored, but brings nobody to life.
    if (this.#init.recordOf(peer) !== undefined) this.#init.onValue(new Uint8Array(value))
  }

  /** Says that this peer holds a shard or a manifest. @returns how many peers were told. @throws the signal's reason */
  async #tell(content: ContentId, { signal }: { signal: AbortSignal }): Promise<number> {
    let told = 0
    for await (const event of this.#dht?.provide(cidOf(content), { signal }) ?? [])
      if (event.name === 'PEER_RESPONSE' && event.messageType === MessageType.ADD_PROVIDER) told++
    return told
  }

  /** Asks who is closest to this peer's own id: whoever answers is in the table from then on. @throws the signal's reason */
  async #askForClosest({ signal }: { signal: AbortSignal }): Promise<void> {
    const self = peerIdFromString(this.#init.self).toMultihash().bytes
    for await (const _event of this.#dht?.getClosestPeers(self, { signal }) ?? []);
  }

  /** A peer's newest record: its live one, or what is kept of it. @throws the signal's reason */
  async lookup(peer: PeerId, { signal }: { signal: AbortSignal }): Promise<SwarmRecord | undefined> {
    signal.throwIfAborted()
    let best = this.#init.recordOf(peer)
    if (best !== undefined) return best
    try {
      for await (const event of this.#dht?.get(dhtKey(peer), { signal }) ?? []) {
        if (event.name !== 'VALUE' || this.#init.refusal(peer, event.value) !== undefined) continue
        const record = readRecord(event.value).verified(verifySignature)
        if (record.seq >= (best?.seq ?? 0)) best = record
      }
    } catch {
      // kad-dht also throws when nobody has it, or when a holder went away while it was being corrected.
      signal.throwIfAborted()
    }
    return best
  }

  /** Who says that it holds a shard or a manifest. */
  async *providers(content: ContentId, { signal }: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void> {
    for await (const event of this.#dht?.findProviders(cidOf(content), { signal }) ?? []) {
      if (event.name === 'PROVIDER') for (const { id } of event.providers) yield id.toString() as PeerId
    }
  }

  /** Undefined where this peer takes no part in it. */
  get #dht(): Host['dht'] | undefined {
    return this.#init.isOn ? this.#init.host().dht : undefined
  }
}

/** The index of the record with the highest seq; unreadable ones never win. */
export function bestRecord(values: readonly Uint8Array[]): number {
  let best = 0
  let bestSeq = -1
  for (const [i, value] of values.entries()) {
    try {
      const { seq } = readRecord(value)
      if (seq > bestSeq) {
        best = i
        bestSeq = seq
      }
    } catch {
      // Not a candidate.
    }
  }
  return best
}
