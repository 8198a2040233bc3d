/** `skein model`: what models are in a data directory, into it and out of it. */
import {
  type AnyModel,
  formatBytes,
  InvalidManifestError,
  importModel,
  isStoredGraph,
  listGraphs,
  listModels,
  type ModelSigner,
  trustedSigners,
  removeModel,
  verifyModel,
  verifySignedModel,
  weightsLabel
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { anySummary, describeGraph, graphRows } from './model-graph.ts'
import { askRemoveModel, reachable } from './control-client.ts'
import { describeSigner } from './model-sign.ts'
import { type ImportFlags, type ModelFlags, roomFor, summary, totalBytes } from './model-facts.ts'
import { note, say, sayJson, table } from './output.ts'
import { ProgressLine, progressBar } from './progress.ts'

/** Imports a Hugging Face directory or a GGUF file. @throws {ImportError} and the signal's reason. */
export async function modelImport(source: string, flags: ImportFlags, { signal }: CommandContext): Promise<void> {
  const line = flags.json === true ? undefined : new ProgressLine()
  const notes: string[] = []
  let chosen = ''
  const model = await importModel({
    source,
    dataDir: flags.data,
    name: flags.name,
    ...(flags.dtype === undefined ? {} : { weights: flags.dtype }),
    edge: flags.edge,
    givesWay: flags.givesWay === true,
    check: flags.check,
    signal,
    ...(await roomFor(flags, { signal })),
    ...(flags.origin === undefined ? {} : { origin: flags.origin }),
    ...(flags.licence === undefined ? {} : { licence: flags.licence }),
    onProgress({ done, total, shard }) {
      if (flags.json) sayJson({ event: 'progress', done, total, shard })
      else line?.show(`${progressBar(done, total)}  ${done} of ${total} shards: ${shard}`)
    },
    onCheck({ done, total }) {
      if (flags.json) sayJson({ event: 'check', done, total })
      else line?.show(`${progressBar(done, total)}  ${done} of ${total} layers compared with what they were read from`)
    },
    onCost(cost) {
      if (flags.json) sayJson({ event: 'cost', ...cost })
    },
    onNote: sentence => void notes.push(sentence),
    onEdge({ edge, reach }) {
      if (flags.json) sayJson({ event: 'edge', edge, reach })
      else chosen = `, whose hidden states reach ${Math.round(reach).toLocaleString('en-US')} in a few texts`
    }
  }).finally(() => line?.clear())
  for (const sentence of notes) note(sentence)
  if (flags.json) sayJson({ event: 'imported', ...summary(model) })
  else say(`imported ${flags.name}: ${describe(model)}${chosen}, id ${model.id}`)
}

/** Lists models; of those that are here and cannot be used, says why. */
export async function modelLs(flags: ModelFlags): Promise<void> {
  const broken: string[] = []
  const models = await listModels(flags.data, { onBroken: ({ message }) => broken.push(message) })
  const graphs = await listGraphs(flags.data)
  if (flags.json) {
    for (const model of [...models, ...graphs]) sayJson(anySummary(model))
  } else if (models.length + graphs.length === 0) {
    note(`there is no model in ${flags.data}: skein model import adds one`)
  } else {
    const rows = models.map(model => [
      model.manifest.name,
      model.id.slice(0, 12),
      String(model.manifest.config.layers),
      weightsLabel(model.manifest.weights),
      model.manifest.edge,
      formatBytes(totalBytes(model)),
      model.shipped ? 'shipped with Skein' : ''
    ])
    for (const line of table([['name', 'id', 'layers', 'dtype', 'edge', 'size', ''], ...rows])) say(line)
    if (graphs.length > 0) for (const line of ['', ...graphRows(graphs)]) say(line)
  }
  for (const message of broken) note(`skein: warning: unusable: ${message}`)
}

export interface VerifyFlags extends ModelFlags {
  /** Whose signature each model must have: as {@link trustedSigners} takes them. */
  readonly signer?: readonly string[]
}

/**
 * Verifies one model, or all.
 *
 * @throws {InvalidKeyError} when a signer is no public key
 * @throws {ModelSignatureError} when a model is signed by none of them
 * @throws {CorruptShardError} that names the shard and both digests.
 * @throws {InvalidManifestError} that names, of all, the manifests that cannot be used.
 */
export async function modelVerify(
  name: string | undefined,
  flags: VerifyFlags,
  { signal }: CommandContext
): Promise<void> {
  const signers = flags.signer && (await trustedSigners(flags.signer, flags.data))
  const broken: string[] = []
  const onBroken = ({ message }: Error): void => void broken.push(message)
  const all = async (): Promise<string[]> =>
    [...(await listModels(flags.data, { onBroken })), ...(await listGraphs(flags.data))].map(({ id }) => id)
  const ids = name === undefined ? await all() : [name]
  for (const id of ids) {
    const { model, signer }: { readonly model: AnyModel; readonly signer?: ModelSigner } =
      signers === undefined
        ? { model: await verifyModel(flags.data, id, { signal }) }
        : await verifySignedModel(flags.data, id, { signers, signal })
    if (flags.json) sayJson({ event: 'verified', ...anySummary(model), ...(signer === undefined ? {} : { signer }) })
    else {
      const by = signer === undefined ? '' : `, and ${describeSigner(signer)} signed it`
      say(`${model.manifest.name}: every file has the digest that the manifest gives (${describe(model)})${by}`)
    }
  }
  if (broken.length > 0) throw new InvalidManifestError(`what cannot be used was not verified: ${broken.join('; ')}`)
}

/**
 * Removes one model, and says how much room that made.
 *
 * @throws {UnknownModelError} {InvalidOptionError} when there is none of that name or id, or it ships with Skein
 * @throws {ModelInUseError} when the peer that runs on the data directory serves it
 */
export async function modelRm(name: string, flags: ModelFlags, { signal }: CommandContext): Promise<void> {
  const isRunning = await reachable(flags.data)
  const removed = isRunning ? await askRemoveModel(flags.data, name, { signal }) : await removeModel(flags.data, name)
  const { unreadable, ...rest } = removed
  if (flags.json) sayJson({ event: 'removed', ...rest })
  else say(`removed ${removed.name}, id ${removed.id}: ${formatBytes(removed.bytesFreed)} freed`)
  if (unreadable.length > 0) {
    note(`skein: warning: its files stay until nothing is left that may list them: ${unreadable.join('; ')}`)
  }
}

function describe(model: AnyModel): string {
  if (isStoredGraph(model)) return describeGraph(model)
  const { config, weights, edge } = model.manifest
  return `${config.layers} layers, ${weightsLabel(weights)} with ${edge} edges, ${formatBytes(totalBytes(model))}`
}
