/** The one place that wires everything together. */
import { TypedEventEmitter } from '@libp2p/interface'
import { type End, endAll } from '../base/ends.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import { Departure, type DrainReport } from './departure.ts'
import type { Sampling } from '../engine/engine.ts'
import { reasonOf } from '../base/reason.ts'
import { Keeping } from '../disk/keeping.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { onnxEngine } from '../engine/onnx-factory.ts'
import { CorruptShardError, EngineError, InvalidOptionError, PeerLeavingError, UnknownModelError } from '../errors.ts'
import { type KeptSessionName, KeptSessions, type SessionInit } from './kept-sessions.ts'
import { drainMs, loadAnnounceMs, minBudgetBytes, namesakesMax } from '../limits.ts'
import { openLibrary } from '../model/library.ts'
import type { ModelStore, RemovedModel, StoredModel } from '../model/store.ts'
import { nameWithId } from '../model/names.ts'
import { Tokenizers } from '../model/tokenizer-service.ts'
import { ClassPin } from '../route/class-pin.ts'
import { Looking } from '../route/looking-service.ts'
import { Routing } from '../route/routing-service.ts'
import { Searches } from '../route/searches.ts'
import { type Hop, type ModelShape, type PeerView, sameRange, viewOf, withObtainable } from '../route/view.ts'
import { removeFrom } from './remove-model.ts'
import { Seeker } from '../serving/seeker.ts'
import { ServedModel, type ShardFetch } from '../serving/served-model.ts'
import type { Generation } from '../session/generation.ts'
import type { Speed } from '../session/patience.ts'
import { generate, resume, type SessionParts } from '../session/service.ts'
import { budgetsOf, checkBudget, shapeOf } from '../serving/shape.ts'
import { describeOffer, namesakesOf, sourcesOf } from '../serving/sources.ts'
import { createStageService, type StageService } from '../stage/service.ts'
import {
  type FetchingStatus,
  modelCoverage,
  modelStatuses,
  peerStatus,
  type StageStatus,
  type Status
} from './status.ts'
import { createSupply, type Supply } from '../supply/service.ts'
import { openDataDir } from '../swarm/data-dir.ts'
import { readHardware } from '../swarm/hardware.ts'
import { createSwarm, type Swarm } from '../swarm/service.ts'
import { readSwarmFile, type SwarmConfig } from '../swarm/swarm-file.ts'

export type { DrainReport } from './departure.ts'
export type { KeptSessionName, SessionInit } from './kept-sessions.ts'
export type { Answer, Generation, GenerationEvent, HopReport, Token } from '../session/generation.ts'
export type { ShardFetch } from '../serving/served-model.ts'
export type { FetchingStatus, ModelStatus, PeerStatus, StageStatus, Status } from './status.ts'
export type { SwarmConfig } from '../swarm/swarm-file.ts'

/** How to start a peer. */
export interface PeerInit {
  /** Directory of everything this peer keeps: identity, shards, remembered peers. Made if it does not exist. */
  dataDir: string
  /** The swarm to join: a file made by `skein init`, or its contents. */
  swarm: string | SwarmConfig
  /**
   * Name or id of the model to serve. What is not in `dataDir` is fetched from peers that have it, once there are some.
   * @default the only model in `dataDir`, or the one that ships when there is none
   */
  model?: string
  /**
   * Budget for weights and caches, in bytes. Placement never exceeds it.
   * @default half of the machine's memory
   */
  memoryBytes?: number
  /** Serve exactly these layers, half-open, instead of what placement decides. */
  layers?: Range
  /**
   * Multiaddrs to listen on.
   * @default ['/ip4/0.0.0.0/tcp/0']
   */
  listen?: string[]
  /** Multiaddrs of peers to dial besides those that are discovered or remembered. */
  bootstrap?: string[]
  /**
   * Look for peers by multicast DNS.
   * @default true
   */
  mdns?: boolean
  /**
   * Threads per engine. More than one hurts when several peers share a machine.
   * @default 1
   */
  threads?: number
  /**
   * What computes, in order of preference: a model is served with the first that supports it.
   * @default [onnxEngine]
   */
  engines?: readonly EngineFactory[]
  /** Told of each problem that does not end the peer, from the start on; events `warning` come to who listens later. */
  onWarning?: (message: string) => void
  /** Ends the start; a started peer is ended by `stop()`. */
  signal?: AbortSignal
}

