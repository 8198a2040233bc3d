/** `skein key` and `skein forget`: who may resume a session, and that nobody may any more. */
import { resolve } from 'node:path'
import { InvalidOptionError, makeKeyFile, makeSigningKeyFile } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askForget } from './control-client.ts'
import { say, sayJson } from './output.ts'

export interface KeyFlags {
  readonly json?: boolean
  readonly seal?: boolean
  readonly signing?: boolean
}

/**
 * Makes a session key, or one that seals data directories or signs models, in a file that only its owner can read. It is never shown.
 *
 * @throws {InvalidKeyError} when the file exists: what was kept with the old key would be lost.
 */
export async function makeKey(file: string, { json, seal, signing }: KeyFlags): Promise<void> {
  if (signing) {
    if (seal) throw new InvalidOptionError('--signing goes without --seal: one key does one thing')
    const { key, publicFile } = await makeSigningKeyFile(file)
    if (json) sayJson({ event: 'key', file, publicFile, publicKey: key })
    else
      say(`made a new key in ${file}, which signs models; ${publicFile} is its public part, to give to others: ${key}`)
    return
  }
  await makeKeyFile(file)
  if (json) sayJson({ event: 'key', file })
  else if (seal) {
    say(
      `made a new key in ${file}: it opens what is sealed with it, and nothing else does; keep it apart from the disk`
    )
  } else say(`made a new session key in ${file}: whoever has a copy can resume the sessions that are kept with it`)
}

/**
 * Has a session removed from all peers that are reachable.
 *
 * @throws what {@link askForget} throws.
 */
export async function forget(
  name: string,
  { data, key, json }: { data: string; key?: string; json?: boolean },
  { signal }: CommandContext
): Promise<void> {
  const peers = await askForget(data, { name, ...(key === undefined ? {} : { key: resolve(key) }) }, { signal })
  if (json) {
    sayJson({ event: 'forgotten', session: name, peers })
    return
  }
  say(
    peers === 0
      ? `no peer that is reachable keeps session ${name} under this key`
      : `${peers} ${peers === 1 ? 'peer has' : 'peers have'} removed session ${name}`
  )
}
