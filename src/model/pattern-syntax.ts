/**
 * Regular expressions as JavaScript and JSON Schema have them, without what looks ahead, behind or back: as a grammar of the texts that they
 * fit. Pure.
 */
import { InvalidOptionError } from '../errors.ts'
import { patternDepthMax } from './limits.ts'
import {
  type CodeRange,
  codePointMax,
  either,
  nothing,
  optional,
  others,
  type Syntax,
  sequence,
  text,
  times,
  united
} from './syntax.ts'

/** How a text stands in the answer. */
export interface Spelling {
  /** One character of these. */
  readonly character: (ranges: readonly CodeRange[]) => Syntax
  /** Any characters at all. */
  readonly anything: Syntax
}

/**
 * What an expression fits: somewhere in a text, as `test` has it, but where it says `^` and `$`.
 *
 * @param path of the expression, for messages
 * @throws {InvalidOptionError} when it is no expression, or has what is not supported: says what, and at which character
 */
export function patternSyntax(pattern: string, path: string, spelling: Spelling): Syntax {
  return new PatternReader(pattern, path, spelling).whole(true)
}

/** What an expression fits as a whole. @throws as {@link patternSyntax} */
export function wholePatternSyntax(pattern: string, path: string, spelling: Spelling): Syntax {
  return new PatternReader(pattern, path, spelling).whole(false)
}

const all: readonly CodeRange[] = united([[0, codePointMax]])
const lineEnds: readonly CodeRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029]
]
const classes: Readonly<Record<string, readonly CodeRange[]>> = {
  d: [[0x30, 0x39]],
  w: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a]
  ],
  s: united([
    ...([
      [0x09, 0x0d],
      [0x20, 0x20],
      [0xa0, 0xa0],
      [0x1680, 0x1680],
      [0x2000, 0x200a]
    ] as const),
    ...([
      [0x2028, 0x2029],
      [0x202f, 0x202f],
      [0x205f, 0x205f],
      [0x3000, 0x3000],
      [0xfeff, 0xfeff]
    ] as const)
  ])
}
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, '0': 0 }
const punctuation = new Set('^$\\.*+?()[]{}|/-')

class PatternReader {
  readonly #characters: readonly string[]
  readonly #path: string
  readonly #spelling: Spelling
  #at = 0
  #depth = 0

  constructor(pattern: string, path: string, spelling: Spelling) {
    this.#path = path
    this.#spelling = spelling
    this.#characters = Array.from(pattern)
    if (!pattern.isWellFormed()) this.#refuse('half of a surrogate pair')
  }

  /** @param isSearch whether other text may stand before and behind it */
  whole(isSearch: boolean): Syntax {
    const ways: Syntax[] = []
    do {
      const isStart = this.#takes('^')
      const parts = this.#parts()
      const isEnd = this.#takes('$')
      const more = isSearch ? this.#spelling.anything : nothing
      ways.push(sequence(isStart ? nothing : more, ...parts, isEnd ? nothing : more))
    } while (this.#takes('|'))
    if (this.#at < this.#characters.length) this.#refuse(`'${this.#characters[this.#at]}' here`)
    return either(...ways)
  }

  #alternatives(): Syntax {
    const ways: Syntax[] = []
    do ways.push(sequence(...this.#parts(), nothing))
    while (this.#takes('|'))
    return either(...ways)
  }

  #parts(): Syntax[] {
    const parts: Syntax[] = []
    for (;;) {
      const next = this.#characters[this.#at]
      if (next === undefined || next === '|' || next === ')' || next === '$') return parts
      parts.push(this.#repeated(this.#atom()))
    }
  }

  #repeated(what: Syntax): Syntax {
    const next = this.#characters[this.#at]
    let found: Syntax
    if (next === '*' || next === '+') found = times(what, next === '*' ? 0 : 1, Number.POSITIVE_INFINITY)
    else if (next === '?') found = optional(what)
    else if (next === '{') return this.#counted(what)
    else return what
    this.#at++
    return this.#unlazy(found)
  }

  #counted(what: Syntax): Syntax {
    const rest = this.#characters.slice(this.#at, this.#at + 24).join('')
    const [whole, min, comma, max] = /^\{(\d+)(,?)(\d*)\}/.exec(rest) ?? this.#refuse("'{' without a count here")
    const least = Number(min)
    const most = comma === '' ? least : max === '' ? Number.POSITIVE_INFINITY : Number(max)
    if (most < least) this.#refuse(`a count from ${least} down to ${most}`)
    this.#at += whole!.length
    return this.#unlazy(times(what, least, most))
  }

  /** What is found first makes no difference to what fits. */
  #unlazy(what: Syntax): Syntax {
    this.#takes('?')
    const next = this.#characters[this.#at]
    if (next === '*' || next === '+' || next === '?') this.#refuse('two counts in a row')
    return what
  }

  #atom(): Syntax {
    const next = this.#characters[this.#at++]!
    if (next === '(') return this.#group()
    if (next === '[') return this.#spelling.character(this.#class())
    if (next === '.') return this.#spelling.character(others(lineEnds))
    if (next === '\\') return this.#spelling.character(this.#escape())
    if (next === '^') this.#refuse("'^' anywhere but at the beginning")
    if ('*+?{}]'.includes(next)) this.#refuse(`'${next}' here`)
    return this.#spelling.character([one(next)])
  }

