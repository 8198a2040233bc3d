/** What must hold at every moment of every world. The first one that is broken ends the world. */
import type { CacheType } from '../src/base/cache-type.ts'
import type { PeerId, SessionId } from '../src/base/ids.ts'
import type { Sampling, Step } from '../src/engine/engine.ts'
import { stepDraftsMax } from '../src/engine/limits.ts'
import type { StageService } from '../src/stage/service-init.ts'
import { creditStepsMax, stageSessionsMax } from '../src/stage/limits.ts'
import type { PromptToken, Scored } from '../src/session/generation.ts'
import type { ToyModel } from './toy-engine.ts'
import { ToyGrammar } from './toy-grammar.ts'
import { ToyText } from './toy-text.ts'
import { ToyScores } from './toy-hash.ts'

export type PromiseName =
  /** A token is not what the model says. */
  | 'wrong-token'
  /** What is told of how likely a token was is not what the model says, or is told twice, or not at all. */
  | 'wrong-score'
  /** One step was computed by two peers, or twice, or by a hop that had it already. */
  | 'two-owners'
  | 'budget'
  | 'queue'
  /** A peer that did nothing wrong was charged. */
  | 'blame'
  /** An answer waited for too long for a hop that says nothing, or whose engine hangs while there is a way around it. */
  | 'patience'
  /** A long prompt kept others waiting for their tokens for longer than it may. */
  | 'delay'
  /** One driver had more of an engine than its part, for long, while others waited there. */
  | 'part'
  /** Bytes that nobody checked came to a disk, or who sent wrong ones was asked again. */
  | 'wrong-weights'
  /** Something was done in the name of what is gone. */
  | 'ghost'
  /** What one driver's prompt began with was known for another one's, or was never computed. */
  | 'foreign-prefix'
  /** An answer is called exact that was computed in more than one numeric class. */
  | 'inexact'
  /** A decider asserted, or threw. */
  | 'crash'
  /**
   * After everything is healed: a session that does not end, a placement that does not rest, a cache that stays. A cache
   * that stays after an answer is a leak before that, too, where nothing was wrong.
   */
  | 'stuck-session'
  | 'restless'
  | 'leak'
  | 'uncovered'

export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise'
  readonly promise: PromiseName
  readonly atMs: number
  constructor(promise: PromiseName, atMs: number, message: string) {
    super(`${promise} at ${(atMs / 1000).toFixed(3)} s: ${message}`)
    this.promise = promise
    this.atMs = atMs
  }
}

/** What the oracle knows of one session. */
interface Told {
  readonly prompt: readonly number[]
  readonly sampling: Sampling
  readonly want: readonly number[]
  got: number
  /** So many tokens of the prompt have been told of. */
  prompted: number
  readonly scores: ToyScores
  session: SessionId | undefined
  /** It went through a peer that lies: its tokens say nothing about the others. */
  isTainted: boolean
}

/** One seat's work in one epoch. */
interface Work {
  peer: PeerId
  /** Start of its last step, and its end. */
  last: number
  next: number
}

/** A cache before a step: its length, and the shortest that it can be cut to, other than to nothing. */
export interface CacheEnd {
  readonly length: number
  readonly floor: number
}

/** What the steps of an epoch follow. */
interface StepRules {
  readonly keep: number
  /** They may end with drafts. */
  readonly drafts: boolean
}

export class Promises {
  readonly #model: ToyModel
  readonly #nowMs: () => number
  readonly #answers = new Map<number, Told>()
  /** By the name of its session, once it has one. */
  readonly #sessions = new Map<SessionId, Told>()
  /** `session epoch layer` → who computes there. */
  readonly #work = new Map<string, Work>()
  readonly #keysOf = new Map<SessionId, string[]>()
  /** The first one that was broken. */
  first: BrokenPromise | undefined
  /** Checks made, to show that there were some. */
  checks = 0

  constructor(model: ToyModel, nowMs: () => number) {
    this.#model = model
    this.#nowMs = nowMs
  }

