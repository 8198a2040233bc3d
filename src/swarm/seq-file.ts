/** The last seq that this peer used, so that a restart goes on above it even when the clock went back. */
import { readFile, rename, writeFile } from 'node:fs/promises'

export class SeqFile {
  readonly #path: string
  #next: number | undefined
  #writing: Promise<void> | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** 0 when there is none, or none that can be read: neighbours tell a peer the seq that it forgot. */
  async read(): Promise<number> {
    const text = await readFile(this.#path, 'utf8').catch(() => '')
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
      // A full disk costs the memory of the seq, not the peer.
      await writeFile(`${this.#path}.new`, `${seq}\n`, { mode: 0o600 })
        .then(() => rename(`${this.#path}.new`, this.#path))
        .catch(() => {})
    }
  }
}
