/** What ONNX Runtime needs of memory for a model. Pure. */
import type { Manifest } from '../../model/manifest.ts'
import type { Footprint } from '../footprint.ts'
import { cacheBytes } from './cache.ts'
import { classWeights } from './numeric-class.ts'

/**
 * Resident memory per byte of a shard's file in a loaded stage: repacked for ONNX Runtime, which packs matrices anew into
 * memory of its own. Measured on 10 and 30 layers of SmolLM2-135M's shape, slope between them (ONNX Runtime 1.30, Linux
 * x64, 2026-11): 2.39-2.44, 2.73-3.01 and 3.45-3.94.
 */
const onnxResidentFactor = { f32: 2.45, q8: 2.9, q4: 3.7 } as const

/** That of the engine over ONNX Runtime. */
export function onnxFootprint({ config, weights }: Manifest): Footprint {
  const { kvHeads, headDim } = config
  return {
    weightBytes: fileBytes => Math.ceil(fileBytes * onnxResidentFactor[classWeights(weights)]),
    cacheBytesPerLayer: tokens => cacheBytes({ layers: 1, kvHeads, headDim }, tokens)
  }
}
