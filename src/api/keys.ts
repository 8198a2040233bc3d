/** Who may ask: a file of keys, one a line, `name key`. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { InvalidOptionError, readStoredText, reasonOf } from '../index.ts'
import { keyCharsMin, keyFileBytesMax } from './limits.ts'

export class Keys {
  readonly #digests: readonly { readonly name: string; readonly digest: Buffer }[]

  /** @param keys name → key */
  constructor(keys: Iterable<readonly [name: string, key: string]>) {
    this.#digests = [...keys].map(([name, key]) => ({ name, digest: digestOf(key) }))
  }

  /** Whose key it is; undefined when nobody's. Takes the same time whichever key it resembles. */
  nameOf(key: string): string | undefined {
    const digest = digestOf(key)
    let found: string | undefined
    for (const each of this.#digests) if (timingSafeEqual(each.digest, digest)) found = each.name
    return found
  }
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** @throws {InvalidOptionError} when it cannot be read or a line is not `name key`: says which, and nothing of the key */
export async function readKeys(file: string): Promise<Keys> {
  let text: string
  try {
    text = await readStoredText(file, keyFileBytesMax)
  } catch (error) {
    throw new InvalidOptionError(`the keys in ${file} cannot be read: ${reasonOf(error)}`)
  }
  return keysOf(text, file)
}

/** @throws {InvalidOptionError} as {@link readKeys} */
export function keysOf(text: string, file: string): Keys {
  const keys = new Map<string, string>()
  for (const [i, line] of text.split('\n').entries()) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const wrong = (what: string): InvalidOptionError => new InvalidOptionError(`${file}, line ${i + 1}: ${what}`)
    const [name, key, ...rest] = trimmed.split(/\s+/)
    if (key === undefined || rest.length > 0) throw wrong('a line has a name, a space and a key')
    if (!/^[\w.@-]{1,64}$/.test(name!)) throw wrong('a name has up to 64 letters, digits and . _ @ -')
    if (key.length < keyCharsMin || !/^[\x21-\x7e]+$/.test(key)) {
      throw wrong(`a key has at least ${keyCharsMin} characters, of ASCII and without a space`)
    }
    if (keys.has(name!)) throw wrong(`the name ${name} is there twice`)
    if ([...keys.values()].includes(key)) throw wrong('two names have the same key')
    keys.set(name!, key)
  }
  if (keys.size === 0) throw new InvalidOptionError(`${file} has no keys: one a line, a name, a space and a key`)
  return new Keys(keys)
}
