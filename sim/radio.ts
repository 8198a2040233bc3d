/**
 * The air: which peer hears which, how fast, how late, and how much is lost. Positions come from motions; rates fall
 * and losses rise with distance; zones jam; partitions and cuts part peers whatever their distance.
 */
import type { Chance } from './chance.ts'
import { distance, power } from './exact.ts'
import type { Motion, Point } from './motion.ts'
import type { RadioSpec } from './scenario-fields.ts'

/** One direction of a link, as it is now. */
export interface Path {
  readonly bytesPerMs: number
  readonly delayMs: number
  /** Of packets, on the whole way. */
  readonly loss: number
  /** Transmissions per packet: 1, or more over relays. */
  readonly hops: number
  /** The radios on the way, both ends included. */
  readonly via: readonly number[]
}

/** A station's place in the air. */
export interface Mast {
  readonly motion: Motion
  /** Its radio is on, whatever its process does. */
  readonly isOn: () => boolean
}

const packetBytes = 1400

export class Radio {
  readonly #spec: RadioSpec
  readonly #masts: readonly Mast[]
  readonly #oneWay: ReadonlySet<string>
  readonly positions: Point[] = []
  /** Pairs that faults part, with how many faults do. */
  readonly #cuts = new Map<string, number>()
  /** Group numbers during a partition. */
  #sides: readonly number[] | undefined
  #zonesOn = true
  #cellM: number
  #cells = new Map<number, number[]>()
  /** Per neighbourhood, or per radio where none is shared: until when each flow has something to send. */
  readonly #air = new Map<number, Map<number, number>>()
  #paths = new Map<number, Path | undefined>()
  #nowMs = 0
  /** Until when packets of what was sent last arrive, those apart that are lost and sent again. */
  flowsUntilMs = 0
  /** ms that each radio has been sending or receiving. */
  readonly busyMs: number[] = []

  constructor(spec: RadioSpec, masts: readonly Mast[], oneWay: readonly (readonly [number, number])[]) {
    this.#spec = spec
    this.#masts = masts
    this.#cellM = spec.rangeM
    this.#oneWay = new Set(oneWay.map(([from, to]) => `${from} ${to}`))
    for (const _ of masts) this.busyMs.push(0)
    this.move(0)
  }

  /** Everyone is where they are at this time; what is known of paths is forgotten. */
  move(nowMs: number): void {
    this.#nowMs = nowMs
    this.#paths.clear()
    this.#cells.clear()
    for (const [i, { motion }] of this.#masts.entries()) {
      const point = motion(nowMs)
      this.positions[i] = point
      const cell = this.#cellOf(point)
      const list = this.#cells.get(cell)
      if (list === undefined) this.#cells.set(cell, [i])
      else list.push(i)
    }
  }

  /** Forgets what is known of paths: a radio went on or off. */
  changed(): void {
    this.#paths.clear()
  }

