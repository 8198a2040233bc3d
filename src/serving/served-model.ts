/**
 * One model that this peer serves: what it holds of it, how fast it is, which stages it has loaded. Joins the model
 * store, the engines, the stage service and placement.
 */
import { unlessAborted } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { type End, endAll } from '../base/ends.ts'
import type { PeerId, Range } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import { type Engine, prefixesOf, type PrefixStats } from '../engine/engine.ts'
import type { Keeper } from '../disk/keeping.ts'
import type { EngineFactory, Measured } from '../engine/factory.ts'
import { NoRoomError } from '../errors.ts'
import { type ShardEntry, stageShards } from '../model/manifest.ts'
import type { Store, StoredModel } from '../model/store.ts'
import { Placement } from '../route/placement-service.ts'
import { StageLoad } from '../route/stage-load.ts'
import type { Searches } from '../route/searches.ts'
import { type ModelShape, sameRange, stageBytes, viewOf } from '../route/view.ts'
import { type FetchStatus, HeldShards, type ShardFetch } from './held-shards.ts'
import { claimOf, footprintOf, shapeOf, type MemoryShares, shareMemory, weightBytes } from './shape.ts'
import type { Claim } from './sharing.ts'
import { supposed } from './sources.ts'
import { probe } from '../stage/probe-service.ts'
import type { StageService } from '../stage/service-init.ts'
import type { Supply } from '../supply/service.ts'
import type { ModelOffer, StageOffer } from '../swarm/record.ts'
import { meetingPointOf } from '../swarm/meeting-point.ts'
import type { Gathering, Swarm } from '../swarm/swarm.ts'

export interface ServedModelInit {
  /** Where it keeps what it has measured. */
  readonly dataDir: string
  /** What computes it. */
  readonly engines: EngineFactory
  readonly keeping: Keeper
  readonly store: Store
  readonly model: StoredModel
  readonly swarm: Swarm
  readonly stages: StageService
  readonly supply: Supply
  /** What this peer gives to the model of its budget. */
  readonly budgetBytes: number
  /** What of the whole budget other models do not hold at this moment. */
  readonly roomBytes: () => number
  readonly pinned: Range | null
  readonly threads: number
  /** Whether nothing is planned with a peer: what it computes is wrong. @default with everybody */
  readonly shuns?: ((peer: PeerId) => boolean) | undefined
  readonly onWarning: (message: string) => void
  /** What it announces, holds on disk or retains has changed. */
  readonly onChange: () => void
  /** A stage began or ceased to serve. */
  readonly onStage: (stage: StageOffer) => void
  /** Shards are fetched from other peers, or have come. */
  readonly onFetch: (fetch: ShardFetch) => void
  /** Shared with the sessions that wait for a route. */
  readonly searches: Searches
  readonly clock: Clock
  readonly rng: Rng
}

interface LoadedStage {
  readonly range: Range
  /** Undefined while it is being loaded. */
  readonly engine: Engine | undefined
  readonly load: StageLoad
}

export class ServedModel {
  readonly shape: ModelShape
  /** What it asks of this peer's memory. */
  readonly claim: Omit<Claim, 'demand'>
  readonly placement: Placement
  readonly #init: ServedModelInit
  #budgetBytes: number
  #retainBytesMax = 0
  /** Open sessions, or another model that has yet to give way, keep its stages from what they are to have. */
  #isShort = false
  /** Others may plan with it. */
  #isAnnounced = false
  /** What the record says: until this machine is measured, what others are, and no numeric class. */
  #measured: Measured
  #measuring: Promise<unknown> = Promise.resolve()
  readonly #shards: HeldShards
  #loaded: readonly LoadedStage[] = []
  #meeting: Gathering | undefined
  /** Stages that placement drops once no session needs them: they are announced as if they did not serve. */
  #going: readonly Range[] = []

