/** Where the time of tokens goes, as a driver puts it together: by hand, and over real links. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import type { Hop } from '../../src/route/view.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { Trace, type TracedLap } from '../../src/session/trace.ts'
import type { HopSpans } from '../../src/stage/trace.ts'
import { Mesh } from './mesh.ts'
import { collect, peerId, prompt, TestWorld } from './world.ts'

const [a, b, c] = ['A', 'B', 'C'].map(peerId) as [PeerId, PeerId, PeerId]
const hops: Hop[] = [
  { peer: a, start: 0, end: 2 },
  { peer: b, start: 2, end: 4 },
  { peer: c, start: 4, end: 6 }
]

/** A hop that had the step for 10 ms, and took `sentMs` to send the one before. */
const spans = (hop: number, sentMs = 0): HopSpans => ({
  hop,
  readMs: 1,
  waitMs: 2,
  outMs: 0.5,
  computeMs: 5,
  sampleMs: 1,
  backMs: 0.5,
  sentMs
})

const total = ({ spans }: TracedLap): number => spans.reduce((sum, { ms }) => sum + ms, 0)

/** One lap of 50 ms that began at 100, and the step after it; `sentMs`: of this lap, as the hops say with the next one. */
function lap(self: PeerId, { told = [0, 1, 2], route = hops, sentMs = 1 } = {}): TracedLap {
  const trace = new Trace(self)
  trace.stepped({ rows: 1, startMs: 100, sentMs: 102 })
  const came = { tokens: 1, hops: route, readMs: 3 }
  expect(trace.came({ position: 7, ...came, spans: told.map(hop => spans(hop)) }, 150)).toBeUndefined()
  trace.stepped({ rows: 1, startMs: 151, sentMs: 152 })
  const done = trace.came({ position: 8, ...came, spans: told.map(hop => spans(hop, sentMs)) }, 200)
  expect(trace.end()).toMatchObject({ position: 8, startMs: 151, ms: 49 })
  expect(trace.end()).toBeUndefined()
  return done!
}

const wires = ({ spans }: TracedLap): [number | undefined, number][] =>
  spans.flatMap(({ name, hop, ms }) => (name === 'wire' ? [[hop, ms]] : []))

describe('a lap', () => {
  test('is made of what the driver did, of what the hops say, and of the time between them', () => {
    const done = lap(peerId('D'))
    expect(done).toMatchObject({ position: 7, tokens: 1, rows: 1, startMs: 100, ms: 50 })
    expect(total(done)).toBeCloseTo(50)
    // 50 less 2 and 3 of the driver, and 11 of each hop: 12 over four ways.
    expect(wires(done)).toEqual([
      [0, 3],
      [1, 3],
      [2, 3],
      [undefined, 3]
    ])
    expect(done.spans.filter(({ hop }) => hop === 2).map(({ name }) => name)).toEqual([
      'wire',
      'read',
      'wait',
      'out',
      'compute',
      'sample',
      'back',
      'send'
    ])
    expect(done.spans.map(({ name, hop }) => `${hop ?? 'driver'} ${name}`)).toContain('driver read')
  })

  test('has no way from a peer to itself, but where there is no other', () => {
    expect(wires(lap(a)).map(([hop]) => hop)).toEqual([1, 2, undefined])
    const alone = lap(a, { told: [0], route: [{ peer: a, start: 0, end: 6 }] })
    expect(wires(alone)).toEqual([
      [0, 17],
      [undefined, 17]
    ])
  })

  test('counts a hop that says nothing as time between the others', () => {
    const done = lap(peerId('D'), { told: [0, 2] })
    expect(total(done)).toBeCloseTo(50)
    expect(done.spans.some(({ hop, name }) => hop === 1 && name !== 'wire')).toBe(false)
    expect(wires(done)[0]).toEqual([0, 23 / 4])
  })

  test('of hops that say more than there was is as long as they say', () => {
    const done = lap(peerId('D'), { sentMs: 1000 })
    expect(wires(done)).toEqual([])
    expect(done.ms).toBeCloseTo(total(done))
    expect(done.ms).toBeGreaterThan(3000)
  })
})

