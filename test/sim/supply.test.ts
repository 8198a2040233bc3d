import { describe, expect, test } from 'vitest'
import { parseScenario } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'
import type { Summary } from '../../sim/stats.ts'
import { World } from '../../sim/world.ts'

/** One who has everything, one who has everything and can serve a layer or two, and two with empty disks. */
const file: ScenarioFile = {
  name: 'empty disks',
  minutes: 0.7,
  healS: 60,
  model: { layers: 6, layerMB: 1, embeddingMB: 0.5, headMB: 0.5 },
  peers: [
    { name: 'base', count: 1, memoryMB: 30, visitMs: 1, layerMs: 1 },
    { name: 'post', count: 1, memoryMB: 8, visitMs: 1, layerMs: 1 },
    { name: 'drone', count: 2, memoryMB: 60, visitMs: 1, layerMs: 1, holds: [0, 0] }
  ],
  radio: { rateMbps: 10, delayMs: 2, jitterMs: 1, shared: true },
  workload: [{ from: 'drone', perMinute: 10, fromS: 15 }]
}

async function live(changes: Partial<ScenarioFile>): Promise<{
  readonly lines: readonly string[]
  readonly summary: Summary
  readonly world: World
}> {
  const lines: string[] = []
  const world = new World({
    scenario: parseScenario({ ...file, ...changes }, 'here'),
    seed: 4,
    onLine: l => lines.push(l)
  })
  return { lines, summary: await world.run(), world }
}

describe('weights in a world', () => {
  test('come from peers before a stage serves', async () => {
    const { lines, summary, world } = await live({})
    expect(summary).toMatchObject({ fetches: 2, fetchesFailed: 0, failed: 0 })
    expect(summary.answered).toBe(summary.prompts)
    for (const name of ['drone-0', 'drone-1']) {
      const told = lines.filter(line => line.includes(name)).join('\n')
      expect(told).toMatch(/lacks layers 0-6, embedding, head[\s\S]*has fetched layers 0-6[\s\S]*serves layers 0-6/)
    }
    // 7 MB went to each, by whichever way, and little beside them.
    const bytes = [...world.wire.bytes.values()].reduce((sum, each) => sum + each, 0)
    expect(bytes).toBeGreaterThan(14e6)
    expect(bytes).toBeLessThan(15.5e6)
  })

  test('come from others when their source is lost half-way', async () => {
    const { lines, summary } = await live({ faults: [{ atS: 3, kind: 'power', who: ['base'] }] })
    const lostAt = lines.findIndex(line => line.includes('base-0 loses power'))
    const fetchedAt = lines.flatMap((line, at) => (line.includes('has fetched') ? [at] : []))
    expect(fetchedAt.length).toBe(2)
    for (const at of fetchedAt) expect(at).toBeGreaterThan(lostAt)
    expect(summary.fetchesFailed).toBe(0)
    expect(summary.answered).toBe(summary.prompts)
  })

  test('that are wrong are noticed after one chunk, and only who sent them is named', async () => {
    const { lines, summary } = await live({ faults: [{ atS: 0, kind: 'garble', who: ['base'], forS: 40 }] })
    const named = lines.filter(line => line.includes('sent wrong bytes for chunk'))
    expect(named.length).toBeGreaterThan(0)
    for (const name of ['drone-0', 'drone-1']) {
      expect(named.filter(line => line.includes(`${name} finds that`)).length).toBeLessThanOrEqual(1)
    }
    for (const line of named) expect(line).toContain('finds that base-0 breaks the protocol')
    expect(summary.fetches).toBe(2)
  })

  test('that a process had fetched are there for the next one', async () => {
    const { lines, world } = await live({
      faults: [
        { atS: 3, kind: 'crash', who: ['drone'] },
        { atS: 4, kind: 'restart', who: ['drone'] }
      ]
    })
    expect(lines.filter(line => line.includes('has fetched')).length).toBe(2)
    const bytes = [...world.wire.bytes.values()].reduce((sum, each) => sum + each, 0)
    // Chunks on their way at the crash come twice; the others do not.
    expect(bytes).toBeLessThan(18e6)
  })

  test('that nobody has do not come, and the swarm says so instead of loading for ever', async () => {
    const { lines, summary } = await live({
      peers: file.peers.map(group => ({ ...group, holds: [0, 3] as [number, number] })),
      workload: []
    })
    expect(lines.some(line => line.includes('serves layers 0-6'))).toBe(false)
    expect(summary.coveredRatio).toBe(0)
  })
})
