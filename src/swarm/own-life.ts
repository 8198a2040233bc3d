/**
 * This process among all that have, or had, this peer's identity: what it says of itself in its record, and whether another one
 * runs now (protocols/records.md, R17). Pure.
 */
import { twinTieMs } from './limits.ts'
import type { Life } from './record.ts'

/** What a record of this very peer has shown. */
interface Heard {
  /** Another run than the last one that was heard of. */
  readonly isNews: boolean
  /** That run is there now, and not one of the past. */
  readonly isTwin: boolean
  /** Of the two this one is the younger. */
  readonly yields: boolean
  /** That run cannot have heard yet that this one knows of it: else it would say so, or yield. */
  readonly isUnaware: boolean
}

export class OwnLife {
  readonly #run: string
  readonly #startMs: number
  /** The other run that was heard under this identity, of now or of a past life, and since when it is known to be of now. */
  #heard: string | undefined
  #twinMs: number | undefined
  #yields = false

  constructor({ run, startMs }: { readonly run: string; readonly startMs: number }) {
    this.#run = run
    this.#startMs = startMs
  }

  /** Another process has the identity now, and has had it for longer. */
  get yields(): boolean {
    return this.#yields
  }

  /** Another run was heard of, of now or of the past. */
  get hasHeard(): boolean {
    return this.#heard !== undefined
  }

  /**
   * The first seq from `least` on that the other run that was heard of does not use: of two records with one seq each neighbour
   * would keep the one that it got first, and neither process would hear of the other one's.
   */
  seqFrom(least: number): number {
    if (this.#heard === undefined) return least
    return least % 2 === (this.#run > this.#heard ? 1 : 0) ? least : least + 1
  }

  /** For the own record. @param nowMs undefined for a record that is only compared */
  said(nowMs: number | undefined): Life {
    const upMs = nowMs === undefined ? 0 : this.#upMs(nowMs)
    return { run: this.#run, upMs, heard: this.#heard, yields: this.#yields }
  }

  /** A record says that the process which made it has heard of this one. */
  isHeardBy(life: Life | undefined): boolean {
    return life?.heard === this.#run
  }

  /** Takes the life that a record of this very peer names; undefined where it is this one's own. */
  hear(life: Life, nowMs: number): Heard | undefined {
    if (life.run === this.#run) return undefined
    const isNews = this.#heard !== life.run
    this.#heard = life.run
    // Whoever has gone cannot have heard of this process; who has is there now.
    if (life.heard !== this.#run) return { isNews, isTwin: false, yields: false, isUnaware: true }
    this.#twinMs ??= nowMs
    if (this.#yields) return { isNews, isTwin: false, yields: true, isUnaware: false }
    // It may have said this a while ago, but has run for no less since: who finds itself the younger is.
    const isYounger = life.upMs > this.#upMs(nowMs)
    this.#yields = !life.yields && (isYounger || (nowMs - this.#twinMs >= twinTieMs && this.#run > life.run))
    // By so much that neither of the two can take itself for the elder.
    const isUnaware = !this.#yields && !life.yields && life.upMs + twinTieMs <= this.#upMs(nowMs)
    return { isNews, isTwin: true, yields: this.#yields, isUnaware }
  }

  #upMs(nowMs: number): number {
    return Math.max(0, Math.floor(nowMs - this.#startMs))
  }
}
