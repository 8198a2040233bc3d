/**
 * Masks under way: which tokens may be drawn after a row, as steps carry it (rule S40). A mask is a bit for each id of the vocabulary; the
 * few that come again and again, as inside a string of JSON, are sent once and then named by the slot that the tail keeps them in. Pure.
 */
import { isMask, maskBytes, type TokenMask } from '../engine/mask.ts'
import { maskSlots } from './limits.ts'

/** One mask as a step carries it: bits, or runs (varints: so many ids that may not be drawn, so many that may, by turns), or its slot alone. */
export interface MaskForm {
  readonly slot: number
  readonly bits?: Uint8Array
  readonly runs?: Uint8Array
}

/** Bytes that a tail keeps of the masks of a session. */
export function keptMaskBytes(vocab: number): number {
  return maskSlots * maskBytes(vocab)
}

// ── Forms ──────────────────────────────────────────────────────────────────────────────────────────

/** The shorter form of a mask. */
export function formOf(slot: number, mask: TokenMask): MaskForm {
  const runs = runsOf(mask)
  return runs === undefined ? { slot, bits: mask } : { slot, runs }
}

/** Undefined where the bits themselves are no longer. */
function runsOf(mask: TokenMask): Uint8Array | undefined {
  const out = new Uint8Array(mask.length)
  let end = 0
  let run = 0
  let allowed = 0
  const put = (): boolean => {
    for (let rest = run; ; rest >>>= 7) {
      if (end >= out.length) return false
      out[end++] = rest >= 0x80 ? (rest & 0x7f) | 0x80 : rest
      if (rest < 0x80) return true
    }
  }
  for (let at = 0; at < mask.length; at++) {
    const byte = mask[at]!
    // Most bytes are of one run.
    if (byte === (allowed === 0 ? 0 : 0xff)) {
      run += 8
      continue
    }
    for (let bit = 0; bit < 8; bit++) {
      if (((byte >> bit) & 1) !== allowed) {
        if (!put()) return undefined
        run = 0
        allowed = 1 - allowed
      }
      run++
    }
  }
  if (allowed === 1 && !put()) return undefined
  return out.subarray(0, end)
}

/** The mask that a form is of; undefined where it is not one of so many ids, or lets none be drawn. */
export function maskOf({ bits, runs }: MaskForm, vocab: number): TokenMask | undefined {
  const mask = runs === undefined ? bits?.slice() : ofRuns(runs, vocab)
  return mask !== undefined && isMask(mask, vocab) ? mask : undefined
}

function ofRuns(runs: Uint8Array, vocab: number): TokenMask | undefined {
  const mask = new Uint8Array(maskBytes(vocab))
  let id = 0
  let isAllowed = false
  for (let at = 0; at < runs.length; ) {
    let run = 0
    for (let unit = 1; ; unit *= 0x80) {
      const byte = runs[at++]
      if (byte === undefined || unit > 2 ** 28) return undefined
      run += (byte & 0x7f) * unit
      if (byte < 0x80) break
    }
    if (id + run > vocab) return undefined
    if (isAllowed) allow(mask, id, id + run)
    id += run
    isAllowed = !isAllowed
  }
  return mask
}

/** Ids [from, to) may be drawn. */
function allow(mask: TokenMask, from: number, to: number): void {
  let id = from
  for (; id < to && id % 8 !== 0; id++) mask[id >> 3]! |= 1 << (id & 7)
  const whole = Math.max(id, to - (to % 8))
  mask.fill(0xff, id >> 3, whole >> 3)
  for (id = whole; id < to; id++) mask[id >> 3]! |= 1 << (id & 7)
}

// ── Slots ──────────────────────────────────────────────────────────────────────────────────────────

/** What a tail keeps of the masks of one epoch. */
export class KeptMasks {
  readonly #vocab: number
  readonly #slots = new Map<number, TokenMask>()

  constructor(vocab: number) {
    this.#vocab = vocab
  }

  /** An epoch begins. */
  begin(): void {
    this.#slots.clear()
  }

  /** The masks of a step that is to be computed; undefined where one is none, or nothing is in its slot. */
  take(forms: readonly MaskForm[]): readonly TokenMask[] | undefined {
    const masks: TokenMask[] = []
    for (const form of forms) {
      const isKept = form.bits === undefined && form.runs === undefined
      const mask = isKept ? this.#slots.get(form.slot) : maskOf(form, this.#vocab)
      if (mask === undefined) return undefined
      this.#slots.set(form.slot, mask)
      masks.push(mask)
    }
    return masks
  }
}

interface SentMask {
  readonly mask: TokenMask
  /** A token has been drawn by it: the tail has it. */
  isKnown: boolean
  /** In which step it was sent last. */
  step: number
}

/** What a driver has sent of masks in one epoch. */
export class SentMasks {
  readonly #slots: (SentMask | undefined)[] = Array.from({ length: maskSlots })
  /** Slots of the last step, a row after the other. */
  #last: readonly number[] = []
  #step = 0

  /** The forms in which a step carries these masks. @param masks [1 + drafts], fewer than there are slots */
  send(masks: readonly TokenMask[]): MaskForm[] {
    this.#step++
    const forms = masks.map(mask => this.#form(mask))
    this.#last = forms.map(({ slot }) => slot)
    return forms
  }

  #form(mask: TokenMask): MaskForm {
    const slot = this.#slots.findIndex(each => each !== undefined && sameMask(each.mask, mask))
    const sent = this.#slots[slot]
    if (sent === undefined) {
      const oldest = this.#oldest
      this.#slots[oldest] = { mask, isKnown: false, step: this.#step }
      return formOf(oldest, mask)
    }
    sent.step = this.#step
    return sent.isKnown ? { slot } : formOf(slot, mask)
  }

  /** The slot that has not been used for longest. */
  get #oldest(): number {
    let oldest = 0
    for (const [slot, sent] of this.#slots.entries()) {
      if (sent === undefined) return slot
      if (sent.step < this.#slots[oldest]!.step) oldest = slot
    }
    return oldest
  }

  /** So many tokens have come of the last step: the masks that they were drawn by are at the tail. */
  came(tokens: number): void {
    for (const slot of this.#last.slice(0, tokens)) this.#slots[slot]!.isKnown = true
  }
}

function sameMask(a: TokenMask, b: TokenMask): boolean {
  return a === b || (a.length === b.length && a.every((byte, i) => byte === b[i]))
}
