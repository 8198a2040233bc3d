/** What an import has of a model before its weights are read, and asking the tokenizer for its part of it. */
import { ImportError, InvalidManifestError } from '../errors.ts'
import type { ModelDescription, TensorSource } from './import-writer.ts'
import type { ModelConfig } from './decoder.ts'
import { isWorthComparing } from './import-comparison.ts'
import type { ImportInit } from './import.ts'
import { comparedTokensMax, measuredTokensMax } from './limits.ts'
import { ImportedTokenizer } from './tokenizer-service.ts'

/** A model whose files have been looked through. Ends with `close`. */
export interface OpenedModel {
  /** Its edge is what models of the architecture usually take. */
  readonly description: Omit<ModelDescription, 'name'>
  /** Ids [tokens] of a few texts, from what a prompt begins with on: what is computed to choose an edge type. */
  readonly texts: readonly (readonly number[])[]
  /** The same of other texts, at least two ids each: what is computed to compare weights, where that is asked for and worth it. */
  readonly compared: readonly (readonly number[])[] | undefined
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

/**
 * What is computed to see what a type of weights costs, as texts in models' training are: an account, an explanation and a program.
 * None is from anywhere else, so that no model has seen it.
 */
const comparable = [
  'The ferry left the harbour at six in the morning, when the fog was still lying on the water and nobody on the pier could see further than the second lamp. Marta had packed her tools the night before: two wrenches, a coil of copper wire, the small lamp that her father had given her, and a notebook in which she wrote down every engine that she had ever repaired. The captain knew her, and asked only whether she had eaten. She shook her head. He laughed and sent a boy for bread and coffee. By the time the sun came through, they had passed the last of the islands, and the old engine below had begun to knock, first softly, then so loudly that the passengers looked at one another. Marta put down her cup, took the lamp and climbed down the iron ladder. She listened for a minute without touching anything.',
  'A battery stores energy by moving ions from one electrode to the other. When it is charged, an outside voltage pushes lithium ions through the electrolyte into the graphite, where they are held between its layers; when it is discharged, they return, and the electrons that went the other way do the work. Three things limit how fast this can happen. The first is the resistance of the cell, which turns a part of the energy into heat. The second is the speed at which ions move within the grains of each electrode, which falls in the cold. The third is chemistry: at too high a current metal is deposited on the surface instead of being stored, and the capacity that is lost in this way does not come back. For these reasons a battery that is cold should be charged slowly, and a large one has to be cooled.',
  'import json\nfrom pathlib import Path\n\n\nclass Inventory:\n    """Items of a store, and how many there are of each."""\n\n    def __init__(self, path):\n        self.path = Path(path)\n        self.items = {}\n        if self.path.exists():\n            with self.path.open() as file:\n                self.items = json.load(file)\n\n    def add(self, name, count=1):\n        if count <= 0:\n            raise ValueError(f"count must be positive, not {count}")\n        self.items[name] = self.items.get(name, 0) + count\n\n    def remove(self, name, count=1):\n        have = self.items.get(name, 0)\n        if have < count:\n            raise KeyError(f"there are only {have} of {name}")\n        self.items[name] = have - count\n        if self.items[name] == 0:\n            del self.items[name]\n\n    def save(self):\n        with self.path.open("w") as file:\n            json.dump(self.items, file, indent=2, sort_keys=True)\n'
] as const

/** Ids [tokens] of these, each with the BOS in front; undefined where nothing is to be compared. */
export async function comparedTexts(
  tokenizer: ImportedTokenizer,
  bosId: number | null,
  { contextMax }: Pick<ModelConfig, 'contextMax'>,
  { compare, weights }: Pick<ImportInit, 'compare' | 'weights'>
): Promise<number[][] | undefined> {
  if (compare === undefined || !isWorthComparing(weights)) return undefined
  const front = bosId === null ? [] : [bosId]
  const all: number[][] = []
  for (const text of comparable) {
    all.push([...front, ...(await tokenizer.encode(text))].slice(0, Math.min(contextMax, comparedTokensMax)))
  }
  return all
}
