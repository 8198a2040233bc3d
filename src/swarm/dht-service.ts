/** What this peer tells the DHT, and asks of it. */
import { peerIdFromString } from '@libp2p/peer-id'
import type { ContentId, PeerId } from '../base/ids.ts'
import { dhtKey, peerOfDhtKey } from './dht-store.ts'
import type { Host } from './host.ts'
import { verifySignature } from './identity.ts'
import { dhtQueryMs, provideSettleMs } from './limits.ts'
import { pause } from './pause.ts'
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
}

export class DhtService {
  readonly #init: DhtInit
  #publishing = false
  #publishNext: Uint8Array | undefined
  #published: Promise<void> = Promise.resolve()
  /** What it provides. */
  readonly #provided = new Set<ContentId>()
  #providing: Promise<void> = Promise.resolve()

  constructor(init: DhtInit) {
    this.#init = init
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
          const signal = AbortSignal.any([this.#init.ended, AbortSignal.timeout(dhtQueryMs)])
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

  /** Says that this peer holds exactly these shards and manifests; failures are tried again. */
  async provide(contents: Iterable<ContentId>): Promise<void> {
    const wanted = new Set(contents)
    const dropped = [...this.#provided].filter(content => !wanted.has(content))
    for (const content of dropped) {
      this.#provided.delete(content)
      await this.#dht?.cancelReprovide(cidOf(content)).catch(() => {})
    }
    const added = [...wanted].filter(content => !this.#provided.has(content))
    for (const content of added) this.#provided.add(content)
    await this.#provideAll(added)
  }

  /** One after the other: each is a query to many peers, and a swarm that starts does this everywhere at once. */
  #provideAll(contents: readonly ContentId[]): Promise<void> {
    this.#providing = this.#providing.then(async () => {
      for (const content of contents) {
        if (this.#init.ended.aborted || !this.#provided.has(content)) continue
        try {
          const signal = AbortSignal.any([this.#init.ended, AbortSignal.timeout(dhtQueryMs)])
          for await (const _event of this.#dht?.provide(cidOf(content), { signal }) ?? []);
        } catch {
          // kad-dht provides again by itself, and so does the first connection.
        }
      }
    })
    return this.#providing
  }

  /** Asks who is closest to this peer's own id: whoever answers is in the table from then on. @throws the signal's reason */
  async askForClosest({ signal }: { signal: AbortSignal }): Promise<void> {
    const self = peerIdFromString(this.#init.self).toMultihash().bytes
    for await (const _event of this.#dht?.getClosestPeers(self, { signal }) ?? []);
  }

  /** What was provided to nobody is told to the first peer that connects, once the DHT knows it. */
  async provideAgain(): Promise<void> {
    await pause(provideSettleMs, this.#init.ended)
    await this.#provideAll([...this.#provided])
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
