/**
 * What the ways to store weights cost in quality: predictions of real models, imported in several ways from one GGUF file, beside
 * those of the same file as float32. Three texts of 384 tokens, the end of a longer one, and transformers' greedy answers, each id after
 * theirs.
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { spanOf } from '../../src/engine/span-of.ts'
import { setCompiler } from '../../src/engine/wasm/compiler.ts'
import { formsHere } from '../../src/engine/wasm/forms.ts'
import { WasmSpan } from '../../src/engine/wasm/span.ts'
import { openGguf } from '../../src/model/import-gguf.ts'
import { writeModel } from '../../src/model/import-writer.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import { dtypes, partsOfLayer, type Weights, weightsLabel } from '../../src/model/weight-types.ts'
import { type RealModel, realModel, whyNoModel } from '../real-models.ts'
import { compare, type Divergence, perplexity, type Prediction, predict, sum } from '../../src/engine/divergence.ts'
import type { Llama } from './llama.ts'
import { exportGguf } from './llama-gguf.ts'
import { root } from './models.ts'
import type { Figure, Row } from './report.ts'

export interface QualityInit {
  /** A folder for what is imported: SmolLM2-135M takes 1 GB, with `large` 4 GB more. */
  readonly scratch: string
  /** The larger models, too, where they are here. */
  readonly large: boolean
  /** Computes some of the same weights, where it is installed. */
  readonly llama: Llama | undefined
  readonly signal: AbortSignal
}

/** Copies of the front page and of a source file, so that figures stay comparable when those change; and the licence. */
const textFiles = ['LICENSE-APACHE', 'test/bench/texts/readme.txt', 'test/bench/texts/code.txt'] as const
const textTokens = 384
/** Beyond the windows of models that have such, and of it so many at the end are predicted. */
const longTokens = 1_280
const longPredicted = 128

/** What makes predictions, of which several are compared. */
interface Form {
  readonly name: string
  /** For people: how large its weights are. */
  readonly how: string
  /**
   * Has `use` see the logits [vocab] after each of the last `count` ids, in their order; `use` may keep nothing of them.
   * @param ids [tokens] of a text from its beginning on
   */
  eachLogits(ids: readonly number[], count: number, use: (logits: Float32Array, index: number) => void): Promise<void>
  close(): Promise<void>
}

interface Asked {
  readonly label: string
  readonly file: string
  /** By name, the types of its weights; undefined: as the file has them. Float32 comes first. */
  readonly ways: ReadonlyMap<string, Weights | undefined>
  /** Those of which llama.cpp gets a file of the same weights. */
  readonly also: ReadonlyMap<string, string>
}

const asked: Readonly<Record<RealModel, Asked>> = {
  smol: {
    label: 'SmolLM2-135M-Instruct',
    file: realModel('smol'),
    ways: new Map<string, Weights | undefined>([
      ['f32', 'f32'],
      ['q8', dtypes.q8],
      ['q4', dtypes.q4],
      ['as the file has them', undefined],
      ['attention q8, feed-forward q4', attentionWider(30)]
    ]),
    also: new Map([
      ['q8', 'llama.cpp Q8_0'],
      ['q4', 'llama.cpp Q4_0']
    ])
  },
  qwen: { ...keptAlone('qwen'), label: 'Qwen2.5-Coder-0.5B-Instruct' },
  gemma: { ...keptAlone('gemma'), label: 'Gemma-3-270M' }
}

function keptAlone(name: RealModel): Omit<Asked, 'label'> {
  const ways = new Map<string, Weights | undefined>([
    ['f32', 'f32'],
    ['as the file has them', undefined]
  ])
  return { file: realModel(name), ways, also: new Map() }
}

/** Embedding and the products of attention at 8 bits, those of the feed-forward part at 4. */
function attentionWider(layers: number): Weights {
  const isAttention = (part: string): boolean => ['q', 'k', 'v', 'o'].includes(part)
  const types = partsOfLayer({ kinds: undefined }, 0).map(
    part => [part, isAttention(part) ? dtypes.q8 : dtypes.q4] as const
  )
  const each = Object.fromEntries(types)
  return { embedding: dtypes.q8, layers: Array.from({ length: layers }, () => each) }
}

/** Which models' predictions are compared, of those that are here. */
export function qualityModels(large: boolean): readonly RealModel[] {
  return large ? ['smol', 'qwen', 'gemma'] : ['smol']
}

