/**
 * One libp2p host: TCP, Noise with the swarm's secret as prologue, Yamux, identify, ping and our own Kademlia.
 * It is how this peer reaches others (`Links`); what is said is up to the protocols.
 */
import type { Connection, PeerId as Libp2pPeerId, Stream } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import { type Protocol, protocolIds, revisionOf } from '../base/protocol.ts'
import { messagesOf } from '../base/reason.ts'
import { type LossReason, PeerLostError, ProtocolError } from '../errors.ts'
import { recordsMax } from '../limits.ts'
import { type Admitting, admittingOf } from './admitting.ts'
import { memoryChannels, StreamChannel } from './channel.ts'
import { DhtBytes } from './dht-bytes.ts'
import { Duplicates } from './duplicates.ts'
import type { HostInit, HostParts } from './host-init.ts'
import { channelsOutMax, connectionsPerPeerMax, contactCloseMs, frameBytesDefaultMax } from './limits.ts'
import { silentDialMs } from './liveness-limits.ts'
import { InboundChannels } from './inbound.ts'
import type { Channel, HandleOptions, Links } from './links.ts'
import type { LinkTraffic } from './liveness.ts'
import type { HandshakeFailure } from './noise.ts'
import { createNode, dhtProtocol, type Node, startNode, stopNode } from './node.ts'
import type { LanTcp } from './tcp-transport.ts'
import { ReadingService } from './reading-service.ts'
import { socketOf, Traffic } from './traffic.ts'
import { UnfinishedFrames } from './unfinished.ts'

interface Handled {
  readonly protocol: Protocol
  readonly inboundMax: number
  readonly frameBytesMax: number
  readonly background: boolean
  readonly handler: (channel: Channel) => void
  readonly onFull: ((channel: Channel) => void) | undefined
}

export class Host implements Links {
  readonly self: PeerId
  /** What the DHT has taken so far. */
  readonly dhtBytes: Readonly<DhtBytes>
  readonly #init: HostInit
  readonly #node: Node
  readonly #sockets: LanTcp
  /** Protocols that are spoken here, by name. */
  readonly #handled = new Map<string, Handled>()
  /** Their ids on the wire. */
  readonly #handledIds = new Set<string>()
  readonly #inbound = new InboundChannels()
  readonly #channels = new Set<StreamChannel>()
  readonly #unfinished = new UnfinishedFrames()
  readonly #reading: ReadingService
  readonly #connected = new Set<PeerId>()
  readonly #traffic = new Map<PeerId, Traffic>()
  /** How peers that are not connected any more were lost, where that was not a plain close. */
  readonly #losses = new Map<PeerId, LossReason>()
  /** Peers that are being dialled, other than by queries of the DHT. */
  readonly #meant: Set<string>
  readonly #duplicates: Duplicates
  readonly #admitting: Admitting | undefined
  #stopped = false

