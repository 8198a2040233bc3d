/**
 * A Hugging Face directory into a store: `config.json`, `*.safetensors`, `tokenizer.json` and, where they are,
 * `tokenizer_config.json` and `generation_config.json`. Everything that can be refused is refused before the
 * first weight is read.
 */
import { type FileHandle, stat } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { openPlainFile, readPlainFile } from '../base/plain-file.ts'
import { ImportError, InvalidManifestError, InvalidOptionError } from '../errors.ts'
import { importJsonBytesMax, safetensorsFilesMax, tokenizerBytesMax } from './limits.ts'
import { type ImportProgress, type TensorSource, writeModel } from './import-writer.ts'
import { checkpointTensors, isIgnoredTensor, type LlamaConfig, parseLlamaConfig } from './llama-config.ts'
import type { ModelConfig } from './decoder.ts'
import type { EdgeType } from './manifest.ts'
import { type Dtype, dtypes } from './weight-types.ts'
import { decodeBF16, decodeF16 } from './half.ts'
import { elementBytes, headerBytes, parseHeader, parseIndex, type SafetensorsEntry } from './safetensors.ts'
import type { ModelStore, StoredModel } from './store.ts'
import { ImportedTokenizer } from './tokenizer-service.ts'

export interface ImportInit {
  /** Folder of the Hugging Face model. */
  readonly source: string
  readonly store: ModelStore
  /** 1-64 letters, digits, dots, dashes or underscores. */
  readonly name: string
  readonly weights: Dtype
  /** @default 'f16' */
  readonly edge?: EdgeType
  /** Licence as the manifest should give it. @default what the model card (README.md) says, else 'unknown' */
  readonly licence?: string
  /** Where the model is from, as the manifest should give it. @default the folder's name */
  readonly origin?: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: ImportProgress) => void
  /** Whether its files may be removed where a disk budget needs room. @default false: what was imported is kept */
  readonly givesWay?: boolean
  /**
   * Asked once for room for so many bytes, before the first file is written. @default there is room
   * @throws what ends the import
   */
  readonly room?: (bytes: number) => Promise<void>
  /** Time for each question to the tokenizer, which is read in a thread. @default tokenizerMs */
  readonly tokenizerDeadlineMs?: number
}

/**
 * Imports a model. Nothing has a name in the store before it is whole, so an interrupted import leaves nothing
 * broken, and importing the same content again gives the same id.
 *
 * @throws {ImportError} when a file is missing, truncated or malformed, when the model is of a kind that cannot be
 *   computed exactly, or when the name belongs to another model
 * @throws {InvalidOptionError} when the name is none
 * @throws the signal's reason when aborted
 */
export async function importModel(init: ImportInit): Promise<StoredModel> {
  const { source, store, name, weights, edge = 'f16', signal, onProgress } = init
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) {
    throw new InvalidOptionError(`a model's name has 1-64 letters, digits, dots, dashes or underscores, not '${name}'`)
  }
  const folder = await stat(source).catch(() => undefined)
  if (folder === undefined) throw new ImportError(`there is no directory ${source}`)
  if (!folder.isDirectory()) throw new ImportError(`${source} is no directory; give the folder with its config.json`)

  const configFile = path.join(source, 'config.json')
  const llama = parseLlamaConfig(await requiredJson(configFile), configFile)
  const tokenizerFile = path.join(source, 'tokenizer.json')
  const tokenizer = await readWhole(tokenizerFile, tokenizerBytesMax)
  if (tokenizer === undefined) {
    throw new ImportError(`there is no ${tokenizerFile}; a model needs its tokenizer in that format`)
  }
  const settings = await readSettings(init, tokenizer, llama)

  const checkpoint = await Checkpoint.open(source)
  try {
    const config = { ...llama.config, tiedEmbeddings: llama.config.tiedEmbeddings || !checkpoint.has('lm_head.weight') }
    if (settings.size > config.vocab) {
      throw new ImportError(
        `${tokenizerFile} has ids up to ${settings.size - 1}, but the embedding has ${config.vocab} rows (vocab_size)`
      )
    }
    if (settings.bosId !== null && settings.bosId >= config.vocab) {
      throw new ImportError(`${configFile}: bos_token_id ${settings.bosId} is beyond vocab_size ${config.vocab}`)
    }
    checkpoint.expect(config)
    return await writeModel({
      store,
      description: {
        name,
        architecture: 'llama',
        config,
        weights: dtypes[weights],
        edge,
        bosId: settings.bosId,
        eosIds: settings.eosIds,
        tokenizer,
        chatTemplate: settings.chatTemplate,
        licence: init.licence ?? (await cardLicence(source)) ?? 'unknown',
        source: init.origin ?? path.basename(path.resolve(source))
      },
      source: checkpoint,
      givesWay: init.givesWay,
      room: init.room,
      signal,
      ...(onProgress === undefined ? {} : { onProgress })
    })
  } catch (err) {
    // A manifest that its own check refuses was asked for by these files.
    if (err instanceof InvalidManifestError) throw new ImportError(`${source} cannot be imported: ${err.message}`)
    throw err
  } finally {
    await checkpoint.close()
  }
}

