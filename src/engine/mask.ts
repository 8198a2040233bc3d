/**
 * Masks: which tokens may be drawn after a row, as a grammar says. Who asks knows why; a tail needs nothing but the bits, which makes
 * what it draws a function of (logits, sampling, position, ids so far, mask). Pure.
 */
import { InvalidStepError } from '../errors.ts'

/** [ceil(vocab / 8)] bytes, the lowest bit of the first byte for id 0: 1 where the token may be drawn. The last byte is filled up with zeros. */
export type TokenMask = Uint8Array

/** Bytes of a mask of so many ids. */
export function maskBytes(vocab: number): number {
  return Math.ceil(vocab / 8)
}

/** Whether it is a mask of so many ids, of which it lets one through at least. */
export function isMask(mask: TokenMask, vocab: number): boolean {
  if (mask.length !== maskBytes(vocab)) return false
  const beyond = vocab % 8 === 0 ? 0 : mask.at(-1)! >> (vocab % 8)
  return beyond === 0 && mask.some(byte => byte !== 0)
}

/** Whether an id is let through. */
export function letsThrough(mask: TokenMask, id: number): boolean {
  return (mask[id >> 3]! & (1 << (id & 7))) !== 0
}

/** The ids that are let through, in rising order. */
export function idsThrough(mask: TokenMask): Int32Array {
  const ids = new Int32Array(8 * mask.length)
  let count = 0
  for (let at = 0; at < mask.length; at++) {
    for (let byte = mask[at]!, id = 8 * at; byte !== 0; byte >>= 1, id++) {
      if ((byte & 1) !== 0) ids[count++] = id
    }
  }
  return ids.subarray(0, count)
}

/**
 * Checks the masks of a step that samples, after so many rows.
 * @throws {InvalidStepError} when they are not as many, or one is none of so many ids
 */
export function checkMasks(masks: readonly TokenMask[], { rows, vocab }: { rows: number; vocab: number }): void {
  if (masks.length !== rows)
    throw new InvalidStepError(`${rows} rows are drawn after, and there are ${masks.length} masks`)
  const wrong = masks.findIndex(mask => !isMask(mask, vocab))
  if (wrong < 0) return
  throw new InvalidStepError(
    `mask ${wrong} must have ${maskBytes(vocab)} bytes for ${vocab} ids and let one of them through`
  )
}
