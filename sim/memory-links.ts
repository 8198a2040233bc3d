/**
 * Links between several peers of one process, for tests and the simulator: the same contract as libp2p's
 * streams (`src/swarm/links.ts`), with losses and delays at will. Time and order come from an injected
 * scheduler, so one seed decides everything.
 */
import { assert } from '../src/base/assert.ts'
import type { PeerId } from '../src/base/ids.ts'
import type { Protocol } from '../src/base/protocol.ts'
import { PeerLostError, ProtocolError } from '../src/errors.ts'
import type { Channel, HandleOptions, Links } from '../src/swarm/links.ts'

/** Runs `task` after `delayMs`; tasks of equal time run in the order of the calls, never at once. */
export type Schedule = (delayMs: number, task: () => void) => void

export interface MemoryWorldInit {
  /** @default the microtask queue, whatever the delay */
  schedule?: Schedule
  /** One-way delay of a link in ms. @default 0 */
  delayMs?: (from: PeerId, to: PeerId) => number
  /** Bytes in flight on a channel above which `send` asks the sender to wait. */
  highWaterBytes?: number
}

type Handlers = Parameters<Channel['receive']>[0]

interface Handled {
  readonly revisions: readonly string[]
  readonly inboundMax: number
  readonly frameBytesMax: number
  readonly handler: (channel: Channel) => void
  readonly onFull: ((channel: Channel) => void) | undefined
}

const frameBytesDefaultMax = 16 << 20

/** Bytes of a frame with its varint length prefix. */
function framedBytes(bytes: number): number {
  let prefix = 1
  for (let rest = bytes; rest >= 128; rest = Math.floor(rest / 128)) prefix++
  return prefix + bytes
}

