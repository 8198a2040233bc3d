/**
 * The steps at a seat: they come in order and within the credit, are computed one at a time, and what they give goes on to the
 * next hop as far as that gives credit; and how far all of it has come.
 */
import { assert } from '../base/assert.ts'
import type { StepCost } from '../engine/engine.ts'
import type { PromptScores, TokenScore } from '../engine/scores.ts'
import { cutLength } from '../engine/windows.ts'
import { carriesIds, checkStep, type Fault } from './check.ts'
import { type AckFrame, type AskFrame, idsOf, type StandingFrame, type StepFrame } from './frame.ts'
import { Inlet, type QueuedStep } from './inlet.ts'
import { KeptMasks } from './masks.ts'
import { Outlet } from './outlet.ts'
import type { RetainedStates } from './retain.ts'
import type { SeatCore, SeatHost } from './seat-host.ts'
import { type ComputedCost, Standing } from './standing.ts'
import { asksForSpans, type HopSpans, SeatTrace } from './trace.ts'
import { Turn, Use } from './turn.ts'

/** What a step gave, if anything, what its passes took, and what the cache can be cut to now, other than to nothing. */
export interface StepResult {
  readonly floor?: number
  readonly hidden: Uint8Array | undefined
  readonly tokens: readonly number[] | undefined
  readonly scores?: readonly TokenScore[] | undefined
  readonly prompt?: PromptScores | undefined
  readonly cost: ComputedCost
}

/** Why a step failed; the cache has `length` tokens, and can be cut to `floor` at least, other than to nothing. */
export interface StepFailure {
  readonly reason: 'gap' | 'engine' | 'invalid'
  readonly length: number
  readonly floor?: number
  readonly message: string
}

export class SeatSteps {
  readonly #seat: SeatCore
  readonly #host: SeatHost
  readonly #inlet = new Inlet()
  readonly #outlet: Outlet
  /** At the tail. */
  readonly #masks: KeptMasks
  readonly standing = new Standing()
  readonly turn = new Turn()
  readonly use = new Use()
  readonly trace = new SeatTrace()
  #length = 0
  #certain = 0
  /** Of a cache that is cut below it nothing is left: what it would need has been given back (rule S6). */
  #floor = 0
  /** When the epoch began here. */
  #begunMs = 0

  constructor(seat: SeatCore, host: SeatHost) {
    this.#seat = seat
    this.#host = host
    this.#masks = new KeptMasks(seat.stage.vocab)
    this.#outlet = new Outlet(seat.stage, seat.tokensMax, carriesIds(seat.terms))
  }

  /** Tokens in the cache that are valid. */
  get length(): number {
    return this.#length
  }

  /** Those of them that are no drafts. */
  get certain(): number {
    return this.#certain
  }

  /** Steps that wait. */
  get queued(): number {
    return this.#inlet.queued
  }

  /** Steps that are here, the one that is being computed included. */
  get count(): number {
    return this.#inlet.queued + (this.#inlet.isRunning ? 1 : 0)
  }

  get isRunning(): boolean {
    return this.#inlet.isRunning
  }

  /** Nothing waits or is computed, and nothing waits for the next hop. */
  get isQuiet(): boolean {
    return this.#inlet.isIdle && this.#outlet.isEmpty
  }

  /** None has come yet. */
  get isUnused(): boolean {
    return this.standing.steps === 0 && this.#inlet.isIdle
  }

  /** What one step to the next hop may hold, in tokens. */
  get stepTokens(): number {
    return this.#outlet.stepTokens
  }

  /** Retained states [position, end), which lie in one block. */
  retained(position: number, end: number): Uint8Array {
    return this.#outlet.retained(position, end)
  }

  /** All that is retained; undefined at the tail. */
  get states(): RetainedStates | undefined {
    return this.#outlet.states
  }

  /** Their ids, all of them, where the session's steps carry them. */
  get ids(): RetainedStates | undefined {
    return this.#outlet.ids
  }

  /** Those of some. */
  retainedIds(position: number, end: number): Int32Array | undefined {
    return this.#outlet.retainedIds(position, end)
  }

  // ── Epochs ──────────────────────────────────────────────────────────────────────────────────────

  /** A new epoch begins: whatever the older one had queued is dropped. `keep`: what is valid of older ones. */
  begin(keep: number, nowMs: number): void {
    this.use.stepped(nowMs)
    this.#begunMs = nowMs
    this.#inlet.begin()
    this.#masks.begin()
    this.#outlet.begin(keep)
  }

  /** The engine has reserved the cache, or has it still, with so many tokens. */
  engineOpened({ length, floor = 0 }: { readonly length: number; readonly floor?: number }, nowMs: number): void {
    this.#length = length
    this.#certain = length
    this.#floor = floor
    this.turn.begins(nowMs)
  }

