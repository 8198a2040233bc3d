/** A model's sizes as placement sees them: what joins the rooms `model` and `engine` to `route`. Pure. */
import { cacheBytes } from './engine/cache.ts'
import { edgeSize } from './engine/engine.ts'
import { cacheReserveTokens, residentFactor } from './limits.ts'
import { type Manifest, modelId } from './model/manifest.ts'
import { type ModelShape, stageBytes } from './route/view.ts'
import { BudgetTooSmallError } from './errors.ts'
import { formatBytes } from './base/units.ts'
import type { Range } from './base/ids.ts'

/** Resident bytes of a model's parts, with room for one session of the usual length at every stage. */
export function shapeOf(manifest: Manifest): ModelShape {
  const { config, weights, edge, shards, name } = manifest
  const resident = (bytes: number): number => Math.ceil(bytes * residentFactor[weights])
  const tokens = Math.min(config.contextMax, cacheReserveTokens)
  return {
    id: modelId(manifest),
    name,
    layers: config.layers,
    layerBytes: shards.filter(({ role }) => role === 'layer').map(({ bytes }) => resident(bytes)),
    embeddingBytes: resident(shards.find(({ role }) => role === 'embedding')!.bytes),
    headBytes: resident(shards.find(({ role }) => role === 'head')!.bytes),
    tiedEmbeddings: config.tiedEmbeddings,
    cacheBytesPerLayer: cacheBytes({ layers: 1, kvHeads: config.kvHeads, headDim: config.headDim }, tokens),
    stageBytes: retainedBytes(manifest, tokens),
    stepBytes: config.hidden * edgeSize(edge) + 20
  }
}

/** What a stage keeps of one session to replay it to a stand-in: [tokens, hidden] in the edge type (promise P4). */
export function retainedBytes({ config, edge }: Manifest, tokens: number): number {
  return tokens * config.hidden * edgeSize(edge)
}

/**
 * What a stage may keep of sessions where `leftBytes` of the budget are left for it: weights first, and the rest for
 * caches and for what is retained of them, in the proportion of one session's.
 */
export function sessionShare(
  shape: ModelShape,
  range: Range,
  leftBytes: number
): { readonly cacheBytesMax: number; readonly retainBytesMax: number } {
  const cacheBytes = shape.cacheBytesPerLayer * (range.end - range.start)
  const sessionBytes = cacheBytes + shape.stageBytes
  const spareBytes = Math.max(0, leftBytes - stageBytes(shape, range))
  const cacheBytesMax = Math.floor(cacheBytes * (1 + spareBytes / sessionBytes))
  return { cacheBytesMax, retainBytesMax: sessionBytes + spareBytes - cacheBytesMax }
}

/** Memory budgets, in bytes, for so many peers that need one another: together they hold the model exactly once. */
export function splitBudgets({ manifest }: { readonly manifest: Manifest }, peers: number): number[] {
  const shape = shapeOf(manifest)
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
  const need = pinned
    ? stageBytes(shape, pinned)
    : Math.min(...shape.layerBytes.map((_, layer) => stageBytes(shape, { start: layer, end: layer + 1 })))
  if (budgetBytes >= need) return
  const what = pinned ? `layers ${pinned.start}-${pinned.end}` : 'even one layer'
  throw new BudgetTooSmallError(
    `a budget of ${formatBytes(budgetBytes)} cannot hold ${what} of ${shape.name} with its cache: it takes ${need} bytes (${formatBytes(need)})`
  )
}
