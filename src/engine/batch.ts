/**
 * Decides what an engine computes next: which of the steps that wait share a pass. A session's requests keep their order;
 * different ones overtake one another. Lone tokens go first and together; what is longer goes on in parts between
 * them, so that it delays them by no more than `partMs`, or one row where that takes longer. Whatever shares a pass,
 * no bit depends on it (promise P3). Pure.
 */
import { Laps } from './laps.ts'
import { OwnerDebts } from './owner-debts.ts'
import { knownRowMsMax, knownRowRatio, overHoldMs, partMs, shortTokensMax } from './limits.ts'
import { PassCost } from './pass-cost.ts'

/** What waits for the engine. */
export interface Work {
  /** A number of its own. */
  readonly id: number
  readonly session: string
  /** Whose session it is, where several may be of one. @default of nobody else */
  readonly owner?: string | undefined
  /** Of a step; 0 for what is done alone and at once: a session's cache is opened or freed. */
  readonly tokens: number
}

/** The next tokens of a step. */
export interface BatchPart {
  readonly id: number
  readonly tokens: number
  /** Of its step before these. */
  readonly done: number
  /** These tokens were known: nothing was computed for them. @default false */
  readonly known?: boolean
  /** They are being computed for that session: this step goes on when the one of that is over. */
  readonly waitsFor?: string
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
  readonly owner: string
  readonly cameMs: number
  /** Of its tokens. */
  done: number
  /** It goes on once that one is over. */
  after: number | undefined
  /** The lower, the sooner: a step that has had a part waits behind those that wait then. */
  turn: number
  /** How long it waited for others to share its first pass, in ms; undefined before that. */
  gatherMs: number | undefined
}

/** Who is computed for now, and rows of that pass. */
interface Choice {
  readonly heads: readonly Waiting[]
  readonly rowsMax: number
  /** Who has had more than its part. */
  readonly over: readonly Waiting[]
}

export class Batches {
  readonly #init: BatchesInit
  readonly #cost = new PassCost()
  readonly #laps = new Laps()
  readonly #debts = new OwnerDebts()
  /** Rows that those had who have had more than their part, and that go off from what they have of the next passes. */
  readonly #ahead = new Map<string, number>()
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
    const { session, owner = session } = work
    const began = { cameMs: nowMs, done: 0, after: undefined, turn: this.#turns++, gatherMs: undefined }
    this.#waiting.push({ ...work, owner, ...began })
    if (work.tokens > 0) this.#debts.seen(owner, nowMs)
    if (isShort(work)) this.#laps.came(work.session, nowMs)
  }

