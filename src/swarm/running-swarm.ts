/** A peer's part in a swarm while it runs: host, discovery, dialer, records, liveness and the DHT, wired together. */
import { TypedEventEmitter } from '@libp2p/interface'
import { type End, endAll } from '../base/ends.ts'
import type { ContentId, PeerId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import { AliveService } from './alive-service.ts'
import { AnnounceService, firstContent } from './announce-service.ts'
import type { SwarmDatastore } from './datastore.ts'
import { bestRecord, DhtService } from './dht-service.ts'
import { ContactsService } from './contacts-service.ts'
import { DhtStore } from './dht-store.ts'
import { Dialer, type Need } from './dialer.ts'
import type { Discovery } from './discovery.ts'
import { discoveries, statesOf } from './discovery-all.ts'
import { StaticDiscovery } from './discovery-static.ts'
import { readBattery, readHardware } from './hardware.ts'
import { HandshakeTally } from './handshake-tally.ts'
import { Host } from './host.ts'
import type { Identity } from './identity.ts'
import { askRoutes } from './interfaces.ts'
import { goodbyeMs, recordAddressesMax, recordProtocolsMax } from './limits.ts'
import type { Links } from './links.ts'
import type { Membership } from './membership-service.ts'
import { soughtOf } from './neighbourhood.ts'
import { pause } from './pause.ts'
import { ReachService } from './reach-service.ts'
import type { SwarmRecord } from './record.ts'
import { recordsOf } from './own-records.ts'
import type { Records } from './records.ts'
import { RecordsService } from './records-service.ts'
import type { SeqFile } from './seq-file.ts'
import type { Announcement, Gathering, Swarm, SwarmEvents, SwarmInit, SwarmPeer } from './swarm.ts'
import { textAddresses } from './text-addresses.ts'
import { relayBetweenTwins } from './twin-relay.ts'
import { TwinsService } from './twins-service.ts'
import { Violations } from './violations.ts'

/** Every address of both families. libp2p goes on without the second one where a machine has no IPv6. */
const defaultListen = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']

/** What is there before the swarm runs. */
export interface RunningSwarmInit {
  readonly init: SwarmInit
  readonly identity: Identity
  readonly datastore: SwarmDatastore
  readonly secret: Uint8Array
  /** In a swarm with members; `secret` is then that of discovery. */
  readonly membership: Membership | undefined
  readonly tag: string
  readonly seqFile: SeqFile
  /** The last seq that was used before. */
  readonly seq: number
  /** What ends what was begun, in order of its beginning. */
  readonly undo: End[]
}

export class RunningSwarm extends TypedEventEmitter<SwarmEvents> implements Swarm {
  readonly id: PeerId
  readonly #parts: RunningSwarmInit
  readonly #init: SwarmInit
  readonly #records: Records
  readonly #violations = new Violations()
  readonly #abort = new AbortController()
  readonly #dht: DhtService
  readonly #reach: ReachService
  readonly #announcing: AnnounceService
  readonly #twins: TwinsService
  readonly #dialer: Dialer
  #host!: Host
  /** In a swarm with members: what rooms above this one talk through. */
  #guarded: Links | undefined
  #exchange: RecordsService | undefined
  #alive: AliveService | undefined
  #contacts: ContactsService | undefined
  #ways: Discovery[] = []
  readonly #handshakes = new HandshakeTally(message => this.warn(message))
  #stopping: Promise<void> | undefined

  constructor(parts: RunningSwarmInit) {
    super()
    this.#parts = parts
    this.#init = parts.init
    this.id = parts.identity.id
    this.#records = recordsOf({ ...parts, recordsMax: parts.init.recordsMax })
    this.#dht = new DhtService({
      self: this.id,
      isOn: parts.init.dht !== false,
      host: () => this.#host,
      ended: this.#abort.signal,
      recordOf: peer => this.#records.get(peer),
      refusal: (peer, value) => this.#records.refusal(peer, value),
      onValue: value => this.#exchange?.found(value),
      isLarge: () => this.isLarge,
      others: () => this.#records.known().length - 1
    })
    this.#dialer = new Dialer({
      self: this.id,
      linksMax: soughtOf(parts.init.linksMax),
      linked: () => this.#exchange?.neighbours ?? new Set(),
      dial: (addresses, options) => this.#host.dial(addresses, options),
      link: async (peer, options) => (await this.#exchange?.ask(peer, options)) === true,
      connected: () => this.#host.connectedPeers,
      onNeed: (peer, as, isNeeded) => this.#onNeed(peer, as, isNeeded),
      onOwnId: (addresses, way) => void this.#twins.heardOwnId(addresses, way),
      onUnreachable: peer => this.#emit('record', { peer })
    })
    this.#reach = new ReachService({
      self: this.id,
      dht: this.#dht,
      dialer: this.#dialer,
      recordOf: peer => this.#records.get(peer),
      onRecord: look => {
        this.addEventListener('record', look)
        return () => this.removeEventListener('record', look)
      },
      isNeighbour: peer => this.#exchange?.neighbours.has(peer) === true,
      isContact: peer => this.#host.isKept(peer),
      isLarge: () => this.isLarge,
      neighboursMax: parts.init.linksMax
    })
    this.#twins = new TwinsService({
      self: this.id,
      addresses: () => this.addresses,
      answersAsSelf: (address, options) => this.#host.answersAsSelf(address, options),
      relay: (address, { signal }) =>
        relayBetweenTwins({
          self: this.id,
          secret: parts.secret,
          address,
          take: channel => this.#exchange?.take(channel),
          signal
        }),
      onWarning: message => this.warn(message)
    })
    this.#announcing = new AnnounceService({
      content: firstContent(readHardware(), parts.init.agent),
      whereAndWhat: () => ({
        addresses: this.#host.node
          .getMultiaddrs()
          .map(address => address.decapsulate(`/p2p/${this.id}`).bytes)
          .slice(0, recordAddressesMax),
        protocols: this.#host.protocols.slice(0, recordProtocolsMax)
      }),
      neighbours: () => this.#exchange?.neighbours ?? [],
      rttMs: peer => this.rttMs(peer),
      readBattery,
      onBattery: battery => this.#emit('battery', { battery }),
      say: content => this.#exchange?.announce(content)
    })
  }

  async start(): Promise<void> {
    const { listen = defaultListen, bootstrap = [] } = this.#init
    // Where interfaces cannot be listed, this is how the own addresses are known.
    await askRoutes()
    const staticWay = new StaticDiscovery(bootstrap, this.#dialer)
    this.#host = await this.#startHost(listen)
    const host = this.#host
    const isInUse = (peer: PeerId): boolean => host.isWatched(peer) || this.#alive?.isNeeded(peer) === true
    const onViolation: Swarm['reportViolation'] = (...what) => this.reportViolation(...what)
    this.#exchange = new RecordsService({
      records: this.#records,
      links: host,
      isConnected: peer => host.connectedPeers.has(peer),
      isInUse,
      neighboursMax: this.#init.linksMax,
      onAsk: peer => this.#alive?.asked(peer),
      onNeighbour: peer => this.#alive?.connected(peer),
      onNeighbourGone: (peer, isLetGo) => {
        // Where its connection is gone, too, that has been told.
        if (isLetGo || host.connectedPeers.has(peer)) this.#dialer.unlinked(peer, isLetGo)
      },
      publish: value => this.#dht.publish(value),
      persist: seq => this.#parts.seqFile.save(seq),
      onChange: (what, peer) => this.#emit(what, { peer }),
      onLinked: peer => this.#offer(peer),
      onTwin: (addresses, yields) => this.#twins.proven(textAddresses(addresses), yields),
      onNamesake: addresses => void this.#twins.heardOwnId(textAddresses(addresses), 'its record'),
      onViolation
    })
    this.#alive = new AliveService({
      links: host,
      traffic: () => host.traffic,
      isWanted: peer => this.#exchange?.isSought(peer) === true || host.isWatched(peer) || host.isKept(peer),
      onSilent: (peer, message, reason) => host.disconnect(peer, message, reason),
      onUnheard: (peer, isUnheard) => {
        host.noteUnheard(peer, isUnheard)
        this.#exchange?.unheard(peer, isUnheard)
      },
      isHeardByOthers: (peer, sinceMs) => (this.#records.receivedMs(peer) ?? sinceMs) > sinceMs,
      onViolation
    })
    host.node.addEventListener('self:peer:update', () => this.#announcing.saySoon())
    this.#guarded = this.membership?.guard(host, onViolation)
    await this.membership?.start({
      links: host,
      connected: () => host.connectedPeers,
      onRefused: (peer, refusal) => this.#onRefused(peer, refusal),
      onMembers: () => this.#exchange?.membersChanged(),
      onRoles: peer => this.#emit('record', { peer }),
      onSecrets: () => host.refreshSecrets(),
      onViolation
    })
    await this.#exchange.start()
    await this.#alive.start()
    this.#contacts = new ContactsService({
      traffic: () => host.traffic,
      isNeeded: peer => this.#exchange?.isSought(peer) === true || isInUse(peer) || host.isKept(peer),
      close: peer => host.release(peer)
    })
    this.#contacts.start()
    this.#dht.start()
    await this.#announcing.start()
    this.#ways = this.#discoveries(staticWay)
    for (const way of this.#ways) await way.start()
    this.#dialer.start()
  }

  #startHost(listen: readonly string[]): Promise<Host> {
    return Host.start({
      identity: this.#parts.identity,
      secret: this.#parts.secret,
      listen,
      agent: this.#announcing.content.agent,
      datastore: this.#parts.datastore,
      dhtStore: new DhtStore({
        self: this.id,
        isHere: peer => this.#records.get(peer) !== undefined || this.#host?.connectedPeers.has(peer) === true
      }),
      dht: this.#init.dht ?? true,
      queriesMayDial: () => this.#contacts?.makeRoom() !== false,
      validate: (key, value) => this.#dht.validate(key, value),
      select: (_key, values) => bestRecord(values),
      onDisconnect: peer => this.#onDisconnect(peer),
      onConnect: peer => this.#onConnect(peer),
      onIdentified: (peer, protocols) => this.#exchange?.identified(peer, protocols),
      onReplaced: peer => this.#exchange?.replaced(peer),
      onWatch: peer => this.#alive?.watched(peer),
      ...(this.membership === undefined ? {} : { members: this.membership }),
      onRefused: (peer, refusal, byRemote) => this.#handshakes.notAdmitted(peer, refusal, byRemote),
      onHandshakeFailed: how => this.#handshakes.failed(how),
      onViolation: (peer, kind) => this.reportViolation(peer, kind, `${peer}: ${kind}`)
    })
  }

  #discoveries(staticWay: Discovery): Discovery[] {
    const { mdns = true, neighbours = true } = this.#init
    return discoveries({
      self: this.id,
      tag: this.#parts.tag,
      secret: this.#parts.secret,
      addresses: () => this.#bareAddresses,
      dialer: this.#dialer,
      peerStore: this.#host.node.peerStore,
      mdns,
      neighbours,
      staticWay
    })
  }

  get addresses(): readonly string[] {
    return this.#host.addresses
  }

  /** Without this peer's id, which whoever is told of them knows already. */
  get #bareAddresses(): readonly string[] {
    return this.addresses.map(address => address.replace(/\/p2p\/[^/]+$/, ''))
  }

  get links(): Links {
    return this.#guarded ?? this.#host
  }

  readonly sign: Sign = data => this.#parts.identity.sign(data)

  records(): readonly SwarmPeer[] {
    const nowMs = performance.now()
    const failed = this.#dialer.failed()
    return this.#records.known().map(({ record, receivedMs, connected, linked }) => ({
      // What this peer is about to announce of itself is known here already.
      record:
        record.peer === this.id
          ? { ...record, ...this.#announcing.content }
          : (this.membership?.within(record) ?? record),
      addresses: textAddresses(record.addresses),
      ageMs: record.peer === this.id ? 0 : nowMs - receivedMs,
      connected,
      contact: this.#host.isKept(record.peer),
      linked,
      unreachable: !connected && failed.has(record.peer)
    }))
  }

  recordOf(peer: PeerId): SwarmRecord | undefined {
    const record = this.#records.get(peer)
    if (record === undefined || peer !== this.id) return record && (this.membership?.within(record) ?? record)
    return { ...record, ...this.#announcing.content }
  }

  announce(change: Announcement): void {
    this.#announcing.change(change)
  }

  discovery(): readonly { readonly way: string; readonly state: string }[] {
    return statesOf(this.#ways, { twin: this.#twins.state(), handshakes: this.#handshakes.states() })
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

  traffic(): ReturnType<Swarm['traffic']> {
    return [...this.#host.traffic].map(({ peer, bytesIn, bytesOut }) => ({ peer, bytesIn, bytesOut }))
  }

  dhtBytes(): { readonly bytesIn: number; readonly bytesOut: number } {
    return { bytesIn: this.#host.dhtBytes.bytesIn, bytesOut: this.#host.dhtBytes.bytesOut }
  }

  violations(): Readonly<Record<string, number>> {
    return { ...this.#violations.counts(), ...this.#handshakes.counts() }
  }

  reportViolation(peer: PeerId, kind: string, message: string): void {
    const told = this.#violations.take(peer, kind, message, performance.now())
    if (told !== undefined) this.#emit('violation', { peer, kind, message: told })
  }

  provide(contents: Iterable<ContentId>): Promise<void> {
    return this.#dht.provide(contents)
  }

  lookup(peer: PeerId, options: { signal: AbortSignal }): Promise<SwarmRecord | undefined> {
    return this.#dht.lookup(peer, options)
  }

  findProviders(content: ContentId, options: { signal: AbortSignal }): AsyncGenerator<PeerId, void, void> {
    return this.#reach.find(content, options)
  }

  get isLarge(): boolean {
    // With fewer neighbours it looks for all that it knows of anyway; who has just gone is known for a while, too.
    const isSatisfied = 2 * (this.#exchange?.neighbours.size ?? 0) >= soughtOf(this.#init.linksMax)
    return isSatisfied && this.#records.known().some(({ connected }) => !connected)
  }

  gather(content: ContentId): Gathering {
    return this.#reach.gather(content, 'neighbour')
  }

  reach(content: ContentId): Gathering {
    return this.#reach.gather(content, 'contact')
  }

  stop(): Promise<void> {
    this.#stopping ??= endAll(this.#parts.undo)
    return this.#stopping
  }

  /** Everything that `start` began; the rest of `stop` is undone by its caller. */
  async end(): Promise<void> {
    this.#announcing.stop()
    this.#reach.stop()
    this.#contacts?.stop()
    this.#dht.stop()
    this.#alive?.stop()
    await endAll([
      () => this.#leave(),
      async () => this.#dialer.stop(),
      ...this.#ways.map(way => async () => way.stop())
    ])
  }

  /** Says goodbye and closes the host, if there is one by now. */
  async #leave(): Promise<void> {
    if (this.#host === undefined) return
    // The goodbye is pushed to neighbours and, as far as time allows, put where strangers would look for it.
    const deadline = pause(goodbyeMs, this.#abort.signal)
    const told = this.#exchange?.leave()
    await Promise.race([Promise.all([told, this.#dht.published]), deadline])
    this.#exchange?.stop()
    this.#twins.stop()
    await this.membership?.stop()
    this.#abort.abort(new Error('this peer is stopping'))
    await this.#host.stop()
  }

  get membership(): Membership | undefined {
    return this.#parts.membership
  }

  get yielding(): AbortSignal {
    return this.#twins.yielding
  }

  warn(message: string): void {
    this.#init.onWarning?.(message)
    this.#emit('warning', { message })
  }

  #emit<K extends keyof SwarmEvents>(type: K, detail: SwarmEvents[K]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  /** This peer has come to need somebody, or does so no longer. */
  #onNeed(peer: PeerId, as: Need, isNeeded: boolean): void {
    if (as === 'neighbour') this.#exchange?.want(peer, isNeeded)
    else if (this.#host.connectedPeers.has(peer)) this.#keep(peer, isNeeded)
  }

  /** A connected peer is a contact from now on, or no longer: whoever waits for a route may take one through it. */
  #keep(peer: PeerId, isKept: boolean): void {
    this.#host.keep(peer, isKept)
    if (isKept) this.#alive?.asked(peer)
    this.#emit('record', { peer })
  }

  /** A peer is no member any more: nothing of it stays. */
  #onRefused(peer: PeerId, refusal: string): void {
    if (this.#host.connectedPeers.has(peer)) this.warn(`${peer} is let go: ${refusal}`)
    this.#host.disconnect(peer, refusal)
    this.#exchange?.membersChanged()
  }

  #onConnect(peer: PeerId): void {
    this.membership?.connected(peer)
    if (this.#dialer.isNeeded(peer, 'contact')) this.#keep(peer, true)
    if (this.#host?.connectedPeers.size === 1) this.#dht.anew()
  }

  #onDisconnect(peer: PeerId): void {
    this.membership?.disconnected(peer)
    this.#dialer.lost(peer)
    if (this.#dialer.isNeeded(peer, 'contact')) this.#emit('record', { peer })
  }

  /** Only who is named by a connected peer is dialled: addresses of anybody else may be invented, and cost dials. */
  #offer(peer: PeerId): void {
    const record = this.#records.get(peer)
    if (record !== undefined) this.#dialer.offer(peer, textAddresses(record.addresses), 'records')
  }
}
