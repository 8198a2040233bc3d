/** stories260K (float32 original, GQA) as a store, for tests that want a small real model and its golden ids. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { readCheckpoint, readTokenizer, tokenizerJson } from '../../scripts/llama2c.ts'
import { writeModel } from '../../src/model/import-writer.ts'
import type { EdgeType } from '../../src/model/manifest.ts'
import type { WeightType } from '../../src/model/weight-types.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'

const folder = path.join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'stories260k')

/** Why a test that needs the data is skipped. */
export const whyNoStories260k = existsSync(path.join(folder, 'stories260K.bin'))
  ? undefined
  : 'stories260K is not beside the repository, in ../shared/data/stories260k'

export interface GoldenCase {
  readonly prompt: string
  /** With BOS. */
  readonly prompt_ids: readonly number[]
  /** The 120 ids that llama2.c adds greedily in float32. */
  readonly generated_ids: readonly number[]
  readonly text: string
  readonly generated_text: string
}

/**
 * Writes the model into a store at `dir`; undefined when the data is not there. Name `stories260k`, id 1 is BOS
 * and ends an answer.
 */
export async function makeStories260k(
  dir: string,
  { weights = 'f32', edge = 'f32' }: { weights?: WeightType; edge?: EdgeType } = {}
): Promise<{ store: ModelStore; model: StoredModel } | undefined> {
  if (whyNoStories260k !== undefined) return undefined
  const { config, source } = readCheckpoint(readFileSync(path.join(folder, 'stories260K.bin')))
  const pieces = readTokenizer(readFileSync(path.join(folder, 'tok512.bin')), config.vocab)
  const store = await openStore({ own: dir })
  const model = await writeModel({
    store,
    description: {
      name: 'stories260k',
      architecture: 'llama',
      config,
      weights,
      edge,
      bosId: 1,
      eosIds: [1, 2],
      tokenizer: tokenizerJson(pieces),
      chatTemplate: null,
      licence: 'MIT',
      source: 'stories260K of karpathy/llama2.c'
    },
    source,
    signal: AbortSignal.timeout(60_000)
  })
  return { store, model }
}

/** llama2.c's greedy continuations; empty when the data is not there. */
export function goldenCases(): GoldenCase[] {
  if (whyNoStories260k !== undefined) return []
  return (JSON.parse(readFileSync(path.join(folder, 'golden.json'), 'utf8')) as { cases: GoldenCase[] }).cases
}
