/** `skein model show`: what a model is, and what it takes. */
import {
  type DtypeChoice,
  findModel,
  formatBytes,
  InvalidOptionError,
  isStoredGraph,
  type ModelConfig,
  modelContents,
  type ModelContents,
  modelNeeds,
  peersNeeded,
  type Manifest,
  signersOf,
  type StoredModel,
  surveyHub,
  weightsLabel
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { type ModelFlags, summary, totalBytes } from './model-facts.ts'
import { showGraph } from './model-graph.ts'
import { signerRows } from './model-sign.ts'
import { paint, say, sayJson, table } from './output.ts'

export interface ShowFlags extends ModelFlags {
  /** What each peer gives of its memory, in bytes. */
  readonly memory: number
  /** As with `pull`, of a model that is on a hub. */
  readonly dtype?: DtypeChoice
  readonly file?: string
  readonly revision?: string
}

/**
 * Shows one model: one that is here by its name, or one of a hub by `owner/name`, of which nothing but a description is fetched.
 *
 * @throws {UnknownModelError}, and what `surveyHub` throws
 */
export async function modelShow(name: string, flags: ShowFlags, { signal }: CommandContext): Promise<void> {
  if (name.includes('/')) {
    await showHub(name, flags, signal)
    return
  }
  const hubFlag = (['dtype', 'file', 'revision'] as const).find(each => flags[each] !== undefined)
  if (hubFlag !== undefined) throw new InvalidOptionError(`--${hubFlag} goes with a model of a hub: OWNER/NAME`)
  const found = await findModel(flags.data, name)
  if (isStoredGraph(found)) {
    await showGraph(found, flags)
    return
  }
  const model = found
  const { manifest } = model
  const contents = modelContents(manifest)
  if (flags.json) {
    const peers = peersNeeded(manifest, flags.memory) ?? null
    const needs = { ...modelNeeds(manifest), memoryBytes: flags.memory, peers }
    sayJson({ ...summary(model), ...contents, needs, signers: (await signersOf(flags.data, model)).good, manifest })
    return
  }
  say(paint('bold', manifest.name))
  const signed = await signerRows(flags.data, model)
  for (const line of table([...described(model, contents), ...signed, ...needed(model, flags.memory)])) say(`  ${line}`)
  say(`  shards (${formatBytes(totalBytes(model))}):`)
  const rows = manifest.shards.map(shard => [
    shard.role === 'layer' ? `layer ${shard.layer}` : shard.role,
    formatBytes(shard.bytes),
    shard.sha256
  ])
  for (const line of table(rows)) say(`    ${line}`)
}

async function showHub(repo: string, flags: ShowFlags, signal: AbortSignal): Promise<void> {
  const { dtype, file, revision, memory } = flags
  const { HF_TOKEN } = process.env
  const surveyed = await surveyHub({
    repo,
    signal,
    ...(dtype === undefined ? {} : { weights: dtype }),
    ...(file === undefined ? {} : { file }),
    ...(revision === undefined ? {} : { revision }),
    ...(HF_TOKEN === undefined || HF_TOKEN === '' ? {} : { token: HF_TOKEN })
  })
  const { manifest, fetchBytes } = surveyed
  const contents = modelContents(manifest)
  const bytes = totalBytes(surveyed)
  if (flags.json) {
    const { name, architecture, config, source } = manifest
    const needs = { ...modelNeeds(manifest), memoryBytes: memory, peers: peersNeeded(manifest, memory) ?? null }
    sayJson({ name, architecture, config, source, ...contents, bytes, fetchBytes: fetchBytes ?? null, needs })
    return
  }
  say(paint('bold', `${manifest.name}, which is not here`))
  const rows = [
    ...facts(manifest, contents, `weights ${weightsLabel(manifest.weights)}`),
    ['source', manifest.source],
    ['to fetch', fetchBytes === undefined ? 'the hub does not say' : formatBytes(fetchBytes)],
    ['on the disk', formatBytes(bytes)],
    ...needed(surveyed, memory)
  ]
  for (const line of table(rows)) say(`  ${line}`)
}

function described({ id, manifest }: StoredModel, contents: ModelContents): string[][] {
  const { weights, edge } = manifest
  return [
    ['id', id],
    ...facts(manifest, contents, `weights ${weightsLabel(weights)}, edges ${edge}`),
    ['chat template', manifest.chatTemplate === null ? 'none: it continues text' : 'yes'],
    ['licence', manifest.licence],
    ['source', manifest.source]
  ]
}

/** What is known of a model before its weights are. */
function facts(
  { architecture, config }: Manifest,
  { parameters, parametersPerToken, weightTypes }: ModelContents,
  precision: string
): string[][] {
  const { experts } = config
  const kinds = Object.entries(weightTypes)
  const isMixed = new Set(kinds.flatMap(([, types]) => types.map(({ type }) => type))).size > 1
  return [
    ['architecture', architecture],
    [
      'parameters',
      `${count(parameters)}${parametersPerToken === parameters ? '' : `, of which a token meets ${count(parametersPerToken)}`}`
    ],
    ['precision', precision],
    ...(isMixed ? kinds.map(([name, types]) => [`  ${name}`, spelt(types)]) : []),
    ['layers', `${config.layers}, hidden ${config.hidden}, intermediate ${config.intermediate}`],
    ...(experts === undefined
      ? []
      : [
          [
            'experts',
            `${experts.count} in a layer, of which a token takes ${experts.used}, intermediate ${experts.intermediate}`
          ]
        ]),
    ['attention', `${config.heads} heads of ${config.headDim}, ${config.kvHeads} for keys and values`],
    ...convolutions(config),
    ['vocabulary', `${config.vocab}${config.tiedEmbeddings ? ', output tied to the embedding' : ''}`],
    ['context', `${config.contextMax} tokens`]
  ]
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

/** What layers have in the place of attention. */
function convolutions({ kinds }: ModelConfig): string[][] {
  const lengths = kinds?.layers.flatMap(kind => kinds.of[kind]!.convolution?.length ?? []) ?? []
  return [...new Set(lengths)].map(length => [
    'convolutions',
    `over ${length} positions, in ${lengths.filter(each => each === length).length} layers in the place of attention`
  ])
}

function spelt(types: ModelContents['weightTypes'][string]): string {
  if (types.length === 1) return types[0]!.type
  return types.map(({ type, matrices }) => `${type} in ${matrices} layers`).join(', ')
}

/** What it takes of peers. */
function needed({ manifest }: Pick<StoredModel, 'manifest'>, memoryBytes: number): string[][] {
  const needs = modelNeeds(manifest)
  if ('refusal' in needs) return [['served by', `nobody: ${needs.refusal}`]]
  const { cacheBytesPerToken, beyond, i8CacheBytesPerToken, wholeBytes, layerBytes } = needs
  const i8 =
    i8CacheBytesPerToken === undefined ? '' : `, ${formatBytes(Math.ceil(i8CacheBytesPerToken))} with --cache i8`
  const peers = peersNeeded(manifest, memoryBytes)
  const each = `with ${formatBytes(memoryBytes)} each`
  return [
    ['cache', `${formatBytes(Math.ceil(cacheBytesPerToken))} per token${i8}`],
    ...(beyond === undefined
      ? []
      : [['', `${formatBytes(Math.ceil(beyond.cacheBytesPerToken))} for each beyond ${beyond.tokens} tokens`]]),
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
