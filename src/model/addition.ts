/** Files of a model on their way into the store, from an import. */
import path from 'node:path'
import type { ShardId } from '../base/ids.ts'
import { open, type OpenFile, rename, rm, stat } from '../disk/files.ts'
import { appendLines } from '../disk/lines.ts'
import { CorruptShardError } from '../errors.ts'
import type { Hashing } from './hash-service.ts'

/** A file that was written whole and checked: its place and what it holds. */
export interface StoredFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: ShardId
  /** Digest of its chunk list (`chunks.ts`). */
  readonly chunks: string
}

/**
 * The files of one model on their way in. A journal beside them lists what is new, so that a process that opens
 * the store later can clear up after one that was killed.
 */
export class Addition {
  readonly #hashing: Hashing
  readonly #file: string
  readonly #temporary: () => string
  readonly #removeUnlisted: (digests: readonly string[]) => Promise<void>
  readonly #added: string[] = []

  constructor(
    hashing: Hashing,
    file: string,
    temporary: () => string,
    removeUnlisted: (digests: readonly string[]) => Promise<void>
  ) {
    this.#hashing = hashing
    this.#file = file
    this.#temporary = temporary
    this.#removeUnlisted = removeUnlisted
  }

  /** Makes a file of known size to be written at any offset; it has no final name until `finish`. */
  async create(bytes: number): Promise<PendingFile> {
    const temporary = this.#temporary()
    const handle = await open(temporary, 'wx+')
    try {
      await handle.truncate(bytes)
    } catch (err) {
      await handle.close()
      await rm(temporary, { force: true })
      throw err
    }
    return new PendingFile(handle, this.#hashing, temporary, bytes, async sha256 => {
      // Written before the file gets its name: a journal may list a file that never came, but not miss one.
      this.#added.push(sha256)
      await appendLines(this.#file, [sha256])
    })
  }

  /** Puts bytes under their digest. */
  async putBytes(bytes: Uint8Array, { signal }: { signal: AbortSignal }): Promise<StoredFile> {
    const file = await this.create(bytes.length)
    try {
      await file.write(bytes, 0)
      return await file.finish({ signal })
    } catch (err) {
      await file.discard()
      throw err
    }
  }

  /** Keeps everything: the manifest that lists it has been put. */
  async commit(): Promise<void> {
    await rm(this.#file, { force: true })
  }

  /** Removes what was new, but for what another model has come to list. */
  async rollBack(): Promise<void> {
    await this.#removeUnlisted(this.#added)
    await this.commit()
  }
}

/** A file being written. Ends with `finish` or `discard`. */
export class PendingFile {
  readonly #handle: OpenFile
  readonly #hashing: Hashing
  readonly #temporary: string
  readonly #bytes: number
  readonly #onNew: (sha256: ShardId) => Promise<void>
  #open = true

  constructor(
    handle: OpenFile,
    hashing: Hashing,
    temporary: string,
    bytes: number,
    onNew: (sha256: ShardId) => Promise<void>
  ) {
    this.#handle = handle
    this.#hashing = hashing
    this.#temporary = temporary
    this.#bytes = bytes
    this.#onNew = onNew
  }

  /** Where it lies until it gets its final name. */
  get file(): string {
    return this.#temporary
  }

  /** Writes bytes at an offset; what is never written is zero. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done)
      done += bytesWritten
    }
  }

  /**
   * Syncs the file, reads it back for its digest and gives it that name. Replaces a file of that name: whatever
   * that one has become, this one is right, and whoever has mapped the old one keeps it.
   *
   * @throws {CorruptShardError} when `expected` is given and not met
   */
  async finish({ signal, expected }: { signal: AbortSignal; expected?: ShardId }): Promise<StoredFile> {
    // First: of a sealed file the last chunk that was written may be in memory yet.
    await this.#handle.sync()
    const { sha256, chunks } = await this.#hashing.chunks(this.#temporary, { signal })
    if (expected !== undefined && sha256 !== expected) {
      throw new CorruptShardError(`received bytes have the SHA-256 ${sha256}, the manifest says ${expected}`)
    }
    this.#open = false
    await this.#handle.close()
    const file = path.join(path.dirname(this.#temporary), sha256)
    if ((await stat(file).catch(() => undefined)) === undefined) await this.#onNew(sha256)
    await rename(this.#temporary, file)
    return { path: file, bytes: this.#bytes, sha256, chunks }
  }

  /** Removes the file; nothing after `finish`. */
  async discard(): Promise<void> {
    if (this.#open) {
      this.#open = false
      // What a full disk has no room for any more is not wanted.
      await this.#handle.close().catch(() => {})
    }
    await rm(this.#temporary, { force: true })
  }
}
