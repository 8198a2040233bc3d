/** How peers move: each motion gives a position for a time that never runs backwards. */
import type { Chance } from './chance.ts'
import { distance } from './exact.ts'
import type { MotionSpec } from './scenario-fields.ts'

export interface Point {
  readonly x: number
  readonly y: number
}

/** Metres at a virtual time in ms. */
export type Motion = (atMs: number) => Point

export interface MotionPlace {
  /** Which of its group the peer is, and how many there are. */
  readonly index: number
  readonly count: number
  readonly area: { readonly widthM: number; readonly heightM: number }
  readonly chance: Chance
}

export function motionOf(spec: MotionSpec, place: MotionPlace): Motion {
  const { index, count, area, chance } = place
  switch (spec.kind) {
    case 'hover': {
      const spread = spec.spreadM ?? 0
      const at =
        spec.x === undefined || spec.y === undefined
          ? { x: chance.between(0, area.widthM), y: chance.between(0, area.heightM) }
          : { x: spec.x + chance.between(-spread, spread), y: spec.y + chance.between(-spread, spread) }
      return () => at
    }
    case 'patrol': {
      const lap = pathOf([...spec.points, spec.points[0]!])
      const offset = (lap.lengthM * index) / count
      return atMs => lap.at((offset + (spec.speed * atMs) / 1000) % lap.lengthM)
    }
    case 'convoy': {
      const way = pathOf(spec.points)
      return atMs => {
        const driven = Math.max(0, (spec.speed * atMs) / 1000 - index * spec.gapM)
        // At the end of the road it turns round and comes back in the same order.
        const lap = driven % (2 * way.lengthM)
        return way.at(lap <= way.lengthM ? lap : 2 * way.lengthM - lap)
      }
    }
    case 'lawn-mower': {
      // Each has a cell of its own, as square as the field allows, and mows it in lanes.
      const columns = Math.max(1, Math.round(Math.sqrt((count * area.widthM) / area.heightM)))
      const rows = Math.ceil(count / columns)
      const [width, height] = [area.widthM / columns, area.heightM / rows]
      const [left, low] = [width * (index % columns), height * Math.floor(index / columns)]
      const lanes = Math.max(1, Math.floor(width / spec.laneM))
      const points: [number, number][] = []
      for (let lane = 0; lane < lanes; lane++) {
        const x = left + (width * (lane + 0.5)) / lanes
        const ends: [number, number][] = [
          [x, low],
          [x, low + height]
        ]
        points.push(...(lane % 2 === 0 ? ends : ends.reverse()))
      }
      const lap = pathOf([...points, points[0]!])
      return atMs => lap.at(((spec.speed * atMs) / 1000) % lap.lengthM)
    }
    case 'random-waypoint': {
      const draw = (): Point => ({ x: chance.between(0, area.widthM), y: chance.between(0, area.heightM) })
      let from = draw()
      let to = draw()
      let leaveMs = 0
      let arriveMs = travelMs(from, to, chance.between(...spec.speed))
      return atMs => {
        while (atMs >= arriveMs + spec.pauseS * 1000) {
          leaveMs = arriveMs + spec.pauseS * 1000
          from = to
          to = draw()
          arriveMs = leaveMs + travelMs(from, to, chance.between(...spec.speed))
        }
        const share = Math.min(1, Math.max(0, (atMs - leaveMs) / (arriveMs - leaveMs)))
        return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share }
      }
    }
    case 'track': {
      const points = spec.points ?? [[0, 0, 0]]
      return atMs => {
        const s = atMs / 1000
        const next = points.findIndex(([time]) => time > s)
        if (next === 0) return { x: points[0]![1], y: points[0]![2] }
        const [t0, x0, y0] = points[next < 0 ? points.length - 1 : next - 1]!
        if (next < 0) return { x: x0, y: y0 }
        const [t1, x1, y1] = points[next]!
        const share = (s - t0) / (t1 - t0)
        return { x: x0 + (x1 - x0) * share, y: y0 + (y1 - y0) * share }
      }
    }
  }
}

function travelMs(from: Point, to: Point, speed: number): number {
  return Math.max(1, (distance(to.x - from.x, to.y - from.y) / speed) * 1000)
}

/** A way through points, by the metres driven on it. */
function pathOf(points: readonly (readonly [number, number])[]): { lengthM: number; at: (driven: number) => Point } {
  const lengths = points.slice(1).map(([x, y], i) => distance(x - points[i]![0], y - points[i]![1]))
  const lengthM = Math.max(
    1e-3,
    lengths.reduce((sum, length) => sum + length, 0)
  )
  return {
    lengthM,
    at: driven => {
      let left = driven
      for (const [i, length] of lengths.entries()) {
        if (left <= length || i === lengths.length - 1) {
          const share = length === 0 ? 0 : Math.min(1, left / length)
          const [x0, y0] = points[i]!
          const [x1, y1] = points[i + 1]!
          return { x: x0 + (x1 - x0) * share, y: y0 + (y1 - y0) * share }
        }
        left -= length
      }
      return { x: points[0]![0], y: points[0]![1] }
    }
  }
}
