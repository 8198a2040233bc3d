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
 *
 * In float32 models every operator here has the same bits on all common CPU classes. The products of quantised
 * weights have not, so their graphs lose nothing by operators that fuse several steps and differ between classes as
 * well (rotary embedding, softmax): ten nodes a layer fewer, and a node costs 1.5 µs whatever it computes.
 */
import { attentionBlock } from '../../model/limits.ts'
import { type ModelShape, partOf, shardLayout } from '../../model/layout.ts'
import { tileColumns as blockSize } from '../../model/tiles.ts'
import { typeOf, typesIn } from '../../model/weight-types.ts'
import { bitsOf, type OnnxTensor, outputsOf, shardTensors } from './tensors.ts'
import type { ModelConfig } from '../../model/decoder.ts'
import type { EdgeType, ShardRole } from '../../model/manifest.ts'
import { shardName } from '../../model/manifest.ts'
import { type Attributes, GraphWriter } from './graph-writer.ts'

export interface GraphInit extends ModelShape {
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
  /** Computes two rows of the output matrix as one where that suits the kernel: see {@link buildHeadGraph}. */
  readonly pairedHead?: boolean
}

/** Blocks of a row that ONNX Runtime's AVX-512 kernels for quantised products take at once; the rest one by one. */
const blocksAtOnce = 4

/** float16's largest finite value: the edge is clipped to it, since an infinity would become NaN for ever. */
export const float16Max = 65504

