/** What the engine in WebAssembly needs of memory for a model. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Manifest } from '../../model/manifest.ts'
import type { Footprint } from '../footprint.ts'
import { type CacheType, usualCache } from '../../base/cache-type.ts'
import { pageHalfBytes } from './attention.ts'
import { headWidth } from './kernels.ts'
import { positionsOf } from './paged-cache.ts'

/** One session's keys and values in one layer, in whole pages. */
export function layerCacheBytes(
  { kvHeads, headDim }: ModelConfig,
  tokens: number,
  type: CacheType = usualCache
): number {
  const width = headWidth(headDim)
  return Math.ceil(tokens / positionsOf(type, width)) * 2 * kvHeads * pageHalfBytes(width)
}

export function wasmFootprint({ config }: Manifest): Footprint {
  return {
    // They lie there as they lie in the file.
    weightBytes: fileBytes => fileBytes,
    cacheBytesPerLayer: tokens => layerCacheBytes(config, tokens),
    i8CacheBytesPerLayer: tokens => layerCacheBytes(config, tokens, 'i8')
  }
}
