/** A `skein up` in a process of its own, which is hurt and started again. It never outlives this process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { PeerId, Status } from '../../src/index.ts'
import { putMeasured, takeMeasured } from '../measured.ts'
import type { Attachment } from './network.ts'

const ownBin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))

const running = new Set<ChildProcess>()
process.once('exit', () => {
  // A stopped process does not notice that its stdin has closed.
  for (const child of running) child.kill('SIGKILL')
})

export interface ChurnPeerInit {
  readonly name: string
  readonly dataDir: string
  readonly swarm: string
  readonly memoryBytes: number
  /** Where it is attached to an emulated network; on loopback without. */
  readonly attachment?: Attachment
  /** Look for others by multicast DNS too. @default false */
  readonly mdns?: boolean
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Told each line that it prints, on stdout or stderr. */
  readonly onLine?: (line: string) => void
  /** The `bin/skein.js` that the next start runs. @default this build's */
  bin?: string
}

export class ChurnPeer {
  readonly init: ChurnPeerInit
  /** Known from the first start on: it is in the data directory. */
  id = '' as PeerId
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #stopped = false
  /** Lines of the present process: what it said last is what a failure shows. */
  #words: string[] = []

  constructor(init: ChurnPeerInit) {
    this.init = init
  }

  get #socketPath(): string {
    return join(this.init.dataDir, 'control.sock')
  }

  get pid(): number | undefined {
    return this.isRunning ? this.#child!.pid : undefined
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Its last lines, for a failure. */
  get lastWords(): string {
    return this.#words.slice(-12).join('\n')
  }

  /** Starts the process; whether it is of use, {@link status} tells. */
  start(): void {
    const {
      dataDir,
      swarm,
      memoryBytes,
      attachment,
      mdns = false,
      env = {},
      onLine = () => {},
      bin = ownBin
    } = this.init
    const listen = attachment === undefined ? '/ip4/127.0.0.1/tcp/0' : `/ip4/${attachment.address}/tcp/0`
    const args = [
      ...[bin, 'up', '--data', dataDir, '--swarm', swarm, '--memory', String(memoryBytes), '--listen', listen],
      ...(mdns ? [] : ['--no-mdns']),
      ...['--threads', '1', '--json', '--stop-with-stdin']
    ]
    putMeasured(dataDir)
    const [command, ...rest] = [...(attachment?.prefix ?? []), process.execPath, ...args]
    // A process group of its own: Ctrl-C reaches the harness alone.
    const child = spawn(command!, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...env }
    })
    this.#child = child
    this.#stopped = false
    this.#words = []
    running.add(child)
    child.stdin!.on('error', () => {})
    for (const input of [child.stdout!, child.stderr!]) {
      createInterface({ input }).on('line', line => {
        if (line === '') return
        this.#words = [...this.#words, line].slice(-40)
        onLine(line)
      })
    }
    this.#ended = new Promise(resolve => {
      const end = (): void => {
        running.delete(child)
        takeMeasured(dataDir)
        resolve()
      }
      child.once('error', error => {
        this.#words.push(error.message)
        end()
      })
      child.once('close', end)
    })
  }

  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  /** Silent without a word, as a peer without power or out of range. */
  pause(): void {
    this.#stopped = true
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    if (!this.#stopped) return
    this.#stopped = false
    this.#child?.kill('SIGCONT')
  }

  leave(): void {
    this.#child?.kill('SIGTERM')
  }

  /** What `skein drain` asks for: starting that command takes longer than most answers. */
  drain(): void {
    const socket = createConnection(this.#socketPath)
    // The peer drains on when its last word cannot be told to anybody; who ends before it has heard is waited for too.
    socket.once('error', () => {})
    socket.once('connect', () => socket.write('{"v":1,"op":"drain"}\n')).resume()
  }

  /** Waits for the end of a process that was told to end; ends it by its id when it takes too long. */
  async ended(withinMs = 15_000): Promise<void> {
    const timer = setTimeout(() => this.kill(), withinMs)
    await this.#ended
    clearTimeout(timer)
  }

  async stop(): Promise<void> {
    this.resume()
    this.#child?.stdin?.end()
    await this.ended()
  }

  /** What it sees, or undefined while its control socket is not there or does not answer in time. */
  async status(): Promise<Status | undefined> {
    if (!this.isRunning || !existsSync(this.#socketPath)) return undefined
    return new Promise(resolve => {
      const socket = createConnection(this.#socketPath)
      let text = ''
      const give = (status?: Status): void => {
        socket.destroy()
        resolve(status)
      }
      socket.setTimeout(3000, () => give())
      socket.once('error', () => give())
      socket.once('connect', () => socket.write('{"v":1,"op":"status"}\n'))
      socket.setEncoding('utf8').on('data', chunk => {
        text += chunk
        if (!text.includes('\n')) return
        try {
          const response = JSON.parse(text.slice(0, text.indexOf('\n'))) as { kind: string; status: Status }
          give(response.kind === 'status' ? response.status : undefined)
        } catch {
          give()
        }
      })
    })
  }
}