/**
 * Layers [start, end), with the embedding before them when `start` is 0. With S tokens in the pass, c tokens
 * in the cache and r of them in the current block, P the past positions (whole blocks, or one fully masked dummy
 * block: never 0, which would end the process inside FusedMatMul), T = attentionBlock, G = heads / kvHeads:
 *
 * inputs: `ids` i32 [1, S] or `hidden` f32 [1, S, hidden] · with float32 weights `cos`, `sin` f32
 * [S, 1, 1, headDim / 2], the rows of the pass, and `ones` f32 [P + T, 1] · with quantised ones `cos`, `sin` f32
 * [positions, headDim / 2], at least as many rows as heads, and `turns` i64 [S, heads + 2·kvHeads], the row of each
 * head of queries, keys and values · per layer `keys.l` f32 [c, kvHeads, headDim], one row of zeros when c is 0,
 * `past_v.l` f32 [P / T, kvHeads, T, headDim] and `tail_v.l` f32 [r, kvHeads, headDim] · `mask` f32
 * [1, G·S or 1, P + T], 0 or -Infinity, over the columns of `front`, the keys, the pass and `back` ·
 * `front` f32 [kvHeads, G·S, P + T - the others] and `back` f32 [kvHeads, G·S, T - r - S] zeros · `pad` f32
 * [T - r - S, kvHeads, headDim] zeros · `split` i64 [2] = [P, T] · with `twinRows` also `keep` i64 [1] = [S] and
 * `twin` i32 [rows], the S rows of the pass or the only one twice; then `ids` or `hidden` has that many rows too.
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
  const rotate = rotation(g, init)
  const mask = g.input('mask', 'f32', [1, 'mask_rows', 'columns'])
  const front = g.input('front', 'f32', [kvHeads, 'queries', 'before'])
  const back = g.input('back', 'f32', [kvHeads, 'queries', 'unused'])
  const split = g.input('split', 'i64', [2])
  const ones = isPortable(init) ? g.input('ones', 'f32', ['columns', 1]) : undefined
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
  // Without groups a lone token is a single row: the factor keeps it off the one-row kernels.
  const weighted: Attributes = ones !== undefined || G === 1 ? { alpha: { f: 0.5 } } : {}
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
    const [qs, k, v] = rotate(qkv) // [S, heads or kvHeads, headDim]
    fresh.push(k, v)

    // The rows of one query group follow one another: row g·S + s of [kvHeads, G·S, headDim]. Without groups the
    // product reads [S, kvHeads, headDim] in place.
    const q =
      G === 1
        ? qs
        : g.node('Reshape', [
            g.node('Transpose', [g.node('Reshape', [qs, g.ints(-1, kvHeads, G, headDim)])], {
              perm: { ints: [1, 2, 0, 3] }
            }),
            g.ints(kvHeads, -1, headDim)
          ])

    // A score is a product over headDim, which is never cut: where its key comes from cannot change its bits.
    const scores = g.node('Add', [
      g.node('Concat', [front, g.node('FusedMatMul', [q, keys], scaled), g.node('FusedMatMul', [q, k], scaled), back], {
        axis: { i: 2 }
      }),
      mask
    ]) // [kvHeads, G·S, P + T], keys in position order
    const e = ones === undefined ? g.node('Softmax', [scores], { axis: { i: -1 } }) : exponentials(g, scores)
    const [past, current] = g.nodes('Split', [e, split], 2, { axis: { i: 2 } }) as [string, string]
    const blocks = g.node('Transpose', [g.node('Reshape', [past, g.ints(kvHeads, 0, -1, T)])], {
      perm: { ints: [2, 0, 1, 3] }
    }) // [P / T, kvHeads, G·S, T]
    const fromPast = g.node('ReduceSum', [g.node('FusedMatMul', [blocks, pastV], weighted), g.ints(0)], {
      keepdims: { i: 0 }
    })
    const block = g.node('Concat', [tailV, v, pad], { axis: { i: 0 } }) // [T, kvHeads, headDim]
    const fromCurrent = g.node('FusedMatMul', [current, block], { ...weighted, transBatchB: { i: 1 } })
    const sum = g.node('Add', [fromPast, fromCurrent]) // [kvHeads, G·S, headDim]
    // A product with ones instead of ReduceSum: its lanes add in an order that differs between CPU classes.
    const mixed =
      ones !== undefined
        ? g.node('Div', [sum, g.node('FusedMatMul', [e, ones], weighted)])
        : G === 1
          ? g.node('Mul', [sum, g.scalar(2)])
          : sum
    const perToken =
      G === 1
        ? g.node('Transpose', [mixed], { perm: { ints: [1, 0, 2] } })
        : g.node('Transpose', [g.node('Reshape', [mixed, g.ints(kvHeads, G, -1, headDim)])], {
            perm: { ints: [2, 0, 1, 3] }
          })
    let attention = g.node('Reshape', [perToken, g.ints(1, -1, heads * headDim)])
    if (twin !== undefined) attention = g.node('Gather', [attention, twin], { axis: { i: 1 } })

    const [n2, residual] = norm(g, x, product('o', attention), weights.tensor('norm2'), config)
    const { intermediate } = config
    const [gate, up] = g.nodes('Split', [product('gateup', n2), g.ints(intermediate, intermediate)], 2, {
      axis: { i: 2 }
    }) as [string, string]
    // x·sigmoid(x), the two operators' bits in one.
    const activated = g.node('Mul', [g.node('QuickGelu', [gate], { alpha: { f: 1 } }), up])
    x = g.node('Add', [residual, product('down', activated)])
    if (l < layers - 1) x = round(g, x, edge)
  }

  if (keep !== undefined) x = g.node('Slice', [x, g.ints(0), keep, g.ints(1)])
  g.output('hidden_out', x, 'f32', [1, 'S', hidden])
  const kvShape = ['S', 2 * (end - start) * kvHeads, headDim] as const
  g.outputNode('kv_new', 'f32', kvShape, 'Concat', fresh, { axis: { i: 1 } })
  return g.finish()
}

/**
 * Final norm and output matrix of one token: `hidden` f32 [1, 1, hidden] to `logits` f32, vocab of them in order. A
 * graph of its own, so that a step that samples nothing does not pay for it: on a model of 49,152 tokens it costs as
 * much as six layers.
 *
 * What is left of a row after whole groups of {@link blocksAtOnce} blocks makes ONNX Runtime's kernel wait for memory:
 * at 576 inputs a third more time than at 640. With `pairedHead` two rows that follow one another are read as one of
 * twice the length, which has no rest, and the token is computed twice: before as many zeros, for the first rows of all
 * pairs, and after them, for the second ones. The sums get zeros that change nothing.
 */
