/** Where everything of a section lies in its memory: what each of the threads knows. */
import type { Experts, ModelConfig } from '../../model/decoder.ts'
import type { EdgeType } from '../../model/manifest.ts'
import { attentionRows } from './attention.ts'
import { queryScratchBytes, weightScratchBytes } from './byte-page.ts'
import { headRowsMax, headWidth, passRowsMax } from './kernels.ts'
import { type ActivationForm, activationBytes } from './activations.ts'
import { convolutionLengths } from './layer-kinds.ts'
import { roundUp, tileColumns, tileRows, vectorBytes } from '../../model/tiles.ts'
import type { SectionWeights } from './weights.ts'

/** An address for each form of activations. */
type ByForm = Readonly<Record<ActivationForm, number>>

/** What a mixture of experts takes, of the rows of a pass and of the experts that each row takes: a pair for each of these. */
export interface ExpertScratch {
  /** [passRowsMax][experts, filled up to whole tiles]: outputs of the router, then exponentials. */
  readonly routed: number
  /** u32 [passRowsMax][used]: experts of a row, the lowest first. */
  readonly chosen: number
  /** f32 [passRowsMax][used]: their shares. */
  readonly shares: number
  /** What the first products of several rows take, by expert: float32 rows, and quantised ones by form. */
  readonly rows: number
  readonly activations: ByForm
  /** f32 [pairs]: gate and up. */
  readonly gateUp: number
  readonly downActivations: number
  /** f32 [passRowsMax]: what one expert gives for its rows. */
  readonly y: number
}

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
  /** Queries, keys and values; of short convolutions B, C and x. */
  readonly qkv: number
  readonly attended: number
  /** What short convolutions make, and what they see before the first position; nothing where there are none. */
  readonly convolved: number
  readonly zeros: number
  readonly gateUp: number
  readonly y: number
  /** [headRowsMax] rows of logits, where the model's head is. */
  readonly logits: number | undefined
  readonly experts: ExpertScratch | undefined
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

/** Outputs of the product before a short convolution. */
export function convolutionRows({ hidden }: Pick<ModelConfig, 'hidden'>): number {
  return roundUp(3 * hidden, tileRows)
}

export function takeScratch(config: ModelConfig, hasHead: boolean, take: Take): Scratch {
  const { hidden, heads, headDim, intermediate, vocab } = config
  const rows = passRowsMax
  // A lone row is spread; those of several are not.
  const convolves = convolutionLengths(config).size > 0
  const sized = blocksOf(config) * Math.max(activationBytes.sized.spread, rows * activationBytes.sized.compact)
  return {
    x: take(rows * vectorBytes(hidden)),
    normed: take(rows * vectorBytes(hidden)),
    activations: everyForm(rows * blocksOf(config), 'compact', take),
    downActivations: take(sized),
    qkv: take(4 * rows * Math.max(qkvRows(config), convolves ? convolutionRows(config) : 0)),
    attended: take(rows * vectorBytes(heads * headDim)),
    convolved: take(convolves ? rows * vectorBytes(hidden) : 0),
    zeros: take(convolves ? vectorBytes(hidden) : 0),
    gateUp: take(2 * rows * vectorBytes(intermediate)),
    y: take(4 * rows * roundUp(hidden, tileRows)),
    logits: hasHead ? take(4 * headRowsMax * roundUp(vocab, tileRows)) : undefined,
    experts: config.experts === undefined ? undefined : takeExperts(config, config.experts, take)
  }
}

function takeExperts({ hidden }: ModelConfig, { count, used, intermediate }: Experts, take: Take): ExpertScratch {
  const pairs = passRowsMax * used
  const blocks = Math.ceil(intermediate / tileColumns)
  return {
    routed: take(4 * passRowsMax * roundUp(count, tileRows)),
    chosen: take(4 * pairs),
    shares: take(4 * pairs),
    rows: take(pairs * vectorBytes(hidden)),
    activations: everyForm(pairs * Math.ceil(hidden / tileColumns), 'compact', take),
    gateUp: take(2 * pairs * vectorBytes(intermediate)),
    downActivations: take(
      blocks * used * Math.max(activationBytes.sized.spread, passRowsMax * activationBytes.sized.compact)
    ),
    y: take(4 * passRowsMax * roundUp(hidden, tileRows))
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
