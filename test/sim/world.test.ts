import { describe, expect, test } from 'vitest'
import { drawScenario } from '../../sim/random-world.ts'
import { parseScenario } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'
import type { Summary } from '../../sim/stats.ts'
import { World } from '../../sim/world.ts'
import { drawStorm } from './storms.ts'

/** Everything that a world says, and its summary. */
async function live(seed: number): Promise<{ readonly lines: readonly string[]; readonly summary: string }> {
  const lines: string[] = []
  const world = new World({ scenario: drawScenario(seed), seed, onLine: line => lines.push(line) })
  return { lines, summary: JSON.stringify(await world.run()) }
}

const small: ScenarioFile = {
  name: 'small',
  minutes: 1,
  healS: 60,
  model: { layers: 4, layerMB: 10 },
  peers: [{ name: 'p', count: 3, memoryMB: 60, visitMs: 1, layerMs: 1, startS: [0, 0] }]
}

/** Two places on a route, each twice, and drivers of their own. */
const busy: ScenarioFile = {
  name: 'busy',
  minutes: 1.8,
  healS: 90,
  model: { layers: 4, layerMB: 10, contextTokens: 200, stepBytes: 256 },
  peers: [
    { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
    { name: 'p', count: 4, memoryMB: 45, visitMs: 1, layerMs: 2 }
  ],
  radio: { rateMbps: 100, delayMs: 2, jitterMs: 1 }
}

function worldOf(file: ScenarioFile, seed = 1): { readonly world: World; readonly lines: string[] } {
  const lines: string[] = []
  return {
    world: new World({ scenario: parseScenario(file, 'here'), seed, onLine: line => lines.push(line) }),
    lines
  }
}

async function tell(file: ScenarioFile): Promise<{ readonly summary: Summary; readonly lines: string[] }> {
  const { world, lines } = worldOf(file)
  return { summary: await world.run(), lines }
}

describe('a world', () => {
  test('is decided by its seed: the same bytes of output, twice', async () => {
    const [once, again, other] = [await live(6), await live(6), await live(4)]
    expect(once.lines.length).toBeGreaterThan(50)
    expect(again).toEqual(once)
    expect(other.summary).not.toEqual(once.summary)
  })

  test('has a peer that was mute read what has come in order, though it freezes before it gets on again', async () => {
    // What came last is not read first: a question of its own session before the Open would break the protocol.
    const { summary, lines } = await tell({
      ...busy,
      workload: [{ from: 'driver', perMinute: 80, promptTokens: [5, 40], answerTokens: [40, 80], fromS: 20 }],
      faults: Array.from({ length: 24 }, (_, i) => [
        { atS: 25 + 3 * i, kind: 'mute' as const, who: [`p-${i % 4}`], forS: 1.5 },
        { atS: 26.499 + 3 * i, kind: 'freeze' as const, who: [`p-${i % 4}`], forS: 0.8 }
      ]).flat()
    })
    expect(summary.answered).toBeGreaterThan(40)
    expect(lines.at(-1)).toContain('the end')
  })

  test('blames nobody for what a driver finds closed that begins an answer when it thaws', async () => {
    const { world, lines } = worldOf(
      {
        ...busy,
        minutes: 2.2,
        workload: [{ from: 'driver', perMinute: 400, promptTokens: [2, 8], answerTokens: [2, 6], fromS: 20 }],
        faults: Array.from({ length: 10 }, (_, i) => ({
          atS: 25 + 10 * i,
          kind: 'freeze' as const,
          who: ['driver'],
          forS: 8
        }))
      },
      6
    )
    expect((await world.run()).answered).toBeGreaterThan(100)
    expect(lines.at(-1)).toContain('the end')
  })

  test('waits for caches to be freed, and for placement to rest, after an answer that ends late', async () => {
    // Two were refused at a hop and stopped 2 and 4 s before the end: what they had there is kept for 15 s.
    expect((await live(5194)).lines.at(-1)).toContain('the end')
  })

  test('calls no probe step that is under way a session left behind', async () => {
    expect((await live(351)).lines.at(-1)).toContain('the end')
  })

  test('may have a stage move because a link was measured anew, however late', async () => {
    // 146 s after all was healed a round trip of 53 ms is announced as one of 27.
    expect((await live(1291)).lines.at(-1)).toContain('the end')
  })

  test('charges nobody who was about to go, and stays after all, with being slow', async () => {
    expect((await live(5970)).lines.at(-1)).toContain('the end')
  })

  test('goes around an engine that hangs by way of whoever was behind another one that does', async () => {
    // Who comes behind a hop that cannot reserve its cache answers no question, and is not mute.
    const lines: string[] = []
    const world = new World({ scenario: drawStorm('hung', 2), seed: 2, onLine: line => lines.push(line) })
    await world.run()
    expect(lines.at(-1)).toContain('the end')
    expect(lines.filter(line => line.endsWith(': stuck')).length).toBeGreaterThan(10)
  })

  test('has later faults of a kind take the place of earlier ones', async () => {
    const { world } = worldOf({
      ...small,
      faults: [
        { atS: 10, kind: 'slow', who: ['p-0'], factor: 3, forS: 10 },
        { atS: 15, kind: 'slow', who: ['p-0'], factor: 9, forS: 20 },
        { atS: 11, kind: 'freeze', who: ['p-1'], forS: 5 },
        { atS: 13, kind: 'freeze', who: ['p-1'], forS: 9 }
      ]
    })
    const [slow, frozen] = [world.peers[0]!, world.peers[1]!]
    const at = async (seconds: number): Promise<[number, boolean]> => {
      await world.live(1000 * seconds)
      return [slow.slowFactor, frozen.isFrozen]
    }
    expect([await at(12), await at(16), await at(21), await at(23), await at(36)]).toEqual([
      [3, true],
      [9, true],
      [9, true],
      [9, false],
      [1, false]
    ])
  })
})

describe('the summary of a world', () => {
  test('is of the scenario and not of what comes after it', async () => {
    const { summary } = await tell({
      ...small,
      peers: [{ ...small.peers[0]!, watts: { idle: 2, motion: 10, compute: 0, radio: 0 } }]
    })
    // The probe after the healing is nobody's prompt, and neither is its energy.
    expect(summary).toMatchObject({
      prompts: 0,
      answered: 0,
      tokens: 0,
      joules: 3 * 12 * 60,
      firstTokenMs: null,
      pauseMs: null,
      tokensPerSecond: null,
      bytesPerToken: null,
      joulesPerToken: null,
      healing: { ms: 60_000, tokens: 10, joules: 3 * 12 * 60 }
    })
  })

  test('has of batteries what they had when all was healed, before anybody charged them', async () => {
    const { summary } = await tell({
      ...small,
      peers: [...small.peers, { ...small.peers[0]!, name: 'drone', count: 1, batteryWh: 0.01, watts: { motion: 50 } }]
    })
    expect(summary).toMatchObject({ flatBatteries: 1, levelMin: 0 })
  })

  test('adds up: every prompt has one end, and what was told is in the story', async () => {
    const { summary, lines } = await tell({
      ...small,
      workload: [{ from: 'p', perMinute: 60, cancelRatio: 0.4 }],
      faults: [
        { atS: 20, kind: 'crash', who: ['p-0'] },
        { atS: 30, kind: 'restart', who: ['p-0'] }
      ]
    })
    const healing = lines.findIndex(line => line.includes('everything is healed'))
    const asked = lines.slice(0, healing).filter(line => line.includes(' asks '))
    expect(summary.prompts).toBe(asked.length)
    expect(summary.answered + summary.failed + summary.cancelled + summary.driversLost).toBe(summary.prompts)
    expect(summary.cancelled).toBeGreaterThan(5)
    expect(lines.filter(line => line.includes(' gives ')).length).toBe(summary.cancelled)
    expect(Math.abs(summary.joulesPerToken! - summary.joules / summary.tokens)).toBeLessThan(0.01)
  })

  test('says of a fault that waited for an answer in vain that it did', async () => {
    const { summary, lines } = await tell({
      ...small,
      faults: [{ atS: 20, kind: 'crash', who: ['p'], inAnswer: true }]
    })
    expect(summary.faults).toBe(0)
    expect(lines.filter(line => line.includes('crash waited for an answer through p, and none came')).length).toBe(1)
  })
})
