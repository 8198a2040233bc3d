/** What a text may be, as a tree: literal text, characters, one after the other, either, so many times, and rules by name. Pure. */
import { assert } from '../base/assert.ts'

/** Code points from the first to the last one. */
export type CodeRange = readonly [first: number, last: number]

export type Syntax =
  | { readonly kind: 'text'; readonly text: string }
  /** One character of these, in rising order, none twice. */
  | { readonly kind: 'character'; readonly ranges: readonly CodeRange[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Syntax[] }
  | { readonly kind: 'either'; readonly of: readonly Syntax[] }
  | { readonly kind: 'times'; readonly what: Syntax; readonly min: number; readonly max: number }
  | { readonly kind: 'rule'; readonly name: string }
  /** What fits, unless one of these comes within it. */
  | { readonly kind: 'without'; readonly what: Syntax; readonly texts: readonly string[] }

/** A text is what `start` says; what it calls by name is among the rules, which may call one another, also in a circle. */
export interface GrammarRules {
  readonly start: Syntax
  readonly rules: ReadonlyMap<string, Syntax>
}

/** Rules that are being written. */
export class Rules {
  readonly all: Map<string, Syntax>
  #count = 0

  constructor(known: ReadonlyMap<string, Syntax>) {
    this.all = new Map(known)
  }

  /** A rule that is used at several places. */
  add(syntax: Syntax): Syntax {
    const name = `part ${this.#count++}`
    this.all.set(name, syntax)
    return { kind: 'rule', name }
  }

  /** A rule that may be called before it is set. @param name how messages call it; another of that name gets a number */
  reserve(name: string): [Syntax & { readonly kind: 'rule' }, (syntax: Syntax) => void] {
    let own = name
    while (this.all.has(own)) own = `${name} ${++this.#count}`
    this.all.set(own, never)
    return [{ kind: 'rule', name: own }, syntax => void this.all.set(own, syntax)]
  }
}

export const nothing: Syntax = { kind: 'text', text: '' }
/** No text at all fits. */
export const never: Syntax = { kind: 'either', of: [] }

export function text(text: string): Syntax {
  return { kind: 'text', text }
}

export function sequence(...parts: readonly Syntax[]): Syntax {
  return parts.length === 1 ? parts[0]! : { kind: 'sequence', parts }
}

export function either(...of: readonly Syntax[]): Syntax {
  return of.length === 1 ? of[0]! : { kind: 'either', of }
}

export function optional(what: Syntax): Syntax {
  return either(what, nothing)
}

/** @param max Infinity for as often as one likes */
export function times(what: Syntax, min: number, max: number): Syntax {
  assert(min >= 0 && max >= min, () => `it cannot come ${min} to ${max} times`)
  return min === 1 && max === 1 ? what : { kind: 'times', what, min, max }
}

/** @param texts none of which is empty. No syntax with others stands within this one */
export function without(what: Syntax, texts: readonly string[]): Syntax {
  return texts.length === 0 ? what : { kind: 'without', what, texts }
}

export function rule(name: string): Syntax {
  return { kind: 'rule', name }
}

/** One of these characters. @param ranges in any order: `'az'` is from a to z, `'-'` itself */
export function oneOf(...ranges: readonly string[]): Syntax {
  return character(
    ranges.map(range => {
      const codes = Array.from(range, each => each.codePointAt(0)!)
      return [codes[0]!, codes.at(-1)!]
    })
  )
}

export function character(ranges: readonly CodeRange[]): Syntax {
  return { kind: 'character', ranges: united(ranges) }
}

export const codePointMax = 0x10ffff

/** The same code points, in rising order and none twice, without surrogates: those are no characters. */
export function united(ranges: readonly CodeRange[]): CodeRange[] {
  const whole = ranges.flatMap(([first, last]): CodeRange[] => [
    [first, Math.min(last, 0xd7ff)],
    [Math.max(first, 0xe000), last]
  ])
  const found: [number, number][] = []
  for (const [first, last] of whole.filter(range => range[0] <= range[1]).sort((a, b) => a[0] - b[0])) {
    const before = found.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else found.push([first, last])
  }
  return found
}

/** All other characters. @param ranges as `united` gives them */
export function others(ranges: readonly CodeRange[]): CodeRange[] {
  const found: CodeRange[] = []
  let from = 0
  for (const [first, last] of ranges) {
    if (first > from) found.push([from, first - 1])
    from = last + 1
  }
  if (from <= codePointMax) found.push([from, codePointMax])
  return united(found)
}

/** Parts of a grammar, each node of its trees. */
export function sizeOf({ start, rules }: GrammarRules): number {
  const size = (syntax: Syntax): number => {
    if (syntax.kind === 'text') return 1 + syntax.text.length
    if (syntax.kind === 'character') return 1 + syntax.ranges.length
    if (syntax.kind === 'without') return syntax.texts.reduce((sum, each) => sum + each.length, 1 + size(syntax.what))
    return 1 + childrenOf(syntax).reduce((sum, child) => sum + size(child), 0)
  }
  return [start, ...rules.values()].reduce((sum, each) => sum + size(each), 0)
}

function childrenOf(syntax: Syntax): readonly Syntax[] {
  if (syntax.kind === 'sequence') return syntax.parts
  if (syntax.kind === 'either') return syntax.of
  return syntax.kind === 'times' || syntax.kind === 'without' ? [syntax.what] : []
}

/**
 * Names of rules that no text fits: they need themselves to end, or one that does.
 */
export function endless({ rules }: GrammarRules): Set<string> {
  const left = new Set(rules.keys())
  const ends = (syntax: Syntax): boolean => {
    if (syntax.kind === 'rule') return !left.has(syntax.name)
    if (syntax.kind === 'either') return syntax.of.some(ends)
    if (syntax.kind === 'sequence') return syntax.parts.every(ends)
    if (syntax.kind === 'without') return ends(syntax.what)
    return syntax.kind !== 'times' || syntax.min === 0 || ends(syntax.what)
  }
  for (let found = true; found; ) {
    found = false
    for (const name of left) {
      if (!ends(rules.get(name)!)) continue
      left.delete(name)
      found = true
    }
  }
  return left
}

/** A rule that comes to itself before any text does, by name: reading it would never begin. Undefined where there is none. */
export function selfBeginning({ rules }: GrammarRules): string | undefined {
  const empty = emptyRules(rules)
  /** Rules that were followed to their end, and those that are being followed. */
  const [done, open] = [new Set<string>(), new Set<string>()]
  for (const start of rules.keys()) {
    const way: { readonly name: string; readonly todo: string[] }[] = []
    const enter = (name: string): void => {
      open.add(name)
      way.push({ name, todo: [...firstRules(rules.get(name)!, empty)] })
    }
    if (!done.has(start)) enter(start)
    for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
      const next = top.todo.pop()
      if (next === undefined) {
        open.delete(top.name)
        done.add(top.name)
        way.pop()
      } else if (open.has(next)) return next
      else if (!done.has(next)) enter(next)
    }
  }
  return undefined
}

