/** A real model out of its GGUF file, computed: converted to float32 its answers are those of transformers, id for id. */
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Engine } from '../../../src/engine/engine.ts'
import { importModel } from '../../../src/model/import.ts'
import { type ModelStore, openStore, type StoredModel } from '../../../src/model/store.ts'
import { loadTokenizer } from '../../../src/model/tokenizer.ts'
import { cutEngines, greedy, sessionId, through } from '../../engine/pipeline.ts'
import { needs } from '../../needs.ts'
import { realModel, whyNoModel } from '../../real-models.ts'

interface Answer {
  readonly text: string
  /** Ids of the text. */
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}

const answers = (
  JSON.parse(readFileSync(new URL('answers.json', import.meta.url), 'utf8')) as { readonly smol: readonly Answer[] }
).smol

/** For each id of an answer the most likely one after the prompt and the ids before it. */
async function likeliest(engines: readonly Engine[], session: number, { prompt, answer }: Answer): Promise<number[]> {
  const id = sessionId(session)
  for (const engine of engines) await engine.open(id, { tokensMax: 256, sampling: greedy })
  const ids = [(await through(engines, id, 0, prompt, true))!]
  for (let i = 0; i + 1 < answer.length; i++) {
    ids.push((await through(engines, id, prompt.length + i, [answer[i]!], true))!)
  }
  return ids
}

describe('SmolLM2-135M-Instruct in Q4_1', { timeout: 300_000, ...needs(whyNoModel('smol')) }, () => {
  let dir: string
  let store: ModelStore
  const signal = AbortSignal.timeout(600_000)
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'skein-answers-'))
    store = await openStore({ own: dir })
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  const models = new Map<string, Promise<StoredModel>>()
  const imported = (weights?: 'f32'): Promise<StoredModel> => {
    const name = weights ?? 'kept'
    const init = { source: realModel('smol'), store, name, weights, edge: 'f32', signal } as const
    const model = models.get(name) ?? importModel(init)
    models.set(name, model)
    return model
  }

  test.each([
    ['one engine', []],
    ['three', [7, 19]]
  ])('as float32 answers as transformers does, on %s', async (_, cuts) => {
    const model = await imported('f32')
    const tokenizer = loadTokenizer(await readFile(await store.tokenizerFile(model, { signal })), model.manifest)
    const engines = await cutEngines({ ...model, shardDirectory: path.join(dir, 'shards'), remove() {} }, cuts)
    try {
      for (const [i, each] of answers.entries()) {
        expect(tokenizer.encode(each.text, { special: true })).toEqual(each.prompt)
        expect(await likeliest(engines, i, each)).toEqual(each.answer)
      }
    } finally {
      await Promise.all(engines.map(engine => engine.close()))
    }
  })

  test('kept as it is takes no more than its file, and most of its ids are the same', async () => {
    const model = await imported()
    expect(model.manifest.weights).toBe('q4-f16-min')
    expect(model.manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(96_576_768)
    const engines = await cutEngines({ ...model, shardDirectory: path.join(dir, 'shards'), remove() {} }, [])
    try {
      let [same, all] = [0, 0]
      for (const [i, each] of answers.entries()) {
        const ids = await likeliest(engines, i, each)
        same += ids.filter((id, at) => id === each.answer[at]).length
        all += ids.length
      }
      // 224 of 230: what differs is that activations are whole numbers of 8 bits.
      expect(same / all).toBeGreaterThan(0.95)
    } finally {
      await Promise.all(engines.map(engine => engine.close()))
    }
  })
})
