/** A file of a model on its way into the store, from peers. */
import path from 'node:path'
import { copyFile, open, type OpenFile, rename, stat } from '../disk/files.ts'
import { syncPath } from '../disk/whole-file.ts'
import { CorruptShardError } from '../errors.ts'
import { chunkBytes } from './limits.ts'
import { sameBytes } from '../base/same-bytes.ts'
import { ChunkSet, chunkCount, chunkLength, digestOf } from './chunks.ts'
import type { Hashing } from './hash-service.ts'
import { partialPrefix } from './leftovers.ts'
import { hasSize, makeFolder, readFully, stateOf } from './store-files.ts'

interface PartialPlace {
  /** Where it is written, and gets its name. */
  readonly own: string
  /** All folders of shards, that one included. */
  readonly folders: readonly string[]
  readonly hashing: Hashing
  readonly onVerified: (state: string) => void
}

/** What whoever fetches a file does with it, whatever it is written to. */
export type IncomingFile = Pick<PartialFile, 'scan' | 'read' | 'write' | 'finish' | 'close'>

/** As with `ModelStore.openPartial`. */
export async function openPartial(
  file: { readonly bytes: number; readonly sha256: string },
  { own, folders, hashing, onVerified }: PartialPlace
): Promise<PartialFile> {
  await makeFolder(own)
  const partial = path.join(own, `${partialPrefix}${file.sha256}`)
  let begun = (await stat(partial).catch(() => undefined)) !== undefined
  if (!begun) {
    // Copied, not renamed: an engine may have the damaged file mapped.
    for (const folder of folders) {
      const damaged = path.join(folder, file.sha256)
      if (!(await hasSize(damaged, file))) continue
      await copyFile(damaged, partial)
      begun = true
    }
  }
  // Opening for appending makes the file, but writes at an offset need it open for updating.
  await (await open(partial, 'a')).close()
  const handle = await open(partial, 'r+')
  await handle.truncate(file.bytes)
  const final = path.join(own, file.sha256)
  return new PartialFile(handle, hashing, partial, final, file, begun, onVerified)
}

/** A file that comes in chunks, in any order. Ends with `finish` or `close`; after `close` it can be opened again. */
export class PartialFile {
  readonly #handle: OpenFile
  readonly #hashing: Hashing
  readonly #partial: string
  readonly #final: string
  readonly #file: { readonly bytes: number; readonly sha256: string }
  /** There were bytes of it when it was opened. */
  readonly #begun: boolean
  readonly #onVerified: (state: string) => void

  constructor(
    handle: OpenFile,
    hashing: Hashing,
    partial: string,
    final: string,
    file: { readonly bytes: number; readonly sha256: string },
    begun: boolean,
    onVerified: (state: string) => void
  ) {
    this.#handle = handle
    this.#hashing = hashing
    this.#partial = partial
    this.#final = final
    this.#file = file
    this.#begun = begun
    this.#onVerified = onVerified
  }

  /** Which chunks have the digest that the list gives: reads the file whole, so that no other record can be wrong. */
  async scan(list: Uint8Array, { signal }: { signal: AbortSignal }): Promise<ChunkSet> {
    const set = new ChunkSet(chunkCount(this.#file.bytes))
    if (!this.#begun) return set
    const found = await this.#hashing.chunks(this.#partial, { signal })
    for (let chunk = 0; chunk < set.chunks; chunk++) {
      if (sameBytes(digestOf(found.list, chunk), digestOf(list, chunk))) set.add(chunk)
    }
    return set
  }

  async read(chunk: number): Promise<Uint8Array> {
    return readFully(this.#handle, chunk * chunkBytes, chunkLength(this.#file.bytes, chunk))
  }

  async write(chunk: number, bytes: Uint8Array): Promise<void> {
    const offset = chunk * chunkBytes
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done)
      done += bytesWritten
    }
  }

  /**
   * Syncs it, reads it back for its digest and gives it its name, in the place of a damaged file of that name.
   *
   * @throws {CorruptShardError} when the digest is another: then the manifest contradicts itself
   */
  async finish({ signal }: { signal: AbortSignal }): Promise<void> {
    await this.#handle.sync()
    const sha256 = await this.#hashing.whole(this.#partial, { signal })
    if (sha256 !== this.#file.sha256) {
      throw new CorruptShardError(
        `every chunk of ${this.#file.sha256} has its digest, but the whole has ${sha256}: the manifest contradicts itself`
      )
    }
    await this.#handle.close()
    await rename(this.#partial, this.#final)
    await syncPath(path.dirname(this.#final))
    // What was just read whole need not be read again before it is used, as long as it does not change.
    this.#onVerified(stateOf(this.#final, await stat(this.#final)))
  }

  /** Keeps what has come. */
  async close(): Promise<void> {
    await this.#handle.close()
  }
}
