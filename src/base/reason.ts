/** Why something failed, in a sentence part for a person: what the system means, and everything that was said on the way. */

/** The system's reasons that a person can do something about, by their code and by how LevelDB and others spell them. */
const known: readonly (readonly [code: string, spelt: RegExp, words: string])[] = [
  ['ENOSPC', /no space left/i, 'the disk is full'],
  ['EDQUOT', /quota exceeded/i, 'the disk quota is used up'],
  ['EROFS', /read-only file system/i, 'the file system is read-only'],
  ['EIO', /input\/output error/i, 'the disk fails'],
  ['EMFILE', /too many open files/i, 'this process may open no more files (ulimit -n)'],
  ['ENFILE', /too many open files in system/i, 'this machine may open no more files'],
  ['EACCES', /permission denied/i, 'permission is denied'],
  ['EPERM', /operation not permitted/i, 'this is not permitted'],
  ['ENOMEM', /cannot allocate memory/i, 'there is no memory left']
]

/** Causes that are followed: chains are two or three long, and one that leads back to itself must end. */
const causesMax = 8

/**
 * The reason of an error with those of its causes, such as `the disk is full (Database failed to open: IO error: …)`.
 * Nothing is said twice.
 */
export function reasonOf(error: unknown): string {
  const chain: unknown[] = []
  for (let at: unknown = error; at !== undefined && at !== null && chain.length < causesMax; ) {
    chain.push(at)
    at = (at as { cause?: unknown }).cause
  }
  const said: string[] = []
  for (const message of chain.map(each => (each instanceof Error ? each.message : String(each)))) {
    if (message !== '' && !said.some(before => before.includes(message))) said.push(message)
  }
  const text = said.join(': ')
  const codes = new Set(chain.map(each => (each as { code?: unknown }).code))
  const found =
    known.find(([code]) => codes.has(code)) ??
    known.find(([code]) => new RegExp(`\\b${code}\\b`).test(text)) ??
    known.findLast(([, spelt]) => spelt.test(text))
  if (found === undefined) return text === '' ? 'no reason was given' : text
  // Whoever passed it on has said so.
  if (text.includes(found[2])) return text
  return text === '' ? found[2] : `${found[2]} (${text})`
}

/** The messages of an error and of all that it is made of. */
export function messagesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [String(error)]
  const inner = error instanceof AggregateError ? error.errors : error.cause === undefined ? [] : [error.cause]
  return [error.message, ...inner.flatMap(messagesOf)]
}
