import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { hopWeight, routeMs } from '../../src/route/cost.ts'
import { coverage, isRoutable } from '../../src/route/coverage.ts'
import { sessionShare } from '../../src/route/limits.ts'
import type { RouteOptions } from '../../src/route/route.ts'
import { explainNoRoute, formatLayers } from '../../src/route/explain.ts'
import { findRoute } from '../../src/route/route.ts'
import type { Hop, PeerView, StageView } from '../../src/route/view.ts'
import { model, peer, peerId, plainModel, stage, runs } from './worlds.ts'

const shape = plainModel(4)
const from = peerId(0)

function serves(index: number, start: number, end: number, more: Partial<PeerView> = {}): PeerView {
  return peer(index, 100, { stages: [stage(start, end)], ...more })
}

function text(hops: readonly Hop[] | undefined): string | undefined {
  return hops?.map(hop => `${hop.peer.slice(-1)}:${hop.start}-${hop.end}`).join(' ')
}

describe('findRoute, by table', () => {
  const cases: { name: string; peers: PeerView[]; options?: Partial<RouteOptions>; route: string | undefined }[] = [
    { name: 'nobody serves', peers: [peer(0, 100)], route: undefined },
    { name: 'one stage', peers: [serves(1, 0, 4)], route: '1:0-4' },
    { name: 'a chain', peers: [serves(2, 3, 4), serves(0, 0, 1), serves(1, 1, 3)], route: '0:0-1 1:1-3 2:3-4' },
    {
      name: 'a peer of two stages, the first as good as that of another peer',
      peers: [peer(1, 100, { stages: [stage(0, 1), stage(2, 4)] }), serves(2, 0, 1), serves(3, 1, 2)],
      route: '2:0-1 3:1-2 1:2-4'
    },
    { name: 'stages that overlap do not meet', peers: [serves(0, 0, 3), serves(1, 2, 4)], route: undefined },
    {
      name: 'a stage that is being loaded does not serve',
      peers: [serves(0, 0, 2), peer(1, 9, { stages: [stage(2, 4, false)] })],
      route: undefined
    },
    {
      name: 'the least time, even with more hops',
      peers: [serves(0, 0, 2), serves(1, 2, 4), serves(2, 0, 4, { layerMs: 50 })],
      route: '0:0-2 1:2-4'
    },
    {
      // 13.3 ms for two hops, and 13.5 ms (14.3 ms) for the one that answers alone.
      name: 'one peer alone where two win by less than the margin',
      peers: [serves(0, 0, 2), serves(1, 2, 4), serves(2, 0, 4, { layerMs: 2.1 })],
      route: '2:0-4'
    },
    {
      name: 'two where they win by more',
      peers: [serves(0, 0, 2), serves(1, 2, 4), serves(2, 0, 4, { layerMs: 2.3 })],
      route: '0:0-2 1:2-4'
    },
    {
      name: 'three where the third saves more than its hop costs',
      peers: [serves(0, 0, 2), serves(1, 2, 4, { layerMs: 20 }), serves(2, 2, 3), serves(3, 3, 4)],
      route: '0:0-2 2:2-3 3:3-4'
    },
    {
      name: 'the faster of equals',
      peers: [serves(0, 0, 2), serves(1, 2, 4, { layerMs: 3 }), serves(2, 2, 4, { layerMs: 2 })],
      route: '0:0-2 2:2-4'
    },
    { name: 'the driver where it serves itself', peers: [serves(0, 0, 4), serves(1, 0, 4)], route: '0:0-4' },
    {
      name: 'another one where the driver is much slower',
      peers: [serves(0, 0, 4, { layerMs: 30 }), serves(1, 0, 4)],
      route: '1:0-4'
    },
    {
      name: 'never an excluded peer',
      peers: [serves(0, 0, 4), serves(1, 0, 4)],
      options: { excluded: new Set([peerId(0)]) },
      route: '1:0-4'
    },
    {
      name: 'never a peer twice',
      peers: [peer(0, 100, { stages: [stage(0, 2), stage(2, 4)] }), serves(1, 2, 4, { layerMs: 90 })],
      route: '0:0-2 1:2-4'
    },
    {
      name: 'announced sessions count',
      peers: [serves(1, 0, 4, { sessions: 3 }), serves(2, 0, 4, { layerMs: 2 })],
      route: '2:0-4'
    },
    {
      name: 'the own sessions count at once',
      peers: [serves(1, 0, 4), serves(2, 0, 4, { layerMs: 1.2 })],
      options: { inflight: new Map([[peerId(1), 1]]) },
      route: '2:0-4'
    },
    {
      name: 'one numeric class, even when it is slower',
      peers: [
        serves(1, 0, 2, { numericClass: 'a' }),
        serves(2, 2, 4, { numericClass: 'b' }),
        serves(3, 2, 4, { numericClass: 'a', layerMs: 20 })
      ],
      route: '1:0-2 3:2-4'
    },
    {
      name: 'a mixture where there is nothing else',
      peers: [serves(1, 0, 2, { numericClass: 'a' }), serves(2, 2, 4, { numericClass: 'b' })],
      route: '1:0-2 2:2-4'
    },
    {
      name: 'around neighbours that do not reach each other, even when it is slower',
      peers: [
        serves(0, 0, 2, { contacts: { hint: 0, others: new Set([2]) } }),
        serves(1, 2, 4, { contacts: { hint: 1, others: new Set([2]) } }),
        serves(2, 2, 4, { contacts: { hint: 2, others: new Set([0, 1]) }, layerMs: 20 })
      ],
      route: '0:0-2 2:2-4'
    },
    {
      name: 'through them where there is nothing else',
      peers: [
        serves(0, 0, 2, { contacts: { hint: 0, others: new Set([2]) } }),
        serves(1, 2, 4, { contacts: { hint: 1, others: new Set([2]) } })
      ],
      route: '0:0-2 1:2-4'
    },
    {
      name: 'neighbours of which one does not say, or of which one names the other, may reach each other',
      peers: [
        serves(0, 0, 1, { contacts: { hint: 0, others: new Set([9]) } }),
        serves(1, 1, 3),
        serves(2, 3, 4, { contacts: { hint: 2, others: new Set([9]) } }),
        serves(3, 1, 3, { contacts: { hint: 3, others: new Set([0, 2]) }, layerMs: 20 })
      ],
      route: '0:0-1 1:1-3 2:3-4'
    },
    {
      name: 'the class that the session began with',
      peers: [serves(1, 0, 4, { numericClass: 'a' }), serves(2, 0, 4, { numericClass: 'b', layerMs: 9 })],
      options: { numericClass: 'b' },
      route: '2:0-4'
    },
    {
      name: 'a link that is known to be slow is avoided',
      peers: [serves(0, 0, 2), serves(1, 2, 4), serves(2, 2, 4, { layerMs: 2 })],
      options: {
        links: (a, b) => (a === peerId(1) || b === peerId(1) ? { rttMs: 200, bytesPerMs: 1000 } : undefined)
      },
      route: '0:0-2 2:2-4'
    }
  ]
  it.each(cases)('$name', ({ peers, options, route }) => {
    expect(text(findRoute(peers, shape, { from, ...options }))).toBe(route)
  })

  it('spreads a burst of sessions before anybody has announced them', () => {
    const peers = [serves(1, 0, 4), serves(2, 0, 4), serves(3, 0, 4)]
    const inflight = new Map<PeerId, number>()
    for (let session = 0; session < 9; session++) {
      for (const { peer: id } of findRoute(peers, shape, { from, inflight })!) {
        inflight.set(id, (inflight.get(id) ?? 0) + 1)
      }
    }
    expect([...inflight.values()]).toEqual([3, 3, 3])
  })
})

