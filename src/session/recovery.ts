/**
 * What a session makes of losses: who is charged with one and who is only done without, for how long, and how often in a
 * row another route is tried. The peer that failed is charged, once, and nobody else (promise P5).
 */
import type { PeerId, PlaceId } from '../base/ids.ts'
import { type Hop, placeOf, type Without } from '../route/view.ts'
import type { Avoidance } from './avoid.ts'
import { Cuts } from './cuts.ts'
import type { SessionOutput } from './event.ts'
import { LeftOut } from './left-out.ts'
import { muteExcludeMs, recoveriesAtOnce, recoveriesMax, standstillGraceMs, unsupportedMs } from './limits.ts'
import type { Loss } from './loss.ts'

export interface RecoveryInit {
  readonly self: PeerId
  /** Whether this peer hears another one at this moment. */
  readonly hears: (peer: PeerId) => boolean
  /** Takes what is told to the one who asked. */
  readonly tell: (output: SessionOutput) => void
}

export class Recovery {
  readonly #init: RecoveryInit
  /** Peers and stages that failed this session, or are done without for another reason. */
  readonly #leftOut = new LeftOut()
  readonly #cuts = new Cuts()
  /** Peers behind whom a hop was left out since the last token because nothing of it was heard. */
  readonly #behind = new Set<PeerId>()
  /** Until then what others have closed may be due to a time in which this peer itself did not run. */
  #excusedUntilMs = Number.NEGATIVE_INFINITY
  /** When the loss happened that the session recovers from now. */
  #lostMs: number | undefined
  /** Who was lost last and how, for the message when nothing helps. */
  #lastLoss = ''
  /** Routes in a row that gave no token. */
  #tries = 0

  constructor(init: RecoveryInit) {
    this.#init = init
  }

  /** When the loss happened that the session recovers from now; undefined when there is none. */
  get lostMs(): number | undefined {
    return this.#lostMs
  }

  get lastLoss(): string {
    return this.#lastLoss
  }

  // ── Routes ──────────────────────────────────────────────────────────────────────────────────────

