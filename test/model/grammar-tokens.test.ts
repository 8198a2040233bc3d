/** Which tokens may follow an answer that is held to a grammar, with tokenizers of all kinds: what is drawn among them, decoded, validates. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { type Rng, seeded } from '../../src/base/rng.ts'
import { AnswerMasks } from '../../src/model/answer-masks.ts'
import type { GrammarSpec } from '../../src/model/grammar-spec.ts'
import { Recogniser } from '../../src/model/recogniser.ts'
import { openStore } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { loadTokenizer, type ModelTokenizer } from '../../src/model/tokenizer.ts'
import { tinyTokenizer } from './hugging-face.ts'
import { recogniserOf } from './grammar-walk.ts'

const person = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 20 },
    'größe 😀': { type: 'number', minimum: 0, maximum: 3 },
    tags: { type: 'array', items: { enum: ['neu', 'älter', '日本'] }, maxItems: 3 }
  },
  required: ['name', 'größe 😀'],
  additionalProperties: false
}
const spec: GrammarSpec = { kind: 'json-schema', schema: person }
const validate = new Ajv2020().compile(person)

/** Byte-level BPE, as Llama 3, SmolLM and Qwen have it: a control token, and one that is text, are added to the table. */
function byteLevelTokenizer(): ModelTokenizer {
  const characters: string[] = []
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    characters.push(String.fromCodePoint(isPrintable ? byte : 256 + characters.filter(each => each > '\u00ff').length))
  }
  const pieces = [...characters, '":', '{"', '",Ġ"', 'Ġ"', 'na', 'me', 'æĹ', 'Ã¤l']
  const json = {
    added_tokens: [
      { id: pieces.length, content: '<|end|>', special: true },
      { id: pieces.length + 1, content: 'name', special: false }
    ],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: { type: 'BPE', vocab: Object.fromEntries(pieces.map((text, id) => [text, id])), merges: [], unk_token: null }
  }
  const bytes = new TextEncoder().encode(JSON.stringify(json))
  return loadTokenizer(bytes, { name: 'bytes', bosId: null, eosIds: [pieces.length] })
}

const tokenizers = new Map<string, ModelTokenizer>()
beforeAll(async () => {
  const store = await openStore({ own: path.join(import.meta.dirname, '..', '..', 'models', 'stories15m') })
  const model = asDecoder(await store.resolve('stories15m'))
  const file = await store.tokenizerFile(model, { signal: AbortSignal.timeout(30_000) })
  tokenizers.set('SentencePiece', loadTokenizer(await readFile(file), model.manifest))
  tokenizers.set('bytes alone', loadTokenizer(tinyTokenizer(), { name: 'tiny', bosId: 1, eosIds: [2, 5] }))
  tokenizers.set('byte-level', byteLevelTokenizer())
})

const tokensOf = (tokenizer: ModelTokenizer): Uint8Array[] =>
  Array.from({ length: tokenizer.size }, (_, id) => (tokenizer.isText(id) ? tokenizer.bytes(id) : new Uint8Array(0)))

/** Its vocabulary is larger than its tokenizer's, as that of models is that fill up a row. */
const masksOf = (tokenizer: ModelTokenizer): AnswerMasks =>
  new AnswerMasks({ name: 'it', tokens: tokensOf(tokenizer), vocab: tokenizer.size + 13, eosIds: tokenizer.eosIds })

const grammar = { key: 'person', spec, after: undefined }
const idsIn = (mask: Uint8Array): number[] =>
  [...mask].flatMap((byte, at) => [0, 1, 2, 3, 4, 5, 6, 7].filter(bit => (byte >> bit) & 1).map(bit => 8 * at + bit))

function ask(
  masks: AnswerMasks,
  ids: readonly number[],
  drafts: readonly number[] = [],
  session = 0
): readonly Uint8Array[] {
  const found = masks.masks({ kind: 'masks', session, grammar, from: 0, ids, drafts })
  if (found === 'unknown') throw new Error('it was told all of it')
  return found
}

