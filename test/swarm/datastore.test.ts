import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { Key } from 'interface-datastore/key'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import {
  peerEntriesMax,
  peerEntryBytesMax,
  peersFileBytesMax,
  peersSaveMs,
  peersSaveNewMs
} from '../../src/swarm/limits.ts'
import { SwarmDatastore } from '../../src/swarm/datastore.ts'

const self = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
const own = new Key(`/peers/${self.toCID()}`)
const keeping = new Keeping(message => expect.unreachable(message))
const open = (): Promise<SwarmDatastore> => SwarmDatastore.open(file, self.toString() as PeerId, keeping)
const letters = (n: number): string => n.toString().replaceAll(/\d/g, digit => 'abcdefghij'[Number(digit)]!)
const key = (n: number): Key => new Key(`/peers/b${letters(n)}`)
const kept = async (): Promise<string[]> => Object.keys(JSON.parse(await readFile(file, 'utf8')).peers)

let dir = ''
let file = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skein-store-'))
  file = join(dir, 'peers')
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(dir, { recursive: true })
})

it('keeps other peers from one start to the next, and of all the rest nothing', async () => {
  const first = await open()
  first.put(key(1), Uint8Array.of(1, 2))
  first.put(own, Uint8Array.of(3))
  first.put(new Key('/elsewhere/1'), Uint8Array.of(4))
  await first.close()
  const second = await open()
  expect(second.get(key(1))).toEqual(Uint8Array.of(1, 2))
  for (const gone of [own, new Key('/elsewhere/1')]) expect(second.has(gone)).toBe(false)
})

it('lets the peer go that was written longest ago, never its own', async () => {
  const store = await open()
  store.put(own, Uint8Array.of(9))
  for (let n = 0; n < peerEntriesMax; n++) store.put(key(n), Uint8Array.of(1))
  store.put(key(0), Uint8Array.of(2))
  store.put(key(peerEntriesMax), Uint8Array.of(1))
  store.put(key(7), new Uint8Array(peerEntryBytesMax + 1))
  expect([store.has(own), store.has(key(0)), store.has(key(1)), store.has(key(peerEntriesMax))]).toEqual([
    true,
    true,
    false,
    true
  ])
  expect(store.get(key(7))).toEqual(Uint8Array.of(1))
  await store.close()
})

it('keeps the newest where not all fit into the file', async () => {
  const store = await open()
  const count = Math.ceil(peersFileBytesMax / peerEntryBytesMax) + 10
  for (let n = 0; n < count; n++) store.put(key(n), new Uint8Array(peerEntryBytesMax))
  await store.close()
  expect((await readFile(file)).byteLength).toBeLessThanOrEqual(peersFileBytesMax)
  const names = await kept()
  expect(names.at(-1)).toBe(`b${letters(count - 1)}`)
  expect(names).not.toContain(`b${letters(0)}`)
  expect((await open()).has(key(count - 1))).toBe(true)
})

it('writes a new peer soon and what changes of a known one later, in one go', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  const writes: number[] = []
  const counting = { write: async () => writes.push(performance.now()) > 0 } as unknown as Keeping
  const store = await SwarmDatastore.open(file, self.toString() as PeerId, counting)
  store.put(key(1), Uint8Array.of(1))
  store.put(key(2), Uint8Array.of(1))
  await vi.advanceTimersByTimeAsync(peersSaveNewMs)
  expect(writes).toHaveLength(1)
  for (let n = 0; n < 1000; n++) store.put(key(1), Uint8Array.of(n & 255))
  await vi.advanceTimersByTimeAsync(peersSaveMs - 1)
  expect(writes).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(writes).toHaveLength(2)
  await store.close()
})

it.each([
  '',
  '{',
  '[]',
  '{"format":2,"peers":{}}',
  '{"format":1,"peers":{"../x":"AA=="}}',
  '{"format":1,"peers":{"ba":7}}'
])('a file that says %j counts as none', async text => {
  await writeFile(file, text)
  const store = await open()
  for await (const found of store.queryKeys({})) expect.unreachable(`${found}`)
  store.put(key(1), Uint8Array.of(1))
  await store.close()
  expect(await kept()).toEqual([`b${letters(1)}`])
})
