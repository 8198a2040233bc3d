/** What placement does to the loads of a peer, with the planner's own waits. */
import { afterEach, describe, expect, it } from 'vitest'
import { Agenda } from '../../sim/agenda.ts'
import { LifeClock } from '../../sim/life-clock.ts'
import type { Range } from '../../src/base/ids.ts'
import { probeFailuresMax } from '../../src/route/limits.ts'
import { Placement } from '../../src/route/placement-service.ts'
import type { PeerView } from '../../src/route/view.ts'
import { peer, peerId, plainModel } from './worlds.ts'

let placement: Placement | undefined
afterEach(() => placement?.stop())

describe('a load under way', () => {
  it('is ended when the plan does without it, and another one may begin', async () => {
    const whole = { start: 0, end: 4 }
    let self: PeerView = peer(1, 4)
    const begun: { readonly range: Range; readonly signal: AbortSignal }[] = []
    const warnings: string[] = []
    const made = new Placement({
      self: peerId(1),
      model: plainModel(4),
      peers: () => [
        { view: self, connected: true },
        { view: peer(0, 4), connected: true }
      ],
      load: (range, { signal }) =>
        new Promise((_, reject) => {
          begun.push({ range, signal })
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
      unload: async () => {},
      sessions: () => 0,
      onWarning: message => warnings.push(message)
    })
    placement = made
    made.changed()
    await expect.poll(() => begun.map(({ range }) => range), { timeout: 30_000 }).toEqual([whole])
    expect(begun[0]!.signal.aborted).toBe(false)
    self = { ...self, leaving: true }
    made.changed()
    await expect.poll(() => begun[0]!.signal.aborted, { timeout: 30_000 }).toBe(true)
    self = { ...self, leaving: false }
    made.changed()
    await expect.poll(() => begun.map(({ range }) => range), { timeout: 30_000 }).toEqual([whole, whole])
    expect(warnings).toEqual([])
  })
})

describe('a load that begins as the one before it has ended', () => {
  it('is ended, too, when the plan does without it', async () => {
    const agenda = new Agenda()
    const clock = new LifeClock({ agenda, enter: task => task(), beginMs: 0, drift: 0, wallMs: () => 0 })
    let self: PeerView = peer(1, 4)
    const begun: { readonly signal: AbortSignal; readonly fail: () => void }[] = []
    const unloaded: Range[] = []
    const made = new Placement({
      self: peerId(1),
      model: plainModel(4),
      peers: () => [
        { view: self, connected: true },
        { view: peer(0, 4), connected: true }
      ],
      load: (_, { signal }) =>
        new Promise((_, reject) => begun.push({ signal, fail: () => reject(signal.reason as Error) })),
      unload: async range => void unloaded.push(range),
      sessions: () => 0,
      onWarning: () => {},
      clock
    })
    placement = made
    const leaves = async (leaving: boolean): Promise<void> => {
      self = { ...self, leaving }
      made.changed()
      await agenda.live(agenda.nowMs + 60_000)
    }
    await leaves(false)
    expect(begun.length).toBe(1)
    await leaves(true)
    expect(begun[0]!.signal.aborted).toBe(true)
    // It is wanted again by the time at which the first one has ended: the second one begins in the same turn.
    await leaves(false)
    expect(begun.length).toBe(1)
    begun[0]!.fail()
    await agenda.live(agenda.nowMs + 1)
    expect(begun.length).toBe(2)
    await leaves(true)
    expect(begun[1]!.signal.aborted).toBe(true)
    expect(unloaded).toEqual([])
    begun[1]!.fail()
  })
})

describe('what is missing', () => {
  const lack = (peers: PeerView[]): unknown => {
    placement = new Placement({
      self: peerId(0),
      model: plainModel(4),
      peers: () => peers.map(view => ({ view, connected: true })),
      load: async () => {},
      unload: async () => {},
      sessions: () => 0,
      onWarning: () => {}
    })
    return placement.missing()
  }

  it.each<[string, PeerView[], unknown]>([
    ['nothing', [peer(0, 4)], null],
    ['budget', [peer(0, 3)], { layers: [expect.anything()], bytes: 1, pinned: false }],
    [
      'only who may load it',
      [peer(0, 4, { pinned: { start: 0, end: 3 } })],
      { layers: [{ start: 3, end: 4 }], bytes: 1, pinned: true }
    ],
    [
      'budget, whoever is pinned',
      [peer(0, 3, { pinned: { start: 0, end: 3 } })],
      { layers: [{ start: 3, end: 4 }], bytes: 1, pinned: false }
    ]
  ])('is %s', (_, peers, expected) => {
    expect(lack(peers)).toEqual(expected)
  })
})

describe('what is missing when a plan was searched for a moment ago', () => {
  it.each([
    ['is nothing once who has come since serves it all', false, true],
    ['is what it was where who serves it all is about to go', true, false]
  ])('%s', async (_, leaving, isCovered) => {
    const agenda = new Agenda()
    const clock = new LifeClock({ agenda, enter: task => task(), beginMs: 0, drift: 0, wallMs: () => 0 })
    let others: readonly PeerView[] = []
    const made = new Placement({
      self: peerId(0),
      model: plainModel(4),
      peers: () => [peer(0, 1), ...others].map(view => ({ view, connected: true })),
      load: async () => {},
      unload: async () => {},
      sessions: () => 0,
      onWarning: () => {},
      clock
    })
    placement = made
    made.changed()
    await agenda.live(60_000)
    const lack = made.missing()
    expect(lack).toMatchObject({ pinned: false })
    // Asked for the status, it searches; what changes a moment later it does not search for.
    others = [peer(1, 4, { leaving })]
    made.changed()
    expect(made.missing() === null).toBe(isCovered)
    await agenda.live(60_100)
    others = [peer(1, 4, { leaving, stages: [{ start: 0, end: 4, serving: true }] })]
    made.changed()
    expect(made.missing()).toEqual(isCovered ? null : lack)
  })
})

describe('liars that say that they serve everything', () => {
  it('keep nobody from loading for longer than their probes take to fail', async () => {
    const serving = [{ start: 0, end: 4, serving: true }]
    const self: PeerView = peer(1, 2)
    const liars = [5, 6, 7].map(index => peer(index, 99, { stages: serving, visitMs: 0, layerMs: 0 }))
    const honest = peer(2, 2, { stages: [{ start: 0, end: 2, serving: true }] })
    const begun: Range[] = []
    const asked: string[] = []
    const made = new Placement({
      self: peerId(1),
      model: plainModel(4),
      peers: () => [self, honest, ...liars].map(view => ({ view, connected: true })),
      load: async range => void begun.push(range),
      unload: async () => {},
      sessions: () => 0,
      probe: async id => {
        asked.push(id)
        return id === peerId(2)
      },
      onWarning: () => {}
    })
    placement = made
    made.changed()
    await expect.poll(() => begun, { timeout: 30_000 }).toEqual([{ start: 2, end: 4 }])
    for (const { peer: liar } of liars) {
      await expect.poll(() => made.isDoubtful(liar), { timeout: 30_000 }).toBe(true)
      expect(asked.filter(id => id === liar).length).toBeGreaterThanOrEqual(probeFailuresMax)
    }
    expect(made.isDoubtful(peerId(2))).toBe(false)
    expect(asked.filter(id => id === peerId(2)).length).toBe(1)
  })
})