/** Draws an answer, each token by the mask alone, those with what ends something sooner. */
function drawn(masks: AnswerMasks, tokens: readonly Uint8Array[], rng: Rng): { ids: number[]; stop: number } {
  const ids: number[] = []
  for (;;) {
    const [mask] = ask(masks, ids)
    const may = idsIn(mask!)
    const ends = may.filter(id => [...(tokens[id] ?? [])].some(byte => byte === 0x22 || byte === 0x7d || byte === 0x5d))
    const among = ends.length > 0 && rng() < 0.3 ? ends : may
    const id = among[Math.floor(rng() * among.length)]!
    if (tokens[id] === undefined || tokens[id].length === 0) return { ids, stop: id }
    ids.push(id)
    expect(ids.length).toBeLessThan(2_000)
  }
}

describe.each(['SentencePiece', 'bytes alone', 'byte-level'])('with a tokenizer of %s', name => {
  test('what is drawn ends with a stop id, decodes to JSON, and validates', () => {
    const tokenizer = tokenizers.get(name)!
    const [masks, tokens] = [masksOf(tokenizer), tokensOf(tokenizer)]
    for (let seed = 0; seed < 10; seed++) {
      const { ids, stop } = drawn(masks, tokens, seeded(seed))
      expect(tokenizer.eosIds).toContain(stop)
      const stream = tokenizer.stream(tokenizer.encode('a'))
      const text = ids.map(id => stream.push(id)).join('') + stream.end()
      expect(validate(JSON.parse(text)), text).toBe(true)
    }
  })

  test('a mask lets through what one token after the other would be read as, and stop ids where the text is whole', () => {
    const tokenizer = tokenizers.get(name)!
    const [masks, tokens] = [masksOf(tokenizer), tokensOf(tokenizer)]
    const recogniser = recogniserOf(spec)
    const { ids } = drawn(masks, tokens, seeded(3))
    const some = [0, 1, 2, 5, ids.length - 1, ids.length].concat(ids.length < 60 ? [] : [20, 40])
    for (const length of some) {
      const before = Buffer.concat(ids.slice(0, length).map(id => tokens[id]!))
      let state = recogniser.start
      for (const byte of before) state = recogniser.after(state, byte)!
      const expected = tokens.flatMap((bytes, id) => {
        let at: typeof state | null = state
        for (const byte of bytes) at = at && recogniser.after(at, byte)
        return bytes.length > 0 && at !== null ? [id] : []
      })
      if (state.isWhole) expected.push(...tokenizer.eosIds)
      expect(idsIn(ask(masks, ids.slice(0, length))[0]!)).toEqual([...new Set(expected)].sort((a, b) => a - b))
    }
  })

  test('the way in which the tokenizer itself writes JSON is let through', () => {
    const tokenizer = tokenizers.get(name)!
    const masks = masksOf(tokenizer)
    for (const indent of [undefined, 2, '\t']) {
      const text = JSON.stringify({ name: 'A "b"\n', 'größe 😀': 1.75, tags: ['日本', 'neu'] }, null, indent)
      // SentencePiece begins a text with a space of its own, which no answer has to.
      const ids = tokenizer
        .encode(text, { bare: true })
        .filter((id, i) => i > 0 || Buffer.from(tokenizer.bytes(id)).toString() !== ' ')
      const found = ask(
        masks,
        [],
        ids[0] !== undefined && Buffer.from(tokenizer.bytes(ids[0])).toString().startsWith(' ') ? [] : ids
      )
      if (found.length === 1) continue
      expect(found.length).toBe(1 + ids.length)
      expect(idsIn(found.at(-1)!)).toEqual([...tokenizer.eosIds].sort((a, b) => a - b))
    }
  })
})