  /** Whom the next route does without. `avoided`: nothing is known to be wrong with them. */
  avoidance(avoided: Iterable<PlaceId>, nowMs: number): Avoidance {
    const excluded = this.#leftOut.all(nowMs)
    // Where there is no way around these, they are asked.
    const around: Without = new Set<PeerId | PlaceId>([...avoided, ...this.#cuts.avoided(nowMs)]).difference(excluded)
    return { excluded: excluded.union(around), doubtful: this.#leftOut.doubtful(nowMs).union(around) }
  }

  /** Those that failed, or are done without for another reason. */
  leftOut(nowMs: number): Without {
    return this.#leftOut.all(nowMs)
  }

  /** True when another route is to be asked for: this one leads through a cut, whose other end is avoided now. */
  turnsAt(route: readonly Hop[]): boolean {
    return this.#cuts.turnsAt(route)
  }

  // ── Losses ──────────────────────────────────────────────────────────────────────────────────────

  /** An epoch on this route has ended. `isTold`: whoever asked hears of a hop without room. */
  lost(route: readonly Hop[], loss: Loss, message: string, nowMs: number, { isTold = true } = {}): void {
    const peer = 'hop' in loss ? route[loss.hop]!.peer : undefined
    this.#begins(peer === undefined ? message : `hop ${(loss as { hop: number }).hop} (${peer}): ${message}`, nowMs)
    switch (loss.kind) {
      case 'failed':
        this.#charge(route[loss.hop]!, loss.hop, loss.reason, nowMs)
        break
      case 'waited':
        this.#leaveOut(route, loss, nowMs)
        break
      case 'cut':
        this.#cuts.add(route, loss.hop, loss.reason, nowMs)
        break
      case 'no-room':
        if (isTold) this.#tellLost(peer!, loss.hop, 'no-room', false)
        break
      case 'unsupported':
        // It does not learn it before it starts anew: nothing is gained by asking again where there is no other.
        this.#leftOut.add(placeOf(route[loss.hop]!), nowMs, { graceMs: unsupportedMs, forMs: unsupportedMs })
        this.#tellLost(peer!, loss.hop, 'unsupported', false)
        break
      case 'unknown':
        if (loss.stale !== undefined) this.#leftOut.add(loss.stale, nowMs, { graceMs: 0 })
        break
    }
  }

  /** The session goes another way, which was prepared, around peers that left or are slow. */
  goneAround(
    left: readonly { readonly peer: PeerId; readonly hop: number }[],
    slow: ReadonlySet<PeerId>,
    nowMs: number
  ): void {
    this.#begins(left.map(({ peer, hop }) => `hop ${hop} (${peer}), which left or is slow`).join(' and '), nowMs)
    for (const { peer, hop } of left) {
      const isSlow = slow.has(peer)
      if (isSlow) this.#leftOut.add(peer, nowMs)
      this.#tellLost(peer, hop, isSlow ? 'slow' : 'left', isSlow)
    }
  }

  /** Does without a stage that nobody is charged with. */
  without(hop: Hop, nowMs: number): void {
    this.#leftOut.add(placeOf(hop), nowMs)
  }

  /** The session is without a route, and why. */
  #begins(loss: string, nowMs: number): void {
    this.#lostMs ??= nowMs
    this.#lastLoss = loss
    this.#cuts.lost()
  }

  /** Leaves a peer out that failed, or that goes, or that others have parted from this driver while it did not run. */
  #charge(at: Hop, hop: number, reason: string, nowMs: number): void {
    const isExcused = nowMs < this.#excusedUntilMs && excusable.has(reason)
    // Nothing is known to be wrong with who is excused: where there is no way around it, it is asked at once.
    this.#leftOut.add(ofStage.has(reason) ? placeOf(at) : at.peer, nowMs, isExcused ? { graceMs: 0 } : {})
    this.#tellLost(at.peer, hop, reason, reason !== 'left' && !isExcused)
  }

  /**
   * A hop keeps the answer waiting, and the session goes around it. Where the hop before it may be why nothing is heard of
   * it, nobody is charged, and when that happens a second time behind the same peer, that one is left out, too.
   */
  #leaveOut(route: readonly Hop[], { hop, reason, isCharged }: Loss & { kind: 'waited' }, nowMs: number): void {
    // Others may be found to say nothing after it: it must not come back before the last of them is known.
    const without = { forMs: muteExcludeMs }
    const [before, at] = [route[hop - 1]?.peer, route[hop]!]
    const { peer } = at
    this.#leftOut.add(ofStage.has(reason) ? placeOf(at) : peer, nowMs, without)
    this.#tellLost(peer, hop, reason, isCharged)
    if (isCharged || before === undefined || before === this.#init.self) return
    if (this.#behind.has(before)) {
      this.#leftOut.add(before, nowMs, without)
      this.#tellLost(before, hop - 1, reason, false)
    }
    this.#behind.add(before)
  }

  /** Charges who turned out to be lost after all; says of the others, after a while, that only the link was. */
  settleCuts(nowMs: number, { last = false } = {}): void {
    for (const settled of this.#cuts.settle(this.#init.hears, nowMs, { last })) {
      if (settled.kind === 'lost') this.#charge(settled.at, settled.hop, settled.reason, nowMs)
      else this.#init.tell(settled)
    }
  }

  /** This peer itself did not run for a while. */
  stoodStill(nowMs: number): void {
    this.#excusedUntilMs = nowMs + standstillGraceMs
  }

  /** A route gave no token: when another one is to be asked for. */
  again(nowMs: number): 'at-once' | 'later' | 'never' {
    // What a time without running has left behind is over in a moment: it does not use up the tries.
    if (nowMs >= this.#excusedUntilMs || this.#tries <= recoveriesAtOnce) this.#tries += 1
    if (this.#tries > recoveriesMax) return 'never'
    // The first losses cost no time. After more of them the same route would be tried in a tight circle.
    return this.#tries <= recoveriesAtOnce ? 'at-once' : 'later'
  }

  /** A token has come. Returns how long after the loss that it ends, if it ends one. */
  token(nowMs: number): number | undefined {
    this.#behind.clear()
    this.#tries = 0
    if (this.#lostMs === undefined) return undefined
    this.settleCuts(nowMs)
    const ms = nowMs - this.#lostMs
    this.#lostMs = undefined
    return ms
  }

  #tellLost(peer: PeerId, hop: number, reason: string, charged: boolean): void {
    this.#init.tell({ kind: 'lost', peer, hop, reason, charged })
  }
}

/** What is wrong with a stage and need not be with others of its peer: it goes or is gone, its engine fails, or gives nonsense. */
const ofStage: ReadonlySet<string> = new Set(['left', 'not-serving', 'engine', 'invalid', 'stuck'])

/** Losses that a driver finds which did not run for a while: others have closed its streams, and moved their stages. */
const excusable: ReadonlySet<string> = new Set(['closed', 'silent', 'not-serving'])
