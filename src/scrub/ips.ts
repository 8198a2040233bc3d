/** Addresses of IPv4 and IPv6 in a text, but for those that every machine has. Pure. */
import type { Found } from './found.ts'

const v4 = /(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)/g
/** Groups of hexadecimal digits with colons; what is one, {@link groupsOf} says. */
const v6 = /(?<![\w:.])[0-9a-f:]{2,39}(?:(?:\.\d{1,3}){3})?(?:%\w{1,15})?(?![\w:])/gi

/** Words before four numbers that are a version. */
const versions =
  /(?:\bv|\bver\.?|version|release|build|firmware|section|clause|chapter|figure|table|§)\s{0,2}[:=]?\s{0,2}$/i

export function ips(text: string): Found[] {
  return [...addresses(text, v4, key4), ...addresses(text, v6, key6)].sort((a, b) => a.start - b.start)
}

function addresses(
  text: string,
  pattern: RegExp,
  keyOf: (word: string, before: string) => string | undefined
): Found[] {
  const found: Found[] = []
  for (const match of text.matchAll(pattern)) {
    // The colon of a sentence is no part of one.
    const word = match[0].replace(/(?<!:):$/, '')
    const key = keyOf(word, text.slice(Math.max(0, match.index - 12), match.index))
    if (key !== undefined) found.push({ start: match.index, end: match.index + word.length, key })
  }
  return found
}

function key4(word: string, before: string): string | undefined {
  const octets = word.split('.').map(Number)
  if (octets.some(octet => octet > 255) || versions.test(before)) return undefined
  // This machine, none, and masks: they say nothing of anybody.
  return octets[0] === 127 || octets[0] === 0 || octets[0] === 255 ? undefined : octets.join('.')
}

function key6(word: string): string | undefined {
  const groups = groupsOf(word.toLowerCase().split('%')[0]!)
  if (groups === undefined) return undefined
  const isOwn = groups.slice(0, 7).every(group => group === 0) && groups[7]! <= 1
  // `dead::beef` may be code; a name of two words is.
  return isOwn || !/\d/.test(word) ? undefined : groups.map(group => group.toString(16)).join(':')
}

/** [8] groups of 16 bits; undefined for what is no address. */
function groupsOf(word: string): number[] | undefined {
  const [head, tail, more] = word.split('::')
  if (head === undefined || more !== undefined) return undefined
  const [before, after] = [side(head), side(tail ?? '')]
  if (before === undefined || after === undefined) return undefined
  if (tail === undefined) return before.length === 8 ? before : undefined
  const missing = 8 - before.length - after.length
  return missing < 1 ? undefined : [...before, ...Array.from({ length: missing }, () => 0), ...after]
}

function side(text: string): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    const octets = part.split('.').map(Number)
    if (octets.length === 4 && i === parts.length - 1 && octets.every(octet => octet <= 255)) {
      groups.push(octets[0]! * 256 + octets[1]!, octets[2]! * 256 + octets[3]!)
    } else if (/^[0-9a-f]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}
