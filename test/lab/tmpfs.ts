/** A small file system of its own that a test can fill to the last byte. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why there can be none here, or undefined. */
export function whyNoTmpfs(): string | undefined {
  try {
    new Tmpfs(1 << 20).close()
  } catch {
    return 'a file system of its own needs root and mount'
  }
  return undefined
}

export class Tmpfs {
  /** A folder on it. */
  readonly path: string
  readonly #mount: string

  constructor(bytes: number) {
    this.#mount = mkdtempSync(join(tmpdir(), 'skein-tmpfs-'))
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'skein-test', this.#mount], { stdio: 'ignore' })
    } catch (error) {
      rmSync(this.#mount, { recursive: true })
      throw error
    }
    this.path = join(this.#mount, 'data')
    mkdirSync(this.path)
  }

  /** Leaves no room but for what it is told to leave. */
  fill({ leaving = 0 } = {}): void {
    const block = Buffer.alloc(4096)
    const open = (name: string): number => openSync(join(this.#mount, name), 'a')
    const spared = open('spared')
    for (let bytes = 0; bytes < leaving; bytes += block.length) writeSync(spared, block)
    const filler = open('filler')
    try {
      for (;;) if (writeSync(filler, block) < block.length) break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
    closeSync(filler)
    closeSync(spared)
    rmSync(join(this.#mount, 'spared'))
  }

  /** Gives the room back. */
  free(): void {
    rmSync(join(this.#mount, 'filler'), { force: true })
  }

  /** Lazily: what a process still has open there does not keep it. */
  close(): void {
    execFileSync('umount', ['-l', this.#mount], { stdio: 'ignore' })
    rmSync(this.#mount, { recursive: true })
  }
}
