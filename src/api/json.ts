/**
 * JSON of a request. Checking it takes some microseconds for each thing in it, and that on the thread which speaks with other peers:
 * how deep it goes and how much is in it is counted first, in one pass over its characters. Pure.
 */
import { invalid } from './errors.ts'
import { jsonDepthMax, jsonThingsMax } from './limits.ts'

const quote = 0x22
const backslash = 0x5c

/**
 * @param what it is, in words. @param param the field that holds it, if it is not the whole request
 * @throws {ApiError} 400 when it is no JSON, is nested too deeply, or has too many objects, arrays and strings in it
 */
export function readJson(text: string, what = 'the request', param: string | null = null): unknown {
  const { depth, things } = sizeOf(text)
  if (depth > jsonDepthMax) {
    throw invalid(
      `${what} is nested too deeply: its objects and arrays may stand ${jsonDepthMax} deep in one another`,
      { param }
    )
  }
  if (things > jsonThingsMax) {
    throw invalid(
      `${what} has ${things} objects, arrays and strings in it, names of fields among them: it may have ${jsonThingsMax}`,
      { param }
    )
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    // The parser's words show where it is wrong; what they show of the body is the client's own.
    throw invalid(`${what} is not JSON: ${(error as Error).message}`, { param, code: 'invalid_json' })
  }
}

/** How deep objects and arrays stand in one another, and how many there are of them and of strings. Of what is no JSON, any number. */
function sizeOf(text: string): { readonly depth: number; readonly things: number } {
  let deepest = 0
  let depth = 0
  let things = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === quote) {
      things++
      i = endOfString(text, i)
    } else if (code === 0x5b || code === 0x7b) {
      things++
      depth++
      if (depth > deepest) deepest = depth
    } else if (code === 0x5d || code === 0x7d) {
      depth--
    }
  }
  return { depth: deepest, things }
}

/** Where the string ends that begins there: at the first quote after it that no backslash escapes. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let first = end
    while (first > start + 1 && text.charCodeAt(first - 1) === backslash) first--
    if ((end - first) % 2 === 0) return end
  }
  return text.length
}
