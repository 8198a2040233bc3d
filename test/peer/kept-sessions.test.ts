/** Sessions as a peer's users name them, on real peers: names, times and keys, and who can go on with what. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import { keepTtlMaxMs } from '../../src/keep/limits.ts'
import { keepTtlMinMs } from '../../src/peer/limits.ts'
import { KeptSessions, type KeptSessionInit } from '../../src/peer/kept-sessions.ts'
import type { AnswerKeeper } from '../../src/session/parts.ts'
import { connectedCount, until, World } from '../swarm/real-peers.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'

let world: World
let swarms: Swarm[] = []
let kept: KeptSessions[] = []
const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const key = new Uint8Array(32).fill(7)
const model = 'ab'.repeat(32) as ModelId
const [liar, helper] = ['a', 'b'].map(letter => `12D3KooW${letter.repeat(44)}` as PeerId) as [PeerId, PeerId]
const question = {
  promptIds: [1, 2, 3],
  sampling: { temperature: 0.5, topP: 0.9, topK: 40, seed: 7 },
  maxTokens: 100
}

async function start(name: string): Promise<KeptSessions> {
  const swarm = await world.start(name)
  swarms.push(swarm)
  const sessions = await KeptSessions.start({ swarm, dataDir: join(world.root, name), keeping: new Keeping(() => {}) })
  kept.push(sessions)
  return sessions
}

/** So many peers, connected to one another. */
async function all(...names: string[]): Promise<KeptSessions[]> {
  for (const name of names) await start(name)
  await until(() => swarms.every(swarm => connectedCount(swarm) === names.length - 1), 'all are connected')
  return kept
}

async function begin(
  sessions: KeptSessions,
  session: KeptSessionInit,
  { after = 0, ids = [] as number[], peers = [] as readonly PeerId[], onWarning = (_: string): void => {} } = {}
): Promise<AnswerKeeper> {
  const keep = await sessions.keep(session, { model, after, peers, classes: () => ['x'] })
  return keep({ ...question, ids, exact: true }, onWarning)
}

beforeEach(async () => {
  world = await World.create()
})
afterEach(async () => {
  await Promise.all(kept.map(sessions => sessions.stop()))
  kept = []
  swarms = []
  await world.close()
})

describe('what a session is called', () => {
  it.each(['', 'a'.repeat(129), 'a\nb', 'a\u202eb', 'a\u2028'])('cannot be %j', async name => {
    const sessions = await start('a')
    const refused = { name: 'InvalidOptionError', message: expect.stringContaining('1 to 128 characters') }
    await expect(begin(sessions, { name, key })).rejects.toMatchObject(refused)
    await expect(sessions.find({ name, key }, { signal: signal() })).rejects.toMatchObject(refused)
    await expect(sessions.forget({ name, key }, { signal: signal() })).rejects.toMatchObject(refused)
  })

  it('counts as people count characters', async () => {
    const sessions = await start('a')
    await begin(sessions, { name: '🛰'.repeat(128), key })
  })

  it.each([0, keepTtlMinMs - 1, keepTtlMaxMs + 1, 1.5e3 + 0.5, Number.NaN])('is not kept for %d ms', async ttlMs => {
    const sessions = await start('a')
    await expect(begin(sessions, { name: 'story', key, ttlMs })).rejects.toMatchObject({ name: 'InvalidOptionError' })
  })

  it('takes 32 bytes as its key, given or in a file', async () => {
    const sessions = await start('a')
    const file = join(world.root, 'short.key')
    await writeFile(file, key.subarray(1))
    const cases: [Uint8Array | string, string][] = [
      [key.subarray(1), 'a session key has 32 bytes, not 31'],
      [file, `${file} is no session key`],
      [join(world.root, 'none'), 'there is no key file']
    ]
    for (const [wrong, message] of cases) {
      await expect(begin(sessions, { name: 'story', key: wrong })).rejects.toMatchObject({
        name: 'InvalidKeyError',
        message: expect.stringContaining(message)
      })
    }
  })
})

