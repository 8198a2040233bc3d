/** Runs the real `skein` in processes of its own, and leaves none behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { putMeasured, takeMeasured } from '../measured.ts'

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
const built = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url))

/** Environment of a command: none of the caller's Skein settings. */
const baseEnv: NodeJS.ProcessEnv = { ...process.env, SKEIN_DATA: '', XDG_DATA_HOME: '', NO_COLOR: '1' }

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface SkeinOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly stdin?: string | Uint8Array
  /** Path of another installation's `bin/skein.js`. @default this repository's */
  readonly program?: string
}

/** A running `skein`, with what it has printed so far. */
export class Skein {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''

  constructor(args: readonly string[], { env = {}, stdin = '', program = bin }: SkeinOptions = {}) {
    if (!existsSync(built)) throw new Error('dist is missing: npm test builds it, or run npm run build')
    const dataDir = args[0] === 'up' ? args[args.indexOf('--data') + 1] : undefined
    if (dataDir !== undefined) putMeasured(dataDir)
    this.child = spawn(process.execPath, [program, ...args], { env: { ...baseEnv, ...env }, stdio: 'pipe' })
    this.child.stdin!.on('error', () => {})
    // A peer that is started with --stop-with-stdin stops when this process is gone, however it went.
    if (!args.includes('--stop-with-stdin')) this.child.stdin!.end(stdin)
    this.child.stdout!.setEncoding('utf8').on('data', text => {
      this.stdout += text
    })
    this.child.stderr!.setEncoding('utf8').on('data', text => {
      this.stderr += text
    })
    this.ended = new Promise(resolve => {
      this.child.once('close', (code, signal) => {
        if (dataDir !== undefined) takeMeasured(dataDir)
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
      })
    })
  }

  /** The JSON objects printed so far. */
  get events(): { readonly event?: string; readonly [key: string]: unknown }[] {
    const whole = this.stdout.slice(0, this.stdout.lastIndexOf('\n') + 1)
    return whole
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line))
  }

  /** Waits until it has printed an event of that kind (so often). Fails with its last words when it ends before. */
  async event(kind: string, { times = 1, withinMs = 60_000 } = {}): Promise<{ readonly [key: string]: unknown }> {
    const deadline = AbortSignal.timeout(withinMs)
    for (;;) {
      const found = this.events.filter(({ event }) => event === kind)
      if (found.length >= times) return found[times - 1]!
      if (this.child.exitCode !== null || this.child.signalCode !== null || deadline.aborted) {
        throw new Error(`no event ${kind}: ${this.stdout}\n${this.stderr}`)
      }
      await new Promise(resolve => setTimeout(resolve, 25))
    }
  }

  /** Sends a signal and waits for the end. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    if (this.child.exitCode === null) this.child.kill(signal)
    return this.ended
  }
}

/** Runs a command to its end. */
export function skein(args: readonly string[], options: SkeinOptions = {}): Promise<Ended> {
  return new Skein(args, options).ended
}

/** Expects an expected failure: this exit code, nothing on stdout, one sentence that contains `sentence` on stderr. */
export async function expectFailure(
  run: Promise<Ended> | Skein,
  code: number,
  sentence: string | RegExp,
  withinMs = 20_000
): Promise<void> {
  // A peer that starts where it should have failed would run on.
  const timer = run instanceof Skein ? setTimeout(() => run.child.kill('SIGKILL'), withinMs) : undefined
  const { stdout, stderr, ...end } = await (run instanceof Skein ? run.ended : run)
  clearTimeout(timer)
  expect(stderr).toMatch(sentence)
  expect({ code: end.code, stdout }).toEqual({ code, stdout: '' })
  expect(stderr).toMatch(/^skein: /)
  expect(stderr, 'an expected failure shows no stack').not.toMatch(/\n {4}at /)
}
