/** Says whether an answer can be held to a grammar: a small one at once, another in a thread beside the one that talks to the network (promise P7). */
import { grammarOf } from './grammar.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { grammarAtOnceCharsMax, grammarCheckStartMs, grammarIdleMs, grammarReadyMs } from './limits.ts'
import { Thread } from './thread.ts'

/** One for all that this process asks: it starts with the first large grammar, and ends when none has come for a while. */
const thread = new Thread({
  file: new URL(
    import.meta.url.endsWith('.ts') ? './grammar-check-worker.ts' : './grammar-check-worker.js',
    import.meta.url
  ),
  name: 'the thread that checks grammars',
  startMs: grammarCheckStartMs,
  idleMs: grammarIdleMs,
  data: async () => ({ workerData: undefined })
})

/**
 * Whether an answer can be held to it.
 *
 * @throws {InvalidOptionError} when not: says what is not supported and where, such as `schema.properties.a.contains`
 * @throws {DeadlineError} when it cannot be said in time, {NoRoomError} when too many ask; the signal's reason
 */
export async function checkGrammar(
  spec: GrammarSpec,
  { signal }: { readonly signal?: AbortSignal | undefined } = {}
): Promise<void> {
  if (JSON.stringify(spec).length <= grammarAtOnceCharsMax) {
    grammarOf(spec)
    return
  }
  await thread.ask(spec, { what: 'check a grammar', deadlineMs: grammarReadyMs, signal })
}
