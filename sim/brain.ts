/**
 * One life of a peer's process: the production deciders of stages, sessions, placement and records, driven as their
 * services drive them, in virtual time. What it knows is lost with it; its shards and its seq stay on the disk.
 */
import type { PeerId, Range, SessionId } from '../src/base/ids.ts'
import type { Rng } from '../src/base/rng.ts'
import { Turns } from '../src/base/turns.ts'
import type { Step } from '../src/engine/engine.ts'
import { NoRoomError, NotCoveredError, CacheGapError, InvalidStepError } from '../src/errors.ts'
import type { LossReason } from '../src/errors.ts'
import type { LinkTraffic } from '../src/swarm/liveness.ts'
import { loadAnnounceMs } from '../src/peer/limits.ts'
import { batteryWeakIdleRatio, batteryWeakRatio } from '../src/route/limits.ts'
import { muteExcludeMs } from '../src/session/limits.ts'
import { stageOpenMs, stageTickMs } from '../src/stage/limits.ts'
import { announceDebounceMs, rttLookMs } from '../src/swarm/limits.ts'
import { answerRoute, noRouteSentence } from '../src/route/asking.ts'
import { announcedLinks, ownLinks } from '../src/route/cost.ts'
import { findDetour } from '../src/route/detour.ts'
import { Inflight } from '../src/route/inflight.ts'
import { findRoute } from '../src/route/route.ts'
import { Planner, type PlannerEffect, type PlannerEvent } from '../src/route/planner.ts'
import { Presence } from '../src/route/presence.ts'
import { Proven, type ProvenEffect, type ProvenEvent } from '../src/route/proven.ts'
import { placementRow, Searches } from '../src/route/searches.ts'
import {
  type Holding,
  type Hop,
  type ModelShape,
  type PeerView,
  sameRange,
  stageBytes,
  viewOf,
  withObtainable
} from '../src/route/view.ts'
import type { SessionReport } from '../src/session/event.ts'
import { LeftOut } from '../src/session/left-out.ts'
import { shareMemory } from '../src/serving/shape.ts'
import { sourcesOf } from '../src/serving/sources.ts'
import { decodeFrame, encodeFrame, readFrame } from '../src/stage/codec.ts'
import type { LinkId, SeatId, StageEffect, StageEvent, StageFacts } from '../src/stage/event.ts'
import { framedBytes, type RefuseReason, stageProtocol } from '../src/stage/frame.ts'
import { judgeProbe, probeFrames } from '../src/stage/probe.ts'
import { Stages } from '../src/stage/stage.ts'
import { isGenuine } from '../src/stage/terms.ts'
import { shardsProtocol } from '../src/supply/frame.ts'
import { peerHint, type RecordContent, type StageOffer, type SwarmRecord } from '../src/swarm/record.ts'
import { RoundTrips } from '../src/swarm/round-trips.ts'
import type { KnownRecord } from '../src/swarm/records.ts'
import { AliveRun } from './alive.ts'
import { signerOf, verify } from './cast.ts'
import { HearsayMembership, type Membership, RecordsMembership } from './membership.ts'
import type { Promises } from './promises.ts'
import { type SessionAsk, type SessionHost, SessionRun } from './session-run.ts'
import { Rogue, type Roguery } from './rogue.ts'
import { SupplyRun } from './supply-run.ts'
import { type InstantEngine, type ToyModel, toyEngine } from './toy-engine.ts'
import type { Disk, Weights, WeightsFile } from './weights.ts'
import type { Channel } from './wire.ts'

export const recordsProtocol = '/skein/records'
export const aliveProtocol = '/skein/alive'

/** What one life needs of its peer and its world. */
export interface BrainHost {
  readonly self: PeerId
  readonly name: string
  readonly life: number
  readonly shape: ModelShape
  readonly toy: ToyModel
  readonly promises: Promises
  readonly usesRecords: boolean
  readonly seq: number
  /** Monotonic, on this peer's own clock. */
  readonly nowMs: () => number
  readonly wallMs: () => number
  /** Runs a task of this life; not before the peer is awake, and never once this life is over. */
  readonly after: (delayMs: number, task: () => void) => void
  readonly hears: (peer: PeerId) => boolean
  readonly openChannel: SessionHost['openChannel']
  readonly disconnect: (peer: PeerId, message: string, reason: LossReason) => void
  /** What each connection has carried. */
  readonly traffic: () => readonly LinkTraffic[]
  /** A step takes so much longer than one token does with nothing before it. */
  readonly strained: (ms: number) => void
  readonly persist: (seq: number) => void
  /**
   * How long a step takes now: it counts as work of the processor. `headLayers`: what the model's head weighs, in
   * layers, where the step samples.
   */
  readonly computeMs: (layers: number, tokens: number, headLayers: number) => number
  readonly loadMs: (bytes: number) => number
  readonly battery: () => RecordContent['battery']
  readonly facts: {
    readonly budgetBytes: number
    readonly visitMs: number
    readonly layerMs: number
    readonly numericClass: string
    readonly cores: number
  }
  /** The model's files, and those on this host's disk; undefined where everybody has all of them. */
  readonly weights: Weights | undefined
  readonly disk: Disk
  readonly rng: Rng
  readonly fetched: (files: readonly WeightsFile[], tookMs: number | undefined, error?: string) => void
  /** What real hidden states would add to a frame of this length. */
  readonly wireBytes: (frame: Uint8Array) => number
  readonly lie: () => Lie | undefined
  /** It does nothing with what sessions of others say; its engine ends no step. */
  readonly isMute: () => boolean
  readonly isHung: () => boolean
  readonly moved: (what: string, range: Range) => void
  readonly refused: (reason: RefuseReason, message: string) => void
  readonly told: (run: SessionRun, output: SessionReport) => void
  readonly accused: (by: 'stage' | 'session' | 'records' | 'shard', peer: PeerId, kind: string, message: string) => void
}

