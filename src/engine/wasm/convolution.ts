/**
 * One thread's share of a short convolution in a pass: its columns of all rows. What a row adds to what later ones see, B · x, goes into
 * a page of its cache, a row for each position, so that a cache that is cut has what it had.
 */
import type { CacheType } from '../../base/cache-type.ts'
import type { ShortConvolution } from '../../model/decoder.ts'
import { vectorBytes } from '../../model/tiles.ts'
import { type Job, type Segment, shareOf, type Views } from './job.ts'
import { headWidth, type Kernels } from './kernels.ts'
import { convolutionRows, type Layout } from './layout.ts'
import { positionsOf } from './paged-cache.ts'

export class Convolution {
  readonly #layout: Layout
  readonly #kernels: Kernels
  readonly #views: () => Views
  readonly #index: number
  /** Positions of a page. */
  readonly #positions: Readonly<Record<CacheType, number>>

  constructor(layout: Layout, kernels: Kernels, { index, views }: { index: number; views: () => Views }) {
    this.#layout = layout
    this.#kernels = kernels
    this.#views = views
    this.#index = index
    const width = headWidth(layout.config.headDim)
    this.#positions = { f32: positionsOf('f32', width), i8: positionsOf('i8', width) }
  }

  /**
   * Makes what the product behind it takes, in its place. No other thread need be waited for: what it reads of a column it has written.
   *
   * @param kernel address of the layer's
   * @param index of the layer in its section
   */
  convolve(job: Job, segments: readonly Segment[], { length }: ShortConvolution, kernel: number, index: number): void {
    const { config, scratch: s } = this.#layout
    const { hidden } = config
    const [first, last] = shareOf(job, this.#index, Math.ceil(hidden / 4))
    const columns = Math.min(hidden, 4 * last) - 4 * first
    if (columns <= 0) return
    const run = this.#kernels[`convolve.${length}`]!
    const [inStride, outStride] = [4 * convolutionRows(config), vectorBytes(hidden)]
    const from = 16 * first
    for (const segment of segments) {
      for (let t = 0; t < segment.rows; t++) {
        const row = segment.first + t
        const position = segment.position + t
        const seen = Array.from({ length }, (_, j) => this.#row(segment, index, position - length + 1 + j) + from)
        run(s.qkv + row * inStride + from, kernel + from, ...seen, s.convolved + row * outStride + from, columns)
      }
    }
  }

  /** Where B · x of a position is: zeros before the first. */
  #row({ pages, cache }: Segment, index: number, position: number): number {
    const { scratch, weights, config } = this.#layout
    if (position < 0) return scratch.zeros
    const positions = this.#positions[cache]
    const table = pages / 4 + Math.floor(position / positions) * weights.layers.length
    return this.#views().integers[table + index]! + vectorBytes(config.hidden) * (position % positions)
  }
}
