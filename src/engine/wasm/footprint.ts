/** What the engine in WebAssembly needs of memory for a model. Pure. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { Footprint } from '../footprint.ts'
import { type CacheType, usualCache } from '../../base/cache-type.ts'
import { pagesHeld } from '../../base/pages.ts'
import { pageHalfBytes } from './attention.ts'
import { vectorBytes } from '../../model/tiles.ts'
import { headWidth } from './kernels.ts'
import { convolutionRowBytes } from './layer-kinds.ts'
import { latestTokens, windowsOf } from '../windows.ts'
import { positionsOf } from './paged-cache.ts'

type Heads = Pick<ModelConfig, 'kvHeads' | 'headDim'>

/**
 * One session's keys and values in one layer, in whole pages: at most, where it has a window.
 *
 * @param rowBytes of one position of a short convolution, whose rows are in the place of keys and values
 */
export function layerCacheBytes(
  { kvHeads, headDim }: Heads,
  tokens: number,
  type: CacheType = usualCache,
  window?: number,
  rowBytes?: number
): number {
  const width = headWidth(headDim)
  const positions = positionsOf(type, width)
  const pageBytes = rowBytes === undefined ? 2 * kvHeads * pageHalfBytes(width) : rowBytes * positions
  return pagesHeld(tokens, positions, latestTokens(window)) * pageBytes
}

/** The same in layers [start, end) together. */
export function stageCacheBytes(
  config: FootprintConfig,
  { start, end }: { readonly start: number; readonly end: number },
  tokens: number,
  type?: CacheType
): number {
  const bytes = windowsOf(config, start, end).map((window, i) =>
    layerCacheBytes(config, tokens, type, window, convolutionRowBytes(config, start + i))
  )
  return bytes.reduce((sum, each) => sum + each, 0)
}

/** Of the layer that holds most of so many tokens. */
function largestCacheBytes(config: FootprintConfig, tokens: number, type: CacheType): number {
  const kinds = config.kinds?.of ?? [{}]
  const rows = kinds.map(({ convolution }) => (convolution === undefined ? undefined : vectorBytes(config.hidden)))
  return Math.max(...rows.map(row => layerCacheBytes(config, tokens, type, undefined, row)))
}

type FootprintConfig = Pick<ModelConfig, 'kvHeads' | 'headDim' | 'hidden' | 'kinds'>

export function wasmFootprint({
  config
}: {
  readonly config: FootprintConfig & Pick<ModelConfig, 'layers'>
}): Footprint {
  const width = headWidth(config.headDim)
  const all = { start: 0, end: config.layers }
  return {
    // They lie there as they lie in the file.
    weightBytes: fileBytes => fileBytes,
    cacheBytesPerLayer: tokens => largestCacheBytes(config, tokens, 'f32'),
    i8CacheBytesPerLayer: tokens => largestCacheBytes(config, tokens, 'i8'),
    cacheBytes: (tokens, type) => stageCacheBytes(config, all, tokens, type),
    cachePageBytes: (layer, type) => layerCacheBytes(config, 1, type, undefined, convolutionRowBytes(config, layer)),
    givesBackWindows: true,
    cachePageTokens: positionsOf('f32', width),
    i8CachePageTokens: positionsOf('i8', width)
  }
}
