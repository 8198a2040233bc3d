/** What a shard may not hold though its size and its digest are right: whoever made the model may have written anything. Pure. */
import type { MatrixEntry, ShardLayout } from '../../model/layout.ts'
import { groupBytes, groupRecords, levelBytes, recordBytes, tileRows, tileStride } from '../../model/tiles.ts'
import { quantisedTypes, type StoredAs } from '../../model/weight-types.ts'
import { firstNonFinite } from '../edge.ts'

/**
 * What is wrong with the numbers of a shard at an address, or undefined. Those that are not finite would fail each step
 * at the peer that computes them. Levels of 7 bits that have 8 are what relaxed SIMD leaves open: machines differ in their bits.
 */
export function wrongNumbers(
  { vectors, matrices }: ShardLayout,
  memory: ArrayBufferLike,
  at: number
): string | undefined {
  for (const { name, offset, length } of vectors) {
    if (firstNonFinite(new Float32Array(memory, at + offset, length)) >= 0)
      return `${name} has a number that is not finite`
  }
  for (const matrix of matrices) {
    const wrong = wrongMatrix(matrix, memory, at + matrix.offset)
    if (wrong !== undefined) return `${matrix.name} has ${wrong}`
  }
  return undefined
}

function wrongMatrix(matrix: MatrixEntry, memory: ArrayBufferLike, at: number): string | undefined {
  const { type, bytes } = matrix
  const notFinite = 'a number that is not finite'
  if (type === 'f32') return firstNonFinite(new Float32Array(memory, at, bytes / 4)) < 0 ? undefined : notFinite
  const { bits, zero, scale }: StoredAs = quantisedTypes[type]
  const levels = levelBytes(type) / 4
  if (scale === 'f32') {
    const floats = new Float32Array(memory, at, bytes / 4)
    const end = recordBytes(type) / 4
    // 0 for every finite value; NaN, once in, stays.
    let sum = 0
    eachRecord(matrix, from => {
      for (let i = from + levels; i < from + end; i++) sum += floats[i]! - floats[i]!
    })
    if (sum !== 0) return notFinite
  }
  // Scales of 16 bits are finite whatever their bits (`scales.ts`), and so is each level of 4 bits in its range.
  if (bits === 4 || zero === 'signed') return undefined
  const words = new Int32Array(memory, at, bytes / 4)
  let all = 0
  eachRecord(matrix, from => {
    for (let i = from; i < from + levels; i++) all |= words[i]!
  })
  return (all & 0x80808080) === 0 ? undefined : 'a level above 127'
}

/** Tells where each record begins, in words of 4 bytes. */
function eachRecord({ type, rows, blocks }: MatrixEntry, use: (from: number) => void): void {
  const [record, group, tile] = [recordBytes(type) / 4, groupBytes(type) / 4, tileStride({ type, blocks }) / 4]
  for (let first = 0; first < (rows / tileRows) * tile; first += tile) {
    for (let i = 0; i < blocks; i++) use(first + i * record + (Math.floor(i / groupRecords) + 1) * group)
  }
}
