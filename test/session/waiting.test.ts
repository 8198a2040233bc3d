/** Hops that keep an answer waiting, in virtual time: nobody waits for long for one that says nothing, or gets nothing done. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { askAfterMs, askEveryMs, muteHeadMs, muteTellMs, routeRetryMs, stuckMs } from '../../src/session/limits.ts'
import { orphanGraceMs, stageCloseMs, stageOpenMs } from '../../src/stage/limits.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import type { SessionOptions } from '../../src/session/options.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { type OpenFrame, stageProtocol } from '../../src/stage/frame.ts'
import { type Hop, isWithout, type Without } from '../../src/route/view.ts'
import { peerId, prompt, TestWorld } from './world.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Looks are taken this far apart: at deadlines, at what was asked, and for each of two hops in a row that cannot be reached. */
const looksMs = routeRetryMs + askEveryMs + 100

type Told = GenerationEvent & { readonly atMs: number }

/** Peers of a few layers, named by where they end; some of them liars that accept a stream and answer nothing, or little. */
class Flock {
  readonly world = new TestWorld({ schedule: (delayMs, task) => void setTimeout(task, delayMs), delayMs: () => 2 })

  static async of(names: readonly string[]): Promise<Flock> {
    const flock = new Flock()
    for (const name of names) await flock.world.add(name, [Flock.range(name)])
    await flock.world.add('D', [])
    return flock
  }

  static range(name: string): { start: number; end: number } {
    const end = Number(name[1])
    return { start: end - 2, end }
  }

  /** A member that claims to serve. `answers`: it says how far it has come, as if all were well, and passes nothing on. */
  async liar(name: string, { answers = false } = {}): Promise<void> {
    const links = this.world.links.join(peerId(name))
    await links.handle(stageProtocol, { inboundMax: 99, frameBytesMax: 1 << 20 }, channel => {
      let open: OpenFrame | undefined
      let arrived = 0
      channel.receive({
        onFrame: bytes => {
          const frame = decodeFrame(bytes)
          if (frame === undefined) return
          if (frame.kind === 'open') open = frame
          if (frame.kind === 'step') arrived = frame.position + frame.tokens
          if (!answers || frame.kind !== 'ask' || open === undefined) return
          const { hop } = open
          const { epoch } = open.terms
          const sums = { steps: 0, computeMs: 0, queueMs: 0, busyMs: 0, rows: 0, gatherMs: 0, place: 0, placeMs: 0 }
          const { round } = frame
          channel.send(encodeFrame({ kind: 'standing', epoch, round, hop, arrived, length: arrived, ...sums }))
        },
        onClose: () => {}
      })
    })
  }

  /** Asks along the first of these peers for each place, as they were not excluded. */
  async answer(
    order: readonly string[],
    { promptTokens = 5, maxTokens = 12, ...options }: SessionOptions & { promptTokens?: number } = {},
    onEvent: (event: Told) => void = () => {}
  ): Promise<readonly Told[]> {
    const ids = prompt(promptTokens)
    const events: Told[] = []
    const startMs = performance.now()
    const hops = order.map((name): Hop => ({ peer: peerId(name), ...Flock.range(name) }))
    const routeOf = (excluded: Without) =>
      [2, 4, 6].map(end => {
        const found = hops.find(hop => hop.end === end && !isWithout(excluded, hop))
        if (found === undefined) throw new Error(`nobody has layers ${end - 2}-${end}`)
        return found
      })
    const generation = this.world.generate(this.world.peers.get(peerId('D'))!, ids, {
      maxTokens,
      routeOf,
      hears: () => true,
      ...options
    })
    let isOver = false
    const reading = (async () => {
      for await (const event of generation.events()) {
        const told = { ...event, atMs: performance.now() - startMs }
        events.push(told)
        onEvent(told)
      }
    })().finally(() => {
      isOver = true
    })
    reading.catch(() => {})
    for (let ms = 0; !isOver; ms += 50) {
      if (ms > 600_000) throw new Error(`ten minutes passed: ${JSON.stringify(events)}`)
      await vi.advanceTimersByTimeAsync(50)
    }
    await reading
    const got = events.flatMap(event => (event.event === 'token' ? [event.id] : []))
    expect(got).toEqual(this.world.expected(ids, maxTokens))
    return events
  }

  async stop(): Promise<void> {
    await vi.advanceTimersByTimeAsync(orphanGraceMs + stageCloseMs + 1000)
    expect(this.world.cacheBytesUsed).toBe(0)
    await this.world.stop()
  }
}

const of = <K extends GenerationEvent['event']>(events: readonly Told[], kind: K) =>
  events.filter((event): event is Told & { event: K } => event.event === kind)

