/** A tokenizer that never comes back from some texts: its pre-tokenizer backtracks (`(a+)+$`). */
import { tinyTokenizer } from './hugging-face.ts'

export function hostileTokenizer(): Uint8Array {
  const json = JSON.parse(new TextDecoder().decode(tinyTokenizer())) as object
  const pre_tokenizer = { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false }
  return new TextEncoder().encode(JSON.stringify({ ...json, pre_tokenizer }))
}

/** It takes minutes for this: long enough for any deadline, and where that does not hold the test still ends. */
export const hostileText = `${'a'.repeat(32)}b`

/** Counts a timer's calls in this thread, which come only while its loop runs. */
export function loopTicks(): { readonly count: () => number; stop(): void } {
  let ticks = 0
  const timer = setInterval(() => ticks++, 5)
  return { count: () => ticks, stop: () => clearInterval(timer) }
}
