/** What an answer must be, checked, and as a grammar. Pure. */
import { InvalidOptionError } from '../errors.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { anyObject, jsonRules } from './json-syntax.ts'
import { grammarCharsMax, grammarSizeMax, schemaDepthMax, unwantedCharsMax } from './limits.ts'
import { asItIs, wholePatternSyntax } from './pattern-syntax.ts'
import { plainSyntax } from './plain-syntax.ts'
import { type Schema, schemaSyntax } from './schema-syntax.ts'
import {
  either,
  endless,
  type GrammarRules,
  Rules,
  type Syntax,
  selfBeginning,
  sequence,
  sizeOf,
  text,
  times,
  without
} from './syntax.ts'

export interface SizedGrammar extends GrammarRules {
  /** Nodes of its trees. */
  readonly size: number
}

/** @throws {InvalidOptionError} when no answer can be held to it: says what is not supported and where, such as `schema.properties.a.contains` */
export function grammarOf(spec: GrammarSpec): SizedGrammar {
  checkExtent(spec)
  const rules = new Rules(jsonRules())
  const [start, set] = rules.reserve('the answer')
  set(syntaxOf(spec, rules, '', false))
  const grammar = { start, rules: rules.all }
  const size = sizeOf(grammar)
  if (size > grammarSizeMax) {
    throw new InvalidOptionError(
      'the grammar is too large: a schema has too many words or an expression too many parts'
    )
  }
  const ends = endless(grammar)
  if (ends.has(start.name)) {
    const name = [...ends].find(each => each.startsWith('schema'))
    throw new InvalidOptionError(
      `no answer of any length fits the grammar${name === undefined ? '' : `: ${name} needs itself`}`
    )
  }
  const circle = selfBeginning(grammar)
  if (circle !== undefined) throw new InvalidOptionError(`${circle} refers to itself, with nothing before that`)
  return { ...grammar, size }
}

/**
 * The size of grammars that are put together, where each of their parts is known to be a grammar; undefined where one is not, or all together
 * could be too large. What was told of a part holds within others: no part refers to another one.
 *
 * @param sizeOf of a part, undefined where it is not known
 */
export function sizeTogether(spec: GrammarSpec, sizeOf: (part: GrammarSpec) => number | undefined): number | undefined {
  let size = 0
  const add = (part: GrammarSpec): boolean => {
    if (part?.kind === 'text' && isText(part.text)) size += 2 + part.text.length
    else if ((part?.kind === 'sequence' || part?.kind === 'either') && Array.isArray(part.of)) {
      size += 1
      return part.of.every(add)
    } else if (part?.kind === 'times' && areBounds(part)) {
      size += 2
      return add(part.of)
    } else size += sizeOf(part) ?? Number.POSITIVE_INFINITY
    return size <= grammarSizeMax
  }
  if (!['sequence', 'either', 'times'].includes(spec?.kind)) return undefined
  return add(spec) ? size : undefined
}

