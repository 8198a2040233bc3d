/** Weights on their way between peers, as the story tells it. */
import type { ShardFetch } from '../src/serving/held-shards.ts'
import type { SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

export class Fetches {
  readonly #world: World
  /** What peers fetch, and since when. */
  readonly #fetching = new Map<SimPeer, { readonly shards: string; readonly sinceMs: number }>()

  constructor(world: World) {
    this.#world = world
  }

  told(peer: SimPeer, { shards, tookMs }: ShardFetch): void {
    if (tookMs === undefined) {
      this.#fetching.set(peer, { shards, sinceMs: this.#world.nowMs })
      this.#world.say(`${peer.name} lacks ${shards}`)
      return
    }
    this.#fetching.delete(peer)
    this.#world.stats.fetched(tookMs, true)
    this.#world.say(`${peer.name} has fetched ${shards} after ${tookMs.toFixed(0)} ms`)
  }

  warned(peer: SimPeer, message: string): void {
    const fetching = this.#fetching.get(peer)
    if (fetching === undefined || !message.includes('could not be loaded')) return
    this.#fetching.delete(peer)
    const tookMs = this.#world.nowMs - fetching.sinceMs
    this.#world.stats.fetched(tookMs, false)
    this.#world.say(`${peer.name} did not get ${fetching.shards} after ${tookMs.toFixed(0)} ms`)
  }
}
