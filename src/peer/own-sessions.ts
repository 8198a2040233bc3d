/** The sessions that this peer drives: what each of them works with. */
import type { Clock, Timer } from '../base/clock.ts'
import type { WorkChecks } from '../check/service.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import type { Sampling } from '../engine/engine.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import {
  CorruptShardError,
  InvalidOptionError,
  PeerLeavingError,
  PromptTooLongError,
  UnknownModelError
} from '../errors.ts'
import type { GrammarSpec } from '../model/grammar-spec.ts'
import { nameWithId, toldOf } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import { asDecoder, type StoredModel } from '../model/stored.ts'
import type { TokenizerSource } from '../model/tokenizer-service.ts'
import type { SessionNeeds } from '../route/caches.ts'
import { ClassPin } from '../route/class-pin.ts'
import type { Routing } from '../route/routing-service.ts'
import { type Hop, type ModelShape, placeOf, sameRange, type Without } from '../route/view.ts'
import type { Seeker, WaitOptions } from '../serving/seeker.ts'
import type { Serving } from '../serving/serving.ts'
import { shapeOf } from '../serving/shape.ts'
import { describeOffer, namesakesOf, sourcesOf } from '../serving/sources.ts'
import { Admissions, type Admitted } from '../session/admission-service.ts'
import { LeftOut } from '../session/left-out.ts'
import { muteExcludeMs, promptCharsMax, standstillLookMs } from '../session/limits.ts'
import type { AnnouncedSpeed } from '../session/patience.ts'
import { checkWait } from '../session/options.ts'
import type { Grammar, Scrub, SessionParts, SessionTokenizer } from '../session/parts.ts'
import { Standstill } from '../session/standstill.ts'
import { draftsRevision, stageProtocol, waitingRevision } from '../stage/frame.ts'
import type { StageService } from '../stage/service-init.ts'
import { revisionFor } from '../stage/terms.ts'
import type { Supply } from '../supply/service.ts'
import { meetingPointOf } from '../swarm/meeting-point.ts'
import type { Gathering, Swarm } from '../swarm/swarm.ts'
import type { GenerateOptions } from './api.ts'
import { checkMayDrive } from './may-drive.ts'
import type { KeptSessions, KeptBefore } from './kept-sessions.ts'
import { checking } from './own-checks.ts'
import { OwnDrafts } from './own-drafts.ts'
import { modelCoverage } from './status.ts'

/** The tokenizers of models: text goes in and out through them. */
export interface SessionTokenizers {
  /** Its reader says when it needs it no more. */
  open(source: TokenizerSource): SessionTokenizer & {
    /** Digest of which id is which token. */
    vocabulary(options: { signal?: AbortSignal | undefined }): Promise<string>
    close(): void
  }
}

/** What answers must be. */
export interface SessionGrammars {
  /**
   * Of one session, which says when it needs it no more.
   * @throws {InvalidOptionError} when it is none, or not supported: says where @throws the signal's reason
   */
  open(
    source: TokenizerSource & { readonly vocab: number },
    grammar: GrammarSpec,
    options: { signal: AbortSignal }
  ): Promise<Grammar & { close(): void }>
}

/** Options that not every peer can meet. */
export type AskedOfHops = Pick<GenerateOptions, 'cache' | 'grammar'> & Partial<Sampling>

type OnWait = (explain: () => string) => void

