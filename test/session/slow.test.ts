/** Slow hops and links in virtual time. Rule numbers are those of `protocols/stage.md`. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { orphanGraceMs, stageCloseMs } from '../../src/stage/limits.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { peerId, prompt, TestWorld } from './world.ts'

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

/** A world of three stages, with what one step of one token takes each peer, to be changed at will. */
class SlowWorld {
  readonly world: TestWorld
  readonly stepMs = new Map<string, number>()
  linkMs = 2

  constructor() {
    this.world = new TestWorld({ schedule, delayMs: () => this.linkMs })
  }

  static async of(names: readonly string[], stepMs = 30): Promise<SlowWorld> {
    const made = new SlowWorld()
    for (const name of names) {
      const start = Number(name[1]) - 2
      const { probes } = await made.world.add(name, [{ start, end: start + 2 }])
      made.stepMs.set(name, stepMs)
      probes[0]!.beforeRun = ({ tokens }) =>
        new Promise(resolve => setTimeout(resolve, made.stepMs.get(name)! * (1 + tokens / 10)))
    }
    await made.world.add('D', [])
    return made
  }

  /** Answers a prompt along a2, a4, a6; `at` is called with each token's index. */
  async answer(promptTokens: number, maxTokens: number, at: (index: number) => void): Promise<GenerationEvent[]> {
    const ids = prompt(promptTokens)
    const events: GenerationEvent[] = []
    const generation = this.world.generate(this.world.peers.get(peerId('D'))!, ids, {
      maxTokens,
      routeOf: () => ['a2', 'a4', 'a6'].map((name, i) => ({ peer: peerId(name), start: 2 * i, end: 2 * i + 2 }))
    })
    await settle(
      (async () => {
        for await (const event of generation.events()) {
          events.push(event)
          if (event.event === 'token') at(event.position - promptTokens)
        }
      })()
    )
    expect(tokenIds(events)).toEqual(this.world.expected(ids, maxTokens))
    for (const { violations } of this.world.peers.values()) expect(violations).toEqual([])
    return events
  }

  async stop(): Promise<void> {
    await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs + 1000)
    expect(this.world.cacheBytesUsed).toBe(0)
    expect(this.world.links.openEnds).toBe(0)
    await this.world.stop()
  }
}

const losses = (events: readonly GenerationEvent[]): unknown[] => events.filter(({ event }) => event === 'lost')
const gaps = (events: readonly GenerationEvent[]): number[] =>
  events.flatMap(event => (event.event === 'token' ? [event.ms] : []))

describe('S23: a hop at a tenth of its speed', () => {
  test.each(['a2', 'a4', 'a6'])('%s is gone around, and the answer is as fast as before', async name => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'])
    const events = await slow.answer(100, 100, index => {
      if (index === 20) slow.stepMs.set(name, 300)
    })
    const hop = Number(name[1]) / 2 - 1
    expect(losses(events)).toEqual([{ event: 'lost', peer: peerId(name), hop, reason: 'slow', charged: true }])
    const recovered = events.filter(({ event }) => event === 'recovered')
    expect(recovered).toHaveLength(1)
    expect(recovered[0]).toMatchObject({
      route: expect.arrayContaining([{ peer: peerId(`b${name[1]}`), start: 2 * hop, end: 2 * hop + 2 }])
    })
    expect(Math.max(...gaps(events).slice(60))).toBeLessThan(150)
    await slow.stop()
  })

  test('is waited for where there is no way around it', async () => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6'])
    const events = await slow.answer(100, 60, index => {
      if (index === 20) slow.stepMs.set('a4', 300)
    })
    expect(losses(events)).toEqual([])
    await slow.stop()
  })

  test('that recovers soon is not left', async () => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b4'])
    const events = await slow.answer(100, 60, index => {
      if (index === 20) slow.stepMs.set('a4', 300)
      if (index === 23) slow.stepMs.set('a4', 30)
    })
    expect(losses(events)).toEqual([])
    await slow.stop()
  })
})

describe('S22, S23: a hop that keeps a step', () => {
  test.each(['a2', 'a4', 'a6'])('%s: the token is computed again on the way around it', async name => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'])
    const events = await slow.answer(100, 60, index => {
      // It is done after all, long after everybody has gone on.
      if (index === 20) slow.stepMs.set(name, 20_000)
    })
    expect(losses(events)).toMatchObject([{ peer: peerId(name), reason: 'slow' }])
    expect(Math.max(...gaps(events).slice(1))).toBeLessThan(3000)
    await slow.stop()
  })

  test('is waited for where there is no way around it', async () => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6'])
    const events = await slow.answer(100, 30, index => {
      slow.stepMs.set('a4', index === 20 ? 15_000 : 30)
    })
    expect(losses(events)).toEqual([])
    await slow.stop()
  })
})

describe('S23: nobody is slow', () => {
  test('while a long prompt is read by weak devices', async () => {
    // 128 tokens take 14 seconds per stage.
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'], 1000)
    expect(losses(await slow.answer(600, 20, () => {}))).toEqual([])
    await slow.stop()
  })

  test('while the first token of a route takes long, as when weights are paged in', async () => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'], 5000)
    expect(
      losses(
        await slow.answer(5, 20, () => {
          for (const name of slow.stepMs.keys()) slow.stepMs.set(name, 10)
        })
      )
    ).toEqual([])
    await slow.stop()
  })

  test('when links take the time', async () => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'])
    const events = await slow.answer(100, 60, index => {
      slow.linkMs = index < 20 ? 2 : 400
    })
    expect(losses(events)).toEqual([])
    await slow.stop()
  })

  test('when all of them become slow', async () => {
    const slow = await SlowWorld.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'])
    const events = await slow.answer(100, 60, index => {
      if (index === 20) for (const name of slow.stepMs.keys()) slow.stepMs.set(name, 150)
    })
    expect(losses(events)).toEqual([])
    await slow.stop()
  })
})
