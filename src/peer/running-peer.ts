/** A peer as its parts, wired together. */
import { TypedEventEmitter } from '@libp2p/interface'
import { type Clock, systemClock } from '../base/clock.ts'
import { type End, endAll } from '../base/ends.ts'
import { systemRng } from '../base/entropy.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import type { Keeping } from '../disk/keeping.ts'
import { prefixesOf } from '../engine/engine.ts'
import type { EngineFactory } from '../engine/factory.ts'
import { type DuplicateIdentityError, InvalidMembershipError, PeerLeavingError, UnknownModelError } from '../errors.ts'
import type { RemovedModel } from '../model/removal.ts'
import type { ModelStore } from '../model/store.ts'
import type { StoredGraph, StoredModel } from '../model/stored.ts'
import type { Tensors } from '../model/tensors.ts'
import { Grammars } from '../model/grammar-service.ts'
import { Tokenizers } from '../model/tokenizer-service.ts'
import type { Serving } from '../serving/serving.ts'
import type { Generation } from '../session/generation.ts'
import { resume } from '../session/service.ts'
import { verifySignature } from '../swarm/identity.ts'
import type { Swarm, SwarmPeer } from '../swarm/swarm.ts'
import type { AnswerNews, AnswerStatus } from './answers.ts'
import type {
  ChatMessage,
  ChatOptions,
  GenerateOptions,
  InferenceOptions,
  InferResult,
  Peer,
  PeerEvents,
  RequestTrace,
  ResumeOptions,
  TokenizeOptions
} from './api.ts'
import { chooseModel, type ChosenModel } from './choose-models.ts'
import type { DrainReport } from './departure.ts'
import { type KeptSessionName, KeptSessions } from './kept-sessions.ts'
import { drainMs } from './limits.ts'
import { InferServer } from '../infer/serve-service.ts'
import { Inferring } from '../infer/service.ts'
import { knownSignatures } from './model-signing.ts'
import type { RunningPeerInit } from './running-peer-init.ts'
import type { KnownSignatures } from '../supply/service.ts'
import { Namesakes } from './namesakes.ts'
import { voidSentence } from './own-checks.ts'
import { OwnDisk } from './own-disk.ts'
import { type Embeddings, heardFrom, OwnGraphs } from './own-graphs.ts'
import { OwnMetrics } from './own-metrics.ts'
import { OwnScrubbing } from './own-scrubbing.ts'
import { PeerParts, type PeerPartsInit } from './parts.ts'
import { removeFrom } from './remove-model.ts'
import { SignedServing } from './signed-service.ts'
import { fetchesOf, linksOf, membershipOf, modelCoverage, modelStatuses, peerStatus, type Status } from './status.ts'

/** A peer that has started: every part of it, and what ends them. */
export class RunningPeer extends TypedEventEmitter<PeerEvents> implements Peer {
  readonly id: PeerId
  readonly #swarm: Swarm
  readonly #swarmName: string
  readonly #store: ModelStore
  readonly #signatures: KnownSignatures
  readonly #whyUnsigned: RunningPeerInit['whyUnsigned']
  readonly #engines: readonly EngineFactory[]
  readonly #keeping: Keeping
  readonly #warn: (message: string) => void
  readonly #clock: Clock
  readonly #rng: Rng
  /** Of the models that have been asked for lately. */
  readonly #tokenizers = new Tokenizers()
  readonly #grammars = new Grammars()
  readonly #scrub: OwnScrubbing
  readonly #covered = new Map<ModelId, boolean>()
  #parts!: PeerParts
  readonly #metrics: OwnMetrics
  readonly #namesakes = new Namesakes()
  #disk!: OwnDisk
  #kept!: KeptSessions
  #graphs!: OwnGraphs
  #stopping: Promise<void> | undefined
  #ends: End[] = []

  constructor({
    swarm,
    swarmName,
    store,
    engines,
    keeping,
    signatures = knownSignatures(store, keeping),
    whyUnsigned,
    warn,
    clock = systemClock,
    rng = systemRng,
    traceEvery = 0,
    audit,
    scrub = new OwnScrubbing({})
  }: RunningPeerInit) {
    super()
    this.#engines = engines
    this.#scrub = scrub
    this.id = swarm.id
    ;[this.#swarm, this.#swarmName] = [swarm, swarmName]
    this.#store = store
    this.#signatures = signatures
    this.#whyUnsigned = whyUnsigned
    this.#keeping = keeping
    this.#warn = message => {
      this.#metrics.counted.warned()
      warn(message)
    }
    this.#clock = clock
    this.#rng = rng
    const onNews = (news: AnswerNews): void => this.#emit('answer', news)
    this.#metrics = new OwnMetrics({ swarm, clock, traceEvery, parts: () => this.#parts, onNews, audit })
  }

