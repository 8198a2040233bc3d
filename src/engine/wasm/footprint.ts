/** What the engine in WebAssembly needs of memory for a model. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Manifest } from '../../model/manifest.ts'
import type { Footprint } from '../footprint.ts'
import { pageHalfBytes, pagePositions } from './attention.ts'
import { headWidth } from './kernels.ts'

/** Weights lie in tiles that have the bytes of the file; what fills up tiles and blocks is less than that of it. */
const residentFactor = 1.02

/** One session's keys and values in one layer, in whole pages. */
export function layerCacheBytes({ kvHeads, headDim }: ModelConfig, tokens: number): number {
  return Math.ceil(tokens / pagePositions) * 2 * kvHeads * pageHalfBytes(headWidth(headDim))
}

export function wasmFootprint({ config }: Manifest): Footprint {
  return {
    weightBytes: fileBytes => Math.ceil(fileBytes * residentFactor),
    cacheBytesPerLayer: tokens => layerCacheBytes(config, tokens)
  }
}
