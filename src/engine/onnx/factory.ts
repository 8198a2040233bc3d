/** The engine over ONNX Runtime as a factory: graphs made for a stage's layers, on the processor. */
import { join } from 'node:path'
import { attentionBlock } from '../../model/limits.ts'
import { whyNotComputable, whyNotStacked } from '../computable.ts'
import type { EngineFactory } from '../factory.ts'
import { onnxFootprint } from './footprint.ts'
import { createOnnxEngine } from './engine.ts'
import { onnxGraphs } from './graphs.ts'
import { whyNotInstalled } from './installed.ts'
import { isTaken } from './tensors.ts'
import { measureOnce } from './measured.ts'

/** ONNX Runtime, where the package onnxruntime-node is installed: it computes decoders, and graphs as they are. */
export const onnxEngine: EngineFactory = {
  name: 'onnx',
  exactness: 'class',
  supports(manifest) {
    const { headDim } = manifest.config
    // Longer products are cut where the number of keys says, and then the bits would depend on it.
    if (headDim > attentionBlock) return `heads of ${headDim} cannot be computed exactly, at most ${attentionBlock} can`
    return whyNotComputable(manifest, { takes: isTaken }) ?? whyNotStacked(manifest) ?? whyNotInstalled()
  },
  footprint: onnxFootprint,
  measure: ({ manifest: { config, weights, edge }, dataDir, keeping, threads, signal }) =>
    measureOnce(join(dataDir, 'measured.json'), { config, weights, edge, threads, signal }, keeping),
  create: createOnnxEngine,
  graphs: onnxGraphs
}
