/** `skein model show`: what a model is, and what it takes. */
import {
  findModel,
  formatBytes,
  isStoredGraph,
  modelContents,
  type ModelContents,
  modelNeeds,
  peersNeeded,
  type StoredModel,
  weightsLabel
} from '../index.ts'
import { type ModelFlags, summary, totalBytes } from './model-facts.ts'
import { showGraph } from './model-graph.ts'
import { paint, say, sayJson, table } from './output.ts'

export interface ShowFlags extends ModelFlags {
  /** What each peer gives of its memory, in bytes. */
  readonly memory: number
}

/** Shows one model. @throws {UnknownModelError} */
export async function modelShow(name: string, flags: ShowFlags): Promise<void> {
  const found = await findModel(flags.data, name)
  if (isStoredGraph(found)) {
    showGraph(found, flags)
    return
  }
  const model = found
  const { manifest } = model
  const contents = modelContents(manifest)
  if (flags.json) {
    const peers = peersNeeded(manifest, flags.memory) ?? null
    const needs = { ...modelNeeds(manifest), memoryBytes: flags.memory, peers }
    sayJson({ ...summary(model), ...contents, needs, manifest })
    return
  }
  say(paint('bold', manifest.name))
  for (const line of table([...described(model, contents), ...needed(model, flags.memory)])) say(`  ${line}`)
  say(`  shards (${formatBytes(totalBytes(model))}):`)
  const rows = manifest.shards.map(shard => [
    shard.role === 'layer' ? `layer ${shard.layer}` : shard.role,
    formatBytes(shard.bytes),
    shard.sha256
  ])
  for (const line of table(rows)) say(`    ${line}`)
}

function described({ id, manifest }: StoredModel, { parameters, weightTypes }: ModelContents): string[][] {
  const { config } = manifest
  const kinds = Object.entries(weightTypes)
  const isMixed = new Set(kinds.flatMap(([, types]) => types.map(({ type }) => type))).size > 1
  return [
    ['id', id],
    ['architecture', manifest.architecture],
    ['parameters', parameters.toLocaleString('en-US')],
    ['precision', `weights ${weightsLabel(manifest.weights)}, edges ${manifest.edge}`],
    ...(isMixed ? kinds.map(([name, types]) => [`  ${name}`, spelt(types)]) : []),
    ['layers', `${config.layers}, hidden ${config.hidden}, intermediate ${config.intermediate}`],
    ['attention', `${config.heads} heads of ${config.headDim}, ${config.kvHeads} for keys and values`],
    ['vocabulary', `${config.vocab}${config.tiedEmbeddings ? ', output tied to the embedding' : ''}`],
    ['context', `${config.contextMax} tokens`],
    ['chat template', manifest.chatTemplate === null ? 'none: it continues text' : 'yes'],
    ['licence', manifest.licence],
    ['source', manifest.source]
  ]
}

function spelt(types: ModelContents['weightTypes'][string]): string {
  if (types.length === 1) return types[0]!.type
  return types.map(({ type, matrices }) => `${type} in ${matrices} layers`).join(', ')
}

/** What it takes of peers. */
function needed({ manifest }: StoredModel, memoryBytes: number): string[][] {
  const needs = modelNeeds(manifest)
  if ('refusal' in needs) return [['served by', `nobody: ${needs.refusal}`]]
  const { cacheBytesPerToken, i8CacheBytesPerToken, wholeBytes, layerBytes } = needs
  const i8 =
    i8CacheBytesPerToken === undefined ? '' : `, ${formatBytes(Math.ceil(i8CacheBytesPerToken))} with --cache i8`
  const peers = peersNeeded(manifest, memoryBytes)
  const each = `with ${formatBytes(memoryBytes)} each`
  return [
    ['cache', `${formatBytes(Math.ceil(cacheBytesPerToken))} per token${i8}`],
    ['one peer', `needs ${formatBytes(wholeBytes)} of memory for all of it and one session`],
    [
      each,
      peers === undefined
        ? `no number of peers: one layer takes up to ${formatBytes(layerBytes)}`
        : peers === 1
          ? 'one peer is enough'
          : `${peers} peers are enough`
    ]
  ]
}
