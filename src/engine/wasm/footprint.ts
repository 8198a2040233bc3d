/** What the engine in WebAssembly needs of memory for a model. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Manifest } from '../../model/manifest.ts'
import type { Footprint } from '../footprint.ts'
import { pageHalfBytes, pagePositions } from './attention.ts'
import { headWidth } from './kernels.ts'

/** One session's keys and values in one layer, in whole pages. */
export function layerCacheBytes({ kvHeads, headDim }: ModelConfig, tokens: number): number {
  return Math.ceil(tokens / pagePositions) * 2 * kvHeads * pageHalfBytes(headWidth(headDim))
}

export function wasmFootprint({ config }: Manifest): Footprint {
  return {
    // They lie there as they lie in the file.
    weightBytes: fileBytes => fileBytes,
    cacheBytesPerLayer: tokens => layerCacheBytes(config, tokens)
  }
}
