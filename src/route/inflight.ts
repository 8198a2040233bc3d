/** What this peer's own sessions take of others, before anyone announces it. Pure. */
import type { PeerId, Range } from '../base/ids.ts'
import { roomHeardMs } from './limits.ts'
import { cacheBytesOf, type Hop, type ModelShape } from './view.ts'

interface Begun {
  readonly hops: readonly Hop[]
  readonly model: ModelShape
  readonly tokensMax: number
  readonly atMs: number
}

export class Inflight {
  readonly #sessions = new Map<PeerId, number>()
  /** Routes that are younger than announcements of what they take, the oldest first. */
  #begun: Begun[] = []

  /** Own sessions per peer on their routes. */
  get sessions(): ReadonlyMap<PeerId, number> {
    return this.#sessions
  }

  /** A session begins on a route, with caches for so many tokens of a model. */
  add(hops: readonly Hop[], nowMs: number, model?: ModelShape, tokensMax?: number): void {
    for (const { peer } of hops) this.#sessions.set(peer, (this.#sessions.get(peer) ?? 0) + 1)
    this.#begun = this.#begun.filter(({ atMs }) => nowMs - atMs < roomHeardMs)
    if (model !== undefined && tokensMax !== undefined) this.#begun.push({ hops, model, tokensMax, atMs: nowMs })
  }

  /** It has left it. */
  remove(hops: readonly Hop[]): void {
    for (const { peer } of hops) {
      const count = (this.#sessions.get(peer) ?? 0) - 1
      if (count > 0) this.#sessions.set(peer, count)
      else this.#sessions.delete(peer)
    }
    this.#begun = this.#begun.filter(begun => begun.hops !== hops)
  }

  /**
   * Bytes of caches at a stage that its peer may not have announced as taken.
   *
   * @param shape the model as that peer's engine has it
   */
  takenBytes(peer: PeerId, { start, end }: Range, shape: ModelShape, nowMs: number): number {
    return this.#begun
      .filter(({ atMs, hops, model }) => {
        const isYoung = nowMs - atMs < roomHeardMs && model.id === shape.id
        return isYoung && hops.some(hop => hop.peer === peer && hop.start === start && hop.end === end)
      })
      .reduce((sum, { tokensMax }) => sum + cacheBytesOf(shape, { start, end }, tokensMax), 0)
  }
}
