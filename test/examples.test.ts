/** Programs in `examples/` as people start them: each as a process, with real peers on loopback, by what it prints. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { initSwarm, type Peer } from '../src/index.ts'
import { needs, whyNotBuilt } from './needs.ts'
import { livePeers } from './peer/live-peers.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const prompt = 'Once upon a time'

/** A running example, with what it has printed so far. */
class Example {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  stdout = ''
  stderr = ''

  constructor(name: string, args: readonly string[]) {
    this.child = spawn(process.execPath, [path.join(root, 'examples', name), ...args], {
      stdio: ['ignore', 'pipe', 'pipe']
    })
    this.child.stdout!.setEncoding('utf8').on('data', text => {
      this.stdout += text
    })
    this.child.stderr!.setEncoding('utf8').on('data', text => {
      this.stderr += text
    })
    this.ended = new Promise(resolve => this.child.once('close', (code, signal) => resolve({ code, signal })))
  }

  /** Waits until it has printed that. Fails with its last words when it does not, or ends before. */
  async prints(what: RegExp, withinMs = 30_000): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(withinMs)
    for (;;) {
      const hasEnded = this.child.stdout!.closed
      const found = what.exec(this.stdout)
      if (found !== null) return found
      if (hasEnded || deadline.aborted) throw new Error(`it does not print ${what}: ${this.stdout}\n${this.stderr}`)
      await sleep(20)
    }
  }
}

