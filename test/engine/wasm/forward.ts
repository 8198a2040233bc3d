/** All layers of a model as `protocols/arithmetic.md` puts them together, on the plain functions of `reference.ts`. */
import { type CacheType, usualCache } from '../../../src/base/cache-type.ts'
import { kindOf, layerForms } from '../../../src/engine/wasm/layer-kinds.ts'
import {
  activated,
  attend,
  attendBytes,
  capped,
  convolved,
  edged,
  gated,
  norm,
  product,
  type Rows,
  rotated,
  routed,
  shared,
  type Levels,
  quantised
} from '../../../src/engine/wasm/reference.ts'
import { type MatrixPart, type ModelShape, partOf, shardLayout, type VectorName } from '../../../src/model/layout.ts'
import {
  convolutionOf,
  type Experts,
  expertsOf,
  type FeedForwardExtras,
  type ModelConfig
} from '../../../src/model/decoder.ts'
import type { EdgeType, ShardPlace, ShardRole } from '../../../src/model/manifest.ts'
import { type LayerPart, quantisedTypes, type StoredAs, type Weights } from '../../../src/model/weight-types.ts'
import { readMatrix } from '../../model/tile-reader.ts'

const f = Math.fround
const sum = (a: number, b: number): number => f(a + b)
const times = (a: number, b: number): number => f(a * b)

/** Reads a shard's matrices and vectors. */
function shardReader(shape: ModelShape, place: ShardPlace, bytes: Uint8Array) {
  const layout = shardLayout(shape, place)
  const floats = (name: string): number[] => {
    const { offset, length } = partOf(layout.vectors, name)
    return [...new Float32Array(bytes.slice(offset, offset + 4 * length).buffer)]
  }
  /** The rows of one part, whichever matrix it is in. */
  const matrix = (name: MatrixPart['name'], expert?: number): Rows => {
    const entry = layout.matrices.find(({ parts }) => parts.some(part => part.name === name))!
    const index = entry.parts.findIndex(part => part.name === name && part.expert === expert)
    const first = entry.parts.slice(0, index).reduce((sum, { rows }) => sum + rows, 0)
    const { inputs, level, scale, minimum } = readMatrix(entry, bytes)
    const { block, hasMinimum }: Pick<StoredAs, 'block' | 'hasMinimum'> =
      entry.type === 'f32' ? { block: 32, hasMinimum: false } : quantisedTypes[entry.type]
    const columns = Array.from({ length: inputs }, (_, k) => k)
    const blocks = Array.from({ length: (32 / block) * Math.ceil(inputs / 32) }, (_, b) => block * b)
    const all = Array.from({ length: entry.parts[index]!.rows }, (_, n) => first + n)
    const rows = all.map(n => columns.map(k => level(n, k)))
    if (entry.type === 'f32') return { rows }
    const numbers = (of: typeof scale): number[][] => all.map(n => blocks.map(k => of(n, k)))
    return { rows, block, scales: numbers(scale), minima: hasMinimum ? numbers(minimum) : undefined }
  }
  return { floats, matrix }
}

/** What one layer multiplies and adds, read from its shard. */
function layerReader(shape: ModelShape, place: ShardPlace, bytes: Uint8Array) {
  const { floats, matrix } = shardReader(shape, place, bytes)
  const { config } = shape
  const there = shardLayout(shape, place).vectors
  const vector = (name: VectorName): number[] | undefined =>
    there.some(each => each.name === name) ? floats(name) : undefined
  const weight = (name: VectorName): number[] | undefined =>
    vector(name)?.map(value => sum(value, config.norm?.offset ?? 0))
  return {
    vector,
    matrix,
    weight,
    /** The norm of that name, or nothing where the decoder has none. */
    normed: (name: VectorName, x: readonly number[]): readonly number[] => {
      const own = weight(name)
      return own === undefined ? x : norm(x, own, config.normEpsilon, config.norm?.kind)
    },
    /** A product with a bias, where there is one: from which of its values on. */
    product: (name: LayerPart, x: readonly number[], bias: VectorName, from = 0): number[] => {
      const own = vector(bias)
      const made = product(matrix(name), x)
      return own === undefined ? made : made.map((y, k) => sum(y, own[from + k]!))
    }
  }
}

type LayerReader = ReturnType<typeof layerReader>

/** What a row gets of a layer's one feed-forward part. */
function dense(read: LayerReader, { feedForward, intermediate }: ModelConfig, row: readonly number[]): number[] {
  const isGated = feedForward?.ungated !== true
  const ups = read.product('up', row, 'upBias', isGated ? intermediate : 0)
  const kind = feedForward?.activation
  const wide = isGated
    ? read.product('gate', row, 'upBias').map((gate, i) => gated(gate, ups[i]!, kind))
    : ups.map(up => activated(up, kind ?? 'silu'))
  return read.product('down', wide, 'downBias')
}

/** What a row gets of a layer's mixture of experts. */
function mixture(
  read: LayerReader,
  experts: Experts,
  feedForward: FeedForwardExtras | undefined,
  row: readonly number[]
): number[] {
  const kind = feedForward?.activation
  const parts = routed(product(read.matrix('router'), row), experts).map(({ expert, share }) => {
    const ups = product(read.matrix('up', expert), row)
    const wide =
      feedForward?.ungated === true
        ? ups.map(up => activated(up, kind ?? 'silu'))
        : product(read.matrix('gate', expert), row).map((gate, i) => gated(gate, ups[i]!, kind))
    return { share, y: product(read.matrix('down', expert), wide) }
  })
  return shared(parts)
}

