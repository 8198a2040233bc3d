import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { seeded } from '../../src/base/rng.ts'
import { NotCoveredError, SessionFailedError } from '../../src/errors.ts'
import { routeWaitMs } from '../../src/session/limits.ts'
import { orphanGraceMs, stageCloseMs } from '../../src/stage/limits.ts'
import { type Hop, isWithout, type Without } from '../../src/route/view.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { collect, peerId, prompt, TestWorld } from './world.ts'

// Virtual time: links, engines and deadlines all wait on fake timers, so hours pass in milliseconds.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const schedule = (delayMs: number, task: () => void): void => void setTimeout(task, delayMs)

/** Runs virtual time until the promise settles. */
async function settle<T>(promise: Promise<T>): Promise<T> {
  let settled = false
  const mark = (): void => {
    settled = true
  }
  promise.then(mark, mark)
  for (let ms = 0; !settled; ms += 50) {
    if (ms > 600_000) throw new Error('ten minutes of virtual time passed')
    await vi.advanceTimersByTimeAsync(50)
  }
  return promise
}

function tokenIds(events: readonly GenerationEvent[]): number[] {
  return events.flatMap(event => (event.event === 'token' ? [event.id] : []))
}

/** Two copies of a three-hop route, and a driver that holds no layers. */
async function doubled(delayMs = 1): Promise<TestWorld> {
  const world = new TestWorld({ schedule, delayMs: () => delayMs })
  for (const [start, end] of [
    [0, 2],
    [2, 4],
    [4, 6]
  ] as const) {
    await world.add(`a${start}`, [{ start, end }])
    await world.add(`b${start}`, [{ start, end }])
  }
  await world.add('D', [])
  return world
}

