/**
 * Where the parts of a shard lie in its file. That is a function of the decoder's description and the types of its weights,
 * so that the importer that writes, the engines that read and the manifest that is checked cannot disagree. It is also how
 * they lie in the memory of the engine in WebAssembly: a shard is loaded with one read.
 *
 * Matrices are in tiles (`tiles.ts`). Query, key and value rows are stacked to one matrix, and gate and up rows, where
 * their types are the same; those of all experts of a layer follow one another, each expert's at a whole number of records. Vectors are float32, filled up with zeros to a multiple of 32.
 */
import { assert } from '../base/assert.ts'
import { convolutionOf, expertsOf, type ModelConfig } from './decoder.ts'
import type { ShardPlace } from './manifest.ts'
import { roundUp, type TileShape, tileBytes, tileColumns, tileRows, vectorBytes } from './tiles.ts'
import { type LayerPart, typeOf, type Weights } from './weight-types.ts'

/** Parts of a shard begin at multiples of it: a line of a processor's cache. */
export const partAlignment = 64

/** What decides where everything lies. */
export interface ModelShape {
  readonly config: ModelConfig
  readonly weights: Weights
}

interface Place {
  /** From the start of the shard, in bytes. */
  readonly offset: number
  readonly bytes: number
}

/** Of one layer, but for `norm`, which comes before the output matrix. */
export type VectorName =
  | 'norm'
  | 'norm1'
  | 'norm1After'
  | 'norm2'
  | 'norm2After'
  | 'qNorm'
  | 'kNorm'
  | 'qkvBias'
  | 'oBias'
  | 'upBias'
  | 'downBias'
  | 'convKernel'

export interface VectorEntry extends Place {
  readonly name: VectorName
  readonly length: number
}

/** A matrix of the model, stored as rows of a matrix in tiles. */
export interface MatrixPart {
  readonly name: LayerPart | 'router' | 'embedding' | 'output'
  /** Whose it is in a mixture of experts. */
  readonly expert?: number
  readonly rows: number
  /** Row of the tiles that is its first. */
  readonly at: number
}

export interface MatrixEntry extends Place, TileShape {
  /** The names of its parts, one after another: `qkv`, `o`, `router`, `gateup`, `down`. */
  readonly name: string
  readonly inputs: number
  readonly parts: readonly MatrixPart[]
}

export interface ShardLayout {
  readonly vectors: readonly VectorEntry[]
  readonly matrices: readonly MatrixEntry[]
  readonly bytes: number
}

/** A matrix of the model. */
interface Matrix extends Omit<MatrixPart, 'at'> {
  readonly inputs: number
}

/** Matrices that are stacked where they are of one type, each from a multiple of `fill` rows on. */
interface Stack {
  readonly matrices: readonly Matrix[]
  readonly fill: number
}

/** The stacks of a layer's matrices, in file order. What is gated begins at whole records: the next product quantises it from there. */
function layerStacks({ config, weights }: ModelShape, layer: number): Stack[] {
  const { hidden, intermediate, heads, kvHeads, headDim, feedForward } = config
  const experts = expertsOf(config, layer)
  const of = (inputs: number, names: readonly LayerPart[], rows: readonly number[]): Matrix[] =>
    names.map((name, i) => ({ name, inputs, rows: rows[i]! }))
  const [queries, keys] = [heads * headDim, kvHeads * headDim]
  const wide = feedForward?.ungated === true ? (['up'] as const) : (['gate', 'up'] as const)
  const mixing =
    convolutionOf(config, layer) === undefined
      ? [of(hidden, ['q', 'k', 'v'], [queries, keys, keys]), of(queries, ['o'], [hidden])]
      : // Rows of B, of C and of x.
        [of(hidden, ['convIn'], [3 * hidden]), of(hidden, ['convOut'], [hidden])]
  const mixer = mixing.map(matrices => ({ matrices, fill: 1 }))
  if (experts === undefined) {
    return [
      ...mixer,
      { matrices: of(hidden, wide, [intermediate, intermediate]), fill: tileColumns },
      { matrices: of(intermediate, ['down'], [hidden]), fill: 1 }
    ]
  }
  const each = (matrices: readonly Matrix[]): Matrix[] =>
    Array.from({ length: experts.count }, (_, expert) => matrices.map(matrix => ({ ...matrix, expert }))).flat()
  const [first, ...rest] = of(hidden, wide, [experts.intermediate, experts.intermediate])
  const isOfOneType = rest.every(({ name }) => typeOf(weights, name, layer) === typeOf(weights, first!.name, layer))
  return [
    ...mixer,
    { matrices: [{ name: 'router', inputs: hidden, rows: experts.count }], fill: 1 },
    ...(isOfOneType ? [[first!, ...rest]] : [[first!], rest]).map(some => ({
      matrices: each(some),
      fill: tileColumns
    })),
    { matrices: each(of(experts.intermediate, ['down'], [hidden])), fill: tileRows }
  ]
}