describe('findRoute, by property', () => {
  const layers = 5
  const small = plainModel(layers)
  const range = fc
    .tuple(fc.nat(layers - 1), fc.nat(layers - 1), fc.boolean())
    .map(
      ([a, b, serving]): StageView => ({ start: Math.min(a, b), end: Math.max(a, b) + 1, serving: serving || a > 1 })
    )
  const views = fc
    .array(
      fc.record({
        stages: fc.array(range, { maxLength: 2 }),
        layerMs: fc.integer({ min: 1, max: 50 }),
        visitMs: fc.integer({ min: 0, max: 20 }),
        sessions: fc.nat(2)
      }),
      { maxLength: 9 }
    )
    .map(list => list.map((more, index) => peer(index, 100, more)))

  /** Every chain of serving stages of different peers. */
  function* chains(peers: readonly PeerView[], at = 0, hops: Hop[] = []): Generator<Hop[]> {
    if (at === layers) yield hops
    for (const view of peers) {
      if (hops.some(hop => hop.peer === view.peer)) continue
      for (const { start, end, serving } of view.stages) {
        if (serving && start === at) yield* chains(peers, end, [...hops, { peer: view.peer, start, end }])
      }
    }
  }

  it('tiles the layers with stages that serve, in the least time as hops weigh it', () => {
    fc.assert(
      fc.property(views, fc.nat(8), (peers, driver) => {
        const route = findRoute(peers, small, { from: peerId(driver) })
        // One stage per peer, or the search is a heuristic: it keeps one best way to each stage.
        const single = peers.every(view => view.stages.filter(each => each.serving).length <= 1)
        const all = [...chains(peers)]
        if (single) expect(route === undefined).toBe(all.length === 0)
        if (route === undefined) return
        expect(route[0]!.start).toBe(0)
        expect(route.at(-1)!.end).toBe(layers)
        for (const [index, hop] of route.entries()) {
          if (index > 0) expect(hop.start).toBe(route[index - 1]!.end)
          const own = peers.find(view => view.peer === hop.peer)!.stages
          expect(own.some(each => each.serving && each.start === hop.start && each.end === hop.end)).toBe(true)
        }
        if (!single) return
        const busy = peers.map(view => ({
          ...view,
          layerMs: view.layerMs * (1 + view.sessions * sessionShare),
          visitMs: view.visitMs * (1 + view.sessions * sessionShare)
        }))
        const ms = (hops: readonly Hop[]) => routeMs(hops, busy, small, peerId(driver))
        const cost = (hops: readonly Hop[]) => ms(hops) * hopWeight(hops.length)
        expect(cost(route)).toBeCloseTo(Math.min(...all.map(cost)), 3)
        expect(ms(route)).toBeLessThanOrEqual(1.05 * Math.min(...all.map(ms)))
      }),
      runs(500)
    )
  })

  it('explains exactly the cases without a route', () => {
    fc.assert(
      fc.property(views, peers => {
        const route = findRoute(peers, small, { from })
        expect(explainNoRoute(peers, small) === null).toBe(route !== undefined)
        if (route !== undefined)
          expect(
            isRoutable(
              peers.flatMap(view => view.stages),
              small
            )
          ).toBe(true)
      })
    )
  })
})

