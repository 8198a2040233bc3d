/** Personal data in the texts of one request, replaced: the same value by the same placeholder, wherever it stands. Pure. */
import { cards } from './cards.ts'
import { coordinates } from './coordinates.ts'
import { emails } from './emails.ts'
import { type Found, type ScrubCounts, type ScrubKind, scrubKinds } from './found.ts'
import { ips } from './ips.ts'
import { normalised } from './normalise.ts'
import { phones } from './phones.ts'

export interface ScrubbedTexts {
  /** [texts] as they came, with placeholders such as `[email-1]` for what was found. */
  readonly texts: readonly string[]
  readonly replaced: ScrubCounts
}

const finders: Readonly<Record<ScrubKind, (text: string, country?: string) => readonly Found[]>> = {
  email: emails,
  coordinates,
  ip: ips,
  card: cards,
  phone: phones
}

/** What has been found already is nothing else: a character that no pattern has. */
const taken = '\u0001'

/** @param country of national telephone numbers, by its two letters. @default none is known */
export function scrubTexts(
  texts: readonly string[],
  { country }: { readonly country?: string | undefined } = {}
): ScrubbedTexts {
  const known = Object.fromEntries(scrubKinds.map(kind => [kind, new Map<string, number>()])) as Record<
    ScrubKind,
    Map<string, number>
  >
  const replaced: Partial<Record<ScrubKind, number>> = {}
  const scrubbed = texts.map(text => {
    const found = findAll(text, country)
    const parts: string[] = []
    let at = 0
    for (const { kind, start, end, key } of found) {
      const numbers = known[kind]
      if (!numbers.has(key)) numbers.set(key, numbers.size + 1)
      replaced[kind] = (replaced[kind] ?? 0) + 1
      parts.push(text.slice(at, start), `[${kind}-${numbers.get(key)}]`)
      at = end
    }
    return found.length === 0 ? text : parts.join('') + text.slice(at)
  })
  return { texts: scrubbed, replaced }
}

/** In the order of the text, with places in it as it is. */
function findAll(given: string, country: string | undefined): (Found & { readonly kind: ScrubKind })[] {
  const { text, at } = normalised(given)
  const all: (Found & { readonly kind: ScrubKind })[] = []
  let left = text
  for (const kind of scrubKinds) {
    const found = finders[kind](left, country)
    for (const { start, end, key } of found) all.push({ kind, key, start: at(start), end: at(end - 1) + 1 })
    left = without(left, found)
  }
  return all.sort((a, b) => a.start - b.start)
}

function without(text: string, found: readonly Found[]): string {
  if (found.length === 0) return text
  const parts: string[] = []
  let at = 0
  for (const { start, end } of found) {
    parts.push(text.slice(at, start), taken.repeat(end - start))
    at = end
  }
  return parts.join('') + text.slice(at)
}
