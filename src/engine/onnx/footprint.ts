/** What ONNX Runtime needs of memory for a model. Pure. */
import type { Manifest } from '../../model/manifest.ts'
import type { Footprint } from '../footprint.ts'
import { cacheBytes } from './cache.ts'
import { classWeights } from './numeric-class.ts'

/**
 * Resident memory per weight byte of a loaded stage: ONNX Runtime packs matrices into memory of its own and drops
 * the mapping. Measured on 10 and 30 layers of SmolLM2-135M's shape, slope between them (ONNX Runtime 1.30, Linux
 * x64, 2026-11): 1.00, 1.32 and 1.6. An embedding that is only looked up in stays in the page cache and adds none.
 */
const onnxResidentFactor = { f32: 1.05, q8: 1.35, q4: 1.65 } as const

/** That of the engine over ONNX Runtime. */
export function onnxFootprint({ config, weights }: Manifest): Footprint {
  const { kvHeads, headDim } = config
  return {
    weightBytes: fileBytes => Math.ceil(fileBytes * onnxResidentFactor[classWeights(weights)]),
    cacheBytesPerLayer: tokens => cacheBytes({ layers: 1, kvHeads, headDim }, tokens)
  }
}
