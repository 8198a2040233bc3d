import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planAloneMs, planDrainMs, planRetryMs, planSettleMaxMs, planSettleMs } from '../../src/route/limits.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { place } from '../../src/route/place.ts'
import { Planner } from '../../src/route/planner.ts'
import type { ModelShape, PeerView } from '../../src/route/view.ts'
import { stageBytes } from '../../src/route/view.ts'
import { Flock } from './flock.ts'
import { model, modelArbitrary, peer, peerId, peersArbitrary, plainModel, stage, runs } from './worlds.ts'

const shape = plainModel(4)
const me = peerId(1)
const view = (...peers: PeerView[]) => ({ kind: 'view' as const, peers, model: shape })

describe('the planner, step by step', () => {
  it('waits for others at the start, but not for long', () => {
    const planner = new Planner(me, 0)
    expect(planner.handle(view(peer(1, 2)), 10)).toEqual([{ kind: 'wake', atMs: planAloneMs }])
    expect(planner.handle({ kind: 'tick' }, planAloneMs)).toEqual([{ kind: 'load', range: { start: 0, end: 2 } }])
  })

  it('loads the whole model at once when it can', () => {
    expect(new Planner(me, 0).handle(view(peer(1, 4)), 10)).toEqual([{ kind: 'load', range: { start: 0, end: 4 } }])
  })

  it('loads pinned layers at once', () => {
    const pinned = { start: 1, end: 2 }
    expect(new Planner(me, 0).handle(view(peer(1, 4, { pinned })), 10)).toEqual([{ kind: 'load', range: pinned }])
  })

  it('lets the view settle, but acts when it never does', () => {
    const planner = new Planner(me, 0)
    planner.handle(view(peer(0, 2), peer(1, 2)), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs - 1)).toEqual([{ kind: 'wake', atMs: planSettleMs }])
    let acted = -1
    for (let nowMs = 100; acted < 0 && nowMs < 10_000; nowMs += 100) {
      // Each view differs from the one before.
      const effects = planner.handle(view(peer(0, 2 + (nowMs % 200) / 100), peer(1, 2)), nowMs)
      if (effects.some(effect => effect.kind === 'load')) acted = nowMs
    }
    expect(acted).toBe(planSettleMaxMs)
  })

  it('does not wait again for what does not matter to placement', () => {
    const planner = new Planner(me, 0)
    planner.handle(view(peer(0, 2), peer(1, 2)), 0)
    const later = view(peer(0, 2, { sessions: 3, layerMs: 1.01, battery: 0.9 }), peer(1, 2))
    expect(planner.handle(later, planSettleMs)[0]).toMatchObject({ kind: 'load' })
  })

  it('does one thing at a time', () => {
    const planner = new Planner(me, 0)
    planner.handle(view(peer(0, 2), peer(1, 2)), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toHaveLength(1)
    planner.handle(view(peer(0, 2), peer(1, 2), peer(2, 2)), 5000)
    expect(planner.handle({ kind: 'tick' }, 50_000)).toEqual([])
    expect(planner.handle({ kind: 'tick' }, 60_000)).toEqual([])
  })

  it('gives up a load that the plan has come to do without, once the view is quiet', () => {
    const part = { start: 0, end: 2 }
    const planner = new Planner(me, 0)
    planner.handle(view(peer(0, 2), peer(1, 2, { held: [part] })), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toEqual([{ kind: 'load', range: part }])
    expect(planner.handle(view(peer(1, 9)), 5000)).toEqual([{ kind: 'wake', atMs: 5000 + planSettleMs }])
    expect(planner.handle({ kind: 'tick' }, 5000 + planSettleMs)).toEqual([{ kind: 'unload', range: part }])
    expect(planner.stages).toMatchObject([{ range: part, state: 'unloading' }])
    // It was there just then: whoever did it unloads it again and says so.
    expect(planner.handle({ kind: 'loaded', range: part }, 6000)).toEqual([])
    expect(planner.handle({ kind: 'loadFailed', range: part, message: 'aborted' }, 6000)).toEqual([])
    expect(planner.failure).toBeNull()
    expect(planner.handle({ kind: 'unloaded', range: part }, 6001)).toEqual([
      { kind: 'load', range: { start: 0, end: 4 } }
    ])
  })

  it('gives up a load when its peer is about to leave', () => {
    const planner = new Planner(me, 0)
    planner.handle(view(peer(0, 4), peer(1, 4)), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toMatchObject([{ kind: 'load' }])
    planner.handle(view(peer(0, 4), peer(1, 4, { leaving: true })), 5000)
    expect(planner.handle({ kind: 'tick' }, 5000 + planSettleMs)).toMatchObject([{ kind: 'unload' }])
  })

  it('waits longer after each failure', () => {
    const planner = new Planner(me, 0)
    const range = { start: 0, end: 4 }
    planner.handle(view(peer(1, 4)), 0)
    const failed = { kind: 'loadFailed' as const, range, message: 'disk full' }
    expect(planner.handle(failed, 100)).toEqual([{ kind: 'wake', atMs: 100 + planRetryMs }])
    expect(planner.failure).toEqual({ range, message: 'disk full' })
    expect(planner.handle({ kind: 'tick' }, 100 + planRetryMs)).toEqual([{ kind: 'load', range }])
    expect(planner.handle(failed, 2000)).toEqual([{ kind: 'wake', atMs: 2000 + 2 * planRetryMs }])
    planner.handle({ kind: 'tick' }, 2000 + 2 * planRetryMs)
    planner.handle({ kind: 'loaded', range }, 9000)
    expect(planner.failure).toBeNull()
  })

  /** A planner that serves [0, 2) beside others, and whose plan then becomes the whole model. */
  function serving(budget: number, others: PeerView[]): Planner {
    const planner = new Planner(me, 0)
    const part = { held: [{ start: 0, end: 2 }] }
    planner.handle(view(peer(1, budget, part), ...others), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toEqual([{ kind: 'load', range: { start: 0, end: 2 } }])
    expect(planner.handle({ kind: 'loaded', range: { start: 0, end: 2 } }, 1000)).toEqual([])
    return planner
  }
  const tail = peer(2, 2, { stages: [stage(2, 4)] })
  const head = peer(3, 2, { stages: [stage(0, 2)] })

  it('makes the new stage before it breaks the old one', () => {
    const planner = serving(6, [tail])
    planner.handle(view(peer(1, 6), tail), 2000)
    expect(planner.handle({ kind: 'tick' }, 2000 + planSettleMs)).toEqual([
      { kind: 'load', range: { start: 0, end: 4 } }
    ])
    expect(planner.handle({ kind: 'loaded', range: { start: 0, end: 4 } }, 3000)).toEqual([
      { kind: 'unload', range: { start: 0, end: 2 } }
    ])
    expect(planner.handle({ kind: 'unloaded', range: { start: 0, end: 2 } }, 3010)).toEqual([])
    expect(planner.stages).toEqual([{ range: { start: 0, end: 4 }, state: 'serving', sessions: 0 }])
  })

  it('keeps the old stage where both do not fit and nobody else serves its layers', () => {
    const planner = serving(4, [tail])
    planner.handle(view(peer(1, 4), tail), 2000)
    expect(planner.handle({ kind: 'tick' }, 2000 + planSettleMs)).toEqual([])
  })

  it('breaks it first where others serve its layers', () => {
    const planner = serving(4, [tail, head])
    planner.handle(view(peer(1, 4), tail, head), 2000)
    expect(planner.handle({ kind: 'tick' }, 2000 + planSettleMs)).toEqual([
      { kind: 'unload', range: { start: 0, end: 2 } }
    ])
    expect(planner.handle({ kind: 'unloaded', range: { start: 0, end: 2 } }, 3000)).toEqual([
      { kind: 'load', range: { start: 0, end: 4 } }
    ])
  })

  it('goes on with the plan that it made room for, although without its stage it would find another', () => {
    // What it has begun to drop a stage for, others have begun too: each would else take its part of what all drop.
    const nine = plainModel(9)
    const others = (...stages: PeerView['stages']) => [
      peer(2, 5, { visitMs: 2.9, layerMs: 3.1, stages: [stage(0, 4)] }),
      peer(3, 5, { visitMs: 1.4, layerMs: 5.6, stages: [stage(4, 9)] }),
      peer(4, 7, { visitMs: 0.5, layerMs: 1.1, stages })
    ]
    const own = peer(1, 6, { visitMs: 5, layerMs: 0.8 })
    const seen = (...stages: PeerView['stages']) =>
      ({ kind: 'view', peers: [own, ...others(...stages)], model: nine }) as const
    const planner = new Planner(me, 0)
    planner.handle(seen(stage(2, 9, false)), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toEqual([{ kind: 'load', range: { start: 0, end: 2 } }])
    planner.handle(seen(stage(0, 4, false)), 5000)
    const gone = { start: 0, end: 2 }
    expect(planner.handle({ kind: 'tick' }, 5000 + planSettleMs)).toEqual([{ kind: 'unload', range: gone }])
    const wanted = planner.plan!.stages.get(me)
    expect(place(seen(stage(0, 4, false)).peers, nine).stages.get(me)).not.toEqual(wanted)
    // The view comes again, with what does not matter to placement.
    planner.handle(seen(stage(0, 4, false)), 6000)
    expect(planner.handle({ kind: 'unloaded', range: gone }, 6001)).toEqual([{ kind: 'load', range: wanted }])
  })

  it('keeps its stage while the one that completes it is on its way', () => {
    const range = { start: 0, end: 2 }
    const coming = peer(2, 2, { stages: [stage(2, 4, false)] })
    const planner = new Planner(me, 0)
    planner.handle(view(peer(1, 2), coming), 0)
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toEqual([{ kind: 'load', range }])
    planner.handle({ kind: 'loaded', range }, 1000)
    // Its battery is weak now, so the plan wants another peer in its place, which has not begun yet.
    const weak = view(peer(1, 2, { battery: 0.05 }), coming, peer(3, 2))
    planner.handle(weak, 2000)
    expect(planner.handle({ kind: 'tick' }, 2000 + planSettleMs)).toEqual([])
    expect(planner.plan?.stages.get(me)).toBeNull()
  })

  it('does not rely on a peer of lower id that is about to break the same', () => {
    const range = { start: 0, end: 2 }
    const ids = [peerId(1), peerId(2)]
    const effects = ids.map((id, index) => {
      // Both serve [0, 2) and now got the shards, but not the memory, to hold all of it beside that.
      const other = (held: PeerView['held']) =>
        peer(2 - index, 4, { held, stages: [stage(0, 2)], layerMs: index === 0 ? 1.1 : 1 })
      const own = (held: PeerView['held']) => peer(1 + index, 4, { held, layerMs: index === 0 ? 1 : 1.1 })
      const planner = new Planner(id, 0)
      planner.handle(view(own([range]), peer(3, 2, { stages: [stage(2, 4)] })), 0)
      expect(planner.handle({ kind: 'tick' }, planSettleMs)).toEqual([{ kind: 'load', range }])
      planner.handle({ kind: 'loaded', range }, 1000)
      const all = [{ start: 0, end: 4 }]
      planner.handle(view(own(all), other(all), peer(3, 2, { stages: [stage(2, 4)] })), 2000)
      return planner.handle({ kind: 'tick' }, 2000 + planSettleMs)
    })
    expect(effects).toEqual([[{ kind: 'unload', range }], []])
  })

  it('keeps a surplus stage until the plan serves without it', () => {
    const sizes = { layerBytes: [10, 9, 14], embeddingBytes: 2, headBytes: 20, tiedEmbeddings: true }
    const shared = model(3, { ...sizes, cacheBytesPerLayer: 2, stageBytes: 4 })
    const weak = peer(2, 53, { battery: 0.05, stages: [stage(1, 3)] })
    const other = peer(3, 42, { stages: [stage(0, 1)] })
    const seen = (end: number) => ({
      kind: 'view' as const,
      model: shared,
      peers: [peer(1, 47, { held: [{ start: 0, end }] }), weak, other]
    })
    const planner = new Planner(me, 0)
    planner.handle(seen(1), 0)
    const copy = { start: 0, end: 1 }
    expect(planner.handle({ kind: 'tick' }, planSettleMs)).toEqual([{ kind: 'load', range: copy }])
    planner.handle({ kind: 'loaded', range: copy }, 1000)
    planner.handle(seen(2), 2000)
    const wanted = { start: 0, end: 2 }
    expect(planner.handle({ kind: 'tick' }, 2000 + planSettleMs)).toEqual([{ kind: 'load', range: wanted }])
    // The other peer can give up [0, 1) for [2, 3) only while this one serves it.
    expect(planner.handle({ kind: 'loaded', range: wanted }, 3000)).toEqual([])
    const moved = { ...seen(2), peers: [seen(2).peers[0]!, weak, peer(3, 42, { stages: [stage(2, 3)] })] }
    planner.handle(moved, 4000)
    expect(planner.handle({ kind: 'tick' }, 4000 + planSettleMs)).toEqual([{ kind: 'unload', range: copy }])
  })

  it('lets running sessions end, up to a deadline', () => {
    const range = { start: 0, end: 2 }
    const planner = serving(4, [tail, head])
    planner.handle({ kind: 'sessions', range, count: 1 }, 1500)
    planner.handle(view(peer(1, 4), tail, head), 2000)
    const sinceMs = 2000 + planSettleMs
    expect(planner.handle({ kind: 'tick' }, sinceMs)).toEqual([{ kind: 'wake', atMs: sinceMs + planDrainMs }])
    expect(planner.handle({ kind: 'tick' }, sinceMs + 9000)).toEqual([{ kind: 'wake', atMs: sinceMs + planDrainMs }])
    expect(planner.going).toEqual([range])
    const ended = serving(4, [tail, head])
    ended.handle({ kind: 'sessions', range, count: 1 }, 1500)
    ended.handle(view(peer(1, 4), tail, head), 2000)
    ended.handle({ kind: 'tick' }, sinceMs)
    expect(ended.handle({ kind: 'sessions', range, count: 0 }, 5000)).toEqual([{ kind: 'unload', range }])
    expect(planner.handle({ kind: 'tick' }, sinceMs + planDrainMs)).toEqual([{ kind: 'unload', range }])
  })

  it('says which stage is to go, and that it stays when it is needed after all, with all its time', () => {
    const range = { start: 0, end: 2 }
    const planner = serving(4, [tail, head])
    expect(planner.going).toEqual([])
    planner.handle({ kind: 'sessions', range, count: 1 }, 1500)
    planner.handle(view(peer(1, 4), tail, head), 2000)
    const sinceMs = 2000 + planSettleMs
    planner.handle({ kind: 'tick' }, sinceMs)
    expect(planner.going).toEqual([range])
    planner.handle(view(peer(1, 4), tail), sinceMs + 1000)
    planner.handle({ kind: 'tick' }, sinceMs + 1000 + planSettleMs)
    expect(planner.going).toEqual([])
    planner.handle(view(peer(1, 4), tail, head), sinceMs + 5000)
    const againMs = sinceMs + 5000 + planSettleMs
    expect(planner.handle({ kind: 'tick' }, againMs)).toEqual([{ kind: 'wake', atMs: againMs + planDrainMs }])
    expect(planner.going).toEqual([range])
    // Of a peer that is about to go, everybody knows it.
    planner.handle(view(peer(1, 4, { leaving: true }), tail, head), againMs + 1000)
    expect(planner.going).toEqual([])
  })
})

describe('planners together', () => {
  const settled = 60_000

  function expectSettled(flock: Flock, shared: ModelShape): void {
    const views = flock.views()
    const plan = place(views, shared)
    expect(flock.isWhole()).toBe(plan.missing === null)
    // Everyone has what the plan of the true view says, and nobody has moved for a while.
    for (const member of views) {
      const target = plan.stages.get(member.peer) ?? null
      if (target !== null) expect(member.stages).toContainEqual({ ...target, serving: true })
    }
    expect(flock.lastMoveMs).toBeLessThan(flock.nowMs - 10_000)
  }

  it('three peers that start at once share the model, each loading once', () => {
    const shared = plainModel(6)
    const flock = new Flock({ model: shared, seed: 1 })
    for (let index = 0; index < 3; index++) flock.join(peer(index, 2), 0)
    flock.run(settled)
    expectSettled(flock, shared)
    expect(flock.loads).toHaveLength(3)
    expect(flock.unloads).toHaveLength(0)
  })

  it('a peer that comes 10 s late completes the model without moving the others', () => {
    const shared = plainModel(6)
    const flock = new Flock({ model: shared, seed: 2 })
    flock.join(peer(0, 2), 0)
    flock.join(peer(1, 2), 0)
    flock.join(peer(2, 2), 10_000)
    flock.run(settled)
    expectSettled(flock, shared)
    expect(flock.loads).toHaveLength(3)
  })

  it('peers whose budgets hold the model exactly once find that one way, whoever comes late', () => {
    // As in small real models, the embedding outweighs many layers.
    for (const tiedEmbeddings of [false, true]) {
      const ends = { embeddingBytes: 100, headBytes: tiedEmbeddings ? 1 : 101, tiedEmbeddings }
      const exact = model(6, ends)
      const budgets = [0, 2, 4].map(start => stageBytes(exact, { start, end: start + 2 }))
      for (let late = 0; late < 3; late++) {
        for (let seed = 0; seed < 10; seed++) {
          const flock = new Flock({ model: exact, seed })
          for (const [index, budget] of budgets.entries()) {
            flock.join(peer(index, budget), index === late ? 10_000 : index * 100)
          }
          flock.run(settled)
          expectSettled(flock, exact)
          expect(flock.isWhole()).toBe(true)
        }
      }
    }
  })

  it('serve again soon after a peer has left whose layers others can take', () => {
    const shared = plainModel(6)
    const flock = new Flock({ model: shared, seed: 3 })
    for (let index = 0; index < 4; index++) flock.join(peer(index, 3), 0)
    flock.run(20_000)
    expect(Math.min(...place(flock.views(), shared).coverage)).toBe(2)
    flock.leave(peerId(0), 20_000)
    flock.leave(peerId(1), 20_000)
    flock.run(20_000 + 1000 + planSettleMaxMs)
    expect(flock.isWhole()).toBe(true)
  })

  it('a spare stage stays while it lets others move', () => {
    // The fast peer gives up [0, 3) for [0, 5) only while the two spare ones serve what it drops.
    const layerBytes = [8, 11, 14, 14, 13, 14]
    const unequal = model(6, { layerBytes, embeddingBytes: 0, headBytes: 1, stageBytes: 5 })
    const flock = new Flock({ model: unequal, seed: 0 })
    flock.join(peer(1, 32, { visitMs: 0, layerMs: 0.3 }), 0)
    flock.join(peer(3, 70, { visitMs: 0, layerMs: 0.1 }), 646)
    flock.join(peer(5, 35, { visitMs: 0, layerMs: 0.2 }), 954)
    flock.join(peer(6, 50, { visitMs: 0, layerMs: 1.2 }), 0)
    flock.run(settled)
    expectSettled(flock, unequal)
    expect(flock.pauses).toEqual([])
    expect(flock.loads.length).toBeLessThan(9)
    expect(place(flock.views(), unequal).stages.get(peerId(3))).toEqual({ start: 0, end: 5 })
  })

  it('move once on each side of a swarm that parts, though each is alone there for some seconds, and nobody when it meets again', () => {
    // As in small real models, the second half is larger by little: the embedding and the head.
    const halves = model(6, { embeddingBytes: 40, headBytes: 1, tiedEmbeddings: true })
    const flock = new Flock({ model: halves, seed: 4 })
    for (let index = 0; index < 4; index++) flock.join(peer(index, stageBytes(halves, { start: 3, end: 6 })), 0)
    flock.run(20_000)
    const starts = new Map(flock.views().map(({ peer, stages }) => [peer, stages[0]!.start]))
    const sideOf = (peer: PeerId): number => starts.get(peer)!
    flock.split(sideOf, 20_000)
    flock.run(30_000)
    expect([flock.isSideWhole(0), flock.isSideWhole(3)]).toEqual([true, true])
    // Busy machines answer late, and are taken for silent.
    const alone = new Map([...starts.keys()].map((peer, index) => [peer, 10 + index]))
    flock.split(peer => alone.get(peer)!, 30_000)
    flock.merge(35_000, sideOf)
    flock.run(45_000)
    expect([flock.isSideWhole(0), flock.isSideWhole(3)]).toEqual([true, true])
    expect(flock.loads.filter(({ atMs }) => atMs >= 20_000)).toHaveLength(2)
    flock.merge(45_000)
    flock.run(60_000)
    expect(flock.loads).toHaveLength(4 + 2)
    expect(Math.min(...place(flock.views(), halves).coverage)).toBe(2)
  })

  const world = modelArbitrary(8).chain(model =>
    fc.record({
      model: fc.constant(model),
      peers: peersArbitrary(model, 7, 2),
      seed: fc.nat(1e6),
      together: fc.boolean(),
      starts: fc.array(fc.nat(15_000), { minLength: 7, maxLength: 7 })
    })
  )

  it('converge for random swarms, started together or one by one, without a pause', () => {
    fc.assert(
      fc.property(world, ({ model, peers, seed, together, starts }) => {
        const flock = new Flock({ model, seed })
        for (const [index, member] of peers.entries()) flock.join(member, together ? 0 : starts[index]!)
        flock.run(settled)
        expectSettled(flock, model)
        expect(flock.pauses).toEqual([])
      }),
      runs(150)
    )
  })

  it('converge after peers have left, and when loads fail now and then', () => {
    fc.assert(
      fc.property(world, fc.array(fc.nat(6), { maxLength: 3 }), ({ model, peers, seed, starts }, leavers) => {
        const flock = new Flock({ model, seed, failures: 0.2 })
        for (const [index, member] of peers.entries()) flock.join(member, starts[index]! / 10)
        for (const [index, leaver] of [...new Set(leavers)].entries()) {
          const member = peers[leaver]
          if (member !== undefined) flock.leave(member.peer, 20_000 + index * 700)
        }
        flock.run(3 * settled)
        expectSettled(flock, model)
        expect(flock.loads.length).toBeLessThanOrEqual(8 * peers.length)
      }),
      runs(150)
    )
  })

  it('converge in few moves', () => {
    fc.assert(
      fc.property(world, ({ model, peers, seed, starts }) => {
        const flock = new Flock({ model, seed })
        for (const [index, member] of peers.entries()) flock.join(member, starts[index]!)
        flock.run(settled)
        expect(flock.loads.length).toBeLessThanOrEqual(3 * peers.length)
      }),
      runs(100)
    )
  })
})
