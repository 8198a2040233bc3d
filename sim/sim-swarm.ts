/**
 * A peer's part in a simulated swarm: the services of records, announcing and liveness as they are, over the radio. Who is in range
 * is found by the world, as discovery and the dialer find it; there is no DHT.
 *
 * Among a thousand peers each record would be decoded a thousand times every ten seconds; there `hearsay.ts` hands records of
 * connected peers over as they are. Neither placement nor routing looks at any others.
 */
import type { Clock } from '../src/base/clock.ts'
import type { PeerId } from '../src/base/ids.ts'
import type { Sign } from '../src/base/signature.ts'
import type { LossReason } from '../src/errors.ts'
import { AliveService } from '../src/swarm/alive-service.ts'
import { AnnounceService } from '../src/swarm/announce-service.ts'
import type { Links } from '../src/swarm/links.ts'
import type { LinkTraffic } from '../src/swarm/liveness.ts'
import type { RecordContent, SwarmRecord } from '../src/swarm/record.ts'
import { type KnownRecord, Records } from '../src/swarm/records.ts'
import { RecordsService } from '../src/swarm/records-service.ts'
import type { Announcement, Gathering, Swarm, SwarmEvents, SwarmPeer } from '../src/swarm/swarm.ts'
import { signerOf, verify } from './cast.ts'
import { Hearsay } from './hearsay.ts'
import type { RadioLinks } from './radio-links.ts'

export interface SimSwarmInit {
  readonly self: PeerId
  readonly links: RadioLinks
  readonly clock: Clock
  /** Whether records and beats are exchanged byte by byte. */
  readonly usesRecords: boolean
  readonly seq: number
  readonly hardware: RecordContent['hardware']
  readonly isConnected: (peer: PeerId) => boolean
  /** Whether a beat of a peer would be heard now. */
  readonly hears: (peer: PeerId) => boolean
  /** A peer that is not connected has been dialled in vain. */
  readonly isUnreachable: (peer: PeerId) => boolean
  readonly traffic: () => readonly LinkTraffic[]
  readonly disconnect: (peer: PeerId, message: string, reason: LossReason) => void
  readonly battery: () => RecordContent['battery']
  readonly persist: (seq: number) => void
  /** What is said in place of what is true. */
  readonly lieOf: (content: RecordContent) => RecordContent
  /** The stages that are to be announced have changed. */
  readonly onStages: (stages: RecordContent['stages']) => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
}

type Listeners = { [K in keyof SwarmEvents]?: Set<(event: SwarmEvents[K]) => void> }

/** Who exchanges records with neighbours. */
interface Exchange {
  start(): Promise<void>
  known(): readonly KnownRecord[]
  announce(content: RecordContent): void
  readonly neighbours: Iterable<PeerId>
  connected(peer: PeerId): void
  isSought(peer: PeerId): boolean
  leave(): Promise<void>
  stop(): void
}

export class SimSwarm implements Swarm {
  readonly id: PeerId
  readonly addresses: readonly string[] = []
  /** Who is in range is a neighbour, and of others nothing is looked for. */
  readonly isLarge = false
  readonly links: Links
  readonly sign: Sign
  /** No two machines of a world have one identity. */
  readonly yielding: AbortSignal = new AbortController().signal
  readonly #init: SimSwarmInit
  readonly #exchange: Exchange
  readonly #alive: AliveService | undefined
  readonly #announcing: AnnounceService
  readonly #listeners: Listeners = {}
  /** As it was looked up last; undefined when something has changed since. */
  #peers: readonly SwarmPeer[] | undefined
  #own: { readonly record: SwarmRecord; readonly content: RecordContent; readonly said: SwarmRecord } | undefined

