/** What the engine in WebAssembly needs of memory for a model. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Footprint } from '../footprint.ts'
import { type CacheType, usualCache } from '../../base/cache-type.ts'
import { pagesHeld } from '../../base/pages.ts'
import { pageHalfBytes } from './attention.ts'
import { headWidth } from './kernels.ts'
import { latestTokens, windowsOf } from '../windows.ts'
import { positionsOf } from './paged-cache.ts'

type Heads = Pick<ModelConfig, 'kvHeads' | 'headDim'>

/** One session's keys and values in one layer, in whole pages: at most, where it has a window. */
export function layerCacheBytes(
  { kvHeads, headDim }: Heads,
  tokens: number,
  type: CacheType = usualCache,
  window?: number
): number {
  const width = headWidth(headDim)
  return pagesHeld(tokens, positionsOf(type, width), latestTokens(window)) * 2 * kvHeads * pageHalfBytes(width)
}

/** The same in layers [start, end) together. */
export function stageCacheBytes(
  config: ModelConfig,
  { start, end }: { readonly start: number; readonly end: number },
  tokens: number,
  type?: CacheType
): number {
  const bytes = windowsOf(config, start, end).map(window => layerCacheBytes(config, tokens, type, window))
  return bytes.reduce((sum, each) => sum + each, 0)
}

export function wasmFootprint({ config }: { readonly config: Heads }): Footprint {
  const width = headWidth(config.headDim)
  return {
    // They lie there as they lie in the file.
    weightBytes: fileBytes => fileBytes,
    cacheBytesPerLayer: tokens => layerCacheBytes(config, tokens),
    i8CacheBytesPerLayer: tokens => layerCacheBytes(config, tokens, 'i8'),
    givesBackWindows: true,
    cachePageTokens: positionsOf('f32', width),
    i8CachePageTokens: positionsOf('i8', width)
  }
}
