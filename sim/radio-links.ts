/**
 * The links of one life of a peer over the radio: the contract of `src/swarm/links.ts`. What passes can be seen and changed by a
 * tap: by those who judge, and where the peer means harm or does nothing.
 */
import { assert } from '../src/base/assert.ts'
import type { PeerId } from '../src/base/ids.ts'
import { type Protocol, protocolIds } from '../src/base/protocol.ts'
import { type LossReason, PeerLostError, ProtocolError } from '../src/errors.ts'
import type { Channel, HandleOptions, Links } from '../src/swarm/links.ts'
import type { Station } from './station.ts'
import type { WireChannel } from './wire-channel.ts'
import type { Wire } from './wire.ts'

/** Sees what passes. */
export interface Tap {
  /** What a frame would weigh with real hidden states. */
  wireBytes(frame: Uint8Array): number
  /** A channel to a peer is asked for. */
  opening(peer: PeerId, protocol: string): void
  /** Whether a channel that another peer has opened reaches whoever handles its protocol. */
  accepts(channel: RadioChannel): boolean
  /** Returns what is sent in a frame's place. */
  sending(channel: RadioChannel, frame: Uint8Array): Uint8Array
  /** A frame or a close has come: `take` has this peer take it, now or later. */
  arriving(channel: RadioChannel, frame: Uint8Array | undefined, take: () => void): void
  /** A frame is taken now by whoever receives it; false where it is kept from it. */
  taking(channel: RadioChannel, frame: Uint8Array): boolean
  /** Whoever received a frame has done with it what it does at once. */
  taken(channel: RadioChannel): void
  aborted(channel: RadioChannel, error: Error): void
  ended(channel: RadioChannel): void
}

type Handlers = Parameters<Channel['receive']>[0]

interface Handled {
  readonly revisions: readonly string[]
  readonly inboundMax: number
  readonly frameBytesMax: number
  readonly background: boolean
  readonly handler: (channel: Channel) => void
  readonly onFull: ((channel: Channel) => void) | undefined
}

export interface RadioLinksInit {
  readonly station: Station
  readonly wire: Wire
  readonly tap: Tap
  /** Does something at the next moment, as a stream of libp2p tells of its end. */
  readonly soon: (task: () => void) => void
  /** Something has begun to depend on a peer. */
  readonly onWatch: (peer: PeerId) => void
}

const frameBytesDefaultMax = 16 << 20
/** Bytes of frames on their way above which a sender is asked to wait, as libp2p's buffers have it. */
const highWaterBytes = 1 << 20

export class RadioLinks implements Links {
  readonly self: PeerId
  readonly #init: RadioLinksInit
  readonly #protocols = new Map<string, Handled>()
  /** [protocol, remote] → inbound channels that are open. */
  readonly #inbound = new Map<string, number>()
  /** By peer: how many channels and watches say that something depends on it. */
  readonly #watched = new Map<PeerId, number>()

  constructor(init: RadioLinksInit) {
    this.#init = init
    this.self = init.station.id
  }

