/** The stage service with hostile and unlucky peers beside an honest session. */
import { describe, expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import { isWithout } from '../../src/route/view.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import type { Frame, OpenFrame } from '../../src/stage/frame.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { signTerms, type Terms } from '../../src/stage/terms.ts'
import type { Channel, Links } from '../../src/swarm/links.ts'
import { signerOf } from '../../sim/cast.ts'
import { greedy, modelId, peerId, prompt, type TestPeer, TestWorld } from '../session/world.ts'

const signal = AbortSignal.timeout(20_000)
const turns = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 10))

interface Talk {
  channel: Channel
  heard: Frame[]
  ends: (Error | undefined)[]
}

async function talk(links: Links, to: TestPeer): Promise<Talk> {
  const channel = await links.open(to.id, stageProtocol, { signal })
  const heard: Frame[] = []
  const ends: (Error | undefined)[] = []
  channel.receive({ onFrame: bytes => heard.push(decodeFrame(bytes)!), onClose: error => ends.push(error) })
  return { channel, heard, ends }
}

async function world(init?: { cacheBytesMax?: number; retainBytesMax?: number }) {
  const w = new TestWorld()
  const a = await w.add('A', [{ start: 0, end: 3 }], init)
  const b = await w.add('B', [{ start: 3, end: 6 }], init)
  const d = await w.add('D', [])
  const m = w.links.join(peerId('M'))
  await m.handle(stageProtocol, { inboundMax: 8, frameBytesMax: 1 << 20 }, channel =>
    channel.receive({ onFrame: () => {}, onClose: () => {} })
  )
  return { w, a, b, d, m }
}

function openFrom(links: Links, change: Partial<Terms> = {}): OpenFrame {
  const terms: Terms = {
    session: '1d'.repeat(16) as SessionId,
    epoch: 0,
    model: modelId,
    route: [
      { peer: peerId('A'), start: 0, end: 3 },
      { peer: peerId('B'), start: 3, end: 6 }
    ],
    driver: links.self,
    tokensMax: 64,
    keep: 0,
    sampling: greedy,
    ...change
  }
  return { kind: 'open', hop: 0, terms: signTerms(terms, signerOf(links.self)) }
}

describe('S18: bad frames end one stream, are counted, and disturb nobody', () => {
  const ids = (position: number, ...values: number[]): Frame => ({
    kind: 'step',
    epoch: 0,
    position,
    tokens: values.length,
    sample: true,
    input: { kind: 'ids', ids: Int32Array.from(values) }
  })
  const attacks: [string, string, (links: Links) => Uint8Array[]][] = [
    ['garbage', 'malformed', () => [Uint8Array.of(9, 9, 9, 9)]],
    ['an empty frame', 'malformed', () => [new Uint8Array(0)]],
    ['a step before Open', 'unexpected', () => [encodeFrame(ids(0, 1))]],
    ['Open twice', 'unexpected', l => [encodeFrame(openFrom(l)), encodeFrame(openFrom(l))]],
    ['an unknown id', 'invalid', l => [encodeFrame(openFrom(l)), encodeFrame(ids(0, 251))]],
    [
      'a flood of steps',
      'credit',
      l => [encodeFrame(openFrom(l)), ...Array.from({ length: 40 }, (_, i) => encodeFrame(ids(i, 1)))]
    ],
    ['a route through another peer', 'impostor', l => [encodeFrame(openFrom(l, { driver: peerId('D') }))]]
  ]
  test.each(attacks)('%s', async (_, kind, frames) => {
    const { w, a, d, m } = await world()
    const generation = w.generate(d, prompt(150), { maxTokens: 40 })
    const got: number[] = []
    let attack: Talk | undefined
    for await (const token of generation) {
      got.push(token.id)
      if (got.length !== 5) continue
      attack = await talk(m, a)
      for (const frame of frames(m)) attack.channel.send(frame)
    }
    await turns()
    expect(got).toEqual(w.expected(prompt(150), 40))
    expect(attack!.ends).toEqual([expect.any(Error)])
    expect(a.violations.map(([remote, violation]) => [remote, violation])).toEqual([[m.self, kind]])
    await w.stop()
    expect(w.cacheBytesUsed).toBe(0)
  })

  test('an oversized frame', async () => {
    const { w, a, d, m } = await world()
    const attack = await talk(m, a)
    attack.channel.send(new Uint8Array((8 << 20) + 5000))
    await turns()
    expect(attack.ends).toEqual([expect.any(Error)])
    expect(await collectIds(w.generate(d, prompt(10), { maxTokens: 5 }))).toEqual(w.expected(prompt(10), 5))
    await w.stop()
  })

  test('S6: a step that leaves a gap is refused, not punished', async () => {
    const { w, a, m } = await world()
    const { channel, heard } = await talk(m, a)
    channel.send(encodeFrame(openFrom(m)))
    channel.send(encodeFrame(ids(0, 1, 2)))
    channel.send(encodeFrame(ids(5, 1)))
    await turns()
    expect(heard).toMatchObject([{ kind: 'refuse', reason: 'gap', hop: 0, length: 2 }])
    expect(a.violations).toEqual([])
    await w.stop()
  })
})