/** Names and lengths of a layer's vectors, in file order. */
function layerVectors(config: ModelConfig, layer: number): [VectorName, number][] {
  const { hidden, intermediate, heads, kvHeads, headDim, norm, feedForward } = config
  const convolution = convolutionOf(config, layer)
  const attention = convolution === undefined ? config.attention : undefined
  const [queries, keys] = [heads * headDim, kvHeads * headDim]
  const before = norm?.place !== 'after'
  const after = norm?.place !== undefined
  const byHead = attention?.headNorm === 'head'
  const vectors: [name: VectorName, length: number, there: boolean][] = [
    ['norm1', hidden, before],
    ['norm1After', hidden, after],
    ['norm2', hidden, before],
    ['norm2After', hidden, after],
    ['qNorm', byHead ? headDim : queries, attention?.headNorm !== undefined],
    ['kNorm', byHead ? headDim : keys, attention?.headNorm !== undefined],
    ['qkvBias', queries + 2 * keys, attention?.qkvBias === true],
    ['oBias', hidden, attention?.outputBias === true],
    ['upBias', feedForward?.ungated === true ? intermediate : 2 * intermediate, feedForward?.bias === true],
    ['downBias', hidden, feedForward?.bias === true],
    // [length][hidden]: the oldest position first.
    ['convKernel', (convolution?.length ?? 0) * hidden, convolution !== undefined]
  ]
  return vectors.filter(([, , there]) => there).map(([name, length]) => [name, length])
}

/** The parts of one shard. */
export function shardLayout({ config, weights }: ModelShape, { role, layer }: ShardPlace): ShardLayout {
  let bytes = 0
  const place = (size: number): Place => {
    const offset = roundUp(bytes, partAlignment)
    bytes = offset + size
    return { offset, bytes: size }
  }
  const vectors: VectorEntry[] = []
  const matrices: MatrixEntry[] = []
  const vector = (name: VectorName, length: number): void => {
    vectors.push({ name, length, ...place(vectorBytes(length)) })
  }
  /** One matrix for each run of parts of one type. */
  const stack = (all: readonly Matrix[], fill: number): void => {
    for (let i = 0; i < all.length; ) {
      const type = typeOf(weights, all[i]!.name, layer)
      const parts: MatrixPart[] = []
      let at = 0
      const first = i
      for (; i < all.length && typeOf(weights, all[i]!.name, layer) === type; i++) {
        const { inputs: _, ...part } = all[i]!
        parts.push({ ...part, at })
        at = roundUp(at + part.rows, fill)
      }
      const { inputs } = all[first]!
      const shape = { type, rows: roundUp(at, tileRows), blocks: Math.ceil(inputs / tileColumns) }
      matrices.push({
        name: [...new Set(parts.map(({ name }) => name))].join(''),
        inputs,
        parts,
        ...shape,
        ...place(tileBytes(shape))
      })
    }
  }
  const table = { inputs: config.hidden, rows: config.vocab }
  if (role === 'embedding') stack([{ name: 'embedding', ...table }], 1)
  else if (role === 'head') {
    vector('norm', config.hidden)
    if (!config.tiedEmbeddings) stack([{ name: 'output', ...table }], 1)
  } else {
    for (const [name, length] of layerVectors(config, layer!)) vector(name, length)
    for (const { matrices, fill } of layerStacks({ config, weights }, layer!)) stack(matrices, fill)
  }
  return { vectors, matrices, bytes }
}

/** Size of a shard file in bytes. */
export function shardBytes(shape: ModelShape, place: ShardPlace): number {
  return shardLayout(shape, place).bytes
}

/** A part of a shard that must be there. */
export function partOf<T extends { readonly name: string }>(parts: readonly T[], name: string): T {
  const found = parts.find(each => each.name === name)
  assert(found !== undefined, `a shard has ${parts.map(each => each.name).join(', ')}, and no ${name}`)
  return found
}
