/**
 * One libp2p host: TCP, Noise with the swarm's secret as prologue, Yamux, identify, ping and our own Kademlia.
 * It is how this peer reaches others (`Links`); what is said is up to the protocols.
 */
import { type Identify, identify } from '@libp2p/identify'
import type {
  AbortOptions,
  ComponentLogger,
  Connection,
  Libp2p,
  PeerId as Libp2pPeerId,
  Stream
} from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper, type SelectFn, type ValidateFn } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { endAll } from '../base/ends.ts'
import type { PeerId } from '../base/ids.ts'
import { type Protocol, protocolIds, revisionOf } from '../base/protocol.ts'
import { reasonOf } from '../base/reason.ts'
import { ListenError, type LossReason, PeerLostError, ProtocolError } from '../errors.ts'
import { recordsMax } from '../limits.ts'
import {
  channelsOutMax,
  connectionsMax,
  connectionsPerPeerMax,
  dhtAlpha,
  dhtBucketSize,
  dhtDialMaxMs,
  dhtDialMinMs,
  dhtDisjointPaths,
  dhtQuerySelfMs,
  dialTimeoutMs,
  duplicateGraceMs,
  frameBytesDefaultMax,
  handshakeMs,
  providerRepublishMs,
  providerSweepMs,
  providerTtlMs,
  rememberedMs,
  silentDialMs,
  streamWindowBytesMax
} from './limits.ts'
import type { DhtStore } from './dht-store.ts'
import { memoryChannels, StreamChannel } from './channel.ts'
import { Doorway } from './doorway.ts'
import type { Identity } from './identity.ts'
import type { Channel, Links } from './links.ts'
import type { LinkTraffic } from './liveness.ts'
import { type HandshakeFailure, swarmNoise } from './noise.ts'
import { boundPeerStore } from './peer-store.ts'
import { LanTcp } from './tcp-transport.ts'
import { UnfinishedFrames } from './unfinished.ts'
import { steadyYamux } from './yamux.ts'

/** A libp2p datastore that has been opened; the host does not close it. */
export type HostDatastore = NonNullable<NonNullable<Parameters<typeof createLibp2p>[0]>['datastore']>

export interface HostInit {
  readonly identity: Identity
  /** The swarm's 32 random bytes. */
  readonly secret: Uint8Array
  readonly listen: readonly string[]
  readonly agent: string
  readonly datastore?: HostDatastore
  /** Where the DHT keeps what it keeps for others. @default in `datastore`, without bounds */
  readonly dhtStore?: DhtStore
  /** @default true */
  readonly dht?: boolean
  /** Whether queries of the DHT may dial now whoever they want to ask. @default always */
  readonly queriesMayDial?: () => boolean
  /** Decides which values the DHT stores and which of several is the best, under keys `/skein/…`. */
  readonly validate?: ValidateFn
  readonly select?: SelectFn
  /** The first connection to a peer is there, or its last one is gone. */
  readonly onConnect?: (peer: PeerId) => void
  readonly onDisconnect?: (peer: PeerId) => void
  /** The process at the other end is another one than before, without a moment in which there was no connection. */
  readonly onReplaced?: (peer: PeerId) => void
  readonly onHandshakeFailed?: (how: HandshakeFailure) => void
  /** The first channel to a peer on which something depends was opened. */
  readonly onWatch?: () => void
  /** A peer broke the framing rules. */
  readonly onViolation?: (peer: PeerId, kind: string) => void
}

interface Handled {
  readonly protocol: Protocol
  readonly inboundMax: number
  readonly frameBytesMax: number
  readonly background: boolean
  readonly handler: (channel: Channel) => void
  readonly onFull: ((channel: Channel) => void) | undefined
}

/** One connected peer, counted as it is asked for: nothing is done per frame. */
class Traffic implements LinkTraffic {
  readonly peer: PeerId
  /** Channels on which something depends, open or being opened, and watches. */
  channels = 0
  readonly #connections = new Set<Connection>()
  /** Of connections that are closed. */
  #closedIn = 0
  #closedOut = 0

  constructor(peer: PeerId) {
    this.peer = peer
  }

  get watched(): boolean {
    return this.channels > 0
  }

