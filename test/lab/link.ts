/**
 * A link emulator: namespaces as ports of a switch whose links have delay, jitter, loss and a limited rate. The work is
 * done by `link.py`, since TAP devices need calls that Node does not have.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./link.py', import.meta.url))
/** Time for the emulator to answer a command; it does so within ms. */
const answerMs = 20_000

/** What every link between two ports is like, in each direction. */
export interface LinkInit {
  /** One way. @default 0 */
  readonly delayMs?: number
  /** Each frame is late by a random time up to this. @default 0 */
  readonly jitterMs?: number
  /** Share of frames that are lost, in per cent. @default 0 */
  readonly lossPercent?: number
  /** What one port can send. @default unlimited */
  readonly mbitPerS?: number
  /** A late frame is overtaken, instead of holding up those behind it. @default false */
  readonly reorder?: boolean
  /** Which frames are lost and late. @default 1 */
  readonly seed?: number
}

/** What has happened to frames so far. */
export interface LinkCounts {
  readonly delivered: number
  /** Of frames that were delivered. */
  readonly bytes: number
  /** By chance. */
  readonly lost: number
  /** At a port that was cut. */
  readonly cut: number
  /** By a full queue. */
  readonly full: number
}

/** Why links cannot be emulated here even where there are namespaces, or undefined. */
export function whyNoLinks(): string | undefined {
  if (!existsSync('/dev/net/tun')) return 'emulated links need /dev/net/tun, which is not here'
  try {
    execFileSync('python3', ['-c', 'import ctypes, fcntl'], { stdio: 'ignore' })
  } catch {
    return 'emulated links need python3, which is not here'
  }
  return undefined
}

export class LinkEmulator {
  readonly #child: ChildProcess
  /** Those who wait for a line, in order: the emulator answers one command after the other. */
  readonly #waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = []
  readonly #kill = (): void => void this.#child.kill('SIGKILL')

  constructor({ delayMs = 0, jitterMs = 0, lossPercent = 0, mbitPerS = 0, reorder = false, seed = 1 }: LinkInit) {
    const numbers = { delay: delayMs, jitter: jitterMs, loss: lossPercent, rate: mbitPerS, seed }
    const args = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)])
    // It ends when its stdin closes, so also when this process is killed. In a group of its own: Ctrl-C is not for it.
    this.#child = spawn('python3', [program, ...args, ...(reorder ? ['--reorder'] : [])], {
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true
    })
    process.once('exit', this.#kill)
    const fail = (message: string): void => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(message))
    }
    this.#child.stdin!.on('error', () => {})
    this.#child.once('error', ({ message }) => fail(`the link emulator cannot be started: ${message}`))
    this.#child.once('exit', code => fail(`the link emulator ended with exit code ${code}`))
    createInterface({ input: this.#child.stdout! }).on('line', line => this.#waiting.shift()?.resolve(line))
  }

  /** Makes the device `tap0` in this namespace, down and without an address. */
  async port(namespace: string): Promise<void> {
    await this.#ask(`port ${namespace}`)
  }

  /** Drops whatever comes from or goes to a port, as out of radio range. */
  cut(namespace: string): void {
    this.#child.stdin!.write(`cut ${namespace}\n`)
  }

  join(namespace: string): void {
    this.#child.stdin!.write(`join ${namespace}\n`)
  }

  async counts(): Promise<LinkCounts> {
    return JSON.parse(await this.#ask('count')) as LinkCounts
  }

  close(): void {
    process.off('exit', this.#kill)
    this.#kill()
  }

  async #ask(command: string): Promise<string> {
    if (this.#child.exitCode !== null) throw new Error('the link emulator has ended')
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const timer = setTimeout(() => reject(new Error(`the link emulator did not answer '${command}'`)), answerMs)
    this.#waiting.push({ resolve, reject })
    this.#child.stdin!.write(`${command}\n`)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
    }
  }
}