export interface GenerateOptions extends Partial<Sampling> {
  /**
   * Tokens to generate at most.
   * @default 256, or what the context leaves
   */
  maxTokens?: number
  /** Name or id; known here, or offered by a live peer. @default the model that this peer serves */
  model?: string
  /**
   * Keep prompt and answer, sealed with a key, on two other peers, so that `resume` can go on with them wherever that
   * key is. What cannot be kept is an event `warning`, not an error.
   * @default not kept
   */
  session?: SessionInit
  /**
   * How long to wait for peers where no route covers all layers, from the start or from a loss, in ms: up to a day. What is
   * missing is told in `waiting` events, and by the error when the time is over.
   * @default 30 s after a loss; before the first token, until no more peers are to be expected
   */
  waitMs?: number
  /**
   * Control tokens that the prompt spells (`</s>`) become those tokens, as a chat template wants it.
   * @default false: they are text, as all that people write
   */
  special?: boolean
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
}

export interface ResumeOptions extends Omit<SessionInit, 'name'> {
  /**
   * Tokens of the whole answer at most, those that are there included.
   * @default as it was asked for
   */
  maxTokens?: number
  /** As with {@link GenerateOptions.waitMs}. */
  waitMs?: number
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
}

/** Events of a peer, as a typed EventTarget. */
export interface PeerEvents {
  /** A peer's first live record was accepted. */
  'peer:join': CustomEvent<{ readonly peer: PeerId }>
  /** A peer's record expired, or it said goodbye. */
  'peer:leave': CustomEvent<{ readonly peer: PeerId }>
  /** A peer, this one included, announced that it is about to go, or that it stays after all. */
  'peer:leaving': CustomEvent<{ readonly peer: PeerId; readonly leaving: boolean }>
  /** A stage of this peer began or ceased to serve. */
  'stage:up': CustomEvent<StageStatus>
  'stage:down': CustomEvent<StageStatus>
  /** Shards that this peer needs are being fetched from others, and later have come. */
  'shards:fetch': CustomEvent<ShardFetch>
  /** A model became covered, or is no longer. */
  'model:covered': CustomEvent<{ readonly model: ModelId }>
  'model:uncovered': CustomEvent<{ readonly model: ModelId }>
  /** A problem that does not end the peer, in one sentence. */
  warning: CustomEvent<{ readonly message: string }>
}

