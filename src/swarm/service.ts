/** Wires the swarm together: host, discovery, dialer, the records decider and the DHT. */
import { mkdir } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { TypedEventEmitter } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { type End, endAll } from '../base/ends.ts'
import type { ContentId, PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { reasonOf } from '../base/reason.ts'
import type { Sign } from '../base/signature.ts'
import { Keeping } from '../disk/keeping.ts'
import { DataDirectoryError } from '../errors.ts'
import {
  announceDebounceMs,
  batteryMs,
  candidateAddressesMax,
  congestedMs,
  dhtLinksMax,
  dhtQueryMs,
  dialTimeoutMs,
  goodbyeMs,
  providerReachMs,
  recordAddressesMax,
  recordProtocolsMax,
  recordsTickMs,
  redialMinMs,
  rttLookMs,
  yieldMs
} from './limits.ts'
import { meshMax } from '../limits.ts'
import { AliveService } from './alive-service.ts'
import { type DataDirectory, openDataDir } from './data-dir.ts'
import { SwarmDatastore } from './datastore.ts'
import { bestRecord, DhtService } from './dht-service.ts'
import { DhtStore, peerOfDhtKey } from './dht-store.ts'
import { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'
import { MdnsDiscovery, NoMdnsDiscovery } from './discovery-mdns.ts'
import { NeighboursDiscovery } from './discovery-neighbours.ts'
import { RememberedDiscovery } from './discovery-remembered.ts'
import { StaticDiscovery } from './discovery-static.ts'
import { readBattery, readHardware } from './hardware.ts'
import { Host } from './host.ts'
import { type Identity, loadIdentity, verifySignature } from './identity.ts'
import type { Channel, Links } from './links.ts'
import { askRoutes, ownAddresses } from './interfaces.ts'
import type { HandshakeFailure } from './noise.ts'
import { pause } from './pause.ts'
import { Providers } from './providers.ts'
import { peerHint, type RecordContent, runBytes, type SwarmRecord } from './record.ts'
import { Records, type RecordsEffect, type RecordsEvent, recordsChannelFrameBytesMax } from './records.ts'
import { RoundTrips } from './round-trips.ts'
import { SeqFile } from './seq-file.ts'
import { parseSwarm, type SwarmConfig, swarmSecret, swarmTag } from './swarm-file.ts'
import { Twins } from './twins.ts'
import { Voucher } from './vouch.ts'

export const recordsProtocol: Protocol = { name: '/skein/records', revisions: ['1.1.0', '1.0.0'] }

export interface SwarmInit {
  /** The data directory: opened already, or its path, which is then opened and closed here. */
  readonly dataDir: string | DataDirectory
  readonly config: SwarmConfig
  /** @default ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'], of which one is left out where there is no IPv6 */
  readonly listen?: readonly string[]
  readonly bootstrap?: readonly string[]
  /** @default true */
  readonly mdns?: boolean
  /**
   * Look for peers on this machine through a folder in the system's temporary directory; a path is another folder.
   * @default true
   */
  readonly neighbours?: boolean | string
  /** What the record says this peer runs. @default 'skein' */
  readonly agent?: string
  /** Where it writes what it keeps. @default one that says what fails as an event `warning` */
  readonly keeping?: Keeping
  /** Whether it takes part in the DHT. @default true */
  readonly dht?: boolean
  /** Live records that are kept, this peer's included: who else there is, the DHT finds. @default {@link recordsMax} */
  readonly recordsMax?: number
  /** Connections beyond which neither the dialer nor the DHT dials anybody but for what is missing. @default {@link meshMax}, {@link dhtLinksMax} */
  readonly linksMax?: number
  /** Ends the start. */
  readonly signal?: AbortSignal
}

/** A live peer, this one included. */
export interface SwarmPeer {
  readonly record: SwarmRecord
  /** Its addresses as text, without its id. */
  readonly addresses: readonly string[]
  /** Age of its record in ms; 0 for this peer. */
  readonly ageMs: number
  /** There is a records channel with it. A route should only use peers that are connected. */
  readonly connected: boolean
  /** It is or was connected, or a connected peer names it as its neighbour. What is known of any other is hearsay. */
  readonly linked: boolean
  /** It is not connected, and has been dialled in vain since it was. */
  readonly unreachable: boolean
}

/** What this peer announces and may change; the rest it knows itself. */
export type Announcement = Partial<Pick<RecordContent, 'budgetBytes' | 'models' | 'stages' | 'load' | 'leaving'>>

export interface SwarmEvents {
  /** A peer's first live record was accepted; its record expired or it said goodbye. */
  join: CustomEvent<{ readonly peer: PeerId }>
  leave: CustomEvent<{ readonly peer: PeerId }>
  /** A new record of a peer, this one included, or its connection came or went. */
  record: CustomEvent<{ readonly peer: PeerId }>
  violation: CustomEvent<{ readonly peer: PeerId; readonly kind: string; readonly message: string }>
  warning: CustomEvent<{ readonly message: string }>
  /** Another process has this peer's identity, has run for longer, and is told so: this one must stop. */
  yield: CustomEvent<{ readonly message: string }>
  /** The battery was read; null where there is none. */
  battery: CustomEvent<{ readonly battery: RecordContent['battery'] }>
}

export interface Swarm {
  readonly id: PeerId
  readonly addresses: readonly string[]
  readonly links: Links
  /** Signs as this peer, for rooms that separate their domains (`base/signature.ts`). */
  readonly sign: Sign
  /** Live records, the own one first. */
  records(): readonly SwarmPeer[]
  /** One peer's live record, this one's own included: what a session asks for five times a second. */
  recordOf(peer: PeerId): SwarmRecord | undefined
  /** Changes the own record. Changes within {@link announceDebounceMs} travel as one. */
  announce(change: Announcement): void
  discovery(): readonly { readonly way: string; readonly state: string }[]
  /** The smoothed round trip to a connected peer in ms; undefined until one was measured. */
  rttMs(peer: PeerId): number | undefined
  /** Peers that do not answer at this moment, those included that have just fallen silent. Most of them will. */
  suspects(): ReadonlySet<PeerId>
  /** Whether a peer is connected and answers. */
  hears(peer: PeerId): boolean
  violations(): Readonly<Record<string, number>>
  /** Counts a violation of another protocol by a peer. */
  reportViolation(peer: PeerId, kind: string, message: string): void
  /** Says in the DHT that this peer holds exactly these shards and manifests. Failures are tried again; it never throws. */
  provide(contents: Iterable<ContentId>): Promise<void>
  /**
   * A peer's newest record: its live one, or what the DHT has, which may be long past and is no sign of life.
   * Undefined when nobody has one. @throws the signal's reason.
   */
  lookup(peer: PeerId, options: { signal: AbortSignal }): Promise<SwarmRecord | undefined>
  /**
   * Live peers that hold a shard or a manifest, as the DHT finds them, this peer excluded. Whose record is not known is looked up
   * and dialled, and yielded once it answers; it ends by itself within some ten seconds. @throws the signal's reason.
   */
  findProviders(content: ContentId, options: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void>
  addEventListener<K extends keyof SwarmEvents>(type: K, listener: (event: SwarmEvents[K]) => void): void
  removeEventListener<K extends keyof SwarmEvents>(type: K, listener: (event: SwarmEvents[K]) => void): void
  /** Says goodbye and closes everything. Safe to call twice. */
  stop(): Promise<void>
}

/** Every address of both families. libp2p goes on without the second one where a machine has no IPv6. */
const defaultListen = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

/** What is said of the first handshake of each kind that fails. */
const handshakeWarnings: Readonly<Record<HandshakeFailure, string>> = {
  refused: 'a connection was refused: the other end is of another swarm or has a wrong secret',
  unfinished:
    'a connection ended in the middle of its handshake: the other end is of another swarm, has a wrong secret, or gave up'
}

/**
 * Starts a peer's part in a swarm and returns once it listens; others are found from then on.
 *
 * @throws {DataDirectoryError} {@link ListenError} {@link InvalidSwarmError} {@link InvalidOptionError}
 */
export async function createSwarm(init: SwarmInit): Promise<Swarm> {
  const { signal } = init
  signal?.throwIfAborted()
  const config = parseSwarm(init.config, 'the swarm')
  const undo: End[] = []
  try {
    let dataDir: DataDirectory
    if (typeof init.dataDir === 'string') {
      dataDir = await openDataDir(init.dataDir)
      undo.push(() => dataDir.close())
    } else {
      dataDir = init.dataDir
    }
    let service: SwarmService | undefined
    const keeping = init.keeping ?? new Keeping(message => service?.warn(message))
    const identity = await loadIdentity(dataDir.path, message => keeping.warn(message))
    const secret = swarmSecret(config)
    const tag = swarmTag(secret)
    const folder = join(dataDir.path, 'swarm')
    await mkdir(folder, { recursive: true, mode: 0o700 }).catch(error => {
      throw new DataDirectoryError(`${folder} cannot be made: ${reasonOf(error)}`)
    })
    const datastore = await SwarmDatastore.open(join(folder, `${tag}.peers`), identity.id, keeping)
    undo.push(() => datastore.close())
    const seqFile = new SeqFile(join(folder, `${tag}.seq`), keeping)
    const seq = await seqFile.read()
    undo.push(() => seqFile.settled())
    signal?.throwIfAborted()
    service = new SwarmService({ init, identity, datastore, secret, tag, seqFile, seq, undo })
    const started = service
    undo.push(() => started.end())
    await started.start()
    signal?.throwIfAborted()
    return started
  } catch (error) {
    // Why it did not start is what counts.
    await endAll(undo).catch(() => {})
    throw error
  }
}

/** One neighbour's records channel. */
interface RecordsChannel {
  readonly channel: Channel
  /** It takes no more for now; what it missed is sent again in whole when it does. */
  congested: boolean
}

class SwarmService extends TypedEventEmitter<SwarmEvents> implements Swarm {
  readonly id: PeerId
  readonly #init: SwarmInit
  readonly #identity: Identity
  readonly #datastore: SwarmDatastore
  readonly #secret: Uint8Array
  readonly #tag: string
  readonly #seqFile: SeqFile
  readonly #undo: End[]
  readonly #records: Records
  readonly #channels = new Map<PeerId, RecordsChannel>()
  /** Peers to which a channel is being opened. */
  readonly #opening = new Map<PeerId, AbortController>()
  readonly #violations = new Map<string, number>()
  readonly #abort = new AbortController()
  readonly #dht: DhtService
  readonly #providers: Providers
  #host!: Host
  #alive: AliveService | undefined
  #dialer!: Dialer
  #ways: Discovery[] = []
  #content: RecordContent
  #announceTimer: NodeJS.Timeout | undefined
  #tick: NodeJS.Timeout | undefined
  readonly #twins: Twins
  readonly #handshakes: Record<HandshakeFailure, number> = { refused: 0, unfinished: 0 }
  #batteryReadMs = 0
  /** Addresses as text, by the record that they are from. */
  readonly #addresses = new WeakMap<SwarmRecord, readonly string[]>()
  readonly #roundTrips = new RoundTrips()
  #roundTripsMs = 0
  #stopping: Promise<void> | undefined

  constructor(parts: {
    init: SwarmInit
    identity: Identity
    datastore: SwarmDatastore
    secret: Uint8Array
    tag: string
    seqFile: SeqFile
    seq: number
    undo: End[]
  }) {
    super()
    this.id = parts.identity.id
    this.#twins = new Twins(this.id)
    this.#init = parts.init
    this.#identity = parts.identity
    this.#datastore = parts.datastore
    this.#secret = parts.secret
    this.#tag = parts.tag
    this.#seqFile = parts.seqFile
    this.#undo = parts.undo
    this.#records = new Records({
      self: parts.identity.id,
      sign: parts.identity.sign,
      verify: verifySignature,
      seq: parts.seq,
      life: { run: randomBytes(runBytes).toString('hex'), startMs: performance.now() },
      liveMax: parts.init.recordsMax
    })
    this.#dht = new DhtService({
      self: this.id,
      isOn: parts.init.dht !== false,
      host: () => this.#host,
      ended: this.#abort.signal,
      recordOf: peer => this.#records.get(peer),
      refusal: (peer, value) => this.#records.refusal(peer, value)
    })
    this.#providers = new Providers({
      self: this.id,
      query: (content, options) => this.#dht.providers(content, options),
      lookup: (peer, options) => this.lookup(peer, options),
      isLive: peer => this.#records.get(peer) !== undefined,
      offer: record => this.#dialer.want(record.peer, this.#textAddresses(record), 'DHT', providerReachMs),
      untilLive: (peer, signal) => this.#untilLive(peer, signal),
      nowMs: () => performance.now()
    })
    this.#content = {
      addresses: [],
      agent: parts.init.agent ?? 'skein',
      hardware: readHardware(),
      budgetBytes: 0,
      models: [],
      stages: [],
      load: { sessions: 0, queuedSteps: 0 },
      battery: null,
      leaving: false
    }
  }

  async start(): Promise<void> {
    const { listen = defaultListen, bootstrap = [], mdns = true, neighbours = true } = this.#init
    // Where interfaces cannot be listed, this is how the own addresses are known.
    await askRoutes()
    this.#dialer = new Dialer({
      self: this.id,
      linksMax: this.#init.linksMax ?? meshMax,
      connected: () => this.#host.connectedPeers,
      dial: (addresses, options) => this.#host.dial(addresses, options),
      onOwnId: (addresses, way) => void this.#heardOwnId(addresses, way),
      onUnreachable: peer => this.#emit('record', { peer })
    })
    const staticWay = new StaticDiscovery(bootstrap, this.#dialer)
    this.#host = await Host.start({
      identity: this.#identity,
      secret: this.#secret,
      listen,
      agent: this.#content.agent,
      datastore: this.#datastore,
      dhtStore: new DhtStore({
        self: this.id,
        isHere: peer => this.#records.get(peer) !== undefined || this.#host?.connectedPeers.has(peer) === true
      }),
      dht: this.#init.dht ?? true,
      queriesMayDial: () =>
        this.#host === undefined || this.#host.connectedPeers.size < (this.#init.linksMax ?? dhtLinksMax),
      validate: (key, value) => this.#validate(key, value),
      select: (_key, values) => bestRecord(values),
      onConnect: peer => this.#onConnect(peer),
      onDisconnect: peer => this.#onDisconnect(peer),
      onReplaced: peer => this.#onReplaced(peer),
      onWatch: () => this.#alive?.watched(),
      onHandshakeFailed: how => {
        const isFirst = ++this.#handshakes[how] === 1
        if (isFirst) this.warn(handshakeWarnings[how])
      },
      onViolation: (peer, kind) => this.reportViolation(peer, kind, `${peer}: ${kind}`)
    })
    // Others may connect while libp2p is still starting, as they do when a peer comes back to its old port.
    for (const peer of this.#host.connectedPeers) this.#onConnect(peer)
    this.#host.node.addEventListener('self:peer:update', () => this.#announceSoon())
    await this.#host.handle(
      recordsProtocol,
      { inboundMax: 2, frameBytesMax: recordsChannelFrameBytesMax, background: true },
      channel => this.#attach(channel)
    )
    const alive = new AliveService({
      links: this.#host,
      traffic: () => this.#host.traffic,
      isConnected: peer => this.#host.connectedPeers.has(peer),
      onSilent: (peer, message, reason) => this.#host.disconnect(peer, message, reason),
      onViolation: (peer, kind, message) => this.reportViolation(peer, kind, message)
    })
    await alive.start()
    this.#alive = alive
    for (const peer of this.#host.connectedPeers) alive.connected(peer)
    await this.#readBattery()
    this.#announceNow()
    this.#tick = setInterval(() => this.#onTick(), recordsTickMs).unref()
    const voucher = new Voucher(this.#secret)
    const whoAmI = {
      self: this.id,
      tag: this.#tag,
      addresses: () => this.#bareAddresses,
      dialer: this.#dialer,
      voucher
    }
    this.#ways = [
      mdns ? new MdnsDiscovery(whoAmI) : new NoMdnsDiscovery(),
      ...(neighbours === false
        ? []
        : [new NeighboursDiscovery({ ...whoAmI, ...(typeof neighbours === 'string' ? { root: neighbours } : {}) })]),
      staticWay,
      new RememberedDiscovery(this.#host.node.peerStore, this.#dialer)
    ]
    for (const way of this.#ways) await way.start()
    this.#dialer.start()
  }

  get addresses(): readonly string[] {
    return this.#host.addresses
  }

  /** Without this peer's id, which whoever is told of them knows already. */
  get #bareAddresses(): readonly string[] {
    return this.addresses.map(address => address.replace(/\/p2p\/[^/]+$/, ''))
  }

  get links(): Links {
    return this.#host
  }

  readonly sign: Sign = data => this.#identity.sign(data)

  records(): readonly SwarmPeer[] {
    const nowMs = performance.now()
    const failed = this.#dialer.failed()
    return this.#records.known().map(({ record, receivedMs, connected, linked }) => ({
      // What this peer is about to announce of itself is known here already.
      record: record.peer === this.id ? { ...record, ...this.#content } : record,
      addresses: this.#textAddresses(record),
      ageMs: record.peer === this.id ? 0 : nowMs - receivedMs,
      connected,
      linked,
      unreachable: !connected && failed.has(record.peer)
    }))
  }

  recordOf(peer: PeerId): SwarmRecord | undefined {
    const record = this.#records.get(peer)
    return record === undefined || peer !== this.id ? record : { ...record, ...this.#content }
  }

  announce(change: Announcement): void {
    this.#content = { ...this.#content, ...change }
    this.#announceSoon()
  }

  discovery(): readonly { readonly way: string; readonly state: string }[] {
    const ways = this.#ways.map(({ way, state }, i) => ({ way, state: state.call(this.#ways[i]) }))
    const { refused, unfinished } = this.#handshakes
    const states = [
      ...(refused === 0 ? [] : [`${refused} refused: other swarm or wrong secret`]),
      ...(unfinished === 0 ? [] : [`${unfinished} ended half-way: other swarm or wrong secret, or a bad link`])
    ]
    const twin = this.#twins.state(performance.now())
    return [
      ...(twin === undefined ? [] : [{ way: 'identity', state: twin }]),
      ...ways,
      ...states.map(state => ({ way: 'handshake', state }))
    ]
  }

  rttMs(peer: PeerId): number | undefined {
    return this.#alive?.rttMs(peer)
  }

  suspects(): ReadonlySet<PeerId> {
    return this.#alive?.suspects ?? new Set()
  }

  hears(peer: PeerId): boolean {
    return this.#host.connectedPeers.has(peer) && !this.suspects().has(peer)
  }

  violations(): Readonly<Record<string, number>> {
    const counts = Object.fromEntries(this.#violations)
    for (const [how, count] of Object.entries(this.#handshakes)) if (count > 0) counts[`${how} handshake`] = count
    return counts
  }

  reportViolation(peer: PeerId, kind: string, message: string): void {
    this.#violations.set(kind, (this.#violations.get(kind) ?? 0) + 1)
    this.#emit('violation', { peer, kind, message })
  }

  provide(contents: Iterable<ContentId>): Promise<void> {
    return this.#dht.provide(contents)
  }

  lookup(peer: PeerId, options: { signal: AbortSignal }): Promise<SwarmRecord | undefined> {
    return this.#dht.lookup(peer, options)
  }

  findProviders(content: ContentId, options: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void> {
    return this.#providers.find(content, options)
  }

  stop(): Promise<void> {
    this.#stopping ??= endAll(this.#undo)
    return this.#stopping
  }

  /** Everything that `start` began; the rest of `stop` is undone by its caller. */
  async end(): Promise<void> {
    clearTimeout(this.#announceTimer)
    clearInterval(this.#tick)
    this.#alive?.stop()
    await endAll([
      () => this.#leave(),
      async () => this.#dialer?.stop(),
      ...this.#ways.map(way => async () => way.stop())
    ])
  }

  /** Says goodbye and closes the host, if there is one by now. */
  async #leave(): Promise<void> {
    if (this.#host === undefined) return
    this.#run({ type: 'leave', wallMs: Date.now() })
    // The goodbye is pushed to neighbours and, as far as time allows, put where strangers would look for it.
    const deadline = pause(goodbyeMs, this.#abort.signal)
    const closed = Promise.all([...this.#channels.values()].map(({ channel }) => channel.close()))
    await Promise.race([Promise.all([closed, this.#dht.published]), deadline])
    this.#abort.abort(new Error('this peer is stopping'))
    await this.#host.stop()
  }

  warn(message: string): void {
    this.#emit('warning', { message })
  }

  #emit<K extends keyof SwarmEvents>(type: K, detail: SwarmEvents[K]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  // ── The records decider ─────────────────────────────────────────────────────────────────────────

  #run(event: RecordsEvent): void {
    for (const effect of this.#records.handle(event, performance.now())) this.#perform(effect)
  }

  #perform(effect: RecordsEffect): void {
    switch (effect.type) {
      case 'send':
        this.#send(effect.peer, effect.frame)
        break
      case 'publish':
        this.#dht.publish(effect.value)
        break
      case 'persist':
        this.#seqFile.save(effect.seq)
        break
      case 'join':
      case 'leave':
      case 'record':
        this.#emit(effect.type, { peer: effect.peer })
        break
      case 'linked':
        this.#offer(effect.peer)
        break
      case 'twin':
        this.#onTwin(textAddresses(effect.addresses), effect.yields)
        break
      case 'violation':
        this.reportViolation(effect.peer, effect.kind, effect.message)
        break
    }
  }

  #onTwin(addresses: readonly string[], yields: boolean): void {
    const message = this.#twins.proven(addresses, performance.now())
    if (message !== undefined) this.#emit('warning', { message })
    if (!yields) return
    const yielding = this.#twins.yielding(addresses)
    // Channels come and go between the two: until then it repeats that it yields, so that the other one hears of it.
    void pause(yieldMs, this.#abort.signal).then(() => this.#emit('yield', { message: yielding }))
  }

  /**
   * Somebody says that this peer's own id is at these addresses. Where they are others than its own, it is looked who answers
   * there: no word but a record tells a stranger's joke, or a past life, from a second machine.
   */
  async #heardOwnId(addresses: readonly string[], way: string): Promise<void> {
    const address = this.#twins.suspect(addresses, this.#everyOwnAddress(), performance.now())
    if (address === undefined) return
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(dialTimeoutMs)])
    if (!(await this.#host.answersAsSelf(multiaddr(address), { signal }))) return
    const message = this.#twins.answered(address, way, performance.now())
    if (message !== undefined) this.#emit('warning', { message })
  }

  /** Where it listens, on every interface that it has now. */
  #everyOwnAddress(): string[] {
    const ports = new Set(this.addresses.flatMap(address => /\/tcp\/(\d+)/.exec(address)?.[1] ?? []))
    const hosts = ownAddresses().map(({ address }) => `/${address.includes(':') ? 'ip6' : 'ip4'}/${address}`)
    return [...this.addresses, ...hosts.flatMap(host => [...ports].map(port => `${host}/tcp/${port}`))]
  }

  /** Only who is named by a connected peer is dialled: addresses of anybody else may be invented, and cost dials. */
  #offer(peer: PeerId): void {
    const record = this.#records.get(peer)
    if (record !== undefined) this.#dialer.offer(peer, this.#textAddresses(record), 'records')
  }

  /** The addresses in a record that are multiaddrs; it may hold any bytes. They are read once. */
  #textAddresses(record: SwarmRecord): readonly string[] {
    let addresses = this.#addresses.get(record)
    if (addresses === undefined) {
      addresses = textAddresses(record.addresses)
      this.#addresses.set(record, addresses)
    }
    return addresses
  }

  #onTick(): void {
    this.#run({ type: 'tick', wallMs: Date.now() })
    if (performance.now() - this.#batteryReadMs >= batteryMs) void this.#readBattery()
    if (performance.now() - this.#roundTripsMs >= rttLookMs) this.#readRoundTrips()
  }

  async #readBattery(): Promise<void> {
    this.#batteryReadMs = performance.now()
    const battery = await readBattery()
    this.#content = { ...this.#content, battery }
    this.#emit('battery', { battery })
    this.#announceSoon()
  }

  #readRoundTrips(): void {
    this.#roundTripsMs = performance.now()
    const measured = [...this.#channels.keys()].map(peer => [peerHint(peer), this.rttMs(peer)] as const)
    this.#content = { ...this.#content, rtts: this.#roundTrips.look(new Map(measured)) }
    // What is the same as before is not sent again.
    this.#announceSoon()
  }

  #announceSoon(): void {
    if (this.#abort.signal.aborted || this.#tick === undefined) return
    this.#announceTimer ??= setTimeout(() => this.#announceNow(), announceDebounceMs).unref()
  }

  #announceNow(): void {
    clearTimeout(this.#announceTimer)
    this.#announceTimer = undefined
    const addresses = this.#host.node
      .getMultiaddrs()
      .map(address => address.decapsulate(`/p2p/${this.id}`).bytes)
      .slice(0, recordAddressesMax)
    const protocols = this.#host.protocols.slice(0, recordProtocolsMax)
    this.#content = { ...this.#content, addresses, protocols }
    this.#run({ type: 'announce', content: this.#content, wallMs: Date.now() })
  }

  // ── Records channels: one per pair, opened by the smaller id ────────────────────────────────────

  #onConnect(peer: PeerId): void {
    if (this.#host === undefined) return
    this.#alive?.connected(peer)
    if (this.id < peer) void this.#openRecords(peer)
    if (this.#host.connectedPeers.size === 1) void this.#dht.provideAgain()
  }

  /** The other end of a channel of ours is gone, whether that has been noticed or not: at once to the one that is there. */
  #onReplaced(peer: PeerId): void {
    if (this.id > peer) return
    const entry = this.#channels.get(peer)
    this.#channels.delete(peer)
    this.#run({ type: 'closed', peer })
    entry?.channel.abort(new Error('another process answers under this identity'))
    void this.#openRecords(peer)
  }

  #onDisconnect(peer: PeerId): void {
    this.#dialer.lost(peer)
  }

  /**
   * Opens the channel unless there is one, again and again while the peer is connected, less and less often. A new
   * connection begins anew: what was tried on the last one, of a process that was about to go, says nothing about it.
   */
  async #openRecords(peer: PeerId, afterMs = 0): Promise<void> {
    const attempt = new AbortController()
    this.#opening.get(peer)?.abort(new Error('begun anew'))
    this.#opening.set(peer, attempt)
    const ended = AbortSignal.any([this.#abort.signal, attempt.signal])
    try {
      for (let waitMs = afterMs; ; waitMs = Math.min(2 * waitMs || redialMinMs, dhtQueryMs)) {
        await pause(waitMs, ended)
        if (ended.aborted || !this.#host.connectedPeers.has(peer) || this.#channels.has(peer)) return
        try {
          const signal = AbortSignal.any([ended, AbortSignal.timeout(dhtQueryMs)])
          const channel = await this.#host.open(peer, recordsProtocol, { signal })
          if (ended.aborted) channel.abort(new Error('begun anew'))
          else this.#attach(channel)
          // It may have ended already; then the next round tries again.
        } catch {
          // It may be about to go, or not yet ready.
        }
      }
    } finally {
      if (this.#opening.get(peer) === attempt) this.#opening.delete(peer)
    }
  }

  #attach(channel: Channel): void {
    const peer = channel.remote
    // A second one means that the other end lost the first.
    const before = this.#channels.get(peer)
    const entry: RecordsChannel = { channel, congested: false }
    this.#channels.set(peer, entry)
    before?.channel.abort(new Error('replaced by a newer channel'))
    channel.receive({
      onFrame: frame => this.#run({ type: 'frame', peer, frame }),
      onClose: () => {
        if (this.#channels.get(peer) !== entry) return
        this.#channels.delete(peer)
        this.#run({ type: 'closed', peer })
        this.#emit('record', { peer })
        // Not at once: an end that refuses every channel would be asked for the next without a pause.
        if (this.id < peer && !this.#opening.has(peer)) void this.#openRecords(peer, redialMinMs)
      }
    })
    if (this.#channels.get(peer) !== entry) return
    this.#run({ type: 'opened', peer })
    this.#emit('record', { peer })
  }

  #send(peer: PeerId, frame: Uint8Array): void {
    const entry = this.#channels.get(peer)
    if (entry === undefined || entry.congested) return
    if (entry.channel.send(frame)) return
    entry.congested = true
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(congestedMs)])
    entry.channel.ready({ signal }).then(
      () => {
        entry.congested = false
        if (this.#channels.get(peer) === entry) this.#run({ type: 'opened', peer })
      },
      (error: Error) => entry.channel.abort(error)
    )
  }

  // ── The DHT ─────────────────────────────────────────────────────────────────────────────────────

  /** kad-dht calls this for every value it is given, whoever gives it. @throws to refuse it. */
  #validate(key: Uint8Array, value: Uint8Array): void {
    const peer = peerOfDhtKey(new TextDecoder().decode(key))
    if (peer === undefined) throw new Error('a value of this DHT is under /skein/<peer id> and under nothing else')
    const refusal = this.#records.refusal(peer, value)
    if (refusal !== undefined) throw new Error(refusal)
    // Of someone unknown it may be as old as the DHT keeps values: it is stored, but brings nobody to life.
    if (this.#records.get(peer) !== undefined) this.#run({ type: 'value', value: new Uint8Array(value) })
  }

  /** Until a peer's record lives, which it does soon after it is connected. */
  async #untilLive(peer: PeerId, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const look = (): void => {
      if (signal.aborted || this.#records.get(peer) !== undefined) resolve()
    }
    this.addEventListener('record', look)
    signal.addEventListener('abort', look)
    try {
      look()
      await promise
    } finally {
      this.removeEventListener('record', look)
      signal.removeEventListener('abort', look)
    }
    return this.#records.get(peer) !== undefined
  }
}

/** Addresses that are multiaddrs; a record may hold any bytes. */
function textAddresses(addresses: readonly Uint8Array[]): string[] {
  return addresses.slice(0, candidateAddressesMax).flatMap(bytes => {
    try {
      return [multiaddr(bytes).toString()]
    } catch {
      return []
    }
  })
}
