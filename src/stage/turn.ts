/** How long a session has had room at a stage, and whether others who wait may have it now (rule S31). Pure. */
import { turnMs, turnStalledMs, turnUnsampledMs } from './limits.ts'

export class Turn {
  #roomMs: number | undefined
  /** Where the answer goes on, once a step that samples was computed here. */
  #answerAt: number | undefined
  /** The first token has come back to the driver: a step of it was computed here. */
  #answeredMs: number | undefined
  /** Something new was computed last at this time, here or further down. */
  #progressMs = 0
  /** How far the caches here (0) and further down, by hop, have ever grown: what is computed again below is no progress. */
  readonly #highest = new Map<number, number>()

  /** It has had room. */
  get hasBegun(): boolean {
    return this.#roomMs !== undefined
  }

  /** It has room from now on. */
  begins(nowMs: number): void {
    this.#roomMs = nowMs
    this.#progressMs = nowMs
  }

  /** A step was computed. `tokens`: without its drafts. */
  computed(
    { position, tokens, sample }: { readonly position: number; readonly tokens: number; readonly sample: boolean },
    nowMs: number
  ): void {
    if (this.#answerAt !== undefined && position >= this.#answerAt) this.#answeredMs ??= nowMs
    if (sample) this.#answerAt ??= position + tokens
    this.#grew(0, position + tokens, nowMs)
  }

  /** A hop further down has said how long its cache is. `hops`: how far down. */
  heardBelow(hops: number, length: number, nowMs: number): void {
    this.#grew(hops, length, nowMs)
  }

  #grew(hops: number, length: number, nowMs: number): void {
    if (length <= (this.#highest.get(hops) ?? 0)) return
    this.#highest.set(hops, length)
    this.#progressMs = nowMs
  }

  /**
   * It has had its turn: for half the time and more it has got the answer on, or nothing is got done here or further down.
   * A head may have computed a prompt long before it has come to the tail.
   */
  isOver(nowMs: number): boolean {
    const [roomMs, answeredMs] = [this.#roomMs, this.#answeredMs]
    if (roomMs === undefined) return false
    if (answeredMs !== undefined) return nowMs - answeredMs >= Math.max(turnMs, answeredMs - roomMs)
    return nowMs - this.#progressMs >= turnStalledMs || nowMs - roomMs >= turnUnsampledMs
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
