/**
 * Tilings: stages of different peers that lie end to end over [0, L). A stage runs as one graph, so a route uses it
 * whole and borders must meet exactly. `fewest-hops.ts` searches for whether there is one at all, `leanest.ts` for the one
 * that loads the fewest bytes, `fastest.ts` for the one that answers soonest. Parallax and EdgeShard solve the same shape by
 * dynamic programming over devices (arXiv 2509.26182, 2405.14371).
 */
import type { Range } from '../base/ids.ts'
import type { PeerView } from './view.ts'

/** A peer as the search sees it. */
export interface Tiler {
  readonly view: PeerView
  /** What it may load: these ranges only, or null for every range that it can hold. */
  readonly only: readonly Range[] | null
  /** Stages that it has or is loading: they cost no bytes. */
  readonly loaded: readonly Range[]
  readonly weak: boolean
  /** What a hop here costs, in ms (`hopPrices`). @default what it costs over a link that nobody has measured */
  readonly hopMs?: number
  /** Layers that it takes at most, whatever it can hold. @default as many as it can hold */
  readonly layersMax?: number
}

/** A way over layers that takes no peer: a gap, or a stage that another plan already has. */
export interface Bridge extends Range {
  /** What it costs before everything else. */
  readonly penalty: number
}

/** The layers of something that has more to it. */
export function layersOf({ start, end }: Range): Range {
  return { start, end }
}

/** One stage of a tiling, or a bridge, whose `view` is null. */
export interface Tile extends Range {
  readonly view: PeerView | null
}

/** A tiling of [0, L) with its costs; times are whole µs so that sums do not depend on their order. */
export interface Tiling {
  readonly tiles: readonly Tile[]
  readonly penalty: number
  /** How many of its peers are weak. */
  readonly weak: number
  readonly hops: number
  readonly timeUs: number
  /** Resident bytes of stages that are not loaded yet; those of shards to be fetched count {@link fetchWeight} times more. */
  readonly newBytes: number
}

/** A set of peers: two sets of 24 bits, by their indexes. */
export interface PeerSet {
  readonly low: number
  readonly high: number
}

/** Peers per number of a set: shifts of numbers work on 32 bits. */
export const half = 24

export function uses(label: PeerSet, index: number): boolean {
  return index < half ? (label.low & (1 << index)) !== 0 : (label.high & (1 << (index - half))) !== 0
}

const highUnit = 2 ** half

/** A set as one number. */
export function setOf(label: PeerSet): number {
  return label.high * highUnit + label.low
}
