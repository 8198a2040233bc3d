/** A clock that an engine and its thread share: each thread's `performance.now` has a beginning of its own. */

/** Monotonic time in ms, from any beginning, the same in all threads of this process. */
export function threadNowMs(): number {
  const [seconds, nanos] = process.hrtime()
  return 1e3 * seconds + nanos / 1e6
}
