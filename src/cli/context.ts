/** What every command gets beside its flags. */
export interface CommandContext {
  /** Aborted with `InterruptedError` by Ctrl-C, with `OutputClosedError` when nobody reads stdout any more. */
  readonly signal: AbortSignal
  /** Aborted by Ctrl-C alone: for what goes on although nobody reads. */
  readonly interrupted: AbortSignal
  /** Takes every Ctrl-C from now on, in place of what it does else, until what it returns is called. */
  readonly onInterrupt: (taken: () => void) => () => void
}
