/** Real peers live a scenario for some seconds: what is compared is there, whatever it says on a loaded machine. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import type { LiveSummary } from '../../sim/live.ts'
import { type CourseEvent, figuresOf, isOff, renderTable, simulatedCourse, tableOf } from '../../sim/live-course.ts'
import { airHeader, readAirHeader } from '../../sim/live-header.ts'
import { readLiveModel, storyOf } from '../../sim/live-model.ts'
import { stageBytes } from '../../src/route/view.ts'
import { builtFile, packageFolder } from '../../sim/live-peer.ts'
import { liveBudgets, whyNotLive } from '../../sim/live-plan.ts'
import { main } from '../../sim/main.ts'
import { parseScenario } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'
import { World, type WorldCourse } from '../../sim/world.ts'
import { needs, whyNotBuilt } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'skein-sim-live-'))
afterAll(() => rmSync(folder, { recursive: true }))

const sampling = { temperature: 0, topP: 1, topK: 0, seed: 1 }

const small: ScenarioFile = {
  name: 'small',
  minutes: 0.2,
  model: { layers: 6, layerMB: 1.5, embeddingMB: 14, tied: true, contextTokens: 256, cacheBytesPerToken: 2304 },
  peers: [
    { name: 'asker', count: 1, memoryMB: 3, visitMs: 1, layerMs: 1 },
    { name: 'half', count: 2, memoryMB: 22, visitMs: 1, layerMs: 1 }
  ],
  radio: { rateMbps: 100, delayMs: 1, jitterMs: 0.5 },
  workload: [{ from: 'asker', perMinute: 40, promptTokens: [8, 16], answerTokens: [4, 12], fromS: 1 }]
}

async function run(...args: string[]): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const lines: string[] = []
  return { code: await main(args, line => lines.push(...line.split('\n'))), lines }
}

describe('a live run', () => {
  vi.setConfig({ testTimeout: 280_000 })

  test(
    'compares three real peers with simulated ones, and leaves nothing behind',
    needs(whyNotBuilt(builtFile)),
    async () => {
      const path = join(folder, 'small.json')
      writeFileSync(path, JSON.stringify(small))
      const before = new Set(readdirSync(tmpdir()).filter(name => name.startsWith('skein-live-')))
      const { code, lines } = await run('--scenario', path, '--seed', '3', '--live', '--json')
      expect(code, lines.join('\n')).toBe(0)
      const summary = JSON.parse(lines.at(-1)!) as LiveSummary
      expect(summary).toMatchObject({ event: 'live', scenario: 'small', seed: 3, peers: 3, model: 'stories15m' })
      const { simulated, measured, rows, timings } = summary
      expect(simulated.asked).toBeGreaterThan(0)
      expect(measured.asked).toBe(simulated.asked)
      expect(measured.answered).toBe(measured.asked)
      for (const what of ['tokens per second', 'first token', 'bytes per token and hop']) {
        const row = rows.find(each => each.what === what)!
        expect(row.simulated.n, what).toBeGreaterThan(0)
        expect(row.measured.n, what).toBeGreaterThan(0)
        expect(row.ratio, what).toBeGreaterThan(0)
      }
      // Frames are the same frames: what they weigh depends on no clock.
      expect(rows.find(({ what }) => what === 'bytes per token and hop')!.ratio).toBeCloseTo(1, 1)
      expect(Object.keys(timings)).toEqual(['asker', 'half'])
      expect(lines.some(line => line.startsWith('| tokens per second'))).toBe(true)
      const left = readdirSync(tmpdir()).filter(name => name.startsWith('skein-live-') && !before.has(name))
      expect(left.filter(name => existsSync(join(tmpdir(), name, 'asker-0')))).toEqual([])
    }
  )

  test('refuses in one sentence what real peers cannot live', async () => {
    expect(await run('--scenario', 'search-grid', '--live')).toEqual({
      code: 2,
      lines: ['search-grid has 20 peers, and a live run is for 6 at most: say --peers 6 or fewer']
    })
    const path = join(folder, 'liar.json')
    writeFileSync(path, JSON.stringify({ ...small, faults: [{ atS: 1, kind: 'garble', who: ['half'] }] }))
    expect((await run('--scenario', path, '--live')).lines.join()).toContain('a fault of the kind garble')
    expect((await run('--scenario', 'recharge', '--peers', '4', '--live')).lines.join()).toContain('no batteries')
    expect((await run('--seed', '3', '--live')).lines).toEqual(['--live needs a --scenario'])
  })
})

describe('its parts', () => {
  test('give every peer its share of the real model, and more where nobody could hold its ends', () => {
    const { shape } = readLiveModel(packageFolder)!
    const scenario = parseScenario(
      {
        ...small,
        model: { layers: 22, layerMB: 44 },
        peers: [
          { name: 'big', count: 1, memoryMB: 700, visitMs: 1, layerMs: 1 },
          { name: 'p', count: 3, memoryMB: 420, visitMs: 1, layerMs: 1 }
        ],
        workload: []
      },
      'here'
    )
    const cast = new World({ scenario, seed: 1 })
    const budgets = liveBudgets(scenario, cast.shape, shape)!
    expect(budgets.factor).toBeGreaterThan(1)
    expect(budgets.bytes[0]).toBeGreaterThan(shape.embeddingBytes)
    const { layers } = shape
    expect(budgets.bytes[0]).toBeLessThan(stageBytes(shape, { start: 0, end: layers }))
    expect(whyNotLive(scenario)).toBeUndefined()
  })

  test('tell stories of a given length', () => {
    const { tokenizer } = readLiveModel(packageFolder)!
    for (const tokens of [8, 20, 60]) {
      const length = tokenizer.encode(storyOf(tokenizer, tokens, tokens)).length
      expect(length).toBeLessThanOrEqual(tokens)
      expect(length).toBeGreaterThanOrEqual(tokens - 4)
    }
  })

  test('read back who dials whom', () => {
    expect(readAirHeader(airHeader(3, 40_001))).toEqual({ station: 3, port: 40_001 })
    expect(readAirHeader(new Uint8Array(8))).toBeUndefined()
    expect(readAirHeader(new Uint8Array(3))).toBeUndefined()
  })

  test('take an answer that was begun before the end to its own end', () => {
    const end = {
      event: 'done',
      text: '',
      promptIds: [1],
      ids: [1, 2],
      stop: 'length',
      timing: { firstTokenMs: 1, totalMs: 2, tokensPerSecond: 3 },
      bytesPerToken: 3.5,
      exact: true,
      hops: [],
      drafts: { proposed: 0, taken: 0 }
    } as const
    const ask = { kind: 'ask', driver: 'a', promptTokens: 1, answerTokens: 1, sampling, cache: 'f32' } as const
    const events: WorldCourse[] = [
      { ...ask, atMs: 90, number: 1 },
      { ...ask, atMs: 110, number: 2 },
      { kind: 'output', atMs: 120, number: 1, output: end },
      { kind: 'output', atMs: 120, number: 2, output: end }
    ]
    expect(simulatedCourse(events, 100)).toEqual([
      { kind: 'ask', atMs: 90, number: 1 },
      { kind: 'end', number: 1, outcome: 'answered', hops: [], bytes: 7 }
    ])
  })

  test('make the table of what happened', () => {
    const hops = [
      { steps: 3, tokens: 12, computeMs: 6, bytesOut: 7200 },
      { steps: 3, tokens: 12, computeMs: 9, bytesOut: 0 }
    ]
    const answer = (number: number, gapMs: number, lost: boolean): CourseEvent[] => [
      { kind: 'ask', atMs: 0, number },
      { kind: 'token', atMs: 50, number },
      ...(lost ? [{ kind: 'lost', number, reason: 'closed' } as const] : []),
      { kind: 'token', atMs: 50 + gapMs, number },
      { kind: 'token', atMs: 50 + 2 * gapMs, number },
      { kind: 'end', number, outcome: 'answered', hops, bytes: 9000 }
    ]
    const slow = figuresOf([...answer(1, 20, false), ...answer(2, 900, true)], 100)
    const fast = figuresOf([...answer(1, 10, false), ...answer(2, 800, true)], 100)
    expect(slow).toMatchObject({
      asked: 2,
      answered: 2,
      tokens: 6,
      losses: { closed: 1 },
      tokensPerSecond: { n: 1, median: 50 },
      firstTokenMs: { n: 2, median: 50 },
      pauseMs: { n: 1, median: 900 },
      bytesPerTokenHop: { n: 1, median: 600 },
      bytesPerToken: { median: 3000 },
      computeMs: { median: 5 }
    })
    const rows = tableOf(fast, slow)
    expect(rows.find(({ what }) => what === 'tokens per second')).toMatchObject({ ratio: 2 })
    expect(rows.filter(isOff).map(({ what }) => what)).toEqual(['tokens per second'])
    expect(renderTable(rows).join('\n')).toContain('2.00 off')
  })
})
