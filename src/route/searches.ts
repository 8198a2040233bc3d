/**
 * One search for all who ask. A plan depends on nothing but what placement reads of the views, so it is looked for again
 * only where that has changed: the planner, sessions that wait and whoever asks for the status share what was found.
 */
import type { ModelId } from '../base/ids.ts'
import { linkRttDefaultMs, planSearchMs, searchesMax } from './limits.ts'
import { type Plan, place } from './place.ts'
import { defaultPolicy } from './policy.ts'
import { Tilings } from './tilings.ts'
import type { ModelShape, PeerView } from './view.ts'

/** Finds a plan; undefined when it is too early to search again. */
export type Search = (peers: readonly PeerView[], model: ModelShape) => Plan | undefined

export class Searches {
  readonly #search: (peers: readonly PeerView[], model: ModelShape) => Plan
  /** What was found lately, the newest last. */
  readonly #found = new Map<string, Plan>()
  readonly #searchedMs = new Map<ModelId, number>()

  /** @param search @default {@link place} with the policy that all peers share */
  constructor(search?: (peers: readonly PeerView[], model: ModelShape) => Plan) {
    const tilings = new Tilings()
    this.#search = search ?? ((peers, model) => place(peers, model, defaultPolicy, tilings))
  }

  /** The plan over these views: known, or searched for now. */
  plan(peers: readonly PeerView[], model: ModelShape, nowMs: number): Plan {
    const key = keyOf(peers, model)
    const known = this.#found.get(key)
    this.#found.delete(key)
    const plan = known ?? this.#search(peers, model)
    if (known === undefined) this.#searchedMs.set(model.id, nowMs)
    this.#found.set(key, plan)
    if (this.#found.size > searchesMax) this.#found.delete(this.#found.keys().next().value!)
    if (this.#searchedMs.size > searchesMax) this.#searchedMs.delete(this.#searchedMs.keys().next().value!)
    return plan
  }

  /** The same for those who can do without: undefined while the last search for this model is younger than {@link planSearchMs}. */
  planSoon(peers: readonly PeerView[], model: ModelShape, nowMs: number): Plan | undefined {
    const searchedMs = this.#searchedMs.get(model.id) ?? Number.NEGATIVE_INFINITY
    const isDue = nowMs - searchedMs >= planSearchMs
    return isDue || this.#found.has(keyOf(peers, model)) ? this.plan(peers, model, nowMs) : undefined
  }
}

function keyOf(peers: readonly PeerView[], model: ModelShape): string {
  return `${model.id} ${placementKey(peers)}`
}

/** The same text for views that placement takes for equal, in whatever order they are; some 200 characters for each. */
export function placementKey(peers: readonly PeerView[]): string {
  return peers.map(placementRow).sort().join('\n')
}

/** Views are looked at many times, and do not change. */
const rows = new WeakMap<PeerView, string>()

function placementRow(view: PeerView): string {
  let row = rows.get(view)
  if (row === undefined) {
    row = readRow(view)
    rows.set(view, row)
  }
  return row
}

/** What placement reads of one view. Charges count in whole percents, as gauges give them. */
function readRow(view: PeerView): string {
  const { peer, budgetBytes, held, holdsEmbedding, holdsHead, pinned, visitMs, layerMs, numericClass } = view
  const { stages, battery, leaving = false, isStuck = false, obtainable, links, footprint } = view
  const charge = battery === null ? '' : Math.round(battery * 100)
  const flags = `${holdsEmbedding ? 'e' : ''}${holdsHead ? 'h' : ''}${leaving ? 'l' : ''}${isStuck ? 's' : ''}`
  const disk = `${rangesText(held)}/${flags}/${pinned === null ? '' : rangesText([pinned])}`
  const loaded = stages
    .map(({ start, end, serving, load, peak }) => {
      const busy = load === undefined && peak === undefined ? '' : `:${load ?? ''}:${peak ?? ''}`
      return `${start}-${end}${serving ? '' : '?'}${busy}`
    })
    .join()
  const others =
    obtainable === undefined
      ? ''
      : `${rangesText(obtainable.held)}${obtainable.holdsEmbedding ? 'e' : ''}${obtainable.holdsHead ? 'h' : ''}`
  const slow = [...(links?.rttMs ?? [])].filter(([, rttMs]) => rttMs > linkRttDefaultMs).sort(([a], [b]) => a - b)
  const ways = links === undefined ? '' : `${links.hint}:${slow.map(([hint, rttMs]) => `${hint}=${rttMs}`).join()}`
  const engine = footprint === undefined ? '' : Object.values(footprint).join('/')
  return `${peer} ${budgetBytes} ${disk} ${loaded} ${others} ${visitMs} ${layerMs} ${charge} ${ways} ${engine} ${JSON.stringify(numericClass)}`
}

function rangesText(ranges: readonly { readonly start: number; readonly end: number }[]): string {
  return ranges.map(({ start, end }) => `${start}-${end}`).join()
}