/** How a peer means harm. */
export type Lie = 'corrupt' | 'garble' | 'claim' | Roguery

/** A session's cache in an engine, while the decider holds its seat. */
interface Place {
  readonly loaded: Loaded
  readonly session: SessionId
  /** What its engine knows it by. */
  readonly cache: SessionId
  isRunning: boolean
  isEnding: boolean
  onIdle: (() => void) | undefined
  /** Tokens in its cache that count: the engine drops others only at its next step. */
  valid: number
}

interface Loaded {
  readonly range: Range
  /** Undefined while it loads. */
  engine: InstantEngine | undefined
  /** When its thread is done with what it was given. */
  busyUntilMs: number
  places: number
  onEmpty: (() => void) | undefined
  /** Caches that are being freed, and what waits for that. */
  freeing: number
  readonly onFreed: (() => void)[]
}

/** What an Open said, for the checks. */
interface Opened {
  readonly session: SessionId
  readonly epoch: number
  readonly keep: number
}

/** A record as one model's placement sees it, and a number that is the same for views that placement takes for equal. */
interface Seen {
  readonly view: PeerView | undefined
  readonly key: number
}

const views = new WeakMap<SwarmRecord, Seen>()
const viewKeys = new Map<string, number>()

/** Numbers never leave the process, so that sharing them among worlds changes nothing in any of them. */
function keyOf(text: string): number {
  let key = viewKeys.get(text)
  if (key === undefined) {
    if (viewKeys.size > 200_000) viewKeys.clear()
    key = ++lastKey
    viewKeys.set(text, key)
  }
  return key
}

let lastKey = 0

/** A session hears this late at most that a stage of its route stays after all: an announcement, a flight, and its own next look. */
const stayHeardMs = 1_000

