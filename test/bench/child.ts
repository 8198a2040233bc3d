/** Child processes of the bench: ended by their own id, whatever ends the bench. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What a child says; it never sends anything else. */
export type Message = { readonly kind: string; readonly [detail: string]: unknown }

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class BenchChild {
  readonly #process: ChildProcess
  readonly #received: Message[] = []
  readonly #ended: Promise<void>
  #failure: Error | undefined
  #wake = (): void => {}

  /**
   * Runs a file of this folder in a process of its own; `init` is its only argument, as JSON.
   *
   * @param prefix the command that runs it elsewhere, as in a network namespace
   */
  constructor(file: string, init: object, prefix: readonly string[] = []) {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const [command, ...args] = [...prefix, process.execPath, '--expose-gc', path, JSON.stringify(init)]
    this.#process = spawn(command!, args, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // Ctrl-C reaches the bench alone, which ends its children in order.
      detached: true,
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' }
    })
    running.add(this.#process)
    this.#process.on('message', message => {
      this.#received.push(message as Message)
      this.#wake()
    })
    this.#ended = new Promise(resolve => {
      this.#process.once('error', error => this.#end(error, resolve))
      this.#process.once('exit', (code, signal) => {
        this.#end(new Error(`${file} ended too early (${signal ?? `exit code ${code}`})`), resolve)
      })
    })
  }

  #end(why: Error, resolve: () => void): void {
    running.delete(this.#process)
    this.#failure ??= why
    this.#wake()
    resolve()
  }

  send(message: Message): void {
    if (this.#process.connected) this.#process.send(message)
  }

  /**
   * The next message of that kind; others before it are dropped.
   *
   * @throws {Error} with the child's words when it says `failed`, when it ends, or after `timeoutMs`
   * @throws the signal's reason
   */
  async next(
    kind: string,
    { signal, timeoutMs = 120_000 }: { signal: AbortSignal; timeoutMs?: number }
  ): Promise<Message> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    for (;;) {
      for (let message = this.#received.shift(); message !== undefined; message = this.#received.shift()) {
        if (message.kind === kind) return message
        if (message.kind === 'failed') throw new Error(String(message.message))
      }
      if (this.#failure !== undefined) throw this.#failure
      if (signal.aborted) throw signal.reason
      if (deadline.aborted) throw new Error(`a child of the bench sent no '${kind}' within ${timeoutMs} ms`)
      await new Promise<void>(resolve => {
        this.#wake = resolve
        deadline.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  /** Ends it at once, as a power cut would. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  /** Asks it to stop; ends it by its id when it takes too long. Safe to call twice. */
  async stop(): Promise<void> {
    this.send({ kind: 'stop' })
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000)
    await this.#ended
    clearTimeout(timer)
  }
}