describe('refusals make the session look elsewhere', () => {
  test('S3: a hop that does not serve', async () => {
    const { w, d } = await world()
    await w.add('C', [{ start: 3, end: 6 }])
    // D's view is stale: it believes that A serves the whole model.
    const generation = w.generate(d, prompt(10), {
      maxTokens: 5,
      routeOf: excluded =>
        isWithout(excluded, { peer: peerId('A'), start: 0, end: 6 })
          ? w.route(new Set([peerId('B')]))
          : [{ peer: peerId('A'), start: 0, end: 6 }]
    })
    const events = []
    for await (const event of generation.events()) events.push(event)
    expect(events.filter(e => e.event === 'lost')).toEqual([
      { event: 'lost', peer: peerId('A'), hop: 0, reason: 'not-serving', charged: true }
    ])
    expect((await generation.answer).ids).toEqual(w.expected(prompt(10), 5))
    await w.stop()
  })

  test.each([
    ['caches', { cacheBytesMax: 1 }],
    ['retained states', { retainBytesMax: 1 }]
  ])('S3: a hop without room for %s', async (_, limit) => {
    const w = new TestWorld()
    await w.add('A', [{ start: 0, end: 3 }], limit)
    await w.add('C', [{ start: 0, end: 3 }])
    await w.add('B', [{ start: 3, end: 6 }])
    const d = await w.add('D', [])
    const events = []
    for await (const event of w.generate(d, prompt(10), { maxTokens: 5 }).events()) events.push(event)
    expect(events.filter(e => e.event === 'lost')).toEqual([
      { event: 'lost', peer: peerId('A'), hop: 0, reason: 'no-room', charged: false }
    ])
    expect(events.at(-1)).toMatchObject({ event: 'done', ids: w.expected(prompt(10), 5) })
    await w.stop()
  })

  test('S7: an engine that fails once costs a change of route and no token', async () => {
    const { w, b, d } = await world()
    await w.add('C', [{ start: 3, end: 6 }])
    b.probes[0]!.beforeRun = step => {
      if (step.position === 12) throw new Error('out of memory')
    }
    const events = []
    for await (const event of w.generate(d, prompt(10), { maxTokens: 8 }).events()) events.push(event)
    expect(events.filter(e => e.event === 'lost')).toEqual([
      { event: 'lost', peer: peerId('B'), hop: 1, reason: 'engine', charged: true }
    ])
    expect(events.at(-1)).toMatchObject({ event: 'done', ids: w.expected(prompt(10), 8) })
    await w.stop()
  })

  test('a stage that is removed in mid-answer hands over to another; its caches are free before remove resolves', async () => {
    const { w, b, d } = await world()
    await w.add('C', [{ start: 3, end: 6 }])
    const events = []
    let used = -1
    for await (const event of w.generate(d, prompt(10), { maxTokens: 12 }).events()) {
      events.push(event)
      if (event.event !== 'token' || event.position !== 13) continue
      await b.stages.remove(modelId, { start: 3, end: 6 })
      used = b.probes[0]!.engine.cacheBytesUsed
    }
    expect(used).toBe(0)
    expect(events.filter(e => e.event === 'lost')).toMatchObject([{ peer: peerId('B'), reason: 'left' }])
    expect(events.at(-1)).toMatchObject({ event: 'done', ids: w.expected(prompt(10), 12) })
    await w.stop()
  })
})

