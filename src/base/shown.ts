/**
 * Words of others in our sentences: a name out of a file, a value that a peer sent. Whoever wrote them may have meant a terminal
 * with them, or a log to be read otherwise than it says.
 */

/** Characters of one such word. */
const wordCharsMax = 64
/** Characters of a whole sentence: the longest of ours, with several paths in it, have some hundreds. */
const sentenceCharsMax = 2000

/** What moves a cursor, sets a title, hides or turns around what stands beside it: controls, and formats of Unicode (bidi). */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** A value in a sentence: printable, one line, at most so much of it. Never throws. */
export function shown(value: unknown): string {
  return short(plain(textOf(value).slice(0, 2 * wordCharsMax)), wordCharsMax)
}

/** A sentence that others have a part in; its line ends stay. */
export function sentence(text: string): string {
  return short(
    text
      .slice(0, 2 * sentenceCharsMax)
      .split('\n')
      .map(plain)
      .join('\n'),
    sentenceCharsMax
  )
}

/** Controls of a terminal, and what turns the direction of the text around that follows. */
const moving = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

/** Text of others for a terminal: line ends and tabs stay, and what else is no character to be seen becomes U+FFFD. */
export function forTerminal(text: string): string {
  return text.replace(moving, each => (each === '\n' || each === '\t' ? each : each === '\r' ? '' : '\ufffd'))
}

function plain(text: string): string {
  return text.replace(unprintable, '?')
}

function short(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text
}

function textOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  try {
    return JSON.stringify(value)
  } catch {
    // Nested deeper than the stack is.
    return Array.isArray(value) ? '[…]' : '{…}'
  }
}
