/**
 * Ways around peers on the route that are about to go, or slow: looked for one at a time and prepared while the epoch goes
 * on (rules S19 to S21). What is prepared never touches that epoch: where it fails, another way is looked for.
 */
import type { PeerId } from '../base/ids.ts'
import { type Hop, isWithout, type Without } from '../route/view.ts'
import type { ViolationKind } from '../stage/event.ts'
import { Feed } from '../stage/feed.ts'
import type { Frame, PreparedFrame } from '../stage/frame.ts'
import type { SignedTerms, Terms } from '../stage/terms.ts'
import { Detour, type Stretch } from './detour.ts'
import type { Epoch } from './epoch.ts'
import type { SessionEffect } from './event.ts'
import { detourMs, detourRetryMs, excludeMs } from './limits.ts'

export interface DetoursInit {
  readonly self: PeerId
  readonly emit: (effect: SessionEffect) => void
  /** Sends a frame to the head of an epoch. */
  readonly send: (frame: Frame, epoch: number) => void
  readonly sign: (change: Pick<Terms, 'epoch' | 'route' | 'keep' | 'stretch'>) => SignedTerms
  /** Does without a stage that could not be prepared. */
  readonly without: (hop: Hop) => void
}

export class Detours {
  readonly #init: DetoursInit
  /** Peers and stages that are about to go, as it was told last. */
  leaving: Without = new Set()
  /** Peers on the route that are slow → until when a way around them is looked for. */
  readonly #slow = new Map<PeerId, number>()
  /** The way that is being prepared. */
  #detour: Detour | undefined
  /** Peers that were slow when it was begun, and not about to go. */
  #slowThen: ReadonlySet<PeerId> = new Set()
  /** What this driver feeds to the head of that way; undefined when the head stays. */
  #feed: Feed | undefined
  #feedConnected = false
  /** Not before then is another way looked for. */
  #nextMs = 0

  constructor(init: DetoursInit) {
    this.#init = init
  }

  /** The way that is being prepared, once all its hops have caught up. */
  get ready(): Detour | undefined {
    return this.#detour?.isReady === true ? this.#detour : undefined
  }

  /** That way leads around a peer that is slow. */
  get isAroundSlow(): boolean {
    return this.#detour?.left.some(({ peer }) => this.#slow.has(peer)) === true
  }

  /** The epoch whose head this driver feeds; undefined when it feeds none. */
  get fed(): number | undefined {
    return this.#feed?.terms.epoch
  }

  // ── Whom to go around ───────────────────────────────────────────────────────────────────────────

