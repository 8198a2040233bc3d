/** The one place that wires everything together. */
import { TypedEventEmitter } from '@libp2p/interface'
import type { ModelId, PeerId, Range } from './base/ids.ts'
import type { Sampling } from './engine/engine.ts'
import { InvalidOptionError, UnknownModelError } from './errors.ts'
import { loadAnnounceMs, minBudgetBytes } from './limits.ts'
import { openLibrary } from './model/library.ts'
import type { ModelStore, StoredModel } from './model/store.ts'
import { loadTokenizer, type ModelTokenizer } from './model/tokenizer.ts'
import { ClassPin } from './route/class-pin.ts'
import { coverageOf } from './route/coverage.ts'
import { Routing } from './route/routing-service.ts'
import { type Hop, type ModelShape, type PeerView, viewOf } from './route/view.ts'
import { ServedModel } from './served-model.ts'
import type { Generation } from './session/generation.ts'
import { generate, type SessionParts } from './session/service.ts'
import { checkBudget, shapeOf } from './shape.ts'
import { createStageService, type StageService } from './stage/service.ts'
import { openDataDir } from './swarm/data-dir.ts'
import { readHardware } from './swarm/hardware.ts'
import { createSwarm, type Swarm, type SwarmPeer } from './swarm/service.ts'
import { readSwarmFile, type SwarmConfig } from './swarm/swarm-file.ts'

export type { Answer, Generation, GenerationEvent, HopReport, Token } from './session/generation.ts'
export type { SwarmConfig } from './swarm/swarm-file.ts'

/** How to start a peer. */
export interface PeerInit {
  /** Directory of everything this peer keeps: identity, shards, remembered peers. Made if it does not exist. */
  dataDir: string
  /** The swarm to join: a file made by `skein init`, or its contents. */
  swarm: string | SwarmConfig
  /**
   * Name or id of the model to serve.
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
  /** Ends the start; a started peer is ended by `stop()`. */
  signal?: AbortSignal
}

export interface GenerateOptions extends Partial<Sampling> {
  /**
   * Tokens to generate at most.
   * @default 256, or what the context leaves
   */
  maxTokens?: number
  /** Name or id. @default the model that this peer serves */
  model?: string
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
}

export interface StageStatus extends Range {
  readonly model: ModelId
  readonly serving: boolean
}

export interface PeerStatus {
  readonly id: PeerId
  readonly self: boolean
  readonly addresses: readonly string[]
  readonly hardware: {
    readonly cores: number
    readonly memoryBytes: number
    readonly architecture: string
    readonly platform: string
    readonly cpu: string
  }
  readonly budgetBytes: number
  /** Resident bytes of its stages with their reserves; null for other peers. */
  readonly usedBytes: number | null
  readonly stages: readonly StageStatus[]
  readonly sessions: number
  /** Measured, per model that it offers. */
  readonly timings: readonly {
    readonly model: ModelId
    readonly visitMs: number
    readonly layerMs: number
    readonly numericClass: string
  }[]
  readonly battery: { readonly level: number; readonly charging: boolean } | null
  /** Age of its record, in ms; 0 for this peer. */
  readonly ageMs: number
  /** Whether this peer has a connection with it now: routes from here use no others. True for this peer. */
  readonly connected: boolean
}

export interface ModelStatus {
  readonly id: ModelId
  readonly name: string
  readonly layers: number
  /** [layers] how many serving stages hold each layer. */
  readonly coverage: readonly number[]
  /** What the budgets lack to cover every layer, or null when they suffice. */
  readonly missing: { readonly layers: readonly Range[]; readonly bytes: number } | null
}

export interface Status {
  readonly self: PeerId
  readonly swarm: string
  readonly peers: readonly PeerStatus[]
  readonly models: readonly ModelStatus[]
  /** Ways of discovery and what became of each. */
  readonly discovery: readonly { readonly way: string; readonly state: string }[]
  /** Protocol violations by remote peers since the start, by kind. */
  readonly violations: Readonly<Record<string, number>>
}