const tracedOf = (events: readonly GenerationEvent[]): TracedLap[] =>
  events.flatMap(event => (event.event === 'trace' ? [event] : []))

describe('over real links', () => {
  let mesh: Mesh
  beforeEach(() => {
    mesh = new Mesh()
  })
  afterEach(() => mesh.stop())

  test.each([1, 3])(
    'every lap of %i peers is told of, and its spans add up to the time between tokens',
    async count => {
      const ranges =
        count === 1
          ? ([[0, 6]] as const)
          : ([
              [0, 2],
              [2, 4],
              [4, 6]
            ] as const)
      const world = await mesh.world(ranges)
      const peers = [...world.peers.values()]
      const slow = peers.at(-1)!
      slow.probes[0]!.beforeRun = () => new Promise(resolve => setTimeout(resolve, 10))
      const began = performance.now()
      const events = await collect(world.generate(peers[0]!, prompt(10), { maxTokens: 12, trace: true }).events())
      const took = performance.now() - began
      const laps = tracedOf(events)
      expect(laps.map(({ position }) => position)).toEqual(Array.from({ length: 12 }, (_, i) => 10 + i))
      for (const [i, each] of laps.entries()) {
        expect(total(each)).toBeCloseTo(each.ms, 6)
        const told = new Set(each.spans.filter(({ name }) => name === 'compute').map(({ hop }) => hop))
        expect([...told]).toEqual(Array.from({ length: count }, (_, hop) => hop))
        const next = laps[i + 1]
        // A lap ends where the next one begins, in the same turn.
        if (next !== undefined) expect(Math.abs(each.startMs + each.ms - next.startMs)).toBeLessThan(2)
      }
      const slowMs = laps.map(({ spans }) => spans.find(({ hop, name }) => hop === count - 1 && name === 'wait')!.ms)
      expect(Math.min(...slowMs)).toBeGreaterThan(9)
      expect(laps.reduce((sum, { ms }) => sum + ms, 0)).toBeLessThan(took)
      await world.stop()
    }
  )

  test('nobody hears of it who has not asked, and the tokens are the same', async () => {
    const world = await mesh.world([
      [0, 3],
      [3, 6]
    ])
    const [driver] = [...world.peers.values()]
    const plain = await collect(world.generate(driver!, prompt(10), { maxTokens: 8 }).events())
    const traced = await collect(world.generate(driver!, prompt(10), { maxTokens: 8, trace: true }).events())
    expect(tracedOf(plain)).toEqual([])
    expect(tracedOf(traced)).toHaveLength(8)
    const ids = (events: readonly GenerationEvent[]): unknown => events.find(({ event }) => event === 'done')
    expect(ids(traced)).toMatchObject({ ids: world.expected(prompt(10), 8) })
    expect(ids(plain)).toMatchObject({ ids: world.expected(prompt(10), 8) })
    await world.stop()
  })
})

test('a loss in the middle ends no trace: laps of the new route name its hops', async () => {
  const world = new TestWorld()
  for (const [name, start, end] of [
    ['D', 0, 3],
    ['E', 3, 6],
    ['F', 3, 6]
  ] as const)
    await world.add(name, [{ start, end }])
  const driver = world.peers.get(peerId('D'))!
  world.peers.get(peerId('E'))!.probes[0]!.beforeRun = ({ position }) => {
    if (position === 18) world.kill(peerId('E'))
  }
  const events = await collect(world.generate(driver, prompt(10), { maxTokens: 20, trace: true }).events())
  expect(events.at(-1)).toMatchObject({ event: 'done', ids: world.expected(prompt(10), 20) })
  const tails = new Set(tracedOf(events).map(({ hops }) => hops.at(-1)!.peer))
  expect([...tails]).toEqual([peerId('E'), peerId('F')])
  await world.stop()
})
