/** What measured links, queues and free caches make of placement and routes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { linkRttDefaultMs, roomHeardMs } from '../../src/route/limits.ts'
import { answerRoute, type RouteQuestion } from '../../src/route/asking.ts'
import { announcedLinks, hopMs, hopPrices, ownLinks } from '../../src/route/cost.ts'
import { findDetour } from '../../src/route/detour.ts'
import { Inflight } from '../../src/route/inflight.ts'
import { place } from '../../src/route/place.ts'
import { findRoute } from '../../src/route/route.ts'
import { Routing } from '../../src/route/routing-service.ts'
import { placementKey } from '../../src/route/searches.ts'
import { cacheBytesOf, type Hop, type PeerView, viewOf } from '../../src/route/view.ts'
import type { SwarmRecord } from '../../src/swarm/record.ts'
import { rttOfStep, stepOfRtt } from '../../src/swarm/round-trips.ts'
import { model, modelArbitrary, peer, peerId, peersArbitrary, plainModel, runs, show, stage } from './worlds.ts'

const shape = plainModel(4)
const driver = peerId(9)

/** A peer that has measured round trips to others, by their index; its hint is its index. */
function measured(view: PeerView, rtts: Readonly<Record<number, number>> = {}): PeerView {
  const rttMs = new Map(Object.entries(rtts).map(([index, ms]) => [Number(index), ms]))
  return { ...view, links: { hint: Number(view.peer.slice(1)), rttMs } }
}

function serves(index: number, start: number, end: number, more: Partial<PeerView> = {}): PeerView {
  return measured(peer(index, 100, { stages: [stage(start, end)], ...more }))
}

function text(hops: readonly Hop[] | undefined): string | undefined {
  return hops?.map(hop => `${hop.peer.slice(-1)}:${hop.start}-${hop.end}`).join(' ')
}

function ask(peers: readonly PeerView[], more: Partial<RouteQuestion> = {}, of = shape): string | undefined {
  const question = { from: driver, excluded: new Set<PeerId>(), inflight: new Map(), waitedMs: 0, ...more }
  const answer = answerRoute(peers, of, question)
  return answer.kind === 'hops' ? text(answer.hops) : answer.kind
}

describe('a route', () => {
  const [head, near, far] = [serves(0, 0, 2), serves(1, 2, 4, { layerMs: 4 }), serves(2, 2, 4)]

  it('goes around a slow link that both of its ends, or one of them, have measured', () => {
    expect(ask([head, near, far])).toBe('0:0-2 2:2-4')
    expect(ask([measured(head, { 2: 80 }), near, measured(far, { 0: 80 })])).toBe('0:0-2 1:2-4')
    expect(ask([measured(head, { 2: 80 }), near, far])).toBe('0:0-2 1:2-4')
    expect(ask([head, near, measured(far, { 0: 80 })])).toBe('0:0-2 1:2-4')
  })

  it('counts a link as the slower of its ends says', () => {
    expect(ask([measured(head, { 2: 80 }), near, measured(far, { 0: 0.25 })])).toBe('0:0-2 1:2-4')
    expect(announcedLinks([measured(head, { 2: 1 }), far])(peerId(0), peerId(2))?.rttMs).toBe(1)
    expect(announcedLinks([head, far])(peerId(0), peerId(2))).toBeUndefined()
    expect(announcedLinks([measured(head, { 2: 1 }), peer(2, 1)])(peerId(0), peerId(2))).toBeUndefined()
  })

  it('counts the links of its driver as the driver measures them', () => {
    const peers = [measured(peer(9, 0)), serves(1, 0, 4), serves(2, 0, 4, { layerMs: 1.1 })]
    expect(ask(peers)).toBe('1:0-4')
    const rtts = new Map([[peerId(1), 60]])
    const links = ownLinks(driver, other => rtts.get(other), announcedLinks(peers))
    expect(ask(peers, { links })).toBe('2:0-4')
    const routing = new Routing({ self: driver, peers: () => peers, rttMs: other => rtts.get(other) })
    const found = routing.route(shape, new Set(), { signal: new AbortController().signal })
    return expect(found.then(text)).resolves.toBe('2:0-4')
  })

  it('goes around a slow link on a detour, too', () => {
    const leaving = serves(1, 2, 4, { leaving: true })
    const others = [serves(2, 2, 4), serves(3, 2, 4, { layerMs: 4 })]
    const route = [
      { peer: peerId(0), start: 0, end: 2 },
      { peer: peerId(1), start: 2, end: 4 }
    ]
    const around = (first: PeerView) => text(findDetour([first, leaving, ...others], shape, { from: driver, route }))
    expect(around(head)).toBe('0:0-2 2:2-4')
    expect(around(measured(head, { 2: 80 }))).toBe('0:0-2 3:2-4')
  })

  it('goes around a queue, of which announced sessions are a part', () => {
    const other = serves(2, 0, 4, { layerMs: 2 })
    expect(ask([serves(1, 0, 4), other])).toBe('1:0-4')
    expect(ask([serves(1, 0, 4, { queuedSteps: 3 }), other])).toBe('2:0-4')
    const both = { sessions: 3, queuedSteps: 3 }
    const [sessionsOnly, queued] = [{ sessions: 3 }, both].map(load =>
      findRoute([serves(1, 0, 4, load), serves(2, 0, 4, { layerMs: 5.9 })], shape, { from: driver })
    )
    expect(queued).toEqual(sessionsOnly)
  })
})