/** Names of rules that an empty text fits. */
function emptyRules(rules: ReadonlyMap<string, Syntax>): Set<string> {
  const empty = new Set<string>()
  for (let size = -1; size < empty.size; ) {
    size = empty.size
    for (const [name, syntax] of rules) if (isEmpty(syntax, empty)) empty.add(name)
  }
  return empty
}

function isEmpty(syntax: Syntax, empty: ReadonlySet<string>): boolean {
  if (syntax.kind === 'text') return syntax.text === ''
  if (syntax.kind === 'character') return false
  if (syntax.kind === 'rule') return empty.has(syntax.name)
  if (syntax.kind === 'either') return syntax.of.some(each => isEmpty(each, empty))
  if (syntax.kind === 'sequence') return syntax.parts.every(each => isEmpty(each, empty))
  if (syntax.kind === 'without') return isEmpty(syntax.what, empty)
  return syntax.min === 0 || isEmpty(syntax.what, empty)
}

/** Names of the rules that it may begin with. */
function firstRules(syntax: Syntax, empty: ReadonlySet<string>, found = new Set<string>()): Set<string> {
  if (syntax.kind === 'rule') found.add(syntax.name)
  if (syntax.kind === 'sequence') {
    for (const part of syntax.parts) {
      firstRules(part, empty, found)
      if (!isEmpty(part, empty)) break
    }
  } else for (const child of childrenOf(syntax)) firstRules(child, empty, found)
  return found
}
