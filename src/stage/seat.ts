/**
 * One session at one stage: its order of steps, its credit both ways, its cache's length, what it retains and what
 * it still has to send. Its cache outlives streams: a newer epoch finds it and carries on.
 */
import { assert } from '../base/assert.ts'
import type { PeerId, SessionId } from '../base/ids.ts'
import type { Verify } from '../base/signature.ts'
import { edgeSize } from '../engine/engine.ts'
import type { LossReason } from '../errors.ts'
import { attentionBlock } from '../model/limits.ts'
import { askMinMs, outboxStepsMax, retainBlockTokens, stepBytesMax } from './limits.ts'
import { checkPrepare, checkStep, checkTerms, type Fault } from './check.ts'
import { encodeFrame } from './codec.ts'
import { ReceiveCredit, SendCredit } from './credit.ts'
import type { LinkId, SeatId, StageEffect, StageFacts } from './event.ts'
import { Feed } from './feed.ts'
import {
  type AckFrame,
  type AskFrame,
  type Frame,
  framedBytes,
  type HopStats,
  type PreparedFrame,
  type PrepareFrame,
  type RefuseFrame,
  type RefuseReason,
  type StandingFrame,
  type StepFrame
} from './frame.ts'
import { RetainedStates } from './retain.ts'
import type { RouteHop, SignedTerms } from './terms.ts'

/** One stream. */
export interface Link {
  readonly id: LinkId
  readonly remote: PeerId
  /**
   * `new`: nothing said yet. `up`, `down`: to the previous and next hop. `feed`: to a stand-in that is being prepared.
   * `driver`: from a tail to this driver. `lingering`: from a tail that is free to a driver that may not know why yet.
   */
  role: 'new' | 'up' | 'down' | 'feed' | 'driver' | 'lingering' | 'dead'
  seat: Seat | undefined
  /** Of `driver` links. */
  session: SessionId | undefined
  epoch: number
  connected: boolean
  /** It is one too many: no seat is given to it. */
  readonly isFull: boolean
  /** When it came, or began to linger. */
  sinceMs: number
}

/** Where a seat's effects go. */
export interface SeatHost {
  readonly verify: Verify
  emit(effect: StageEffect): void
  /** Opens a stream from a seat. */
  connect(seat: Seat, peer: PeerId, role: 'down' | 'feed'): Link
  /** Closes a stream after what is queued on it. */
  close(link: Link): void
  /** Leaves a stream to its other end, and closes it after a while. */
  linger(link: Link): void
  /** What the seat retained is gone. */
  release(seat: Seat): void
  /** The seat is free: nothing refers to it any more. */
  leave(seat: Seat): void
}

interface QueuedStep {
  readonly frame: StepFrame
  readonly arrivedMs: number
}

/** A computed step that waits for the next hop. */
type Output =
  | {
      readonly kind: 'hidden'
      readonly position: number
      readonly tokens: number
      readonly sample: boolean
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'token'; readonly position: number; readonly id: number }

/**
 * Where a seat stands. `opening`: the engine is reserving the cache, or a step of the older epoch is still being
 * computed. `refused`: it has refused and waits for a newer epoch or Close. `closing`: the cache is being freed.
 */
type Phase = 'opening' | 'open' | 'refused' | 'closing'

export class Seat {
  readonly id: SeatId
  readonly stage: StageFacts
  /** Of the epoch that is open. */
  terms: SignedTerms
  readonly isTail: boolean
  /** What one step to the next hop may hold. */
  readonly #stepTokens: number
  readonly #host: SeatHost
  /** undefined at the tail, which sends tokens. */
  #retained: RetainedStates | undefined

  phase: Phase = 'opening'
  hop = 0
  up: Link | undefined
  down: Link | undefined
  activeMs = 0
  orphanedMs: number | undefined
  closingMs = 0
  /** When something last showed that the session is wanted, steps aside. */
  #wantedMs = 0
  /** In `closing`: Closed has not come back from the next hop yet. */
  waitsForNext = false
  /** Tokens in the cache that are valid. */
  length = 0

