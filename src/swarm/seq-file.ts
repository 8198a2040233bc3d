/** The last seq that this peer used, so that a restart goes on above it even when the clock went back. */
import { readStoredText } from '../disk/files.ts'
import type { Keeping } from '../disk/keeping.ts'
import { ownFileBytesMax } from './limits.ts'

export class SeqFile {
  readonly #path: string
  readonly #keeping: Keeping
  #next: number | undefined
  #writing: Promise<void> | undefined

  constructor(path: string, keeping: Keeping) {
    this.#path = path
    this.#keeping = keeping
  }

  /** 0 when there is none, or none that can be read: neighbours tell a peer the seq that it forgot. */
  async read(): Promise<number> {
    const text = await readStoredText(this.#path, ownFileBytesMax).catch(() => '')
    const seq = Number(text.trim() === '' ? Number.NaN : text)
    return Number.isSafeInteger(seq) && seq > 0 ? seq : 0
  }

  /** Saves a seq in the background; of several in a row the last is what counts. */
  save(seq: number): void {
    this.#next = seq
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when everything is saved. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      const seq = this.#next
      this.#next = undefined
      await this.#keeping.write('the number of its newest record', this.#path, `${seq}\n`)
    }
  }
}