  /** A peer on the route is slow. */
  slowed(peer: PeerId, nowMs: number): void {
    if (!this.#slow.has(peer)) this.#slow.set(peer, nowMs + excludeMs)
  }

  /** Peers around whom a way is no longer looked for, though they are slow: there was none. */
  fade(nowMs: number): readonly PeerId[] {
    const faded = [...this.#slow].flatMap(([peer, untilMs]) => (untilMs <= nowMs ? [peer] : []))
    for (const peer of faded) this.#slow.delete(peer)
    return faded
  }

  get hasSlow(): boolean {
    return this.#slow.size > 0
  }

  /** Looks for a way around peers on the route that are about to go or slow, one at a time. */
  consider(epoch: Epoch, leftOut: Without, nowMs: number): void {
    if (!epoch.isConnected || epoch.sent === undefined) return
    if (this.#detour !== undefined || nowMs < this.#nextMs) return
    // Where the driver goes itself, a way around its own stage gains nothing.
    const { route } = epoch
    if (!route.some(hop => hop.peer !== this.#init.self && (isWithout(this.leaving, hop) || this.#slow.has(hop.peer))))
      return
    const excluded = new Set([...leftOut, ...this.#slow.keys(), ...this.leaving])
    this.#init.emit({ kind: 'detour', route, excluded })
  }

  // ── Preparing ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Has every hop of a new route that lacks the session's cache rebuild it while the epoch goes on.
   *
   * @param last the last number of an epoch that was used.
   * @returns the last one that is used then.
   */
  prepare(
    { route, exact }: { readonly route: readonly Hop[]; readonly exact: boolean },
    { epoch, last, keep, nowMs }: { epoch: Epoch; last: number; keep: number; nowMs: number }
  ): number {
    if (!epoch.isConnected || this.#detour !== undefined) return last
    const leaving = new Set([...this.leaving, ...this.#slow.keys()])
    const detour = new Detour({ route, old: epoch.route, leaving, exact, epoch: last, nowMs })
    if (detour.left.length === 0) return last
    this.#detour = detour
    this.#slowThen = this.#slowOf(detour)
    for (const stretch of detour.stretches) {
      const hop = detour.feederOf(stretch)
      const { from, to, next } = stretch
      const terms = this.#init.sign({ epoch: next, route, keep, stretch: { from, to } })
      if (hop !== undefined) {
        this.#init.send({ kind: 'prepare', epoch: epoch.number, hop, terms }, epoch.number)
        continue
      }
      this.#feed = new Feed(terms)
      this.#feedConnected = false
      this.#init.emit({ kind: 'connect', epoch: next, peer: route[0]!.peer })
    }
    return last + detour.stretches.length
  }

  /** The stream to the new head is open. */
  connected(ids: readonly number[]): void {
    const { terms } = this.#feed!
    this.#feedConnected = true
    this.#init.send({ kind: 'open', hop: 0, terms }, terms.epoch)
    this.pump(ids)
  }

  /** Sends the new head what the old one has had. */
  pump(ids: readonly number[]): void {
    const feed = this.#feed
    if (feed === undefined || !this.#feedConnected) return
    const { epoch } = feed.terms
    const end = ids.length - 1
    for (let step = feed.next(end); step !== undefined; step = feed.next(end)) {
      const { position, tokens } = step
      const input = { kind: 'ids', ids: Int32Array.from(ids.slice(position, position + tokens)) } as const
      this.#init.send({ kind: 'step', epoch, position, tokens, sample: false, input }, epoch)
    }
  }

  /** A frame from the new head. */
  onFrame(frame: Frame, ids: readonly number[], nowMs: number): void {
    const feed = this.#feed!
    const { epoch: next } = feed.terms
    if (frame.kind === 'refuse') this.failed(next, nowMs)
    else if (frame.kind !== 'ack') {
      this.violated({ violation: 'unexpected', message: `${frame.kind} has no place on the way up` }, nowMs)
    } else if (frame.epoch !== next || !feed.acked(frame)) {
      const message = `an ack of ${frame.steps} steps and ${frame.tokens} tokens`
      this.violated({ violation: 'invalid', message }, nowMs)
    } else {
      this.pump(ids)
      if (feed.takePrepared(ids.length - 1)) this.#detour?.caughtUp(this.#detour.stretchOf(next)!)
    }
  }

  /** The new head broke the protocol. */
  violated(fault: { readonly violation: ViolationKind; readonly message: string }, nowMs: number): void {
    const { epoch, route } = this.#feed!.terms
    this.#init.emit({ kind: 'violation', remote: route[0]!.peer, ...fault })
    this.failed(epoch, nowMs)
  }

  /** A hop of the running epoch says how a preparation went. */
  prepared({ next, failed }: PreparedFrame, nowMs: number): void {
    const stretch = this.#detour?.stretchOf(next)
    if (stretch === undefined) return
    if (failed) this.failed(next, nowMs)
    else this.#detour!.caughtUp(stretch)
  }

  /** A stretch cannot be prepared: another way is looked for, after a moment, without its first hop. */
  failed(next: number, nowMs: number): void {
    const stretch: Stretch | undefined = this.#detour?.stretchOf(next)
    if (stretch === undefined) return
    this.#init.without(this.#detour!.route[stretch.from]!)
    this.drop(nowMs)
  }

  /** Gives up what has not been prepared in time. */
  look(nowMs: number): void {
    if (this.#detour === undefined || nowMs - this.#detour.sinceMs < detourMs) return
    const slow = this.#detour.waiting
    if (slow === undefined) this.drop(nowMs)
    else this.failed(slow.next, nowMs)
  }

  /** The session changes to the way that is ready. Returns it, and which of those that it leaves are slow. */
  take(nowMs: number): { readonly detour: Detour; readonly slow: ReadonlySet<PeerId> } {
    const detour = this.#detour!
    // The mark of a slow peer may have faded while the way around it was prepared; one that was about to go, and stays, never had one.
    const slow = new Set(
      detour.left.flatMap(each => (this.#slowThen.has(each.peer) && !isWithout(this.leaving, each) ? [each.peer] : []))
    ).union(this.#slowOf(detour))
    for (const { peer } of detour.left) this.#slow.delete(peer)
    this.drop(nowMs)
    return { detour, slow }
  }

  #slowOf({ left }: Detour): ReadonlySet<PeerId> {
    return new Set(
      left.flatMap(each => (this.#slow.has(each.peer) && !isWithout(this.leaving, each) ? [each.peer] : []))
    )
  }

  /** What was prepared stays where it is for a while: the next route may use it. */
  drop(nowMs: number): void {
    if (this.#detour === undefined) return
    if (this.#feed !== undefined) this.#init.emit({ kind: 'hang-up', epoch: this.#feed.terms.epoch })
    this.#detour = undefined
    this.#feed = undefined
    this.#nextMs = nowMs + detourRetryMs
  }

  /** The session ends: what was prepared is freed. */
  close(nowMs: number): void {
    if (this.#feed !== undefined && this.#feedConnected) {
      const { epoch } = this.#feed.terms
      this.#init.send({ kind: 'close', epoch }, epoch)
    }
    this.drop(nowMs)
  }
}
