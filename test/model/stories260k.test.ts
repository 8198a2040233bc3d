import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StoredModel } from '../../src/model/store.ts'
import { loadTokenizer, type ModelTokenizer } from '../../src/model/tokenizer.ts'
import { needs } from '../needs.ts'
import { PlainDecoder } from './plain-decoder.ts'
import { goldenCases, makeStories260k, whyNoStories260k } from './stories260k.ts'
import { scratchFolders } from '../scratch.ts'

describe('stories260k', needs(whyNoStories260k), () => {
  let dir: string
  let model: StoredModel
  let tokenizer: ModelTokenizer

  const folder = scratchFolders(afterAll)
  beforeAll(async () => {
    dir = await folder()
    const made = (await makeStories260k(dir))!
    model = made.model
    tokenizer = loadTokenizer(
      await readFile(await made.store.tokenizerFile(model, { signal: AbortSignal.timeout(30_000) })),
      model.manifest
    )
  })

  test('the converted float32 weights give the golden ids, in a pass that shares no code with the engine', () => {
    const cases = goldenCases()
    expect(cases.length).toBeGreaterThan(0)
    for (const { prompt_ids, generated_ids } of cases) {
      expect(PlainDecoder.of(model).greedy(prompt_ids, 60).ids).toEqual(generated_ids.slice(0, 60))
    }
  })

  test('its tokenizer gives the golden prompt ids, and the golden text one token at a time', () => {
    for (const { prompt, prompt_ids, generated_ids, text, generated_text } of goldenCases()) {
      expect(tokenizer.encode(prompt)).toEqual(prompt_ids)
      expect(tokenizer.decode([...prompt_ids, ...generated_ids])).toBe(text)
      const stream = tokenizer.stream(prompt_ids)
      expect([...generated_ids.map(id => stream.push(id)), stream.end()].join('')).toBe(generated_text)
    }
  })
})
