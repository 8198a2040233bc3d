/**
 * The next step of a session, on its way to the route: at once, or where the answer follows a grammar once that has said what may follow
 * (rule S40). Masks follow from the ids alone, so that a loss changes nothing of them. Pure.
 */
import type { TokenMask } from '../engine/mask.ts'
import type { Epoch } from './epoch.ts'
import type { MaskAsk, Masked } from './event.ts'

const none: readonly number[] = []

export class Stepping {
  /** Asks the grammar; undefined where there is none. */
  readonly #ask: ((ask: MaskAsk) => void) | undefined
  /** All tokens that are known; it grows. */
  readonly #text: readonly number[]
  /** What it was asked last. */
  #asked: { readonly length: number; readonly drafts: readonly number[] } | undefined
  /** Its answer to that. */
  #masks: readonly TokenMask[] | undefined

  constructor(text: readonly number[], ask: ((ask: MaskAsk) => void) | false | undefined) {
    this.#text = text
    this.#ask = ask || undefined
  }

  /** The next step goes out with these drafts, or with those of them that the grammar allows. */
  step(epoch: Epoch, drafts: readonly number[], nowMs: number): void {
    if (this.#ask === undefined) epoch.pump(this.#text, nowMs, { drafts })
    else this.#askFor(drafts)
  }

  /** The stream to the head is open. */
  connected(epoch: Epoch, nowMs: number): void {
    epoch.connected()
    this.goOn(epoch, nowMs)
  }

  /** What was not sent goes out, as far as there is credit. */
  goOn(epoch: Epoch, nowMs: number): void {
    if (this.#ask !== undefined && this.#asked?.length !== this.#text.length) this.#askFor(none)
    // An epoch that has begun since may have hops that know nothing of drafts.
    epoch.pump(this.#text, nowMs, { masks: this.#masks?.slice(0, 1) })
  }

  /** The grammar has said what may follow. `epoch`: undefined where none is open */
  masked(epoch: Epoch | undefined, { length, drafts, masks }: Masked, nowMs: number): void {
    if (this.#asked?.length !== length || this.#asked.drafts !== drafts) return
    this.#masks = masks
    epoch?.pump(this.#text, nowMs, { drafts: drafts.slice(0, masks.length - 1), masks })
  }

  #askFor(drafts: readonly number[]): void {
    const { length } = this.#text
    this.#asked = { length, drafts }
    this.#masks = undefined
    this.#ask!({ text: this.#text, length, drafts })
  }
}