describe('room for a session', () => {
  // A byte a layer for every token.
  const roomy = { ...shape, cacheBytesPerLayer: 10, cacheTokens: 10 }
  const free = (index: number, bytes: number, more: Partial<PeerView> = {}) =>
    serves(index, 0, 4, { stages: [{ ...stage(0, 4), cacheBytesFree: bytes }], ...more })

  it('is asked of every stage, and one without it is not chosen while another has some', () => {
    const other = free(2, 400, { layerMs: 50 })
    expect(ask([free(1, 400), other], { tokensMax: 100 }, roomy)).toBe('1:0-4')
    expect(ask([free(1, 399), other], { tokensMax: 100 }, roomy)).toBe('2:0-4')
    expect(ask([free(1, 0), other], { tokensMax: 1 }, roomy)).toBe('2:0-4')
    // Who goes soon has room now.
    expect(ask([free(1, 0), { ...other, leaving: true }], { tokensMax: 1 }, roomy)).toBe('2:0-4')
  })

  it('is not asked where nobody has any, nobody says, or nothing is known of the session', () => {
    expect(ask([free(1, 0), free(2, 0, { layerMs: 50 })], { tokensMax: 100 }, roomy)).toBe('1:0-4')
    expect(ask([serves(1, 0, 4), free(2, 400, { layerMs: 50 })], { tokensMax: 100 }, roomy)).toBe('1:0-4')
    expect(ask([free(1, 0), free(2, 400, { layerMs: 50 })], {}, roomy)).toBe('1:0-4')
    expect(cacheBytesOf(shape, { start: 0, end: 4 }, 100)).toBe(0)
    const paged = { ...roomy, cacheBytesPerLayer: 160, cacheTokens: 2048, cachePageTokens: 128 }
    expect([1, 128, 129, 2048].map(tokens => cacheBytesOf(paged, { start: 0, end: 4 }, tokens))).toEqual([
      40, 40, 80, 640
    ])
    // Two of its layers have a window, and one of these is not among those that are asked for.
    const windowed = { ...paged, latestTokens: [undefined, 200, undefined, 200], givesBackWindows: true }
    const bytes = (tokens: number) => cacheBytesOf(windowed, { start: 0, end: 3 }, tokens)
    expect([1, 384, 385, 2048].map(bytes)).toEqual([30, 90, 110, 350])
    expect(cacheBytesOf({ ...windowed, givesBackWindows: false }, { start: 0, end: 3 }, 2048)).toBe(480)
  })

  it('is there where the session has its caches already', () => {
    const held = [{ peer: peerId(1), start: 0, end: 4 }]
    const peers = [free(1, 0), free(2, 400, { layerMs: 50 })]
    expect(ask(peers, { tokensMax: 100, held }, roomy)).toBe('1:0-4')
    const route = [{ peer: peerId(3), start: 0, end: 4 }]
    const detour = findDetour(peers, roomy, { from: driver, route, tokensMax: 100 })
    expect(text(detour)).toBe('2:0-4')
  })

  it('is taken at once by what the chooser has begun, until its peer has said so', () => {
    const inflight = new Inflight()
    const hops = [{ peer: peerId(1), start: 0, end: 4 }]
    inflight.add(hops, 1000, roomy, 60)
    expect(inflight.sessions).toEqual(new Map([[peerId(1), 1]]))
    expect(inflight.takenBytes(peerId(1), { start: 0, end: 4 }, roomy, 1000)).toBe(240)
    expect(inflight.takenBytes(peerId(1), { start: 0, end: 3 }, roomy, 1000)).toBe(0)
    expect(inflight.takenBytes(peerId(2), { start: 0, end: 4 }, roomy, 1000)).toBe(0)
    expect(inflight.takenBytes(peerId(1), { start: 0, end: 4 }, roomy, 1000 + roomHeardMs)).toBe(0)
    const takenBytes = (id: PeerId, at: { start: number; end: number }) => inflight.takenBytes(id, at, roomy, 1001)
    const peers = [free(1, 400), free(2, 400, { layerMs: 50 })]
    expect(ask(peers, { tokensMax: 60, takenBytes }, roomy)).toBe('2:0-4')
    inflight.remove(hops)
    expect(inflight.sessions.size).toBe(0)
    expect(ask(peers, { tokensMax: 60, takenBytes }, roomy)).toBe('1:0-4')
  })

  it('spreads a burst of sessions of one driver over those who have it', async () => {
    const peers = [free(1, 400), free(2, 400, { layerMs: 50 }), free(3, 400, { layerMs: 60 })]
    const routing = new Routing({ self: driver, peers: () => peers })
    const { signal } = new AbortController()
    const found: (string | undefined)[] = []
    for (let i = 0; i < 3; i++) found.push(text(await routing.route(roomy, new Set(), { signal, tokensMax: 100 })))
    expect(found).toEqual(['1:0-4', '2:0-4', '3:0-4'])
  })
})

