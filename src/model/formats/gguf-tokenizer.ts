/**
 * The tokenizer in a GGUF file as a `tokenizer.json`: the same ids as the one that the file was converted from. What the file
 * leaves out (how a text is split before merges, which tokens end an answer) is named there, or known by spelling as llama.cpp
 * knows it (`src/llama-vocab.cpp`).
 */
import { shown } from '../../base/shown.ts'
import { turnEnds } from '../chat.ts'
import { ggufTokenCharsMax, tokenizerBytesMax } from '../limits.ts'
import type { GgufMetadata } from './gguf-metadata.ts'

export interface GgufTokenizer {
  /** What `tokenizer.json` says. */
  readonly json: object
  /** Tokens, those that no text yields included. */
  readonly size: number
  /** Put in front of every prompt, or null. */
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  readonly chatTemplate: string | null
}

/** What `tokenizer.ggml.token_type` says of a token. */
const types = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5 } as const

/** Tokens that end an answer: a file names one or two of them. */
const ends = new Set(turnEnds)

interface Vocabulary {
  readonly tokens: readonly string[]
  /** [tokens] of {@link types} */
  readonly types: ArrayLike<number>
  /** Id of each token that texts can yield. */
  readonly ids: ReadonlyMap<string, number>
}

/**
 * @param rows of the embedding
 * @throws {ImportError} when it is of a kind that is not known here, contradicts itself, or has more tokens than rows
 */
export function tokenizerOf(metadata: GgufMetadata, rows: number): GgufTokenizer {
  const kind = metadata.text('tokenizer.ggml.model')
  if (kind !== 'gpt2' && kind !== 'llama') {
    metadata.refuse(`the tokenizer ${shown(kind)} (tokenizer.ggml.model) cannot be imported, only gpt2 and llama`)
  }
  const { vocabulary, runs } = withRuns(metadata, vocabularyOf(metadata, rows))
  const added = addedTokens(metadata, vocabulary)
  const { json, addsBos } =
    kind === 'gpt2' ? byteLevelBpe(metadata, vocabulary, added) : sentencePiece(metadata, vocabulary, added, runs)
  const id = (name: string): number | undefined => idOf(metadata, name, vocabulary.tokens.length)
  const bosId = id('bos') ?? (kind === 'llama' ? 1 : undefined)
  const eosIds = [id('eos') ?? (kind === 'llama' ? 2 : undefined), id('eot'), id('eom')].filter(
    each => each !== undefined
  )
  for (const [i, text] of vocabulary.tokens.entries()) {
    const type = vocabulary.types[i]
    if (ends.has(text) && (type === types.control || type === types.userDefined)) eosIds.push(i)
  }
  return {
    json,
    size: vocabulary.tokens.length,
    bosId: metadata.flag('tokenizer.ggml.add_bos_token', addsBos) ? (bosId ?? null) : null,
    eosIds: [...new Set(eosIds)],
    chatTemplate: metadata.text('tokenizer.chat_template', null)
  }
}

function idOf(metadata: GgufMetadata, name: string, tokens: number): number | undefined {
  const key = `tokenizer.ggml.${name}_token_id`
  const id = metadata.number(key, undefined)
  if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < tokens)) {
    metadata.refuse(`${key} is ${id}, and there are ${tokens} tokens`)
  }
  return id
}

function vocabularyOf(metadata: GgufMetadata, rows: number): Vocabulary {
  const tokens = metadata.texts('tokenizer.ggml.tokens')
  const kinds = metadata.numbers('tokenizer.ggml.token_type')
  if (tokens.length > rows) {
    metadata.refuse(`it has ${tokens.length} tokens, but the embedding has ${rows} rows`)
  }
  if (kinds.length !== tokens.length) {
    metadata.refuse(`it has ${tokens.length} tokens, and tokenizer.ggml.token_type has ${kinds.length} numbers`)
  }
  const ids = new Map<string, number>()
  const room = new Room(metadata)
  for (const [id, text] of tokens.entries()) {
    if (text.length > ggufTokenCharsMax) {
      metadata.refuse(`its token ${id} has ${text.length} characters, at most ${ggufTokenCharsMax} are taken`)
    }
    room.take(text.length)
    // A name such as [PAD151665], which fills the vocabulary up, must not become a token of texts, nor one without a text.
    if (kinds[id] === types.unused || text === '') continue
    const other = ids.get(text)
    if (other !== undefined) metadata.refuse(`the token ${shown(text)} is there twice, with the ids ${other} and ${id}`)
    ids.set(text, id)
  }
  return { tokens, types: kinds, ids }
}