  /** A request is over: it was computed, refused, or nobody waits for it any more. */
  over(id: number, nowMs: number): void {
    const index = this.#waiting.findIndex(work => work.id === id)
    const [work] = index < 0 ? [] : this.#waiting.splice(index, 1)
    if (work !== undefined && isShort(work)) this.#laps.left(work.session, nowMs)
    for (const each of this.#waiting) if (each.after === id) each.after = undefined
  }

  /** A session is gone. */
  forget(session: string): void {
    this.#laps.forget(session)
  }

  /** What to do now that nothing is computed; undefined when nothing waits. */
  next(nowMs: number): Turn | undefined {
    const only = this.#waiting.length === 1 ? this.#waiting[0]! : undefined
    // Most passes are of one token of one session: there is nobody to share with or to wait for.
    if (only !== undefined && leftOf(only) === 1 && !this.#laps.hasOthers(only.session, nowMs)) {
      return { kind: 'pass', parts: [partOf(only, 1)] }
    }
    const heads = this.#heads()
    const alone = heads.find(({ tokens }) => tokens === 0)
    if (alone !== undefined) return { kind: 'alone', id: alone.id }
    if (heads.length === 0) return undefined
    heads.sort((a, b) => a.turn - b.turn)
    const within = this.#withinParts(heads, nowMs)
    if (within === undefined) return { kind: 'gather', untilMs: this.#debts.othersSeenMs(nowMs)! + overHoldMs }
    const turn = this.#init.shares ? this.#beside(this.#shared(within, nowMs), within) : this.#single(within, nowMs)
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
    const rows = computedRows(parts)
    if (rows > 0) this.#cost.took(rows, ms)
    const owners = this.#waiting.map(({ owner }) => owner)
    this.#debts.took(ms + this.#knownMs(parts), this.#rowsByOwner(parts), new Set(owners), nowMs)
    for (const { id, tokens, known, waitsFor } of parts) {
      const work = this.#work(id)
      // More of a step may be known than it was to have of this pass.
      if (known === true && this.#debts.isOver(work.owner)) {
        this.#ahead.set(work.owner, (this.#ahead.get(work.owner) ?? 0) + tokens * knownRowRatio)
      }
      work.done += tokens
      if (waitsFor === undefined) work.turn = this.#turns++
      // Of a session the first one is under way.
      else work.after = this.#waiting.find(({ session }) => session === waitsFor)?.id
    }
  }

  /** How long a step that has begun waited for others. */
  gatherMs(id: number): number {
    return this.#work(id).gatherMs ?? 0
  }

  /** By session the first request, unless it waits for another one. */
  #heads(): Waiting[] {
    const seen = new Set<string>()
    const first = this.#waiting.filter(({ session }) => !seen.has(session) && seen.add(session))
    return first.filter(({ after }) => after === undefined)
  }

  /**
   * Those first that have not had more than their part. Where nobody else waits at this moment, the others wait for those that were here just now, beside
   * whom they are cheapest, and then are computed for in short passes: whoever comes back meanwhile waits for the end of one. Undefined
   * while they wait.
   */
  #withinParts(heads: readonly Waiting[], nowMs: number): Choice | undefined {
    const { rowsMax } = this.#init
    const over = heads.filter(({ owner }) => this.#debts.isOver(owner))
    const first = heads.filter(work => !over.includes(work))
    if (first.length > 0) return { heads: first, rowsMax, over }
    const othersMs = this.#debts.othersSeenMs(nowMs)
    if (othersMs === undefined) return { heads, rowsMax, over: [] }
    if (nowMs < othersMs + overHoldMs) return undefined
    return { heads, rowsMax: Math.min(rowsMax, 1 + Math.floor(1 / this.#cost.share)), over: [] }
  }

  /** A pass with as many rows of each that has had more than its part as one of the others has in it: they are cheapest there. */
  #beside(turn: Turn, { over }: Choice): Turn {
    if (turn.kind !== 'pass' || over.length === 0) return turn
    const parts = [...turn.parts]
    const equal = Math.max(1, Math.floor(rowsOf(parts) / this.#rowsByOwner(parts).size))
    const left = new Map<string, number>()
    for (const { owner } of over) if (!left.has(owner)) left.set(owner, this.#afterAhead(owner, equal))
    // All longer steps together add no more to a pass than they may.
    let fitting = (this.#cost.rowsWithin(partMs) ?? 1) - rowsOf(parts.filter(({ id }) => !isShort(this.#work(id))))
    for (const work of over) {
      const mine = left.get(work.owner)!
      const may = Math.min(mine, this.#init.rowsMax - rowsOf(parts), isShort(work) ? mine : fitting)
      if (may < 1) continue
      const part = partOf(work, may)
      parts.push(part)
      left.set(work.owner, mine - part.tokens)
      if (!isShort(work)) fitting -= part.tokens
    }
    return { kind: 'pass', parts }
  }

  /** What rows that were known take behind the pass: they are copied, and go on to the next hop like others. */
  #knownMs(parts: readonly BatchPart[]): number {
    const computedMs = (this.#cost.firstMs ?? 0) * this.#cost.share
    return (rowsOf(parts) - computedRows(parts)) * Math.min(knownRowMsMax, computedMs * knownRowRatio)
  }

  /** What is left to an owner of so many rows, after those that it has had ahead. */
  #afterAhead(owner: string, rows: number): number {
    const ahead = this.#ahead.get(owner) ?? 0
    if (ahead > rows) this.#ahead.set(owner, ahead - rows)
    else this.#ahead.delete(owner)
    return Math.max(0, Math.floor(rows - ahead))
  }

  /** Rows of each, of which one that was known and only copied counts for a part of one. */
  #rowsByOwner(parts: readonly BatchPart[]): ReadonlyMap<string, number> {
    const rows = new Map<string, number>()
    for (const { id, tokens, known } of parts) {
      const { owner } = this.#work(id)
      rows.set(owner, (rows.get(owner) ?? 0) + (known === true ? tokens * knownRowRatio : tokens))
    }
    return rows
  }

  /** Lone tokens of those who answer, as many as are best computed at a time, then what fits beside them of longer steps. */
  #shared({ heads, rowsMax }: Choice, nowMs: number): Turn {
    const answering = heads.filter(isShort)
    const most = this.#laps.atATime(this.#cost, nowMs)
    if (answering.length === heads.length && answering.length < most) {
      const sinceMs = Math.max(this.#idleMs, Math.min(...answering.map(({ cameMs }) => cameMs)))
      const untilMs = this.#laps.worthUntilMs(this.#cost, sinceMs, nowMs)
      if (untilMs !== undefined) return { kind: 'gather', untilMs }
    }
    const chosen = new Set(answering.slice(0, most))
    const now = heads.filter(work => chosen.has(work) || !isShort(work))
    const lone = now.filter(work => leftOf(work) === 1)
    const longer = now.filter(work => leftOf(work) > 1)
    // Who has more than a token never waits for room among those who have one.
    const parts = lone.slice(0, rowsMax - Math.min(1, longer.length)).map(work => partOf(work, 1))
    let fitting = this.#rowsWithin(partMs, heads, nowMs)
    for (const [i, work] of longer.entries()) {
      const part = partOf(work, Math.min(rowsMax - rowsOf(parts), Math.max(fitting, i === 0 ? 1 : 0)))
      if (part.tokens > 0) parts.push(part)
      fitting -= part.tokens
    }
    return { kind: 'pass', parts }
  }

  /** One step at a time, by turns: all longer ones together delay the others as much as one may. */
  #single({ heads, rowsMax }: Choice, nowMs: number): Turn {
    const work = heads[0]!
    const longer = heads.filter(each => leftOf(each) > 1).length
    const fitting = this.#rowsWithin(partMs / Math.max(1, longer), heads, nowMs)
    return { kind: 'pass', parts: [partOf(work, Math.min(rowsMax, Math.max(1, fitting)))] }
  }

  /** Rows of longer steps that add so much time to a pass; all that there is room for where nobody else answers. */
  #rowsWithin(ms: number, heads: readonly Waiting[], nowMs: number): number {
    const [first, ...others] = heads
    if (others.length === 0 && !this.#laps.hasOthers(first!.session, nowMs)) return this.#init.rowsMax
    return this.#cost.rowsWithin(ms) ?? 1
  }

  #work(id: number): Waiting {
    return this.#waiting.find(work => work.id === id)!
  }
}

/** Whether it is a step of a session that answers: a token, or a draft of some. */
function isShort({ tokens }: Work): boolean {
  return tokens > 0 && tokens <= shortTokensMax
}

function leftOf({ tokens, done }: Waiting): number {
  return tokens - done
}

function partOf({ id, tokens, done }: Waiting, tokensMax: number): BatchPart {
  return { id, done, tokens: Math.min(tokens - done, tokensMax) }
}

/** Parts as they were done: where some of a step was known, that and no more, which may be more than there was to compute. */
export function partsDone(
  parts: readonly BatchPart[],
  replies: readonly { readonly reused?: number; readonly waitsFor?: string }[]
): BatchPart[] {
  return parts.map((part, i) => {
    const { reused, waitsFor } = replies[i]!
    if (waitsFor !== undefined) return { ...part, tokens: 0, known: true, waitsFor }
    return reused === undefined ? part : { ...part, tokens: reused, known: true }
  })
}

/** Rows of a pass that were computed. */
export function computedRows(parts: readonly BatchPart[]): number {
  return rowsOf(parts.filter(({ known }) => known !== true))
}

function rowsOf(parts: readonly BatchPart[]): number {
  return parts.reduce((sum, { tokens }) => sum + tokens, 0)
}
