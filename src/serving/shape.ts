/** A model's sizes as placement sees them: what joins the rooms `model` and `engine` to `route`. Pure. */
import type { CacheType } from '../base/cache-type.ts'
import { edgeSize } from '../engine/engine.ts'
import type { Footprint } from '../engine/footprint.ts'
import { latestTokens, windowsOf } from '../engine/windows.ts'
import { cacheReserveTokens } from './limits.ts'
import { type Manifest, modelId } from '../model/manifest.ts'
import { type ModelShape, reserveBytes, stageBytes } from '../route/view.ts'
import type { OfferFootprint } from '../swarm/record.ts'
import { BudgetTooSmallError } from '../errors.ts'
import type { Claim } from './sharing.ts'
import { formatBytes } from '../base/units.ts'
import type { Range } from '../base/ids.ts'

/** Resident bytes of a model's parts in an engine, with room for one session of the usual length at every stage. */
export function shapeOf(manifest: Manifest, footprint: Footprint): ModelShape {
  const { config, edge, shards, name } = manifest
  const tokens = Math.min(config.contextMax, cacheReserveTokens)
  const i8 = footprint.i8CacheBytesPerLayer?.(tokens)
  const layerFileBytes = shards.filter(({ role }) => role === 'layer').map(({ bytes }) => bytes)
  return {
    id: modelId(manifest),
    name,
    layers: config.layers,
    layerBytes: layerFileBytes.map(bytes => footprint.weightBytes(bytes)),
    layerFileBytes,
    embeddingBytes: footprint.weightBytes(shards.find(({ role }) => role === 'embedding')!.bytes),
    headBytes: footprint.weightBytes(shards.find(({ role }) => role === 'head')!.bytes),
    tiedEmbeddings: config.tiedEmbeddings,
    cacheBytesPerLayer: footprint.cacheBytesPerLayer(tokens),
    ...(i8 === undefined ? {} : { i8CacheBytesPerLayer: i8 }),
    cacheTokens: tokens,
    cachePageTokens: footprint.cachePageTokens,
    i8CachePageTokens: footprint.i8CachePageTokens,
    ...pagesOf(config.layers, footprint),
    ...windowedOf(config, footprint),
    stageBytes: retainedBytes(manifest, tokens),
    stepBytes: footprint.stepBytes ?? config.hidden * edgeSize(edge) + 20
  }
}

/** How pages of layers compare, where they differ. */
function pagesOf(
  layers: number,
  { cachePageBytes, i8CacheBytesPerLayer }: Footprint
): Pick<ModelShape, 'cachePageBytes' | 'i8CachePageBytes'> {
  if (cachePageBytes === undefined) return {}
  const of = (type: CacheType): number[] => Array.from({ length: layers }, (_, layer) => cachePageBytes(layer, type))
  const [f32, i8] = [of('f32'), i8CacheBytesPerLayer === undefined ? undefined : of('i8')]
  const differ = (bytes: readonly number[] = []): boolean => bytes.some(each => each !== bytes[0])
  return {
    ...(differ(f32) ? { cachePageBytes: f32 } : {}),
    ...(differ(i8) ? { i8CachePageBytes: i8 } : {})
  }
}

/** What layers with windows hold, where there are any. */
function windowedOf(
  config: Manifest['config'],
  { givesBackWindows = false }: Footprint
): Pick<ModelShape, 'latestTokens' | 'givesBackWindows'> {
  const latest = windowsOf(config, 0, config.layers).map(window => latestTokens(window))
  return latest.every(tokens => tokens === undefined) ? {} : { latestTokens: latest, givesBackWindows }
}

/** The same as a record says it of the engine that serves the model here. */
export function footprintOf({ layerBytes, ...shape }: ModelShape): OfferFootprint {
  const { embeddingBytes, headBytes, cacheBytesPerLayer, i8CacheBytesPerLayer: i8 } = shape
  const { cachePageTokens, i8CachePageTokens, givesBackWindows } = shape
  return {
    layerBytes: Math.max(...layerBytes),
    embeddingBytes,
    headBytes,
    cacheBytesPerLayer,
    ...(i8 === undefined ? {} : { i8CacheBytesPerLayer: i8 }),
    ...(cachePageTokens === undefined ? {} : { cachePageTokens }),
    ...(i8CachePageTokens === undefined ? {} : { i8CachePageTokens }),
    ...(givesBackWindows === true ? { givesBackWindows } : {})
  }
}

