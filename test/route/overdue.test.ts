/** Stages that do not come: placement does without them after a time that their bytes explain, and tries again later. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Clock, Timer } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { PeerId, Range } from '../../src/base/ids.ts'
import { overdueFetchBytesPerMs, overdueHoldMs, overdueLoadBytesPerMs, overdueMs } from '../../src/route/limits.ts'
import { Overdue, withoutAwaited } from '../../src/route/overdue.ts'
import { place } from '../../src/route/place.ts'
import { Placement } from '../../src/route/placement-service.ts'
import { placementKey } from '../../src/route/searches.ts'
import type { PeerView } from '../../src/route/view.ts'
import { model, peer, peerId, plainModel } from './worlds.ts'

const shape = plainModel(4)
const half = { start: 2, end: 4 }
const loading = [{ ...half, serving: false }]
const other = peerId(2)

/** Looks once a second from `fromMs` on, and says when a peer is first done without; undefined when never. */
function stuckAt(
  overdue: Overdue,
  view: PeerView,
  targets: Map<PeerId, Range | null>,
  fromMs: number,
  toMs: number,
  of = shape
): number | undefined {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 1000) {
    const dueMs = overdue.look([peer(1, 4), view], targets, of, nowMs)
    if (overdue.isStuck(view.peer)) return nowMs
    if (dueMs !== null) expect(dueMs).toBeGreaterThan(nowMs)
  }
  return undefined
}

const none = new Map<PeerId, Range | null>()
const planned = new Map<PeerId, Range | null>([[other, half]])

describe('a stage that does not come', () => {
  it('is done without after the time that its bytes explain, and not before', () => {
    expect(stuckAt(new Overdue(peerId(1)), peer(2, 4, { stages: loading }), none, 0, 10 * overdueMs)).toBe(
      overdueMs + 1000
    )
    // Two layers of 500 MB, on its disk; and with one of them to be fetched.
    const large = model(4, { layerBytes: new Array(4).fill(5e8) })
    const loadMs = overdueMs + 1e9 / overdueLoadBytesPerMs
    const onDisk = stuckAt(new Overdue(peerId(1)), peer(2, 4, { stages: loading }), none, 0, 1e8, large)!
    expect(Math.abs(onDisk - loadMs)).toBeLessThan(2000)
    const lacking = peer(2, 4, { stages: loading, held: [{ start: 0, end: 3 }] })
    const fetched = stuckAt(new Overdue(peerId(1)), lacking, none, 0, 1e8, large)!
    expect(Math.abs(fetched - loadMs - 5e8 / overdueFetchBytesPerMs)).toBeLessThan(2000)
  })

  it('counts as planned and never begun, too, but not for the peer itself, nor for one that leaves', () => {
    expect(stuckAt(new Overdue(peerId(1)), peer(2, 4), planned, 0, 10 * overdueMs)).toBe(overdueMs + 1000)
    expect(stuckAt(new Overdue(other), peer(2, 4, { stages: loading }), planned, 0, 10 * overdueMs)).toBeUndefined()
    expect(stuckAt(new Overdue(peerId(1)), peer(2, 4, { leaving: true }), planned, 0, 10 * overdueMs)).toBeUndefined()
  })

  it('is waited for anew when more of it has come, or it is another one', () => {
    const overdue = new Overdue(peerId(1))
    const lacks = (end: number): PeerView => peer(2, 4, { stages: loading, held: [{ start: 0, end }] })
    expect(stuckAt(overdue, lacks(2), none, 0, overdueMs - 1000)).toBeUndefined()
    expect(stuckAt(overdue, lacks(3), none, overdueMs, 2 * overdueMs - 1000)).toBeUndefined()
    const next = peer(2, 4, { stages: [{ start: 0, end: 2, serving: false }] })
    expect(stuckAt(overdue, next, none, 2 * overdueMs, 3 * overdueMs - 1000)).toBeUndefined()
    expect(stuckAt(overdue, next, none, 3 * overdueMs, 4 * overdueMs)).toBeDefined()
  })

  it('counts again once it serves, and at once', () => {
    const overdue = new Overdue(peerId(1))
    const at = stuckAt(overdue, peer(2, 4, { stages: loading }), none, 0, 1e6)!
    // However long it goes on.
    overdue.look([peer(2, 4, { stages: loading })], none, shape, at + 100 * overdueHoldMs)
    expect(overdue.isStuck(other)).toBe(true)
    overdue.look([peer(2, 4, { stages: [{ ...half, serving: true }] })], none, shape, at + 100 * overdueHoldMs + 1)
    expect(overdue.isStuck(other)).toBe(false)
  })

  it('is tried again after it was given up, less and less often, and from the start when its peer comes anew', () => {
    const overdue = new Overdue(peerId(1))
    let fromMs = stuckAt(overdue, peer(2, 4), planned, 0, 1e6)!
    for (let i = 0; i < 3; i++) {
      const backMs = fromMs + overdueHoldMs * 2 ** i
      expect(overdue.look([peer(2, 4)], none, shape, backMs - 1)).toBe(backMs)
      expect(overdue.isStuck(other)).toBe(true)
      overdue.look([peer(2, 4)], none, shape, backMs)
      expect(overdue.isStuck(other)).toBe(false)
      fromMs = stuckAt(overdue, peer(2, 4), planned, backMs + 1, backMs + 1e6)!
    }
    overdue.look([], none, shape, fromMs + 1)
    expect(overdue.isStuck(other)).toBe(false)
  })
})

