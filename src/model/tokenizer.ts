/**
 * Text to token ids and back. The work is `@huggingface/tokenizers`'; here is what a model's manifest adds:
 * the BOS, which ids are none of the text's, and text that comes out while the ids are still being generated.
 */
import { Tokenizer } from '@huggingface/tokenizers'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { InvalidManifestError, InvalidOptionError } from '../errors.ts'
import type { Manifest } from './manifest.ts'
import type { StandIns } from './stand-ins.ts'
import { spellingOf } from './token-bytes.ts'
import type { TextState } from './tokenizer-messages.ts'

/** What a decoder puts where bytes are no UTF-8: also where a character's last bytes have not come yet. */
const replacement = '\ufffd'

/**
 * Reads a `tokenizer.json` for a model. What it holds may cost any time and memory, so whoever talks to the network
 * does this in a thread (`tokenizer-service.ts`).
 *
 * @param bytes of the file, verified
 * @throws {InvalidManifestError} when it is not JSON or of a kind that the library does not know
 */
export function loadTokenizer(
  bytes: Uint8Array,
  manifest: Pick<Manifest, 'name' | 'bosId' | 'eosIds'>
): ModelTokenizer {
  try {
    const json = withNumericDigits(parsed(bytes))
    const tokenizer = new Tokenizer(json, {})
    const { text, controls } = withoutControls(json, tokenizer, manifest)
    const lengthMax = lengthIn(json)
    return new ModelTokenizer(tokenizer, text, controls, { ...manifest, lengthMax, spelling: spellingOf(json) })
  } catch (err) {
    const message = `the tokenizer of ${manifest.name} cannot be used: ${(err as Error).message}`
    throw new InvalidManifestError(message, { cause: err })
  }
}

/**
 * The same tokenizer, for texts of people: it does not look for control tokens in them. The library splits a text at
 * every added token before anything else, so those are left out; the large tables are shared. `controls`: how these are spelt.
 */
function withoutControls(
  json: object,
  tokenizer: Tokenizer,
  { bosId, eosIds }: Pick<Manifest, 'bosId' | 'eosIds'>
): { readonly text: Tokenizer; readonly controls: readonly string[] } {
  const added = [...tokenizer.get_added_tokens_decoder().values()]
  const plain = added.filter(({ id, special }) => !special && id !== bosId && !eosIds.includes(id))
  const controls = added.filter(token => !plain.includes(token)).map(({ content }) => content)
  if (controls.length === 0) return { text: tokenizer, controls }
  const model = { type: 'BPE', vocab: {}, merges: [] }
  const text = new Tokenizer({ ...json, model, added_tokens: plain }, {})
  text.model = tokenizer.model
  return { text, controls }
}

/** @throws {TypeError} with a sentence of ours: the parser's own shows how bytes begin that may be no tokenizer. */
function parsed(bytes: Uint8Array): object {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new TypeError('it is not JSON')
  }
  if (json === null || typeof json !== 'object') throw new TypeError('it is no JSON object')
  return json
}

/**
 * The library's `Digits` knows those of ASCII alone, where the original (`tokenizers` in Rust) splits at every numeric
 * character (½, ², ٣): the same, said as a `Split`.
 */
function withNumericDigits(json: object): object {
  // What is no tokenizer at all the library refuses: spread into an object it would look like one that lacks its model.
  if (Array.isArray(json)) return json
  const known = json as { readonly pre_tokenizer?: unknown }
  return { ...json, pre_tokenizer: numericDigits(known.pre_tokenizer) }
}

function numericDigits(value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  const { type, pretokenizers, individual_digits } = value as Record<string, unknown>
  if (type === 'Digits') {
    const Regex = individual_digits === true ? '\\p{N}' : '\\p{N}+'
    return { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }
  }
  return Array.isArray(pretokenizers) ? { ...value, pretokenizers: pretokenizers.map(numericDigits) } : value
}

