/** Measures this machine with ONNX Runtime, or knows it from before. */
import { createRequire } from 'node:module'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Keeper } from '../../disk/keeping.ts'
import { shardName, shardOrder } from '../../model/manifest.ts'
import type { Measured } from '../factory.ts'
import * as kept from '../measured.ts'
import { measureTimings, type TimingsInit } from '../timings.ts'
import { startEngine } from './engine.ts'
import { buildGraph, buildHeadGraph } from './graph.ts'
import { measureNumericClass } from './measure.ts'
import { classConfig, classEdge, type ClassWeights, classWeights } from './numeric-class.ts'

/**
 * The numeric class and the timings, kept in `file`.
 * @throws what `measureNumericClass` and `measureTimings` throw.
 */
export async function measureOnce(file: string, init: TimingsInit, keeping: Keeper): Promise<Measured> {
  const { config, weights, edge, threads = 1, signal } = init
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }
  const measure = async (): Promise<Measured> => {
    const numericClass = await measureNumericClass(weights, signal === undefined ? {} : { signal })
    return { ...(await measureTimings(startEngine, init)), numericClass }
  }
  return kept.measureOnce(
    file,
    ['onnx', config, weights, edge, threads, graphs(classWeights(weights)), version],
    measure,
    keeping
  )
}

/** What the engine would compute: a change of its graphs may be one of bits, and of speed. */
function graphs(weights: ClassWeights): string {
  const { layers } = classConfig
  const shardLocations = new Map(shardOrder(classConfig).map(place => [shardName(place), shardName(place)]))
  const init = { config: classConfig, weights, edge: classEdge, start: 0, end: layers, shardLocations } as const
  const hash = sha256.create().update(buildGraph(init)).update(buildHeadGraph(init))
  return bytesToHex(hash.digest())
}
