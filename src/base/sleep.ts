/** Waiting, on whatever clock. */
import type { Clock } from './clock.ts'

/** {@link Clock.sleep} in terms of the rest of a clock. */
export function sleepOn(
  clock: Pick<Clock, 'after'>,
  ms: number,
  { signal, ref = true }: { readonly signal?: AbortSignal | undefined; readonly ref?: boolean } = {}
): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve()
  return new Promise(resolve => {
    const done = (): void => {
      timer.stop()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = clock.after(ms, done)
    if (!ref) timer.unref()
    signal?.addEventListener('abort', done, { once: true })
  })
}
