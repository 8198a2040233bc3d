/**
 * A span of layers inside ONNX Runtime: its sessions, and what one pass feeds them. Everything is checked
 * before a run: a wrong dimension there does not throw but ends the process.
 */
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { assert } from '../../base/assert.ts'
import { reasonOf } from '../../base/reason.ts'
import { readFileSync } from '../../disk/files-sync.ts'
import { EngineError } from '../../errors.ts'
import { shardBytes } from '../../model/layout.ts'
import { attentionBlock } from '../../model/limits.ts'
import { shardName, type ShardPlace, stagePlaces } from '../../model/manifest.ts'
import { whyNotComputable, whyNotStacked } from '../computable.ts'
import type { SessionCache } from './cache.ts'
import type { WeightSource } from '../thread-messages.ts'
import { buildGraph, buildHeadGraph, type GraphInit, isPortable } from './graph.ts'
import { RopeTable } from './rope.ts'
import { isTaken, repack } from './tensors.ts'

const T = attentionBlock

export interface OnnxSpanInit extends GraphInit {
  readonly source: WeightSource
  readonly threads: number
}

/**
 * Pairing pays where a product waits for memory: 1.24 ms for 1.63 (49,152 rows of 576 at 8 bits, AVX-512). Small ARM
 * processors wait for the sums, which it doubles.
 */
const pairsRows = process.arch === 'x64'

type Feeds = Record<string, Tensor>

/** The tensors of a cache that stay until another block is full. */
interface CacheFeeds {
  past: number
  readonly feeds: Feeds
}

export class OnnxSpan {
  readonly #init: GraphInit
  readonly #layers: InferenceSession
  readonly #head: InferenceSession | undefined
  readonly #rope: RopeTable
  /** The whole tables, as the graphs of quantised models read them. */
  #ropeTables: Feeds = {}
  readonly #cacheFeeds = new WeakMap<SessionCache, CacheFeeds>()
  /** Dummy keys and values, and what fills the current block: never written. */
  #zeroed = new Float32Array(0)
  readonly #idOne: Tensor
  readonly #hiddenOne: Tensor
  readonly #headFeeds: Feeds

  private constructor(init: GraphInit, layers: InferenceSession, head: InferenceSession | undefined) {
    const { headDim, ropeTheta, hidden } = init.config
    const rows = init.twinRows ? 2 : 1
    this.#init = init
    this.#layers = layers
    this.#head = head
    this.#rope = new RopeTable(headDim, ropeTheta)
    this.#idOne = new Tensor('int32', new Int32Array(rows), [1, rows])
    this.#hiddenOne = new Tensor('float32', new Float32Array(rows * hidden), [1, rows, hidden])
    this.#headFeeds = { hidden: new Tensor('float32', new Float32Array(hidden), [1, 1, hidden]) }
  }

  /** @throws {EngineError} when the model is none that is computed, or ONNX Runtime refuses the graph or the files. */
  static async create({ pairedHead = pairsRows, ...rest }: OnnxSpanInit): Promise<OnnxSpan> {
    const init = { ...rest, pairedHead }
    const refusal = whyNotComputable(init, { takes: isTaken }) ?? whyNotStacked(init)
    if (refusal !== undefined) throw new EngineError(refusal)
    try {
      const { start, end, config } = init
      const places = stagePlaces(config, start, end)
      const before = places.filter(({ role }) => role === 'layer' || (role === 'embedding' && start === 0))
      const layers = await InferenceSession.create(buildGraph(init), sessionOptions(init, before))
      const after = places.filter(({ role }) => role === 'head' || (role === 'embedding' && config.tiedEmbeddings))
      const head =
        end === config.layers
          ? await InferenceSession.create(buildHeadGraph(init), sessionOptions(init, after))
          : undefined
      return new OnnxSpan(init, layers, head)
    } catch (error) {
      throw new EngineError(`layers ${init.start}-${init.end} cannot be loaded: ${reasonOf(error)}`)
    }
  }

  /** Makes room for positions below `tokensMax` in the tables that do not depend on the session. */
  grow(tokensMax: number): void {
    const { heads, kvHeads } = this.#init.config
    // The operator of quantised models asks for as many rows as there are heads, used or not.
    this.#rope.grow(Math.max(tokensMax, heads + 2 * kvHeads))
    const { rows, cos, sin } = this.#rope
    const half = this.#init.config.headDim / 2
    this.#ropeTables = { cos: new Tensor('float32', cos, [rows, half]), sin: new Tensor('float32', sin, [rows, half]) }
  }