describe('a hop dies in mid-answer', () => {
  test.each([
    ['the head', 'a1'.replace('1', '0'), 0],
    ['a middle hop', 'a2', 1],
    ['the tail', 'a4', 2]
  ])('%s: same tokens, that peer alone is charged, once', async (_, name, hop) => {
    const world = await doubled()
    const driver = world.peers.get(peerId('D'))!
    const ids = prompt(200)
    const events: GenerationEvent[] = []
    const generation = world.generate(driver, ids, { maxTokens: 30 })
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event === 'token' && event.position === 210) world.kill(peerId(name))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(world.expected(ids, 30))
    expect(events.filter(e => e.event === 'lost')).toEqual([
      { event: 'lost', peer: peerId(name), hop, reason: 'closed', charged: true }
    ])
    const recovered = events.filter(e => e.event === 'recovered')
    expect(recovered.length).toBe(1)
    expect(recovered[0]!.route[hop]!.peer).toBe(peerId(name.replace('a', 'b')))
    await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs)
    expect(world.cacheBytesUsed).toBe(0)
    expect(world.links.openEnds).toBe(0)
    await world.stop()
  })

  test('S12, S13: the hop before the gap refills the stand-in; warm hops compute nothing twice', async () => {
    const world = await doubled()
    const ids = prompt(200)
    const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 30 })
    let before: number[] = []
    const tokens = (name: string): number =>
      world.peers.get(peerId(name))!.probes[0]!.steps.reduce((sum, step) => sum + step.tokens, 0)
    const got: number[] = []
    let last = 0
    await settle(
      (async () => {
        for await (const token of generation) {
          got.push(token.id)
          last = token.position
          if (token.position !== 210) continue
          before = [tokens('a0'), tokens('a4')]
          world.kill(peerId('a2'))
        }
      })()
    )
    expect(got).toEqual(world.expected(ids, 30))
    // The driver feeds everything but the last token it gets.
    const all = last
    const steps = world.peers.get(peerId('b2'))!.probes[0]!.steps
    expect(steps.reduce((sum, step) => sum + step.tokens, 0)).toBeGreaterThanOrEqual(all)
    expect(steps.reduce((sum, step) => sum + step.tokens, 0)).toBeLessThanOrEqual(all + 2)
    expect(steps[0]).toMatchObject({ position: 0, tokens: 128 })
    for (const [i, name] of ['a0', 'a4'].entries()) {
      expect(tokens(name) - before[i]!).toBeLessThanOrEqual(all - 210 + 2)
    }
    expect((await generation.answer).ids.length).toBe(30)
    await world.stop()
  })

  test('any losses at any time, any delays, any cut: the same tokens, nobody else blamed, every cache freed', async () => {
    const worlds = fc.record({
      seed: fc.nat(),
      bounds: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }),
      copies: fc.integer({ min: 2, max: 3 }),
      promptLength: fc.integer({ min: 1, max: 300 }),
      maxTokens: fc.integer({ min: 1, max: 40 }),
      temperature: fc.constantFrom(0, 0.8),
      driverServes: fc.boolean(),
      linkMsMax: fc.integer({ min: 0, max: 20 }),
      computeMsMax: fc.integer({ min: 0, max: 20 }),
      kills: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 800 }), hop: fc.nat() }), { maxLength: 4 })
    })
    await fc.assert(
      fc.asyncProperty(worlds, async c => {
        const rng = seeded(c.seed)
        const delays = new Map<string, number>()
        const world = new TestWorld({
          schedule,
          delayMs: (from, to) => {
            const key = `${from}${to}`
            if (!delays.has(key)) delays.set(key, Math.floor(rng() * (c.linkMsMax + 1)))
            return delays.get(key)!
          }
        })
        const bounds = [0, ...[...c.bounds].sort(), 6]
        const ranges = bounds.slice(1).map((end, i) => ({ start: bounds[i]!, end }))
        const spare = new Map(ranges.map(({ start }) => [start, c.copies]))
        for (const range of ranges) {
          for (let copy = 0; copy < c.copies; copy++) await world.add(`s${range.start}c${copy}`, [range])
        }
        const driver = await world.add('D', c.driverServes ? [ranges[0]!] : [])
        for (const { probes } of world.peers.values()) {
          for (const probe of probes) {
            probe.beforeRun = () => new Promise(r => setTimeout(r, Math.floor(rng() * (c.computeMsMax + 1))))
          }
        }
        const killed = new Set<PeerId>()
        for (const { afterMs, hop } of c.kills) {
          setTimeout(() => {
            const { start } = ranges[hop % ranges.length]!
            // The last copy lives on.
            if (spare.get(start)! <= 1) return
            const victim = [...world.peers.values()].find(
              ({ id, probes }) => id !== driver.id && probes[0]?.engine.start === start
            )!
            spare.set(start, spare.get(start)! - 1)
            killed.add(victim.id)
            world.kill(victim.id)
          }, afterMs)
        }
        const ids = prompt(c.promptLength)
        const { maxTokens, temperature } = c
        const generation = world.generate(driver, ids, { maxTokens, temperature, seed: 7 })
        const events = await settle(collect(generation.events()))
        expect(tokenIds(events)).toEqual(world.expected(ids, maxTokens, { temperature, seed: 7 }))
        for (const event of events) if (event.event === 'lost') expect(killed).toContain(event.peer)
        expect(events.filter(e => e.event === 'lost').length).toBe(
          new Set(events.flatMap(e => (e.event === 'lost' ? [e.peer] : []))).size
        )
        await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs + 1000)
        expect(world.cacheBytesUsed).toBe(0)
        expect(world.sessions).toBe(0)
        expect(world.links.openEnds).toBe(0)
        for (const { stages, violations } of world.peers.values()) {
          expect(stages.stats).toEqual({ sessions: 0, waiting: 0, queuedSteps: 0, retainBytes: 0 })
          expect(violations).toEqual([])
        }
        await world.stop()
      }),
      { numRuns: 100 }
    )
  })
})

