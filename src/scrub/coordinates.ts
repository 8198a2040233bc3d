/**
 * Places on the earth in a text: decimal degrees, degrees with minutes and seconds, UTM, MGRS and plus codes. Every repetition in a
 * pattern has a bound, so that no text takes longer than its length says. Pure.
 */
import type { Found } from './found.ts'

/** Between two numbers of a place. */
const between = String.raw`(?:\s{0,3}[,;/|]\s{0,3}|\s{1,3})`
const degrees = String.raw`[-+]?\d{1,3}(?:\.\d{1,15})?`
const side = '[NSEWO]'
const word = '(?:lat(?:itude)?|lon(?:gitude)?|lng|long|breite|länge)'

/** 48.20849, 16.37208: four decimals are some ten metres. */
const decimalPair = new RegExp(
  String.raw`(?<![\w.,])([-+]?\d{1,3}\.\d{4,15})°?${between}([-+]?\d{1,3}\.\d{4,15})°?(?!\w|\.\d)`,
  'g'
)
/** 48.2° N, 16.37° E, and the letters in front. */
const sidedPair = new RegExp(
  String.raw`(?<![\w.])(?:(${degrees})\s?°?\s?(${side})${between}(${degrees})\s?°?\s?(${side})|(${side})\s?(${degrees})\s?°?${between}(${side})\s?(${degrees})\s?°?)(?![\w])`,
  'gi'
)
/** 48.2°, 16.37° */
const degreePair = new RegExp(
  String.raw`(?<![\w.])([-+]?\d{1,3}\.\d{1,15})\s?°${between}([-+]?\d{1,3}\.\d{1,15})\s?°(?!\w)`,
  'g'
)
/** lat: 48.2, "longitude": 16.37, geo:48.2,16.37 */
const labelled = new RegExp(
  String.raw`(?<![\p{L}\p{N}])${word}["']?\s{0,3}(?:[:=]|is|of)?\s{0,3}["']?([-+]?\d{1,3}\.\d{1,15})(?!\w|\.\d)`,
  'giu'
)
const geo = /\bgeo:([-+]?\d{1,3}(?:\.\d{1,15})?),([-+]?\d{1,3}(?:\.\d{1,15})?)(?!\w)/gi

const minutes = String.raw`\d{1,2}(?:\.\d{1,10})?\s?'(?:\s?\d{1,2}(?:\.\d{1,10})?\s?(?:"|''))?`
/** 48°12'30"N, N 48° 12.5', 48° 12' 30" */
const sexagesimal = new RegExp(
  String.raw`(?<![\w.])(?:${side}\s?)?\d{1,3}\s?(?:°|deg\.?)\s?${minutes}(?:\s?${side}(?!\w))?`,
  'gi'
)
/** 48 12 30 N 16 22 23 E, 4807.038,N,01131.000,E */
const spaced = String.raw`\d{1,3}[ :-]\d{1,2}(?:[ :-]\d{1,2})?(?:\.\d{1,10})?`
const spacedPair = new RegExp(
  String.raw`(?<![\w.])(?:${spaced}\s?[NS]${between}${spaced}\s?[EWO]|[NS]\s?${spaced}${between}[EWO]\s?${spaced})(?![\w])`,
  'gi'
)
const nmea = /(?<![\w.])\d{4,6}(?:\.\d{1,8})?\s?,?\s?[NS]\s?,?\s?\d{5,7}(?:\.\d{1,8})?\s?,?\s?[EW](?!\w)/gi

const zone = String.raw`(?:[1-9]|0[1-9]|[1-5]\d|60)\s?[C-HJ-NP-X]`
const mgrs = new RegExp(
  String.raw`(?<![\w.])${zone}\s?[A-HJ-NP-Z][A-HJ-NP-V]\s?(\d{1,5}\s\d{1,5}|\d{4,10})(?!\w|\.\d)`,
  'gi'
)
const utm = new RegExp(
  String.raw`(?<![\w.])${zone}\s{1,3}[E:=]{0,2}\s?\d{6}(?:\.\d{1,6})?\s?m?\s?E?${between}[N:=]{0,2}\s?\d{6,8}(?:\.\d{1,6})?(?:\s?m\b)?(?:\s?N\b)?(?!\d)`,
  'gi'
)
/** Open Location Code. */
const plusCode = /(?<![\w+])[23456789CFGHJMPQRVWX]{8}\+[23456789CFGHJMPQRVWX]{2,5}(?![\w+])/gi

/** `isHalf`: a latitude or a longitude alone. */
type Part = Found & { readonly isHalf: boolean }

