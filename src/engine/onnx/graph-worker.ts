/**
 * The process that runs one graph in ONNX Runtime. Graphs and inputs may be from anybody, and native code that divides by zero, runs
 * out of memory or never ends takes its whole process along, and cannot be ended from outside where it is a thread (`thread-end.ts`).
 */
import { Worker } from 'node:worker_threads'
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { assert } from '../../base/assert.ts'
import { reasonOf } from '../../base/reason.ts'
import { readFileSync } from '../../disk/files-sync.ts'
import { tensorsBytesMax } from '../../model/limits.ts'
import { readOnnxFile } from '../../model/onnx-file.ts'
import {
  bytesOfTensor,
  sumBytes,
  type Tensor,
  type TensorData,
  tensorOfBytes,
  type TensorType
} from '../../model/tensors.ts'
import type { GraphAsk, GraphLoad, GraphReply } from './graph-messages.ts'

/** A run that never ends hears of nothing; this thread does, when the process is left alone. */
const watch = `const parent = process.ppid
setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL') }, 1000)`

/** Of what the runtime says: it names what is wrong at the beginning. */
const runtimeWordsMax = 400

let session: InferenceSession | undefined

// An interrupt at a terminal goes to all processes of a peer: this one ends with the one that it belongs to.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {})
process.on('disconnect', () => process.exit())
process.on('message', (message: GraphLoad | GraphAsk) => {
  const done = message.kind === 'load' ? load(message) : run(message)
  done
    .catch((error: unknown): GraphReply => ({ kind: 'failed', message: sentenceOf(error) }))
    .then(reply => {
      process.send?.(reply)
    })
})
new Worker(watch, { eval: true, execArgv: [] }).unref()

async function load(ask: GraphLoad): Promise<GraphReply> {
  try {
    await open(ask)
    return { kind: 'loaded' }
  } catch (error) {
    // Who asks for a run from elsewhere is told why it cannot be loaded, and not where it lies here.
    return { kind: 'failed', message: sentenceOf(error, ask) }
  }
}

async function open({ file, name, threads, opens }: GraphLoad): Promise<void> {
  // Whoever made the manifest may have left out what the file says: it is looked at once more before a runtime reads it.
  readOnnxFile(file, name, opens)
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    // Threads that spin while they wait take the processor from the peer's own.
    extra: { session: { intra_op: { allow_spinning: '0' } } }
  }
  // One that is sealed is opened to memory, where the runtime has it a second time until it is loaded.
  session =
    opens === undefined
      ? await InferenceSession.create(file, options)
      : await InferenceSession.create(readFileSync(file, opens), options)
}

async function run({ inputs }: GraphAsk): Promise<GraphReply> {
  assert(session !== undefined, 'a graph runs once it is loaded')
  const feeds = Object.entries(inputs).map(([name, { type, data, dims }]) => {
    return [name, new OrtTensor(type as 'float32', data as Float32Array, dims)] as const
  })
  const startMs = performance.now()
  const results = await session.run(Object.fromEntries(feeds))
  const computeMs = performance.now() - startMs
  const outputs = Object.fromEntries(Object.entries(results).map(([name, result]) => [name, ours(result)]))
  const bytes = sumBytes(outputs)
  if (bytes > tensorsBytesMax) {
    return { kind: 'failed', message: `its outputs have ${bytes} bytes, at most ${tensorsBytesMax} are sent` }
  }
  return { kind: 'ran', outputs, computeMs }
}

/** `float16` comes as bits or, where JavaScript has that, as numbers of 16 bits: both have the same bytes. */
function ours(result: OrtTensor): Tensor {
  const [type, dims] = [result.type as TensorType, [...result.dims]]
  const data = result.data as TensorData
  return tensorOfBytes(type, dims, bytesOfTensor({ type, dims, data }))
}

/** The runtime's own words, of several lines, as one that is not long. */
function sentenceOf(error: unknown, { file, name } = { file: '', name: '' }): string {
  const words = file === '' ? reasonOf(error) : reasonOf(error).replaceAll(file, name)
  return words.replaceAll(/\s+/g, ' ').trim().slice(0, runtimeWordsMax)
}