export function buildHeadGraph(init: GraphInit): Uint8Array {
  const { config } = init
  const g = new GraphWriter('head')
  const x = g.input('hidden', 'f32', [1, 1, config.hidden])
  const head = shardWeights(g, init, 'head', null)
  const zero = g.node('Sub', [x, x])
  const n = norm(g, x, zero, head.tensor('norm'), config)[0]
  const name = config.tiedEmbeddings ? 'embedding' : 'output'
  const weights = config.tiedEmbeddings ? shardWeights(g, init, 'embedding', null) : head
  if (isPaired(init)) {
    const both = g.node('Reshape', [g.node('Concat', [n, zero, zero, n], { axis: { i: 2 } }), g.ints(1, 2, -1)])
    const halves = weights.pairedProduct(name, both) // [1, 2, vocab / 2], the first rows of all pairs, then the second
    g.outputNode('logits', 'f32', [1, config.vocab / 2, 2], 'Transpose', [halves], { perm: { ints: [0, 2, 1] } })
  } else {
    g.output('logits', weights.product(name, n), 'f32', [1, 1, config.vocab])
  }
  return g.finish()
}

function isPaired({ config, weights, pairedHead }: GraphInit): boolean {
  const { hidden, vocab } = config
  const isFloat = typeOf(weights, 'output', null) === 'f32'
  if (pairedHead !== true || isFloat || hidden % blockSize !== 0 || vocab % 2 !== 0) return false
  return (hidden / blockSize) % blocksAtOnce === blocksAtOnce / 2
}

/** Whether all common CPU classes compute the same bits: not with products of quantised weights. */
export function isPortable({ weights }: Pick<GraphInit, 'weights'>): boolean {
  return [...typesIn(weights)].every(type => type === 'f32')
}

/**
 * Takes qkv [1, S, (heads + 2·kvHeads)·headDim] apart into queries [S, heads, headDim], keys and values
 * [S, kvHeads, headDim], the first two turned by their position. Declares the inputs `cos`, `sin` and `turns`.
 */
function rotation(g: GraphWriter, init: GraphInit): (qkv: string) => [string, string, string] {
  const { heads, kvHeads, headDim } = init.config
  const half = headDim / 2
  if (!isPortable(init)) {
    const cos = g.input('cos', 'f32', ['positions', half])
    const sin = g.input('sin', 'f32', ['positions', half])
    const turns = g.input('turns', 'i64', ['S', heads + 2 * kvHeads])
    return qkv => {
      // The operator's batch is our pass and its sequence our heads: so every head has a row of its own, and that
      // of values is the first, which leaves them as they are.
      const all = g.node('Reshape', [qkv, g.ints(-1, heads + 2 * kvHeads, headDim)])
      const turned = g.node('RotaryEmbedding', [all, turns, cos, sin])
      return g.nodes('Split', [turned, g.ints(heads, kvHeads, kvHeads)], 3, { axis: { i: 1 } }) as [
        string,
        string,
        string
      ]
    }
  }
  const c = g.input('cos', 'f32', ['S', 1, 1, half])
  const s = g.input('sin', 'f32', ['S', 1, 1, half])
  const cos = g.node('Concat', [c, c], { axis: { i: 2 } })
  const sin = g.node('Concat', [g.node('Neg', [s]), s], { axis: { i: 2 } })
  return qkv => {
    const [qk, v] = g.nodes('Split', [qkv, g.ints((heads + kvHeads) * headDim, kvHeads * headDim)], 2, {
      axis: { i: 2 }
    }) as [string, string]
    // From elementwise operators, whose bits agree on every CPU class.
    const pairs = g.node('Reshape', [qk, g.ints(-1, heads + kvHeads, 2, half)])
    const swapped = g.node('Gather', [pairs, g.ints(1, 0)], { axis: { i: 2 } })
    const turned = g.node('Add', [g.node('Mul', [pairs, cos]), g.node('Mul', [swapped, sin])])
    const [q, k] = g.nodes(
      'Split',
      [g.node('Reshape', [turned, g.ints(-1, heads + kvHeads, headDim)]), g.ints(heads, kvHeads)],
      2,
      { axis: { i: 1 } }
    ) as [string, string]
    return [q, k, g.node('Reshape', [v, g.ints(-1, kvHeads, headDim)])]
  }
}

