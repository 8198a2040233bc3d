/**
 * What JSON is, written so that models end it: white space between its parts is at most one line break with an indentation, or one space,
 * and numbers have so many digits at most. Pure.
 */
import { indentMax } from './limits.ts'
import { numberBetween } from './number-syntax.ts'
import { character, either, oneOf, optional, others, rule, type Syntax, sequence, text, times } from './syntax.ts'

/** What may stand where JSON allows white space. */
export const space = rule('space')
/** One character of a string, be it written as an escape. */
export const stringCharacter = rule('character')
/** One character of a property's name that no schema names: none of those that need an escape. */
export const nameCharacter = rule('name-character')
export const anyString = rule('string')
export const anyNumber = rule('number')
export const anyBoolean = either(text('true'), text('false'))
export const anyNull = text('null')
export const anyArray = rule('array')
export const anyObject = rule('object')
export const anyValue = rule('value')

/** What needs an escape in a string. */
const escaped: readonly (readonly [number, number])[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c]
]

const plain = character(others(escaped))
const hex = oneOf('09', 'af', 'AF')

/** `\u` and four digits: a character alone, or a pair of surrogates, never one of them without the other. */
const unicodeEscape = sequence(
  text('\\u'),
  either(
    sequence(oneOf('09', 'ac', 'AC', 'ef', 'EF'), hex, hex, hex),
    sequence(oneOf('d', 'D'), oneOf('07'), hex, hex),
    sequence(
      ...[oneOf('d', 'D'), oneOf('8', '9', 'a', 'b', 'A', 'B'), hex, hex, text('\\u')],
      ...[oneOf('d', 'D'), oneOf('cf', 'CF'), hex, hex]
    )
  )
)

/** The rules of JSON that have names here. */
export function jsonRules(): Map<string, Syntax> {
  const member = (name: Syntax): Syntax => memberOf(name, anyValue)
  const anyName = quoted(times(nameCharacter, 1, Number.POSITIVE_INFINITY))
  return new Map([
    ['space', either(text(''), text(' '), sequence(text('\n'), times(oneOf(' ', '\t'), 0, indentMax)))],
    ['character', either(plain, sequence(text('\\'), oneOf('"', '\\', '/', 'b', 'f', 'n', 'r', 't')), unicodeEscape)],
    ['name-character', plain],
    ['string', quoted(times(stringCharacter, 0, Number.POSITIVE_INFINITY))],
    ['number', sequence(numberBetween({}), optional(exponent))],
    ['array', either(text('[]'), bracketed('[', listOf(anyValue, 1, Number.POSITIVE_INFINITY), ']'))],
    ['object', either(text('{}'), bracketed('{', listOf(member(anyName), 1, Number.POSITIVE_INFINITY), '}'))],
    ['value', either(anyObject, anyArray, anyString, anyNumber, anyBoolean, anyNull)]
  ])
}

/** Numbers stay finite. */
const exponent = sequence(oneOf('e', 'E'), optional(oneOf('+', '-')), times(oneOf('09'), 1, 2))

export function quoted(inside: Syntax): Syntax {
  return sequence(text('"'), inside, text('"'))
}

export function bracketed(open: string, inside: Syntax, close: string): Syntax {
  return sequence(text(open), space, inside, space, text(close))
}

/** What divides the members of an object and the items of an array. */
export const comma = sequence(text(','), space)

/** `min` to `max` of them, at least one. */
export function listOf(what: Syntax, min: number, max: number): Syntax {
  return sequence(what, times(sequence(comma, what), Math.max(0, min - 1), max - 1))
}

export function memberOf(name: Syntax, value: Syntax): Syntax {
  return sequence(name, text(':'), space, value)
}
