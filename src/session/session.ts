/**
 * One sequence being generated, as a pure decider: which tokens to send where, what to do when a hop is lost, and
 * when to stop. It owns the tokens: whatever is lost on the route, they are enough to go on (promise P4).
 *
 * Only the session retries (promise P6): a loss or a refusal ends the epoch; a new route is asked for without the
 * peer that failed, and a new epoch begins on it. Hops that still hold a cache keep it; what one of them lacks is
 * replayed by the hop before it, and by the session to the head.
 */
import { assert } from '../base/assert.ts'
import type { ModelId, PeerId, SessionId } from '../base/ids.ts'
import { randomAt } from '../base/rng.ts'
import type { Sign } from '../base/signature.ts'
import type { Sampling } from '../engine/engine.ts'
import { type LossReason, ProtocolError } from '../errors.ts'
import { attentionBlock } from '../model/limits.ts'
import {
  askAfterMs,
  askAliveMs,
  askEveryMs,
  cutSettleMs,
  cutTurnsMax,
  detourMs,
  detourRetryMs,
  excludeMs,
  muteExcludeMs,
  recoveriesAtOnce,
  recoveriesMax,
  roomRetryMaxMs,
  roomRetryMs,
  roomWaitMs,
  routeRetryMs,
  routeWaitMs,
  standstillGraceMs,
  standstillMs,
  stuckAnewFactor
} from './limits.ts'
import { stageCloseMs } from '../stage/limits.ts'
import type { Hop } from '../route/view.ts'
import { decodeFrame, encodeFrame } from '../stage/codec.ts'
import { SendCredit } from '../stage/credit.ts'
import type { ViolationKind } from '../stage/event.ts'
import { Feed } from '../stage/feed.ts'
import {
  type AckFrame,
  type Frame,
  framedBytes,
  type HopStats,
  type PreparedFrame,
  type RefuseFrame,
  type StandingFrame
} from '../stage/frame.ts'
import { type SignedTerms, signTerms, type Terms } from '../stage/terms.ts'
import { Detour, type Stretch } from './detour.ts'
import type { SessionEffect, SessionEvent, SessionOutcome, Stop } from './event.ts'
import { LeftOut } from './left-out.ts'
import { Pace } from './pace.ts'
import { type Delay, Patience, type Speed } from './patience.ts'

export interface SessionInit {
  readonly self: PeerId
  /** Signs as this peer. */
  readonly sign: Sign
  readonly session: SessionId
  readonly model: ModelId
  readonly vocab: number
  /** One id or more. */
  readonly promptIds: readonly number[]
  /** Tokens of the answer that are there already, when a session is resumed. @default none */
  readonly answered?: readonly number[] | undefined
  /** False when some of these may differ from the undisturbed answer. @default true */
  readonly exact?: boolean | undefined
  /** Cache that every hop reserves: the prompt and the longest answer. */
  readonly tokensMax: number
  readonly sampling: Sampling
  /**
   * Time to wait for a route, from the start or from a loss, in ms.
   * @default 30 s after a loss; none beyond what the question for a route takes before the first route
   */
  readonly waitMs?: number | undefined
  /** Whether this peer hears another one at this moment: it is connected, and answers. @default nobody can tell */
  readonly hears?: ((peer: PeerId) => boolean) | undefined
  /** How fast a hop has announced to be. @default nobody knows */
  readonly speedOf?: ((hop: Hop) => Speed | undefined) | undefined
  /** Bytes of one token's hidden state between two hops. @default a 4,096 wide model's */
  readonly stepBytes?: number | undefined
  /** Whether the answer ends with this token, the `generated`-th one. It must end before `tokensMax` is passed. */
  readonly stop: (id: number, generated: number) => Stop | undefined
}

