/** Peers that keep sessions for one another: real services, shelves on a real disk, links in memory. */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { encodeRequest } from '../../src/keep/codec.ts'
import { keepProtocol, type PutRequest } from '../../src/keep/message.ts'
import { Sealing } from '../../src/keep/sealing.ts'
import { keepEntryBytesMax, keepFlushMs, keepPartTokens, keepWatchMs } from '../../src/keep/limits.ts'
import { Kit, type KitPeer, key, otherKey, peer, question, until } from './kit.ts'

let kit: Kit
afterEach(() => kit.close())

const named = { name: 'story', key }
const signal = (): AbortSignal => AbortSignal.timeout(10_000)
const begun = { question, ids: [] as number[], exact: true, after: 0 }
const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)

async function four({ delayMs = 0 } = {}): Promise<[KitPeer, KitPeer, KitPeer, KitPeer]> {
  kit = await Kit.create({ delayMs })
  return [await kit.add('A'), await kit.add('B'), await kit.add('C'), await kit.add('D')]
}

/** Who holds something. */
function holders(): KitPeer[] {
  return [...kit.peers.values()].filter(({ keep }) => keep.shelf.entries > 0)
}

/** Keeps a session of so many tokens to its end. */
async function keepWhole(driver: KitPeer, count: number, ttlMs = question.ttlMs): Promise<string[]> {
  const warnings: string[] = []
  const keeper = driver.keep.keep(named, { ...begun, question: { ...question, ttlMs } }, message =>
    warnings.push(message)
  )
  for (const id of numbers(count)) keeper.token(id)
  keeper.end('length')
  await until(() => holders().length === 2, 'two keepers')
  await until(async () => (await driver.keep.find(named, { signal: signal() })).stop === 'length', 'all is kept')
  return warnings
}

