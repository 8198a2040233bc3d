/** Progress at the bottom of a terminal: one line that is drawn anew, and gives way to lines that stay. */
import type { WriteStream } from 'node:tty'
import { forTerminal } from '../index.ts'

/** Cells of a bar. */
const cells = 24

/** `████▌░░░  45 %`: how much of a whole is done. */
export function progressBar(done: number, total: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 1
  const full = Math.floor(share * cells)
  return `${'█'.repeat(full)}${'░'.repeat(cells - full)} ${String(Math.floor(100 * share)).padStart(3)} %`
}

/** A line that is drawn anew where `stream` is a terminal, and nowhere else. */
export class ProgressLine {
  readonly #stream: WriteStream | NodeJS.WriteStream
  #shown = ''

  constructor(stream: WriteStream | NodeJS.WriteStream = process.stderr) {
    this.#stream = stream
  }

  /** @param text one line, which is cut where the terminal ends; empty for none */
  show(text: string): void {
    if (this.#stream.isTTY !== true) return
    const line = forTerminal(text)
      .replace(/[\n\t]/g, ' ')
      .slice(0, Math.max(1, (this.#stream.columns || 80) - 1))
    if (line === this.#shown) return
    this.#stream.write(`\r\x1b[K${line}`)
    this.#shown = line
  }

  /** Makes room for a line that stays; the next {@link show} draws again. */
  clear(): void {
    this.show('')
  }
}