describe('drafts', () => {
  test('have the masks that they would have as text, up to the first that may not follow', () => {
    const tokenizer = tokenizers.get('bytes alone')!
    const masks = masksOf(tokenizer)
    const byte = (text: string): number[] => [...Buffer.from(text)].map(each => 3 + each)
    const text = byte('{"na')
    const found = ask(masks, text, byte('me"x'))
    expect(found.length).toBe(4)
    for (const [i, mask] of found.entries()) expect(mask).toEqual(ask(masks, [...text, ...byte('me"').slice(0, i)])[0])
    const whole = byte('{"name":"","größe 😀":1}')
    const ended = ask(masks, whole, [2, 2])
    expect(ended.map(idsIn)).toEqual([
      [2, 5],
      [2, 5],
      [2, 5]
    ])
    expect(ask(masks, [...whole, 2]).map(idsIn)).toEqual([[2, 5]])
    expect(ask(masks, text, [2]).length).toBe(1)
  })
})

describe('an answer', () => {
  const byte = (text: string): number[] => [...Buffer.from(text)].map(each => 3 + each)

  test('that does not fit is told so, with the token', () => {
    const masks = masksOf(tokenizers.get('bytes alone')!)
    expect(() => ask(masks, byte('{"x'))).toThrow('token 123, at place 3 of the answer, is not what its grammar allows')
    expect(() => ask(masks, [1])).toThrow('token 1, at place 1 of the answer')
  })

  test('goes on where it stood, and is read again where that was forgotten for others', () => {
    const masks = masksOf(tokenizers.get('bytes alone')!)
    const text = byte('{"name":')
    ask(masks, text.slice(0, 4))
    const more = { kind: 'masks', session: 0, grammar: undefined, drafts: [] } as const
    expect(masks.masks({ ...more, from: 4, ids: text.slice(4) })).toEqual(
      ask(masksOf(tokenizers.get('bytes alone')!), text)
    )
    expect(masks.masks({ ...more, from: 3, ids: [] })).toBe('unknown')
    ask(masks, text)
    for (let session = 1; session <= 64; session++) ask(masks, text, [], session)
    expect(masks.masks({ ...more, from: text.length, ids: [] })).toBe('unknown')
  })

  test('of a long string with a bound has its masks all the way, though no more than so much is kept of a grammar', () => {
    const masks = masksOf(tokenizers.get('bytes alone')!)
    const schema = { type: 'string', maxLength: 24_000 }
    const long = { key: 'long', spec: { kind: 'json-schema', schema }, after: undefined } as const
    const ids = byte(`"${'a'.repeat(24_000)}"`)
    const forget = vi.spyOn(Recogniser.prototype, 'forget')
    for (let read = 0, length = 0; length <= ids.length; length += 1 + (length % 97)) {
      const more = { kind: 'masks', session: 0, drafts: [], from: read, ids: ids.slice(read, length) } as const
      const [mask] = masks.masks({ ...more, grammar: read === 0 ? long : undefined }) as Uint8Array[]
      expect(idsIn(mask!).includes(byte('a')[0]!)).toBe(length > 0 && length <= 24_000)
      read = length
    }
    expect(forget).toHaveBeenCalled()
    const again = { kind: 'masks', session: 1, grammar: long, from: 0, ids, drafts: [] } as const
    expect((masks.masks(again) as Uint8Array[]).map(idsIn)).toEqual([[2, 5]])
  })

  test('may hold anything before the id after which its grammar begins', () => {
    const masks = masksOf(tokenizers.get('bytes alone')!)
    const thinking = { ...grammar, after: 0 }
    const request = { kind: 'masks', session: 0, grammar: thinking, from: 0, drafts: [0, ...byte('{"')] } as const
    const found = masks.masks({ ...request, ids: byte('let me see') }) as Uint8Array[]
    expect(found.length).toBe(4)
    // All that is text, of which the stop ids 2 and 5 are none, and that id.
    expect(idsIn(found[0]!)).toEqual([0, 3, 4, ...Array.from({ length: 258 }, (_, i) => 6 + i)])
    expect(idsIn(found[1]!)).toEqual(byte('{'))
  })

  test('that a model has no tokens for is refused', () => {
    const tokens = [...'{}":,'].map(each => new TextEncoder().encode(each))
    const masks = new AnswerMasks({ name: 'terse', tokens, vocab: 6, eosIds: [5] })
    expect(() => masks.ready('a', { kind: 'regex', pattern: '[a-z]+' })).toThrow(
      'terse has no token for what its answer must go on with'
    )
  })
})
