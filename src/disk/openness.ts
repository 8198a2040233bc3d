/** Says when everybody on a machine can read or change what holds a secret: who copies a file seldom looks at its mode. */
import { stat } from 'node:fs/promises'

/** What holds a secret, with what becomes of whoever reads it. */
const kinds = {
  'data directory': { reader: 'has what this peer keeps', mode: '700' },
  'swarm file': { reader: 'can join the swarm', mode: '600' },
  'key that seals': { reader: 'can open what it seals', mode: '600' },
  'session key': { reader: 'can resume the sessions kept with it', mode: '600' }
} as const

/** Reading and writing, by everybody else. */
const othersMask = 0o006

/** One sentence where the mode of a path lets everybody on this machine read or write it; undefined where it does not. */
export async function openToAll(kind: keyof typeof kinds, path: string): Promise<string | undefined> {
  const mode = (await stat(path).catch(() => undefined))?.mode ?? 0
  if ((mode & othersMask) === 0) return undefined
  const { reader, mode: closed } = kinds[kind]
  const octal = (mode & 0o777).toString(8)
  return `the ${kind} ${path} is open to everybody on this machine (mode ${octal}), and whoever reads it ${reader}: chmod ${closed} closes it`
}
