/** The files of a store by their digests: where each of them is, and whether it holds what its name says. */
import path from 'node:path'
import { stat } from '../disk/files.ts'
import { CorruptShardError } from '../errors.ts'
import type { Hashing } from './hash-service.ts'
import { corrupt, type NamedFile } from './named-files.ts'
import type { AnyModel } from './store.ts'
import { stateOf } from './store-files.ts'

export class ShardFiles {
  readonly #folders: readonly string[]
  readonly #hashing: Hashing
  /** Digest that a file had when it was last read whole; the key holds what changes when the file does. */
  readonly #digests = new Map<string, string>()
  /** The same of files that turned out to be damaged: they are not looked for any more. */
  readonly #damaged = new Map<string, string>()

  /** @param folders store folders, the first one looked at first */
  constructor(folders: readonly string[], hashing: Hashing) {
    this.#folders = folders
    this.#hashing = hashing
  }

  /** A file was just read whole, and had its digest: `state` is what `stateOf` says of it. */
  wasVerified(state: string, sha256: string): void {
    this.#digests.set(state, sha256)
  }

  /** Where a file is that has that size and was not found to be damaged; undefined when it is nowhere. */
  async find(file: { readonly sha256: string; readonly bytes: number }): Promise<string | undefined> {
    for (const folder of this.#folders) {
      const candidate = path.join(folder, 'shards', file.sha256)
      if (await this.has(candidate, file)) return candidate
    }
    return undefined
  }

  /** Whether a file has that size, and was not found to be damaged as it is. */
  async has(file: string, { bytes }: { readonly bytes: number }): Promise<boolean> {
    const found = await stat(file).catch(() => undefined)
    return found?.isFile() === true && found.size === bytes && !this.#damaged.has(stateOf(file, found))
  }

  /** Whether nothing here has that file's name, of whatever size. */
  async isAbsent({ sha256 }: NamedFile): Promise<boolean> {
    const found = await Promise.all(
      this.#folders.map(folder => stat(path.join(folder, 'shards', sha256)).catch(() => undefined))
    )
    return found.every(each => each === undefined)
  }

  /** @throws {CorruptShardError} that says whether the file is missing or has another size. */
  async missing(model: AnyModel, named: NamedFile): Promise<never> {
    const { label, bytes, sha256 } = named
    for (const folder of this.#folders) {
      const file = path.join(folder, 'shards', sha256)
      const found = await stat(file).catch(() => undefined)
      if (found === undefined) continue
      const actual = this.#damaged.get(stateOf(file, found))
      if (actual !== undefined) throw corrupt(model, named, file, actual)
      const { size } = found
      throw new CorruptShardError(
        `the ${label} of ${model.manifest.name} is damaged: ${file} has ${size} bytes, the manifest says ${bytes}`
      )
    }
    throw new CorruptShardError(
      `the ${label} of ${model.manifest.name} is missing: there is no file ${sha256} in ${this.#folders
        .map(folder => path.join(folder, 'shards'))
        .join(' or ')}`
    )
  }

  /**
   * Reads a file whole and compares its digest with the manifest's. One that this process has verified and that has not
   * changed since is not read again, unless `again`.
   *
   * @param at where it is. @default where it is found
   * @throws {CorruptShardError} @throws the signal's reason
   */
  async verify(
    model: AnyModel,
    file: NamedFile,
    { signal, again, at }: { signal: AbortSignal; again: boolean; at?: string }
  ): Promise<void> {
    signal.throwIfAborted()
    const found = at ?? (await this.find(file)) ?? (await this.missing(model, file))
    const key = stateOf(found, await stat(found))
    if (!again && this.#digests.get(key) === file.sha256) return
    const actual = await this.#hashing.whole(found, { signal })
    if (actual !== file.sha256) {
      this.#damaged.set(key, actual)
      throw corrupt(model, file, found, actual)
    }
    this.#digests.set(key, file.sha256)
  }
}