test('links that part and heal between living peers: the same tokens, every cache freed', async () => {
  const cuts = fc.array(
    fc.record({
      afterMs: fc.integer({ min: 0, max: 400 }),
      forMs: fc.integer({ min: 1, max: 3000 }),
      a: fc.nat({ max: 6 }),
      b: fc.nat({ max: 6 })
    }),
    { minLength: 1, maxLength: 4 }
  )
  await fc.assert(
    fc.asyncProperty(cuts, fc.integer({ min: 1, max: 300 }), async (all, promptLength) => {
      const world = await doubled(5)
      const peers = [...world.peers.keys()]
      for (const { afterMs, forMs, a, b } of all) {
        if (a === b) continue
        setTimeout(() => world.links.cut(peers[a]!, peers[b]!), afterMs)
        setTimeout(() => world.links.heal(peers[a]!, peers[b]!), afterMs + forMs)
      }
      const ids = prompt(promptLength)
      const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 25 })
      const events = await settle(collect(generation.events()))
      expect(tokenIds(events)).toEqual(world.expected(ids, 25))
      await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs + 3500)
      expect(world.cacheBytesUsed).toBe(0)
      expect(world.links.openEnds).toBe(0)
      for (const { violations } of world.peers.values()) expect(violations).toEqual([])
      await world.stop()
    }),
    { numRuns: 40 }
  )
})

describe('a link between two hops breaks that both live and are heard by the driver', () => {
  /** All answers' events, with the link between these two cut at token 210. */
  const answer = async (a: string, b: string, world: TestWorld): Promise<GenerationEvent[]> => {
    const ids = prompt(200)
    const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 30 })
    const events: GenerationEvent[] = []
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event === 'token' && event.position === 210) world.links.cut(peerId(a), peerId(b))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(world.expected(ids, 30))
    return events
  }

  test('P5: another way is taken and nobody is charged; that the link was cut is told', async () => {
    const world = await doubled()
    const events = await answer('a0', 'a2', world)
    expect(events.filter(({ event }) => event === 'lost')).toEqual([])
    const recovered = events.flatMap(event => (event.event === 'recovered' ? [event] : []))
    expect(recovered.map(({ route }) => route.map(({ peer }) => peer))).toEqual([['a0', 'b2', 'a4'].map(peerId)])
    expect(events.filter(({ event }) => event === 'cut')).toEqual([
      { event: 'cut', peer: peerId('a0'), next: peerId('a2') }
    ])
    await world.stop()
  })

  test('where the hop behind the gap has no stand-in, the one before it has', async () => {
    const world = await doubled()
    world.kill(peerId('b2'))
    const events = await answer('a0', 'a2', world)
    expect(events.filter(({ event }) => event === 'lost')).toEqual([])
    const recovered = events.flatMap(event => (event.event === 'recovered' ? [event] : []))
    expect(recovered.map(({ route }) => route.map(({ peer }) => peer))).toEqual([['b0', 'a2', 'a4'].map(peerId)])
    await world.stop()
  })
})

describe('peers that do not answer at this moment', () => {
  test('are no part of the way around one that was lost, where there is another', async () => {
    const world = await doubled()
    const ids = prompt(20)
    const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 30 })
    const events: GenerationEvent[] = []
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event !== 'token' || event.position !== 30) continue
          // a2 is on the route, and b4 has no stand-in left once a4 is gone.
          world.suspects.add(peerId('a2')).add(peerId('b4'))
          world.kill(peerId('a4'))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(world.expected(ids, 30))
    expect(events.flatMap(event => (event.event === 'lost' ? [event.peer] : []))).toEqual([peerId('a4')])
    const recovered = events.flatMap(event => (event.event === 'recovered' ? [event] : []))
    // One that has no stand-in is asked all the same. (The toy's routing then asks every suspect.)
    expect(recovered.map(({ route }) => route.at(-1)!.peer)).toEqual([peerId('b4')])
    await world.stop()
  })

  test('nor is one of the route that does not answer', async () => {
    const world = await doubled()
    const ids = prompt(20)
    const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 30 })
    const events: GenerationEvent[] = []
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event !== 'token' || event.position !== 30) continue
          world.suspects.add(peerId('a2'))
          world.kill(peerId('a4'))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(world.expected(ids, 30))
    const recovered = events.flatMap(event => (event.event === 'recovered' ? [event] : []))
    expect(recovered.map(({ route }) => route.map(({ peer }) => peer))).toEqual([['a0', 'b2', 'b4'].map(peerId)])
    expect(events.flatMap(event => (event.event === 'lost' ? [event.peer] : []))).toEqual([peerId('a4')])
    await world.stop()
  })
})

