/** Copies of stages by load: who moves, when, and that nobody moves in a circle (records.md R23). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId, Range } from '../../src/base/ids.ts'
import { coverageOf } from '../../src/route/coverage.ts'
import { coolSteps, coolWindowMs, hotSteps, loadSmoothMs, placementCopies } from '../../src/route/limits.ts'
import { place } from '../../src/route/place.ts'
import { Planner } from '../../src/route/planner.ts'
import { isServed } from '../../src/route/route.ts'
import { placementKey } from '../../src/route/searches.ts'
import { StageLoad } from '../../src/route/stage-load.ts'
import { canHold, type PeerView } from '../../src/route/view.ts'
import { peer, peerId, plainModel, runs } from './worlds.ts'

const shape = plainModel(12)
const most: Range = { start: 3, end: 12 }
const rest: Range = { start: 0, end: 3 }

/** A box, which can hold either stage, or a station, which can hold the small one; with what its record says of its stage. */
function serving(index: number, range: Range, load?: number, peak?: number, budgetBytes = 9): PeerView {
  const busy = { ...(load === undefined ? {} : { load }), ...(peak === undefined ? {} : { peak }) }
  return peer(index, budgetBytes, { visitMs: 2, layerMs: 3, stages: [{ ...range, serving: true, ...busy }] })
}

/** Three boxes serve most of the model, a box and two stations the rest. */
function swarm(loadMost: number | undefined, loadRest: number | undefined = 0, peak?: number): PeerView[] {
  return [
    ...[0, 1, 2].map(i => serving(i, most, loadMost, peak)),
    serving(3, rest, loadRest, peak),
    ...[4, 5].map(i => serving(i, rest, loadRest, peak, 3))
  ]
}

const moves = (views: readonly PeerView[], model = shape): [PeerId, Range | null][] =>
  [...place(views, model).stages].filter(([id, range]) => {
    const own = views.find(view => view.peer === id)!.stages[0]
    return own?.start !== range?.start || own?.end !== range?.end
  })

describe('a stage at which steps wait', () => {
  it('is copied by a peer whose own stage others serve as well', () => {
    expect(moves(swarm(hotSteps))).toEqual([[peerId(3), most]])
    expect(moves(swarm(hotSteps - 1))).toEqual([])
    // By the one that is fastest there; but who makes the fastest way stays on it, unless another one is as good.
    const quick = (...which: number[]): PeerView[] =>
      swarm(hotSteps).map((view, i) => (which.includes(i) ? { ...view, budgetBytes: 9, layerMs: 2.5 } : view))
    expect(moves(quick(4, 5))).toEqual([[peerId(4), most]])
    expect(moves(quick(4))).toEqual([[peerId(3), most]])
  })

  it('is left alone where some copy does not say how busy it is, or does not serve yet', () => {
    expect(moves(swarm(undefined))).toEqual([])
    const [first, ...others] = swarm(3 * hotSteps)
    expect(moves([{ ...first!, stages: [{ ...most, serving: true }] }, ...others])).toEqual([])
    expect(moves([{ ...first!, stages: [{ ...most, serving: false, load: 8 }] }, ...others])).toEqual([])
  })

  it('takes no second copy of a layer from anybody, nor who was told what to serve, nor a weak battery', () => {
    // One station less: then the box is the second copy of what it has.
    expect(moves(swarm(9).slice(0, 5))).toEqual([])
    const told = swarm(9).map(view => (view.peer === peerId(3) ? { ...view, pinned: rest } : view))
    expect(moves(told)).toEqual([])
    const weak = swarm(9).map(view => (view.peer === peerId(3) ? { ...view, battery: 0.05 } : view))
    expect(moves(weak).some(([, range]) => range === most)).toBe(false)
  })

  it('is not copied where that gains nothing: another one is as slow', () => {
    // Three equal stages with 3, 2 and 2 copies: whichever gets the third, one is left with two.
    const thirds = [0, 4, 8].map(start => ({ start, end: start + 4 }))
    const views = [0, 0, 0, 1, 1, 2, 2].map((third, i) => serving(i, thirds[third]!, 6, undefined, 4))
    expect(moves(views)).toEqual([])
  })

  it('is copied first by who has nothing', () => {
    const views = [...swarm(hotSteps), peer(6, 9, { visitMs: 2, layerMs: 3 })]
    expect(place(views, shape).stages.get(peerId(6))).toEqual(most)
    const cold = [...swarm(0).slice(0, 5), peer(6, 9, { visitMs: 2, layerMs: 3 })]
    expect(place(cold, shape).stages.get(peerId(6))).toEqual(rest)
  })
})

describe('copies that load has brought', () => {
  const brought = (load: number, peak: number | undefined): PeerView[] => [
    ...[0, 1, 2, 3].map(i => serving(i, most, load, peak)),
    ...[4, 5].map(i => serving(i, rest, 0, peak === undefined ? undefined : 0, 3))
  ]

  it('stay while they are of use, and while that was so a short while ago', () => {
    expect(moves(brought(1, 4))).toEqual([])
    // Three would have one step at a time each: all four stay.
    expect(moves(brought(0, 1))).toEqual([])
    expect(moves(brought(0, undefined))).toEqual([])
  })

  it('even out when the load has gone: one goes back, and the rest stay', () => {
    const [[mover, range]] = moves(brought(0, 0)) as [[PeerId, Range]]
    expect(range).toEqual(rest)
    const after = brought(0, 0).map(view => (view.peer === mover ? serving(Number(mover.slice(1)), rest, 0, 0) : view))
    expect(moves(after)).toEqual([])
  })

  it('are no reason to move where the difference is one', () => {
    expect(moves(swarm(0, 0, 0))).toEqual([])
  })
})

