/** All layers of a model as `protocols/arithmetic.md` puts them together, on the plain functions of `reference.ts`. */
import { type CacheType, usualCache } from '../../../src/base/cache-type.ts'
import {
  attend,
  attendBytes,
  edged,
  gated,
  norm,
  product,
  type Rows,
  rotated,
  type Levels,
  quantised
} from '../../../src/engine/wasm/reference.ts'
import { type MatrixPart, type ModelShape, partOf, shardLayout } from '../../../src/model/layout.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import type { EdgeType, ShardPlace, ShardRole } from '../../../src/model/manifest.ts'
import { quantisedTypes, type StoredAs, type Weights } from '../../../src/model/weight-types.ts'
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
  const matrix = (name: MatrixPart['name']): Rows => {
    const entry = layout.matrices.find(({ parts }) => parts.some(part => part.name === name))!
    const index = entry.parts.findIndex(part => part.name === name)
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

/** All hidden states after the last layer, and the logits of the last token. `shard` gives a shard's bytes. */
export function forward(
  config: ModelConfig,
  weights: Weights,
  edge: EdgeType,
  ids: readonly number[],
  shard: (role: ShardRole, layer: number | null) => Uint8Array,
  cache: CacheType = usualCache
): { readonly hidden: number[][]; readonly logits: number[] } {
  const { layers, heads, kvHeads, headDim, ropeTheta, normEpsilon, tiedEmbeddings } = config
  const reader = (role: ShardRole, layer: number | null) =>
    shardReader({ config, weights }, { role, layer }, shard(role, layer))
  const embedding = reader('embedding', null).matrix('embedding')
  const { block = 32, scales, minima } = embedding
  const rows = ids.map(id =>
    embedding.rows[id]!.map((value, k) => {
      const at = Math.floor(k / block)
      const scaled = times(value, scales?.[id]?.[at] ?? 1)
      return minima === undefined ? scaled : sum(scaled, minima[id]![at]!)
    })
  )
  for (let layer = 0; layer < layers; layer++) {
    const { floats, matrix } = reader('layer', layer)
    const qkv = [matrix('q'), matrix('k'), matrix('v')]
    const [o, gateMatrix, up, down] = [matrix('o'), matrix('gate'), matrix('up'), matrix('down')]
    const part = (row: readonly number[], head: number): number[] => row.slice(head * headDim, (head + 1) * headDim)
    const all = rows.map(x => {
      const normed = norm(x, floats('norm1'), normEpsilon)
      return qkv.flatMap(each => product(each, normed))
    })
    const turned = all.map((row, position) =>
      Array.from({ length: heads + 2 * kvHeads }, (_, head) =>
        head < heads + kvHeads ? rotated(part(row, head), position, ropeTheta) : part(row, head)
      )
    )
    for (const [position, x] of rows.entries()) {
      const attended = Array.from({ length: heads }, (_, head) => {
        const kv = Math.floor(head / (heads / kvHeads))
        const seen = turned.slice(0, position + 1)
        const query = turned[position]![head]!.map(value => times(value, f(1 / Math.sqrt(headDim))))
        const [keys, values] = [heads + kv, heads + kvHeads + kv].map(head => seen.map(each => each[head]!))
        if (cache === 'f32') return attend(query, keys!, values!)
        const held = (rows: readonly number[][]): Levels[] => rows.map(row => quantised(row))
        return attendBytes(query, held(keys!), held(values!))
      }).flat()
      const middle = product(o, attended).map((y, k) => sum(x[k]!, y))
      const normed = norm(middle, floats('norm2'), normEpsilon)
      const ups = product(up, normed)
      const y = product(
        down,
        product(gateMatrix, normed).map((gate, i) => gated(gate, ups[i]!))
      )
      const isLast = layer + 1 === layers
      rows[position] = middle.map((value, k) => {
        const out = sum(value, y[k]!)
        return isLast ? out : edged(out, edge)
      })
    }
  }
  const head = reader('head', null)
  const output = tiedEmbeddings ? embedding : head.matrix('output')
  return { hidden: rows, logits: product(output, norm(rows.at(-1)!, head.floats('norm'), normEpsilon)) }
}
