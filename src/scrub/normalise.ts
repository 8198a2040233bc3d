/**
 * Text as its readers see it: digits of any script, wide forms, and all kinds of spaces, dashes and quotes as those of ASCII; what cannot be
 * seen is left out. Whoever hides a number from a pattern does it with these. Pure.
 */

/** A text to look at, and where each of its characters was. */
export interface Normalised {
  readonly text: string
  /** Index in the text as it was; of the length of `text`, the length of that one. */
  at(index: number): number
}

/** Where the digits of a script begin, in the Basic Multilingual Plane (Unicode 16, category Nd). */
const zeros = [
  0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
  0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
  0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10
]

const others: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ' ': '\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000',
    '-': '\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d',
    '.': '\uff0e\u2024\u3002\uff61',
    ',': '\uff0c\u060c',
    '@': '\uff20\ufe6b',
    '+': '\uff0b\ufe62',
    ':': '\uff1a',
    '(': '\uff08',
    ')': '\uff09',
    '/': '\uff0f\u2044',
    "'": '\u2018\u2019\u2032\u00b4\u02b9\u02bc',
    '"': '\u201c\u201d\u2033\u02ba\u3003',
    '°': '\u00ba\u02da'
  }).flatMap(([as, from]) => [...from].map(each => [each, as] as const))
)

/** What has no width: joiners, marks of direction, byte order marks. A soft hyphen is one where it stands, and a dash to whoever reads it. */
const unseen = /[\u200b-\u200f\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff]/

export function normalised(given: string): Normalised {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
  if (/^[\x00-\x7f]*$/.test(given)) return { text: given, at: index => index }
  const places = new Uint32Array(given.length + 1)
  const parts: string[] = []
  let length = 0
  for (let i = 0; i < given.length; i++) {
    const each = given[i]!
    if (each > '\u007f' && unseen.test(each)) continue
    places[length++] = i
    parts.push(each > '\u007f' ? seen(each) : each)
  }
  places[length] = given.length
  return { text: parts.join(''), at: index => places[index]! }
}

function seen(each: string): string {
  const code = each.charCodeAt(0)
  const zero = zeros.find(start => code >= start && code < start + 10)
  if (zero !== undefined) return String(code - zero)
  // Wide letters of East Asian text.
  if ((code >= 0xff21 && code <= 0xff3a) || (code >= 0xff41 && code <= 0xff5a))
    return String.fromCharCode(code - 0xfee0)
  return others.get(each) ?? each
}
