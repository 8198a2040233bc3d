/** The one place that wires everything together. */
import { TypedEventEmitter } from '@libp2p/interface'
import { type End, endAll } from '../base/ends.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import { Departure, type DrainReport } from './departure.ts'
import type { Sampling } from '../engine/engine.ts'
import { Keeping } from '../disk/keeping.ts'
import { openToAll } from '../disk/openness.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { onnxEngine } from '../engine/onnx-factory.ts'
import {
  CorruptShardError,
  DuplicateIdentityError,
  EngineError,
  InvalidOptionError,
  PeerLeavingError,
  UnknownModelError
} from '../errors.ts'
import { type KeptSessionName, KeptSessions, type SessionInit } from './kept-sessions.ts'
import { drainMs, loadAnnounceMs, minBudgetBytes, namesakesMax } from './limits.ts'
import { muteExcludeMs } from '../session/limits.ts'
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
import type { ShardFetch } from '../serving/served-model.ts'
import type { Generation } from '../session/generation.ts'
import { LeftOut } from '../session/left-out.ts'
import type { Speed } from '../session/patience.ts'
import { type Admitted, Admissions } from '../session/admission-service.ts'
import type { SessionParts } from '../session/parts.ts'
import { generate, resume } from '../session/service.ts'
import { checkServable, Serving } from '../serving/serving.ts'
import { budgetsOf, shapeOf } from '../serving/shape.ts'
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
import { verifySignature } from '../swarm/identity.ts'
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
   * Models to serve, where it is several or their layers differ; instead of `model`. The budget is shared out among them by
   * their size and by how much the swarm asks for each.
   */
  models?: readonly ModelInit[]
  /**
   * Budget for weights and caches, in bytes, of all models together. Placement never exceeds it. 0 is a peer that holds no
   * layers: it asks others.
   * @default half of the machine's memory
   */
  memoryBytes?: number
  /** Serve exactly these layers of the only model, half-open, instead of what placement decides. */
  layers?: Range
  /**
   * Multiaddrs to listen on.
   * @default ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']
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

/** One of several models to serve. */
export interface ModelInit {
  /** Name or id, as with {@link PeerInit.model}. */
  model: string
  /** Serve exactly these layers, half-open, instead of what placement decides. */
  layers?: Range
}

export interface GenerateOptions extends Partial<Sampling> {
  /**
   * Tokens to generate at most.
   * @default 256, or what the context leaves
   */
  maxTokens?: number
  /** Name or id; known here, or offered by a live peer. @default the first model that this peer serves, else the only one offered */
  model?: string
  /**
   * Who asks, of several whom this peer answers: where room is short they take turns.
   * @default one and the same
   */
  client?: string
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
  /** The peer cannot go on and is stopping: the error says why. Nothing ends the program that holds it. */
  failed: CustomEvent<{ readonly error: Error }>
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
   * Serves a model from now on, beside those that it serves. One that is not here is looked for among the peers; `status` says
   * how far that has come.
   *
   * @param options.layers exactly these layers, half-open, instead of what placement decides
   * @returns whether the model is here; false while it is looked for.
   * @throws {UnknownModelError} when more than one model has that name. @throws {EngineError} {InvalidOptionError}
   *   {BudgetTooSmallError} when this peer cannot serve it. @throws the signal's reason.
   */
  serve(nameOrId: string, options?: { layers?: Range; signal?: AbortSignal }): Promise<boolean>
  /**
   * Serves a model no longer, or stops looking for it. Its stages go at once: answers under way find others that serve them.
   * What is on disk of it stays.
   * @throws {UnknownModelError} when it is not served here.
   */
  unserve(nameOrId: string): Promise<void>
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
  const { threads = 1, memoryBytes = Math.floor(readHardware().memoryBytes / 2), engines = [onnxEngine] } = init
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
    const open = [
      await openToAll('data directory', dataDir.path),
      typeof init.swarm === 'string' ? await openToAll('swarm file', init.swarm) : undefined
    ]
    for (const sentence of open) if (sentence !== undefined) warn(sentence)
    const store = await openLibrary(dataDir.path)
    await store.sweep()
    const models = await chooseModels(store, init)
    for (const { model, pinned } of models) {
      if (typeof model !== 'string') checkServable(model, { engines, budgetBytes: memoryBytes, pinned })
    }
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
    await peer.start({ dataDir: dataDir.path, models, budgetBytes: memoryBytes, threads, signal, ends })
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
  if (!(Number.isSafeInteger(memoryBytes) && (memoryBytes >= minBudgetBytes || memoryBytes === 0))) {
    throw new InvalidOptionError(
      `the memory budget must be a whole number of bytes, at least ${minBudgetBytes} or 0 for no layers, not ${memoryBytes}`
    )
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new InvalidOptionError(`threads must be a positive whole number, not ${threads}`)
  }
}

/** A model to serve. */
interface ChosenModel {
  /** A name or id where the model has to come from peers. */
  readonly model: StoredModel | string
  readonly pinned: Range | null
}

/**
 * The models that a peer is to serve: those that are named, else the one that is plainly meant; none where it holds no layers.
 * @throws {InvalidOptionError} when a model is named twice, or for a peer that holds no layers. @throws {UnknownModelError}
 */
