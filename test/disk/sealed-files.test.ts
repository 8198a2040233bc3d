/** Files of a sealed directory hold what was put there, and on the disk lies nothing of it. */
import * as disk from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { once } from 'node:events'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import * as files from '../../src/disk/files.ts'
import { openFileSync, openingOf, readFileSync } from '../../src/disk/files-sync.ts'
import { sealedChunkBytes } from '../../src/disk/limits.ts'
import { appendLines, lineToStore, readLines, storedLine } from '../../src/disk/lines.ts'
import { openFolder, placeOf } from '../../src/disk/opened.ts'
import { writeWhole } from '../../src/disk/whole-file.ts'
import { openStore } from '../../src/model/store.ts'
import { Tmpfs, whyNoTmpfs } from '../lab/tmpfs.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'

const folder = scratchFolders()
let root: string
let close: () => void
beforeEach(async () => {
  root = await folder()
  close = openFolder(root, new Uint8Array(32).fill(7))
})
afterEach(() => close())

const real = (name: string): string => placeOf(join(root, name)).real
const pattern = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255)

/** All bytes and names that lie on the disk. */
async function onDisk(): Promise<Buffer> {
  const parts: Buffer[] = []
  for (const entry of await disk.readdir(root, { recursive: true, withFileTypes: true })) {
    parts.push(Buffer.from(entry.name))
    if (entry.isFile()) parts.push(await disk.readFile(join(entry.parentPath, entry.name)))
  }
  return Buffer.concat(parts)
}

describe('a sealed file in pieces', () => {
  it('is what a file is, whatever is written, cut and read in which order', async () => {
    const near = fc.oneof(
      fc.integer({ min: 0, max: 3 * sealedChunkBytes }),
      fc
        .tuple(fc.constantFrom(0, 1, 2, 3), fc.integer({ min: -2, max: 2 }))
        .map(([n, d]) => Math.max(0, n * sealedChunkBytes + d))
    )
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), at: near, length: near, seed: fc.nat(255) }),
      fc.record({ kind: fc.constant('truncate' as const), at: near }),
      fc.record({ kind: fc.constant('read' as const), at: near, length: near }),
      fc.record({ kind: fc.constant('reopen' as const) })
    )
    let runs = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async steps => {
        const path = join(root, `file-${runs++}`)
        let file = await files.open(path, 'wx+')
        let content = Buffer.alloc(0)
        for (const step of steps) {
          if (step.kind === 'write') {
            const bytes = pattern(step.length, step.seed)
            await file.write(bytes, 0, bytes.length, step.at)
            // Writing nothing beyond the end leaves a file as long as it is.
            const longer = bytes.length === 0 ? content.length : Math.max(content.length, step.at + bytes.length)
            content = Buffer.concat([content, Buffer.alloc(longer - content.length)])
            content.set(bytes, bytes.length === 0 ? 0 : step.at)
          } else if (step.kind === 'truncate') {
            await file.truncate(step.at)
            content = Buffer.concat([content.subarray(0, step.at), Buffer.alloc(Math.max(0, step.at - content.length))])
          } else if (step.kind === 'read') {
            const into = new Uint8Array(step.length)
            const { bytesRead } = await file.read(into, 0, step.length, step.at)
            expect(Buffer.compare(into.subarray(0, bytesRead), content.subarray(step.at, step.at + step.length))).toBe(
              0
            )
          } else {
            await file.close()
            file = await files.open(path, 'r+')
          }
        }
        await file.close()
        expect((await files.stat(path)).size).toBe(content.length)
        expect(Buffer.compare(readFileSync(path), content)).toBe(0)
        const reader = openFileSync(path)
        const middle = new Uint8Array(Math.min(1000, content.length))
        const at = Math.floor((content.length - middle.length) / 2)
        expect(reader.read(middle, at)).toBe(middle.length)
        reader.close()
        expect(Buffer.compare(middle, content.subarray(at, at + middle.length))).toBe(0)
        await files.rm(path)
      }),
      { numRuns: 60 }
    )
  }, 60_000)

  it('tells a byte that was changed, and has the other chunks', async () => {
    const path = join(root, 'shard')
    const bytes = pattern(3 * sealedChunkBytes - 5)
    const file = await files.open(path, 'wx+')
    await file.write(bytes, 0, bytes.length, 0)
    await file.close()
    const stored = await disk.readFile(real('shard'))
    stored[sealedChunkBytes + 500]! ^= 1
    await disk.writeFile(real('shard'), stored)
    const reader = openFileSync(path)
    const chunk = new Uint8Array(sealedChunkBytes)
    expect(() => reader.read(chunk, sealedChunkBytes)).toThrow(/its seal is broken in chunk 1/)
    expect(reader.read(chunk, 0)).toBe(sealedChunkBytes)
    expect(Buffer.compare(chunk, bytes.subarray(0, sealedChunkBytes))).toBe(0)
    reader.close()
  })

  it('seals the same bytes to others each time, and never under a nonce that was used', async () => {
    const path = join(root, 'shard')
    const seen = new Set<string>()
    for (let i = 0; i < 20; i++) {
      const file = await files.open(path, i === 0 ? 'wx+' : 'r+')
      await file.write(pattern(10), 0, 10, 0)
      await file.close()
      seen.add((await disk.readFile(real('shard'))).subarray(48, 60).toString('hex'))
    }
    expect(seen.size).toBe(20)
  })
})

