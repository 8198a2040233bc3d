import { describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import { linksCompliance } from '../compliance/links.ts'

const t = { name: '/t', revisions: ['1.0.0'] }

const id = (name: string): PeerId => `12D3KooW${name}` as PeerId

linksCompliance('memory links', async () => {
  const world = new MemoryWorld()
  return { a: world.join(id('A')), b: world.join(id('B')), stranger: id('X'), close: async () => {} }
})

linksCompliance('memory links with delay', async () => {
  const world = new MemoryWorld({ schedule: (ms, task) => void setTimeout(task, ms), delayMs: () => 2 })
  return { a: world.join(id('A')), b: world.join(id('B')), stranger: id('X'), close: async () => {} }
})

describe('losses in a memory world', () => {
  const signal = AbortSignal.timeout(10_000)
  const turn = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 5))

  async function connected() {
    const world = new MemoryWorld()
    const a = world.join(id('A'))
    const b = world.join(id('B'))
    const closes: string[] = []
    await b.handle(t, { inboundMax: 4, frameBytesMax: 100 }, channel =>
      channel.receive({ onFrame: () => {}, onClose: error => closes.push(`b: ${error?.name}`) })
    )
    const channel = await a.open(b.self, t, { signal })
    channel.receive({ onFrame: () => {}, onClose: error => closes.push(`a: ${error?.name}`) })
    return { world, a, b, closes }
  }

  test('a cut breaks both ends, and none opens until it heals', async () => {
    const { world, a, b, closes } = await connected()
    world.cut(a.self, b.self)
    await turn()
    expect(closes.sort()).toEqual(['a: PeerLostError', 'b: PeerLostError'])
    expect(world.openEnds).toBe(0)
    await expect(a.open(b.self, t, { signal })).rejects.toMatchObject({ name: 'PeerLostError', peer: b.self })
    world.heal(a.self, b.self)
    await (await a.open(b.self, t, { signal })).close()
  })

  test('a killed peer is silent; the other end hears that it is gone', async () => {
    const { world, a, b, closes } = await connected()
    world.kill(b.self)
    await turn()
    expect(closes).toEqual(['a: PeerLostError'])
    await expect(a.open(b.self, t, { signal })).rejects.toMatchObject({ name: 'PeerLostError' })
    await expect(b.open(a.self, t, { signal })).rejects.toMatchObject({ name: 'PeerLostError' })
  })
})
