/** Placement and routing of peers on batteries. */
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { flightMoveRatio, flightSlackRatio } from '../../src/route/limits.ts'
import { drawnWatts, flightOf, layersLasting } from '../../src/route/energy.ts'
import { fastestTiling, weighedUs } from '../../src/route/fastest.ts'
import { longestTiling, tilingFlight } from '../../src/route/lasting.ts'
import { place } from '../../src/route/place.ts'
import { findRoute } from '../../src/route/route.ts'
import type { PeerView } from '../../src/route/view.ts'
import { peer, peerId, plainModel, runs, show, stage, withStages } from './worlds.ts'

const shape = plainModel(6)

describe('energy', () => {
  it('lasts as its charge, and shorter the more of each token it computes', () => {
    const view = peer(0, 9, { battery: 0.5, visitMs: 2, layerMs: 4 })
    expect(flightOf({ ...view, battery: 1 }, 3, 100, shape)).toBeCloseTo(2 * flightOf(view, 3, 100, shape))
    expect(flightOf(view, 3, 100, shape)).toBeGreaterThan(flightOf(view, 4, 100, shape))
    expect(flightOf({ ...view, battery: null }, 3, 100, shape)).toBe(Number.POSITIVE_INFINITY)
    // Whoever computes all the time cannot compute more.
    expect(drawnWatts(200, 100, shape)).toBe(drawnWatts(100, 100, shape))
  })

  it('says how many layers a battery allows', () => {
    const view = peer(0, 9, { battery: 0.5, visitMs: 2, layerMs: 4 })
    for (let layers = 1; layers <= 6; layers++) {
      expect(layersLasting(view, flightOf(view, layers, 100, shape), 100, shape)).toBe(layers)
    }
    expect(layersLasting(view, 2 * flightOf(view, 1, 100, shape), 100, shape)).toBe(0)
  })
})

