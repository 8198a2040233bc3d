/** Moments as people read them. */

/** A moment to the minute, the same everywhere: `2026-11-30 12:00 UTC`. @param ms since 1970 */
export function momentText(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
