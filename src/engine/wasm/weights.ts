/** Brings shards of a stage into a memory of the engine: they lie there as they lie in their files. */
import { join } from 'node:path'
import { assert } from '../../base/assert.ts'
import { openRegular } from '../../disk/files.ts'
import { openFileSync } from '../../disk/files-sync.ts'
import { EngineError } from '../../errors.ts'
import { convolutionOf, expertsOf, type ModelConfig, type ShortConvolution } from '../../model/decoder.ts'
import {
  type MatrixEntry,
  type ModelShape,
  partAlignment,
  partOf,
  type ShardLayout,
  shardLayout,
  type VectorName
} from '../../model/layout.ts'
import { shardName, type ShardPlace } from '../../model/manifest.ts'
import { roundUp, type TileShape, tileColumns, tileRows, tileStride } from '../../model/tiles.ts'
import type { LayerPart } from '../../model/weight-types.ts'
import { aheadBytesMax } from '../limits.ts'
import type { SpanInit, WeightSource } from '../thread-messages.ts'
import { wrongNumbers } from './check-weights.ts'

/** A matrix in memory. */
export interface Matrix extends TileShape {
  readonly at: number
}

/** The same matrix of each expert, the first of them, and how many bytes on the next one is. */
export interface ExpertMatrix extends Matrix {
  readonly stride: number
}

/** A mixture of experts. */
export interface ExpertWeights {
  /** [count, hidden] of float32. */
  readonly router: Matrix
  readonly gateUp: readonly ExpertMatrix[]
  readonly down: ExpertMatrix
}

/** Addresses of those that a layer has. */
export type LayerVectors = Readonly<Partial<Record<VectorName, number>>>

export interface AttentionWeights {
  readonly kind: 'attention'
  /** Query, key and value rows, one after another: matrices of different types, or one. */
  readonly before: readonly Matrix[]
  /** Where keys and values begin among the outputs of all of these. */
  readonly keys: number
  readonly values: number
  /** `o`. */
  readonly after: Matrix
}

export interface ConvolutionWeights extends ShortConvolution {
  readonly kind: 'convolution'
  /** Rows of B, C and x. */
  readonly before: readonly Matrix[]
  readonly kernel: number
  readonly after: Matrix
}

export interface LayerWeights {
  readonly vectors: LayerVectors
  /** What brings positions together, between the products before and after it. */
  readonly mixer: AttentionWeights | ConvolutionWeights
  /**
   * Gate and up, or up alone: filled up to a multiple of 32 rows; one behind the other where they are of one type. Those of the
   * first expert in a mixture.
   */
  readonly gateUp: readonly Matrix[]
  readonly down: Matrix
  /** Undefined: one feed-forward part. */
  readonly experts: ExpertWeights | undefined
}

export interface SectionWeights {
  readonly layers: readonly LayerWeights[]
  readonly embedding: Matrix | undefined
  readonly head: { readonly norm: number; readonly output: Matrix } | undefined
}

export interface WeightsInit extends Pick<SpanInit, 'config' | 'weights' | 'shardLocations'> {
  readonly source: WeightSource
}

/** A shard with its address. */
interface Placed {
  readonly place: ShardPlace
  readonly layout: ShardLayout
  readonly at: number
}

/** Where shards lie, one after another. */
function placed(shape: ModelShape, places: readonly ShardPlace[]): Placed[] {
  let top = 0
  return places.map(place => {
    const layout = shardLayout(shape, place)
    const shard = { place, layout, at: top }
    top = roundUp(top + layout.bytes, partAlignment)
    return shard
  })
}

/** Bytes that shards take in memory. */
export function weightBytes(shape: ModelShape, places: readonly ShardPlace[]): number {
  const { at, layout } = placed(shape, places).at(-1)!
  return at + layout.bytes
}

/**
 * Begins to read the first shards of a folder on Node's own threads, while this one does what else is to be done. Nothing may
 * grow the memory before they have come.
 *
 * @returns the names of those that have come
 * @throws {EngineError} when a file has another size than its dimensions ask for. @throws the file system's error. Nothing is
 *   being read any more then.
 */
