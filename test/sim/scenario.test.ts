import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { main } from '../../sim/main.ts'
import { motionOf } from '../../sim/motion.ts'
import { Chance } from '../../sim/chance.ts'
import { parseScenario, parseTrack } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'

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

function withFault(fault: object): (file: ScenarioFile) => unknown {
  return file => ({ ...file, faults: [{ atS: 10, kind: 'crash', who: ['p-0'], ...fault }] })
}

function withMotion(motion: unknown): (file: ScenarioFile) => unknown {
  return file => ({ ...file, peers: [{ ...file.peers[0], motion }] })
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
    ['two groups or peers are called p', file => ({ ...file, peers: [file.peers[0], file.peers[0]] })],
    ['peers.0.motion.kind: a motion is one of hover', withMotion({ kind: 'teleport' })],
    ['the file: Invalid input: expected object', () => [1, 2]],
    ['the file: Invalid input: expected object', () => null],
    ['name: Invalid input', file => ({ ...file, name: 7 })],
    ['minutes', file => ({ ...file, minutes: -1 })],
    ['minutes', file => ({ ...file, minutes: Number.NaN })],
    ['minutes', file => ({ ...file, minutes: Number.POSITIVE_INFINITY })],
    ['model: Invalid input', ({ model: _, ...file }) => file],
    ['peers.0.memoryMB', file => ({ ...file, peers: [{ ...file.peers[0], memoryMB: '60' }] })],
    ['peers.0.count', file => ({ ...file, peers: [{ ...file.peers[0], count: 1.5 }] })],
    ['peers.0.watts', file => ({ ...file, peers: [{ ...file.peers[0], watts: { hover: 3 } }] })],
    ['peers.0.batteryLevel', file => ({ ...file, peers: [{ ...file.peers[0], batteryLevel: [0.9, 0.1] }] })],
    [
      'peers.0.recharge: below is less than above',
      file => ({ ...file, peers: [{ ...file.peers[0], recharge: { below: 0.9, above: 0.3, watts: 9 } }] })
    ],
    ['peers.0.holds: the model has 4 layers', file => ({ ...file, peers: [{ ...file.peers[0], holds: [0, 9] }] })],
    ['peers.0.motion.points', withMotion({ kind: 'patrol', points: [[0, 0]], speed: 2 })],
    [
      'peers.0.motion.speed',
      withMotion({
        kind: 'convoy',
        points: [
          [0, 0],
          [1, 1]
        ],
        speed: 0,
        gapM: 1
      })
    ],
    ['peers.0.motion: a track has either csv or points', withMotion({ kind: 'track' })],
    ['peers.0.motion.csv: no file can be read here', withMotion({ kind: 'track', csv: 'a.csv' })],
    ['radio.loss', file => ({ ...file, radio: { loss: 1.5 } })],
    ['radio.oneWay.0: there is no peer p', file => ({ ...file, radio: { oneWay: [['p', 'p-1']] } })],
    [
      'radio.zones.0.untilS',
      file => ({ ...file, radio: { zones: [{ x: 0, y: 0, radiusM: 1, loss: 1, fromS: 9, untilS: 3 }] } })
    ],
    ['workload.0.perMinute', file => ({ ...file, workload: [{ from: 'p', perMinute: 1e9 }] })],
    ['workload.0.untilS', file => ({ ...file, workload: [{ from: 'p', perMinute: 1, fromS: 9, untilS: 8 }] })],
    [
      'faults.0.who: a cut is between two peers, and these are 3',
      file => ({ ...file, faults: [{ atS: 1, kind: 'cut', who: ['p'] }] })
    ],
    ['faults.0.atS: it begins at 40 s, and the scenario ends at 30 s', withFault({ atS: 40 })],
    ['faults.0.forS: crash does not end by itself: freeze, slow', withFault({ forS: 3 })],
    ['faults.0.factor: it belongs to slow, not to freeze', withFault({ kind: 'freeze', factor: 3 })],
    ['faults.0.ms: it belongs to skew, not to crash', withFault({ ms: 3 })],
    ['faults.0.inAnswer', withFault({ kind: 'cut', who: ['p-0', 'p-1'], inAnswer: true })],
    ['faults.0.any: with inAnswer the route says', withFault({ who: ['p'], inAnswer: true, any: true })],
    ['faults.0.who: all peers are named', withFault({ kind: 'partition', who: ['p-0', 'p-1', 'p-2'] })],
    [
      'workload.0.fromS: it begins at 50 s, and the scenario ends at 30 s',
      file => ({ ...file, workload: [{ from: 'p', perMinute: 1, fromS: 50 }] })
    ],
    [
      'workload.0: prompts of up to 60 and answers of up to 60 tokens are 120, and model.contextTokens is 100',
      file => ({ ...file, model: { ...file.model, contextTokens: 100 } })
    ],
    ['chaos.fromS', file => ({ ...file, chaos: { perMinute: 1, kinds: ['crash'], fromS: 30 } })],
    ['chaos.untilS', file => ({ ...file, chaos: { perMinute: 1, kinds: ['crash'], fromS: 20, untilS: 20 } })],
    [
      'peers.0.recharge: it needs batteryWh',
      file => ({ ...file, peers: [{ ...file.peers[0], recharge: { below: 0.2, above: 0.8, watts: 9 } }] })
    ],
    ['peers.0.motion: x and y come together', withMotion({ kind: 'hover', x: 4 })],
    ['peers.0.motion: x and y come together', withMotion({ kind: 'hover', spreadM: 4 })],
    ['peers.0.memoryMB', file => ({ ...file, peers: [{ ...file.peers[0], memoryMB: 1e300 }] })],
    ['radio.delayMs', file => ({ ...file, radio: { delayMs: 1e300 } })],
    ['chaos.kinds', file => ({ ...file, chaos: { perMinute: 1, kinds: [] } })],
    ['watch', file => ({ ...file, watch: { happiness: 1 } })],
    [
      'two groups or peers are called p-1',
      file => ({ ...file, peers: [file.peers[0], { ...file.peers[0], name: 'p-1' }] })
    ]
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
    expect(() => parseTrack('0,0,0\n0,1,1', 'track.csv')).toThrow('line 2: time must grow')
  })

  test.each([
    ['', 'has no line'],
    ['seconds,x,y\n', 'has no line'],
    ['0,0', 'line 1: a line is seconds,x,y, not 0,0'],
    ['0,north,3', 'line 1'],
    ['s,x,y\n\n1,2,', 'line 3'],
    ['-5,0,0', 'line 1: time begins at 0'],
    ['0,0,0\n\u0000\u0007\uFFFD', 'line 2: a line is seconds,x,y, not ???'],
    ['0,0,Infinity', 'line 1'],
    ['0,1e300,0', 'line 1: nothing is beyond 1000000000']
  ])('refuses the track %j', (text, message) => {
    expect(() => parseTrack(text, 'track.csv')).toThrow(message)
    expect(() => parseTrack(text, 'track.csv')).toThrow(expect.objectContaining({ name: 'ScenarioError' }))
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

  test('is not content when nothing was asked that could be answered', async () => {
    const path = join(folder, 'mute.json')
    writeFileSync(path, JSON.stringify({ ...small, workload: [], watch: { answeredRatioMin: 0.1 } }))
    const { code, lines } = await run('--scenario', path, '--quiet')
    expect(code).toBe(3)
    expect(lines.at(-1)).toContain('not content: no prompt was asked')
  })

  test('reads a file that begins with a mark of its byte order', async () => {
    const path = join(folder, 'bom.json')
    writeFileSync(path, `\uFEFF${JSON.stringify({ ...small, minutes: 0.2 })}`)
    expect((await run('--scenario', path, '--quiet')).code).toBe(0)
  })

  test('refuses what it would ignore', async () => {
    expect(await run('--scenario', 'convoy', '--seeds', '3')).toEqual({
      code: 2,
      lines: ['--seeds draws its own worlds and has no --scenario']
    })
    expect((await run('--converging', '3', '--minutes', '2')).code).toBe(2)
    expect((await run('--seeds', '3', '--placement', '2')).code).toBe(2)
    expect((await run('--seed', '3', '--jobs', '2')).code).toBe(2)
    // Numbers end before these seeds do, and a loop over them would not.
    const last = String(Number.MAX_SAFE_INTEGER)
    expect((await run('--seeds', '3', '--seed', last)).lines[0]).toContain(`leaves no room for 3 seeds`)
  })

  test('writes no report over what it reads, nor over itself', async () => {
    const path = join(folder, 'mine.json')
    writeFileSync(path, JSON.stringify(small))
    const { code, lines } = await run('--scenario', path, '--report', join(folder, 'mine.html'))
    expect({ code, lines }).toEqual({
      code: 2,
      lines: [`--report: ${path} would be written over, and the scenario is read from it: say another name`]
    })
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(small)
    expect((await run('--scenario', path, '--report', join(folder, 'page.json'))).lines).toEqual([
      `--report must name a page, as in story.html, not ${join(folder, 'page.json')}`
    ])
    expect((await run('--scenario', path, '--report', '')).code).toBe(2)
    mkdirSync(join(folder, 'room.html'))
    expect((await run('--scenario', path, '--report', join(folder, 'room.html'))).lines).toEqual([
      `--report: ${join(folder, 'room.html')} is a folder, not a page`
    ])
  })

  test('has told its story before a report cannot be written', async () => {
    const path = join(folder, 'short.json')
    writeFileSync(path, JSON.stringify({ ...small, minutes: 0.2 }))
    mkdirSync(join(folder, 'tale-links.csv'))
    const { code, lines } = await run('--scenario', path, '--quiet', '--report', join(folder, 'tale.html'))
    expect(code).toBe(2)
    expect(lines.at(-1)).toBe(`--report: ${join(folder, 'tale-links.csv')} cannot be written (EISDIR)`)
    expect(lines.some(line => line.includes('none broken; trace'))).toBe(true)
  })

  test('starts by whatever name it is called', () => {
    const main = fileURLToPath(new URL('../../dist/sim/main.js', import.meta.url))
    const link = join(folder, 'linked')
    symlinkSync(join(main, '..'), link)
    for (const path of [main.slice(0, -3), join(link, 'main.js')]) {
      expect(spawnSync(process.execPath, [path, '--list'], { encoding: 'utf8' }).stdout).toContain('convoy')
    }
  })

  test('says what is wrong with the command', async () => {
    expect(await run('--scenario', 'atlantis')).toMatchObject({ code: 2 })
    expect(await run('--seeds', 'many')).toEqual({
      code: 2,
      lines: ['--seeds must be a whole number from 1, not many']
    })
    expect((await run('--fly')).code).toBe(2)
    expect((await run('--seeds', '2', '--jobs', '0')).lines).toEqual(['--jobs must be a whole number from 1, not 0'])
    expect((await run('--scenario', 'convoy', '--minutes', 'soon')).code).toBe(2)
    expect(await run('--scenario', 'convoy', '--peers', '3')).toEqual({
      code: 2,
      lines: ['convoy with --peers 3 is no scenario: faults.0.who: there is no peer or group truck-3']
    })
    // Before an hour is lived through, not after it.
    const nowhere = join(folder, 'nowhere', 'out.html')
    expect(await run('--scenario', 'convoy', '--report', nowhere)).toEqual({
      code: 2,
      lines: [`--report: nothing can be written to ${join(folder, 'nowhere')}`]
    })
  })

  test.each<[string, string | Uint8Array, string]>([
    ['no JSON', '{', 'is no scenario: it is no JSON'],
    ['an empty file', '', 'it is no JSON'],
    ['binary', Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 0xff), 'it is no JSON'],
    ['NaN', '{"name": "n", "minutes": NaN}', 'it is no JSON'],
    ['a number', '7', 'the file: Invalid input: expected object'],
    [
      'a track that is absent',
      JSON.stringify({ ...small, peers: [{ ...small.peers[0], motion: { kind: 'track', csv: 'absent.csv' } }] }),
      'peers.0.motion.csv: absent.csv cannot be read (ENOENT)'
    ]
  ])('refuses %s in one sentence', async (_, content, message) => {
    const path = join(folder, 'broken.json')
    writeFileSync(path, content)
    const { code, lines } = await run('--scenario', path)
    expect(code).toBe(2)
    expect(lines.length).toBe(1)
    expect(lines[0]).toContain(message)
    expect(lines[0]).toMatch(/^[\x20-\x7e]*$/)
  })

  test('refuses a folder', async () => {
    const { code, lines } = await run('--scenario', folder)
    expect({ code, lines }).toEqual({ code: 2, lines: [`${folder} is no scenario: it cannot be read (EISDIR)`] })
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