describe('placement', () => {
  const slowTo = (index: number, rttMs: number, others: number): Record<number, number> =>
    Object.fromEntries(
      Array.from({ length: others }, (_, i) => i)
        .filter(other => other !== index)
        .map(other => [other, rttMs])
    )

  it('leaves out whose links are slow where others do', () => {
    const peers = Array.from({ length: 4 }, (_, i) => measured(peer(i, 2, { layerMs: i === 0 ? 1 : 2 })))
    const tiling = show(place(peers, shape).stages)
    expect(tiling[0]).toBe('p000 0-2')
    const far = [measured(peers[0]!, slowTo(0, 100, 4)), ...peers.slice(1)]
    const around = place(far, shape).stages
    const first = [...around].filter(([, range]) => range !== null)
    expect(hopPrices(far, shape).get(peerId(0))).toBe(hopMs(shape) + 100 - linkRttDefaultMs)
    expect(hopPrices(far, shape).get(peerId(1))).toBe(hopMs(shape))
    // It copies what others serve: the route of three others does without it.
    expect(first.length).toBe(4)
    const route = findRoute(
      far.map(view => ({ ...view, stages: [{ ...around.get(view.peer)!, serving: true }] })),
      shape,
      { from: driver, links: announcedLinks(far) }
    )
    expect(route?.some(({ peer: hop }) => hop === peerId(0))).toBe(false)
  })

  it('takes the usual link of the swarm for the price of a hop, as few as possible where all are slow', () => {
    const peers = Array.from({ length: 3 }, (_, i) => measured(peer(i, 4, { layerMs: 1 }), slowTo(i, 100, 3)))
    for (const price of hopPrices(peers, shape).values()) expect(price).toBe(hopMs(shape, 100))
    const two = [measured(peer(0, 4)), measured(peer(1, 4), { 0: 50 })]
    expect([...hopPrices(two, shape).values()]).toEqual([hopMs(shape, 50), hopMs(shape, 50)])
  })

  it('is the same where nothing is slow, whatever has been measured', () => {
    const plain = Array.from({ length: 4 }, (_, i) => peer(i, 3, { layerMs: 1 + i }))
    const quick = plain.map((view, i) => measured(view, slowTo(i, 0.3 + i, 4)))
    expect(place(quick, shape)).toEqual(place(plain, shape))
    const other = plain.map((view, i) => measured(view, slowTo(i, 3.3 - i, 4)))
    expect(placementKey(other)).toBe(placementKey(quick))
    expect(placementKey([measured(plain[0]!, { 1: 10 })])).not.toBe(placementKey([measured(plain[0]!, { 1: 12 })]))
  })

  it('does not depend on the order of views, and covers whatever it covers without links', () => {
    const worlds = modelArbitrary(8).chain(of =>
      fc.tuple(
        fc.constant(of),
        peersArbitrary(of, 6),
        fc.array(fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 6, maxLength: 6 }), {
          minLength: 6,
          maxLength: 6
        })
      )
    )
    fc.assert(
      fc.property(worlds, ([of, plain, steps]) => {
        const peers = plain.map((view, i) =>
          measured(
            view,
            Object.fromEntries(
              plain.flatMap((_, j) => {
                const rttMs = rttOfStep(steps[i]![j]!)
                return rttMs === undefined || i === j ? [] : [[j, rttMs]]
              })
            )
          )
        )
        const plan = place(peers, of)
        expect(place(peers.toReversed(), of)).toEqual(plan)
        expect(plan.missing).toEqual(place(plain, of).missing)
        // It stays where it is once all has been loaded.
        const placed = peers.map(view => {
          const range = plan.stages.get(view.peer) ?? null
          return { ...view, stages: range === null ? [] : [stage(range.start, range.end)] }
        })
        if (plan.missing === null) expect(show(place(placed, of).stages)).toEqual(show(plan.stages))
      }),
      runs(150)
    )
  })
})