  /**
   * Runs n tokens that follow the cache's last one, and adds them to the cache.
   * @param n at least 1, and not across a block border.
   * @param input ids [n] in a span that starts at 0, otherwise hidden [n, hidden], finite.
   * @returns hidden [n, hidden], rounded to the edge type unless it leaves the last layer.
   * @throws {EngineError} when the run fails; the cache is as it was.
   */
  async pass(cache: SessionCache, input: Int32Array | Float32Array, n: number): Promise<Float32Array> {
    const { config, start, end, twinRows } = this.#init
    const { heads, kvHeads, headDim, hidden } = config
    const r = cache.length % T
    assert(n >= 1 && r + n <= T, `a pass of ${n} tokens crosses a block border after ${cache.length}`)
    assert(input.length === n * (start === 0 ? 1 : hidden), `a pass of ${n} tokens got ${input.length} inputs`)

    const feeds = this.#feedsOf(cache)
    const row = kvHeads * headDim
    const c = cache.length
    for (let l = 0; l < end - start; l++) {
      const { keys, valueTail } = cache.layers[l]!
      // Never no keys at all: a dimension of 0 in FusedMatMul ends the process. The row of zeros is masked.
      const known = c === 0 ? this.#zeros(row) : keys.subarray(0, c * row)
      feeds[`keys.${start + l}`] = new Tensor('float32', known, [Math.max(c, 1), kvHeads, headDim])
      feeds[`tail_v.${start + l}`] = new Tensor('float32', valueTail.subarray(0, r * row), [r, kvHeads, headDim])
    }
    const P = pastColumns(cache)
    const unused = T - r - n
    const before = P + T - unused - n - Math.max(c, 1)
    const queries = (heads / kvHeads) * n
    feeds.front = new Tensor('float32', this.#zeros(kvHeads * queries * before), [kvHeads, queries, before])
    feeds.back = new Tensor('float32', this.#zeros(kvHeads * queries * unused), [kvHeads, queries, unused])
    feeds.pad = new Tensor('float32', this.#zeros(unused * row), [unused, kvHeads, headDim])
    feeds.mask = maskOf(cache, n, heads / kvHeads)
    this.#feedRotation(feeds, c, n)
    if (start === 0) feeds.ids = this.#idTensor(input as Int32Array, n)
    else feeds.hidden = this.#hiddenTensor(input as Float32Array, n)
    if (twinRows) {
      const rows = n === 1 ? [0, 0] : Array.from({ length: n }, (_, i) => i)
      feeds.twin = new Tensor('int32', Int32Array.from(rows), [rows.length])
      feeds.keep = new Tensor('int64', BigInt64Array.of(BigInt(n)), [1])
    }

    let out: InferenceSession.OnnxValueMapType
    try {
      out = await this.#layers.run(feeds)
    } catch (error) {
      throw new EngineError(`layers ${start}-${end} failed after ${c} tokens: ${reasonOf(error)}`)
    }
    cache.append(out.kv_new!.data as Float32Array, n)
    return out.hidden_out!.data as Float32Array
  }

  /**
   * Final norm and output matrix.
   * @param hidden [hidden] of one token.
   * @returns logits [vocab].
   */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    assert(this.#head !== undefined, 'only a span that ends at the last layer has logits')
    ;(this.#headFeeds.hidden!.data as Float32Array).set(hidden)
    try {
      const out = await this.#head.run(this.#headFeeds)
      return out.logits!.data as Float32Array
    } catch (error) {
      throw new EngineError(`the output matrix failed: ${reasonOf(error)}`)
    }
  }

  async release(): Promise<void> {
    await this.#layers.release()
    await this.#head?.release()
  }

  /** What depends on the whole blocks of a cache alone: made anew every T tokens, not every token. */
  #feedsOf(cache: SessionCache): Feeds {
    const past = cache.past
    const known = this.#cacheFeeds.get(cache)
    if (known?.past === past) return known.feeds
    const { start, end } = this.#init
    const { kvHeads, headDim } = this.#init.config
    const row = kvHeads * headDim
    const P = pastColumns(cache)
    const feeds: Feeds = known?.feeds ?? {}
    for (let l = 0; l < end - start; l++) {
      const values = past === 0 ? this.#zeros(P * row) : cache.layers[l]!.values.subarray(0, P * row)
      feeds[`past_v.${start + l}`] = new Tensor('float32', values, [P / T, kvHeads, T, headDim])
    }
    feeds.split = new Tensor('int64', BigInt64Array.of(BigInt(P), BigInt(T)), [2])
    if (isPortable(this.#init)) feeds.ones = new Tensor('float32', new Float32Array(P + T).fill(1), [P + T, 1])
    if (known === undefined) this.#cacheFeeds.set(cache, { past, feeds })
    else known.past = past
    return feeds
  }

  /** Positions [position, position + n) of the rotary embedding. */
  #feedRotation(feeds: Feeds, position: number, n: number): void {
    const { heads, kvHeads, headDim } = this.#init.config
    if (isPortable(this.#init)) {
      const half = headDim / 2
      const rows = (table: Float32Array): Tensor =>
        new Tensor('float32', table.subarray(position * half, (position + n) * half), [n, 1, 1, half])
      feeds.cos = rows(this.#rope.cos)
      feeds.sin = rows(this.#rope.sin)
      return
    }
    Object.assign(feeds, this.#ropeTables)
    const width = heads + 2 * kvHeads
    const turns = new BigInt64Array(n * width)
    // Values stay at row 0.
    for (let s = 0; s < n; s++) turns.fill(BigInt(position + s), s * width, s * width + heads + kvHeads)
    feeds.turns = new Tensor('int64', turns, [n, width])
  }

  #idTensor(ids: Int32Array, n: number): Tensor {
    if (n > 1) return new Tensor('int32', ids, [1, n])
    ;(this.#idOne.data as Int32Array).fill(ids[0]!)
    return this.#idOne
  }

  #hiddenTensor(values: Float32Array, n: number): Tensor {
    const { hidden } = this.#init.config
    if (n > 1) return new Tensor('float32', values, [1, n, hidden])
    const data = this.#hiddenOne.data as Float32Array
    data.set(values)
    if (this.#init.twinRows) data.set(values, hidden)
    return this.#hiddenOne
  }

  /** n zeros: a view that must not be written. */
  #zeros(n: number): Float32Array {
    if (n > this.#zeroed.length) this.#zeroed = new Float32Array(2 * n)
    return this.#zeroed.subarray(0, n)
  }
}

/** Columns of whole blocks: at least one, which is then a masked dummy. */
function pastColumns(cache: SessionCache): number {
  return Math.max(cache.past, T)
}

/**
 * Row g·n + s lets token s see every cached token, those before it in the pass, and itself; a lone token's row
 * serves all its heads.
 */
function maskOf(cache: SessionCache, n: number, groups: number): Tensor {
  const columns = pastColumns(cache) + T
  const rows = n === 1 ? 1 : groups * n
  const mask = new Float32Array(rows * columns)
  // The columns end with the current block, so its first token is T before the end.
  const first = columns - T + (cache.length % T)
  for (let row = 0; row < rows; row++) {
    const at = row * columns
    if (cache.past === 0) mask.fill(Number.NEGATIVE_INFINITY, at, at + T)
    mask.fill(Number.NEGATIVE_INFINITY, at + first + (row % n) + 1, at + columns)
  }
  return new Tensor('float32', mask, [1, rows, columns])
}

function sessionOptions(init: OnnxSpanInit, places: readonly ShardPlace[]): InferenceSession.SessionOptions {
  // A pool that spins longer halves the throughput of two processes on the same cores.
  const session = { intra_op: { spin_duration_us: '50' } }
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: init.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Almost every step has shapes of its own; planning memory for each costs a sixth of a decode step.
    enableMemPattern: false,
    // Fusions would cross layer edges, and then the bits would depend on the cut.
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 3,
    externalData: places.map(place => repacked(init, place)),
    extra: { session }
  }
}

/** A shard as the graphs name it. @throws {EngineError} when it has another size than its dimensions ask for */
function repacked(init: OnnxSpanInit, place: ShardPlace): { path: string; data: Uint8Array } {
  const { shardLocations, source } = init
  const path = shardLocations.get(shardName(place))
  assert(path !== undefined, `the ${shardName(place)} has a file`)
  const bytes = source.kind === 'folder' ? readFileSync(join(source.path, path)) : source.files.get(path)!
  const wanted = shardBytes(init, place)
  if (bytes.length !== wanted) {
    throw new EngineError(
      `the file of the ${shardName(place)} has ${bytes.length} bytes, its dimensions need ${wanted}`
    )
  }
  // A small file's buffer may begin at any byte.
  return { path, data: repack(init, place, bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()) }
}
