/** The thread of the engine over ONNX Runtime. */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { serveThread } from '../serve-thread.ts'
import { OnnxLayers, type OnnxThreadInit } from './layers.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const init = workerData as OnnxThreadInit
await serveThread(parentPort, init, () => OnnxLayers.load(init))
