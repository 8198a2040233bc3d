/** Conversations into ids with the tokenizers of real models, out of their GGUF files: the same as transformers'. */
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Conversation } from '../../src/model/chat.ts'
import { promptOf } from '../../src/model/conversation.ts'
import { GgufMetadata } from '../../src/model/formats/gguf-metadata.ts'
import { tokenizerOf } from '../../src/model/formats/gguf-tokenizer.ts'
import { readGgufHeader } from '../../src/model/formats/gguf.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import { needs } from '../needs.ts'
import { realModel, whyNoModel } from '../real-models.ts'

const folder = path.join(import.meta.dirname, 'templates')
const read = (name: string) => JSON.parse(readFileSync(path.join(folder, name), 'utf8'))
const cases = read('cases.json') as Record<string, Conversation>
const { ids } = read('ids.json') as { ids: Record<string, Record<string, number[]>> }
const room = { contextMax: 8192, answerTokens: 1 }

describe.each([
  ['smol', 'smollm2'],
  ['qwen', 'qwen2.5']
] as const)('%s', (model, template) => {
  test("has transformers' ids for conversations, and what they spell is text", {
    ...needs(whyNoModel(model)),
    timeout: 120_000
  }, async () => {
    const handle = await open(realModel(model))
    const { size } = await handle.stat()
    const file = {
      file: model,
      size,
      read: async (at: number, into: Uint8Array) => void (await handle.read(into, 0, into.length, at))
    }
    const { json, bosId, eosIds } = tokenizerOf(new GgufMetadata(await readGgufHeader(file)), 1 << 20)
    await handle.close()
    const tokenizer = loadTokenizer(new TextEncoder().encode(JSON.stringify(json)), { name: model, bosId, eosIds })
    const manifest = { name: model, chatTemplate: readFileSync(path.join(folder, `${template}.jinja`), 'utf8') }
    const made = Object.keys(ids[template]!).map(name => [name, promptOf(tokenizer, manifest, cases[name]!, room).ids])
    expect(Object.fromEntries(made)).toEqual(ids[template])
    const spelt = promptOf(tokenizer, manifest, cases.controls!, room).ids
    const [start, end] = ['<|im_start|>', '<|im_end|>'].map(token => tokenizer.id(token))
    // One of each for a message, the system's among them, and one for the answer to begin.
    expect(spelt.filter(id => id === start)).toHaveLength(5)
    expect(spelt.filter(id => id === end)).toHaveLength(4)
  })
})