  get bytesIn(): number {
    let bytes = this.#closedIn
    for (const connection of this.#connections) bytes += socketOf(connection)?.bytesRead ?? 0
    return bytes
  }

  get bytesOut(): number {
    let bytes = this.#closedOut
    for (const connection of this.#connections) bytes += socketOf(connection)?.bytesWritten ?? 0
    return bytes
  }

  opened(connection: Connection): void {
    this.#connections.add(connection)
  }

  closed(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    this.#closedIn += socketOf(connection)?.bytesRead ?? 0
    this.#closedOut += socketOf(connection)?.bytesWritten ?? 0
  }
}

/**
 * The TCP socket below a connection. libp2p does not show it, but its own counters are the only ones that grow while a
 * large frame arrives, and cost nothing.
 */
function socketOf(connection: Connection): { readonly bytesRead: number; readonly bytesWritten: number } | undefined {
  return (connection as { maConn?: { socket?: { bytesRead: number; bytesWritten: number } } }).maConn?.socket
}

/** libp2p logs through `debug` to stderr only when asked; ours is silent and costs nothing. */
const silent: ComponentLogger = (() => {
  const log = Object.assign(() => {}, {
    enabled: false,
    trace: Object.assign(() => {}, { enabled: false }),
    error: () => {},
    newScope: () => log
  })
  return { forComponent: () => log } as unknown as ComponentLogger
})()

/** Kademlia over a store of its own, where there is one, and with a peer store that knows no absence. */
function withDhtStore(store: DhtStore | undefined, init: KadDHTInit): (components: KadDHTComponents) => KadDHT {
  return components => {
    const { peerStore } = components
    const forgiving = new Proxy(peerStore, {
      get(target, name) {
        if (name === 'get') {
          // One provider whose addresses are forgotten would fail the answer about all of a shard.
          return async (id: Libp2pPeerId, options?: AbortOptions) =>
            (await target.has(id, options))
              ? target.get(id, options)
              : { id, addresses: [], protocols: [], tags: new Map() }
        }
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      }
    })
    const own: Partial<Record<PropertyKey, unknown>> = { peerStore: forgiving, datastore: store }
    // libp2p's components are a proxy themselves and cannot be copied.
    return kadDHT(init)(new Proxy(components, { get: (target, name) => own[name] ?? Reflect.get(target, name) }))
  }
}

type KadDHTInit = NonNullable<Parameters<typeof kadDHT>[0]>
type KadDHTComponents = Parameters<ReturnType<typeof kadDHT>>[0]
type Services = { identify: Identify; ping: Ping; dht: KadDHT }

export class Host implements Links {
  readonly self: PeerId
  readonly #init: HostInit
  readonly #node: Libp2p<Services>
  readonly #sockets: LanTcp
  /** Protocols that are spoken here, by name. */
  readonly #handled = new Map<string, Handled>()
  /** Their ids on the wire. */
  readonly #handledIds = new Set<string>()
  /** Inbound channels per peer and protocol. */
  readonly #inbound = new Map<string, Set<{ readonly closed: boolean }>>()
  readonly #channels = new Set<StreamChannel>()
  readonly #unfinished = new UnfinishedFrames()
  readonly #connected = new Set<PeerId>()
  readonly #traffic = new Map<PeerId, Traffic>()
  /** How peers that are not connected any more were lost, where that was not a plain close. */
  readonly #losses = new Map<PeerId, LossReason>()
  /** Where the other end of a connection says that it listens. */
  readonly #listening = new WeakMap<Connection, ReadonlySet<string>>()
  /** Peers that are being dialled, other than by queries of the DHT. */
  readonly #meant: Set<string>
  /** Peers with several connections that are being looked after. */
  readonly #duplicates = new Set<string>()
  #stopped = false

  private constructor(init: HostInit, node: Libp2p<Services>, sockets: LanTcp, meant: Set<string>) {
    this.#meant = meant
    this.self = init.identity.id
    this.#init = init
    this.#node = node
    this.#sockets = sockets
    node.addEventListener('connection:open', ({ detail }) => this.#opened(detail))
    node.addEventListener('connection:close', ({ detail }) => this.#closed(detail))
    node.addEventListener('peer:identify', ({ detail }) => this.#identified(detail.connection, detail.listenAddrs))
  }

  /** @throws {ListenError} when an address is no multiaddr of ours or cannot be listened on. */
  static async start(init: HostInit): Promise<Host> {
    const listen = init.listen.map(parseListenAddress)
    const sockets = new LanTcp(new Doorway())
    const dht = withDhtStore(init.dhtStore, {
      protocol: '/skein/kad/1.0.0',
      // Both default to what suits the public internet: clients only, private addresses removed.
      clientMode: false,
      peerInfoMapper: passthroughMapper,
      allowQueryWithZeroPeers: true,
      kBucketSize: dhtBucketSize,
      alpha: dhtAlpha,
      disjointPaths: dhtDisjointPaths,
      initialQuerySelfInterval: 500,
      querySelfInterval: dhtQuerySelfMs,
      networkDialTimeout: { minTimeout: dhtDialMinMs, maxTimeout: dhtDialMaxMs },
      // `providers.provideValidity` is ignored by kad-dht 16.4; these, in ms, are what counts.
      reprovide: { validity: providerTtlMs, interval: providerSweepMs, threshold: providerRepublishMs },
      validators: { skein: (key, value, options) => init.validate?.(key, value, options) },
      selectors: { skein: (key, values) => init.select?.(key, values) ?? 0 }
    })
    const meant = new Set<string>()
    const node = await createLibp2p<Services>({
      start: false,
      privateKey: init.identity.privateKey,
      ...(process.env.DEBUG === undefined ? { logger: silent } : {}),
      nodeInfo: { name: 'skein', userAgent: init.agent },
      addresses: {
        listen: listen.map(address => address.toString()),
        // Left to itself libp2p announces no address of the public ranges that nobody has dialled back: no IPv6 LAN has others.
        announceFilter: verified => {
          const own = sockets.addresses.map(address => address.encapsulate(`/p2p/${init.identity.id}`))
          return [...new Map([...own, ...verified].map(address => [address.toString(), address])).values()]
        }
      },
      connectionGater: {
        // Whom nobody here means to dial, a query of the DHT does.
        denyDialPeer: peer => !meant.has(peer.toString()) && init.queriesMayDial?.() === false
      },
      transports: [sockets.transport],
      connectionEncrypters: [swarmNoise(init.secret, how => init.onHandshakeFailed?.(how))],
      streamMuxers: [steadyYamux({ streamOptions: { maxStreamWindowSize: streamWindowBytesMax } })],
      ...(init.datastore === undefined ? {} : { datastore: init.datastore }),
      peerStore: { maxAddressAge: rememberedMs, maxPeerAge: rememberedMs },
      connectionManager: {
        maxConnections: connectionsMax,
        // The doorway bounds both, by address; libp2p refuses the newest, whoever it is.
        inboundConnectionThreshold: Number.MAX_SAFE_INTEGER,
        maxIncomingPendingConnections: Number.MAX_SAFE_INTEGER,
        inboundUpgradeTimeout: handshakeMs,
        dialTimeout: dialTimeoutMs,
        addressDialTimeout: dialTimeoutMs,
        // The dialer knows which addresses are near; libp2p's own order puts public ones first.
        // Of those that libp2p's own dials find in its peer store, what the peer certified comes first.
        addressSorter: (a, b) => (a.isCertified === b.isCertified ? 0 : a.isCertified ? -1 : 1),
        reconnectRetries: 0
      },
      // Its pings open a stream each and abort a healthy connection when one is slower than their interval;
      // the beats of /skein/alive do this work on a stream that is open anyway.
      connectionMonitor: { enabled: false },
      services: {
        identify: identify({ protocolPrefix: 'skein' }),
        ping: ping({ protocolPrefix: 'skein' }),
        // Only what compares a swarm with one that has none goes without it, and asks nothing of it.
        ...((init.dht === false ? {} : { dht }) as { dht: typeof dht })
      }
    })
    const host = new Host(init, node, sockets, meant)
    await boundPeerStore(node.peerStore, id => id.equals(node.peerId) || node.getConnections(id).length > 0)
    try {
      await node.start()
    } catch (error) {
      // Why it did not start is what counts.
      await endAll([() => stopNode(node)]).catch(() => {})
      throw listenError(listen, error)
    }
    return host
  }

  /** Multiaddrs that others can dial, with this peer's id. */
  get addresses(): readonly string[] {
    return this.#node.getMultiaddrs().map(address => address.toString())
  }

  get dht(): KadDHT {
    return this.#node.services.dht
  }

  get node(): Libp2p<Services> {
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

  /** Ends every connection to a peer at once; its channels end with an error that says why. */
  disconnect(peer: PeerId, message: string, reason: LossReason = 'closed'): void {
    if (reason !== 'closed') {
      // Bounded by simply starting anew: it only makes a dial shorter.
      if (this.#losses.size >= recordsMax) this.#losses.clear()
      this.#losses.set(peer, reason)
    }
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
    for (;;) {
      let connection: Connection | undefined
      try {
        connection = this.#preferred(this.#node.getConnections(id)) ?? (await this.#reach(id, peer, signal))
        tried.add(connection)
        const stream = await connection.newStream(protocolIds(protocol), { signal, maxOutboundStreams: channelsOutMax })
        return this.#channel(stream, peer, protocol, frameBytesMax)
      } catch (error) {
        signal.throwIfAborted()
        // One of two connections may have been closed under us as a duplicate: the other one counts.
        const other = this.#preferred(this.#node.getConnections(id))
        if (connection?.status !== 'open' && other !== undefined && !tried.has(other)) continue
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
    {
      inboundMax,
      frameBytesMax,
      background = false,
      onFull
    }: {
      inboundMax: number
      frameBytesMax: number
      background?: boolean
      onFull?: (channel: Channel) => void
    },
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
    for (const channel of [...this.#channels]) {
      channel.abort(new PeerLostError(channel.remote, 'this peer is stopping'))
    }
    await stopNode(this.#node)
  }

  #accept(protocol: Protocol, stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString() as PeerId
    const handled = this.#handled.get(protocol.name)
    const isFull = this.#isFull(protocol.name, peer)
    if (handled === undefined || this.#stopped || (isFull && handled.onFull === undefined)) {
      stream.abort(new ProtocolError(`${peer} may not open another channel of ${protocol.name}`))
      return
    }
    const channel = this.#channel(stream, peer, protocol, handled.frameBytesMax)
    if (isFull) {
      handled.onFull?.(channel)
      return
    }
    this.#inboundOf(protocol.name, peer).add(channel)
    handled.handler(channel)
  }

  /** Inbound channels of a protocol and peer that have not ended. */
  #inboundOf(name: string, peer: PeerId): Set<{ readonly closed: boolean }> {
    const key = `${peer} ${name}`
    const channels = this.#inbound.get(key) ?? new Set()
    this.#inbound.set(key, channels)
    for (const channel of channels) if (channel.closed) channels.delete(channel)
    return channels
  }

  #isFull(name: string, peer: PeerId): boolean {
    return this.#inboundOf(name, peer).size >= (this.#handled.get(name)?.inboundMax ?? 0)
  }

  #channel(stream: Stream, peer: PeerId, protocol: Protocol, frameBytesMax: number): StreamChannel {
    const channel = new StreamChannel(stream, {
      remote: peer,
      // Negotiation ends with one of those that were offered.
      revision: revisionOf(protocol, stream.protocol) ?? protocol.revisions[0]!,
      frameBytesMax,
      unfinished: this.#unfinished,
      onViolation: () => this.#init.onViolation?.(peer, 'bad frame')
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
    if (traffic.channels === 1) this.#init.onWatch?.()
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
    if (!isFull) this.#inboundOf(name, this.self).add(far)
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
    this.#losses.delete(peer)
    if (!this.#connected.has(peer)) {
      this.#connected.add(peer)
      this.#init.onConnect?.(peer)
    }
    if (this.#node.getConnections(connection.remotePeer).length > 1) {
      this.#watchDuplicates(connection.remotePeer)
    }
  }

  #closed(connection: Connection): void {
    const peer = connection.remotePeer.toString() as PeerId
    this.#traffic.get(peer)?.closed(connection)
    if (this.#node.getConnections(connection.remotePeer).length > 0 || !this.#connected.has(peer)) return
    this.#connected.delete(peer)
    this.#traffic.delete(peer)
    for (const name of this.#handled.keys()) this.#inbound.delete(`${peer} ${name}`)
    this.#init.onDisconnect?.(peer)
  }

  /**
   * A process that listens elsewhere than the one on an older connection to this peer has taken its place, or has its identity
   * as well. The newest counts; and who is pushed out comes back and hears of the other one.
   */
  #identified(connection: Connection, listen: readonly Multiaddr[]): void {
    const texts = new Set(listen.map(address => address.toString()))
    this.#listening.set(connection, texts)
    if (texts.size === 0) return
    let replaced = false
    for (const other of this.#node.getConnections(connection.remotePeer)) {
      const others = this.#listening.get(other)
      if (other === connection || others === undefined || others.size === 0) continue
      if (other.timeline.open > connection.timeline.open || [...others].some(text => texts.has(text))) continue
      other.abort(new Error('another process answers under this identity'))
      replaced = true
    }
    if (replaced) this.#init.onReplaced?.(connection.remotePeer.toString() as PeerId)
  }

  /**
   * Both ends dialled at once. New channels go where channels of ours are already, else to a connection that the
   * smaller id dialled, the oldest of them, so that both ends choose alike without a word.
   */
  #preferred(connections: readonly Connection[]): Connection | undefined {
    const rank = (connection: Connection): number =>
      2 * this.#carries(connection) +
      ((connection.direction === 'outbound') === this.self < connection.remotePeer.toString() ? 1 : 0)
    return connections
      .filter(({ status }) => status === 'open')
      .toSorted((a, b) => rank(b) - rank(a) || a.timeline.open - b.timeline.open)[0]
  }

  /** Channels of protocols that are handled here, on one connection. */
  #carries(connection: Connection): number {
    return connection.streams.filter(({ protocol }) => this.#handledIds.has(protocol)).length
  }

  /** Only the smaller id closes, and only what carries no channel of ours: the other end would lose frames. */
  #closeDuplicates(peer: Libp2pPeerId): void {
    this.#duplicates.delete(peer.toString())
    const connections = this.#node.getConnections(peer)
    if (this.#stopped || connections.length < 2) return
    if (this.self < peer.toString()) {
      const preferred = this.#preferred(connections)
      for (const connection of connections) {
        if (connection === preferred || this.#carries(connection) > 0) continue
        void connection.close().catch(() => connection.abort(new Error('a duplicate')))
      }
    }
    this.#watchDuplicates(peer)
  }

  /** Looks again until one connection is left. */
  #watchDuplicates(peer: Libp2pPeerId): void {
    const key = peer.toString()
    if (this.#duplicates.has(key)) return
    this.#duplicates.add(key)
    setTimeout(() => this.#closeDuplicates(peer), duplicateGraceMs).unref()
  }
}

/** Of an error and of all that it is made of. */
function messagesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [String(error)]
  const inner = error instanceof AggregateError ? error.errors : [error.cause].filter(cause => cause !== undefined)
  return [error.message, ...inner.flatMap(messagesOf)]
}

/**
 * Stops a node, and what it would do afterwards: a second after its last listener closed it writes its own addresses
 * into the peer store, and keeps the process alive until then.
 */
async function stopNode(node: Libp2p<Services>): Promise<void> {
  await node.stop()
  type Debounced = { stop?: () => void }
  const { components } = node as { components?: { addressManager?: { _updatePeerStoreAddresses?: Debounced } } }
  components?.addressManager?._updatePeerStoreAddresses?.stop?.()
}

function peerIdFromText(peer: PeerId): Libp2pPeerId {
  try {
    return peerIdFromString(peer)
  } catch {
    throw new PeerLostError(peer, `${peer} is no peer id`)
  }
}

/** A multiaddr to listen on: an IP address and a TCP port, nothing after it. */
function parseListenAddress(text: string): Multiaddr {
  let address: Multiaddr
  try {
    address = multiaddr(text)
  } catch {
    throw new ListenError(`${text} is no multiaddr to listen on: use a form like /ip4/0.0.0.0/tcp/4001`)
  }
  const names = address.getComponents().map(({ name }) => name)
  if (!(names.length === 2 && (names[0] === 'ip4' || names[0] === 'ip6') && names[1] === 'tcp')) {
    throw new ListenError(`${text} cannot be listened on: only /ip4/…/tcp/… and /ip6/…/tcp/… can`)
  }
  return address
}

function listenError(listen: readonly Multiaddr[], error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error)
  const address = listen.find(candidate => message.includes(candidate.toString())) ?? listen[0]
  if (address === undefined) return error instanceof Error ? error : new Error(message)
  const code = /E[A-Z]{4,}/.exec(message)?.[0]
  const why =
    code === 'EADDRINUSE'
      ? 'the port is in use'
      : code === 'EADDRNOTAVAIL'
        ? 'this machine does not have that address'
        : code === 'EACCES'
          ? 'this user may not use that port'
          : reasonOf(error)
  return new ListenError(`${address} cannot be listened on: ${why}`)
}
