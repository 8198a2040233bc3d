/**
 * Fetches a model from a Hugging Face hub into a folder that `importModel` reads: a checkpoint in safetensors with what
 * belongs to it, or a GGUF file. What cannot be imported or has no room is refused before the first weight is fetched.
 */
import path from 'node:path'
import { filesBelow, mkdir, readStoredText, rm, statfs } from '../disk/files.ts'
import { formatBytes } from '../base/units.ts'
import { DiskBudgetError, DownloadError } from '../errors.ts'
import { importBytes } from './import.ts'
import { type Description, HubClient, type HubClientInit, sidecars } from './import-hub-client.ts'
import { chooseGguf, type HubFile } from './hub-files.ts'
import { alone } from './store-files.ts'
import { importJsonBytesMax, tokenizerBytesMax } from './limits.ts'
import { parseIndex } from './safetensors.ts'
import type { DtypeChoice } from './dtype-choice.ts'

export interface HubInit extends HubClientInit {
  /**
   * Which GGUF file is meant, by its path in the repository or the last part of that; may be a glob such as `*Q8_0.gguf`.
   * @default the safetensors; where there are none, the only GGUF file
   */
  readonly file?: string
  /** What the weights of safetensors will be converted to. @default 'q8' */
  readonly weights?: DtypeChoice
  /** As with `ImportInit.room`: asked for what the import will take, before the first weight is fetched. */
  readonly room?: (bytes: number) => Promise<void>
  readonly onProgress?: (progress: HubProgress) => void
}

/** How far fetching one file from a hub has come, in bytes. */
export interface HubProgress {
  readonly file: string
  /** Bytes that are here of the file. */
  readonly bytes: number
  readonly total: number
  /** The same of all files with weights, once it is known how large they are. */
  readonly weights?: { readonly bytes: number; readonly total: number }
}

/** A model that was fetched from a Hugging Face hub, ready to be imported. */
export interface HubModel {
  /** What to import: the folder, or the GGUF file in it (the first one of a split model). */
  readonly source: string
  readonly dir: string
  /** The commit that the files are of, where the hub names it; else the revision that was asked for. */
  readonly revision: string
  /** `owner/name@revision`: what a manifest should give as the model's source. */
  readonly origin: string
  readonly files: readonly string[]
}

/**
 * Fetches `config.json`, the tokenizer's files, `generation_config.json`, the model card (it names the licence) and
 * the safetensors files; or a GGUF file, of a split one all.
 *
 * @throws {InvalidOptionError} when repo, revision, endpoint or token are malformed
 * @throws {DownloadError} when the hub cannot be reached, refuses, lacks a needed file, or sends something else, and when
 *   another process fetches into the folder
 * @throws {DiskBudgetError} when the disk has no room for it
 * @throws {ImportError} when it is a model that cannot be imported
 * @throws the signal's reason when aborted
 */
export async function fetchFromHub(init: HubInit): Promise<HubModel> {
  const hub = new HubClient(init)
  await mkdir(path.join(init.dir, sidecars), { recursive: true, mode: 0o700 })
  // Two processes that write to one file spoil it.
  const claim = path.join(init.dir, sidecars, 'pid')
  const busy = (pid: number): Error =>
    new DownloadError(`process ${pid} is fetching ${init.repo} to ${init.dir}: wait until it is done`)
  return alone(claim, () => new HubFetch(init, hub).run(), { triesMax: 0, busy })
}

/** Removes a folder that was fetched, once what is in it was imported. */
export async function dropFetch(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true })
}

/** Removes a folder that a fetch into it has left without any file, or part of one. True when files are left. */
export async function dropEmptyFetch(dir: string): Promise<boolean> {
  const isKept = (await filesBelow(dir)).some(file => !/\.etag$|^pid$/.test(path.basename(file)))
  if (!isKept) await dropFetch(dir)
  return isKept
}

/** One fetch, from the small files to the weights. */
class HubFetch {
  readonly #init: HubInit
  readonly #hub: HubClient
  readonly #files: string[] = []

  constructor(init: HubInit, hub: HubClient) {
    this.#init = init
    this.#hub = hub
  }

