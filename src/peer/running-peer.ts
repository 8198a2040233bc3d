/** A peer as its parts, wired together. */
import { TypedEventEmitter } from '@libp2p/interface'
import { type Clock, systemClock } from '../base/clock.ts'
import { type End, endAll } from '../base/ends.ts'
import { systemRng } from '../base/entropy.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import type { Keeping } from '../disk/keeping.ts'
import type { EngineFactory } from '../engine/factory.ts'
import { DuplicateIdentityError, PeerLeavingError, UnknownModelError } from '../errors.ts'
import { nameWithId } from '../model/names.ts'
import type { ModelStore, RemovedModel } from '../model/store.ts'
import { Tokenizers } from '../model/tokenizer-service.ts'
import { Looking } from '../route/looking-service.ts'
import { Routing } from '../route/routing-service.ts'
import { Searches } from '../route/searches.ts'
import { type ModelShape, type PeerView, viewOf, withObtainable } from '../route/view.ts'
import { Seeker } from '../serving/seeker.ts'
import { Serving } from '../serving/serving.ts'
import { describeOffer, namesakesOf } from '../serving/sources.ts'
import type { Generation } from '../session/generation.ts'
import { generate, resume } from '../session/service.ts'
import { createStageService, type StageService } from '../stage/service.ts'
import { createSupply, type Supply } from '../supply/service.ts'
import { verifySignature } from '../swarm/identity.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { GenerateOptions, Peer, PeerEvents, ResumeOptions } from './api.ts'
import { chooseModel, type ChosenModel } from './choose-models.ts'
import { Departure, type DrainReport } from './departure.ts'
import { type KeptSessionName, KeptSessions } from './kept-sessions.ts'
import { drainMs, loadAnnounceMs, namesakesMax } from './limits.ts'
import { OwnSessions } from './own-sessions.ts'
import { removeFrom } from './remove-model.ts'
import { type FetchingStatus, modelCoverage, modelStatuses, peerStatus, speaksWithUs, type Status } from './status.ts'

/** A peer that has started: every part of it, and what ends them. */
export class RunningPeer extends TypedEventEmitter<PeerEvents> implements Peer {
  readonly id: PeerId
  readonly #swarm: Swarm
  readonly #swarmName: string
  readonly #store: ModelStore
  readonly #engines: readonly EngineFactory[]
  readonly #keeping: Keeping
  readonly #warn: (message: string) => void
  readonly #clock: Clock
  readonly #rng: Rng
  /** Of the models that have been asked for lately. */
  readonly #tokenizers = new Tokenizers()
  readonly #covered = new Map<ModelId, boolean>()
  readonly #generating = new AbortController()
  readonly #searches = new Searches()
  readonly #routing: Routing
  #stages!: StageService
  #supply!: Supply
  #seeker!: Seeker
  #serving!: Serving
  /** Models of the name of one that it serves, of which it has warned. */
  readonly #namesakes = new Set<ModelId>()
  #kept!: KeptSessions
  #departure!: Departure
  /** Those that this peer drives. */
  #sessions!: OwnSessions
  readonly #leaving = new Set<PeerId>()
  #announced = ''
  #stopping: Promise<void> | undefined
  #ends: End[] = []
  readonly #looking: Looking

