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
import type { LossReason } from '../errors.ts'
import { stageCloseMs } from '../stage/limits.ts'
import { type Hop, placeOf, type Without } from '../route/view.ts'
import type { ViolationKind } from '../stage/event.ts'
import type { AckFrame, Frame, HopStats, RefuseFrame, StandingFrame } from '../stage/frame.ts'
import { type SignedTerms, signTerms, type Terms } from '../stage/terms.ts'
import { Detours } from './detours.ts'
import { Epoch } from './epoch.ts'
import type { SessionEffect, SessionEvent, SessionOutcome, SessionOutput } from './event.ts'
import type { SessionInit } from './init.ts'
import {
  detourRetryMs,
  lineLookMs,
  recoveriesMax,
  roomWaitMs,
  routeRetryMs,
  routeWaitMs,
  standstillMs,
  stuckAnewFactor
} from './limits.ts'
import { type Loss, lossOf } from './loss.ts'
import type { Delay } from './patience.ts'
import { Recovery } from './recovery.ts'
import { RoomSearch } from './room.ts'
import { Watch } from './watch.ts'

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
  /** The one that is open, or was last. */
  #epoch: Epoch | undefined
  /** The highest number of an epoch of any stream, those of preparations included. */
  #lastEpoch = -1
  /** Every route so far had the numeric classes of the first. */
  #exact = true
  readonly #recovery: Recovery
  readonly #room: RoomSearch
  readonly #detours: Detours
  /** Hops that were left out since the last token because they got nothing done: perhaps all are slower than they said. */
  #stuckTries = 0
  /** When a way around a hop that is stuck was last looked for. */
  #probedMs = Number.NEGATIVE_INFINITY
  /** The refused epoch's stream to its head is still open: what the route holds is let go, or used by the next one. */
  #holding = false
  /** Nothing has been computed that is not quickly computed again. */
  #isNew = true
  /** Stages that hold a cache of this session, as far as this driver knows. */
  readonly #warm = new Set<string>()
  #retryMs: number | undefined
  #closingMs = 0
  #outcome: SessionOutcome | undefined
  #tickedMs: number | undefined
  #effects: SessionEffect[] = []
  #nowMs = 0
  #startMs = 0

  constructor(init: SessionInit) {
    this.#init = init
    this.#ids = [...init.promptIds, ...(init.answered ?? [])]
    this.#exact = init.exact ?? true
    assert(init.promptIds.length > 0 && this.#ids.length < init.tokensMax, 'a prompt leaves room for a token')
    const { self } = init
    this.#recovery = new Recovery({
      self,
      hears: peer => this.#hears(peer),
      tell: output => this.#tell(output)
    })
    this.#room = new RoomSearch(init.session)
    this.#detours = new Detours({
      self,
      emit: effect => this.#effects.push(effect),
      send: (frame, epoch) => this.#send(frame, epoch),
      sign: change => this.#sign(change),
      without: hop => this.#recovery.without(hop, this.#nowMs)
    })
  }

  /** The last one; empty before the first. */
  get route(): readonly Hop[] {
    return this.#epoch?.route ?? []
  }

  /** As it was told last. */
  get leaving(): Without {
    return this.#detours.leaving
  }

  handle(event: SessionEvent, nowMs: number): SessionEffect[] {
    this.#nowMs = nowMs
    this.#noticePause()
    switch (event.kind) {
      case 'tokens':
        if (this.#isOpen(event.epoch)) this.#onTokens(event.position, event.ids)
        break
      case 'frame':
        if (event.epoch === this.#epoch?.number) this.#onFrame(event.frame)
        else if (event.epoch === this.#detours.fed) {
          this.#detours.onFrame(event.frame, this.#ids, nowMs)
          this.#cutOverIfLate()
        }
        break
      case 'malformed':
        if (event.epoch === this.#epoch?.number) this.#onMalformed(event.message)
        else if (event.epoch === this.#detours.fed)
          this.#detours.violated({ violation: 'malformed', message: event.message }, nowMs)
        break
      case 'start':
        this.#startMs = nowMs
        this.#tickedMs = nowMs
        this.#start()
        break
      case 'routed':
        if (this.#phase === 'routing') this.#onRouted(event.route, event.exact ?? true)
        break
      case 'unroutable':
        if (this.#phase === 'routing') this.#onUnroutable(event.error)
        break
      case 'connected':
        if (this.#isOpen(event.epoch)) this.#onConnected()
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
        this.#considerDetour()
        break
      case 'detoured':
        if (event.stuck !== undefined) this.#onProbed(event.stuck, event.route !== undefined)
        else if (event.route !== undefined) this.#onDetoured(event.route, event.exact)
        break
      case 'cancel':
        if (this.#phase !== 'routing' && this.#phase !== 'running') break
        if (event.message === undefined) this.#close({ kind: 'cancelled' })
        else this.#fail(event.message)
        break
      case 'tick':
        this.#tickedMs = nowMs
        this.#onTick()
        break
    }
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** The epoch of this number runs. */
  #isOpen(epoch: number): boolean {
    return epoch === this.#epoch?.number && this.#phase === 'running'
  }

  #tell(output: SessionOutput): void {
    this.#effects.push({ kind: 'output', output })
  }

  #start(): void {
    const { promptIds, answered } = this.#init
    this.#tell({ kind: 'prompt', ids: promptIds, answered, exact: this.#exact })
    this.#askRoute()
  }

  // ── Routes ──────────────────────────────────────────────────────────────────────────────────────

  #askRoute(): void {
    this.#retryMs = undefined
    this.#effects.push({ kind: 'route', ...this.#recovery.avoidance(this.#room.full, this.#nowMs) })
  }

  #onRouted(route: readonly Hop[], exact: boolean): void {
    if (this.#recovery.turnsAt(route)) {
      this.#askRoute()
      return
    }
    const { self, keepsWaiting } = this.#init
    const isAble = route.every(({ peer }) => peer === self || keepsWaiting?.(peer) === true)
    if (!this.#room.isNowhere(route)) {
      this.#letGo()
      this.#begin(route, exact, { room: this.#room.terms({ isAble }) })
      return
    }
    const wasFirst = this.#room.isFirstRound
    if (this.#room.anew({ isAble })) {
      this.#letGo()
      this.#begin(route, exact, { room: 'wait' })
    } else this.#pauseForRoom()
    if (wasFirst && this.#phase !== 'ended')
      this.#tell({ kind: 'waiting', message: `no room yet: ${this.#recovery.lastLoss}` })
  }

  /** Begins an epoch. */
  #begin(route: readonly Hop[], exact: boolean, { room }: Pick<Terms, 'room'>): void {
    const isFirst = this.#epoch === undefined
    this.#phase = 'running'
    const number = this.#lastEpoch + 1
    this.#lastEpoch = number
    this.#exact &&= exact
    // The last token is computed again in any case: its sample may be what was lost.
    const keep = isFirst ? 0 : this.#ids.length - 1
    const { speedOf, stepBytes } = this.#init
    const speeds = route.map(hop => speedOf?.(hop))
    const epoch = new Epoch({
      route,
      terms: this.#sign({ epoch: number, route, keep, room }),
      watch: new Watch(route, { speeds, stepBytes, tries: this.#stuckTries }, this.#nowMs),
      send: frame => this.#send(frame, number),
      // The head says itself what it has; of the others only those that were on a route have anything.
      replayedTokens: route.slice(1).every(hop => this.#warm.has(placeOf(hop))) ? 0 : keep
    })
    this.#epoch = epoch
    if (isFirst) this.#tell({ kind: 'route', hops: route })
    // Before any hop hears of the epoch: its tail may be as quick as its head.
    this.#effects.push({ kind: 'admit', epoch: number, tail: route.at(-1)!.peer })
    this.#effects.push({ kind: 'connect', epoch: number, peer: route[0]!.peer })
  }

  /** What the hops of an epoch need to know, in this peer's name. */
  #sign(change: Pick<Terms, 'epoch' | 'route' | 'keep' | 'stretch' | 'room'>): SignedTerms {
    const { self: driver, session, model, tokensMax, sampling, sign } = this.#init
    return signTerms({ session, model, driver, tokensMax, sampling, room: 'refuse', ...change }, sign)
  }

  #onUnroutable(error: Error): void {
    const { lostMs, lastLoss } = this.#recovery
    const { waitMs = lostMs === undefined ? 0 : routeWaitMs } = this.#init
    if (this.#nowMs - (lostMs ?? this.#startMs) < waitMs) this.#retryMs = this.#nowMs + routeRetryMs
    else if (lostMs === undefined) this.#close({ kind: 'failed', message: error.message, error })
    else this.#fail(`no route was found within ${waitMs} ms of the loss of ${lastLoss}; ${error.message}`)
  }

  #onConnected(): void {
    this.#epoch!.connected(this.#ids, this.#nowMs)
  }

  /** There is no room anywhere: the session lets go of what it holds, and tries again later. */
  #pauseForRoom(): void {
    const { waitMs = roomWaitMs } = this.#init
    if (this.#room.forMs(this.#nowMs) >= waitMs) {
      this.#fail(`no room was found within ${waitMs} ms; the last refusal was by ${this.#recovery.lastLoss}`)
      return
    }
    this.#letGo({ frees: this.#isNew })
    this.#retryMs = this.#nowMs + this.#room.pauseMs()
  }

  /** A hop has no room yet, and keeps the session waiting in line. */
  #waitInLine(delay: Delay & { kind: 'line' }): void {
    const { hop, place, placeMs } = delay
    const { peer } = this.route[hop]!
    const where = `hop ${hop} (${peer}) has no room yet`
    const verdict = this.#room.inLine(delay, this.#init.waitMs, this.#nowMs)
    if (verdict === 'give-up') {
      const seconds = Math.round(this.#room.forMs(this.#nowMs) / 1000)
      this.#fail(`no room was found within ${seconds} s: ${where}, and ${place - 1} come first`)
    } else if (verdict === 'let-go') this.#lose({ kind: 'no-room', hop }, 'its line does not get on')
    else {
      this.#tellWaiting(`${where}: ${place - 1} come first, its turn may come in some ${Math.ceil(placeMs / 1000)} s`)
      this.#probe(hop, lineLookMs, { needsRoom: true })
    }
  }

  /** Ends the stream of a refused epoch. `frees`: and what the route has reserved. */
  #letGo({ frees = false } = {}): void {
    if (!this.#holding) return
    this.#holding = false
    const epoch = this.#epoch!.number
    if (frees) this.#send({ kind: 'close', epoch }, epoch)
    this.#effects.push({ kind: 'hang-up', epoch })
  }

  // ── Losses ──────────────────────────────────────────────────────────────────────────────────────

  #onHeadLost({ epoch, reason, message }: SessionEvent & { kind: 'head-lost' }): void {
    if (epoch === this.#detours.fed) this.#detours.failed(epoch, this.#nowMs)
    if (epoch !== this.#epoch?.number) return
    this.#epoch.isConnected = false
    if (this.#phase === 'running') this.#loseLink(0, reason, message)
    else if (this.#phase === 'closing') this.#finish([])
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
    if (hop !== undefined) this.#warm.delete(placeOf(hop))
    if (loss.kind === 'no-room') {
      this.#refusedRoom(hop!, loss, message)
      return
    }
    this.#hangUp()
    this.#recovery.lost(epoch.route, loss, message, this.#nowMs)
    this.#again()
  }

  /** No fault of the hop's, and room may come. Until the next route is known this one stays as it is. */
  #refusedRoom(hop: Hop, loss: Loss, message: string): void {
    // Once, and not again each time that there still is none.
    this.#recovery.lost(this.route, loss, message, this.#nowMs, { isTold: this.#room.isFirstRound })
    this.#room.refused(hop, this.#nowMs)
    this.#holding = true
    this.#askRoute()
  }

  #hears(peer: PeerId): boolean {
    return peer === this.#init.self || this.#init.hears?.(peer) === true
  }

  #hangUp(): void {
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch!.number })
  }

  #again(): void {
    const again = this.#recovery.again(this.#nowMs)
    if (again === 'at-once') this.#askRoute()
    else if (again === 'later') this.#retryMs = this.#nowMs + routeRetryMs
    else this.#fail(`${recoveriesMax} routes in a row gave no token; the last loss was ${this.#recovery.lastLoss}`)
  }

  // ── Detours ─────────────────────────────────────────────────────────────────────────────────────

  #considerDetour(): void {
    if (this.#phase !== 'running') return
    this.#detours.consider(this.#epoch!, this.#recovery.leftOut(this.#nowMs), this.#nowMs)
  }

  #onDetoured(route: readonly Hop[], exact: boolean): void {
    if (this.#phase !== 'running') return
    this.#lastEpoch = this.#detours.prepare(
      { route, exact },
      { epoch: this.#epoch!, last: this.#lastEpoch, keep: this.#ids.length - 1, nowMs: this.#nowMs }
    )
  }

  /** Between two tokens: the next step takes the new route, whose hops have all but the last few tokens. */
  #cutOver(): void {
    this.#hangUp()
    const { detour, slow } = this.#detours.take(this.#nowMs)
    this.#recovery.goneAround(detour.left, slow, this.#nowMs)
    for (const hop of detour.route) this.#warm.add(placeOf(hop))
    this.#begin(detour.route, detour.exact, { room: 'refuse' })
  }

  /** Where a slow hop keeps the token, the way around it is taken at once: the token is computed there again. */
  #cutOverIfLate(): void {
    if (this.#phase !== 'running' || this.#detours.ready === undefined) return
    if (this.#epoch!.watch.isLate(this.#nowMs) && this.#detours.isAroundSlow) this.#cutOver()
  }

  // ── Pace ────────────────────────────────────────────────────────────────────────────────────────

  #onStanding(frame: StandingFrame): void {
    const { route, watch } = this.#epoch!
    if (frame.hop >= route.length) {
      this.#violated(0, 'invalid', `hop ${frame.hop} of ${route.length} says how far it has come`)
      return
    }
    const slow = watch.standing(frame, this.#ids.length, this.#nowMs)
    if (slow === undefined) return
    const { peer } = route[slow]!
    // This peer's own stage is as slow as this peer is.
    if (peer === this.#init.self) watch.accept()
    else this.#detours.slowed(peer, this.#nowMs)
    this.#considerDetour()
  }

  /** Time in which this peer itself did not run is no fault of the route, nor is what others have closed meanwhile. */
  #noticePause(): void {
    if (this.#tickedMs === undefined) return
    const gapMs = this.#nowMs - this.#tickedMs
    const pausedMs = gapMs - 2 * routeRetryMs
    if (pausedMs <= 0) return
    this.#tickedMs = this.#nowMs
    this.#epoch?.watch.paused(pausedMs)
    if (gapMs >= standstillMs) this.#recovery.stoodStill(this.#nowMs)
  }

  #watchPace(): void {
    const faded = this.#detours.fade(this.#nowMs)
    // There was no way around it: what it needs is what this route needs.
    if (this.route.some(({ peer }) => faded.includes(peer))) this.#epoch!.watch.accept()
    if (this.#phase !== 'running') return
    this.#epoch!.ask(this.#epoch!.watch.question(this.#nowMs), this.#nowMs)
    if (this.#detours.hasSlow) this.#considerDetour()
    this.#cutOverIfLate()
  }

  /** Looks who keeps the answer waiting, and goes around a hop that does for too long. */
  #watchDelay(): void {
    if (!this.#epoch!.isConnected) return
    const delay = this.#delay
    if (delay === undefined) return
    const { hop, ms } = delay
    const { peer } = this.route[hop]!
    const seconds = Math.floor(ms / 1000)
    if (delay.kind === 'mute') {
      // Asked by this driver itself, and heard by it: nobody else can be why it does not answer.
      const isCharged = hop === 0 && this.#hears(peer)
      if (delay.isOver)
        this.#lose({ kind: 'waited', hop, reason: 'mute', isCharged }, `it did not answer for ${seconds} s`)
      else this.#tellWaiting(`hop ${hop} (${peer}) does not answer`)
      return
    }
    if (delay.kind === 'line') this.#waitInLine(delay)
    else this.#probe(hop, detourRetryMs)
  }

  /** Looks whether there is a way around a hop, not more often than this. `needsRoom`: one that has room for the session. */
  #probe(hop: number, everyMs: number, { needsRoom = false } = {}): void {
    if (this.#nowMs - this.#probedMs < everyMs) return
    this.#probedMs = this.#nowMs
    const excluded = new Set([
      ...this.#recovery.leftOut(this.#nowMs),
      ...this.#detours.leaving,
      placeOf(this.route[hop]!)
    ])
    this.#effects.push({ kind: 'detour', route: this.route, excluded, stuck: hop, needsRoom })
  }

  get #delay(): Delay | undefined {
    const { watch, sent } = this.#epoch!
    return watch.delay({ end: this.#ids.length, sent }, this.#nowMs)
  }

  /** Whether there is a way around a hop that is stuck is known: without one it may still get on. */
  #onProbed(hop: number, isThere: boolean): void {
    const delay = this.#phase === 'running' ? this.#delay : undefined
    if (delay?.kind === 'line' && delay.hop === hop && isThere) {
      this.#lose({ kind: 'no-room', hop }, 'there is another way now')
      return
    }
    if (delay?.kind !== 'stuck' || delay.hop !== hop) return
    const message = `it got nothing done for ${Math.floor(delay.ms / 1000)} s`
    if (isThere || delay.share >= stuckAnewFactor) {
      this.#stuckTries += 1
      this.#lose({ kind: 'waited', hop, reason: 'stuck', isCharged: delay.saysSo }, message)
    } else this.#tellWaiting(`hop ${hop} (${this.route[hop]!.peer}) gets nothing done, and there is no way around it`)
  }

  /** Says what the answer waits for, once. */
  #tellWaiting(message: string): void {
    const epoch = this.#epoch!
    if (epoch.toldOf === message) return
    epoch.toldOf = message
    this.#tell({ kind: 'waiting', message })
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  #send(frame: Frame, epoch: number): void {
    this.#effects.push({ kind: 'send', epoch, frame })
  }

  #onTokens(position: number, [id, ...rest]: readonly number[]): void {
    const epoch = this.#epoch!
    const { watch, route, sent, tail, replayedTokens } = epoch
    const isAwaited = position === this.#ids.length && sent === this.#ids.length && rest.length === 0
    if (!isAwaited || id === undefined || id >= this.#init.vocab) {
      this.#violated(tail, 'invalid', `token ${id} at ${position}, awaited at ${this.#ids.length}`)
      return
    }
    if (!watch.hasLapped) for (const hop of route) this.#warm.add(placeOf(hop))
    const round = watch.token(this.#nowMs)
    this.#stuckTries = 0
    this.#isNew = false
    this.#room.found()
    const lostForMs = this.#recovery.token(this.#nowMs)
    if (lostForMs !== undefined)
      this.#tell({ kind: 'recovered', ms: lostForMs, replayedTokens, route, exact: this.#exact })
    this.#ids.push(id)
    const stop = this.#init.stop(id, this.#ids.length - this.#init.promptIds.length)
    // The next step leaves before the token is shown to anyone: nobody's reading slows the route down.
    const changes = this.#detours.ready !== undefined
    if (stop === undefined && !changes) epoch.pump(this.#ids, this.#nowMs)
    if (stop === undefined) epoch.ask(round, this.#nowMs)
    this.#detours.pump(this.#ids)
    this.#tell({ kind: 'token', id, position, stop })
    if (stop === undefined && changes) this.#cutOver()
    if (stop !== undefined) this.#close({ kind: 'stopped', stop })
  }

  #onFrame(frame: Frame): void {
    if (this.#phase === 'closing') {
      if (frame.kind === 'closed') this.#finish(frame.hops)
      return
    }
    if (this.#phase !== 'running') return
    if (frame.kind !== 'ack' && frame.kind !== 'refuse' && frame.kind !== 'standing' && frame.kind !== 'prepared') {
      this.#violated(0, 'unexpected', `${frame.kind} has no place on the way up`)
      return
    }
    if (frame.epoch !== this.#epoch!.number) return
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
      case 'prepared':
        this.#detours.prepared(frame, this.#nowMs)
        this.#cutOverIfLate()
        break
    }
  }

  #onMalformed(message: string): void {
    if (this.#phase === 'running' || this.#phase === 'closing') this.#violated(0, 'malformed', message)
  }

  #onAck(ack: AckFrame): void {
    const epoch = this.#epoch!
    if (!epoch.acked(ack)) {
      this.#violated(0, 'invalid', `an ack of ${ack.steps} steps, ${ack.tokens} tokens, length ${ack.length}`)
      return
    }
    epoch.watch.acked(this.#nowMs)
    epoch.pump(this.#ids, this.#nowMs)
  }

  #violated(hop: number, violation: ViolationKind, message: string): void {
    this.#effects.push({ kind: 'violation', remote: this.route[hop]!.peer, violation, message })
    if (this.#phase === 'running') this.#lose({ kind: 'failed', hop, reason: violation }, message)
    else this.#finish([])
  }

  // ── The end ─────────────────────────────────────────────────────────────────────────────────────

  #fail(message: string): void {
    this.#close({ kind: 'failed', message, error: undefined })
  }

  #close(outcome: SessionOutcome): void {
    const running = this.#phase === 'running' && this.#epoch!.isConnected
    this.#letGo({ frees: true })
    this.#detours.close(this.#nowMs)
    this.#phase = 'closing'
    this.#outcome = outcome
    this.#closingMs = this.#nowMs
    const epoch = this.#epoch?.number
    if (running) this.#send({ kind: 'close', epoch: epoch! }, epoch!)
    else this.#finish([])
  }

  #finish(hops: readonly HopStats[]): void {
    this.#recovery.settleCuts(this.#nowMs, { last: true })
    this.#phase = 'ended'
    if (this.#epoch !== undefined) this.#hangUp()
    this.#tell({ kind: 'end', outcome: this.#outcome!, route: this.route, exact: this.#exact, hops })
  }

  #onTick(): void {
    const now = this.#nowMs
    this.#watchPace()
    if (this.#phase === 'running' || this.#phase === 'routing') this.#recovery.settleCuts(now)
    // No answer has come at once: somebody else may use what is held.
    if (this.#holding && this.#phase === 'routing') this.#letGo({ frees: this.#isNew })
    this.#detours.look(now)
    if (this.#phase === 'routing' && this.#retryMs !== undefined && now >= this.#retryMs) this.#askRoute()
    else if (this.#phase === 'running') this.#watchDelay()
    else if (this.#phase === 'closing' && now - this.#closingMs >= stageCloseMs) this.#finish([])
  }
}
