/**
 * Placements from the literature, for the same peers and model, to be measured against: share by memory as exo does,
 * Petals' greedy spans with its cheapest chain, and Halda's objective, which for equal links is solved exactly here.
 */
import type { Range } from '../src/base/ids.ts'
import { hopMs, stageMs } from '../src/route/cost.ts'
import type { ModelShape, PeerView } from '../src/route/view.ts'
import { stageBytes } from '../src/route/view.ts'

/** One visit of a peer for a span of layers. */
export interface Visit extends Range {
  readonly view: PeerView
}

/** Predicted ms of one token along a chain, where all links are alike. */
export function chainMs(chain: readonly Visit[], model: ModelShape): number {
  return chain.reduce((sum, { view, start, end }) => sum + stageMs(view, end - start) + hopMs(model), 0)
}

/** Layers that a peer's budget holds, of a model whose layers are alike and whose embedding and head weigh nothing. */
export function capacity({ budgetBytes }: PeerView, model: ModelShape): number {
  let layers = 0
  while (layers < model.layers && stageBytes(model, { start: 0, end: layers + 1 }) <= budgetBytes) layers++
  return layers
}

function laidOut(shares: readonly { readonly view: PeerView; readonly layers: number }[]): Visit[] {
  let start = 0
  return shares
    .filter(({ layers }) => layers > 0)
    .map(({ view, layers }) => {
      const visit = { view, start, end: start + layers }
      start += layers
      return visit
    })
}

/**
 * exo (b5378f8): the fewest peers whose memory suffices, each a share of the layers by its memory (largest remainder,
 * one layer at least). Speed is not looked at. `all`: every peer takes part, as in its older ring.
 */
export function byMemory(peers: readonly PeerView[], model: ModelShape, all: boolean): Visit[] | undefined {
  const able = peers
    .map(view => ({ view, most: capacity(view, model) }))
    .filter(({ most }) => most > 0)
    .sort((a, b) => b.view.budgetBytes - a.view.budgetBytes)
  for (let count = all ? able.length : 1; count <= able.length; count++) {
    const chosen = able.slice(0, count)
    if (chosen.reduce((sum, { most }) => sum + most, 0) < model.layers || count > model.layers) continue
    const memory = chosen.reduce((sum, { view }) => sum + view.budgetBytes, 0)
    const exact = chosen.map(({ view }) => (model.layers * view.budgetBytes) / memory)
    const shares = exact.map((share, i) => Math.min(chosen[i]!.most, Math.max(1, Math.floor(share))))
    const order = exact.map((_, i) => i).sort((a, b) => (exact[b]! % 1) - (exact[a]! % 1))
    let left = model.layers - shares.reduce((sum, share) => sum + share, 0)
    for (let round = 0; left !== 0 && round < 4 * model.layers; round++) {
      const i = order[round % order.length]!
      const step = Math.sign(left)
      if (shares[i]! + step < 1 || shares[i]! + step > chosen[i]!.most) continue
      shares[i]! += step
      left -= step
    }
    if (left === 0) return laidOut(chosen.map(({ view }, i) => ({ view, layers: shares[i]! })))
  }
  return undefined
}

/**
 * Petals (Borzunov et al., 2023): peers come one after the other and take the span where throughput is least, compared
 * from the weakest block up; a client then takes the cheapest chain, entering and leaving spans anywhere.
 */
export function petals(peers: readonly PeerView[], model: ModelShape): Visit[] | undefined {
  const { layers } = model
  const throughput = new Array<number>(layers).fill(0)
  const spans: Visit[] = []
  for (const view of peers) {
    const most = capacity(view, model)
    if (most === 0) continue
    let best = 0
    let worst: number[] | undefined
    for (let start = 0; start + most <= layers; start++) {
      const sorted = throughput.slice(start, start + most).sort((a, b) => a - b)
      if (worst === undefined || isLess(sorted, worst)) {
        worst = sorted
        best = start
      }
    }
    // Requests per second of one block, halved for the average span that a request asks of it.
    const rps = 1000 / (view.layerMs * ((most + 1) / 2))
    for (let layer = best; layer < best + most; layer++) throughput[layer]! += rps
    spans.push({ view, start: best, end: best + most })
  }
  // Dijkstra over borders; a span may be entered at any of its layers, and is run to its end.
  const cost = new Array<number>(layers + 1).fill(Number.POSITIVE_INFINITY)
  const via: (Visit | undefined)[] = []
  cost[0] = 0
  for (let at = 0; at < layers; at++) {
    for (const { view, start, end } of spans) {
      if (start > at || end <= at || cost[at] === Number.POSITIVE_INFINITY) continue
      const ms = cost[at]! + stageMs(view, end - at) + hopMs(model)
      if (ms >= cost[end]!) continue
      cost[end] = ms
      via[end] = { view, start: at, end }
    }
  }
  const chain: Visit[] = []
  for (let at = layers; at > 0; ) {
    const visit = via[at]
    if (visit === undefined) return undefined
    chain.unshift(visit)
    at = visit.start
  }
  return chain
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  for (const [i, value] of a.entries()) if (value !== b[i]) return value < b[i]!
  return false
}

/**
 * Halda's objective (prima.cpp, Li et al., 2025) for peers that hold all they run in memory: the least sum of
 * `visit + n · layer` and hops with `Σ n = L` and `n` within each budget. Equal links make it a knapsack, which dynamic
 * programming solves exactly: no order and no choice of peers is better.
 */
export function halda(peers: readonly PeerView[], model: ModelShape): Visit[] | undefined {
  const { layers } = model
  const infinite = Number.POSITIVE_INFINITY
  let cost = new Array<number>(layers + 1).fill(infinite)
  cost[0] = 0
  const taken: number[][] = []
  for (const view of peers) {
    const most = capacity(view, model)
    const next = [...cost]
    const take = new Array<number>(layers + 1).fill(0)
    for (let at = 1; at <= layers; at++) {
      for (let n = 1; n <= Math.min(most, at); n++) {
        const ms = cost[at - n]! + stageMs(view, n) + hopMs(model)
        if (ms >= next[at]! - 1e-9) continue
        next[at] = ms
        take[at] = n
      }
    }
    cost = next
    taken.push(take)
  }
  if (cost[layers] === infinite) return undefined
  const shares: { view: PeerView; layers: number }[] = []
  let at = layers
  for (let i = peers.length - 1; i >= 0; i--) {
    const n = taken[i]![at]!
    if (n > 0) shares.unshift({ view: peers[i]!, layers: n })
    at -= n
  }
  return laidOut(shares)
}

/** Every choice and order of peers: what {@link halda} must equal, for up to 8 of them. */
export function bruteForceMs(peers: readonly PeerView[], model: ModelShape): number | undefined {
  const most = peers.map(view => capacity(view, model))
  let best: number | undefined
  const walk = (at: number, used: number, ms: number): void => {
    if (best !== undefined && ms >= best) return
    if (at === model.layers) {
      best = ms
      return
    }
    for (const [i, view] of peers.entries()) {
      if ((used & (1 << i)) !== 0) continue
      for (let n = Math.min(most[i]!, model.layers - at); n >= 1; n--) {
        walk(at + n, used | (1 << i), ms + stageMs(view, n) + hopMs(model))
      }
    }
  }
  walk(0, 0, 0)
  return best
}