  /** A stand-in that this stage feeds while the epoch goes on, and the stream to it. */
  #feed: { readonly feed: Feed; readonly link: Link } | undefined
  /** The highest epoch that it was told to feed for. */
  #fedEpoch = 0
  #engine: 'opening' | 'open' | 'failed' = 'opening'
  #running: QueuedStep | undefined
  #queue: QueuedStep[] = []
  #received = new ReceiveCredit()

  #outbox: Output[] = []
  #sent = new SendCredit()
  /** Length of the next hop's cache when the epoch began; undefined until it has said so. */
  #nextLength: number | undefined
  /** True when both lengths are known and the next three fields are set. */
  #aligned = false
  /** The next hop already has the states below this position: they are not sent. */
  #skipBelow = 0
  /** Retained states [replayAt, replayEnd) are sent before the outbox. */
  #replayAt = 0
  #replayEnd = 0
  /** End of the epoch's last computed step: a step that starts before it is a rollback, not a replay. */
  #computedEnd = 0
  /** End of the last step that arrived in this epoch. */
  #arrivedEnd = 0
  #askedMs = Number.NEGATIVE_INFINITY

  #freed = false
  /** The previous hop sent Close and waits for Closed. */
  #closeAsked = false
  /** The driver has been told why this tail ends. */
  #farewell = false
  #hopsAfter: readonly HopStats[] = []
  readonly #stats = {
    steps: 0,
    tokens: 0,
    computeMs: 0,
    queueMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    bytesBack: 0,
    replayed: 0,
    rows: 0,
    gatherMs: 0
  }

  constructor(id: SeatId, stage: StageFacts, terms: SignedTerms, host: SeatHost) {
    this.id = id
    this.stage = stage
    this.terms = terms
    this.isTail = stage.end === stage.layers
    this.#stepTokens = stepTokens(stage)
    this.#host = host
    this.#retained = this.isTail ? undefined : new RetainedStates(rowBytes(stage), terms.tokensMax)
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

  get queued(): number {
    return this.#queue.length
  }

  /** Bytes reserved for replay. */
  get retainedBytes(): number {
    return this.isTail ? 0 : RetainedStates.bytes(rowBytes(this.stage), this.tokensMax)
  }

  // ── Epochs ──────────────────────────────────────────────────────────────────────────────────────

  /** Begins an epoch on two new streams; whatever the older one had queued is dropped, the cache stays. */
  begin(terms: SignedTerms, hop: number, up: Link, nowMs: number): void {
    const { route, stretch } = terms
    this.#dropFeed()
    // The next hop prepares while this one does: one trip through the route before the first step, not two.
    const next = hop + 1 === route.length ? terms.driver : route[hop + 1]!.peer
    const down = stretch === undefined || hop + 1 < stretch.to ? this.#host.connect(this, next, 'down') : undefined
    this.phase = 'opening'
    this.terms = terms
    this.hop = hop
    this.up = up
    this.down = down
    this.activeMs = nowMs
    this.orphanedMs = undefined
    this.#queue = []
    this.#received = new ReceiveCredit()
    this.#arrivedEnd = 0
    this.#outbox = []
    this.#sent = new SendCredit()
    // After the tail there is no cache; with keep 0 whatever the next hop holds is void.
    this.#nextLength = this.isTail || terms.keep === 0 ? 0 : undefined
    this.#aligned = false
    if (this.#engine === 'open') this.#becomeOpen()
  }

  /** The engine has reserved the cache. */
  engineOpened(length: number): void {
    this.#engine = 'open'
    this.length = length
    if (this.phase === 'opening') this.#becomeOpen()
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
    if (this.#running !== undefined) return
    this.phase = 'open'
    const length = Math.min(this.length, this.terms.keep)
    this.length = length
    this.#retained?.truncate(length)
    this.#replayEnd = this.isTail ? 0 : length
    this.#skipBelow = Number.POSITIVE_INFINITY
    this.#computedEnd = 0
    if (this.terms.keep > 0) this.#sendUp({ kind: 'ack', epoch: this.epoch, length, steps: 0, tokens: 0 })
    this.#align()
    this.#pump()
    this.#advance()
  }

  /**
   * Compares what this stage has sent with what the next hop has, once both are known. What the next hop lacks is
   * replayed from what was retained; what it has is not sent again, though it may have to be computed again here.
   */
  #align(): void {
    if (this.#aligned || this.phase !== 'open' || this.#nextLength === undefined) return
    this.#aligned = true
    this.#skipBelow = Math.min(this.#skipBelow, this.#nextLength)
    this.#replayAt = this.#nextLength
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  /** Counts a frame in. */
  heard(bytes: number): void {
    this.#stats.bytesIn += framedBytes(bytes)
  }

  /** Queues a step. Returns what is wrong with it, if anything is. */
  step(frame: StepFrame, nowMs: number): Fault | undefined {
    const fault = checkStep(frame, this.stage, this)
    if (fault !== undefined) return fault
    if (!this.#received.arrived(frame.tokens)) {
      return { violation: 'credit', message: 'more steps came than the credit allows' }
    }
    if (this.phase !== 'opening' && this.phase !== 'open') return undefined
    this.activeMs = nowMs
    this.#queue.push({ frame, arrivedMs: nowMs })
    this.#arrivedEnd = frame.position + frame.tokens
    this.#advance()
    return undefined
  }

  /** Starts the next step if there is one, none is running, and the next hop keeps up. */
  #advance(): void {
    if (this.phase !== 'open' || this.#running !== undefined || this.#outbox.length >= outboxStepsMax) return
    const step = this.#queue.shift()
    if (step === undefined) return
    const { position, tokens, sample, input } = step.frame
    if (position > this.length) {
      this.refuse('gap', `the step starts at ${position}, the cache ends at ${this.length}`)
      return
    }
    this.#running = step
    this.#host.emit({
      kind: 'compute',
      seat: this.id,
      step: { session: this.cache, position, tokens, input, sample: sample && this.isTail }
    })
  }

  computed(
    { hidden, token, computeMs }: { hidden: Uint8Array | undefined; token: number | undefined; computeMs: number },
    nowMs: number
  ): void {
    assert(this.#running !== undefined, 'a result needs a step')
    const { frame, arrivedMs } = this.#running
    const { position, tokens, sample } = frame
    this.#running = undefined
    this.#wantedMs = nowMs
    this.length = position + tokens
    this.#stats.steps += 1
    this.#stats.tokens += tokens
    this.#stats.rows += tokens
    this.#stats.computeMs += computeMs
    this.#stats.queueMs += Math.max(0, nowMs - arrivedMs - computeMs)
    if (this.phase === 'closing') return
    if (hidden !== undefined) this.#retained?.write(position, hidden)
    if (this.phase === 'opening') {
      // A newer epoch came while an older one's step ran: its cache is as good, its output nobody waits for.
      this.#becomeOpen()
      return
    }
    if (frame.epoch < this.epoch) {
      // This epoch was refused before it could begin: what it said of older caches holds for the next one, too.
      this.length = Math.min(this.length, this.terms.keep)
      this.#retained?.truncate(this.length)
    }
    if (this.phase !== 'open') return

    // What was computed again need not be replayed; after a rollback the next hop's older states are void, too.
    this.#replayEnd = Math.min(this.#replayEnd, position)
    if (position < this.#computedEnd) {
      this.#skipBelow = Math.min(this.#skipBelow, position)
      this.#feed?.feed.rollback(position)
    }
    this.#computedEnd = position + tokens
    if (this.terms.stretch !== undefined && this.down === undefined) {
      // The last hop that is prepared: what it gives stays here until its own epoch.
    } else if (hidden !== undefined) this.#queueHidden(position, tokens, sample, hidden)
    else if (token !== undefined) this.#outbox.push({ kind: 'token', position: position + tokens, id: token })

    this.#pump()
    this.#pumpFeed()
    const received = this.#received
    received.done(tokens)
    // Who feeds must know how far this stage has come.
    if (received.takeAck(this.terms.stretch !== undefined)) {
      const { epoch, length } = this
      this.#sendUp({ kind: 'ack', epoch, length, steps: received.steps, tokens: received.tokens })
    }
    this.#advance()
  }

  /** What was computed in one step goes on in as many as its frames take; the last of them samples. */
  #queueHidden(position: number, tokens: number, sample: boolean, bytes: Uint8Array): void {
    const rowBytes = bytes.length / tokens
    for (let at = 0; at < tokens; at += this.#stepTokens) {
      const end = Math.min(tokens, at + this.#stepTokens)
      const piece = bytes.subarray(at * rowBytes, end * rowBytes)
      this.#outbox.push({
        kind: 'hidden',
        position: position + at,
        tokens: end - at,
        sample: sample && end === tokens,
        bytes: piece
      })
    }
  }

  /** A step failed; the cache has `length` tokens. */
  computeFailed(reason: 'gap' | 'engine' | 'invalid', length: number, message: string): void {
    this.#running = undefined
    // The engine may still hold more than what is valid in this epoch.
    this.length = Math.min(this.length, length)
    if (this.phase === 'opening') this.#becomeOpen()
    else if (this.phase === 'open') this.refuse(reason, message)
  }

  // ── The next hop ────────────────────────────────────────────────────────────────────────────────

  /** Sends what the next hop has credit for: first what it has lost, then what was just computed. */
  #pump(): void {
    if (this.phase !== 'open' || this.down?.connected !== true || !this.#aligned) return
    while (this.#replayAt < this.#replayEnd) {
      const position = this.#replayAt
      const border = (Math.floor(position / retainBlockTokens) + 1) * retainBlockTokens
      const tokens = Math.min(border, this.#replayEnd, position + this.#stepTokens) - position
      if (!this.#sent.allows(tokens)) return
      this.#replayAt += tokens
      this.#stats.replayed += tokens
      this.#sendStep(position, tokens, false, this.#retained!.read(position, position + tokens))
    }
    for (let output = this.#outbox[0]; output !== undefined; output = this.#outbox[0]) {
      if (output.kind === 'token') {
        this.#sendDown({ kind: 'token', epoch: this.epoch, position: output.position, id: output.id })
      } else {
        const { position, tokens, sample, bytes } = output
        const skip = Math.max(0, this.#skipBelow - position)
        if (skip < tokens) {
          if (!this.#sent.allows(tokens - skip)) return
          const rest = skip === 0 ? bytes : bytes.subarray((bytes.length / tokens) * skip)
          this.#sendStep(position + skip, tokens - skip, sample, rest)
        }
      }
      this.#outbox.shift()
    }
  }

  #sendStep(position: number, tokens: number, sample: boolean, bytes: Uint8Array): void {
    this.#sent.sent(tokens)
    this.#sendDown({ kind: 'step', epoch: this.epoch, position, tokens, sample, input: { kind: 'hidden', bytes } })
  }

  /** The next hop gives credit, or says for the first time how long its cache is. Returns what is wrong with it. */
  ack({ epoch, length, steps, tokens }: AckFrame): Fault | undefined {
    if (epoch !== this.epoch || this.phase === 'closing') return undefined
    if (this.isTail || !this.#sent.acked(steps, tokens)) {
      return { violation: 'invalid', message: `an ack of ${steps} steps and ${tokens} tokens that were not sent` }
    }
    if (this.#nextLength === undefined) {
      const { keep } = this.terms
      if (length > keep) {
        return { violation: 'invalid', message: `a length of ${length} where ${keep} is all that is valid` }
      }
      this.#nextLength = length
      this.#align()
    }
    this.#pump()
    this.#advance()
    return undefined
  }

  // ── Saying how far it has come ──────────────────────────────────────────────────────────────────

  /** The driver wants to know how far everybody has come: those further down first, since they are further away. */
  asked(frame: AskFrame, nowMs: number): void {
    const { epoch, hop, length } = this
    if (frame.epoch !== epoch || this.phase === 'closing' || nowMs - this.#askedMs < askMinMs) return
    this.#wantedMs = nowMs
    this.#askedMs = nowMs
    if (!this.isTail && this.down?.connected === true) this.#sendDown(frame)
    const oldest = this.#running ?? this.#queue[0]
    const { steps, computeMs, queueMs, rows, gatherMs } = this.#stats
    this.#sendUp({
      kind: 'standing',
      epoch,
      round: frame.round,
      hop,
      arrived: this.#arrivedEnd,
      length,
      busyMs: oldest === undefined ? 0 : Math.max(0, nowMs - oldest.arrivedMs),
      steps,
      computeMs,
      queueMs,
      rows,
      gatherMs
    })
  }

  /** A hop further down says how far it has come. Returns what is wrong with the frame. */
  standingBelow(frame: StandingFrame): Fault | undefined {
    if (frame.hop <= this.hop || frame.hop >= this.route.length) {
      return { violation: 'invalid', message: `hop ${frame.hop} speaks from behind hop ${this.hop}` }
    }
    if (frame.epoch === this.epoch && this.phase !== 'closing') this.#sendUp(frame)
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
    if (hop > this.hop) {
      if (this.down?.connected === true) this.#sendDown(frame)
      else this.#prepared(terms, 'the stream to the next hop is not open')
      return undefined
    }
    // Terms feed once: what comes again is no word of the driver's.
    if (terms.epoch <= this.#fedEpoch) return undefined
    this.#fedEpoch = terms.epoch
    this.#dropFeed()
    const { peer } = terms.route[terms.stretch!.from]!
    this.#feed = { feed: new Feed(terms, this.#stepTokens), link: this.#host.connect(this, peer, 'feed') }
    return undefined
  }

  /** The stream to the stand-in is open. */
  feedConnected(): void {
    if (this.#feed === undefined) return
    const { link, feed } = this.#feed
    const { terms } = feed
    link.connected = true
    this.#sendFeed({ kind: 'open', hop: terms.stretch!.from, terms })
    this.#pumpFeed()
  }

  /** A frame from the stand-in. Returns what is wrong with it, if anything is. */
  feedFrame(frame: Frame): Fault | undefined {
    if (this.#feed === undefined) return undefined
    const { feed } = this.#feed
    if (frame.kind === 'refuse') {
      this.feedLost(frame.message)
      return undefined
    }
    if (frame.kind !== 'ack') return { violation: 'unexpected', message: `${frame.kind} has no place on the way up` }
    if (frame.epoch !== feed.terms.epoch || !feed.acked(frame)) {
      return { violation: 'invalid', message: `an ack of ${frame.steps} steps and ${frame.tokens} tokens` }
    }
    this.#pumpFeed()
    if (feed.takePrepared(this.length)) this.#prepared(feed.terms)
    return undefined
  }

  /** The stand-in cannot be prepared. */
  feedLost(message: string): void {
    if (this.#feed === undefined) return
    const { terms } = this.#feed.feed
    this.#dropFeed()
    this.#prepared(terms, message)
  }

  /** A hop further down tells the driver how a preparation went. */
  preparedBelow(frame: PreparedFrame): void {
    if (frame.epoch === this.epoch && this.phase !== 'closing') this.#sendUp(frame)
  }

  #prepared({ epoch: next }: SignedTerms, failure = ''): void {
    this.#sendUp({ kind: 'prepared', epoch: this.epoch, next, failed: failure !== '', message: failure })
  }

  #pumpFeed(): void {
    if (this.#feed?.link.connected !== true) return
    const { feed } = this.#feed
    // Only what this epoch has made valid: a cache of an older one may still be cut.
    if (this.phase !== 'open' && this.phase !== 'refused') return
    for (let step = feed.next(this.length); step !== undefined; step = feed.next(this.length)) {
      const { position, tokens } = step
      const bytes = this.#retained!.read(position, position + tokens)
      this.#stats.replayed += tokens
      const input = { kind: 'hidden', bytes } as const
      this.#sendFeed({ kind: 'step', epoch: feed.terms.epoch, position, tokens, sample: false, input })
    }
  }

  /** Ends the stream to the stand-in, whose cache waits for a newer epoch. */
  #dropFeed(): void {
    if (this.#feed !== undefined) this.#host.close(this.#feed.link)
    this.#feed = undefined
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
    this.#queue = []
    this.#outbox = []
  }

  /** The previous hop is gone: the cache waits for a newer epoch. */
  orphaned(nowMs: number): void {
    this.up = undefined
    this.orphanedMs = nowMs
    // What is under way may still become a token.
    if (this.#running === undefined && this.#queue.length === 0 && this.#outbox.length === 0) this.letGo()
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
    this.length = 0
    this.#farewell = this.isTail && this.down?.connected === true
    if (this.phase !== 'refused') this.refuse('no-room', message)
    this.end(nowMs, { keepsBelow })
  }

  /** How long nobody has shown that the session is wanted here: no step, no result, no question of its driver's. */
  quietMs(nowMs: number): number {
    return this.#running === undefined ? nowMs - Math.max(this.activeMs, this.#wantedMs) : 0
  }

  /** No step of it has come yet. */
  get isUnused(): boolean {
    return this.#stats.steps === 0 && this.#running === undefined && this.#queue.length === 0
  }

  /** The previous hop sent Close: it gets Closed when all is free from here to the tail. */
  askedToClose(nowMs: number): void {
    this.#closeAsked = true
    this.end(nowMs)
  }

  /** Frees the cache here and, unless the session may go on with them, further down. */
  end(nowMs: number, { keepsBelow = false } = {}): void {
    if (this.phase === 'closing') return
    this.phase = 'closing'
    this.closingMs = nowMs
    // Nobody is replayed to any more: what takes this room next must not wait for Closed.
    this.#retained = undefined
    this.#host.release(this)
    this.#queue = []
    this.#outbox = []
    if (this.#feed?.link.connected === true) this.#sendFeed({ kind: 'close', epoch: this.#feed.feed.terms.epoch })
    this.#dropFeed()
    if (this.down !== undefined) {
      if (this.isTail && (this.#closeAsked || this.#farewell) && this.down.connected) {
        // A close may be quicker than the refusal before it: the driver must not take the tail for lost.
        this.#host.linger(this.down)
        this.down = undefined
      } else if (this.isTail || keepsBelow || !this.down.connected) {
        this.#host.close(this.down)
        this.down = undefined
      } else {
        this.#sendDown({ kind: 'close', epoch: this.epoch })
        this.waitsForNext = true
      }
    }
    if (this.#engine === 'failed') this.#freed = true
    else this.#host.emit({ kind: 'free-engine', seat: this.id })
    this.#leaveIfDone()
  }

  freed(): void {
    this.#freed = true
    this.#leaveIfDone()
  }

  /** Closed came back from the next hop, or will not come any more. */
  nextClosed(hops: readonly HopStats[]): void {
    this.waitsForNext = false
    this.#hopsAfter = hops.filter(({ hop }) => hop > this.hop)
    if (this.down !== undefined) this.#host.close(this.down)
    this.down = undefined
    this.#leaveIfDone()
  }

  #leaveIfDone(): void {
    if (this.phase !== 'closing' || !this.#freed || this.waitsForNext) return
    this.#host.leave(this)
    if (this.up === undefined) return
    if (this.#closeAsked) {
      this.#sendUp({ kind: 'closed', hops: [{ hop: this.hop, ...this.#stats }, ...this.#hopsAfter] })
    }
    this.#host.close(this.up)
  }

  // ── Frames ──────────────────────────────────────────────────────────────────────────────────────

  #sendUp(frame: Frame): void {
    if (this.up === undefined) return
    const bytes = encodeFrame(frame)
    this.#stats.bytesBack += framedBytes(bytes.length)
    this.#host.emit({ kind: 'send', link: this.up.id, bytes })
  }

  #sendFeed(frame: Frame): void {
    const bytes = encodeFrame(frame)
    this.#stats.bytesOut += framedBytes(bytes.length)
    this.#host.emit({ kind: 'send', link: this.#feed!.link.id, bytes })
  }

  #sendDown(frame: Frame): void {
    const bytes = encodeFrame(frame)
    this.#stats.bytesOut += framedBytes(bytes.length)
    this.#host.emit({ kind: 'send', link: this.down!.id, bytes })
  }
}

/** Tokens of which the hidden states fit into one frame. */
function stepTokens(stage: StageFacts): number {
  return Math.min(attentionBlock, Math.floor(stepBytesMax / rowBytes(stage)))
}

function rowBytes(stage: StageFacts): number {
  return stage.hidden * edgeSize(stage.edge)
}
