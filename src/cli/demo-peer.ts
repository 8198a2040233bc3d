/** A peer of the demo: a `skein up` in a process of its own, which never outlives the demo. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type PeerId, PeerNotRunningError, type Range } from '../index.ts'
import { demoComplaintBytesMax, stopMs } from './limits.ts'

export interface DemoPeerInit {
  readonly dataDir: string
  /** Where its temporary files go, among them those by which peers of one machine find each other. */
  readonly temporaryDir: string
  readonly swarm: string
  readonly model: string
  readonly memoryBytes: number
  /** Serve exactly these layers. */
  readonly layers?: Range
}

/** A line that `skein up --json` printed. */
export interface UpEvent {
  readonly event: string
  readonly [detail: string]: unknown
}

export class DemoPeer {
  readonly dataDir: string
  readonly memoryBytes: number
  /** Undefined until the process has said who it is. */
  id: PeerId | undefined
  readonly #layers: Range | undefined
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  #complaint = ''
  #hasEnded = false

  /** Starts the process. It listens on loopback alone and stops when its stdin closes, whatever ends the demo. */
  constructor(init: DemoPeerInit, onEvent: (event: UpEvent) => void) {
    this.dataDir = init.dataDir
    this.memoryBytes = init.memoryBytes
    this.#layers = init.layers
    const bin = new URL('bin/skein.js', import.meta.resolve('skein/package.json'))
    const args = [
      ...['up', '--data', init.dataDir, '--swarm', init.swarm, '--model', init.model],
      ...['--memory', String(init.memoryBytes), '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns'],
      ...(init.layers === undefined ? [] : ['--layers', `${init.layers.start}-${init.layers.end}`]),
      ...['--threads', '1', '--json', '--stop-with-stdin']
    ]
    // A process group of its own: Ctrl-C reaches the demo alone, which stops its peers in order.
    this.#child = spawn(process.execPath, [fileURLToPath(bin), ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, TMPDIR: init.temporaryDir }
    })
    this.#child.stdin?.on('error', () => {})
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(-demoComplaintBytesMax)
    })
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      const event = readEvent(line)
      if (event === undefined) return
      if (event.event === 'up') this.id = event.peer as PeerId
      onEvent(event)
    })
    this.#ended = new Promise(resolve => {
      this.#child.once('error', err => {
        this.#complaint = err.message
      })
      this.#child.once('close', () => {
        this.#hasEnded = true
        resolve()
      })
    })
  }

  /** @throws {PeerNotRunningError} with its last words when the process has ended by itself. */
  assertRunning(): void {
    if (!this.#hasEnded) return
    const words =
      this.#complaint
        .trim()
        .split('\n')
        .at(-1)
        ?.replace(/^skein: /, '') || 'it said nothing'
    throw new PeerNotRunningError(`a peer of the demo ended: ${words}`)
  }

  /** Whether it was started for exactly these layers. */
  serves({ start, end }: Range): boolean {
    return this.#layers?.start === start && this.#layers.end === end
  }

  /** Ends it without a word, as when a drone falls out of the sky. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Lets it say goodbye; ends it when that takes too long. Safe to call twice. */
  async stop(): Promise<void> {
    this.#child.stdin?.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMs)
    await this.#ended
    clearTimeout(timer)
  }
}

function readEvent(line: string): UpEvent | undefined {
  try {
    const json: unknown = JSON.parse(line)
    return typeof json === 'object' && json !== null && 'event' in json ? (json as UpEvent) : undefined
  } catch {
    return undefined
  }
}
