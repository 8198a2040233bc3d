/** What else a peer keeps lies sealed as its model does: membership, audit log, graphs, downloads that broke off, files of a fetch. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { whyNotInstalled } from '../../src/engine/onnx/installed.ts'
import {
  createPeer,
  dropFetch,
  fetchModel,
  importGraph,
  importModel,
  initMembers,
  inviteMember,
  joinSwarm,
  membersOf,
  openSealed,
  type Peer,
  type PeerInit,
  tailAudit,
  verifyAudit,
  verifyModel
} from '../../src/index.ts'
import { filesBelow } from '../../src/disk/files.ts'
import { placeOf } from '../../src/disk/opened.ts'
import { digestOf } from '../../src/model/chunks.ts'
import { chunkBytes } from '../../src/model/limits.ts'
import { openStore } from '../../src/model/store.ts'
import { readMemberFile } from '../../src/swarm/member-file.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { allUnder, filesUnder } from '../files-under.ts'
import { HubServer } from '../model/hub-server.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { tripled } from '../model/tiny-graphs.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'

const folder = scratchFolders()
const peers: Peer[] = []
afterEach(async () => {
  await Promise.all(peers.splice(0).map(peer => peer.stop()))
})

let dataDir: string
let seal: string
beforeEach(async () => {
  seal = join(await folder(), 'seal.key')
  await writeFile(seal, randomBytes(32), { mode: 0o600 })
  dataDir = join(await folder(), 'data')
})

async function start(init: Partial<PeerInit>): Promise<Peer> {
  const peer = await createPeer({
    ...{ dataDir, seal, memoryBytes: 400e6, mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] },
    ...init
  })
  peers.push(peer)
  return peer
}

async function within<T>(work: () => Promise<T>): Promise<T> {
  const close = await openSealed(dataDir, seal)
  try {
    return await work()
  } finally {
    close()
  }
}

/** Which of these words or bytes lie somewhere on the disk, names included. */
async function seen(...secrets: readonly (string | Uint8Array)[]): Promise<unknown[]> {
  const all = await allUnder(dataDir)
  return secrets.filter(secret => all.includes(typeof secret === 'string' ? secret : Buffer.from(secret)))
}

it('a membership, and an audit log that is whole', { timeout: 60_000 }, async () => {
  const keys = await folder()
  const [file, authority] = [join(keys, 'swarm.json'), join(keys, 'authority.key')]
  await initMembers({ file, authority, name: 'telling-swarm' })
  const text = await inviteMember(authority, { roles: ['driver', 'stage'], lifeMs: 3_600_000 })
  await within(() => joinSwarm(text, dataDir))
  const member = (await within(() => readMemberFile(dataDir)))!
  const peer = await start({ audit: true, model: 'stories15m' })
  await expect.poll(() => peer.status().models[0]?.coverage.every(n => n > 0), { timeout: 30_000 }).toBe(true)
  for (let i = 0; i < 3; i++) {
    const generation = peer.generate('Once upon a telling time', { maxTokens: 4 })
    for await (const _ of generation);
  }
  await peers.pop()!.stop()

  const [secret] = member.secrets
  const text64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const secrets = [member.discovery, secret!.secret, member.authority, member.certificate.subarray(0, 40)]
  const words = ['telling', 'authority', 'certificate', 'audit', 'outcome', 'stories15m', peer.id]
  expect(await seen(...words, ...secrets, ...secrets.map(text64))).toEqual([])

  await expect(verifyAudit(dataDir)).rejects.toMatchObject({ name: 'SealError' })
  await expect(membersOf(dataDir)).rejects.toMatchObject({ name: 'SealError' })
  await within(async () => {
    expect((await membersOf(dataDir)).name).toBe('telling-swarm')
    const report = await verifyAudit(dataDir)
    expect(report).toMatchObject({ problem: null, knownBy: 'key' })
    const lines: unknown[] = []
    for await (const { line } of tailAudit(dataDir, { lines: 100 })) lines.push(line.msg)
    expect(lines.length).toBeGreaterThan(4)
  })
  // The next start goes on with the chain.
  await start({ audit: true, model: 'stories15m' })
  await peers.pop()!.stop()
  await within(async () => expect(await verifyAudit(dataDir)).toMatchObject({ problem: null }))
})

it('a graph, which its process opens to memory', { timeout: 60_000, ...needs(whyNotInstalled()) }, async () => {
  const source = join(await folder(), 'telling.onnx')
  await writeFile(source, tripled())
  await within(() => importGraph({ source, dataDir, name: 'telling-graph' }))
  const peer = await start({ swarm: newSwarm('sealed'), model: 'telling-graph' })
  await expect.poll(() => peer.status().models[0]?.coverage[0], { timeout: 30_000 }).toBe(1)
  const x = { type: 'float32' as const, dims: [1, 4], data: Float32Array.of(1, 2, 3, 4) }
  const { outputs } = await peer.infer('telling-graph', { x })
  expect(Object.values(outputs).map(({ data }) => [...data])).toContainEqual([3, 6, 9, 12])
  expect(await seen('telling', tripled().subarray(8, 40))).toEqual([])
})

