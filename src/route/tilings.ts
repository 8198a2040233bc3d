/**
 * Tilings that were found lately. A plan is searched for anew whenever anything has changed that placement reads, and most of what
 * changes is a battery's charge by a percent, which few of a plan's searches read: all others find what they found before.
 */
import { fastestTiling } from './fastest.ts'
import { leanestTiling, type TilingQuestion } from './leanest.ts'
import { tilingsMax } from './limits.ts'
import type { Tiler, Tiling } from './tiling.ts'
import type { ModelShape, PeerView } from './view.ts'

/** A tiling by the indexes of its tilers, since the same question may come with newer views; -1 for a bridge. */
interface Found {
  readonly tiling: Tiling
  readonly tilers: readonly number[]
}

interface Searching {
  readonly leanest: typeof leanestTiling
  readonly fastest: typeof fastestTiling
}

export class Tilings {
  readonly #searches: Searching
  /** By the text of the question, the newest last; null where there was none. */
  readonly #found = new Map<string, Found | null>()

  constructor(searches: Searching = { leanest: leanestTiling, fastest: fastestTiling }) {
    this.#searches = searches
  }

  /** As {@link leanestTiling}. */
  leanest(question: TilingQuestion): Tiling | undefined {
    const { model, tilers, bridges = [], weakMax } = question
    const over = bridges.map(({ start, end, penalty }) => `${start}-${end}:${penalty}`).join()
    return this.#find(`bytes ${weakMax} ${over}`, model, tilers, () => this.#searches.leanest(question))
  }

  /** As {@link fastestTiling}. */
  fastest(
    model: ModelShape,
    tilers: readonly Tiler[],
    options: { readonly weakMax: number; readonly atMostUs?: number }
  ): Tiling | undefined {
    const { weakMax, atMostUs } = options
    return this.#find(`speed ${weakMax} ${atMostUs}`, model, tilers, () =>
      this.#searches.fastest(model, tilers, options)
    )
  }

  #find(
    what: string,
    model: ModelShape,
    tilers: readonly Tiler[],
    search: () => Tiling | undefined
  ): Tiling | undefined {
    const key = [`${model.id} ${what}`, ...tilers.map(tilerText)].join('\n')
    let found = this.#found.get(key)
    if (found === undefined) found = indexed(search(), tilers)
    else this.#found.delete(key)
    this.#found.set(key, found)
    if (this.#found.size > tilingsMax) this.#found.delete(this.#found.keys().next().value!)
    return found === null ? undefined : withViews(found, tilers)
  }
}

function indexed(tiling: Tiling | undefined, tilers: readonly Tiler[]): Found | null {
  if (tiling === undefined) return null
  const indexes = new Map(tilers.map(({ view }, index) => [view, index]))
  return { tiling, tilers: tiling.tiles.map(({ view }) => (view === null ? -1 : indexes.get(view)!)) }
}

function withViews({ tiling, tilers: indexes }: Found, tilers: readonly Tiler[]): Tiling {
  const tiles = tiling.tiles.map((tile, i) => ({ ...tile, view: tilers[indexes[i]!]?.view ?? null }))
  return { ...tiling, tiles }
}

/** All that the searches read of a tiler; its place among the others says who it is. */
function tilerText({ view, only, loaded, weak, hopMs, layersMax }: Tiler): string {
  const ranges = (list: readonly { start: number; end: number }[]): string =>
    list.map(({ start, end }) => `${start}-${end}`).join()
  return `${viewText(view)} ${only === null ? '' : `=${ranges(only)}`} ${ranges(loaded)} ${weak} ${hopMs} ${layersMax}`
}

/** Views are looked at many times, and do not change. */
const texts = new WeakMap<PeerView, string>()

function viewText(view: PeerView): string {
  let text = texts.get(view)
  if (text === undefined) {
    const { budgetBytes, held, holdsEmbedding, holdsHead, obtainable, footprint, visitMs, layerMs } = view
    text = JSON.stringify([
      budgetBytes,
      held,
      holdsEmbedding,
      holdsHead,
      obtainable,
      footprint === undefined ? null : Object.values(footprint),
      visitMs,
      layerMs
    ])
    texts.set(view, text)
  }
  return text
}
