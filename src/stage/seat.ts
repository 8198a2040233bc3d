/**
 * One session at one stage: its epochs and streams, the engine's room for it, and how it refuses and ends. Its steps are in
 * `seat-steps.ts`. Its cache outlives streams: a newer epoch finds it and carries on.
 */
import type { PeerId, SessionId } from '../base/ids.ts'
import { textBytes } from '../engine/penalties.ts'
import type { LossReason } from '../errors.ts'
import { carriesIds, carriesMasks, type Fault } from './check.ts'
import { Ending } from './ending.ts'
import type { SeatId, StageFacts } from './event.ts'
import { Feeding } from './feeding.ts'
import type {
  AckFrame,
  AskFrame,
  ClosedFrame,
  CommitFrame,
  CommittedFrame,
  Frame,
  RefuseFrame,
  RefuseReason,
  StandingFrame,
  StepFrame
} from './frame.ts'
import { Outlet } from './outlet.ts'
import { keptMaskBytes } from './masks.ts'
import { commitsFree, commitTokensMin } from './limits.ts'
import type { Phase, SeatCore, SeatHost } from './seat-host.ts'
import { SeatSteps, type StepFailure, type StepResult } from './seat-steps.ts'
import type { StageChannel } from './stage-channel.ts'
import type { RouteHop, SignedTerms } from './terms.ts'
import type { Turn, Use } from './turn.ts'
import type { Place } from './wait-list.ts'

export class Seat implements SeatCore {
  readonly id: SeatId
  readonly stage: StageFacts
  /** Of the epoch that is open. */
  terms: SignedTerms
  readonly #host: SeatHost
  readonly #steps: SeatSteps
  /** The stand-in that it feeds, if it does. */
  readonly feeding: Feeding
  /** What its engine knows it by, made once: it is a key that every step is looked up by. */
  readonly cache: SessionId

  phase: Phase = 'opening'
  hop = 0
  up: StageChannel | undefined
  down: StageChannel | undefined
  orphanedMs: number | undefined
  /** It waits in line for room (rule S29): nothing is reserved for it. */
  isInLine = false
  /** It gives way as soon as the step that runs is done, and why. */
  #yields: string | undefined
  /** What it has signed before its end. */
  #commitments = 0
  #engine: 'none' | 'opening' | 'open' | 'failed' = 'opening'

  readonly ending = new Ending()