/** Two neighbours of a route that did not hear each other. */
interface Cut {
  readonly from: PeerId
  readonly to: PeerId
  /** Which of the two new routes shall do without, where they can. */
  avoided: PeerId
  readonly untilMs: number
  /** It may still turn out that `to` was lost: at which hop, how, and until when. */
  pending: { readonly hop: number; readonly reason: string; readonly untilMs: number } | undefined
}

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
  #epoch = -1
  /** The highest epoch of any stream, those of preparations included. */
  #lastEpoch = -1
  /** Every route so far had the numeric classes of the first. */
  #exact = true
  #route: readonly Hop[] = []
  /** Of the epoch, as they are given out to its hops. */
  #terms: SignedTerms | undefined
  #connected = false
  /** Valid tokens that hops may hold from older epochs. */
  #keep = 0
  /** First position that has not been sent in this epoch; undefined until the head's length is known. */
  #cursor: number | undefined
  #credit = new SendCredit()
  /** When something last came back from the route, and who keeps it from coming. */
  #progressMs = 0
  /** When the epoch began, or its last token came. */
  #tokenMs = 0
  #patience = new Patience([], {}, 0)
  /** Who was last said to keep the answer waiting, in this epoch. */
  #toldOf: string | undefined
  /** Hops that were left out since the last token because they got nothing done: perhaps all are slower than they said. */
  #stuckTries = 0
  /** When a way around a hop that is stuck was last looked for. */
  #probedMs = Number.NEGATIVE_INFINITY
  /** Peers behind whom a hop was left out since the last token because nothing of it was heard. */
  readonly #behind = new Set<PeerId>()
  /** Until then what others have closed may be due to a time in which this peer itself did not run. */
  #excusedUntilMs = Number.NEGATIVE_INFINITY
  /** Peers that failed this session, or are done without for another reason. */
  readonly #leftOut = new LeftOut()
  /** Pairs of neighbours that do not hear each other, as far as the first says; which of them is avoided, and until when. */
  readonly #cuts: Cut[] = []
  /** Times that another end of a cut was tried since the last loss. */
  #turns = 0
  /** Peers that had no room for this session since it last began to look for some. */
  readonly #full = new Set<PeerId>()
  /** Times that it found none anywhere since the last token, and when it began to look. */
  #roomRounds = 0
  #roomMs: number | undefined
  /** The refused epoch's stream to its head is still open: what the route holds is let go, or used by the next one. */
  #holding = false
  /** When the loss happened that the session recovers from now. */
  #lostMs: number | undefined
  /** Who was lost last and how, for the message when nothing helps. */
  #lastLoss = ''
  #recoveries = 0
  #replayedTokens = 0
  /** Nothing has been computed that is not quickly computed again. */
  #isNew = true
  /** Stages that hold a cache of this session, as far as this driver knows. */
  readonly #warm = new Set<string>()
  #retryMs: number | undefined
  #closingMs = 0
  #outcome: SessionOutcome | undefined
  #bytesSent = 0
  /** A way around peers that are leaving, in preparation. */
  #detour: Detour | undefined
  /** What this driver feeds to the head of that way; undefined when the head stays. */
  #feed: Feed | undefined
  #feedConnected = false
  #leaving: ReadonlySet<PeerId> = new Set()
  /** Peers on the route that are slow → until when a way around them is looked for. */
  readonly #slow = new Map<PeerId, number>()
  #pace = new Pace(0)
  /** When the last step of what is known was sent. */
  #stepMs = 0
  /** The awaited token is one of those that show what the route needs. */
  #isLap = false
  /** A token of this epoch has come. */
  #hasLapped = false
  /** This peer ran all the time since that step was sent. */
  #isFair = true
  #askedMs = Number.NEGATIVE_INFINITY
  #tickedMs: number | undefined
  /** Not before then is another way looked for. */
  #detourAtMs = 0
  #effects: SessionEffect[] = []
  #nowMs = 0
  #startMs = 0

  constructor(init: SessionInit) {
    this.#init = init
    this.#ids = [...init.promptIds, ...(init.answered ?? [])]
    this.#exact = init.exact ?? true
    assert(init.promptIds.length > 0 && this.#ids.length < init.tokensMax, 'a prompt leaves room for a token')
  }

  /** The last one; empty before the first. */
  get route(): readonly Hop[] {
    return this.#route
  }

  /** As it was told last. */
  get leaving(): ReadonlySet<PeerId> {
    return this.#leaving
  }

  handle(event: SessionEvent, nowMs: number): SessionEffect[] {
    this.#nowMs = nowMs
    this.#noticePause()
    switch (event.kind) {
      case 'token':
        if (event.epoch === this.#epoch && this.#phase === 'running') this.#onToken(event.position, event.id)
        break
      case 'frame':
        if (event.epoch === this.#epoch) this.#onFrame(event.bytes)
        else if (event.epoch === this.#feed?.terms.epoch) this.#onFeedFrame(event.bytes)
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
        if (event.epoch === this.#epoch && this.#phase === 'running') this.#onConnected()
        else if (event.epoch === this.#feed?.terms.epoch) this.#onFeedConnected()
        break
      case 'head-lost':
        if (event.epoch === this.#feed?.terms.epoch) this.#detourFailed(event.epoch)
        if (event.epoch !== this.#epoch) break
        this.#connected = false
        if (this.#phase === 'running') this.#loseLink(0, event.reason, event.message)
        else if (this.#phase === 'closing') this.#finish([])
        break
      case 'tail-refused': {
        const { refuse } = event
        if (refuse.epoch !== this.#epoch || this.#phase !== 'running') break
        const tail = this.#route.length - 1
        if (refuse.hop === tail) this.#onRefuse(refuse)
        else this.#violated(tail, 'invalid', `the tail refuses in the name of hop ${refuse.hop}`)
        break
      }
      case 'tail-lost':
        if (event.epoch === this.#epoch && this.#phase === 'running')
          this.#loseLink(this.#route.length - 1, event.reason, 'its stream to this peer broke')
        break
      case 'leaving':
        this.#leaving = event.peers
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

  #start(): void {
    const { promptIds, answered } = this.#init
    this.#effects.push({ kind: 'output', output: { kind: 'prompt', ids: promptIds, answered, exact: this.#exact } })
    this.#askRoute()
  }

  // ── Routes ──────────────────────────────────────────────────────────────────────────────────────

  #askRoute(): void {
    this.#retryMs = undefined
    const nowMs = this.#nowMs
    const excluded = this.#leftOut.all(nowMs)
    for (const cut of [...this.#cuts]) if (cut.untilMs <= nowMs) this.#cuts.splice(this.#cuts.indexOf(cut), 1)
    // Nothing is known to be wrong with these: where there is no way around them, they are asked.
    const avoided = new Set([...this.#full, ...this.#cuts.map(cut => cut.avoided)]).difference(excluded)
    this.#effects.push({
      kind: 'route',
      excluded: excluded.union(avoided),
      doubtful: this.#leftOut.doubtful(nowMs).union(avoided)
    })
  }

  #onRouted(route: readonly Hop[], exact: boolean): void {
    if (this.#turnsFromCut(route) || this.#waitsForRoom(route)) return
    this.#letGo()
    this.#begin(route, exact)
  }

  /** Begins an epoch. */
  #begin(route: readonly Hop[], exact: boolean): void {
    this.#phase = 'running'
    const isFirst = this.#epoch < 0
    this.#lastEpoch += 1
    this.#epoch = this.#lastEpoch
    this.#route = route
    this.#exact &&= exact
    this.#connected = false
    // The last token is computed again in any case: its sample may be what was lost.
    this.#keep = isFirst ? 0 : this.#ids.length - 1
    this.#cursor = this.#keep === 0 ? 0 : undefined
    // The head says itself what it has; of the others only those that were on a route have anything.
    this.#replayedTokens = route.slice(1).every(hop => this.#warm.has(seatOf(hop))) ? 0 : this.#keep
    this.#credit = new SendCredit()
    this.#progressMs = this.#nowMs
    this.#tokenMs = this.#nowMs
    this.#pace = new Pace(route.length)
    const { speedOf, stepBytes } = this.#init
    const speeds = route.map(hop => speedOf?.(hop))
    this.#patience = new Patience(route, { speeds, stepBytes, tries: this.#stuckTries }, this.#nowMs)
    this.#toldOf = undefined
    this.#isLap = false
    this.#hasLapped = false
    if (isFirst) this.#effects.push({ kind: 'output', output: { kind: 'route', hops: route } })
    this.#terms = this.#sign({ epoch: this.#epoch, route, keep: this.#keep })
    // Before any hop hears of the epoch: its tail may be as quick as its head.
    this.#effects.push({ kind: 'admit', epoch: this.#epoch, tail: route.at(-1)!.peer })
    this.#effects.push({ kind: 'connect', epoch: this.#epoch, peer: route[0]!.peer })
  }

  /** What the hops of an epoch need to know, in this peer's name. */
  #sign(change: Pick<Terms, 'epoch' | 'route' | 'keep' | 'stretch'>): SignedTerms {
    const { self: driver, session, model, tokensMax, sampling, sign } = this.#init
    return signTerms({ session, model, driver, tokensMax, sampling, ...change }, sign)
  }

  #onUnroutable(error: Error): void {
    const { waitMs = this.#lostMs === undefined ? 0 : routeWaitMs } = this.#init
    if (this.#nowMs - (this.#lostMs ?? this.#startMs) < waitMs) this.#retryMs = this.#nowMs + routeRetryMs
    else if (this.#lostMs === undefined) this.#close({ kind: 'failed', message: error.message, error })
    else this.#fail(`no route was found within ${waitMs} ms of the loss of ${this.#lastLoss}; ${error.message}`)
  }

  #onConnected(): void {
    this.#connected = true
    this.#send({ kind: 'open', hop: 0, terms: this.#terms! })
    this.#pump()
  }

  /**
   * The route leads through two neighbours that do not hear each other: where there was no way around the one, there may be
   * one around the other. True when that is asked for.
   */
  #turnsFromCut(route: readonly Hop[]): boolean {
    const cut = this.#cuts.find(({ from, to }) =>
      route.some((hop, i) => hop.peer === from && route[i + 1]?.peer === to)
    )
    if (cut === undefined || this.#turns >= cutTurnsMax) return false
    this.#turns += 1
    cut.avoided = cut.avoided === cut.to ? cut.from : cut.to
    this.#askRoute()
    return true
  }

  /**
   * There is no way around a peer that has no room. Sessions that each hold a part of what the others need would wait
   * for one another: this one lets go of what it holds and tries again later, each at another time. True when it does.
   */
  #waitsForRoom(route: readonly Hop[]): boolean {
    if (!route.some(({ peer }) => this.#full.has(peer))) return false
    this.#full.clear()
    const waitedMs = this.#nowMs - this.#roomMs!
    const { waitMs = roomWaitMs } = this.#init
    if (waitedMs >= waitMs) {
      this.#fail(`no room was found within ${waitMs} ms; the last refusal was by ${this.#lastLoss}`)
      return true
    }
    this.#letGo({ frees: this.#isNew })
    if (this.#roomRounds === 0)
      this.#effects.push({ kind: 'output', output: { kind: 'waiting', message: `no room yet: ${this.#lastLoss}` } })
    const longestMs = Math.min(roomRetryMs * 2 ** this.#roomRounds, roomRetryMaxMs)
    const share = randomAt(Number.parseInt(this.#init.session.slice(0, 8), 16), this.#roomRounds)
    this.#roomRounds += 1
    this.#retryMs = this.#nowMs + longestMs * (0.5 + share / 2)
    return true
  }

  /** Ends the stream of a refused epoch. `frees`: and what the route has reserved. */
  #letGo({ frees = false } = {}): void {
    if (!this.#holding) return
    this.#holding = false
    if (frees) this.#send({ kind: 'close', epoch: this.#epoch })
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch })
  }

  /** This driver's own stream to an end of the route is gone. Who hears nobody any more blames nobody (promise P5). */
  #loseLink(hop: number, reason: LossReason = 'closed', message: string): void {
    if (reason === 'alone') this.#lose(undefined, reason, message)
    else this.#lose(hop, reason, message)
  }

  /**
   * A hop cannot go on, or nobody knows which one (`hop` undefined). The peer that failed is charged, nobody else
   * (promise P5), and the session asks for a route without it.
   */
  #lose(hop: number | undefined, reason: string, message: string): void {
    this.#leave(hop, message)
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch })
    if (hop !== undefined) this.#charge(this.#route[hop]!.peer, hop, reason)
    this.#again()
  }

  /**
   * A hop keeps the answer waiting, and the session goes around it. Where the hop before it may be why nothing is heard of
   * it, nobody is charged, and when that happens a second time behind the same peer, that one is left out, too.
   */
  #leaveOut(hop: number, reason: 'mute' | 'stuck', isCharged: boolean, message: string): void {
    this.#leave(hop, message)
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch })
    // Others may be found to say nothing after it: it must not come back before the last of them is known.
    const without = { forMs: muteExcludeMs }
    const [before, peer] = [this.#route[hop - 1]?.peer, this.#route[hop]!.peer]
    this.#leftOut.add(peer, this.#nowMs, without)
    this.#tellLost(peer, hop, reason, isCharged)
    if (!isCharged && before !== undefined && before !== this.#init.self) {
      if (this.#behind.has(before)) {
        this.#leftOut.add(before, this.#nowMs, without)
        this.#tellLost(before, hop - 1, reason, false)
      }
      this.#behind.add(before)
    }
    this.#again()
  }

  /** A hop has no room: no fault of its, and room may come. Until the next route is known this one stays as it is. */
  #refusedRoom(hop: number, message: string): void {
    this.#leave(hop, message)
    const { peer } = this.#route[hop]!
    this.#full.add(peer)
    this.#roomMs ??= this.#nowMs
    this.#holding = true
    // Once, and not again each time that there still is none.
    if (this.#roomRounds === 0) this.#tellLost(peer, hop, 'no-room', false)
    this.#askRoute()
  }

  /**
   * Hop `hop` does not hear the next one, but this driver does: they are no neighbours for now, and nobody is charged. If it
   * was the next one after all, that is known in a moment.
   */
  #cut(hop: number, reason: string, message: string): void {
    this.#leave(hop + 1, message)
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch })
    const [from, to] = [this.#route[hop]!.peer, this.#route[hop + 1]!.peer]
    const known = this.#cuts.findIndex(cut => cut.from === from && cut.to === to)
    if (known >= 0) this.#cuts.splice(known, 1)
    const nowMs = this.#nowMs
    const pending = { hop: hop + 1, reason, untilMs: nowMs + cutSettleMs }
    this.#cuts.push({ from, to, avoided: to, untilMs: nowMs + excludeMs, pending })
    this.#again()
  }

  /** Charges who turned out to be lost after all; says of the others, after a while, that only the link was. */
  #settleCuts({ last = false } = {}): void {
    for (const cut of [...this.#cuts]) {
      const { pending, from, to } = cut
      if (pending === undefined) continue
      if (!this.#hears(to)) {
        this.#cuts.splice(this.#cuts.indexOf(cut), 1)
        this.#charge(to, pending.hop, pending.reason)
      } else if (last || this.#nowMs >= pending.untilMs) {
        cut.pending = undefined
        this.#effects.push({ kind: 'output', output: { kind: 'cut', peer: from, next: to } })
      }
    }
  }

  #hears(peer: PeerId): boolean {
    return peer === this.#init.self || this.#init.hears?.(peer) === true
  }

  /** Leaves a peer out that failed, or that goes, or that others have parted from this driver while it did not run. */
  #charge(peer: PeerId, hop: number, reason: string): void {
    const isExcused = this.#nowMs < this.#excusedUntilMs && excusable.has(reason)
    // Nothing is known to be wrong with who is excused: where there is no way around it, it is asked at once.
    this.#leftOut.add(peer, this.#nowMs, isExcused ? { graceMs: 0 } : {})
    this.#tellLost(peer, hop, reason, reason !== 'left' && !isExcused)
  }

  #tellLost(peer: PeerId, hop: number, reason: string, charged: boolean): void {
    this.#effects.push({ kind: 'output', output: { kind: 'lost', peer, hop, reason, charged } })
  }

  /** The epoch has ended at this hop, or nobody knows where. */
  #leave(hop: number | undefined, message: string): void {
    this.#dropDetour()
    this.#lostMs ??= this.#nowMs
    this.#lastLoss = hop === undefined ? message : `hop ${hop} (${this.#route[hop]!.peer}): ${message}`
    if (hop !== undefined) this.#warm.delete(seatOf(this.#route[hop]!))
    this.#phase = 'routing'
    this.#connected = false
    this.#turns = 0
  }

  #again(): void {
    // What a time without running has left behind is over in a moment: it does not use up the tries.
    if (this.#nowMs >= this.#excusedUntilMs || this.#recoveries <= recoveriesAtOnce) this.#recoveries += 1
    if (this.#recoveries > recoveriesMax) {
      this.#fail(`${recoveriesMax} routes in a row gave no token; the last loss was ${this.#lastLoss}`)
      return
    }
    // The first losses cost no time. After more of them the same route would be tried in a tight circle.
    if (this.#recoveries <= recoveriesAtOnce) this.#askRoute()
    else this.#retryMs = this.#nowMs + routeRetryMs
  }

  // ── Detours ─────────────────────────────────────────────────────────────────────────────────────

  /** Looks for a way around peers on the route that are about to go or slow, one at a time. */
  #considerDetour(): void {
    if (this.#phase !== 'running' || !this.#connected || this.#cursor === undefined) return
    if (this.#detour !== undefined || this.#nowMs < this.#detourAtMs) return
    // Where the driver goes itself, a way around its own stage gains nothing.
    if (!this.#route.some(({ peer }) => peer !== this.#init.self && this.#isUnwanted(peer))) return
    const excluded = new Set([...this.#leftOut.all(this.#nowMs), ...this.#slow.keys(), ...this.#leaving])
    this.#effects.push({ kind: 'detour', route: this.#route, excluded })
  }

  #isUnwanted(peer: PeerId): boolean {
    return this.#leaving.has(peer) || this.#slow.has(peer)
  }

  /** Has every hop of the new route that lacks the session's cache rebuild it while this epoch goes on. */
  #onDetoured(route: readonly Hop[], exact: boolean): void {
    if (this.#phase !== 'running' || !this.#connected || this.#detour !== undefined) return
    const detour = new Detour({
      route,
      old: this.#route,
      leaving: new Set([...this.#leaving, ...this.#slow.keys()]),
      exact,
      epoch: this.#lastEpoch,
      nowMs: this.#nowMs
    })
    if (detour.left.length === 0) return
    this.#detour = detour
    this.#lastEpoch += detour.stretches.length
    const epoch = this.#epoch
    const keep = this.#ids.length - 1
    for (const stretch of detour.stretches) {
      const hop = detour.feederOf(stretch)
      const { from, to, next } = stretch
      const terms = this.#sign({ epoch: next, route, keep, stretch: { from, to } })
      if (hop !== undefined) {
        this.#send({ kind: 'prepare', epoch, hop, terms })
        continue
      }
      this.#feed = new Feed(terms)
      this.#feedConnected = false
      this.#effects.push({ kind: 'connect', epoch: next, peer: route[0]!.peer })
    }
  }

  #onFeedConnected(): void {
    const { terms } = this.#feed!
    this.#feedConnected = true
    this.#send({ kind: 'open', hop: 0, terms }, terms.epoch)
    this.#pumpFeed()
  }

  /** Sends the new head what the old one has had. */
  #pumpFeed(): void {
    const feed = this.#feed
    if (feed === undefined || !this.#feedConnected) return
    const { epoch } = feed.terms
    const end = this.#ids.length - 1
    for (let step = feed.next(end); step !== undefined; step = feed.next(end)) {
      const { position, tokens } = step
      const ids = Int32Array.from(this.#ids.slice(position, position + tokens))
      this.#send({ kind: 'step', epoch, position, tokens, sample: false, input: { kind: 'ids', ids } }, epoch)
    }
  }

  #onFeedFrame(bytes: Uint8Array): void {
    const feed = this.#feed!
    const { epoch: next } = feed.terms
    let fault: { readonly violation: ViolationKind; readonly message: string } | undefined
    try {
      const frame = decodeFrame(bytes)
      if (frame === undefined) return
      if (frame.kind === 'refuse') this.#detourFailed(next)
      else if (frame.kind !== 'ack') {
        fault = { violation: 'unexpected', message: `${frame.kind} has no place on the way up` }
      } else if (frame.epoch !== next || !feed.acked(frame)) {
        fault = { violation: 'invalid', message: `an ack of ${frame.steps} steps and ${frame.tokens} tokens` }
      } else {
        this.#pumpFeed()
        if (feed.takePrepared(this.#ids.length - 1)) {
          this.#detour?.caughtUp(this.#detour.stretchOf(next)!)
          this.#cutOverIfLate()
        }
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      fault = { violation: 'malformed', message: error.message }
    }
    if (fault === undefined) return
    this.#effects.push({ kind: 'violation', remote: feed.terms.route[0]!.peer, ...fault })
    this.#detourFailed(next)
  }

  /** A stretch cannot be prepared: another way is looked for, after a moment, without its first hop. */
  #detourFailed(next: number): void {
    const stretch: Stretch | undefined = this.#detour?.stretchOf(next)
    if (stretch === undefined) return
    this.#leftOut.add(this.#detour!.route[stretch.from]!.peer, this.#nowMs)
    this.#dropDetour()
  }

  /** What was prepared stays where it is for a while: the next route may use it. */
  #dropDetour(): void {
    if (this.#detour === undefined) return
    if (this.#feed !== undefined) this.#effects.push({ kind: 'hang-up', epoch: this.#feed.terms.epoch })
    this.#detour = undefined
    this.#feed = undefined
    this.#detourAtMs = this.#nowMs + detourRetryMs
  }

  /** Between two tokens: the next step takes the new route, whose hops have all but the last few tokens. */
  #cutOver(detour: Detour): void {
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch })
    this.#lostMs = this.#nowMs
    this.#lastLoss = detour.left.map(({ peer, hop }) => `hop ${hop} (${peer}), which left or is slow`).join(' and ')
    for (const { peer, hop } of detour.left) {
      // The mark of a slow peer may have faded while the way around it was prepared.
      const isSlow = !this.#leaving.has(peer)
      this.#slow.delete(peer)
      if (isSlow) this.#leftOut.add(peer, this.#nowMs)
      this.#tellLost(peer, hop, isSlow ? 'slow' : 'left', isSlow)
    }
    this.#dropDetour()
    for (const hop of detour.route) this.#warm.add(seatOf(hop))
    this.#begin(detour.route, detour.exact)
  }

  /** Where a slow hop keeps the token, the way around it is taken at once: the token is computed there again. */
  #cutOverIfLate(): void {
    const detour = this.#detour
    if (detour?.isReady !== true || !this.#isLate) return
    if (detour.left.some(({ peer }) => this.#slow.has(peer))) this.#cutOver(detour)
  }

  // ── Pace ────────────────────────────────────────────────────────────────────────────────────────

  /** The route has needed less for every token so far than it has needed for this one already. */
  get #isLate(): boolean {
    const { deadlineMs } = this.#pace
    return this.#isLap && deadlineMs !== undefined && this.#nowMs - this.#stepMs >= deadlineMs
  }

  #ask(round: number | undefined): void {
    if (round === undefined || !this.#connected) return
    this.#askedMs = this.#nowMs
    this.#patience.asked(this.#nowMs)
    this.#send({ kind: 'ask', epoch: this.#epoch, round })
  }

  #onStanding(frame: StandingFrame): void {
    if (frame.epoch !== this.#epoch) return
    if (frame.hop >= this.#route.length) {
      this.#violated(0, 'invalid', `hop ${frame.hop} of ${this.#route.length} says how far it has come`)
      return
    }
    this.#patience.standing(frame, this.#nowMs)
    const awaited = this.#isLate ? { end: this.#ids.length, ms: this.#nowMs - this.#stepMs } : undefined
    const slow = this.#pace.standing(frame, awaited)
    if (slow === undefined) return
    const { peer } = this.#route[slow]!
    // This peer's own stage is as slow as this peer is.
    if (peer === this.#init.self) this.#pace.accept()
    else if (!this.#slow.has(peer)) this.#slow.set(peer, this.#nowMs + excludeMs)
    this.#considerDetour()
  }

  /** Time in which this peer itself did not run is no fault of the route, nor is what others have closed meanwhile. */
  #noticePause(): void {
    if (this.#tickedMs === undefined) return
    const gapMs = this.#nowMs - this.#tickedMs
    const pausedMs = gapMs - 2 * routeRetryMs
    if (pausedMs <= 0) return
    this.#tickedMs = this.#nowMs
    this.#isFair = false
    this.#stepMs += pausedMs
    this.#progressMs += pausedMs
    this.#patience.paused(pausedMs)
    if (gapMs >= standstillMs) this.#excusedUntilMs = this.#nowMs + standstillGraceMs
  }

  #watchPace(): void {
    const now = this.#nowMs
    for (const [peer, untilMs] of this.#slow) {
      if (untilMs > now) continue
      // There was no way around it: what it needs is what this route needs.
      this.#slow.delete(peer)
      if (this.#route.some(hop => hop.peer === peer)) this.#pace.accept()
    }
    if (this.#phase !== 'running') return
    if (now - this.#askedMs >= askEveryMs) {
      if (this.#isLate) this.#ask(this.#pace.late())
      else if (now - this.#progressMs >= askAfterMs) this.#ask(this.#pace.round())
      // Hops far down may not have a step for long while those before them get on: they hear that one will come (S27).
      else if (now - Math.max(this.#askedMs, this.#tokenMs) >= askAliveMs) this.#ask(this.#pace.round())
    }
    if (this.#slow.size > 0) this.#considerDetour()
    this.#cutOverIfLate()
  }

  /** Looks who keeps the answer waiting, and goes around a hop that does for too long. */
  #watchDelay(): void {
    if (!this.#connected) return
    const delay = this.#delay
    if (delay === undefined) return
    const { hop, ms } = delay
    const { peer } = this.#route[hop]!
    const seconds = Math.floor(ms / 1000)
    if (delay.kind === 'mute') {
      // Asked by this driver itself, and heard by it: nobody else can be why it does not answer.
      const isCharged = hop === 0 && this.#hears(peer)
      if (delay.isOver) this.#leaveOut(hop, 'mute', isCharged, `it did not answer for ${seconds} s`)
      else this.#tell(`hop ${hop} (${peer}) does not answer`)
      return
    }
    if (this.#nowMs - this.#probedMs < detourRetryMs) return
    this.#probedMs = this.#nowMs
    const excluded = new Set([...this.#leftOut.all(this.#nowMs), ...this.#leaving, peer])
    this.#effects.push({ kind: 'detour', route: this.#route, excluded, stuck: hop })
  }

  get #delay(): Delay | undefined {
    const awaited = { end: this.#ids.length, sent: this.#cursor, hasLapped: this.#hasLapped }
    return this.#patience.delay(awaited, this.#nowMs)
  }

  /** Whether there is a way around a hop that is stuck is known: without one it may still get on. */
  #onProbed(hop: number, isThere: boolean): void {
    const delay = this.#phase === 'running' ? this.#delay : undefined
    if (delay?.kind !== 'stuck' || delay.hop !== hop) return
    const message = `it got nothing done for ${Math.floor(delay.ms / 1000)} s`
    if (isThere || delay.share >= stuckAnewFactor) {
      this.#stuckTries += 1
      this.#leaveOut(hop, 'stuck', delay.saysSo, message)
    } else this.#tell(`hop ${hop} (${this.#route[hop]!.peer}) gets nothing done, and there is no way around it`)
  }

  /** Says what the answer waits for, once. */
  #tell(message: string): void {
    if (this.#toldOf === message) return
    this.#toldOf = message
    this.#effects.push({ kind: 'output', output: { kind: 'waiting', message } })
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  /** Sends what has not been sent, as far as the head has credit, in steps that end at attention block borders. */
  #pump(): void {
    if (!this.#connected || this.#phase !== 'running') return
    while (this.#cursor !== undefined && this.#cursor < this.#ids.length) {
      const position = this.#cursor
      const border = (Math.floor(position / attentionBlock) + 1) * attentionBlock
      const end = Math.min(border, this.#ids.length)
      const tokens = end - position
      if (!this.#credit.allows(tokens)) return
      this.#cursor = end
      this.#credit.sent(tokens)
      this.#stepMs = this.#nowMs
      this.#isLap = this.#hasLapped && tokens === 1
      this.#isFair = true
      this.#send({
        kind: 'step',
        epoch: this.#epoch,
        position,
        tokens,
        sample: end === this.#ids.length,
        input: { kind: 'ids', ids: Int32Array.from(this.#ids.slice(position, end)) }
      })
    }
  }

  #send(frame: Frame, epoch = this.#epoch): void {
    const bytes = encodeFrame(frame)
    this.#bytesSent += framedBytes(bytes.length)
    this.#effects.push({ kind: 'send', epoch, bytes })
  }

  #onToken(position: number, id: number): void {
    if (position !== this.#ids.length || id >= this.#init.vocab || this.#cursor !== this.#ids.length) {
      this.#violated(this.#route.length - 1, 'invalid', `token ${id} at ${position}, awaited at ${this.#ids.length}`)
      return
    }
    this.#progressMs = this.#nowMs
    this.#tokenMs = this.#nowMs
    this.#patience.token(this.#nowMs)
    this.#behind.clear()
    this.#stuckTries = 0
    const round = this.#isLap ? this.#pace.token(this.#nowMs - this.#stepMs, this.#isFair) : undefined
    this.#isLap = false
    if (!this.#hasLapped) for (const hop of this.#route) this.#warm.add(seatOf(hop))
    this.#hasLapped = true
    this.#recoveries = 0
    this.#isNew = false
    this.#full.clear()
    this.#roomRounds = 0
    this.#roomMs = undefined
    if (this.#lostMs !== undefined) {
      this.#settleCuts()
      const ms = this.#nowMs - this.#lostMs
      this.#lostMs = undefined
      this.#effects.push({
        kind: 'output',
        output: {
          kind: 'recovered',
          ms,
          replayedTokens: this.#replayedTokens,
          route: this.#route,
          exact: this.#exact
        }
      })
    }
    this.#ids.push(id)
    const stop = this.#init.stop(id, this.#ids.length - this.#init.promptIds.length)
    // The next step leaves before the token is shown to anyone: nobody's reading slows the route down.
    const detour = this.#detour?.isReady === true ? this.#detour : undefined
    if (stop === undefined && detour === undefined) this.#pump()
    if (stop === undefined) this.#ask(round)
    this.#pumpFeed()
    this.#effects.push({ kind: 'output', output: { kind: 'token', id, position, stop } })
    if (stop === undefined && detour !== undefined) this.#cutOver(detour)
    if (stop !== undefined) this.#close({ kind: 'stopped', stop })
  }

  #onFrame(bytes: Uint8Array): void {
    let frame: Frame | undefined
    try {
      frame = decodeFrame(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#violated(0, 'malformed', error.message)
      return
    }
    if (frame === undefined) return
    if (this.#phase === 'closing') {
      if (frame.kind === 'closed') this.#finish(frame.hops)
    } else if (this.#phase === 'running') {
      if (frame.kind === 'ack') this.#onAck(frame)
      else if (frame.kind === 'refuse') this.#onRefuse(frame)
      else if (frame.kind === 'prepared') this.#onPrepared(frame)
      else if (frame.kind === 'standing') this.#onStanding(frame)
      else this.#violated(0, 'unexpected', `${frame.kind} has no place on the way up`)
    }
  }

  #onAck(ack: AckFrame): void {
    if (ack.epoch !== this.#epoch) return
    if (!this.#credit.acked(ack.steps, ack.tokens) || (this.#cursor === undefined && ack.length > this.#keep)) {
      this.#violated(0, 'invalid', `an ack of ${ack.steps} steps, ${ack.tokens} tokens, length ${ack.length}`)
      return
    }
    this.#progressMs = this.#nowMs
    this.#patience.acked(this.#nowMs)
    if (this.#cursor === undefined) {
      this.#cursor = ack.length
      this.#replayedTokens = Math.max(this.#replayedTokens, this.#keep - ack.length)
    }
    this.#pump()
  }

  #onPrepared({ epoch, next, failed }: PreparedFrame): void {
    const stretch = epoch === this.#epoch ? this.#detour?.stretchOf(next) : undefined
    if (stretch === undefined) return
    if (failed) this.#detourFailed(next)
    else {
      this.#detour!.caughtUp(stretch)
      this.#cutOverIfLate()
    }
  }

  #onRefuse({ epoch, hop, reason, message }: RefuseFrame): void {
    if (epoch !== this.#epoch) return
    if (hop >= this.#route.length) {
      this.#violated(0, 'invalid', `a refusal by hop ${hop} of ${this.#route.length}`)
      return
    }
    switch (reason) {
      case 'next-lost':
      case 'next-silent':
        this.#onNextLost(hop, reason === 'next-lost' ? 'closed' : 'silent', message)
        break
      case 'no-room':
      case 'unsupported':
        this.#refusedRoom(hop, message)
        break
      case 'stale-epoch':
        // Its cache is being freed, which takes as long as the step that runs on it: nobody's fault, and not over at once.
        this.#leftOut.add(this.#route[hop]!.peer, this.#nowMs, { graceMs: 0 })
        this.#lose(undefined, reason, message)
        break
      case 'gap':
        this.#lose(undefined, reason, message)
        break
      case 'invalid':
        // What a hop cannot compute came from the one before it, and the head's input from here.
        if (hop > 0) this.#lose(hop - 1, reason, message)
        else this.#fail(`the head refuses the step: ${message}`)
        break
      case 'leaving':
        this.#lose(hop, 'left', message)
        break
      default:
        this.#lose(hop, reason, message)
    }
  }

  #onNextLost(hop: number, reason: LossReason, message: string): void {
    const next = this.#route[hop + 1]?.peer
    if (next !== undefined && this.#hears(next)) this.#cut(hop, reason, message)
    // The tail's next one is this driver: the link between the two is broken, as if the tail were lost.
    else this.#lose(Math.min(hop + 1, this.#route.length - 1), reason, message)
  }

  #violated(hop: number, violation: ViolationKind, message: string): void {
    this.#effects.push({ kind: 'violation', remote: this.#route[hop]!.peer, violation, message })
    if (this.#phase === 'running') this.#lose(hop, violation, message)
    else this.#finish([])
  }

  // ── The end ─────────────────────────────────────────────────────────────────────────────────────

  #fail(message: string): void {
    this.#close({ kind: 'failed', message, error: undefined })
  }

  #close(outcome: SessionOutcome): void {
    const running = this.#phase === 'running' && this.#connected
    this.#letGo({ frees: true })
    if (this.#feed !== undefined && this.#feedConnected) {
      const { epoch } = this.#feed.terms
      this.#send({ kind: 'close', epoch }, epoch)
    }
    this.#dropDetour()
    this.#phase = 'closing'
    this.#outcome = outcome
    this.#closingMs = this.#nowMs
    if (running) this.#send({ kind: 'close', epoch: this.#epoch })
    else this.#finish([])
  }

  #finish(hops: readonly HopStats[]): void {
    this.#settleCuts({ last: true })
    this.#phase = 'ended'
    this.#effects.push({ kind: 'hang-up', epoch: this.#epoch })
    this.#effects.push({
      kind: 'output',
      output: {
        kind: 'end',
        outcome: this.#outcome!,
        route: this.#route,
        exact: this.#exact,
        hops,
        bytesSent: this.#bytesSent
      }
    })
  }

  #onTick(): void {
    const now = this.#nowMs
    this.#watchPace()
    if (this.#phase === 'running' || this.#phase === 'routing') this.#settleCuts()
    // No answer has come at once: somebody else may use what is held.
    if (this.#holding && this.#phase === 'routing') this.#letGo({ frees: this.#isNew })
    if (this.#detour !== undefined && now - this.#detour.sinceMs >= detourMs) {
      const slow = this.#detour.waiting
      if (slow === undefined) this.#dropDetour()
      else this.#detourFailed(slow.next)
    }
    if (this.#phase === 'routing' && this.#retryMs !== undefined && now >= this.#retryMs) this.#askRoute()
    else if (this.#phase === 'running') this.#watchDelay()
    else if (this.#phase === 'closing' && now - this.#closingMs >= stageCloseMs) this.#finish([])
  }
}

/** Losses that a driver finds which did not run for a while: others have closed its streams, and moved their stages. */
const excusable: ReadonlySet<string> = new Set(['closed', 'silent', 'not-serving'])

/** One stage of one peer: where a session may have a cache. */
function seatOf({ peer, start, end }: Hop): string {
  return `${peer}/${start}-${end}`
}
