/**
 * A decoder in float64, as its description says it and as textbooks write it, with none of the engine's code and in no
 * particular order of sums: what the engine's arithmetic is a rounding of. Weights are float32.
 */
import type { LayerKind, ModelConfig } from '../../../src/model/decoder.ts'
import { type MatrixPart, shardLayout, type VectorName } from '../../../src/model/layout.ts'
import type { ShardPlace, ShardRole } from '../../../src/model/manifest.ts'
import { readMatrix } from '../../model/tile-reader.ts'

type Row = readonly number[]

const dot = (a: Row, b: Row): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0)
const mean = (x: Row): number => x.reduce((sum, value) => sum + value, 0) / x.length

/** By its series, which is enough for what follows a norm. */
function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x)
  let [term, sum] = [x, x]
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}

const activations = {
  silu: (x: number): number => x / (1 + Math.exp(-x)),
  gelu: (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  'gelu-tanh': (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
}

const cap = (x: number, most: number | undefined): number => (most === undefined ? x : most * Math.tanh(x / most))

class Shard {
  readonly #config: ModelConfig
  readonly #place: ShardPlace
  readonly #bytes: Uint8Array

  constructor(config: ModelConfig, place: ShardPlace, bytes: Uint8Array) {
    this.#config = config
    this.#place = place
    this.#bytes = bytes
  }

  get #layout() {
    return shardLayout({ config: this.#config, weights: 'f32' }, this.#place)
  }

  vector(name: VectorName): Row | undefined {
    const entry = this.#layout.vectors.find(each => each.name === name)
    if (entry === undefined) return undefined
    const { offset, length } = entry
    return [...new Float32Array(this.#bytes.slice(offset, offset + 4 * length).buffer)]
  }

  rows(name: MatrixPart['name']): Row[] {
    const entry = this.#layout.matrices.find(({ parts }) => parts.some(part => part.name === name))!
    const { inputs, level } = readMatrix(entry, this.#bytes)
    const index = entry.parts.findIndex(part => part.name === name)
    const first = entry.parts.slice(0, index).reduce((sum, { rows }) => sum + rows, 0)
    return Array.from({ length: entry.parts[index]!.rows }, (_, n) =>
      Array.from({ length: inputs }, (_, k) => level(first + n, k))
    )
  }

  normed(name: VectorName, x: Row): Row {
    const weight = this.vector(name)
    if (weight === undefined) return x
    const { norm, normEpsilon } = this.#config
    const centre = norm?.kind === 'mean' ? mean(x) : 0
    const size = Math.sqrt(mean(x.map(value => (value - centre) ** 2)) + normEpsilon)
    return x.map((value, k) => ((value - centre) / size) * (weight[k]! + (norm?.offset ?? 0)))
  }

  product(name: MatrixPart['name'], x: Row, bias: VectorName, from = 0): Row {
    const more = this.vector(bias)
    return this.rows(name).map((row, n) => dot(row, x) + (more?.[from + n] ?? 0))
  }
}

function rotated(config: ModelConfig, kind: LayerKind, head: Row, position: number): Row {
  const own = kind.rotation ?? config.rotation ?? {}
  if (own === 'none') return head
  const { dims = config.headDim, pairs, divisors, gain = 1 } = own
  const out = [...head]
  for (let i = 0; i < dims / 2; i++) {
    const angle = (position * (kind.ropeTheta ?? config.ropeTheta) ** ((-2 * i) / dims)) / (divisors?.[i] ?? 1)
    const [a, b] = pairs === 'neighbours' ? [2 * i, 2 * i + 1] : [i, i + dims / 2]
    const [c, s] = [gain * Math.cos(angle), gain * Math.sin(angle)]
    out[a] = head[a]! * c - head[b]! * s
    out[b] = head[b]! * c + head[a]! * s
  }
  return out
}

/** Logits of the last token. */
export function plainLogits(
  config: ModelConfig,
  ids: readonly number[],
  shard: (role: ShardRole, layer: number | null) => Uint8Array
): number[] {
  const { layers, heads, kvHeads, headDim, intermediate, attention, feedForward, kinds } = config
  const of = (role: ShardRole, layer: number | null): Shard => new Shard(config, { role, layer }, shard(role, layer))
  const table = of('embedding', null).rows('embedding')
  let rows: Row[] = ids.map(id => table[id]!.map(value => value * (config.embeddingScale ?? 1)))
  const add = (x: Row, y: Row): Row => x.map((value, k) => value + y[k]! * (config.residualScale ?? 1))
  for (let layer = 0; layer < layers; layer++) {
    const read = of('layer', layer)
    const kind = kinds?.of[kinds.layers[layer]!] ?? {}
    const split = (row: Row): Row[] =>
      Array.from({ length: row.length / headDim }, (_, i) => row.slice(i * headDim, (i + 1) * headDim))
    const turned = (name: 'qNorm' | 'kNorm', row: Row, position: number): Row[] => {
      const all = split(attention?.headNorm === 'all' ? read.normed(name, row) : row)
      const each = attention?.headNorm === 'head' ? all.map(head => read.normed(name, head)) : all
      return each.map(head => rotated(config, kind, head, position))
    }
    const [q, k] = [heads * headDim, kvHeads * headDim]
    const seen = rows.map((x, position) => {
      const normed = read.normed('norm1', x)
      return {
        q: turned('qNorm', read.product('q', normed, 'qkvBias'), position),
        k: turned('kNorm', read.product('k', normed, 'qkvBias', q), position),
        v: split(read.product('v', normed, 'qkvBias', q + k))
      }
    })
    rows = rows.map((x, position) => {
      const first = Math.max(0, position + 1 - (kind.window ?? Number.POSITIVE_INFINITY))
      const attended = Array.from({ length: heads }, (_, head) => {
        const kv = Math.floor((head * kvHeads) / heads)
        const there = seen.slice(first, position + 1)
        const scores = there.map(each =>
          cap(dot(each.k[kv]!, seen[position]!.q[head]!) * (attention?.scale ?? headDim ** -0.5), attention?.scoreCap)
        )
        const weights = scores.map(score => Math.exp(score - Math.max(...scores)))
        const all = weights.reduce((sum, weight) => sum + weight, 0)
        return Array.from(
          { length: headDim },
          (_, d) =>
            dot(
              weights,
              there.map(({ v }) => v[kv]![d]!)
            ) / all
        )
      }).flat()
      const middle = add(x, read.normed('norm1After', read.product('o', attended, 'oBias')))
      const normed = read.normed('norm2', middle)
      const activation = activations[feedForward?.activation ?? 'silu']
      const isGated = feedForward?.ungated !== true
      const up = read.product('up', normed, 'upBias', isGated ? intermediate : 0)
      const gate = isGated ? read.product('gate', normed, 'upBias') : undefined
      const wide = gate === undefined ? up.map(activation) : gate.map((value, i) => activation(value) * up[i]!)
      return add(middle, read.normed('norm2After', read.product('down', wide, 'downBias')))
    })
  }
  const head = of('head', null)
  const normed = head.normed('norm', rows.at(-1)!)
  const output = config.tiedEmbeddings ? table : head.rows('output')
  return output.map(row => cap(dot(row, normed) * (config.logitScale ?? 1), config.logitCap))
}