export async function benchQuality(init: QualityInit): Promise<Row[]> {
  setCompiler()
  const rows: Row[] = []
  for (const name of qualityModels(init.large)) {
    if (whyNoModel(name) !== undefined) continue
    rows.push(...(await rowsOf(name, init)))
  }
  return rows
}

async function rowsOf(name: RealModel, init: QualityInit): Promise<Row[]> {
  const { label, file, ways, also } = asked[name]
  const store = await openStore({ own: path.join(init.scratch, `quality-${name}`) })
  const forms: Form[] = []
  try {
    const models: StoredModel[] = []
    for (const [way, weights] of ways) {
      const model = await stored(store, file, `${name}-${models.length}`, weights, init.signal)
      models.push(model)
      forms.push(await ourForm(way, model, await store.shardDirectory(model)))
      const theirs = also.get(way)
      if (theirs === undefined || init.llama === undefined) continue
      const gguf = path.join(init.scratch, `quality-${name}-${models.length}.gguf`)
      exportGguf(model.manifest, await store.shardDirectory(model), gguf)
      forms.push(await llamaForm(theirs, gguf, 'the same weights', init.llama))
    }
    if (init.llama !== undefined) forms.push(await llamaForm('llama.cpp, the file itself', file, '', init.llama))
    const tokenizer = await readFile(await store.tokenizerFile(models[0]!, init))
    const { encode } = textsOf(tokenizer, models[0]!)
    const texts = textFiles.map(each => encode(readFileSync(path.join(root, each), 'utf8'), textTokens))
    const found = await overTexts(forms, texts, textTokens - 1, init.signal)
    const long = encode(readFileSync(path.join(root, textFiles[0]), 'utf8'), longTokens + 1)
    const far = await overTexts(forms, [long], longPredicted, init.signal)
    return [
      ...[...forms.entries()].flatMap(([i, form]) => rowsOfForm(label, form, found[i]!, found[0]!)),
      ...[...forms.entries()].slice(1).map(([i, form]) => farRow(label, form, far[i]![0]!)),
      ...(await answerRows(label, forms, name, init.signal))
    ]
  } finally {
    await Promise.all(forms.map(form => form.close()))
  }
}

function textsOf(
  tokenizer: Uint8Array,
  { manifest }: StoredModel
): { encode(text: string, tokens: number): readonly number[] } {
  const loaded = loadTokenizer(tokenizer, manifest)
  return {
    encode(text, tokens) {
      const ids = loaded.encode(text).slice(0, tokens)
      if (ids.length < tokens) throw new Error(`a text has ${ids.length} tokens, ${tokens} are compared`)
      return ids
    }
  }
}

/** The model of a GGUF file, with its weights stored in one of the ways. Edges are float32: they are not what is compared. */
async function stored(
  store: ModelStore,
  file: string,
  name: string,
  weights: Weights | undefined,
  signal: AbortSignal
): Promise<StoredModel> {
  const init = { source: file, store, name, signal }
  // What is converted at all is converted from float32.
  const opened = await openGguf(weights === undefined ? init : { ...init, weights: 'f32' })
  try {
    const { description, tensors } = opened
    const own = { ...description, name, edge: 'f32', ...(weights === undefined ? {} : { weights }) } as const
    return await writeModel({ store, description: own, source: tensors, signal })
  } finally {
    await opened.close()
  }
}

async function ourForm(name: string, { manifest }: StoredModel, shardDirectory: string): Promise<Form> {
  const span = await WasmSpan.load({
    ...spanOf({ manifest, start: 0, end: manifest.config.layers, shardDirectory }),
    source: { kind: 'folder', path: shardDirectory },
    forms: formsHere(() => performance.now())
  })
  const megabytes = manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6
  return {
    name,
    how: `${weightsLabel(manifest.weights)}, ${megabytes.toFixed(1)} MB`,
    async eachLogits(ids, count, use) {
      const cache = span.open()
      try {
        const part = { cache, input: Int32Array.from(ids), tokens: ids.length, wanted: count }
        const [out] = span.pass([part])
        if (out instanceof Error) throw out
        const { hidden } = manifest.config
        const rows = Array.from({ length: count }, (_, i) => out!.subarray(i * hidden, (i + 1) * hidden))
        span.eachLogits(rows, use)
      } finally {
        cache.free()
      }
    },
    async close() {
      span.release()
    }
  }
}

