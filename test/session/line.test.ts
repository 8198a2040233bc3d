/**
 * More sessions than there is room for, in virtual time: they wait in line at the stages, drivers take turns, and every answer
 * is the same as alone. Rules S29 to S31 of `protocols/stage.md`.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Terms } from '../../protocols/stage.ts'
import { StageFrame } from '../../protocols/stage.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import type { SessionParts } from '../../src/session/parts.ts'
import { turnMs } from '../../src/stage/limits.ts'
import type { Channel, Links } from '../../src/swarm/links.ts'
import { peerId, prompt, type TestPeer, TestWorld } from './world.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

const ranges = [
  { start: 0, end: 2 },
  { start: 2, end: 4 },
  { start: 4, end: 6 }
]
/** What a step takes at a stage: with links of 2 ms a token takes some 70 ms. */
const stepMs = 20
const longTokens = 300
const honestTokens = 160

type Told = GenerationEvent & { readonly atMs: number }

interface Asked {
  readonly promptTokens?: number
  readonly maxTokens?: number
  readonly parts?: Partial<SessionParts>
  readonly signal?: AbortSignal
}

/** Three stages in a row, each with room for one session of {@link longTokens}, and drivers without layers. */
class Scene {
  readonly world = new TestWorld({
    schedule: (delayMs, task) => void setTimeout(task, delayMs),
    delayMs: () => 2,
    verify: () => true
  })
  readonly drivers = new Map<string, TestPeer>()
  readonly #under: Promise<unknown>[] = []

  static async of(
    drivers: readonly string[],
    {
      rooms = [1, 1, 1],
      links = (plain: Links) => plain
    }: { rooms?: number[]; links?: (plain: Links, name: string) => Links } = {}
  ): Promise<Scene> {
    const scene = new Scene()
    for (const [i, range] of ranges.entries()) {
      const name = `a${i}`
      const peer = await scene.world.add(name, [range], { links: links(scene.world.links.join(peerId(name)), name) })
      const [probe] = peer.probes
      probe!.engine.cacheBytesMax = rooms[i]! * probe!.engine.cacheBytes(longTokens + 5)
      probe!.beforeRun = () => new Promise(resolve => setTimeout(resolve, stepMs))
    }
    for (const name of drivers) {
      const plain = scene.world.links.join(peerId(name))
      scene.drivers.set(name, await scene.world.add(name, [], { links: links(plain, name) }))
    }
    return scene
  }

  /** Asks, and checks that the answer is what it would be alone. */
  ask(driver: string, { promptTokens = 5, maxTokens = honestTokens, ...rest }: Asked = {}): Promise<readonly Told[]> {
    const ids = prompt(promptTokens)
    const startMs = performance.now()
    const events: Told[] = []
    const generation = this.world.generate(this.drivers.get(driver)!, ids, { maxTokens, ...rest })
    const asked = (async () => {
      for await (const event of generation.events()) events.push({ ...event, atMs: performance.now() - startMs })
      const got = events.flatMap(event => (event.event === 'token' ? [event.id] : []))
      expect(got).toEqual(this.world.expected(ids, maxTokens))
      return events
    })()
    asked.catch(() => {})
    this.#under.push(asked)
    return asked
  }

  /** Lets time pass until these have ended, or more has passed than they may take. */
  async until<T>(asked: Promise<T>, ms: number): Promise<T> {
    let isOver = false
    void asked.finally(() => (isOver = true)).catch(() => {})
    for (let passed = 0; !isOver; passed += 50) {
      if (passed > ms) throw new Error(`${ms / 1000} s have passed`)
      await vi.advanceTimersByTimeAsync(50)
    }
    return asked
  }

