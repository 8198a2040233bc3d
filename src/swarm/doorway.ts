/**
 * Who of those that connect may try the handshake. Nobody has shown the swarm's secret yet, so every bound is per address: a
 * stranger's idle or hurried connections take places from nobody else. Where there are no places left the oldest gives way,
 * since an honest handshake takes some ms. Pure: time comes in as an argument.
 */
import {
  doorwayAddressesMax,
  handshakesMax,
  handshakesPerAddressMax,
  inboundBurstMax,
  inboundBusyBurstMax,
  inboundBusyPerSecondMax,
  inboundPerSecondMax
} from './limits.ts'
import { Budget } from '../base/budget.ts'
import { linkPrefix } from './reachable.ts'

/** Connections from one address, or from one IPv6 link, whose hosts choose their addresses as they like. */
interface Origin {
  /** The oldest first. */
  readonly pending: Set<number>
  readonly budget: Budget
  /** While sessions run here. */
  readonly busyBudget: Budget
}

export type Knock =
  /** `givesWay` is to be closed, if there is one: it has had more time than a handshake needs. */
  { readonly admitted: number; readonly givesWay: number | undefined } | 'refused'

export class Doorway {
  /** Least recently seen first. */
  readonly #origins = new Map<string, Origin>()
  readonly #pending = new Map<number, string>()
  #next = 0

  /** A connection from an address is there. @param isBusy whether sessions run here, from which handshakes take the loop's time */
  knock(address: string, nowMs: number, { isBusy = false } = {}): Knock {
    const key = linkPrefix(address)
    const origin = this.#origin(key, nowMs)
    if (isBusy && !origin.busyBudget.take(nowMs)) return 'refused'
    if (!origin.budget.take(nowMs)) return 'refused'
    let givesWay: number | undefined
    if (origin.pending.size >= handshakesPerAddressMax) givesWay = first(origin.pending)
    else if (this.#pending.size >= handshakesMax) givesWay = first(this.#largest())
    if (givesWay !== undefined) this.done(givesWay)
    const admitted = this.#next++
    origin.pending.add(admitted)
    this.#pending.set(admitted, key)
    return { admitted, givesWay }
  }

  /** Its handshake is over, or it is closed. */
  done(id: number): void {
    const key = this.#pending.get(id)
    if (key === undefined) return
    this.#pending.delete(id)
    this.#origins.get(key)?.pending.delete(id)
  }

  get pending(): number {
    return this.#pending.size
  }

  #origin(key: string, nowMs: number): Origin {
    let origin = this.#origins.get(key)
    if (origin === undefined) {
      if (this.#origins.size >= doorwayAddressesMax) this.#forgetOne()
      const budget = new Budget({ perSecond: inboundPerSecondMax, burst: inboundBurstMax }, nowMs)
      const busyBudget = new Budget({ perSecond: inboundBusyPerSecondMax, burst: inboundBusyBurstMax }, nowMs)
      origin = { pending: new Set(), budget, busyBudget }
    }
    this.#origins.delete(key)
    this.#origins.set(key, origin)
    return origin
  }

  /** Who has not been seen for longest and has nothing pending: there is one, since there are fewer places than addresses. */
  #forgetOne(): void {
    for (const [key, { pending }] of this.#origins) {
      if (pending.size > 0) continue
      this.#origins.delete(key)
      return
    }
  }

  #largest(): Set<number> {
    let largest: Set<number> = new Set()
    for (const { pending } of this.#origins.values()) if (pending.size > largest.size) largest = pending
    return largest
  }
}

function first(ids: ReadonlySet<number>): number | undefined {
  return ids.values().next().value
}
