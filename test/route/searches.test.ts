/** How often a plan is searched for: never again where nothing that placement reads has changed. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { missingGraceMs, planSearchMs, planSettleMs, searchesMax } from '../../src/route/limits.ts'
import { answerRoute, noRouteSentence } from '../../src/route/asking.ts'
import { type Plan, place } from '../../src/route/place.ts'
import { Planner } from '../../src/route/planner.ts'
import { Routing } from '../../src/route/routing-service.ts'
import { placementKey, Searches } from '../../src/route/searches.ts'
import type { ModelShape, PeerView } from '../../src/route/view.ts'
import { model, modelArbitrary, peer, peerId, peersArbitrary, plainModel, runs, stage } from './worlds.ts'

const shape = plainModel(4)
const none: ReadonlySet<PeerId> = new Set()

/** Searches that are counted. */
function counted() {
  const asked: (readonly PeerView[])[] = []
  const searches = new Searches((peers, of) => {
    asked.push(peers)
    return place(peers, of)
  })
  return { asked, searches }
}

describe('the planner', () => {
  const me = peerId(1)
  const settled = (peers: readonly PeerView[]) => {
    const { asked, searches } = counted()
    const planner = new Planner(me, 0, searches)
    planner.handle({ kind: 'view', peers, model: shape }, 0)
    planner.handle({ kind: 'tick' }, planSettleMs)
    planner.handle({ kind: 'loaded', range: { start: 2, end: 4 } }, planSettleMs + 100)
    expect(asked.length).toBe(2)
    return { asked, planner, before: asked.length }
  }
  const peers = [peer(0, 2, { stages: [stage(0, 2)] }), peer(1, 2)]

  it('does not search again at records that change nothing', () => {
    const { asked, planner, before } = settled(peers)
    expect(planner.stages).toMatchObject([{ range: { start: 2, end: 4 }, state: 'serving' }])
    for (let record = 0; record < 100; record++) {
      const busier = peers.map(view => ({ ...view, sessions: record }))
      planner.handle(
        { kind: 'view', peers: record % 2 === 0 ? busier : busier.toReversed(), model: shape },
        2000 + record
      )
    }
    expect(asked.length).toBe(before)
  })

  it('searches again at a change, and at changes without end once in a while', () => {
    const { asked, planner, before } = settled(peers)
    for (let atMs = 2000; atMs < 2000 + 10 * planSettleMs; atMs += 10) {
      const slower = peers.map(view => ({ ...view, layerMs: 1 + atMs / 1e6 }))
      planner.handle({ kind: 'view', peers: slower, model: shape }, atMs)
    }
    expect(asked.length - before).toBe(10)
    // What changed last is not forgotten.
    const effects = planner.handle({ kind: 'tick' }, 2000 + 10 * planSettleMs)
    expect(effects).toEqual([])
    expect(asked.at(-1)!.find(view => view.peer === peerId(0))!.layerMs).toBeCloseTo(
      1 + (1990 + 10 * planSettleMs) / 1e6
    )
  })
})

describe('sessions that wait', () => {
  const small = [peer(0, 1), peer(1, 1)]

  it('share one search with each other and with the planner', async () => {
    const { asked, searches } = counted()
    let now: readonly PeerView[] = small
    const routing = new Routing({ self: peerId(1), peers: () => now, searches })
    const controller = new AbortController()
    const told: string[] = []
    const waiting = Array.from({ length: 20 }, () =>
      routing.route(shape, none, { signal: controller.signal, onWait: explain => told.push(explain()) }).catch(() => {})
    )
    const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
    for (let record = 0; record < 10; record++) {
      now = small.map(view => ({ ...view, sessions: record }))
      routing.changed()
      await turn()
    }
    expect(told.length).toBeGreaterThanOrEqual(20 * 10)
    searches.plan(now, shape, performance.now())
    expect(asked.length).toBe(1)
    controller.abort()
    await Promise.all(waiting)
    expect(asked.length).toBe(1)
  })

  it('search once in a while where all changes all the time', () => {
    const { asked, searches } = counted()
    for (let atMs = 0; atMs < 10 * planSearchMs; atMs += 10) {
      const views = small.map(view => ({ ...view, layerMs: 1 + atMs }))
      answerRoute(views, shape, {
        from: peerId(9),
        excluded: none,
        inflight: new Map(),
        waitedMs: missingGraceMs,
        search: (peers, of) => searches.planSoon(peers, of, atMs)
      })
    }
    expect(asked.length).toBe(10)
  })

  it('are not told of a budget before it is known, and then of the right one', () => {
    let plan: Plan | undefined
    expect(noRouteSentence(small, shape, none, () => plan)).toBeUndefined()
    plan = place(small, shape)
    expect(noRouteSentence(small, shape, none, () => plan)).toBe(noRouteSentence(small, shape, none))
  })
})

describe('what has been found', () => {
  it('is what placement finds, whatever the order of the views, and is bounded', () => {
    const worlds = modelArbitrary(8).chain(of => fc.tuple(fc.constant(of), peersArbitrary(of, 6)))
    const { asked, searches } = counted()
    fc.assert(
      fc.property(worlds, ([of, peers]: [ModelShape, PeerView[]]) => {
        // Models of one id have one shape.
        const named = { ...of, id: JSON.stringify(of) as ModelShape['id'] }
        expect(searches.plan(peers, named, 0)).toEqual(place(peers, named))
        const before = asked.length
        expect(searches.plan(peers.toReversed(), named, 0)).toEqual(place(peers, named))
        expect(asked.length).toBe(before)
      }),
      runs(100)
    )
    asked.length = 0
    for (let i = 0; i <= searchesMax; i++) searches.plan([peer(i, 4)], shape, 0)
    searches.plan([peer(searchesMax, 4)], shape, 0)
    expect(asked.length).toBe(searchesMax + 1)
    searches.plan([peer(0, 4)], shape, 0)
    expect(asked.length).toBe(searchesMax + 2)
  })

  it.each<[string, Partial<PeerView>]>([
    ['a budget', { budgetBytes: 99 }],
    ['shards', { held: [{ start: 0, end: 3 }] }],
    ['an embedding', { holdsEmbedding: false }],
    ['a head', { holdsHead: false }],
    ['a pin', { pinned: { start: 0, end: 1 } }],
    ['a visit', { visitMs: 2 }],
    ['a layer', { layerMs: 2 }],
    ['a class', { numericClass: 'b' }],
    ['a stage', { stages: [stage(0, 1)] }],
    ['a stage that does not serve yet', { stages: [stage(0, 1, false)] }],
    ['a battery', { battery: 0.5 }],
    ['a percent of it', { battery: 0.51 }],
    ['what others give', { obtainable: { held: [{ start: 0, end: 4 }], holdsEmbedding: true, holdsHead: false } }],
    ['leaving', { leaving: true }]
  ])('is looked for again when %s is another one', (_, change) => {
    const plain = peer(0, 4, change.battery === 0.51 ? { battery: 0.5 } : {})
    expect(placementKey([{ ...plain, ...change }])).not.toBe(placementKey([plain]))
    expect(placementKey([{ ...plain, sessions: 7 }])).toBe(placementKey([plain]))
  })

  it('is not mixed up among models', () => {
    const { searches } = counted()
    const other = { ...model(2), id: 'n' as ModelShape['id'] }
    expect(searches.plan([peer(0, 4)], shape, 0).coverage.length).toBe(4)
    expect(searches.plan([peer(0, 4)], other, 0).coverage.length).toBe(2)
  })
})