/** Counts what a `tokenizer.json` will hold: it is refused before it is larger than any that is taken. */
class Room {
  readonly #metadata: GgufMetadata
  #chars = 0

  constructor(metadata: GgufMetadata) {
    this.#metadata = metadata
  }

  /** @throws {ImportError} */
  take(chars: number): void {
    this.#chars += chars
    if (this.#chars <= tokenizerBytesMax) return
    this.#metadata.refuse(`its tokens and merges have more than the ${tokenizerBytesMax} characters that are taken`)
  }
}

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly single_word: false
  readonly lstrip: false
  readonly rstrip: boolean
  readonly normalized: false
  readonly special: boolean
}

function addedTokens(metadata: GgufMetadata, { tokens, types: kinds, ids }: Vocabulary): AddedToken[] {
  // Phi-3's control tokens take the spaces behind them with them, but for these; the file does not say so.
  const isPhi3 = metadata.architecture === 'phi3' && metadata.text('tokenizer.ggml.model') === 'llama'
  const takesSpaces = (content: string): boolean => isPhi3 && !['<unk>', '<s>', '<|endoftext|>'].includes(content)
  return tokens.flatMap((content, id) => {
    const special = kinds[id] === types.control
    if ((!special && kinds[id] !== types.userDefined) || ids.get(content) !== id) return []
    return [
      { id, content, single_word: false, lstrip: false, rstrip: takesSpaces(content), normalized: false, special }
    ]
  })
}

// ── Byte-level BPE ─────────────────────────────────────────────────────────────────────────────────