/** Tokens that a text may have, where the file says so. */
function lengthIn(json: object): number | undefined {
  const { truncation } = json as { readonly truncation?: { readonly max_length?: unknown } | null }
  const length = truncation?.max_length
  return typeof length === 'number' && Number.isSafeInteger(length) && length > 0 ? length : undefined
}

export class ModelTokenizer {
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  /** One more than the largest id. */
  readonly size: number
  /** Length of the longest token as it is spelt, in UTF-16 units: no text of n tokens has more than n times as many. */
  readonly longest: number
  /** How control tokens are spelt: what splits a text that a chat template has written. */
  readonly controls: readonly string[]
  readonly #tokenizer: Tokenizer
  /** {@link withoutControls} */
  readonly #text: Tokenizer
  readonly #name: string
  readonly #lengthMax: number | undefined
  /** The bytes of a token that is in the table, and not added to it. */
  readonly #spelling: (token: string) => Uint8Array
  /** Ids that are no text: BOS, EOS, and whatever else the tokenizer calls special. */
  readonly #special: Set<number>

  constructor(
    tokenizer: Tokenizer,
    text: Tokenizer,
    controls: readonly string[],
    manifest: Pick<Manifest, 'name' | 'bosId' | 'eosIds'> & {
      readonly lengthMax?: number | undefined
      readonly spelling: (token: string) => Uint8Array
    }
  ) {
    this.#spelling = manifest.spelling
    this.#lengthMax = manifest.lengthMax
    this.#tokenizer = tokenizer
    this.#text = text
    this.controls = controls
    this.#name = manifest.name
    this.bosId = manifest.bosId
    this.eosIds = manifest.eosIds
    this.#special = new Set(manifest.eosIds)
    if (manifest.bosId !== null) this.#special.add(manifest.bosId)
    let size = 0
    let longest = 1
    for (const [text, id] of tokenizer.get_vocab() as Map<string | undefined, number>) {
      // An id that no token has, between two that are tokens.
      if (text === undefined) continue
      size = Math.max(size, id + 1)
      longest = Math.max(longest, text.length)
    }
    for (const [id, token] of tokenizer.get_added_tokens_decoder()) {
      size = Math.max(size, id + 1)
      longest = Math.max(longest, token.content.length)
      if (token.special) this.#special.add(id)
    }
    this.size = size
    this.longest = longest
  }

  /**
   * Ids of a text, with the model's BOS in front, once. What it spells is text: `</s>` written by a person is four
   * characters, and ends nothing.
   *
   * @param special true for a text that may hold control tokens, and a BOS: those that it spells become their ids
   * @param bare true to put no BOS in front
   * @throws {InvalidManifestError} when a character has no token and the tokenizer has none for the unknown
   */
  encode(text: string, { special = false, bare = false }: { special?: boolean; bare?: boolean } = {}): number[] {
    const ids = special ? this.#encode(this.#tokenizer, text) : this.#encodeText(text)
    if (bare || this.bosId === null || (special && ids[0] === this.bosId)) return ids
    return [this.bosId, ...ids]
  }

