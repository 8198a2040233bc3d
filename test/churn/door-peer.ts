/** A `skein up --http` in a process of its own, with what it takes of its machine. It never outlives this process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
/** From the start of a process to its door: it measures its machine, which takes seconds on a busy one. */
const startMs = 120_000

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class DoorPeer {
  readonly #child: ChildProcess
  readonly ended: Promise<unknown>
  /** `http://127.0.0.1:PORT` */
  url = ''
  addresses: readonly string[] = []

  private constructor(args: readonly string[]) {
    const flags = ['up', '--json', '--no-mdns', '--stop-with-stdin', '--http', '127.0.0.1:0']
    this.#child = spawn(process.execPath, [bin, ...flags, '--listen', '/ip4/127.0.0.1/tcp/0', ...args], {
      stdio: ['pipe', 'pipe', 'inherit']
    })
    running.add(this.#child)
    this.ended = new Promise(resolve => this.#child.once('exit', resolve).once('error', resolve))
    void this.ended.then(() => running.delete(this.#child))
  }

  /** @param args of `skein up`. @throws {Error} when it ends before it has a door, or has none in time; the signal's reason */
  static async start(args: readonly string[], signal: AbortSignal): Promise<DoorPeer> {
    const peer = new DoorPeer(args)
    const opened = new Promise<void>((resolve, reject) => {
      createInterface({ input: peer.#child.stdout! }).on('line', line => {
        const told = JSON.parse(line) as { event: string; url?: string; addresses?: readonly string[] }
        if (told.event === 'up') peer.addresses = told.addresses ?? []
        if (told.event === 'http') peer.url = told.url!
        if (peer.url !== '' && peer.addresses.length > 0) resolve()
      })
      void peer.ended.then(() => reject(new Error('a peer ended before it had a door')))
      const late = AbortSignal.any([signal, AbortSignal.timeout(startMs)])
      late.addEventListener('abort', () => reject(late.reason), { once: true })
    })
    await opened
    return peer
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** It ends without a goodbye. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end()
    await this.ended
  }

  /** Resident bytes and open descriptors; zeros once it has ended. */
  taken(): { readonly bytes: number; readonly descriptors: number } {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, 'utf8')
      const bytes = 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
      return { bytes, descriptors: readdirSync(`/proc/${this.#child.pid}/fd`).length }
    } catch {
      return { bytes: 0, descriptors: 0 }
    }
  }
}