/** exp(score - the row's largest); masked keys become exactly 0. */
function exponentials(g: GraphWriter, scores: string): string {
  const largest = g.node('ReduceMax', [scores, g.ints(-1)], { keepdims: { i: 1 } })
  return g.node('Exp', [g.node('Sub', [scores, largest])])
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
  if (typeOf(init.weights, 'embedding', null) === 'f32') return g.node('Gather', [shard.tensor('embedding'), ids])
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
  /** Multiplies by a quantised matrix whose rows of whole blocks are taken two by two, as one row each. */
  pairedProduct(name: string, input: string): string
}

/** A shard's tensors, each declared when it is first used. */
function shardWeights(g: GraphWriter, init: GraphInit, role: ShardRole, layer: number | null): ShardWeights {
  const shard = shardName({ role, layer })
  const file = init.shardLocations.get(shard)
  if (file === undefined)
    throw new RangeError(`the graph of layers ${init.start}-${init.end} needs the file of ${shard}`)
  const entries = new Map(shardTensors(init, { role, layer }).map(entry => [entry.name, entry]))
  const { matrices } = shardLayout(init, { role, layer })
  const declared = new Set<string>()
  const entryOf = (name: string): OnnxTensor => {
    const entry = entries.get(name)
    if (entry === undefined) throw new RangeError(`${shard} has no tensor ${name}`)
    return entry
  }
  const tensor = (name: string): string => {
    const entry = entryOf(name)
    const full = `${shard}.${name}`
    if (!declared.has(name)) {
      declared.add(name)
      g.external(full, entry.type, entry.shape, file, entry.offset, entry.bytes)
    }
    return full
  }
  return {
    tensor,
    product: (name, input) => {
      const matrix = partOf(matrices, name)
      const bits = bitsOf(matrix)
      if (bits === undefined) {
        return name === 'embedding'
          ? g.node('FusedMatMul', [input, tensor(name)], { transB: { i: 1 } })
          : g.node('MatMul', [input, tensor(name)])
      }
      return g.node(
        'MatMulNBits',
        [input, tensor(`${name}.q`), tensor(`${name}.s`)],
        blockProduct(matrix.inputs, outputsOf(matrix), bits)
      )
    },
    pairedProduct: (name, input) => {
      const [levels, scales] = ['q', 's'].map(part => {
        const { type, shape, offset, bytes } = entryOf(`${name}.${part}`)
        const [rows, blocks, ...rest] = shape as [number, number, ...number[]]
        return g.external(`${shard}.${name}.${part}`, type, [rows / 2, 2 * blocks, ...rest], file, offset, bytes)
      }) as [string, string]
      const [rows, blocks] = entryOf(`${name}.s`).shape as [number, number]
      const attributes = blockProduct(2 * blocks * blockSize, rows / 2, bitsOf(partOf(matrices, name))!)
      return g.node('MatMulNBits', [input, levels, scales], attributes)
    }
  }
}

function blockProduct(inputs: number, outputs: number, bits: 4 | 8): Attributes {
  return {
    K: { i: inputs },
    N: { i: outputs },
    bits: { i: bits },
    block_size: { i: blockSize },
    // int8 activations: the exact product is up to 18 times slower at 8 bits.
    accuracy_level: { i: 4 }
  }
}
