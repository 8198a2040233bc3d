/** Does what `records.ts` decides: a records channel with each neighbour, and time (protocols/records.md). */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { congestedMs, neighboursMax, recordsTickMs } from './limits.ts'
import type { Channel, Links } from './links.ts'
import { NeighboursService } from './neighbours-service.ts'
import { peerHint, type RecordContent } from './record.ts'
import type { Records } from './records.ts'
import type { RecordsEffect, RecordsEvent } from './records-event.ts'
import { recordsChannelFrameBytesMax } from './records-frame.ts'

export const recordsProtocol: Protocol = { name: '/skein/records', revisions: ['1.2.0', '1.1.0', '1.0.0'] }

export interface RecordsServiceInit {
  readonly records: Records
  readonly links: Links
  /** Whether there is a connection with a peer, for whatever it is. */
  readonly isConnected: (peer: PeerId) => boolean
  /** Whether something depends on a peer, or something of it on this one: it stays a neighbour. @default nothing does */
  readonly isInUse?: (peer: PeerId) => boolean
  /** @default {@link neighboursMax} */
  readonly neighboursMax?: number | undefined
  /** Puts the own record into the DHT. */
  readonly publish: (value: Uint8Array) => void
  /** Keeps the own seq across restarts. */
  readonly persist: (seq: number) => void
  /** A peer is asked to be a neighbour; it is one, or no longer; `isLetGo`: one of the two has enough of them. */
  readonly onAsk?: (peer: PeerId) => void
  readonly onNeighbour?: (peer: PeerId) => void
  readonly onNeighbourGone?: (peer: PeerId, isLetGo: boolean) => void
  /** Somebody came or went, or a record or a channel is new. */
  readonly onChange: (what: 'join' | 'leave' | 'record', peer: PeerId) => void
  /** A live peer is worth a connection. */
  readonly onLinked: (peer: PeerId) => void
  /** Another process has this peer's identity; this one yields where it is the younger. */
  readonly onTwin: (addresses: readonly Uint8Array[], yields: boolean) => void
  /** Another process made a record of this very peer: it is of the past, or at these addresses now. */
  readonly onNamesake?: (addresses: readonly Uint8Array[]) => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class RecordsService {
  readonly #init: RecordsServiceInit
  readonly #clock: Clock
  readonly #neighbours: NeighboursService
  /** Channels that take no more for now; what they missed is sent again in whole when they do. */
  readonly #congested = new WeakSet<Channel>()
  readonly #abort = new AbortController()
  #tick: Timer | undefined

  constructor(init: RecordsServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#neighbours = new NeighboursService({
      links: init.links,
      protocol: recordsProtocol,
      frameBytesMax: recordsChannelFrameBytesMax,
      neighboursMax: init.neighboursMax ?? neighboursMax,
      neighboursOf: peer => init.records.get(peer)?.neighbours.size,
      isReachedOtherwise: peer => this.#isReachedOtherwise(peer),
      isInUse: peer => init.isInUse?.(peer) === true,
      isConnected: init.isConnected,
      onAsk: init.onAsk,
      clock: this.#clock,
      onOpen: peer => {
        this.#run({ kind: 'opened', peer })
        init.onNeighbour?.(peer)
        init.onChange('record', peer)
      },
      onFrame: (peer, frame) => this.#run({ kind: 'frame', peer, frame }),
      onClose: (peer, isLetGo) => {
        this.#run({ kind: 'closed', peer })
        init.onNeighbourGone?.(peer, isLetGo)
        init.onChange('record', peer)
      },
      onViolation: init.onViolation
    })
  }

  /** Takes channels of others, and says what was announced last when it is time to say it again. */
  async start(): Promise<void> {
    await this.#neighbours.start()
    this.#tick ??= this.#clock
      .every(recordsTickMs, () => this.#run({ kind: 'tick', wallMs: this.#clock.wallMs() }))
      .unref()
  }

  /** Peers with a records channel. */
  get neighbours(): ReadonlySet<PeerId> {
    return this.#neighbours.peers
  }

  /** Whether a peer is a neighbour, or is being asked to be one. */
  isSought(peer: PeerId): boolean {
    return this.#neighbours.isSought(peer)
  }

  /** Asks a connected peer to be a neighbour. @returns whether it is one. @throws when it does not answer; the signal's reason */
  ask(peer: PeerId, options: { wanted: boolean; signal: AbortSignal }): Promise<boolean> {
    return this.#neighbours.ask(peer, options)
  }

  /** Whether this peer needs one of its neighbours. */
  want(peer: PeerId, wanted: boolean): void {
    this.#neighbours.want(peer, wanted)
  }

  /** This peer has something to say of itself, perhaps the same as before. */
  announce(content: RecordContent): void {
    this.#run({ kind: 'announce', content, wallMs: this.#clock.wallMs() })
  }

  /** Two peers are connected that both mean to be neighbours, and nobody asks: the smaller id does. */
  connected(peer: PeerId): void {
    this.#neighbours.connected(peer)
  }

  /** A connected peer has said which protocols it speaks. */
  identified(peer: PeerId, protocols: readonly string[]): void {
    this.#neighbours.identified(peer, protocols)
  }

  /** The process at the other end of a connection is another one than before. */
  replaced(peer: PeerId): void {
    this.#neighbours.replace(peer, 'another process answers under this identity')
  }

  /** A neighbour says that it does not hear this peer, or hears it again. */
  unheard(peer: PeerId, isUnheard: boolean): void {
    this.#run({ kind: 'unheard', peer, isUnheard, wallMs: this.#clock.wallMs() })
  }

  /** A channel with a neighbour that is connected in no other way. */
  take(channel: Channel): void {
    this.#neighbours.take(channel)
  }

  /** A value of the DHT that {@link Records.refusal} lets pass, of a peer that is known to live. */
  found(value: Uint8Array): void {
    this.#run({ kind: 'value', value })
  }

  /** Who is a member has changed. */
  membersChanged(): void {
    this.#run({ kind: 'members' })
  }

  /** Says goodbye, and resolves when the neighbours have been told. */
  async leave(): Promise<void> {
    this.#run({ kind: 'leave', wallMs: this.#clock.wallMs() })
    await this.#neighbours.close()
  }

  stop(): void {
    this.#tick?.stop()
    this.#neighbours.stop()
    this.#abort.abort(new Error('this peer is stopping'))
  }

  #isReachedOtherwise(peer: PeerId): boolean {
    const { records } = this.#init
    const hint = peerHint(peer)
    for (const other of this.neighbours)
      if (other !== peer && records.get(other)?.neighbours.has(hint) === true) return true
    return false
  }

  #run(event: RecordsEvent): void {
    for (const effect of this.#init.records.handle(event, this.#clock.nowMs())) this.#perform(effect)
  }

  #perform(effect: RecordsEffect): void {
    const { publish, persist, onChange, onLinked, onTwin, onViolation } = this.#init
    switch (effect.kind) {
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
        onChange(effect.kind, effect.peer)
        break
      case 'linked':
        onLinked(effect.peer)
        break
      case 'twin':
        onTwin(effect.addresses, effect.yields)
        break
      case 'namesake':
        this.#init.onNamesake?.(effect.addresses)
        break
      case 'violation':
        onViolation(effect.peer, effect.violation, effect.message)
        break
    }
  }

  #send(peer: PeerId, frame: Uint8Array): void {
    const channel = this.#neighbours.channelOf(peer)
    if (channel === undefined || this.#congested.has(channel)) return
    if (channel.send(frame)) return
    this.#congested.add(channel)
    const signal = AbortSignal.any([this.#abort.signal, this.#clock.deadline(congestedMs)])
    channel.ready({ signal }).then(
      () => {
        this.#congested.delete(channel)
        if (this.#neighbours.channelOf(peer) === channel) this.#run({ kind: 'opened', peer })
      },
      (error: Error) => channel.abort(error)
    )
  }
}
