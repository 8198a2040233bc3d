/**
 * Whether this peer itself has stood still (a stopped process, a sleeping machine, a blocked loop): what it finds closed after that
 * is of its own making, for sessions that began before, and for those that begin with what is left of it. Pure.
 */
import { standstillLookMs, standstillMs } from './limits.ts'

export class Standstill {
  #lookedMs: number | undefined
  #endMs: number | undefined

  /** To be called every {@link standstillLookMs}, and before it is asked. */
  look(nowMs: number): void {
    if (this.#lookedMs !== undefined && nowMs - this.#lookedMs >= standstillMs + standstillLookMs) this.#endMs = nowMs
    this.#lookedMs = nowMs
  }

  /** When this peer last came to itself; undefined where it has run all the time. */
  get endMs(): number | undefined {
    return this.#endMs
  }
}
