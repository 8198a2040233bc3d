/** The libp2p node below a host: TCP, Noise with the swarm's secret as prologue, Yamux, identify, ping and our own Kademlia. */
import { type Identify, identify } from '@libp2p/identify'
import {
  type AbortOptions,
  type ComponentLogger,
  KEEP_ALIVE,
  type Libp2p,
  type PeerData,
  type PeerId as Libp2pPeerId
} from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper, type SelectFn, type ValidateFn } from '@libp2p/kad-dht'
import { type Ping, ping } from '@libp2p/ping'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { endAll } from '../base/ends.ts'
import { reasonOf } from '../base/reason.ts'
import { ListenError } from '../errors.ts'
import { admissionMs } from '../trust/limits.ts'
import type { DhtBytes } from './dht-bytes.ts'
import type { Admitting } from './admitting.ts'
import type { DhtStore } from './dht-store.ts'
import { Doorway } from './doorway.ts'
import type { Identity } from './identity.ts'
import {
  connectionsMax,
  dhtAlpha,
  dhtBucketSize,
  dhtDialMaxMs,
  dhtDialMinMs,
  dhtDisjointPaths,
  dialTimeoutMs,
  handshakeMs,
  providerRepublishMs,
  providerSweepMs,
  providerTtlMs,
  rememberedMs,
  streamWindowBytesMax
} from './limits.ts'
import { type HandshakeFailure, swarmNoise } from './noise.ts'
import { boundPeerStore } from './peer-store.ts'
import { LanTcp } from './tcp-transport.ts'
import { steadyYamux } from './yamux.ts'

/** A libp2p datastore that has been opened; the host does not close it. */
export type HostDatastore = NonNullable<NonNullable<Parameters<typeof createLibp2p>[0]>['datastore']>

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

/** Kademlia over a store of its own, where there is one, and with a peer store that knows no absence and keeps nobody connected. */
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
        if (name === 'merge') {
          return (id: Libp2pPeerId, data: PeerData, options?: AbortOptions) =>
            target.merge(id, withoutKeepAlive(data), options)
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

/**
 * Kademlia has libp2p dial those closest to the own id again as soon as a connection with one of them ends: whoever closes what is
 * idle would close and dial for ever. They are dialled when a query needs them.
 */
function withoutKeepAlive(data: PeerData): PeerData {
  if (data.tags === undefined) return data
  const entries = data.tags instanceof Map ? [...data.tags] : Object.entries(data.tags)
  return { ...data, tags: Object.fromEntries(entries.filter(([tag]) => !tag.startsWith(KEEP_ALIVE))) }
}

type KadDHTInit = NonNullable<Parameters<typeof kadDHT>[0]>
type KadDHTComponents = Parameters<ReturnType<typeof kadDHT>>[0]
type Services = { identify: Identify; ping: Ping; dht: KadDHT }

/** The longest time that a timer takes: 25 days. */
const neverMs = 2 ** 31 - 1

function dhtOf(init: NodeInit): (components: KadDHTComponents) => KadDHT {
  return withDhtStore(init.dhtStore, {
    protocol: dhtProtocol,
    // Both default to what suits the public internet: clients only, private addresses removed.
    clientMode: false,
    peerInfoMapper: passthroughMapper,
    allowQueryWithZeroPeers: true,
    kBucketSize: dhtBucketSize,
    alpha: dhtAlpha,
    disjointPaths: dhtDisjointPaths,
    initialQuerySelfInterval: 500,
    // Its own goes on at one pace, whoever is there: `closest-service.ts` does this.
    querySelfInterval: neverMs,
    networkDialTimeout: { minTimeout: dhtDialMinMs, maxTimeout: dhtDialMaxMs },
    // `providers.provideValidity` is ignored by kad-dht 16.4; these, in ms, are what counts.
    reprovide: { validity: providerTtlMs, interval: providerSweepMs, threshold: providerRepublishMs },
    validators: { skein: (key, value, options) => init.validate?.(key, value, options) },
    selectors: { skein: (key, values) => init.select?.(key, values) ?? 0 }
  })
}

export const dhtProtocol = '/skein/kad/1.0.0'

/** What a node is made of. */
export interface NodeInit {
  readonly identity: Identity
  readonly secret: Uint8Array
  /** Of a swarm with members: connections are made with these, and not with the secret. */
  readonly admitting: Admitting | undefined
  readonly listen: readonly string[]
  readonly agent: string
  readonly datastore: HostDatastore | undefined
  readonly dhtStore: DhtStore | undefined
  /** Whether it takes part in the DHT. */
  readonly dht: boolean
  readonly dhtBytes: DhtBytes
  /** Whether a peer may be dialled now. */
  readonly mayDial: (peer: string) => boolean
  readonly validate: ValidateFn | undefined
  readonly select: SelectFn | undefined
  readonly onHandshakeFailed: (how: HandshakeFailure) => void
  /** Whether sessions run here. */
  readonly isBusy: () => boolean
}

export type Node = Libp2p<Services>

/**
 * A node that does not run yet, its sockets, and its addresses to listen on.
 *
 * @throws {ListenError} when an address is no multiaddr of ours.
 */
export async function createNode(init: NodeInit): Promise<{ node: Node; sockets: LanTcp; listen: Multiaddr[] }> {
  const listen = init.listen.map(parseListenAddress)
  const sockets = new LanTcp(new Doorway(), init.isBusy)
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
      denyDialPeer: peer => !init.mayDial(peer.toString())
    },
    transports: [sockets.transport],
    connectionEncrypters: [init.admitting?.first ?? swarmNoise(init.secret, init.onHandshakeFailed)],
    streamMuxers: [steadyYamux({ streamOptions: { maxStreamWindowSize: streamWindowBytesMax } }, init.dhtBytes)],
    ...(init.datastore === undefined ? {} : { datastore: init.datastore }),
    peerStore: { maxAddressAge: rememberedMs, maxPeerAge: rememberedMs },
    connectionManager: {
      maxConnections: connectionsMax,
      // The doorway bounds both, by address; libp2p refuses the newest, whoever it is.
      inboundConnectionThreshold: Number.MAX_SAFE_INTEGER,
      maxIncomingPendingConnections: Number.MAX_SAFE_INTEGER,
      inboundUpgradeTimeout: init.admitting === undefined ? handshakeMs : handshakeMs + admissionMs,
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
      ...((init.dht ? { dht: dhtOf(init) } : {}) as { dht: ReturnType<typeof dhtOf> })
    }
  })
  init.admitting?.refresh(node)
  await boundPeerStore(node.peerStore, id => id.equals(node.peerId) || node.getConnections(id).length > 0)
  return { node, sockets, listen }
}

/** @throws {ListenError} when an address cannot be listened on. */
export async function startNode(node: Node, listen: readonly Multiaddr[]): Promise<void> {
  try {
    await node.start()
  } catch (error) {
    // Why it did not start is what counts.
    await endAll([() => stopNode(node)]).catch(() => {})
    throw listenError(listen, error)
  }
}

/**
 * Stops a node, and what it would do afterwards: a second after its last listener closed it writes its own addresses
 * into the peer store, and keeps the process alive until then.
 */
export async function stopNode(node: Node): Promise<void> {
  await node.stop()
  type Debounced = { stop?: () => void }
  const { components } = node as { components?: { addressManager?: { _updatePeerStoreAddresses?: Debounced } } }
  components?.addressManager?._updatePeerStoreAddresses?.stop?.()
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