/** Events of a peer, as a typed EventTarget. */
export interface PeerEvents {
  /** A peer's first live record was accepted. */
  'peer:join': CustomEvent<{ readonly peer: PeerId }>
  /** A peer's record expired, or it said goodbye. */
  'peer:leave': CustomEvent<{ readonly peer: PeerId }>
  /** A stage of this peer began or ceased to serve. */
  'stage:up': CustomEvent<StageStatus>
  'stage:down': CustomEvent<StageStatus>
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
  checkInit(memoryBytes, threads)
  const config = typeof init.swarm === 'string' ? await readSwarmFile(init.swarm) : init.swarm
  /** What has been started, to be ended in reverse. */
  const ends: (() => Promise<void>)[] = []
  try {
    const dataDir = await openDataDir(init.dataDir)
    ends.push(() => dataDir.close())
    const store = await openLibrary(dataDir.path)
    await store.sweep()
    const model = await chooseModel(store, init.model)
    const { layers } = model.manifest.config
    if (pinned !== null && !(pinned.start >= 0 && pinned.start < pinned.end && pinned.end <= layers)) {
      throw new InvalidOptionError(
        `layers ${pinned.start}-${pinned.end} are no range of ${model.manifest.name}, which has layers 0-${layers} (the end is not included)`
      )
    }
    checkBudget(shapeOf(model.manifest), memoryBytes, pinned)
    const swarm = await createSwarm({
      dataDir,
      config,
      signal,
      ...(init.listen === undefined ? {} : { listen: init.listen }),
      ...(init.bootstrap === undefined ? {} : { bootstrap: init.bootstrap }),
      ...(init.mdns === undefined ? {} : { mdns: init.mdns })
    })
    ends.push(() => swarm.stop())
    const peer = new RunningPeer(swarm, config.name, store)
    await peer.start({ model, budgetBytes: memoryBytes, pinned, threads, signal, ends })
    return peer
  } catch (error) {
    for (const end of ends.reverse()) await end()
    throw error
  }
}

function checkInit(memoryBytes: number, threads: number): void {
  if (!(Number.isSafeInteger(memoryBytes) && memoryBytes >= minBudgetBytes)) {
    throw new InvalidOptionError(
      `the memory budget must be a whole number of bytes, at least ${minBudgetBytes}, not ${memoryBytes}`
    )
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new InvalidOptionError(`threads must be a positive whole number, not ${threads}`)
  }
}

/** The named model; else the only one that was imported; else the only one that ships. */
async function chooseModel(store: ModelStore, nameOrId: string | undefined): Promise<StoredModel> {
  if (nameOrId !== undefined) return store.resolve(nameOrId)
  const broken: string[] = []
  const models = await store.list({ onBroken: ({ message }) => broken.push(message) })
  const imported = models.filter(({ shipped }) => !shipped)
  const choice = imported.length > 0 ? imported : models
  if (choice.length === 1) return choice[0]!
  const names = choice.map(({ manifest }) => manifest.name).join(', ')
  throw new UnknownModelError(
    choice.length === 0
      ? ['there is no usable model here: import one', ...broken].join('; ')
      : `there are several models here, name one: ${names}`
  )
}

class RunningPeer extends TypedEventEmitter<PeerEvents> implements Peer {
  readonly id: PeerId
  readonly #swarm: Swarm
  readonly #swarmName: string
  readonly #store: ModelStore
  /** Models that have been asked for, with their tokenizers. */
  readonly #parts = new Map<ModelId, Promise<ModelParts>>()
  readonly #covered = new Map<ModelId, boolean>()
  readonly #generating = new AbortController()
  readonly #routing: Routing
  #stages!: StageService
  #served!: ServedModel
  #announced = ''
  #stopping: Promise<void> | undefined
  #ends: (() => Promise<void>)[] = []

  constructor(swarm: Swarm, swarmName: string, store: ModelStore) {
    super()
    this.id = swarm.id
    this.#swarm = swarm
    this.#swarmName = swarmName
    this.#store = store
    this.#routing = new Routing({ self: swarm.id, peers: model => this.#reachable(model) })
  }

