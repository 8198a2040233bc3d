/** What searches for a plan find in common with those before: no tiling is looked for twice. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fastestTiling } from '../../src/route/fastest.ts'
import { leanestTiling } from '../../src/route/leanest.ts'
import { tilingsMax } from '../../src/route/limits.ts'
import { place } from '../../src/route/place.ts'
import { defaultPolicy } from '../../src/route/policy.ts'
import type { Tiler } from '../../src/route/tiling.ts'
import { Tilings } from '../../src/route/tilings.ts'
import type { ModelShape, PeerView } from '../../src/route/view.ts'
import { modelArbitrary, peer, peersArbitrary, plainModel, runs, stage } from './worlds.ts'

/** Searches that are counted. */
function counted() {
  const count = { leanest: 0, fastest: 0 }
  const tilings = new Tilings({
    leanest: question => {
      count.leanest++
      return leanestTiling(question)
    },
    fastest: (...question) => {
      count.fastest++
      return fastestTiling(...question)
    }
  })
  return { count, tilings }
}

const tiler = (view: PeerView, more: Partial<Tiler> = {}): Tiler => ({
  view,
  only: null,
  loaded: [],
  weak: false,
  hopMs: 1,
  ...more
})
const shape = plainModel(4)

describe('tilings that were found', () => {
  it('serve plans that differ in charges, with the views of now', () => {
    const { count, tilings } = counted()
    const at = (charge: number): PeerView[] =>
      [0, 1, 2].map(i => peer(i, 2, { battery: charge, stages: i < 2 ? [stage(2 * i, 2 * i + 2)] : [] }))
    place(at(0.9), shape, defaultPolicy, tilings)
    const { fastest, leanest } = count
    expect(fastest).toBeGreaterThan(0)
    for (const charge of [0.89, 0.88, 0.87]) {
      expect(place(at(charge), shape, defaultPolicy, tilings)).toEqual(place(at(charge), shape))
    }
    expect(count).toEqual({ fastest, leanest })
    const views = at(0.5)
    const found = tilings.leanest({ model: shape, tilers: views.map(view => tiler(view)) })
    expect(found!.tiles.every(({ view }) => views.includes(view!))).toBe(true)
  })

  it('are those of a search, whatever was asked before', () => {
    const worlds = modelArbitrary(8).chain(of => fc.tuple(fc.constant(of), peersArbitrary(of, 6)))
    const tilings = new Tilings()
    fc.assert(
      fc.property(worlds, ([of, peers]: [ModelShape, PeerView[]]) => {
        const named = { ...of, id: JSON.stringify(of) as ModelShape['id'] }
        for (let again = 0; again < 2; again++) {
          expect(place(peers, named, defaultPolicy, tilings)).toEqual(place(peers, named))
        }
      }),
      runs(200)
    )
  })

  const views = [peer(0, 2), peer(1, 2)]
  const tilers = views.map(view => tiler(view))
  const first = tilers[0]!
  const other = (change: Partial<PeerView>, more: Partial<Tiler> = {}): Tiler[] => [
    tiler({ ...views[0]!, ...change }, more),
    tilers[1]!
  ]
  it.each<[string, Parameters<Tilings['leanest']>[0]]>([
    ['another model', { model: { ...shape, id: 'n' as ModelShape['id'] }, tilers }],
    ['fewer weak peers', { model: shape, tilers, weakMax: 0 }],
    ['a bridge', { model: shape, tilers, bridges: [{ start: 0, end: 2, penalty: 1 }] }],
    ['one peer', { model: shape, tilers: [first] }],
    ['a budget', { model: shape, tilers: other({ budgetBytes: 3 }) }],
    ['a speed', { model: shape, tilers: other({ layerMs: 2 }) }],
    ['a visit', { model: shape, tilers: other({ visitMs: 2 }) }],
    ['shards', { model: shape, tilers: other({ held: [{ start: 0, end: 2 }] }) }],
    ['an embedding', { model: shape, tilers: other({ holdsEmbedding: false }) }],
    ['a head', { model: shape, tilers: other({ holdsHead: false }) }],
    [
      'what others give',
      { model: shape, tilers: other({ obtainable: { held: [], holdsEmbedding: true, holdsHead: true } }) }
    ],
    [
      'an engine',
      {
        model: shape,
        tilers: other({ footprint: { layerBytes: 1, embeddingBytes: 1, headBytes: 1, cacheBytesPerLayer: 1 } })
      }
    ],
    ['what is loaded', { model: shape, tilers: other({}, { loaded: [{ start: 0, end: 2 }] }) }],
    ['what it may only load', { model: shape, tilers: other({}, { only: [{ start: 0, end: 2 }] }) }],
    ['weakness', { model: shape, tilers: other({}, { weak: true }) }],
    ['the price of a hop', { model: shape, tilers: other({}, { hopMs: 2 }) }],
    ['a bound of layers', { model: shape, tilers: other({}, { layersMax: 1 }) }]
  ])('are looked for again with %s', (_, question) => {
    const { count, tilings } = counted()
    tilings.leanest({ model: shape, tilers })
    tilings.leanest({ model: shape, tilers: views.map(view => tiler({ ...view })) })
    expect(count.leanest).toBe(1)
    expect(tilings.leanest(question)).toEqual(leanestTiling(question))
    expect(count.leanest).toBe(2)
  })

  it('are bounded, the oldest gone first, and told apart by what is searched for', () => {
    const { count, tilings } = counted()
    const ask = (weakMax: number) => tilings.fastest(shape, tilers, { weakMax })
    for (let weakMax = 0; weakMax <= tilingsMax; weakMax++) ask(weakMax)
    ask(tilingsMax)
    expect(count.fastest).toBe(tilingsMax + 1)
    ask(0)
    expect(count.fastest).toBe(tilingsMax + 2)
    tilings.fastest(shape, tilers, { weakMax: 0, atMostUs: 1 })
    tilings.leanest({ model: shape, tilers, weakMax: 0 })
    expect(count).toEqual({ fastest: tilingsMax + 3, leanest: 1 })
  })
})