describe('a record', () => {
  it('says what its peer has measured, has queued and has free', () => {
    const ms = rttOfStep(stepOfRtt(20))!
    const of = model(4).id
    const record: SwarmRecord = {
      peer: '12D3KooWGRUqEBCeYvwuTtXgVz6KHC4HbsHUZ9jTQ2yqmvYzTsQ4' as PeerId,
      seq: 1,
      ttlMs: 1000,
      addresses: [],
      agent: '',
      hardware: { cores: 1, memoryBytes: 1, architecture: '', platform: '', cpu: '' },
      budgetBytes: 1,
      models: [
        {
          model: of,
          name: 'm',
          layers: 4,
          held: [],
          embedding: false,
          head: false,
          visitMs: 1,
          layerMs: 1,
          numericClass: '',
          pinned: null
        }
      ],
      stages: [{ model: of, start: 0, end: 2, serving: true, cacheBytesFree: 77 }],
      load: { sessions: 1, queuedSteps: 5 },
      battery: null,
      leaving: false,
      neighbours: new Set([3]),
      rtts: new Map([[3, ms]])
    }
    const view = viewOf(record, of)!
    expect(view.links?.rttMs).toEqual(new Map([[3, ms]]))
    expect(view.queuedSteps).toBe(5)
    expect(view.stages[0]!.cacheBytesFree).toBe(77)
    // Many look at one record.
    expect(viewOf(record, of)).toBe(view)
  })
})