describe('placement on batteries', () => {
  const three = (levels: readonly (number | null)[]) => levels.map((battery, index) => peer(index, 3, { battery }))

  it('serves with the full ones where that takes no longer', () => {
    expect(show(place(three([0.3, 0.9, 0.8]), shape).stages)).toEqual(['p000 0-3', 'p001 0-3', 'p002 3-6'])
    expect(show(place(three([0.9, 0.3, 0.8]), shape).stages)).toEqual(['p000 0-3', 'p001 0-3', 'p002 3-6'])
    expect(show(place(three([0.9, 0.3, null]), shape).stages)).toEqual(['p000 0-3', 'p001 0-3', 'p002 3-6'])
  })

  it('is no slower for it than the slack, and lasts as long as the best within it', () => {
    const peers = fc.array(
      fc.record({
        budgetBytes: fc.integer({ min: 1, max: 6 }),
        visitMs: fc.integer({ min: 0, max: 40 }).map(value => value / 10),
        layerMs: fc.integer({ min: 5, max: 300 }).map(value => value / 10),
        battery: fc.option(fc.integer({ min: 20, max: 100 }).map(percent => percent / 100))
      }),
      { minLength: 1, maxLength: 5 }
    )
    fc.assert(
      fc.property(peers, list => {
        const views = list.map((more, index) => peer(index, more.budgetBytes, more))
        const tilers = views.map(view => ({ view, only: null, loaded: [], weak: false }))
        const fastest = fastestTiling(shape, tilers)
        if (fastest === undefined) return
        const tokenMs = fastest.timeUs / 1000
        const made = longestTiling(shape, tilers, fastest)
        const atMostUs = weighedUs(fastest) * (1 + flightSlackRatio)
        expect(weighedUs(made)).toBeLessThanOrEqual(atMostUs + 1)
        const flight = tilingFlight(made, tokenMs, shape)
        expect(flight).toBeGreaterThanOrEqual(tilingFlight(fastest, tokenMs, shape))
        // Nobody else is on it longer by more than the step: each bound that lasts so long leaves no tiling.
        const bounded = tilers.flatMap(tiler => {
          const layersMax = layersLasting(tiler.view, flight * 1.051, tokenMs, shape)
          return layersMax === 0 ? [] : [{ ...tiler, layersMax }]
        })
        if (Number.isFinite(flight)) expect(fastestTiling(shape, bounded, { atMostUs: atMostUs - 1 })).toBeUndefined()
      }),
      runs(300)
    )
  })

  it('finds the same whatever is loaded, and whichever of equally fast ones it begins with', () => {
    const peers = fc.array(
      fc.record({
        battery: fc.integer({ min: 20, max: 100 }).map(percent => percent / 100),
        start: fc.nat(5),
        layers: fc.integer({ min: 0, max: 3 })
      }),
      { minLength: 3, maxLength: 7 }
    )
    fc.assert(
      fc.property(peers, list => {
        const tilers = list.map(({ battery, start, layers }, index) => ({
          view: peer(index, 3, { battery, layerMs: 10 }),
          only: null,
          loaded: layers === 0 ? [] : [{ start, end: Math.min(6, start + layers) }],
          weak: false
        }))
        const fresh = tilers.map(tiler => ({ ...tiler, loaded: [] }))
        const [one, other] = [fastestTiling(shape, tilers)!, fastestTiling(shape, fresh)!]
        const [longer, again] = [longestTiling(shape, tilers, one), longestTiling(shape, fresh, other)]
        // Where one begins with what nothing lasts longer than by a step, there is nothing to find.
        if (longer === one || again === other) return
        const tiles = ({ tiles }: typeof one) => tiles.map(({ view, start, end }) => [view?.peer, start, end])
        expect(tiles(longer)).toEqual(tiles(again))
      }),
      runs(300)
    )
  })

  it('moves layers off a battery for a clearly longer flight only, and not back', () => {
    const serving = (one: number, other: number): PeerView[] => [
      peer(0, 7, { battery: one, layerMs: 10, stages: [stage(0, 4)] }),
      peer(1, 9, { battery: other, layerMs: 10, stages: [stage(4, 6)] })
    ]
    const tiling = (views: readonly PeerView[]) => {
      const { stages } = place(views, shape)
      return { stages, views: views.map(view => withStages(view, stages)) }
    }
    expect(show(tiling(serving(0.8, 0.6)).stages)).toEqual(['p000 0-4', 'p001 4-6'])
    const moved = tiling(serving(0.3, 0.9))
    expect(moved.stages.get(peerId(1))!.end - moved.stages.get(peerId(1))!.start).toBeGreaterThan(4)
    // As the charges fall it stays, until the other one lasts longer by the margin.
    for (const other of [0.9, 0.7, 0.5, 0.9]) {
      const later = moved.views.map((view, index) => ({ ...view, battery: index === 0 ? 0.3 : other }))
      expect(show(place(later, shape).stages)).toEqual(show(moved.stages))
    }
    expect(flightMoveRatio).toBeGreaterThan(1.1)
  })
})

describe('routes over batteries', () => {
  const from = peerId(9)
  const on = (index: number, start: number, end: number, battery: number | null, layerMs = 1): PeerView =>
    peer(index, 9, { stages: [stage(start, end)], battery, layerMs })

  test('take the fuller of equals, and mains before both', () => {
    const peers = [on(0, 0, 6, 0.4), on(1, 0, 6, 0.9)]
    expect(findRoute(peers, shape, { from })).toMatchObject([{ peer: peerId(1) }])
    expect(findRoute([...peers, on(2, 0, 6, null)], shape, { from })).toMatchObject([{ peer: peerId(2) }])
  })

  test('but not one that is clearly slower', () => {
    const peers = [on(0, 0, 6, 0.4, 10), on(1, 0, 6, 0.9, 13)]
    expect(findRoute(peers, shape, { from })).toMatchObject([{ peer: peerId(0) }])
    // 9 % slower, all in all.
    expect(findRoute([peers[0]!, on(1, 0, 6, 0.9, 10.9)], shape, { from })).toMatchObject([{ peer: peerId(1) }])
  })

  test('spare the one hop that would be flat first', () => {
    const peers = [on(0, 0, 3, 0.3), on(1, 0, 3, 0.8), on(2, 3, 6, 0.9)]
    expect(findRoute(peers, shape, { from })).toMatchObject([{ peer: peerId(1) }, { peer: peerId(2) }])
  })
})
