/** `skein model` for graphs: what is said of one. */
import {
  type AnyModel,
  describePort,
  formatBytes,
  graphNeeds,
  type GraphPort,
  importGraph,
  InvalidOptionError,
  isStoredGraph,
  signersOf,
  type StoredGraph
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { signerRows } from './model-sign.ts'
import { type ImportFlags, type ModelFlags, roomFor, summary, totalBytes } from './model-facts.ts'
import { paint, say, sayJson, table } from './output.ts'

/**
 * Imports an ONNX file.
 *
 * @param given whether a flag stands on the command line
 * @throws {ImportError} {InvalidOptionError}, the signal's reason
 */
export async function graphImport(
  source: string,
  flags: ImportFlags & { readonly tokenizer?: string },
  given: (flag: string) => boolean,
  { signal }: CommandContext
): Promise<void> {
  const unused = ['dtype', 'edge'].find(given)
  if (unused !== undefined) {
    throw new InvalidOptionError(`--${unused} goes with models that continue text: a graph stays as it is`)
  }
  const { data, name, tokenizer, origin, licence } = flags
  const model = await importGraph({
    source,
    dataDir: data,
    name,
    givesWay: flags.givesWay === true,
    signal,
    ...(await roomFor(flags, { signal })),
    ...(tokenizer === undefined ? {} : { tokenizer }),
    ...(origin === undefined ? {} : { origin }),
    ...(licence === undefined ? {} : { licence })
  })
  if (flags.json) sayJson({ event: 'imported', ...graphSummary(model) })
  else say(`imported ${name}: ${describeGraph(model)}, id ${model.id}`)
}

/** `a graph, x (float32 [n, 4]) → y (float32 [n, 2]), 22.9 MB`. */
export function describeGraph(model: StoredGraph): string {
  const { inputs, outputs } = model.manifest
  return `a graph, ${described(inputs)} → ${described(outputs)}, ${formatBytes(totalBytes(model))}`
}

/** Rows of `skein model ls`, under a head of their own. */
export function graphRows(graphs: readonly StoredGraph[]): string[] {
  const rows = graphs.map(model => {
    const { name, inputs, outputs } = model.manifest
    const size = formatBytes(totalBytes(model))
    return [name, model.id.slice(0, 12), namesOf(inputs), namesOf(outputs), size]
  })
  return table([['graph', 'id', 'inputs', 'outputs', 'size'], ...rows])
}

/** As JSON says it of any model. */
export function anySummary(model: AnyModel): object {
  return isStoredGraph(model) ? graphSummary(model) : summary(model)
}

function graphSummary(model: StoredGraph): object {
  const { name, inputs, outputs } = model.manifest
  return { id: model.id, name, kind: 'graph', inputs, outputs, bytes: totalBytes(model), shipped: model.shipped }
}

/** Shows one graph: what it takes and gives. */
export async function showGraph(model: StoredGraph, { data, json }: ModelFlags): Promise<void> {
  const { manifest } = model
  if (json) {
    const [needs, { good: signers }] = [graphNeeds(manifest), await signersOf(data, model)]
    sayJson({ ...graphSummary(model), parameters: manifest.parameters, needs, signers, manifest })
    return
  }
  const { inputs, outputs, operators, parameters, tokenizer, licence, source, shards } = manifest
  say(paint('bold', manifest.name))
  const rows = [
    ['id', model.id],
    ['kind', 'a graph (ONNX): served whole, asked with skein infer'],
    ...ports('input', inputs),
    ...ports('output', outputs),
    ['parameters', parameters.toLocaleString('en-US')],
    ['operators', operators.map(({ domain, version }) => `${domain || 'ai.onnx'} ${version}`).join(', ')],
    ...(await signerRows(data, model)),
    ...needed(manifest),
    ['takes text', tokenizer === null ? 'no: it has no tokenizer' : 'yes: --text'],
    ['licence', licence],
    ['source', source],
    ['file', `${formatBytes(shards[0]!.bytes)}, ${shards[0]!.sha256}`]
  ]
  for (const line of table(rows)) say(`  ${line}`)
}

function needed(manifest: StoredGraph['manifest']): string[][] {
  const needs = graphNeeds(manifest)
  if ('refusal' in needs) return [['served by', `nobody: ${needs.refusal}`]]
  return [['one peer', `needs ${formatBytes(needs.wholeBytes)} of memory for it and its runs`]]
}

function ports(what: string, list: readonly GraphPort[]): string[][] {
  return list.map((port, i) => [i === 0 ? `${what}s` : '', `${port.name}: ${describePort(port)}`])
}

function described(list: readonly GraphPort[]): string {
  return list.length === 0 ? 'nothing' : list.map(port => `${port.name} (${describePort(port)})`).join(', ')
}

function namesOf(list: readonly GraphPort[]): string {
  return list.map(({ name }) => name).join(', ')
}
