/**
 * The ONNX graphs of a span of decoder layers.
 *
 * Attention here is row-invariant (promise P3): a token's bits do not depend on how many tokens share its
 * pass, on chunk borders or on the thread count. ONNX Runtime's matrix kernels add along k strictly in
 * sequence as long as k is not cut, and k up to 128 never is; so keys are cut at absolute multiples of
 * {@link attentionBlock} and nowhere else, and every product over keys has k = 128. A factor other than 1
 * keeps single rows off the one-row kernels, which add in another order; the two halves cancel exactly.
 *
 * The split is exact (promise P1): every layer is the same function of its input wherever the graph is cut,
 * since each ends in an explicit sum rounded to the model's edge type.
 */
import { attentionBlock } from '../limits.ts'
import { blockSize, embeddingType, layerMatrices, shardTensors } from '../model/layout.ts'
import type { EdgeType, ModelConfig, ShardRole, WeightType } from '../model/manifest.ts'
import { shardName } from '../model/manifest.ts'
import { GraphWriter } from './graph-writer.ts'

export interface GraphInit {
  readonly config: ModelConfig
  readonly weights: WeightType
  readonly edge: EdgeType
  /** Layers [start, end). */
  readonly start: number
  readonly end: number
  /** From {@link shardName} to the shard's file name, relative to the one folder that holds all of them. */
  readonly shardLocations: ReadonlyMap<string, string>
  /**
   * Runs a lone token's matrix products as two equal rows: for processors on which 4-bit products of one row
   * differ from those of several (AVX2 without AVX-512). Adds the inputs `keep` and `twin`.
   */
  readonly twinRows?: boolean
}

/** float16's largest finite value: the edge is clipped to it, since an infinity would become NaN for ever. */
export const float16Max = 65504

/**
 * Layers [start, end), with the embedding before them when `start` is 0. With S tokens in the pass, c tokens
 * in the cache and r of them in the current block, P the past positions (whole blocks, or one fully masked dummy
 * block: never 0, which would end the process inside FusedMatMul), T = attentionBlock, G = heads / kvHeads:
 *
 * inputs: `ids` i32 [1, S] or `hidden` f32 [1, S, hidden] · `cos`, `sin` f32 [S, 1, 2, headDim / 2], sin with
 * the first half negated · per layer `keys.l` f32 [c, kvHeads, headDim], one row of zeros when c is 0,
 * `past_v.l` f32 [P / T, kvHeads, T, headDim] and `tail_v.l` f32 [r, kvHeads, headDim] · `mask` f32
 * [1, G·S or 1, P + T], 0 or -Infinity, over the columns of `front`, the keys, the pass and `back` ·
 * `front` f32 [kvHeads, G·S, P + T - the others] and `back` f32 [kvHeads, G·S, T - r - S] zeros · `pad` f32
 * [T - r - S, kvHeads, headDim] zeros · `split` i64 [2] = [P, T] · `ones` f32 [P + T, 1] · with `twinRows` also
 * `keep` i64 [1] = [S] and `twin` i32 [rows], the S rows of the pass or the only one twice; then `ids` or
 * `hidden` has that many rows too.
 *
 * outputs: `hidden_out` f32 [1, S, hidden], rounded to the edge type unless it leaves the last layer ·
 * `kv_new` f32 [S, layers·2·kvHeads, headDim], each layer's rotated keys and then its values.
 */