interface Settings {
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  readonly chatTemplate: string | null
  /** One more than the tokenizer's largest id. */
  readonly size: number
}

const tokenName = z.union([z.string(), z.looseObject({ content: z.string() }).transform(t => t.content)]).nullish()
const tokenizerConfigSchema = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  add_bos_token: z.boolean().nullish(),
  chat_template: z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]).nullish()
})
const idsSchema = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish()
const generationConfigSchema = z.looseObject({ bos_token_id: idsSchema, eos_token_id: idsSchema })

/**
 * BOS, EOS and chat template, each from the file that knows best: ids that end an answer from
 * `generation_config.json`, `config.json` and the tokenizer's EOS together; whether a BOS is put in front from
 * `add_bos_token`, else from whether the tokenizer's own post-processor does.
 */
async function readSettings(
  { source, name, signal, tokenizerDeadlineMs }: ImportInit,
  bytes: Uint8Array,
  llama: LlamaConfig
): Promise<Settings> {
  const settings = await optional(path.join(source, 'tokenizer_config.json'), tokenizerConfigSchema)
  const generation = await optional(path.join(source, 'generation_config.json'), generationConfigSchema)
  const tokenizer = new ImportedTokenizer(bytes, { name, signal, deadlineMs: tokenizerDeadlineMs })
  let own: Omit<Settings, 'chatTemplate'>
  try {
    const size = await tokenizer.size()
    const named = await tokenizer.id(settings?.bos_token ?? undefined)
    const bosId = named ?? llama.bosId ?? listed(generation?.bos_token_id)[0]
    const addsBos = settings?.add_bos_token ?? (bosId !== undefined && (await tokenizer.putsInFront(bosId)))
    const eosId = await tokenizer.id(settings?.eos_token ?? undefined)
    const eosIds = [...listed(generation?.eos_token_id), ...llama.eosIds, ...listed(eosId)]
    own = { bosId: addsBos ? (bosId ?? null) : null, eosIds: [...new Set(eosIds)], size }
  } catch (err) {
    signal.throwIfAborted()
    // It speaks of the model by name; who imports looks for the file.
    const reason = err instanceof InvalidManifestError && err.cause instanceof Error ? err.cause : (err as Error)
    throw new ImportError(`${path.join(source, 'tokenizer.json')} cannot be used: ${reason.message}`)
  } finally {
    await tokenizer.close()
  }

  let chatTemplate: string | null = null
  const templates = settings?.chat_template
  if (typeof templates === 'string') chatTemplate = templates
  else if (Array.isArray(templates)) chatTemplate = templates.find(t => t.name === 'default')?.template ?? null
  if (chatTemplate === null) {
    // Newer exports keep the template in a file of its own.
    const file = await readWhole(path.join(source, 'chat_template.jinja'), importJsonBytesMax)
    if (file !== undefined) chatTemplate = new TextDecoder().decode(file)
  }
  return { ...own, chatTemplate }
}

