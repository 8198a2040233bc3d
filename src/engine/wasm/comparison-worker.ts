/**
 * The thread that compares a model as it is stored with the same model in float32: it computes a few texts both ways, a layer at
 * a time, so that no more than one layer of each is in memory.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { failedReply, type ThreadAnswer } from '../../model/thread.ts'
import { compare, none, predict, sum } from '../divergence.ts'
import type { ComparisonAnswer, ComparisonJob, ComparisonRequest, Way } from './comparison-messages.ts'
import { CheckedModules } from './compile.ts'
import { setCompiler } from './compiler.ts'
import { formsHere } from './forms.ts'
import { headRowsMax } from './kernels.ts'
import { WasmSpan } from './span.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
setCompiler()
const port = parentPort
const { config, weights, shardDirectory, texts } = workerData as ComparisonJob
const forms = formsHere(() => performance.now())
const checked = new CheckedModules()
/** What the next layer is given of each text: ids, then hidden states [tokens, hidden]. The last token's successor is not known. */
const inputs: Record<Way, (Int32Array | Float32Array)[]> = { stored: idsOf(), reference: idsOf() }

port.on('message', (request: ComparisonRequest) => {
  void answer(request).then(
    value => port.postMessage({ kind: 'value', value } satisfies ThreadAnswer),
    error => port.postMessage(failedReply(error))
  )
})
port.postMessage({ kind: 'value', value: undefined } satisfies ThreadAnswer)

function idsOf(): Int32Array[] {
  return texts.map(ids => Int32Array.from(ids.slice(0, -1)))
}

async function answer({ layer, files }: ComparisonRequest): Promise<ComparisonAnswer> {
  const isLast = layer + 1 === config.layers
  const reference = await load(layer, files.reference, 'reference')
  inputs.reference = run(reference, inputs.reference)
  if (!isLast) reference.release()
  const stored = await load(layer, files.stored, 'stored')
  inputs.stored = run(stored, inputs.stored)
  const found = isLast ? predictions(reference, stored) : undefined
  stored.release()
  return found
}

function load(layer: number, shardLocations: ReadonlyMap<string, string>, way: Way): Promise<WasmSpan> {
  return WasmSpan.load({
    ...{ config, weights: weights[way], edge: 'f32', start: layer, end: layer + 1, shardLocations },
    ...{ source: { kind: 'folder', path: shardDirectory }, forms, checked }
  })
}

/** Hidden states [tokens, hidden] of each text behind the layer. */
function run(span: WasmSpan, before: readonly (Int32Array | Float32Array)[]): Float32Array[] {
  return before.map((input, i) => {
    const tokens = texts[i]!.length - 1
    const cache = span.open()
    try {
      const [out] = span.pass([{ cache, input, tokens, wanted: tokens }])
      if (out instanceof Error) throw out
      return out!
    } finally {
      cache.free()
    }
  })
}

/** Some rows at a time, so that logits of 262,144 tokens take some megabytes. */
function predictions(reference: WasmSpan, stored: WasmSpan): NonNullable<ComparisonAnswer> {
  let all = { stored: none, reference: none }
  for (const [i, text] of texts.entries()) {
    const rows = { reference: rowsOf(inputs.reference[i]!), stored: rowsOf(inputs.stored[i]!) }
    for (let from = 0; from < rows.stored.length; from += headRowsMax) {
      const expected: ReturnType<typeof predict>[] = []
      reference.eachLogits(rows.reference.slice(from, from + headRowsMax), logits => {
        expected.push(predict(logits.slice()))
      })
      stored.eachLogits(rows.stored.slice(from, from + headRowsMax), (logits, at) => {
        const [theirs, next] = [expected[at]!, text[from + at + 1]!]
        all = {
          stored: sum([all.stored, compare(theirs, predict(logits), next)]),
          reference: sum([all.reference, compare(theirs, theirs, next)])
        }
      })
    }
  }
  return all
}

function rowsOf(states: Int32Array | Float32Array): Float32Array[] {
  assert(states instanceof Float32Array, 'behind a layer there are hidden states')
  const { hidden } = config
  return Array.from({ length: states.length / hidden }, (_, t) => states.subarray(t * hidden, (t + 1) * hidden))
}
