/** Nothing that is kept is ever half there: what a power cut or a full disk leaves stops no later start. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Keeping } from '../../src/disk/keeping.ts'
import { writeWhole } from '../../src/disk/whole-file.ts'
import { makeKeyFile, readKeyFile } from '../../src/keep/key-file.ts'
import { openDataDir } from '../../src/swarm/data-dir.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'
import { initSwarm, readSwarmFile } from '../../src/swarm/swarm-file.ts'
import { Tmpfs, whyNoTmpfs } from '../lab/tmpfs.ts'
import { needs, whyNoPermissions } from '../needs.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skein-disk-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

describe('a file that is written whole', () => {
  it('replaces what was there, has its mode from the first, and leaves nothing beside it', async () => {
    const path = join(dir, 'file')
    await writeFile(`${path}.new`, 'left by a crash')
    await writeWhole(path, 'one')
    await writeWhole(path, Uint8Array.of(50), { mode: 0o640 })
    expect(await readFile(path, 'utf8')).toBe('2')
    expect((await stat(path)).mode & 0o777).toBe(0o640)
    expect(await readdir(dir)).toEqual(['file'])
  })

  it('does not follow a link that lies where it is written', async () => {
    await writeFile(join(dir, 'other'), 'mine')
    await symlink(join(dir, 'other'), join(dir, 'file.new'))
    await writeWhole(join(dir, 'file'), 'new')
    expect(await readFile(join(dir, 'other'), 'utf8')).toBe('mine')
  })

  it('and must be fresh takes the place of an empty one alone, whoever else writes', async () => {
    const path = join(dir, 'file')
    await writeFile(path, '')
    await writeWhole(path, 'one', { fresh: true })
    await expect(writeWhole(path, 'two', { fresh: true })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await readFile(path, 'utf8')).toBe('one')
    const many = join(dir, 'many')
    const writers = Array.from({ length: 8 }, (_, i) => writeWhole(many, `${i}`, { fresh: true }))
    const won = (await Promise.allSettled(writers)).flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []))
    expect(won).toHaveLength(1)
    expect(await readFile(many, 'utf8')).toBe(`${won[0]}`)
    expect((await readdir(dir)).sort()).toEqual(['file', 'many'])
  })
})

describe('what a power cut or a full disk left empty', () => {
  it('an identity key: a new one takes its place, with a warning', async () => {
    await writeFile(join(dir, 'identity.key'), '')
    const warnings: string[] = []
    const { id } = await loadIdentity(dir, message => warnings.push(message))
    expect(warnings).toEqual([expect.stringContaining('identity.key was empty')])
    expect((await loadIdentity(dir, message => warnings.push(message))).id).toBe(id)
    expect(warnings).toHaveLength(1)
  })

  it('the format of a data directory: it is written again', async () => {
    await writeFile(join(dir, 'skein.json'), '')
    await (await openDataDir(dir)).close()
    expect(await readFile(join(dir, 'skein.json'), 'utf8')).toBe('{"format":1}\n')
  })

  it('a swarm file: to read it says what it is, and init fills it', async () => {
    const path = join(dir, 'swarm.json')
    await writeFile(path, '')
    await expect(readSwarmFile(path)).rejects.toThrow('is empty')
    expect(await readSwarmFile(path).catch(() => initSwarm(path))).toEqual(await readSwarmFile(path))
  })

  it('a session key: to read it says what it is, and a new one fills it', async () => {
    const path = join(dir, 'key')
    await writeFile(path, '')
    await expect(readKeyFile(path)).rejects.toThrow('is empty')
    await makeKeyFile(path)
    expect(await readKeyFile(path)).toHaveLength(32)
    await expect(makeKeyFile(path)).rejects.toThrow('not overwritten')
  })
})

describe('a disk that is full', needs(whyNoTmpfs()), () => {
  let disk: Tmpfs
  beforeEach(() => {
    disk = new Tmpfs(256 << 10)
  })
  afterEach(() => disk.close())

  it.each([
    ['an identity key', 'identity.key', () => loadIdentity(disk.path)],
    ['a swarm file', 'swarm.json', () => initSwarm(join(disk.path, 'swarm.json'))],
    ['a session key', 'key', () => makeKeyFile(join(disk.path, 'key'))]
  ])('%s is not begun there, and is made when there is room', async (_name, file, make) => {
    disk.fill()
    await expect(make()).rejects.toThrow(`${file} cannot be written: the disk is full (ENOSPC`)
    expect(await readdir(disk.path)).toEqual([])
    disk.free()
    await make()
    expect(await readdir(disk.path)).toEqual([file])
  })

  it('a data directory that was there cannot be locked, and that is said with its reason', async () => {
    await (await openDataDir(disk.path)).close()
    disk.fill()
    await expect(openDataDir(disk.path)).rejects.toThrow(/cannot be locked: the disk is full \(.*No space left/)
    disk.free()
    await (await openDataDir(disk.path)).close()
  })

  it('what is kept fails once per kind, with the reason, until it is written again', async () => {
    const warnings: string[] = []
    const keeping = new Keeping(message => warnings.push(message))
    const write = (what: string): Promise<boolean> => keeping.write(what, join(disk.path, what), 'x'.repeat(9000))
    expect(await write('a')).toBe(true)
    disk.fill()
    expect([await write('a'), await write('a'), await write('b')]).toEqual([false, false, false])
    const sentence = (what: string): string =>
      `${what} cannot be kept on disk and stays in memory: the disk is full (ENOSPC: no space left on device, write)`
    expect(warnings).toEqual([sentence('a'), sentence('b')])
    expect(keeping.problems).toEqual(warnings)
    expect(await readFile(join(disk.path, 'a'), 'utf8')).toHaveLength(9000)
    disk.free()
    expect(await write('a')).toBe(true)
    expect(keeping.problems).toEqual([sentence('b')])
    disk.fill()
    await write('a')
    expect(warnings).toHaveLength(3)
  })
})

it('a folder without permission is said as such', needs(whyNoPermissions), async () => {
  await chmod(dir, 0o500)
  await expect(loadIdentity(dir)).rejects.toThrow('permission is denied')
  await chmod(dir, 0o700)
})
