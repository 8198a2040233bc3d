import { setTimeout as delay } from 'node:timers/promises'

/** Waits so long, or until the signal; it never rejects: whoever waits looks at the signal itself. */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}
