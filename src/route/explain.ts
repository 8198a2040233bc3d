/** Says in a person's words why a model cannot be served. */
import type { PeerId, Range } from '../base/ids.ts'
import { formatBytes } from '../base/units.ts'
import { coverage, rangesWhere } from './coverage.ts'
import { place } from './place.ts'
import { isServed } from './route.ts'
import type { Search } from './searches.ts'
import type { ModelShape, PeerView } from './view.ts'

/** Why there is no route. */
export interface NoRoute {
  /** Layers that nobody serves; empty when the stages there are do not lie end to end. */
  readonly layers: readonly Range[]
  /** One sentence without a full stop. */
  readonly reason: string
}

/** Says why routing finds nothing, or null when it does find a route; undefined where `search` finds no plan now. */
export function explainNoRoute(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded?: ReadonlySet<PeerId>
): NoRoute | null
export function explainNoRoute(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded: ReadonlySet<PeerId>,
  search: Search
): NoRoute | null | undefined
export function explainNoRoute(
  peers: readonly PeerView[],
  model: ModelShape,
  excluded: ReadonlySet<PeerId> = new Set(),
  search: Search = place
): NoRoute | null | undefined {
  const present = peers.filter(view => !excluded.has(view.peer))
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
    const budget = present.reduce((sum, view) => sum + view.budgetBytes, 0)
    const who = present.length === 1 ? 'the one peer gives' : `the ${present.length} peers give`
    const wanted = formatLayers(missing.layers)
    return {
      layers,
      reason:
        `${unserved}: the budgets lack ${formatBytes(missing.bytes)} for ${wanted} ` +
        `(${who} ${formatBytes(budget)} together)`
    }
  }
  const loading = present.filter(view => view.stages.some(stage => !stage.serving)).length
  if (loading > 0)
    return { layers, reason: `${unserved} yet: ${loading} ${loading === 1 ? 'peer is' : 'peers are'} loading` }
  return { layers, reason: `${unserved} yet: the budgets suffice, and peers are about to load` }
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
