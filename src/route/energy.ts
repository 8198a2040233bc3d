/**
 * How long batteries last under a plan. Records announce how full a battery is, not how large it is nor what its peer
 * draws, so all are taken for alike: watts that it draws anyway, watts while it computes, and watts of its radio while
 * hidden states come and go. The workload is one answer that never ends: a token in every `tokenMs`.
 */
import {
  flightComputeWatts,
  flightIdleWatts,
  flightRadioWatts,
  linkBytesPerMsDefault,
  stepBytesDefault
} from './limits.ts'
import { stageMs } from './cost.ts'
import type { ModelShape, PeerView } from './view.ts'

/** Mean watts of a peer that computes for `ms` of every token. */
export function drawnWatts(ms: number, tokenMs: number, model: ModelShape): number {
  const radioMs = (2 * (model.stepBytes ?? stepBytesDefault)) / linkBytesPerMsDefault
  return (
    flightIdleWatts + flightComputeWatts * Math.min(1, ms / tokenMs) + flightRadioWatts * Math.min(1, radioMs / tokenMs)
  )
}

/** What a peer's battery lasts that serves `layers` layers: full batteries per watt; infinite on mains. */
export function flightOf(view: PeerView, layers: number, tokenMs: number, model: ModelShape): number {
  if (view.battery === null) return Number.POSITIVE_INFINITY
  return view.battery / drawnWatts(stageMs(view, layers), tokenMs, model)
}

/** The most layers that a peer can serve whose battery is to last `flight`: 0 where it cannot serve any. */
export function layersLasting(view: PeerView, flight: number, tokenMs: number, model: ModelShape): number {
  let low = 0
  let high = model.layers
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (flightOf(view, middle, tokenMs, model) >= flight) low = middle
    else high = middle - 1
  }
  return low
}
