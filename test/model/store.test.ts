import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { cp, mkdir, open, readdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import type { ShardId } from '../../src/base/ids.ts'
import { chunkBytes } from '../../src/model/limits.ts'
import { importModel } from '../../src/model/import.ts'
import { encodeManifest, modelId } from '../../src/model/manifest.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { writeTiny } from './hugging-face.ts'
import { scratchFolders } from '../scratch.ts'

/** Of one test. */
let signal: AbortSignal
let dir: string
let own: string
let store: ModelStore
let model: StoredModel

const folder = scratchFolders()
beforeEach(async () => {
  signal = AbortSignal.timeout(60_000)
  dir = await folder()
  own = path.join(dir, 'own')
  await writeTiny(path.join(dir, 'source'))
  store = await openStore({ own })
  model = await importModel({ source: path.join(dir, 'source'), store, name: 'tiny', weights: 'q8', signal })
})

const shardFile = (index: number, folder = own): string =>
  path.join(folder, 'shards', model.manifest.shards[index]!.sha256)

async function flipByte(file: string, offset: number): Promise<string> {
  const handle = await open(file, 'r+')
  const byte = new Uint8Array(1)
  await handle.read(byte, 0, 1, offset)
  byte[0]! ^= 1
  await handle.write(byte, 0, 1, offset)
  await handle.close()
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}

describe('resolve', () => {
  test('takes a name, an id, or the beginning of an id', async () => {
    for (const key of ['tiny', model.id, model.id.slice(0, 6)]) expect((await store.resolve(key)).id).toBe(model.id)
    await expect(store.resolve(model.id.slice(0, 5))).rejects.toThrow('no model')
  })

  test('says what there is', async () => {
    await expect(store.resolve('huge')).rejects.toMatchObject({ name: 'UnknownModelError' })
    await expect(store.resolve('huge')).rejects.toThrow(`no model 'huge': there are tiny (${model.id.slice(0, 12)})`)
    const empty = await openStore({ own: path.join(dir, 'nothing') })
    await expect(empty.resolve('huge')).rejects.toThrow("no model 'huge': there is no model here")
  })

  test('asks for an id where two models have the name', async () => {
    await writeTiny(path.join(dir, 'source'), { seed: 2 })
    const shipped = path.join(dir, 'shipped')
    const other = await importModel({
      source: path.join(dir, 'source'),
      store: await openStore({ own: shipped }),
      name: 'tiny',
      weights: 'q8',
      signal
    })
    const both = await openStore({ own, shipped: [shipped] })
    const unclear = both.resolve('tiny')
    await expect(unclear).rejects.toThrow("'tiny' is more than one model: tiny (")
    await expect(unclear).rejects.toMatchObject({ name: 'AmbiguousModelError', exitCode: 2 })
    expect((await both.resolve(other.id.slice(0, 8))).shipped).toBe(true)
  })
})

describe('a manifest', () => {
  test('of a newer format is named, and hides no other model', async () => {
    const newer = path.join(own, 'manifests', `${'a'.repeat(64)}.json`)
    await writeFile(newer, JSON.stringify({ ...model.manifest, format: 4 }))
    const broken: string[] = []
    expect(await store.list({ onBroken: err => broken.push(err.message) })).toHaveLength(1)
    expect(broken).toEqual([`${newer} has manifest format 4, made by a newer Skein; this one reads formats 2 and 3`])
    await expect(store.resolve('other')).rejects.toThrow('made by a newer Skein')
  })

  test('that was changed is not used under its old id', async () => {
    await writeFile(
      path.join(own, 'manifests', `${model.id}.json`),
      encodeManifest({ ...model.manifest, name: 'changed' })
    )
    await expect(store.resolve(model.id)).rejects.toThrow('was changed: the digest of what it holds is')
  })

  test('that is not JSON or too large is named', async () => {
    await writeFile(path.join(own, 'manifests', 'x.json'), '{')
    await writeFile(path.join(own, 'manifests', 'y.json'), new Uint8Array((1 << 20) + 1))
    const broken: string[] = []
    await store.list({ onBroken: err => broken.push(err.message) })
    expect(broken.join('\n')).toMatch(
      /x\.json is no manifest: it is not JSON\n.*y\.json is no manifest: it has 1048577/
    )
  })
})

describe('verify', () => {
  test('names a shard with one flipped byte, and both digests', async () => {
    const file = shardFile(2)
    const actual = await flipByte(file, 5000)
    const sentence = `the layer 1 shard of tiny is damaged: ${file} has the SHA-256 ${actual}, the manifest says ${model.manifest.shards[2]!.sha256}`
    await expect(store.verify(model, { signal })).rejects.toThrow(sentence)
    await expect(store.verifiedStage(model, 1, 2, { signal })).rejects.toMatchObject({
      name: 'CorruptShardError',
      message: sentence
    })
    await store.verifiedStage(model, 0, 1, { signal })
  })

  test('names a shard of another size, and a missing one', async () => {
    const { bytes, sha256 } = model.manifest.shards[0]!
    await truncate(shardFile(0), bytes - 1)
    await expect(store.verify(model, { signal })).rejects.toThrow(
      `the embedding shard of tiny is damaged: ${shardFile(0)} has ${bytes - 1} bytes, the manifest says ${bytes}`
    )
    await rm(shardFile(0))
    await expect(store.verify(model, { signal })).rejects.toThrow(
      `the embedding shard of tiny is missing: there is no file ${sha256} in ${path.join(own, 'shards')}`
    )
    expect((await store.held(model)).map(shard => shard.layer ?? shard.role)).toEqual([0, 1, 'head'])
  })

  test('looks at all that a peer has of a part before it names what it lacks', async () => {
    await rm(shardFile(0))
    await rm(shardFile(2))
    await expect(store.verify(model, { signal })).rejects.toThrow(
      '2 of 5 files of tiny are missing, the others are right: embedding, layer 1'
    )
    await flipByte(shardFile(3), 0)
    await expect(store.verify(model, { signal })).rejects.toThrow('the head shard of tiny is damaged')
  })

  test('sees a change after a shard was verified', async () => {
    await store.verifiedStage(model, 0, 2, { signal })
    await flipByte(shardFile(1), 0)
    await expect(store.verifiedStage(model, 0, 2, { signal })).rejects.toThrow('the layer 0 shard of tiny is damaged')
  })

  test('names a damaged tokenizer', async () => {
    await flipByte(path.join(own, 'shards', model.manifest.tokenizer.sha256), 3)
    await expect(store.tokenizerFile(model, { signal })).rejects.toThrow('the tokenizer of tiny is damaged')
    await expect(store.verify(model, { signal })).rejects.toThrow('the tokenizer of tiny is damaged')
  })

  test('ends with the signal', async () => {
    await expect(store.verify(model, { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop')
  })
})

describe('a stage', () => {
  test('has the embedding at its start, the head at its end', async () => {
    const roles = async (start: number, end: number): Promise<unknown[]> =>
      (await store.verifiedStage(model, start, end, { signal })).shards.map(shard => shard.layer ?? shard.role)
    expect(await roles(0, 1)).toEqual(['embedding', 0])
    expect(await roles(1, 2)).toEqual([1, 'head'])
    expect(await roles(0, 2)).toEqual(['embedding', 0, 1, 'head'])
  })

  test('maps one folder, also when its shards are spread over two', async () => {
    const shipped = path.join(dir, 'shipped')
    await cp(own, shipped, { recursive: true })
    await rm(shardFile(1))
    await rm(shardFile(3, shipped))
    const both = await openStore({ own, shipped: [shipped] })
    expect(await both.held(model)).toHaveLength(4)
    expect((await both.verifiedStage(model, 0, 1, { signal })).folder).toBe(path.join(shipped, 'shards'))
    const { folder } = await both.verifiedStage(model, 0, 2, { signal })
    expect(folder).toBe(path.join(own, 'shards'))
    expect((await stat(shardFile(1))).ino).toBe((await stat(shardFile(1, shipped))).ino)
    await expect(both.remove({ ...model, shipped: true })).rejects.toThrow('ships with Skein')
  })
})

describe('writing', () => {
  test('gives a file its name only when it is whole, and clears what a dead process left', async () => {
    const shards = path.join(own, 'shards')
    const before = await readdir(shards)
    const addition = await store.begin()
    const file = await addition.create(10)
    await file.write(new Uint8Array(10), 0)
    const dead = path.join(shards, '.writing-4194304999-abc')
    await writeFile(dead, 'half')
    await openStore({ own })
    const names = await readdir(shards)
    // The one being written by this process stays.
    expect(names.filter(name => name.startsWith('.writing-'))).toHaveLength(1)
    expect(names).toHaveLength(before.length + 2)
    await expect(file.finish({ signal, expected: model.manifest.shards[0]!.sha256 })).rejects.toThrow(
      'received bytes have the SHA-256'
    )
    await file.discard()
    await addition.rollBack()
    expect((await readdir(shards)).sort()).toEqual(before.sort())
  })

  test('leaves nothing of an import whose process was killed, once the store is opened again', async () => {
    const src = path.join(import.meta.dirname, '..', '..', 'src', 'model')
    const before = (await readdir(path.join(own, 'shards'))).sort()
    const program = `
      import { importModel } from ${JSON.stringify(path.join(src, 'import.ts'))}
      import { openStore } from ${JSON.stringify(path.join(src, 'store.ts'))}
      await importModel({
        source: ${JSON.stringify(path.join(dir, 'source'))},
        store: await openStore({ own: ${JSON.stringify(own)} }),
        name: 'killed',
        weights: 'q4',
        signal: AbortSignal.timeout(20000),
        onProgress: ({ shard }) => { if (shard === 'layer 1') process.kill(process.pid, 'SIGKILL') }
      })`
    const args = ['--input-type=module', '-e', program]
    await expect(promisify(execFile)(process.execPath, args)).rejects.toMatchObject({ signal: 'SIGKILL' })
    expect((await readdir(path.join(own, 'shards'))).length).toBeGreaterThan(before.length)
    const again = await openStore({ own })
    expect((await readdir(path.join(own, 'shards'))).sort()).toEqual(before)
    await again.verify(await again.resolve('tiny'), { signal })
  })

  test('replaces a damaged shard', async () => {
    await flipByte(shardFile(1), 7)
    await importModel({ source: path.join(dir, 'source'), store, name: 'tiny', weights: 'q8', signal })
    await store.verify(model, { signal })
  })

  test('a model that an older Skein imported is removed with its files, and keeps them until then', async () => {
    await writeTiny(path.join(dir, 'source'), { seed: 2 })
    const other = await importModel({ source: path.join(dir, 'source'), store, name: 'other', weights: 'q8', signal })
    const manifest = { ...other.manifest, format: 1 }
    const id = 'a'.repeat(64)
    await rm(path.join(own, 'manifests', `${other.id}.json`))
    await writeFile(path.join(own, 'manifests', `${id}.json`), JSON.stringify(manifest))
    await expect(store.resolve('other')).rejects.toThrow('made by an older Skein')
    await store.sweep()
    const before = (await readdir(path.join(own, 'shards'))).length
    // What they share stays, and nothing is unreadable.
    expect((await store.remove(model)).unreadable).toEqual([])
    const older = await store.findOlder('other')
    expect(older).toMatchObject({ id, name: 'other' })
    expect((await store.findOlder(id.slice(0, 8)))?.id).toBe(id)
    const removed = await store.removeOlder(older!)
    expect(removed).toMatchObject({ id, name: 'other', unreadable: [] })
    expect(removed.bytesFreed).toBeGreaterThan(0)
    expect(before).toBeGreaterThan(4)
    expect(await readdir(path.join(own, 'shards'))).toEqual([])
    expect(await store.findOlder('other')).toBeUndefined()
  })

  test('remove takes the files that no other model lists', async () => {
    const other = await importModel({ source: path.join(dir, 'source'), store, name: 'other', weights: 'q4', signal })
    const again = await importModel({ source: path.join(dir, 'source'), store, name: 'again', weights: 'q8', signal })
    expect(await store.remove(again)).toEqual({ id: again.id, name: 'again', bytesFreed: 0, unreadable: [] })
    const shared = new Set(other.manifest.shards.map(({ sha256 }) => sha256))
    const alone = model.manifest.shards.filter(({ sha256 }) => !shared.has(sha256))
    const bytesFreed = alone.reduce((sum, { bytes }) => sum + bytes, 0)
    expect(await store.remove(model)).toMatchObject({ bytesFreed })
    expect((await store.list()).map(({ id }) => id)).toEqual([other.id])
    await store.verify(other, { signal })
    await store.remove(other)
    expect(await readdir(path.join(own, 'shards'))).toEqual([])
  })

  test('remove keeps every file while a manifest cannot be read, for it may list them', async () => {
    const { length } = await readdir(path.join(own, 'shards'))
    const newer = path.join(own, 'manifests', `${'b'.repeat(64)}.json`)
    await writeFile(newer, JSON.stringify({ format: 2 }))
    expect(await store.remove(model)).toMatchObject({ bytesFreed: 0, unreadable: [expect.stringContaining(newer)] })
    expect(await store.list()).toEqual([])
    const left = await readdir(path.join(own, 'shards'))
    expect(left.filter(name => /^[0-9a-f]{64}$/.test(name))).toHaveLength(length)
    // Of a process that is gone now.
    const [journal] = left.filter(name => name.startsWith('.importing-'))
    await rename(path.join(own, 'shards', journal!), path.join(own, 'shards', '.importing-4194304999-abc'))
    await openStore({ own })
    expect(await readdir(path.join(own, 'shards'))).toHaveLength(length + 1)
    await rm(newer)
    await openStore({ own })
    expect(await readdir(path.join(own, 'shards'))).toEqual([])
  })

  test('a removal that was cut short is completed once the store is opened again', async () => {
    const src = path.join(import.meta.dirname, '..', '..', 'src', 'model')
    const program = `
      import fs from 'node:fs/promises'
      import { syncBuiltinESMExports } from 'node:module'
      const { rm } = fs
      fs.rm = async (file, options) => {
        await rm(file, options)
        if (file.endsWith('.json')) process.kill(process.pid, 'SIGKILL')
      }
      syncBuiltinESMExports()
      const { openStore } = await import(${JSON.stringify(path.join(src, 'store.ts'))})
      const store = await openStore({ own: ${JSON.stringify(own)} })
      await store.remove(await store.resolve('tiny'))`
    const args = ['--input-type=module', '-e', program]
    await expect(promisify(execFile)(process.execPath, args)).rejects.toMatchObject({ signal: 'SIGKILL' })
    expect(await store.list()).toEqual([])
    expect(await readdir(path.join(own, 'shards'))).not.toEqual([])
    await openStore({ own })
    expect(await readdir(path.join(own, 'shards'))).toEqual([])
  })

  test('does not make a model known whose files are not there', async () => {
    await rm(shardFile(1))
    const changed = { ...model.manifest, name: 'changed' }
    await expect(store.putManifest(changed)).rejects.toThrow('changed: the layer 0 shard')
    await mkdir(path.join(dir, 'nothing'), { recursive: true })
    await expect(store.resolve(modelId(changed))).rejects.toThrow('no model')
  })
})

describe('a large file', () => {
  const bytes = 192 << 20
  /** Processor time of this thread for some work, as a part of what the whole process took for it. */
  async function shareOf<T>(work: () => Promise<T>): Promise<{ result: T; share: number }> {
    const total = process.cpuUsage()
    const mine = process.threadCpuUsage()
    const result = await work()
    const sum = ({ user, system }: NodeJS.CpuUsage): number => user + system
    return { result, share: sum(process.threadCpuUsage(mine)) / sum(process.cpuUsage(total)) }
  }
  let sha256: ShardId

  beforeEach(async () => {
    const hash = createHash('sha256')
    const file = path.join(own, 'shards', 'zeros')
    await writeFile(file, '')
    await truncate(file, bytes)
    // Read from the disk's cache from here on, which takes no time of its own.
    for await (const part of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(part as Buffer)
    sha256 = hash.digest('hex') as ShardId
    await rename(file, path.join(own, 'shards', sha256))
  })

  test.each([
    [
      'verified before it is used',
      async () => {
        const shard = { ...model.manifest.shards[0]!, bytes, sha256 }
        await store.verify(model, { shards: [shard], signal })
      }
    ],
    [
      'listed in chunks for others',
      async () => {
        const list = await store.chunkList({ bytes, sha256 }, { signal })
        expect(list).toHaveLength((bytes / chunkBytes) * 32)
      }
    ],
    [
      'looked through for what has come of it',
      async () => {
        const partial = await store.openPartial({ bytes, sha256 })
        const list = new Uint8Array((bytes / chunkBytes) * 32)
        expect((await partial.scan(list, { signal })).size).toBe(0)
        await expect(partial.finish({ signal })).resolves.toBeUndefined()
      }
    ]
  ])('is hashed in another thread when it is %s', async (_, work) => {
    // It takes this thread some file operations; hashing it here would be nearly all of the time.
    const { share } = await shareOf(work)
    expect(share).toBeLessThan(0.4)
  })

  test('is let go of when nobody waits for it any more, and the next one is hashed', async () => {
    const given = new AbortController()
    const waiting = store.chunkList({ bytes, sha256 }, { signal: given.signal })
    const next = store.verify(model, { signal })
    setImmediate(() => given.abort(new Error('given up')))
    await expect(waiting).rejects.toThrow('given up')
    await next
  })
})
