/** The thread that computes a numeric class: see `numeric-class.ts`. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { SessionCache } from './cache.ts'
import {
  type ClassWeights,
  classConfig,
  classEdge,
  classPasses,
  classShards,
  classToken,
  digestClass
} from './numeric-class.ts'
import { needsTwinRows } from './self-test.ts'
import { OnnxSpan } from './span.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const weights = workerData as ClassWeights
const files = classShards(weights)
const { layers, kvHeads, headDim, hidden } = classConfig
const span = await OnnxSpan.create({
  config: classConfig,
  weights,
  edge: classEdge,
  start: 0,
  end: layers,
  shardLocations: new Map([...files.keys()].map(name => [name, name.replace(' ', '-')])),
  source: { kind: 'memory', files: new Map([...files].map(([name, bytes]) => [name.replace(' ', '-'), bytes])) },
  threads: 1,
  twinRows: weights === 'q4' && (await needsTwinRows())
})
const tokens = classPasses.reduce((sum: number, n) => sum + n, 0)
span.grow(tokens)
const cache = new SessionCache({ layers, kvHeads, headDim }, tokens)
const outputs: Float32Array[] = []
for (const n of classPasses) {
  const ids = Int32Array.from({ length: n }, (_, i) => classToken(cache.length + i))
  const x = await span.pass(cache, ids, n)
  outputs.push(x, await span.logits(x.subarray((n - 1) * hidden)))
}
for (const { keys, values, valueTail } of cache.layers) outputs.push(keys, values, valueTail)
parentPort.postMessage(digestClass(outputs))
