/** Says in a person's words why a model cannot be served. */
import type { Range } from '../base/ids.ts'
import { formatBytes } from '../base/units.ts'
import { coverage, rangesWhere } from './coverage.ts'
import { place } from './place.ts'
import { isServed } from './route.ts'
import type { Search } from './searches.ts'
import { peersHolding } from './fit.ts'
import { type ModelShape, type PeerView, shapeAt, viewsWithout, type Without } from './view.ts'

/** Why there is no route. */
export interface NoRoute {
  /** Layers that nobody serves; empty when the stages there are do not lie end to end. */
  readonly layers: readonly Range[]
  /** One sentence without a full stop. */
  readonly reason: string
}

/** Says why routing finds nothing, or null when it does find a route; undefined where `search` finds no plan now. */
export function explainNoRoute(peers: readonly PeerView[], model: ModelShape, excluded?: Without): NoRoute | null
export function explainNoRoute(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded: Without,
  search: Search
): NoRoute | null | undefined
export function explainNoRoute(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded: Without = new Set(),
  search: Search = place
): NoRoute | null | undefined {
  const present = viewsWithout(peers, excluded)
  if (isServed(present, model)) return null
  const counts = coverage(present, model)
  const layers = rangesWhere(model.layers, layer => counts[layer] === 0)
  if (layers.length === 0) {
    return {
      layers,
      reason: 'every layer is served, but the stages do not meet end to end yet: placement is moving them'
    }
  }
  const unserved = `${formatLayers(layers)} ${isOne(layers) ? 'is' : 'are'} served by nobody`
  const unheld = rangesWhere(
    model.layers,
    layer => !present.some(view => view.held.some(held => held.start <= layer && layer < held.end))
  )
  if (unheld.length > 0) {
    return { layers, reason: `${unserved}: no peer has the shards of ${formatLayers(unheld)}` }
  }
  for (const [part, held] of [
    ['embedding', present.some(view => view.holdsEmbedding)],
    ['head', present.some(view => view.holdsHead)]
  ] as const) {
    if (!held) return { layers, reason: `${unserved}: no peer has the shard of the ${part}` }
  }
  const plan = search(present, model)
  if (plan === undefined) return undefined
  const { missing } = plan
  if (missing !== null) {
    const isByPins = lackIsByPins(present, model, search)
    if (isByPins === undefined) return undefined
    const wanted = formatLayers(missing.layers)
    if (isByPins) return { layers, reason: `${unserved}: ${pinSentence(present, model)}` }
    const budget = present.reduce((sum, view) => sum + view.budgetBytes, 0)
    const gives = formatBytes(budget)
    const who =
      present.length === 1 ? `the one peer gives ${gives}` : `the ${present.length} peers give ${gives} together`
    return {
      layers,
      reason:
        `${unserved}: the budgets lack ${formatBytes(missing.bytes)} for ${wanted} ` +
        `(${who}; ${fitSentence(present, model)})`
    }
  }
  const loading = present.filter(view => view.stages.some(stage => !stage.serving)).length
  if (loading > 0)
    return { layers, reason: `${unserved} yet: ${loading} ${loading === 1 ? 'peer is' : 'peers are'} loading` }
  return { layers, reason: `${unserved} yet: the budgets suffice, and peers are about to load` }
}

/** `3 peers like the largest of them, which gives 64.0 MB, would hold all`. */
function fitSentence(peers: readonly PeerView[], model: ModelShape): string {
  const largest = peers.reduce((most, view) => (view.budgetBytes > most.budgetBytes ? view : most))
  const count = peersHolding(shapeAt(largest, model), largest.budgetBytes)
  const gives = formatBytes(largest.budgetBytes)
  const like = peers.length === 1 ? 'like it' : `like the largest, which gives ${gives},`
  return count === undefined ? `no number of peers ${like} would hold all` : `${count} ${like} would hold all`
}

/**
 * Whether a model lacks layers because peers were told which to serve: without that their budgets would suffice. Undefined
 * where `search` finds no plan now.
 */
export function lackIsByPins(
  peers: readonly PeerView[],
  model: ModelShape,
  search: Search = place
): boolean | undefined {
  if (peers.every(({ pinned }) => pinned === null)) return false
  const plan = search(
    peers.map(view => ({ ...view, pinned: null })),
    model
  )
  return plan === undefined ? undefined : plan.missing === null
}

/** `--layers keeps 2 of 3 peers to layers 0-2, and the other one gives 4.0 MB`. */
function pinSentence(peers: readonly PeerView[], model: ModelShape): string {
  const pinned = peers.flatMap(view => (view.pinned === null ? [] : [view.pinned]))
  const kept = rangesWhere(model.layers, layer => pinned.some(({ start, end }) => start <= layer && layer < end))
  const others = peers.filter(view => view.pinned === null)
  const all = peers.length === 1 ? 'the one peer' : `all ${peers.length} peers`
  const who = others.length === 0 ? all : `${pinned.length} of ${peers.length} peers`
  const budget = formatBytes(others.reduce((sum, view) => sum + view.budgetBytes, 0))
  const rest = others.length === 1 ? `, and the other one gives ${budget}` : `, and the others give ${budget} together`
  return `--layers keeps ${who} to ${formatLayers(kept)}${others.length === 0 ? '' : rest}`
}

/** Layers as flags and tables write them, the end not included: `layer 3`, `layers 0-2 and 4-6`. */
export function formatLayers(ranges: readonly Range[]): string {
  const parts = ranges.map(({ start, end }) => (end - start === 1 ? `${start}` : `${start}-${end}`))
  const list = parts.length < 2 ? parts.join() : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
  return `${isOne(ranges) ? 'layer' : 'layers'} ${list}`
}

function isOne(ranges: readonly Range[]): boolean {
  return ranges.length === 1 && ranges[0]!.end - ranges[0]!.start === 1
}
