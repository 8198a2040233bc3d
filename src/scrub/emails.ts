/** Addresses of e-mail in a text. Pure. */
import type { Found } from './found.ts'
import { domainCharsMax, localPartCharsMax } from './limits.ts'

const localPart = /[\p{L}\p{M}\p{N}.!#$%&'*+/=?^_`{|}~-]/u
const domainPart = /[\p{L}\p{M}\p{N}.-]/u
/** Labels, and one of letters at the end; that of an encoded domain begins with `xn--`. */
const domain =
  /^(?:[\p{L}\p{M}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?\.){1,10}(?:[\p{L}\p{M}]{2,24}|xn--[a-z0-9-]{2,59})/iu

export function emails(text: string): Found[] {
  const found: Found[] = []
  let from = 0
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    let start = at
    while (start > from && at - start < localPartCharsMax && localPart.test(text[start - 1]!)) start--
    // Marks of the sentence around it are no part of it.
    while (start < at && /[.'`*{|}/=?!#&^~]/.test(text[start]!)) start++
    let end = at + 1
    while (end < text.length && end - at <= domainCharsMax && domainPart.test(text[end]!)) end++
    const host = domain.exec(text.slice(at + 1, end))?.[0]
    if (start === at || host === undefined) continue
    end = at + 1 + host.length
    // What git clones from, of which everybody has the same.
    if (text.slice(start, at) === 'git' && text[end] === ':') continue
    found.push({ start, end, key: text.slice(start, end).toLowerCase() })
    from = end
  }
  return found
}