/** Queries, keys and values of a row by head, rotated. */
function headsOf(config: ModelConfig, layer: number, read: LayerReader, row: readonly number[], position: number) {
  const { heads, kvHeads, headDim, normEpsilon, norm: norms, attention } = config
  const { rotations, kinds } = layerForms(config)
  const { rotation } = kinds[kindOf(config, layer)]!
  const split = (all: readonly number[]): number[][] =>
    Array.from({ length: all.length / headDim }, (_, head) => all.slice(head * headDim, (head + 1) * headDim))
  const shaped = (name: 'q' | 'k', x: number[]): number[][] => {
    const weight = read.weight(`${name}Norm`)
    const normed = (each: readonly number[]): number[] => norm(each, weight!, normEpsilon, norms?.kind)
    const own = attention?.headNorm
    const all = own === 'head' ? split(x).map(normed) : split(own === 'all' ? normed(x) : x)
    return rotation === undefined ? all : all.map(head => rotated(head, position, rotations[rotation]!))
  }
  const [queries, keys] = [heads * headDim, kvHeads * headDim]
  return {
    q: shaped('q', read.product('q', row, 'qkvBias')),
    k: shaped('k', read.product('k', row, 'qkvBias', queries)),
    v: split(read.product('v', row, 'qkvBias', queries + keys))
  }
}

/** All hidden states after the last layer, and the logits of the last token. `shard` gives a shard's bytes. */
export function forward(
  config: ModelConfig,
  weights: Weights,
  edge: EdgeType,
  ids: readonly number[],
  shard: (role: ShardRole, layer: number | null) => Uint8Array,
  cache: CacheType = usualCache
): { readonly hidden: number[][]; readonly logits: number[] } {
  const { layers, heads, kvHeads, headDim, tiedEmbeddings, attention, feedForward } = config
  const shape = { config, weights }
  const embedding = shardReader(shape, { role: 'embedding', layer: null }, shard('embedding', null)).matrix('embedding')
  const { block = 32, scales, minima } = embedding
  const rows = ids.map(id =>
    embedding.rows[id]!.map((value, k) => {
      const at = Math.floor(k / block)
      const scaled = times(value, scales?.[id]?.[at] ?? 1)
      return times(minima === undefined ? scaled : sum(scaled, minima[id]![at]!), f(config.embeddingScale ?? 1))
    })
  )
  const added = (x: number, y: number): number => sum(x, times(y, f(config.residualScale ?? 1)))
  const factor = f(attention?.scale ?? 1 / Math.sqrt(headDim))
  for (let layer = 0; layer < layers; layer++) {
    const read = layerReader(shape, { role: 'layer', layer }, shard('layer', layer))
    const { window = Number.POSITIVE_INFINITY } = layerForms(config).kinds[kindOf(config, layer)]!
    const convolution = convolutionOf(config, layer)
    const first = rows.map(x => read.normed('norm1', x))
    const all = convolution === undefined ? first.map((x, position) => headsOf(config, layer, read, x, position)) : []
    const seen: number[][] = Array.from({ length: (convolution?.length ?? 1) - 1 }, () => rows[0]!.map(() => 0))
    const convolve = (position: number): number[] => {
      const { length } = convolution!
      const kernel = read.vector('convKernel')!
      const parts = Array.from({ length }, (_, j) => kernel.slice(j * config.hidden, (j + 1) * config.hidden))
      const { own, out } = convolved(product(read.matrix('convIn'), first[position]!), parts, seen.slice(position))
      seen.push(own)
      return product(read.matrix('convOut'), out)
    }
    const attendFrom = (position: number): number[] => {
      const attended = Array.from({ length: heads }, (_, head) => {
        const kv = Math.floor(head / (heads / kvHeads))
        const there = all.slice(0, position + 1)
        const query = all[position]!.q[head]!.map(value => times(value, factor))
        const [keys, values] = [there.map(({ k }) => k[kv]!), there.map(({ v }) => v[kv]!)]
        const seen = { from: Math.max(0, position + 1 - window), cap: attention?.scoreCap }
        if (cache === 'f32') return attend(query, keys, values, seen)
        const held = (rows: readonly number[][]): Levels[] => rows.map(row => quantised(row))
        return attendBytes(query, held(keys), held(values), seen)
      }).flat()
      return read.product('o', attended, 'oBias')
    }
    for (const [position, x] of rows.entries()) {
      const o = read.normed('norm1After', convolution === undefined ? attendFrom(position) : convolve(position))
      const middle = o.map((y, k) => added(x[k]!, y))
      const normed = read.normed('norm2', middle)
      const experts = expertsOf(config, layer)
      const y = read.normed(
        'norm2After',
        experts === undefined ? dense(read, config, normed) : mixture(read, experts, feedForward, normed)
      )
      const isLast = layer + 1 === layers
      rows[position] = middle.map((value, k) => {
        const out = added(value, y[k]!)
        return isLast ? out : edged(out, edge)
      })
    }
  }
  const head = layerReader(shape, { role: 'head', layer: null }, shard('head', null))
  const output = tiedEmbeddings ? embedding : head.matrix('output')
  const logits = product(output, head.normed('norm', rows.at(-1)!))
  return { hidden: rows, logits: logits.map(x => capped(x, { scale: config.logitScale, cap: config.logitCap })) }
}
