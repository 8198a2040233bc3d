/**
 * The models that this peer serves, each with its share of one budget: adds and drops them while the peer runs, looks for those
 * that are not here, and says of all of them in one announcement what they hold and serve.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import { systemRng } from '../base/entropy.ts'
import type { ContentId, ModelId, PeerId, Range } from '../base/ids.ts'
import { type End, endAll } from '../base/ends.ts'
import type { Rng } from '../base/rng.ts'
import type { Keeper } from '../disk/keeping.ts'
import type { EngineFactory } from '../engine/factory.ts'
import { AmbiguousModelError, InvalidOptionError } from '../errors.ts'
import { servedModelsMax } from './limits.ts'
import type { DiskNeeds } from '../model/disk-budget.ts'
import { meantBy, nameWithId } from '../model/names.ts'
import type { ShardEntry } from '../model/manifest.ts'
import type { Store } from '../model/store.ts'
import { type AnyModel, isStoredGraph, type StoredGraph, type StoredModel } from '../model/stored.ts'
import type { Searches } from '../route/searches.ts'
import type { StageService } from '../stage/service-init.ts'
import type { Supply } from '../supply/service.ts'
import type { StageOffer } from '../swarm/record.ts'
import { meetingPointOf } from '../swarm/meeting-point.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { Demand } from './demand.ts'
import { Draft, type DraftStatus, type LoadedDraft } from './draft-service.ts'
import type { Seeker } from './seeker.ts'
import type { FetchStatus, ShardFetch } from './held-shards.ts'
import { ServedModel } from './served-model.ts'
import { ServedGraph, ServedGraphs } from './graph-service.ts'
import { checkRoom, checkServable, graphBytes } from './servable.ts'
import { Shares } from './sharing.ts'
import { isNamed, sourcesOf } from './sources.ts'
import { type Seeking, SoughtModels } from './sought-models.ts'

export interface ServingInit {
  /** Where engines keep what they have measured. */
  readonly dataDir: string
  readonly keeping: Keeper
  readonly store: Store
  readonly swarm: Swarm
  readonly stages: StageService
  readonly supply: Supply
  readonly seeker: Seeker
  /** What computes, in order of preference. */
  readonly engines: readonly EngineFactory[]
  readonly threads: number
  /** For weights and caches of all models; 0 for a peer that holds no layers. */
  readonly budgetBytes: number
  readonly searches: Searches
  /** As with `ServedModelInit.shuns`. */
  readonly shuns?: ((peer: PeerId) => boolean) | undefined
  readonly onWarning: (message: string) => void
  /** A stage began or ceased to serve. */
  readonly onStage: (stage: StageOffer) => void
  /** Shards are fetched from other peers, or have come. */
  readonly onFetch: (fetch: ShardFetch) => void
  /** @default the machine's */
  readonly clock?: Clock
  /** @default the machine's */
  readonly rng?: Rng
}

export class Serving {
  readonly #init: ServingInit
  readonly #clock: Clock
  /** In the order in which they came. */
  readonly #models = new Map<ModelId, ServedModel>()
  readonly graphs = new ServedGraphs()
  readonly #sought: SoughtModels
  /** Names of models that are about to be served. */
  readonly #coming = new Map<ModelId, string>()
  #draft: Draft | undefined
  /** What it takes of the budget. */
  #draftBytes = 0
  readonly #shares = new Shares()
  readonly #demand = new Demand()
  /** What is on disk of each model, as the DHT was told it last. */
  #provided: readonly (readonly ShardEntry[])[] = []

  constructor(init: ServingInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    const { seeker, onWarning } = init
    this.#sought = new SoughtModels({ seeker, serve: (model, options) => this.add(model, options), onWarning })
    init.swarm.announce({ budgetBytes: init.budgetBytes })
  }

