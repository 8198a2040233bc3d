/**
 * Decides what an engine computes next: which of the steps that wait share a pass. A session's requests keep their order;
 * different ones overtake one another. Steps of a few tokens go first and together; what is long goes on in parts between
 * them, so that it delays their tokens by no more than `partMs`, or one row where that takes longer. Whatever shares a pass,
 * no bit depends on it (promise P3). Pure.
 */
import { Laps } from './laps.ts'
import { partMs, partTokensFirst, shortTokensMax } from './limits.ts'
import { PassCost } from './pass-cost.ts'

/** What waits for the engine. */
export interface Work {
  /** A number of its own. */
  readonly id: number
  readonly session: string
  /** Of a step; 0 for what is done alone and at once: a session's cache is opened or freed. */
  readonly tokens: number
}

/** The next tokens of a step. */
export interface BatchPart {
  readonly id: number
  readonly tokens: number
  /** Of its step before these. */
  readonly done: number
}

export type Turn =
  | { readonly kind: 'alone'; readonly id: number }
  | { readonly kind: 'pass'; readonly parts: readonly BatchPart[] }
  /** Others are about to come: the turn is theirs, too. Ask again then, or when something comes. */
  | { readonly kind: 'gather'; readonly untilMs: number }

export interface BatchesInit {
  /** Rows of one pass. */
  readonly rowsMax: number
  /** Whether several sessions share a pass. */
  readonly shares: boolean
}

interface Waiting extends Work {
  readonly cameMs: number
  /** Of its tokens. */
  done: number
  /** The lower, the sooner: a step that has had a part waits behind those that wait then. */
  turn: number
  /** How long it waited for others to share its first pass, in ms; undefined before that. */
  gatherMs: number | undefined
}

export class Batches {
  readonly #init: BatchesInit
  readonly #cost = new PassCost()
  readonly #laps = new Laps()
  /** In the order in which they came. */
  #waiting: Waiting[] = []
  #turns = 0
  /** Since when nothing is computed. */
  #idleMs = Number.NEGATIVE_INFINITY
  /** Whether who waits has waited for others since then. */
  #isGathering = false

  constructor(init: BatchesInit) {
    this.#init = init
  }

  /** Requests that wait, or are being computed. */
  get length(): number {
    return this.#waiting.length
  }

  push(work: Work, nowMs: number): void {
    this.#waiting.push({ ...work, cameMs: nowMs, done: 0, turn: this.#turns++, gatherMs: undefined })
    if (isShort(work.tokens)) this.#laps.came(work.session, nowMs)
  }

  /** A request is over: it was computed, refused, or nobody waits for it any more. */
  over(id: number, nowMs: number): void {
    const index = this.#waiting.findIndex(work => work.id === id)
    const [work] = index < 0 ? [] : this.#waiting.splice(index, 1)
    if (work !== undefined && isShort(work.tokens)) this.#laps.left(work.session, nowMs)
  }

  /** A session is gone. */
  forget(session: string): void {
    this.#laps.forget(session)
  }

  /** What to do now that nothing is computed; undefined when nothing waits. */
  next(nowMs: number): Turn | undefined {
    const heads = this.#heads()
    const alone = heads.find(({ tokens }) => tokens === 0)
    if (alone !== undefined) return { kind: 'alone', id: alone.id }
    if (heads.length === 0) return undefined
    heads.sort((a, b) => a.turn - b.turn)
    const turn = this.#init.shares ? this.#shared(heads, nowMs) : this.#single(heads, nowMs)
    if (turn.kind === 'gather') this.#isGathering = true
    return turn
  }

  /** The parts are being computed. */
  began(parts: readonly BatchPart[], nowMs: number): void {
    for (const { id } of parts) {
      const work = this.#work(id)
      work.gatherMs ??= this.#isGathering ? nowMs - Math.max(work.cameMs, this.#idleMs) : 0
    }
    this.#isGathering = false
  }

  /** They have been, and that took `ms`; steps that are over are still to be reported as such. */
  ended(parts: readonly BatchPart[], ms: number, nowMs: number): void {
    this.#idleMs = nowMs
    this.#cost.took(rowsOf(parts), ms)
    for (const { id, tokens } of parts) {
      const work = this.#work(id)
      work.done += tokens
      work.turn = this.#turns++
    }
  }

  /** How long a step that has begun waited for others. */
  gatherMs(id: number): number {
    return this.#work(id).gatherMs ?? 0
  }

  /** By session the first request. */
  #heads(): Waiting[] {
    const seen = new Set<string>()
    return this.#waiting.filter(({ session }) => !seen.has(session) && seen.add(session))
  }

  /** Short steps, as many as are best computed at a time, then parts of long ones. */
  #shared(heads: readonly Waiting[], nowMs: number): Turn {
    const short = heads.filter(isShortNow)
    const long = heads.filter(work => !isShortNow(work))
    const most = this.#laps.atATime(this.#cost, nowMs)
    if (long.length === 0 && short.length < most) {
      const sinceMs = Math.max(this.#idleMs, Math.min(...short.map(({ cameMs }) => cameMs)))
      const untilMs = this.#laps.worthUntilMs(this.#cost, sinceMs, nowMs)
      if (untilMs !== undefined) return { kind: 'gather', untilMs }
    }
    const { rowsMax } = this.#init
    const parts: BatchPart[] = []
    for (const work of short.slice(0, most)) {
      const part = partOf(work, work.tokens)
      // Who is long never waits for room among those who are not.
      if (rowsOf(parts) + part.tokens <= rowsMax - Math.min(1, long.length)) parts.push(part)
    }
    const beside = rowsOf(parts)
    for (const [i, work] of long.entries()) {
      const room = rowsMax - rowsOf(parts)
      const fitting = this.#rowsWithin(partMs, beside, work, heads, nowMs) - (rowsOf(parts) - beside)
      const tokens = Math.min(room, Math.max(fitting, i === 0 ? 1 : 0))
      if (tokens > 0) parts.push(partOf(work, tokens))
    }
    return { kind: 'pass', parts }
  }

  /** One step at a time, by turns: all long ones together delay the others as much as one may. */
  #single(heads: readonly Waiting[], nowMs: number): Turn {
    const work = heads[0]!
    const long = heads.filter(each => !isShortNow(each)).length
    const fitting = isShortNow(work) ? work.tokens : this.#rowsWithin(partMs / long, 0, work, heads, nowMs)
    return { kind: 'pass', parts: [partOf(work, Math.min(this.#init.rowsMax, Math.max(1, fitting)))] }
  }

  /** Rows of a long step that add so much time to a pass of `beside` rows; all of them where nobody else answers. */
  #rowsWithin(ms: number, beside: number, work: Waiting, heads: readonly Waiting[], nowMs: number): number {
    if (heads.length === 1 && !this.#laps.hasOthers(work.session, nowMs)) return this.#init.rowsMax
    return this.#cost.rowsWithin(ms, beside) ?? partTokensFirst
  }

  #work(id: number): Waiting {
    return this.#waiting.find(work => work.id === id)!
  }
}

function isShort(tokens: number): boolean {
  return tokens > 0 && tokens <= shortTokensMax
}

function isShortNow({ tokens, done }: Waiting): boolean {
  return isShort(tokens - done)
}

function partOf({ id, tokens, done }: Waiting, tokensMax: number): BatchPart {
  return { id, done, tokens: Math.min(tokens - done, tokensMax) }
}

function rowsOf(parts: readonly BatchPart[]): number {
  return parts.reduce((sum, { tokens }) => sum + tokens, 0)
}
