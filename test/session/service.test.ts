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