export class Brain {
  readonly #host: BrainHost
  readonly #stages: Stages
  readonly #searches = new Searches()
  readonly #roundTrips = new RoundTrips()
  #rtts: ReadonlyMap<number, number> = new Map()
  readonly #planner: Planner
  readonly #presence: Presence
  /** Undefined among so many peers that none is watched. */
  readonly #proven: Proven | undefined
  readonly #membership: Membership
  readonly #alive: AliveRun | undefined
  readonly #supply: SupplyRun | undefined
  readonly #channels = new Map<LinkId, Channel>()
  readonly #opening = new Map<LinkId, { cancel(): void }>()
  readonly #opened = new Map<LinkId, Opened>()
  readonly #seatOpened = new Map<SeatId, Opened>()
  readonly #places = new Map<SeatId, Place>()
  /** Seats whose cache is reserved once others are free, or that are about to hear that it is not. */
  readonly #waitingOpens = new Set<SeatId>()
  readonly #inflight = new Inflight()
  readonly sessions = new Map<SessionId, SessionRun>()
  #loaded: Loaded[] = []
  readonly #turns = new Turns<StageEvent>(event => {
    for (const effect of this.#stages.handle(event, this.#host.nowMs())) this.#do(effect)
  })
  /** What it does where it means harm to sessions. */
  readonly #rogue: Rogue
  #isTicking = false
  #nextLink = 1
  #announced = ''
  #announcing = false
  #looking = false
  #viewKey = ''
  #wakeAtMs = Number.POSITIVE_INFINITY
  #isLeaving = false
  /** Peers that have announced that they are about to go. */
  #leaving: ReadonlySet<PeerId> = new Set()
  #going: readonly Range[] = []
  /** Stages that were about to go and stay after all, and since when, by this peer's clock. */
  #stayed: readonly { readonly range: Range; readonly sinceMs: number }[] = []
  #hasLeft = false
  /** What has come while it is mute, and steps that would have ended while its engine hangs. */
  #held: (() => void)[] = []
  /** Streams to sessions that it drives: it is no hop of theirs there. */
  readonly #driven = new Set<LinkId>()
  /** Peers that did not answer a session of this peer. */
  readonly #mute = new LeftOut()
  /** Bytes that its stages retained at the last look. */
  #retained = 0

  constructor(host: BrainHost) {
    this.#host = host
    this.#stages = new Stages({ self: host.self, retainBytesMax: 0, verify })
    this.#planner = new Planner(host.self, host.nowMs(), this.#searches)
    this.#presence = new Presence(host.self)
    this.#rogue = new Rogue({
      ...host,
      sign: signerOf(host.self),
      model: host.shape.id,
      tokensMax: host.toy.contextMax,
      nextSession: () =>
        Array.from({ length: 32 }, () => Math.floor(host.rng() * 16).toString(16)).join('') as SessionId,
      targets: () =>
        this.#reachable().flatMap(({ peer, stages }) =>
          stages.flatMap(({ start, end, serving }) =>
            serving ? [{ peer, start, end, layers: host.shape.layers }] : []
          )
        ),
      roguery: () => {
        const lie = host.lie()
        return lie === 'steal' || lie === 'hoard' ? lie : undefined
      }
    })
    const membershipHost = {
      self: host.self,
      nowMs: host.nowMs,
      wallMs: host.wallMs,
      hears: host.hears,
      after: host.after,
      changed: () => this.#changed(),
      disconnect: host.disconnect,
      violation: (peer: PeerId, kind: string, message: string) => host.accused('records', peer, kind, message),
      persist: host.persist
    }
    this.#membership = host.usesRecords
      ? new RecordsMembership(membershipHost, host.seq)
      : new HearsayMembership(membershipHost, host.seq)
    if (host.usesRecords) {
      this.#proven = new Proven(host.self, host.rng)
      this.#alive = new AliveRun({
        nowMs: host.nowMs,
        after: host.after,
        traffic: host.traffic,
        disconnect: host.disconnect,
        violation: membershipHost.violation
      })
    }
    const { weights } = host
    if (weights !== undefined) {
      this.#supply = new SupplyRun({
        ...host,
        weights,
        sources: () => sourcesOf(this.#membership.known(), host.self, host.shape.id),
        live: () => this.#stages.sessions > 0,
        diskMs: bytes => host.loadMs(bytes) - host.loadMs(0),
        lies: () => host.lie() === 'garble',
        violation: (peer, kind, message) => host.accused('shard', peer, kind, message)
      })
    }
    this.announce()
    const load = (): void => {
      this.#rogue.wake()
      const now = `${this.#stages.sessions} ${this.#stages.queuedSteps}`
      if (now !== this.#announced) {
        this.#announced = now
        this.announceSoon()
        this.#sessionsChanged()
      }
      host.after(loadAnnounceMs, load)
    }
    host.after(loadAnnounceMs, load)
    const look = (): void => {
      this.#readRoundTrips()
      host.after(rttLookMs, look)
    }
    if (this.#alive !== undefined) host.after(rttLookMs, look)
  }

  get planner(): Planner {
    return this.#planner
  }

  get stages(): Stages {
    return this.#stages
  }

  get loaded(): readonly Loaded[] {
    return this.#loaded
  }

  /** Who sent it wrong weights: it takes none from them any more. */
  get liars(): ReadonlySet<PeerId> {
    return this.#supply?.liars ?? new Set()
  }

  get cacheBytesUsed(): number {
    return this.#loaded.reduce((sum, { engine }) => sum + (engine?.cacheBytesUsed ?? 0), 0)
  }

  /** Whether a session has a cache at a stage here. */
  hasCache(driver: PeerId, session: SessionId, { start, end }: Range): boolean {
    return this.#places.has(`${driver}/${session}/${start}-${end}`)
  }

  /** Whether it knows a route without some peers. */
  hasWayAround(excluded: ReadonlySet<PeerId>): boolean {
    return findRoute(this.#reachable(), this.#host.shape, { from: this.#host.self, excluded }) !== undefined
  }

  /** Computing that its stages still have before them. */
  get backlogMs(): number {
    return Math.max(0, ...this.#loaded.map(({ busyUntilMs }) => busyUntilMs - this.#host.nowMs()))
  }

  known(): readonly KnownRecord[] {
    return this.#membership.known()
  }

  isConnected(peer: PeerId): boolean {
    return this.#membership.isConnected(peer)
  }

  /** Whether a stage serves, and is not about to go as far as others can know. */
  serves(range: Range): boolean {
    const isHeard = this.#stayed.every(
      each => !sameRange(each.range, range) || this.#host.nowMs() - each.sinceMs > stayHeardMs
    )
    if (!isHeard || this.#going.some(each => sameRange(each, range))) return false
    return this.#loaded.some(each => each.engine !== undefined && sameRange(each.range, range))
  }

  /** Announces that it goes: others take over while it still serves. */
  drain(): void {
    this.#isLeaving = true
    this.#stages.leaving = true
    this.announceSoon()
    this.#changed()
  }

  /** Nothing needs it any more, or nobody can take what it has. */
  get isDrained(): boolean {
    const isIdle = this.sessions.size === 0 && this.#stages.sessions === 0
    return isIdle && (this.#loaded.length === 0 || this.#isLacking())
  }

  #isLacking(): boolean {
    const { nowMs, shape } = this.#host
    const plan = this.#searches.planSoon(this.#obtainable(this.#present()), shape, nowMs()) ?? this.#planner.plan
    return plan !== null && plan.missing !== null
  }

  /** With what others can give, where somebody lacks something. */
  #obtainable(views: readonly PeerView[]): readonly PeerView[] {
    return this.#supply === undefined ? views : withObtainable(views)
  }

  #present(): PeerView[] {
    return this.#presence.look(this.#seen(), this.#host.nowMs()).views.filter(view => !this.#isDoubtful(view.peer))
  }

  #isDoubtful(peer: PeerId): boolean {
    return this.#proven?.isDoubtful(peer) === true
  }

  #prove(event: ProvenEvent): void {
    for (const effect of this.#proven?.handle(event, this.#host.nowMs()) ?? []) {
      if (effect.kind === 'wake') this.#wake(effect.atMs)
      else this.#probe(effect)
    }
  }

  /** Asks a stage for one step, as the service of a real peer does. */
  #probe({ peer, range, deadlineMs }: ProvenEffect & { kind: 'probe' }): void {
    const { self, shape, toy, openChannel, after, wireBytes, rng } = this.#host
    const session = Array.from({ length: 32 }, () => Math.floor(rng() * 16).toString(16)).join('') as SessionId
    const model = { id: shape.id, layers: shape.layers, hidden: toy.hidden, edge: toy.edge }
    const frames = probeFrames({ self, sign: signerOf(self), session, model, peer, range })
    let channel: Channel | undefined
    let isOver = false
    const end = (isGood: boolean): void => {
      if (isOver) return
      isOver = true
      opening.cancel()
      if (channel?.isOpen === true) {
        channel.send(frames.close)
        channel.close()
      }
      const before = this.#isDoubtful(peer)
      this.#prove({ kind: 'probed', peer, range, isGood })
      if (this.#isDoubtful(peer) !== before) this.#changed()
    }
    const opening = openChannel(peer, stageProtocol.name, opened => {
      if (isOver || opened === undefined) {
        opened?.close()
        after(0, () => end(false))
        return
      }
      channel = opened
      channel.handlers = {
        onFrame: bytes => {
          const isGood = judgeProbe(bytes)
          if (isGood !== undefined) end(isGood)
        },
        onClose: () => end(false)
      }
      channel.send(frames.open)
      channel.send(frames.step, wireBytes(frames.step))
    })
    after(deadlineMs, () => end(false))
  }

  /** It lies no more: others hear what is true. */
  confess(): void {
    this.announceSoon()
    this.#viewKey = ''
    this.#changed()
  }

  #seen(): { readonly view: PeerView; readonly connected: boolean; readonly key: number }[] {
    return this.#membership.known().flatMap(({ record, connected }) => {
      const { view, key } = this.#viewOf(record)
      return view === undefined ? [] : [{ view, connected, key }]
    })
  }

  /** Says goodbye; the caller ends this life a moment later. */
  leave(): void {
    this.#isLeaving = true
    this.#hasLeft = true
    for (const { range } of [...this.#loaded]) {
      this.#feed({ kind: 'remove', model: this.#host.shape.id, range })
    }
    this.#supply?.stop()
    this.#membership.leave()
  }

  // ── Records ─────────────────────────────────────────────────────────────────────────────────────

  announceSoon(): void {
    if (this.#announcing) return
    this.#announcing = true
    this.#host.after(announceDebounceMs, () => {
      this.#announcing = false
      this.announce()
    })
  }

  announce(): void {
    if (this.#hasLeft) return
    const { facts, shape, weights, disk } = this.#host
    const holding: Holding = weights?.holding(disk.has) ?? {
      held: [{ start: 0, end: shape.layers }],
      holdsEmbedding: true,
      holdsHead: true
    }
    const content: RecordContent = {
      addresses: [],
      agent: 'sim',
      hardware: { cores: facts.cores, memoryBytes: facts.budgetBytes, architecture: 'x64', platform: 'sim', cpu: '' },
      budgetBytes: facts.budgetBytes,
      models: [
        {
          model: shape.id,
          name: shape.name,
          layers: shape.layers,
          held: holding.held,
          embedding: holding.holdsEmbedding,
          head: holding.holdsHead,
          visitMs: facts.visitMs,
          layerMs: facts.layerMs,
          numericClass: facts.numericClass,
          pinned: null
        }
      ],
      stages: this.#offers(),
      load: { sessions: this.#stages.sessions, queuedSteps: this.#stages.queuedSteps },
      battery: this.#host.battery(),
      leaving: this.#isLeaving,
      rtts: this.#rtts
    }
    this.#membership.announce(this.#host.lie() === 'claim' ? claimed(content, shape) : content)
  }

  #readRoundTrips(): void {
    const others = this.#membership
      .known()
      .filter(({ record, connected }) => connected && record.peer !== this.#host.self)
    const measured = others.map(({ record }) => [peerHint(record.peer), this.#alive!.rttMs(record.peer)] as const)
    this.#rtts = this.#roundTrips.look(new Map(measured))
    this.announceSoon()
  }

  #offers(): StageOffer[] {
    return this.#loaded.map(({ range, engine }) => ({
      model: this.#host.shape.id,
      ...range,
      serving: engine !== undefined && !this.#going.some(each => sameRange(each, range)),
      cacheBytesFree: engine === undefined ? 0 : engine.cacheBytesMax - engine.cacheBytesUsed
    }))
  }

  /** A record or a connection has changed: placement and whoever waits for a route look again, once for a burst. */
  #changed(): void {
    if (this.#looking) return
    this.#looking = true
    this.#host.after(5, () => {
      this.#looking = false
      this.#look()
    })
  }

  #look(): void {
    const seen = this.#seen()
    const leaving = seen.flatMap(({ view }) => (view.leaving === true ? [view.peer] : []))
    if (leaving.length > 0 || this.#leaving.size > 0) this.#leaving = new Set(leaving)
    this.#prove({ kind: 'view', peers: seen })
    const { views, wakeAtMs } = this.#presence.look(seen, this.#host.nowMs())
    const present = views.filter(view => !this.#isDoubtful(view.peer))
    if (wakeAtMs !== null) this.#wake(wakeAtMs)
    let at = 0
    let key = ''
    // Those present are among those seen, in the same order.
    for (const view of present) {
      while (seen[at]!.view !== view) at++
      key += `${seen[at]!.key},`
    }
    // The same view again would only cost the planner another search.
    // Who lies about itself follows no plan.
    if (key !== this.#viewKey && this.#host.lie() !== 'claim') {
      this.#viewKey = key
      this.#plan({ kind: 'view', peers: this.#obtainable(present), model: this.#host.shape })
    }
    for (const run of [...this.sessions.values()]) run.changed()
    this.#supply?.changed()
  }

  #viewOf(record: SwarmRecord): Seen {
    let entry = views.get(record)
    if (entry === undefined) {
      const view = viewOf(record, this.#host.shape.id)
      // Loads and charges change all the time; what placement makes of them is in its own bounds.
      const charge = view?.battery ?? 1
      const battery = charge < batteryWeakRatio ? 2 : charge < batteryWeakIdleRatio ? 1 : 0
      entry = { view, key: view === undefined ? 0 : keyOf(`${placementRow({ ...view, battery: null })} ${battery}`) }
      views.set(record, entry)
    }
    return entry
  }

  accept(channel: Channel): void {
    if (channel.protocol === recordsProtocol) {
      this.#membership.opened(channel)
      return
    }
    if (channel.protocol === aliveProtocol) {
      this.#alive?.opened(channel)
      return
    }
    if (channel.protocol === shardsProtocol.name && this.#supply !== undefined) {
      this.#supply.accept(channel)
      return
    }
    if (channel.protocol !== stageProtocol.name) throw new Error(`nobody handles ${channel.protocol} here`)
    if (this.#host.lie() === 'claim') {
      channel.handlers = { onFrame: () => {}, onClose: () => {} }
      return
    }
    const link = this.#nextLink++
    this.#feed({ kind: 'accepted', link, remote: channel.remote })
    this.#attach(link, channel)
  }

  /** A channel that this peer opened as the smaller id of two. */
  opened(channel: Channel): void {
    this.accept(channel)
  }

  isBeating(peer: PeerId): boolean {
    return this.#alive?.isConnected(peer) ?? true
  }

  // ── Placement ───────────────────────────────────────────────────────────────────────────────────

  #plan(event: PlannerEvent): void {
    const effects = this.#planner.handle(event, this.#host.nowMs())
    const { going } = this.#planner
    if (going.length !== this.#going.length || !going.every((range, i) => sameRange(range, this.#going[i]!))) {
      const sinceMs = this.#host.nowMs()
      const stayed = this.#going.filter(range => !going.some(each => sameRange(each, range)))
      this.#stayed = [
        ...this.#stayed.filter(each => sinceMs - each.sinceMs <= stayHeardMs),
        ...stayed.map(range => ({ range, sinceMs }))
      ]
      this.#going = going
      this.announceSoon()
    }
    for (const effect of effects) this.#doPlan(effect)
  }

  #doPlan(effect: PlannerEffect): void {
    if (effect.kind === 'wake') this.#wake(effect.atMs)
    else if (effect.kind === 'load') this.#load(effect.range)
    else if (effect.kind === 'unload') this.#unload(effect.range)
    else throw new Error(`the simulator does not know what a planner means by ${(effect as { kind: string }).kind}`)
  }

  #wake(atMs: number): void {
    const nowMs = this.#host.nowMs()
    if (this.#wakeAtMs <= atMs && this.#wakeAtMs > nowMs) return
    this.#wakeAtMs = atMs
    this.#host.after(Math.max(0, atMs - nowMs) + 0.01, () => {
      if (this.#wakeAtMs !== atMs) return
      this.#wakeAtMs = Number.POSITIVE_INFINITY
      this.#look()
      this.#plan({ kind: 'tick' })
    })
  }

  #sessionsChanged(): void {
    const count = this.#stages.sessions
    for (const { range, sessions } of this.#planner.stages) {
      if (sessions !== count) this.#plan({ kind: 'sessions', range, count })
    }
  }

  #load(range: Range): void {
    const loaded: Loaded = {
      range,
      engine: undefined,
      busyUntilMs: 0,
      places: 0,
      onEmpty: undefined,
      freeing: 0,
      onFreed: []
    }
    this.#loaded = [...this.#loaded, loaded]
    const missing = this.#host.weights?.of(range).filter(({ file }) => !this.#host.disk.has(file)) ?? []
    if (missing.length === 0) this.#start(loaded)
    else this.#fetch(missing, loaded)
  }

  /** What a stage lacks comes from other peers first. */
  #fetch(missing: readonly WeightsFile[], loaded: Loaded): void {
    this.announceSoon()
    this.#host.fetched(missing, undefined)
    const startedMs = this.#host.nowMs()
    this.#supply!.fetch(missing, error => {
      // Whatever came is here to stay.
      this.announceSoon()
      this.#host.fetched(missing, this.#host.nowMs() - startedMs, error)
      if (!this.#loaded.includes(loaded)) return
      if (error === undefined) this.#start(loaded)
      else this.#fail(loaded, error)
    })
  }

  #fail(loaded: Loaded, message: string): void {
    this.#loaded = this.#loaded.filter(each => each !== loaded)
    this.#host.after(1, () => {
      this.#share()
      this.#plan({ kind: 'loadFailed', range: loaded.range, message })
    })
  }

  /** Loads what is on the disk. */
  #start(loaded: Loaded): void {
    const { shape } = this.#host
    const { range } = loaded
    const cacheBytesMax = this.#share()
    if (cacheBytesMax === undefined) {
      this.#fail(loaded, 'sessions hold the memory')
      return
    }
    this.#host.moved('loads', range)
    this.announceSoon()
    this.#checkBudget()
    this.#host.after(this.#host.loadMs(stageBytes(shape, range)), () => {
      if (!this.#loaded.includes(loaded)) return
      const { start, end } = range
      loaded.engine = toyEngine({ model: this.#host.toy, start, end, cacheBytesMax })
      const { layers, vocab, contextMax, hidden, edge } = this.#host.toy
      const stage: StageFacts = { model: shape.id, layers, hidden, edge, vocab, contextMax, start, end }
      this.#feed({ kind: 'add', stage })
      this.#host.moved('serves', range)
      this.announceSoon()
      this.#plan({ kind: 'loaded', range })
    })
  }

  /** As the served model of a real peer does: shares the budget out, and says what the newest stage may take. */
  #share(): number | undefined {
    const { shape, facts } = this.#host
    const stages = this.#loaded.map(({ range, engine }) => ({ range, cacheBytesUsed: engine?.cacheBytesUsed ?? 0 }))
    const shares = shareMemory(shape, facts.budgetBytes, stages, this.#stages.retainBytes)
    if (shares === undefined) return undefined
    for (const [i, { engine }] of this.#loaded.entries()) {
      if (engine !== undefined) engine.cacheBytesMax = shares.cacheBytesMax[i]!
    }
    this.#stages.retainBytesMax = shares.retainBytesMax
    return shares.cacheBytesMax.at(-1)
  }

  #unload(range: Range): void {
    const loaded = this.#loaded.find(each => sameRange(each.range, range))
    if (loaded === undefined) {
      // Its load has just failed, and the word of that is on its way.
      this.#host.after(1, () => this.#plan({ kind: 'unloaded', range }))
      return
    }
    this.#loaded = this.#loaded.filter(each => each !== loaded)
    this.#host.moved('unloads', range)
    this.announceSoon()
    const done = (): void => {
      this.#share()
      this.#host.after(1, () => this.#plan({ kind: 'unloaded', range }))
    }
    this.#feed({ kind: 'remove', model: this.#host.shape.id, range })
    if (loaded.places === 0) done()
    else loaded.onEmpty = done
  }

  #checkBudget(): void {
    const { shape, facts, promises, name } = this.#host
    const weights = this.#loaded.reduce((sum, { range }) => {
      const reserve = shape.stageBytes + shape.cacheBytesPerLayer * (range.end - range.start)
      return sum + stageBytes(shape, range) - reserve
    }, 0)
    promises.budget(name, weights + this.cacheBytesUsed + this.#stages.retainBytes, facts.budgetBytes)
  }

  // ── Stages ──────────────────────────────────────────────────────────────────────────────────────

  #attach(link: LinkId, channel: Channel): void {
    this.#channels.set(link, channel)
    this.#alive?.watched()
    let isFirst = true
    const take = (task: () => void): void => {
      if (this.#host.isMute() && !this.#driven.has(link)) this.#held.push(task)
      else task()
    }
    channel.handlers = {
      onFrame: bytes => {
        if (!this.#opened.has(link) && this.#rogue.lures(channel, bytes)) {
          this.#channels.delete(link)
          this.#feed({ kind: 'closed', link, message: 'it was lured' })
          return
        }
        if (isFirst && isForDriver(bytes)) this.#driven.add(link)
        isFirst = false
        take(() => {
          // While it did nothing its stage has ended this stream: what came on it says nothing any more.
          if (this.#channels.get(link) !== channel) return
          if (!this.#opened.has(link)) this.#noteOpen(link, bytes)
          const read = readFrame(bytes)
          if (read?.kind === 'frame') this.#feed({ ...read, link, bytes: framedBytes(bytes.length) })
          else if (read !== undefined) this.#feed({ ...read, link })
        })
      },
      onClose: (message, reason) =>
        take(() => {
          this.#channels.delete(link)
          this.#opened.delete(link)
          this.#driven.delete(link)
          this.#feed({ kind: 'closed', link, message: message ?? 'it closed the stream', reason })
        })
    }
  }

  /** It is mute or hung no more, or less: what it has left undone is done. */
  resume(): void {
    const held = this.#held
    this.#held = []
    for (const task of held) task()
  }

  /** Remembers what an Open says, for the checks of steps. */
  #noteOpen(link: LinkId, bytes: Uint8Array): void {
    try {
      const frame = decodeFrame(bytes)
      // What nobody has signed opens nothing.
      if (frame?.kind === 'open' && isGenuine(frame.terms, verify)) {
        const { session, driver, epoch, keep, route } = frame.terms
        const opened = { session, epoch, keep }
        this.#opened.set(link, opened)
        const hop = route[frame.hop]
        if (hop === undefined) return
        const seat = `${driver}/${session}/${hop.start}-${hop.end}`
        const before = this.#seatOpened.get(seat)
        if (before === undefined || before.epoch < opened.epoch) {
          this.#seatOpened.set(seat, opened)
          const place = this.#places.get(seat)
          if (place !== undefined) place.valid = Math.min(place.valid, opened.keep)
        }
      }
    } catch {
      // The decider says what is wrong with it.
    }
  }

  #feed(event: StageEvent): void {
    if (!this.#turns.give(event)) return
    const { sessions, queuedSteps, retainBytes, retainBytesMax } = this.#stages
    // A limit that has become lower takes nothing away, but nothing may come to what is above it.
    const retainAllowed = Math.max(this.#retained, retainBytesMax)
    this.#host.promises.queues(this.#host.name, sessions, queuedSteps, retainBytes, retainAllowed)
    this.#retained = retainBytes
    if (this.#stages.busy && !this.#isTicking) {
      this.#isTicking = true
      const tick = (): void => {
        this.#feed({ kind: 'tick' })
        if (this.#stages.busy) this.#host.after(stageTickMs, tick)
        else this.#isTicking = false
      }
      this.#host.after(stageTickMs, tick)
    }
  }

  #do(effect: StageEffect): void {
    const { name } = this.#host
    const promises: Promises = this.#host.promises
    switch (effect.kind) {
      case 'send': {
        const channel = this.#channels.get(effect.link)
        if (channel === undefined) promises.broken('ghost', `${name} sends on link ${effect.link}, which is gone`)
        const { frame } = effect
        // A stage refuses, or passes a refusal on.
        if (frame.kind === 'refuse') this.#host.refused(frame.reason, frame.message)
        const encoded = encodeFrame(frame)
        this.#stages.sent(effect.link, framedBytes(encoded.length))
        const bytes = this.#host.lie() === 'garble' ? garbled(encoded) : encoded
        channel.send(bytes, this.#host.wireBytes(bytes))
        break
      }
      case 'compute':
        this.#compute(effect.seat, effect.step)
        break
      case 'deliver': {
        const { epoch, position, id } = effect.token
        this.sessions.get(effect.session)?.feed({ kind: 'token', epoch, position, id })
        break
      }
      case 'tail-refused':
        this.sessions.get(effect.session)?.feed({ kind: 'tail-refused', refuse: effect.refuse })
        break
      case 'tail-lost':
        this.sessions.get(effect.session)?.feed({ kind: 'tail-lost', epoch: effect.epoch, reason: effect.reason })
        break
      case 'connect':
        this.#connect(effect.link, effect.peer)
        break
      case 'close':
        this.#opening.get(effect.link)?.cancel()
        this.#opening.delete(effect.link)
        this.#channels.get(effect.link)?.close()
        this.#channels.delete(effect.link)
        this.#opened.delete(effect.link)
        break
      case 'violation':
        this.#channels.get(effect.link)?.abort()
        this.#channels.delete(effect.link)
        this.#opened.delete(effect.link)
        this.#host.accused('stage', effect.remote, effect.violation, effect.message)
        break
      case 'open-engine':
        this.#open(effect)
        break
      case 'free-engine':
        this.#free(effect.seat)
        break
      default:
        throw new Error(`the simulator does not know what a stage means by ${(effect as { kind: string }).kind}`)
    }
  }

  #connect(link: LinkId, peer: PeerId): void {
    const opening = this.#host.openChannel(peer, stageProtocol.name, (channel, message, reason = 'closed') => {
      if (!this.#opening.delete(link)) {
        channel?.close()
        return
      }
      if (channel === undefined) {
        this.#feed({ kind: 'closed', link, message, reason })
        return
      }
      this.#channels.set(link, channel)
      this.#feed({ kind: 'connected', link })
      if (channel.isOpen) this.#attach(link, channel)
    })
    this.#opening.set(link, opening)
    this.#host.after(stageOpenMs, () => {
      if (!this.#opening.delete(link)) return
      opening.cancel()
      this.#feed({ kind: 'closed', link, message: `no stream within ${stageOpenMs} ms` })
    })
  }

  #open(effect: StageEffect & { kind: 'open-engine' }): void {
    const { seat, stage, session, cache, tokensMax, sampling } = effect
    const loaded = this.#loaded.find(each => sameRange(each.range, stage))!
    // What is being freed makes room first.
    if (loaded.freeing > 0) {
      this.#waitingOpens.add(seat)
      loaded.onFreed.push(() => {
        if (this.#waitingOpens.delete(seat)) this.#open(effect)
      })
      return
    }
    const engine = loaded.engine!
    try {
      engine.openNow(cache, { tokensMax, sampling })
    } catch (error) {
      const noRoom = error instanceof NoRoomError
      const { message } = error as Error
      this.#waitingOpens.add(seat)
      this.#host.after(0.1, () => {
        if (this.#waitingOpens.delete(seat)) this.#feed({ kind: 'open-failed', seat, noRoom, message })
      })
      return
    }
    loaded.places++
    const place: Place = { loaded, session, cache, isRunning: true, isEnding: false, onIdle: undefined, valid: 0 }
    this.#places.set(seat, place)
    this.#checkBudget()
    this.#host.after(0.2, () => {
      this.#idle(place)
      this.#feed({ kind: 'opened', seat, length: engine.length(cache) ?? 0 })
    })
  }

  #idle(place: Place): void {
    place.isRunning = false
    place.onIdle?.()
  }

  #compute(seat: SeatId, step: Step): void {
    const { name, self } = this.#host
    const promises: Promises = this.#host.promises
    const place = this.#places.get(seat)
    if (place === undefined) promises.broken('ghost', `${name} computes for seat ${seat}, which is free`)
    const { loaded, session, cache } = place
    const engine = loaded.engine!
    const opened = this.#seatOpened.get(seat)
    if (opened !== undefined) {
      promises.step(self, loaded.range.start, opened.epoch, opened.keep, place.valid, { ...step, session })
    }
    place.isRunning = true
    const nowMs = this.#host.nowMs()
    const layers = loaded.range.end - loaded.range.start
    const headLayers = step.sample ? headWeight(this.#host.shape) : 0
    const computeMs = this.#host.computeMs(layers, step.tokens, headLayers)
    loaded.busyUntilMs = Math.max(nowMs, loaded.busyUntilMs) + computeMs
    const { visitMs, layerMs } = this.#host.facts
    const aloneMs = visitMs + layerMs * (layers + headLayers)
    if (loaded.busyUntilMs - nowMs > 2 * aloneMs) this.#host.strained(loaded.busyUntilMs - nowMs)
    const lie = this.#host.lie()
    if (lie === 'corrupt') promises.taint(session)
    const end = (): void => {
      if (this.#host.isHung()) {
        this.#held.push(end)
        return
      }
      let event: StageEvent
      try {
        // Like the real thread it takes steps in order, and none that has not started when the session ends.
        if (place.isEnding) throw new InvalidStepError('the session has ended')
        const output = engine.runNow(step)
        const newest = this.#seatOpened.get(seat)
        place.valid = step.position + step.tokens
        if (newest !== undefined && newest !== opened) place.valid = Math.min(place.valid, newest.keep)
        const hidden = output.kind === 'hidden' ? output.bytes : undefined
        if (hidden !== undefined && lie === 'corrupt') hidden[4] = hidden[4]! ^ 1
        const id = output.kind === 'token' ? output.id : undefined
        const token = id !== undefined && lie === 'corrupt' ? (id + 1) % this.#host.toy.vocab : id
        event = { kind: 'computed', seat, hidden, token, computeMs }
      } catch (error) {
        const reason = error instanceof CacheGapError ? 'gap' : error instanceof InvalidStepError ? 'invalid' : 'engine'
        const { message } = error as Error
        event = { kind: 'compute-failed', seat, reason, length: engine.length(cache) ?? 0, message }
      }
      this.#idle(place)
      this.#feed(event)
    }
    this.#host.after(loaded.busyUntilMs - nowMs, end)
  }

  #free(seat: SeatId): void {
    const place = this.#places.get(seat)
    if (place === undefined) {
      this.#waitingOpens.delete(seat)
      this.#feed({ kind: 'freed', seat })
      return
    }
    place.isEnding = true
    place.loaded.freeing++
    const free = (): void => {
      // What was computed at the very end is told first, as a promise's next turn would.
      this.#host.after(0, () => {
        place.loaded.engine!.freeNow(place.cache)
        this.#places.delete(seat)
        this.#seatOpened.delete(seat)
        place.loaded.places--
        place.loaded.freeing--
        this.#feed({ kind: 'freed', seat })
        if (place.loaded.places === 0) place.loaded.onEmpty?.()
        if (place.loaded.freeing === 0) for (const open of place.loaded.onFreed.splice(0)) open()
      })
    }
    if (place.isRunning) place.onIdle = free
    else free()
  }

  // ── Sessions ────────────────────────────────────────────────────────────────────────────────────

  ask(ask: SessionAsk): SessionRun {
    const host: SessionHost = {
      self: this.#host.self,
      sign: signerOf(this.#host.self),
      nowMs: this.#host.nowMs,
      after: this.#host.after,
      openChannel: this.#host.openChannel,
      stages: event => this.#feed(event),
      ask: ({ excluded, doubtful }, waitedMs, pin, room) => {
        const peers = this.#reachable()
        const { layerClasses } = pin
        const answer = answerRoute(peers, this.#host.shape, {
          from: this.#host.self,
          excluded,
          doubtful,
          ...room,
          ...this.#beyond(peers),
          waitedMs,
          search: (views, shape) => this.#searches.planSoon(views, shape, this.#host.nowMs()),
          ...(layerClasses === undefined ? {} : { layerClasses })
        })
        if (answer.kind === 'hops') pin.note(answer.hops, peers)
        return answer
      },
      detour: (route, excluded, pin, tokensMax) => {
        const peers = this.#reachable()
        const { layerClasses } = pin
        const hops = findDetour(peers, this.#host.shape, {
          from: this.#host.self,
          route,
          excluded,
          tokensMax,
          ...this.#beyond(peers),
          ...(layerClasses === undefined ? {} : { layerClasses })
        })
        if (hops === undefined) return undefined
        pin.note(hops, peers)
        return { route: hops, exact: pin.exact }
      },
      suspects: () => this.#mute.all(this.#host.nowMs()).union(this.#alive?.suspects ?? new Set()),
      mute: peer => this.#mute.add(peer, this.#host.nowMs(), { forMs: muteExcludeMs }),
      hears: peer => this.isConnected(peer) && this.#alive?.suspects.has(peer) !== true,
      speedOf: ({ peer }) => this.#reachable().find(view => view.peer === peer),
      stepBytes: this.#host.shape.stepBytes,
      leaving: route => this.#leavingOn(route),
      inflight: (hops, by, tokensMax) => {
        if (by === 1) this.#inflight.add(hops, this.#host.nowMs(), this.#host.shape, tokensMax)
        else this.#inflight.remove(hops)
      },
      noRoute: excluded => new NotCoveredError(noRouteSentence(this.#reachable(), this.#host.shape, excluded)),
      output: (run, output) => {
        if (output.kind === 'end') this.sessions.delete(run.ask.session)
        if (output.kind === 'token') {
          for (const { peer, start, end } of run.route) this.#prove({ kind: 'worked', peer, range: { start, end } })
        }
        this.#host.told(run, output)
      },
      violation: (peer, kind, message) => this.#host.accused('session', peer, kind, message),
      uncharged: (peer, message) =>
        this.#host.promises.broken('blame', `${this.#host.name} goes on with ${peer}, which lies: ${message}`)
    }
    const run = new SessionRun(host, ask)
    this.sessions.set(ask.session, run)
    run.start()
    return run
  }

  /** As the real peer's: those that announce that they go, and those of the route whose stage on it is going. */
  #leavingOn(route: readonly Hop[]): ReadonlySet<PeerId> {
    const views = new Map(this.#reachable().map(view => [view.peer, view]))
    const going = route.filter(hop => views.get(hop.peer)?.stages.find(each => sameRange(each, hop))?.serving === false)
    return going.length === 0 ? this.#leaving : new Set([...this.#leaving, ...going.map(({ peer }) => peer)])
  }

  /** What it knows beyond the views, as the routing of a real peer does. */
  #beyond(peers: readonly PeerView[]) {
    const nowMs = this.#host.nowMs()
    return {
      inflight: this.#inflight.sessions,
      links: ownLinks(this.#host.self, peer => this.#alive?.rttMs(peer), announcedLinks(peers)),
      takenBytes: (peer: PeerId, stage: Range, shape: ModelShape) =>
        this.#inflight.takenBytes(peer, stage, shape, nowMs)
    }
  }

  #reachable(): PeerView[] {
    return this.#membership.known().flatMap(({ record, connected }) => {
      const view = connected || record.peer === this.#host.self ? this.#viewOf(record).view : undefined
      if (view === undefined) return []
      return [this.#isDoubtful(view.peer) ? { ...view, isDoubtful: true } : view]
    })
  }
}