  /**
   * Measures this machine with the model's dimensions, unless it has done so before, announces what it holds, and begins to
   * follow the plan. Whoever made it stops it, too, when this fails.
   * @throws {EngineError} when the engine cannot run here at all.
   * @throws the signal's reason.
   */
  async start({ signal }: { signal: AbortSignal }): Promise<void> {
    const { model, dataDir, keeping, swarm, supply, threads, engines, onChange } = this.#init
    const { manifest } = model
    const measuring = supply.gently(() => engines.measure({ manifest, dataDir, keeping, threads, signal }))
    this.#measuring = measuring
    this.#shards.start()
    // Whoever gives memory to it is found by the others, and finds them: plans are made among those that are connected.
    this.#meeting = swarm.gather(meetingPointOf(this.shape.id))
    const follow = (): void => this.placement.changed()
    // Measuring takes seconds, which the network can use.
    if (this.#fetchesAnyway) {
      this.#isAnnounced = true
      onChange()
      swarm.addEventListener('record', follow)
      follow()
    }
    try {
      const measured = await measuring
      // Of whose bits nobody is known to compute the same, each is a class alone.
      const alone = `${engines.name}-${swarm.id.slice(-16)}`
      this.#measured = engines.exactness === 'class' ? measured : { ...measured, numericClass: alone }
    } finally {
      swarm.removeEventListener('record', follow)
    }
    this.#isAnnounced = true
    onChange()
    this.placement.changed()
  }

  /** @param held what is on disk of it */
  constructor(init: ServedModelInit, held: readonly ShardEntry[]) {
    this.#init = init
    const { clock, rng } = init
    this.#budgetBytes = init.budgetBytes
    this.#shards = new HeldShards(init, held)
    this.shape = shapeOf(init.model.manifest, init.engines.footprint(init.model.manifest))
    this.claim = claimOf(this.shape, init.pinned)
    this.#measured = supposed(init.swarm.records(), this.shape.id)
    this.placement = new Placement({
      self: init.swarm.id,
      model: this.shape,
      peers: () =>
        init.swarm.records().flatMap(({ record, connected, linked, unreachable }) => {
          // No plan counts on who is known by hearsay alone, nor costs the time to weigh them.
          const isOut = !linked || init.shuns?.(record.peer) === true
          const view = isOut ? undefined : viewOf(record, this.shape.id)
          return view === undefined ? [] : [{ view, connected, unreachable }]
        }),
      load: (range, options) => this.#load(range, options),
      unload: range => this.#unload(range),
      sessions: range => init.stages.sessionsOf(this.shape.id, range),
      onGoing: ranges => {
        this.#going = ranges
        init.onChange()
      },
      probe: (peer, range, options) => {
        const { config, edge } = init.model.manifest
        const model = { id: this.shape.id, layers: config.layers, hidden: config.hidden, edge }
        return probe({ links: init.swarm.links, sign: init.swarm.sign, model, peer, range, rng }, options)
      },
      onWarning: init.onWarning,
      searches: init.searches,
      clock,
      rng
    })
  }

  /** Exactly these layers; null where placement decides. */
  get pinned(): Range | null {
    return this.#init.pinned
  }

  /** Whether it lacks shards that it gets whatever its processor turns out to be: all of the model, or what it is told to serve. */
  get #fetchesAnyway(): boolean {
    const { pinned } = this.#init
    const range = pinned ?? { start: 0, end: this.shape.layers }
    if (stageBytes(this.shape, range) > this.#budgetBytes) return false
    return this.#shards.canFetch(range)
  }

  get stored(): StoredModel {
    return this.#init.model
  }

  /** Resident bytes of the loaded stages, their reserves included. */
  get usedBytes(): number {
    return this.#loaded.reduce((sum, { range }) => sum + stageBytes(this.shape, range), 0)
  }

  /** What this peer gives to the model of its budget. */
  get budgetBytes(): number {
    return this.#budgetBytes
  }

