/**
 * One life of a peer's process: the parts of a real peer as they are (`src/peer/parts.ts`), on a virtual clock, over the radio, with
 * toy engines and files in memory. What it knows is lost with it; its shards and its seq stay on the disk.
 */
import type { End } from '../src/base/ends.ts'
import { endAll } from '../src/base/ends.ts'
import type { PeerId, Range, SessionId } from '../src/base/ids.ts'
import type { Rng } from '../src/base/rng.ts'
import type { Measured } from '../src/engine/factory.ts'
import type { Footprint } from '../src/engine/footprint.ts'
import type { LossReason } from '../src/errors.ts'
import { noTemplate } from '../src/model/chat.ts'
import type { StoredModel } from '../src/model/store.ts'
import { PeerParts } from '../src/peer/parts.ts'
import { findRoute } from '../src/route/route.ts'
import { type ModelShape, sameRange, stageBytes, viewOf } from '../src/route/view.ts'
import type { ShardFetch } from '../src/serving/held-shards.ts'
import type { GenerationEvent } from '../src/session/generation.ts'
import type { RefuseFrame } from '../src/stage/frame.ts'
import type { SignedTerms } from '../src/stage/terms.ts'
import type { LinkTraffic } from '../src/swarm/liveness.ts'
import type { RecordContent, StageOffer } from '../src/swarm/record.ts'
import type { SwarmPeer } from '../src/swarm/swarm.ts'
import type { Asked } from './asked.ts'
import { signerOf, verify } from './cast.ts'
import type { LifeClock } from './life-clock.ts'
import { MemoryStore } from './memory-store.ts'
import type { Promises } from './promises.ts'
import { RadioLinks } from './radio-links.ts'
import { Rogue, type RogueHost, rogueryOf } from './rogue.ts'
import { SimSwarm } from './sim-swarm.ts'
import type { Station } from './station.ts'
import { type EngineHost, type Pass, timedEngines } from './timed-engine.ts'
import { toyDrafter } from './toy-drafter.ts'
import { ToyGrammar } from './toy-grammar.ts'
import type { ToyModel } from './toy-engine.ts'
import type { Disk, Weights } from './weights.ts'
import type { Wire } from './wire.ts'
import { type Lie, Witness } from './witness.ts'

/** What one life needs of its peer and its world. */
export interface LifeHost {
  readonly station: Station
  readonly wire: Wire
  readonly name: string
  readonly clock: LifeClock
  readonly rng: Rng
  /** Has the process do a task after so many ms, however short; not before it is awake. */
  readonly after: (delayMs: number, task: () => void) => void
  readonly model: StoredModel
  readonly footprint: Footprint
  readonly shape: ModelShape
  readonly toy: ToyModel
  /** How many of the tokens that drivers propose are right. */
  readonly draftsRightRatio: number
  readonly promises: Promises
  readonly usesRecords: boolean
  readonly seq: number
  readonly persist: (seq: number) => void
  readonly isUnreachable: (peer: PeerId) => boolean
  readonly disconnect: (peer: PeerId, message: string, reason: LossReason) => void
  /** What each connection has carried. */
  readonly traffic: (isWatched: (peer: PeerId) => boolean) => readonly LinkTraffic[]
  readonly strained: (ms: number) => void
  /** What computing takes from now on that takes so long where nothing is wrong. It counts as work of the processor. */
  readonly computeMs: (healthyMs: number) => number
  /** What a row of a pass takes of the first. */
  readonly prefillRatio: number
  readonly loadMs: (bytes: number) => number
  readonly battery: () => RecordContent['battery']
  readonly budgetBytes: number
  readonly cores: number
  readonly measured: Measured
  /** The model's files, and those on this host's disk; undefined where everybody has all of them. */
  readonly weights: Weights | undefined
  readonly disk: Disk
  readonly wireBytes: (frame: Uint8Array) => number
  readonly lie: () => Lie | undefined
  readonly isMute: () => boolean
  readonly isHung: () => boolean
  readonly moved: (what: 'loads' | 'serves' | 'unloads', range: Range) => void
  readonly fetched: (fetch: ShardFetch) => void
  /** A stage could not be loaded, or something else is wrong. */
  readonly warned: (message: string) => void
  readonly refused: (refusal: RefuseFrame, session: SessionId | undefined) => void
  /** So many tokens need not be computed at one of its stages. */
  readonly knew: (tokens: number) => void
  readonly begun: (terms: SignedTerms) => void
  readonly told: (asked: Asked, event: GenerationEvent) => void
  readonly failed: (asked: Asked, error: Error) => void
  readonly accused: (peer: PeerId, kind: string, message: string) => void
  /** A session found that the head of its route broke the protocol: it is to go on without it. */
  readonly violated: (session: SessionId, peer: PeerId, message: string) => void
  readonly crashed: (error: unknown) => void
}

