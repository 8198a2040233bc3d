/**
 * For whom the loop of this thread works. What comes off a socket is deciphered, read and acted upon, promises included, before anything else happens: the
 * time from its coming to the end of that is for whoever sent it.
 */

/** Who hears how much of the loop's time went to what it sent. */
export interface LoopPayer {
  /** Called as soon as the time is over. It must not throw. */
  spent(ms: number): void
}

let payer: LoopPayer | undefined
let sinceMs = 0
let isEnding = false

/** A piece of what somebody sent has come, and is about to be seen to. */
export function loopWorksFor(next: LoopPayer, nowMs: number): void {
  settle(nowMs)
  payer = next
  sinceMs = nowMs
  if (isEnding) return
  isEnding = true
  // Node runs what was put off by `nextTick`, then promises until there are none, then what those have put off.
  process.nextTick(() => queueMicrotask(() => process.nextTick(end)))
}

function end(): void {
  isEnding = false
  settle(performance.now())
}

function settle(nowMs: number): void {
  const last = payer
  payer = undefined
  last?.spent(nowMs - sinceMs)
}