  /** The cache is there, and nothing of an older epoch runs. */
  open(): void {
    const { terms, epoch } = this.#seat
    // Drafts may have been wrong: this hop may be back after an epoch without it, in which that has been found.
    const length = Math.min(this.#certain, terms.keep)
    this.cutTo(length)
    if (terms.keep > 0) this.#seat.sendUp({ kind: 'ack', epoch, length: this.length, steps: 0, tokens: 0 })
    this.#outlet.open(this.length)
    this.goOn()
  }

  /** So many tokens of the cache are valid, or fewer; none, where it cannot be cut to that. */
  cutTo(length: number): void {
    if (length < this.#length) this.#length = cutLength(length, this.#floor)
    this.#certain = Math.min(this.#certain, this.#length)
  }

  /** What waits is dropped. */
  clear(): void {
    this.#inlet.clear()
    this.#outlet.clear()
  }

  /** What waits is dropped, and what was retained is gone: nobody is replayed to any more. */
  free(): void {
    this.#outlet.free()
    this.#inlet.clear()
  }

  // ── Computing ───────────────────────────────────────────────────────────────────────────────────

  /** Queues a step. Returns what is wrong with it, if anything is. */
  take(frame: StepFrame, nowMs: number, readMs: number): Fault | undefined {
    const { stage, phase } = this.#seat
    const fault = checkStep(frame, stage, this.#seat)
    if (fault !== undefined) return fault
    if (!this.#inlet.allows(frame.tokens)) {
      return { violation: 'credit', message: 'more steps came than the credit allows' }
    }
    if (phase !== 'opening' && phase !== 'open') return undefined
    this.use.stepped(nowMs)
    this.#inlet.push(frame, nowMs, readMs)
    this.#advance()
    return undefined
  }

  /** Sends what the next hop has credit for, and computes what there is to compute. */
  goOn(): void {
    this.#pump()
    this.#advance()
  }

  /** Starts the next step if there is one, none is running, and the next hop keeps up. */
  #advance(): void {
    const { phase, isYielding, isTail, id: seat, cache: session } = this.#seat
    if (phase !== 'open' || this.#outlet.isFull || isYielding) return
    const step = this.#inlet.next
    if (step === undefined) return
    const { position, tokens, input } = step
    const sample = step.sample && isTail
    if (position < this.#floor) this.cutTo(position)
    if (position > this.length) {
      this.#seat.refuse('gap', `the step starts at ${position}, the cache ends at ${this.length}`)
      return
    }
    const masks = sample && step.masks !== undefined ? this.#masks.take(step.masks) : undefined
    if (sample && masks?.length !== step.masks?.length) {
      this.#seat.refuse(
        'invalid',
        'a mask of the step is none of this vocabulary, lets no token through, or is not here'
      )
      return
    }
    this.#inlet.start()
    const drafts = sample ? step.drafts : undefined
    const ids = isTail ? step.ids : undefined
    // Only the last layers draw by them, but who commits to rows commits to these, too.
    const text = isTail ? undefined : step.ids
    const scoresFrom = isTail ? this.#scoresFrom : undefined
    const scored = scoresFrom === undefined ? {} : { scoresFrom }
    this.#host.emit({
      kind: 'compute',
      seat,
      step: {
        session,
        position,
        tokens,
        input,
        sample,
        drafts,
        ids,
        ...scored,
        ...(masks === undefined ? {} : { masks })
      },
      ...(text === undefined ? {} : { text })
    })
  }

  /** Where the driver has not been told yet what the model makes of the prompt (rule S39); undefined where nobody wants to know. */
  get #scoresFrom(): number | undefined {
    const { sampling, keep, stretch } = this.#seat.terms
    return sampling.promptLogprobs === undefined || stretch !== undefined ? undefined : keep
  }

