/** Real models out of their GGUF files, computed: converted to float32 their answers are those of transformers, id for id. */
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
import { type RealModel, realModel, whyNoModel } from '../../real-models.ts'

interface Answer {
  readonly text: string
  /** Ids of the text. */
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}

const answers = JSON.parse(readFileSync(new URL('answers.json', import.meta.url), 'utf8')) as Readonly<
  Record<RealModel, readonly Answer[]>
>

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

let dir: string
let store: ModelStore
const signal = AbortSignal.timeout(1_200_000)
const models = new Map<string, Promise<StoredModel>>()
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'skein-answers-'))
  store = await openStore({ own: dir })
})
afterAll(() => rm(dir, { recursive: true, force: true }))

function imported(model: RealModel, weights?: 'f32'): Promise<StoredModel> {
  const name = `${model}-${weights ?? 'kept'}`
  const init = { source: realModel(model), store, name, weights, edge: 'f32', signal } as const
  const made = models.get(name) ?? importModel(init)
  models.set(name, made)
  return made
}

async function withEngines(
  model: StoredModel,
  cuts: readonly number[],
  use: (engines: readonly Engine[]) => Promise<void>
): Promise<void> {
  const engines = await cutEngines({ ...model, shardDirectory: path.join(dir, 'shards'), remove() {} }, cuts)
  try {
    await use(engines)
  } finally {
    await Promise.all(engines.map(engine => engine.close()))
  }
}

const timeout = 300_000

// Qwen2.5-Coder-0.5B, which would take 2.5 GB so, answers as transformers does, too.
describe.each([
  ['smol', []],
  ['smol', [7, 19]],
  ['gemma', []],
  ['gemma', [4, 11]]
] as const)('%s as float32, cut at %j,', (name, cuts) => {
  test('answers as transformers does', { timeout, ...needs(whyNoModel(name)) }, async () => {
    const model = await imported(name, 'f32')
    const tokenizer = loadTokenizer(await readFile(await store.tokenizerFile(model, { signal })), model.manifest)
    await withEngines(model, cuts, async engines => {
      for (const [i, each] of answers[name].entries()) {
        expect(tokenizer.encode(each.text, { special: true })).toEqual(each.prompt)
        expect(await likeliest(engines, i, each)).toEqual(each.answer)
      }
    })
  })
})

// Activations are whole numbers of 8 bits: 224 of 230 ids, 90 of 90, 63 of 64.
describe.each([
  ['smol', 96_576_768],
  ['qwen', 644_839_936],
  ['gemma', 273_682_944]
] as const)('%s kept as it is', (name, bytes) => {
  test('has its size, and nearly all ids of transformers', { timeout, ...needs(whyNoModel(name)) }, async () => {
    const model = await imported(name)
    expect(model.manifest.shards.reduce((sum, shard) => sum + shard.bytes, 0)).toBe(bytes)
    await withEngines(model, [], async engines => {
      let [same, all] = [0, 0]
      for (const [i, each] of answers[name].entries()) {
        const ids = await likeliest(engines, i, each)
        same += ids.filter((id, at) => id === each.answer[at]).length
        all += ids.length
      }
      expect(same / all).toBeGreaterThan(0.95)
    })
  })
})
