/** What an operator is told of membership at each start. */
import { dirname, join } from 'node:path'
import { readdir, stat } from '../disk/files.ts'
import { readAuthorityFile } from '../swarm/authority-file.ts'
import { authorityFileBytesMax } from '../swarm/membership-limits.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { authorityFilesMax, certificateEndsSoonMs } from './limits.ts'

/**
 * A sentence for each key of an authority that lies on this machine, and one where its certificate is about to end.
 * @param places its data directory, and its swarm file where it has one: keys are looked for beside both
 */
export async function membershipWarnings(
  { membership }: Pick<Swarm, 'membership'>,
  places: readonly [dataDir: string, swarm: unknown]
): Promise<string[]> {
  if (membership === undefined) return []
  const [dataDir, swarm] = places
  const folders = new Set([dataDir, ...(typeof swarm === 'string' ? [dirname(swarm)] : [])])
  const keys = (await Promise.all([...folders].map(authoritiesIn))).flat()
  const leftMs = membership.certificate.notAfterMs - membership.nowMs()
  return [
    ...keys.map(
      file => `${file} names members of this swarm, and this machine can be lost: move it to one that stays offline`
    ),
    ...(leftMs < certificateEndsSoonMs
      ? [`this machine is a member for another ${Math.max(0, Math.round(leftMs / 60_000))} minutes: see skein renew`]
      : [])
  ]
}

/** Files of a folder that hold the key of an authority, or the key that replaces it. */
async function authoritiesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  const found: string[] = []
  for (const name of names.slice(0, authorityFilesMax)) {
    const path = join(folder, name)
    const { size } = await stat(path).catch(() => ({ size: 0 }))
    if (size === 0 || size > authorityFileBytesMax) continue
    const key = await readAuthorityFile(path).catch(() => undefined)
    if (key !== undefined && key.kind !== 'deputy') found.push(path)
  }
  return found
}