describe('a session that is kept', () => {
  it('is found by whoever has the key, as it was, and goes on under a newer version', async () => {
    const [driver, other] = (await all('a', 'b', 'c')) as [KeptSessions, KeptSessions]
    const file = join(world.root, 'session.key')
    await writeFile(file, key, { mode: 0o600 })
    const keeper = await begin(driver, { name: 'story', key: file, ttlMs: 60_000 })
    keeper.routed([liar, helper])
    for (const id of [5, 6, 7]) keeper.token(id)
    keeper.end('length')
    const find = () => other.find({ name: 'story', key }, { signal: signal() })
    await expect.poll(async () => (await find().catch(() => undefined))?.stop, { timeout: 15_000 }).toBe('length')
    const found = await find()
    expect(found).toMatchObject({ ...question, model, ids: [5, 6, 7], exact: true, classes: ['x'], ttlMs: 60_000 })

    const second = await begin(
      other,
      { name: 'story', key },
      {
        after: found.version,
        ids: [...found.ids],
        peers: found.peers
      }
    )
    second.token(8)
    second.inexact()
    second.end('eos')
    await expect.poll(async () => (await find()).stop, { timeout: 15_000 }).toBe('eos')
    const whole = await find()
    expect(whole).toMatchObject({ ids: [5, 6, 7, 8], exact: false, stop: 'eos' })
    expect(whole.version).toBeGreaterThan(found.version)
    // Who has computed it is known: of what somebody did who was found out nothing is left but the question.
    expect(whole.peers).toEqual([liar, helper])
    const refuted = new Set([liar])
    const left = await other.find({ name: 'story', key }, { signal: signal(), refuted })
    expect(left).toMatchObject({ ...question, model, ids: [], exact: true, peers: [], voidBy: liar })
    expect(left.stop).toBeUndefined()
  }, 120_000)

  it('without a key is that of the peer that was asked, and of no other', async () => {
    const [driver, other] = (await all('a', 'b', 'c')) as [KeptSessions, KeptSessions]
    const keeper = await begin(driver, { name: 'story' })
    keeper.token(5)
    keeper.end('length')
    const find = (sessions: KeptSessions) => sessions.find({ name: 'story' }, { signal: signal() })
    await expect.poll(async () => (await find(driver).catch(() => undefined))?.ids, { timeout: 15_000 }).toEqual([5])
    await expect(find(other)).rejects.toMatchObject({ name: 'UnknownSessionError', exitCode: 4 })
    // The key comes from the identity on disk: a restart changes nothing.
    await driver.stop()
    const again = await KeptSessions.start({
      swarm: swarms[0]!,
      dataDir: join(world.root, 'a'),
      keeping: new Keeping(() => {})
    })
    kept[0] = again
    expect((await find(again)).ids).toEqual([5])
  }, 120_000)

  it('is forgotten by all who keep it', async () => {
    const [driver, other] = (await all('a', 'b', 'c')) as [KeptSessions, KeptSessions]
    const keeper = await begin(driver, { name: 'story', key })
    keeper.token(5)
    keeper.end('length')
    const named = { name: 'story', key }
    await expect
      .poll(async () => (await other.find(named, { signal: signal() }).catch(() => undefined))?.stop, {
        timeout: 15_000
      })
      .toBe('length')
    expect(await other.forget(named, { signal: signal() })).toBeGreaterThan(0)
    await expect(driver.find(named, { signal: signal() })).rejects.toMatchObject({ name: 'UnknownSessionError' })
    expect(await other.forget(named, { signal: signal() })).toBe(0)
  }, 120_000)

  it('with nobody to keep it says so, and ends nothing', async () => {
    const sessions = await start('a')
    const warned = Promise.withResolvers<string>()
    const keeper = await begin(sessions, { name: 'story', key }, { onWarning: warned.resolve })
    keeper.routed([helper])
    keeper.token(5)
    expect(await warned.promise).toBe('session story is kept by no other peer: no more are reachable that can keep it')
    keeper.end('length')
  })
})
