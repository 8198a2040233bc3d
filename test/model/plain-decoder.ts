/**
 * A decoder by its description, the plain way: loops in float64 and the functions of `Math`, for everything that a manifest may
 * say. Slow, and independent of the engines.
 */
import {
  type Experts,
  expertsOf,
  type FeedForwardExtras,
  type LayerKind,
  type ModelConfig,
  type Rotation
} from '../../src/model/decoder.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { readShard, type ReferenceMatrix, type ReferenceShard } from './reference.ts'

/** What each layer holds of what came before. */
interface Cache {
  readonly keys: Float64Array[]
  readonly values: Float64Array[]
  /** Of a short convolution: B · x by position. */
  readonly rows: Float64Array[]
}

export class PlainDecoder {
  readonly #config: ModelConfig
  readonly #embedding: ReferenceMatrix
  readonly #layers: readonly ReferenceShard[]
  readonly #head: ReferenceShard

  /** @param shards in the order of the manifest */
  constructor(config: ModelConfig, shards: readonly ReferenceShard[]) {
    this.#config = config
    this.#embedding = shards[0]!.matrices.get('embedding')!
    this.#layers = shards.slice(1, -1)
    this.#head = shards.at(-1)!
  }

  static of(model: StoredModel): PlainDecoder {
    const { config, shards } = model.manifest
    return new PlainDecoder(
      config,
      shards.map((_, i) => readShard(model, i))
    )
  }

  /** Logits [vocab] after `prompt`, and the ids that follow greedily. */
  greedy(prompt: readonly number[], count: number): { readonly logits: Float64Array; readonly ids: readonly number[] } {
    const caches = this.#layers.map((): Cache => ({ keys: [], values: [], rows: [] }))
    let logits: Float64Array = new Float64Array()
    for (const id of prompt) logits = this.#step(id, caches)
    const first = logits
    const ids: number[] = []
    while (ids.length < count) {
      ids.push(logits.indexOf(Math.max(...logits)))
      if (ids.length < count) logits = this.#step(ids.at(-1)!, caches)
    }
    return { logits: first, ids }
  }

