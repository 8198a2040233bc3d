/** Whoever follows placement step by step comes to rest: it neither goes around in circles nor undoes itself. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { place, planned } from '../../src/route/place.ts'
import { isServed } from '../../src/route/route.ts'
import type { ModelShape, PeerView } from '../../src/route/view.ts'
import { canHold, sameRange, stageBytes } from '../../src/route/view.ts'
import { modelArbitrary, peersArbitrary, runs, stage } from './worlds.ts'

/**
 * One step of one peer, as its planner takes it: load what the plan asks for beside the old stage, where there is no room
 * drop that first if nobody needs it, drop what is left once the plan serves without it. Undefined when it rests.
 */
function step(peers: readonly PeerView[], model: ModelShape, self: PeerId): PeerView[] | undefined {
  const view = peers.find(({ peer }) => peer === self)!
  const { stages } = place(peers, model)
  const target = stages.get(self) ?? null
  const others = view.stages.filter(each => target === null || !sameRange(each, target))
  const become = (own: PeerView['stages']) => peers.map(each => (each === view ? { ...each, stages: own } : each))
  const isNew = target !== null && others.length === view.stages.length
  if (!isNew && isServed(peers, model) && !isServed(planned(peers, stages), model)) return undefined
  const fits = (own: PeerView['stages']) =>
    isNew && [target, ...own].reduce((sum, each) => sum + stageBytes(model, each), 0) <= view.budgetBytes
  let own = view.stages
  for (const old of others) {
    if (fits(own)) break
    const left = own.filter(each => each !== old)
    if (isServed(peers, model) && !isServed(become(left), model)) continue
    own = left
    // What is in no plan goes one by one; for a plan that it has begun to make room for, a peer goes on.
    if (!isNew) break
  }
  if (fits(own)) return become([...own, stage(target!.start, target!.end)])
  return own === view.stages ? undefined : become(own)
}

/** The steps that `movers` take in turn until all rest, and what they did last. */
function follow(peers: readonly PeerView[], model: ModelShape, movers: readonly PeerId[]) {
  const path: string[] = []
  let now = peers
  for (let rested = 0; rested < movers.length && path.length < 12 * movers.length; ) {
    for (const mover of movers) {
      const next = step(now, model, mover)
      rested = next === undefined ? rested + 1 : 0
      if (rested === movers.length) break
      if (next === undefined) continue
      now = next
      const own = next.find(view => view.peer === mover)!.stages.map(({ start, end }) => `${start}-${end}`)
      path.push(`${mover.slice(-4)} ${own.join()}`)
    }
  }
  return { path, rests: movers.every(mover => step(now, model, mover) === undefined) }
}

interface Captured {
  readonly name: string
  readonly self: PeerId
  readonly model: ModelShape
  readonly peers: readonly PeerView[]
}

describe('a peer that follows placement', () => {
  const captured = JSON.parse(
    readFileSync(new URL('./fixtures/restless.json', import.meta.url), 'utf8')
  ) as readonly Captured[]

  it.each(captured)('rests where $name of a large swarm once did not', ({ self, model, peers }) => {
    const own = peers.find(view => view.peer === self)!.stages.filter(each => each.serving)
    const views = peers.map(view => (view.peer === self ? { ...view, stages: own } : view))
    const alone = follow(views, model, [self])
    expect(alone.rests, alone.path.join(' → ')).toBe(true)
    expect(alone.path.length).toBeLessThan(4)
    const all = follow(
      views,
      model,
      peers.map(view => view.peer)
    )
    expect(all.rests, all.path.join(' → ')).toBe(true)
  })

  // Peers as alike as drones are, with batteries, that have loaded anything: most moves are for the flight's sake.
  const alike = fc
    .record({
      layers: fc.integer({ min: 4, max: 12 }),
      reach: fc.integer({ min: 2, max: 7 }),
      peers: fc.integer({ min: 3, max: 9 })
    })
    .chain(({ layers, reach, peers }) => {
      const model: ModelShape = {
        ...captured[0]!.model,
        layers,
        layerBytes: new Array<number>(layers).fill(80_000_000)
      }
      const view = fc.record({
        battery: fc.integer({ min: 16, max: 100 }).map(percent => percent / 100),
        from: fc.nat(layers - 1),
        length: fc.nat(reach)
      })
      return fc.tuple(
        fc.constant(model),
        fc.array(view, { minLength: peers, maxLength: peers }).map(views =>
          views.map(({ battery, from, length }, index): PeerView => {
            const free: PeerView = {
              ...captured[0]!.peers[0]!,
              peer: `p${index}` as PeerId,
              budgetBytes: reach * 86_000_000,
              battery,
              stages: []
            }
            const own = stage(from, Math.min(layers, from + length))
            return own.end > own.start && canHold(free, model, own) ? { ...free, stages: [own] } : free
          })
        )
      )
    })
  const unlike = modelArbitrary(8).chain(model =>
    fc
      .tuple(
        peersArbitrary(model, 7, 2),
        fc.array(fc.tuple(fc.nat(7), fc.integer({ min: 0, max: 8 })), { minLength: 7, maxLength: 7 })
      )
      .map(([peers, spans]): [ModelShape, PeerView[]] => [
        model,
        peers.map((view, index) => {
          const own = stage(spans[index]![0], Math.min(model.layers, spans[index]![0] + spans[index]![1]))
          return own.end > own.start && canHold(view, model, own) ? { ...view, stages: [own] } : view
        })
      ])
  )

  it.each([
    ['alike', alike, 250],
    ['unlike', unlike, 250]
  ] as const)('rests within a few steps among peers that are %s', (_, worlds, times) => {
    fc.assert(
      fc.property(worlds, ([model, peers]) => {
        for (const { peer } of peers) {
          const alone = follow(peers, model, [peer])
          expect(alone.rests, alone.path.join(' → ')).toBe(true)
        }
        const all = follow(
          peers,
          model,
          peers.map(view => view.peer)
        )
        expect(all.rests, all.path.join(' → ')).toBe(true)
      }),
      runs(times)
    )
  })
})
