/**
 * Worlds of work that is checked: the production stages, sessions and checks of some peers over links in memory, while one of them computes
 * something else than it should, always or now and then, or goes away before its answers end, another one slanders, withholds what it sent, or commits to nothing. Nobody honest may
 * be refuted by anybody; who lies is found within a number of its sessions, and from then on answers are right.
 */
import type { ModelId, PeerId, Range } from '../src/base/ids.ts'
import { WorkChecks } from '../src/check/service.ts'
import type { Engine } from '../src/engine/engine.ts'
import { type Hop, isWithout, sameRange, type Without } from '../src/route/view.ts'
import { commitEveryTokens } from '../src/session/limits.ts'
import { noTemplate } from '../src/model/chat.ts'
import { EngineError, NotCoveredError } from '../src/errors.ts'
import type { SessionTokenizer } from '../src/session/parts.ts'
import { generate } from '../src/session/service.ts'
import { sha256 } from '../src/stage/committing-service.ts'
import { createStageService } from '../src/stage/service.ts'
import type { StageService } from '../src/stage/service-init.ts'
import type { Links } from '../src/swarm/links.ts'
import { Agenda } from './agenda.ts'
import { signerOf, verify } from './cast.ts'
import { Chance } from './chance.ts'
import { LifeClock } from './life-clock.ts'
import { MemoryWorld } from './memory-links.ts'
import { type ToyModel, toyEngine } from './toy-engine.ts'
import { toyTokens } from './toy-text.ts'

const toy: ToyModel = { layers: 6, vocab: 251, hidden: 12, edge: 'f16', contextMax: 256 }
const model = 'cd'.repeat(32) as ModelId
const greedy = { temperature: 0, topP: 1, topK: 0, seed: 1 } as const
const rowBytes = 2 * toy.hidden
/** Of an answer, and of one in the middle of which somebody goes away. */
const usualTokens = 4
const longTokens = commitEveryTokens + 12
/** So many tokens of an answer who goes away computes. */
const desertedTokens = commitEveryTokens + 4
/** Between two sessions. */
const pauseMs = 3_000
/** Sessions of a liar's, after which it must have been found: one in 20 million is not, by its share of checks as a newcomer. */
const foundWithin = 160

/** What is wrong with a peer. `slander`: it says of every case that it differs. `withhold`: it gives no rows. `mute`: it commits to nothing. */
export type Fault = 'lie' | 'slander' | 'withhold' | 'mute'
export type WorkPromise = 'blame' | 'right' | 'found' | 'around' | 'heard'

export class BrokenWork extends Error {
  override readonly name = 'BrokenWork'
  readonly promise: WorkPromise
  constructor(promise: WorkPromise, session: number, message: string) {
    super(`${promise} in session ${session}: ${message}`)
    this.promise = promise
  }
}

export interface WorkSummary {
  readonly sessions: number
  readonly refuted: number
  readonly passed: number
  /** Sessions that a liar took part in until it was found; undefined where there was none, or it was not found. */
  readonly foundAfter: number | undefined
  readonly checks: number
}

export interface WorkWorldInit {
  /** How often a liar lies, in (0, 1]. @default drawn */
  readonly liesRatio?: number
  /** It is honest until it is known, and lies from then on. @default drawn */
  readonly isKnownFirst?: boolean
  /** All sessions run through the liar, for as long as it takes: to see how long that is. @default false */
  readonly isMeasured?: boolean
}

interface Worker {
  readonly name: string
  readonly id: PeerId
  readonly links: Links
  readonly stages: StageService
  readonly checks: WorkChecks
  readonly range: Range | undefined
  readonly fault: Fault | undefined
}

const tokenizer: SessionTokenizer = {
  longest: async () => 16,
  chat: async () => {
    throw noTemplate('a model of numbers')
  },
  encode: async text => text.trim().split(/\s+/).map(Number),
  bytes: async ids => ids.map(id => new TextEncoder().encode(` ${id}`)),
  stream: () => ({ push: async ids => ids.map(id => ` ${id}`).join('') })
}

