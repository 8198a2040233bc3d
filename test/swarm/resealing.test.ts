/** A seal whose key changes, or that is taken off: killed before every change of the disk, all that was there is there by one of the two keys. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, expect, it } from 'vitest'
import { filesBelow, mkdir as makeFolder, open, readStored } from '../../src/disk/files.ts'
import { sealedChunkBytes } from '../../src/disk/limits.ts'
import { appendLines, readLines } from '../../src/disk/lines.ts'
import { placeOf } from '../../src/disk/opened.ts'
import { openSealed } from '../../src/disk/vault.ts'
import { writeWhole } from '../../src/disk/whole-file.ts'
import { openDataDir } from '../../src/swarm/data-dir.ts'
import { resealDirectory, unsealDirectory } from '../../src/swarm/resealing-service.ts'
import { sealDirectory } from '../../src/swarm/sealing-service.ts'
import { scratchFolders } from '../scratch.ts'

const folder = scratchFolders()
let dir: string
let [old, key] = ['', '']
beforeEach(async () => {
  const own = await folder()
  ;[dir, old, key] = [join(own, 'data'), join(own, 'old.key'), join(own, 'new.key')]
  for (const each of [old, key]) await writeFile(each, randomBytes(32))
})

const whole = randomBytes(sealedChunkBytes + 7)
const shard = randomBytes(2 * sealedChunkBytes)
const lines = ['{"n":1}', '{"n":2}', 'ü']
const child = fileURLToPath(new URL('./resealing-child.ts', import.meta.url))

/** A sealed directory with a file of each kind: written whole, in pieces, of lines, and of nothing. */
async function fill(): Promise<void> {
  const close = await openSealed(dir, old)
  try {
    await writeWhole(join(dir, 'identity.json'), whole)
    await writeWhole(join(dir, 'empty'), '')
    for (const below of ['models/shards', 'audit']) await makeFolder(join(dir, below), { recursive: true })
    const path = join(dir, 'models/shards/ab')
    const handle = await open(path, 'w')
    await handle.write(shard, 0, shard.length, 0)
    await handle.close()
    await appendLines(join(dir, 'audit/1.jsonl'), lines)
  } finally {
    close()
  }
}

/** All that lies there, as a peer sees it. */
async function expectAll(): Promise<void> {
  const names = (await filesBelow(dir)).map(path => path.slice(dir.length + 1))
  expect(names.filter(name => !/^(lock|skein\.json)/.test(name)).sort()).toEqual([
    'audit/1.jsonl',
    'empty',
    'identity.json',
    'models/shards/ab'
  ])
  expect(Buffer.from(await readStored(join(dir, 'identity.json'), 1 << 20)).equals(whole)).toBe(true)
  expect(Buffer.from(await readStored(join(dir, 'models/shards/ab'), 1 << 20)).equals(shard)).toBe(true)
  expect(await readLines(join(dir, 'audit/1.jsonl'), 1 << 20)).toEqual(lines)
}

async function expectAllBy(seal: string): Promise<void> {
  const close = await openSealed(dir, seal)
  try {
    await expectAll()
  } finally {
    close()
  }
}

const refusal = (name: string, message: RegExp) =>
  expect.objectContaining({ name, exitCode: 3, message: expect.stringMatching(message) })

it('opens by the new key alone, and every file has another name', async () => {
  await fill()
  const before = await readdir(dir)
  expect(await resealDirectory(dir, key, old)).toEqual({ files: 4, bytes: expect.any(Number), left: [] })
  await expectAllBy(key)
  await expect(openSealed(dir, old)).rejects.toEqual(refusal('SealError', /sealed with another key than/))
  const kept = (await readdir(dir)).filter(name => before.includes(name))
  expect(kept.sort()).toEqual(['skein.json', ...(before.includes('lock') ? ['lock'] : [])].sort())
  expect(await readFile(join(dir, 'skein.json'), 'utf8')).not.toContain('before')
})

it('lies there as it is without its seal, and is sealed again', async () => {
  await fill()
  expect(await unsealDirectory(dir, old)).toMatchObject({ files: 4, left: [] })
  expect(await readFile(join(dir, 'skein.json'), 'utf8')).toBe('{"format":1}\n')
  await expectAll()
  await (await openDataDir(dir)).close()
  await sealDirectory(dir, key)
  await expectAllBy(key)
})

it.each(['reseal', 'unseal'])(
  'is whole after a kill before every change of the disk: %s',
  { timeout: 240_000 },
  async what => {
    let kills = 0
    for (let step = 0; ; step++) {
      dir = join(await folder(), 'data')
      await fill()
      const opens = what === 'reseal' ? key : old
      const { status, stdout, signal } = spawnSync(process.execPath, [child, what, dir, opens, old, `${step}`], {
        encoding: 'utf8'
      })
      if (signal !== 'SIGKILL') {
        expect({ status, stdout }).toEqual({ status: 0, stdout: 'done\n' })
        break
      }
      kills++
      const said = what === 'reseal' ? /key of .* was being changed .* cut short/ : /seal of .* was being taken off/
      for (const each of [old, key]) await expect(openSealed(dir, each)).rejects.toEqual(refusal('SealError', said))
      await expect(openDataDir(dir)).rejects.toEqual(refusal('SealError', said))
      // The key that it was to have goes on alone; one whose seal was to go may as well be sealed again.
      if (what === 'reseal') await sealDirectory(dir, key)
      else if (step % 2 === 0) await unsealDirectory(dir, old)
      else await sealDirectory(dir, old)
      if (what === 'unseal' && step % 2 === 0) await expectAll()
      else await expectAllBy(opens)
    }
    // Four for each of four files, the folders, and the end.
    expect(kills).toBeGreaterThan(16)
  }
)

it('refuses what is not sealed, wrong keys, a running peer, and damage, and changes nothing', async () => {
  await mkdir(dir)
  await expect(unsealDirectory(dir, old)).rejects.toEqual(refusal('SealError', /is not sealed: skein seal/))
  expect(await readdir(dir)).toEqual([])
  await expect(unsealDirectory(join(dir, 'no'), old)).rejects.toEqual(refusal('DataDirectoryError', /there is no/))
  await fill()
  const names = (await readdir(dir)).sort()
  await expect(resealDirectory(dir, old, key)).rejects.toEqual(refusal('SealError', /another key .* nothing/))
  await expect(unsealDirectory(dir, key)).rejects.toEqual(refusal('SealError', /another key .* nothing/))
  const running = await openDataDir(dir, { seal: old })
  await expect(resealDirectory(dir, key, old)).rejects.toEqual(refusal('DataDirectoryError', /is in use by process/))
  await running.close()
  expect((await readdir(dir)).sort()).toEqual([...new Set([...names, 'lock'])].sort())
  await expectAllBy(old)

  const close = await openSealed(dir, old)
  const { real } = placeOf(join(dir, 'models/shards/ab'))
  close()
  const { size } = await stat(real)
  await truncate(real, size - 100)
  await expect(resealDirectory(dir, key, old)).rejects.toEqual(
    refusal('DataDirectoryError', /models\/shards\/ab in .* is damaged: .*; remove it/)
  )
  await expect(unsealDirectory(dir, key)).rejects.toEqual(refusal('SealError', /key of .* was being changed/))
})

it('writes over nothing that lies there as it is besides', async () => {
  await fill()
  await writeFile(join(dir, 'identity.json'), 'mine')
  await expect(unsealDirectory(dir, old)).rejects.toEqual(refusal('DataDirectoryError', /holds something else/))
  expect(await readFile(join(dir, 'identity.json'), 'utf8')).toBe('mine')
})
