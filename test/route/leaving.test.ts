/** Departures and partings of planners in virtual time: nobody pauses who need not, and nobody moves twice. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { place } from '../../src/route/place.ts'
import { isServed } from '../../src/route/route.ts'
import { sameRange } from '../../src/route/view.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { Flock } from './flock.ts'
import { modelArbitrary, peer, peerId, peersArbitrary, plainModel, runs, stage } from './worlds.ts'

const settledMs = 60_000

describe('placement and a peer that is leaving', () => {
  it('plans as if it were gone, though its stage serves', () => {
    const shape = plainModel(4)
    const peers = [
      peer(0, 2, { stages: [stage(0, 2)] }),
      peer(1, 2, { stages: [stage(2, 4)], leaving: true }),
      peer(2, 2)
    ]
    const plan = place(peers, shape)
    expect(plan.stages).toEqual(
      new Map([
        [peerId(0), { start: 0, end: 2 }],
        [peerId(1), null],
        [peerId(2), { start: 2, end: 4 }]
      ])
    )
    expect(plan.coverage).toEqual([1, 1, 1, 1])
    expect(isServed(peers, shape)).toBe(true)
    expect(place(peers.slice(0, 2), shape).missing).toEqual({ layers: [{ start: 2, end: 4 }], bytes: 2 })
  })

  it('is the same plan before and after a peer has dropped its stage to make room', () => {
    // Layers that a peer holds, visitMs, layerMs, and what it serves; the second one leaves. For [20, 23) the sixth had
    // the least to load, but it must drop [9, 14) first; then the plan was another one, and wanted [9, 14) again.
    const rows = [
      [13, 1.5, 10.5, 7, 20],
      [3, 1.4, 1.2, 20, 23],
      [2, 1.7, 2, 23, 25],
      [3, 4.1, 3.1, 0, 3],
      [3, 3.3, 7.9, 0, 3],
      [5, 4.2, 1.1, 9, 14],
      [5, 0.7, 2.8, 14, 19],
      [10, 2.1, 7.1, 19, 20],
      [4, 1, 1.1, 3, 7],
      [2, 1.6, 1.4, 7, 9]
    ] as const
    const shape = { ...plainModel(25), stepBytes: 2068 }
    const views = rows.map(([budget, visitMs, layerMs, start, end], index) =>
      peer(index, budget, { visitMs, layerMs, stages: [stage(start, end)], leaving: index === 1 })
    )
    const before = place(views, shape)
    expect(isServed(views, shape)).toBe(true)
    for (const view of views) {
      const range = before.stages.get(view.peer)!
      const [own] = view.stages
      const isStaying = range === null || sameRange(range, own!)
      if (isStaying || range.end - range.start + own!.end - own!.start <= view.budgetBytes) continue
      const after = place(
        views.map(other => (other === view ? { ...view, stages: [] } : other)),
        shape
      )
      expect(after.stages.get(view.peer)).toEqual(range)
    }
    expect(before.missing).toBeNull()
  })

  it('an idle peer loads its layers before it drops them', () => {
    const flock = new Flock({ model: plainModel(4), seed: 1, loadMsPerByte: 500 })
    for (let index = 0; index < 2; index++) flock.join(peer(index, 2), 0)
    flock.join(peer(2, 2, { held: [{ start: 2, end: 4 }] }), 10_000)
    flock.run(20_000)
    const leaver = flock.views().find(view => view.stages[0]?.start === 2)!.peer
    flock.depart(leaver, 20_000)
    flock.run(30_000)
    expect(flock.pauses).toEqual([])
    expect(flock.views().find(view => view.peer === leaver)!.stages).toEqual([])
    expect(flock.isWhole()).toBe(true)
  })

  const world = modelArbitrary(8).chain(model =>
    fc.record({
      model: fc.constant(model),
      peers: peersArbitrary(model, 7, 2),
      seed: fc.nat(1e6),
      leaver: fc.nat(6),
      sides: fc.array(fc.nat(1), { minLength: 7, maxLength: 7 })
    })
  )

  it('in random swarms no departure pauses a model that the others cover as they are', () => {
    fc.assert(
      fc.property(world, ({ model, peers, seed, leaver }) => {
        const flock = new Flock({ model, seed })
        for (const member of peers) flock.join(member, 0)
        flock.run(settledMs)
        const leaving = peers[leaver % peers.length]!.peer
        const others = flock.views().filter(view => view.peer !== leaving)
        const covered = isServed(others, model)
        const before = flock.loads.length
        flock.depart(leaving, settledMs)
        flock.run(2 * settledMs)
        expect(flock.pauses).toEqual([])
        if (covered) expect(flock.views().find(view => view.peer === leaving)!.stages).toEqual([])
        expect(flock.loads.slice(before).filter(load => load.peer === leaving)).toEqual([])
        expect(flock.loads.length - before).toBeLessThanOrEqual(2 * peers.length)
      }),
      runs(150)
    )
  })

  it('a parted swarm serves on each side that can, and settles when it meets again, without a pause', () => {
    fc.assert(
      fc.property(world, ({ model, peers, seed, sides }) => {
        const flock = new Flock({ model, seed })
        for (const member of peers) flock.join(member, 0)
        flock.run(settledMs)
        const sideOf = (id: PeerId): number => sides[peers.findIndex(member => member.peer === id)]!
        flock.split(sideOf, settledMs)
        flock.run(2 * settledMs)
        for (const side of [0, 1]) {
          const own = peers.filter(member => sideOf(member.peer) === side)
          const views = flock.views().filter(view => sideOf(view.peer) === side)
          if (own.length > 0 && place(views, model).missing === null) expect(flock.isSideWhole(side)).toBe(true)
        }
        const before = flock.loads.length
        flock.pauses = []
        flock.merge(2 * settledMs)
        flock.run(3 * settledMs)
        expect(flock.pauses).toEqual([])
        expect(flock.loads.length - before).toBeLessThanOrEqual(2 * peers.length)
        const moves = flock.loads.length
        flock.run(4 * settledMs)
        expect(flock.loads.length).toBe(moves)
      }),
      runs(150)
    )
  })
})