export interface Peer {
  readonly id: PeerId
  /** Multiaddrs that others can dial, with this peer's id. */
  readonly addresses: readonly string[]
  status(): Status
  /** Answers a prompt. Nothing runs until the result is iterated. */
  generate(prompt: string, options?: GenerateOptions): Generation
  /**
   * Goes on with a session that was kept under that name and key, where it stopped, with the sampling that it began
   * with. The first event says what was there; the answer is the whole one. It goes on being kept.
   * Iterating throws {UnknownSessionError} {InvalidKeyError} and what `generate` throws.
   */
  resume(name: string, options?: ResumeOptions): Generation
  /**
   * Has the peers that keep a session remove it, as far as they are reachable. Returns how many had it.
   * @throws {InvalidOptionError} {InvalidKeyError} @throws the signal's reason.
   */
  forget(session: KeptSessionName, options?: { signal?: AbortSignal }): Promise<number>
  /**
   * Announces that this peer goes and has others take over what it serves, while it still does: sessions move on
   * between two tokens, its own answers are completed, and nothing new is begun here. Returns when nothing needs it any
   * more, when nobody can take its layers and nothing runs, or at the deadline. `stop` ends it.
   * @throws the signal's reason; the announcement stands.
   */
  drain(options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<DrainReport>
  /**
   * Removes a model from this peer's directory: its manifest, and the files that no other model there has.
   * @throws {ModelInUseError} when it is the one that this peer serves
   * @throws {UnknownModelError} {InvalidOptionError} when there is none of that name or id, or it ships with Skein
   */
  removeModel(nameOrId: string): Promise<RemovedModel>
  addEventListener<K extends keyof PeerEvents>(type: K, listener: (event: PeerEvents[K]) => void): void
  removeEventListener<K extends keyof PeerEvents>(type: K, listener: (event: PeerEvents[K]) => void): void
  /** Says goodbye, ends sessions, closes everything. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * Starts a peer. It returns once the peer listens and is known to itself; other peers are found, and stages loaded,
 * from then on.
 *
 * @throws {InvalidOptionError} {BudgetTooSmallError} {InvalidSwarmError} {DataDirectoryError} {UnknownModelError}
 *   {ListenError} {EngineError}
 * @throws the signal's reason.
 */
export async function createPeer(init: PeerInit): Promise<Peer> {
  const signal = init.signal ?? new AbortController().signal
  const { threads = 1, memoryBytes = Math.floor(readHardware().memoryBytes / 2), layers: pinned = null } = init
  const { engines = [onnxEngine] } = init
  checkInit({ memoryBytes, threads, engines })
  const config = typeof init.swarm === 'string' ? await readSwarmFile(init.swarm) : init.swarm
  /** What has been started, to be ended in reverse. */
  const ends: End[] = []
  let peer: RunningPeer | undefined
  const warn = (message: string): void => {
    init.onWarning?.(message)
    peer?.dispatchEvent(new CustomEvent('warning', { detail: { message } }))
  }
  const keeping = new Keeping(warn)
  try {
    const dataDir = await openDataDir(init.dataDir)
    ends.push(() => dataDir.close())
    const store = await openLibrary(dataDir.path)
    await store.sweep()
    const model = await chooseModel(store, init.model)
    if (typeof model !== 'string') checkServable(model, { engines, memoryBytes, pinned })
    const swarm = await createSwarm({
      dataDir,
      config,
      keeping,
      signal,
      ...(init.listen === undefined ? {} : { listen: init.listen }),
      ...(init.bootstrap === undefined ? {} : { bootstrap: init.bootstrap }),
      ...(init.mdns === undefined ? {} : { mdns: init.mdns })
    })
    ends.push(() => swarm.stop())
    peer = new RunningPeer({ swarm, swarmName: config.name, store, engines, keeping, warn })
    await peer.start({ dataDir: dataDir.path, model, budgetBytes: memoryBytes, pinned, threads, signal, ends })
    return peer
  } catch (error) {
    // Why it did not start is what counts.
    await endAll(ends).catch(() => {})
    throw error
  }
}

function checkInit({
  memoryBytes,
  threads,
  engines
}: {
  memoryBytes: number
  threads: number
  engines: readonly EngineFactory[]
}): void {
  if (engines.length === 0) throw new InvalidOptionError('a peer needs one engine or more, not an empty list')
  if (!(Number.isSafeInteger(memoryBytes) && memoryBytes >= minBudgetBytes)) {
    throw new InvalidOptionError(
      `the memory budget must be a whole number of bytes, at least ${minBudgetBytes}, not ${memoryBytes}`
    )
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new InvalidOptionError(`threads must be a positive whole number, not ${threads}`)
  }
}

/**
 * The engine that serves a model here.
 * @throws {EngineError} when none supports it. @throws {InvalidOptionError} {BudgetTooSmallError} when this peer cannot serve
 *   that part of it.
 */
function checkServable(
  model: StoredModel,
  { engines, memoryBytes, pinned }: { engines: readonly EngineFactory[]; memoryBytes: number; pinned: Range | null }
): EngineFactory {
  const found = engineFor(engines, model.manifest)
  if ('refusal' in found) throw new EngineError(found.refusal)
  const { layers } = model.manifest.config
  if (pinned !== null && !(pinned.start >= 0 && pinned.start < pinned.end && pinned.end <= layers)) {
    throw new InvalidOptionError(
      `layers ${pinned.start}-${pinned.end} are no range of ${model.manifest.name}, which has layers 0-${layers} (the end is not included)`
    )
  }
  checkBudget(shapeOf(model.manifest, found.factory.footprint(model.manifest)), memoryBytes, pinned)
  return found.factory
}

/**
 * The named model, or its name when it is not here and must come from peers; else the only one that was imported or
 * fetched; else the only one that ships. While a manifest here cannot be read it has to be named: that may be the one
 * that this peer is meant to serve, and another in its place would be no help to the swarm and look like it.
 */
async function chooseModel(store: ModelStore, nameOrId: string | undefined): Promise<StoredModel | string> {
  if (nameOrId !== undefined) return (await store.find(nameOrId)).length > 0 ? store.resolve(nameOrId) : nameOrId
  const broken: string[] = []
  const models = await store.list({ onBroken: ({ message }) => broken.push(message) })
  // A model that this peer only asked others about has no shards here.
  const held = await Promise.all(models.map(model => store.held(model)))
  const imported = models.filter(({ shipped }, i) => !shipped && held[i]!.length > 0)
  const choice = imported.length > 0 ? imported : models.filter(({ shipped }) => shipped)
  if (choice.length === 1 && broken.length === 0) return choice[0]!
  const names = choice.map(({ manifest }) => manifest.name).join(', ')
  const which =
    choice.length === 0
      ? 'there is no usable model here: import one'
      : choice.length === 1
        ? `it is not clear which model to serve, name it: ${names} can be used`
        : `there are several models here, name one: ${names}`
  throw new UnknownModelError([which, ...broken.map(message => `unusable: ${message}`)].join('; '))
}

/**
 * Memory budgets, in bytes, for so many peers that need one another: together they hold the model exactly once.
 *
 * @param engines as with {@link PeerInit.engines}.
 * @throws {BudgetTooSmallError} when the model has fewer layers than that. @throws {EngineError} when no engine supports it.
 */
export function splitBudgets(
  { manifest }: Pick<StoredModel, 'manifest'>,
  peers: number,
  engines: readonly EngineFactory[] = [onnxEngine]
): number[] {
  const found = engineFor(engines, manifest)
  if ('refusal' in found) throw new EngineError(found.refusal)
  return budgetsOf(shapeOf(manifest, found.factory.footprint(manifest)), peers)
}

class RunningPeer extends TypedEventEmitter<PeerEvents> implements Peer {
  readonly id: PeerId
  readonly #swarm: Swarm
  readonly #swarmName: string
  readonly #store: ModelStore
  readonly #engines: readonly EngineFactory[]
  readonly #keeping: Keeping
  readonly #warn: (message: string) => void
  /** Of the models that have been asked for lately. */
  readonly #tokenizers = new Tokenizers()
  readonly #covered = new Map<ModelId, boolean>()
  readonly #generating = new AbortController()
  readonly #searches = new Searches()
  readonly #routing: Routing
  #stages!: StageService
  #supply!: Supply
  #seeker!: Seeker
  /** Undefined until the model is here. */
  #served: ServedModel | undefined
  /** The model that it serves, or is about to. */
  #serving: ModelId | undefined
  /** Why it is not here yet. */
  #seeking: string | undefined
  /** It is not because its name is that of more than one model. */
  #unclear = false
  /** Models of the name of the one that it serves, of which it has warned. */
  readonly #namesakes = new Set<ModelId>()
  #kept!: KeptSessions
  #departure!: Departure
  /** Own answers under way. */
  #answering = 0
  readonly #leaving = new Set<PeerId>()
  #announced = ''
  #stopping: Promise<void> | undefined
  #ends: End[] = []
  readonly #looking = new Looking(() => this.#look())

  constructor({
    swarm,
    swarmName,
    store,
    engines,
    keeping,
    warn
  }: {
    swarm: Swarm
    swarmName: string
    store: ModelStore
    engines: readonly EngineFactory[]
    keeping: Keeping
    /** Tells of a problem, as an event of this peer too. */
    warn: (message: string) => void
  }) {
    super()
    this.#engines = engines
    this.id = swarm.id
    this.#swarm = swarm
    this.#swarmName = swarmName
    this.#store = store
    this.#keeping = keeping
    this.#warn = warn
    this.#routing = new Routing({
      self: swarm.id,
      peers: model => this.#reachable(model),
      searches: this.#searches
    })
  }