/** @param isWatched what comes within it is looked for already */
function syntaxOf(spec: GrammarSpec, rules: Rules, path: string, isWatched: boolean): Syntax {
  const each = (of: readonly GrammarSpec[]): Syntax[] => {
    if (!Array.isArray(of)) throw new InvalidOptionError(`${path}of must be an array of grammars`)
    return of.map((one, i) => syntaxOf(one, rules, `${path}${i}.`, isWatched))
  }
  const checkText = (text: unknown, name: string): void => {
    if (typeof text !== 'string') throw new InvalidOptionError(`${path}${name} must be a text`)
  }
  switch (spec?.kind) {
    case 'json':
      return anyObject
    case 'json-schema':
      return schemaSyntax(spec.schema as Schema, rules, { strict: spec.strict, path: `${path}schema` })
    case 'regex':
      checkText(spec.pattern, 'pattern')
      return wholePatternSyntax(spec.pattern, `${path}pattern`, asItIs)
    case 'text':
      checkText(spec.text, 'text')
      if (!isText(spec.text)) throw new InvalidOptionError(`${path}text has half of a surrogate pair`)
      return text(spec.text)
    case 'sequence':
      return sequence(...each(spec.of))
    case 'either':
      return either(...each(spec.of))
    case 'times': {
      if (!areBounds(spec)) {
        throw new InvalidOptionError(`${path}min and max must be whole numbers, and max not below min`)
      }
      return times(rules.add(syntaxOf(spec.of, rules, path, isWatched)), spec.min, spec.max ?? Number.POSITIVE_INFINITY)
    }
    case 'without': {
      const texts = unwanted(spec.texts, `${path}texts`, isWatched)
      return without(syntaxOf(spec.of, rules, path, true), texts)
    }
    case 'plain': {
      const { schema, strict, marks } = spec
      for (const key of ['beforeName', 'beforeValue', 'afterValue'] as const)
        checkTexts(marks?.[key], `${path}marks.${key}`)
      const never = unwanted(marks.never, `${path}marks.never`, isWatched)
      return plainSyntax(schema as Schema, rules, { strict, path: `${path}schema`, marks: { ...marks, never } })
    }
    default:
      throw new InvalidOptionError(
        `a grammar of kind ${JSON.stringify((spec as { kind?: unknown } | null)?.kind)} is not known`
      )
  }
}

function isText(text: unknown): boolean {
  return typeof text === 'string' && text.isWellFormed()
}

/** What was kept as JSON has null for a bound that is infinite. */
function areBounds({ min, max }: { readonly min: number; readonly max?: number | null | undefined }): boolean {
  return Number.isSafeInteger(min) && min >= 0 && (max ?? Number.POSITIVE_INFINITY) >= min
}

/** Texts that may not come: each character of them costs every state of the grammar. @throws {InvalidOptionError} */
function unwanted(texts: readonly string[], path: string, isWatched: boolean): readonly string[] {
  if (isWatched) throw new InvalidOptionError(`${path} is not supported within a grammar that is without some texts`)
  checkTexts(texts, path)
  if (texts.includes('') || texts.join('').length > unwantedCharsMax) {
    throw new InvalidOptionError(`${path} must be texts that are not empty, of ${unwantedCharsMax} characters together`)
  }
  return texts
}

/** @throws {InvalidOptionError} when it is no list of one text or more */
function checkTexts(texts: unknown, path: string): void {
  const isFine = Array.isArray(texts) && texts.every(each => typeof each === 'string' && each.isWellFormed())
  if (!isFine || texts.length === 0) throw new InvalidOptionError(`${path} must be an array of texts, and not empty`)
}

/** Bounds what is read at all: nothing here goes deeper, or on for longer. @throws {InvalidOptionError} */
export function checkExtent(spec: GrammarSpec): void {
  let chars = 0
  const count = (length: number): void => {
    chars += length
    if (chars > grammarCharsMax) {
      throw new InvalidOptionError(`a grammar may have ${grammarCharsMax} characters as JSON, and this one has more`)
    }
  }
  const walk = (value: unknown, depth: number): void => {
    if (depth > schemaDepthMax) {
      throw new InvalidOptionError(`a grammar may be nested ${schemaDepthMax} levels deep, and this one is deeper`)
    }
    if (typeof value === 'string') count(value.length + 2)
    else if (typeof value === 'number' || typeof value === 'boolean' || value === null || value === undefined) count(4)
    else if (Array.isArray(value)) {
      count(value.length)
      for (const each of value) walk(each, depth + 1)
    } else if (typeof value === 'object') {
      count(2)
      for (const key in value) {
        count(key.length + 4)
        walk((value as Record<string, unknown>)[key], depth + 1)
      }
    } else throw new InvalidOptionError(`a grammar is plain JSON, without a ${typeof value}`)
  }
  walk(spec, 0)
}
