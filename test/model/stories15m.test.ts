import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, test } from 'vitest'
import { openStore } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import { PlainDecoder } from './plain-decoder.ts'

const shipped = path.join(import.meta.dirname, '..', '..', 'models', 'stories15m')
const known =
  ', there was a little girl named Lily. She loved to play outside in the sunshine. One day, she saw a big, red ball in the sky. It was the sun! She thought it was so pretty.'

test('the model that ships is whole and continues as is known of it', async () => {
  const store = await openStore({ own: shipped })
  const model = asDecoder(await store.resolve('stories15m'))
  const signal = AbortSignal.timeout(30_000)
  await store.verify(model, { signal })
  expect(model.manifest).toMatchObject({ weights: 'q8', edge: 'f16', bosId: 1, eosIds: [1, 2], licence: 'MIT' })
  const tokenizer = loadTokenizer(await readFile(await store.tokenizerFile(model, { signal })), model.manifest)
  const prompt = tokenizer.encode('Once upon a time')
  const ids = PlainDecoder.of(model).greedy(prompt, 47).ids
  const stream = tokenizer.stream(prompt)
  expect([...ids.map(id => stream.push(id)), stream.end()].join('')).toBe(known)
})