  async start({
    dataDir,
    model,
    budgetBytes,
    pinned,
    threads,
    signal,
    ends
  }: {
    dataDir: string
    /** A name or id: the model has to come from peers. */
    model: StoredModel | string
    budgetBytes: number
    pinned: Range | null
    threads: number
    signal: AbortSignal
    ends: End[]
  }): Promise<void> {
    this.#ends = ends
    const swarm = this.#swarm
    const onWarning = this.#warn
    ends.push(() => this.#tokenizers.close())
    this.#stages = await createStageService({
      links: swarm.links,
      retainBytesMax: 0,
      onViolation: (peer, kind, message) => swarm.reportViolation(peer, kind, message)
    })
    ends.push(() => this.#stages.stop())
    this.#kept = await KeptSessions.start({ swarm, dataDir, keeping: this.#keeping })
    ends.push(() => this.#kept.stop())
    this.#supply = await createSupply({
      links: swarm.links,
      store: this.#store,
      live: () => this.#stages.stats.sessions > 0,
      onViolation: (peer, kind, message) => swarm.reportViolation(peer, kind, message)
    })
    ends.push(() => this.#supply.stop())
    this.#seeker = new Seeker({ store: this.#store, swarm, supply: this.#supply })
    const serve = async (model: StoredModel, signal: AbortSignal): Promise<ServedModel> => {
      const engines = checkServable(model, { engines: this.#engines, memoryBytes: budgetBytes, pinned })
      this.#serving = model.id
      return ServedModel.start(
        {
          dataDir,
          keeping: this.#keeping,
          engines,
          store: this.#store,
          model,
          swarm,
          stages: this.#stages,
          supply: this.#supply,
          budgetBytes,
          pinned,
          threads,
          onWarning,
          onStage: ({ cacheBytesFree: _, serving, ...stage }) =>
            this.#emit(serving ? 'stage:up' : 'stage:down', { ...stage, serving }),
          onFetch: fetch => this.#emit('shards:fetch', fetch),
          searches: this.#searches
        },
        { signal }
      )
    }
    if (typeof model === 'string') {
      swarm.announce({ budgetBytes })
      this.#seeking = `looking for the model '${model}'`
      const sought = this.#seek(model, async found => {
        this.#served = await serve(found, this.#generating.signal)
      })
      ends.push(() => sought)
    } else {
      this.#served = await serve(model, signal)
    }
    ends.push(async () => this.#served?.stop())
    this.#departure = new Departure({
      swarm,
      stages: this.#stages,
      placement: () => this.#served?.placement,
      loaded: () => this.#served?.offers ?? [],
      answering: () => this.#answering,
      onWarning
    })
    swarm.addEventListener('battery', ({ detail }) => this.#departure.onBattery(detail.battery))
    swarm.addEventListener('record', () => this.#looking.changed())
    ends.push(async () => this.#looking.stop())
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
    swarm.addEventListener('violation', ({ detail }) =>
      onWarning(`${detail.peer} broke the protocol (${detail.kind}): ${detail.message}`)
    )
    const load = setInterval(() => this.#announceLoad(), loadAnnounceMs).unref()
    ends.push(async () => clearInterval(load))
    this.#looking.now()
  }

  get addresses(): readonly string[] {
    return this.#swarm.addresses
  }

  generate(prompt: string, options: GenerateOptions = {}): Generation {
    const { model, signal, session, ...rest } = options
    return generate(
      () => this.#sessionParts(model, { session, after: 0, classes: [] }, this.#orEnding(signal)),
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
      const parts = await this.#sessionParts(found.model, kept, signal)
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
    return {
      self: this.id,
      swarm: this.#swarmName,
      peers: records.map(peer =>
        peerStatus(peer, peer.record.peer === this.id ? (this.#served?.usedBytes ?? 0) : null)
      ),
      models: modelStatuses(records, this.#served?.shape.id, () => this.#served!.placement.missing()),
      fetching: this.#fetching(),
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

  removeModel(nameOrId: string): Promise<RemovedModel> {
    return removeFrom(this.#store, nameOrId, this.#serving)
  }

  #emit<K extends keyof PeerEvents>(type: K, detail: PeerEvents[K]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  #fetching(): FetchingStatus | null {
    if (this.#served === undefined) {
      return this.#seeking === undefined
        ? null
        : { model: null, state: this.#seeking, unclear: this.#unclear, bytes: 0, bytesTotal: 0 }
    }
    const fetching = this.#served.fetching
    if (fetching === null) return null
    const { model, shards, bytes, bytesTotal, peers } = fetching
    return {
      model,
      state: `${shards} from ${peers === 1 ? '1 peer' : `${peers} peers`}`,
      unclear: false,
      bytes,
      bytesTotal
    }
  }

  /** Waits for the model to be offered, learns it from peers and serves it. */
  async #seek(nameOrId: string, serve: (model: StoredModel) => Promise<void>): Promise<void> {
    const { signal } = this.#generating
    const onState = (message: string, unclear = false): void => {
      this.#seeking = message
      this.#unclear = unclear
      this.#warn(message)
    }
    try {
      await serve(await this.#seeker.seek(nameOrId, { signal, onState }))
      this.#looking.changed()
    } catch (error) {
      // What it cannot serve it can still ask others about.
      if (!signal.aborted) onState(`the model '${nameOrId}' is not served here: ${reasonOf(error)}`)
    }
  }

  #look(): void {
    this.#served?.placement.changed()
    this.#supply.changed()
    this.#routing.changed()
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
    this.#swarm.announce({
      load: { sessions, queuedSteps },
      ...(this.#served === undefined ? {} : { stages: this.#served.offers })
    })
    this.#served?.placement.changed()
  }

  /** What a session works with; its route counts as in flight until the session ends. @throws the signal's reason */
  async #sessionParts(
    nameOrId: string | undefined,
    kept: { session: SessionInit | undefined; after: number; classes: readonly string[] },
    signal: AbortSignal
  ): Promise<SessionParts> {
    signal.throwIfAborted()
    const model = nameOrId === undefined ? this.#served?.stored : await this.#seeker.find(nameOrId, { signal })
    if (model === undefined) throw new UnknownModelError(`there is no model here to answer with: ${this.#seeking}`)
    if (this.#departure.isDraining)
      throw new PeerLeavingError('this peer is about to go and begins nothing new: ask another one')
    const shape = this.#shapeOf(model)
    const { layers, vocab, contextMax } = model.manifest.config
    let hops: readonly Hop[] = []
    const pin = new ClassPin(kept.classes)
    const keep =
      kept.session === undefined
        ? undefined
        : await this.#kept.keep(kept.session, {
            model: model.id,
            after: kept.after,
            classes: () => pin.layerClasses ?? []
          })
    const tokenizer = this.#tokenizers.open({ ...model, file: signal => this.#tokenizerFile(model, signal) })
    this.#answering++
    const release = (): void => {
      this.#routing.release(hops)
      hops = []
    }
    return {
      links: this.#swarm.links,
      stages: this.#stages,
      tokenizer,
      model: { id: model.id, layers, vocab, contextMax, eosIds: model.manifest.eosIds },
      route: async (excluded, options) => {
        release()
        hops = await this.#routing.route(this.#told(shape), excluded, { ...options, pin })
        return hops
      },
      isExact: () => pin.exact,
      onRoute: route => {
        if (route === hops) return
        this.#routing.moved(hops, route)
        hops = route
      },
      ...(keep === undefined ? {} : { keep }),
      suspects: () => this.#swarm.suspects(),
      hears: peer => this.#swarm.hears(peer),
      speedOf: hop => this.#speedOf(hop, model.id),
      ...(shape.stepBytes === undefined ? {} : { stepBytes: shape.stepBytes }),
      leaving: route => this.#leavingOn(route, model.id),
      detour: (route, excluded) => this.#routing.detour(shape, route, { excluded, pin }),
      onEnd: () => {
        this.#answering--
        tokenizer.close()
        release()
      },
      onViolation: (peer, kind, message) => this.#swarm.reportViolation(peer, kind, message)
    }
  }

  /** Peers that are about to go, and those of a route whose stage on it is. */
  #leavingOn(route: readonly Hop[], model: ModelId): ReadonlySet<PeerId> {
    const going = route.filter(hop => {
      const stage = this.#swarm.recordOf(hop.peer)?.stages.find(each => each.model === model && sameRange(each, hop))
      return stage?.serving === false
    })
    return going.length === 0 ? this.#leaving : new Set([...this.#leaving, ...going.map(({ peer }) => peer)])
  }

  /** How fast the peer of a hop says that it is, and how busy. */
  #speedOf({ peer }: Hop, model: ModelId): Speed | undefined {
    const record = this.#swarm.records().find(each => each.record.peer === peer)?.record
    const offer = record?.models.find(each => each.model === model)
    if (record === undefined || offer === undefined) return undefined
    return { visitMs: offer.visitMs, layerMs: offer.layerMs, sessions: record.load.sessions }
  }

  /** What a model asks of the peers that serve it. */
  #shapeOf({ manifest }: StoredModel): ModelShape {
    const found = engineFor(this.#engines, manifest)
    // A peer that cannot compute a model can drive sessions of it: then the sizes are another engine's, as good as any.
    const factory = 'factory' in found ? found.factory : this.#engines[0]!
    return shapeOf(manifest, factory.footprint(manifest))
  }

  /** A tokenizer that is missing or damaged here is fetched from peers, where one has it. */
  async #tokenizerFile(model: StoredModel, signal: AbortSignal): Promise<string> {
    try {
      return await this.#store.tokenizerFile(model, { signal })
    } catch (error) {
      const peers = (): PeerId[] => sourcesOf(this.#swarm.records(), this.id, model.id)
      if (!(error instanceof CorruptShardError) || peers().length === 0) throw error
      await this.#supply.fetch([model.manifest.tokenizer], { peers, signal: this.#orEnding(signal) })
      return this.#store.tokenizerFile(model, { signal })
    }
  }

  /** A model as sentences about it should call it: where others offer another one of that name, with what sets it apart. */
  #told(shape: ModelShape): ModelShape {
    const namesakes = namesakesOf(this.#swarm.records(), shape)
    if (namesakes.length === 0) return shape
    return {
      ...shape,
      name: `${nameWithId(shape)}, which is not the ${namesakes.map(describeOffer).join(' or the ')},`
    }
  }

  /** Says once of each other model of the served one's name that it is another: neither can stand in for the other. */
  #warnOfNamesakes(): void {
    if (this.#served === undefined) return
    const { shape } = this.#served
    for (const other of namesakesOf(this.#swarm.records(), shape)) {
      if (this.#namesakes.has(other.id) || this.#namesakes.size >= namesakesMax) continue
      this.#namesakes.add(other.id)
      this.#warn(
        `the name ${shape.name} is not clear: this peer serves ${nameWithId(shape)}, another model is ${describeOffer(other)}; give the beginning of an id to choose one`
      )
    }
  }

  #reachable(model: ModelShape): PeerView[] {
    return withObtainable(
      this.#swarm.records().flatMap(({ record, connected }) => {
        const view = connected || record.peer === this.id ? viewOf(record, model.id) : undefined
        return view === undefined ? [] : [view]
      })
    )
  }
}
