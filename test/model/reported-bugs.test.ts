/**
 * Ten faults that users of other systems reported of importing models, each tried on ours. The number is that of the issue or pull request
 * where it was reported.
 */
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { promptOf } from '../../src/model/conversation.ts'
import { GgufMetadata } from '../../src/model/formats/gguf-metadata.ts'
import { type GgufTokenizer, tokenizerOf } from '../../src/model/formats/gguf-tokenizer.ts'
import type { GgufValue } from '../../src/model/formats/gguf.ts'
import { importModel } from '../../src/model/import.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { loadTokenizer, type ModelTokenizer } from '../../src/model/tokenizer.ts'
import { importModel as importMeasured } from '../../src/peer/import-model.ts'
import { type TinyTensor, tinyConfig, writeTiny } from './hugging-face.ts'
import { tinyGguf, tinyMetadata, tinyTensors } from './tiny-gguf.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let source: string
let store: ModelStore
const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  store = await openStore({ own: path.join(dir, 'store') })
})

let count = 0
const imported = (from = source, onNote?: (note: string) => void): Promise<StoredModel> =>
  importModel({
    ...{ source: from, store, name: `m${count++}`, weights: 'f32', edge: 'f32', onNote },
    signal: AbortSignal.timeout(100_000)
  })
const digests = ({ manifest }: StoredModel): string[] => manifest.shards.map(({ sha256 }) => sha256)

/** A byte-level vocabulary as Llama 3's file has it: of ` Việt` no merges are known, as it is a token by itself. */
const letters = ['Ġ', 'V', 'i', 'á', '»', 'ĩ', 't', 'Ċ']
const viet = 'ĠViá»ĩt'
const vocabulary = [...letters, 'ĠV', 'Viá»ĩt', viet, '<|begin_of_text|>', '<|eot_id|>', '<|end_of_text|>']
const llama3 = (more: Record<string, GgufValue> = {}): GgufTokenizer => {
  const id = (text: string): number => vocabulary.indexOf(text)
  const values: Record<string, GgufValue> = {
    'general.architecture': 'llama',
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'llama-bpe',
    'tokenizer.ggml.tokens': vocabulary,
    'tokenizer.ggml.token_type': Int32Array.from(vocabulary, text => (text.startsWith('<|') ? 3 : 1)),
    'tokenizer.ggml.merges': ['Ġ V'],
    'tokenizer.ggml.bos_token_id': id('<|begin_of_text|>'),
    'tokenizer.ggml.eos_token_id': id('<|end_of_text|>'),
    ...more
  }
  const metadata = new Map(Object.entries(values).filter(([, value]) => value !== ''))
  return tokenizerOf(new GgufMetadata({ file: 'tiny.gguf', metadata, tensors: [] }), 100)
}
const loaded = ({ json, bosId, eosIds }: GgufTokenizer): ModelTokenizer =>
  loadTokenizer(new TextEncoder().encode(JSON.stringify(json)), { name: 'tiny', bosId, eosIds })

test('1 (llama.cpp 7193): a word that is a token is that token, whatever merges make of it', () => {
  const [bos, word] = [vocabulary.indexOf('<|begin_of_text|>'), vocabulary.indexOf(viet)]
  expect(loaded(llama3()).encode(' Việt')).toEqual([bos, word])
  // What the merges make of it.
  expect(loaded(llama3({ 'tokenizer.ggml.pre': 'gpt-2' })).encode(' Việt').length).toBeGreaterThan(3)
})

test('2 (llama.cpp 7724, 8649, 9927): how texts are taken apart is never guessed', () => {
  for (const pre of ['default', 'something-new']) {
    expect(() => llama3({ 'tokenizer.ggml.pre': pre })).toThrow(
      `(tokenizer.ggml.pre) is ${pre}, which is not known here`
    )
  }
  expect(() => llama3({ 'tokenizer.ggml.pre': '' })).toThrow('(tokenizer.ggml.pre) the file does not say')
  expect(llama3({ 'tokenizer.ggml.pre': 'smaug-bpe' }).size).toBe(vocabulary.length)
})

