/** Peers, and stages of peers, that a session does without for a while, and from when on they are asked where there is no way around them. */
import type { PeerId, PlaceId } from '../base/ids.ts'
import { excludedGraceMs } from '../route/limits.ts'
import { excludeMs } from './limits.ts'

export class LeftOut<Id extends PeerId | PlaceId = PeerId | PlaceId> {
  readonly #out = new Map<Id, { readonly doubtfulMs: number; readonly untilMs: number }>()

  /** @param graceMs after it, it is asked where there is no other; a peer may just have lost a connection. */
  add(id: Id, nowMs: number, { graceMs = excludedGraceMs, forMs = excludeMs } = {}): void {
    this.#out.set(id, { doubtfulMs: nowMs + graceMs, untilMs: nowMs + forMs })
  }

  /** Those that are left out now. */
  all(nowMs: number): ReadonlySet<Id> {
    for (const [id, { untilMs }] of this.#out) if (untilMs <= nowMs) this.#out.delete(id)
    return new Set(this.#out.keys())
  }

  /** Those of them that are asked where there is no way around them. */
  doubtful(nowMs: number): ReadonlySet<Id> {
    return new Set([...this.#out].flatMap(([id, { doubtfulMs }]) => (doubtfulMs <= nowMs ? [id] : [])))
  }
}