describe('S22: a hop that accepts a session and says nothing', () => {
  test.each([
    ['the head', 'x2', 0, true, muteHeadMs],
    ['a hop in the middle', 'x4', 1, false, stageOpenMs + muteTellMs],
    ['the tail', 'x6', 2, false, stageOpenMs + muteTellMs]
  ] as const)('%s is told of, and left out after seconds', async (_, name, hop, charged, limitMs) => {
    const flock = await Flock.of(['a2', 'a4', 'a6'])
    await flock.liar(name)
    const events = await flock.answer([name, 'a2', 'a4', 'a6'])
    const [waiting] = of(events, 'waiting')
    expect(waiting!.message).toContain(`hop ${hop} (${peerId(name)}) does not answer`)
    expect(waiting!.atMs).toBeLessThan(askAfterMs + muteTellMs + looksMs)
    expect(of(events, 'waiting')).toHaveLength(1)
    expect(of(events, 'lost')).toMatchObject([{ peer: peerId(name), hop, reason: 'mute', charged }])
    expect(of(events, 'token')[0]!.atMs).toBeLessThan(askAfterMs + limitMs + looksMs)
    await flock.stop()
  })

  test('one behind another costs as long again, and no more', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6'])
    for (const name of ['x2', 'x4', 'x6']) await flock.liar(name)
    const events = await flock.answer(['x2', 'x4', 'x6', 'a2', 'a4', 'a6'])
    expect(of(events, 'lost').map(({ peer }) => peer)).toEqual(['x2', 'x4', 'x6'].map(peerId))
    expect(of(events, 'token')[0]!.atMs).toBeLessThan(3 * (askAfterMs + stageOpenMs + muteTellMs + looksMs))
    await flock.stop()
  })

  test('in mid-answer, too', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6', 'b4'])
    const silent: (() => void)[] = []
    const events = await flock.answer(['a2', 'a4', 'a6', 'b4'], { maxTokens: 20 }, event => {
      // Whatever it is given from here on stays there: as an inlet that has stopped to read.
      if (event.event === 'token' && event.position === 8) silent.push(flock.world.links.stall(peerId('a4')))
    })
    expect(of(events, 'lost')).toMatchObject([{ peer: peerId('a4'), hop: 1, reason: 'mute', charged: false }])
    const longest = Math.max(...of(events, 'token').map(({ ms }) => ms))
    expect(longest).toBeLessThan(askAfterMs + stageOpenMs + muteTellMs + looksMs)
    for (const end of silent) end()
    await flock.stop()
  })

  test('and where nobody else is there, is asked again and told of until it is gone', async () => {
    const flock = await Flock.of(['a4', 'a6'])
    await flock.liar('x2')
    const said: string[] = []
    const answering = flock.answer(['x2', 'a4', 'a6'], {}, event => said.push(event.event))
    await expect(answering).rejects.toThrow(/did not answer|nobody has layers/)
    expect(said).toContain('waiting')
    await flock.stop()
  })
})

describe('a hop that says that all is well, and passes nothing on', () => {
  test('is left out once that has happened behind it twice: no healthy peer is charged', async () => {
    const flock = await Flock.of(['a2', 'a4', 'b4', 'c4', 'a6'])
    await flock.liar('x2', { answers: true })
    const events = await flock.answer(['x2', 'a2', 'a4', 'b4', 'c4', 'a6'])
    expect(of(events, 'lost')).toMatchObject([
      { peer: peerId('a4'), hop: 1, reason: 'mute', charged: false },
      { peer: peerId('b4'), hop: 1, reason: 'mute', charged: false },
      { peer: peerId('x2'), hop: 0, reason: 'mute', charged: false }
    ])
    await flock.stop()
  })

  test('as the tail, it is the one that owes the token', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6'])
    await flock.liar('x6', { answers: true })
    const events = await flock.answer(['x6', 'a2', 'a4', 'a6'])
    expect(of(events, 'lost')).toMatchObject([{ peer: peerId('x6'), hop: 2, reason: 'stuck', charged: false }])
    await flock.stop()
  })
})

