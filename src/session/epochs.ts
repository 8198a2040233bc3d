/** The epochs of a session, one after the other: their numbers, what is signed for them, and who may still hold something of an older one. */
import type { PlaceId } from '../base/ids.ts'
import { type Hop, placeOf } from '../route/view.ts'
import type { Frame } from '../stage/frame.ts'
import { type SignedTerms, signTerms, type Terms } from '../stage/terms.ts'
import { traceContext } from '../stage/trace.ts'
import type { SignedCommitment } from '../stage/commitment.ts'
import { Commitments, type Committed } from './committed.ts'
import { Epoch } from './epoch.ts'
import type { SessionEffect } from './event.ts'
import type { SessionInit } from './init.ts'
import type { Speculation } from './speculation.ts'
import { Watch } from './watch.ts'

export interface EpochsInit {
  readonly session: SessionInit
  readonly drafts: Speculation
  readonly emit: (effect: SessionEffect) => void
  /** Sends a frame to the head of an epoch. */
  readonly send: (frame: Frame, epoch: number) => void
}

export class Epochs {
  readonly #init: EpochsInit
  /** The one that is open, or was last. */
  #current: Epoch | undefined
  /** The highest number of an epoch of any stream, those of preparations included. */
  last = -1
  /** Every route so far had the numeric classes of the first. */
  exact: boolean
  /** Stages that hold a cache of this session, as far as this driver knows. */
  readonly #warm = new Set<PlaceId>()
  readonly #commitments: Commitments

  constructor(init: EpochsInit) {
    this.#init = init
    this.exact = init.session.exact ?? true
    this.#commitments = new Commitments(init.session)
  }

  get current(): Epoch | undefined {
    return this.#current
  }

  /** The last one; empty before the first. */
  get route(): readonly Hop[] {
    return this.#current?.route ?? []
  }

  /**
   * Begins an epoch.
   *
   * @param tokens that are known.
   * @param tries hops that were left out before, in vain so far, because they were stuck.
   */
  begin(
    route: readonly Hop[],
    exact: boolean,
    { room, tokens, tries }: Pick<Terms, 'room'> & { readonly tokens: number; readonly tries: number },
    nowMs: number
  ): void {
    const isFirst = this.#current === undefined
    const number = this.last + 1
    this.last = number
    this.exact &&= exact
    // The last token is computed again in any case: its sample may be what was lost.
    const keep = isFirst ? 0 : tokens - 1
    const { session, speedOf, stepBytes, traced = false } = this.#init.session
    const trace = traced ? traceContext(session, number) : undefined
    const speeds = route.map(hop => speedOf?.(hop))
    this.#current = new Epoch({
      route,
      terms: this.sign({ epoch: number, route, keep, room, needs: this.#init.drafts.begins(route), trace }),
      watch: new Watch(route, { speeds, stepBytes, tries }, nowMs),
      send: frame => this.#init.send(frame, number),
      // The head says itself what it has; of the others only those that were on a route have anything.
      replayedTokens: route.slice(1).every(hop => this.#warm.has(placeOf(hop))) ? 0 : keep
    })
    this.#commitments.begins(this.#current.terms)
    if (isFirst) this.#init.emit({ kind: 'output', output: { kind: 'route', hops: route } })
    // Before any hop hears of the epoch: its tail may be as quick as its head.
    this.#init.emit({ kind: 'admit', epoch: number, tail: route.at(-1)!.peer })
    this.#init.emit({ kind: 'connect', epoch: number, peer: route[0]!.peer })
  }

  /** Between two tokens: asks what is due. @param round to ask hops in how far they have come @param tokens that hops have computed */
  ask(round: number | undefined, tokens: number, nowMs: number): void {
    this.#current!.ask(round, nowMs)
    this.commit(tokens, { goes: false })
  }

  /** Has the hops that compute commit to what they did of so many tokens, where that is due. @param goes somebody is about to leave the route */
  commit(tokens: number, { goes }: { readonly goes: boolean }): void {
    const due = this.#current?.isConnected === true ? this.#commitments.due(tokens, { goes }) : undefined
    if (due !== undefined)
      this.#init.send({ kind: 'commit', epoch: this.#current!.number, tokens: due }, this.#current!.number)
  }

  /** A hop has. */
  committed(commitment: SignedCommitment): void {
    this.#commitments.came(commitment)
  }

  /** All that hops have committed to. @param last at the end of the session */
  allCommitted(ids: readonly number[], last: readonly SignedCommitment[] | undefined): Committed | undefined {
    return this.#commitments.all(ids, last)
  }

  /** What the hops of an epoch need to know, in this peer's name. */
  sign(change: Pick<Terms, 'epoch' | 'route' | 'keep' | 'stretch' | 'room' | 'needs' | 'trace'>): SignedTerms {
    const { self: driver, session, model, tokensMax, cache, sampling, sign } = this.#init.session
    return signTerms({ session, model, driver, tokensMax, cache, sampling, room: 'refuse', ...change }, sign)
  }

  /** All hops of a route hold a cache now. */
  warmed(route: readonly Hop[]): void {
    for (const hop of route) this.#warm.add(placeOf(hop))
  }

  /** A hop is lost, with what it held. */
  cooled(hop: Hop): void {
    this.#warm.delete(placeOf(hop))
  }
}