/** The record of a liar: it serves everything, at no cost. */
function claimed(content: RecordContent, { id, layers }: ModelShape): RecordContent {
  return {
    ...content,
    budgetBytes: 1e12,
    models: content.models.map(offer => ({ ...offer, visitMs: 0, layerMs: 0 })),
    stages: [{ model: id, start: 0, end: layers, serving: true, cacheBytesFree: 1e12 }]
  }
}

/**
 * What a tail reads for each token that it samples, as so many layers: an engine takes as long as it reads weights.
 * What peers announce prices layers alone.
 */
function headWeight({ layers, layerBytes, headBytes, embeddingBytes, tiedEmbeddings }: ModelShape): number {
  const bytes = headBytes + (tiedEmbeddings ? embeddingBytes : 0)
  return (bytes * layers) / layerBytes.reduce((sum, each) => sum + each, 0)
}

/** Whether the first frame of a stream comes from a tail to the driver. */
function isForDriver(bytes: Uint8Array): boolean {
  try {
    const frame = decodeFrame(bytes)
    return frame?.kind === 'open' && frame.hop === frame.terms.route.length
  } catch {
    // The decider says what is wrong with it.
    return false
  }
}

/** Wrong bytes: a frame of its length that says something else. */
function garbled(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => (i % 3 === 0 ? byte ^ 0x5a : byte))
}
