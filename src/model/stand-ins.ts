/**
 * What people write is text, in a conversation too: a control token that a message spells (`<|im_end|>`) must not become
 * that token once a template has put the message among its own. Before it is rendered, the first character of each
 * such spelling gets a stand-in, one character that nothing else has; when the rendered text has been split at control
 * tokens, the character comes back. So templates still trim, measure and search what people wrote.
 *
 * What a message ends or begins with may make a control token with what the template writes beside it (`<|im_end|` before
 * `>`): such a part gets its stand-in, too. A template that cuts a message apart and puts something else between the pieces
 * could still make one of them.
 */
import { InvalidOptionError } from '../errors.ts'

/** Unicode's private use area. */
const firstPrivate = 0xe000
const lastPrivate = 0xf8ff

export class StandIns {
  readonly #used: ReadonlySet<string>
  readonly #tokens: readonly string[]
  /** What tokens begin with, and what they end with, whole ones not. */
  readonly #beginnings = new Set<string>()
  readonly #ends = new Set<string>()
  readonly #longest: number
  #next = firstPrivate
  /** By the character that they stand for, and the other way around. */
  readonly #standIns = new Map<string, string>()
  readonly #characters = new Map<string, string>()

  /**
   * @param tokens control tokens, as they are spelt
   * @param texts all that stand-ins must not occur in
   */
  constructor(tokens: readonly string[], texts: string) {
    this.#used = new Set(texts)
    this.#tokens = tokens.filter(token => token !== '')
    let longest = 0
    for (const token of this.#tokens) {
      longest = Math.max(longest, token.length)
      for (let cut = 1; cut < token.length; cut++) {
        this.#beginnings.add(token.slice(0, cut))
        this.#ends.add(token.slice(cut))
      }
    }
    this.#longest = longest
  }

  /**
   * The same value of JSON, in whose strings and keys no control token is spelt.
   *
   * @throws {InvalidOptionError} when there is no character left to stand in for another
   */
  shield<T>(value: T): T {
    return this.#shield(value) as T
  }

  #shield(value: unknown): unknown {
    if (typeof value === 'string') return this.#shielded(value)
    if (Array.isArray(value)) return value.map(each => this.#shield(each))
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [this.#shielded(key), this.#shield(each)]))
  }

  #shielded(text: string): string {
    const places = [...this.#placesIn(text)].sort((a, b) => a - b)
    let shielded = ''
    let done = 0
    for (const at of places) {
      const character = String.fromCodePoint(text.codePointAt(at)!)
      shielded += text.slice(done, at) + this.#standInOf(character)
      done = at + character.length
    }
    return shielded + text.slice(done)
  }

  /** Where in a text a control token begins, or what may become one, trimmed or not. */
  #placesIn(text: string): Set<number> {
    const places = new Set<number>()
    for (const token of this.#tokens) {
      for (let at = text.indexOf(token); at >= 0; at = text.indexOf(token, at + 1)) places.add(at)
    }
    for (const end of [text.length, text.trimEnd().length]) {
      for (let at = Math.max(0, end - this.#longest); at < end; at++) {
        if (this.#beginnings.has(text.slice(at, end))) places.add(at)
      }
    }
    for (const start of [0, text.length - text.trimStart().length]) {
      for (let end = start + 1; end <= Math.min(text.length, start + this.#longest); end++) {
        if (this.#ends.has(text.slice(start, end))) places.add(start)
      }
    }
    return places
  }

  #standInOf(character: string): string {
    const known = this.#standIns.get(character)
    if (known !== undefined) return known
    while (this.#used.has(String.fromCharCode(this.#next))) this.#next++
    if (this.#next > lastPrivate) {
      throw new InvalidOptionError('the conversation has every private character of Unicode: none is left to work with')
    }
    const standIn = String.fromCharCode(this.#next++)
    this.#standIns.set(character, standIn)
    this.#characters.set(standIn, character)
    return standIn
  }

  /** Whether a text has any. */
  isIn(text: string): boolean {
    return [...this.#characters.keys()].some(standIn => text.includes(standIn))
  }

  /** The text as people wrote it. */
  restored(text: string): string {
    return this.parts(text).join('')
  }

  /** The same, cut behind each character that had a stand-in: no part has a control token whole. */
  parts(text: string): string[] {
    const parts: string[] = []
    let done = 0
    for (let at = 0; at < text.length; at++) {
      const meant = this.#characters.get(text[at]!)
      if (meant === undefined) continue
      parts.push(text.slice(done, at) + meant)
      done = at + 1
    }
    return [...parts, text.slice(done)].filter(part => part !== '')
  }
}