async function llamaForm(name: string, file: string, how: string, llama: Llama): Promise<Form> {
  const model = await llama.load(file, { threads: 1, contextMax: 1_536 })
  return {
    name,
    how: `node-llama-cpp ${llama.version}${how === '' ? '' : `, ${how}`}`,
    async eachLogits(ids, count, use) {
      await model.begin()
      await model.eachLogits(ids, count, use)
    },
    close: () => model.close()
  }
}

/** Divergences from the first form over what is predicted after each of the last `count` tokens but one, by form and by text. */
async function overTexts(
  forms: readonly Form[],
  texts: readonly (readonly number[])[],
  count: number,
  signal: AbortSignal
): Promise<readonly (readonly Divergence[])[]> {
  const found = forms.map((): Divergence[] => [])
  for (const text of texts) {
    const ids = text.slice(0, -1)
    const references: Prediction[] = []
    for (const [i, form] of forms.entries()) {
      const parts: Divergence[] = []
      await form.eachLogits(ids, count, (logits, at) => {
        if (i === 0) references.push(predict(logits.slice()))
        const reference = references[at]!
        parts.push(compare(reference, i === 0 ? reference : predict(logits), text[ids.length - count + at + 1]!))
      })
      found[i]!.push(sum(parts))
      // A signal comes between two texts.
      await setImmediate()
      signal.throwIfAborted()
    }
  }
  return found
}

/** @param reference that of float32, by text */
function rowsOfForm(
  label: string,
  { name, how }: Form,
  found: readonly Divergence[],
  reference: readonly Divergence[]
): Row[] {
  const over = (value: (each: Divergence, reference: Divergence) => number): Figure => {
    const each = found.map((one, i) => value(one, reference[i]!))
    const all = value(sum(found), sum(reference))
    return { median: all, least: Math.min(...each), most: Math.max(...each), n: each.length }
  }
  const row = (what: string, unit: string, figure: Figure): Row => ({
    ...{ part: 'quality', what: `${label}, ${name}: ${what}`, unit, figure },
    how: `${how}; of all texts, and of single ones`
  })
  const above = (each: Divergence, f32: Divergence): number => 100 * (perplexity(each) / perplexity(f32) - 1)
  if (found === reference) return [row('perplexity', '', over(perplexity))]
  return [
    row('perplexity above that of f32', '%', over(above)),
    row(
      'KL(f32 ‖ it), a token',
      'mnat',
      over(({ kl, tokens }) => (1000 * kl) / tokens)
    ),
    row(
      'likeliest token as with f32',
      '%',
      over(({ same, tokens }) => (100 * same) / tokens)
    )
  ]
}

/** How near a form is to float32 where the context is long. */
function farRow(label: string, { name, how }: Form, { kl, tokens, same }: Divergence): Row {
  const perToken = (1000 * kl) / tokens
  return {
    ...{ part: 'quality', what: `${label}, ${name}: KL(f32 ‖ it) far on, a token`, unit: 'mnat' },
    figure: { median: perToken, least: perToken, most: perToken, n: 1 },
    how: `${how}; after ${longTokens - longPredicted} to ${longTokens} tokens: likeliest token the same ${same} of ${tokens} times`
  }
}

interface Answer {
  /** Ids. */
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}

/** How many ids of transformers' greedy answers in float32 are not the likeliest ones, each after theirs. */
async function answerRows(label: string, forms: readonly Form[], name: RealModel, signal: AbortSignal): Promise<Row[]> {
  const file = path.join(root, 'test/model/formats/answers.json')
  const answers = (JSON.parse(readFileSync(file, 'utf8')) as Record<RealModel, readonly Answer[]>)[name]
  const rows: Row[] = []
  for (const form of forms) {
    const shares: number[] = []
    let [other, all] = [0, 0]
    for (const { prompt, answer } of answers) {
      let others = 0
      await form.eachLogits([...prompt, ...answer.slice(0, -1)], answer.length, (logits, at) => {
        if (predict(logits).best !== answer[at]) others++
      })
      shares.push((100 * others) / answer.length)
      other += others
      all += answer.length
      await setImmediate()
      signal.throwIfAborted()
    }
    const figure = {
      median: (100 * other) / all,
      least: Math.min(...shares),
      most: Math.max(...shares),
      n: shares.length
    }
    const what = `${label}, ${form.name}: greedy ids that change`
    rows.push({ part: 'quality', what, unit: '%', figure, how: `${other} of ${all}, and of single answers` })
  }
  return rows
}