  constructor({
    swarm,
    swarmName,
    store,
    engines,
    keeping,
    warn,
    clock = systemClock,
    rng = systemRng
  }: {
    swarm: Swarm
    swarmName: string
    store: ModelStore
    engines: readonly EngineFactory[]
    keeping: Keeping
    /** Tells of a problem, as an event of this peer too. */
    warn: (message: string) => void
    /** @default the machine's */
    clock?: Clock
    /** @default the machine's */
    rng?: Rng
  }) {
    super()
    this.#engines = engines
    this.id = swarm.id
    this.#swarm = swarm
    this.#swarmName = swarmName
    this.#store = store
    this.#keeping = keeping
    this.#warn = warn
    this.#clock = clock
    this.#rng = rng
    this.#looking = new Looking(() => this.#look(), clock)
    this.#routing = new Routing({
      self: swarm.id,
      peers: model => this.#reachable(model),
      rttMs: peer => swarm.rttMs(peer),
      searches: this.#searches,
      clock
    })
  }

  async start({
    dataDir,
    models,
    budgetBytes,
    threads,
    signal,
    ends
  }: {
    dataDir: string
    models: readonly ChosenModel[]
    budgetBytes: number
    threads: number
    signal: AbortSignal
    ends: End[]
  }): Promise<void> {
    this.#ends = ends
    const swarm = this.#swarm
    const onWarning = this.#warn
    const [clock, rng] = [this.#clock, this.#rng]
    ends.push(() => this.#tokenizers.close())
    this.#stages = await createStageService({
      links: swarm.links,
      retainBytesMax: 0,
      clock,
      verify: verifySignature,
      onViolation: (peer, kind, message) => swarm.reportViolation(peer, kind, message)
    })
    ends.push(() => this.#stages.stop())
    this.#kept = await KeptSessions.start({ swarm, dataDir, keeping: this.#keeping, clock })
    ends.push(() => this.#kept.stop())
    this.#supply = await createSupply({
      links: swarm.links,
      store: this.#store,
      live: () => this.#stages.stats.sessions > 0,
      clock,
      rng,
      onViolation: (peer, kind, message) => swarm.reportViolation(peer, kind, message)
    })
    ends.push(() => this.#supply.stop())
    this.#seeker = new Seeker({ store: this.#store, swarm, supply: this.#supply, clock })
    this.#serving = new Serving({
      dataDir,
      keeping: this.#keeping,
      store: this.#store,
      swarm,
      stages: this.#stages,
      supply: this.#supply,
      seeker: this.#seeker,
      engines: this.#engines,
      threads,
      budgetBytes,
      searches: this.#searches,
      onWarning,
      onStage: ({ cacheBytesFree: _, sessions: __, serving, ...stage }) =>
        this.#emit(serving ? 'stage:up' : 'stage:down', { ...stage, serving }),
      onFetch: fetch => this.#emit('shards:fetch', fetch),
      clock,
      rng
    })
    ends.push(() => this.#serving.stop())
    for (const { model, pinned } of models) {
      if (typeof model === 'string') this.#serving.seek(model, { pinned })
      else await this.#serving.add(model, { pinned, signal })
    }
    this.#drive()
    this.#listen()
    ends.push(async () => this.#looking.stop())
    const load = clock.every(loadAnnounceMs, () => this.#announceLoad()).unref()
    ends.push(async () => load.stop())
    this.#looking.now()
  }

  /** Has it drive sessions, and go with notice. */
  #drive(): void {
    const [swarm, clock] = [this.#swarm, this.#clock]
    this.#sessions = new OwnSessions({
      swarm,
      store: this.#store,
      engines: this.#engines,
      tokenizers: this.#tokenizers,
      routing: this.#routing,
      stages: this.#stages,
      supply: this.#supply,
      seeker: this.#seeker,
      serving: this.#serving,
      kept: this.#kept,
      leaving: this.#leaving,
      isDraining: () => this.#departure.isDraining,
      orEnding: signal => this.#orEnding(signal),
      clock,
      rng: this.#rng
    })
    this.#departure = new Departure({
      swarm,
      stages: this.#stages,
      placementOf: model => this.#serving.get(model)?.placement,
      replan: () => this.#serving.changed(),
      loaded: () => this.#serving.offers,
      answering: () => this.#sessions.answering,
      onWarning: this.#warn,
      clock
    })
  }

  /** Has what the swarm tells reach every part. */
  #listen(): void {
    const swarm = this.#swarm
    const onWarning = this.#warn
    swarm.addEventListener('battery', ({ detail }) => this.#departure.onBattery(detail.battery))
    swarm.addEventListener('record', () => this.#looking.changed())
    swarm.addEventListener('join', ({ detail }) => {
      this.#routing.met()
      this.#emit('peer:join', detail)
      this.#looking.changed()
    })
    swarm.addEventListener('leave', ({ detail }) => {
      this.#leaving.delete(detail.peer)
      this.#routing.met()
      this.#emit('peer:leave', detail)
      this.#looking.changed()
    })
    swarm.addEventListener('warning', ({ detail }) => onWarning(detail.message))
    swarm.addEventListener('yield', ({ detail }) => this.#fail(new DuplicateIdentityError(detail.message)))
    swarm.addEventListener('violation', ({ detail }) =>
      onWarning(`${detail.peer} broke the protocol (${detail.kind}): ${detail.message}`)
    )
  }

  get addresses(): readonly string[] {
    return this.#swarm.addresses
  }

  generate(prompt: string, options: GenerateOptions = {}): Generation {
    const { model, client, signal, session, ...rest } = options
    return generate(
      () =>
        this.#sessions.parts(
          { ...(model && { model }), ...(client && { client }) },
          { session, after: 0, classes: [] },
          this.#orEnding(signal)
        ),
      prompt,
      { ...rest, ...this.#ending(signal) }
    )
  }

  resume(name: string, { key, ttlMs, maxTokens, waitMs, signal: given }: ResumeOptions = {}): Generation {
    const signal = this.#orEnding(given)
    const named: KeptSessionName = { name, ...(key === undefined ? {} : { key }) }
    return resume(async () => {
      const found = await this.#kept.find(named, { signal })
      const session = { ...named, ttlMs: ttlMs ?? found.ttlMs }
      const kept = { session, after: found.version, classes: found.classes }
      const parts = await this.#sessions.parts({ model: found.model }, kept, signal)
      return {
        parts,
        begun: found,
        options: {
          ...found.sampling,
          maxTokens: maxTokens ?? found.maxTokens,
          ...(waitMs === undefined ? {} : { waitMs }),
          ...this.#ending(given)
        }
      }
    })
  }

  forget(session: KeptSessionName, { signal }: { signal?: AbortSignal } = {}): Promise<number> {
    return this.#kept.forget(session, { signal: this.#orEnding(signal) })
  }

  /** What ends an answer: the one who asked, or the end of this peer, which keeps the text so far. */
  #ending(signal: AbortSignal | undefined): { signal?: AbortSignal; ending: AbortSignal } {
    const ending = this.#generating.signal
    return signal === undefined ? { ending } : { signal, ending }
  }

  /** Until the signal, or the end of this peer. */
  #orEnding(signal: AbortSignal | undefined): AbortSignal {
    const ending = this.#generating.signal
    return signal === undefined ? ending : AbortSignal.any([signal, ending])
  }

  status(): Status {
    const records = this.#swarm.records()
    const fetches = this.#fetches()
    return {
      self: this.id,
      swarm: this.#swarmName,
      peers: records.map(peer => peerStatus(peer, peer.record.peer === this.id ? this.#serving.usedBytes : null)),
      models: modelStatuses(records, model => this.#serving.get(model)?.placement.missing() ?? null),
      fetching: fetches[0] ?? null,
      fetches,
      discovery: this.#swarm.discovery(),
      unkept: this.#keeping.problems,
      violations: this.#swarm.violations()
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      this.#generating.abort(new Error('the peer is stopping'))
      await endAll(this.#ends)
    })()
    return this.#stopping
  }

  drain({ deadlineMs = drainMs, signal }: { deadlineMs?: number; signal?: AbortSignal } = {}): Promise<DrainReport> {
    return this.#departure.drain({ deadlineMs, ...(signal === undefined ? {} : { signal }) })
  }

  async serve(
    nameOrId: string,
    { layers: pinned = null, signal }: { layers?: Range | null; signal?: AbortSignal } = {}
  ): Promise<boolean> {
    if (this.#departure.isDraining) throw new PeerLeavingError('this peer is about to go and serves nothing new')
    const model = await chooseModel(this.#store, nameOrId)
    if (typeof model === 'string') {
      this.#serving.seek(model, { pinned })
      return false
    }
    await this.#serving.add(model, { pinned, signal: this.#orEnding(signal) })
    return true
  }

  async unserve(nameOrId: string): Promise<void> {
    if (await this.#serving.remove(nameOrId)) return
    const names = this.#serving.models.map(({ stored }) => stored.manifest.name)
    throw new UnknownModelError(
      `the model '${nameOrId}' is not served here; ${names.length === 0 ? 'no model is' : `served are: ${names.join(', ')}`}`
    )
  }

  removeModel(nameOrId: string): Promise<RemovedModel> {
    return removeFrom(this.#store, nameOrId, new Set(this.#serving.models.map(({ shape }) => shape.id)))
  }

  /** Tells why, and stops. */
  #fail(error: Error): void {
    if (this.#stopping !== undefined) return
    this.#emit('failed', { error })
    // What a stop cannot end is told to whoever calls it as well.
    this.stop().catch(() => {})
  }

  #emit<K extends keyof PeerEvents>(type: K, detail: PeerEvents[K]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  /** What is looked for, then what is fetched. */
  #fetches(): FetchingStatus[] {
    return [
      ...this.#serving.seeking.map(({ state, unclear }) => ({ model: null, state, unclear, bytes: 0, bytesTotal: 0 })),
      ...this.#serving.fetching.map(({ model, shards, bytes, bytesTotal, peers }) => ({
        model,
        state: `${shards} from ${peers === 1 ? '1 peer' : `${peers} peers`}`,
        unclear: false,
        bytes,
        bytesTotal
      }))
    ]
  }

  #look(): void {
    this.#serving.changed()
    this.#supply.changed()
    this.#routing.changed()
    this.#sessions.changed()
    this.#warnOfNamesakes()
    const records = this.#swarm.records()
    for (const { record } of records) {
      if (record.leaving === this.#leaving.has(record.peer)) continue
      if (record.leaving) this.#leaving.add(record.peer)
      else this.#leaving.delete(record.peer)
      this.#emit('peer:leaving', { peer: record.peer, leaving: record.leaving })
    }
    for (const { id, coverage } of modelCoverage(records)) {
      const covered = coverage.every(count => count > 0)
      if (covered === (this.#covered.get(id) ?? false)) continue
      this.#covered.set(id, covered)
      this.#emit(covered ? 'model:covered' : 'model:uncovered', { model: id })
    }
  }

  /** Tells the swarm how busy this peer is, when that has changed. */
  #announceLoad(): void {
    const { sessions, queuedSteps } = this.#stages.stats
    const now = `${sessions} ${queuedSteps}`
    if (now === this.#announced) return
    this.#announced = now
    this.#swarm.announce({ load: { sessions, queuedSteps } })
    this.#serving.announce()
    this.#serving.changed()
  }

  /** Says once of each other model of the served one's name that it is another: neither can stand in for the other. */
  #warnOfNamesakes(): void {
    for (const { shape } of this.#serving.models) {
      for (const other of namesakesOf(this.#swarm.records(), shape)) {
        if (this.#namesakes.has(other.id) || this.#namesakes.size >= namesakesMax) continue
        this.#namesakes.add(other.id)
        this.#warn(
          `the name ${shape.name} is not clear: this peer serves ${nameWithId(shape)}, another model is ${describeOffer(other)}; give the beginning of an id to choose one`
        )
      }
    }
  }

  #reachable(model: ModelShape): PeerView[] {
    const placement = this.#serving.get(model.id)?.placement
    return withObtainable(
      this.#swarm.records().flatMap(({ record, connected }) => {
        const view = connected || record.peer === this.id ? viewOf(record, model.id) : undefined
        if (view === undefined || !speaksWithUs(record)) return []
        return placement?.isDoubtful(view.peer) === true ? [{ ...view, isDoubtful: true }] : [view]
      })
    )
  }
}