export function buildGraph(init: GraphInit): Uint8Array {
  const { config, start, end, edge } = init
  const { heads, kvHeads, headDim, hidden, layers } = config
  const T = attentionBlock
  const G = heads / kvHeads
  const g = new GraphWriter(`layers ${start}-${end}`)

  const rows = init.twinRows ? 'rows' : 'S'
  const cos = g.input('cos', 'f32', ['S', 1, 2, headDim / 2])
  const sin = g.input('sin', 'f32', ['S', 1, 2, headDim / 2])
  const mask = g.input('mask', 'f32', [1, 'mask_rows', 'columns'])
  const front = g.input('front', 'f32', [kvHeads, 'queries', 'before'])
  const back = g.input('back', 'f32', [kvHeads, 'queries', 'unused'])
  const split = g.input('split', 'i64', [2])
  const ones = g.input('ones', 'f32', ['columns', 1])
  const pad = g.input('pad', 'f32', ['unused', kvHeads, headDim])
  const keep = init.twinRows ? g.input('keep', 'i64', [1]) : undefined
  const twin = init.twinRows ? g.input('twin', 'i32', [rows]) : undefined

  let x = start === 0 ? embed(g, init, g.input('ids', 'i32', [1, rows])) : g.input('hidden', 'f32', [1, rows, hidden])
  // A norm without a residual: the fused operator is the one whose bits agree on every CPU class, and adding
  // zero is exact.
  const zero = g.node('Sub', [x, x])
  const scaled = {
    alpha: { f: 1 / Math.sqrt(headDim) },
    transB: { i: 1 },
    transBatchB: { i: 1 },
    ...(G === 1 ? { transBatchA: { i: 1 } } : {})
  }
  const half = { alpha: { f: 0.5 } }
  const fresh: string[] = []

  for (let l = start; l < end; l++) {
    const weights = shardWeights(g, init, 'layer', l)
    const product = (name: string, input: string): string => weights.product(name, input)
    const keys = g.input(`keys.${l}`, 'f32', ['c', kvHeads, headDim])
    const pastV = g.input(`past_v.${l}`, 'f32', ['blocks', kvHeads, T, headDim])
    const tailV = g.input(`tail_v.${l}`, 'f32', ['r', kvHeads, headDim])

    const n1 = norm(g, x, zero, weights.tensor('norm1'), config)[0]
    let qkv = product('qkv', n1) // [1, rows, (heads + 2·kvHeads)·headDim]
    if (keep !== undefined) qkv = g.node('Slice', [qkv, g.ints(0), keep, g.ints(1)])
    const [qk, vs] = g.nodes('Split', [qkv, g.ints((heads + kvHeads) * headDim, kvHeads * headDim)], 2, {
      axis: { i: 2 }
    }) as [string, string]

    // Rotary embedding from elementwise operators, whose bits agree on every CPU class.
    const pairs = g.node('Reshape', [qk, g.ints(-1, heads + kvHeads, 2, headDim / 2)])
    const swapped = g.node('Gather', [pairs, g.ints(1, 0)], { axis: { i: 2 } })
    const rotated = g.node('Add', [g.node('Mul', [pairs, cos]), g.node('Mul', [swapped, sin])])
    const [qr, kr] = g.nodes('Split', [rotated, g.ints(heads, kvHeads)], 2, { axis: { i: 1 } }) as [string, string]

    // The rows of one query group follow one another: row g·S + s of [kvHeads, G·S, headDim]. Without groups the
    // product reads [S, kvHeads, headDim] in place.
    const perHead = g.ints(-1, kvHeads, headDim)
    const q =
      G === 1
        ? g.node('Reshape', [qr, perHead])
        : g.node('Reshape', [
            g.node('Transpose', [g.node('Reshape', [qr, g.ints(-1, kvHeads, G, headDim)])], {
              perm: { ints: [1, 2, 0, 3] }
            }),
            g.ints(kvHeads, -1, headDim)
          ])
    const k = g.node('Reshape', [kr, perHead])
    const v = g.node('Reshape', [vs, perHead])
    fresh.push(k, v)

    // A score is a product over headDim, which is never cut: where its key comes from cannot change its bits.
    const scores = g.node('Add', [
      g.node('Concat', [front, g.node('FusedMatMul', [q, keys], scaled), g.node('FusedMatMul', [q, k], scaled), back], {
        axis: { i: 2 }
      }),
      mask
    ]) // [kvHeads, G·S, P + T], keys in position order
    const largest = g.node('ReduceMax', [scores, g.ints(-1)], { keepdims: { i: 1 } })
    const e = g.node('Exp', [g.node('Sub', [scores, largest])]) // masked keys become exactly 0
    const [past, current] = g.nodes('Split', [e, split], 2, { axis: { i: 2 } }) as [string, string]
    // A product with ones instead of ReduceSum: its lanes add in an order that differs between CPU classes.
    const total = g.node('FusedMatMul', [e, ones], half) // [kvHeads, G·S, 1]
    const blocks = g.node('Transpose', [g.node('Reshape', [past, g.ints(kvHeads, 0, -1, T)])], {
      perm: { ints: [2, 0, 1, 3] }
    }) // [P / T, kvHeads, G·S, T]
    const fromPast = g.node('ReduceSum', [g.node('FusedMatMul', [blocks, pastV], half), g.ints(0)], {
      keepdims: { i: 0 }
    })
    const block = g.node('Concat', [tailV, v, pad], { axis: { i: 0 } }) // [T, kvHeads, headDim]
    const fromCurrent = g.node('FusedMatMul', [current, block], { ...half, transBatchB: { i: 1 } })
    const mixed = g.node('Div', [g.node('Add', [fromPast, fromCurrent]), total]) // [kvHeads, G·S, headDim]
    const perToken =
      G === 1
        ? g.node('Transpose', [mixed], { perm: { ints: [1, 0, 2] } })
        : g.node('Transpose', [g.node('Reshape', [mixed, g.ints(kvHeads, G, -1, headDim)])], {
            perm: { ints: [2, 0, 1, 3] }
          })
    let attention = g.node('Reshape', [perToken, g.ints(1, -1, heads * headDim)])
    if (twin !== undefined) attention = g.node('Gather', [attention, twin], { axis: { i: 1 } })

    const [n2, residual] = norm(g, x, product('o', attention), weights.tensor('norm2'), config)
    const gate = product('gate', n2)
    const activated = g.node('Mul', [g.node('Mul', [gate, g.node('Sigmoid', [gate])]), product('up', n2)])
    x = g.node('Add', [residual, product('down', activated)])
    if (l < layers - 1) x = round(g, x, edge)
  }

  if (keep !== undefined) x = g.node('Slice', [x, g.ints(0), keep, g.ints(1)])
  g.output('hidden_out', x, 'f32', [1, 'S', hidden])
  const kv = g.node('Concat', fresh, { axis: { i: 1 } })
  g.output('kv_new', kv, 'f32', ['S', 2 * (end - start) * kvHeads, headDim])
  return g.finish()
}