  get models(): readonly ServedModel[] {
    return [...this.#models.values()]
  }

  /** Stages of all models that are loaded or being loaded, as the record says it. */
  get offers(): StageOffer[] {
    return this.models.flatMap(({ offers }) => offers)
  }

  /** Resident bytes of the loaded stages, their reserves included, and of the draft model. */
  get usedBytes(): number {
    return this.models.reduce((sum, { usedBytes }) => sum + usedBytes, this.#draftBytes + this.graphs.bytes)
  }

  /** Shards that are being fetched, of each model that lacks some. */
  get fetching(): FetchStatus[] {
    return [...this.models, ...this.graphs.all, ...this.#drafts].flatMap(({ fetching }) => fetching ?? [])
  }

  /** Models whose files are in use: those that are served, and the one that drafts. */
  get inUse(): Set<ModelId> {
    const draft = this.#draft?.model
    const graphs = this.graphs.all.map(({ stored }) => stored.id)
    return new Set([...this.#models.keys(), ...graphs, ...(draft === undefined ? [] : [draft])])
  }

  /** What drafts for sessions of this peer, or is to; null where nothing is. */
  get draftStatus(): DraftStatus | null {
    return this.#draft?.status ?? null
  }

  /** What drafts, once it is loaded. */
  get draft(): LoadedDraft | undefined {
    return this.#draft?.loaded
  }

  /** Models that are not here yet. */
  get seeking(): Seeking[] {
    return this.#sought.list
  }

  get(model: ModelId): ServedModel | undefined {
    return this.#models.get(model)
  }

  /** Says to others which models are about to be served, and that there are no more: who looks for another one need not wait. */
  expect(models: readonly AnyModel[]): void {
    for (const { id, manifest } of models) this.#coming.set(id, manifest.name)
    this.announce()
  }

  /**
   * Serves a model from now on. One that is served already stays as it is.
   *
   * @param options.pinned exactly these layers, half-open, instead of what placement decides
   * @throws {EngineError} when no engine supports it, or the engine cannot run here.
   * @throws {InvalidOptionError} {BudgetTooSmallError} when this peer cannot serve that part of it, or none.
   * @throws the signal's reason.
   */
  async add(model: AnyModel, by: { pinned: Range | null; signal: AbortSignal }): Promise<void> {
    this.expect([model])
    try {
      await this.#add(model, by)
    } finally {
      this.#coming.delete(model.id)
      this.announce()
    }
  }

  async #add(model: AnyModel, { pinned, signal }: { pinned: Range | null; signal: AbortSignal }): Promise<void> {
    if (isStoredGraph(model)) return this.#addGraph(model, { pinned, signal })
    const engines = checkServable(model, { engines: this.#init.engines, budgetBytes: this.#budgetBytes, pinned })
    if (this.#models.has(model.id)) return
    const { dataDir, keeping, store, swarm, stages, supply, threads, searches, shuns, onWarning, onStage, onFetch } =
      this.#init
    const held = await store.held(model)
    signal.throwIfAborted()
    if (this.#models.has(model.id)) return
    this.#checkCount()
    const served = new ServedModel(
      {
        dataDir,
        keeping,
        engines,
        store,
        model,
        swarm,
        stages,
        supply,
        budgetBytes: 0,
        roomBytes: () => this.#budgetBytes - this.#heldBytes(model.id),
        pinned,
        threads,
        searches,
        shuns,
        onWarning,
        onChange: () => this.announce(),
        onStage,
        onFetch,
        clock: this.#clock,
        rng: this.#init.rng ?? systemRng
      },
      held
    )
    this.#models.set(model.id, served)
    this.#share()
    try {
      await served.start({ signal })
    } catch (error) {
      await this.#drop(served)
      throw error
    }
  }

  /** The graph is fetched and loaded from then on: `serving` says when it serves. */
  async #addGraph(graph: StoredGraph, by: { pinned: Range | null; signal: AbortSignal }): Promise<void> {
    const { engines, budgetBytes, store, onWarning } = this.#init
    const bytes = graphBytes(graph, { engines, budgetBytes, pinned: by.pinned })
    if (this.graphs.get(graph.id) !== undefined) return
    const held = await store.held(graph)
    by.signal.throwIfAborted()
    if (this.graphs.get(graph.id) !== undefined) return
    // Not before: others may have come while its files were looked for.
    this.#checkCount()
    this.#checkRoom(bytes, this.graphs.bytes + this.#draftBytes, `the graph ${graph.manifest.name}`)
    const served = new ServedGraph(
      {
        ...this.#init,
        clock: this.#clock,
        onWarning,
        freeBytes: () => this.#budgetBytes - this.#heldBytes(),
        onChange: () => this.announce()
      },
      graph,
      bytes,
      held
    )
    this.graphs.set(served)
    this.#share()
    served.start()
    this.announce()
  }

  #checkCount(): void {
    if (this.#models.size + this.graphs.all.length < servedModelsMax) return
    throw new InvalidOptionError(`a peer serves at most ${servedModelsMax} models: drop one of them first`)
  }

  /**
   * Serves a model once a live peer offers it; what it waits for is told by `seeking` and by warnings.
   *
   * @param nameOrId as with `generate`
   */
  seek(nameOrId: string, { pinned }: { pinned: Range | null }): void {
    this.#sought.seek(nameOrId, { pinned })
  }

  /**
   * Holds a model whole from now on, to draft with. Only one is: it is to be called once.
   *
   * @param wanted a name or id where it has to come from peers
   */
  draftWith(wanted: StoredModel | string): void {
    this.#draft = new Draft(
      {
        ...this.#init,
        clock: this.#clock,
        rng: this.#init.rng ?? systemRng,
        claim: (bytes, name) => this.#claim(bytes, name),
        freeBytes: () => this.#budgetBytes - this.#heldBytes(),
        onChange: () => this.announce()
      },
      wanted
    )
    this.#draft.start()
  }

  /** What drafted has failed, by what a session has seen of it. */
  draftFailed(error: Error): void {
    this.#draft?.failed(error)
  }

  /**
   * Serves a model no longer, nor drafts with it: its stages go at once, sessions on them find others. True when there was such
   * a model.
   *
   * @param nameOrId a served model's name, id or the beginning of one, or what is being looked for
   */
  async remove(nameOrId: string): Promise<boolean> {
    const isServed = await this.#unserve(nameOrId)
    const draft = this.#draft
    if (draft?.isMeant(nameOrId) !== true) return isServed
    this.#draft = undefined
    await draft.stop()
    this.announce()
    return true
  }

  async #unserve(nameOrId: string): Promise<boolean> {
    if (await this.#sought.remove(nameOrId)) return true
    const graphs = this.graphs.all.map(({ stored: { id, manifest } }) => ({ id, name: manifest.name }))
    const [served, ...others] = meantBy(nameOrId, [...this.models.map(({ shape }) => shape), ...graphs])
    if (served === undefined) return false
    if (others.length > 0) {
      const list = [served, ...others].map(nameWithId).join(', ')
      throw new AmbiguousModelError(
        `'${nameOrId}' is more than one model that is served here: ${list}; give the beginning of an id`
      )
    }
    await this.#drop(this.#models.get(served.id) ?? this.graphs.get(served.id)!)
    return true
  }

  /** A session of a model begins here, whoever computes it: the swarm learns how much it is asked for. */
  asked(model: ModelId): void {
    this.#demand.asked(model, this.#clock.nowMs())
  }

  /** Notes how busy the stages are. True when what is announced of that has changed. */
  sample(nowMs: number): boolean {
    return this.models.map(served => served.sample(nowMs)).some(Boolean)
  }

  /** What of the disk must stay because this peer serves it, and what nobody else is known to have. */
  needs(): DiskNeeds {
    const { swarm } = this.#init
    const heard = swarm.records()
    return {
      files: new Set([...this.models, ...this.graphs.all, ...this.#drafts].flatMap(({ neededFiles }) => neededFiles)),
      models: this.inUse,
      isRare: ({ id, manifest }, sha256) => {
        const shard = manifest.shards.find(each => each.sha256 === sha256)
        return shard === undefined ? sourcesOf(heard, swarm.id, id).length === 0 : !isNamed(heard, swarm.id, id, shard)
      }
    }
  }

  /** Files have gone from the disk. */
  async gone(digests: ReadonlySet<string>): Promise<void> {
    const touched = [...this.models, ...this.graphs.all, ...this.#drafts].filter(({ held }) =>
      held.some(({ sha256 }) => digests.has(sha256))
    )
    await Promise.all(touched.map(served => served.refresh()))
  }

  /** To be called when a record, a connection or the number of sessions has changed. */
  changed(): void {
    this.#share()
    for (const served of this.models) served.changed()
  }

  /** Stops planning, then ends all stages. */
  async stop(): Promise<void> {
    await this.#sought.stop()
    await this.#draft?.stop()
    await endAll(
      [...this.models, ...this.graphs.all].map(
        (served): End =>
          async () =>
            this.#drop(served)
      )
    )
  }

  async #drop(served: ServedModel | ServedGraph): Promise<void> {
    try {
      await served.stop()
    } finally {
      this.#models.delete(served.stored.id)
      this.graphs.delete(served.stored.id)
      this.#share()
      this.announce()
    }
  }

  /** Shares the budget out anew where that is due. */
  #share(): void {
    const { swarm } = this.#init
    const budgetBytes = this.#budgetBytes
    const demand = new Map<ModelId, number>()
    for (const { record } of swarm.records()) {
      for (const offer of record.models) demand.set(offer.model, (demand.get(offer.model) ?? 0) + (offer.demand ?? 0))
    }
    const claims = this.models.map(({ claim }) => ({ ...claim, demand: demand.get(claim.model) ?? 0 }))
    if (!this.#shares.look(budgetBytes, claims, this.#clock.nowMs())) return
    for (const served of this.models) served.budgetBytes = this.#shares.of(served.shape.id)
  }

  /** The draft model, where there is one. */
  get #drafts(): readonly Draft[] {
    return this.#draft === undefined ? [] : [this.#draft]
  }

  /** What is shared out among the models that are served. */
  get #budgetBytes(): number {
    return this.#init.budgetBytes - this.#draftBytes - this.graphs.bytes
  }

  /** The draft model takes so much of the budget. @throws {BudgetTooSmallError} */
  #claim(bytes: number, name: string): void {
    if (bytes > 0) this.#checkRoom(bytes, this.graphs.bytes, `the draft model ${name} whole`)
    this.#draftBytes = bytes
    this.#share()
  }

  /** @param wholeBytes of all else that is held whole. @throws {BudgetTooSmallError} when stages have too little left */
  #checkRoom(bytes: number, wholeBytes: number, what: string): void {
    const leastBytes = this.models.reduce((sum, { claim }) => sum + claim.leastBytes, 0)
    checkRoom(what, { bytes, wholeBytes, leastBytes, budgetBytes: this.#init.budgetBytes })
  }

  /** Memory of all models but one. */
  #heldBytes(but?: ModelId): number {
    return this.models.reduce((sum, { shape, heldBytes }) => sum + (shape.id === but ? 0 : heldBytes), 0)
  }

  /** Says of all models what is loaded and how much room there is. */
  announce(): void {
    const { swarm, stages } = this.#init
    const nowMs = this.#clock.nowMs()
    const models = this.models.flatMap(({ offer }) =>
      offer === undefined ? [] : [{ ...offer, demand: this.#demand.of(offer.model, nowMs) }]
    )
    stages.retainBytesMax = this.models.reduce((sum, { retainBytesMax }) => sum + retainBytesMax, 0)
    const graphs = this.graphs.all
    const offers = [...models, ...graphs.map(({ offer }) => offer)]
    const offered = new Set(offers.map(({ model }) => model))
    const coming = [...this.#coming].flatMap(([model, name]) => (offered.has(model) ? [] : [{ model, name }]))
    swarm.announce({
      models: offers,
      coming: coming.slice(0, servedModelsMax),
      stages: [...this.offers, ...graphs.flatMap(({ offers }) => offers)]
    })
    // A model's list is another one whenever it has changed: who announces with each session need not join all of them.
    const drafts = this.#draft?.model === undefined ? [] : [this.#draft.held]
    const held = [...this.models.map(served => served.held), ...graphs.map(graph => graph.held), ...drafts]
    if (held.length === this.#provided.length && held.every((list, i) => list === this.#provided[i])) return
    this.#provided = held
    // Records say it at once; the DHT is for those whom they do not reach, and takes its time. Whoever serves has the manifest.
    const shards = held.flatMap(list => list.map(({ sha256 }) => sha256))
    const meetings = [...this.#models.keys(), ...graphs.map(({ stored }) => stored.id)].map(meetingPointOf)
    void swarm.provide([...new Set<ContentId>([...meetings, ...this.inUse, ...shards])])
  }
}
