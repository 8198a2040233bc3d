/** How long answers wait for hops that do nothing. */
import { attentionBlock } from '../src/model/limits.ts'
import { slowLinkBytesPerMs, stuckFactor, stuckMs } from '../src/session/limits.ts'
import { creditTokensMax } from '../src/stage/limits.ts'
import type { Asked } from './asked.ts'
import type { SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

/** A hop that says nothing is known, by a driver that hears the hops before it, within this, on links that are not full. */
const mutePatienceMs = 12_000

export class Patience {
  readonly #world: World
  /** Answers that wait for a hop that does nothing: for whom, and since when. */
  readonly #waits = new Map<number, { readonly key: string; readonly sinceMs: number }>()

  constructor(world: World) {
    this.#world = world
  }

  /** Nobody waits for long for a hop that says nothing, nor for one that gets nothing done where there is another way. */
  look(): void {
    for (const [number, { asked, driver }] of this.#world.answers.open) {
      const peers = asked.route.map(({ peer }) => this.#world.peerOf(peer)!)
      const hop = peers.findIndex(({ isMute, isHung }) => isMute || isHung)
      const still = peers[hop]
      // Whoever else there is may be why it takes longer.
      const isPlain =
        still !== undefined &&
        still.life !== 0 &&
        !asked.isRouting &&
        !driver.isFrozen &&
        [driver, ...peers].every(
          (peer, i, all) =>
            (peer === still || peer === driver || this.#world.blame.isHealthy(peer)) &&
            !still.isFrozen &&
            !this.#world.blame.hadTrouble(peer, all[i - 1] ?? driver) &&
            !this.#world.blame.hadTrouble(peer, driver)
        ) &&
        (still.isMute || driver.process!.hasWayAround(new Set([still.id])))
      if (!isPlain) {
        this.#waits.delete(number)
        continue
      }
      this.#world.promises.checks++
      const key = `${still.name} ${asked.sinceMs}`
      const wait = this.#waits.get(number)
      if (wait?.key !== key) this.#waits.set(number, { key, sinceMs: this.#world.nowMs })
      else if (this.#world.nowMs - wait.sinceMs > this.#patienceMs(asked, still, hop)) {
        const s = ((this.#world.nowMs - wait.sinceMs) / 1000).toFixed(0)
        this.#world.promises.broken('patience', `${number} has waited for hop ${hop}, ${still.name}, for ${s} s`)
      }
    }
  }

  /** How long an answer may wait for a hop that does nothing with it. */
  #patienceMs({ promptIds, answerTokens, route }: Asked, { isMute, group, process }: SimPeer, hop: number): number {
    const tokens = Math.min(creditTokensMax, promptIds.length + answerTokens)
    const linkMs = (tokens * this.#world.scenario.model.stepBytes) / slowLinkBytesPerMs
    if (isMute) return mutePatienceMs + linkMs
    const { start, end } = route[hop]!
    const stepMs = group.visitMs + group.layerMs * (end - start) * Math.min(attentionBlock, tokens)
    // Others that were given up before make it more patient.
    return 4 * (Math.max(stuckMs, stuckFactor * stepMs * (2 + process!.sessions)) + linkMs) + mutePatienceMs
  }
}