/**
 * Final norm and output matrix of one token: `hidden` f32 [1, 1, hidden] to `logits` f32 [1, 1, vocab]. A graph
 * of its own, so that a step that samples nothing does not pay for it: on a model of 49,152 tokens it costs as
 * much as six layers.
 */
export function buildHeadGraph(init: GraphInit): Uint8Array {
  const { config } = init
  const g = new GraphWriter('head')
  const x = g.input('hidden', 'f32', [1, 1, config.hidden])
  const head = shardWeights(g, init, 'head', null)
  const n = norm(g, x, g.node('Sub', [x, x]), head.tensor('norm'), config)[0]
  const logits = config.tiedEmbeddings
    ? shardWeights(g, init, 'embedding', null).product('embedding', n)
    : head.product('output', n)
  g.output('logits', logits, 'f32', [1, 1, config.vocab])
  return g.finish()
}

/** Rounds to the edge type and back. */
function round(g: GraphWriter, x: string, edge: EdgeType): string {
  if (edge === 'f32') return x
  const bounded = edge === 'f16' ? g.node('Clip', [x, g.scalar(-float16Max), g.scalar(float16Max)]) : x
  const rounded = g.node('Cast', [bounded], { to: { i: edge === 'f16' ? 10 : 16 } })
  return g.node('Cast', [rounded], { to: { i: 1 } })
}

/** RMS norm of (x + skip) by `weight`, and that sum. */
function norm(g: GraphWriter, x: string, skip: string, weight: string, config: ModelConfig): [string, string] {
  const out = g.nodes('SkipSimplifiedLayerNormalization', [x, skip, weight], 4, { epsilon: { f: config.normEpsilon } })
  return [out[0]!, out[3]!]
}

/** Rows of the embedding: looked up in the mapped file, so that it is never copied as a whole. */
function embed(g: GraphWriter, init: GraphInit, ids: string): string {
  const { hidden } = init.config
  const shard = shardWeights(g, init, 'embedding', null)
  if (embeddingType(init.weights) === 'f32') return g.node('Gather', [shard.tensor('embedding'), ids])
  const blocks = Math.ceil(hidden / blockSize)
  const q = g.node('Cast', [g.node('Gather', [shard.tensor('embedding.q'), ids])], { to: { i: 1 } })
  const s = g.node('Reshape', [g.node('Gather', [shard.tensor('embedding.s'), ids]), g.ints(1, -1, blocks, 1)])
  const x = g.node('Reshape', [
    g.node('Mul', [g.node('Sub', [q, g.scalar(128)]), s]),
    g.ints(1, -1, blocks * blockSize)
  ])
  return hidden % blockSize === 0 ? x : g.node('Slice', [x, g.ints(0), g.ints(hidden), g.ints(2)])
}

interface ShardWeights {
  /** The name of a tensor's initialiser. */
  tensor(name: string): string
  /** Multiplies by a matrix of the shard, however it is stored. */
  product(name: string, input: string): string
}

/** A shard's tensors, each declared when it is first used. */
function shardWeights(g: GraphWriter, init: GraphInit, role: ShardRole, layer: number | null): ShardWeights {
  const { config, weights } = init
  const shard = shardName({ role, layer })
  const file = init.shardLocations.get(shard)
  if (file === undefined)
    throw new RangeError(`the graph of layers ${init.start}-${init.end} needs the file of ${shard}`)
  const entries = new Map(shardTensors(config, weights, role).map(entry => [entry.name, entry]))
  const declared = new Set<string>()
  const tensor = (name: string): string => {
    const entry = entries.get(name)
    if (entry === undefined) throw new RangeError(`${shard} has no tensor ${name}`)
    const full = `${shard}.${name}`
    if (!declared.has(name)) {
      declared.add(name)
      g.external(full, entry.type, entry.shape, file, entry.offset, entry.bytes)
    }
    return full
  }
  const type = role === 'layer' ? weights : embeddingType(weights)
  const matrices = role === 'layer' ? layerMatrices(config) : []
  return {
    tensor,
    product: (name, input) => {
      if (type === 'f32') {
        return name === 'embedding'
          ? g.node('FusedMatMul', [input, tensor(name)], { transB: { i: 1 } })
          : g.node('MatMul', [input, tensor(name)])
      }
      const { inputs, outputs } = matrices.find(m => m.name === name) ?? {
        inputs: config.hidden,
        outputs: config.vocab
      }
      return g.node('MatMulNBits', [input, tensor(`${name}.q`), tensor(`${name}.s`)], {
        K: { i: inputs },
        N: { i: outputs },
        bits: { i: type === 'q8' ? 8 : 4 },
        block_size: { i: blockSize },
        // int8 activations: the exact product is up to 18 times slower at 8 bits.
        accuracy_level: { i: 4 }
      })
    }
  }
}
