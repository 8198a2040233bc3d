/** Says whether an answer can be held to a grammar: a small one at once, another in a thread beside the one that talks to the network (promise P7). */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { checkExtent, grammarOf, sizeTogether } from './grammar.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import {
  grammarAtOnceCharsMax,
  grammarCheckStartMs,
  grammarIdleMs,
  grammarReadyMs,
  grammarsKnownMax
} from './limits.ts'
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

/** [digest] the sizes of grammars that answers can be held to, the last asked for at the end: whoever asks again, or with them in another one, waits no more. */
const known = new Map<string, number>()

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
  signal?.throwIfAborted()
  checkExtent(spec)
  const json = JSON.stringify(spec)
  const digest = digestOf(json)
  const size = known.get(digest) ?? sizeTogether(spec, part => known.get(digestOf(JSON.stringify(part))))
  if (size !== undefined) remember(digest, size)
  else if (json.length <= grammarAtOnceCharsMax) remember(digest, grammarOf(spec).size)
  else {
    const checked = await thread.ask(spec, { what: 'check a grammar', deadlineMs: grammarReadyMs, signal })
    remember(digest, checked as number)
  }
}

function digestOf(json: string): string {
  return bytesToHex(sha256(new TextEncoder().encode(json)))
}

function remember(digest: string, size: number): void {
  known.delete(digest)
  known.set(digest, size)
  for (const oldest of known.keys()) {
    if (known.size <= grammarsKnownMax) return
    known.delete(oldest)
  }
}
