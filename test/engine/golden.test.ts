import { readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { cutEngines, greedy, sessionId, through } from './pipeline.ts'
import { llama2cModel, stories260kDirectory } from './synthetic-model.ts'
import { needs } from '../needs.ts'
import { whyNoStories260k } from '../model/stories260k.ts'

interface Golden {
  readonly cases: readonly {
    readonly prompt: string
    readonly prompt_ids: number[]
    readonly generated_ids: number[]
  }[]
}

const checkpoint = path.join(stories260kDirectory, 'stories260K.bin')
const present = whyNoStories260k === undefined

const title = 'stories260K in float32 gives the token ids of llama2.c'
describe.each(['onnx', 'wasm'] as const)(`${title} (%s)`, { timeout: 120_000, ...needs(whyNoStories260k) }, runtime => {
  const model = present ? llama2cModel(checkpoint, 'f32') : undefined
  const golden = present
    ? (JSON.parse(readFileSync(path.join(stories260kDirectory, 'golden.json'), 'utf8')) as Golden)
    : { cases: [] }
  afterAll(() => model?.remove())

  it.each([
    ['one engine', []],
    ['two', [2]],
    ['three', [1, 3]],
    ['four', [1, 2, 4]],
    ['five', [1, 2, 3, 4]]
  ])('on %s', async (_name, cuts) => {
    const engines = await cutEngines(model!, cuts, { runtime })
    try {
      for (const [n, { prompt_ids, generated_ids }] of golden.cases.entries()) {
        const session = sessionId(n)
        for (const engine of engines) await engine.open(session, { tokensMax: 256, sampling: greedy })
        const ids: number[] = []
        let next = await through(engines, session, 0, prompt_ids, true)
        while (ids.length < generated_ids.length) {
          ids.push(next!)
          next = await through(engines, session, prompt_ids.length + ids.length - 1, [next!], true)
        }
        expect(ids).toEqual(generated_ids)
      }
    } finally {
      await Promise.all(engines.map(engine => engine.close()))
    }
  })
})
