/** Departures and partings of planners in virtual time: nobody pauses who need not, and nobody moves twice. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { place } from '../../src/route/place.ts'
import { isServed } from '../../src/route/route.ts'
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