describe('examples', needs(whyNotBuilt(path.join(root, 'dist/src/index.js'))), () => {
  const { start, folder } = livePeers('examples')
  const running: Example[] = []
  let swarm: string
  let peer: Peer
  /** What the model says by itself, in one piece. */
  let story: string
  /** Where others listen, as they say. */
  const told = new Set<string>()
  let looking: NodeJS.Timeout

  const run = async (name: string, ...args: string[]): Promise<Example> => {
    running.push(new Example(name, args))
    return running.at(-1)!
  }
  /** Flags of those that take some: who is in the swarm is dialled, and nobody is looked for. */
  const flags = async (): Promise<string[]> => [
    ...['--swarm', swarm, '--data', path.join(await folder(), 'data'), '--no-mdns'],
    ...peer.addresses.flatMap(address => ['--bootstrap', address])
  ]

  beforeEach(async () => {
    swarm = path.join(await folder(), 'swarm.json')
    await initSwarm(swarm)
    peer = await start({ swarm, memoryBytes: 256e6 })
    const { text } = await peer.generate(prompt, { maxTokens: 60 }).answer
    story = text
    told.clear()
    const look = (): void => {
      for (const { self, addresses } of peer.status().peers)
        if (!self) for (const address of addresses) told.add(address)
    }
    looking = setInterval(look, 20)
  })

  afterEach(async () => {
    clearInterval(looking)
    for (const { child } of running) child.kill('SIGKILL')
    await Promise.all(running.splice(0).map(({ ended }) => ended))
    // Nobody is let in from a network who was not asked for.
    expect([...told]).not.toEqual([])
    expect([...told].filter(address => !address.startsWith('/ip4/127.0.0.1/'))).toEqual([])
  })

  it('minimal-peer.ts joins, serves, answers, and hands over when it is told to end', async () => {
    const code = readFileSync(path.join(root, 'examples/minimal-peer.ts'), 'utf8').replace(/^\/\*\*[\s\S]*?\*\/\n/, '')
    expect(code.split('\n').filter(line => line !== '').length).toBeLessThanOrEqual(15)
    const { text } = await peer.generate(prompt, { maxTokens: 40 }).answer
    const example = await run('minimal-peer.ts', swarm, path.join(await folder(), 'data'), ...peer.addresses)
    await example.prints(/computed by \d peer\(s\)/)
    await example.prints(/serving layers 0-6\n/)
    expect(example.stdout).toContain(`\n${prompt}${text}\n`)
    await expect.poll(() => peer.status().models[0]!.coverage, { timeout: 10_000 }).toEqual([2, 2, 2, 2, 2, 2])
    example.child.kill('SIGTERM')
    expect(await example.ended).toEqual({ code: 0, signal: null })
    expect(peer.status().models[0]!.coverage).toEqual([1, 1, 1, 1, 1, 1])
  })

  it('client.ts has others answer, and says so when nobody can', async () => {
    const args = await flags()
    const example = await run('client.ts', ...args, prompt)
    expect(await example.ended, example.stderr).toEqual({ code: 0, signal: null })
    expect(example.stdout).toBe(`${story}\n`)
    expect(example.stderr).toContain(`asking ${peer.id}\n60 tokens, the first after `)
    const wrong = await run('client.ts', '--swarm', `${swarm}.missing`, '--data', path.join(await folder(), 'data'))
    expect(await wrong.ended).toEqual({ code: 1, signal: null })
    expect(wrong.stderr).toMatch(/^[^\n]*swarm\.json\.missing[^\n]*\n$/)
  })

  it('server.ts streams answers, frees what a client had that hangs up, and breaks off what fails', async () => {
    const example = await run('server.ts', ...(await flags()), '--memory', '0', '--port', '0')
    const url = (await example.prints(/^http:\S+$/m))[0]
    const health = async (): Promise<unknown> => (await fetch(`${url}healthz`)).json()
    await expect.poll(health, { timeout: 20_000 }).toEqual({ ready: true, answering: 0 })
    const ask = (body: string, signal?: AbortSignal): Promise<Response> =>
      fetch(url, { method: 'POST', body, ...(signal === undefined ? {} : { signal }) })

    const whole = await ask(prompt)
    const pieces: string[] = []
    for await (const piece of whole.body!.pipeThrough(new TextDecoderStream())) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.join('').startsWith(story)).toBe(true)

    const refused: [string, number, RegExp][] = [
      ['', 400, /empty|no tokens/],
      ['x'.repeat(70_000), 413, /at most 65536 bytes/],
      ['once '.repeat(2_000), 400, /tokens|characters/]
    ]
    for (const [body, status, sentence] of refused) {
      const response = await ask(body)
      expect([response.status, await response.text()]).toEqual([status, expect.stringMatching(sentence)])
    }
    expect((await fetch(`${url}other`)).status).toBe(404)

    const hangingUp = new AbortController()
    await (await ask(prompt, hangingUp.signal)).body!.getReader().read()
    hangingUp.abort()
    await example.prints(/the client hung up after \d+ tokens/)
    expect(await health()).toEqual({ ready: true, answering: 0 })

    // The only one who computes goes without notice to its sessions: nobody can go on.
    const broken = await ask(prompt)
    await Promise.all([peer.stop(), expect(broken.text()).rejects.toThrow()])
    await example.prints(/an answer broke off: /)
    expect((await ask(prompt)).status).toBe(503)
  })

  it('control-loop.ts pauses its peer while the vehicle is busy or the loop is behind, and loses nothing', async () => {
    // On a machine with other work, a tick may be late by itself.
    const example = await run('control-loop.ts', ...(await flags()), '--late-ms', '150')
    await example.prints(/pause at tick \d+: the vehicle is busy\n[\s\S]*serving nothing\n[\s\S]*resume at tick/)
    await example.prints(/resume at tick[\s\S]*serving layers 0-6\n/)
    // Where the machine leaves it no tick between two stops, these are one.
    for (let stops = 0; stops < 8 && !example.stdout.includes('the loop is behind'); stops++) {
      example.child.kill('SIGSTOP')
      await sleep(250)
      example.child.kill('SIGCONT')
      await sleep(80)
    }
    await example.prints(/pause at tick \d+: the loop is behind\n/)
    expect(await example.ended, example.stderr).toEqual({ code: 0, signal: null })
    expect(example.stdout).toMatch(/flew 220 ticks, \d+ of them late/)
    expect(example.stdout).toMatch(/\n(?:[2-9]|\d{2,}) answers, all the same\n/)
    expect(example.stderr).toBe('')
  })
})
