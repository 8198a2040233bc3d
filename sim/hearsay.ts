/** Records of connected peers, handed over as objects: what `records-service.ts` does, without encoding or signing anything. */
import type { Clock, Timer } from '../src/base/clock.ts'
import type { PeerId } from '../src/base/ids.ts'
import type { Protocol } from '../src/base/protocol.ts'
import type { LossReason } from '../src/errors.ts'
import { recordTtlMs } from '../src/swarm/limits.ts'
import type { Channel, Links } from '../src/swarm/links.ts'
import type { RecordContent, SwarmRecord } from '../src/swarm/record.ts'
import type { KnownRecord } from '../src/swarm/records.ts'

export interface HearsayInit {
  readonly self: PeerId
  readonly seq: number
  readonly links: Links
  readonly clock: Clock
  readonly isConnected: (peer: PeerId) => boolean
  /** Whether a beat of a peer would be heard now. */
  readonly hears: (peer: PeerId) => boolean
  readonly persist: (seq: number) => void
  readonly disconnect: (peer: PeerId, message: string, reason: LossReason) => void
  readonly onChange: (what: 'join' | 'leave' | 'record', peer: PeerId) => void
}

export const hearsayProtocol: Protocol = { name: '/skein/hearsay', revisions: ['0.0.0'] }

/** Between two looks; the second silent one in a row ends a connection. */
const lookMs = 2_000
/** Between two tries to open a channel. */
const againMs = 500
/** What a record weighs on the air. */
const recordBytes = 500
/** What a frame stands for: it travels by reference, so nothing needs to be encoded. */
const notes = new WeakMap<Uint8Array, SwarmRecord>()

/** What a frame would weigh, where it stands for a record. */
export function hearsayBytes(frame: Uint8Array): number | undefined {
  return notes.has(frame) ? recordBytes : undefined
}

export class Hearsay {
  readonly #init: HearsayInit
  readonly #known = new Map<PeerId, { record: SwarmRecord; receivedMs: number }>()
  readonly #channels = new Map<PeerId, Channel>()
  readonly #stopping = new AbortController()
  /** Peers that were silent at the last look. */
  readonly #silent = new Set<PeerId>()
  #looks: Timer | undefined
  #content: RecordContent | undefined
  #seq: number
  #announced = ''

  constructor(init: HearsayInit) {
    this.#init = init
    this.#seq = init.seq
  }

  async start(): Promise<void> {
    const { links, clock } = this.#init
    await links.handle(hearsayProtocol, { inboundMax: 2, frameBytesMax: 1, background: true }, channel =>
      this.#attach(channel)
    )
    // Beats would be seventy million frames an hour; here it is looked at what they would find.
    this.#looks = clock.every(lookMs, () => this.#look())
  }

  known(): readonly KnownRecord[] {
    const { self } = this.#init
    return [...this.#known.values()].map(({ record, receivedMs }) => ({
      record,
      receivedMs,
      connected: record.peer === self || this.#channels.has(record.peer),
      linked: true
    }))
  }

  get neighbours(): Iterable<PeerId> {
    return this.#channels.keys()
  }

  isSought(peer: PeerId): boolean {
    return this.#channels.has(peer)
  }

  /** The smaller id of two connected peers opens their channel, again and again. */
  connected(peer: PeerId): void {
    if (this.#init.self < peer) void this.#open(peer)
  }

  async #open(peer: PeerId): Promise<void> {
    const { links, clock, isConnected } = this.#init
    const { signal } = this.#stopping
    while (!signal.aborted && isConnected(peer) && !this.#channels.has(peer)) {
      const channel = await links.open(peer, hearsayProtocol, { signal }).catch(() => undefined)
      if (channel !== undefined) this.#attach(channel)
      await clock.sleep(againMs, { signal })
    }
  }

  #attach(channel: Channel): void {
    const { self, clock, onChange } = this.#init
    const peer = channel.remote
    const before = this.#channels.get(peer)
    this.#channels.set(peer, channel)
    before?.abort(new Error('replaced by a newer channel'))
    channel.receive({
      onFrame: frame => {
        const record = notes.get(frame)
        if (record !== undefined) this.#take(record)
      },
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        clock.after(recordTtlMs, () => {
          if (!this.#channels.has(peer)) this.#forget(peer)
        })
        onChange('record', peer)
        this.connected(peer)
      }
    })
    const own = this.#known.get(self)
    if (own !== undefined) this.#send(peer, own.record)
    onChange('record', peer)
  }

  announce(content: RecordContent): void {
    const { self, clock, persist, onChange } = this.#init
    this.#content = content
    const { models, stages, load, battery, leaving } = content
    const said = JSON.stringify([models, stages, load, battery, leaving])
    if (said === this.#announced) return
    this.#announced = said
    this.#seq = Math.max(this.#seq + 1, Math.floor(clock.wallMs()))
    persist(this.#seq)
    const record = this.#record(recordTtlMs)
    this.#known.set(self, { record, receivedMs: clock.nowMs() })
    for (const peer of this.#channels.keys()) this.#send(peer, record)
    onChange('record', self)
  }

  async leave(): Promise<void> {
    if (this.#content !== undefined) for (const peer of this.#channels.keys()) this.#send(peer, this.#record(0))
    await Promise.all([...this.#channels.values()].map(channel => channel.close()))
  }

  stop(): void {
    this.#looks?.stop()
    this.#stopping.abort(new Error('this peer is stopping'))
  }

  #look(): void {
    const { hears, disconnect } = this.#init
    for (const peer of [...this.#channels.keys()]) {
      if (hears(peer)) this.#silent.delete(peer)
      else if (!this.#silent.has(peer)) this.#silent.add(peer)
      else {
        this.#silent.delete(peer)
        disconnect(peer, 'it has been silent for too long', 'silent')
      }
    }
  }

  #record(ttlMs: number): SwarmRecord {
    return { ...this.#content!, peer: this.#init.self, seq: this.#seq, ttlMs, neighbours: new Set() }
  }

  #send(peer: PeerId, record: SwarmRecord): void {
    const frame = new Uint8Array(1)
    notes.set(frame, record)
    this.#channels.get(peer)?.send(frame)
  }

  #take(record: SwarmRecord): void {
    const { peer, seq, ttlMs } = record
    const before = this.#known.get(peer)
    if (seq < (before?.record.seq ?? -1) || (ttlMs > 0 && seq === before?.record.seq)) return
    if (ttlMs === 0) {
      this.#forget(peer)
      return
    }
    this.#known.set(peer, { record, receivedMs: this.#init.clock.nowMs() })
    if (before === undefined) this.#init.onChange('join', peer)
    this.#init.onChange('record', peer)
  }

  #forget(peer: PeerId): void {
    if (this.#known.delete(peer)) this.#init.onChange('leave', peer)
  }
}
