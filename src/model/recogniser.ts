/**
 * Reads texts byte by byte by a grammar: which bytes may follow is known after each. It is an automaton whose states are made when they
 * are first met and then kept, so that a byte takes one look into a table. Pure.
 *
 * A state is a set of places in the grammar, since it may not be known yet which of two alternatives a text will turn out to be; with each
 * place goes what has to be done once its rule ends, as a stack that places share.
 */
import { assert } from '../base/assert.ts'
import type { CodeRange, GrammarRules, Syntax } from './syntax.ts'
import { UnwantedTexts } from './unwanted-texts.ts'

type Node =
  | { readonly kind: 'byte'; readonly id: number; readonly first: number; readonly last: number; readonly next: Node }
  | { readonly kind: 'split'; readonly id: number; readonly to: Node[] }
  | { readonly kind: 'call'; readonly id: number; readonly rule: string; readonly next: Node }
  | {
      readonly kind: 'loop'
      readonly id: number
      readonly what: Node
      readonly min: number
      readonly max: number
      readonly next: Node
    }
  /** From here on this is watched for: a state of unwanted texts, 0 for none. */
  | { readonly kind: 'watch'; readonly id: number; readonly unwanted: number; readonly next: Node }
  | { readonly kind: 'end'; readonly id: number }

/** A node that is come to: what comes once its rule has ended, and what has been read of unwanted texts. */
type Arrival = readonly [node: Node, frame: Frame | undefined, unwanted: number]

/** What comes once a rule, or one more time of a loop, has ended. */
interface Frame {
  readonly id: number
  readonly node: Node & { readonly kind: 'call' | 'loop' }
  /** Times that a loop was through before this one. */
  readonly count: number
  readonly below: Frame | undefined
}

interface Place {
  readonly node: Node & { readonly kind: 'byte' }
  readonly frame: Frame | undefined
  readonly unwanted: number
}

export interface ReadState {
  /** The text so far is whole; more may follow all the same. */
  readonly isWhole: boolean
  /** Nothing may follow. */
  readonly isLast: boolean
  readonly places: readonly Place[]
  /** By group of bytes; null where none of them may follow. */
  readonly next: (ReadState | null | undefined)[]
}

/** Thrown where a text may be so many things at once that they are not all followed. */
export class TooManyWaysError extends Error {
  override readonly name = 'TooManyWaysError'
}

export interface RecogniserInit {
  /** Places of one state. */
  readonly placesMax: number
  /** States that are kept. */
  readonly statesMax: number
}

export class Recogniser {
  #start: ReadState
  readonly #init: RecogniserInit
  readonly #end: Node
  readonly #rules = new Map<string, Node>()
  /** Bytes that no place of the grammar tells apart have one number. */
  readonly #groups = new Uint8Array(256)
  readonly #unwanted = new UnwantedTexts()
  readonly #states = new Map<string, ReadState>()
  readonly #frames = new Map<string, Frame>()
  #nodes = 0
  #frameCount = 0
  #groupCount = 1

  /** @param grammar in which no rule begins with itself (`selfBeginning`) */
  constructor(grammar: GrammarRules, init: RecogniserInit) {
    this.#init = init
    this.#end = { kind: 'end', id: this.#nodes++ }
    const borders = new Uint8Array(257)
    for (const [name, syntax] of grammar.rules) this.#rules.set(name, this.#compiled(syntax, this.#end, borders))
    const entry = this.#compiled(grammar.start, this.#end, borders)
    for (let byte = 1; byte < 256; byte++) {
      if (borders[byte] === 1) this.#groupCount++
      this.#groups[byte] = this.#groupCount - 1
    }
    this.#start = this.#state([[entry, undefined, 0]]) ?? this.#kept('', { isWhole: false, places: [] })
  }

  get start(): ReadState {
    return this.#start
  }

  /** It holds as many states as it may: it is to forget them. */
  get isFull(): boolean {
    return this.#states.size + this.#frames.size > this.#init.statesMax
  }

  /** Lets go of all states but those that are renewed. */
  forget(): void {
    this.#states.clear()
    this.#frames.clear()
    this.#start = this.renewed(this.#start)
  }