  async run(): Promise<HubModel> {
    const { dir, repo, file } = this.#init
    const gguf = file === undefined ? await this.#checkpoint() : await this.#gguf(await this.#hub.list(), file)
    const { revision } = this.#hub
    return {
      source: gguf === undefined ? dir : path.join(dir, gguf),
      dir,
      revision,
      origin: `${repo}@${revision}`,
      files: this.#files
    }
  }

  /** The checkpoint in safetensors; where there is none, the only GGUF file, whose name it returns. */
  async #checkpoint(): Promise<string | undefined> {
    const { dir, weights = 'q8' } = this.#init
    const config = await this.#hub.describe('config.json', { needed: false })
    if (config === undefined) {
      // A list says what there is instead; a server without lists has said enough.
      const files = await this.#hub.list().catch(() => [])
      if (files.some(({ name }) => /\.gguf$/i.test(name))) return this.#gguf(files, '*')
    }
    await this.#small('config.json', importJsonBytesMax, { needed: true, described: config })
    await this.#small('tokenizer.json', tokenizerBytesMax, { needed: true })
    for (const name of ['tokenizer_config.json', 'generation_config.json', 'chat_template.jinja', 'README.md']) {
      await this.#small(name, importJsonBytesMax, { needed: false })
    }
    const bytes = await importBytes(dir, weights)
    const index = 'model.safetensors.index.json'
    const names = (await this.#small(index, importJsonBytesMax, { needed: false }))
      ? await this.#indexed(index)
      : ['model.safetensors']
    await this.#weights(names, bytes)
    return undefined
  }

  async #indexed(index: string): Promise<string[]> {
    const file = path.join(this.#init.dir, index)
    let json: unknown
    try {
      json = JSON.parse(await readStoredText(file, importJsonBytesMax))
    } catch {
      throw new DownloadError(`${this.#hub.label(index)} is not JSON`)
    }
    return [...new Set(parseIndex(json, file).values())]
  }

  async #gguf(files: readonly HubFile[], pattern: string): Promise<string> {
    let chosen: readonly HubFile[]
    try {
      chosen = chooseGguf(files, pattern, path.matchesGlob)
    } catch (err) {
      throw new DownloadError(`${this.#init.repo} at revision ${this.#hub.revision}: ${(err as Error).message}`)
    }
    // It stays as it is quantised, unless it is converted: then the import asks for what that takes.
    const bytes = chosen.reduce((sum, file) => sum + (file.bytes ?? 0), 0)
    await this.#weights(
      chosen.map(({ name }) => name),
      bytes
    )
    return chosen[0]!.name
  }

  /** Brings a small file; false when it is not there and not needed. */
  async #small(
    name: string,
    bytesMax: number,
    { needed, described: known }: { readonly needed: boolean; readonly described?: Description | undefined }
  ): Promise<boolean> {
    const described = known ?? (await this.#hub.describe(name, { needed }))
    if (described === undefined) return false
    const { bytes: total } = described
    if (total > bytesMax) throw new DownloadError(`${this.#hub.label(name)} has ${total} bytes, more than ${bytesMax}`)
    await this.#hub.fetch(name, described, bytes => this.#init.onProgress?.({ file: name, bytes, total }))
    this.#files.push(name)
    return true
  }

  /** @param importedBytes what the import of them will write */
  async #weights(names: readonly string[], importedBytes: number): Promise<void> {
    const { room, dir, onProgress } = this.#init
    const described = new Map<string, Description>()
    const here = new Map<string, number>()
    for (const name of names) {
      const description = (await this.#hub.describe(name, { needed: true }))!
      described.set(name, description)
      here.set(name, await this.#hub.have(name, description))
    }
    const sum = (values: Iterable<number>): number => [...values].reduce((total, bytes) => total + bytes, 0)
    const total = sum([...described.values()].map(({ bytes }) => bytes))
    await room?.(importedBytes)
    const { bavail, bsize } = await statfs(dir)
    const needed = total - sum(here.values()) + importedBytes
    if (needed > bavail * bsize) {
      throw new DiskBudgetError(
        `fetching and importing ${this.#init.repo} takes ${formatBytes(needed)} of disk, and ${dir} has room for ${formatBytes(bavail * bsize)}`
      )
    }
    for (const [file, description] of described) {
      await this.#hub.fetch(file, description, bytes => {
        here.set(file, bytes)
        onProgress?.({ file, bytes, total: description.bytes, weights: { bytes: sum(here.values()), total } })
      })
      this.#files.push(file)
    }
  }
}