export class WorkWorld {
  readonly #chance: Chance
  readonly #agenda = new Agenda()
  readonly #air = new MemoryWorld()
  readonly #workers: Worker[] = []
  readonly #liesRatio: number
  readonly #init: WorkWorldInit
  /** The liar has begun. */
  #lies: boolean
  readonly #wasKnown: boolean
  /** A liar goes away in the middle of each answer: it is not there when hops commit at the end. */
  readonly #deserts: boolean
  /** By which tails draw: in some worlds by the text so far. */
  readonly #penalties: { readonly presencePenalty?: number; readonly repetitionPenalty?: number }
  /** What it does in the session that it computes. */
  readonly #lying = new Map<string, boolean>()
  #session = 0
  #checks = 0
  broken: BrokenWork | undefined

  constructor(seed: number, init: WorkWorldInit = {}) {
    this.#chance = new Chance(seed)
    this.#init = init
    this.#liesRatio = init.liesRatio ?? this.#chance.pick([1, 1, 0.5])
    this.#wasKnown = init.isKnownFirst ?? this.#chance.happens(0.3)
    this.#lies = !this.#wasKnown
    this.#penalties = this.#chance.fork('penalties').happens(0.25)
      ? { presencePenalty: 0.5, repetitionPenalty: 1.2 }
      : {}
    this.#deserts =
      init.isMeasured !== true && !this.#wasKnown && this.#liesRatio === 1 && this.#chance.fork('deserts').happens(0.3)
  }

  /** @throws {BrokenWork} when a promise is broken */
  async run(): Promise<WorkSummary> {
    await this.#gather()
    const liar = this.#workers.find(({ fault }) => fault === 'lie')
    const drivers = this.#workers.filter(({ fault }) => fault === undefined || fault === 'withhold')
    const sessionsMax = this.#init.isMeasured ? 20_000 : liar === undefined ? 40 : 3 * foundWithin
    let [liarSessions, foundAfter, after] = [0, undefined as number | undefined, 0]
    while (this.#session < sessionsMax && after < 5) {
      const driver = foundAfter === undefined ? drivers[0]! : this.#chance.pick(drivers)
      this.#session++
      const met = await this.#ask(driver, liar)
      if (this.broken !== undefined) throw this.broken
      if (met && this.#lies && foundAfter === undefined) liarSessions++
      if (!this.#lies && liar !== undefined && driver.checks.status(liar.id).passed >= 3) this.#lies = true
      if (foundAfter !== undefined) after++
      else if (liar !== undefined && driver.checks.refuted.has(liar.id)) foundAfter = liarSessions
      this.#agenda.run(this.#agenda.nowMs + pauseMs)
      if (this.#init.isMeasured !== true && liarSessions > this.#foundWithin) {
        this.#fail('found', `${liar!.name} has lied in ${liarSessions} sessions, and nobody has found it`)
      }
    }
    await this.#settle(liar, foundAfter)
    if (this.broken !== undefined) throw this.broken
    const all = this.#workers.map(({ checks }) => checks)
    const summary = {
      sessions: this.#session,
      refuted: all.reduce((sum, { refuted }) => sum + refuted.size, 0),
      passed: this.#workers.reduce((sum, { id }) => sum + drivers[0]!.checks.status(id).passed, 0),
      foundAfter,
      checks: this.#checks
    }
    for (const { checks, stages } of this.#workers) {
      await checks.stop()
      await stages.stop()
    }
    return summary
  }

  get #maxTokens(): number {
    return this.#deserts ? longTokens : usualTokens
  }

  /** Who lies now and then may pass the checks of a newcomer, and is found as slowly as one who was known. */
  get #foundWithin(): number {
    return this.#liesRatio === 1 && !this.#wasKnown ? foundWithin : (8 * foundWithin) / this.#liesRatio
  }