interface OwnSessionsInit {
  readonly swarm: Swarm
  readonly store: Store
  readonly engines: readonly EngineFactory[]
  readonly tokenizers: SessionTokenizers
  /** @default answers may be anything, and to ask for something else is refused */
  readonly grammars?: SessionGrammars | undefined
  /** What replaces personal data in a request that asks for it, or in all of them. @default nothing does */
  readonly scrub?: ((isAsked: boolean) => Scrub | undefined) | undefined
  readonly routing: Routing
  readonly stages: StageService
  readonly supply: Supply
  readonly seeker: Seeker
  readonly serving: Serving
  /** @default nobody is checked */
  readonly checks?: Pick<WorkChecks, 'ended' | 'refuted'> | undefined
  readonly kept: Pick<KeptSessions, 'keep'>
  readonly drafter?: SessionParts['drafter']
  readonly onWarning: (message: string) => void
  /** Peers that are about to go. */
  readonly leaving: ReadonlySet<PeerId>
  /** Whether this peer is about to go. */
  readonly isDraining: () => boolean
  /** Until the signal, or the end of this peer. */
  readonly orEnding: (signal: AbortSignal | undefined) => AbortSignal
  readonly clock: Clock
  readonly rng: Rng
}

export class OwnSessions {
  readonly #init: OwnSessionsInit
  readonly #admissions: Admissions
  /** Peers that did not answer a session of this peer: those that begin after it go around them where they can. */
  readonly #mute = new LeftOut<PeerId>()
  readonly #standstill = new Standstill()
  readonly #drafts: OwnDrafts
  readonly #looking: Timer
  #answering = 0
  /** Digests of the tokenizers of own answers under way, one each. */
  readonly #tokenizerFiles = new Map<symbol, string>()

