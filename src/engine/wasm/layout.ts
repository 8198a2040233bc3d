/** Where everything of a stage lies in its memory: what each of its threads knows. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { attentionRows } from './attention.ts'
import { queryScratchBytes, weightScratchBytes } from './byte-page.ts'
import { headRowsMax, headWidth, passRowsMax } from './kernels.ts'
import { activationBytes } from './activations.ts'
import { roundUp, tileColumns, tileRows, vectorBytes } from '../../model/tiles.ts'
import type { StageWeights } from './weights.ts'

/** Space that all threads use, by address. */
export interface Scratch {
  /** [passRowsMax] rows of the hidden state. */
  readonly x: number
  /** The same after their norm; those of several rows alone. */
  readonly normed: number
  /** Quantised activations of several rows, in as many forms as the matrices that take them need. */
  readonly activations: number
  /** Those that the last matrix of a layer takes, of several rows or of a lone one. */
  readonly downActivations: number
  readonly qkv: number
  readonly attended: number
  readonly gateUp: number
  readonly y: number
  /** [headRowsMax] rows of logits. */
  readonly logits: number
}

/** Space that one thread has for itself. */
export interface OwnScratch {
  /** A lone row after its norm. */
  readonly normed: number
  /** Its quantised activations, in as many forms. */
  readonly activations: number
  /** Queries and sums of {@link attentionRows} rows. */
  readonly queries: number
  readonly sums: number
  /** Weights of {@link attentionRows} rows in a block of a cache of int8. */
  readonly weights: number
}

export interface Layout {
  readonly config: ModelConfig
  readonly edge: EdgeType
  /** The first layer. */
  readonly start: number
  readonly weights: StageWeights
  readonly scratch: Scratch
  /** By thread. */
  readonly own: readonly OwnScratch[]
}

type Take = (bytes: number) => number

/** Widest row that is quantised, in blocks. */
function blocksOf({ hidden, heads, headDim, intermediate }: ModelConfig): number {
  return Math.ceil(Math.max(hidden, heads * headDim, intermediate) / tileColumns)
}

/** Bytes of a block in every form: matrices of different types may take the same activations. */
function everyForm(layout: 'spread' | 'compact'): number {
  return Object.values(activationBytes).reduce((sum, bytes) => sum + bytes[layout], 0)
}

/** Outputs of queries, keys and values, as many as there are where each of them begins with a tile. */
export function qkvRows({ heads, kvHeads, headDim }: ModelConfig): number {
  return roundUp(heads * headDim, tileRows) + 2 * roundUp(kvHeads * headDim, tileRows)
}

export function takeScratch(config: ModelConfig, take: Take): Scratch {
  const { hidden, heads, headDim, intermediate, vocab } = config
  const rows = passRowsMax
  // A lone row is spread; those of several are not.
  const sized = blocksOf(config) * Math.max(activationBytes.sized.spread, rows * activationBytes.sized.compact)
  return {
    x: take(rows * vectorBytes(hidden)),
    normed: take(rows * vectorBytes(hidden)),
    activations: take(blocksOf(config) * rows * everyForm('compact')),
    downActivations: take(sized),
    qkv: take(4 * rows * qkvRows(config)),
    attended: take(rows * vectorBytes(heads * headDim)),
    gateUp: take(2 * rows * vectorBytes(intermediate)),
    y: take(4 * rows * roundUp(hidden, tileRows)),
    logits: take(4 * headRowsMax * roundUp(vocab, tileRows))
  }
}

export function takeOwn(config: ModelConfig, take: Take): OwnScratch {
  const width = headWidth(config.headDim)
  return {
    normed: take(vectorBytes(config.hidden)),
    activations: take(blocksOf(config) * everyForm('spread')),
    queries: take(Math.max(4 * attentionRows * width, queryScratchBytes(width))),
    sums: take(4 * attentionRows * width),
    weights: take(weightScratchBytes)
  }
}
