/**
 * A model into a store: a GGUF file (`import-gguf.ts`), or a Hugging Face directory: `config.json`, `*.safetensors`, `tokenizer.json` and, where they are,
 * `tokenizer_config.json` and `generation_config.json`. Everything that can be refused is refused before the
 * first weight is read.
 */
import path from 'node:path'
import { z } from 'zod'
import { stat } from '../disk/files.ts'
import { ImportError, InvalidManifestError, InvalidOptionError } from '../errors.ts'
import { describeModel, type DescribedModel } from './architectures/registry.ts'
import { checkpointTensors, isIgnoredTensor, namesIn } from './architectures/tensors.ts'
import { endsWrittenBy } from './chat.ts'
import type { ModelConfig } from './decoder.ts'
import { chosenType, chosenWeights, type DtypeChoice } from './dtype-choice.ts'
import { Checkpoint } from './import-checkpoint.ts'
import type { Comparer } from './import-comparison.ts'
import { optional, readWhole, requiredJson } from './import-files.ts'
import { openGguf } from './import-gguf.ts'
import { askTokenizer, comparedTexts, measuredTexts, type OpenedModel } from './import-tokenizer.ts'
import { type ImportProgress, writeModel } from './import-writer.ts'
import { importJsonBytesMax, tokenizerBytesMax } from './limits.ts'
import { shardBytes } from './layout.ts'
import { type EdgeType, type Manifest, shardOrder } from './manifest.ts'
import type { ModelStore, StoredModel } from './store.ts'
import type { Weights } from './weight-types.ts'

export interface ImportInit {
  /** Folder of the Hugging Face model, or a GGUF file. */
  readonly source: string
  readonly store: ModelStore
  /** 1-64 letters, digits, dots, dashes or underscores. */
  readonly name: string
  /** What weights are converted to, all or by kind. @default 'q8'; of a GGUF file, what they are */
  readonly weights?: DtypeChoice | undefined
  /** @default as models of the architecture usually take it */
  readonly edge?: EdgeType | ChooseEdge
  /** Why nobody could compute a model of this description, in one sentence. @default somebody can */
  readonly whyNot?: WhyNot | undefined
  /** Compares what is written with what was read, where a type may cost much. @default nobody does */
  readonly compare?: Comparer | undefined
  /** Licence as the manifest should give it. @default what the model card (README.md) says, else 'unknown' */
  readonly licence?: string
  /** Where the model is from, as the manifest should give it. @default the folder's name */
  readonly origin?: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: ImportProgress) => void
  /** Told, in a sentence, what of the model is not as its files may make one think. */
  readonly onNote?: ((note: string) => void) | undefined
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

/** Says why nobody could compute a model of this description, in one sentence; undefined where somebody can. */
export type WhyNot = (manifest: Manifest) => string | undefined | Promise<string | undefined>

/** Decides which edge type a model takes, when its shards have been written. @throws what ends the import */
export type ChooseEdge = (written: {
  /** Its edge is still to be chosen. */
  readonly manifest: Manifest
  /** A folder that holds the shards, each under its digest. */
  readonly shardDirectory: string
  /** Ids [tokens] of a few texts, as the model's tokenizer gives them. */
  readonly texts: readonly (readonly number[])[]
}) => Promise<EdgeType>

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
  const { source, store, name, edge, whyNot, givesWay, room, signal, onProgress } = init
  checkName(name)
  const found = await stat(source).catch(() => undefined)
  if (found === undefined) throw new ImportError(`there is no file or directory ${source}`)
  const { description, texts, compared, tensors, close } = await (found.isDirectory()
    ? openFolder(init)
    : openGguf(init))
  try {
    return await writeModel({
      store,
      description: { ...description, name, ...(typeof edge === 'string' ? { edge } : {}) },
      source: tensors,
      whyNot,
      ...(init.compare === undefined || compared === undefined
        ? {}
        : { comparison: { comparer: init.compare, texts: compared } }),
      ...(typeof edge === 'function' ? { chooseEdge: written => edge({ ...written, texts }) } : {}),
      givesWay,
      room,
      signal,
      onProgress
    })
  } catch (err) {
    // A manifest that its own check refuses was asked for by these files.
    if (err instanceof InvalidManifestError) throw new ImportError(`${source} cannot be imported: ${err.message}`)
    throw err
  } finally {
    await close()
  }
}

/** Reads everything of a Hugging Face folder but its weights. */
async function openFolder(init: ImportInit): Promise<OpenedModel> {
  const { source, signal } = init
  const configFile = path.join(source, 'config.json')
  const described = describeModel(await requiredJson(configFile), configFile)
  const tokenizerFile = path.join(source, 'tokenizer.json')
  const tokenizer = await readWhole(tokenizerFile, tokenizerBytesMax)
  if (tokenizer === undefined) {
    throw new ImportError(`there is no ${tokenizerFile}; a model needs its tokenizer in that format`)
  }
  const settings = await readSettings(init, tokenizer, described)

  const checkpoint = await Checkpoint.open(source)
  try {
    const tied = await isTied(checkpoint, described, signal)
    const config = { ...described.config, tiedEmbeddings: tied.isTied }
    if (settings.size > config.vocab) {
      throw new ImportError(
        `${tokenizerFile} has ids up to ${settings.size - 1}, but the embedding has ${config.vocab} rows (vocab_size)`
      )
    }
    if (settings.bosId !== null && settings.bosId >= config.vocab) {
      throw new ImportError(`${configFile}: bos_token_id ${settings.bosId} is beyond vocab_size ${config.vocab}`)
    }
    const isIgnored = (name: string): boolean => isIgnoredTensor(name, config)
    const names = namesIn([described.names, ...described.otherNames], part => checkpoint.hasInLayer(part))
    checkpoint.expect(checkpointTensors(config, names), isIgnored, described.architecture)
    for (const note of [...described.notes, ...tied.notes]) init.onNote?.(`${configFile}: ${note}`)
    const { architecture, edge } = described
    const { bosId, eosIds, chatTemplate, texts, compared } = settings
    const weights = await convertedTo(init.weights, config)
    const licence = init.licence ?? (await cardLicence(source)) ?? 'unknown'
    const origin = init.origin ?? path.basename(path.resolve(source))
    const own = { bosId, eosIds, tokenizer, chatTemplate, licence, source: origin }
    return {
      description: { architecture, config, weights, edge, ...own },
      texts,
      compared,
      tensors: checkpoint,
      close: () => checkpoint.close()
    }
  } catch (err) {
    await checkpoint.close()
    throw err
  }
}

