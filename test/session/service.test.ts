import { describe, expect, test } from 'vitest'
import { collect, prompt, TestWorld } from './world.ts'

describe('an answer along a route', () => {
  test.each([
    ['one peer alone', [['A', 0, 6]], 'A'],
    [
      'two peers, the driver is the head',
      [
        ['A', 0, 3],
        ['B', 3, 6]
      ],
      'A'
    ],
    [
      'two peers, the driver is the tail',
      [
        ['A', 0, 3],
        ['B', 3, 6]
      ],
      'B'
    ],
    [
      'three peers, the driver is in the middle',
      [
        ['A', 0, 2],
        ['B', 2, 4],
        ['C', 4, 6]
      ],
      'B'
    ],
    ['three peers and a driver without a stage', [['A', 0, 2], ['B', 2, 4], ['C', 4, 6], ['D']], 'D'],
    [
      'one peer with two stages of the route',
      [
        ['A', 0, 2, 4, 6],
        ['B', 2, 4]
      ],
      'B'
    ]
  ] as const)('%s', async (_, layout, driverName) => {
    const world = new TestWorld()
    for (const [name, ...bounds] of layout) {
      const ranges = []
      for (let i = 0; i < bounds.length; i += 2) ranges.push({ start: bounds[i]!, end: bounds[i + 1]! })
      await world.add(name, ranges)
    }
    const driver = [...world.peers.values()].find(({ id }) => id.endsWith(driverName))!
    for (const length of [1, 5, 128, 300]) {
      const ids = prompt(length)
      const generation = world.generate(driver, ids, { maxTokens: 20 })
      const events = await collect(generation.events())
      const answer = await generation.answer
      expect(answer.ids).toEqual(world.expected(ids, 20))
      expect(answer.promptIds).toEqual(ids)
      expect(answer.stop).toBe('length')
      expect(events[0]).toMatchObject({ event: 'route' })
      expect(events.filter(e => e.event === 'token').map(e => e.position)).toEqual(
        Array.from({ length: 20 }, (_, i) => length + i)
      )
      expect(answer.hops.length).toBe(new Set(layout.flatMap(([, ...bounds]) => bounds)).size - 1)
      for (const hop of answer.hops) expect(hop.tokens).toBe(length + 19)
      expect(world.cacheBytesUsed).toBe(0)
      expect(world.sessions).toBe(0)
    }
    await world.stop()
    expect(world.links.openEnds).toBe(0)
    for (const { violations } of world.peers.values()) expect(violations).toEqual([])
  })
})

describe('what the caller asks for', () => {
  async function alone() {
    const world = new TestWorld()
    return { world, driver: await world.add('A', [{ start: 0, end: 6 }]) }
  }

  test('an end-of-sequence token ends the answer and is no part of it', async () => {
    const { world, driver } = await alone()
    const ids = prompt(10)
    const expected = world.expected(ids, 30)
    const eos = expected[12]!
    const before = expected.slice(0, expected.indexOf(eos))
    const generation = world.generate(driver, ids, { maxTokens: 30, eosIds: [eos] })
    const events = await collect(generation.events())
    expect(await generation.answer).toMatchObject({
      ids: before,
      stop: 'eos',
      text: before.map(id => ` ${id}`).join('')
    })
    expect(events.filter(e => e.event === 'token').map(e => e.id)).toEqual(before)
    expect(events.at(-1)).toMatchObject({ event: 'done', stop: 'eos' })
    expect(world.cacheBytesUsed).toBe(0)
  })

  test('sampling travels with the session: same seed, same tokens, other seed, others', async () => {
    const { world, driver } = await alone()
    const ids = prompt(10)
    for (const seed of [1, 2, Number.MAX_SAFE_INTEGER]) {
      const sampling = { temperature: 0.7, topP: 0.9, topK: 40, seed }
      const generation = world.generate(driver, ids, { maxTokens: 12, ...sampling })
      await collect(generation.events())
      expect((await generation.answer).ids).toEqual(world.expected(ids, 12, sampling))
    }
  })

  test('without a limit the answer ends with the context', async () => {
    const { world, driver } = await alone()
    const ids = prompt(1000)
    const generation = world.generate(driver, ids)
    await collect(generation.events())
    expect((await generation.answer).ids).toEqual(world.expected(ids, 24))
  })

  test.each([
    ['a prompt as long as the context', prompt(1024), {}, 'PromptTooLongError'],
    // One id, if it were encoded, which takes seconds with such texts.
    ['a text that no context holds', ['7'.repeat(16 * 1024 + 1)], {}, 'PromptTooLongError'],
    ['an answer that does not fit any more', prompt(1000), { maxTokens: 25 }, 'PromptTooLongError'],
    ['an empty prompt', [], {}, 'InvalidOptionError'],
    ['no tokens', prompt(3), { maxTokens: 0 }, 'InvalidOptionError'],
    ['half a token', prompt(3), { maxTokens: 1.5 }, 'InvalidOptionError'],
    ['a negative temperature', prompt(3), { temperature: -1 }, 'InvalidOptionError'],
    ['topP 0', prompt(3), { topP: 0 }, 'InvalidOptionError'],
    ['a broken topK', prompt(3), { topK: 0.5 }, 'InvalidOptionError'],
    ['a negative seed', prompt(3), { seed: -1 }, 'InvalidOptionError'],
    ['caches of no type', prompt(3), { cache: 'i9' as 'i8' }, 'InvalidOptionError']
  ])('%s is refused before anything is sent', async (_, ids, options, name) => {
    const { world, driver } = await alone()
    const generation = world.generate(driver, ids as number[], options)
    await expect(collect(generation.events())).rejects.toMatchObject({ name })
    await expect(generation.answer).rejects.toMatchObject({ name })
    expect(driver.probes[0]!.steps).toEqual([])
  })

  test('nothing runs until it is iterated, and it is iterated once', async () => {
    const { world, driver } = await alone()
    const generation = world.generate(driver, prompt(10), { maxTokens: 3 })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(driver.probes[0]!.steps).toEqual([])
    for await (const _ of generation);
    expect((await generation.answer).ids.length).toBe(3)
    await expect(collect(generation.events())).rejects.toMatchObject({ name: 'InvalidOptionError' })
    expect((await generation.answer).ids.length).toBe(3)
  })

  test('its answer alone may be awaited, and is the same', async () => {
    const { world, driver } = await alone()
    const expected = world.generate(driver, prompt(10), { maxTokens: 3 })
    for await (const _ of expected);
    expect((await world.generate(driver, prompt(10), { maxTokens: 3 }).answer).ids).toEqual((await expected.answer).ids)
    const failing = world.generate(driver, prompt(10), { topK: 0.5 })
    await expect(failing.answer).rejects.toMatchObject({ name: 'InvalidOptionError' })
  })

  test('its answer may be asked for before it is iterated', async () => {
    const { world, driver } = await alone()
    const generation = world.generate(driver, prompt(10), { maxTokens: 3 })
    const { answer } = generation
    const ids: number[] = []
    for await (const { id } of generation) ids.push(id)
    expect((await answer).ids).toEqual(ids)
  })

  test('a signal that is aborted already is the reason why nothing runs', async () => {
    const { world, driver } = await alone()
    const generation = world.generate(driver, prompt(10), { signal: AbortSignal.abort(new Error('too late')) })
    await expect(collect(generation.events())).rejects.toThrow('too late')
    expect(driver.probes[0]!.steps).toEqual([])
  })
})

