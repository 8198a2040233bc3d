import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { main } from '../../sim/main.ts'
import { motionOf } from '../../sim/motion.ts'
import { Chance } from '../../sim/chance.ts'
import { parseScenario, parseTrack, type ScenarioFile } from '../../sim/scenario.ts'

const folder = mkdtempSync(join(tmpdir(), 'skein-sim-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function run(...args: string[]): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const lines: string[] = []
  return { code: await main(args, line => lines.push(...line.split('\n'))), lines }
}

const small: ScenarioFile = {
  name: 'small',
  minutes: 0.5,
  healS: 60,
  model: { layers: 4, layerMB: 10 },
  peers: [{ name: 'p', count: 3, memoryMB: 60, visitMs: 1, layerMs: 1, loadMBps: 1000 }],
  workload: [{ from: 'p', perMinute: 20 }]
}

describe('a scenario', () => {
  test.each<[string, (file: ScenarioFile) => unknown]>([
    ['peers.0.layerMs', file => ({ ...file, peers: [{ ...file.peers[0], layerMs: 0 }] })],
    ['peers.0', file => ({ ...file, peers: [{ ...file.peers[0], wings: 2 }] })],
    ['model.layers', file => ({ ...file, model: { ...file.model, layers: 0 } })],
    ['workload.0.promptTokens', file => ({ ...file, workload: [{ ...file.workload![0], promptTokens: [9, 3] }] })],
    ['workload.0.from: there is no peer or group q', file => ({ ...file, workload: [{ from: 'q', perMinute: 1 }] })],
    ['faults.0.kind', file => ({ ...file, faults: [{ atS: 1, kind: 'meteor', who: ['p'] }] })],
    [
      'faults.0.who: there is no peer or group p-3',
      file => ({ ...file, faults: [{ atS: 1, kind: 'crash', who: ['p-3'] }] })
    ],
    ['two groups are called p', file => ({ ...file, peers: [file.peers[0], file.peers[0]] })],
    ['peers.0.motion.kind', file => ({ ...file, peers: [{ ...file.peers[0], motion: { kind: 'teleport' } }] })]
  ])('that is wrong is refused by the name of its field: %s', (field, change) => {
    expect(() => parseScenario(change(small), 'a file')).toThrow(expect.objectContaining({ name: 'ScenarioError' }))
    expect(() => parseScenario(change(small), 'a file')).toThrow(field)
  })

  test('may have a track of its own, as CSV', () => {
    const track = parseTrack('seconds,x,y\n0,0,0\n10,100,0\n20,100,50\n', 'track.csv')
    const motion = motionOf(
      { kind: 'track', points: track },
      { index: 0, count: 1, area: { widthM: 1, heightM: 1 }, chance: new Chance(1) }
    )
    expect([0, 5_000, 15_000, 99_000].map(motion)).toEqual([
      { x: 0, y: 0 },
      { x: 50, y: 0 },
      { x: 100, y: 25 },
      { x: 100, y: 50 }
    ])
    expect(() => parseTrack('0,0,0\n0,1,1', 'track.csv')).toThrow('line 2')
  })
})

describe('npm run sim', () => {
  test('lists the scenarios that ship, and each can be read', async () => {
    const { code, lines } = await run('--list')
    expect(code).toBe(0)
    for (const name of ['steady-lan', 'convoy', 'search-grid', 'split-merge', 'recharge', 'contested']) {
      expect(lines.some(line => line.startsWith(`${name} `))).toBe(true)
    }
  })

  test('tells one story, sums it up, and writes the report', async () => {
    const path = join(folder, 'small.json')
    writeFileSync(path, JSON.stringify(small))
    const report = join(folder, 'out.html')
    const { code, lines } = await run('--scenario', path, '--seed', '5', '--report', report, '--json')
    expect(code).toBe(0)
    expect(lines.some(line => line.includes(' serves layers '))).toBe(true)
    const summary = JSON.parse(lines.at(-1)!)
    expect(summary).toMatchObject({ event: 'simulated', scenario: 'small', seed: 5, peers: 3 })
    expect(summary.answered).toBe(summary.prompts)
    const page = readFileSync(report, 'utf8')
    expect(page).toContain('Copies of each layer')
    expect(page).not.toMatch(/NaN|undefined|https?:/)
    expect(JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8')).samples.length).toBe(90)
    expect(readFileSync(join(folder, 'out.csv'), 'utf8').trim().split('\n').length).toBe(91)
  })

  test('is content or not with what a scenario watches', async () => {
    const path = join(folder, 'dark.json')
    const dark = { ...small, faults: [{ atS: 8, kind: 'power', who: ['p'] }], watch: { coveredRatioMin: 0.9 } }
    writeFileSync(path, JSON.stringify(dark))
    const { code, lines } = await run('--scenario', path, '--quiet')
    expect(code).toBe(3)
    expect(lines.at(-1)).toContain('not content: the model was covered')
  })

  test('says what is wrong with the command', async () => {
    expect(await run('--scenario', 'atlantis')).toMatchObject({ code: 2 })
    expect(await run('--seeds', 'many')).toEqual({
      code: 2,
      lines: ['--seeds must be a whole number from 1, not many']
    })
    expect((await run('--fly')).code).toBe(2)
    const path = join(folder, 'broken.json')
    writeFileSync(path, '{')
    expect((await run('--scenario', path)).lines[0]).toContain('it is no JSON')
  })

  test('lives through worlds on any number of threads with the same bytes of output', () => {
    const main = fileURLToPath(new URL('../../dist/sim/main.js', import.meta.url))
    const tell = (jobs: string): { readonly status: number | null; readonly stdout: string } => {
      const args = [main, '--seeds', '3', '--seed', '40', '--json', '--jobs', jobs]
      const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
      return { status, stdout }
    }
    const alone = tell('1')
    expect(alone.status).toBe(0)
    expect(JSON.parse(alone.stdout.trim().split('\n').at(-1)!)).toMatchObject({ event: 'worlds', first: 40, count: 3 })
    expect(tell('2')).toEqual(alone)
  })

  test('lives through random worlds', async () => {
    const { code, lines } = await run('--seeds', '2', '--seed', '40', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ event: 'worlds', first: 40, count: 2, broken: 0 })
  })
})
