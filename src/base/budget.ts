/** So many at once and so many a second. Pure: time comes in as an argument. */
import { recordsMax } from '../limits.ts'
import type { PeerId } from './ids.ts'

export interface BudgetInit {
  readonly perSecond: number
  readonly burst: number
}

export class Budget {
  readonly #perSecond: number
  readonly #burst: number
  #left: number
  #refilledMs: number

  constructor({ perSecond, burst }: BudgetInit, nowMs = 0) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#left = burst
    this.#refilledMs = nowMs
  }

  /** True when there are so many left, which are then taken. */
  take(nowMs: number, count = 1): boolean {
    this.#left = Math.min(this.#burst, this.#left + ((nowMs - this.#refilledMs) * this.#perSecond) / 1000)
    this.#refilledMs = nowMs
    if (this.#left < count) return false
    this.#left -= count
    return true
  }
}

/** One for each peer, of peers that are gone, too: a new connection is no new start. */
export class PeerBudgets {
  readonly #init: BudgetInit & { readonly peersMax?: number }
  /** Who took nothing for longest first. */
  readonly #budgets = new Map<PeerId, Budget>()

  /** @param init.peersMax of so many; beyond them who took nothing for longest is forgotten, and has a full one again @default as many as are known */
  constructor(init: BudgetInit & { readonly peersMax?: number }) {
    this.#init = init
  }

  /** As {@link Budget.take}, for one peer. */
  take(peer: PeerId, nowMs: number, count = 1): boolean {
    const budget = this.#budgets.get(peer) ?? new Budget(this.#init, nowMs)
    this.#budgets.delete(peer)
    this.#budgets.set(peer, budget)
    if (this.#budgets.size > (this.#init.peersMax ?? recordsMax))
      this.#budgets.delete(this.#budgets.keys().next().value!)
    return budget.take(nowMs, count)
  }
}
