/**
 * Changing the route while it runs: around peers that are about to go, and around hops that are slower than the route has been
 * before. The change comes between two tokens, or at once where a slow hop keeps the token.
 */
import type { PeerId } from '../base/ids.ts'
import type { Hop } from '../route/view.ts'
import type { StandingFrame } from '../stage/frame.ts'
import type { Detours } from './detours.ts'
import type { Epochs } from './epochs.ts'
import type { Recovery } from './recovery.ts'

export interface ChangeoverInit {
  readonly self: PeerId
  readonly epochs: Epochs
  readonly recovery: Recovery
  readonly detours: Detours
  /** How many tokens are known. */
  readonly tokens: () => number
  /** Ends the stream of the epoch that runs. */
  readonly hangUp: () => void
  /** Begins an epoch on a route whose hops have all but the last few tokens. */
  readonly begin: (route: readonly Hop[], exact: boolean) => void
}

export class Changeover {
  readonly #init: ChangeoverInit

  constructor(init: ChangeoverInit) {
    this.#init = init
  }

  /** Another way has been prepared. */
  get isReady(): boolean {
    return this.#init.detours.ready !== undefined
  }

  /** Looks for a way around those who go or are slow. */
  consider(nowMs: number): void {
    const { detours, epochs, recovery } = this.#init
    detours.consider(epochs.current!, recovery.leftOut(nowMs), nowMs)
  }

  /** There is one: it is prepared. */
  found(route: readonly Hop[], exact: boolean, nowMs: number): void {
    const { detours, epochs, tokens } = this.#init
    const running = { epoch: epochs.current!, last: epochs.last, keep: tokens() - 1, nowMs }
    epochs.last = detours.prepare({ route, exact }, running)
  }

  /** A hop of the route says how far it has come. */
  standing(frame: StandingFrame, nowMs: number): void {
    const { self, epochs, detours, tokens } = this.#init
    const { route, watch } = epochs.current!
    const slow = watch.standing(frame, tokens(), nowMs)
    if (slow === undefined) return
    const { peer } = route[slow]!
    // This peer's own stage is as slow as this peer is.
    if (peer === self) watch.accept()
    else detours.slowed(peer, nowMs)
    this.consider(nowMs)
  }

  /** Forgets who is slow where there was no way around it: what it needs is what this route needs. */
  fade(nowMs: number): void {
    const { epochs, detours } = this.#init
    const faded = detours.fade(nowMs)
    if (epochs.route.some(({ peer }) => faded.includes(peer))) epochs.current!.watch.accept()
  }

  /** Time has passed on a route that runs. */
  look(nowMs: number): void {
    const { epochs, detours } = this.#init
    const epoch = epochs.current!
    epoch.ask(epoch.watch.question(nowMs), nowMs)
    if (detours.hasSlow) this.consider(nowMs)
    this.takeIfLate(nowMs)
  }

  /** Between two tokens: the next step takes the new route. */
  take(nowMs: number): void {
    const { hangUp, detours, recovery, epochs, begin } = this.#init
    hangUp()
    const { detour, slow } = detours.take(nowMs)
    recovery.goneAround(detour.left, slow, nowMs)
    epochs.warmed(detour.route)
    begin(detour.route, detour.exact)
  }

  /** Where a slow hop keeps the token, the way around it is taken at once: the token is computed there again. */
  takeIfLate(nowMs: number): void {
    const { epochs, detours } = this.#init
    if (this.isReady && detours.isAroundSlow && epochs.current!.watch.isLate(nowMs)) this.take(nowMs)
  }
}