describe('any swarm under any load', () => {
  const cuts = [
    [rest, most],
    [
      { start: 0, end: 6 },
      { start: 6, end: 12 }
    ]
  ] as const
  const view = (cut: (typeof cuts)[number]) =>
    fc
      .record({
        which: fc.integer({ min: 0, max: 1 }),
        load: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
        peak: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
        budget: fc.integer({ min: 3, max: 12 }),
        layerMs: fc.integer({ min: 1, max: 9 })
      })
      .map(({ which, load, peak, budget, layerMs }) => ({ range: cut[which]!, load, peak, budget, layerMs }))
  const swarms = fc
    .integer({ min: 0, max: 1 })
    .chain(which => fc.array(view(cuts[which]!), { minLength: 4, maxLength: 9 }))

  it('is moved within budgets, without a pause, keeps its second copies, and comes to rest', () => {
    fc.assert(
      fc.property(swarms, specs => {
        let views = specs.map(({ range, load, peak, budget, layerMs }, i) => ({
          ...serving(i, range, load, peak, Math.max(budget, range.end - range.start)),
          layerMs
        }))
        fc.pre(isServed(views, shape))
        const copiesOf = (all: readonly PeerView[]): number =>
          coverageOf(
            all.flatMap(({ stages }) => stages),
            shape
          ).reduce((sum, count) => sum + Math.min(placementCopies, count), 0)
        for (let round = 0; ; round++) {
          expect(round).toBeLessThan(3 * views.length)
          const { stages } = place(views, shape)
          const before = copiesOf(views)
          const unloaded = views.map(each => ({
            ...each,
            stages: each.stages.map(({ load: _, peak: __, ...at }) => at)
          }))
          const still = place(unloaded, shape).stages
          const next = views.map(each => {
            const range = stages.get(each.peer) ?? null
            if (range === null) return { ...each, stages: [] }
            expect(canHold(each, shape, range)).toBe(true)
            const own = each.stages.find(at => at.start === range.start && at.end === range.end)
            // A stage that was just loaded is cold, and those that were busy stay so: the worst case for rest.
            return { ...each, stages: [own ?? { ...range, serving: true, load: 0, peak: 0 }] }
          })
          expect(isServed(next, shape)).toBe(true)
          // What load alone moves costs no second copy.
          const isByLoad = views.every(each => {
            const range = still.get(each.peer) ?? null
            return each.stages.some(at => at.start === range?.start && at.end === range.end)
          })
          if (isByLoad) expect(copiesOf(next)).toBeGreaterThanOrEqual(before)
          if (placementKey(next) === placementKey(views)) break
          views = next
        }
      }),
      runs(150)
    )
  })
})

describe('what a record says of a stage', () => {
  /** Samples once a second. */
  function sampled(load: StageLoad, steps: (s: number) => number, fromS: number, toS: number): void {
    for (let s = fromS; s < toS; s++) load.sample(steps(s), s * 1000)
  }

  it('follows what lasts, and not a burst', () => {
    const load = new StageLoad()
    sampled(load, () => 6, 0, 5)
    expect(load.announced.load).toBeLessThan(hotSteps)
    sampled(load, () => 6, 5, 120)
    expect(load.announced.load).toBe(6)
    sampled(load, () => 0, 120, 120 + (5 * loadSmoothMs) / 1000)
    expect(load.announced.load).toBe(0)
  })

  it('remembers the most for a while, and does not know it before', () => {
    const load = new StageLoad()
    const windowS = coolWindowMs / 1000
    sampled(load, () => 0, 0, windowS)
    expect(load.announced.peak).toBeUndefined()
    sampled(load, () => 4, windowS, windowS + 200)
    sampled(load, () => 0, windowS + 200, 2 * windowS + 190)
    expect(load.announced).toEqual({ load: 0, peak: 4 })
    sampled(load, () => 0, 2 * windowS + 190, 2 * windowS + 300)
    expect(load.announced.peak).toBeLessThan(coolSteps + 1)
    sampled(load, () => 0, 2 * windowS + 300, 3 * windowS + 300)
    expect(load.announced.peak).toBe(0)
  })

  it('is the same all along under a load that comes and goes every minute', () => {
    const load = new StageLoad()
    sampled(load, s => (Math.floor(s / 60) % 2 === 0 ? 8 : 0), 0, 600)
    const said = new Set<number | undefined>()
    for (let s = 600; s < 1200; s++) {
      load.sample(Math.floor(s / 60) % 2 === 0 ? 8 : 0, s * 1000)
      said.add(load.announced.peak)
    }
    expect([...said].every(peak => peak! >= 6)).toBe(true)
  })

  it('counts for the peer itself as for others: it moves, too', () => {
    const views = swarm(hotSteps)
    const planner = new Planner(peerId(3), 0)
    // It loads the rest, as the others have the most.
    const self = { ...views[3]!, stages: [] }
    planner.handle({ kind: 'view', peers: [...views.slice(0, 3), self], model: shape }, 0)
    expect(planner.handle({ kind: 'tick' }, 5_000)).toEqual([{ kind: 'load', range: rest }])
    planner.handle({ kind: 'loaded', range: rest }, 6_000)
    planner.handle({ kind: 'view', peers: swarm(0), model: shape }, 7_000)
    expect(planner.handle({ kind: 'tick' }, 12_000)).toEqual([])
    const effects = planner.handle({ kind: 'view', peers: views, model: shape }, 13_000)
    expect([...effects, ...planner.handle({ kind: 'tick' }, 18_000)]).toContainEqual({ kind: 'unload', range: rest })
  })
})
