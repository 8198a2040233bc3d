/** A real peer: a `skein up` in a process of its own, whose connections go through the live air. It never outlives this process. */
import type { CacheType } from '../src/base/cache-type.ts'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { createConnection, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

/** The package that this file is of. */
export const packageFolder = dirname(createRequire(import.meta.url).resolve('skein/package.json'))
const bin = join(packageFolder, 'bin', 'skein.js')
/** Compiled or not, as this file is. */
const dial = new URL(import.meta.url.endsWith('.ts') ? './live-dial.ts' : './live-dial.js', import.meta.url)

/** A peer that was told to stop has so long; then it is ended. */
const stopMs = 15_000
/** A status that takes longer is none. */
const statusMs = 3_000

const running = new Set<ChildProcess>()
process.once('exit', () => {
  // A stopped process does not notice that its stdin has closed.
  for (const child of running) child.kill('SIGKILL')
})

const rangeSchema = z.object({ start: z.int(), end: z.int() })
const statusSchema = z.object({
  self: z.string(),
  peers: z.array(
    z.object({
      id: z.string(),
      self: z.boolean(),
      connected: z.boolean(),
      budgetBytes: z.number(),
      sessions: z.number(),
      stages: z.array(rangeSchema.extend({ serving: z.boolean() })),
      timings: z.array(z.object({ visitMs: z.number(), layerMs: z.number(), numericClass: z.string() }))
    })
  )
})
/** What a peer knows of its swarm, as far as it matters here. */
export type LiveStatus = z.infer<typeof statusSchema>

const hopSchema = rangeSchema.extend({ peer: z.string() })
const eventSchema = z.discriminatedUnion('event', [
  z.object({ event: z.literal('route'), hops: z.array(hopSchema) }),
  z.object({ event: z.literal('token'), position: z.int(), ms: z.number() }),
  z.object({ event: z.literal('lost'), peer: z.string(), hop: z.int(), reason: z.string(), charged: z.boolean() }),
  z.object({ event: z.literal('recovered'), ms: z.number(), route: z.array(hopSchema) }),
  z.object({
    event: z.literal('done'),
    promptIds: z.array(z.int()),
    ids: z.array(z.int()),
    bytesPerToken: z.number(),
    hops: z.array(
      hopSchema.extend({
        steps: z.number(),
        tokens: z.number(),
        computeMs: z.number(),
        queueMs: z.number(),
        bytesOut: z.number()
      })
    )
  })
])
/** What a peer tells of an answer, as far as it matters here. */
export type LiveEvent = z.infer<typeof eventSchema>

const responseSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('status'), status: statusSchema }),
  z.object({ kind: z.literal('event'), event: z.looseObject({ event: z.string() }) }),
  z.object({ kind: z.literal('error'), error: z.object({ name: z.string(), message: z.string() }) }),
  z.object({ kind: z.literal('end') })
])
type LiveResponse = z.infer<typeof responseSchema>

export interface LivePeerInit {
  readonly name: string
  /** Its place in the air. */
  readonly station: number
  readonly airPort: number
  readonly dataDir: string
  /** Where its temporary files go, among them those by which peers of one machine find each other. */
  readonly temporaryDir: string
  readonly swarm: string
  readonly memoryBytes: number
  /** It listens on this port of loopback now. */
  readonly onPort: (port: number) => void
}

export interface LiveAsk {
  readonly prompt: string
  readonly maxTokens: number
  readonly temperature: number
  readonly cache: CacheType
  readonly seed: number
}

export class LivePeer {
  readonly init: LivePeerInit
  /** Known once it has said so; it stays the same over restarts. */
  id: string | undefined
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #isFrozen = false
  #words: string[] = []
  #line = ''

  constructor(init: LivePeerInit) {
    this.init = init
  }

