/** How long a session has had room at a stage, and whether others who wait may have it now (rule S31). Pure. */
import { turnMs, turnUnsampledMs } from './limits.ts'

export class Turn {
  #roomMs: number | undefined
  #sampledMs: number | undefined
  /** Its cache grew last at this time, to this length: what is computed again below it is no progress. */
  #grewMs = 0
  #highest = 0

  /** It has had room. */
  get hasBegun(): boolean {
    return this.#roomMs !== undefined
  }

  /** It has room from now on. */
  begins(nowMs: number): void {
    this.#roomMs = nowMs
    this.#grewMs = nowMs
  }

  /** A step that ends at `end` was computed. */
  computed(end: number, { isSampled, nowMs }: { readonly isSampled: boolean; readonly nowMs: number }): void {
    if (end > this.#highest) {
      this.#highest = end
      this.#grewMs = nowMs
    }
    if (isSampled) this.#sampledMs ??= nowMs
  }

  /** It has had its turn: half the time and more it has got the answer on, or it gets nothing done. */
  isOver(nowMs: number): boolean {
    const [roomMs, sampledMs] = [this.#roomMs, this.#sampledMs]
    if (roomMs === undefined) return false
    if (sampledMs !== undefined) return nowMs - sampledMs >= Math.max(turnMs, sampledMs - roomMs)
    return nowMs - this.#grewMs >= turnMs || nowMs - roomMs >= turnUnsampledMs
  }

  /** Since when it has had room. */
  get sinceMs(): number {
    return this.#roomMs ?? 0
  }
}

/** When a session last showed that it goes on. */
export class Use {
  /** A step of it came, or an epoch began. */
  #steppedMs = 0
  /** A result of its, or a question of its driver's. */
  #wantedMs = 0

  stepped(nowMs: number): void {
    this.#steppedMs = nowMs
  }

  wanted(nowMs: number): void {
    this.#wantedMs = nowMs
  }

  /** How long no step has come. */
  idleMs(nowMs: number): number {
    return nowMs - this.#steppedMs
  }

  /** How long nothing of all this has. */
  quietMs(nowMs: number): number {
    return nowMs - Math.max(this.#steppedMs, this.#wantedMs)
  }
}
