/**
 * One session at one stage: its order of steps, its credit both ways, its cache's length, what it retains and what
 * it still has to send. Its cache outlives streams: a newer epoch finds it and carries on.
 */
import { assert } from '../base/assert.ts'
import type { PeerId, SessionId } from '../base/ids.ts'
import type { StepCost } from '../engine/engine.ts'
import type { LossReason } from '../errors.ts'
import { checkPrepare, checkStep, checkTerms, type Fault } from './check.ts'
import { Ending } from './ending.ts'
import type { SeatId, StageFacts } from './event.ts'
import { Feeding } from './feeding.ts'
import type {
  AckFrame,
  AskFrame,
  Frame,
  HopStats,
  PreparedFrame,
  PrepareFrame,
  RefuseFrame,
  RefuseReason,
  StandingFrame,
  StepFrame
} from './frame.ts'
import { Inlet } from './inlet.ts'
import type { StageChannel } from './stage-channel.ts'
import { Outlet } from './outlet.ts'
import type { SeatHost } from './seat-host.ts'
import { Standing } from './standing.ts'
import type { RouteHop, SignedTerms } from './terms.ts'
import { Turn, Use } from './turn.ts'

/**
 * Where a seat stands. `opening`: the engine is reserving the cache, or a step of the older epoch is still being
 * computed. `refused`: it has refused and waits for a newer epoch or Close. `closing`: the cache is being freed.
 */
type Phase = 'opening' | 'open' | 'refused' | 'closing'

/** What a step gave, if anything, and what its passes took. */
interface StepResult {
  readonly hidden: Uint8Array | undefined
  readonly tokens: readonly number[] | undefined
  readonly cost: StepCost
}

export class Seat {
  readonly id: SeatId
  readonly stage: StageFacts
  /** Of the epoch that is open. */
  terms: SignedTerms
  readonly #host: SeatHost
  readonly #inlet = new Inlet()
  readonly #outlet: Outlet
  readonly #standing = new Standing()
  readonly #feeding: Feeding

  phase: Phase = 'opening'
  hop = 0
  up: StageChannel | undefined
  down: StageChannel | undefined
  orphanedMs: number | undefined
  /** Tokens in the cache that are valid. */
  length = 0
  /** Those of them that are no drafts. */
  #certain = 0

  /** It waits in line for room (rule S29): nothing is reserved for it. */
  isInLine = false
  readonly turn = new Turn()
  readonly use = new Use()
  /** It gives way as soon as the step that runs is done, and why. */
  #yields: string | undefined
  #engine: 'none' | 'opening' | 'open' | 'failed' = 'opening'

  readonly ending = new Ending()