  /**
   * Ids of a text as the tokenizer's own file has it for models that embed: with what it puts around one, and cut to the length
   * that it gives, where it gives one. What the text spells is text.
   *
   * @returns tokens: how many there were before that
   * @throws {InvalidManifestError} as {@link encode}
   */
  encodeWhole(text: string): { readonly ids: number[]; readonly tokens: number } {
    const [front, back] = this.#around()
    const ids = this.#encodeText(text)
    const tokens = front.length + ids.length + back.length
    const kept = Math.max(0, (this.#lengthMax ?? tokens) - front.length - back.length)
    return { ids: [...front, ...ids.slice(0, kept), ...back], tokens }
  }

  /** What it puts before and behind a text. */
  #around(): [number[], number[]] {
    const bare = this.#encode(this.#tokenizer, 'a')
    const ids: number[] = this.#tokenizer.encode('a').ids
    const at = ids.findIndex((_, i) => bare.every((id, j) => ids[i + j] === id))
    return at < 0 ? [[], []] : [ids.slice(0, at), ids.slice(at + bare.length)]
  }

  /**
   * Ids of what a chat template has written. Control tokens that it spells become their ids; those that people spelt in it, whose
   * first characters have stand-ins, are text. No BOS is put in front: a template writes its own.
   *
   * @throws {InvalidOptionError} when what people wrote becomes control tokens all the same
   * @throws {InvalidManifestError} as {@link encode}
   */
  encodeChat(text: string, standIns: StandIns): number[] {
    const ids = this.#encode(this.#restoring(standIns), text)
    // A normalizer may make control tokens of other characters.
    const written = this.controls.reduce((sum, control) => sum + text.split(control).length - 1, 0)
    const unknown = this.#tokenizer.model?.unk_token_id
    if (ids.filter(id => id !== unknown && this.#special.has(id)).length > written) {
      throw new InvalidOptionError(
        `the tokenizer of ${this.#name} makes control tokens of what this conversation spells`
      )
    }
    return ids
  }

  /** The tokenizer as it is, but that what has stand-ins is restored once the text has been split at added tokens. */
  #restoring(standIns: StandIns): Tokenizer {
    const { pre_tokenizer: splitter, model } = this.#tokenizer
    const split = (text: string, options: unknown): string[] => (splitter === null ? [text] : splitter(text, options))
    const restoring = (text: string, options: unknown): string[] => {
      if (!standIns.isIn(text)) return split(text, options)
      const words = split(standIns.restored(text), options)
      const spelt = ((model?.(words) ?? []) as string[]).map(token => this.id(token))
      if (this.#controlsIn(spelt.filter(id => id !== undefined)).length === 0) return words
      // Some kinds look up whole words, control tokens too: they get none of them whole.
      return standIns.parts(text).flatMap(part => split(part, options))
    }
    return Object.create(this.#tokenizer, { pre_tokenizer: { value: restoring } })
  }

  #encode(tokenizer: Tokenizer, text: string): number[] {
    const { ids } = tokenizer.encode(text, { add_special_tokens: false })
    if (!ids.every(Number.isInteger)) {
      throw new InvalidManifestError(`the tokenizer of ${this.#name} has no token for a character of this text`)
    }
    return ids
  }

  #encodeText(text: string): number[] {
    const ids = this.#encode(this.#text, text)
    const controls = this.#controlsIn(ids)
    if (controls.length === 0) return ids
    // Some kinds (Unigram; BPE that ignores merges) look up whole words, control tokens too: they get none of them whole.
    const parts = cutInside(
      text,
      controls.map(id => this.token(id)!)
    )
    const cut = parts.flatMap(part => this.#encode(this.#text, part))
    if (this.#controlsIn(cut).length > 0) {
      throw new InvalidManifestError(`the tokenizer of ${this.#name} makes control tokens of this text`)
    }
    return cut
  }

  /** Control tokens among ids; the token for what is unknown is none, though it is called special. */
  #controlsIn(ids: readonly number[]): number[] {
    const unknown = this.#tokenizer.model?.unk_token_id
    return [...new Set(ids.filter(id => id !== unknown && this.#special.has(id)))]
  }

  /** Text of ids; special ones and ids without a token are left out. */
  decode(ids: readonly number[]): string {
    const text = ids.filter(id => this.isText(id))
    if (text.length === 0) return ''
    // Cleaning up spaces (the library's default) would make "it 's" and "it's" the same text.
    return this.#tokenizer.decode(text, { clean_up_tokenization_spaces: false })
  }

  /** Whether an id stands for text. */
  isText(id: number): boolean {
    return !this.#special.has(id) && this.#tokenizer.id_to_token(id) !== undefined
  }

  /** How the tokenizer spells an id, special ones too; undefined when it has none. */
  token(id: number): string | undefined {
    return this.#tokenizer.id_to_token(id)
  }

  /**
   * The bytes that an id adds to a text, be it a part of a character. A control token's are how it is spelt, though a text leaves it
   * out; an id without a token has none. Where a text begins with it, its decoder may drop the space that it begins with.
   */
  bytes(id: number): Uint8Array {
    const token = this.token(id)
    if (token === undefined) return new Uint8Array(0)
    const added = this.#tokenizer.get_added_tokens_decoder().get(id)
    return added === undefined ? this.#spelling(token) : new TextEncoder().encode(added.content)
  }

  /** The id of a token that is spelt so; undefined when there is none. */
  id(token: string | undefined): number | undefined {
    return token === undefined ? undefined : this.#tokenizer.token_to_id(token)
  }

  /** Digest of which id is which token: two tokenizers that spell every id alike have the same. */
  vocabulary(): string {
    const spelt = Array.from({ length: this.size }, (_, id) => this.token(id) ?? null)
    return bytesToHex(sha256(new TextEncoder().encode(JSON.stringify(spelt))))
  }

  /** Whether the tokenizer itself would put this id in front of a text. */
  putsInFront(id: number): boolean {
    return this.#tokenizer.encode('a').ids[0] === id
  }

  /** Text as it comes for the ids that follow `prompt`. */
  stream(prompt: readonly number[]): Detokenizer {
    return new Detokenizer(this, prompt)
  }

  /** A stream that goes on where another one stood. */
  resume({ window, out }: TextState): Detokenizer {
    const stream = new Detokenizer(this, [])
    stream.state = { window, out }
    return stream
  }
}

/** Cuts a text inside each occurrence of these words, so that no part has one of them. */
function cutInside(text: string, words: readonly string[]): string[] {
  const cuts = new Set<number>()
  for (const word of words) {
    const first = String.fromCodePoint(word.codePointAt(0) ?? 0).length
    if (word.length <= first) continue
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) cuts.add(at + first)
  }
  const ends = [...cuts].sort((a, b) => a - b)
  return [0, ...ends].map((start, i) => text.slice(start, ends[i] ?? text.length))
}

/**
 * Turns generated ids into text one by one. All of its pieces joined are `decode(prompt + generated)` without
 * `decode(prompt)`: each is the difference of two decodings that start at the same earlier token, so a decoder's
 * rule for the first token of a text (drop its space) does not apply to every token.
 *
 * A character may take several tokens (byte fallback, byte-level BPE). Until its last byte is there it decodes to
 * one U+FFFD at the end, which is held back.
 */
export class Detokenizer {
  readonly #tokenizer: ModelTokenizer
  #window: number[]
  #out: number

  constructor(tokenizer: ModelTokenizer, prompt: readonly number[]) {
    this.#tokenizer = tokenizer
    const anchor = prompt.findLast(id => tokenizer.isText(id))
    this.#window = anchor === undefined ? [] : [anchor]
    this.#out = tokenizer.decode(this.#window).length
  }

  get state(): TextState {
    return { window: this.#window, out: this.#out }
  }

  set state({ window, out }: TextState) {
    this.#window = [...window]
    this.#out = out
  }

  /** Adds an id; the text that is now certain, often one word, sometimes none. */
  push(id: number): string {
    if (!this.#tokenizer.isText(id)) return ''
    this.#window.push(id)
    const text = this.#tokenizer.decode(this.#window)
    if (text.endsWith(replacement)) return this.#take(text, text.length - replacement.length)
    const piece = this.#take(text, text.length)
    this.#window = [id]
    this.#out = this.#tokenizer.decode(this.#window).length
    return piece
  }

  /** The text that is still held back, when no more ids come: U+FFFD for bytes that are no character. */
  end(): string {
    const text = this.#tokenizer.decode(this.#window)
    return this.#take(text, text.length)
  }

  #take(text: string, end: number): string {
    const piece = text.slice(this.#out, end)
    this.#out = Math.max(this.#out, end)
    return piece
  }
}