  cut(a: number, b: number, isCut: boolean): void {
    const key = pairKey(a, b)
    const count = (this.#cuts.get(key) ?? 0) + (isCut ? 1 : -1)
    if (count > 0) this.#cuts.set(key, count)
    else this.#cuts.delete(key)
    this.#paths.clear()
  }

  /** Each station's side, or undefined when all are together. */
  part(sides: readonly number[] | undefined): void {
    this.#sides = sides
    this.#paths.clear()
  }

  get parted(): readonly number[] | undefined {
    return this.#sides
  }

  /** Ends everything that faults and zones do. */
  heal(): void {
    this.#cuts.clear()
    this.#sides = undefined
    this.#zonesOn = false
    this.#paths.clear()
  }

  /** The way from one station to another, or undefined when nothing arrives. */
  path(from: number, to: number): Path | undefined {
    const key = from * this.#masts.length + to
    if (this.#paths.has(key)) return this.#paths.get(key)
    const path = this.#direct(from, to) ?? (this.#spec.relays > 1 ? this.#relayed(from, to) : undefined)
    this.#paths.set(key, path)
    return path
  }

  /** Whether both ends hear each other. */
  joins(a: number, b: number): boolean {
    return this.path(a, b) !== undefined && this.path(b, a) !== undefined
  }

  /** Stations that may be in direct range. */
  near(station: number): number[] {
    const { x, y } = this.positions[station]!
    const [cx, cy] = [Math.floor(x / this.#cellM), Math.floor(y / this.#cellM)]
    const found: number[] = []
    for (let dx = -1; dx <= 1; dx++) {
      for (let dy = -1; dy <= 1; dy++) {
        for (const other of this.#cells.get(cellKey(cx + dx, cy + dy)) ?? []) if (other !== station) found.push(other)
      }
    }
    return found
  }

  /** Stations that may be heard, over relays too, in a fixed order. */
  candidates(station: number): number[] {
    if (this.#spec.relays > 1) return this.#masts.map((_, i) => i).filter(i => i !== station)
    return this.near(station).sort((a, b) => a - b)
  }

  /**
   * When bytes that leave now have arrived: they follow what their flow, one station to another, has to send; flows share
   * the air alike, packet by packet; and packets are sent again when lost, as TCP does it: a tail after its timeout,
   * others after a round trip.
   */
  arrival(from: number, path: Path, bytes: number, nowMs: number, chance: Chance): number {
    const airMs = (bytes / path.bytesPerMs) * path.hops
    const flow = from * this.#masts.length + path.via.at(-1)!
    const places = this.#spec.shared ? [...new Set(path.via.map(i => this.#cellOf(this.positions[i]!)))] : [-1 - from]
    let most = 0
    let startMs = nowMs
    for (const place of places) {
      let flows = this.#air.get(place)
      if (flows === undefined) {
        flows = new Map()
        this.#air.set(place, flows)
      }
      startMs = Math.max(startMs, flows.get(flow) ?? 0)
      for (const [other, untilMs] of flows) if (untilMs <= nowMs) flows.delete(other)
      most = Math.max(most, flows.size - (flows.has(flow) ? 1 : 0))
    }
    const endMs = startMs + airMs * (1 + most)
    for (const place of places) this.#air.get(place)!.set(flow, endMs)
    for (const i of path.via) this.busyMs[i]! += airMs
    let atMs = endMs + path.delayMs + this.#spec.jitterMs * chance.next()
    this.flowsUntilMs = atMs
    if (path.loss > 0) {
      const roundMs = 2 * path.delayMs + this.#spec.jitterMs
      let packets = Math.max(1, Math.ceil(bytes / packetBytes))
      let timeoutMs = Math.max(200, 2 * roundMs)
      while (packets > 0 && chance.happens(1 - power(1 - path.loss, packets))) {
        const lost = Math.max(1, Math.round(packets * path.loss))
        // Three later packets tell the sender; without them it learns by its timeout.
        if (packets - lost >= 3) atMs += roundMs + path.delayMs
        else {
          atMs += timeoutMs
          timeoutMs *= 2
        }
        packets = lost
        if (timeoutMs > 60_000) break
      }
    }
    return atMs
  }

  #direct(from: number, to: number): Path | undefined {
    const spec = this.#spec
    if (!this.#masts[from]!.isOn() || !this.#masts[to]!.isOn()) return undefined
    if (this.#sides !== undefined && this.#sides[from] !== this.#sides[to]) return undefined
    if (this.#cuts.size > 0 && this.#cuts.has(pairKey(from, to))) return undefined
    if (this.#oneWay.size > 0 && this.#oneWay.has(`${from} ${to}`)) return undefined
    const [a, b] = [this.positions[from]!, this.positions[to]!]
    const q = distance(a.x - b.x, a.y - b.y) / spec.rangeM
    if (q > 1) return undefined
    let loss = spec.loss + (spec.edgeLoss - spec.loss) * q * q * q * q
    if (this.#zonesOn) {
      for (const zone of spec.zones) {
        const s = this.#nowMs / 1000
        if (s < zone.fromS || s >= zone.untilS) continue
        const [x, y] = [zone.x + zone.dx * (s - zone.fromS), zone.y + zone.dy * (s - zone.fromS)]
        const inside = ({ x: px, y: py }: Point): boolean => distance(px - x, py - y) <= zone.radiusM
        if (inside(a) || inside(b)) loss += zone.loss
      }
    }
    if (loss >= 0.9) return undefined
    const bytesPerMs = spec.rateMbps * 125 * (1 - 0.8 * q * q)
    return { bytesPerMs, delayMs: spec.delayMs, loss: Math.max(0, loss), hops: 1, via: [from, to] }
  }

  /** The way with the fewest relays; each of them sends everything again. */
  #relayed(from: number, to: number): Path | undefined {
    const before = new Map<number, number>([[from, -1]])
    let edge = [from]
    for (let hop = 1; hop <= this.#spec.relays && !before.has(to); hop++) {
      const next: number[] = []
      for (const at of edge) {
        for (const other of this.near(at)) {
          if (before.has(other) || this.#direct(at, other) === undefined) continue
          before.set(other, at)
          next.push(other)
        }
      }
      edge = next
    }
    if (!before.has(to)) return undefined
    const via = [to]
    for (let at = before.get(to)!; at !== -1; at = before.get(at)!) via.unshift(at)
    const links = via.slice(1).map((other, i) => this.#direct(via[i]!, other)!)
    return {
      bytesPerMs: Math.min(...links.map(link => link.bytesPerMs)),
      delayMs: links.reduce((sum, link) => sum + link.delayMs, 0),
      loss: 1 - links.reduce((kept, link) => kept * (1 - link.loss), 1),
      hops: links.length,
      via
    }
  }

  #cellOf({ x, y }: Point): number {
    return cellKey(Math.floor(x / this.#cellM), Math.floor(y / this.#cellM))
  }
}

function cellKey(x: number, y: number): number {
  return x * 2 ** 20 + y
}

function pairKey(a: number, b: number): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