  constructor(id: SeatId, stage: StageFacts, terms: SignedTerms, host: SeatHost) {
    this.id = id
    this.stage = stage
    this.terms = terms
    this.#host = host
    const outlet = new Outlet(stage, terms.tokensMax)
    this.#outlet = outlet
    this.#feeding = new Feeding({
      stepTokens: outlet.stepTokens,
      connect: peer => host.connect(this, peer, 'feed'),
      send: ({ id: channel }, frame) => host.emit({ kind: 'send', channel, frame }),
      close: channel => host.close(channel),
      retained: (position, end) => outlet.retained(position, end),
      onReplayed: tokens => this.#standing.replayed(tokens),
      prepared: (next, failure) => this.#prepared(next, failure)
    })
  }

  get session(): SessionId {
    return this.terms.session
  }

  /** What its engine knows it by. */
  get cache(): SessionId {
    return `${this.session} of ${this.driver}` as SessionId
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

  get isTail(): boolean {
    return this.#outlet.isTail
  }

  get queued(): number {
    return this.#inlet.queued
  }

  /** Steps that are here, the one that is being computed included. */
  get steps(): number {
    return this.#inlet.queued + (this.#inlet.isRunning ? 1 : 0)
  }

  /** Bytes reserved for replay. */
  get retainedBytes(): number {
    return Outlet.retainedBytes(this.stage, this.tokensMax)
  }

  // ── Epochs ──────────────────────────────────────────────────────────────────────────────────────

  /** Begins an epoch on two new streams; whatever the older one had queued is dropped, the cache stays. */
  begin(terms: SignedTerms, hop: number, up: StageChannel, nowMs: number): void {
    this.#feeding.drop()
    this.phase = 'opening'
    this.terms = terms
    this.hop = hop
    this.up = up
    this.down = undefined
    this.use.stepped(nowMs)
    this.orphanedMs = undefined
    this.#inlet.begin()
    this.#outlet.begin(terms.keep)
    if (this.#engine !== 'open') return
    this.#connectNext()
    this.#becomeOpen()
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
  engineOpened(length: number, nowMs: number): void {
    this.isInLine = false
    this.#engine = 'open'
    this.length = length
    this.#certain = length
    this.turn.begins(nowMs)
    if (this.phase !== 'opening') return
    if (this.up !== undefined) this.#connectNext()
    this.#becomeOpen()
  }

  /** Only who has room takes some further down: so all take it in one order, and none holds what another one waits for. */
  #connectNext(): void {
    const { hop } = this
    const { route, driver, stretch } = this.terms
    if (stretch !== undefined && hop + 1 >= stretch.to) return
    const next = hop + 1 === route.length ? driver : route[hop + 1]!.peer
    this.down = this.#host.connect(this, next, 'down')
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
    this.#sendDown({ kind: 'open', hop: this.hop + 1, terms: this.terms })
    this.#pump()
    this.#advance()
  }

  /** The cache is there and nothing of an older epoch runs: steps may run. */
  #becomeOpen(): void {
    if (this.#inlet.isRunning) return
    this.phase = 'open'
    const length = Math.min(this.length, this.terms.keep)
    this.#cutTo(length)
    if (this.terms.keep > 0) this.#sendUp({ kind: 'ack', epoch: this.epoch, length, steps: 0, tokens: 0 })
    this.#outlet.open(length)
    this.#pump()
    this.#advance()
  }

  /** So many tokens of the cache are valid, or fewer. */
  #cutTo(length: number): void {
    this.length = Math.min(this.length, length)
    this.#certain = Math.min(this.#certain, this.length)
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  /** Counts a frame: from the hop before, to the next one or a stand-in, or back to the one before. */
  moved(way: 'in' | 'out' | 'back', bytes: number): void {
    this.#standing.moved(way, bytes)
  }

  /** Queues a step. Returns what is wrong with it, if anything is. */
  step(frame: StepFrame, nowMs: number): Fault | undefined {
    const fault = checkStep(frame, this.stage, this)
    if (fault !== undefined) return fault
    if (!this.#inlet.allows(frame.tokens)) {
      return { violation: 'credit', message: 'more steps came than the credit allows' }
    }
    if (this.phase !== 'opening' && this.phase !== 'open') return undefined
    this.use.stepped(nowMs)
    this.#inlet.push(frame, nowMs)
    this.#advance()
    return undefined
  }

  /** Starts the next step if there is one, none is running, and the next hop keeps up. */
  #advance(): void {
    if (this.phase !== 'open' || this.#outlet.isFull || this.#yields !== undefined) return
    const step = this.#inlet.next
    if (step === undefined) return
    const { position, tokens, input } = step
    const sample = step.sample && this.isTail
    if (position > this.length) {
      this.refuse('gap', `the step starts at ${position}, the cache ends at ${this.length}`)
      return
    }
    this.#inlet.start()
    this.#host.emit({
      kind: 'compute',
      seat: this.id,
      step: { session: this.cache, position, tokens, input, sample, drafts: sample ? step.drafts : undefined }
    })
  }

  computed({ hidden, tokens, cost }: StepResult, nowMs: number): void {
    const step = this.#inlet.ended()
    assert(step !== undefined, 'a result needs a step')
    const { frame, arrivedMs } = step
    const { position, sample, drafts = [] } = frame
    this.use.wanted(nowMs)
    this.length = position + frame.tokens
    this.#certain = this.length - drafts.length
    this.#standing.computed(frame.tokens, cost, nowMs - arrivedMs)
    this.turn.computed({ position, tokens: this.#certain - position, sample }, nowMs)
    if (this.phase === 'closing') return
    if (hidden !== undefined) this.#outlet.retain(position, hidden)
    this.#goOn(frame, hidden, tokens)
    if (this.#yields !== undefined) this.giveWay(nowMs, this.#yields)
  }

  #goOn(frame: StepFrame, hidden: Uint8Array | undefined, ids: readonly number[] | undefined): void {
    if (this.phase === 'opening') {
      // A newer epoch came while an older one's step ran: its cache is as good, its output nobody waits for.
      this.#becomeOpen()
      return
    }
    if (frame.epoch < this.epoch) {
      // This epoch was refused before it could begin: what it said of older caches holds for the next one, too.
      this.#cutTo(this.terms.keep)
      this.#outlet.truncate(this.length)
    }
    if (this.phase !== 'open') return
    this.#handOn(frame, hidden, ids)
  }

  /** A step of this epoch was computed: what it gave goes on, and the hop before may send more. */
  #handOn(frame: StepFrame, hidden: Uint8Array | undefined, ids: readonly number[] | undefined): void {
    const { position, tokens } = frame
    const { stretch } = this.terms
    if (this.#outlet.computed(position, position + tokens)) this.#feeding.rollback(position)
    if (stretch !== undefined && this.down === undefined) {
      // The last hop that is prepared: what it gives stays here until its own epoch.
    } else if (hidden !== undefined) this.#outlet.pushHidden(frame, hidden)
    else if (ids !== undefined) this.#outlet.pushTokens(this.#certain, ids)

    this.#pump()
    this.#pumpFeed()
    // Who feeds must know how far this stage has come.
    const done = this.#inlet.done(tokens, { atOnce: stretch !== undefined })
    if (done !== undefined) this.#sendUp({ kind: 'ack', epoch: this.epoch, length: this.length, ...done })
    this.#advance()
  }

  /** A step failed; the cache has `length` tokens. */
  computeFailed(
    { reason, length, message }: { reason: 'gap' | 'engine' | 'invalid'; length: number; message: string },
    nowMs: number
  ): void {
    this.#inlet.ended()
    // The engine may still hold more than what is valid in this epoch.
    this.#cutTo(length)
    if (this.phase === 'opening') this.#becomeOpen()
    else if (this.phase === 'open') this.refuse(reason, message)
    if (this.#yields !== undefined && this.phase !== 'closing') this.giveWay(nowMs, this.#yields)
  }

  // ── The next hop ────────────────────────────────────────────────────────────────────────────────

  /** Sends what the next hop has credit for. */
  #pump(): void {
    if (this.phase !== 'open' || this.down?.connected !== true) return
    for (let next = this.#outlet.next(this.epoch); next !== undefined; next = this.#outlet.next(this.epoch)) {
      const { frame, isReplay } = next
      if (isReplay && frame.kind === 'step') this.#standing.replayed(frame.tokens)
      this.#sendDown(frame)
    }
  }

  /** The next hop gives credit, or says for the first time how long its cache is. Returns what is wrong with it. */
  ack(frame: AckFrame): Fault | undefined {
    if (frame.epoch !== this.epoch || this.phase === 'closing') return undefined
    const message = this.#outlet.acked(frame, this.terms.keep)
    if (message !== undefined) return { violation: 'invalid', message }
    this.#pump()
    this.#advance()
    return undefined
  }

  // ── Saying how far it has come ──────────────────────────────────────────────────────────────────

  /** The driver wants to know how far everybody has come: those further down first, since they are further away. */
  asked(frame: AskFrame, nowMs: number): void {
    const { epoch, hop } = this
    if (frame.epoch !== epoch || this.phase === 'closing' || !this.#standing.asked(nowMs)) return
    this.use.wanted(nowMs)
    if (!this.isTail && this.down?.connected === true) this.#sendDown(frame)
    const { arrived, oldestMs } = this.#inlet
    const place = this.#host.placeOf(this)
    this.#sendUp(this.#standing.frame(frame, { hop, arrived, length: this.#certain, oldestMs, place }, nowMs))
  }

  /** A hop further down says how far it has come. Returns what is wrong with the frame. */
  standingBelow(frame: StandingFrame, nowMs: number): Fault | undefined {
    if (frame.hop <= this.hop || frame.hop >= this.route.length) {
      return { violation: 'invalid', message: `hop ${frame.hop} speaks from behind hop ${this.hop}` }
    }
    if (frame.epoch !== this.epoch || this.phase === 'closing') return undefined
    this.turn.heardBelow(frame.hop - this.hop, frame.length, nowMs)
    this.#sendUp(frame)
    return undefined
  }

  // ── Preparing a stand-in ────────────────────────────────────────────────────────────────────────

  /** A hop shall feed a stand-in: this one, or one further down. Returns what is wrong with the frame. */
  prepare(frame: PrepareFrame): Fault | undefined {
    if (frame.epoch !== this.epoch || (this.phase !== 'open' && this.phase !== 'opening')) return undefined
    const { hop, terms } = frame
    if (hop < this.hop)
      return { violation: 'invalid', message: `hop ${hop} is to feed a stand-in, but this is hop ${this.hop}` }
    const fault = checkPrepare(frame, this.terms) ?? checkTerms(terms, this.#host.verify)
    if (fault !== undefined) return fault
    if (hop === this.hop) this.#feeding.begin(terms)
    else if (this.down?.connected === true) this.#sendDown(frame)
    else this.#prepared(terms.epoch, 'the stream to the next hop is not open')
    return undefined
  }

  /** The stream to the stand-in is open. */
  feedConnected(): void {
    this.#feeding.connected()
    this.#pumpFeed()
  }

  /** A frame from the stand-in. Returns what is wrong with it, if anything is. */
  feedFrame(frame: Frame): Fault | undefined {
    const fault = this.#feeding.onFrame(frame)
    if (fault !== undefined) return fault
    this.#pumpFeed()
    if (frame.kind === 'ack') this.#feeding.tellPrepared(this.#certain)
    return undefined
  }

  /** The stand-in cannot be prepared. */
  feedLost(message: string): void {
    this.#feeding.lost(message)
  }

  /** A hop further down tells the driver how a preparation went. */
  preparedBelow(frame: PreparedFrame): void {
    if (frame.epoch === this.epoch && this.phase !== 'closing') this.#sendUp(frame)
  }

  #prepared(next: number, failure: string): void {
    this.#sendUp({ kind: 'prepared', epoch: this.epoch, next, failed: failure !== '', message: failure })
  }

  #pumpFeed(): void {
    // Only what this epoch has made valid: a cache of an older one may still be cut.
    if (this.phase === 'open' || this.phase === 'refused') this.#feeding.pump(this.#certain)
  }

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
    if (this.phase === 'closing') this.nextClosed([])
    else if (this.phase !== 'refused') {
      const next = this.isTail ? 'the driver' : `hop ${this.hop + 1}`
      this.refuse(reason === 'closed' ? 'next-lost' : 'next-silent', `${next} (${remote}) is lost: ${message}`)
    }
  }

  // ── Refusing and closing ────────────────────────────────────────────────────────────────────────

  /** This hop cannot go on; its cache stays as it is for a newer epoch. */
  refuse(reason: RefuseReason, message: string): void {
    const { epoch, hop, length } = this
    this.#refuseWith({ kind: 'refuse', epoch, hop, reason, length, message })
  }

  #refuseWith(frame: RefuseFrame): void {
    this.#sendUp(frame)
    // From the tail the driver is one hop away: it need not wait for the news to travel the whole route back.
    if (this.isTail && this.down?.connected === true) this.#sendDown(frame)
    this.phase = 'refused'
    this.#inlet.clear()
    this.#outlet.clear()
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
    if (this.#inlet.isIdle && this.#outlet.isEmpty) this.letGo()
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
    this.#cutTo(0)
    this.ending.hasSaidWhy = this.isTail && this.down?.connected === true
    if (this.phase !== 'refused') this.refuse('no-room', message)
    this.end(nowMs, { keepsBelow })
  }

  /** The same as soon as no step runs. Returns whether that is now. */
  giveWayBetweenSteps(nowMs: number, message: string): boolean {
    if (this.#inlet.isRunning) this.#yields = message
    else this.giveWay(nowMs, message)
    return this.#yields === undefined
  }

  /** It gives way, or is being freed: there will be room in a moment. */
  get isGoing(): boolean {
    return this.#yields !== undefined || this.phase === 'closing'
  }

  /** How long nobody has shown that the session is wanted here: no step, no result, no question of its driver's. */
  quietMs(nowMs: number): number {
    return this.#inlet.isRunning ? 0 : this.use.quietMs(nowMs)
  }

  /** No step of it has come yet. */
  get isUnused(): boolean {
    return this.#standing.steps === 0 && this.#inlet.isIdle
  }

  /** The previous hop sent Close: it gets Closed when all is free from here to the tail. */
  askedToClose(nowMs: number): void {
    this.ending.isAsked = true
    this.end(nowMs)
  }

  /** Frees the cache here and, unless the session may go on with them, further down. */
  end(nowMs: number, { keepsBelow = false } = {}): void {
    if (this.phase === 'closing') return
    this.phase = 'closing'
    this.ending.begins(nowMs)
    // Nobody is replayed to any more: what takes this room next must not wait for Closed.
    this.#outlet.free()
    this.#host.release(this)
    this.#inlet.clear()
    this.#feeding.end()
    if (this.down !== undefined) {
      if (this.isTail && (this.ending.isAsked || this.ending.hasSaidWhy) && this.down.connected) {
        // A close may be quicker than the refusal before it: the driver must not take the tail for lost.
        this.#host.linger(this.down)
        this.down = undefined
      } else if (this.isTail || keepsBelow || !this.down.connected) {
        this.#host.close(this.down)
        this.down = undefined
      } else {
        this.#sendDown({ kind: 'close', epoch: this.epoch })
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
  nextClosed(hops: readonly HopStats[]): void {
    this.ending.nextClosed(hops, this.hop)
    if (this.down !== undefined) this.#host.close(this.down)
    this.down = undefined
    this.#leaveIfDone()
  }

  #leaveIfDone(): void {
    if (this.phase !== 'closing' || !this.ending.isDone) return
    this.#host.leave(this)
    if (this.up === undefined) return
    if (this.ending.isAsked) {
      this.#sendUp({ kind: 'closed', hops: this.ending.summary(this.#standing.summary(this.hop)) })
    }
    this.#host.close(this.up)
  }

  // ── Frames ──────────────────────────────────────────────────────────────────────────────────────

  #sendUp(frame: Frame): void {
    if (this.up !== undefined) this.#host.emit({ kind: 'send', channel: this.up.id, frame })
  }

  #sendDown(frame: Frame): void {
    this.#host.emit({ kind: 'send', channel: this.down!.id, frame })
  }
}
