/** Numbers of payment cards in a text: they begin as issuers' do and have a check digit (ISO/IEC 7812, Luhn). Pure. */
import type { Found } from './found.ts'
import { cardDigitsMax, cardDigitsMin } from './limits.ts'

/** Groups of digits with one space, dash or dot between two of them. */
const runs = /(?<![\w.])\d{2,19}(?:[ .-]\d{2,19}){0,40}(?!\w)/g

/** What the numbers of a network begin with, and how many digits they have. */
const networks: readonly (readonly [RegExp, number, number])[] = [
  [/^4/, 13, 19],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, 16, 16],
  [/^3[47]/, 15, 15],
  [/^3(?:0[0-5]|095|[689])/, 14, 19],
  [/^35(?:2[89]|[3-8])/, 16, 19],
  [/^(?:6011|64[4-9]|65|622)/, 16, 19],
  [/^(?:50|5[6-9]|6[0-9])/, 13, 19],
  [/^62/, 16, 19],
  [/^220[0-4]/, 16, 19]
]

export function cards(text: string): Found[] {
  return [...text.matchAll(runs)].flatMap(match => within(match[0], match.index))
}

/** A run may have other numbers before and after it, such as a date. */
function within(run: string, offset: number): Found[] {
  const groups = [...run.matchAll(/\d+/g)]
  const found: Found[] = []
  for (let first = 0; first < groups.length; first++) {
    let digits = ''
    let last: number | undefined
    let key = ''
    for (let next = first; next < groups.length; next++) {
      digits += groups[next]![0]
      if (digits.length > cardDigitsMax) break
      if (!isCard(digits)) continue
      last = next
      key = digits
    }
    if (last === undefined) continue
    const end = groups[last]!.index + groups[last]![0].length
    found.push({ start: offset + groups[first]!.index, end: offset + end, key })
    first = last
  }
  return found
}

function isCard(digits: string): boolean {
  if (digits.length < cardDigitsMin || /^(\d)\1*$/.test(digits)) return false
  const { length } = digits
  return networks.some(([begin, min, max]) => length >= min && length <= max && begin.test(digits)) && hasCheck(digits)
}

/** Luhn's: every second digit from the end counts twice, and the sum of all ends in 0. */
function hasCheck(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 48
    sum += i % 2 === 0 ? digit : digit > 4 ? 2 * digit - 9 : 2 * digit
  }
  return sum % 10 === 0
}
