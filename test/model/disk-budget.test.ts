/** A disk budget over a real store: what it removes, what it never does, and what is left when it is killed half-way. */
import { execFile } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import { Keeping } from '../../src/disk/keeping.ts'
import { DiskBudget, type DiskNeeds, type RemovedFile } from '../../src/model/disk-budget.ts'
import { importModel } from '../../src/model/import.ts'
import { importIntoLibrary } from '../../src/model/library.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { writeTiny } from './hugging-face.ts'
import { scratchFolders } from '../scratch.ts'

const signal = AbortSignal.timeout(60_000)
let dir: string
let own: string
let store: ModelStore
let removed: RemovedFile[]
let needed: Set<string>
let rare: Set<string>

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  own = path.join(dir, 'own')
  store = await openStore({ own })
  removed = []
  needed = new Set()
  rare = new Set()
})

/** A tiny model of its own weights; all have one tokenizer. */
async function model(name: string, seed: number, givesWay = true): Promise<StoredModel> {
  const source = path.join(dir, `source-${seed}`)
  await writeTiny(source, { seed })
  return importModel({ source, store, name, weights: 'q8', givesWay, signal })
}

const needs = (): DiskNeeds => ({ files: needed, models: new Set(), isRare: (_, sha256) => rare.has(sha256) })

async function budget(limitBytes: number | undefined): Promise<DiskBudget> {
  const made = new DiskBudget({
    store,
    limitBytes,
    needs,
    keeping: new Keeping(() => {}),
    onRemoved: files => void removed.push(...files)
  })
  await made.start()
  return made
}

const shards = ({ manifest }: StoredModel): string[] => manifest.shards.map(({ sha256 }) => sha256)
const bytesOf = ({ manifest }: StoredModel): number => manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0)
const held = async (of: StoredModel): Promise<number> => (await store.held(of)).length
const coming = (bytes: number): { sha256: string; bytes: number }[] => [{ sha256: 'f'.repeat(64), bytes }]

/** Bytes that are used now. */
const used = async (): Promise<number> => (await budget(undefined)).status.usedBytes

describe('room', () => {
  test('is made by the model whose last use is longest ago, which the next process knows, too', async () => {
    const [a, b] = [await model('a', 1), await model('b', 2)]
    const before = await budget(undefined)
    needed = new Set(shards(b))
    await before.look()
    needed = new Set(shards(a))
    await before.note()
    needed = new Set()

    const limited = await budget(await used())
    const leave = await limited.reserve('layers', coming(1000))
    expect([await held(a), await held(b)]).toEqual([4, 4 - removed.length])
    expect(removed.every(({ label, rare }) => / shard of b$/.test(label) && !rare)).toBe(true)
    // What is promised stays promised, until it is given back.
    const more = await used()
    leave()
    await limited.reserve('the same', coming(1000))
    expect(await used()).toBe(more)
    await limited.reserve('other layers', [{ sha256: 'e'.repeat(64), bytes: bytesOf(b) - 1000 }])
    // All of it is gone, and so it is forgotten; the other one has its tokenizer still.
    expect((await store.list()).map(({ manifest }) => manifest.name)).toEqual(['a'])
    await store.verify(a, { signal })
  })

  test('is not made by what was imported: a sentence says what is needed, what is used and what would help', async () => {
    const kept = await model('mine', 1, false)
    const fetched = await model('fetched', 2)
    needed = new Set(shards(fetched).slice(0, 1))
    const limited = await budget((await used()) + 10)
    const failing = limited.reserve('layers 3-5 of big', coming(bytesOf(fetched)))
    await expect(failing).rejects.toMatchObject({ name: 'DiskBudgetError', exitCode: 4 })
    await expect(failing).rejects.toThrow(
      /^the disk budget of [\d.]+ kB has no room for layers 3-5 of big \([\d.]+ kB\): [\d.]+ kB are used, [\d.]+ kB of them by what is needed here now, [\d.]+ kB by what was imported, which is kept \(mine\); raise --disk, or remove a model: skein model rm mine$/
    )
    // It would not have been enough, so nothing went for nothing.
    expect(removed).toEqual([])
    expect([await held(kept), await held(fetched)]).toEqual([4, 4])
    const { keptBytes } = limited.status
    expect(keptBytes).toBeGreaterThan(bytesOf(kept))
    // What is needed of it now is kept as well.
    needed = new Set(shards(kept))
    await limited.look()
    expect(limited.status.keptBytes).toBe(keptBytes)
    // Imported under the same name and id again, without a word about giving way, it is kept from then on.
    await model('fetched', 2, false)
    await expect(limited.reserve('anything', coming(1000))).rejects.toThrow('which is kept (fetched, mine)')
  })

  test('is made by the last copy in the swarm last, and of what is needed never', async () => {
    const [a, b] = [await model('a', 1), await model('b', 2)]
    needed = new Set(shards(b).slice(0, 2))
    rare = new Set(shards(a))
    const limited = await budget(await used())
    await limited.reserve('layers', coming(bytesOf(a)))
    const order = removed.map(({ rare }) => rare)
    expect(order).toContain(true)
    expect(order).toEqual(order.toSorted())
    expect(removed.some(({ sha256 }) => needed.has(sha256))).toBe(false)
    expect(await held(b)).toBe(2)
  })

  test('is not made by files of an import that runs, nor while a manifest cannot be read', async () => {
    const a = await model('a', 1)
    const addition = await store.begin()
    const { sha256 } = await addition.putBytes(new Uint8Array(5000).fill(7), { signal })
    const limited = await budget(await used())
    await limited.reserve('layers', coming(bytesOf(a)))
    expect(await readdir(path.join(own, 'shards'))).toContain(sha256)
    await addition.rollBack()
    await model('a', 1)
    const newer = path.join(own, 'manifests', `${'a'.repeat(64)}.json`)
    await writeFile(newer, JSON.stringify({ ...a.manifest, format: 2 }))
    const full = await budget(await used())
    await expect(full.reserve('layers', coming(1000))).rejects.toThrow('and nothing is removed while')
    expect(await held(a)).toBe(4)
  })

  test('is counted once for what several wait for, and once for what has begun to come', async () => {
    const a = await model('a', 1)
    const limited = await budget((await used()) + 5000)
    const leave = await limited.reserve('layers', coming(4000))
    await limited.reserve('the same layers', coming(4000))
    const partial = await store.openPartial({ sha256: 'f'.repeat(64) as never, bytes: 4000 })
    await partial.close()
    await limited.reserve('a little', [{ sha256: 'e'.repeat(64), bytes: 900 }])
    expect(removed).toEqual([])
    leave()
    expect(await held(a)).toBe(4)
  })

  test('of more than there is goes when it is looked at, as far as it may; the rest is told', async () => {
    const mine = await model('mine', 1, false)
    await model('fetched', 2)
    expect(await (await budget((await used()) + 1)).trim()).toBeUndefined()
    const limited = await budget(5000)
    expect(await limited.trim()).toMatch(/^the models here take .* more than the disk budget of 5.0 kB allows: .*mine$/)
    expect((await store.list()).map(({ manifest }) => manifest.name)).toEqual(['mine'])
    await store.verify(mine, { signal })
  })
})