/** What a checkpoint's weights become. */
function convertedTo(choice: DtypeChoice = 'q8', config: ModelConfig): Promise<Weights> {
  return chosenWeights(choice, config, name => chosenType('q8', name, config)!)
}

/**
 * Whether the output matrix is the embedding: where the config says so or there is no other, but not where there is another one that
 * differs, as transformers 5 has it.
 */
async function isTied(
  checkpoint: Checkpoint,
  { config }: DescribedModel,
  signal: AbortSignal
): Promise<{ readonly isTied: boolean; readonly notes: readonly string[] }> {
  const [embedding, output] = ['model.embed_tokens.weight', 'lm_head.weight']
  if (!checkpoint.has(output)) return { isTied: true, notes: [] }
  if (!config.tiedEmbeddings) return { isTied: false, notes: [] }
  if (!checkpoint.has(embedding) || (await checkpoint.isSame(embedding, output, signal))) {
    return { isTied: true, notes: [] }
  }
  const note = `tie_word_embeddings is true, but ${output} is another matrix than ${embedding}: it is used`
  return { isTied: false, notes: [note] }
}

/** @throws {InvalidOptionError} when a model cannot have this name */
export function checkName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return
  throw new InvalidOptionError(`a model's name has 1-64 letters, digits, dots, dashes or underscores, not '${name}'`)
}

/**
 * Bytes that an import of a Hugging Face directory will write, from its `config.json` and the size of its tokenizer alone: a bound,
 * as an output matrix may turn out to be tied.
 *
 * @throws {ImportError} when it describes no model that can be imported
 */
export async function importBytes(source: string, choice: DtypeChoice): Promise<number> {
  const configFile = path.join(source, 'config.json')
  const { config } = describeModel(await requiredJson(configFile), configFile)
  const weights = await convertedTo(choice, config)
  const shards = shardOrder(config).map(place => shardBytes({ config, weights }, place))
  const { size: tokenizerBytes } = await stat(path.join(source, 'tokenizer.json'))
  return shards.reduce((sum, bytes) => sum + bytes, tokenizerBytes)
}

interface Settings {
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  readonly chatTemplate: string | null
  /** One more than the tokenizer's largest id. */
  readonly size: number
  /** As with {@link OpenedModel}. */
  readonly texts: readonly (readonly number[])[]
  readonly compared: readonly (readonly number[])[] | undefined
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
 * `generation_config.json`, `config.json`, the tokenizer's EOS and the template together; whether a BOS is put in front from
 * `add_bos_token`, else from whether the tokenizer's own post-processor does.
 */
async function readSettings(init: ImportInit, bytes: Uint8Array, described: DescribedModel): Promise<Settings> {
  const { source } = init
  const settings = await optional(path.join(source, 'tokenizer_config.json'), tokenizerConfigSchema)
  const generation = await optional(path.join(source, 'generation_config.json'), generationConfigSchema)
  const chatTemplate = await readTemplate(source, settings?.chat_template)
  const own = await askTokenizer(bytes, `${path.join(source, 'tokenizer.json')} cannot`, init, async tokenizer => {
    const size = await tokenizer.size()
    const named = await tokenizer.id(settings?.bos_token ?? undefined)
    const id = named ?? described.bosId ?? listed(generation?.bos_token_id)[0]
    const addsBos = settings?.add_bos_token ?? (id !== undefined && (await tokenizer.putsInFront(id)))
    const bosId = addsBos ? (id ?? null) : null
    const eosId = await tokenizer.id(settings?.eos_token ?? undefined)
    const eosIds = [...listed(generation?.eos_token_id), ...described.eosIds, ...listed(eosId)]
    for (const end of endsWrittenBy(chatTemplate)) eosIds.push(...listed(await tokenizer.id(end)))
    const texts = await measuredTexts(tokenizer, bosId, described.config.contextMax)
    const compared = await comparedTexts(tokenizer, bosId, described.config, init)
    return { bosId, eosIds: [...new Set(eosIds)], size, texts, compared }
  })
  return { ...own, chatTemplate }
}

async function readTemplate(
  source: string,
  templates: z.infer<typeof tokenizerConfigSchema>['chat_template']
): Promise<string | null> {
  if (typeof templates === 'string') return templates
  const named = templates?.find(({ name }) => name === 'default')?.template
  if (named !== undefined) return named
  // Newer exports keep the template in a file of its own.
  const file = await readWhole(path.join(source, 'chat_template.jinja'), importJsonBytesMax)
  return file === undefined ? null : new TextDecoder().decode(file)
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
