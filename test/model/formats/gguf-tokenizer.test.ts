/** Tokenizers out of GGUF files: the same ids as llama.cpp's from the same file, and as the files that ship. */
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { GgufMetadata } from '../../../src/model/formats/gguf-metadata.ts'
import { type GgufTokenizer, tokenizerOf } from '../../../src/model/formats/gguf-tokenizer.ts'
import { type GgufHeader, type GgufValue, readGgufHeader } from '../../../src/model/formats/gguf.ts'
import { openStore } from '../../../src/model/store.ts'
import { asDecoder } from '../../../src/model/stored.ts'
import { loadTokenizer, type ModelTokenizer } from '../../../src/model/tokenizer.ts'
import { needs } from '../../needs.ts'
import { realModel, type RealModel, whyNoModel } from '../../real-models.ts'
import { idsDigest, mixedLines, mixedText, ownLine } from './mixed-text.ts'

const digests = JSON.parse(readFileSync(new URL('token-digests.json', import.meta.url), 'utf8')) as Record<
  RealModel,
  string
>

const headerOf = (values: Record<string, GgufValue>): GgufHeader => ({
  file: 'tiny.gguf',
  metadata: new Map(Object.entries({ 'general.architecture': 'llama', ...values })),
  tensors: []
})
const tokenizer = (values: Record<string, GgufValue>, rows = 1 << 20): GgufTokenizer =>
  tokenizerOf(new GgufMetadata(headerOf(values)), rows)
const loaded = ({ json, bosId, eosIds }: GgufTokenizer): ModelTokenizer =>
  loadTokenizer(new TextEncoder().encode(JSON.stringify(json)), { name: 'tiny', bosId, eosIds })

async function ofFile(file: string): Promise<GgufTokenizer> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const header = await readGgufHeader({
      file,
      size,
      async read(offset, into) {
        await handle.read(into, 0, into.length, offset)
      }
    })
    const rows = header.tensors.find(({ name }) => name === 'token_embd.weight')!.shape[0]!
    return tokenizerOf(new GgufMetadata(header), rows)
  } finally {
    await handle.close()
  }
}

describe.each(Object.keys(digests) as RealModel[])('the tokenizer of %s', name => {
  const deadline = { timeout: 240_000 }
  test(`has the ids of llama.cpp in ${mixedLines} lines`, { ...needs(whyNoModel(name)), ...deadline }, async () => {
    const own = loaded({ ...(await ofFile(realModel(name))), bosId: null })
    const wanted = Buffer.from(digests[name], 'base64')
    expect(wanted.length).toBe(2 * mixedLines)
    const differ = mixedText().filter((line, i) => {
      const digest = idsDigest(own.encode(ownLine(name, line), { special: true }))
      return digest[0] !== wanted[2 * i] || digest[1] !== wanted[2 * i + 1]
    })
    expect(differ).toEqual([])
  })
})

describe('SentencePiece', () => {
  test('merges by scores what the file that ships has as merges', async () => {
    const store = await openStore({ own: '/nowhere', shipped: [path.resolve('models/stories15m')] })
    const { manifest, folder } = asDecoder(await store.resolve('stories15m'))
    const bytes = readFileSync(path.join(folder, 'shards', manifest.tokenizer.sha256))
    const { model } = JSON.parse(new TextDecoder().decode(bytes)) as {
      model: { vocab: Record<string, number>; merges: string[] }
    }
    const ranks = new Map(model.merges.map((merge, rank) => [merge.replace(' ', ''), rank]))
    const tokens = Object.entries(model.vocab)
      .sort(([, a], [, b]) => a - b)
      .map(([text]) => text)
    const made = tokenizer({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.scores': Float32Array.from(tokens, text => -(ranks.get(text) ?? 0)),
      'tokenizer.ggml.token_type': Int32Array.from(tokens, (_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))
    })
    expect(made).toMatchObject({ bosId: 1, eosIds: [2] })
    const [own, shipped] = [loaded(made), loadTokenizer(bytes, manifest)]
    for (const line of mixedText().slice(0, 1500)) {
      expect(own.encode(line)).toEqual(shipped.encode(line))
      expect(own.decode(own.encode(line))).toBe(shipped.decode(shipped.encode(line)))
    }
  }, 120_000)

  test('of Gemma has runs of spaces as pieces, merged in the order of ids', () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
    const tokens = ['<pad>', '<eos>', '<bos>', '<unk>', '  ', '    ', ...bytes, '▁', 'a', '<end_of_turn>']
    const types = [3, 3, 3, 2, 4, 4, ...bytes.map(() => 6), 1, 1, 3]
    const values = {
      'general.architecture': 'gemma3',
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.scores': new Float32Array(tokens.length),
      'tokenizer.ggml.token_type': Int32Array.from(types),
      'tokenizer.ggml.bos_token_id': 2,
      'tokenizer.ggml.eos_token_id': 1,
      'tokenizer.ggml.add_space_prefix': false
    }
    const made = tokenizer(values)
    expect(made).toMatchObject({ bosId: 2, eosIds: [1, tokens.length - 1] })
    const own = loaded(made)
    const [space, a] = [tokens.length - 3, tokens.length - 2]
    expect(own.encode('a  a    a a')).toEqual([2, a, 4, a, 5, a, space, a])
    expect(own.decode([a, 5, a])).toBe('a    a')
  })
})