  /** Whoever computes the same layers has been told of who was found out, and has seen it for itself. */
  async #settle(liar: Worker | undefined, foundAfter: number | undefined): Promise<void> {
    if (liar === undefined || foundAfter === undefined) return
    for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
    for (const { name, range, checks, id, fault } of this.#workers) {
      // Who says of everything that it differs computes nothing.
      if (
        id === liar.id ||
        fault === 'slander' ||
        range === undefined ||
        !sameRange(range, liar.range!) ||
        checks.refuted.has(liar.id)
      )
        continue
      this.#fail('heard', `${name} computes the same layers as ${liar.name}, and has not found out what others have`)
    }
  }

  #fail(promise: WorkPromise, message: string): void {
    this.broken ??= new BrokenWork(promise, this.#session, message)
  }

  // ── Who is there ────────────────────────────────────────────────────────────────────────────────

  async #gather(): Promise<void> {
    const chance = this.#chance
    const cuts = chance.pick([
      [0, 3, 6],
      [0, 2, 6],
      [0, 2, 4, 6]
    ])
    const ranges = cuts.slice(1).map((end, i) => ({ start: cuts[i]!, end }))
    const lied = chance.whole(0, ranges.length - 1)
    const hasLiar = this.#init.liesRatio !== undefined || chance.happens(0.8)
    for (const [i, range] of ranges.entries()) {
      // Three others of its class at least: one of them may slander, and two are needed.
      const honest = chance.whole(3, 4)
      const odd = chance.whole(0, honest - 1)
      for (let n = 0; n < honest; n++) {
        await this.#add(`S${i + 1}${'abcd'[n]}`, range, n === odd ? this.#oddity() : undefined)
      }
      if (hasLiar && i === lied) await this.#add('Liar', range, 'lie')
    }
    // Whoever asks holds layers, or none.
    await this.#add('Driver', chance.happens(0.5) ? ranges[lied] : undefined, undefined)
    this.#workers.reverse()
  }

  /** Of one of the honest ones of a stage: it computes as it should, and is odd otherwise. */
  #oddity(): Fault | undefined {
    return this.#chance.pick([undefined, undefined, 'slander', 'withhold', 'mute'] as const)
  }

  async #add(name: string, range: Range | undefined, fault: Fault | undefined): Promise<void> {
    // Base58, in which some letters are missing.
    const id = `12D3KooW${name.replaceAll(/[0OIl]/g, 'z')}` as PeerId
    const links = this.#air.join(id)
    const clock = this.#clock()
    const sign = fault === 'mute' ? undefined : signerOf(id)
    const stages = await createStageService({ links, retainBytesMax: 1 << 24, verify, clock, sign })
    const honest = range && toyEngine({ model: toy, ...range, cacheBytesMax: 1 << 24 })
    if (range !== undefined) {
      const engine = toyEngine({ model: toy, ...range, cacheBytesMax: 1 << 24 })
      if (fault === 'lie') this.#liesWith(engine)
      const { layers, vocab, contextMax } = toy
      stages.add(engine, { model, layers, vocab, contextMax, numericClass: 'toy' })
    }
    if (fault === 'slander' && honest !== undefined) falsify(honest, () => true, 2)
    const others = (): Worker[] => this.#workers.filter(each => each.id !== id)
    const checks: WorkChecks = new WorkChecks({
      links,
      clock,
      rng: this.#chance.fork(`checks of ${name}`).next,
      verify,
      digest: sha256,
      keptRows: (driver, session, kept) =>
        fault === 'withhold' ? undefined : stages.committing?.keptRows(driver, session, kept),
      engineOf: (_, asked) =>
        honest !== undefined && sameRange(honest, asked) ? { engine: honest, numericClass: 'toy' } : undefined,
      classOf: () => 'toy',
      holdersOf: (_, asked) => others().flatMap(each => (each.range && sameRange(each.range, asked) ? [each.id] : [])),
      peers: () => others().map(each => each.id),
      givesWay: () => false,
      // What it says to itself counts for nobody.
      onRefuted: ({ peer }) => void (fault === 'slander' || this.#refuted(name, peer)),
      onViolation: (peer, kind, message) =>
        this.#fail('blame', `${name} says that ${peer} broke the protocol (${kind}): ${message}`)
    })
    await checks.start()
    this.#workers.push({ name, id, links, stages, checks, range, fault })
  }

  #clock(): LifeClock {
    const agenda = this.#agenda
    return new LifeClock({ agenda, enter: task => task(), beginMs: 0, drift: 0, wallMs: () => agenda.nowMs })
  }

  /** In some sessions all of it is something else. */
  #liesWith(engine: Engine): void {
    const chance = this.#chance.fork('lies')
    falsify(engine, session => {
      if (!this.#lies) return false
      const known = this.#lying.get(session) ?? chance.happens(this.#liesRatio)
      this.#lying.set(session, known)
      return known
    })
    if (this.#deserts) desert(engine)
  }

  // ── What happens ────────────────────────────────────────────────────────────────────────────────

  /** One answer. Whether the liar took part in it. */
  async #ask(driver: Worker, liar: Worker | undefined): Promise<boolean> {
    const text = Array.from({ length: this.#chance.whole(2, 40) }, () => this.#chance.whole(0, toy.vocab - 1))
    const wasFound = liar !== undefined && driver.checks.refuted.has(liar.id)
    const routes: (readonly Hop[])[] = []
    const answer = generate(
      {
        links: driver.links,
        stages: driver.stages,
        sign: signerOf(driver.id),
        tokenizer,
        model: { id: model, layers: toy.layers, vocab: toy.vocab, contextMax: toy.contextMax, eosIds: [] },
        clock: this.#clock(),
        rng: this.#chance.fork(`session ${this.#session}`).next,
        hears: () => true,
        route: async excluded => this.#route(driver, excluded),
        onRoute: route => routes.push(route),
        onViolation: (peer, _, message) => this.#fail('blame', `${peer} broke the protocol: ${message}`),
        check: async (committed, computeMs, options) => {
          const found = await driver.checks.ended({ ...committed, rowBytes }, computeMs, options)
          return found?.peer
        },
        refuted: () => driver.checks.refuted
      },
      text.join(' '),
      { ...greedy, ...this.#penalties, maxTokens: this.#maxTokens, speculate: false }
    )
    const { ids } = await answer.answer
    const met = liar !== undefined && routes[0]!.some(({ peer }) => peer === liar.id)
    this.#judge(driver, { met, wasFound, ids, text, isFound: liar !== undefined && driver.checks.refuted.has(liar.id) })
    return met
  }

  /** Any peer that serves, but those that the driver has refuted. */
  #route(driver: Worker, excluded: Without): Hop[] {
    const route: Hop[] = []
    let at = 0
    while (at < toy.layers) {
      const all = this.#workers.filter(
        ({ range, id }) =>
          range?.start === at &&
          id !== driver.id &&
          !driver.checks.refuted.has(id) &&
          !isWithout(excluded, { peer: id, ...range })
      )
      // Who lies says that it is fast.
      const isAsked = this.#init.isMeasured === true || this.#chance.happens(0.4)
      const lying = isAsked ? all.filter(({ fault }) => fault === 'lie') : []
      const serving = lying.length > 0 ? lying : all
      if (serving.length === 0) throw new NotCoveredError('nobody is left')
      const { id, range } = this.#chance.pick(serving)
      route.push({ peer: id, ...range! })
      at = range!.end
    }
    return route
  }

  // ── What must hold ──────────────────────────────────────────────────────────────────────────────

  #judge(
    driver: Worker,
    seen: { met: boolean; wasFound: boolean; isFound: boolean; ids: readonly number[]; text: readonly number[] }
  ): void {
    this.#checks++
    const { met, wasFound, isFound, ids, text } = seen
    if (met && wasFound) this.#fail('around', `${driver.name} asks the peer that it has refuted`)
    const isRight = toyTokens(
      toy,
      text,
      { ...greedy, ...this.#penalties, promptTokens: text.length },
      this.#maxTokens
    ).every((id, i) => ids[i] === id)
    if (!isRight && (isFound || !met))
      this.#fail('right', `${driver.name} has a wrong answer, of which nobody is wrong any more`)
  }

  #refuted(by: string, peer: PeerId): void {
    this.#checks++
    const worker = this.#workers.find(({ id }) => id === peer)!
    if (worker.fault !== 'lie') this.#fail('blame', `${by} refutes ${worker.name}, which computes what it should`)
    else if (!this.#lies) this.#fail('blame', `${by} refutes ${worker.name}, which has not lied yet`)
  }
}

/** Has an engine fail in the middle of each answer. */
function desert(engine: Engine): void {
  const begun = new Map<string, number>()
  const honest = engine.run.bind(engine)
  engine.run = async (step, options) => {
    const began = begun.get(step.session) ?? step.position + step.tokens
    if (step.position === 0) begun.set(step.session, step.tokens)
    if (step.position >= began + desertedTokens) throw new EngineError('it has gone away')
    return honest(step, options)
  }
}

/** Has what an engine gives be something else, in some sessions. @param by two that differ in this do not lie alike */
function falsify(engine: Engine, lies: (session: string) => boolean, by = 1): void {
  const honest = engine.run.bind(engine)
  engine.run = async (step, options) => {
    const output = await honest(step, options)
    if (!lies(step.session)) return output
    if (output.kind === 'hidden') {
      const bytes = output.bytes.slice()
      for (let at = 0; at < bytes.length; at += 2) bytes[at]! ^= by
      return { ...output, bytes }
    }
    return output.kind === 'tokens' ? { ...output, ids: [(output.ids[0]! + by) % toy.vocab] } : output
  }
}