describe('a plan', () => {
  it('leaves a stuck peer what it serves, and asks it for nothing else', () => {
    // Three peers of two layers: without the second half of the one that is stuck, the third takes it.
    const stuck = peer(2, 2, { stages: loading })
    const views = [peer(1, 2, { stages: [{ start: 0, end: 2, serving: true }] }), stuck, peer(3, 2)]
    expect(place(views, shape).stages.get(other)).toEqual(half)
    const without = place([views[0]!, withoutAwaited(stuck), views[2]!], shape)
    expect(without.stages.get(other)).toBeNull()
    expect(without.stages.get(peerId(3))).toEqual(half)
    expect(without.missing).toBeNull()
    const moving = [
      { ...half, serving: true },
      { start: 0, end: 2, serving: false }
    ]
    const serving = withoutAwaited(peer(2, 4, { stages: moving }))
    expect(place([serving, peer(3, 2)], shape).stages).toEqual(
      new Map([
        [other, half],
        [peerId(3), { start: 0, end: 2 }]
      ])
    )
    expect(placementKey([stuck])).not.toBe(placementKey([{ ...stuck, isStuck: true }]))
  })
})

/** Time that passes when it is told to. */
class VirtualClock {
  ms = 0
  readonly #tasks = new Set<{ atMs: number; task: () => void }>()

  readonly clock: Clock = {
    ...systemClock,
    nowMs: () => this.ms,
    after: (ms, task) => {
      const entry = { atMs: this.ms + ms, task }
      this.#tasks.add(entry)
      const timer: Timer = { unref: () => timer, stop: () => void this.#tasks.delete(entry) }
      return timer
    }
  }

  /** Does what is due until then, in order; promises settle in between. */
  async until(ms: number): Promise<void> {
    for (;;) {
      const [next] = [...this.#tasks].filter(({ atMs }) => atMs <= ms).sort((a, b) => a.atMs - b.atMs)
      if (next === undefined) break
      this.#tasks.delete(next)
      this.ms = Math.max(this.ms, next.atMs)
      next.task()
      await new Promise(resolve => setImmediate(resolve))
    }
    this.ms = ms
  }
}

let placement: Placement | undefined
afterEach(() => placement?.stop())

describe('a peer', () => {
  it('loads in the place of one that says for ever that it loads', async () => {
    const time = new VirtualClock()
    const begun: Range[] = []
    const serving = peer(0, 2, { stages: [{ start: 0, end: 2, serving: true }] })
    const self = peer(1, 2)
    placement = new Placement({
      self: peerId(1),
      model: shape,
      peers: () => [serving, self, peer(2, 2, { stages: loading })].map(view => ({ view, connected: true })),
      load: async range => void begun.push(range),
      unload: async () => {},
      sessions: () => 0,
      onWarning: () => {},
      clock: time.clock
    })
    placement.changed()
    await time.until(overdueMs - 1)
    // A copy of what is there: the other half is on its way.
    expect(begun).toEqual([{ start: 0, end: 2 }])
    await time.until(overdueMs + 60_000)
    expect(begun).toEqual([{ start: 0, end: 2 }, half])
  })
})