  get name(): string {
    return this.init.name
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Its last lines, for a failure. */
  get lastWords(): string {
    return this.#words.slice(-6).join('\n')
  }

  start(): void {
    if (this.isRunning) return
    const { dataDir, swarm, memoryBytes, temporaryDir, airPort, station } = this.init
    const args = [
      ...[bin, 'up', '--data', dataDir, '--swarm', swarm, '--memory', String(memoryBytes)],
      ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--threads', '1', '--json', '--stop-with-stdin']
    ]
    // A process group of its own: Ctrl-C reaches this process alone, which stops its peers in order.
    const child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: {
        ...process.env,
        TMPDIR: temporaryDir,
        NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${dial.href}`.trim(),
        SKEIN_SIM_AIR: String(airPort),
        SKEIN_SIM_STATION: String(station)
      }
    })
    this.#child = child
    this.#isFrozen = false
    running.add(child)
    child.stdin!.on('error', () => {})
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#line + text).split('\n')
      this.#line = lines.pop()!
      for (const line of lines) this.#hear(line)
    })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => this.#note(text))
    this.#ended = new Promise(resolve => {
      const end = (): void => {
        running.delete(child)
        resolve()
      }
      child.once('error', error => {
        this.#note(error.message)
        end()
      })
      child.once('close', end)
    })
  }

  #note(text: string): void {
    this.#words = [...this.#words, ...text.split('\n').filter(Boolean)].slice(-20)
  }

  #hear(line: string): void {
    this.#note(line)
    const said = upSchema.safeParse(parseJson(line))
    if (!said.success) return
    this.id = said.data.peer
    for (const address of said.data.addresses) {
      const port = /\/tcp\/(\d+)/.exec(address)?.[1]
      if (port !== undefined) this.init.onPort(Number(port))
    }
  }

  /** Its process ends at once, and its host says so to whoever is connected. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  freeze(): void {
    this.#isFrozen = true
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    if (!this.#isFrozen) return
    this.#isFrozen = false
    this.#child?.kill('SIGCONT')
  }

  /** Hands over and says goodbye. */
  leave(): void {
    this.#child?.kill('SIGTERM')
  }

  drain(): void {
    execFile(process.execPath, [bin, 'drain', '--data', this.init.dataDir], () => {})
  }

  async ended(): Promise<void> {
    await this.#ended
  }

  /** Safe to call twice, and on one that has ended. */
  async stop(): Promise<void> {
    this.thaw()
    this.#child?.stdin?.end()
    const timer = setTimeout(() => this.kill(), stopMs)
    await this.#ended
    clearTimeout(timer)
  }

  /** What it sees, or undefined while it does not answer. */
  async status(): Promise<LiveStatus | undefined> {
    if (!this.isRunning || this.#isFrozen) return undefined
    let status: LiveStatus | undefined
    await this.#request({ v: 1, op: 'status' }, AbortSignal.timeout(statusMs), response => {
      if (response.kind === 'status') status = response.status
    }).catch(() => {})
    return status
  }

  /**
   * Has it answer a prompt.
   * @throws {Error} with what it says instead, or that it has ended.
   * @throws the signal's reason.
   */
  async ask({ prompt, ...options }: LiveAsk, signal: AbortSignal, onEvent: (event: LiveEvent) => void): Promise<void> {
    await this.#request({ v: 1, op: 'generate', prompt, options }, signal, response => {
      if (response.kind !== 'event') return
      // Events that say nothing here are passed over.
      const event = eventSchema.safeParse(response.event)
      if (event.success) onEvent(event.data)
    })
  }

  /** One request on its control socket. */
  async #request(request: object, signal: AbortSignal, onResponse: (response: LiveResponse) => void): Promise<void> {
    signal.throwIfAborted()
    const socket: Socket = createConnection(join(this.init.dataDir, 'control.sock'))
    const abort = (): void => void socket.destroy(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        socket.once('close', () => reject(new Error(`${this.name} ended before it had answered`)))
        socket.once('connect', () => socket.write(`${JSON.stringify(request)}\n`))
        let text = ''
        socket.setEncoding('utf8').on('data', chunk => {
          const lines = (text + chunk).split('\n')
          text = lines.pop()!
          for (const line of lines) {
            const response = responseSchema.safeParse(parseJson(line))
            if (!response.success) continue
            if (response.data.kind === 'error') reject(new Error(response.data.error.message))
            else if (response.data.kind === 'end') resolve()
            else onResponse(response.data)
          }
        })
      })
    } finally {
      signal.removeEventListener('abort', abort)
      socket.destroy()
    }
  }
}

const upSchema = z.object({ event: z.literal('up'), peer: z.string(), addresses: z.array(z.string()) })

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** Whether the package was built: real peers run what the build made. */
export const builtFile = join(packageFolder, 'dist', 'src', 'cli', 'main.js')
export const dialFile = fileURLToPath(dial)