  constructor(id: SeatId, stage: StageFacts, terms: SignedTerms, host: SeatHost) {
    this.id = id
    this.stage = stage
    this.terms = terms
    this.#host = host
    this.cache = `${terms.session} of ${terms.driver}` as SessionId
    this.#steps = new SeatSteps(this, host)
    this.feeding = new Feeding(this, this.#steps, host)
  }

  get session(): SessionId {
    return this.terms.session
  }

  get driver(): PeerId {
    return this.terms.driver
  }

  get epoch(): number {
    return this.terms.epoch
  }

  get route(): readonly RouteHop[] {
    return this.terms.route
  }

  get tokensMax(): number {
    return this.terms.tokensMax
  }

  /** Bytes that the engine charges it. */
  get cacheBytes(): number {
    const { cacheBytes = (tokens: number) => tokens } = this.stage
    const { tokensMax, cache, sampling } = this.terms
    return cacheBytes(tokensMax, cache) + (this.isTail ? textBytes(sampling, tokensMax) : 0)
  }

  get isTail(): boolean {
    return this.stage.end === this.stage.layers
  }

  /** Tokens in the cache that are valid. */
  get length(): number {
    return this.#steps.length
  }

  /** Steps that wait. */
  get queued(): number {
    return this.#steps.queued
  }

  /** Steps that are here, the one that is being computed included. */
  get steps(): number {
    return this.#steps.count
  }

  get turn(): Turn {
    return this.#steps.turn
  }

  get use(): Use {
    return this.#steps.use
  }

  /** It gives way as soon as the step that runs is done. */
  get isYielding(): boolean {
    return this.#yields !== undefined
  }

  get place(): Place | undefined {
    return this.#host.placeOf(this)
  }

  /** Bytes reserved for replay. */
  get retainedBytes(): number {
    if (this.isTail) return carriesMasks(this.terms) ? keptMaskBytes(this.stage.vocab) : 0
    return Outlet.retainedBytes(this.stage, this.tokensMax, carriesIds(this.terms))
  }

  // ── Epochs ──────────────────────────────────────────────────────────────────────────────────────

  /** Begins an epoch on two new streams; whatever the older one had queued is dropped, the cache stays. */
  begin(terms: SignedTerms, hop: number, up: StageChannel, nowMs: number): void {
    this.feeding.drop()
    this.phase = 'opening'
    this.terms = terms
    this.hop = hop
    this.up = up
    this.down = undefined
    this.orphanedMs = undefined
    this.#steps.begin(terms.keep, nowMs)
    if (this.#engine !== 'open') return
    this.#connectNext()
    this.becomeOpen()
  }

  /** It waits in line: there is no room for it yet. */
  waits(): void {
    this.isInLine = true
    this.#engine = 'none'
  }

  /** The engine is asked for room. */
  tries(): void {
    this.#engine = 'opening'
  }

  /** The engine has reserved the cache. */
  engineOpened(cache: { readonly length: number; readonly floor?: number }, nowMs: number): void {
    this.isInLine = false
    this.#engine = 'open'
    this.#steps.engineOpened(cache, nowMs)
    if (this.phase !== 'opening') return
    if (this.up !== undefined) this.#connectNext()
    this.becomeOpen()
  }

  /** Only who has room takes some further down: so all take it in one order, and none holds what another one waits for. */
  #connectNext(): void {
    const { hop } = this
    const { route, driver, stretch } = this.terms
    if (stretch !== undefined && hop + 1 >= stretch.to) return
    const next = hop + 1 === route.length ? driver : route[hop + 1]!.peer
    this.down = this.connect(next, 'down')
  }

  engineFailed(reason: 'no-room' | 'engine', message: string, nowMs: number): void {
    this.#engine = 'failed'
    if (this.phase === 'closing') return
    if (this.phase !== 'refused') this.refuse(reason, message)
    // What hops further down hold of older epochs is worth keeping for the next one.
    this.end(nowMs, { keepsBelow: this.terms.keep > 0 })
  }

  /** The stream to the next hop is open: tells it what this epoch is, then what there is to compute. */
  connected(): void {
    this.down!.connected = true
    this.sendDown({ kind: 'open', hop: this.hop + 1, terms: this.terms })
    this.#steps.goOn()
  }

  /** The cache is there and nothing of an older epoch runs: steps may run. */
  becomeOpen(): void {
    if (this.#steps.isRunning) return
    this.phase = 'open'
    this.#steps.open()
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  /** Counts a frame: from the hop before, to the next one or a stand-in, or back to the one before. */
  moved(way: 'in' | 'out' | 'back', bytes: number): void {
    this.#steps.standing.moved(way, bytes)
  }

  /** Queues a step. Returns what is wrong with it, if anything is. */
  step(frame: StepFrame, nowMs: number, readMs: number): Fault | undefined {
    return this.#steps.take(frame, nowMs, readMs)
  }

  /** A step or a token is on its way to the next hop, so long after its turn began. */
  sent(ms: number): void {
    this.#steps.trace.sent(ms)
  }

  computed(result: StepResult, nowMs: number): void {
    this.#steps.computed(result, nowMs)
    this.#yield(nowMs)
  }

  /** A step failed; the cache has `length` tokens. */
  computeFailed(failure: StepFailure, nowMs: number): void {
    this.#steps.failed(failure)
    this.#yield(nowMs)
  }

  /** It was to give way once no step runs. */
  #yield(nowMs: number): void {
    if (this.#yields !== undefined && this.phase !== 'closing') this.giveWay(nowMs, this.#yields)
  }

  /** The next hop gives credit, or says for the first time how long its cache is. Returns what is wrong with it. */
  ack(frame: AckFrame): Fault | undefined {
    return this.#steps.acked(frame)
  }

  /** The driver wants to know how far everybody has come, or to have it signed. */
  asked(frame: AskFrame | CommitFrame, nowMs: number): undefined {
    if (frame.kind === 'ask') this.#steps.asked(frame, nowMs)
    else this.#askedToCommit(frame)
  }

  /** The driver wants to have signed what was computed so far (rule S42). */
  #askedToCommit(frame: CommitFrame): void {
    const { epoch, tokens } = frame
    if (epoch !== this.epoch || this.phase !== 'open' || tokens > this.length) return
    if (!this.isTail && this.down?.connected === true) this.sendDown(frame)
    if (this.#commitments >= commitsFree + this.length / commitTokensMin) return
    const { id: seat, terms, hop } = this
    const commitment = this.#host.commits?.commit({ seat, terms, hop, tokens, states: undefined, ids: undefined })
    this.#commitments++
    if (commitment !== undefined) this.sendUp({ kind: 'committed', epoch, commitment })
  }

  /** A hop further down has signed what it computed so far. Returns what is wrong with the frame. */
  committedBelow(frame: CommittedFrame): Fault | undefined {
    const { hop } = frame.commitment
    if (hop <= this.hop || hop >= this.route.length)
      return { violation: 'invalid', message: `hop ${hop} commits from behind hop ${this.hop}` }
    if (frame.epoch === this.epoch && this.phase !== 'closing') this.sendUp(frame)
    return undefined
  }

  /** A hop further down says how far it has come. Returns what is wrong with the frame. */
  standingBelow(frame: StandingFrame, nowMs: number): Fault | undefined {
    return this.#steps.standingBelow(frame, nowMs)
  }

  // ── The next hop ────────────────────────────────────────────────────────────────────────────────

  /** A hop further down cannot go on: the driver must know. Returns what is wrong with the frame. */
  refusedBelow(frame: RefuseFrame): Fault | undefined {
    if (frame.hop <= this.hop || frame.hop >= this.route.length) {
      return { violation: 'invalid', message: `a refusal by hop ${frame.hop} came from behind hop ${this.hop}` }
    }
    if (frame.epoch === this.epoch && (this.phase === 'open' || this.phase === 'opening')) this.#refuseWith(frame)
    return undefined
  }

  nextLost(message: string, reason: LossReason = 'closed'): void {
    const remote = this.isTail ? this.driver : this.route[this.hop + 1]!.peer
    this.down = undefined
    if (this.phase === 'closing') this.nextClosed({ hops: [] })
    else if (this.phase !== 'refused') {
      const next = this.isTail ? 'the driver' : `hop ${this.hop + 1}`
      this.refuse(reason === 'closed' ? 'next-lost' : 'next-silent', `${next} (${remote}) is lost: ${message}`)
    }
  }

  // ── Refusing and closing ────────────────────────────────────────────────────────────────────────

  /** This hop cannot go on; its cache stays as it is for a newer epoch. */
  refuse(reason: RefuseReason, message: string): void {
    const { epoch, hop } = this
    const { length } = this.#steps
    this.#refuseWith({ kind: 'refuse', epoch, hop, reason, length, message })
  }

  #refuseWith(frame: RefuseFrame): void {
    this.sendUp(frame)
    // From the tail the driver is one hop away: it need not wait for the news to travel the whole route back.
    if (this.isTail && this.down?.connected === true) this.sendDown(frame)
    this.phase = 'refused'
    this.#steps.clear()
  }

  /** The previous hop is gone: the cache waits for a newer epoch. */
  orphaned(nowMs: number): void {
    this.up = undefined
    this.orphanedMs = nowMs
    if (this.isInLine) {
      this.end(nowMs)
      return
    }
    // What is under way may still become a token.
    if (this.#steps.isQuiet) this.letGo()
  }

  /**
   * Closes the stream to the next hop, which then knows that its cache waits, too, and may have to give way. The driver's
   * end is left alone: it would take this tail for lost.
   */
  letGo(): void {
    if (this.isTail || this.down === undefined || this.phase === 'closing') return
    this.#host.close(this.down)
    this.down = undefined
  }

  /**
   * Ends for a new session, or because nobody uses it, which is no failure of anybody: the hop before hears it as a
   * refusal, and so does the driver at the tail, who would else take it for lost.
   */
  giveWay(nowMs: number, message: string, { keepsBelow = true } = {}): void {
    this.#steps.cutTo(0)
    this.ending.hasSaidWhy = this.isTail && this.down?.connected === true
    if (this.phase !== 'refused') this.refuse('no-room', message)
    this.end(nowMs, { keepsBelow })
  }

  /** The same as soon as no step runs. Returns whether that is now. */
  giveWayBetweenSteps(nowMs: number, message: string): boolean {
    if (this.#steps.isRunning) this.#yields = message
    else this.giveWay(nowMs, message)
    return this.#yields === undefined
  }

  /** It gives way, or is being freed: there will be room in a moment. */
  get isGoing(): boolean {
    return this.#yields !== undefined || this.phase === 'closing'
  }

  /** How long nobody has shown that the session is wanted here: no step, no result, no question of its driver's. */
  quietMs(nowMs: number): number {
    return this.#steps.isRunning ? 0 : this.use.quietMs(nowMs)
  }

  /** No step of it has come yet. */
  get isUnused(): boolean {
    return this.#steps.isUnused
  }

  /** The previous hop sent Close: it gets Closed when all is free from here to the tail. */
  askedToClose(nowMs: number, commitTo = 0): void {
    this.ending.isAsked = true
    if (commitTo > 0 && this.phase === 'open' && commitTo <= this.length) {
      const { id: seat, terms, hop } = this
      const { states, ids } = this.#steps
      this.ending.commits(this.#host.commits?.commit({ seat, terms, hop, tokens: commitTo, states, ids }))
      this.ending.commitTo = commitTo
    }
    this.end(nowMs)
  }

  /** Frees the cache here and, unless the session may go on with them, further down. */
  end(nowMs: number, { keepsBelow = false } = {}): void {
    if (this.phase === 'closing') return
    this.phase = 'closing'
    this.ending.begins(nowMs)
    // Nobody is replayed to any more: what takes this room next must not wait for Closed.
    this.#steps.free()
    this.#host.release(this)
    this.feeding.end()
    if (this.down !== undefined) {
      if (this.isTail && (this.ending.isAsked || this.ending.hasSaidWhy) && this.down.connected) {
        // A close may be quicker than the refusal before it: the driver must not take the tail for lost.
        this.#host.linger(this.down)
        this.down = undefined
      } else if (this.isTail || keepsBelow || !this.down.connected) {
        this.#host.close(this.down)
        this.down = undefined
      } else {
        const { commitTo } = this.ending
        this.sendDown({ kind: 'close', epoch: this.epoch, ...(commitTo > 0 ? { commitTo } : {}) })
        this.ending.waitsForNext = true
      }
    }
    if (this.#engine === 'failed' || this.#engine === 'none') this.ending.freed()
    else this.#host.emit({ kind: 'free-engine', seat: this.id })
    this.#leaveIfDone()
  }

  freed(): void {
    this.ending.freed()
    this.#leaveIfDone()
  }

  /** Closed came back from the next hop, or will not come any more. */
  nextClosed({ hops, commitments }: Omit<ClosedFrame, 'kind'>): void {
    this.ending.nextClosed(hops, this.hop, commitments)
    if (this.down !== undefined) this.#host.close(this.down)
    this.down = undefined
    this.#leaveIfDone()
  }

  #leaveIfDone(): void {
    if (this.phase !== 'closing' || !this.ending.isDone) return
    this.#host.leave(this)
    if (this.up === undefined) return
    if (this.ending.isAsked) {
      const hops = this.ending.summary(this.#steps.standing.summary(this.hop))
      const { commitments } = this.ending
      this.sendUp({ kind: 'closed', hops, ...(commitments.length > 0 ? { commitments } : {}) })
    }
    this.#host.close(this.up)
  }

  // ── Streams ──────────────────────────────────────────────────────────────────────────────────────

  connect(peer: PeerId, role: 'down' | 'feed'): StageChannel {
    return this.#host.connect(this, peer, role)
  }

  sendUp(frame: Frame): void {
    if (this.up !== undefined) this.#host.emit({ kind: 'send', channel: this.up.id, frame })
  }

  sendDown(frame: Frame): void {
    this.#host.emit({ kind: 'send', channel: this.down!.id, frame })
  }
}
