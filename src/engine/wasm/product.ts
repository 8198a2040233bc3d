/** Products of a matrix's tiles with rows of activations, as all parts of a pass make them. */
import { tileRows, tileStride } from '../../model/tiles.ts'
import { activationBytes, activationsOf } from './activations.ts'
import type { Kernels } from './kernels.ts'
import type { Layout } from './layout.ts'
import type { Matrix } from './weights.ts'

/** Rows that lie in memory so far apart, in bytes. */
export interface Rows {
  readonly at: number
  readonly stride: number
}

/** Half-open. */
export type Tiles = readonly [from: number, to: number]

/**
 * Where what a product with a matrix takes of a pass's rows is, once it was made: of a single row each thread makes its own.
 *
 * @param index of the thread
 * @param count rows of the pass
 * @param rows of float32, which a matrix of float32 takes as they are
 */
export function operandOf(layout: Layout, index: number, count: number, { type, blocks }: Matrix, rows: Rows): Rows {
  if (type === 'f32') return rows
  const form = activationsOf(type)
  if (count === 1) return { at: layout.own[index]!.activations[form], stride: 0 }
  return { at: layout.scratch.activations[form], stride: blocks * activationBytes[form].compact }
}

/**
 * Tiles of a matrix with so many rows.
 *
 * @param isOne the pass is of a single row, whose activations have the form for one
 */
export function multiplyTiles(
  kernels: Kernels,
  { isOne, count }: { readonly isOne: boolean; readonly count: number },
  matrix: Matrix,
  activations: Rows,
  out: Rows,
  [from, to]: Tiles
): void {
  if (from >= to) return
  const { type, blocks } = matrix
  const w = matrix.at + from * tileStride(matrix)
  const first = out.at + 4 * tileRows * from
  const { at, stride } = activations
  if (isOne) kernels[`product.${type}.one`](w, blocks, to - from, at, first)
  else kernels[`product.${type}.many`](w, blocks, to - from, at, stride, first, out.stride, count)
}
