/**
 * One sequence being generated, as a pure decider: which tokens to send where, what to do when a hop is lost, and
 * when to stop. It owns the tokens: whatever is lost on the route, they are enough to go on (promise P4).
 *
 * Only the session retries (promise P6): a loss or a refusal ends the epoch; a new route is asked for without the
 * peer that failed, and a new epoch begins on it. Hops that still hold a cache keep it; what one of them lacks is
 * replayed by the hop before it, and by the session to the head.
 */
import { assert } from '../base/assert.ts'
import type { PeerId } from '../base/ids.ts'
import type { PromptScores } from '../engine/scores.ts'
import type { LossReason } from '../errors.ts'
import { stageCloseMs } from '../stage/limits.ts'
import { type Hop, placeOf, type Without } from '../route/view.ts'
import type { ViolationKind } from '../stage/event.ts'
import type { AckFrame, ClosedFrame, Frame, RefuseFrame, StandingFrame } from '../stage/frame.ts'
import type { Terms } from '../stage/terms.ts'
import { Changeover } from './changeover.ts'
import { commitTo } from './committed.ts'
import { Delays } from './delays.ts'
import { Detours } from './detours.ts'
import type { Epoch } from './epoch.ts'
import { Epochs } from './epochs.ts'
import { Pauses } from './pauses.ts'
import { areScored, PromptTold } from './scored.ts'
import type { Came, SessionEffect, SessionEvent, SessionOutcome, SessionOutput } from './event.ts'
import type { SessionInit } from './init.ts'
import { type Loss, lossOf } from './loss.ts'
import { Recovery } from './recovery.ts'
import { RoomSearch } from './room.ts'
import { RouteSearch } from './route-search.ts'
import { Speculation } from './speculation.ts'
import { Stepping } from './stepping.ts'
import { stopped } from './stop.ts'

type Phase =
  /** Waits for a route. */
  | 'routing'
  /** An epoch is open on a route. */
  | 'running'
  /** Close is on its way; Closed is waited for. */
  | 'closing'
  | 'ended'

export class Session {
  readonly #init: SessionInit
  readonly #ids: number[]
  #phase: Phase = 'routing'
  readonly #recovery: Recovery
  readonly #room: RoomSearch
  readonly #detours: Detours
  readonly #drafts: Speculation
  readonly #changeover: Changeover
  readonly #search: RouteSearch
  readonly #delays: Delays
  readonly #stepping: Stepping
  readonly #epochs: Epochs
  #closingMs = 0
  #outcome: SessionOutcome | undefined
  readonly #pauses = new Pauses()
  readonly #promptTold: PromptTold
  readonly #effects: SessionEffect[] = []
  #nowMs = 0

