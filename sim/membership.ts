/**
 * Who a simulated peer believes is here. Up to some hundred peers the production decider of records does it, bytes and
 * all. Among a thousand each record would be decoded a thousand times every ten seconds; there records of connected
 * peers are handed over as they are, with the radio's delay. Neither placement nor routing looks at any others.
 */
import type { PeerId } from '../src/base/ids.ts'
import type { LossReason } from '../src/errors.ts'
import { recordsTickMs, recordTtlMs } from '../src/swarm/limits.ts'
import type { RecordContent, SwarmRecord } from '../src/swarm/record.ts'
import { type KnownRecord, Records, type RecordsEffect, type RecordsEvent } from '../src/swarm/records.ts'
import { signerOf, verify } from './cast.ts'
import type { Channel } from './wire.ts'

/** What membership needs of the peer it lives in. */
export interface MembershipHost {
  readonly self: PeerId
  readonly nowMs: () => number
  readonly wallMs: () => number
  /** Whether a beat of a peer would be heard now. */
  readonly hears: (peer: PeerId) => boolean
  readonly after: (delayMs: number, task: () => void) => void
  readonly changed: () => void
  readonly disconnect: (peer: PeerId, message: string, reason: LossReason) => void
  readonly violation: (peer: PeerId, kind: string, message: string) => void
  readonly persist: (seq: number) => void
}

export interface Membership {
  known(): readonly KnownRecord[]
  announce(content: RecordContent): void
  /** A records channel with a peer is open. */
  opened(channel: Channel): void
  leave(): void
  readonly isConnected: (peer: PeerId) => boolean
}

export class RecordsMembership implements Membership {
  readonly #host: MembershipHost
  readonly #records: Records
  readonly #channels = new Map<PeerId, Channel>()

  constructor(host: MembershipHost, seq: number) {
    this.#host = host
    this.#records = new Records({ self: host.self, sign: signerOf(host.self), verify, seq })
    const tick = (): void => {
      this.#run({ type: 'tick', wallMs: host.wallMs() })
      host.after(recordsTickMs, tick)
    }
    host.after(recordsTickMs, tick)
  }

  known(): readonly KnownRecord[] {
    return this.#records.known()
  }

  readonly isConnected = (peer: PeerId): boolean => this.#channels.has(peer)

  announce(content: RecordContent): void {
    this.#run({ type: 'announce', content, wallMs: this.#host.wallMs() })
  }

  leave(): void {
    this.#run({ type: 'leave', wallMs: this.#host.wallMs() })
    for (const channel of this.#channels.values()) channel.close()
  }

  opened(channel: Channel): void {
    const peer = channel.remote
    const before = this.#channels.get(peer)
    this.#channels.set(peer, channel)
    before?.abort()
    channel.handlers = {
      onFrame: frame => this.#run({ type: 'frame', peer, frame }),
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        this.#run({ type: 'closed', peer })
        this.#host.changed()
      }
    }
    this.#run({ type: 'opened', peer })
    this.#host.changed()
  }

  #run(event: RecordsEvent): void {
    for (const effect of this.#records.handle(event, this.#host.nowMs())) this.#do(effect)
  }

  #do(effect: RecordsEffect): void {
    switch (effect.type) {
      case 'send':
        this.#channels.get(effect.peer)?.send(effect.frame)
        break
      case 'persist':
        this.#host.persist(effect.seq)
        break
      case 'join':
      case 'leave':
      case 'record':
        this.#host.changed()
        break
      case 'violation':
        this.#host.violation(effect.peer, effect.kind, effect.message)
        break
      case 'linked':
        // The air says who can hear whom; nobody is dialled.
        break
      case 'publish':
        // There is no DHT here: it serves peers that are not connected, and nothing below looks at those.
        break
    }
  }
}

/** The records of connected peers, handed over as objects. */
export class HearsayMembership implements Membership {
  readonly #host: MembershipHost
  readonly #known = new Map<PeerId, { record: SwarmRecord; receivedMs: number }>()
  readonly #channels = new Map<PeerId, Channel>()
  /** Peers that were silent at the last look. */
  readonly #silent = new Set<PeerId>()
  #content: RecordContent | undefined
  #seq = 0
  #announced = ''

  constructor(host: MembershipHost, seq: number) {
    this.#host = host
    this.#seq = seq
    const tick = (): void => {
      // Beats would be seventy million frames an hour; here it is looked at what they would find.
      for (const peer of [...this.#channels.keys()]) {
        if (host.hears(peer)) this.#silent.delete(peer)
        else if (!this.#silent.has(peer)) this.#silent.add(peer)
        else {
          this.#silent.delete(peer)
          host.disconnect(peer, 'it has been silent for too long', 'silent')
        }
      }
      host.after(lookMs, tick)
    }
    host.after(lookMs, tick)
  }

  readonly isConnected = (peer: PeerId): boolean => this.#channels.has(peer)

  known(): readonly KnownRecord[] {
    return [...this.#known.values()].map(({ record, receivedMs }) => ({
      record,
      receivedMs,
      connected: record.peer === this.#host.self || this.#channels.has(record.peer),
      linked: true
    }))
  }

  announce(content: RecordContent): void {
    this.#content = content
    const said = JSON.stringify([content.models, content.stages, content.load, content.battery])
    if (said === this.#announced) return
    this.#announced = said
    this.#seq = Math.max(this.#seq + 1, Math.floor(this.#host.wallMs()))
    this.#host.persist(this.#seq)
    const record = this.#record(recordTtlMs)
    this.#known.set(this.#host.self, { record, receivedMs: this.#host.nowMs() })
    for (const channel of this.#channels.values()) this.#send(channel, record)
    this.#host.changed()
  }

  leave(): void {
    if (this.#content === undefined) return
    for (const channel of this.#channels.values()) {
      this.#send(channel, this.#record(0))
      channel.close()
    }
  }

  opened(channel: Channel): void {
    const peer = channel.remote
    const before = this.#channels.get(peer)
    this.#channels.set(peer, channel)
    before?.abort()
    channel.handlers = {
      onFrame: frame => {
        const record = notes.get(frame)
        if (record !== undefined) this.#take(record)
      },
      onClose: () => {
        if (this.#channels.get(peer) !== channel) return
        this.#channels.delete(peer)
        this.#host.after(recordTtlMs, () => {
          if (!this.#channels.has(peer)) this.#forget(peer)
        })
        this.#host.changed()
      }
    }
    const own = this.#known.get(this.#host.self)
    if (own !== undefined) this.#send(channel, own.record)
    this.#host.changed()
  }

  #record(ttlMs: number): SwarmRecord {
    return { ...this.#content!, peer: this.#host.self, seq: this.#seq, ttlMs, neighbours: new Set() }
  }

  #send(channel: Channel, record: SwarmRecord): void {
    const frame = new Uint8Array(1)
    notes.set(frame, record)
    channel.send(frame, 500)
  }

  #take(record: SwarmRecord): void {
    const { peer, seq, ttlMs } = record
    if (seq <= (this.#known.get(peer)?.record.seq ?? -1)) return
    if (ttlMs === 0) this.#forget(peer)
    else this.#known.set(peer, { record, receivedMs: this.#host.nowMs() })
    this.#host.changed()
  }

  #forget(peer: PeerId): void {
    if (this.#known.delete(peer)) this.#host.changed()
  }
}

/** Between two looks; the second silent one in a row ends a connection. */
const lookMs = 2_000
/** What a frame stands for: it travels by reference, so nothing needs to be encoded. */
const notes = new WeakMap<Uint8Array, SwarmRecord>()