describe('room for one session', () => {
  test('S15: what a dead driver has left far down a route gives way as soon as what it left at the head', async () => {
    const world = new TestWorld({ schedule, delayMs: () => 1 })
    for (const name of ['a0', 'b0']) await world.add(name, [{ start: 0, end: 3 }])
    const tail = await world.add('c3', [{ start: 3, end: 6 }])
    const [first, second] = [await world.add('D1', []), await world.add('D2', [])]
    const ids = prompt(40)
    const { engine } = tail.probes[0]!
    engine.cacheBytesMax = engine.cacheBytes(ids.length + 30)
    tail.probes[0]!.beforeRun = () => new Promise(resolve => setTimeout(resolve, 20))
    const reading = collect(world.generate(first, ids, { maxTokens: 30 }).events()).catch(() => {})
    await vi.advanceTimersByTimeAsync(300)
    expect(tail.stages.stats.sessions).toBe(1)
    world.kill(first.id)
    const startMs = performance.now()
    // By another head: the one that the dead driver used has no reason to look at what it holds.
    const other = [peerId('b0'), peerId('c3')].map((peer, i) => ({ peer, start: 3 * i, end: 3 * i + 3 }))
    const generation = world.generate(second, ids, { maxTokens: 30, routeOf: () => other })
    const events = await settle(collect(generation.events()))
    expect(tokenIds(events)).toEqual(world.expected(ids, 30))
    expect(performance.now() - startMs).toBeLessThan(orphanGraceMs / 3)
    void reading
    await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs)
    expect(world.cacheBytesUsed).toBe(0)
    await world.stop()
  })

  test('many answers at once: each gets its turn, whoever holds a part of what it needs', async () => {
    const world = await doubled()
    const ids = prompt(40)
    for (const { probes } of world.peers.values()) {
      for (const probe of probes) {
        probe.engine.cacheBytesMax = probe.engine.cacheBytes(ids.length + 12)
        probe.beforeRun = () => new Promise(resolve => setTimeout(resolve, 5))
      }
    }
    const driver = world.peers.get(peerId('D'))!
    // Every way through the copies, so that each holds some of what others need.
    const drawn = seeded(5)
    const routeOf = (excluded: Without): Hop[] =>
      [0, 2, 4].map(start => {
        const copies = ['a', 'b']
          .map((copy): Hop => ({ peer: peerId(`${copy}${start}`), start, end: start + 2 }))
          .filter(hop => !isWithout(excluded, hop))
        if (copies.length === 0) throw new NotCoveredError('nobody is left to ask')
        return copies[Math.floor(drawn() * copies.length)]!
      })
    const answers = Array.from({ length: 12 }, () =>
      collect(world.generate(driver, ids, { maxTokens: 12, routeOf }).events())
    )
    for (const events of await settle(Promise.all(answers))) expect(tokenIds(events)).toEqual(world.expected(ids, 12))
    await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs)
    expect(world.cacheBytesUsed).toBe(0)
    await world.stop()
  })
})