  #group(): Syntax {
    if (++this.#depth > patternDepthMax) this.#refuse(`more than ${patternDepthMax} groups within one another`)
    if (this.#takes('?') && !this.#takes(':')) {
      const rest = this.#characters.slice(this.#at, this.#at + 64).join('')
      const named = /^<[A-Za-z_$][\w$]*>/.exec(rest) ?? this.#refuse(`'(?${rest[0] ?? ''}'`)
      this.#at += named[0].length
    }
    const inside = this.#alternatives()
    if (this.#characters[this.#at] === '$') this.#refuse("'$' anywhere but at the end")
    if (!this.#takes(')')) this.#refuse('a group that is not closed')
    this.#depth--
    return inside
  }

  #class(): CodeRange[] {
    const isNot = this.#takes('^')
    const ranges: CodeRange[] = []
    for (;;) {
      const from = this.#member()
      if (from === undefined) break
      const [first] = from
      if (this.#characters[this.#at] !== '-' || this.#characters[this.#at + 1] === ']') ranges.push(...from)
      else {
        this.#at++
        const to = this.#member() ?? this.#refuse('a class that is not closed')
        if (from.length !== 1 || to.length !== 1 || first![0] !== first![1] || to[0]![0] !== to[0]![1]) {
          this.#refuse('a range from or to several characters')
        }
        if (first![0] > to[0]![0]) this.#refuse('a range that falls')
        ranges.push([first![0], to[0]![0]])
      }
    }
    const found = isNot ? others(united(ranges)) : united(ranges)
    return found.length > 0 ? found : this.#refuse('a class without characters')
  }

  /** One member of a class; undefined at its end. */
  #member(): readonly CodeRange[] | undefined {
    const next = this.#characters[this.#at++]
    if (next === undefined) this.#refuse('a class that is not closed')
    if (next === ']') return undefined
    if (next !== '\\') return [one(next)]
    // Within a class it is a backspace.
    return this.#takes('b') ? [[8, 8]] : this.#escape()
  }

  #escape(): readonly CodeRange[] {
    const next = this.#characters[this.#at++] ?? this.#refuse("'\\' at the end")
    const known = classes[next] ?? (classes[next.toLowerCase()] && others(classes[next.toLowerCase()]!))
    if (known !== undefined) return known
    const control = controls[next]
    if (control !== undefined && !/\d/.test(this.#characters[this.#at] ?? '')) return [[control, control]]
    if (next === 'x' || next === 'u') {
      const rest = this.#characters.slice(this.#at, this.#at + 8).join('')
      const form = next === 'x' ? /^([0-9a-f]{2})/i : /^(?:([0-9a-f]{4})|\{([0-9a-f]{1,6})\})/i
      const [whole, short, long] = form.exec(rest) ?? this.#refuse(`'\\${next}' without its digits`)
      this.#at += whole.length
      const code = Number.parseInt(short ?? long!, 16)
      if (code > codePointMax || (code >= 0xd800 && code <= 0xdfff)) this.#refuse(`'\\${next}${whole}'`)
      return [[code, code]]
    }
    return punctuation.has(next) ? [one(next)] : this.#refuse(`'\\${next}'`)
  }

  #takes(character: string): boolean {
    if (this.#characters[this.#at] !== character) return false
    this.#at++
    return true
  }

  #refuse(what: string): never {
    throw new InvalidOptionError(`${this.#path} is not supported: it has ${what}, at character ${this.#at}`)
  }
}

function one(character: string): CodeRange {
  const code = character.codePointAt(0)!
  return [code, code]
}

/** Characters as they are. */
export const asItIs: Spelling = {
  character: ranges => ({ kind: 'character', ranges }),
  anything: times({ kind: 'character', ranges: all }, 0, Number.POSITIVE_INFINITY)
}

const jsonEscaped: readonly CodeRange[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c]
]

/** Characters as a string of JSON has them. @param anything characters of any string */
export function inJson(anything: Syntax): Spelling {
  const plain = others(jsonEscaped)
  return {
    anything,
    character: ranges => {
      const ways: Syntax[] = []
      const rest = intersection(ranges, plain)
      if (rest.length > 0) ways.push({ kind: 'character', ranges: rest })
      for (const [first, last] of intersection(ranges, jsonEscaped)) {
        for (let code = first; code <= last; code++) {
          ways.push(text(JSON.stringify(String.fromCodePoint(code)).slice(1, -1)))
        }
      }
      return either(...ways)
    }
  }
}

function intersection(a: readonly CodeRange[], b: readonly CodeRange[]): CodeRange[] {
  return a.flatMap(([first, last]) =>
    b.flatMap(([from, to]): CodeRange[] => {
      const range: CodeRange = [Math.max(first, from), Math.min(last, to)]
      return range[0] <= range[1] ? [range] : []
    })
  )
}
