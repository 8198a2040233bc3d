/**
 * Among tilings that are nearly as fast as the fastest, one whose first flat battery lasts longest. A battery that is to
 * last so long bounds how many layers its peer may take, so each question for a longer flight is one for a tiling within
 * those bounds; the answer is found by halving.
 */
import { flightSlackRatio, flightStepRatio } from '../limits.ts'
import { flightOf, layersLasting } from './energy.ts'
import { fastestTiling, weighedUs } from './fastest.ts'
import type { Tiler, Tiling } from './tiling.ts'
import type { ModelShape } from './view.ts'

/** When the first battery of a tiling is flat, as {@link flightOf} counts; infinite where all of it runs on mains. */
export function tilingFlight({ tiles }: Tiling, tokenMs: number, model: ModelShape): number {
  return Math.min(
    ...tiles.map(({ view, start, end }) =>
      view === null ? Number.POSITIVE_INFINITY : flightOf(view, end - start, tokenMs, model)
    )
  )
}

/**
 * The tiling that lasts longest, `fastest` itself where none lasts longer within {@link flightSlackRatio} of its time.
 * All are compared at the workload that the fastest one could just do.
 *
 * @param least flight that it must have to be of use: above it is looked first. @default that of the fastest
 */
export function longestTiling(model: ModelShape, tilers: readonly Tiler[], fastest: Tiling, least?: number): Tiling {
  const batteries = tilers.filter(({ view }) => view.battery !== null)
  const tokenMs = fastest.timeUs / 1000
  let low = tilingFlight(fastest, tokenMs, model)
  if (batteries.length === 0 || low === Number.POSITIVE_INFINITY) return fastest
  const atMostUs = weighedUs(fastest) * (1 + flightSlackRatio)
  let best = fastest
  /** Whether some tiling lasts so long; it is the best one so far then. */
  const lasts = (flight: number): boolean => {
    const bounded = tilers.flatMap(tiler => {
      if (tiler.view.battery === null) return [tiler]
      const layersMax = layersLasting(tiler.view, flight, tokenMs, model)
      return layersMax === 0 ? [] : [{ ...tiler, layersMax }]
    })
    const found = fastestTiling(model, bounded, { weakMax: fastest.weak, atMostUs, any: true })
    if (found === undefined) return false
    best = found
    low = tilingFlight(found, tokenMs, model)
    return true
  }
  if (least !== undefined && least > low && !lasts(least)) return fastest
  if (lasts(Number.POSITIVE_INFINITY)) return best
  let high = Math.max(...batteries.map(({ view }) => flightOf(view, 1, tokenMs, model))) * flightStepRatio
  while (high > low * flightStepRatio) {
    const middle = Math.sqrt(low * high)
    if (!lasts(middle)) high = middle
  }
  return best
}
