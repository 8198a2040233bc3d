/** Peers that leave with notice, in virtual time: the session changes its route between two tokens. */
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { seeded } from '../../src/base/rng.ts'
import { orphanGraceMs, stageCloseMs } from '../../src/stage/limits.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { collect, peerId, prompt, TestWorld } from './world.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const schedule = (delayMs: number, task: () => void): void => void setTimeout(task, delayMs)

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

/** Every engine takes this long for a step, and as long again for every 10 tokens in it. */
const stepMs = 4

async function world(ranges: Record<string, [number, number]>, linkMs = 2): Promise<TestWorld> {
  const made = new TestWorld({ schedule, delayMs: () => linkMs })
  for (const [name, [start, end]] of Object.entries(ranges)) await made.add(name, [{ start, end }])
  await made.add('D', [])
  for (const { probes } of made.peers.values()) {
    for (const probe of probes) {
      probe.beforeRun = ({ tokens }) => new Promise(r => setTimeout(r, stepMs * (1 + tokens / 10)))
    }
  }
  return made
}

describe('a hop leaves in mid-answer', () => {
  test.each([
    ['the head', ['a2'], { b2: [0, 2] }],
    ['a middle hop', ['a4'], { b4: [2, 4] }],
    ['the tail', ['a6'], { b6: [4, 6] }],
    ['a hop whose place two others take', ['a4'], { b3: [2, 3], b4: [3, 4] }],
    ['two neighbours, for one', ['a4', 'a6'], { b6: [2, 6] }],
    ['head and tail', ['a2', 'a6'], { b2: [0, 2], b6: [4, 6] }],
    ['the whole route', ['a2', 'a4', 'a6'], { b6: [0, 6] }]
  ] as [string, string[], Record<string, [number, number]>][])(
    'S19, S20: %s: the same tokens, and none is late though the stand-in computes all of them anew',
    async (_, leavers, others) => {
      const flock = await world({ a2: [0, 2], a4: [2, 4], a6: [4, 6], ...others })
      const ids = prompt(600)
      const events: GenerationEvent[] = []
      const departed: Promise<void>[] = []
      const generation = flock.generate(flock.peers.get(peerId('D'))!, ids, {
        maxTokens: 60,
        routeOf: () => ['a2', 'a4', 'a6'].map((name, i) => ({ peer: peerId(name), start: 2 * i, end: 2 * i + 2 }))
      })
      await settle(
        (async () => {
          for await (const event of generation.events()) {
            events.push(event)
            if (event.event !== 'token' || event.position !== 605) continue
            for (const name of leavers) departed.push(flock.depart(peerId(name)))
          }
        })()
      )
      expect(tokenIds(events)).toEqual(flock.expected(ids, 60))
      // Whoever counts sessions per route hears of the change.
      const [recovered] = events.filter(({ event }) => event === 'recovered')
      expect(recovered).toMatchObject({ route: flock.routes.at(-1) })
      expect(events.filter(event => event.event === 'lost')).toEqual(
        leavers.map(name => ({
          event: 'lost',
          peer: peerId(name),
          hop: Number(name[1]) / 2 - 1,
          reason: 'left',
          charged: false
        }))
      )
      const gaps = events.flatMap(event => (event.event === 'token' ? [event.ms] : [])).slice(1)
      // To compute 600 tokens takes 240 ms and more, a step along the route about 20.
      expect(Math.max(...gaps)).toBeLessThan(80)
      expect(events.filter(event => event.event === 'recovered')).toHaveLength(1)
      await settle(Promise.all(departed))
      await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs + 1000)
      expect(flock.cacheBytesUsed).toBe(0)
      expect(flock.links.openEnds).toBe(0)
      for (const { violations } of flock.peers.values()) expect(violations).toEqual([])
      await flock.stop()
    }
  )

  test('a stage that placement drops is left between two tokens, too, though its peer stays', async () => {
    const flock = await world({ a2: [0, 2], a4: [2, 4], a6: [4, 6], b4: [2, 4] })
    const ids = prompt(600)
    const events: GenerationEvent[] = []
    const generation = flock.generate(flock.peers.get(peerId('D'))!, ids, {
      maxTokens: 60,
      routeOf: () => ['a2', 'a4', 'a6'].map((name, i) => ({ peer: peerId(name), start: 2 * i, end: 2 * i + 2 }))
    })
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event === 'token' && event.position === 605) flock.dropping.add(peerId('a4'))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(flock.expected(ids, 60))
    expect(events.flatMap(event => (event.event === 'recovered' ? event.route.map(hop => hop.peer) : []))).toEqual(
      ['a2', 'b4', 'a6'].map(peerId)
    )
    const gaps = events.flatMap(event => (event.event === 'token' ? [event.ms] : [])).slice(1)
    // To compute 600 tokens anew takes 240 ms and more.
    expect(Math.max(...gaps)).toBeLessThan(80)
    await flock.stop()
  })

  test('a peer that was about to go, and stays after all, is gone around and not called slow', async () => {
    const flock = await world({ a2: [0, 2], a4: [2, 4], a6: [4, 6], b4: [2, 4] })
    // The stand-in takes more than a second for the 600 tokens, which is some 50 tokens of the answer.
    const standIn = flock.peers.get(peerId('b4'))!.probes[0]!
    standIn.beforeRun = ({ tokens }) => new Promise(resolve => setTimeout(resolve, 4 + 2 * (tokens - 1)))
    const ids = prompt(600)
    const events: GenerationEvent[] = []
    const generation = flock.generate(flock.peers.get(peerId('D'))!, ids, {
      maxTokens: 120,
      routeOf: () => ['a2', 'a4', 'a6'].map((name, i) => ({ peer: peerId(name), start: 2 * i, end: 2 * i + 2 }))
    })
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event === 'token' && event.position === 605) flock.leaving.add(peerId('a4'))
          if (event.event === 'token' && event.position === 635) flock.leaving.delete(peerId('a4'))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(flock.expected(ids, 120))
    expect(events.filter(event => event.event === 'lost')).toEqual([
      { event: 'lost', peer: peerId('a4'), hop: 1, reason: 'left', charged: false }
    ])
    await flock.stop()
  })

  test('a stand-in without room is passed over for another one', async () => {
    const flock = await world({ a2: [0, 2], a4: [2, 4], a6: [4, 6], c4: [2, 4] })
    const full = await flock.add('b4', [{ start: 2, end: 4 }], { retainBytesMax: 10 })
    const ids = prompt(200)
    let departed: Promise<void> | undefined
    const events: GenerationEvent[] = []
    const generation = flock.generate(flock.peers.get(peerId('D'))!, ids, {
      maxTokens: 150,
      routeOf: () => ['a2', 'a4', 'a6'].map((name, i) => ({ peer: peerId(name), start: 2 * i, end: 2 * i + 2 }))
    })
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event === 'token' && event.position === 205) departed = flock.depart(peerId('a4'))
        }
      })()
    )
    expect(tokenIds(events)).toEqual(flock.expected(ids, 150))
    expect(events.flatMap(event => (event.event === 'recovered' ? event.route.map(hop => hop.peer) : []))).toEqual(
      ['a2', 'c4', 'a6'].map(peerId)
    )
    expect(full.probes[0]!.steps).toEqual([])
    await settle(departed!)
    await flock.stop()
  })

  test('where there is no other way it serves to the end of the answer', async () => {
    const flock = await world({ a2: [0, 2], a4: [2, 4], a6: [4, 6] })
    const ids = prompt(20)
    const generation = flock.generate(flock.peers.get(peerId('D'))!, ids, { maxTokens: 40 })
    flock.leaving.add(peerId('a4'))
    const events = await settle(collect(generation.events()))
    expect(tokenIds(events)).toEqual(flock.expected(ids, 40))
    expect(events.filter(event => event.event === 'lost')).toEqual([])
    await flock.stop()
  })

  test('any departures and losses at any time: the same tokens, nobody else named, every cache freed', async () => {
    const cases = fc.record({
      seed: fc.nat(),
      promptLength: fc.integer({ min: 1, max: 300 }),
      maxTokens: fc.integer({ min: 1, max: 60 }),
      linkMsMax: fc.integer({ min: 0, max: 15 }),
      computeMsMax: fc.integer({ min: 0, max: 15 }),
      departures: fc.array(fc.record({ afterMs: fc.nat(1500), hop: fc.nat(2), kill: fc.boolean() }), { maxLength: 5 })
    })
    await fc.assert(
      fc.asyncProperty(cases, async c => {
        const rng = seeded(c.seed)
        const delays = new Map<string, number>()
        const flock = new TestWorld({
          schedule,
          delayMs: (from, to) => {
            const key = `${from}${to}`
            if (!delays.has(key)) delays.set(key, Math.floor(rng() * (c.linkMsMax + 1)))
            return delays.get(key)!
          }
        })
        for (let copy = 0; copy < 3; copy++) {
          for (const start of [0, 2, 4]) await flock.add(`s${start}c${copy}`, [{ start, end: start + 2 }])
        }
        const driver = await flock.add('D', [])
        for (const { probes } of flock.peers.values()) {
          for (const probe of probes) {
            probe.beforeRun = () => new Promise(r => setTimeout(r, Math.floor(rng() * (c.computeMsMax + 1))))
          }
        }
        const gone = new Set<PeerId>()
        const departed: Promise<void>[] = []
        const copies = [3, 3, 3]
        for (const { afterMs, hop, kill } of c.departures) {
          setTimeout(() => {
            if (copies[hop]! <= 1) return
            const victim = [...flock.peers.values()].find(
              ({ id, probes }) => !gone.has(id) && probes[0]?.engine.start === 2 * hop
            )!
            copies[hop]!--
            gone.add(victim.id)
            if (kill) flock.kill(victim.id)
            else departed.push(flock.depart(victim.id))
          }, afterMs)
        }
        const ids = prompt(c.promptLength)
        const events = await settle(collect(flock.generate(driver, ids, { maxTokens: c.maxTokens }).events()))
        expect(tokenIds(events)).toEqual(flock.expected(ids, c.maxTokens))
        for (const event of events) if (event.event === 'lost') expect(gone).toContain(event.peer)
        await vi.advanceTimersByTimeAsync(1500)
        await settle(Promise.all(departed))
        await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs + 1000)
        expect(flock.cacheBytesUsed).toBe(0)
        expect(flock.sessions).toBe(0)
        expect(flock.links.openEnds).toBe(0)
        for (const { violations } of flock.peers.values()) expect(violations).toEqual([])
        await flock.stop()
      }),
      { numRuns: 100 }
    )
  })
})
