/** What a model on a hub would be here, from its description alone: nothing of its weights is fetched. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ShardId } from '../base/ids.ts'
import { DownloadError, ImportError } from '../errors.ts'
import { describeModel, type DescribedModel } from './architectures/registry.ts'
import { checkpointTensors } from './architectures/tensors.ts'
import type { ModelConfig } from './decoder.ts'
import { chosenType, chosenWeights, type DtypeChoice } from './dtype-choice.ts'
import { keptAs } from './formats/gguf-blocks.ts'
import { huggingFaceTerms } from './formats/gguf-config.ts'
import { GgufMetadata } from './formats/gguf-metadata.ts'
import { type GgufHeader, readGgufHeader } from './formats/gguf.ts'
import { chooseGguf, type HubFile } from './hub-files.ts'
import { requiredJson } from './import-files.ts'
import { HubClient, type HubClientInit } from './import-hub-client.ts'
import { shardBytes } from './layout.ts'
import { importJsonBytesMax, tokenizerBytesMax } from './limits.ts'
import { type Manifest, manifestFormat, shardOrder } from './manifest.ts'
import type { Weights, WeightType } from './weight-types.ts'

/** Which model of a hub is looked at without fetching its weights. */
export interface SurveyInit extends Omit<HubClientInit, 'dir'> {
  /** As with `HubInit.file`. */
  readonly file?: string
  /** What the weights would be converted to. @default 'q8'; of a GGUF file, what they are */
  readonly weights?: DtypeChoice
}

/** What is known of a model that nobody has imported. */
export interface SurveyedModel {
  /**
   * What its manifest would be, but for digests, which are zeros, its tokenizer's ends, its template and its edge type. Of a GGUF file the
   * bytes of its tokenizer are those of the file's header.
   */
  readonly manifest: Manifest
  /** Bytes of the files with weights; undefined where the hub does not say. */
  readonly fetchBytes: number | undefined
}

/**
 * Asks a hub for a model's `config.json`, or for the header of its GGUF file.
 *
 * @throws {InvalidOptionError} when repo, revision, endpoint or token are malformed
 * @throws {DownloadError} when the hub cannot be reached, refuses, or has no such model
 * @throws {ImportError} when it is none that can be imported; the signal's reason
 */
export async function surveyHub(init: SurveyInit): Promise<SurveyedModel> {
  const dir = await mkdtemp(path.join(tmpdir(), 'skein-survey-'))
  try {
    const hub = new HubClient({ ...init, dir })
    const config = init.file === undefined ? await hub.describe('config.json', { needed: false }) : undefined
    const files = await hub.list()
    if (config === undefined) return await surveyGguf(hub, init, files)
    if (config.bytes > importJsonBytesMax) {
      throw new DownloadError(`${hub.label('config.json')} has ${config.bytes} bytes, more than ${importJsonBytesMax}`)
    }
    await hub.fetch('config.json', config, () => {})
    const file = path.join(dir, 'config.json')
    const described = describeModel(await requiredJson(file), hub.label('config.json'))
    const { weights: choice = 'q8' } = init
    const weights = await chosenWeights(choice, described.config, name => chosenType('q8', name, described.config)!)
    const tokenizer = await hub.describe('tokenizer.json', { needed: true })
    return {
      manifest: manifestOf(init, hub, described, described.config, weights, tokenizer!.bytes),
      fetchBytes: total(files.filter(({ name }) => /^[^/]+\.safetensors$/.test(name)))
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

async function surveyGguf(hub: HubClient, init: SurveyInit, files: readonly HubFile[]): Promise<SurveyedModel> {
  let chosen: readonly HubFile[]
  try {
    chosen = chooseGguf(files, init.file ?? '*', path.matchesGlob)
  } catch (err) {
    throw new DownloadError(`${init.repo} at revision ${hub.revision}: ${(err as Error).message}`)
  }
  const headers: GgufHeader[] = []
  for (const { name } of chosen) {
    const { bytes: size } = (await hub.describe(name, { needed: true }))!
    headers.push(
      await readGgufHeader({ file: hub.label(name), size, read: (offset, into) => hub.read(name, offset, into) })
    )
  }
  const header = { ...headers[0]!, tensors: headers.flatMap(({ tensors }) => tensors) }
  const terms = huggingFaceTerms(header, new GgufMetadata(header), {})
  const described = describeModel(terms.config, header.file)
  const config = terms.adapt(described.config)
  const types = new Map<string, WeightType>()
  const expected = checkpointTensors(config, terms.names(described.names))
  for (const { name, type } of header.tensors) {
    for (const { tensor, layer } of expected.get(terms.nameOf(name) ?? '')?.holds ?? []) {
      types.set(`${tensor} ${layer}`, keptAs(type) ?? 'q8-f16')
    }
  }
  const weights = await chosenWeights(init.weights ?? {}, config, (name, layer) => {
    const type = types.get(`${name} ${layer}`)
    if (type === undefined) throw new ImportError(`${header.file} lacks ${name} of layer ${layer}`)
    return type
  })
  const headerBytes = Math.min(...headers[0]!.tensors.map(({ offset }) => offset), tokenizerBytesMax)
  return { manifest: manifestOf(init, hub, described, config, weights, headerBytes), fetchBytes: total(chosen) }
}

function total(files: readonly HubFile[]): number | undefined {
  const bytes = files.reduce((sum, file) => sum + (file.bytes ?? Number.NaN), 0)
  return Number.isNaN(bytes) || files.length === 0 ? undefined : bytes
}

function manifestOf(
  { repo }: SurveyInit,
  { revision }: HubClient,
  { architecture, edge }: DescribedModel,
  config: ModelConfig,
  weights: Weights,
  tokenizerBytes: number
): Manifest {
  const none = '0'.repeat(64) as ShardId
  return {
    ...{ format: manifestFormat, name: repo.slice(repo.indexOf('/') + 1), architecture, config, weights, edge },
    ...{ bosId: null, eosIds: [], chatTemplate: null, licence: 'unknown', source: `${repo}@${revision}` },
    tokenizer: { bytes: tokenizerBytes, sha256: none, chunks: none },
    shards: shardOrder(config).map(place => ({
      ...place,
      bytes: shardBytes({ config, weights }, place),
      sha256: none,
      chunks: none
    }))
  }
}