  async start({
    model,
    budgetBytes,
    pinned,
    threads,
    signal,
    ends
  }: {
    model: StoredModel
    budgetBytes: number
    pinned: Range | null
    threads: number
    signal: AbortSignal
    ends: (() => Promise<void>)[]
  }): Promise<void> {
    this.#ends = ends
    const swarm = this.#swarm
    const onWarning = (message: string): void => this.#emit('warning', { message })
    this.#stages = await createStageService({
      links: swarm.links,
      retainBytesMax: 0,
      onViolation: (peer, kind, message) => swarm.reportViolation(peer, kind, message)
    })
    ends.push(() => this.#stages.stop())
    this.#served = await ServedModel.start(
      {
        store: this.#store,
        model,
        swarm,
        stages: this.#stages,
        budgetBytes,
        pinned,
        threads,
        onWarning,
        onStage: ({ cacheBytesFree: _, serving, ...stage }) =>
          this.#emit(serving ? 'stage:up' : 'stage:down', { ...stage, serving })
      },
      { signal }
    )
    ends.push(() => this.#served.stop())
    swarm.addEventListener('record', () => this.#onRecord())
    swarm.addEventListener('join', ({ detail }) => this.#emit('peer:join', detail))
    swarm.addEventListener('leave', ({ detail }) => {
      this.#emit('peer:leave', detail)
      this.#onRecord()
    })
    swarm.addEventListener('warning', ({ detail }) => this.#emit('warning', detail))
    swarm.addEventListener('violation', ({ detail }) =>
      this.#emit('warning', { message: `${detail.peer} broke the protocol (${detail.kind}): ${detail.message}` })
    )
    const load = setInterval(() => this.#announceLoad(), loadAnnounceMs).unref()
    ends.push(async () => clearInterval(load))
    this.#onRecord()
  }

  get addresses(): readonly string[] {
    return this.#swarm.addresses
  }

  generate(prompt: string, options: GenerateOptions = {}): Generation {
    const { model, signal, ...rest } = options
    const ending = this.#generating.signal
    return generate(() => this.#sessionParts(model), prompt, {
      ...rest,
      signal: signal === undefined ? ending : AbortSignal.any([signal, ending])
    })
  }

  status(): Status {
    const records = this.#swarm.records()
    return {
      self: this.id,
      swarm: this.#swarmName,
      peers: records.map(peer => this.#peerStatus(peer)),
      models: this.#models(records),
      discovery: this.#swarm.discovery(),
      violations: this.#swarm.violations()
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      this.#generating.abort(new Error('the peer is stopping'))
      for (const end of this.#ends.reverse()) await end()
    })()
    return this.#stopping
  }

  #emit<K extends keyof PeerEvents>(type: K, detail: PeerEvents[K]['detail']): void {
    this.dispatchEvent(new CustomEvent(type, { detail }))
  }

  #peerStatus({ record, addresses, ageMs, connected }: SwarmPeer): PeerStatus {
    const self = record.peer === this.id
    return {
      id: record.peer,
      self,
      addresses,
      hardware: record.hardware,
      budgetBytes: record.budgetBytes,
      usedBytes: self ? this.#served.usedBytes : null,
      stages: record.stages.map(({ model, start, end, serving }) => ({ model, start, end, serving })),
      sessions: record.load.sessions,
      timings: record.models.map(({ model, visitMs, layerMs, numericClass }) => ({
        model,
        visitMs,
        layerMs,
        numericClass
      })),
      battery: record.battery,
      ageMs,
      connected: self || connected
    }
  }

  #models(records: readonly SwarmPeer[]): ModelStatus[] {
    const offers = new Map(records.flatMap(({ record }) => record.models.map(offer => [offer.model, offer] as const)))
    return [...offers.values()].map(({ model, name, layers }) => {
      const serving = records.flatMap(({ record }) =>
        record.stages.filter(stage => stage.model === model && stage.serving)
      )
      return {
        id: model,
        name,
        layers,
        coverage: coverageOf(serving, { layers }),
        missing: model === this.#served.shape.id ? this.#served.placement.missing() : null
      }
    })
  }

  #onRecord(): void {
    this.#served.placement.changed()
    this.#routing.changed()
    for (const { id, coverage } of this.#models(this.#swarm.records())) {
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
    this.#swarm.announce({ load: { sessions, queuedSteps }, stages: this.#served.offers })
    this.#served.placement.changed()
  }

  /** What a session works with; its route counts as in flight until the session ends. */
  async #sessionParts(nameOrId: string | undefined): Promise<SessionParts> {
    const model = nameOrId === undefined ? this.#served.stored : await this.#store.resolve(nameOrId)
    let parts = this.#parts.get(model.id)
    if (parts === undefined) {
      parts = this.#loadParts(model)
      this.#parts.set(model.id, parts)
      // A tokenizer that could not be read may be there next time.
      parts.catch(() => this.#parts.delete(model.id))
    }
    const { tokenizer, shape } = await parts
    const { layers, vocab, contextMax } = model.manifest.config
    let hops: readonly Hop[] = []
    const pin = new ClassPin()
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
        hops = await this.#routing.route(shape, excluded, { ...options, pin })
        return hops
      },
      isExact: () => pin.exact,
      onEnd: release,
      onViolation: (peer, kind, message) => this.#swarm.reportViolation(peer, kind, message)
    }
  }

  async #loadParts(model: StoredModel): Promise<ModelParts> {
    const tokenizer = loadTokenizer(await this.#store.tokenizerBytes(model), model.manifest)
    return { tokenizer, shape: shapeOf(model.manifest) }
  }

  #reachable(model: ModelShape): PeerView[] {
    return this.#swarm.records().flatMap(({ record, connected }) => {
      const view = connected || record.peer === this.id ? viewOf(record, model.id) : undefined
      return view === undefined ? [] : [view]
    })
  }
}

/** What sessions of one model share. */
interface ModelParts {
  readonly tokenizer: ModelTokenizer
  readonly shape: ModelShape
}