  #step(id: number, caches: readonly Cache[]): Float64Array {
    const { hidden, embeddingScale = 1, logitScale = 1, logitCap, tiedEmbeddings } = this.#config
    let x: Float64Array = Float64Array.from(
      this.#embedding.values.subarray(id * hidden, (id + 1) * hidden),
      value => value * embeddingScale
    )
    for (const [layer, shard] of this.#layers.entries()) x = this.#layer(x, layer, shard, caches[layer]!)
    const output = tiedEmbeddings ? this.#embedding : this.#head.matrices.get('output')!
    const logits = multiply(output, this.#norm(x, this.#head.vectors.get('norm')!))
    return logits.map(logit => capped(logit * logitScale, logitCap))
  }

  #layer(x: Float64Array, layer: number, { matrices, vectors }: ReferenceShard, cache: Cache): Float64Array {
    const { intermediate, residualScale = 1, feedForward = {} } = this.#config
    const normed = (value: Float64Array, name: string): Float64Array => {
      const weight = vectors.get(name)
      return weight === undefined ? value : this.#norm(value, weight)
    }
    const added = (to: Float64Array, what: Float64Array): Float64Array =>
      to.map((value, i) => value + what[i]! * residualScale)

    const kernel = vectors.get('convKernel')
    const mix = (row: Float64Array): Float64Array => {
      if (kernel !== undefined) {
        const { hidden } = this.#config
        const made = convolve(multiply(matrices.get('convIn')!, row), kernel, hidden, cache)
        return multiply(matrices.get('convOut')!, made)
      }
      const qkv = biased(multiply(matrices.get('qkv')!, row), vectors.get('qkvBias'))
      const attended = this.#attend(qkv, layer, vectors, cache)
      return biased(multiply(matrices.get('o')!, attended), vectors.get('oBias'))
    }
    const o = mix(normed(x, 'norm1'))
    const middle = added(x, normed(o, 'norm1After'))

    const between = normed(middle, 'norm2')
    const experts = expertsOf(this.#config, layer)
    if (experts !== undefined) {
      return added(middle, normed(mixture(matrices, between, experts, feedForward), 'norm2After'))
    }
    const name = feedForward.ungated === true ? 'up' : 'gateup'
    const wide = biased(multiply(matrices.get(name)!, between), vectors.get('upBias'))
    const active = wide.slice(0, intermediate).map(value => activated(value, feedForward))
    const gated = feedForward.ungated === true ? active : active.map((value, i) => value * wide[intermediate + i]!)
    const down = biased(multiply(matrices.get('down')!, gated), vectors.get('downBias'))
    return added(middle, normed(down, 'norm2After'))
  }

  #attend(
    qkv: Float64Array,
    layer: number,
    vectors: ReadonlyMap<string, Float32Array>,
    { keys, values }: Cache
  ): Float64Array {
    const { heads, kvHeads, headDim, attention = {}, kinds } = this.#config
    const kind = kinds?.of[kinds.layers[layer]!] ?? {}
    const position = keys.length
    const prepared = (from: number, count: number, norm: string): Float64Array => {
      const rows = qkv.slice(from * headDim, (from + count) * headDim)
      const weight = vectors.get(norm)
      const width = attention.headNorm === 'all' ? rows.length : headDim
      for (let at = 0; weight !== undefined && at < rows.length; at += width) {
        rows.set(this.#norm(rows.slice(at, at + width), weight), at)
      }
      for (let at = 0; at < rows.length; at += headDim) this.#rotate(rows.subarray(at, at + headDim), position, kind)
      return rows
    }
    const q = prepared(0, heads, 'qNorm')
    keys.push(prepared(heads, kvHeads, 'kNorm'))
    values.push(qkv.slice((heads + kvHeads) * headDim))
    const first = Math.max(0, position + 1 - (kind.window ?? Number.POSITIVE_INFINITY))
    const attended = new Float64Array(heads * headDim)
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / kvHeads)) * headDim
      const scores = keys.slice(first).map(key => {
        let sum = 0
        for (let i = 0; i < headDim; i++) sum += q[h * headDim + i]! * key[g + i]!
        return capped(sum * (attention.scale ?? 1 / Math.sqrt(headDim)), attention.scoreCap)
      })
      const largest = Math.max(...scores)
      const weights = scores.map(score => Math.exp(score - largest))
      const total = weights.reduce((a, b) => a + b, 0)
      for (const [t, weight] of weights.entries()) {
        for (let i = 0; i < headDim; i++) attended[h * headDim + i]! += (weight / total) * values[first + t]![g + i]!
      }
    }
    return attended
  }

  #rotate(head: Float64Array, position: number, kind: LayerKind): void {
    const rotation: Rotation | 'none' = kind.rotation ?? this.#config.rotation ?? {}
    if (rotation === 'none') return
    const { dims = head.length, pairs, divisors, gain = 1 } = rotation
    const theta = kind.ropeTheta ?? this.#config.ropeTheta
    for (let i = 0; i < dims / 2; i++) {
      const angle = position / (theta ** ((2 * i) / dims) * (divisors?.[i] ?? 1))
      const [one, other] = pairs === 'neighbours' ? [2 * i, 2 * i + 1] : [i, i + dims / 2]
      const [a, b] = [head[one]!, head[other]!]
      head[one] = gain * (a * Math.cos(angle) - b * Math.sin(angle))
      head[other] = gain * (a * Math.sin(angle) + b * Math.cos(angle))
    }
  }

  #norm(x: Float64Array, weight: Float32Array): Float64Array {
    const { norm = {}, normEpsilon } = this.#config
    const mean = norm.kind === 'mean' ? x.reduce((a, b) => a + b, 0) / x.length : 0
    const squares = x.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    const scale = 1 / Math.sqrt(squares / x.length + normEpsilon)
    return x.map((value, i) => (value - mean) * scale * (weight[i]! + (norm.offset ?? 0)))
  }
}