export async function readAhead(
  init: WeightsInit,
  places: readonly ShardPlace[],
  memory: ArrayBufferLike,
  bytesMax = aheadBytesMax
): Promise<ReadonlySet<string>> {
  if (init.source.kind === 'memory') return new Set()
  const reads: Promise<string>[] = []
  let bytes = 0
  for (const { place, layout, at } of placed(init, places)) {
    bytes += layout.bytes
    if (bytes > bytesMax) break
    reads.push(readSoon(init, shardName(place), new Uint8Array(memory, at, layout.bytes)))
  }
  const ended = await Promise.allSettled(reads)
  return new Set(
    ended.map(each => {
      if (each.status === 'rejected') throw each.reason
      return each.value
    })
  )
}

/**
 * Reads shards, each with one read into its place.
 *
 * @param places in the order of the model
 * @param memory is at least {@link weightBytes} long
 * @param ahead names of those that are there already
 * @throws {EngineError} when a file has another size than its dimensions ask for, cannot be read, or holds numbers that
 *   cannot be computed.
 */
export function loadWeights(
  init: WeightsInit,
  places: readonly ShardPlace[],
  memory: ArrayBufferLike,
  ahead: ReadonlySet<string> = new Set()
): SectionWeights {
  const shards = placed(init, places)
  for (const { place, layout, at } of shards) {
    const name = shardName(place)
    if (!ahead.has(name)) read(init, name, new Uint8Array(memory, at, layout.bytes))
    const wrong = wrongNumbers(layout, memory, at)
    if (wrong !== undefined) throw new EngineError(`the ${name} cannot be computed: ${wrong}`)
    if (init.config.norm?.offset !== undefined) addOffset(layout, memory, at, init.config.norm.offset)
  }
  const vector = ({ layout, at }: Placed, name: string): number => at + partOf(layout.vectors, name).offset
  const whole = ({ type, rows, blocks, offset }: MatrixEntry, at: number): Matrix => ({
    ...{ type, rows, blocks, at: at + offset }
  })
  const matrix = ({ layout, at }: Placed, name: string): Matrix => whole(partOf(layout.matrices, name), at)
  const layers = shards
    .filter(({ place }) => place.role === 'layer')
    .map((shard): LayerWeights => {
      const { layout, at, place } = shard
      const convolution = convolutionOf(init.config, place.layer!)
      const mixer: LayerWeights['mixer'] =
        convolution === undefined
          ? {
              kind: 'attention',
              before: layout.matrices.filter(each => holds(each, 'q', 'k', 'v')).map(each => whole(each, at)),
              keys: outputOf(layout, 'k'),
              values: outputOf(layout, 'v'),
              after: matrix(shard, 'o')
            }
          : {
              kind: 'convolution',
              length: convolution.length,
              before: [matrix(shard, 'convIn')],
              kernel: vector(shard, 'convKernel'),
              after: matrix(shard, 'convOut')
            }
      return {
        vectors: Object.fromEntries(layout.vectors.map(({ name, offset }) => [name, at + offset])),
        mixer,
        ...feedForwardOf(init.config, shard)
      }
    })
  const of = (role: string): Placed | undefined => shards.find(({ place }) => place.role === role)
  const [first, last] = [of('embedding'), of('head')]
  const embedding = first && matrix(first, 'embedding')
  const head = last && {
    norm: vector(last, 'norm'),
    output: init.config.tiedEmbeddings ? embedding! : matrix(last, 'output')
  }
  return { layers, embedding, head }
}

function feedForwardOf(
  config: ModelConfig,
  { place, layout, at }: Placed
): Pick<LayerWeights, 'gateUp' | 'down' | 'experts'> {
  const { hidden, intermediate, feedForward } = config
  const wide = feedForward?.ungated === true ? (['up'] as const) : (['gate', 'up'] as const)
  const experts = expertsOf(config, place.layer!)
  const width = roundUp(experts?.intermediate ?? intermediate, tileColumns)
  const gateUp = wide.map(name => partIn(layout, at, name, width))
  const down = partIn(layout, at, 'down', roundUp(hidden, tileRows))
  if (experts === undefined) return { gateUp, down, experts: undefined }
  const { type, rows, blocks, offset } = partOf(layout.matrices, 'router')
  return { gateUp, down, experts: { router: { type, rows, blocks, at: at + offset }, gateUp, down } }
}