  constructor(init: SessionInit) {
    this.#init = init
    this.#ids = [...init.promptIds, ...(init.answered ?? [])]
    this.#promptTold = new PromptTold(init)
    assert(init.promptIds.length > 0 && this.#ids.length <= init.tokensMax, 'a prompt fits its session')
    const { self, waitMs } = init
    const emit = (effect: SessionEffect): void => void this.#effects.push(effect)
    const send = (frame: Frame, epoch: number): void => this.#send(frame, epoch)
    const tell = (output: SessionOutput): void => this.#tell(output)
    const hears = (peer: PeerId): boolean => this.#hears(peer)
    const recovery = new Recovery({ self, hears, tell })
    if (init.stoodStillMs !== undefined) recovery.stoodStill(init.stoodStillMs)
    const room = new RoomSearch(init.session)
    this.#recovery = recovery
    this.#room = room
    this.#drafts = new Speculation({ ...init, ask: ask => emit({ kind: 'draft', ...ask }) })
    this.#stepping = new Stepping(this.#ids, init.sampling.masked && (ask => emit({ kind: 'mask', ...ask })))
    this.#epochs = new Epochs({ session: init, drafts: this.#drafts, emit, send })
    this.#search = new RouteSearch({
      session: init,
      recovery,
      room,
      emit,
      send,
      begin: (route, exact, terms) => this.#begin(route, exact, terms),
      close: outcome => this.#close(outcome)
    })
    this.#delays = new Delays({
      waitMs,
      room,
      hears,
      tell,
      probe: (hop, needsRoom) => this.#probe(hop, needsRoom),
      lose: (loss, message) => this.#lose(loss, message),
      fail: message => this.#fail(message)
    })
    this.#detours = new Detours({
      self,
      emit,
      send,
      sign: change => this.#epochs.sign(change),
      without: hop => recovery.without(hop, this.#nowMs)
    })
    this.#changeover = new Changeover({
      self,
      epochs: this.#epochs,
      recovery,
      detours: this.#detours,
      tokens: () => this.#promptTold.known(this.#ids.length),
      hangUp: () => this.#hangUp(),
      begin: (route, exact) => this.#begin(route, exact, { room: 'refuse' })
    })
  }

  /** The last one; empty before the first. */
  get route(): readonly Hop[] {
    return this.#epochs.route
  }

  /** As it was told last. */
  get leaving(): Without {
    return this.#detours.leaving
  }

  handle(event: SessionEvent, nowMs: number): SessionEffect[] {
    this.#nowMs = nowMs
    this.#noticePause()
    const { promptIds, answered } = this.#init
    switch (event.kind) {
      case 'tokens':
        if (this.#isOpen(event.epoch)) this.#onTokens(event)
        break
      case 'scores':
        if (this.#isOpen(event.epoch)) this.#onScores(event)
        break
      case 'frame':
        if (event.epoch === this.#epoch?.number) this.#onFrame(event.frame)
        else if (event.epoch === this.#detours.fed) {
          this.#detours.onFrame(event.frame, this.#ids, nowMs)
          if (this.#phase === 'running') this.#changeover.takeIfLate(nowMs)
        }
        break
      case 'malformed':
        if (event.epoch === this.#epoch?.number) {
          if (this.#phase === 'running' || this.#phase === 'closing') this.#violated(0, 'malformed', event.message)
        } else if (event.epoch === this.#detours.fed)
          this.#detours.violated({ violation: 'malformed', message: event.message }, nowMs)
        break
      case 'start':
        this.#pauses.ticked(nowMs)
        this.#tell({ kind: 'prompt', ids: promptIds, answered, exact: this.#epochs.exact })
        this.#search.start(nowMs)
        break
      case 'routed':
        if (this.#phase === 'routing') this.#search.routed(event.route, event.exact ?? true, nowMs)
        break
      case 'unroutable':
        if (this.#phase === 'routing') this.#search.unroutable(event.error, nowMs)
        break
      case 'connected':
        if (this.#isOpen(event.epoch)) this.#stepping.connected(this.#epoch!, nowMs)
        else if (event.epoch === this.#detours.fed) this.#detours.connected(this.#ids)
        break
      case 'head-lost':
        this.#onHeadLost(event)
        break
      case 'tail-refused':
        if (this.#isOpen(event.refuse.epoch)) this.#onTailRefused(event.refuse)
        break
      case 'tail-lost':
        if (this.#isOpen(event.epoch)) this.#loseLink(this.#epoch!.tail, event.reason, 'its stream to this peer broke')
        break
      case 'leaving':
        this.#detours.leaving = event.those
        if (this.#phase === 'running') this.#changeover.consider(nowMs)
        break
      case 'detoured':
        if (this.#phase === 'running') this.#onDetoured(event)
        break
      case 'drafted':
      case 'draft-late':
      case 'undrafted':
        this.#step(this.#drafts.heard(event, this.#ids, nowMs))
        break
      case 'masked':
        this.#stepping.masked(this.#phase === 'running' ? this.#epoch : undefined, event, nowMs)
        break
      case 'cancel':
        if (this.#phase !== 'routing' && this.#phase !== 'running') break
        if (event.message === undefined) this.#close({ kind: 'cancelled' })
        else this.#fail(event.message)
        break
      case 'tick':
        this.#pauses.ticked(nowMs)
        this.#onTick()
        break
    }
    return this.#effects.splice(0)
  }

  /** The epoch of this number runs. */
  #isOpen(epoch: number): boolean {
    return epoch === this.#epoch?.number && this.#phase === 'running'
  }

  #tell(output: SessionOutput): void {
    this.#effects.push({ kind: 'output', output })
  }

  /** The one that is open, or was last. */
  get #epoch(): Epoch | undefined {
    return this.#epochs.current
  }

  #begin(route: readonly Hop[], exact: boolean, { room }: Pick<Terms, 'room'>): void {
    this.#phase = 'running'
    const told = { room, tokens: this.#promptTold.known(this.#ids.length), tries: this.#delays.tries }
    this.#epochs.begin(route, exact, told, this.#nowMs)
  }

  // ── Losses ──────────────────────────────────────────────────────────────────────────────────────

  #onHeadLost({ epoch, reason, message }: SessionEvent & { kind: 'head-lost' }): void {
    if (epoch === this.#detours.fed) this.#detours.failed(epoch, this.#nowMs)
    if (epoch !== this.#epoch?.number) return
    this.#epoch.isConnected = false
    if (this.#phase === 'running') this.#loseLink(0, reason, message)
    else if (this.#phase === 'closing') this.#finish()
  }

  #onTailRefused(refuse: RefuseFrame): void {
    const { tail } = this.#epoch!
    if (refuse.hop === tail) this.#onRefuse(refuse)
    else this.#violated(tail, 'invalid', `the tail refuses in the name of hop ${refuse.hop}`)
  }

  #onRefuse(refuse: RefuseFrame): void {
    const { route } = this
    const { hop, reason, message } = refuse
    if (hop >= route.length) this.#violated(0, 'invalid', `a refusal by hop ${hop} of ${route.length}`)
    else if (hop === 0 && reason === 'invalid') this.#fail(`the head refuses the step: ${message}`)
    else
      this.#lose(
        lossOf(refuse, route, peer => this.#hears(peer)),
        message
      )
  }

  /** This driver's own stream to an end of the route is gone. Who hears nobody any more blames nobody, nor does who is not heard (promise P5). */
  #loseLink(hop: number, reason: LossReason = 'closed', message: string): void {
    this.#lose(
      reason === 'alone' || reason === 'unheard' ? { kind: 'unknown' } : { kind: 'failed', hop, reason },
      message
    )
  }

  /** The epoch is over. What it lost is charged to whom it may concern, and another route is asked for. */
  #lose(loss: Loss, message: string): void {
    this.#detours.drop(this.#nowMs)
    this.#phase = 'routing'
    const epoch = this.#epoch!
    epoch.isConnected = false
    const hop = 'hop' in loss ? epoch.route[loss.hop] : undefined
    if (hop !== undefined) this.#epochs.cooled(hop)
    if (loss.kind === 'no-room') {
      // No fault of the hop's, and room may come. It is told of once, and not again each time that there still is none.
      this.#recovery.lost(epoch.route, loss, message, this.#nowMs, { isTold: this.#room.isFirstRound })
      this.#search.refused(hop!, epoch.number, this.#nowMs)
      return
    }
    this.#hangUp()
    this.#recovery.lost(epoch.route, loss, message, this.#nowMs)
    this.#search.again(this.#nowMs)
  }

  #hears(peer: PeerId): boolean {
    return peer === this.#init.self || this.#init.hears?.(peer) === true
  }

  #hangUp(): void {
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch!.number })
  }

  // ── Getting on ──────────────────────────────────────────────────────────────────────────────────

  /** What there is of ways around hops is known. */
  #onDetoured({ route, exact, stuck }: SessionEvent & { kind: 'detoured' }): void {
    if (stuck !== undefined)
      this.#delays.probed(this.#epoch!, this.#ids.length, { hop: stuck, isThere: route !== undefined }, this.#nowMs)
    else if (route !== undefined) this.#changeover.found(route, exact, this.#nowMs)
  }

  #onStanding(frame: StandingFrame): void {
    const { length } = this.route
    if (frame.hop < length) this.#changeover.standing(frame, this.#nowMs)
    else this.#violated(0, 'invalid', `hop ${frame.hop} of ${length} says how far it has come`)
  }

  /** Time in which this peer itself did not run is no fault of the route, nor is what others have closed meanwhile. */
  #noticePause(): void {
    const pause = this.#pauses.noticed(this.#nowMs)
    if (pause !== undefined) this.#epoch?.watch.paused(pause.pausedMs)
    if (pause?.isStandstill === true) this.#recovery.stoodStill(this.#nowMs)
  }

  /** Asks whether there is a way around a hop that keeps the answer waiting. */
  #probe(hop: number, needsRoom: boolean): void {
    const leftOut = this.#recovery.leftOut(this.#nowMs)
    const excluded = new Set([...leftOut, ...this.#detours.leaving, placeOf(this.route[hop]!)])
    this.#effects.push({ kind: 'detour', route: this.route, excluded, stuck: hop, needsRoom })
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  #send(frame: Frame, epoch: number): void {
    this.#effects.push({ kind: 'send', epoch, frame })
  }

  /** The next step goes out with these drafts; undefined where it waits for some. */
  #step(drafts: readonly number[] | undefined): void {
    if (drafts !== undefined && this.#phase === 'running') this.#stepping.step(this.#epoch!, drafts, this.#nowMs)
  }

  /** Tokens from `position` on: drafts that were right, and one more. */
  #onTokens({ position, ids, scores }: Came): void {
    const epoch = this.#epoch!
    const { watch, route, tail, replayedTokens } = epoch
    const isAwaited = position === this.#ids.length && this.#promptTold.isAll && areScored(ids, scores, this.#init)
    const verdict = isAwaited ? epoch.takes(position, ids, this.#init.vocab) : 'invalid'
    if (verdict === 'others' && route.length > 1) {
      // Any hop before the tail may have changed the ids that it passed on: nobody is known to lie, and none can once more.
      this.#drafts.stop()
      this.#lose({ kind: 'unknown' }, 'the tail has verified other drafts than were sent')
      return
    }
    if (verdict !== 'taken') {
      this.#violated(tail, 'invalid', `tokens ${ids} at ${position}, awaited at ${this.#ids.length}`)
      return
    }
    if (!watch.hasLapped) this.#epochs.warmed(route)
    this.#drafts.came(this.#ids, ids, { drafts: epoch.drafts, ms: watch.lapMs(this.#nowMs) })
    const round = watch.token(this.#nowMs)
    this.#delays.token()
    this.#search.token()
    const lostForMs = this.#recovery.token(this.#nowMs)
    if (lostForMs !== undefined)
      this.#tell({ kind: 'recovered', ms: lostForMs, replayedTokens, route, exact: this.#epochs.exact })
    const { generated, stop } = stopped(ids, this.#ids.length - this.#init.promptIds.length, this.#init.stop)
    this.#ids.push(...generated)
    // The next step leaves before the token is shown to anyone: nobody's reading slows the route down.
    const changes = this.#changeover.isReady
    if (stop === undefined && !changes) this.#step(this.#drafts.next(this.#ids, this.#nowMs))
    if (stop === undefined) this.#epochs.ask(round, this.#ids.length - 1, this.#nowMs)
    this.#detours.pump(this.#ids)
    for (const [i, id] of generated.entries()) {
      const last = i === generated.length - 1 ? stop : undefined
      this.#tell({ kind: 'token', id, position: position + i, stop: last, score: scores?.[i] })
    }
    if (stop === undefined && changes) this.#changeover.take(this.#nowMs)
    if (stop !== undefined) this.#close({ kind: 'stopped', stop })
  }

  #onScores({ position, scores }: PromptScores): void {
    if (this.#promptTold.takes({ position, scores })) this.#tell({ kind: 'scores', position, scores })
    else this.#violated(this.#epoch!.tail, 'invalid', `${scores.length} scores from ${position} on are not awaited`)
  }

  #onFrame(frame: Frame): void {
    if (this.#phase === 'closing' && frame.kind === 'closed') this.#finish(frame)
    if (this.#phase !== 'running') return
    if ('epoch' in frame && frame.epoch !== this.#epoch!.number) return
    switch (frame.kind) {
      case 'ack':
        this.#onAck(frame)
        break
      case 'refuse':
        this.#onRefuse(frame)
        break
      case 'standing':
        this.#onStanding(frame)
        break
      case 'committed':
        this.#epochs.committed(frame.commitment)
        break
      case 'prepared':
        this.#detours.prepared(frame, this.#nowMs)
        if (this.#changeover.isReady) this.#epochs.commit(this.#ids.length - 1, { goes: true })
        this.#changeover.takeIfLate(this.#nowMs)
        break
      default:
        this.#violated(0, 'unexpected', `${frame.kind} has no place on the way up`)
    }
  }

  #onAck(ack: AckFrame): void {
    if (this.#epoch!.acked(ack)) {
      this.#epoch!.watch.acked(this.#nowMs)
      this.#stepping.goOn(this.#epoch!, this.#nowMs)
    } else this.#violated(0, 'invalid', `an ack of ${ack.steps} steps, ${ack.tokens} tokens, length ${ack.length}`)
  }

  #violated(hop: number, violation: ViolationKind, message: string): void {
    this.#effects.push({ kind: 'violation', remote: this.route[hop]!.peer, violation, message })
    if (this.#phase === 'running') this.#lose({ kind: 'failed', hop, reason: violation }, message)
    else this.#finish()
  }

  // ── The end ─────────────────────────────────────────────────────────────────────────────────────

  #fail(message: string): void {
    this.#close({ kind: 'failed', message, error: undefined })
  }

  #close(outcome: SessionOutcome): void {
    const running = this.#phase === 'running' && this.#epoch!.isConnected
    this.#search.letGo({ frees: true })
    this.#detours.close(this.#nowMs)
    this.#phase = 'closing'
    this.#outcome = outcome
    this.#closingMs = this.#nowMs
    if (running) this.#epoch!.close(this.#init.commits === true ? commitTo(outcome, this.#ids.length) : 0)
    else this.#finish()
  }

  #finish({ hops, commitments }: Omit<ClosedFrame, 'kind'> = { hops: [] }): void {
    this.#recovery.settleCuts(this.#nowMs, { last: true })
    this.#phase = 'ended'
    if (this.#epoch !== undefined) this.#hangUp()
    const [exact, drafts] = [this.#epochs.exact, this.#drafts.stats]
    const committed = this.#epochs.allCommitted(this.#ids, commitments)
    this.#tell({ kind: 'end', outcome: this.#outcome!, route: this.route, exact, hops, drafts, committed })
  }

  #onTick(): void {
    const now = this.#nowMs
    this.#changeover.fade(now)
    if (this.#phase === 'running') this.#changeover.look(now)
    if (this.#phase === 'running' || this.#phase === 'routing') this.#recovery.settleCuts(now)
    if (this.#phase === 'routing') this.#search.look()
    this.#detours.look(now)
    if (this.#phase === 'routing') this.#search.retry(now)
    else if (this.#phase === 'running') this.#delays.look(this.#epoch!, this.#ids.length, now)
    else if (this.#phase === 'closing' && now - this.#closingMs >= stageCloseMs) this.#finish()
  }
}