test('an import without a peer has fetched models give way, and is refused before it has written anything', async () => {
  const dataDir = path.join(dir, 'data')
  store = await openStore({ own: path.join(dataDir, 'models') })
  own = store.own
  const old = await model('old', 1)
  const limit = await used()
  const source = path.join(dir, 'source-2')
  await writeTiny(source, { seed: 2 })
  await importIntoLibrary({ source, dataDir, name: 'new', diskBytes: limit })
  expect((await store.list()).map(({ manifest }) => manifest.name)).toEqual(['new'])
  expect(await held(old)).toBe(0)
  await writeTiny(source, { seed: 3 })
  await expect(importIntoLibrary({ source, dataDir, name: 'third', diskBytes: limit })).rejects.toThrow(
    /^the disk budget of .* has no room for third .* skein model rm new$/
  )
  expect((await readdir(path.join(own, 'shards'))).length).toBe(5)
})

test('a process that is killed while it makes room leaves whole files, and the next one goes on', async () => {
  const [a, b] = [await model('a', 1), await model('b', 2, false)]
  const src = path.join(import.meta.dirname, '..', '..', 'src')
  const program = `
    import { Keeping } from ${JSON.stringify(path.join(src, 'disk/keeping.ts'))}
    import { DiskBudget } from ${JSON.stringify(path.join(src, 'model/disk-budget.ts'))}
    import { openStore } from ${JSON.stringify(path.join(src, 'model/store.ts'))}
    let asked = 0
    const budget = new DiskBudget({
      store: await openStore({ own: ${JSON.stringify(own)} }),
      limitBytes: ${await used()},
      keeping: new Keeping(() => {}),
      // Before each file that goes it is asked whether that is needed by now.
      needs: () => {
        if (++asked === 5) process.kill(process.pid, 'SIGKILL')
        return { files: new Set(), models: new Set(), isRare: () => false }
      },
      onRemoved: () => {}
    })
    await budget.start()
    await budget.reserve('all', [{ sha256: '${'f'.repeat(64)}', bytes: ${bytesOf(a)} }])`
  const args = ['--input-type=module', '-e', program]
  await expect(promisify(execFile)(process.execPath, args)).rejects.toMatchObject({ signal: 'SIGKILL' })
  store = await openStore({ own })
  expect(await held(a)).toBe(2)
  await store.verify(b, { signal })
  await store.verify(a, { shards: await store.held(a), signal })
  await (await budget(await used())).reserve('all', coming(bytesOf(a) / 4))
  expect(await held(a)).toBeLessThan(2)
  await store.verify(b, { signal })
})
