/** `skein status --watch`: on a terminal it draws anew in place; else it tells changes line by line. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ControlledPeer, type ControlServer, serveControl } from '../../src/cli/control-server.ts'
import { needs } from '../needs.ts'
import { keys, Terminal, whyNoTerminal } from './pty.ts'
import { Skein, skein } from './skein.ts'

let folder = ''
let server: ControlServer
let asked: number[] = []
let sessions = 0
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-watch-'))
  asked = []
  sessions = 0
  server = await serve()
})
afterEach(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

/** What a peer says of itself is scripted: what is tried is how it is shown. */
function serve(): Promise<ControlServer> {
  const status = (): object => {
    asked.push(performance.now())
    const hardware = { cores: 4, memoryBytes: 8e9, architecture: 'arm64', platform: 'linux', cpu: '' }
    const more = { stages: [], battery: null, usedBytes: 0, budgetBytes: 64e6, speaks: true, connected: true }
    const peer = { id: '12D3KooWselfself', self: true, hardware, sessions, leaving: false, ...more }
    return { self: peer.id, swarm: 'alpha', peers: [peer], models: [], fetches: [], discovery: [], unkept: [] }
  }
  return serveControl({ status } as unknown as ControlledPeer, folder)
}

const within = { timeout: 30_000 }

describe('on a terminal', needs(whyNoTerminal()), () => {
  it('is drawn anew in place, at most twice a second, and Ctrl-C leaves the screen as it was', async () => {
    const terminal = new Terminal(['status', '--watch', '--data', folder])
    await expect.poll(() => terminal.raw, within).toContain('swarm alpha: 1 peer, 0 sessions')
    sessions = 3
    await expect.poll(() => terminal.raw, within).toContain('swarm alpha: 1 peer, 3 sessions')
    await server.close()
    await expect.poll(() => terminal.raw, within).toContain('no peer is running on')
    server = await serve()
    sessions = 4
    await expect.poll(() => terminal.raw, within).toContain('swarm alpha: 1 peer, 4 sessions')
    terminal.type(keys.ctrlC)
    expect(await terminal.ended).toBe(0)
    const { raw } = terminal
    // The other screen is entered once, and left last; every picture begins at its top, and nothing scrolls.
    expect(raw.indexOf('\x1b[?1049h')).toBe(0)
    expect(raw.trimEnd().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true)
    const pictures = raw.split('\x1b[H').slice(1)
    expect(pictures.length).toBeGreaterThanOrEqual(3)
    for (const picture of pictures) expect(picture.split('\n').length).toBeLessThanOrEqual(30)
    const gaps = asked.slice(1).map((ms, i) => ms - asked[i]!)
    expect(Math.min(...gaps)).toBeGreaterThan(450)
  })
})

it('elsewhere a line tells each change, and nothing is said twice', async () => {
  const watching = new Skein(['status', '--watch', '--data', folder])
  await expect.poll(() => watching.stdout, within).toContain('0 sessions')
  const before = asked.length
  await expect.poll(() => asked.length, within).toBeGreaterThan(before + 1)
  sessions = 2
  await expect.poll(() => watching.stdout, within).toContain('2 sessions')
  expect(await watching.end('SIGINT')).toMatchObject({ code: 0, stderr: '' })
  const lines = watching.stdout.trimEnd().split('\n')
  expect(lines).toEqual([
    expect.stringMatching(/^\d\d:\d\d:\d\d swarm alpha: 1 peer, 0 sessions$/),
    expect.stringMatching(/^\d\d:\d\d:\d\d swarm alpha: 1 peer, 2 sessions$/)
  ])
})

it('for a program each status is one JSON object on a line', async () => {
  const watching = new Skein(['status', '--watch', '--json', '--data', folder])
  await expect.poll(() => watching.stdout.split('\n').length, within).toBeGreaterThan(3)
  await watching.end('SIGINT')
  const whole = watching.stdout.split('\n').slice(0, -1)
  for (const line of whole) expect(JSON.parse(line)).toMatchObject({ swarm: 'alpha' })
})

it('a peer that does not run at the beginning is an error', async () => {
  const none = join(folder, 'none')
  expect(await skein(['status', '--watch', '--data', none])).toMatchObject({
    code: 4,
    stdout: '',
    stderr: expect.stringContaining('no peer is running on')
  })
})
