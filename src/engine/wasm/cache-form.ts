/** How a pass writes and reads the pages of a cache, by its type: where keys and values are, and which kernels know that. */
import type { CacheType } from '../../base/cache-type.ts'
import { attentionRows, keyTile, pageHalfBytes, pagePositions, valueSlice } from './attention.ts'
import { bytePage, byteTile, valueBlock } from './byte-page.ts'
import type { Kernels } from './kernels.ts'
import type { OwnScratch } from './layout.ts'

/** Kernels of attention for so many rows. */
export interface AttentionKernels {
  readonly queries: (...addresses: number[]) => void
  readonly scores: (queries: number, keys: number, tiles: number, out: number, stride: number) => void
  readonly mix: (
    weights: number,
    stride: number,
    values: number,
    tiles: number,
    sums: number,
    sumStride: number
  ) => void
}

export interface CacheForm {
  /** Positions of a page. */
  readonly positions: number
  /** Bytes of one kv head in a page, its keys first, and where its values begin. */
  readonly headBytes: number
  readonly values: number
  /** Scores are made and weighed for so many positions at a time. */
  readonly tile: number
  /** Writes one head of one position: `head`, where the head begins in the page, `at`, the position in it. */
  readonly store: (key: number, value: number, head: number, at: number) => void
  /** For 1 row, 2 rows, and so on. */
  readonly kernels: readonly AttentionKernels[]
}

/** Both forms, for heads of a width. */
export function cacheForms(
  k: Kernels,
  width: number,
  own: Pick<OwnScratch, 'weights'>
): Readonly<Record<CacheType, CacheForm>> {
  const kernels = (type: CacheType): AttentionKernels[] =>
    Array.from({ length: attentionRows }, (_, i) => {
      const mix = k[`mix.${type}.${i + 1}`]!
      return {
        queries: k[`queries.${type}.${i + 1}`]!,
        scores: k[`scores.${type}.${i + 1}`]!,
        mix: (weights, stride, values, tiles, sums, sumStride) =>
          mix(weights, stride, values, tiles, sums, sumStride, own.weights)
      }
    })
  const half = pageHalfBytes(width)
  const { positions, headBytes, values, keyTileBytes, valueBlockBytes } = bytePage(width)
  return {
    f32: {
      positions: pagePositions,
      headBytes: 2 * half,
      values: half,
      tile: keyTile,
      store: (key, value, head, at) => {
        const tile = 4 * keyTile * width * Math.floor(at / keyTile)
        k['store.f32'](key, value, head + tile + 4 * (at % keyTile), head + half + 4 * valueSlice * at)
      },
      kernels: kernels('f32')
    },
    i8: {
      positions,
      headBytes,
      values,
      tile: byteTile,
      store: (key, value, head, at) => {
        const keys = head + keyTileBytes * Math.floor(at / keyTile) + 4 * (at % keyTile)
        const block = head + values + valueBlockBytes * Math.floor(at / valueBlock)
        const place = at % valueBlock
        // Four positions of eight dimensions lie side by side.
        const byte = block + 32 * Math.floor(place / 4) + (place % 4)
        k['store.i8'](key, value, keys, byte, block + valueBlock * width + 4 * place)
      },
      kernels: kernels('i8')
    }
  }
}
