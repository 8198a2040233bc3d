/** Who is told of an answer beside the one who asked: to count it, and to show it while it is made. Pure. */
import type { GenerationEvent } from './generation.ts'

/** None of it waits, and none of it may throw. */
export interface AnswerWatcher {
  /** The answer is to be traced for it, too, whether or not the one who asked wants that. */
  readonly traces: boolean
  /** Told of before the one who asked is. */
  told(event: GenerationEvent): void
  /**
   * Once, at the very end. `error`: why there is no whole answer; undefined where there is one, or where the one who asked has not read
   * it to its end.
   */
  ended(error: Error | undefined): void
}

/**
 * The same events, with somebody watching.
 *
 * @param options.tellsTraces false leaves out the events `trace`, which only the watcher wants
 */
export async function* watched(
  events: AsyncIterable<GenerationEvent>,
  watcher: AnswerWatcher,
  { tellsTraces }: { tellsTraces: boolean }
): AsyncGenerator<GenerationEvent> {
  let failure: Error | undefined
  try {
    for await (const event of events) {
      watcher.told(event)
      if (tellsTraces || event.event !== 'trace') yield event
    }
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    watcher.ended(failure)
  }
}