  async start({
    dataDir,
    models,
    draft,
    budgetBytes,
    diskBytes,
    threads,
    onRefuted,
    signal,
    ends
  }: {
    dataDir: string
    models: readonly ChosenModel[]
    /** What drafts; a name or id where it has to come from peers. */
    draft?: StoredModel | string | undefined
    budgetBytes: number
    diskBytes?: number | undefined
    threads: number
    onRefuted?: PeerPartsInit['onRefuted']
    signal: AbortSignal
    ends: End[]
  }): Promise<void> {
    this.#ends = ends
    const [swarm, clock] = [this.#swarm, this.#clock]
    this.#listen()
    ends.push(...[this.#tokenizers, this.#grammars, this.#scrub].map(each => () => each.close()))
    this.#kept = await KeptSessions.start({ swarm, dataDir, keeping: this.#keeping, clock })
    ends.push(() => this.#kept.stop())
    this.#disk = new OwnDisk({
      store: this.#store,
      limitBytes: diskBytes,
      keeping: this.#keeping,
      clock,
      parts: () => this.#parts,
      onWarning: this.#warn,
      onFreed: freed => {
        this.#metrics.counted.evicted(freed)
        this.#emit('disk:freed', freed)
      }
    })
    this.#parts = await PeerParts.start(
      {
        swarm,
        store: this.#store,
        engines: this.#engines,
        dataDir,
        keeping: this.#keeping,
        tokenizers: this.#tokenizers,
        grammars: this.#grammars,
        scrub: isAsked => this.#scrub.of(isAsked),
        kept: this.#kept,
        verify: verifySignature,
        threads,
        budgetBytes,
        clock,
        rng: this.#rng,
        onWarning: this.#warn,
        onRefuted,
        watch: (operation, signal, asker) => this.#metrics.answers.begin(operation, signal, asker),
        onStep: step => this.#metrics.step(step),
        room: (what, files) => this.#disk.reserve(what, files),
        signatures: this.#signatures,
        onStage: ({ cacheBytesFree: _, sessions: __, serving, ...stage }) => {
          this.#disk.changed()
          this.#emit(serving ? 'stage:up' : 'stage:down', { ...stage, serving })
        },
        onFetch: fetch => this.#emit('shards:fetch', fetch),
        onLeaving: (peer, leaving) => this.#emit('peer:leaving', { peer, leaving }),
        onLook: records => this.#look(records)
      },
      ends
    )
    await this.#metrics.energy.start()
    ends.push(async () => this.#metrics.energy.stop())
    await this.#startGraphs(ends)
    await this.#disk.start()
    ends.push(() => this.#disk.stop())
    if (draft !== undefined) this.#serving.draftWith(draft)
    this.#serving.expect(models.flatMap(({ model }) => (typeof model === 'string' ? [] : [model])))
    for (const { model, pinned } of models) {
      if (typeof model === 'string') this.#serving.seek(model, { pinned })
      else await this.#serving.add(model, { pinned, signal })
    }
    signal.throwIfAborted()
    swarm.yielding.addEventListener('abort', () => this.#fail(swarm.yielding.reason as DuplicateIdentityError))
    const [serving, whyUnsigned] = [this.#serving, this.#whyUnsigned]
    if (whyUnsigned) ends.push(new SignedServing({ serving, whyUnsigned, onWarning: this.#warn, clock }).start())
    this.#parts.follow(ends)
  }

  /** Runs graphs for others, and has others run them. */
  async #startGraphs(ends: End[]): Promise<void> {
    const [swarm, clock] = [this.#swarm, this.#clock]
    const { links } = swarm
    const onViolation = (peer: PeerId, kind: string, message: string): void =>
      swarm.reportViolation(peer, kind, message)
    const server = new InferServer({
      links,
      onViolation,
      clock,
      served: model => {
        const graph = this.#serving.graphs.get(model)
        if (graph?.isServing !== true) return undefined
        const { name, inputs } = graph.stored.manifest
        return { name, inputs, run: (tensors, options) => graph.run(tensors, options) }
      }
    })
    await server.start()
    ends.push(() => server.stop())
    this.#graphs = new OwnGraphs({
      inferring: new Inferring({
        links,
        heard: () => heardFrom(swarm),
        isHere: async graph => (await this.#store.held(graph)).length > 0,
        onViolation,
        clock
      }),
      seeker: this.#parts.seeker,
      store: this.#store,
      supply: this.#parts.supply,
      swarm,
      tokenizers: this.#tokenizers,
      isDraining: () => this.#parts.departure.isDraining
    })
  }

  get #serving(): Serving {
    return this.#parts.serving
  }

  /** Passes on what the swarm tells. */
  #listen(): void {
    const [swarm, onWarning] = [this.#swarm, this.#warn]
    swarm.addEventListener('join', ({ detail }) => this.#emit('peer:join', detail))
    swarm.addEventListener('leave', ({ detail }) => this.#emit('peer:leave', detail))
    swarm.addEventListener('violation', ({ detail }) =>
      onWarning(`${detail.peer} broke the protocol (${detail.kind}): ${detail.message}`)
    )
  }

  get addresses(): readonly string[] {
    return this.#swarm.addresses
  }

  generate(prompt: string | readonly number[], options: GenerateOptions = {}): Generation {
    return this.#parts.generate(prompt, options)
  }

  chat(messages: readonly ChatMessage[], options: ChatOptions = {}): Generation {
    const { tools, variables, keepTurns, ...rest } = options
    return this.#parts.generate({ messages, tools, variables, keepTurns }, rest)
  }

  graph(nameOrId: string, { signal }: { signal?: AbortSignal } = {}): Promise<StoredGraph> {
    return this.#graphs.find(nameOrId, { signal: this.#parts.orEnding(signal) })
  }

  model(nameOrId?: string, { signal }: { signal?: AbortSignal } = {}): Promise<StoredModel> {
    return this.#parts.sessions.model(nameOrId, { signal: this.#parts.orEnding(signal) })
  }

  tokenize(text: string, { model, signal, ...options }: TokenizeOptions = {}): Promise<number[]> {
    return this.#parts.sessions.tokenize(model, text, options, this.#parts.orEnding(signal))
  }

  detokenize(
    ids: readonly number[],
    { model, special, signal }: { model?: string; special?: boolean; signal?: AbortSignal } = {}
  ): Promise<string> {
    return this.#parts.sessions.detokenize(model, ids, { special }, this.#parts.orEnding(signal))
  }

  infer(model: string, inputs: Tensors, options: InferenceOptions = {}): Promise<InferResult> {
    const asked = { ...options, signal: this.#parts.orEnding(options.signal) }
    return this.#metrics.ran('infer', options, watcher => this.#graphs.infer(model, inputs, asked, watcher))
  }

  embed(model: string, texts: readonly string[], options: InferenceOptions = {}): Promise<Embeddings> {
    const asked = { ...options, signal: this.#parts.orEnding(options.signal) }
    return this.#metrics.ran('embeddings', options, watcher =>
      this.#scrub.embed(texts, asked, left => this.#graphs.embed(model, left, asked, watcher))
    )
  }

  resume(name: string, { key, ttlMs, maxTokens, waitMs, logprobs, signal: given }: ResumeOptions = {}): Generation {
    const signal = this.#parts.orEnding(given)
    const named: KeptSessionName = { name, ...(key === undefined ? {} : { key }) }
    const watcher = this.#metrics.answers.begin('text_completion', given)
    return resume(async asking => {
      const found = await this.#kept.find(named, { signal, refuted: this.#parts.checks?.refuted })
      if (found.voidBy !== undefined) this.#warn(voidSentence(name, found.voidBy))
      const session = { ...named, ttlMs: ttlMs ?? found.ttlMs }
      const cache = found.cache === undefined ? {} : { cache: found.cache }
      const form = found.grammar === undefined ? {} : { grammar: found.grammar }
      const sampling = { ...found.sampling, ...(logprobs === undefined ? {} : { logprobs }) }
      const kept = { session, after: found.version, classes: found.classes, peers: found.peers }
      const wait = { ...asking, signal: AbortSignal.any([signal, asking.signal]), waitMs }
      const parts = await this.#parts.sessions.parts({ model: found.model, ...cache, ...sampling, ...form }, kept, wait)
      watcher.began(parts.model)
      return {
        parts,
        begun: found,
        options: {
          ...sampling,
          ...cache,
          maxTokens: maxTokens ?? found.maxTokens,
          ...(waitMs === undefined ? {} : { waitMs }),
          ...this.#parts.ending(given)
        }
      }
    }, watcher)
  }

  forget(session: KeptSessionName, { signal }: { signal?: AbortSignal } = {}): Promise<number> {
    return this.#kept.forget(session, { signal: this.#parts.orEnding(signal) })
  }

  status(): Status {
    const records = this.#swarm.records()
    const fetches = fetchesOf(this.#serving)
    return {
      self: this.id,
      swarm: this.#swarmName,
      peers: records.map(peer => {
        const usedBytes = peer.record.peer === this.id ? this.#serving.usedBytes : null
        return peerStatus(peer, usedBytes, this.#clock.wallMs(), this.#parts.checks?.status(peer.record.peer))
      }),
      models: modelStatuses(records, this.id, model => {
        const served = this.#serving.get(model)
        return served === undefined ? undefined : { shape: served.shape, missing: served.placement.missing() }
      }),
      fetching: fetches[0] ?? null,
      fetches,
      discovery: this.#swarm.discovery(),
      draft: this.#serving.draftStatus,
      disk: this.#disk.status,
      unkept: this.#keeping.problems,
      membership: membershipOf(this.#swarm.membership),
      prefixes: prefixesOf(this.#serving.models.map(({ prefixes }) => prefixes)),
      violations: this.#swarm.violations(),
      links: linksOf(records, this.id, this.#metrics.links()),
      answers: this.answers()
    }
  }

  answers(): AnswerStatus[] {
    return this.#metrics.answers.list
  }

  metrics({ aliases }: { aliases?: 'vllm' } = {}): string {
    return this.#metrics.text(this.status(), aliases)
  }

  traces(request?: string): readonly RequestTrace[] {
    return this.#metrics.log.list(request)
  }

  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      this.#parts.endAnswers()
      await endAll(this.#ends)
    })()
    return this.#stopping
  }

  drain({ deadlineMs = drainMs, signal }: { deadlineMs?: number; signal?: AbortSignal } = {}): Promise<DrainReport> {
    return this.#parts.departure.drain({ deadlineMs, ...(signal === undefined ? {} : { signal }) })
  }

  async serve(
    nameOrId: string,
    { layers: pinned = null, signal }: { layers?: Range | null; signal?: AbortSignal } = {}
  ): Promise<boolean> {
    if (this.#parts.departure.isDraining) throw new PeerLeavingError('this peer is about to go and serves nothing new')
    const model = await chooseModel(this.#store, nameOrId)
    if (typeof model === 'string') {
      this.#serving.seek(model, { pinned })
      return false
    }
    await this.#serving.add(model, { pinned, signal: this.#parts.orEnding(signal) })
    return true
  }

  async unserve(nameOrId: string): Promise<void> {
    if (await this.#serving.remove(nameOrId)) return
    const served = [...this.#serving.models, ...this.#serving.graphs.all]
    const names = served.map(({ stored }) => stored.manifest.name)
    throw new UnknownModelError(
      `the model '${nameOrId}' is not served here; ${names.length === 0 ? 'no model is' : `served are: ${names.join(', ')}`}`
    )
  }

  removeModel(nameOrId: string): Promise<RemovedModel> {
    return removeFrom(this.#store, nameOrId, this.#serving.inUse)
  }

  makeRoom(bytes: number, { what = 'a model' }: { what?: string } = {}): Promise<void> {
    return this.#disk.makeRoom(what, bytes)
  }

  learnMembers(items: readonly Uint8Array[]): number {
    const { membership } = this.#swarm
    if (membership !== undefined) return membership.give(items)
    throw new InvalidMembershipError(`the swarm ${this.#swarmName} has no members: whoever has its secret is in it`)
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

  #look(records: readonly SwarmPeer[]): void {
    const served = this.#serving.models.map(({ shape }) => shape)
    for (const sentence of this.#namesakes.look(served, records)) this.#warn(sentence)
    for (const { id, coverage } of modelCoverage(records)) {
      const covered = coverage.every(count => count > 0)
      if (covered === (this.#covered.get(id) ?? false)) continue
      this.#covered.set(id, covered)
      this.#emit(covered ? 'model:covered' : 'model:uncovered', { model: id })
    }
  }
}