describe('explainNoRoute', () => {
  it.each([
    ['nobody is there', [], /^layers 0-4 are served by nobody: no peer has the shards of layers 0-4$/],
    [
      'budgets are short',
      [peer(0, 2, { stages: [stage(0, 2)] }), peer(1, 1, { stages: [stage(2, 3)] })],
      /^layer 3 is served by nobody: the budgets lack 1 B for layer 3 \(the 2 peers give 3 B together; 2 like the largest, which gives 2 B, would hold all\)$/
    ],
    [
      'budgets are short although nobody was pinned to less',
      [peer(0, 2, { pinned: { start: 0, end: 2 }, stages: [stage(0, 2)] })],
      /^layers 2-4 are served by nobody: the budgets lack 2 B for layers 2-4 \(the one peer gives 2 B; 2 like it would hold all\)$/
    ],
    [
      'no budget holds a layer',
      [peer(0, 0.5), peer(1, 0.25)],
      /^layers 0-4 are served by nobody: the budgets lack .* for layers 0-4 \(the 2 peers give .* together; no number of peers like the largest, which gives .*, would hold all\)$/
    ],
    [
      'the one peer is pinned to a part',
      [peer(0, 9, { pinned: { start: 0, end: 2 }, stages: [stage(0, 2)] })],
      /^layers 2-4 are served by nobody: --layers keeps the one peer to layers 0-2$/
    ],
    [
      'all peers are pinned to a part',
      [
        peer(0, 9, { pinned: { start: 0, end: 1 }, stages: [stage(0, 1)] }),
        peer(1, 9, { pinned: { start: 3, end: 4 }, stages: [stage(3, 4)] })
      ],
      /^layers 1-3 are served by nobody: --layers keeps all 2 peers to layers 0 and 3$/
    ],
    [
      'one that could load the rest is pinned, and the other is small',
      [peer(0, 9, { pinned: { start: 0, end: 2 }, stages: [stage(0, 2)] }), peer(1, 1, { stages: [stage(2, 3)] })],
      /^layer 3 is served by nobody: --layers keeps 1 of 2 peers to layers 0-2, and the other one gives 1 B$/
    ],
    [
      'shards are missing',
      [peer(0, 9, { held: [{ start: 0, end: 2 }], stages: [stage(0, 2)] })],
      /^layers 2-4 are served by nobody: no peer has the shards of layers 2-4$/
    ],
    ['the head is missing', [peer(0, 9, { holdsHead: false })], /no peer has the shard of the head$/],
    ['it is being loaded', [peer(0, 9, { stages: [stage(0, 4, false)] })], /nobody yet: 1 peer is loading$/],
    ['nothing has begun', [peer(0, 9)], /nobody yet: the budgets suffice, and peers are about to load$/],
    [
      'stages do not meet',
      [peer(0, 9, { stages: [stage(0, 3)] }), peer(1, 9, { stages: [stage(2, 4)] })],
      /^every layer is served, but the stages do not meet end to end yet/
    ]
  ] as const)('%s', (_, peers, reason) => {
    expect(explainNoRoute([...peers], shape)!.reason).toMatch(reason)
  })

  it('counts excluded peers out', () => {
    const peers = [serves(0, 0, 4)]
    expect(explainNoRoute(peers, shape)).toBeNull()
    expect(explainNoRoute(peers, shape, new Set([peerId(0)]))!.layers).toEqual([{ start: 0, end: 4 }])
  })

  it('writes layers as people count them', () => {
    expect(formatLayers([{ start: 3, end: 4 }])).toBe('layer 3')
    expect(
      formatLayers([
        { start: 0, end: 2 },
        { start: 4, end: 5 },
        { start: 6, end: 9 }
      ])
    ).toBe('layers 0-2, 4 and 6-9')
  })
})