describe('no route', () => {
  test('after a loss without a stand-in the session waits, then fails and keeps its text', async () => {
    const world = new TestWorld({ schedule, delayMs: () => 1 })
    await world.add('D', [{ start: 0, end: 3 }])
    await world.add('B', [{ start: 3, end: 6 }])
    const ids = prompt(10)
    const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 30 })
    const startMs = performance.now()
    const got: number[] = []
    const reading = (async () => {
      for await (const token of generation) {
        got.push(token.id)
        if (got.length === 5) world.kill(peerId('B'))
      }
    })()
    const error = await settle(
      reading.then(
        () => undefined,
        (e: unknown) => e
      )
    )
    expect(error).toBeInstanceOf(SessionFailedError)
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(routeWaitMs)
    expect((error as SessionFailedError).text.trim().split(' ').map(Number)).toEqual(got)
    expect(got).toEqual(world.expected(ids, 30).slice(0, got.length))
    await expect(generation.answer).rejects.toBe(error)
    await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs)
    expect(world.cacheBytesUsed).toBe(0)
  })

  test('a stand-in that comes while the session waits is taken', async () => {
    const world = new TestWorld({ schedule, delayMs: () => 1 })
    await world.add('D', [{ start: 0, end: 3 }])
    await world.add('B', [{ start: 3, end: 6 }])
    const ids = prompt(10)
    const generation = world.generate(world.peers.get(peerId('D'))!, ids, { maxTokens: 30 })
    const got: number[] = []
    await settle(
      (async () => {
        for await (const token of generation) {
          got.push(token.id)
          if (got.length !== 5) continue
          world.kill(peerId('B'))
          setTimeout(() => void world.add('C', [{ start: 3, end: 6 }]), 3000)
        }
      })()
    )
    expect(got).toEqual(world.expected(ids, 30))
  })

  test('at the start there is nothing to wait for', async () => {
    const world = new TestWorld({ schedule })
    const driver = await world.add('D', [{ start: 0, end: 3 }])
    const generation = world.generate(driver, prompt(10))
    await expect(settle(collect(generation.events()))).rejects.toMatchObject({ name: 'NotCoveredError' })
    await expect(generation.answer).rejects.toMatchObject({ name: 'NotCoveredError' })
  })
})

describe('cancelling', () => {
  test("at any moment: the signal's reason is thrown and every cache is freed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 300 }),
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 1, max: 400 }),
        async (afterMs, linkMs, promptLength) => {
          const world = await doubled(linkMs)
          for (const { probes } of world.peers.values()) {
            for (const probe of probes) probe.beforeRun = () => new Promise(r => setTimeout(r, 3))
          }
          const controller = new AbortController()
          const reason = new Error('enough')
          const generation = world.generate(world.peers.get(peerId('D'))!, prompt(promptLength), {
            maxTokens: 500,
            signal: controller.signal
          })
          setTimeout(() => controller.abort(reason), afterMs)
          await expect(settle(collect(generation.events()))).rejects.toBe(reason)
          await expect(generation.answer).rejects.toBe(reason)
          // Closed came back from the tail, so nothing has to wait for a grace time.
          await vi.advanceTimersByTimeAsync(100)
          expect(world.cacheBytesUsed).toBe(0)
          expect(world.sessions).toBe(0)
          await vi.advanceTimersByTimeAsync(100)
          expect(world.links.openEnds).toBe(0)
          await world.stop()
        }
      ),
      { numRuns: 60 }
    )
  })

  test('a reader that stops reading frees the route, too', async () => {
    const world = await doubled()
    const generation = world.generate(world.peers.get(peerId('D'))!, prompt(10), { maxTokens: 100 })
    await settle(
      (async () => {
        for await (const token of generation) if (token.position === 14) break
      })()
    )
    expect(world.cacheBytesUsed).toBe(0)
    await expect(generation.answer).rejects.toBeInstanceOf(SessionFailedError)
  })

  test('S15: a session whose driver vanishes is freed after the grace time', async () => {
    const world = await doubled()
    const driver = world.peers.get(peerId('D'))!
    const generation = world.generate(driver, prompt(10), { maxTokens: 400 })
    for (const { probes } of world.peers.values()) {
      for (const probe of probes) probe.beforeRun = () => new Promise(r => setTimeout(r, 3))
    }
    const reading = collect(generation.events()).catch(() => {})
    await vi.advanceTimersByTimeAsync(500)
    expect(world.sessions).toBe(3)
    world.kill(driver.id)
    await vi.advanceTimersByTimeAsync(orphanGraceMs - 1000)
    expect(world.sessions).toBe(3)
    await vi.advanceTimersByTimeAsync(2000 + stageCloseMs)
    expect(world.sessions).toBe(0)
    expect(world.cacheBytesUsed).toBe(0)
    expect(world.links.openEnds).toBe(0)
    void reading
  })
})