/** `license:` in the front matter of the model card; undefined when there is none. */
async function cardLicence(source: string): Promise<string | undefined> {
  const card = await readWhole(path.join(source, 'README.md'), importJsonBytesMax)
  if (card === undefined) return undefined
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(new TextDecoder().decode(card))?.[1]
  return /^license:[ \t]*['"]?([\w.+-]{1,64})['"]?[ \t]*\r?$/m.exec(frontMatter ?? '')?.[1]
}

function listed(value: number | number[] | null | undefined): number[] {
  return value === null || value === undefined ? [] : [value].flat()
}

interface Place {
  readonly file: string
  readonly handle: FileHandle
  readonly entry: SafetensorsEntry
}

/** The tensors of a directory's safetensors files, read by rows. */
class Checkpoint implements TensorSource {
  readonly #source: string
  readonly #handles: FileHandle[] = []
  readonly #tensors = new Map<string, Place>()
  /** Checkpoint name of (tensor, layer). */
  readonly #names = new Map<string, string>()
  #raw = new ArrayBuffer(0)

  private constructor(source: string) {
    this.#source = source
  }

  /** @throws {ImportError} when there is no safetensors file, or one is truncated or malformed */
  static async open(source: string): Promise<Checkpoint> {
    const checkpoint = new Checkpoint(source)
    try {
      const indexFile = path.join(source, 'model.safetensors.index.json')
      const single = path.join(source, 'model.safetensors')
      const index = await readJson(indexFile)
      if (index !== undefined) {
        const map = parseIndex(index, indexFile)
        const files = new Set(map.values())
        if (files.size > safetensorsFilesMax) {
          throw new ImportError(`${indexFile} names ${files.size} files, at most ${safetensorsFilesMax} are read`)
        }
        for (const file of files) await checkpoint.#add(path.join(source, file), indexFile)
        for (const [name, file] of map) {
          const place = checkpoint.#tensors.get(name)
          if (place?.file !== path.join(source, file)) {
            throw new ImportError(`${indexFile} says that ${name} is in ${file}, but it is not`)
          }
        }
      } else {
        await checkpoint.#add(single, undefined)
      }
      return checkpoint
    } catch (err) {
      await checkpoint.close()
      throw err
    }
  }

  async #add(file: string, index: string | undefined): Promise<void> {
    let handle: FileHandle
    let size: number
    try {
      ;({ handle, size } = await openPlainFile(file))
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw unreadable(file, err)
      throw new ImportError(
        index === undefined
          ? `there is no ${file} and no model.safetensors.index.json beside it; only safetensors can be imported`
          : `${index} names ${path.basename(file)}, but that file is not there`
      )
    }
    this.#handles.push(handle)
    const first = new Uint8Array(8)
    await readAt(handle, first.subarray(0, Math.min(8, size)), 0, file)
    const header = new Uint8Array(headerBytes(first, size, file))
    await readAt(handle, header, 8, file)
    for (const [name, entry] of parseHeader(header, size, file)) {
      if (this.#tensors.has(name)) throw new ImportError(`${file}: tensor ${name} is in another file as well`)
      this.#tensors.set(name, { file, handle, entry })
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  /** @throws {ImportError} when a tensor is missing, unknown or has another shape than the config says */
  expect(config: ModelConfig): void {
    const expected = checkpointTensors(config)
    for (const [name, { tensor, layer, shape }] of expected) {
      const place = this.#tensors.get(name)
      if (place === undefined) throw new ImportError(`${this.#source} has no tensor ${name}`)
      const actual = place.entry.shape
      if (actual.length !== shape.length || actual.some((size, i) => size !== shape[i])) {
        throw new ImportError(
          `${place.file}: tensor ${name} has the shape [${actual.join(', ')}], the config needs [${shape.join(', ')}]`
        )
      }
      this.#names.set(`${tensor} ${layer}`, name)
    }
    for (const [name, { file }] of this.#tensors) {
      if (!expected.has(name) && !isIgnoredTensor(name, config)) {
        throw new ImportError(`${file} has a tensor ${name} that a llama of this config does not have`)
      }
    }
  }

  async read(tensor: string, layer: number | null, row: number, into: Float32Array): Promise<void> {
    const { file, handle, entry } = this.#tensors.get(this.#names.get(`${tensor} ${layer}`)!)!
    const { type, shape, offset } = entry
    const inputs = shape.at(-1)!
    const size = elementBytes[type]
    const bytes = into.length * size
    if (type === 'F32') {
      await readAt(handle, new Uint8Array(into.buffer, into.byteOffset, bytes), offset + row * inputs * size, file)
      return
    }
    if (this.#raw.byteLength < bytes) this.#raw = new ArrayBuffer(bytes)
    await readAt(handle, new Uint8Array(this.#raw, 0, bytes), offset + row * inputs * size, file)
    const bits = new Uint16Array(this.#raw, 0, into.length)
    if (type === 'F16') decodeF16(bits, into)
    else decodeBF16(bits, into)
  }

  async close(): Promise<void> {
    await Promise.all(this.#handles.splice(0).map(handle => handle.close()))
  }
}

/** Fills `into` from an offset. @throws {ImportError} when the file ends before or cannot be read */
async function readAt(handle: FileHandle, into: Uint8Array, offset: number, file: string): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await handle.read(into, done, into.length - done, offset + done).catch(err => {
      throw unreadable(file, err)
    })
    if (bytesRead === 0) {
      throw new ImportError(
        `${file} is truncated: it ends at ${offset + done}, ${offset + into.length} bytes are needed`
      )
    }
    done += bytesRead
  }
}

/** A small file whole; undefined when it is not there. @throws {ImportError} when it is too large or unreadable */
async function readWhole(file: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    return await readPlainFile(file, bytesMax)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(file, err)
  }
}

async function readJson(file: string): Promise<unknown> {
  const bytes = await readWhole(file, importJsonBytesMax)
  if (bytes === undefined) return undefined
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch {
    // The parser's own sentence shows how the file begins: it may be one that nobody should see.
    throw new ImportError(`${file} is not JSON`)
  }
}

async function requiredJson(file: string): Promise<unknown> {
  const json = await readJson(file)
  if (json === undefined) throw new ImportError(`there is no ${file}; give a Hugging Face model's folder`)
  return json
}

async function optional<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const json = await readJson(file)
  if (json === undefined) return undefined
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new ImportError(`${file}: ${issue.path.map(String).join('.') || 'it'}: ${issue.message}`)
}

function unreadable(file: string, err: unknown): ImportError {
  return new ImportError(`${file} cannot be read: ${(err as Error).message}`)
}