  /** The same state, that goes on once the others are forgotten. */
  renewed(state: ReadState): ReadState {
    return { ...state, next: new Array(this.#groupCount) }
  }

  /** The state after one more byte; null where it may not follow. @throws {TooManyWaysError} */
  after(state: ReadState, byte: number): ReadState | null {
    const group = this.#groups[byte]!
    const known = state.next[group]
    if (known !== undefined) return known
    const found: Arrival[] = []
    for (const { node, frame, unwanted } of state.places) {
      if (byte < node.first || byte > node.last) continue
      const read = this.#unwanted.after(unwanted, byte)
      if (read !== undefined) found.push([node.next, frame, read])
    }
    const next = found.length === 0 ? null : this.#state(found)
    state.next[group] = next
    return next
  }

  /** What can be read once those have been come to: all places that need no further byte. */
  #state(from: Arrival[]): ReadState | null {
    const places = new Map<string, Place>()
    const seen = new Set<string>()
    let isWhole = false
    for (let step = from.pop(); step !== undefined; step = from.pop()) {
      const [node, frame, unwanted] = step
      const key = `${node.id}.${frame?.id ?? ''}.${unwanted}`
      if (seen.has(key)) continue
      seen.add(key)
      if (seen.size > this.#init.placesMax) throw new TooManyWaysError('a text may be too many things at once')
      if (node.kind === 'byte') places.set(key, { node, frame, unwanted })
      else if (node.kind === 'split') for (const to of node.to) from.push([to, frame, unwanted])
      else if (node.kind === 'watch') from.push([node.next, frame, node.unwanted])
      else if (node.kind === 'call') {
        // What ends with its last call needs nothing to come back to: else a list would pile up as it grows.
        const under = node.next === this.#end ? frame : this.#frame(node, 0, frame)
        from.push([this.#rules.get(node.rule)!, under, unwanted])
      } else if (node.kind === 'loop') this.#again([node, frame, unwanted], 0, from)
      else if (frame === undefined) isWhole = true
      else if (frame.node.kind === 'call') from.push([frame.node.next, frame.below, unwanted])
      else this.#again([frame.node, frame.below, unwanted], frame.count + 1, from)
    }
    if (places.size === 0 && !isWhole) return null
    if (this.#states.size > 4 * this.#init.statesMax) throw new TooManyWaysError('a token may be read in too many ways')
    const id = `${[...places.keys()].sort().join()}${isWhole ? '!' : ''}`
    return this.#states.get(id) ?? this.#kept(id, { isWhole, places: [...places.values()] })
  }

  /** A loop that was through so often. */
  #again(
    [node, below, unwanted]: readonly [Node & { readonly kind: 'loop' }, Frame | undefined, number],
    count: number,
    from: Arrival[]
  ): void {
    if (count >= node.min) from.push([node.next, below, unwanted])
    if (count < node.max) from.push([node.what, this.#frame(node, count, below), unwanted])
  }

  #kept(id: string, { isWhole, places }: Pick<ReadState, 'isWhole' | 'places'>): ReadState {
    const state = { isWhole, isLast: places.length === 0, places, next: new Array(this.#groupCount) }
    this.#states.set(id, state)
    return state
  }

  #frame(node: Node & { readonly kind: 'call' | 'loop' }, count: number, below: Frame | undefined): Frame {
    const key = `${node.id}.${count}.${below?.id ?? ''}`
    const known = this.#frames.get(key)
    if (known !== undefined) return known
    const frame: Frame = { id: this.#frameCount++, node, count, below }
    this.#frames.set(key, frame)
    return frame
  }

  /** The nodes that read it and go on with `next`. */
  #compiled(syntax: Syntax, next: Node, borders: Uint8Array): Node {
    if (syntax.kind === 'text') return this.#bytes([...new TextEncoder().encode(syntax.text)].map(pair), next, borders)
    if (syntax.kind === 'character') {
      const ways = syntax.ranges.flatMap(inUtf8).map(bytes => this.#bytes(bytes, next, borders))
      return ways.length === 1 ? ways[0]! : this.#split(ways)
    }
    if (syntax.kind === 'sequence') {
      return syntax.parts.reduceRight<Node>((rest, part) => this.#compiled(part, rest, borders), next)
    }
    if (syntax.kind === 'either') return this.#split(syntax.of.map(each => this.#compiled(each, next, borders)))
    if (syntax.kind === 'rule') return { kind: 'call', id: this.#nodes++, rule: syntax.name, next }
    if (syntax.kind === 'without') {
      const begin = this.#unwanted.add(syntax.texts, borders)
      const end: Node = { kind: 'watch', id: this.#nodes++, unwanted: 0, next }
      return { kind: 'watch', id: this.#nodes++, unwanted: begin, next: this.#compiled(syntax.what, end, borders) }
    }
    const { what, min, max } = syntax
    if (max === 0) return next
    if (max !== Number.POSITIVE_INFINITY) {
      return { kind: 'loop', id: this.#nodes++, what: this.#compiled(what, this.#end, borders), min, max, next }
    }
    const again: Node[] = []
    const split = this.#split(again)
    again.push(this.#compiled(what, split, borders), next)
    if (min === 0) return split
    return min === 1 ? again[0]! : this.#compiled({ kind: 'times', what, min, max: min }, split, borders)
  }

  #split(to: Node[]): Node {
    return { kind: 'split', id: this.#nodes++, to }
  }

  #bytes(bytes: readonly CodeRange[], next: Node, borders: Uint8Array): Node {
    return bytes.reduceRight<Node>((rest, [first, last]) => {
      assert(first <= last, 'a range of bytes rises')
      borders[first] = 1
      borders[last + 1] = 1
      return { kind: 'byte', id: this.#nodes++, first, last, next: rest }
    }, next)
  }
}

function pair(byte: number): CodeRange {
  return [byte, byte]
}

/** Last code points of one, two, three and four bytes. */
const utf8Ends = [0x7f, 0x7ff, 0xffff, 0x10ffff]

/** The characters of a range in UTF-8, as sequences of ranges of bytes. */
function inUtf8([first, last]: CodeRange): CodeRange[][] {
  const end = utf8Ends.find(each => first <= each)!
  if (last > end) return [...inUtf8([first, end]), ...inUtf8([end + 1, last])]
  const bytes = utf8Ends.indexOf(end) + 1
  // Where all but the first bytes run from their lowest to their highest one, ranges of bytes are the range of characters.
  for (let tail = 1; tail < bytes; tail++) {
    const mask = 2 ** (6 * tail) - 1
    if (Math.floor(first / (mask + 1)) === Math.floor(last / (mask + 1))) continue
    if (first % (mask + 1) !== 0) {
      const border = first - (first % (mask + 1)) + mask
      return [...inUtf8([first, border]), ...inUtf8([border + 1, last])]
    }
    if (last % (mask + 1) !== mask) {
      const border = last - (last % (mask + 1))
      return [...inUtf8([first, border - 1]), ...inUtf8([border, last])]
    }
  }
  const [low, high] = [utf8(first), utf8(last)]
  return [low.map((byte, i) => [byte, high[i]!])]
}

function utf8(code: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(code))]
}