test('K12: two others have it all in the end, and whoever has the key finds it when the driver is gone', async () => {
  const [driver, ...others] = await four()
  const count = 2 * keepPartTokens + 10
  const keeper = driver.keep.keep(named, begun, () => {})
  for (const id of numbers(count)) {
    keeper.token(id)
    if (id % 100 === 0) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await new Promise(resolve => setTimeout(resolve, 3 * keepFlushMs))
  kit.kill(driver.id)
  expect(driver.keep.shelf.entries).toBe(0)
  expect(holders()).toHaveLength(2)
  for (const other of others) {
    const found = await other.keep.find(named, { signal: signal() })
    expect(found).toMatchObject({ ...question, ids: numbers(count), stop: undefined, exact: true })
  }
  keeper.end(undefined)
})

test('a wrong key, another name and nothing at all are the same: nobody keeps it', async () => {
  const [driver, other] = await four()
  await keepWhole(driver, 5)
  for (const wrong of [
    { name: 'story', key: otherKey },
    { name: 'Story', key }
  ]) {
    await expect(other.keep.find(wrong, { signal: signal() })).rejects.toMatchObject({
      name: 'UnknownSessionError',
      exitCode: 4,
      message: expect.stringContaining('none of 4 reachable peers keeps one')
    })
  }
})

test('what goes on after a resume wins over what the dead driver left, and is whole', async () => {
  const [driver, other] = await four()
  const first = driver.keep.keep(named, begun, () => {})
  for (const id of numbers(300)) first.token(id)
  await new Promise(resolve => setTimeout(resolve, 3 * keepFlushMs))
  const found = await other.keep.find(named, { signal: signal() })
  const second = other.keep.keep(named, { ...begun, ids: found.ids, after: found.version }, () => {})
  for (const id of numbers(50, found.ids.length)) second.token(id)
  second.inexact()
  second.end('eos')
  await until(async () => (await driver.keep.find(named, { signal: signal() })).stop === 'eos', 'it ends')
  const whole = await driver.keep.find(named, { signal: signal() })
  expect(whole.ids).toEqual(numbers(found.ids.length + 50))
  expect(whole.exact).toBe(false)
  expect(whole.version).toBeGreaterThan(found.version)
  first.end(undefined)
})

test('K13: another takes the place of a keeper that is gone, and nobody is told', async () => {
  const [driver] = await four()
  const warnings: string[] = []
  const keeper = driver.keep.keep(named, begun, message => warnings.push(message))
  for (const id of numbers(300)) keeper.token(id)
  await until(() => holders().length === 2, 'two keepers')
  const [gone] = holders()
  kit.kill(gone!.id)
  await until(() => holders().length === 2, 'two keepers again')
  keeper.end('length')
  await until(async () => (await driver.keep.find(named, { signal: signal() })).stop === 'length', 'all is kept')
  expect(warnings).toEqual([])
})

test('K12: the prompt is kept before there is a route', async () => {
  const [driver, other] = await four()
  const unrouted = { ...begun, question: { ...question, classes: [] } }
  const keeper = driver.keep.keep(named, unrouted, () => {})
  const find = () => other.keep.find(named, { signal: signal() })
  await until(() => holders().length === 2, 'two keepers')
  expect(await find()).toMatchObject({ promptIds: question.promptIds, ids: [], classes: [], stop: undefined })
  keeper.routed(['x', 'y'])
  await until(async () => (await find()).classes.length === 2, 'the classes are there')
  keeper.token(5)
  kit.kill(driver.id)
  expect((await find()).classes).toEqual(['x', 'y'])
  keeper.end(undefined)
})

test('K13: another takes the place of a keeper that goes after the end, as long as the driver lives', async () => {
  const [driver] = await four()
  await keepWhole(driver, 300)
  const [first, second] = holders()
  kit.kill(first!.id)
  await until(() => holders().length === 2, 'two keepers again')
  kit.kill(second!.id)
  await until(() => holders().length === 1, 'the last one has it')
  const [last] = [...kit.peers.values()].filter(({ id }) => id !== driver.id)
  expect(last!.keep.shelf.entries).toBe(1)
  expect(await last!.keep.find(named, { signal: signal() })).toMatchObject({ ids: numbers(300), stop: 'length' })
})

test('K9, K13: what was forgotten is not put again by the driver whose answer it was', async () => {
  const [driver, other] = await four()
  await keepWhole(driver, 5)
  const [first] = holders()
  expect(await other.keep.forget(named, { signal: signal() })).toBe(2)
  kit.kill(first!.id)
  // Whoever is left refuses what the driver puts to it: only then does it know.
  await new Promise(resolve => setTimeout(resolve, 3 * keepWatchMs))
  expect(holders()).toEqual([])
})

test('K13: says how many keep it where others are too few, and keeps it all the same', async () => {
  kit = await Kit.create()
  const driver = await kit.add('A')
  const warnings: string[] = []
  const keeper = driver.keep.keep(named, begun, message => warnings.push(message))
  keeper.routed(question.classes)
  expect(warnings).toEqual(['session story is kept by no other peer: no more are reachable that can keep it'])
  for (const id of numbers(10)) keeper.token(id)
  const late = await kit.add('B')
  await until(() => late.keep.shelf.entries === 1, 'it is kept')
  expect(warnings[1]).toContain('by 1 other peer only')
  keeper.end('length')
  await until(async () => (await late.keep.find(named, { signal: signal() })).ids.length === 10, 'all is kept')
})

test('K8: is gone when its time is over, in memory and on disk', async () => {
  const [driver, other] = await four()
  await keepWhole(driver, 5, 5_000)
  const keepers = holders()
  for (const { folder } of keepers) await until(async () => (await readdir(folder)).length === 1, 'it is on disk')
  kit.aheadMs = 5_001
  await expect(other.keep.find(named, { signal: signal() })).rejects.toMatchObject({ name: 'UnknownSessionError' })
  for (const { folder } of keepers) await until(async () => (await readdir(folder)).length === 0, 'it is off the disk')
})

test('K9: is forgotten by all who are reachable', async () => {
  const [driver, other] = await four()
  await keepWhole(driver, 5)
  expect(await other.keep.forget({ ...named, key: otherKey }, { signal: signal() })).toBe(0)
  expect(await other.keep.forget(named, { signal: signal() })).toBe(2)
  expect(holders()).toEqual([])
  expect(await other.keep.forget(named, { signal: signal() })).toBe(0)
})

test('keepers that restart still have it; strange, torn and expired files are removed', async () => {
  const [driver, other] = await four()
  await keepWhole(driver, 500)
  for (const keeper of holders()) {
    await keeper.keep.stop()
    kit.kill(keeper.id)
    const [file] = await readdir(keeper.folder)
    expect(file).toMatch(/^[0-9a-f]{64}$/)
    expect((await stat(join(keeper.folder, file!))).mode & 0o777).toBe(0o600)
    expect((await stat(keeper.folder)).mode & 0o777).toBe(0o700)
    await writeFile(join(keeper.folder, `${file}.new`), 'torn')
    await writeFile(join(keeper.folder, 'f'.repeat(64)), 'garbage')
    await mkdir(join(keeper.folder, 'e'.repeat(64)))
    const again = await kit.add(keeper.id.slice(-1))
    expect(again.keep.shelf.entries).toBe(1)
    expect(await readdir(keeper.folder)).toEqual([file])
    expect(again.warnings).toEqual([])
  }
  const asker = kit.peers.has(other.id) ? kit.peers.get(other.id)! : driver
  expect((await asker.keep.find(named, { signal: signal() })).ids).toEqual(numbers(500))
  // A second restart, long after: what has expired meanwhile does not come back.
  for (const keeper of holders()) {
    await keeper.keep.stop()
    kit.kill(keeper.id)
    kit.aheadMs = question.ttlMs + 1
    expect((await kit.add(keeper.id.slice(-1))).keep.shelf.entries).toBe(0)
    expect(await readdir(keeper.folder)).toEqual([])
  }
})

test('K10: a keeper that spoils, forges or rolls back costs nothing that another has', async () => {
  const [driver, other] = await four()
  await keepWhole(driver, 300)
  const [liar, honest] = holders() as [KitPeer, KitPeer]
  const id = new Sealing(key, 'story').id(liar.id)
  const channel = await driver.links.open(liar.id, keepProtocol, { signal: signal() })
  channel.receive({ onFrame: () => {}, onClose: () => {} })
  // What the liar answers from now on: a newer version, made up of nothing.
  const forged: PutRequest = {
    kind: 'put',
    id,
    base: 0,
    version: 2 ** 45,
    from: 0,
    parts: [new Uint8Array(300)],
    ttlMs: 60_000
  }
  channel.send(encodeRequest(forged))
  await until(() => liar.keep.shelf.bytes === 300, 'it is spoilt')
  expect((await other.keep.find(named, { signal: signal() })).ids).toEqual(numbers(300))
  kit.kill(honest.id)
  const rest = [...kit.peers.values()].find(({ id }) => id !== liar.id)!
  await expect(rest.keep.find(named, { signal: signal() })).rejects.toMatchObject({ name: 'UnknownSessionError' })
})

test('K3: what is no request ends its stream, is counted, and costs nobody else anything', async () => {
  const [driver, keeper] = await four()
  for (const bytes of [new Uint8Array([255, 1, 2]), new Uint8Array(0)]) {
    const closed = Promise.withResolvers<Error | undefined>()
    const channel = await driver.links.open(keeper.id, keepProtocol, { signal: signal() })
    channel.receive({ onFrame: () => {}, onClose: error => closed.resolve(error) })
    channel.send(bytes)
    expect(await closed.promise).toBeInstanceOf(Error)
  }
  expect(keeper.violations.map(([from]) => from)).toEqual([driver.id, driver.id])
  await keepWhole(driver, 3)
})

test('K1: a keeper that answers what it was not asked, or nonsense, is a violation and no keeper', async () => {
  kit = await Kit.create()
  const driver = await kit.add('A')
  const links = kit.links.join(peer('X'))
  await links.handle(keepProtocol, { inboundMax: 9, frameBytesMax: keepEntryBytesMax }, channel =>
    channel.receive({ onFrame: () => void channel.send(new Uint8Array([8, 8])), onClose: () => {} })
  )
  const good = await kit.add('B')
  kit.peers.set(peer('X'), { ...driver, id: peer('X'), keep: good.keep })
  const warnings: string[] = []
  const keeper = driver.keep.keep(named, begun, message => warnings.push(message))
  keeper.routed(question.classes)
  await until(() => driver.violations.length > 0, 'it is counted')
  await until(() => good.keep.shelf.entries === 1, 'the other one keeps it')
  expect(warnings.at(-1)).toContain('by 1 other peer only')
  expect((await driver.keep.find(named, { signal: signal() })).ids).toEqual([])
  keeper.end(undefined)
})

test('a session too long to be kept says so and goes on', async () => {
  const [driver] = await four()
  const warnings: string[] = []
  const promptIds = numbers(keepEntryBytesMax / 4)
  const keeper = driver.keep.keep(named, { ...begun, question: { ...question, promptIds } }, message =>
    warnings.push(message)
  )
  keeper.token(1)
  expect(warnings).toEqual([expect.stringContaining('too long to be kept')])
  expect(holders()).toEqual([])
  expect([...kit.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
  keeper.end('length')
})

test('a driver that stops waits for what is on its way, and not for keepers that are silent', async () => {
  const [driver] = await four({ delayMs: 20 })
  const keeper = driver.keep.keep(named, begun, () => {})
  for (const id of numbers(700)) keeper.token(id)
  await driver.keep.stop()
  kit.kill(driver.id)
  const [holder] = holders()
  expect((await holder!.keep.find(named, { signal: signal() })).ids).toEqual(numbers(700))
})

test('K14: keepers see neither text nor tokens nor names nor keys, on disk as in memory', async () => {
  const [driver] = await four()
  const ids = numbers(40).map(i => 0x41424300 + i)
  const keeper = driver.keep.keep(named, { ...begun, question: { ...question, promptIds: ids } }, () => {})
  for (const id of ids) keeper.token(id)
  keeper.end('length')
  await until(() => holders().length === 2, 'two keepers')
  const sizes = new Set<number>()
  for (const { folder } of holders()) {
    // Under its own name: until then it is being written.
    const whole = async () => (await readdir(folder)).filter(name => !name.endsWith('.new'))
    await until(async () => (await whole()).length === 1, 'it is on disk')
    const [file] = await whole()
    const bytes = await readFile(join(folder, file!))
    for (const secret of [
      ...ids.map(le32),
      Buffer.from('story'),
      Buffer.from(key),
      Buffer.from(question.model, 'hex')
    ]) {
      expect(bytes.includes(secret)).toBe(false)
      expect(file!.includes(secret.toString('hex'))).toBe(false)
    }
    sizes.add(bytes.length)
  }
  expect(sizes.size).toBeLessThanOrEqual(2)
})

function le32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
