/** What ends one thing that was started. */
export type End = () => Promise<void>

/**
 * Ends what was started, the last one first, each once the one before it is done. All of them run, whatever one of them
 * throws: a lock that is kept or a port that stays open would hold up the next start.
 * @throws the first error, when all have run
 */
export async function endAll(ends: readonly End[]): Promise<void> {
  let failed: { readonly error: unknown } | undefined
  for (const end of ends.toReversed()) {
    try {
      await end()
    } catch (error) {
      failed ??= { error }
    }
  }
  if (failed !== undefined) throw failed.error
}
