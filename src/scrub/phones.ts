/**
 * Telephone numbers in a text: those with a country's code, those of the country that it is known to be of by its numbering plan
 * (libphonenumber), and others by how they are written, or by a word that says what they are. Pure.
 */
import { type CountryCode, isSupportedCountry, parsePhoneNumberFromString } from 'libphonenumber-js/min'
import type { Found } from './found.ts'
import { labelCharsMax, phoneCharsMax, phoneDigitsMax, phoneDigitsMin } from './limits.ts'

/** What says that a number is one, right before it. */
const label =
  /(?:\b(?:tel|telephone|phone|fax|mob|mobile|mobil|handy|cell|call|ring|dial|sms|text|whatsapp|signal|telefon|telefono|teléfono|telefone|téléphone|tlf|tél|numéro|hotline|reach (?:me|us|him|her|them) at)\b|[☎📞✆])[^\d\n+]{0,12}$/iu
/** Dates begin like numbers that people write. */
const date = /^(?:\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})(?!\d)|\d{4}[./-]\d{1,2}[./-]\d{1,2}(?!\d))/

/** How numbers begin that no word and no country tells: most texts have many others. */
const beginnings = /^(?:\+|0[0-9(]|\(0|(?:1[ .-])?(?:\([2-9]\d\d\)|[2-9]\d\d[-.]))/

/** A number as it is written, up to some group of its digits. */
interface Written {
  readonly end: number
  readonly digits: string
  /** Lengths of its groups. */
  readonly groups: readonly number[]
}

/** Whether numbers of a country can be told, by its two letters (ISO 3166). */
export function isCountry(code: string): boolean {
  return isSupportedCountry(code)
}

export function phones(text: string, country?: string): Found[] {
  const found: Found[] = []
  const starts = /(?<![\p{L}\p{N}_])(?:\+(?=[\d(])|\((?=\d)|\d)/gu
  for (let match = starts.exec(text); match !== null; match = starts.exec(text)) {
    const start = match.index
    // The digits after a point or a comma, or in a date, are no beginning.
    if (/[\d+][.,:/-]$/.test(text.slice(Math.max(0, start - 2), start))) continue
    const number = longest(text, start, country)
    if (number === undefined) continue
    found.push({ start, end: number.end, key: number.key })
    starts.lastIndex = number.end
  }
  return found
}

/** The longest number that begins there. */
function longest(text: string, start: number, country: string | undefined): { end: number; key: string } | undefined {
  const isLabelled = label.test(text.slice(Math.max(0, start - labelCharsMax), start))
  if (country === undefined && !isLabelled && !beginnings.test(text.slice(start, start + 8))) return undefined
  const written = writings(text, start)
  const isDate = date.test(text.slice(start, start + phoneCharsMax))
  for (const each of written.toReversed()) {
    const key = keyOf(text.slice(start, each.end), each, { country, isLabelled, isDate })
    if (key !== undefined) return { end: each.end, key }
  }
  return undefined
}

/** Ways to end a number that begins there: after any of its groups of digits, where nothing goes on with the word. */
function writings(text: string, start: number): Written[] {
  const found: Written[] = []
  const groups: number[] = []
  let digits = ''
  let open = false
  const most = Math.min(text.length, start + phoneCharsMax)
  for (let i = text[start] === '+' ? start + 1 : start; i < most; ) {
    const from = i
    while (i < most && isDigit(text[i])) i++
    if (i > from) {
      groups.push(i - from)
      digits += text.slice(from, i)
      if (digits.length > phoneDigitsMax + 2) break
      // A closing bracket belongs to it; a letter, or a comma between digits, does not.
      const goesOn = /^(?:[\p{L}_]|[.,:]?\d)/u.test(text.slice(i, i + 2))
      if (digits.length >= phoneDigitsMin && !open && !goesOn) found.push({ end: i, digits, groups: [...groups] })
    }
    // `+44 (0)20`: that zero is for those within the country.
    const between = /^(?: ?\(0\) ?| ?\(|\) ?|\)[-/.]| ?[-./] ?| {1,2})(?=\d)/.exec(text.slice(i, i + 8))?.[0]
    if (between === undefined) break
    if (between.includes('(') && !between.includes(')')) open = true
    if (between.startsWith(')')) open = false
    i += between.length
  }
  return found
}

function keyOf(
  text: string,
  { digits, groups }: Written,
  {
    country,
    isLabelled,
    isDate
  }: { readonly country: string | undefined; readonly isLabelled: boolean; readonly isDate: boolean }
): string | undefined {
  const isInternational = text.startsWith('+') || /^00[1-9]/.test(digits)
  if (isInternational) {
    const number = parsePhoneNumberFromString(`+${digits.replace(/^00/, '')}`)
    if (number?.isPossible() === true) return number.number
    // Plans change, and fingers slip: with a plus, so many digits are hardly anything else.
    return text.startsWith('+') && digits.length >= 9 && digits.length <= phoneDigitsMax ? `+${digits}` : undefined
  }
  if (isDate || digits.length > phoneDigitsMax) return undefined
  if (country !== undefined) {
    const number = parsePhoneNumberFromString(digits, country as CountryCode)
    if (number?.isValid() === true && (groups.length > 1 || digits.length >= 9 || isLabelled)) return number.number
  }
  return isLabelled || isWrittenAsOne(text, digits, groups) ? digits : undefined
}

/** National numbers, of whatever country: with a zero before the area, or as North America writes them. */
function isWrittenAsOne(text: string, digits: string, groups: readonly number[]): boolean {
  if (/^0[1-9]/.test(digits)) {
    const isLong = digits.length >= 9 && digits.length <= 12
    return isLong && (groups.length > 1 || digits.length >= 10)
  }
  return /^(?:\+?1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-. ]\d{4}$/.test(text)
}

function isDigit(each: string | undefined): boolean {
  return each !== undefined && each >= '0' && each <= '9'
}
