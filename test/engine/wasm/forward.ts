/** All layers of a model as `protocols/arithmetic.md` puts them together, on the plain functions of `reference.ts`. */
import { attend, edged, gated, norm, product, type Rows, rotated } from '../../../src/engine/wasm/reference.ts'
import { embeddingType, layerMatrices, shardTensors } from '../../../src/model/layout.ts'
import type { EdgeType, ModelConfig, ShardRole, WeightType } from '../../../src/model/manifest.ts'

const f = Math.fround
const sum = (a: number, b: number): number => f(a + b)
const times = (a: number, b: number): number => f(a * b)

/** Reads a shard's matrices and vectors. */
function shardReader(config: ModelConfig, weights: WeightType, role: ShardRole, bytes: Uint8Array) {
  const tensors = shardTensors(config, weights, role)
  const raw = (name: string): Uint8Array<ArrayBuffer> => {
    const tensor = tensors.find(each => each.name === name)!
    return bytes.slice(tensor.offset, tensor.offset + tensor.bytes) as Uint8Array<ArrayBuffer>
  }
  const floats = (name: string): number[] => [...new Float32Array(raw(name).buffer)]
  const matrix = (name: string, inputs: number, outputs: number, type: WeightType, rowMajor = false): Rows => {
    const indices = Array.from({ length: outputs }, (_, n) => n)
    const columns = Array.from({ length: inputs }, (_, k) => k)
    if (type === 'f32') {
      const values = floats(name)
      const rows = indices.map(n => columns.map(k => values[rowMajor ? n * inputs + k : k * outputs + n]!))
      return { type, rows, scales: [] }
    }
    const blocks = Math.ceil(inputs / 32)
    const q = raw(`${name}.q`)
    const s = floats(`${name}.s`)
    const weight = (n: number, k: number): number => {
      if (type === 'q8') return q[n * blocks * 32 + k]! - 128
      return ((q[n * blocks * 16 + (k >> 1)]! >> (4 * (k & 1))) & 15) - 8
    }
    const rows = indices.map(n => columns.map(k => weight(n, k)))
    return { type, rows, scales: indices.map(n => s.slice(n * blocks, (n + 1) * blocks)) }
  }
  return { floats, matrix }
}

/** All hidden states after the last layer, and the logits of the last token. `shard` gives a shard's bytes. */
export function forward(
  config: ModelConfig,
  weights: WeightType,
  edge: EdgeType,
  ids: readonly number[],
  shard: (role: ShardRole, layer: number | null) => Uint8Array
): { readonly hidden: number[][]; readonly logits: number[] } {
  const { layers, hidden, heads, kvHeads, headDim, vocab, ropeTheta, normEpsilon, tiedEmbeddings } = config
  const table = embeddingType(weights)
  const embedding = shardReader(config, weights, 'embedding', shard('embedding', null)).matrix(
    'embedding',
    hidden,
    vocab,
    table,
    true
  )
  const rows = ids.map(id =>
    embedding.rows[id]!.map((value, k) => (table === 'f32' ? value : times(value, embedding.scales[id]![k >> 5]!)))
  )
  for (let layer = 0; layer < layers; layer++) {
    const { floats, matrix } = shardReader(config, weights, 'layer', shard('layer', layer))
    const [qkv, o, gateUp, down] = layerMatrices(config).map(({ name, inputs, outputs }) =>
      matrix(name, inputs, outputs, weights)
    ) as [Rows, Rows, Rows, Rows]
    const part = (row: readonly number[], head: number): number[] => row.slice(head * headDim, (head + 1) * headDim)
    const all = rows.map(x => product(qkv, norm(x, floats('norm1'), normEpsilon)))
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
        return attend(
          query,
          seen.map(each => each[heads + kv]!),
          seen.map(each => each[heads + kvHeads + kv]!)
        )
      }).flat()
      const middle = product(o, attended).map((y, k) => sum(x[k]!, y))
      const both = product(gateUp, norm(middle, floats('norm2'), normEpsilon))
      const half = both.length / 2
      const y = product(
        down,
        both.slice(0, half).map((gate, i) => gated(gate, both[half + i]!))
      )
      const isLast = layer + 1 === layers
      rows[position] = middle.map((value, k) => {
        const out = sum(value, y[k]!)
        return isLast ? out : edged(out, edge)
      })
    }
  }
  const head = shardReader(config, weights, 'head', shard('head', null))
  const output = tiedEmbeddings ? embedding : head.matrix('output', hidden, vocab, table)
  return { hidden: rows, logits: product(output, norm(rows.at(-1)!, head.floats('norm'), normEpsilon)) }
}