  /** Whoever runs the world looks at {@link first}: what is thrown may be caught by those who are judged. */
  broken(promise: PromiseName, message: string): never {
    const broken = new BrokenPromise(promise, this.#nowMs(), message)
    this.first ??= broken
    throw broken
  }

  began(
    number: number,
    { prompt, sampling, cache }: Pick<Told, 'prompt' | 'sampling'> & { readonly cache: CacheType },
    tokensMax: number
  ): void {
    const grammar = new ToyGrammar(this.#model.vocab)
    const after = sampling.masked && ((ids: readonly number[]) => grammar.after(ids.slice(prompt.length)))
    const want = new ToyText(this.#model, sampling, cache, after || undefined).after(prompt, tokensMax)
    const scores = new ToyScores([...prompt, ...want], this.#model.vocab, cache)
    const told = { prompt, sampling, want, got: 0, prompted: 0, scores, session: undefined, isTainted: false }
    this.#answers.set(number, told)
  }

  /** It is this session that makes the answer. */
  named(number: number, session: SessionId): void {
    const told = this.#answers.get(number)
    if (told === undefined) return
    told.session = session
    this.#sessions.set(session, told)
  }

  taint(session: SessionId): void {
    const told = this.#sessions.get(session)
    if (told !== undefined) told.isTainted = true
  }

  isTainted(number: number): boolean {
    return this.#answers.get(number)?.isTainted === true
  }

  /** The driver is told of tokens of a prompt; of the first one there is no score. */
  prompt(number: number, tokens: readonly PromptToken[]): void {
    const told = this.#answers.get(number)
    if (told === undefined) this.broken('ghost', `the prompt of answer ${number}, which has ended`)
    for (const { position, id, ...scored } of tokens) {
      this.checks++
      if (position !== told.prompted++ || id !== told.prompt[position]) {
        this.broken('wrong-score', `answer ${number} is told of token ${position}, not ${told.prompted - 1}`)
      }
      if (position > 0) this.#score(number, told, position, scored, told.sampling.promptLogprobs)
    }
  }

  #score(number: number, told: Told, position: number, { logprob, top }: Partial<Scored>, count?: number): void {
    if (count === undefined && logprob === undefined) return
    const want = count === undefined ? undefined : told.scores.at(position, count)
    const is = { logprob, top: top?.map(each => ({ id: each.id, logprob: each.logprob })) }
    if (told.isTainted || JSON.stringify(is) === JSON.stringify(want)) return
    this.broken(
      'wrong-score',
      `answer ${number}, position ${position}: ${JSON.stringify(is)}, not ${JSON.stringify(want)}`
    )
  }

  token(number: number, position: number, id: number, scored: Partial<Scored> = {}): void {
    const told = this.#answers.get(number)
    this.checks++
    if (told === undefined) this.broken('ghost', `a token of answer ${number}, which has ended`)
    const index = told.got++
    if (position !== told.prompt.length + index) {
      this.broken('wrong-token', `answer ${number} tells token ${position}, not ${told.prompt.length + index}`)
    }
    if (!told.isTainted && told.want[index] !== id) {
      this.broken('wrong-token', `answer ${number}, position ${position}: ${id}, not ${told.want[index]}`)
    }
    const { logprobs, promptLogprobs } = told.sampling
    if (promptLogprobs !== undefined && told.prompted !== told.prompt.length) {
      this.broken(
        'wrong-score',
        `answer ${number} begins when ${told.prompted} of ${told.prompt.length} tokens are told of`
      )
    }
    this.#score(number, told, position, scored, logprobs)
  }

  ended(number: number): void {
    const session = this.#answers.get(number)?.session
    this.#answers.delete(number)
    if (session === undefined) return
    this.#sessions.delete(session)
    for (const key of this.#keysOf.get(session) ?? []) this.#work.delete(key)
    this.#keysOf.delete(session)
  }

  /** A stage is told to compute. `keep`: what of its cache is valid in this epoch. */
  step(peer: PeerId, start: number, epoch: number, { keep, drafts }: StepRules, cache: CacheEnd, step: Step): void {
    const { session, position, tokens } = step
    // Of a session whose driver is gone only the ends are seen.
    if (!this.#sessions.has(session)) return
    this.checks++
    const key = `${session} ${epoch} ${start}`
    const work = this.#work.get(key)
    const at = `session ${short(session)}, epoch ${epoch}, layer ${start}`
    if (work === undefined) {
      const want = Math.min(cache.length, keep)
      // What its cache ends with may be drafts, which it has dropped. Of one that cannot be cut so far nothing is left.
      const least = want - (drafts ? stepDraftsMax : 0)
      const isNothingLeft = position === 0 && least < cache.floor
      if (!isNothingLeft && (position > want || position < Math.max(least, cache.floor))) {
        this.broken('two-owners', `${at}: the first step starts at ${position}, and ${want} tokens are there`)
      }
      this.#work.set(key, { peer, last: position, next: position + tokens })
      const keys = this.#keysOf.get(session)
      if (keys === undefined) this.#keysOf.set(session, [key])
      else keys.push(key)
      return
    }
    if (work.peer !== peer) this.broken('two-owners', `${at}: ${peer} computes what ${work.peer} does`)
    // Behind what is known of a step, it may have been followed by drafts that were wrong.
    const from = drafts ? Math.max(work.last + 1, work.next - stepDraftsMax) : work.next
    if (position < from || position > work.next) {
      this.broken('two-owners', `${at}: a step at ${position} follows one that ended at ${work.next}`)
    }
    work.last = position
    work.next = position + tokens
  }

  budget(name: string, usedBytes: number, budgetBytes: number): void {
    this.checks++
    // Rounding of shares may differ by a byte or so.
    if (usedBytes <= budgetBytes + 16) return
    this.broken('budget', `${name} uses ${Math.ceil(usedBytes)} of ${budgetBytes} bytes`)
  }

  queues(name: string, stats: StageService['stats'], retainBytesMax: number): void {
    const { sessions, waiting, queuedSteps, retainBytes } = stats
    this.checks++
    if (sessions > stageSessionsMax) this.broken('queue', `${name} serves ${sessions} sessions`)
    // Who waits for room has sent what its credit allowed, too.
    if (queuedSteps > (sessions + waiting) * creditStepsMax)
      this.broken('queue', `${name} has ${queuedSteps} steps queued`)
    if (retainBytes > retainBytesMax) this.broken('budget', `${name} retains ${retainBytes} of ${retainBytesMax} bytes`)
  }
}

function short(session: SessionId): string {
  return session.slice(0, 8)
}