  private constructor(init: HostInit, node: Node, sockets: LanTcp, { meant, dhtBytes, admitting, reading }: HostParts) {
    this.#reading = reading
    this.#admitting = admitting
    this.#meant = meant
    this.dhtBytes = dhtBytes
    this.self = init.identity.id
    this.#init = init
    this.#node = node
    this.#sockets = sockets
    this.#duplicates = new Duplicates({
      self: this.self,
      connectionsOf: peer => node.getConnections(peer),
      isOurs: protocol => this.#handledIds.has(protocol),
      onReplaced: peer => {
        init.members?.replaced?.(peer)
        init.onReplaced?.(peer)
      }
    })
    node.addEventListener('connection:open', ({ detail }) => this.#opened(detail))
    node.addEventListener('connection:close', ({ detail }) => this.#closed(detail))
    node.addEventListener('peer:identify', ({ detail }) => {
      this.#duplicates.identified(detail.connection, detail.listenAddrs)
      init.onIdentified?.(detail.peerId.toString() as PeerId, detail.protocols)
    })
  }

  /** @throws {ListenError} when an address is no multiaddr of ours or cannot be listened on. */
  static async start(init: HostInit): Promise<Host> {
    const meant = new Set<string>()
    const dhtBytes = new DhtBytes(dhtProtocol)
    const reading = new ReadingService()
    const onFailed = (how: HandshakeFailure): void => init.onHandshakeFailed?.(how)
    const admitting = admittingOf(init, onFailed)
    const { node, sockets, listen } = await createNode({
      identity: init.identity,
      secret: init.secret,
      admitting,
      listen: init.listen,
      agent: init.agent,
      datastore: init.datastore,
      dhtStore: init.dhtStore,
      // Only what compares a swarm with one that has none goes without it, and asks nothing of it.
      dht: init.dht !== false,
      dhtBytes,
      // Whom nobody here means to dial, a query of the DHT does.
      mayDial: peer => meant.has(peer) || init.queriesMayDial?.() !== false,
      validate: init.validate,
      select: init.select,
      onHandshakeFailed: onFailed,
      isBusy: () => reading.isBusy
    })
    const host = new Host(init, node, sockets, { meant, dhtBytes, admitting, reading })
    await startNode(node, listen)
    return host
  }

  /** Multiaddrs that others can dial, with this peer's id. */
  get addresses(): readonly string[] {
    return this.#node.getMultiaddrs().map(address => address.toString())
  }

  get dht(): KadDHT {
    return this.#node.services.dht
  }

  /** The next handshakes take the secrets of this moment. */
  refreshSecrets(): void {
    this.#admitting?.refresh(this.#node)
  }

  get node(): Node {
    return this.#node
  }

  /** Ids of the protocols that are spoken here, revisions included, in order. */
  get protocols(): readonly string[] {
    return [...this.#handledIds].sort()
  }

  get connectedPeers(): ReadonlySet<PeerId> {
    return this.#connected
  }

  /**
   * Connects to a peer at these addresses, or to whoever answers when they carry no id.
   *
   * @returns the peer reached.
   * @throws what libp2p says, or the signal's reason.
   */
  async dial(addresses: readonly Multiaddr[], { signal }: { signal: AbortSignal }): Promise<PeerId> {
    const ids = addresses.map(address => address.getComponents().findLast(({ name }) => name === 'p2p')?.value)
    const connection = await this.#meaning(ids, () => this.#node.dial([...addresses], { signal }))
    return connection.remotePeer.toString() as PeerId
  }

  /** Whether whoever answers at an address has this peer's own identity. No connection comes of it. */
  async answersAsSelf(address: Multiaddr, { signal }: { signal: AbortSignal }): Promise<boolean> {
    try {
      await this.#node.dial(address, { signal })
      return false
    } catch (error) {
      // libp2p says so only after the handshake has proven who is there.
      return messagesOf(error).some(message => message.includes('Can not dial self'))
    }
  }

  /** Connected peers and what came from them and went to them. */
  get traffic(): Iterable<LinkTraffic> {
    return this.#traffic.values()
  }

  /** A peer says that it does not hear this one: should it go now, the link is at fault. Or it hears it again. */
  noteUnheard(peer: PeerId, isUnheard: boolean): void {
    if (isUnheard) this.#lost(peer, 'unheard')
    else if (this.#losses.get(peer) === 'unheard') this.#losses.delete(peer)
  }

  #lost(peer: PeerId, reason: LossReason): void {
    // Bounded by simply starting anew: it only makes a dial shorter, and a charge.
    if (this.#losses.size >= recordsMax) this.#losses.clear()
    this.#losses.set(peer, reason)
  }

  /** Whether something depends on a peer: a channel, or a watch. */
  isWatched(peer: PeerId): boolean {
    return this.#traffic.get(peer)?.watched === true
  }

  /** A connected peer is kept as a contact, or no longer. */
  keep(peer: PeerId, isKept: boolean): void {
    const traffic = this.#traffic.get(peer)
    if (traffic !== undefined) traffic.kept = isKept
  }

  /** Whether a peer is connected and kept as a contact. */
  isKept(peer: PeerId): boolean {
    return this.#traffic.get(peer)?.kept === true
  }

  /** Closes the connections to a peer in good order: nothing depends on them. */
  release(peer: PeerId): void {
    for (const connection of this.#node.getConnections(peerIdFromString(peer))) {
      connection
        .close({ signal: AbortSignal.timeout(contactCloseMs) })
        .catch(() => connection.abort(new Error('it does not close')))
    }
  }

  /** Ends every connection to a peer at once; its channels end with an error that says why. */
  disconnect(peer: PeerId, message: string, reason: LossReason = 'closed'): void {
    if (reason !== 'closed') this.#lost(peer, reason)
    // Before their connection, which would only tell them that it broke.
    for (const channel of [...this.#channels]) {
      if (channel.remote === peer) channel.abort(new PeerLostError(peer, message, reason))
    }
    for (const connection of this.#node.getConnections(peerIdFromString(peer))) {
      connection.abort(new PeerLostError(peer, message, reason))
    }
  }

  async open(peer: PeerId, protocol: Protocol, { signal }: { signal: AbortSignal }): Promise<Channel> {
    signal.throwIfAborted()
    if (this.#stopped) throw new PeerLostError(peer, 'this peer is stopping')
    const frameBytesMax = this.#handled.get(protocol.name)?.frameBytesMax ?? frameBytesDefaultMax
    if (peer === this.self) return this.#openToSelf(protocol, frameBytesMax)
    const id = peerIdFromText(peer)
    // Whoever waits for a channel depends on the peer already: a silent one would keep it waiting.
    const traffic = this.#handled.get(protocol.name)?.background === true ? undefined : this.#traffic.get(peer)
    if (traffic !== undefined) this.#depend(traffic)
    try {
      return await this.#openTo(id, peer, protocol, { signal, frameBytesMax })
    } finally {
      if (traffic !== undefined) traffic.channels -= 1
    }
  }

  async #openTo(
    id: Libp2pPeerId,
    peer: PeerId,
    protocol: Protocol,
    { signal, frameBytesMax }: { signal: AbortSignal; frameBytesMax: number }
  ): Promise<Channel> {
    const tried = new Set<Connection>()
    let dialled = false
    for (;;) {
      let connection: Connection | undefined
      try {
        connection = this.#duplicates.preferred(this.#node.getConnections(id))
        dialled ||= connection === undefined
        connection ??= await this.#reach(id, peer, signal)
        tried.add(connection)
        const stream = await connection.newStream(protocolIds(protocol), { signal, maxOutboundStreams: channelsOutMax })
        return this.#channel(stream, peer, protocol, frameBytesMax)
      } catch (error) {
        signal.throwIfAborted()
        // One of two connections may have been closed under us as a duplicate: the other one counts.
        const other = this.#duplicates.preferred(this.#node.getConnections(id))
        if (connection?.status !== 'open' && other !== undefined && !tried.has(other)) continue
        // It may just have been closed as one that nothing needed.
        if (!dialled && connection?.status !== 'open' && !this.#losses.has(peer)) continue
        const message = `${peer} cannot be reached for ${protocol.name}: ${(error as Error).message}`
        throw new PeerLostError(peer, message, this.#losses.get(peer))
      }
    }
  }

  /** A connection to a peer that has none. One that fell silent has little time: it has been dialled ever since. */
  #reach(id: Libp2pPeerId, peer: PeerId, signal: AbortSignal): Promise<Connection> {
    const limit = this.#losses.has(peer) ? AbortSignal.any([signal, AbortSignal.timeout(silentDialMs)]) : signal
    return this.#meaning([peer], () => this.#node.dial(id, { signal: limit }))
  }

  /** What the dial of somebody gives, who may be dialled whatever queries of the DHT may. */
  async #meaning<T>(ids: readonly (string | undefined)[], dial: () => Promise<T>): Promise<T> {
    const mine = ids.filter(id => id !== undefined && !this.#meant.has(id)) as string[]
    for (const id of mine) this.#meant.add(id)
    try {
      return await dial()
    } finally {
      for (const id of mine) this.#meant.delete(id)
    }
  }

  async handle(
    protocol: Protocol,
    { inboundMax, frameBytesMax, background = false, onFull }: HandleOptions,
    handler: (channel: Channel) => void
  ): Promise<void> {
    const ids = protocolIds(protocol)
    this.#handled.set(protocol.name, { protocol, inboundMax, frameBytesMax, background, handler, onFull })
    for (const id of ids) this.#handledIds.add(id)
    await this.#node.handle(ids, (stream, connection) => this.#accept(protocol, stream, connection), {
      // Ours is the limit that counts, per peer; this one, per connection, only bounds what has to be looked at, or
      // refused: whoever opens as many as this peer would itself is told so, and not cut off.
      maxInboundStreams: onFull === undefined ? 2 * inboundMax : channelsOutMax,
      maxOutboundStreams: channelsOutMax
    })
  }

  async unhandle(protocol: Protocol): Promise<void> {
    const ids = protocolIds(protocol)
    this.#handled.delete(protocol.name)
    for (const id of ids) this.#handledIds.delete(id)
    await this.#node.unhandle(ids)
  }

  watch(peer: PeerId): () => void {
    const traffic = this.#traffic.get(peer)
    if (traffic === undefined) return () => {}
    this.#depend(traffic)
    let watching = true
    return () => {
      if (watching) traffic.channels -= 1
      watching = false
    }
  }

  /** Ends all channels with an error for both ends, then closes connections and listeners. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#duplicates.stop()
    for (const channel of [...this.#channels]) {
      channel.abort(new PeerLostError(channel.remote, 'this peer is stopping'))
    }
    await stopNode(this.#node)
  }

  #accept(protocol: Protocol, stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString() as PeerId
    const tooMany = this.#inbound.take(peer, performance.now())
    if (tooMany !== undefined) this.#init.onViolation?.(peer, 'too many channels')
    const handled = this.#handled.get(protocol.name)
    const isFull = this.#isFull(protocol.name, peer)
    if (tooMany !== undefined || handled === undefined || this.#stopped || (isFull && handled.onFull === undefined)) {
      stream.abort(new ProtocolError(tooMany ?? `${peer} may not open another channel of ${protocol.name}`))
      return
    }
    const channel = this.#channel(stream, peer, protocol, handled.frameBytesMax)
    if (isFull) {
      handled.onFull?.(channel)
      return
    }
    this.#inbound.of(protocol.name, peer).add(channel)
    handled.handler(channel)
  }

  #isFull(name: string, peer: PeerId): boolean {
    return this.#inbound.of(name, peer).size >= (this.#handled.get(name)?.inboundMax ?? 0)
  }

  #channel(stream: Stream, peer: PeerId, protocol: Protocol, frameBytesMax: number): StreamChannel {
    const channel = new StreamChannel(stream, {
      remote: peer,
      // Negotiation ends with one of those that were offered.
      revision: revisionOf(protocol, stream.protocol) ?? protocol.revisions[0]!,
      frameBytesMax,
      unfinished: this.#unfinished,
      lossReason: () => this.#losses.get(peer),
      onViolation: () => this.#init.onViolation?.(peer, 'bad frame'),
      onWanted: taken => this.#reading.wanted(peer, taken)
    })
    if (!channel.closed) {
      this.#channels.add(channel)
      stream.addEventListener('close', () => this.#channels.delete(channel), { once: true })
      if (this.#handled.get(protocol.name)?.background !== true) this.#watch(stream, peer)
    }
    return channel
  }

  /** Something depends on this peer until the stream closes. */
  #watch(stream: Stream, peer: PeerId): void {
    const traffic = this.#traffic.get(peer)
    if (traffic === undefined) return
    this.#depend(traffic)
    stream.addEventListener('close', () => (traffic.channels -= 1), { once: true })
  }

  #depend(traffic: Traffic): void {
    traffic.channels += 1
    if (traffic.channels === 1) this.#init.onWatch?.(traffic.peer)
  }

  #openToSelf({ name, revisions }: Protocol, frameBytesMax: number): Channel {
    const handled = this.#handled.get(name)
    const revision = revisions.find(each => handled?.protocol.revisions.includes(each))
    if (handled === undefined || revision === undefined) {
      throw new PeerLostError(this.self, `this peer does not speak ${name}`)
    }
    const isFull = this.#isFull(name, this.self)
    const handler = isFull ? handled.onFull : handled.handler
    if (handler === undefined) {
      throw new PeerLostError(this.self, `this peer has enough channels of ${name} to itself`)
    }
    const [near, far] = memoryChannels(this.self, { revision, frameBytesMax })
    if (!isFull) this.#inbound.of(name, this.self).add(far)
    // As from a stranger: the handler runs in its own turn.
    setImmediate(() => handler(far))
    return near
  }

  #opened(connection: Connection): void {
    const peer = connection.remotePeer.toString() as PeerId
    this.#sockets.established(socketOf(connection))
    if (this.#node.getConnections(connection.remotePeer).length > connectionsPerPeerMax) {
      connection.abort(new Error(`${peer} has enough connections to this peer`))
      return
    }
    let traffic = this.#traffic.get(peer)
    if (traffic === undefined) {
      traffic = new Traffic(peer)
      this.#traffic.set(peer, traffic)
    }
    traffic.opened(connection)
    this.#reading.opened(peer, connection)
    this.#losses.delete(peer)
    if (!this.#connected.has(peer)) {
      this.#connected.add(peer)
      this.#init.onConnect?.(peer)
    }
    if (this.#node.getConnections(connection.remotePeer).length > 1) {
      this.#duplicates.watch(connection.remotePeer)
    }
  }

  #closed(connection: Connection): void {
    const peer = connection.remotePeer.toString() as PeerId
    this.#traffic.get(peer)?.closed(connection)
    if (this.#node.getConnections(connection.remotePeer).length > 0 || !this.#connected.has(peer)) return
    this.#connected.delete(peer)
    this.#traffic.delete(peer)
    this.#inbound.forget(peer)
    this.#init.onDisconnect?.(peer)
  }
}

function peerIdFromText(peer: PeerId): Libp2pPeerId {
  try {
    return peerIdFromString(peer)
  } catch {
    throw new PeerLostError(peer, `${peer} is no peer id`)
  }
}