describe('coverage', () => {
  it('counts serving stages per layer', () => {
    const peers = [serves(0, 0, 2), serves(1, 1, 4), peer(2, 9, { stages: [stage(0, 4, false)] })]
    expect(coverage(peers, shape)).toEqual([1, 2, 1, 1])
  })
})

describe('cost', () => {
  it('weighs the first hop more than one with 4 %, each further one less, and all together with less than 5 %', () => {
    expect(hopWeight(1)).toBe(1)
    expect(hopWeight(2)).toBeCloseTo(1.04)
    for (let hops = 2; hops < 12; hops++) {
      const more = hopWeight(hops + 1) - hopWeight(hops)
      expect(more).toBeGreaterThan(0)
      expect(more).toBeLessThan(hopWeight(hops) - hopWeight(hops - 1))
    }
    expect(hopWeight(64)).toBeLessThanOrEqual(1.05)
  })

  it('adds visits, layers, links and the way back', () => {
    const hops = [
      { peer: peerId(1), start: 0, end: 1 },
      { peer: peerId(2), start: 1, end: 4 }
    ]
    const peers = [peer(1, 9, { visitMs: 1, layerMs: 10 }), peer(2, 9, { visitMs: 2, layerMs: 20 })]
    const links = () => ({ rttMs: 6, bytesPerMs: 64 })
    // Stages 11 and 62; driver to head and tail to driver 3 + 1 each; between them 3 + 640 / 64.
    expect(routeMs(hops, peers, model(4, { stepBytes: 640 }), peerId(9), links)).toBeCloseTo(11 + 62 + 4 + 4 + 13)
    // Where the driver is the head, that way costs nothing.
    expect(routeMs(hops, peers, model(4, { stepBytes: 640 }), peerId(1), links)).toBeCloseTo(11 + 62 + 4 + 13)
  })
})