it('what comes from a hub, broken off or whole', { timeout: 60_000 }, async () => {
  const source = join(await folder(), 'source')
  await writeTiny(source, { files: 2 })
  const server = await HubServer.start(source)
  try {
    const weights = await readFile(join(source, 'model-00002-of-00002.safetensors'))
    const fetchIt = () =>
      fetchModel({
        ...{ repo: 'someone/telling', endpoint: server.address, dataDir, name: 'telling' },
        retryDelayMs: 1
      })
    server.intercept = (_host, request, response) => {
      if (request.method !== 'GET' || !/00002-of/.test(request.url!) || request.headers.range !== undefined)
        return false
      response.writeHead(200, { 'content-length': String(weights.length) })
      response.write(weights.subarray(0, weights.length >> 1), () => setTimeout(() => response.destroy(), 20))
      return true
    }
    const kept: string[] = []
    const fetched = await within(async () => {
      const { source, dir } = await fetchIt()
      kept.push(dir)
      return source
    })
    // It went on where it ended: a range was asked for.
    expect(server.asked.length).toBeGreaterThan(0)
    expect(await seen('telling', 'someone', 'safetensors', 'config', weights.subarray(weights.length - 64))).toEqual([])
    const model = await within(() => importModel({ source: fetched, dataDir, name: 'telling' }))
    expect(model.manifest.name).toBe('telling')
    const before = (await filesUnder(dataDir)).length
    await within(() => dropFetch(kept[0]!))
    expect((await filesUnder(dataDir)).length).toBeLessThan(before)
  } finally {
    await server.close()
  }
})

it('what has come of a file when its process dies: the next one goes on, and a chunk that is half there comes again', async () => {
  const content = new Uint8Array(randomBytes(3 * chunkBytes - 100))
  const signal = AbortSignal.timeout(20_000)
  const chunk = (i: number): Uint8Array => content.subarray(i * chunkBytes, (i + 1) * chunkBytes)
  await within(async () => {
    const store = await openStore({ own: join(dataDir, 'models') })
    const digest = await store.digest(content)
    const file = { bytes: content.length, sha256: Buffer.from(digest).toString('hex') }
    const list = Buffer.concat(await Promise.all([0, 1, 2].map(i => store.digest(chunk(i)))))
    expect(digestOf(list, 1)).toHaveLength(32)
    const dead = await store.openPartial(file)
    await dead.write(2, chunk(2))
    await dead.write(0, chunk(0))
    // Nobody closes it. What a power cut leaves of another one: a byte of its slot is wrong.
    const folderName = (await readdir(dataDir))[0]
    expect(folderName).toBeDefined()
    const partial = await store.openPartial(file)
    const here = await partial.scan(list, { signal })
    expect([0, 1, 2].map(i => here.has(i))).toEqual([true, false, true])
    await partial.write(1, chunk(1))
    await partial.finish({ signal })
    expect(await store.readChunk(file, 1)).toEqual(chunk(1))
    await dead.close()
  })
  expect(await seen(chunk(1).subarray(100, 132), chunk(2).subarray(100, 132))).toEqual([])
})

it('and a file whose seal is broken is named, or made anew where that costs nothing; nothing else is touched', {
  timeout: 120_000
}, async () => {
  const swarm = newSwarm('sealed')
  const source = join(await folder(), 'source')
  await writeTiny(source)
  const model = await within(() => importModel({ source, dataDir, name: 'small', origin: 'tests' }))
  const first = await start({ swarm, model: 'small' })
  await peers.pop()!.stop()
  const all = await within(async () => {
    const paths = await filesBelow(dataDir)
    return paths.map(path => ({ within: path.slice(dataDir.length + 1), real: placeOf(path).real }))
  })
  expect(all.length).toBeGreaterThan(7)
  for (const { within: name, real } of all) {
    const before = await readFile(real)
    const spoilt = Uint8Array.from(before)
    spoilt[spoilt.length - 5]! ^= 1
    await writeFile(real, spoilt)
    const others = all.filter(other => other.real !== real && /identity|manifests|shards/.test(other.within))
    const contents = await Promise.all(others.map(other => readFile(other.real)))
    const warnings: string[] = []
    const started = await start({ swarm, model: 'small', onWarning: message => warnings.push(message) }).catch(
      (error: Error) => error
    )
    if (started instanceof Error) {
      expect(started).toMatchObject({ exitCode: 3 })
      expect(started.message).toMatch(/its seal is broken/)
      expect(started.message).toContain(name)
      expect(name).toMatch(/^identity\.key$|^models\/manifests\//)
      // It is not made anew: a copy may be put back.
      expect(Uint8Array.from(await readFile(real))).toEqual(spoilt)
    } else {
      expect(name).not.toMatch(/^identity/)
      expect(started.id).toBe(first.id)
      await peers.pop()!.stop()
    }
    for (const [i, other] of others.entries()) expect(await readFile(other.real)).toEqual(contents[i])
    await writeFile(real, before)
  }
  await within(() => verifyModel(dataDir, model.id, { signal: AbortSignal.timeout(10_000) }))
})
