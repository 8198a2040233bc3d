/** How a world stands at regular moments, for its figures and its report. */
import { coverage } from '../src/route/coverage.ts'
import type { Sample } from './stats.ts'
import type { World } from './world.ts'

/** Rows of peers that are kept for a report: some 5 MB of a table. */
const rowsMax = 120_000
/** Peers among whom a report shows who sends to whom at every moment, the links it shows, and bytes that count. */
const flowsPeersMax = 64
const flowsMax = 24
const flowBytesMin = 3_000

export class Sampling {
  readonly #world: World
  /** Bytes per link at the last sample. */
  readonly #carried = new Map<number, number>()

  constructor(world: World) {
    this.#world = world
  }

  /** Who has sent much to whom since the last sample. */
  #flows(): [number, number, number][] {
    const count = this.#world.peers.length
    if (count > flowsPeersMax) return []
    const flows: [number, number, number][] = []
    for (const [key, bytes] of this.#world.wire.bytes) {
      const since = bytes - (this.#carried.get(key) ?? 0)
      this.#carried.set(key, bytes)
      if (since >= flowBytesMin * this.#world.scenario.watch.sampleS)
        flows.push([Math.floor(key / count), key % count, since])
    }
    return flows.sort((a, b) => b[2] - a[2]).slice(0, flowsMax)
  }

  #levels(): Sample['levels'] {
    const levels = this.#world.energy.charges().sort((a, b) => a - b)
    return levels.length === 0 ? undefined : [levels[0]!, levels[levels.length >> 1]!, levels.at(-1)!]
  }

  take(): void {
    const views = this.#world.views()
    const serving = coverage(views, this.#world.shape)
    const least = Math.min(...serving)
    const sample = this.#world.stats.sample(
      this.#world.nowMs,
      least,
      this.#world.peers.filter(peer => peer.life !== 0).length
    )
    if (!this.#world.keepsSamples) return
    const rows = (this.#world.peers.length * this.#world.scenario.minutes * 60) / this.#world.scenario.watch.sampleS
    const isWhole = this.#world.samples.length % Math.ceil(rows / rowsMax) === 0
    this.#world.samples.push({
      ...sample,
      coverage: serving,
      levels: this.#levels(),
      flows: this.#flows(),
      peers: !isWhole
        ? []
        : this.#world.peers.map(peer => ({
            x: Math.round(this.#world.radio.positions[peer.index]!.x),
            y: Math.round(this.#world.radio.positions[peer.index]!.y),
            state: peer.life === 0 ? (peer.isCharging ? 'charging' : 'down') : peer.isFrozen ? 'frozen' : 'up',
            level: peer.level,
            stage: peer.process?.loaded.find(({ serving }) => serving) ?? null
          })),
      joules: this.#world.energy.joules()
    })
  }
}
