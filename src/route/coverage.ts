/** Which layers are held how often, and whether stages lie end to end. */
import type { PeerId, Range } from '../base/ids.ts'
import type { ModelShape, PeerView } from './view.ts'

/** [layers] how many of the ranges hold each layer. */
export function coverageOf(ranges: readonly Range[], model: Pick<ModelShape, 'layers'>): number[] {
  const counts = new Array<number>(model.layers).fill(0)
  for (const { start, end } of ranges) {
    for (let layer = Math.max(0, start); layer < Math.min(end, model.layers); layer++) counts[layer]!++
  }
  return counts
}

/** [layers] how many serving stages hold each layer. */
export function coverage(peers: readonly PeerView[], model: ModelShape): number[] {
  return coverageOf(
    peers.flatMap(view => view.stages.filter(stage => stage.serving)),
    model
  )
}

/** Whether some of the ranges lie end to end over all layers. */
export function isRoutable(ranges: readonly Range[], model: ModelShape): boolean {
  return reachable(ranges, model)[model.layers] === true
}

/** The ranges that lie on some way over all layers. */
export function usefulRanges(ranges: readonly Range[], model: ModelShape): Range[] {
  const from = reachable(ranges, model)
  const to: boolean[] = new Array(model.layers + 1).fill(false)
  to[model.layers] = true
  for (const { start, end } of [...ranges].sort((a, b) => b.start - a.start)) if (to[end]) to[start] = true
  return ranges.filter(({ start, end }) => from[start] && to[end])
}

/** [layers + 1] the borders that ranges laid end to end reach from layer 0. */
function reachable(ranges: readonly Range[], model: ModelShape): boolean[] {
  const reached: boolean[] = new Array(model.layers + 1).fill(false)
  reached[0] = true
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) if (reached[start]) reached[end] = true
  return reached
}

/** Stretches of layers for which `test` holds. */
export function rangesWhere(layers: number, test: (layer: number) => boolean): Range[] {
  const found: Range[] = []
  for (let start = 0; start < layers; start++) {
    if (!test(start)) continue
    let end = start + 1
    while (end < layers && test(end)) end++
    found.push({ start, end })
    start = end
  }
  return found
}

/** The stages of a plan. */
export function taken(stages: ReadonlyMap<PeerId, Range | null>): Range[] {
  return [...stages.values()].filter(stage => stage !== null)
}

/** The same ranges, each once, in order. */
export function distinct(ranges: readonly Range[]): Range[] {
  const found = new Map(ranges.map(({ start, end }) => [`${start}-${end}`, { start, end }]))
  return [...found.values()].sort((a, b) => a.start - b.start || a.end - b.end)
}