  constructor(init: SimSwarmInit) {
    this.#init = init
    this.id = init.self
    this.links = init.links
    this.sign = signerOf(init.self)
    const { links, clock, onViolation, usesRecords } = init
    this.#exchange = usesRecords ? this.#recordsExchange() : this.#hearsayExchange()
    this.#alive = usesRecords
      ? new AliveService({
          links,
          clock,
          traffic: init.traffic,
          isWanted: peer => this.#exchange.isSought(peer) || links.isWatched(peer),
          onSilent: (peer, message, reason) => init.disconnect(peer, message, reason),
          onViolation
        })
      : undefined
    this.#announcing = new AnnounceService({
      content: {
        addresses: [],
        agent: 'sim',
        hardware: init.hardware,
        budgetBytes: 0,
        models: [],
        stages: [],
        load: { sessions: 0, queuedSteps: 0 },
        battery: null,
        leaving: false
      },
      whereAndWhat: () => ({ addresses: [], protocols: links.protocols }),
      neighbours: () => this.#exchange.neighbours,
      rttMs: peer => this.rttMs(peer),
      readBattery: async () => init.battery(),
      onBattery: battery => this.#emit('battery', { battery }),
      say: content => this.#exchange.announce(init.lieOf(content)),
      clock
    })
  }

  async start(): Promise<void> {
    await this.#exchange.start()
    await this.#alive?.start()
    await this.#announcing.start()
  }

  gather(): Gathering {
    return { isSeeking: false, end: () => {} }
  }

  reach(): Gathering {
    return this.gather()
  }

  traffic(): ReturnType<Swarm['traffic']> {
    return this.#init.traffic()
  }

  dhtBytes(): { readonly bytesIn: number; readonly bytesOut: number } {
    return { bytesIn: 0, bytesOut: 0 }
  }

  records(): readonly SwarmPeer[] {
    this.#peers ??= this.#exchange.known().map(({ record, connected, linked }) => ({
      record: record.peer === this.id ? this.#ownOf(record) : record,
      addresses: [],
      ageMs: 0,
      connected,
      contact: false,
      linked,
      unreachable: !connected && this.#init.isUnreachable(record.peer)
    }))
    return this.#peers
  }

  recordOf(peer: PeerId): SwarmRecord | undefined {
    return this.records().find(({ record }) => record.peer === peer)?.record
  }

  announce(change: Announcement): void {
    this.#announcing.change(change)
    this.#peers = undefined
    if (change.stages !== undefined) this.#init.onStages(change.stages)
  }

  /** What it says of itself is to be said anew, whatever it is. */
  saySoon(): void {
    this.#announcing.saySoon()
  }

  discovery(): readonly { readonly way: string; readonly state: string }[] {
    return []
  }

  rttMs(peer: PeerId): number | undefined {
    return this.#alive?.rttMs(peer)
  }

  suspects(): ReadonlySet<PeerId> {
    return this.#alive?.suspects ?? nobody
  }

  hears(peer: PeerId): boolean {
    return this.#init.isConnected(peer) && !this.suspects().has(peer)
  }

  violations(): Readonly<Record<string, number>> {
    return {}
  }

  reportViolation(peer: PeerId, kind: string, message: string): void {
    this.#init.onViolation(peer, kind, message)
  }

  async provide(): Promise<void> {}

  async lookup(): Promise<undefined> {
    return undefined
  }

  async *findProviders(): AsyncGenerator<PeerId, void, void> {}

  addEventListener<K extends keyof SwarmEvents>(type: K, listener: (event: SwarmEvents[K]) => void): void {
    const listeners = this.#listeners[type] ?? (new Set() as NonNullable<Listeners[K]>)
    this.#listeners[type] = listeners
    listeners.add(listener)
  }

  removeEventListener<K extends keyof SwarmEvents>(type: K, listener: (event: SwarmEvents[K]) => void): void {
    this.#listeners[type]?.delete(listener)
  }

  /** There is a connection with a peer. */
  connected(peer: PeerId): void {
    this.#exchange.connected(peer)
  }

  /** Something has begun to depend on a peer. */
  watched(peer: PeerId): void {
    this.#alive?.watched(peer)
  }

  /** A peer has been dialled in vain, or whether it can be reached is not known any more. */
  reached(peer: PeerId): void {
    this.#emit('record', { peer })
  }

  async stop(): Promise<void> {
    this.#announcing.stop()
    this.#alive?.stop()
    await this.#exchange.leave()
    this.#exchange.stop()
  }

  /** What this peer is about to announce of itself is known here already. */
  #ownOf(record: SwarmRecord): SwarmRecord {
    const { content } = this.#announcing
    if (this.#own?.record !== record || this.#own.content !== content) {
      this.#own = { record, content, said: { ...record, ...content } }
    }
    return this.#own.said
  }

  #recordsExchange(): Exchange {
    const { self, seq, links, clock, isConnected, persist, onViolation } = this.#init
    const records = new Records({ self, sign: this.sign, verify, seq })
    const service = new RecordsService({
      records,
      links,
      isConnected,
      isInUse: peer => links.isWatched(peer) || this.#alive?.isNeeded(peer) === true,
      onAsk: peer => this.#alive?.connected(peer),
      onNeighbour: peer => this.#alive?.connected(peer),
      publish: () => {},
      persist,
      onChange: (what, peer) => this.#emit(what, { peer }),
      onLinked: () => {},
      onTwin: () => {},
      onViolation,
      clock
    })
    return Object.assign(service, { known: () => records.known() })
  }

  #hearsayExchange(): Exchange {
    const { self, seq, links, clock, isConnected, hears, persist, disconnect } = this.#init
    return new Hearsay({
      self,
      seq,
      links,
      clock,
      isConnected,
      hears,
      persist,
      disconnect,
      onChange: (what, peer) => this.#emit(what, { peer })
    })
  }

  #emit<K extends keyof SwarmEvents>(type: K, detail: SwarmEvents[K]['detail']): void {
    this.#peers = undefined
    for (const listener of [...(this.#listeners[type] ?? [])]) listener({ type, detail } as unknown as SwarmEvents[K])
  }
}

const nobody: ReadonlySet<PeerId> = new Set()
