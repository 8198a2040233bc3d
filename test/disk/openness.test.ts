/** Secrets that everybody on the machine can read: peers say so, and use them all the same. */
import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openToAll } from '../../src/disk/openness.ts'
import { createPeer, initSwarm, makeKeyFile } from '../../src/index.ts'
import { openStore } from '../../src/model/store.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skein-test-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test.each([
  [0o600, false],
  [0o640, false],
  [0o660, false],
  [0o711, false],
  [0o604, true],
  [0o644, true],
  [0o602, true]
])('mode %o counts as open: %s', async (mode, isOpen) => {
  await chmod(dir, mode)
  expect((await openToAll('swarm file', dir)) !== undefined).toBe(isOpen)
})

test('what is not there is not open', async () => {
  expect(await openToAll('swarm file', join(dir, 'none'))).toBeUndefined()
})

test('a peer says which of what it uses is open, and keeps its own to itself', async () => {
  const swarm = join(dir, 'swarm.json')
  const key = join(dir, 'session.key')
  const dataDir = join(dir, 'data')
  await initSwarm(swarm)
  await makeKeyFile(key)
  await mkdir(dataDir, { mode: 0o700 })
  const warningsOf = async (): Promise<string[]> => {
    const warnings: string[] = []
    const peer = await createPeer({
      dataDir,
      swarm,
      memoryBytes: 256e6,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      onWarning: message => warnings.push(message)
    })
    try {
      const session = { name: 'a', key }
      for await (const event of peer.generate('Once', { maxTokens: 2, session }).events()) {
        if (event.event === 'warning' && event.message.includes('session key')) warnings.push(event.message)
      }
    } finally {
      await peer.stop()
    }
    return warnings.filter(message => message.includes('mode'))
  }
  expect(await warningsOf()).toEqual([])
  await chmod(dataDir, 0o755)
  await chmod(swarm, 0o644)
  await chmod(key, 0o644)
  expect(await warningsOf()).toEqual([
    `the data directory ${dataDir} is open to everybody on this machine (mode 755), and whoever reads it has what this peer keeps: chmod 700 closes it`,
    `the swarm file ${swarm} is open to everybody on this machine (mode 644), and whoever reads it can join the swarm: chmod 600 closes it`,
    `the session key ${key} is open to everybody on this machine (mode 644), and whoever reads it can resume the sessions kept with it: chmod 600 closes it`
  ])
}, 120_000)

test('an import that comes before the first start makes the data directory for its owner alone', async () => {
  const dataDir = join(dir, 'data')
  const store = await openStore({ own: join(dataDir, 'models') })
  await (await store.begin()).rollBack()
  for (const folder of [dataDir, join(dataDir, 'models'), join(dataDir, 'models', 'shards')]) {
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
  }
})