describe('byte-level BPE', () => {
  const letters = [...'abc123', 'Ġ', 'Ċ', "'", 'S']
  const merged = ['ab', '12', '123', 'Ġa', 'Ġab', "'S", 'aĊ', 'cab']
  const tokens = [...letters, ...merged, '<|endoftext|>', '<|im_end|>', '<tool_call>', '[PAD21]', '']
  const id = (text: string): number => tokens.indexOf(text)
  const types = Int32Array.from(tokens, text =>
    text.startsWith('<|') ? 3 : text.startsWith('<') ? 4 : text.startsWith('[') ? 5 : 1
  )
  const values = (pre: string | undefined, more: Record<string, GgufValue> = {}): Record<string, GgufValue> => ({
    'tokenizer.ggml.model': 'gpt2',
    ...(pre === undefined ? {} : { 'tokenizer.ggml.pre': pre }),
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': types,
    'tokenizer.ggml.merges': ['a b', '1 2', '12 3', 'Ġ a', 'Ġ ab', "' S", 'a Ċ'],
    'tokenizer.ggml.bos_token_id': id('<|endoftext|>'),
    'tokenizer.ggml.eos_token_id': id('<|endoftext|>'),
    ...more
  })
  const texts = (pre: string, text: string): string[] => {
    const own = loaded(tokenizer(values(pre)))
    return own.encode(text).map(each => own.token(each)!)
  }

  test.each([
    ['smollm', '123 ab', ['1', '2', '3', 'Ġab']],
    ['gpt-2', '123 ab', ['123', 'Ġab']],
    ['qwen2', '123 ab', ['1', '2', '3', 'Ġab']],
    ['llama-bpe', '123 ab', ['<|endoftext|>', '123', 'Ġab']],
    ['tekken', '123 ab', ['<|endoftext|>', '1', '2', '3', 'Ġab']],
    ['gpt-4o', '123 ab', ['123', 'Ġab']],
    ['smaug-bpe', '123123', ['123', '123']],
    // In one expression contractions are taken apart whatever their case, in the other not.
    ['qwen2', "ab'S", ['ab', "'S"]],
    ['gpt-2', "ab'S", ['ab', "'", 'S']],
    // A word that is a token is that token, though no merge makes it.
    ['llama-bpe', 'cab', ['<|endoftext|>', 'cab']],
    ['smaug-bpe', 'cab', ['c', 'ab']]
  ])('%s takes %s apart as its original does', (pre, text, wanted) => {
    expect(texts(pre, text)).toEqual(wanted)
  })

  test('composes characters where the original does', () => {
    const composed = { ...values('qwen2') }
    const made = JSON.stringify(tokenizer(composed).json)
    expect(made).toContain('"normalizer":{"type":"NFC"}')
    expect(JSON.stringify(tokenizer(values('deepseek-r1-qwen')).json)).toContain('"normalizer":null')
  })

  test('leaves out what fills the vocabulary up, and ends answers by what the tokens say', () => {
    const made = tokenizer(values('qwen2', { 'tokenizer.ggml.eot_token_id': id('<|im_end|>') }))
    expect(made.size).toBe(tokens.length)
    expect(made.eosIds).toEqual([id('<|endoftext|>'), id('<|im_end|>')])
    expect(tokenizer(values('qwen2')).eosIds).toEqual([id('<|endoftext|>'), id('<|im_end|>')])
    const own = loaded(made)
    expect(own.id('[PAD21]')).toBeUndefined()
    expect(own.encode('<tool_call>')).toEqual([id('<tool_call>')])
    expect(own.encode('<|im_end|>', { special: true })).toEqual([id('<|im_end|>')])
  })

  test('puts a BOS in front where the file says so, or where it is usual and the file does not say', () => {
    const bos = (pre: string, more: Record<string, GgufValue> = {}): number | null => tokenizer(values(pre, more)).bosId
    expect(bos('qwen2')).toBeNull()
    expect(bos('llama-bpe')).toBe(id('<|endoftext|>'))
    expect(bos('llama-bpe', { 'tokenizer.ggml.add_bos_token': false })).toBeNull()
    expect(bos('qwen2', { 'tokenizer.ggml.add_bos_token': true })).toBe(id('<|endoftext|>'))
  })

  test('of Phi-3 has control tokens take the spaces behind them', () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
    const all = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', '<|endoftext|>', '<|user|>', '<|end|>']
    const types = [2, 3, 3, ...bytes.map(() => 6), 1, 1, 3, 3, 3]
    const made = tokenizer({
      'general.architecture': 'phi3',
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': all,
      'tokenizer.ggml.scores': new Float32Array(all.length),
      'tokenizer.ggml.token_type': Int32Array.from(types),
      'tokenizer.ggml.add_bos_token': false
    })
    const own = loaded(made)
    const at = (text: string): number => all.indexOf(text)
    expect(own.encode('<|user|>\na<|end|>', { special: true })).toEqual([
      at('<|user|>'),
      at('▁'),
      at('a'),
      at('<|end|>')
    ])
    expect(made.eosIds).toEqual([2, at('<|endoftext|>'), at('<|end|>')])
  })
})
