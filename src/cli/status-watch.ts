/** `skein status --watch`: the swarm while it lives, drawn anew in a terminal, or told line by line. */
import { setTimeout as delay } from 'node:timers/promises'
import { PeerNotRunningError, type Status } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askStatus } from './control-client.ts'
import { InterruptedError } from './failure.ts'
import { statusLookMs } from './limits.ts'
import { say, sayJson, write } from './output.ts'
import { summaryOf, swarmView, withoutSpeeds } from './swarm-view.ts'

/** Another screen, without a cursor, and back: what was on the terminal before is there again. */
const [enter, leave] = ['\x1b[?1049h\x1b[?25l', '\x1b[?25h\x1b[?1049l']
const [home, restOfLine, restOfScreen] = ['\x1b[H', '\x1b[K', '\x1b[J']

/**
 * Asks the running peer twice a second, until Ctrl-C: that is how it ends in order. A peer that stops is waited for.
 *
 * @throws {PeerNotRunningError} when none runs at the beginning. @throws the signal's reason.
 */
export async function watchStatus(
  { data, json }: { readonly data: string; readonly json?: boolean },
  { signal }: CommandContext
): Promise<void> {
  const screen = process.stdout.isTTY === true && json !== true ? new Screen() : undefined
  const told = new Told(json === true)
  let before: { readonly status: Status; readonly atMs: number } | undefined
  let status = await askStatus(data, { signal })
  screen?.open()
  try {
    for (;;) {
      const atMs = performance.now()
      if (screen === undefined) told.look(status)
      else screen.draw(status, before && { status: before.status, ms: atMs - before.atMs })
      before = { status, atMs }
      status = await nextStatus(data, signal, message => (screen ?? told).gone(message))
    }
  } catch (err) {
    if (signal.aborted && signal.reason instanceof InterruptedError && signal.reason.exitCode === 130) return
    throw err
  } finally {
    screen?.close()
  }
}

/** The status half a second from now, or when there is one again. @param onGone told why there is none */
async function nextStatus(dataDir: string, signal: AbortSignal, onGone: (message: string) => void): Promise<Status> {
  for (;;) {
    await delay(statusLookMs, undefined, { signal })
    try {
      return await askStatus(dataDir, { signal })
    } catch (err) {
      if (!(err instanceof PeerNotRunningError) || signal.aborted) throw err
      onGone(err.message)
    }
  }
}

/** Lines for whoever reads no screen. */
class Told {
  readonly #json: boolean
  #last = ''

  constructor(json: boolean) {
    this.#json = json
  }

  look(status: Status): void {
    if (this.#json) sayJson(status)
    else this.#tell(summaryOf(status))
  }

  gone(message: string): void {
    if (!this.#json) this.#tell(message)
  }

  /** What has not changed is not said again. */
  #tell(line: string): void {
    const news = withoutSpeeds(line)
    if (news === this.#last) return
    this.#last = news
    say(`${timeNow()} ${line}`)
  }
}

/** A terminal's other screen. */
class Screen {
  readonly #onResize = (): void => this.#redraw()
  #redraw: () => void = () => {}

  /** A second Ctrl-C ends the process at once: then, too, the terminal is as it was. */
  readonly #onExit = (): void => write(leave)

  open(): void {
    write(enter)
    process.once('exit', this.#onExit)
    process.stdout.on('resize', this.#onResize)
  }

  draw(status: Status, before: { readonly status: Status; readonly ms: number } | undefined): void {
    this.#redraw = () => {
      const { columns = 80, rows = 24 } = process.stdout
      const lines = swarmView({ status, before, time: timeNow(), columns, rows })
      // Each line is written over the one that was there, so that nothing flickers.
      write(home + lines.map(line => line + restOfLine).join('\r\n') + restOfScreen)
    }
    this.#redraw()
  }

  gone(message: string): void {
    this.#redraw = () => {
      const columns = process.stdout.columns ?? 80
      write(`${home}${message.slice(0, columns)}${restOfLine}${restOfScreen}`)
    }
    this.#redraw()
  }

  close(): void {
    process.stdout.off('resize', this.#onResize)
    process.off('exit', this.#onExit)
    write(leave)
  }
}

function timeNow(): string {
  return new Date().toTimeString().slice(0, 8)
}