async function chooseModels(store: ModelStore, init: PeerInit): Promise<ChosenModel[]> {
  const { model, models = model === undefined ? [] : [{ model }], layers = null, memoryBytes } = init
  if (model !== undefined && init.models !== undefined) {
    throw new InvalidOptionError('the models to serve are given either as `model` or as `models`, not as both')
  }
  if (memoryBytes === 0) {
    if (models.length === 0 && layers === null) return []
    throw new InvalidOptionError(
      'a peer with no memory for layers serves no model: leave the model out, or give it memory'
    )
  }
  if (models.length === 0) return [{ model: await chooseModel(store, undefined), pinned: layers }]
  if (layers !== null && models.length > 1) {
    throw new InvalidOptionError('with several models, layers are given with the model that they are of')
  }
  const chosen: ChosenModel[] = []
  for (const named of models) {
    const found = { model: await chooseModel(store, named.model), pinned: named.layers ?? layers }
    const id = (each: ChosenModel): string => (typeof each.model === 'string' ? each.model : each.model.id)
    if (chosen.some(each => id(each) === id(found))) {
      throw new InvalidOptionError(`the model '${named.model}' is named twice`)
    }
    chosen.push(found)
  }
  return chosen
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
  #serving!: Serving
  /** Models of the name of one that it serves, of which it has warned. */
  readonly #namesakes = new Set<ModelId>()
  #kept!: KeptSessions
  #departure!: Departure
  readonly #admissions = new Admissions()
  /** Peers that did not answer a session of this peer: those that begin after it go around them where they can. */
  readonly #mute = new LeftOut()
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
      rttMs: peer => swarm.rttMs(peer),
      searches: this.#searches
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
    ends.push(() => this.#tokenizers.close())
    this.#stages = await createStageService({
      links: swarm.links,
      retainBytesMax: 0,
      verify: verifySignature,
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
      onFetch: fetch => this.#emit('shards:fetch', fetch)
    })
    ends.push(() => this.#serving.stop())
    for (const { model, pinned } of models) {
      if (typeof model === 'string') this.#serving.seek(model, { pinned })
      else await this.#serving.add(model, { pinned, signal })
    }
    this.#departure = new Departure({
      swarm,
      stages: this.#stages,
      placementOf: model => this.#serving.get(model)?.placement,
      replan: () => this.#serving.changed(),
      loaded: () => this.#serving.offers,
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
    swarm.addEventListener('yield', ({ detail }) => this.#fail(new DuplicateIdentityError(detail.message)))
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
    const { model, client, signal, session, ...rest } = options
    return generate(
      () =>
        this.#sessionParts(
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
      const parts = await this.#sessionParts({ model: found.model }, kept, signal)
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
    this.#admissions.changed()
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

  /** The model that answers where none is named. @throws {UnknownModelError} when that is not clear. @throws the signal's reason */
  async #usualModel(signal: AbortSignal): Promise<StoredModel> {
    const [served] = this.#serving.models
    if (served !== undefined) return served.stored
    const [sought] = this.#serving.seeking
    if (sought !== undefined) throw new UnknownModelError(`there is no model here to answer with: ${sought.state}`)
    // A peer that holds no layers asks for what others serve.
    const offered = modelCoverage(this.#swarm.records())
    if (offered.length === 1) return this.#seeker.find(offered[0]!.id, { signal })
    throw new UnknownModelError(
      offered.length === 0
        ? 'there is no model to answer with: this peer serves none, and no live peer offers one'
        : `there are several models to answer with, name one: ${offered.map(nameWithId).join(', ')}`
    )
  }

  /** What a session works with; its route counts as in flight until the session ends. @throws the signal's reason */
  async #sessionParts(
    { model: nameOrId, client = 'local' }: Pick<GenerateOptions, 'model' | 'client'>,
    kept: { session: SessionInit | undefined; after: number; classes: readonly string[] },
    signal: AbortSignal
  ): Promise<SessionParts> {
    signal.throwIfAborted()
    const model =
      nameOrId === undefined ? await this.#usualModel(signal) : await this.#seeker.find(nameOrId, { signal })
    this.#serving.asked(model.id)
    if (this.#departure.isDraining)
      throw new PeerLeavingError('this peer is about to go and begins nothing new: ask another one')
    const shape = this.#shapeOf(model)
    const { layers, vocab, contextMax } = model.manifest.config
    let hops: readonly Hop[] = []
    let tokensMax: number | undefined
    let admitted: Admitted | undefined
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
      admit: async ({ tokensMax, waitMs, signal, onWait }) => {
        const room = (): number => this.#routing.room(shape, tokensMax)
        admitted = await this.#admissions.enter({ client, waitMs, room }, { signal, onWait })
        return admitted.leave
      },
      sign: this.#swarm.sign,
      tokenizer,
      model: { id: model.id, layers, vocab, contextMax, eosIds: model.manifest.eosIds },
      route: async (excluded, options) => {
        release()
        tokensMax = options.tokensMax
        hops = await this.#routing.route(this.#told(shape), excluded, { ...options, pin })
        admitted?.routed()
        return hops
      },
      isExact: () => pin.exact,
      onToken: route => {
        for (const hop of route) this.#serving.get(model.id)?.placement.worked(hop)
      },
      onRoute: route => {
        if (route === hops) return
        this.#routing.moved(hops, route, shape, tokensMax)
        hops = route
      },
      ...(keep === undefined ? {} : { keep }),
      suspects: () => this.#swarm.suspects().union(this.#mute.all(performance.now())),
      onMute: peer => this.#mute.add(peer, performance.now(), { forMs: muteExcludeMs }),
      hears: peer => this.#swarm.hears(peer),
      speedOf: hop => this.#speedOf(hop, model.id),
      ...(shape.stepBytes === undefined ? {} : { stepBytes: shape.stepBytes }),
      leaving: route => this.#leavingOn(route, model.id),
      detour: (route, excluded) =>
        this.#routing.detour(shape, route, { excluded, pin, ...(tokensMax === undefined ? {} : { tokensMax }) }),
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
        if (view === undefined) return []
        return placement?.isDoubtful(view.peer) === true ? [{ ...view, isDoubtful: true }] : [view]
      })
    )
  }
}