describe('a sealed file that is written whole', () => {
  const sizes = [0, 1, sealedChunkBytes - 1, sealedChunkBytes, sealedChunkBytes + 1, 2 * sealedChunkBytes]
  it.each(sizes)('of %i bytes holds what was written, and not when it is cut anywhere', async size => {
    const path = join(root, 'file')
    await writeWhole(path, pattern(size))
    expect(Buffer.compare(await files.readStored(path, 1 << 20), pattern(size))).toBe(0)
    expect((await files.stat(path)).size).toBe(size)
    const stored = await disk.readFile(real('file'))
    for (const length of new Set([1, 47, 48, 60, 76, stored.length - 1, 48 + 28 + sealedChunkBytes])) {
      if (length >= stored.length) continue
      await disk.writeFile(real('file'), stored.subarray(0, length))
      await expect(files.readStored(path, 1 << 20)).rejects.toMatchObject({ name: 'DamagedFileError' })
    }
  })

  it('does not open under the name of another one, nor with another key', async () => {
    await writeWhole(join(root, 'one'), 'first')
    await writeWhole(join(root, 'two'), 'second')
    await disk.copyFile(real('one'), real('two'))
    await expect(files.readStored(join(root, 'two'), 100)).rejects.toMatchObject({ name: 'DamagedFileError' })
    await disk.writeFile(real('two'), 'plain text')
    await expect(files.readStored(join(root, 'two'), 100)).rejects.toThrow(/not sealed/)
    const other = openFolder(root, new Uint8Array(32).fill(8))
    await expect(files.readStored(join(root, 'one'), 100)).rejects.toMatchObject({ code: 'ENOENT' })
    other()
    expect(await files.readStoredText(join(root, 'one'), 100)).toBe('first')
  })

  it('that somebody has put there as it is, is told from one that is missing', async () => {
    await disk.writeFile(join(root, 'swarm.json'), '{}')
    await expect(files.readStored(join(root, 'swarm.json'), 100)).rejects.toThrow(/not sealed, .*: skein seal/)
    await expect(files.openRegular(join(root, 'swarm.json'))).rejects.toThrow(/not sealed, .*: skein seal/)
    await expect(files.readStored(join(root, 'other'), 100)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('is refused when it has more bytes than its reader takes', async () => {
    await writeWhole(join(root, 'file'), pattern(101))
    await expect(files.readStored(join(root, 'file'), 100)).rejects.toThrow(/101 bytes, and at most 100/)
  })
})

describe('a sealed directory', () => {
  it('has on the disk neither a name nor a byte of what was put there', async () => {
    const secret = 'a telling sentence of more than thirty-two bytes'
    await files.mkdir(join(root, 'pulls', 'owner--telling-name'), { recursive: true })
    await writeWhole(join(root, 'pulls', 'owner--telling-name', 'config.json'), secret)
    await files.writeFile(join(root, 'mark'), secret, { flag: 'wx' })
    await appendLines(join(root, 'lines'), [secret, secret])
    await files
      .copyFile(join(root, 'pulls', 'owner--telling-name', 'config.json'), join(root, 'copied'))
      .catch(() => {})
    const outside = join(await folder(), 'outside')
    await disk.writeFile(outside, secret)
    await files.copyFile(outside, join(root, 'taken in'))
    await expect(files.link(outside, join(root, 'linked'))).rejects.toMatchObject({ code: 'EXDEV' })
    const bytes = await onDisk()
    for (const word of ['telling', 'owner', 'config', 'mark', 'taken', 'thirty'])
      expect(bytes.includes(word)).toBe(false)
    expect(Buffer.from(readFileSync(join(root, 'taken in'))).toString()).toBe(secret)
    expect((await files.readdir(root)).sort()).toEqual(['copied', 'lines', 'mark', 'pulls', 'taken in'])
    expect(await files.filesBelow(join(root, 'pulls'))).toEqual([join(root, 'pulls/owner--telling-name/config.json')])
    await expect(files.writeFile(join(root, 'mark'), 'again', { flag: 'wx' })).rejects.toMatchObject({ code: 'EEXIST' })
  })

  it('gives back lines, but for one that a power cut has spoilt, and none of another file', async () => {
    const path = join(root, 'log')
    await appendLines(path, ['one'])
    await appendLines(path, ['two', 'three'])
    await disk.appendFile(real('log'), 'dG9ybg')
    expect(await readLines(path, 4096)).toEqual(['one', 'two', 'three'])
    expect(() => storedLine(join(root, 'other'), lineToStore(path, 'one'))).toThrow(/seal is broken/)
  })

  it('is open in threads that start later', async () => {
    await writeWhole(join(root, 'file'), 'from the main thread')
    const worker = new Worker(new URL('sealed-reader.ts', import.meta.url), { workerData: join(root, 'file') })
    const [text] = await once(worker, 'message')
    expect(text).toBe('from the main thread')
    await worker.terminate()
  })

  it('lends one file to who has none of its keys', async () => {
    await writeWhole(join(root, 'file'), 'lent')
    await writeWhole(join(root, 'other'), 'not lent')
    const opening = openingOf(join(root, 'file'))!
    const real = placeOf(join(root, 'other')).real
    close()
    expect(Buffer.from(readFileSync('', opening)).toString()).toBe('lent')
    expect(() => readFileSync('', { ...opening, real })).toThrow(/seal is broken/)
  })

  it('takes nothing once it is closed: what comes late is not written as it is', async () => {
    close()
    await expect(writeWhole(join(root, 'late'), 'secret')).rejects.toMatchObject({ code: 'EACCES' })
    expect(await disk.readdir(root)).toEqual([])
  })

  it('is the same by another name of it', async () => {
    const other = join(await folder(), 'link')
    await disk.symlink(root, other)
    close()
    close = openFolder(other, new Uint8Array(32).fill(7))
    await writeWhole(join(other, 'file'), 'text')
    expect(await files.readStoredText(join(root, 'file'), 100)).toBe('text')
  })
})

describe('a disk that is full', needs(whyNoTmpfs()), () => {
  let small: Tmpfs
  let closeSmall: () => void
  beforeEach(() => {
    small = new Tmpfs(2 << 20)
    closeSmall = openFolder(small.path, new Uint8Array(32).fill(9))
  })
  afterEach(() => {
    closeSmall()
    small.close()
  })

  it('says so, keeps nothing of what was given up, and takes the same when there is room', async () => {
    const store = await openStore({ own: join(small.path, 'models') })
    const signal = AbortSignal.timeout(20_000)
    const bytes = pattern(1 << 20)
    const put = async (): Promise<string> => {
      const addition = await store.begin()
      const file = await addition.create(bytes.length)
      try {
        // In bites that fit no chunk: the last of each lies in memory until the next.
        for (let at = 0; at < bytes.length; at += 100_000) await file.write(bytes.subarray(at, at + 100_000), at)
        const { sha256 } = await file.finish({ signal })
        await addition.commit()
        return sha256
      } catch (error) {
        await file.discard()
        await addition.rollBack()
        throw error
      }
    }
    await store.begin().then(each => each.rollBack())
    small.fill({ leaving: 600_000 })
    await expect(put()).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await files.readdir(store.ownShards)).toEqual([])
    await expect(writeWhole(join(small.path, 'file'), bytes)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await files.readdir(small.path)).toEqual(['models'])
    small.free()
    const sha256 = await put()
    expect(Buffer.compare(readFileSync(join(store.ownShards, sha256)), bytes)).toBe(0)
  })
})