  computed(result: StepResult, nowMs: number): void {
    const { hidden, cost, floor = 0 } = result
    const step = this.#inlet.ended()
    assert(step !== undefined, 'a result needs a step')
    const { frame, arrivedMs } = step
    const { position, sample, drafts = [] } = frame
    this.use.wanted(nowMs)
    this.#length = position + frame.tokens
    this.#certain = this.#length - drafts.length
    this.#floor = floor
    this.standing.computed(frame.tokens, cost, nowMs - arrivedMs)
    this.turn.computed({ position, tokens: this.#certain - position, sample }, nowMs)
    if (this.#seat.phase === 'closing') return
    if (hidden !== undefined) this.#outlet.retain(position, hidden, idsOf(frame))
    const spans = this.#spans(step, cost, nowMs)
    this.#use(spans === frame.spans ? frame : { ...frame, spans }, result)
  }

  /** Where the time of a step went, for a driver that wants to know. */
  #spans({ frame, arrivedMs, readMs }: QueuedStep, cost: StepCost, nowMs: number): HopSpans[] | undefined {
    const { terms, hop } = this.#seat
    if (!asksForSpans(terms.trace)) return undefined
    return this.trace.computed({ arrivedMs, readMs, before: frame.spans ?? [] }, cost, hop, nowMs)
  }

  /** What a step gave is of use to the epoch that it was computed in, and as a cache to those after it. */
  #use(frame: StepFrame, result: StepResult): void {
    if (this.#seat.phase === 'opening') {
      // A newer epoch came while an older one's step ran: its cache is as good, its output nobody waits for.
      this.#seat.becomeOpen()
      return
    }
    if (frame.epoch < this.#seat.epoch) {
      // This epoch was refused before it could begin: what it said of older caches holds for the next one, too.
      this.cutTo(this.#seat.terms.keep)
      this.#outlet.truncate(this.length)
    }
    if (this.#seat.phase !== 'open') return
    this.#handOn(frame, result)
  }

  /** A step of this epoch was computed: what it gave goes on, and the hop before may send more. */
  #handOn(frame: StepFrame, { hidden, tokens: ids, scores, prompt }: StepResult): void {
    const { position, tokens } = frame
    const { terms, down, feeding, epoch } = this.#seat
    const { stretch } = terms
    if (this.#outlet.computed(position, position + tokens)) feeding.rollback(position)
    if (prompt !== undefined) this.#outlet.pushScores(prompt)
    if (stretch !== undefined && down === undefined) {
      // The last hop that is prepared: what it gives stays here until its own epoch.
    } else if (hidden !== undefined) this.#outlet.pushHidden(frame, hidden)
    else if (ids !== undefined) this.#outlet.pushTokens({ position: this.#certain, ids, scores, spans: frame.spans })

    this.#pump()
    feeding.pump()
    // Who feeds must know how far this stage has come.
    const done = this.#inlet.done(tokens, { atOnce: stretch !== undefined })
    if (done !== undefined) this.#seat.sendUp({ kind: 'ack', epoch, length: this.length, ...done })
    this.#advance()
  }

  failed({ reason, length, message, floor = 0 }: StepFailure): void {
    this.#inlet.ended()
    // What was computed before it failed may have had windows give back more.
    this.#floor = floor
    // The engine may still hold more than what is valid in this epoch.
    this.cutTo(length)
    if (this.#seat.phase === 'opening') this.#seat.becomeOpen()
    else if (this.#seat.phase === 'open') this.#seat.refuse(reason, message)
  }

  // ── The next hop ────────────────────────────────────────────────────────────────────────────────

  /** Sends what the next hop has credit for. */
  #pump(): void {
    const { phase, down, epoch } = this.#seat
    if (phase !== 'open' || down?.connected !== true) return
    for (let next = this.#outlet.next(epoch); next !== undefined; next = this.#outlet.next(epoch)) {
      const { frame, isReplay } = next
      if (isReplay && frame.kind === 'step') this.standing.replayed(frame.tokens)
      this.#seat.sendDown(frame)
    }
  }

  /** The next hop gives credit, or says for the first time how long its cache is. Returns what is wrong with it. */
  acked(frame: AckFrame): Fault | undefined {
    const { epoch, phase, terms } = this.#seat
    if (frame.epoch !== epoch || phase === 'closing') return undefined
    const message = this.#outlet.acked(frame, terms.keep)
    if (message !== undefined) return { violation: 'invalid', message }
    this.goOn()
    return undefined
  }

  // ── Saying how far it has come ──────────────────────────────────────────────────────────────────

  /** The driver wants to know how far everybody has come: those further down first, since they are further away. */
  asked(frame: AskFrame, nowMs: number): void {
    const { epoch, hop, phase, isTail, down } = this.#seat
    if (frame.epoch !== epoch || phase === 'closing' || !this.standing.asked(nowMs)) return
    this.use.wanted(nowMs)
    if (!isTail && down?.connected === true) this.#seat.sendDown(frame)
    const { arrived } = this.#inlet
    const { place } = this.#seat
    // Steps come only once the hop before knows what is cached here: until then all of the epoch is still to be done.
    const oldestMs = phase === 'opening' ? this.#begunMs : this.#inlet.oldestMs
    this.#seat.sendUp(this.standing.frame(frame, { hop, arrived, length: this.#certain, oldestMs, place }, nowMs))
  }

  /** A hop further down says how far it has come. Returns what is wrong with the frame. */
  standingBelow(frame: StandingFrame, nowMs: number): Fault | undefined {
    const { epoch, hop, terms, phase } = this.#seat
    if (frame.hop <= hop || frame.hop >= terms.route.length) {
      return { violation: 'invalid', message: `hop ${frame.hop} speaks from behind hop ${hop}` }
    }
    if (frame.epoch !== epoch || phase === 'closing') return undefined
    this.turn.heardBelow(frame.hop - hop, frame.length, nowMs)
    this.#seat.sendUp(frame)
    return undefined
  }
}
