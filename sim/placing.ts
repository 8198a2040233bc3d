/** Placement measured against the literature, on random unequal swarms. */
import type { ModelId, PeerId } from '../src/base/ids.ts'
import { place } from '../src/route/place.ts'
import { findRoute } from '../src/route/route.ts'
import type { ModelShape, PeerView } from '../src/route/view.ts'
import { bruteForceMs, byMemory, capacity, chainMs, halda, petals, type Visit } from './baselines.ts'
import { Chance } from './chance.ts'

export interface PlacingSummary {
  readonly event: 'placing'
  readonly seed: number
  readonly swarms: number
  /** Of ms per token: theirs divided by ours, geometric mean; above 1 they are slower. */
  readonly slower: Readonly<Record<'memory' | 'memoryAll' | 'petals' | 'exact', number>>
  /** Swarms for which they found no chain. */
  readonly without: Readonly<Record<string, number>>
  /** Ours against the exact least time: how far above it, in percent. */
  readonly aboveExactPercent: { readonly p50: number; readonly p95: number; readonly max: number }
  /** Swarms of up to 8 peers where every order was tried, and those where the exact solver disagreed with it. */
  readonly bruteForced: number
  readonly disagreed: number
  /** Hops of ours and of the exact least time, means. */
  readonly hops: { readonly ours: number; readonly exact: number }
  /** Swarms whose budgets hold every layer twice, and those of them for which the plan does. */
  readonly twice: { readonly able: number; readonly planned: number }
}

/** Swarms of 32 peers and models of 80 layers. */
export interface LargeSummary {
  readonly event: 'placing-large'
  readonly swarms: number
  readonly aboveExactPercent: { readonly p50: number; readonly p95: number; readonly max: number }
  /** Of the processor, for one plan. */
  readonly planMs: { readonly p50: number; readonly p95: number; readonly max: number }
}

/** A model of equal layers of 10 MB whose embedding and head weigh nothing, so that every layer is like any other. */
export function plainShape(layers: number): ModelShape {
  return {
    id: 'm' as ModelId,
    name: 'm',
    layers,
    layerBytes: new Array<number>(layers).fill(10e6),
    embeddingBytes: 0,
    headBytes: 0,
    tiedEmbeddings: false,
    cacheBytesPerLayer: 1e6,
    stageBytes: 1e6,
    stepBytes: 8_256
  }
}

/** Peers between a phone and a workstation: speeds over a factor of 20, memory over one of 10. */
export function drawPeers(chance: Chance, count: number, shape: ModelShape): PeerView[] {
  const bytes = shape.layers * 11e6
  const share = chance.between(1.2, 3) / count
  return Array.from({ length: count }, (_, i) => ({
    peer: `p${String(i).padStart(3, '0')}` as PeerId,
    budgetBytes: Math.floor(bytes * share * 10 ** chance.between(-0.5, 0.5)) + 12e6,
    held: [{ start: 0, end: shape.layers }],
    holdsEmbedding: true,
    holdsHead: true,
    pinned: null,
    visitMs: 10 ** chance.between(-0.3, 0.7),
    layerMs: 20 ** chance.next(),
    numericClass: 'a',
    stages: [],
    sessions: 0,
    battery: null
  }))
}

/** The route that placement leads to. */
export function ourChain(peers: readonly PeerView[], shape: ModelShape): Visit[] | undefined {
  const { stages } = place(peers, shape)
  const placed = peers.map(view => {
    const range = stages.get(view.peer) ?? null
    return { ...view, stages: range === null ? [] : [{ ...range, serving: true }] }
  })
  const hops = findRoute(placed, shape, { from: '' as PeerId })
  if (hops === undefined) return undefined
  return hops.map(({ peer, start, end }) => ({ view: peers.find(each => each.peer === peer)!, start, end }))
}

/** Its ms per token and hops. */
function ours(peers: readonly PeerView[], shape: ModelShape): { ms: number; hops: number } | undefined {
  const chain = ourChain(peers, shape)
  return chain === undefined ? undefined : { ms: chainMs(chain, shape), hops: chain.length }
}

/** Quantiles of a list, rounded. */
export function quantilesOf(values: readonly number[]): { p50: number; p95: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0)
  return { p50: at(0.5), p95: at(0.95), max: at(1) }
}

/** @param processorMs time that the processor has spent on this process so far, in ms. */
export function measureLarge(seed: number, swarms: number, processorMs: () => number): LargeSummary {
  const chance = new Chance(seed).fork('placing large')
  const shape = plainShape(80)
  const above: number[] = []
  const planMs: number[] = []
  // The first plans are slower: nothing is compiled yet.
  const warmUp = 5
  while (above.length < swarms + warmUp) {
    const peers = drawPeers(chance, 32, shape)
    const exact = halda(peers, shape)
    if (exact === undefined) continue
    const startMs = processorMs()
    place(peers, shape)
    planMs.push(processorMs() - startMs)
    above.push(100 * (ours(peers, shape)!.ms / chainMs(exact, shape) - 1))
  }
  return {
    event: 'placing-large',
    swarms,
    aboveExactPercent: quantilesOf(above.slice(warmUp)),
    planMs: quantilesOf(planMs.slice(warmUp))
  }
}

export function measurePlacing(seed: number, swarms: number): PlacingSummary {
  const chance = new Chance(seed).fork('placing')
  const logs: Record<string, number[]> = { memory: [], memoryAll: [], petals: [], exact: [] }
  const without: Record<string, number> = {}
  const above: number[] = []
  const hops = { ours: 0, exact: 0 }
  const twice = { able: 0, planned: 0 }
  let [measured, bruteForced, disagreed] = [0, 0, 0]
  while (measured < swarms) {
    const shape = plainShape(chance.whole(8, 40))
    const peers = drawPeers(chance, chance.whole(3, 12), shape)
    const exact = halda(peers, shape)
    const own = ours(peers, shape)
    // Where the budgets do not suffice there is nothing to compare.
    if (exact === undefined || own === undefined) continue
    measured++
    if (peers.length <= 6 && shape.layers <= 14) {
      bruteForced++
      if (Math.abs(bruteForceMs(peers, shape)! - chainMs(exact, shape)) > 1e-6) disagreed++
    }
    const theirs = {
      memory: byMemory(peers, shape, false),
      memoryAll: byMemory(peers, shape, true),
      petals: petals(peers, shape),
      exact
    }
    for (const [name, chain] of Object.entries(theirs)) {
      if (chain === undefined) without[name] = (without[name] ?? 0) + 1
      else logs[name]!.push(Math.log(chainMs(chain, shape) / own.ms))
    }
    above.push(100 * (own.ms / chainMs(exact, shape) - 1))
    if (peers.reduce((sum, view) => sum + capacity(view, shape), 0) >= 2 * shape.layers) {
      twice.able++
      if (Math.min(...place(peers, shape).coverage) >= 2) twice.planned++
    }
    hops.ours += own.hops
    hops.exact += exact.length
  }
  const mean = (list: readonly number[]): number =>
    round(Math.exp(list.reduce((sum, value) => sum + value, 0) / Math.max(1, list.length)))
  return {
    event: 'placing',
    seed,
    swarms,
    slower: {
      memory: mean(logs.memory!),
      memoryAll: mean(logs.memoryAll!),
      petals: mean(logs.petals!),
      exact: mean(logs.exact!)
    },
    without,
    aboveExactPercent: quantilesOf(above),
    bruteForced,
    disagreed,
    hops: { ours: round(hops.ours / swarms), exact: round(hops.exact / swarms) },
    twice
  }
}

export function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
