/** What the engine in WebAssembly needs of memory for a model. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Footprint } from '../footprint.ts'
import { type CacheType, usualCache } from '../../base/cache-type.ts'
import { pageHalfBytes } from './attention.ts'
import { headWidth } from './kernels.ts'
import { positionsOf } from './paged-cache.ts'

type Heads = Pick<ModelConfig, 'kvHeads' | 'headDim'>

/** One session's keys and values in one layer, in whole pages. */
export function layerCacheBytes({ kvHeads, headDim }: Heads, tokens: number, type: CacheType = usualCache): number {
  const width = headWidth(headDim)
  return Math.ceil(tokens / positionsOf(type, width)) * 2 * kvHeads * pageHalfBytes(width)
}

export function wasmFootprint({ config }: { readonly config: Heads }): Footprint {
  const width = headWidth(config.headDim)
  return {
    // They lie there as they lie in the file.
    weightBytes: fileBytes => fileBytes,
    cacheBytesPerLayer: tokens => layerCacheBytes(config, tokens),
    i8CacheBytesPerLayer: tokens => layerCacheBytes(config, tokens, 'i8'),
    cachePageTokens: positionsOf('f32', width),
    i8CachePageTokens: positionsOf('i8', width)
  }
}