  /** What this peer speaks, as its record names it. */
  get protocols(): readonly string[] {
    return [...this.#protocols].flatMap(([name, { revisions }]) => protocolIds({ name, revisions }))
  }

  async open(peer: PeerId, protocol: Protocol, { signal }: { signal: AbortSignal }): Promise<Channel> {
    signal.throwIfAborted()
    const { station, wire, tap } = this.#init
    tap.opening(peer, protocol.name)
    const { promise, resolve, reject } = Promise.withResolvers<Channel>()
    const opening = wire.open(station, peer, protocol, (channel, message, reason) => {
      signal.removeEventListener('abort', onAbort)
      if (channel === undefined) {
        reject(new PeerLostError(peer, message, reason))
        return
      }
      const handled = this.#protocols.get(protocol.name)
      const frameBytesMax = handled?.frameBytesMax ?? frameBytesDefaultMax
      const onEnd = handled?.background === true ? (): void => {} : this.#use(peer)
      resolve(new RadioChannel(this.#init, channel, { isOpener: true, frameBytesMax, onEnd }))
    })
    const onAbort = (): void => {
      opening.cancel()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    return promise
  }

  async handle(
    { name, revisions }: Protocol,
    { inboundMax, frameBytesMax, background = false, onFull }: HandleOptions,
    handler: (channel: Channel) => void
  ): Promise<void> {
    this.#protocols.set(name, { revisions, inboundMax, frameBytesMax, background, handler, onFull })
  }

  async unhandle({ name }: Protocol): Promise<void> {
    this.#protocols.delete(name)
  }

  watch(peer: PeerId): () => void {
    return this.#use(peer)
  }

  /** Whether something depends on a peer: a channel that is no background, or a watch. */
  isWatched(peer: PeerId): boolean {
    return this.#watched.has(peer)
  }

  #use(peer: PeerId): () => void {
    this.#watched.set(peer, (this.#watched.get(peer) ?? 0) + 1)
    this.#init.onWatch(peer)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const count = this.#watched.get(peer)! - 1
      if (count === 0) this.#watched.delete(peer)
      else this.#watched.set(peer, count)
    }
  }

  /** As a {@link Station}. */
  speaks({ name, revisions }: Protocol): string | undefined {
    const handled = this.#protocols.get(name)
    return revisions.find(each => handled?.revisions.includes(each))
  }

  /** As a {@link Station}. */
  accept(channel: WireChannel): void {
    const { protocol: name, remote } = channel
    const handled = this.#protocols.get(name)
    if (handled === undefined) {
      channel.abort()
      return
    }
    const { inboundMax, frameBytesMax, background, handler, onFull } = handled
    const key = `${name} ${remote}`
    const open = this.#inbound.get(key) ?? 0
    const isFull = open >= inboundMax
    if (!isFull) this.#inbound.set(key, open + 1)
    const release = background ? undefined : this.#use(remote)
    const onEnd = (): void => {
      if (!isFull) this.#inbound.set(key, this.#inbound.get(key)! - 1)
      release?.()
    }
    const radioChannel = new RadioChannel(this.#init, channel, { isOpener: false, frameBytesMax, onEnd })
    if (!this.#init.tap.accepts(radioChannel)) {
      radioChannel.receive({ onFrame: () => {}, onClose: () => {} })
      return
    }
    if (!isFull) handler(radioChannel)
    else if (onFull !== undefined) onFull(radioChannel)
    else radioChannel.abort(new ProtocolError(`${remote} opened more than ${inboundMax} streams of ${name}`))
  }
}

export class RadioChannel implements Channel {
  readonly protocol: string
  readonly remote: PeerId
  readonly revision: string
  /** This peer opened it. */
  readonly isOpener: boolean
  bytesSent = 0
  bytesReceived = 0
  readonly #links: RadioLinksInit
  readonly #channel: WireChannel
  readonly #frameBytesMax: number
  readonly #onEnd: () => void
  #handlers: Handlers | undefined
  /** What came before there was a receiver. */
  readonly #pending: Uint8Array[] = []
  #closing = false
  #ended: { readonly error: Error | undefined } | undefined
  #flyingBytes = 0
  readonly #waiting = new Set<() => void>()

  constructor(
    links: RadioLinksInit,
    channel: WireChannel,
    { isOpener, frameBytesMax, onEnd }: { isOpener: boolean; frameBytesMax: number; onEnd: () => void }
  ) {
    this.#links = links
    this.#channel = channel
    this.#frameBytesMax = frameBytesMax
    this.#onEnd = onEnd
    this.isOpener = isOpener
    this.protocol = channel.protocol
    this.remote = channel.remote
    this.revision = channel.revision
    const { tap } = links
    channel.handlers = {
      onFrame: frame => {
        if (!this.#isOver) tap.arriving(this, frame, () => this.#take(frame))
      },
      onClose: (message, reason) => {
        if (!this.#isOver) tap.arriving(this, undefined, () => this.#lost(message, reason))
      }
    }
  }

  get #isOver(): boolean {
    return this.#closing || this.#ended !== undefined
  }

  send(frame: Uint8Array): boolean {
    if (this.#isOver) return false
    const bytes = framedBytes(frame.length)
    this.bytesSent += bytes
    this.#flyingBytes += bytes
    const { tap } = this.#links
    const sent = tap.sending(this, frame)
    this.#channel.send(sent, tap.wireBytes(sent), () => {
      this.#flyingBytes -= bytes
      if (this.#flyingBytes < highWaterBytes) for (const settle of [...this.#waiting]) settle()
    })
    return this.#flyingBytes < highWaterBytes
  }

  async ready({ signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted()
    while (!this.#isOver && this.#flyingBytes >= highWaterBytes) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
      await promise
      this.#waiting.delete(resolve)
      signal.throwIfAborted()
    }
    if (this.#isOver) {
      throw this.#ended?.error ?? new PeerLostError(this.remote, `the channel to ${this.remote} is closed`)
    }
  }

  receive(handlers: Handlers): void {
    assert(this.#handlers === undefined, 'a channel has one receiver')
    this.#handlers = handlers
    while (this.#pending.length > 0 && !this.#closing && this.#ended?.error === undefined) {
      this.#hand(this.#pending.shift()!)
    }
    if (this.#ended !== undefined) handlers.onClose(this.#ended.error)
  }

  close(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    this.#closing = true
    this.#channel.close()
    return new Promise(resolve =>
      this.#links.soon(() => {
        this.#end(undefined)
        resolve()
      })
    )
  }

  abort(error: Error): void {
    if (this.#ended !== undefined) return
    this.#channel.abort()
    this.#links.tap.aborted(this, error)
    this.#end(error)
  }

  #take(frame: Uint8Array): void {
    if (this.#isOver) return
    this.bytesReceived += framedBytes(frame.length)
    if (frame.length > this.#frameBytesMax) {
      this.abort(new ProtocolError(`a frame of ${frame.length} bytes where at most ${this.#frameBytesMax} are allowed`))
      return
    }
    if (this.#handlers === undefined) this.#pending.push(frame)
    else this.#hand(frame)
  }

  #hand(frame: Uint8Array): void {
    const { tap } = this.#links
    if (!tap.taking(this, frame)) return
    this.#handlers!.onFrame(frame)
    tap.taken(this)
  }

  #lost(message: string | undefined, reason: LossReason): void {
    if (this.#isOver) return
    this.#end(message === undefined ? undefined : new PeerLostError(this.remote, message, reason))
  }

  #end(error: Error | undefined): void {
    if (this.#ended !== undefined) return
    this.#ended = { error }
    this.#onEnd()
    this.#links.tap.ended(this)
    for (const settle of [...this.#waiting]) settle()
    this.#handlers?.onClose(error)
  }
}

/** Bytes of a frame with its varint length prefix. */
function framedBytes(bytes: number): number {
  let prefix = 1
  for (let rest = bytes; rest >= 128; rest = Math.floor(rest / 128)) prefix++
  return prefix + bytes
}