/** Norms that are to be multiplied with so much more than their weights are. */
const norms: ReadonlySet<VectorName> = new Set(['norm', 'norm1', 'norm1After', 'norm2', 'norm2After', 'qNorm', 'kNorm'])

function addOffset({ vectors }: ShardLayout, memory: ArrayBufferLike, at: number, more: number): void {
  for (const { name, offset, length } of vectors) {
    if (!norms.has(name)) continue
    const weights = new Float32Array(memory, at + offset, length)
    for (let k = 0; k < length; k++) weights[k]! += more
  }
}

function holds({ parts }: MatrixEntry, ...names: readonly LayerPart[]): boolean {
  return parts.some(({ name }) => (names as readonly string[]).includes(name))
}

/** Where the outputs of one of `q`, `k`, `v` begin among those of all matrices that these are in. */
function outputOf({ matrices }: ShardLayout, name: 'k' | 'v'): number {
  const index = matrices.findIndex(each => holds(each, name))
  assert(index >= 0, `a layer has ${name}`)
  const before = matrices.slice(0, index).reduce((sum, { rows }) => sum + rows, 0)
  return before + matrices[index]!.parts.find(part => part.name === name)!.at
}

/** The rows of one part, or of that part of the first expert, with those that fill it up: it begins with a tile. */
function partIn({ matrices }: ShardLayout, at: number, name: LayerPart, rows: number): ExpertMatrix {
  const entry = matrices.find(each => holds(each, name))
  assert(entry !== undefined, `a layer has ${name}`)
  const { type, blocks, offset } = entry
  const [first, second] = entry.parts.filter(part => part.name === name)
  const bytesTo = (row: number): number => (row / tileRows) * tileStride(entry)
  const stride = second === undefined ? 0 : bytesTo(second.at - first!.at)
  return { type, blocks, rows, at: at + offset + bytesTo(first!.at), stride }
}

/** Fills `into` with a shard. */
function read({ source, shardLocations }: WeightsInit, name: string, into: Uint8Array): void {
  const location = shardLocations.get(name)
  assert(location !== undefined, `the ${name} has a file`)
  if (source.kind === 'memory') {
    const bytes = source.files.get(location)
    assert(bytes !== undefined, `the ${name} is in memory`)
    checkBytes(name, bytes.length, into.length)
    into.set(bytes)
    return
  }
  const file = openFileSync(join(source.path, location))
  try {
    checkBytes(name, file.size, into.length)
    const done = file.read(into, 0)
    if (done < into.length) throw new EngineError(`the file of the ${name} ended at ${done} while it was read`)
  } finally {
    file.close()
  }
}

/** The same on a thread of Node's own: begun at once, and done when it resolves. */
async function readSoon({ source, shardLocations }: WeightsInit, name: string, into: Uint8Array): Promise<string> {
  assert(source.kind === 'folder', `the ${name} is in a file`)
  const { handle, size } = await openRegular(join(source.path, shardLocations.get(name)!))
  try {
    checkBytes(name, size, into.length)
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await handle.read(into, done, Math.min(into.length - done, readBytesMax), done)
      if (bytesRead === 0) throw new EngineError(`the file of the ${name} ended at ${done} while it was read`)
      done += bytesRead
    }
    return name
  } finally {
    await handle.close()
  }
}

/** What one call may read: Node takes less than 2 GiB. */
const readBytesMax = 1 << 30

function checkBytes(name: string, bytes: number, wanted: number): void {
  if (bytes !== wanted)
    throw new EngineError(`the file of the ${name} has ${bytes} bytes, its dimensions need ${wanted}`)
}
