/** What an import has of a model before its weights are read, and asking the tokenizer for its part of it. */
import { ImportError, InvalidManifestError } from '../errors.ts'
import type { ModelDescription, TensorSource } from './import-writer.ts'
import { measuredTokensMax } from './limits.ts'
import { ImportedTokenizer } from './tokenizer-service.ts'

/** A model whose files have been looked through. Ends with `close`. */
export interface OpenedModel {
  /** Its edge is what models of the architecture usually take. */
  readonly description: Omit<ModelDescription, 'name'>
  /** Ids [tokens] of a few texts, from what a prompt begins with on: what is computed to choose an edge type. */
  readonly texts: readonly (readonly number[])[]
  readonly tensors: TensorSource
  close(): Promise<void>
}

/**
 * Reads a tokenizer in a thread and asks it.
 *
 * @param bytes of a `tokenizer.json`
 * @param what begins the sentence that says why it cannot be used, up to `be used`
 * @throws {ImportError}; the signal's reason
 */
export async function askTokenizer<T>(
  bytes: Uint8Array,
  what: string,
  {
    name,
    signal,
    tokenizerDeadlineMs
  }: { readonly name: string; readonly signal: AbortSignal; readonly tokenizerDeadlineMs?: number },
  ask: (tokenizer: ImportedTokenizer) => Promise<T>
): Promise<T> {
  const tokenizer = new ImportedTokenizer(bytes, { name, signal, deadlineMs: tokenizerDeadlineMs })
  try {
    return await ask(tokenizer)
  } catch (err) {
    signal.throwIfAborted()
    // It speaks of the model by name; who imports looks for the file.
    const reason = err instanceof InvalidManifestError && err.cause instanceof Error ? err.cause : (err as Error)
    throw new ImportError(`${what} be used: ${reason.message}`)
  } finally {
    await tokenizer.close()
  }
}

/** What is computed to see how far hidden states reach. Of several kinds: prose, code, and scripts that few tokens are for. */
const texts = [
  'Once upon a time, in a small harbour town, there lived an old clockmaker who had never once been late. Every morning he opened his shop at seven, wound the clocks that stood in the window, and waited for the ferry from the islands to come in.',
  'export function add(a, b) {\n  if (typeof a !== "number") throw new TypeError(\'no number: \' + a)\n  return a + b // 0.1 + 0.2 = 0.30000000000000004\n}\n\n| x | y |\n|---|---|\n| 1 | 17 |\n',
  'Der Mond ist aufgegangen. Il était une fois. Жили-были старик со старухой. 昔々あるところに、おじいさんとおばあさんがいました。 كان يا ما كان 🚀🚀'
] as const

/** Ids [tokens] of texts of several kinds, each with the BOS in front. */
export async function measuredTexts(
  tokenizer: ImportedTokenizer,
  bosId: number | null,
  contextMax: number
): Promise<number[][]> {
  const front = bosId === null ? [] : [bosId]
  const all: number[][] = []
  for (const text of texts) {
    all.push([...front, ...(await tokenizer.encode(text))].slice(0, Math.min(contextMax, measuredTokensMax)))
  }
  return all
}