/** A session hears this late at most that a stage of its route stays after all: an announcement, a flight, and its own next look. */
const stayHeardMs = 1_000
/** Between two looks whether there is harm to be done. */
const rogueLookMs = 1_000

export class Life {
  readonly #host: LifeHost
  readonly links: RadioLinks
  readonly swarm: SimSwarm
  readonly #witness: Witness
  readonly #rogue: Rogue
  readonly #ends: End[] = []
  readonly #stopping = new AbortController()
  readonly #asked = new Map<string, Asked>()
  /** Steps that would have ended while its engine hangs. */
  #held: (() => void)[] = []
  /** What has come while it is mute, and has not been read since: what comes after it is read after it. */
  readonly #unread: (() => void)[] = []
  #parts: PeerParts | undefined
  /** Stages that are announced, and those that were about to go and stay after all, and since when. */
  #offers: readonly StageOffer[] = []
  #going: readonly Range[] = []
  #stayed: readonly { readonly range: Range; readonly sinceMs: number }[] = []

  constructor(host: LifeHost) {
    this.#host = host
    const { station, wire, clock, shape, promises, name } = host
    const self = station.id
    this.#witness = new Witness({
      self,
      name,
      shape,
      budgetBytes: host.budgetBytes,
      promises,
      lie: host.lie,
      isMute: () => host.isMute() || this.#unread.length > 0,
      hold: task => this.#unread.push(task),
      later: task => host.after(0, task),
      stages: () => this.#parts?.stages,
      rogue: () => this.#rogue,
      wireBytes: host.wireBytes,
      moved: host.moved,
      refused: host.refused,
      knew: host.knew,
      begun: host.begun,
      violated: host.violated
    })
    this.links = new RadioLinks({
      station,
      wire,
      tap: this.#witness,
      soon: task => host.after(0, task),
      onWatch: peer => this.swarm.watched(peer)
    })
    this.swarm = new SimSwarm({
      self,
      links: this.links,
      clock,
      usesRecords: host.usesRecords,
      seq: host.seq,
      hardware: { cores: host.cores, memoryBytes: host.budgetBytes, architecture: 'x64', platform: 'sim', cpu: '' },
      isConnected: peer => wire.isConnected(self, peer),
      hears: peer => wire.hears(self, peer),
      isUnreachable: host.isUnreachable,
      traffic: () => host.traffic(peer => this.links.isWatched(peer)),
      disconnect: host.disconnect,
      battery: host.battery,
      persist: host.persist,
      lieOf: content => (host.lie() === 'claim' ? claimed(content, shape) : content),
      onStages: stages => this.#onStages(stages),
      onViolation: host.accused
    })
    this.#rogue = new Rogue(this.#rogueHost())
    const look = (): void => {
      this.#rogue.wake()
      host.after(rogueLookMs, look)
    }
    host.after(rogueLookMs, look)
    this.#start().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) host.crashed(error)
    })
  }

  async #start(): Promise<void> {
    const { clock, rng, model, shape, promises, budgetBytes, weights, disk, name, toy, draftsRightRatio } = this.#host
    const { swarm } = this
    await swarm.start()
    this.#ends.push(() => swarm.stop())
    const spend = (bytes: number): Promise<void> =>
      new Promise(resolve => this.#host.after(this.#host.loadMs(bytes) - this.#host.loadMs(0), resolve))
    // Who cannot hold a single layer drives sessions, and holds none.
    const least = Math.min(...shape.layerBytes.map((_, i) => stageBytes(shape, { start: i, end: i + 1 })))
    const servesAny = budgetBytes >= least
    const parts = await PeerParts.start(
      {
        swarm,
        store: new MemoryStore({ name, model, weights, disk, promises, spend }),
        engines: [timedEngines(this.#engineHost())],
        dataDir: '',
        keeping: keepsNothing,
        tokenizers: { open: () => this.#tokenizer },
        grammars: { open: async () => new ToyGrammar(toy.vocab) },
        kept: { keep: () => Promise.reject(new Error('nothing is kept here')) },
        drafter: draftsRightRatio === 0 ? undefined : init => toyDrafter(toy, draftsRightRatio, init),
        verify,
        threads: 1,
        budgetBytes: servesAny ? budgetBytes : 0,
        clock,
        rng,
        onWarning: this.#host.warned,
        onStage: () => {},
        onFetch: this.#host.fetched,
        onLeaving: () => {},
        onLook: () => {}
      },
      this.#ends
    )
    this.#parts = parts
    if (servesAny) await parts.serving.add(model, { pinned: null, signal: this.#stopping.signal })
    parts.follow(this.#ends)
  }

  /** Its links and parts are there. */
  get isReady(): boolean {
    return this.#parts !== undefined
  }

  get witness(): Witness {
    return this.#witness
  }

  /** Sessions that hold a cache here. */
  get sessions(): number {
    return this.#parts?.stages.stats.sessions ?? 0
  }

  get retainBytes(): number {
    return this.#parts?.stages.stats.retainBytes ?? 0
  }

  /** What is loaded or being loaded, and whether it computes. */
  get loaded(): readonly (Range & { readonly serving: boolean })[] {
    return this.#offers.map(({ start, end }) => ({
      start,
      end,
      serving: this.#witness.engineOf({ start, end }) !== undefined
    }))
  }

  /** Whether a session has a cache at a stage here. */
  hasCache(driver: PeerId, session: SessionId, range: Range): boolean {
    return this.#witness.engineOf(range)?.length(`${session} of ${driver}` as SessionId) !== undefined
  }

  /** Whether it knows a route without some peers. */
  hasWayAround(excluded: ReadonlySet<PeerId>): boolean {
    const { shape, station } = this.#host
    const views = this.swarm.records().flatMap(({ record, connected }) => {
      const view = connected || record.peer === station.id ? viewOf(record, shape.id) : undefined
      return view === undefined ? [] : [view]
    })
    return findRoute(views, shape, { from: station.id, excluded }) !== undefined
  }

  /** Computing that its stages still have before them. */
  get backlogMs(): number {
    let ms = 0
    for (const { engine } of this.#witness.engines) ms = Math.max(ms, engine?.backlogMs ?? 0)
    return ms
  }

  known(): readonly SwarmPeer[] {
    return this.swarm.records()
  }

  /** Whether a stage serves, and is not about to go as far as others can know. */
  serves(range: Range): boolean {
    const nowMs = this.#host.clock.nowMs()
    const isHeard = this.#stayed.every(each => !sameRange(each.range, range) || nowMs - each.sinceMs > stayHeardMs)
    return isHeard && this.#offers.some(each => each.serving && sameRange(each, range))
  }

  /** Announces that it goes, and resolves when others have taken over, or its time is over. */
  async drain(deadlineMs: number): Promise<void> {
    await this.#parts?.departure.drain({ deadlineMs })
  }

  /** Stops with a goodbye; the caller ends this life a moment later. */
  stop(): void {
    this.#stopping.abort(new Error('the peer is stopping'))
    this.#parts?.endAnswers()
    endAll(this.#ends).catch((error: unknown) => this.#host.crashed(error))
  }

  /** What it says of itself is to be said anew: it begins to lie, or lies no more. */
  saySoon(): void {
    this.swarm.saySoon()
  }

  /** It is mute or hung no more, or less: what it has left undone is done. */
  resume(): void {
    const held = this.#held
    this.#held = []
    for (const task of held) this.#host.after(0, task)
    this.#host.after(0, () => this.#readOn())
  }

  #readOn(): void {
    if (this.#host.isMute()) return
    this.#unread.shift()?.()
    if (this.#unread.length > 0) this.#host.after(0, () => this.#readOn())
  }

  ask(asked: Asked): void {
    void this.#answer(asked)
  }

  async #answer(asked: Asked): Promise<void> {
    const { model, told, failed } = this.#host
    const { number, sampling, cache, grammar, answerTokens: maxTokens, signal } = asked
    const name = `${number}`
    this.#asked.set(name, asked)
    try {
      // Who asks while it still starts waits until it has.
      const parts = this.#parts
      if (parts === undefined) throw new Error('the peer has not started yet')
      const { masked: _, ...plain } = sampling
      const options = { model: model.id, ...plain, cache, maxTokens, signal, ...(grammar && { grammar }) }
      for await (const event of parts.generate(name, options).events()) {
        told(asked, event)
      }
    } catch (error) {
      failed(asked, error as Error)
    } finally {
      this.#asked.delete(name)
    }
  }

  /** A prompt is called by its number, and answers are no text. */
  readonly #tokenizer = {
    longest: async () => 8,
    vocabulary: async () => 'toy',
    chat: async () => {
      throw noTemplate('the toy model')
    },
    encode: async (text: string) => this.#asked.get(text)!.promptIds,
    bytes: async (ids: readonly number[]) => ids.map(() => new Uint8Array(0)),
    stream: () => ({ push: async () => '' }),
    close: () => {}
  }

  #onStages(stages: readonly StageOffer[]): void {
    const sinceMs = this.#host.clock.nowMs()
    for (const { start, end } of this.#offers) {
      if (stages.some(each => sameRange(each, { start, end }))) continue
      if (this.#witness.engineOf({ start, end }) !== undefined) this.#host.moved('unloads', { start, end })
      else this.#witness.failed({ start, end })
    }
    const stayed = stages.filter(stage => stage.serving && this.#going.some(each => sameRange(each, stage)))
    this.#going = stages.filter(stage => !stage.serving && this.#witness.engineOf(stage) !== undefined)
    this.#stayed = [
      ...this.#stayed.filter(each => sinceMs - each.sinceMs <= stayHeardMs),
      ...stayed.map(({ start, end }) => ({ range: { start, end }, sinceMs }))
    ]
    this.#offers = stages
  }

  #engineHost(): EngineHost {
    const { toy, measured, after, clock, computeMs, loadMs, shape, isHung, strained, lie, promises } = this.#host
    const { visitMs, layerMs } = measured
    // The first row of a pass reads the weights; those with it only compute.
    const rowsOf = (rows: number): number => (rows === 0 ? 0 : 1 + (rows - 1) * this.#host.prefillRatio)
    const healthyMs = ({ start, end }: Range, { rows, samples }: Pass): number =>
      visitMs + layerMs * ((end - start) * rowsOf(rows) + headWeight(shape) * rowsOf(samples))
    return {
      toy,
      measured,
      footprint: this.#host.footprint,
      after,
      nowMs: () => clock.nowMs(),
      computeMs: (range, pass) => computeMs(healthyMs(range, pass)),
      healthyMs,
      loadMs: range => loadMs(stageBytes(shape, range)),
      isHung,
      hold: task => this.#held.push(task),
      strained,
      lies: cache => {
        if (lie() !== 'corrupt') return false
        promises.taint(cache.slice(0, cache.indexOf(' ')) as SessionId)
        return true
      },
      witness: this.#witness
    }
  }

  #rogueHost(): RogueHost {
    const { station, wire, after, rng, shape, toy, lie } = this.#host
    return {
      self: station.id,
      sign: signerOf(station.id),
      model: shape.id,
      tokensMax: toy.contextMax,
      after,
      stages: () => this.#parts?.stages,
      openChannel: (peer, protocol, done) => wire.open(station, peer, protocol, done),
      nextSession: () => Array.from({ length: 32 }, () => Math.floor(rng() * 16).toString(16)).join('') as SessionId,
      targets: () =>
        this.swarm
          .records()
          .flatMap(({ record, connected }) =>
            connected
              ? record.stages.flatMap(({ start, end, serving }) =>
                  serving ? [{ peer: record.peer, start, end, layers: shape.layers }] : []
                )
              : []
          ),
      roguery: () => rogueryOf(lie())
    }
  }
}

/** Nothing is written here. */
const keepsNothing = {
  write: async () => true,
  try: async () => true,
  failed: () => {},
  warn: () => {}
}

/** The record of a liar: it serves everything, at no cost. */
function claimed(content: RecordContent, { id, name, layers }: ModelShape): RecordContent {
  const all = { model: id, name, layers, held: [{ start: 0, end: layers }], embedding: true, head: true, pinned: null }
  const [offer = { ...all, numericClass: 'x64' }] = content.models
  return {
    ...content,
    budgetBytes: 1e12,
    models: [{ ...offer, visitMs: 0, layerMs: 0 }],
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
