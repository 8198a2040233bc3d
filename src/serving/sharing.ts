/**
 * How a peer's budget is shared out among the models that it serves. Each share is announced with its model's offer, so that
 * everybody plans each model by itself and no plan of two exceeds the budget. Pure.
 */
import type { ModelId } from '../base/ids.ts'
import { demandWeightMax, shareChangeMs, shareChangeRatio } from './limits.ts'

/** What one model asks of a peer's memory. */
export interface Claim {
  readonly model: ModelId
  /** The whole model as one stage, with its reserves: more than this holds further sessions only. */
  readonly wholeBytes: number
  /** The smallest stage that is of use: what it was told to serve, else the smallest layer. */
  readonly leastBytes: number
  /** It was told what to serve: that comes before what others would like. */
  readonly isPinned: boolean
  /** Sessions of it that the swarm has had lately, as its records say. */
  readonly demand: number
}

/**
 * Bytes of a budget for each model, at most the budget together.
 *
 * What is pinned comes first. The rest goes by bytes times demand, where demand counts for a factor of
 * {@link demandWeightMax} at most: a model that nobody asks for stays covered. No model gets more than the whole of it while
 * another one has less than that; what then is left holds sessions. A share that is too small for any stage is none: the
 * model with the least weight gives way.
 *
 * @param claims one per model, in any order.
 */
export function shareBudget(budgetBytes: number, claims: readonly Claim[]): Map<ModelId, number> {
  const shares = new Map<ModelId, number>(claims.map(({ model }) => [model, 0]))
  const pinned = claims.filter(({ isPinned }) => isPinned)
  let left = budgetBytes
  for (const { model, leastBytes } of sorted(pinned)) {
    const bytes = Math.min(left, leastBytes)
    shares.set(model, bytes)
    left -= bytes
  }
  let rest = sorted(claims.filter(({ isPinned }) => !isPinned))
  for (;;) {
    const filled = fill(left, rest)
    const short = rest.findLast(({ model, leastBytes }) => filled.get(model)! < leastBytes)
    if (short === undefined) {
      for (const [model, bytes] of filled) shares.set(model, bytes)
      break
    }
    const others = rest.filter(claim => claim !== short)
    // Where the others can spare what it lacks, it gets its least; else they do without it.
    if (others.length > 0 && sum(rest.map(({ leastBytes }) => leastBytes)) <= left) {
      for (const claim of rest) shares.set(claim.model, claim.leastBytes)
      const more = fill(left - sum(rest.map(({ leastBytes }) => leastBytes)), rest.map(beyondLeast))
      for (const [model, bytes] of more) shares.set(model, shares.get(model)! + bytes)
      break
    }
    rest = others
    if (rest.length === 0) break
  }
  // Nobody is left to take it but those whose part is fixed: it holds their sessions.
  const spare = budgetBytes - sum([...shares.values()])
  const takers = claims.filter(({ model }) => shares.get(model)! > 0)
  const weights = sum(takers.map(({ wholeBytes }) => wholeBytes))
  for (const { model, wholeBytes } of takers) {
    shares.set(model, shares.get(model)! + Math.floor((spare * wholeBytes) / weights))
  }
  return shares
}

/** By weight, none above its whole while another is below. The heaviest first in the result. */
function fill(bytes: number, claims: readonly Claim[]): Map<ModelId, number> {
  const shares = new Map<ModelId, number>()
  let open = [...claims]
  let left = bytes
  while (open.length > 0) {
    const weights = sum(open.map(weightOf))
    const full = open.filter(claim => (left * weightOf(claim)) / weights >= claim.wholeBytes)
    if (full.length === 0) {
      for (const claim of open) shares.set(claim.model, Math.floor((left * weightOf(claim)) / weights))
      break
    }
    for (const { model, wholeBytes } of full) {
      shares.set(model, wholeBytes)
      left -= wholeBytes
    }
    open = open.filter(claim => !full.includes(claim))
  }
  return shares
}

function beyondLeast(claim: Claim): Claim {
  return { ...claim, wholeBytes: Math.max(1, claim.wholeBytes - claim.leastBytes) }
}

function weightOf({ wholeBytes, demand }: Claim): number {
  return wholeBytes * Math.min(demandWeightMax, 1 + demand)
}

/** The heaviest first; ids decide between equals, so that the order of claims does not. */
function sorted(claims: readonly Claim[]): Claim[] {
  return claims.toSorted((a, b) => weightOf(b) - weightOf(a) || (a.model < b.model ? -1 : 1))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** Shares over time: they follow what is asked for slowly, since a share that shrinks may cost a stage its place. */
export class Shares {
  #bytes: ReadonlyMap<ModelId, number> = new Map()
  #key = ''
  #changedMs = Number.NEGATIVE_INFINITY
  /** What the shares are of. */
  #sharedOut: { readonly budgetBytes: number; readonly claims: readonly Claim[] } | undefined

  /** As it was looked at last; 0 for a model that has none. */
  of(model: ModelId): number {
    return this.#bytes.get(model) ?? 0
  }

  /**
   * Looks at the claims. Models that come or go count at once; demand only where it moves a share by
   * {@link shareChangeRatio} or more, and not within {@link shareChangeMs} of the last time. True when shares changed.
   */
  look(budgetBytes: number, claims: readonly Claim[], nowMs: number): boolean {
    if (this.#isSharedOut(budgetBytes, claims)) return false
    const key = JSON.stringify([budgetBytes, sorted(claims).map(({ demand: _, ...claim }) => claim)])
    const next = shareBudget(budgetBytes, claims)
    if (key === this.#key) {
      if (nowMs - this.#changedMs < shareChangeMs) return false
      const isLarge = [...next].some(([model, bytes]) => {
        const before = this.of(model)
        return Math.abs(bytes - before) >= shareChangeRatio * Math.max(1, before)
      })
      if (!isLarge) return false
    }
    this.#key = key
    this.#bytes = next
    this.#changedMs = nowMs
    this.#sharedOut = { budgetBytes, claims }
    return true
  }

  /** Whether nothing has changed since: this is asked at every record. */
  #isSharedOut(budgetBytes: number, claims: readonly Claim[]): boolean {
    const before = this.#sharedOut
    if (before?.budgetBytes !== budgetBytes || before.claims.length !== claims.length) return false
    return claims.every((claim, i) => {
      const { model, wholeBytes, leastBytes, isPinned, demand } = before.claims[i]!
      return (
        claim.model === model &&
        claim.wholeBytes === wholeBytes &&
        claim.leastBytes === leastBytes &&
        claim.isPinned === isPinned &&
        claim.demand === demand
      )
    })
  }
}
