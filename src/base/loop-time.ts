/**
 * For whom the loop of this thread works. What comes off a socket is deciphered, read and acted upon before the next thing that happens, promises included:
 * the time from one such piece to the next, or to the end of that round of the loop, is for whoever sent the first. Where something else happens
 * in between that is nobody's doing, {@link loopIsNobodys} ends it there.
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
  const last = payer
  const ms = nowMs - sinceMs
  payer = next
  sinceMs = nowMs
  // After the sockets of a round of the loop come what was put off for then, and timers, which are nobody's.
  if (!isEnding) {
    isEnding = true
    setImmediate(endRound)
  }
  last?.spent(ms)
}

/** What happens from now on is not for whoever sent something last. */
export function loopIsNobodys(): void {
  const last = payer
  payer = undefined
  last?.spent(performance.now() - sinceMs)
}

function endRound(): void {
  isEnding = false
  loopIsNobodys()
}
