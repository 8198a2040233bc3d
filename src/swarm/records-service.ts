/** Does what `records.ts` decides: a records channel with each neighbour, and time (protocols/records.md). */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { congestedMs, recordsTickMs } from './limits.ts'
import type { Channel, Links } from './links.ts'
import { PairChannels } from './pair-channels.ts'
import type { RecordContent } from './record.ts'
import { type Records, type RecordsEffect, type RecordsEvent, recordsChannelFrameBytesMax } from './records.ts'

export const recordsProtocol: Protocol = { name: '/skein/records', revisions: ['1.1.0', '1.0.0'] }

export interface RecordsServiceInit {
  readonly records: Records
  readonly links: Links
  /** Whether a peer is one with which records are exchanged: it is connected, and more than a contact of the DHT. */
  readonly isNeighbour: (peer: PeerId) => boolean
  /** Puts the own record into the DHT. */
  readonly publish: (value: Uint8Array) => void
  /** Keeps the own seq across restarts. */
  readonly persist: (seq: number) => void
  /** Somebody came or went, or a record or a channel is new. */
  readonly onChange: (what: 'join' | 'leave' | 'record', peer: PeerId) => void
  /** A live peer is worth a connection. */
  readonly onLinked: (peer: PeerId) => void
  /** Another process has this peer's identity; this one yields where it is the younger. */
  readonly onTwin: (addresses: readonly Uint8Array[], yields: boolean) => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class RecordsService {
  readonly #init: RecordsServiceInit
  readonly #clock: Clock
  readonly #channels: PairChannels
  /** Channels that take no more for now; what they missed is sent again in whole when they do. */
  readonly #congested = new WeakSet<Channel>()
  readonly #abort = new AbortController()
  #tick: Timer | undefined

  constructor(init: RecordsServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#channels = new PairChannels({
      links: init.links,
      protocol: recordsProtocol,
      frameBytesMax: recordsChannelFrameBytesMax,
      isWanted: init.isNeighbour,
      clock: this.#clock,
      onOpen: peer => {
        this.#run({ type: 'opened', peer })
        init.onChange('record', peer)
      },
      onFrame: (peer, frame) => this.#run({ type: 'frame', peer, frame }),
      onClose: peer => {
        this.#run({ type: 'closed', peer })
        init.onChange('record', peer)
      }
    })
  }

  /** Takes channels of others, and says what was announced last when it is time to say it again. */
  async start(): Promise<void> {
    await this.#channels.start()
    this.#tick ??= this.#clock
      .every(recordsTickMs, () => this.#run({ type: 'tick', wallMs: this.#clock.wallMs() }))
      .unref()
  }

  /** Peers with a records channel. */
  get neighbours(): Iterable<PeerId> {
    return this.#channels.peers
  }

  /** This peer has something to say of itself, perhaps the same as before. */
  announce(content: RecordContent): void {
    this.#run({ type: 'announce', content, wallMs: this.#clock.wallMs() })
  }

  /** A peer is a neighbour from now on. */
  connected(peer: PeerId): void {
    this.#channels.want(peer)
  }

  /** The process at the other end of a connection is another one than before. */
  replaced(peer: PeerId): void {
    this.#channels.replace(peer, 'another process answers under this identity')
  }

  /** A channel with a neighbour that is connected in no other way. */
  take(channel: Channel): void {
    this.#channels.take(channel)
  }

  /** A value of the DHT that {@link Records.refusal} lets pass, of a peer that is known to live. */
  found(value: Uint8Array): void {
    this.#run({ type: 'value', value })
  }

  /** Says goodbye, and resolves when the neighbours have been told. */
  async leave(): Promise<void> {
    this.#run({ type: 'leave', wallMs: this.#clock.wallMs() })
    await this.#channels.close()
  }

  stop(): void {
    this.#tick?.stop()
    this.#channels.stop()
    this.#abort.abort(new Error('this peer is stopping'))
  }

  #run(event: RecordsEvent): void {
    for (const effect of this.#init.records.handle(event, this.#clock.nowMs())) this.#perform(effect)
  }

  #perform(effect: RecordsEffect): void {
    const { publish, persist, onChange, onLinked, onTwin, onViolation } = this.#init
    switch (effect.type) {
      case 'send':
        this.#send(effect.peer, effect.frame)
        break
      case 'publish':
        publish(effect.value)
        break
      case 'persist':
        persist(effect.seq)
        break
      case 'join':
      case 'leave':
      case 'record':
        onChange(effect.type, effect.peer)
        break
      case 'linked':
        onLinked(effect.peer)
        break
      case 'twin':
        onTwin(effect.addresses, effect.yields)
        break
      case 'violation':
        onViolation(effect.peer, effect.kind, effect.message)
        break
    }
  }

  #send(peer: PeerId, frame: Uint8Array): void {
    const channel = this.#channels.get(peer)
    if (channel === undefined || this.#congested.has(channel)) return
    if (channel.send(frame)) return
    this.#congested.add(channel)
    const signal = AbortSignal.any([this.#abort.signal, this.#clock.deadline(congestedMs)])
    channel.ready({ signal }).then(
      () => {
        this.#congested.delete(channel)
        if (this.#channels.get(peer) === channel) this.#run({ type: 'opened', peer })
      },
      (error: Error) => channel.abort(error)
    )
  }
}