  async stop(): Promise<void> {
    await this.until(Promise.allSettled(this.#under), 600_000)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(this.world.cacheBytesUsed).toBe(0)
    for (const { stages, violations } of this.world.peers.values()) {
      expect(stages.stats).toEqual({ sessions: 0, waiting: 0, queuedSteps: 0, retainBytes: 0 })
      expect(violations).toEqual([])
    }
    await this.world.stop()
  }
}

const charged = (events: readonly Told[]) => events.filter(event => event.event === 'lost' && event.charged)
const told = (events: readonly Told[]) => events.flatMap(event => (event.event === 'waiting' ? [event.message] : []))
/** The longest time from one token, or the question, to the next. */
const longestMs = (events: readonly Told[]) =>
  Math.max(...events.flatMap(each => (each.event === 'token' ? [each.ms] : [])))

describe('S30: room for one session, and', () => {
  test('two honest drivers and one that never stops asking: each answer comes, the same as alone, in turns of seconds', async () => {
    const scene = await Scene.of(['H', 'D', 'E'])
    const controller = new AbortController()
    const hoarding = (async () => {
      while (!controller.signal.aborted)
        await scene.ask('H', { maxTokens: longTokens, signal: controller.signal }).catch(() => {})
    })()
    await vi.advanceTimersByTimeAsync(2_000)
    const answers = await scene.until(Promise.all([scene.ask('D'), scene.ask('E')]), 300_000)
    for (const events of answers) {
      expect(charged(events)).toEqual([])
      expect(
        told(events).some(message => /has no room yet: \d+ come first, its turn may come in some \d+ s/.test(message))
      ).toBe(true)
      // Two others have a turn each, and what each of them computes anew takes a moment.
      expect(longestMs(events)).toBeLessThan(3 * (turnMs + 2_000))
    }
    controller.abort()
    await scene.until(hoarding, 30_000)
    await scene.stop()
  })

  test('one driver that asks for twenty at once: another one waits for one turn, and not for twenty', async () => {
    const scene = await Scene.of(['H', 'D'])
    const controller = new AbortController()
    const asked = Array.from({ length: 20 }, () => scene.ask('H', { signal: controller.signal }))
    await vi.advanceTimersByTimeAsync(2_000)
    const events = await scene.until(scene.ask('D', { maxTokens: longTokens }), 300_000)
    expect(longestMs(events)).toBeLessThan(2 * (turnMs + 2_000))
    controller.abort()
    await scene.until(Promise.allSettled(asked), 30_000)
    await scene.stop()
  })

  test('a long line: nobody fails after a minute whose place gets on', async () => {
    const scene = await Scene.of(['D'])
    const answers = await scene.until(Promise.all(Array.from({ length: 8 }, () => scene.ask('D'))), 300_000)
    const first = answers.map(events => events.find(event => event.event === 'token')!.atMs)
    expect(Math.max(...first)).toBeGreaterThan(60_000)
    // As they came.
    expect(first).toEqual([...first].sort((a, b) => a - b))
    expect(answers.flatMap(charged)).toEqual([])
    await scene.stop()
  })

  test('one that waits is cancelled: its place is free, and so is what it held', async () => {
    const scene = await Scene.of(['H', 'D', 'E'])
    const holder = scene.ask('H', { maxTokens: longTokens })
    await vi.advanceTimersByTimeAsync(1_000)
    const controller = new AbortController()
    const waiting = scene.ask('D', { signal: controller.signal })
    await vi.advanceTimersByTimeAsync(2_000)
    expect(scene.world.peers.get(peerId('a0'))!.stages.stats.waiting).toBe(1)
    controller.abort(new Error('enough'))
    await expect(scene.until(waiting, 5_000)).rejects.toThrow('enough')
    await vi.advanceTimersByTimeAsync(500)
    expect(scene.world.peers.get(peerId('a0'))!.stages.stats.waiting).toBe(0)
    await scene.until(holder, 120_000)
    await scene.stop()
  })
})

describe('S29: room that is scarce further down', () => {
  test.each([
    ['in the middle', [3, 1, 3]],
    ['at the tail', [3, 3, 1]],
    ['less and less', [3, 2, 1]],
    ['more and more', [1, 2, 3]]
  ])('%s: sessions hold some and wait for more, and none waits for ever', async (_, rooms) => {
    const scene = await Scene.of(['D', 'E', 'F'], { rooms })
    const asked = ['D', 'E', 'F', 'D', 'E', 'F'].map(driver => scene.ask(driver))
    const answers = await scene.until(Promise.all(asked), 400_000)
    expect(answers.flatMap(charged)).toEqual([])
    for (const events of answers) expect(longestMs(events)).toBeLessThan(120_000)
    await scene.stop()
  })
})

// ── Revisions ─────────────────────────────────────────────────────────────────────────────────────

/** A channel that has what its frames say of room taken out, on its way out or in: as before there was such a thing. */
function olderChannel(channel: Channel): Channel {
  const older = (bytes: Uint8Array): Uint8Array => {
    const frame = StageFrame.decode(bytes)
    if (frame.open == null) return bytes
    const terms = Terms.encode({ ...Terms.decode(frame.open.terms), room: 0 })
    return StageFrame.encode({ open: { ...frame.open, terms } })
  }
  return new Proxy(channel, {
    get(target, key) {
      if (key === 'send') return (frame: Uint8Array): boolean => target.send(older(frame))
      if (key === 'receive') {
        return (handlers: Parameters<Channel['receive']>[0]): void =>
          target.receive({ ...handlers, onFrame: bytes => handlers.onFrame(older(bytes)) })
      }
      const value = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

/** Links of a peer that speaks the older revision alone. */
function olderLinks(links: Links): Links {
  const offered = { name: '/skein/stage', revisions: ['2.0.0'] }
  return {
    self: links.self,
    open: async (peer, _, options) => olderChannel(await links.open(peer, offered, options)),
    handle: (_, options, handler) => links.handle(offered, options, channel => handler(olderChannel(channel))),
    unhandle: () => links.unhandle(offered)
  }
}

describe('S30: an older peer among newer ones', () => {
  const older = (name: string) => ({
    links: (plain: Links, each: string) => (each === name ? olderLinks(plain) : plain)
  })

  test('as a driver that is refused and comes again: its turn comes, too', async () => {
    const scene = await Scene.of(['Q', 'D', 'E'], older('Q'))
    const parts = { keepsWaiting: () => false }
    const asked = ['D', 'E', 'D', 'E'].map(driver => scene.ask(driver))
    await vi.advanceTimersByTimeAsync(1_000)
    const events = await scene.until(scene.ask('Q', { parts }), 200_000)
    expect(charged(events)).toEqual([])
    // It may miss a turn between two tries.
    expect(longestMs(events)).toBeLessThan(4 * (turnMs + 2_000) + 4 * 5_000)
    expect((await scene.until(Promise.all(asked), 300_000)).flatMap(charged)).toEqual([])
    await scene.stop()
  })

  test.each(['a0', 'a1', 'a2'])('as the stage %s: drivers try again there, and all answers come', async name => {
    const scene = await Scene.of(['D', 'E'], older(name))
    const parts = { keepsWaiting: (peer: string) => peer !== peerId(name) }
    const asked = ['D', 'E'].map(driver => scene.ask(driver, { maxTokens: 60, parts }))
    const answers = await scene.until(Promise.all(asked), 120_000)
    expect(answers.flatMap(charged)).toEqual([])
    await scene.stop()
  })
})
