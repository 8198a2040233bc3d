/** What the threads of a stage are told of a pass, and how they share it. Pure. */
import { type CacheType, cacheTypes } from '../../base/cache-type.ts'

/** Positions that one table of rotations has. */
export const rotationRows = 1_024

/** A pass, as numbers: threads are told of it through shared memory. */
export interface Job {
  /** `layers`: rows of the hidden state, in place; `head`: logits of the first rows. */
  readonly kind: 'layers' | 'head'
  /** Index of the section that computes: all addresses are those of its memory. */
  readonly section: number
  readonly rows: number
  /** Address of the segments, each of {@link segmentNumbers} numbers, and how many there are; none for the head. */
  readonly segments: number
  readonly segmentCount: number
  /** Address of the addresses of cosines and sines, of {@link rotationRows} positions each. */
  readonly rotations: number
  /** Scores of each thread: [attentionRows] rows for so many positions. */
  readonly scores: number
  readonly scorePositions: number
  /** That take part. */
  readonly threads: number
}

/** Rows of one session that lie side by side in a pass. */
export interface Segment {
  /** Of all rows of the pass. */
  readonly first: number
  readonly rows: number
  /** Of its first row: tokens in the cache before it. */
  readonly position: number
  /** Address of the addresses of the cache's pages: by page, and then by layer. */
  readonly pages: number
  /** Of the cache. */
  readonly cache: CacheType
}

/** Numbers of a segment in memory, in the order of its fields: of its cache's type the index. */
export const segmentNumbers = 5

export function writeSegment(segment: Segment, integers: Uint32Array, at: number): void {
  const { first, rows, position, pages, cache } = segment
  integers.set([first, rows, position, pages, cacheTypes.indexOf(cache)], at / 4)
}

export function readSegment(integers: Uint32Array, at: number): Segment {
  const [first, rows, position, pages, cache] = integers.subarray(at / 4, at / 4 + segmentNumbers)
  return { first: first!, rows: rows!, position: position!, pages: pages!, cache: cacheTypes[cache!]! }
}

/** The memory as this thread sees it. */
export interface Views {
  readonly floats: Float32Array
  /** Unsigned, as addresses are. */
  readonly integers: Uint32Array
}

/** The part of so many units that one of `threads` takes. */
export function shareOf(
  { threads }: Pick<Job, 'threads'>,
  index: number,
  units: number
): readonly [from: number, to: number] {
  if (threads === 1) return [0, units]
  return [Math.floor((units * index) / threads), Math.floor((units * (index + 1)) / threads)]
}