/** What a model asks of a peer's memory, to be shared out among models, however much it is asked for. */
export function claimOf(shape: ModelShape, pinned: Range | null): Omit<Claim, 'demand'> {
  return {
    model: shape.id,
    wholeBytes: stageBytes(shape, { start: 0, end: shape.layers }),
    leastBytes: leastBytes(shape, pinned),
    isPinned: pinned !== null
  }
}

/** Resident bytes of the smallest stage that a peer can serve: what is pinned, else the smallest layer. */
function leastBytes(shape: ModelShape, pinned: Range | null): number {
  if (pinned !== null) return stageBytes(shape, pinned)
  return Math.min(...shape.layerBytes.map((_, layer) => stageBytes(shape, { start: layer, end: layer + 1 })))
}

/** Resident bytes of a stage's weights alone. */
export function weightBytes(shape: ModelShape, range: Range): number {
  return stageBytes(shape, range) - reserveBytes(shape, range) - shape.stageBytes
}

/** What a stage keeps of one session to replay it to a stand-in: [tokens, hidden] in the edge type (promise P4). */
export function retainedBytes({ config, edge }: Manifest, tokens: number): number {
  return tokens * config.hidden * edgeSize(edge)
}

/** A stage that is loaded or about to be. */
export interface StageMemory {
  readonly range: Range
  /** Bytes of its open sessions' caches. */
  readonly cacheBytesUsed: number
}

/** What sessions may take of a peer's budget. */
export interface MemoryShares {
  /** [stages] bytes of caches per stage. */
  readonly cacheBytesMax: readonly number[]
  /** Bytes of what all stages together retain for replay. */
  readonly retainBytesMax: number
  /** What the stages and their open sessions take beyond the budget; 0 where they fit. */
  readonly lackingBytes: number
}

/**
 * Shares a budget out among a peer's stages: weights first, then one session's worth each, and the rest to the last
 * stage, which is the one that stays where two are there at once, in the proportion of one session's caches and
 * retained states. Where open sessions hold more than there is, no stage may take more than its sessions have, or one of them.
 */
export function shareMemory(
  shape: ModelShape,
  budgetBytes: number,
  stages: readonly StageMemory[],
  retainBytesUsed: number
): MemoryShares {
  const reserves = stages.map(({ range }) => reserveBytes(shape, range))
  const kept = stages.map(({ cacheBytesUsed }, i) => Math.max(cacheBytesUsed, reserves[i]!))
  const retained = Math.max(retainBytesUsed, shape.stageBytes * stages.length)
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  const weights = sum(stages.map(({ range }) => weightBytes(shape, range)))
  const leftBytes = budgetBytes - weights - sum(kept) - retained
  const spareBytes = Math.max(0, leftBytes)
  const last = reserves.at(-1) ?? 0
  const toCaches = last === 0 ? 0 : Math.floor(spareBytes * (last / (last + shape.stageBytes)))
  return {
    cacheBytesMax: kept.map((bytes, i) => (i === kept.length - 1 ? bytes + toCaches : bytes)),
    retainBytesMax: Math.floor(retained + spareBytes - toCaches),
    lackingBytes: spareBytes - leftBytes
  }
}

/**
 * Memory budgets, in bytes, for so many peers that need one another: together they hold the model exactly once.
 * @throws {BudgetTooSmallError} when a model has fewer layers than that.
 */
export function budgetsOf(shape: ModelShape, peers: number): number[] {
  if (!(Number.isSafeInteger(peers) && peers >= 1 && peers <= shape.layers)) {
    throw new BudgetTooSmallError(
      `${shape.name} has ${shape.layers} layers and can be split over 1 to ${shape.layers} peers, not ${peers}`
    )
  }
  return Array.from({ length: peers }, (_, i) =>
    stageBytes(shape, {
      start: Math.floor((i * shape.layers) / peers),
      end: Math.floor(((i + 1) * shape.layers) / peers)
    })
  )
}

/**
 * Checks that a budget can hold something of a model.
 * @throws {BudgetTooSmallError} that says what the smallest useful budget is.
 */
export function checkBudget(
  shape: ModelShape,
  budgetBytes: number,
  pinned: { start: number; end: number } | null
): void {
  const need = leastBytes(shape, pinned)
  if (budgetBytes >= need) return
  const what = pinned ? `layers ${pinned.start}-${pinned.end}` : 'even one layer'
  throw new BudgetTooSmallError(
    `a budget of ${formatBytes(budgetBytes)} cannot hold ${what} of ${shape.name} with its cache: it takes ${need} bytes (${formatBytes(need)})`
  )
}