function pair(a: PeerId, b: PeerId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

/** A world of peers that can be cut off, healed and killed. */
export class MemoryWorld {
  readonly schedule: Schedule
  readonly highWaterBytes: number
  readonly #delayMs: (from: PeerId, to: PeerId) => number
  readonly #peers = new Map<PeerId, MemoryLinks>()
  readonly #cuts = new Set<string>()
  readonly #ends = new Set<MemoryChannel>()
  /** Peers that take nothing in, with what has reached them. */
  readonly #stalled = new Map<PeerId, (() => void)[]>()

  constructor({ schedule, delayMs = () => 0, highWaterBytes = 1 << 20 }: MemoryWorldInit = {}) {
    this.schedule = schedule ?? ((_delayMs, task) => queueMicrotask(task))
    this.#delayMs = delayMs
    this.highWaterBytes = highWaterBytes
  }

  /** Adds a peer, or brings a killed one back without any of its channels. */
  join(peer: PeerId): Links {
    assert(!this.#peers.has(peer), `${peer} is in this world already`)
    const links = new MemoryLinks(this, peer)
    this.#peers.set(peer, links)
    return links
  }

  /** Ends a peer without a goodbye: its channels break at their other ends, and its own ends fall silent. */
  kill(peer: PeerId): void {
    this.#peers.delete(peer)
    for (const end of [...this.#ends]) {
      if (end.self === peer) end.vanish()
      else if (end.remote === peer) end.break(new PeerLostError(peer, `the connection to ${peer} was reset`))
    }
  }

  /** Parts two peers: their channels break at both ends and none can be opened until `heal`. */
  cut(a: PeerId, b: PeerId): void {
    this.#cuts.add(pair(a, b))
    for (const end of [...this.#ends]) {
      if ((end.self === a && end.remote === b) || (end.self === b && end.remote === a)) {
        end.break(new PeerLostError(end.remote, `the connection to ${end.remote} was reset`))
      }
    }
  }

  heal(a: PeerId, b: PeerId): void {
    this.#cuts.delete(pair(a, b))
  }

  /**
   * Stops a peer from taking in what reaches it, though its streams stay open. Returns what has it take all of that in, and
   * what comes later.
   */
  stall(peer: PeerId): () => void {
    const held: (() => void)[] = []
    this.#stalled.set(peer, held)
    return () => {
      this.#stalled.delete(peer)
      for (const task of held) task()
    }
  }

  /** @internal Whether a peer takes nothing in: the task is done later then. */
  holds(peer: PeerId, task: () => void): boolean {
    return this.#stalled.get(peer)?.push(task) !== undefined
  }

  /** Ends of channels that are open, both counted: none may be left when all sessions have ended. */
  get openEnds(): number {
    return this.#ends.size
  }

  /** @internal */
  find(from: PeerId, to: PeerId): MemoryLinks | undefined {
    return this.#peers.has(from) && !this.#cuts.has(pair(from, to)) ? this.#peers.get(to) : undefined
  }

  /** @internal */
  delay(from: PeerId, to: PeerId): number {
    return from === to ? 0 : this.#delayMs(from, to)
  }

  /** @internal */
  track(end: MemoryChannel, open: boolean): void {
    if (open) this.#ends.add(end)
    else this.#ends.delete(end)
  }
}

class MemoryLinks implements Links {
  readonly self: PeerId
  readonly #world: MemoryWorld
  /** By name. */
  readonly #protocols = new Map<string, Handled>()
  /** [protocol, remote] → inbound channels that are open. */
  readonly #inbound = new Map<string, number>()

  constructor(world: MemoryWorld, self: PeerId) {
    this.#world = world
    this.self = self
  }

  open(peer: PeerId, protocol: Protocol, { signal }: { signal: AbortSignal }): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason)
      if (signal.aborted) {
        onAbort()
        return
      }
      signal.addEventListener('abort', onAbort, { once: true })
      const roundTripMs = this.#world.delay(this.self, peer) + this.#world.delay(peer, this.self)
      this.#world.schedule(roundTripMs, () => {
        signal.removeEventListener('abort', onAbort)
        if (signal.aborted) return
        const accept = this.#world.find(this.self, peer)?.accept(protocol)
        if (accept === undefined) {
          reject(new PeerLostError(peer, `${peer} cannot be reached or does not speak ${protocol.name}`))
          return
        }
        const frameBytesMax = this.#protocols.get(protocol.name)?.frameBytesMax ?? frameBytesDefaultMax
        const { revision } = accept
        const near = new MemoryChannel(this.#world, { self: this.self, remote: peer, revision, frameBytesMax })
        const far = new MemoryChannel(this.#world, {
          self: peer,
          remote: this.self,
          revision,
          frameBytesMax: accept.frameBytesMax
        })
        near.join(far)
        far.join(near)
        resolve(near)
        accept.take(far)
      })
    })
  }

  async handle(
    { name, revisions }: Protocol,
    { inboundMax, frameBytesMax, onFull }: HandleOptions,
    handler: (channel: Channel) => void
  ): Promise<void> {
    this.#protocols.set(name, { revisions, inboundMax, frameBytesMax, handler, onFull })
  }

  async unhandle({ name }: Protocol): Promise<void> {
    this.#protocols.delete(name)
  }

  /** @internal */
  accept({
    name,
    revisions
  }: Protocol): { revision: string; frameBytesMax: number; take: (channel: MemoryChannel) => void } | undefined {
    const protocol = this.#protocols.get(name)
    const revision = revisions.find(each => protocol?.revisions.includes(each))
    if (protocol === undefined || revision === undefined) return undefined
    return {
      revision,
      frameBytesMax: protocol.frameBytesMax,
      take: channel => {
        const key = `${name} ${channel.remote}`
        const open = this.#inbound.get(key) ?? 0
        if (open >= protocol.inboundMax && protocol.onFull !== undefined) {
          protocol.onFull(channel)
          return
        }
        if (open >= protocol.inboundMax) {
          channel.abort(
            new ProtocolError(`${channel.remote} opened more than ${protocol.inboundMax} streams of ${name}`)
          )
          return
        }
        this.#inbound.set(key, open + 1)
        channel.onEnd = () => this.#inbound.set(key, this.#inbound.get(key)! - 1)
        protocol.handler(channel)
      }
    }
  }
}

