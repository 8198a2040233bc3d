/**
 * What a running peer keeps on its disk for its next start. A disk that is full or fails costs what is kept, never the
 * peer: each kind of thing stays in memory, is told of once with the reason, and is written again when there is room.
 */
import { reasonOf } from '../base/reason.ts'
import { type WholeFileOptions, writeWhole } from './whole-file.ts'

/** What whoever has something to keep needs of it. */
export type Keeper = Pick<Keeping, 'write' | 'try' | 'failed' | 'warn'>

export class Keeping {
  readonly #onWarning: (message: string) => void
  /** Why, of each kind of thing that could not be written when it was last tried. */
  readonly #failing = new Map<string, string>()

  constructor(onWarning: (message: string) => void) {
    this.#onWarning = onWarning
  }

  /** What is not kept at this moment and why, a sentence each. */
  get problems(): readonly string[] {
    return [...this.#failing].map(([what, reason]) => sentence(what, reason))
  }

  /** Writes a file whole. False, and no error, where that is not possible now. */
  write(what: string, path: string, bytes: string | Uint8Array, options?: WholeFileOptions): Promise<boolean> {
    return this.try(what, () => writeWhole(path, bytes, options))
  }

  /** The same for what is written, or removed, in another way. */
  async try(what: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work()
    } catch (error) {
      this.failed(what, error)
      return false
    }
    this.#failing.delete(what)
    return true
  }

  /** Tells of something about what is kept that is mended already. */
  warn(message: string): void {
    this.#onWarning(message)
  }

  /** Tells of it, unless it has failed before and not been written since. */
  failed(what: string, error: unknown): void {
    const isNew = !this.#failing.has(what)
    const reason = reasonOf(error)
    this.#failing.set(what, reason)
    if (isNew) this.#onWarning(sentence(what, reason))
  }
}

function sentence(what: string, reason: string): string {
  return `${what} cannot be kept on disk and stays in memory: ${reason}`
}
