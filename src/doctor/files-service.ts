/** Looks at what lies on the disk. It leaves nothing behind, and makes no directory. */
import { randomBytes } from 'node:crypto'
import { access, constants, readdir, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { reasonOf } from '../base/reason.ts'
import type { PeerId } from '../base/ids.ts'
import * as files from '../disk/files.ts'
import { openToAll } from '../disk/openness.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { checkFormat, ownerOf } from '../swarm/data-dir.ts'
import { loadIdentity } from '../swarm/identity.ts'
import { readSwarmFile, type SwarmConfig } from '../swarm/swarm-file.ts'
import type { FilesFacts, Problem } from './facts.ts'

/** What is written to see whether anything can be: more than a page of any disk. */
const trialBytes = 64 << 10

/** A swarm file as it was read, or why it was not. */
export type SwarmFile = { readonly file: string; readonly config: SwarmConfig } | Problem

/** @param isAnswered whether the peer of that directory answers: then it is known who has it */
export async function filesFacts(
  dataDir: string,
  { swarm, isAnswered }: { readonly swarm: SwarmFile | undefined; readonly isAnswered: boolean }
): Promise<FilesFacts> {
  const data = await dataState(dataDir)
  const isThere = data === 'there'
  const open = [
    isThere ? await openToAll('data directory', dataDir) : undefined,
    swarm === undefined || 'problem' in swarm ? undefined : await openToAll('swarm file', swarm.file)
  ]
  return {
    dataDir,
    data,
    owner: isThere && !isAnswered ? await ownerOf(dataDir) : undefined,
    identity: isThere ? await identityOf(dataDir) : undefined,
    freeBytes: await freeBytes(dataDir),
    unwritable: typeof data === 'object' ? undefined : await whyUnwritable(dataDir, isThere),
    swarm: swarm === undefined ? undefined : 'problem' in swarm ? swarm : { file: swarm.file, name: swarm.config.name },
    open: open.filter(sentence => sentence !== undefined)
  }
}

export async function readSwarm(file: string): Promise<SwarmFile> {
  try {
    return { file, config: await readSwarmFile(file) }
  } catch (error) {
    return { problem: reasonOf(error) }
  }
}

/** When a file of this peer was last changed, in ms since 1970; undefined where there is none. */
export async function newestFileMs(dataDir: string): Promise<number | undefined> {
  const names = await readdir(dataDir).catch(() => [])
  const times = await Promise.all(
    names.map(name =>
      stat(join(dataDir, name)).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0
      )
    )
  )
  return times.length === 0 ? undefined : Math.max(...times)
}

async function dataState(dataDir: string): Promise<FilesFacts['data']> {
  try {
    const found = await stat(dataDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (found === undefined) return 'absent'
    if (!found.isDirectory()) return { problem: `${dataDir} is no directory` }
    await checkFormat(dataDir)
    return 'there'
  } catch (error) {
    return { problem: reasonOf(error) }
  }
}

async function identityOf(dataDir: string): Promise<PeerId | Problem | undefined> {
  try {
    // Without a key, or with one of 0 bytes, the first start makes one.
    const found = await files.stat(join(dataDir, 'identity.key')).catch(() => undefined)
    if (found === undefined || (found.isFile() && found.size === 0)) return undefined
    return (await loadIdentity(dataDir)).id
  } catch (error) {
    return { problem: reasonOf(error) }
  }
}

/** The directory, or the nearest one above it that exists. */
async function existing(path: string): Promise<string> {
  for (let at = resolve(path); ; at = dirname(at)) {
    if (dirname(at) === at || (await stat(at).catch(() => undefined))?.isDirectory() === true) return at
  }
}

async function freeBytes(dataDir: string): Promise<number | undefined> {
  try {
    const { bavail, bsize, blocks } = await statfs(await existing(dataDir))
    // A file system that is no disk says 0 of 0.
    return blocks === 0 ? undefined : bavail * bsize
  } catch {
    return undefined
  }
}

async function whyUnwritable(dataDir: string, isThere: boolean): Promise<string | undefined> {
  try {
    if (!isThere) {
      await access(await existing(dataDir), constants.W_OK)
      return undefined
    }
    const trial = join(dataDir, `doctor-${randomBytes(8).toString('hex')}`)
    await writeWhole(trial, randomBytes(trialBytes), { beside: `${trial}.new` })
    await files.rm(trial)
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}
