/** Where everything of a section lies in its memory: what each of the threads knows. */
import type { ModelConfig } from '../../model/decoder.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { attentionRows } from './attention.ts'
import { queryScratchBytes, weightScratchBytes } from './byte-page.ts'
import { headRowsMax, headWidth, passRowsMax } from './kernels.ts'
import { type ActivationForm, activationBytes } from './activations.ts'
import { roundUp, tileColumns, tileRows, vectorBytes } from '../../model/tiles.ts'
import type { SectionWeights } from './weights.ts'

/** An address for each form of activations. */
type ByForm = Readonly<Record<ActivationForm, number>>

/** Space that all threads use, by address. */
export interface Scratch {
  /** [passRowsMax] rows of the hidden state. */
  readonly x: number
  /** The same after their norm; those of several rows alone. */
  readonly normed: number
  /** Quantised activations of several rows, by form: matrices of different types may take the same ones. */
  readonly activations: ByForm
  /** Those that the last matrix of a layer takes, of several rows or of a lone one. */
  readonly downActivations: number
  readonly qkv: number
  readonly attended: number
  readonly gateUp: number
  readonly y: number
  /** [headRowsMax] rows of logits, where the model's head is. */
  readonly logits: number | undefined
}

/** Space that one thread has for itself. */
export interface OwnScratch {
  /** A lone row after its norm. */
  readonly normed: number
  /** Its quantised activations, by form. */
  readonly activations: ByForm
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
  readonly weights: SectionWeights
  readonly scratch: Scratch
  /** By thread. */
  readonly own: readonly OwnScratch[]
}

/** Has so many bytes more, and gives their address. */
export type Take = (bytes: number) => number

/** Widest row that is quantised, in blocks. */
function blocksOf({ hidden, heads, headDim, intermediate }: ModelConfig): number {
  return Math.ceil(Math.max(hidden, heads * headDim, intermediate) / tileColumns)
}

function everyForm(blocks: number, layout: 'spread' | 'compact', take: Take): ByForm {
  const of = (form: ActivationForm): number => take(blocks * activationBytes[form][layout])
  return { sized: of('sized'), signed: of('signed'), halves: of('halves') }
}

/** Outputs of queries, keys and values, as many as there are where each of them begins with a tile. */
export function qkvRows({ heads, kvHeads, headDim }: ModelConfig): number {
  return roundUp(heads * headDim, tileRows) + 2 * roundUp(kvHeads * headDim, tileRows)
}

export function takeScratch(config: ModelConfig, hasHead: boolean, take: Take): Scratch {
  const { hidden, heads, headDim, intermediate, vocab } = config
  const rows = passRowsMax
  // A lone row is spread; those of several are not.
  const sized = blocksOf(config) * Math.max(activationBytes.sized.spread, rows * activationBytes.sized.compact)
  return {
    x: take(rows * vectorBytes(hidden)),
    normed: take(rows * vectorBytes(hidden)),
    activations: everyForm(rows * blocksOf(config), 'compact', take),
    downActivations: take(sized),
    qkv: take(4 * rows * qkvRows(config)),
    attended: take(rows * vectorBytes(heads * headDim)),
    gateUp: take(2 * rows * vectorBytes(intermediate)),
    y: take(4 * rows * roundUp(hidden, tileRows)),
    logits: hasHead ? take(4 * headRowsMax * roundUp(vocab, tileRows)) : undefined
  }
}

export function takeOwn(config: ModelConfig, take: Take): OwnScratch {
  const width = headWidth(config.headDim)
  return {
    normed: take(vectorBytes(config.hidden)),
    activations: everyForm(blocksOf(config), 'spread', take),
    queries: take(Math.max(4 * attentionRows * width, queryScratchBytes(width))),
    sums: take(4 * attentionRows * width),
    weights: take(weightScratchBytes)
  }
}