test('3 (transformers 31788): key rows are put back by the number of their own heads', async () => {
  const checkpoint = await writeTiny(source)
  expect(tinyConfig.num_key_value_heads).not.toBe(tinyConfig.num_attention_heads)
  const file = path.join(dir, 'tiny.gguf')
  await writeFile(file, tinyGguf(checkpoint))
  expect(digests(await imported(file))).toEqual(digests(await imported()))
})

test('4 (llama.cpp 8676, unsloth 6197): rotation is scaled as llama3 says, nested or not, and not inverted', () => {
  const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }
  const config = { ...tinyConfig, hidden_size: 256, head_dim: 64, max_position_embeddings: 131_072 }
  const forms = [
    { rope_theta: 500_000, rope_scaling: { rope_type: 'llama3', ...scaling } },
    { rope_theta: undefined, rope_parameters: { rope_type: 'llama3', rope_theta: 500_000, ...scaling } },
    {
      rope_theta: undefined,
      rope_parameters: { full_attention: { rope_type: 'llama3', rope_theta: 500_000, ...scaling } }
    }
  ]
  for (const form of forms) {
    const { config: described } = describeModel({ ...config, rope_scaling: null, ...form }, 'config.json')
    const { divisors } = described.rotation!
    expect(described.ropeTheta).toBe(500_000)
    // High frequencies as they are, low ones divided by the factor; between them by something between.
    expect(divisors![0]).toBe(1)
    expect(divisors!.at(-1)).toBe(8)
    expect(divisors!.toSorted((a, b) => a - b)).toEqual(divisors)
    expect(divisors!.some(each => each > 1 && each < 8)).toBe(true)
  }
})

test('5 (ollama 8598, candle 3917): heads are as wide as the file says, not hidden / heads', async () => {
  const config = { ...tinyConfig, head_dim: 8 }
  const checkpoint = await writeTiny(source, { config })
  const model = await imported()
  expect([model.manifest.config.headDim, tinyConfig.hidden_size / tinyConfig.num_attention_heads]).toEqual([8, 6])
  const file = path.join(dir, 'tiny.gguf')
  const metadata = {
    ...tinyMetadata(config),
    'llama.attention.key_length': { u32: 8 },
    'llama.attention.value_length': { u32: 8 }
  }
  await writeFile(file, tinyGguf(checkpoint, { metadata, tensors: tinyTensors(checkpoint, config) }))
  expect(digests(await imported(file))).toEqual(digests(model))
})

test('6 (mlx-examples 564, openinfer 544): the output matrix is what the checkpoint holds', async () => {
  const tied = async (name: string, says: boolean, edit: (all: Map<string, TinyTensor>) => void): Promise<unknown> => {
    await writeTiny(path.join(dir, name), { config: { tie_word_embeddings: says }, edit })
    const notes: string[] = []
    const { manifest } = await imported(path.join(dir, name), note => void notes.push(note))
    return [manifest.config.tiedEmbeddings, notes.length]
  }
  const remove = (all: Map<string, TinyTensor>): unknown => all.delete('lm_head.weight')
  const copy = (all: Map<string, TinyTensor>): unknown =>
    all.set('lm_head.weight', all.get('model.embed_tokens.weight')!)
  const other = (all: Map<string, TinyTensor>): void => {
    const { shape, values } = all.get('model.embed_tokens.weight')!
    all.set('lm_head.weight', { shape, values: values.map(value => -value) })
  }
  expect(await tied('says not, has none', false, all => void remove(all))).toEqual([true, 0])
  expect(await tied('says so, has the same', true, all => void copy(all))).toEqual([true, 0])
  expect(await tied('says so, has another', true, other)).toEqual([false, 1])
  expect(await tied('says not, has another', false, other)).toEqual([false, 0])
})

