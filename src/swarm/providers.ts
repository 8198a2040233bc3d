/**
 * Who holds something, beyond those whose records are known: the DHT names providers, their signed records say where they
 * are, and who answers there counts. Bounded in how many are tried, for how long, and how soon again.
 */
import { hexToBytes } from '@noble/hashes/utils.js'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import type { ContentId, PeerId } from '../base/ids.ts'
import {
  dhtQueryMs,
  providerAgainMaxMs,
  providerAgainMinMs,
  providerReachMs,
  providersRememberedMax,
  providersTriedMax
} from './limits.ts'
import type { SwarmRecord } from './record.ts'

export interface ProvidersInit {
  readonly self: PeerId
  /** Providers that the DHT names, which may be long gone. */
  readonly query: (content: ContentId, options: { signal: AbortSignal }) => AsyncIterable<PeerId>
  /** The newest record of a peer that the DHT has. */
  readonly lookup: (peer: PeerId, options: { signal: AbortSignal }) => Promise<SwarmRecord | undefined>
  readonly isLive: (peer: PeerId) => boolean
  /** Has the addresses in a record dialled. */
  readonly offer: (record: SwarmRecord) => void
  /** Resolves once a peer's record lives, to whether it does; the signal ends the wait. */
  readonly untilLive: (peer: PeerId, signal: AbortSignal) => Promise<boolean>
  readonly nowMs: () => number
}

/** A provider that could not be reached, and when it may be tried again. */
interface Failed {
  readonly waitMs: number
  readonly nextMs: number
}

export class Providers {
  readonly #init: ProvidersInit
  /** The oldest failure first. */
  readonly #failed = new Map<PeerId, Failed>()

  constructor(init: ProvidersInit) {
    this.#init = init
  }

  /** Live providers: those whose records are known at once, then those that could be reached. @throws the signal's reason. */
  async *find(content: ContentId, { signal }: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void> {
    const { self, query, isLive } = this.#init
    signal.throwIfAborted()
    const seen = new Set<PeerId>([self])
    const trying: Promise<PeerId | undefined>[] = []
    const ended = new AbortController()
    const whole = AbortSignal.any([signal, ended.signal])
    try {
      try {
        const limited = AbortSignal.any([whole, AbortSignal.timeout(dhtQueryMs)])
        for await (const peer of query(content, { signal: limited })) {
          if (seen.has(peer)) continue
          seen.add(peer)
          if (isLive(peer)) yield peer
          else if (trying.length < providersTriedMax && this.#isDue(peer)) trying.push(this.#reach(peer, whole))
        }
      } catch {
        // The query took too long, or a peer that was asked is gone: whom it named by then counts.
        signal.throwIfAborted()
      }
      for (const each of trying) {
        const peer = await each
        signal.throwIfAborted()
        if (peer !== undefined) yield peer
      }
    } finally {
      ended.abort(new Error('nobody waits for providers any more'))
    }
  }

  #isDue(peer: PeerId): boolean {
    return this.#init.nowMs() >= (this.#failed.get(peer)?.nextMs ?? 0)
  }

  /** The peer, once its record lives; undefined when it could not be reached in time. It never rejects. */
  async #reach(peer: PeerId, whole: AbortSignal): Promise<PeerId | undefined> {
    const signal = AbortSignal.any([whole, AbortSignal.timeout(providerReachMs)])
    let isLive = false
    try {
      // How old a record is cannot be seen, since clocks differ: a goodbye is known by its lifetime of 0, else a dial tells.
      const record = await this.#init.lookup(peer, { signal })
      if (record !== undefined && record.ttlMs > 0) {
        this.#init.offer(record)
        isLive = await this.#init.untilLive(peer, signal)
      }
    } catch {
      // As good as unreachable.
    }
    if (isLive) this.#failed.delete(peer)
    else if (!whole.aborted) this.#fail(peer)
    return isLive ? peer : undefined
  }

  #fail(peer: PeerId): void {
    const before = this.#failed.get(peer)
    const waitMs = before === undefined ? providerAgainMinMs : Math.min(2 * before.waitMs, providerAgainMaxMs)
    this.#failed.delete(peer)
    this.#failed.set(peer, { waitMs, nextMs: this.#init.nowMs() + waitMs })
    for (const oldest of this.#failed.keys())
      if (this.#failed.size > providersRememberedMax) this.#failed.delete(oldest)
  }
}

/** Where the DHT keeps who provides something: its digest is SHA-256 already, the only hash that kad-dht's holders can read. */
export function cidOf(content: ContentId): CID {
  return CID.createV1(0x55, Digest.create(0x12, hexToBytes(content)))
}