  constructor(init: OwnSessionsInit) {
    this.#init = init
    this.#admissions = new Admissions(init.clock)
    this.#drafts = new OwnDrafts({
      draft: () => init.serving.draft,
      vocabularyOf: (model, signal) => this.#vocabularyOf(model, signal),
      onFailed: error => init.serving.draftFailed(error),
      onWarning: init.onWarning
    })
    this.#looking = init.clock.every(standstillLookMs, () => this.#standstill.look(init.clock.nowMs())).unref()
  }

  stop(): void {
    this.#looking.stop()
  }

  /** Own answers under way. */
  get answering(): number {
    return this.#answering
  }

  /** Digests of the files that own answers under way need. */
  get neededFiles(): string[] {
    return [...this.#tokenizerFiles.values()]
  }

  /** Something in the swarm has changed: there may be room now. */
  changed(): void {
    this.#admissions.changed()
  }

  /** What a session works with; its route counts as in flight until the session ends. @throws as {@link model} */
  async parts(
    {
      model: nameOrId,
      client = 'local',
      scrub = false,
      ...asked
    }: Pick<GenerateOptions, 'model' | 'client' | 'scrub'> & AskedOfHops,
    kept: KeptBefore,
    wait: WaitOptions
  ): Promise<SessionParts> {
    const { signal } = wait
    signal.throwIfAborted()
    checkMayDrive(this.#init.swarm)
    const model = await this.model(nameOrId, wait)
    this.#init.serving.asked(model.id)
    if (this.#init.isDraining())
      throw new PeerLeavingError('this peer is about to go and begins nothing new: ask another one')
    const drafts = { drafter: this.#init.drafter, draftModel: await this.#drafts.of(model, signal) }
    const [shape, needs] = [this.#shapeOf(model), this.#needsOf(asked)]
    const { layers, vocab, contextMax } = model.manifest.config
    let hops: readonly Hop[] = []
    let tokensMax: number | undefined
    let admitted: Admitted | undefined
    const meeting = this.#meetingOf(model.id)
    const pin = new ClassPin(kept.classes)
    const of = { ...kept, model: model.id, classes: () => pin.layerClasses ?? [], grammar: asked.grammar }
    const keep = kept.session && (await this.#init.kept.keep(kept.session, of))
    const grammar = await this.#grammarOf(model, asked.grammar, { signal })
    const tokenizer = this.#tokenizerBeside(grammar, model)
    this.#answering++
    const key = Symbol(model.manifest.name)
    this.#tokenizerFiles.set(key, model.manifest.tokenizer.sha256)
    const release = (): void => {
      this.#init.routing.release(hops)
      hops = []
    }
    return {
      links: this.#init.swarm.links,
      stages: this.#init.stages,
      admit: async ({ tokensMax, waitMs, signal, onWait }) => {
        const room = (): number => this.#init.routing.room(shape, tokensMax, needs)
        admitted = await this.#admissions.enter({ client, waitMs, room }, { signal, onWait })
        return admitted.leave
      },
      clock: this.#init.clock,
      rng: this.#init.rng,
      sign: this.#init.swarm.sign,
      tokenizer,
      model: { id: model.id, ...toldOf(model.manifest), layers, vocab, contextMax, eosIds: model.manifest.eosIds },
      route: async (excluded, options) => {
        release()
        tokensMax = options.tokensMax
        const onWait = meeting.waiting(options.onWait)
        hops = await this.#init.routing.route(this.#told(shape), excluded, { ...options, needs, pin, onWait })
        admitted?.routed()
        return hops
      },
      isExact: () => pin.exact,
      onToken: route => {
        for (const hop of route) this.#init.serving.get(model.id)?.placement.worked(hop)
      },
      onRoute: route => {
        if (route === hops) return
        this.#init.routing.moved(hops, route, shape, tokensMax)
        hops = route
      },
      ...(keep === undefined ? {} : { keep }),
      suspects: () => this.#init.swarm.suspects().union(this.#mute.all(this.#init.clock.nowMs())),
      onMute: peer => this.#mute.add(peer, this.#init.clock.nowMs(), { forMs: muteExcludeMs }),
      ...this.#ofPeers(model),
      ...drafts,
      grammar,
      scrub: this.#init.scrub?.(scrub),
      ...(shape.stepBytes === undefined ? {} : { stepBytes: shape.stepBytes }),
      leaving: route => this.#leavingOn(route, model.id),
      detour: (route, excluded, { needsRoom }) =>
        this.#init.routing.detour(shape, route, { excluded, pin, tokensMax, needs, needsRoom }),
      onEnd: () => {
        this.#answering--
        meeting.end()
        this.#tokenizerFiles.delete(key)
        tokenizer.close()
        grammar?.close()
        release()
      },
      onViolation: (peer, kind, message) => this.#init.swarm.reportViolation(peer, kind, message)
    }
  }

  async #grammarOf(
    model: StoredModel,
    grammar: GrammarSpec | undefined,
    options: { readonly signal: AbortSignal }
  ): Promise<(Grammar & { close(): void }) | undefined> {
    if (grammar === undefined) return undefined
    const { grammars } = this.#init
    if (grammars === undefined) throw new InvalidOptionError('this peer has no grammars that an answer could follow')
    return grammars.open({ ...this.#tokenizerOf(model), vocab: model.manifest.config.vocab }, grammar, options)
  }

  /** @throws {NoRoomError} when no tokenizer can be had: then the grammar is let go of, too */
  #tokenizerBeside(grammar: { close(): void } | undefined, model: StoredModel): ReturnType<SessionTokenizers['open']> {
    try {
      return this.#init.tokenizers.open(this.#tokenizerOf(model))
    } catch (error) {
      grammar?.close()
      throw error
    }
  }

  #tokenizerOf(model: StoredModel): TokenizerSource {
    return { ...model, file: signal => this.#tokenizerFile(model, signal) }
  }

  /** Who serves a model may be no neighbour: once a session has had to wait for a route they are looked for, until it ends. */
  #meetingOf(model: ModelId): { waiting: (onWait?: OnWait) => OnWait; end: () => void } {
    const { routing, swarm } = this.#init
    let gathering: Gathering | undefined
    return {
      waiting: onWait => explain => {
        // That takes a moment: until then nothing is known to be missing.
        gathering ??= swarm.reach(meetingPointOf(model))
        if (gathering.isSeeking) routing.met()
        onWait?.(explain)
      },
      end: () => gathering?.end()
    }
  }

  /** @throws {InvalidOptionError} when nobody can wait so long. @throws {WrongModelKindError} when it is a graph, and as {@link #usualModel} */
  async model(nameOrId: string | undefined, wait: WaitOptions): Promise<StoredModel> {
    const { seeker } = this.#init
    checkWait(wait.waitMs)
    if (nameOrId !== undefined) return asDecoder(await seeker.ask(nameOrId, wait))
    return seeker.patiently(
      () => this.#usualModel(wait.signal),
      wait,
      () => this.#offered.length <= 1 && this.#init.serving.seeking[0]?.unclear !== true
    )
  }

  /** Models that others, or this peer, serve, and that continue text. */
  get #offered(): ReturnType<typeof modelCoverage> {
    return modelCoverage(this.#init.swarm.records()).filter(({ isGraph }) => !isGraph)
  }

  /** The model that answers where none is named. @throws {UnknownModelError} when that is not clear. @throws the signal's reason */
  async #usualModel(signal: AbortSignal): Promise<StoredModel> {
    const [served] = this.#init.serving.models
    if (served !== undefined) return served.stored
    const [sought] = this.#init.serving.seeking
    if (sought !== undefined) throw new UnknownModelError(`there is no model here to answer with: ${sought.state}`)
    // A peer that holds no layers asks for what others serve.
    const offered = this.#offered
    if (offered.length === 1) return asDecoder(await this.#init.seeker.find(offered[0]!.id, { signal }))
    throw new UnknownModelError(
      offered.length === 0
        ? 'there is no model to answer with: this peer serves none, and no live peer offers one'
        : `there are several models to answer with, name one: ${offered.map(nameWithId).join(', ')}`
    )
  }

  /** Peers that are about to go, and stages of a route that are. */
  #leavingOn(route: readonly Hop[], model: ModelId): Without {
    const going = route.filter(hop => {
      const stage = this.#init.swarm
        .recordOf(hop.peer)
        ?.stages.find(each => each.model === model && sameRange(each, hop))
      return stage?.serving === false
    })
    return going.length === 0 ? this.#init.leaving : new Set([...this.#init.leaving, ...going.map(placeOf)])
  }

  #stoodStillMs(): number | undefined {
    this.#standstill.look(this.#init.clock.nowMs())
    return this.#standstill.endMs
  }

  /** What this peer knows of others that serve a model, and of itself. */
  #ofPeers(model: StoredModel): Partial<SessionParts> {
    return {
      ...checking(this.#init.checks, model),
      stoodStillMs: () => this.#stoodStillMs(),
      hears: peer => this.#init.swarm.hears(peer),
      keepsWaiting: peer => this.#speaks(peer, waitingRevision),
      knowsDrafts: peer => this.#speaks(peer, draftsRevision),
      speedOf: hop => this.#speedOf(hop, model.id)
    }
  }

  /** What a session asks of every hop. */
  #needsOf({ cache, grammar, ...sampling }: AskedOfHops): SessionNeeds {
    const revision = revisionFor({ ...sampling, masked: grammar !== undefined })
    if (revision === undefined) return { cache }
    const { id } = this.#init.swarm
    return { cache, draws: peer => peer === id || this.#speaks(peer, revision) }
  }

  /** Whether a peer speaks this revision of the stage protocol. */
  #speaks(peer: PeerId, revision: string): boolean {
    const protocols = this.#init.swarm.recordOf(peer)?.protocols ?? []
    return protocols.includes(`${stageProtocol.name}/${revision}`)
  }

  /** How fast the peer of a hop says that it is, and how busy. */
  #speedOf({ peer }: Hop, model: ModelId): AnnouncedSpeed | undefined {
    const record = this.#init.swarm.records().find(each => each.record.peer === peer)?.record
    const offer = record?.models.find(each => each.model === model)
    if (record === undefined || offer === undefined) return undefined
    return { visitMs: offer.visitMs, layerMs: offer.layerMs, sessions: record.load.sessions }
  }

  /** What a model asks of the peers that serve it. */
  #shapeOf({ manifest }: StoredModel): ModelShape {
    const found = engineFor(this.#init.engines, manifest)
    // A peer that cannot compute a model can drive sessions of it: then the sizes are another engine's, as good as any.
    const factory = 'factory' in found ? found.factory : this.#init.engines[0]!
    return shapeOf(manifest, factory.footprint(manifest))
  }

  /** @throws {PromptTooLongError} when no context holds it, and as {@link model} */
  async tokenize(
    nameOrId: string | undefined,
    text: string,
    { bare = false, special = false }: { readonly bare?: boolean; readonly special?: boolean },
    signal: AbortSignal
  ): Promise<number[]> {
    const model = await this.model(nameOrId, { signal })
    if (text.length > promptCharsMax) {
      throw new PromptTooLongError(
        `the text has ${text.length} characters, and no prompt of more than ${promptCharsMax} fits a context`
      )
    }
    return this.#reading(model, async tokenizer => [...(await tokenizer.encode(text, { special, bare, signal }))])
  }

  /** @throws {InvalidOptionError} when one is no id of the model, and as {@link model} */
  async detokenize(
    nameOrId: string | undefined,
    ids: readonly number[],
    { special = false }: { readonly special?: boolean | undefined },
    signal: AbortSignal
  ): Promise<string> {
    const model = await this.model(nameOrId, { signal })
    const { vocab } = model.manifest.config
    const wrong = ids.find(id => !(Number.isSafeInteger(id) && id >= 0 && id < vocab))
    if (wrong !== undefined) throw new InvalidOptionError(`an id must be from 0 to ${vocab - 1}, not ${wrong}`)
    return this.#reading(model, async tokenizer => {
      if (!special) return tokenizer.stream([]).push(ids, { last: true, signal })
      const decoder = new TextDecoder()
      const parts = await tokenizer.bytes(ids, { signal })
      return parts.map(bytes => decoder.decode(bytes, { stream: true })).join('') + decoder.decode()
    })
  }

  async #reading<T>(model: StoredModel, read: (tokenizer: SessionTokenizer) => Promise<T>): Promise<T> {
    const tokenizer = this.#init.tokenizers.open(this.#tokenizerOf(model))
    try {
      return await read(tokenizer)
    } finally {
      tokenizer.close()
    }
  }

  async #vocabularyOf(model: StoredModel, signal: AbortSignal): Promise<string> {
    const tokenizer = this.#init.tokenizers.open(this.#tokenizerOf(model))
    try {
      return await tokenizer.vocabulary({ signal })
    } finally {
      tokenizer.close()
    }
  }

  /** A tokenizer that is missing or damaged here is fetched from peers, where one has it. */
  async #tokenizerFile(model: StoredModel, signal: AbortSignal): Promise<string> {
    try {
      return await this.#init.store.tokenizerFile(model, { signal })
    } catch (error) {
      const peers = (): PeerId[] => sourcesOf(this.#init.swarm.records(), this.#init.swarm.id, model.id)
      if (!(error instanceof CorruptShardError) || peers().length === 0) throw error
      await this.#init.supply.fetch([model.manifest.tokenizer], {
        peers,
        signal: this.#init.orEnding(signal),
        what: `the tokenizer of ${model.manifest.name}`
      })
      return this.#init.store.tokenizerFile(model, { signal })
    }
  }

  /** A model as sentences about it should call it: where others offer another one of that name, with what sets it apart. */
  #told(shape: ModelShape): ModelShape {
    const namesakes = namesakesOf(this.#init.swarm.records(), shape)
    if (namesakes.length === 0) return shape
    return {
      ...shape,
      name: `${nameWithId(shape)}, which is not the ${namesakes.map(describeOffer).join(' or the ')},`
    }
  }
}