  /** Less takes nothing away from open sessions; a stage that is too large by now goes once the plan does without it. */
  set budgetBytes(bytes: number) {
    if (bytes === this.#budgetBytes) return
    this.#budgetBytes = bytes
    this.#share()
    this.#init.onChange()
    this.placement.changed()
  }

  /** Memory that its stages have or may take: weights, caches, and what they retain. */
  get heldBytes(): number {
    const caches = this.#loaded.reduce((sum, { engine }) => sum + (engine?.cacheBytesMax ?? 0), 0)
    const weights = this.#loaded.reduce((sum, { range }) => sum + weightBytes(this.shape, range), 0)
    return weights + caches + this.#retainBytesMax
  }

  /** Keys and values of sessions at its stages: what they take, and may. */
  get caches(): { readonly usedBytes: number; readonly maxBytes: number } {
    const engines = this.#loaded.flatMap(({ engine }) => engine ?? [])
    return {
      usedBytes: engines.reduce((sum, { cacheBytesUsed }) => sum + cacheBytesUsed, 0),
      maxBytes: engines.reduce((sum, { cacheBytesMax }) => sum + cacheBytesMax, 0)
    }
  }

  /** What its engines keep of the beginnings of sessions. */
  get prefixes(): PrefixStats {
    return prefixesOf(this.#loaded.flatMap(({ engine }) => engine?.prefixes ?? []))
  }

  /** What its stages may retain for replay. */
  get retainBytesMax(): number {
    return this.#retainBytesMax
  }

  /** What is on disk of it. */
  get held(): readonly ShardEntry[] {
    return this.#shards.list
  }

  /** Digests of the files that must stay: of what is loaded or being loaded, and of what it was told to serve. */
  get neededFiles(): string[] {
    const { pinned, model } = this.#init
    const ranges = this.#loaded.map(({ range }) => range)
    if (pinned !== null) ranges.push(pinned)
    const shards = ranges.flatMap(({ start, end }) => stageShards(model.manifest, start, end))
    return [model.manifest.tokenizer.sha256, ...shards.map(({ sha256 }) => sha256)]
  }

  /** Files of it may have gone from the disk. */
  refresh(): Promise<void> {
    return this.#shards.refresh()
  }

  /** What is loaded or being loaded, as the record says it. */
  get offers(): StageOffer[] {
    return this.#loaded.map(({ range, engine, load }) => ({
      model: this.shape.id,
      ...range,
      // No new session comes then, and those that run through it look for a way around it while it still serves them.
      serving: engine !== undefined && !this.#going.some(each => sameRange(each, range)),
      sessions: this.#init.stages.sessionsOf(this.shape.id, range),
      cacheBytesFree: engine === undefined ? 0 : engine.cacheBytesMax - engine.cacheBytesUsed,
      ...load.announced
    }))
  }

  /** What computes exactly these layers here, in its numeric class; undefined where they are not loaded. */
  engineOf(range: Range): { readonly engine: Engine; readonly numericClass: string } | undefined {
    const engine = this.#loaded.find(each => sameRange(each.range, range))?.engine
    return engine && { engine, numericClass: this.#measured.numericClass }
  }

  /** Notes how busy its stages are; to be called about once a second. True when what is announced of that has changed. */
  sample(nowMs: number): boolean {
    let hasChanged = false
    for (const { range, load } of this.#loaded) {
      const before = load.announced
      load.sample(this.#init.stages.stepsOf(this.shape.id, range), nowMs)
      const { load: now, peak } = load.announced
      if (now !== before.load || peak !== before.peak) hasChanged = true
    }
    return hasChanged
  }

  /** The shards that are being fetched from other peers, or null. */
  get fetching(): FetchStatus | null {
    return this.#shards.fetching
  }

  /** Stops planning, then ends the stages. */
  async stop(): Promise<void> {
    const unloadAll = (): Promise<void> =>
      endAll(
        this.#loaded.map(
          ({ range }): End =>
            async () =>
              this.#unload(range)
        )
      )
    this.#meeting?.end()
    await endAll([() => this.#shards.stop(), unloadAll, () => this.placement.stop()])
  }

  async #load(range: Range, { signal }: { signal: AbortSignal }): Promise<void> {
    const { model, stages, threads, onStage } = this.#init
    const { manifest } = model
    this.#set([...this.#loaded, { range, engine: undefined, load: new StageLoad() }])
    let engine: Engine
    try {
      const folder = await this.#shards.folder(range, signal)
      // Whoever is told that this stage serves must know of which numeric class it is.
      await unlessAborted(this.#measuring, signal)
      const { shares } = this.#shared()
      if (shares.lackingBytes > 0) {
        throw new NoRoomError('open sessions hold the memory that it needs beside the stages that serve them')
      }
      // What older stages may take makes way at once: sessions go on coming while this one loads.
      this.#share()
      engine = await this.#init.engines.create({
        manifest,
        shardDirectory: folder,
        start: range.start,
        end: range.end,
        cacheBytesMax: shares.cacheBytesMax.at(-1)!,
        threads,
        signal
      })
    } catch (error) {
      this.#set(this.#loaded.filter(stage => !sameRange(stage.range, range)))
      this.#share()
      throw error
    }
    const { layers, vocab, contextMax } = manifest.config
    stages.add(engine, { model: model.id, layers, vocab, contextMax, numericClass: this.#measured.numericClass })
    this.#set(this.#loaded.map(stage => (sameRange(stage.range, range) ? { ...stage, engine } : stage)))
    // The budget may be another one than when its loading began.
    this.#share()
    onStage({ model: model.id, ...range, serving: true, cacheBytesFree: engine.cacheBytesMax })
  }

  async #unload(range: Range): Promise<void> {
    const stage = this.#loaded.find(each => sameRange(each.range, range))
    if (stage === undefined) return
    // Nobody is sent here any more before the stage goes.
    this.#set(this.#loaded.filter(each => each !== stage))
    await this.#init.stages.remove(this.shape.id, range)
    await stage.engine?.close()
    this.#share()
    this.#init.onStage({ model: this.shape.id, ...range, serving: false, cacheBytesFree: 0 })
  }

  /** To be called when a record, a connection or the number of sessions has changed. */
  changed(): void {
    if (this.#isShort) this.#share()
    this.placement.changed()
  }

  /** How the budget is to be shared out among the stages now. */
  #shared(): { readonly shares: MemoryShares; readonly isShort: boolean } {
    const { stages, roomBytes } = this.#init
    const loaded = this.#loaded.map(({ range, engine }) => ({ range, cacheBytesUsed: engine?.cacheBytesUsed ?? 0 }))
    // Another model may still hold what it gives up: until it has, there is less.
    const budgetBytes = Math.min(this.#budgetBytes, roomBytes())
    const shares = shareMemory(this.shape, budgetBytes, loaded, stages.retainBytesOf(this.shape.id))
    return { shares, isShort: shares.lackingBytes > 0 || budgetBytes < this.#budgetBytes }
  }

  /** Shares the budget out among the stages: what an older one may take for sessions makes way for a new one's weights. */
  #share(): void {
    const { shares, isShort } = this.#shared()
    this.#isShort = isShort
    const heldBytes = this.heldBytes
    for (const [i, { engine }] of this.#loaded.entries()) {
      if (engine !== undefined) engine.cacheBytesMax = shares.cacheBytesMax[i]!
    }
    this.#retainBytesMax = this.#loaded.length === 0 ? 0 : shares.retainBytesMax
    if (this.heldBytes !== heldBytes) this.#init.onChange()
  }

  #set(loaded: readonly LoadedStage[]): void {
    this.#loaded = loaded
    this.#init.onChange()
  }

  /** What the record says of it; undefined while that would say nothing yet. */
  get offer(): ModelOffer | undefined {
    if (!this.#isAnnounced) return undefined
    const { name, config } = this.stored.manifest
    return {
      model: this.shape.id,
      name,
      layers: config.layers,
      ...this.#shards.offer,
      ...this.#measured,
      pinned: this.#init.pinned,
      footprint: footprintOf(this.shape),
      budgetBytes: this.#budgetBytes
    }
  }
}
