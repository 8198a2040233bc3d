/**
 * Among tilings that are nearly as fast as the fastest, one whose first flat battery lasts longest. A battery that is to
 * last so long bounds how many layers its peer may take, so each question for a longer flight is one for a tiling within
 * those bounds; the answer is found by halving.
 */
import { flightIdleWatts, flightSlackRatio, flightStepRatio } from './limits.ts'
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
 * The flights that are asked for, a step apart: from less than what a hundredth of a battery gives to more than a full one.
 * By products alone, which are the same on every machine.
 */
const flights: readonly number[] = (() => {
  const all = [0.0001]
  while (all.at(-1)! <= 1 / flightIdleWatts) all.push(all.at(-1)! * flightStepRatio)
  return all
})()

/**
 * The tiling that lasts longest, `fastest` itself where none lasts longer within {@link flightSlackRatio} of its time.
 * All are compared at the workload that the fastest one could just do. Which one it is does not depend on what is loaded,
 * nor on which of equally fast ones `fastest` is, as long as it finds any: who follows it halfway finds it again.
 *
 * @param least flight that it must have to be of use, give or take a step. @default that of the fastest
 */
export function longestTiling(model: ModelShape, tilers: readonly Tiler[], fastest: Tiling, least = 0): Tiling {
  const batteries = tilers.filter(({ view }) => view.battery !== null)
  const tokenMs = fastest.timeUs / 1000
  const own = tilingFlight(fastest, tokenMs, model)
  if (batteries.length === 0 || own === Number.POSITIVE_INFINITY) return fastest
  const atMostUs = weighedUs(fastest) * (1 + flightSlackRatio)
  /** A tiling that lasts so long. */
  const lasting = (flight: number): Tiling | undefined => {
    const bounded = tilers.flatMap(tiler => {
      // What is loaded breaks ties in the search, and any tiling will do: it would be another one after every load.
      const fresh = { ...tiler, loaded: [] }
      if (tiler.view.battery === null) return [fresh]
      const layersMax = layersLasting(tiler.view, flight, tokenMs, model)
      return layersMax === 0 ? [] : [{ ...fresh, layersMax }]
    })
    return fastestTiling(model, bounded, { weakMax: fastest.weak, atMostUs, any: true })
  }
  // All questions are for the same flights, so that those who begin from different ones ask the same.
  const above = (flight: number): number => flights.findIndex(each => each > flight)
  const first = above(Math.max(own, least))
  if (first === -1) return lasting(Number.POSITIVE_INFINITY) ?? fastest
  let best = lasting(flights[first]!)
  if (best === undefined && least > own) return fastest
  const endless = lasting(Number.POSITIVE_INFINITY)
  if (endless !== undefined) return endless
  let low = best === undefined ? first - 1 : first
  let high = Math.max(first, above(Math.max(...batteries.map(({ view }) => flightOf(view, 1, tokenMs, model)))))
  while (high - low > 1) {
    const middle = (low + high) >> 1
    const found = lasting(flights[middle]!)
    if (found === undefined) high = middle
    else [low, best] = [middle, found]
  }
  return best ?? fastest
}