test('S16: a cache is freed after the step that runs in it; a step that has not begun never does', async () => {
  const { w, a, d } = await world()
  const { engine } = a.probes[0]!
  let running = 0
  let freedWhileRunning = false
  const aborted: boolean[] = []
  const { run, free } = engine
  engine.run = async (step, options) => {
    running++
    try {
      // A step in the engine's queue: it begins when its turn comes, or never when it is aborted before.
      if (step.position === 12) {
        await new Promise(resolve => options.signal.addEventListener('abort', resolve, { once: true }))
        aborted.push(options.signal.aborted)
        await turns()
      }
      return await run(step, options)
    } finally {
      running--
    }
  }
  engine.free = session => {
    freedWhileRunning ||= running > 0
    return free.call(engine, session)
  }
  const controller = new AbortController()
  const generation = w.generate(d, prompt(10), { maxTokens: 20, signal: controller.signal })
  const got: number[] = []
  await expect(
    (async () => {
      for await (const token of generation) {
        got.push(token.id)
        if (got.length === 3) setTimeout(() => controller.abort(new Error('enough')), 10)
      }
    })()
  ).rejects.toThrow('enough')
  expect(got.length).toBe(3)
  expect(aborted).toEqual([true])
  expect(freedWhileRunning).toBe(false)
  expect(w.cacheBytesUsed).toBe(0)
  await w.stop()
})

test('many sessions share the stages, and each gets its own tokens', async () => {
  const { w, a, b, d } = await world()
  const answers = await Promise.all(
    Array.from({ length: 24 }, async (_, i) => {
      const ids = prompt(1 + ((i * 37) % 300)).map(id => (id + i) % 251)
      const driver = [a, b, d][i % 3]!
      expect(await collectIds(w.generate(driver, ids, { maxTokens: 20 }))).toEqual(w.expected(ids, 20))
    })
  )
  expect(answers.length).toBe(24)
  expect(w.cacheBytesUsed).toBe(0)
  expect(w.sessions).toBe(0)
  await turns()
  expect(w.links.openEnds).toBe(0)
  await w.stop()
})

async function collectIds(tokens: AsyncIterable<{ id: number }>): Promise<number[]> {
  const ids: number[] = []
  for await (const { id } of tokens) ids.push(id)
  return ids
}

test('an engine is woken by a step that has come, and by the token that its driver continues from, before it is given a step', async () => {
  const w = new TestWorld()
  const seen: string[] = []
  const watch = ({ probes }: TestPeer, name: string): void => {
    for (const probe of probes) {
      Object.assign(probe.engine, { wake: () => void seen.push(`${name} wakes`) })
      probe.beforeRun = () => void seen.push(`${name} runs`)
    }
  }
  const d = await w.add('D', [{ start: 0, end: 3 }])
  watch(d, 'head')
  watch(await w.add('B', [{ start: 3, end: 6 }]), 'tail')
  expect(await collectIds(w.generate(d, prompt(10), { maxTokens: 4 }))).toEqual(w.expected(prompt(10), 4))
  const lap = ['head wakes', 'head runs', 'tail wakes', 'tail runs']
  // The first lap begins with the question. A step of the driver's own comes as one, too.
  expect(seen.slice(0, 4)).toEqual(lap)
  for (const name of ['head', 'tail']) {
    const own = seen.filter(each => each.startsWith(name))
    for (const [i, each] of own.entries()) if (each.endsWith('runs')) expect(own[i - 1]).toBe(`${name} wakes`)
    expect(own.filter(each => each.endsWith('runs')).length).toBe(4)
  }
  const own = seen.filter(each => each.startsWith('head'))
  expect(own.join(' ')).toContain('head runs head wakes head wakes head runs')
  await w.stop()
})