export function coordinates(text: string): Found[] {
  const pair = ([, a, b]: RegExpExecArray): boolean => arePlace(Number(a), Number(b))
  const all = [
    // Nobody lives within a degree of where the Greenwich meridian meets the equator, and much else has two numbers below 1.
    ...matches(text, decimalPair, match => pair(match) && !areSmall(match)),
    ...matches(text, degreePair, pair),
    ...matches(text, sidedPair, areSided),
    ...matches(text, geo, pair),
    ...matches(text, labelled, ([, a]) => Math.abs(Number(a)) <= 180, { ending: ([, a]) => a!.length }),
    ...matches(text, sexagesimal, ([whole]) => Number(/\d+/.exec(whole)![0]) <= 180, { isHalf: true }),
    ...matches(text, spacedPair, ([whole]) => areWithin(whole)),
    ...matches(text, nmea, () => true),
    ...matches(text, mgrs, isSquare),
    ...matches(text, utm, () => true),
    ...matches(text, plusCode, ([whole]) => /\d/.test(whole))
  ]
  return joined(
    text,
    all.sort((a, b) => a.start - b.start || b.end - a.end)
  )
}

/** @param ending how many characters of a match count, from its end. @default all */
function matches(
  text: string,
  pattern: RegExp,
  isOne: (match: RegExpExecArray) => boolean,
  {
    isHalf = false,
    ending = ([whole]) => whole.length
  }: { readonly isHalf?: boolean; readonly ending?: (match: RegExpExecArray) => number } = {}
): Part[] {
  const found: Part[] = []
  for (const match of text.matchAll(pattern)) {
    if (!isOne(match)) continue
    const end = match.index + match[0].length
    const start = end - ending(match)
    found.push({ start, end, key: keyOf(text.slice(start, end)), isHalf })
  }
  return found
}

/** Those that overlap are one, and so are two halves of a place with nothing between them but what goes there. */
function joined(text: string, all: readonly Part[]): Part[] {
  const found: Part[] = []
  for (const each of all) {
    const last = found.at(-1)
    const overlaps = last !== undefined && each.start < last.end
    const completes =
      last?.isHalf === true &&
      each.isHalf &&
      /^\s{0,3}[,;/|]?\s{0,3}$/.test(text.slice(last.end, each.start).slice(0, 8))
    if (last === undefined || !(overlaps || completes)) {
      found.push(each)
      continue
    }
    const end = Math.max(last.end, each.end)
    const isHalf = overlaps && last.isHalf && each.isHalf
    found[found.length - 1] = { start: last.start, end, key: keyOf(text.slice(last.start, end)), isHalf }
  }
  return found
}

function areSmall([, a, b]: RegExpExecArray): boolean {
  return Math.abs(Number(a)) < 1 && Math.abs(Number(b)) < 1
}

function keyOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9.+-]+/g, ' ')
    .trim()
}

/** Latitude and longitude, either first. */
function arePlace(a: number, b: number): boolean {
  return Math.min(Math.abs(a), Math.abs(b)) <= 90 && Math.max(Math.abs(a), Math.abs(b)) <= 180
}

/** One of north or south and one of east or west, with a decimal, a sign of degrees or both letters behind: `5 N, 3 E` may be anything. */
function areSided([whole, a1, s1, b1, t1, s2, a2, t2, b2]: RegExpExecArray): boolean {
  const [first, second] = [(s1 ?? s2)!.toUpperCase(), (t1 ?? t2)!.toUpperCase()]
  const isVertical = (letter: string): boolean => letter === 'N' || letter === 'S'
  if (isVertical(first) === isVertical(second)) return false
  return /[.°]/.test(whole) && arePlace(Number(a1 ?? a2), Number(b1 ?? b2))
}

function areWithin(whole: string): boolean {
  return [...whole.matchAll(/\d{1,3}(?:[ :-]\d{1,2}){1,2}/g)].every(([place]) => {
    const [degrees, minutes, seconds = 0] = place.split(/[ :-]/).map(Number) as [number, number, number?]
    return degrees <= 180 && minutes < 60 && seconds < 60
  })
}

/** As many digits east as north; where letters are small, enough of them that it is no word with a number. */
function isSquare([whole, digits]: RegExpExecArray): boolean {
  const [east, north] = digits!.split(/\s/)
  const isEven = north === undefined ? east!.length % 2 === 0 : north.length === east!.length
  const count = digits!.replace(/\s/g, '').length
  return isEven && count >= (/[a-z]/.test(whole) ? 6 : 4)
}