/** Regular expressions as the original files have them. */
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const words = (digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
const cased = (after: string, digits: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${after}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${after}|${digits}` +
  '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

const split = (Regex: string): object => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })
const byteLevel = (use_regex: boolean): object => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex
})

/** How a text becomes words before merges. */
interface Pre {
  readonly steps: readonly object[]
  /** A word that is a token is that token, whatever merges say. */
  readonly wholeWords?: true
  readonly addsBos?: true
  readonly normalizer?: object
}

const digitsApart: Pre = { steps: [split('\\p{N}'), byteLevel(true)] }
const plain: Pre = { steps: [byteLevel(true)] }
const llama3: Pre = { steps: [split(words('\\p{N}{1,3}')), byteLevel(false)], wholeWords: true, addsBos: true }
const cl100k: Pre = { steps: llama3.steps }

/** By `tokenizer.ggml.pre`. */
const pres: ReadonlyMap<string, Pre> = new Map([
  ...['smollm', 'starcoder', 'refact', 'command-r'].map((name): [string, Pre] => [name, digitsApart]),
  ...['gpt-2', 'phi-2', 'olmo'].map((name): [string, Pre] => [name, plain]),
  ...['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'lfm2'].map((name): [string, Pre] => [name, llama3]),
  ...['dbrx', 'smaug-bpe'].map((name): [string, Pre] => [name, cl100k]),
  // Qwen's own files compose characters first; llama.cpp leaves that out.
  ['qwen2', { steps: [split(words('\\p{N}')), byteLevel(false)], normalizer: { type: 'NFC' } }],
  ['deepseek-r1-qwen', { steps: [split(words('\\p{N}')), byteLevel(false)] }],
  ['tekken', { steps: [split(cased('', '\\p{N}')), byteLevel(false)], wholeWords: true, addsBos: true }],
  ['gpt-4o', { steps: [split(cased(`${contractions}?`, '\\p{N}{1,3}')), byteLevel(false)] }]
])

function byteLevelBpe(
  metadata: GgufMetadata,
  { ids }: Vocabulary,
  added: readonly AddedToken[]
): { json: object; addsBos: boolean } {
  const name = metadata.text('tokenizer.ggml.pre', '')
  const pre = pres.get(name)
  if (pre === undefined) {
    const known = [...pres.keys()].join(', ')
    const what = name === '' ? 'the file does not say' : `is ${shown(name)}, which is not known here`
    return metadata.refuse(`how its tokenizer splits a text (tokenizer.ggml.pre) ${what}; known are ${known}`)
  }
  const merges = metadata.texts('tokenizer.ggml.merges')
  const room = new Room(metadata)
  for (const [i, merge] of merges.entries()) {
    room.take(merge.length)
    const at = merge.indexOf(' ', 1)
    const [left, right] = [merge.slice(0, at), merge.slice(at + 1)]
    if (at < 0 || !ids.has(left) || !ids.has(right) || !ids.has(left + right)) {
      metadata.refuse(`tokenizer.ggml.merges[${i}], ${shown(merge)}, is no merge of two tokens to a third`)
    }
  }
  const model = bpe(ids, merges, { ignore_merges: pre.wholeWords === true })
  const normalizer = pre.normalizer ?? null
  const pre_tokenizer = { type: 'Sequence', pretokenizers: pre.steps }
  return {
    json: { ...empty, added_tokens: added, normalizer, pre_tokenizer, decoder: byteLevel(true), model },
    addsBos: pre.addsBos === true
  }
}

const empty = { version: '1.0', truncation: null, padding: null, post_processor: null }

function bpe(ids: ReadonlyMap<string, number>, merges: readonly unknown[], more: object): object {
  return {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    ...more,
    vocab: Object.fromEntries(ids),
    merges
  }
}

// ── SentencePiece ──────────────────────────────────────────────────────────────────────────────────

const space = '▁'

/**
 * Gemma's runs of spaces are spelt with real ones in the file and marked as user defined, but its own tokenizer has them as
 * merged pieces.
 */
function withRuns(
  { architecture }: GgufMetadata,
  vocabulary: Vocabulary
): { vocabulary: Vocabulary; runs: ReadonlySet<number> } {
  if (!architecture.startsWith('gemma')) return { vocabulary, runs: new Set() }
  const isRun = (text: string): boolean => /^ {2,}$/.test(text)
  const runs = new Set(vocabulary.tokens.flatMap((text, id) => (isRun(text) ? [id] : [])))
  const tokens = vocabulary.tokens.map(text => (isRun(text) ? space.repeat(text.length) : text))
  const kinds = Int32Array.from({ length: tokens.length }, (_, id) =>
    runs.has(id) ? types.normal : vocabulary.types[id]!
  )
  const ids = new Map([...vocabulary.ids.values()].map(id => [tokens[id]!, id]))
  return { vocabulary: { tokens, types: kinds, ids }, runs }
}

function sentencePiece(
  metadata: GgufMetadata,
  vocabulary: Vocabulary,
  added: readonly AddedToken[],
  runs: ReadonlySet<number>
): { json: object; addsBos: boolean } {
  const { tokens, ids } = vocabulary
  const scores = metadata.numbers('tokenizer.ggml.scores')
  if (scores.length !== tokens.length) {
    metadata.refuse(`it has ${tokens.length} tokens, and tokenizer.ggml.scores has ${scores.length} numbers`)
  }
  for (let byte = 0; byte < 256; byte++) {
    const text = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
    if (!ids.has(text)) metadata.refuse(`its tokenizer has no token ${text} for a byte`)
  }
  // Gemma's merges are in the order of ids; its scores do not say it where it has runs of spaces.
  const merges = mergesOf(metadata, vocabulary, runs.size > 0 ? id => -id : id => scores[id]!)
  const unknown = idOf(metadata, 'unknown', tokens.length) ?? 0
  const model = bpe(ids, merges, { unk_token: tokens[unknown], fuse_unk: true, byte_fallback: true })
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: space }
  const decoders: object[] = [
    { type: 'Replace', pattern: { String: space }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' }
  ]
  const prefix = metadata.flag('tokenizer.ggml.add_space_prefix', true)
  if (prefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 })
  const normalizer = prefix
    ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: space }, replace] }
    : replace
  const decoder = { type: 'Sequence', decoders }
  return { json: { ...empty, added_tokens: added, normalizer, pre_tokenizer: null, decoder, model }, addsBos: true }
}

/**
 * Every way to make a piece of two others, the best piece first, and of one piece the longer left part first: SentencePiece
 * joins the pair whose piece has the best score, the first of several.
 *
 * @throws {ImportError} when they are more than any tokenizer has: pieces that begin alike make many of a small file
 */
function mergesOf(
  metadata: GgufMetadata,
  { types: kinds, ids }: Vocabulary,
  scoreOf: (id: number) => number
): [string, string][] {
  const room = new Room(metadata)
  const isPiece = (text: string): boolean => {
    const id = ids.get(text)
    return id !== undefined && kinds[id] === types.normal
  }
  const pairs: { readonly score: number; readonly left: string; readonly right: string; readonly length: number }[] = []
  for (const [piece, id] of ids) {
    if (kinds[id] !== types.normal) continue
    const characters = Array.from(piece)
    let left = ''
    for (let cut = 1; cut < characters.length; cut++) {
      left += characters[cut - 1]
      const right = piece.slice(left.length)
      if (!isPiece(left) || !isPiece(right)) continue
      // With its quotes and commas.
      room.take(piece.length + 8)
      pairs.push({ score: scoreOf(id), left, right, length: cut })
    }
  }
  pairs.sort((a, b) => b.score - a.score || b.length - a.length)
  return pairs.map(({ left, right }) => [left, right])
}