class MemoryChannel implements Channel {
  readonly self: PeerId
  readonly remote: PeerId
  readonly revision: string
  bytesSent = 0
  bytesReceived = 0
  /** @internal Called once when this end is no longer open. */
  onEnd: () => void = () => {}
  readonly #world: MemoryWorld
  readonly #frameBytesMax: number
  #other: MemoryChannel | undefined
  #handlers: Handlers | undefined
  /** What came before there was a receiver. */
  readonly #pending: Uint8Array[] = []
  #ended: { readonly error: Error | undefined } | undefined
  #closing = false
  #flying = 0
  readonly #waiting = new Set<() => void>()

  constructor(world: MemoryWorld, init: { self: PeerId; remote: PeerId; revision: string; frameBytesMax: number }) {
    this.#world = world
    this.self = init.self
    this.remote = init.remote
    this.revision = init.revision
    this.#frameBytesMax = init.frameBytesMax
    world.track(this, true)
  }

  /** @internal */
  join(other: MemoryChannel): void {
    this.#other = other
  }

  send(frame: Uint8Array): boolean {
    if (this.#closing || this.#ended !== undefined) return false
    const bytes = framedBytes(frame.length)
    this.bytesSent += bytes
    this.#flying += bytes
    this.#fly(() => {
      this.#flying -= bytes
      for (const settle of [...this.#waiting]) settle()
      this.#other!.#arrive(frame, bytes)
    })
    return this.#flying < this.#world.highWaterBytes
  }

  async ready({ signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted()
    while (this.#ended === undefined && !this.#closing && this.#flying >= this.#world.highWaterBytes) {
      await new Promise<void>((resolve, reject) => {
        const settle = (): void => {
          this.#waiting.delete(settle)
          signal.removeEventListener('abort', settle)
          if (signal.aborted) reject(signal.reason)
          else resolve()
        }
        this.#waiting.add(settle)
        signal.addEventListener('abort', settle)
      })
    }
    if (this.#ended !== undefined || this.#closing) {
      throw this.#ended?.error ?? new PeerLostError(this.remote, `the channel to ${this.remote} is closed`)
    }
  }

  receive(handlers: Handlers): void {
    assert(this.#handlers === undefined, 'a channel has one receiver')
    this.#handlers = handlers
    while (this.#pending.length > 0 && !this.#closing && this.#ended?.error === undefined) {
      handlers.onFrame(this.#pending.shift()!)
    }
    if (this.#ended !== undefined) handlers.onClose(this.#ended.error)
  }

  async close(): Promise<void> {
    if (this.#closing || this.#ended !== undefined) return
    this.#closing = true
    await new Promise<void>(resolve => {
      this.#fly(() => {
        this.#other!.#end(undefined)
        this.#end(undefined)
        resolve()
      })
    })
  }

  abort(error: Error): void {
    if (this.#ended !== undefined) return
    this.#fly(() => this.#other!.#end(new PeerLostError(this.self, `${this.self} reset the channel`)))
    this.#end(error)
  }

  /** @internal The connection is gone: this end learns it after the link's delay, frames on their way are lost. */
  break(error: Error): void {
    this.#end(error)
  }

  /** @internal This end's process is gone: it hears and says nothing any more. */
  vanish(): void {
    this.#handlers = { onFrame: () => {}, onClose: () => {} }
    this.#end(undefined)
  }

  /** Runs a task when what is sent now arrives at the other end. */
  #fly(task: () => void): void {
    this.#world.schedule(this.#world.delay(this.self, this.remote), task)
  }

  #arrive(frame: Uint8Array, bytes: number): void {
    if (this.#closing || this.#ended !== undefined) return
    if (this.#world.holds(this.self, () => this.#arrive(frame, bytes))) return
    this.bytesReceived += bytes
    if (frame.length > this.#frameBytesMax) {
      this.abort(new ProtocolError(`a frame of ${frame.length} bytes where at most ${this.#frameBytesMax} are allowed`))
      return
    }
    if (this.#handlers === undefined) this.#pending.push(frame)
    else this.#handlers.onFrame(frame)
  }

  #end(error: Error | undefined): void {
    if (this.#ended !== undefined) return
    this.#ended = { error }
    this.#world.track(this, false)
    this.onEnd()
    for (const settle of [...this.#waiting]) settle()
    this.#handlers?.onClose(error)
  }
}