describe('an engine that hangs at a peer whose heart beats', () => {
  const hang = (flock: Flock, name: string, from = 0): (() => void) => {
    const [probe] = flock.world.peers.get(peerId(name))!.probes
    const { promise, resolve } = Promise.withResolvers<void>()
    probe!.beforeRun = ({ position }) => (position >= from ? promise : undefined)
    return resolve
  }

  test.each(['a2', 'a4', 'a6'])('%s, before the first token: there is a way around it, which is taken', async name => {
    const flock = await Flock.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'])
    flock.world.speedOf = () => ({ visitMs: 1, layerMs: 1, sessions: 0 })
    const wake = hang(flock, name)
    const events = await flock.answer(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'], { promptTokens: 300 })
    const hop = Number(name[1]) / 2 - 1
    expect(of(events, 'lost')).toMatchObject([{ peer: peerId(name), hop, reason: 'stuck', charged: true }])
    expect(of(events, 'token')[0]!.atMs).toBeLessThan(askAfterMs + stuckMs + looksMs + 1000)
    wake()
    await flock.stop()
  })

  test('in the middle of a long prompt, no later than in a short one', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6', 'b4'])
    flock.world.speedOf = () => ({ visitMs: 1, layerMs: 1, sessions: 0 })
    const wake = hang(flock, 'a4', 384)
    const events = await flock.answer(['a2', 'a4', 'a6', 'b4'], { promptTokens: 900 })
    expect(of(events, 'lost')).toMatchObject([{ peer: peerId('a4'), hop: 1, reason: 'stuck', charged: true }])
    expect(of(events, 'token')[0]!.atMs).toBeLessThan(askAfterMs + stuckMs + looksMs + 1000)
    wake()
    await flock.stop()
  })

  test('while it reserves the cache: whoever comes behind it is not taken for mute, first or as a stand-in', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6', 'b4', 'c4', 'b6'])
    flock.world.speedOf = () => ({ visitMs: 1, layerMs: 1, sessions: 0 })
    const wakes = ['a4', 'b4'].map(name => {
      const { promise, resolve } = Promise.withResolvers<void>()
      flock.world.peers.get(peerId(name))!.probes[0]!.beforeOpen = () => promise
      return resolve
    })
    const stuck = (name: string) => ({ peer: peerId(name), hop: 1, reason: 'stuck', charged: true })
    const first = await flock.answer(['a2', 'a4', 'a6', 'c4', 'b6'])
    expect(of(first, 'lost')).toMatchObject([stuck('a4')])
    // In mid-answer the head has all that the stand-in for c4 lacks, and nothing comes to that before it is ready.
    const events = await flock.answer(['a2', 'c4', 'a6', 'b4', 'a4', 'b6'], { maxTokens: 20 }, event => {
      if (event.event === 'token' && event.position === 8) wakes.push(flock.world.links.stall(peerId('c4')))
      if (event.event === 'lost' && event.peer === peerId('b4')) wakes[0]!()
    })
    expect(of(events, 'lost')).toMatchObject([{ peer: peerId('c4'), reason: 'mute', charged: false }, stuck('b4')])
    for (const wake of wakes) wake()
    await flock.stop()
  })

  test('is waited for where there is no way around it, and that is told', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6'])
    flock.world.speedOf = () => ({ visitMs: 1, layerMs: 1, sessions: 0 })
    const wake = hang(flock, 'a4')
    setTimeout(wake, 2 * stuckMs)
    const events = await flock.answer(['a2', 'a4', 'a6'])
    expect(of(events, 'lost')).toEqual([])
    expect(of(events, 'waiting')).toMatchObject([{ message: expect.stringContaining('no way around it') }])
    expect(of(events, 'waiting')[0]!.message).toContain(`hop 1 (${peerId('a4')})`)
    await flock.stop()
  })

  test('is no such thing where a slow peer reads a long prompt as fast as it has said', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'])
    // 26 s for a step of 128 tokens, 3 minutes and a half for the prompt.
    flock.world.speedOf = () => ({ visitMs: 10, layerMs: 100, sessions: 0 })
    for (const { probes } of flock.world.peers.values()) {
      for (const probe of probes) {
        probe.beforeRun = ({ tokens }) => new Promise(resolve => setTimeout(resolve, 10 + 200 * tokens))
      }
    }
    const events = await flock.answer(['a2', 'a4', 'a6', 'b2', 'b4', 'b6'], { promptTokens: 900, maxTokens: 2 })
    expect(of(events, 'lost')).toEqual([])
    expect(of(events, 'waiting')).toEqual([])
    await flock.stop()
  })

  test('where all are slower than they say, one of them gets there', async () => {
    const flock = await Flock.of(['a2', 'a4', 'a6', 'b4', 'c4'])
    flock.world.speedOf = () => ({ visitMs: 1, layerMs: 1, sessions: 0 })
    for (const name of ['a4', 'b4', 'c4']) {
      flock.world.peers.get(peerId(name))!.probes[0]!.beforeRun = ({ tokens }) =>
        new Promise(resolve => setTimeout(resolve, tokens > 1 ? 2.5 * stuckMs : 10))
    }
    const events = await flock.answer(['a2', 'a4', 'a6', 'b4', 'c4'], { promptTokens: 40 })
    expect(of(events, 'lost').map(({ peer }) => peer)).toEqual(['a4', 'b4'].map(peerId))
    await flock.stop()
  })
})