test('7 (exllamav2 803, exo 938): each of several ids ends an answer', async () => {
  await writeTiny(source, { config: { eos_token_id: [7, 9] } })
  await writeFile(path.join(source, 'generation_config.json'), JSON.stringify({ eos_token_id: [9, 11] }))
  expect((await imported()).manifest.eosIds).toEqual(expect.arrayContaining([7, 9, 11]))
  const [end, turn] = [vocabulary.indexOf('<|end_of_text|>'), vocabulary.indexOf('<|eot_id|>')]
  // A GGUF file names one of them.
  expect(llama3().eosIds).toEqual([end, turn])
})

test('8 (llama-cpp-python 1501, 1537): a BOS is in front once, whether template or tokenizer writes it', () => {
  const made = llama3({ 'tokenizer.ggml.add_bos_token': true })
  const tokenizer = loaded(made)
  const bos = vocabulary.indexOf('<|begin_of_text|>')
  const room = { contextMax: 100, answerTokens: 1 }
  const messages = [{ role: 'user', content: 'it' }]
  const prompt = (chatTemplate: string): readonly number[] =>
    promptOf(tokenizer, { name: 'tiny', chatTemplate }, { messages }, room).ids
  expect(prompt('{{ bos_token }}{{ messages[0].content }}').filter(id => id === bos)).toEqual([bos])
  expect(prompt('{{ bos_token }}{{ messages[0].content }}')[0]).toBe(bos)
  expect(tokenizer.encode('it').filter(id => id === bos)).toEqual([bos])
})

test('9 (huggingface.js 1915): a header over several reads is whole, and a byte-order mark in a token stays', async () => {
  const checkpoint = await writeTiny(source)
  const metadata = tinyMetadata()
  const { texts } = metadata['tokenizer.ggml.tokens'] as { texts: string[] }
  const { f32s } = metadata['tokenizer.ggml.scores'] as { f32s: number[] }
  const { i32s } = metadata['tokenizer.ggml.token_type'] as { i32s: number[] }
  const file = path.join(dir, 'tiny.gguf')
  const long = { text: 'x'.repeat(1 << 20) }
  const all = {
    // The list of tokens lies across the end of the second mebibyte.
    ...{ 'general.description': long, 'general.other': { text: 'x'.repeat((1 << 20) - 700) }, ...metadata },
    'tokenizer.ggml.tokens': { texts: [...texts, '\ufeff', '\ufeffa'] },
    'tokenizer.ggml.scores': { f32s: [...f32s, -9, -10] },
    'tokenizer.ggml.token_type': { i32s: [...i32s, 1, 1] }
  }
  await writeFile(file, tinyGguf(checkpoint, { metadata: all }))
  const model = await imported(file)
  expect(digests(model)).toEqual(digests(await imported()))
  const json = JSON.parse(await readFile(path.join(model.folder, 'shards', model.manifest.tokenizer.sha256), 'utf8'))
  expect(json.model.vocab).toMatchObject({ '\ufeff': texts.length, '\ufeffa': texts.length + 1 })
})

test('10 (transformers 36822, cactus 503): hidden states beyond float16 are measured, and not clipped', async () => {
  await writeTiny(source, {
    config: { num_hidden_layers: 2 },
    edit(all) {
      const { values } = all.get('model.layers.0.mlp.down_proj.weight')!
      for (const [i, value] of values.entries()) values[i] = value * 2 ** 14
    }
  })
  const told: number[] = []
  const model = await importMeasured({
    ...{ source, dataDir: path.join(dir, 'data'), name: 'wide', weights: 'f32', signal: AbortSignal.timeout(100_000) },
    onEdge: ({ reach }) => void told.push(reach)
  })
  expect(model.manifest.edge).toBe('bf16')
  expect(told[0]).toBeGreaterThan(65_504 / 2)
})
