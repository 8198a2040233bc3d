/** Peers that answered by multicast while the doctor listened, of which each stranger can make up as many as he likes. Pure. */
import type { PeerId } from '../base/ids.ts'

export interface Answered {
  readonly peer: PeerId
  readonly addresses: readonly string[]
  /** Its answer carries the code of a member of the swarm. */
  readonly isVouched: boolean
}

export class Answers {
  readonly #countMax: number
  readonly #all = new Map<PeerId, Answered>()

  /** @param countMax how many are kept */
  constructor(countMax: number) {
    this.#countMax = countMax
  }

  get all(): readonly Answered[] {
    return [...this.#all.values()]
  }

  /** What a member has vouched for stays, and takes the place of what nobody has. */
  add(answer: Answered): void {
    const { peer, isVouched } = answer
    if (this.#all.get(peer)?.isVouched === true) return
    if (!this.#all.has(peer) && this.#all.size >= this.#countMax) {
      const rumour = isVouched ? this.all.find(each => !each.isVouched) : undefined
      if (rumour === undefined) return
      this.#all.delete(rumour.peer)
    }
    this.#all.set(peer, answer)
  }
}