test('its tokens end with the last one, whatever the route has still to say; what the hops did comes later', async () => {
  const world = new TestWorld()
  await world.add('A', [{ start: 0, end: 6 }])
  const driver = await world.add('D', [])
  const ids = prompt(10)
  const free = Promise.withResolvers<void>()
  const { engine } = [...world.peers.values()][0]!.probes[0]!
  const freeNow = engine.free.bind(engine)
  // The stage answers Close when its cache is free, and that takes its time.
  engine.free = async session => {
    await free.promise
    await freeNow(session)
  }
  const generation = world.generate(driver, ids, { maxTokens: 8 })
  const tokens: number[] = []
  for await (const token of generation) tokens.push(token.id)
  expect(tokens).toEqual(world.expected(ids, 8))
  let isKnown = false
  const answer = generation.answer.then(answer => {
    isKnown = true
    return answer
  })
  await new Promise(resolve => setImmediate(resolve))
  expect(isKnown).toBe(false)
  free.resolve()
  expect((await answer).hops).toHaveLength(1)
  expect(world.cacheBytesUsed).toBe(0)
  await world.stop()
})

test('whoever reads no further ends the answer', async () => {
  const world = new TestWorld()
  const driver = await world.add('A', [{ start: 0, end: 6 }])
  const generation = world.generate(driver, prompt(10), { maxTokens: 200 })
  for await (const token of generation) if (token.position === 12) break
  await expect(generation.answer).rejects.toMatchObject({ name: 'SessionFailedError' })
  expect(world.cacheBytesUsed).toBe(0)
  await world.stop()
})

test('a session that waits for room says so, and is kept before it begins; refused, it never begins', async () => {
  const world = new TestWorld()
  const driver = await world.add('A', [{ start: 0, end: 6 }])
  const told: string[] = []
  const room = Promise.withResolvers<void>()
  const keep = () => {
    told.push('kept')
    return {
      routed: () => told.push('routed'),
      token: () => {},
      inexact: () => {},
      end: () => told.push('end'),
      leave: () => {}
    }
  }
  const admit = async ({ tokensMax, onWait }: { tokensMax: number; onWait: (message: string) => void }) => {
    expect(tokensMax).toBe(13)
    onWait('no room yet')
    told.push('waits')
    await room.promise
    return () => void told.push('left')
  }
  const events = []
  for await (const event of world.generate(driver, prompt(10), { maxTokens: 3, parts: { keep, admit } }).events()) {
    events.push(event.event)
    if (event.event === 'waiting') room.resolve()
  }
  expect(events).toEqual(['waiting', 'route', 'token', 'token', 'token', 'stopped', 'done'])
  expect(told).toEqual(['kept', 'waits', 'routed', 'end', 'left', 'end'])
  const full = new Error('full')
  const refused = world.generate(driver, prompt(10), { maxTokens: 3, parts: { admit: () => Promise.reject(full) } })
  await expect(collect(refused.events())).rejects.toBe(full)
  expect(world.sessions).toBe(0)
  await world.stop()
})
