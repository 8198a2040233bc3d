/** Placement where shards lie on some disks only, and can be fetched from there. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { place } from '../../src/route/place.ts'
import { canHold, type PeerView, withObtainable } from '../../src/route/view.ts'
import { model, modelArbitrary, peer, peersArbitrary, plainModel, runs, show, stage, withStages } from './worlds.ts'

const nothing = { held: [], holdsEmbedding: false, holdsHead: false }
const layers = (start: number, end: number, more: Partial<PeerView> = {}) => ({ held: [{ start, end }], ...more })

function plan(peers: readonly PeerView[], shape = plainModel(6)): string[] {
  const { stages } = place(withObtainable(peers), shape)
  return [...stages].map(([id, range]) => `${id} ${range === null ? '-' : `${range.start}-${range.end}`}`)
}

describe('what others hold', () => {
  it('is a part of what a peer may load, as long as somebody holds it', () => {
    const [holder, other] = withObtainable([peer(0, 1, layers(0, 3)), peer(1, 9, { ...nothing, ...layers(3, 5) })])
    const shape = model(6, { tiedEmbeddings: true })
    const big = { ...other!, budgetBytes: 1e9 }
    expect(canHold(big, shape, { start: 0, end: 5 })).toBe(true)
    expect(canHold(big, shape, { start: 0, end: 6 })).toBe(false)
    expect(canHold({ ...holder!, budgetBytes: 1e9 }, shape, { start: 2, end: 4 })).toBe(true)
    const { obtainable: _, ...alone } = big
    expect(canHold(alone, shape, { start: 2, end: 4 })).toBe(false)
  })

  it.each<{ name: string; peers: PeerView[]; plan: string[] }>([
    { name: 'one copy is enough for all', peers: [peer(0, 3), peer(1, 3, nothing)], plan: ['p000 0-3', 'p001 3-6'] },
    {
      name: 'who can hold all does, although it must fetch all',
      peers: [peer(0, 6), peer(1, 6, nothing)],
      plan: ['p000 0-6', 'p001 0-6']
    },
    {
      name: 'a tiling from disks goes before one with fewer hops that must be fetched first',
      peers: [peer(0, 2, layers(0, 2)), peer(1, 2, layers(2, 4)), peer(2, 2, layers(4, 6)), peer(3, 4, nothing)],
      plan: ['p000 0-2', 'p001 2-4', 'p002 4-6', 'p003 2-6']
    },
    {
      name: 'a pinned peer may fetch its layers',
      peers: [peer(0, 6), peer(1, 3, { ...nothing, pinned: { start: 1, end: 4 } })],
      plan: ['p000 0-6', 'p001 1-4']
    },
    {
      name: 'what nobody holds nobody loads',
      peers: [peer(0, 6, layers(0, 4)), peer(1, 6, nothing)],
      plan: ['p000 0-4', 'p001 -']
    }
  ])('$name', ({ peers, plan: expected }) => {
    expect(plan(peers)).toEqual(expected)
  })

  it('gives a second copy to those who need to fetch least', () => {
    const serving = [peer(0, 3, { stages: [stage(0, 3)] }), peer(1, 3, { stages: [stage(3, 6)] })]
    const spare = [peer(2, 3, { ...nothing, ...layers(3, 6) }), peer(3, 3, { ...nothing, ...layers(0, 3) })]
    expect(plan([...serving, ...spare])).toEqual(['p000 0-3', 'p001 3-6', 'p002 3-6', 'p003 0-3'])
  })

  it('keeps the stage of a peer that is still fetching it', () => {
    const peers = [
      peer(0, 3, { stages: [stage(0, 3)] }),
      peer(1, 3, { ...nothing, stages: [{ ...stage(3, 6), serving: false }] })
    ]
    expect(plan(peers)).toEqual(['p000 0-3', 'p001 3-6'])
  })

  it('changes no plan where everybody holds all', () => {
    const cases = modelArbitrary(5).chain(shape => fc.tuple(fc.constant(shape), peersArbitrary(shape, 6)))
    fc.assert(
      fc.property(cases, ([shape, peers]) => {
        const whole = { held: [{ start: 0, end: 1000 }], holdsEmbedding: true, holdsHead: true }
        const all = peers.map(view => ({ ...view, ...whole }))
        expect(show(place(withObtainable(all), shape).stages)).toEqual(show(place(all, shape).stages))
      }),
      runs(100)
    )
  })

  it('covers what one holder and the budgets can cover, and settles', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 }), budgets => {
        const shape = plainModel(6)
        const peers = budgets.map((budget, i) => peer(i, budget, i === 0 ? {} : nothing))
        const { stages, missing } = place(withObtainable(peers), shape)
        expect(missing === null).toBe(budgets.reduce((sum, budget) => sum + budget, 0) >= 6)
        // What was fetched and loaded stays where it is.
        const loaded = peers.map(view => {
          const range = stages.get(view.peer) ?? null
          const held = range === null || view.holdsHead ? view.held : [range]
          return withStages({ ...view, held }, stages)
        })
        expect(show(place(withObtainable(loaded), shape).stages)).toEqual(show(stages))
      }),
      runs(200)
    )
  })
})
