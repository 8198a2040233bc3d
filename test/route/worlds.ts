/** Small models and peers for tests of placement and routing, random ones among them. */
import fc from 'fast-check'
import type { ModelId, PeerId, Range } from '../../src/base/ids.ts'
import { hopMs, hopWeight, stageMs } from '../../src/route/cost.ts'
import type { ModelShape, PeerView } from '../../src/route/view.ts'
import { canHold, stageBytes } from '../../src/route/view.ts'

/**
 * How often a property is tried. The cases are the same on every run; `RUNS=20` tries 20 times as many, other
 * ones each time.
 */
export function runs(numRuns: number): fc.Parameters<unknown> {
  const factor = process.env.RUNS
  return factor === undefined ? { numRuns, seed: 1 } : { numRuns: numRuns * Number(factor) }
}

export function peerId(index: number): PeerId {
  return `p${String(index).padStart(3, '0')}` as PeerId
}

/** A model of equal layers of 10 bytes, caches of 1, an embedding of 7, a head of 5 and 2 per stage. */
export function model(layers: number, more: Partial<ModelShape> = {}): ModelShape {
  return {
    id: 'm' as ModelId,
    name: 'test',
    layers,
    layerBytes: new Array<number>(layers).fill(10),
    embeddingBytes: 7,
    headBytes: 5,
    tiedEmbeddings: false,
    cacheBytesPerLayer: 1,
    stageBytes: 2,
    ...more
  }
}

/** A model without anything but layers of one byte: budgets are layers. */
export function plainModel(layers: number): ModelShape {
  return model(layers, {
    layerBytes: new Array<number>(layers).fill(1),
    embeddingBytes: 0,
    headBytes: 0,
    cacheBytesPerLayer: 0,
    stageBytes: 0
  })
}

/** A peer on mains that holds every shard and has loaded nothing. */
export function peer(index: number, budgetBytes: number, more: Partial<PeerView> = {}): PeerView {
  return {
    peer: peerId(index),
    budgetBytes,
    held: [{ start: 0, end: 1000 }],
    holdsEmbedding: true,
    holdsHead: true,
    pinned: null,
    visitMs: 1,
    layerMs: 1,
    numericClass: 'a',
    stages: [],
    sessions: 0,
    battery: null,
    ...more
  }
}

export function stage(start: number, end: number, serving = true) {
  return { start, end, serving }
}

/** The peer with its stages as a plan wants them. */
export function withStages(view: PeerView, stages: ReadonlyMap<PeerId, Range | null>): PeerView {
  const range = stages.get(view.peer) ?? null
  return { ...view, stages: range === null ? [] : [{ ...range, serving: true }] }
}

export function show(stages: ReadonlyMap<PeerId, Range | null>): string[] {
  return [...stages].map(([id, range]) => `${id} ${range === null ? '-' : `${range.start}-${range.end}`}`)
}

export interface BruteCost {
  readonly weak: number
  readonly hops: number
  readonly ms: number
  /** The time as it counts with its hops. */
  readonly weighedMs: number
  /** Least time of any tiling with as few weak peers, however many hops it has. */
  readonly leastMs: number
}

/** Every tiling with every order of peers; the best by weak peers and weighed time. Weak: a battery below 0.15. */
export function bruteForce(peers: readonly PeerView[], shape: ModelShape): BruteCost | undefined {
  let best: BruteCost | undefined
  const walk = (at: number, used: number, weak: number, hops: number, ms: number): void => {
    if (best !== undefined && (weak > best.weak || (weak === best.weak && ms >= best.weighedMs))) return
    if (at === shape.layers) {
      const weighedMs = ms * hopWeight(hops)
      const leastMs = Math.min(ms, best?.weak === weak ? best.leastMs : Number.POSITIVE_INFINITY)
      const isBetter = best === undefined || weak < best.weak || weighedMs < best.weighedMs
      best = isBetter ? { weak, hops, ms, weighedMs, leastMs } : { ...best!, leastMs }
      return
    }
    for (const [index, view] of peers.entries()) {
      if ((used & (1 << index)) !== 0) continue
      const isWeak = view.battery !== null && view.battery < 0.15
      for (let end = at + 1; end <= shape.layers; end++) {
        if (view.pinned !== null && (view.pinned.start !== at || view.pinned.end !== end)) continue
        if (!canHold(view, shape, { start: at, end })) continue
        const time = stageMs(view, end - at) + hopMs(shape)
        walk(end, used | (1 << index), weak + (isWeak ? 1 : 0), hops + 1, ms + time)
      }
    }
  }
  walk(0, 0, 0, 0, 0)
  return best
}

/** The fewest bytes of gaps that any choice of stages leaves. */
export function bruteMissing(peers: readonly PeerView[], shape: ModelShape): number {
  let best = Number.POSITIVE_INFINITY
  const walk = (at: number, used: number, bytes: number): void => {
    if (bytes >= best) return
    if (at === shape.layers) {
      best = bytes
      return
    }
    for (let end = at + 1; end <= shape.layers; end++) {
      walk(end, used, bytes + stageBytes(shape, { start: at, end }))
      for (const [index, view] of peers.entries()) {
        if ((used & (1 << index)) !== 0) continue
        if (view.pinned !== null && (view.pinned.start !== at || view.pinned.end !== end)) continue
        if (canHold(view, shape, { start: at, end })) walk(end, used | (1 << index), bytes)
      }
    }
  }
  walk(0, 0, 0)
  return best
}

/** Models of up to `layersMax` unequal layers. */
export function modelArbitrary(layersMax: number): fc.Arbitrary<ModelShape> {
  return fc
    .record({
      layerBytes: fc.array(fc.integer({ min: 8, max: 14 }), { minLength: 1, maxLength: layersMax }),
      embeddingBytes: fc.integer({ min: 0, max: 30 }),
      headBytes: fc.integer({ min: 0, max: 20 }),
      tiedEmbeddings: fc.boolean(),
      cacheBytesPerLayer: fc.integer({ min: 0, max: 3 }),
      stageBytes: fc.integer({ min: 0, max: 5 })
    })
    .map(sizes => ({ id: 'm' as ModelId, name: 'test', layers: sizes.layerBytes.length, ...sizes }))
}

/** Up to `peersMax` unequal peers that have loaded nothing; most hold every shard, few are pinned or weak. */
export function peersArbitrary(shape: ModelShape, peersMax: number, peersMin = 1): fc.Arbitrary<PeerView[]> {
  const range = fc
    .tuple(fc.nat(shape.layers - 1), fc.nat(shape.layers - 1))
    .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) + 1 }))
  const often = <T>(usual: T, other: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
  const one = fc.record({
    budgetBytes: fc.integer({ min: 0, max: 90 }),
    held: often<readonly Range[]>(
      [{ start: 0, end: shape.layers }],
      range.map(held => [held])
    ),
    holdsEmbedding: often(true, fc.boolean()),
    holdsHead: often(true, fc.boolean()),
    pinned: often<Range | null>(null, range),
    visitMs: fc.integer({ min: 0, max: 40 }).map(value => value / 10),
    layerMs: fc.integer({ min: 1, max: 100 }).map(value => value / 10),
    numericClass: fc.constantFrom('a', 'a', 'b'),
    battery: often<number | null>(null, fc.constantFrom(0.05, 0.5))
  })
  return fc
    .array(one, { minLength: peersMin, maxLength: peersMax })
    .map(list => list.map((more, index) => peer(index, more.budgetBytes, more)))
}
