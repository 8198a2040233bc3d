/**
 * `protocols/arithmetic.md` in plain JavaScript, one number after the other: slow, and without a kernel. Every float32
 * operation is one operation on float64 numbers and one rounding (`Math.fround`), which gives the same for + - · / and √.
 */
import { expCoefficients, ln2, log2e } from '../../../src/engine/wasm/exponential.ts'
import { cosSin, frequencies } from '../../../src/engine/wasm/rotary.ts'
import { embeddingType, layerMatrices, shardTensors } from '../../../src/model/layout.ts'
import type { EdgeType, ModelConfig, ShardRole, WeightType } from '../../../src/model/manifest.ts'

const f = Math.fround
const sum = (a: number, b: number): number => f(a + b)
const times = (a: number, b: number): number => f(a * b)

/** A matrix as rows: of float32, or of whole numbers in blocks of 32 with a scale each. */
export interface Rows {
  readonly type: WeightType
  readonly rows: readonly (readonly number[])[]
  /** [row][block], quantised types only. */
  readonly scales: readonly (readonly number[])[]
}

/** The nearest whole number, ties to even. */
function nearest(value: number): number {
  const low = Math.floor(value)
  const rest = value - low
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1
}

export function quantised(x: readonly number[]): { readonly a: number[]; readonly scale: number } {
  const largest = Math.max(...x.map(Math.abs))
  const factor = largest > 2 ** -100 ? f(127 / largest) : 0
  return { a: x.map(value => nearest(times(value, factor))), scale: f(largest / 127) }
}

export function product({ type, rows, scales }: Rows, x: readonly number[]): number[] {
  if (type === 'f32') {
    return rows.map(row => row.reduce((total, weight, k) => sum(times(weight, x[k]!), total), 0))
  }
  const blocks = Array.from({ length: Math.ceil(x.length / 32) }, (_, b) => quantised(x.slice(32 * b, 32 * b + 32)))
  return rows.map((row, n) =>
    blocks.reduce((total, { a, scale }, b) => {
      const dot = a.reduce((all, value, k) => all + value * row[32 * b + k]!, 0)
      return sum(times(dot, times(scales[n]![b]!, scale)), total)
    }, 0)
  )
}

export function norm(x: readonly number[], weight: readonly number[], epsilon: number): number[] {
  const lanes = new Array<number>(16).fill(0)
  for (const [k, value] of x.entries()) lanes[k % 16] = sum(times(value, value), lanes[k % 16]!)
  const four = [0, 1, 2, 3].map(i => sum(sum(lanes[i]!, lanes[4 + i]!), sum(lanes[8 + i]!, lanes[12 + i]!)))
  const total = sum(sum(four[0]!, four[2]!), sum(four[1]!, four[3]!))
  const factor = f(1 / f(Math.sqrt(sum(f(total / f(x.length)), f(epsilon)))))
  return x.map((value, k) => times(times(value, factor), weight[k]!))
}

export function rotated(head: readonly number[], position: number, theta: number): number[] {
  const half = head.length / 2
  const turns = [...frequencies(head.length, theta)].map(frequency => cosSin(position * frequency))
  return head.map((value, i) => {
    const [c, s] = [f(turns[i % half]!.cos), f(turns[i % half]!.sin)]
    if (i < half) return f(times(value, c) - times(head[i + half]!, s))
    return sum(times(value, c), times(head[i - half]!, s))
  })
}

export function exponential(x: number): number {
  const n = nearest(times(x, f(log2e)))
  const r = f(f(x - times(n, f(ln2.high))) - times(n, f(ln2.low)))
  const polynomial = expCoefficients.slice(1).reduce((p, c) => sum(times(p, r), f(c)), f(expCoefficients[0]))
  return sum(sum(times(polynomial, times(r, r)), r), 1) * 2 ** n
}

/** One query over keys and values [position][headDim], `query` already multiplied with headDim^-½. */
export function attend(query: readonly number[], keys: readonly number[][], values: readonly number[][]): number[] {
  const scores = keys.map(key => key.reduce((total, k, d) => sum(times(k, query[d]!), total), 0))
  const most = Math.max(...scores)
  const weights = scores.map(score => {
    const x = f(score - most)
    return x >= -80 ? exponential(x) : 0
  })
  const lanes = new Array<number>(8).fill(0)
  for (const [p, weight] of weights.entries()) lanes[p % 8] = sum(weight, lanes[p % 8]!)
  const four = [0, 1, 2, 3].map(i => sum(lanes[i]!, lanes[4 + i]!))
  const factor = f(1 / sum(sum(four[0]!, four[2]!), sum(four[1]!, four[3]!)))
  return query.map((_, d) =>
    times(
      weights.reduce((total, weight, p) => sum(times(values[p]![d]!, weight), total), 0),
      factor
    )
  )
}

export function gated(gate: number, up: number): number {
  const x = Math.min(Math.max(-gate, -87), 88)
  return times(f(gate / sum(1, exponential(x))), up)
}

export function edged(value: number, edge: EdgeType): number {
  if (edge === 'f32') return value
  if (edge === 'f16') {
    const cut = Math.min(Math.abs(value), 65_504)
    const step = cut < 2 ** -14 ? 2 ** -24 : 2 ** (Math.floor(Math.log2(cut)) - 10)
    return Math.sign(value) * nearest(cut / step) * step
  }
  const bits = new Uint32Array(Float32Array.of(Math.abs(value)).buffer)
  const near = new Float32Array(Uint32Array.of(nearest(bits[0]! / 65_536) * 65_536).buffer)[0]!
  return Math.sign(value) * near
}

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
