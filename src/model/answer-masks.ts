/**
 * Which tokens of one model may follow the answers that are held to a grammar. An answer's place in its grammar follows from its ids, so
 * nothing is lost with what is kept here. Pure.
 */
import { EngineError, InvalidOptionError } from '../errors.ts'
import { grammarOf } from './grammar.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { unknownText, type MasksRequest } from './grammar-messages.ts'
import { grammarMasksMax, grammarPlacesMax, grammarsMax, grammarStatesMax, grammarTextsMax } from './limits.ts'
import { type ReadState, Recogniser } from './recogniser.ts'
import { TokenTree } from './token-tree.ts'

export interface AnswerMasksInit {
  /** Of the model, for messages. */
  readonly name: string
  /** Bytes of each id, none where it is no text. */
  readonly tokens: readonly Uint8Array[]
  readonly vocab: number
  readonly eosIds: readonly number[]
}

/** A grammar that is ready. */
interface Ready {
  readonly recogniser: Recogniser
  readonly masks: Map<ReadState, Uint8Array>
}

/** Where an answer stands: before its grammar begins, within it, or after its end. */
type Standing =
  | { readonly kind: 'before' }
  | { readonly kind: 'within'; readonly state: ReadState }
  | { readonly kind: 'ended' }

interface Answer {
  readonly grammar: Ready
  /** The grammar begins after this id. */
  readonly after: number | undefined
  length: number
  standing: Standing
}

export class AnswerMasks {
  readonly #init: AnswerMasksInit
  readonly #tree: TokenTree
  readonly #stops: ReadonlySet<number>
  /** By key, the last used at the end. */
  readonly #grammars = new Map<string, Ready>()
  /** By session, the last used at the end. */
  readonly #answers = new Map<number, Answer>()

  constructor(init: AnswerMasksInit) {
    this.#init = init
    this.#tree = new TokenTree(init.tokens, init.vocab)
    this.#stops = new Set(init.eosIds.filter(id => id < init.vocab))
  }

  /**
   * Makes a grammar ready.
   *
   * @throws {InvalidOptionError} when answers cannot be held to it, or the model cannot spell what it asks for; {TooManyWaysError}
   */
  ready(key: string, spec: GrammarSpec): void {
    const grammar = this.#grammar(key, spec)
    this.#mask(grammar, { kind: 'within', state: grammar.recogniser.start }, undefined)
  }

  /** @throws {EngineError} when the answer does not fit its grammar; as {@link ready} */
  masks(request: MasksRequest): readonly Uint8Array[] | typeof unknownText {
    const answer = this.#answer(request)
    if (answer === undefined) return unknownText
    const { grammar, after } = answer
    for (const id of request.ids) {
      const next = this.#next(answer, answer.standing, id)
      if (next === undefined) {
        const place = answer.length + 1
        throw new EngineError(`token ${id}, at place ${place} of the answer, is not what its grammar allows`)
      }
      answer.standing = next
      answer.length++
      this.#relieve(grammar)
    }
    let standing = answer.standing
    const masks = [this.#mask(grammar, standing, after)]
    for (const id of request.drafts) {
      const next = this.#next(answer, standing, id)
      if (next === undefined) break
      standing = next
      masks.push(this.#mask(grammar, standing, after))
    }
    this.#relieve(grammar)
    return masks
  }

  /** The answer as far as it was read; undefined where it has to be read from its start, and what it must be is not said. */
  #answer({ session, grammar, from }: MasksRequest): Answer | undefined {
    const known = this.#answers.get(session)
    this.#answers.delete(session)
    if (known !== undefined && known.length === from) {
      this.#answers.set(session, known)
      return known
    }
    if (grammar === undefined || from > 0) return undefined
    const ready = this.#grammar(grammar.key, grammar.spec)
    const standing: Standing =
      grammar.after === undefined ? { kind: 'within', state: ready.recogniser.start } : { kind: 'before' }
    const answer = { grammar: ready, after: grammar.after, length: 0, standing }
    this.#answers.set(session, answer)
    keepNewest(this.#answers, grammarTextsMax)
    return answer
  }

  #grammar(key: string, spec: GrammarSpec): Ready {
    const known = this.#grammars.get(key)
    this.#grammars.delete(key)
    const ready = known ?? { recogniser: recogniserOf(spec), masks: new Map() }
    this.#grammars.set(key, ready)
    keepNewest(this.#grammars, grammarsMax)
    return ready
  }

  /** Lets go of what was kept of a grammar once that is too much, but for where its answers stand. */
  #relieve(grammar: Ready): void {
    const { recogniser } = grammar
    if (!recogniser.isFull) return
    recogniser.forget()
    grammar.masks.clear()
    for (const answer of this.#answers.values()) {
      if (answer.grammar !== grammar || answer.standing.kind !== 'within') continue
      answer.standing = { kind: 'within', state: recogniser.renewed(answer.standing.state) }
    }
  }

  /** Where the answer stands after one more token; undefined where that may not follow. */
  #next({ grammar: { recogniser }, after }: Answer, standing: Standing, id: number): Standing | undefined {
    if (standing.kind === 'before') {
      if (id === after) return { kind: 'within', state: recogniser.start }
      return this.#stops.has(id) ? undefined : standing
    }
    if (this.#stops.has(id)) {
      return standing.kind === 'ended' || standing.state.isWhole ? { kind: 'ended' } : undefined
    }
    const bytes = this.#init.tokens[id]
    if (standing.kind === 'ended' || bytes === undefined || bytes.length === 0) return undefined
    let state: ReadState | null = standing.state
    for (const byte of bytes) {
      state = recogniser.after(state, byte)
      if (state === null) return undefined
    }
    return { kind: 'within', state }
  }

  #mask(grammar: Ready, standing: Standing, after: number | undefined): Uint8Array {
    if (standing.kind === 'before') return this.#anyText(after)
    if (standing.kind === 'ended') return this.#withStops(new Uint8Array(Math.ceil(this.#init.vocab / 8)))
    const known = grammar.masks.get(standing.state)
    if (known !== undefined) return known
    const mask = this.#tree.mask(grammar.recogniser, standing.state)
    if (standing.state.isWhole) this.#withStops(mask)
    if (!mask.some(byte => byte !== 0)) {
      throw new InvalidOptionError(`${this.#init.name} has no token for what its answer must go on with`)
    }
    grammar.masks.set(standing.state, mask)
    keepNewest(grammar.masks, grammarMasksMax)
    return mask
  }

  #anyText(after: number | undefined): Uint8Array {
    const mask = new Uint8Array(Math.ceil(this.#init.vocab / 8))
    for (const [id, { length }] of this.#init.tokens.entries())
      if (length > 0 && id < this.#init.vocab) setBit(mask, id)
    if (after !== undefined && after < this.#init.vocab) setBit(mask, after)
    return mask
  }

  #withStops(mask: Uint8Array): Uint8Array {
    for (const id of this.#stops) setBit(mask, id)
    return mask
  }
}

function setBit(mask: Uint8Array, id: number): void {
  mask[id >> 3]! |= 1 << (id & 7)
}

function keepNewest(map: Map<unknown, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return
    map.delete(key)
  }
}

function recogniserOf(spec: GrammarSpec): Recogniser {
  return new Recogniser(grammarOf(spec), { placesMax: grammarPlacesMax, statesMax: grammarStatesMax })
}