/** A mixture of experts for one row. */
function mixture(
  matrices: ReferenceShard['matrices'],
  x: Float64Array,
  { used, intermediate, renormalised, count }: Experts,
  feedForward: FeedForwardExtras
): Float64Array {
  const outputs = multiply(matrices.get('router')!, x)
  const largest = Math.max(...outputs)
  const odds = outputs.map(value => Math.exp(value - largest))
  const all = odds.reduce((a, b) => a + b, 0)
  const taken = Array.from(odds.keys())
    .sort((a, b) => odds[b]! - odds[a]!)
    .slice(0, used)
  const total = renormalised === true ? taken.reduce((sum, expert) => sum + odds[expert]!, 0) : all
  const isGated = feedForward.ungated !== true
  const y = new Float64Array(x.length)
  for (const expert of taken) {
    const wide = isGated
      ? multiply(rowsOf(matrices.get('gateup')!, expert, count), x)
      : multiply(rowsOf(matrices.get('up')!, expert, count), x)
    const active = wide.slice(0, intermediate).map(value => activated(value, feedForward))
    const gated = isGated ? active.map((value, i) => value * wide[intermediate + i]!) : active
    const down = multiply(rowsOf(matrices.get('down')!, expert, count), gated)
    for (const [k, value] of down.entries()) y[k]! += (odds[expert]! / total) * value
  }
  return y
}

/** The rows of one of so many experts. */
function rowsOf({ outputs, inputs, values }: ReferenceMatrix, expert: number, count: number): ReferenceMatrix {
  const rows = outputs / count
  return { outputs: rows, inputs, values: values.subarray(expert * rows * inputs, (expert + 1) * rows * inputs) }
}

/** A short convolution of one row [3 · hidden], whose kernel is [length][hidden]. */
function convolve(row: Float64Array, kernel: Float32Array, hidden: number, { rows }: Cache): Float64Array {
  const part = (i: number): Float64Array => row.slice(i * hidden, (i + 1) * hidden)
  const [b, c, x] = [part(0), part(1), part(2)]
  rows.push(b.map((value, d) => value * x[d]!))
  const length = kernel.length / hidden
  return c.map((value, d) => {
    let sum = 0
    for (let back = 0; back < length; back++) {
      sum += kernel[(length - 1 - back) * hidden + d]! * (rows.at(-1 - back)?.[d] ?? 0)
    }
    return value * sum
  })
}

function multiply({ outputs, inputs, values }: ReferenceMatrix, x: Float64Array): Float64Array {
  const y = new Float64Array(outputs)
  for (let o = 0; o < outputs; o++) {
    let sum = 0
    for (let i = 0; i < inputs; i++) sum += values[o * inputs + i]! * x[i]!
    y[o] = sum
  }
  return y
}

function biased(y: Float64Array, bias: Float32Array | undefined): Float64Array {
  return bias === undefined ? y : y.map((value, i) => value + bias[i]!)
}

function capped(value: number, cap: number | undefined): number {
  return cap === undefined ? value : cap * Math.tanh(value / cap)
}

function activated(x: number, { activation }: FeedForwardExtras): number {
  if (activation === undefined) return x / (1 + Math.exp(-x))
  if (activation === 'gelu') return 0.5 * x * (1 + erf(x / Math.SQRT2))
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
}

/** By its Taylor series, whose terms are many and small enough where it is not 1 within float64 anyway. */
function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; n < 120; n++) {
    term *= (-x * x) / n
    sum += term / (2 * n + 1)
  }
  return (2 / Math.sqrt(Math.PI)) * sum
}
