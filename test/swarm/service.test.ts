import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ShardId } from '../../src/base/ids.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf, loadIdentity, verifySignature } from '../../src/swarm/identity.ts'
import { encodeRecord, readRecord } from '../../src/swarm/record.ts'
import { encodeRecordsFrame } from '../../src/swarm/records-frame.ts'
import { recordsProtocol } from '../../src/swarm/records-service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { newSwarm, swarmSecret, swarmTag } from '../../src/swarm/swarm-file.ts'
import { connectedCount, until, World } from './real-peers.ts'

let world: World
beforeEach(async () => {
  world = await World.create()
})
afterEach(async () => {
  await world.close()
})

const signal = (): AbortSignal => AbortSignal.timeout(10_000)
const everyone = (swarms: readonly Swarm[]): boolean =>
  swarms.every(swarm => connectedCount(swarm) === swarms.length - 1)
const recordOf = (viewer: Swarm, of: Swarm) => viewer.records().find(({ record }) => record.peer === of.id)

/** A member of the swarm that speaks whatever a test wants: a host without the service. */
async function rogue(of: World, isWanted: (id: string) => boolean = () => true): Promise<Host> {
  let identity = identityOf(await generateKeyPair('Ed25519'))
  while (!isWanted(identity.id)) identity = identityOf(await generateKeyPair('Ed25519'))
  return Host.start({ identity, secret: swarmSecret(of.config), listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'rogue' })
}

describe('a swarm of real peers', () => {
  it('three peers on one machine find each other, the last one late', async () => {
    const a = await world.start('a')
    const b = await world.start('b')
    await until(() => everyone([a, b]), 'two know each other')
    const c = await world.start('c')
    await until(() => everyone([a, b, c]), 'three know each other')
    await until(
      () => a.discovery().some(({ state }) => state === '2 on this machine, 2 connected'),
      'the folder of neighbours says so'
    )
    expect(a.violations()).toEqual({})
  })

  it('peers find each other through one address and through records: a line becomes a mesh', async () => {
    const only = { neighbours: false }
    const a = await world.start('a', only)
    const b = await world.start('b', { ...only, bootstrap: [...a.addresses] })
    // Without the id at its end, as a person may write it.
    const bare = b.addresses[0]!.replace(/\/p2p\/.*/, '')
    const c = await world.start('c', { ...only, bootstrap: [bare] })
    await until(() => everyone([a, b, c]), 'everyone is connected to everyone')
    await until(() => c.discovery().some(({ state }) => state === '1 given, 1 connected'), 'static says so')
  })

  it('an address where nobody is yet is tried until somebody is', async () => {
    const only = { neighbours: false }
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    await once(server, 'close')
    const address = `/ip4/127.0.0.1/tcp/${port}`
    const a = await world.start('a', { ...only, bootstrap: [address] })
    await until(() => a.discovery().some(({ state }) => state.includes('ECONNREFUSED')), 'the failure is shown')
    const b = await world.start('b', { ...only, listen: [address] })
    await until(() => everyone([a, b]), 'they meet')
  })

  it('a changed record reaches the others at once, changes in a row as one', async () => {
    const [a, b, c] = [await world.start('a'), await world.start('b'), await world.start('c')]
    await until(() => everyone([a, b, c]), 'three know each other')
    await new Promise(resolve => setTimeout(resolve, 600))
    let news = 0
    b.addEventListener('record', ({ detail }) => {
      if (detail.peer === a.id) news++
    })
    for (let i = 1; i <= 5; i++) a.announce({ budgetBytes: i })
    a.announce({ load: { sessions: 3, queuedSteps: 0 } })
    await until(() => recordOf(b, a)?.record.budgetBytes === 5 && recordOf(c, a)?.record.budgetBytes === 5, 'news')
    expect(recordOf(b, a)?.record.load.sessions).toBe(3)
    expect(news).toBe(1)
  })

  it('R10: a goodbye removes a peer at once', async () => {
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'two know each other')
    const left: string[] = []
    a.addEventListener('leave', ({ detail }) => left.push(detail.peer))
    await b.stop()
    await b.stop()
    await until(() => left.includes(b.id), 'the goodbye arrives')
    expect(a.records().map(({ record }) => record.peer)).toEqual([a.id])
  })

  it('a peer that vanishes stays for a while, but not as connected', async () => {
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'two know each other')
    // Its connection breaks under it, without a goodbye.
    const links = a.links as Host
    links.disconnect(b.id, 'test')
    expect(recordOf(a, b)).toBeDefined()
    await until(() => recordOf(a, b)?.connected === false, 'it shows')
    await until(() => recordOf(a, b)?.connected === true, 'and they meet again')
  })

  it('a peer with another secret sees nothing, and is counted on both sides', async () => {
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'two know each other')
    const stranger = await world.start('x', { config: newSwarm('test'), bootstrap: [...a.addresses, ...b.addresses] })
    await until(
      () =>
        (stranger.violations()['refused handshake'] ?? 0) >= 2 && (a.violations()['unfinished handshake'] ?? 0) >= 1,
      'handshakes are refused'
    )
    expect(stranger.records().map(({ record }) => record.peer)).toEqual([stranger.id])
    expect(a.records().some(({ record }) => record.peer === stranger.id)).toBe(false)
    expect(a.discovery().some(({ state }) => state.includes('other swarm or wrong secret'))).toBe(true)
    await until(
      () => stranger.discovery().some(({ way, state }) => way === 'static' && state.includes('another swarm')),
      'the stranger is told why'
    )
    expect(everyone([a, b])).toBe(true)
  })

  it('a restart keeps identity and known peers: they meet again without any other way', async () => {
    const only = { neighbours: false }
    const listenB = { ...only, listen: ['/ip4/127.0.0.1/tcp/0'] }
    const b = await world.start('b', listenB)
    const a = await world.start('a', { ...only, bootstrap: [...b.addresses] })
    await until(() => everyone([a, b]), 'they meet')
    const seq = recordOf(a, a)!.record.seq
    await new Promise(resolve => setTimeout(resolve, 300))
    await a.stop()
    const again = await world.start('a', only)
    expect(again.id).toBe(a.id)
    await until(() => everyone([again, b]), 'they meet again')
    expect(again.discovery()).toContainEqual({ way: 'remembered', state: '1 remembered, 1 connected' })
    expect(recordOf(again, again)!.record.seq).toBeGreaterThan(seq)
  })

  it('who comes back is spoken to at once, however often its last connection refused', async () => {
    const a = await world.start('a', { neighbours: false })
    // One of an older version: the smaller id opens the channel.
    const x = await rogue(world, id => id > a.id)
    const askedMs: number[] = []
    await x.handle({ ...recordsProtocol, revisions: ['1.1.0'] }, { inboundMax: 8, frameBytesMax: 1 << 20 }, channel => {
      askedMs.push(performance.now())
      channel.abort(new Error('not now'))
    })
    const address = [multiaddr(a.addresses[0]!)]
    await x.dial(address, { signal: signal() })
    // At once, and after 0.5, 1, 2 and 4 s: by then the next would come after 5 s.
    await until(() => askedMs.length === 5, 'it is asked less and less often', 30_000)
    x.disconnect(a.id, 'test')
    await until(() => !x.connectedPeers.has(a.id), 'it is gone')
    await x.dial(address, { signal: signal() })
    await until(() => askedMs.length === 8, 'it is asked again', 30_000)
    // Compared with what the waits were before: loaded machines delay all of them.
    expect(askedMs[7]! - askedMs[5]!).toBeLessThan(askedMs[4]! - askedMs[3]!)
    await x.stop()
  }, 120_000)

  it('R8: an older record never wins, not through the DHT either', async () => {
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'two know each other')
    const identity = await loadIdentity(join(world.root, 'b'))
    const old = { ...recordOf(a, b)!.record, seq: 1, budgetBytes: 666 }
    const value = encodeRecord(old, identity.sign)
    expect(readRecord(value).peer).toBe(b.id)
    const x = await rogue(world)
    await x.dial([multiaddr(a.addresses[0]!)], { signal: signal() })
    // Pushed by a member with a true signature …
    const push = await openRecords(x, a)
    push.channel.send(encodeRecordsFrame([value]))
    // … and put into the DHT, where the holder refuses it.
    const key = new TextEncoder().encode(`/skein/${b.id}`)
    await until(() => x.connectedPeers.has(a.id), 'connected')
    let refused = 0
    for (let i = 0; i < 20 && refused === 0; i++) {
      for await (const event of x.dht.put(key, value, { signal: signal() })) {
        if (event.name === 'QUERY_ERROR') refused++
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(refused).toBeGreaterThan(0)
    expect(recordOf(a, b)?.record.budgetBytes).toBe(0)
    b.announce({ budgetBytes: 5 })
    await until(() => recordOf(a, b)?.record.budgetBytes === 5, 'the true one goes on')
    await x.stop()
  })

  it('R13: a record can be looked up in the DHT, the last one that was published', async () => {
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'two know each other')
    const stranger = identityOf(await generateKeyPair('Ed25519')).id
    expect(await a.lookup(stranger, { signal: signal() })).toBeUndefined()
    expect((await a.lookup(b.id, { signal: signal() }))?.peer).toBe(b.id)
    await expect(a.lookup(b.id, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    // Someone without a records channel has only the DHT.
    const x = await rogue(world)
    await x.dial([multiaddr(a.addresses[0]!)], { signal: signal() })
    let found = 0
    for (let i = 0; i < 100 && found === 0; i++) {
      try {
        for await (const event of x.dht.get(new TextEncoder().encode(`/skein/${b.id}`), { signal: signal() })) {
          if (event.name === 'VALUE') found = readRecord(event.value).verified(verifySignature).seq
        }
      } catch {
        // Not there yet.
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(found).toBeGreaterThan(0)
    await x.stop()
  })

  it('R12: garbage and oversized frames end that channel, are counted, and nothing else suffers', async () => {
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'two know each other')
    const x = await rogue(world)
    await x.dial([multiaddr(a.addresses[0]!)], { signal: signal() })

    const garbage = await openRecords(x, a)
    garbage.channel.send(Uint8Array.of(0xff, 0xff, 0xff))
    await until(() => (a.violations()['bad records frame'] ?? 0) === 1, 'garbage is counted')

    const violations: string[] = []
    a.addEventListener('violation', ({ detail }) => violations.push(`${detail.peer} ${detail.kind}`))
    const oversized = await openRecords(x, a)
    oversized.channel.send(new Uint8Array(1 << 20))
    await until(() => oversized.closed(), 'the channel ends')
    await until(() => violations.includes(`${x.self} bad frame`), 'it is counted')

    b.announce({ budgetBytes: 9 })
    await until(() => recordOf(a, b)?.record.budgetBytes === 9, 'records go on')
    expect(everyone([a, b])).toBe(true)
    await x.stop()
  })

  it('provides shards and finds who holds them, those of newcomers and of the lonely', async () => {
    const shard = 'ab'.repeat(32) as ShardId
    const a = await world.start('a')
    // Alone: provided to nobody, told again to the first that comes.
    await a.provide([shard])
    const b = await world.start('b')
    await until(() => everyone([a, b]), 'two know each other')
    const find = async (): Promise<string[]> => {
      const found: string[] = []
      for await (const peer of b.findProviders(shard, { signal: signal() })) found.push(peer)
      return found
    }
    let found: string[] = []
    for (let i = 0; i < 50 && found.length === 0; i++) {
      found = await find()
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    expect(found).toEqual([a.id])
    expect(await b.provide(['cd'.repeat(32) as ShardId])).toBeUndefined()
    await a.stop()
    await until(() => b.records().length === 1, 'a is gone')
    expect(await find()).toEqual([])
  })

  /** A records channel of a rogue to a peer; the peer may have opened one first, so it is asked for anew. */
  async function openRecords(from: Host, to: Swarm) {
    const channel = await from.open(to.id, { ...recordsProtocol, revisions: ['1.1.0'] }, { signal: signal() })
    let ended = false
    channel.receive({
      onFrame: () => {},
      onClose: () => {
        ended = true
      }
    })
    return { channel, closed: () => ended }
  }
})

describe('a peer that cannot start', () => {
  it('says which address it cannot listen on', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const address = `/ip4/127.0.0.1/tcp/${port}`
    await expect(world.start('a', { listen: ['/ip4/127.0.0.1/tcp/0', address] })).rejects.toMatchObject({
      name: 'ListenError',
      message: `${address} cannot be listened on: the port is in use`
    })
    server.close()
    // Nothing is left behind: the directory is free again.
    await world.start('a')
  })

  it.each(['nonsense', '/ip4/127.0.0.1', '/ip4/127.0.0.1/udp/5', '/dns4/example.org/tcp/80', '/ip4/1.2.3.4/tcp/0'])(
    'refuses to listen on %s',
    async address => {
      await expect(world.start('a', { listen: [address] })).rejects.toMatchObject({
        name: 'ListenError',
        message: expect.stringContaining(address)
      })
    }
  )

  it('refuses a bootstrap address that is none', async () => {
    await expect(world.start('a', { bootstrap: ['192.168.1.1:4001'] })).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringContaining('192.168.1.1:4001')
    })
  })

  it('is refused a directory that another one uses', async () => {
    await world.start('a')
    await expect(world.start('a')).rejects.toMatchObject({ name: 'DataDirectoryError' })
  })

  it('ends its start when its signal does', async () => {
    const reason = new Error('changed my mind')
    await expect(world.start('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await world.start('a')
  })
})

describe('the folder of neighbours', () => {
  it('is checked, never trusted: what others put there neither breaks nor fools a peer', async () => {
    const folder = join(world.root, 'neighbours', swarmTag(swarmSecret(world.config)))
    await mkdir(folder, { recursive: true })
    const fake = async (): Promise<string> => identityOf(await generateKeyPair('Ed25519')).id
    await writeFile(join(folder, `${await fake()}.json`), 'not json')
    await writeFile(join(folder, `${await fake()}.json`), JSON.stringify({ addresses: ['nonsense'], pid: 1 }))
    await writeFile(join(folder, `${await fake()}.json`), JSON.stringify({ addresses: 'x'.repeat(10_000), pid: 1 }))
    await writeFile(join(folder, 'readme.txt'), 'hello')
    await symlink('/etc/passwd', join(folder, `${await fake()}.json`))
    await mkdir(join(folder, `${await fake()}.json`))
    const a = await world.start('a')
    // An address of a, under the name of somebody else.
    await writeFile(join(folder, `${await fake()}.json`), JSON.stringify({ addresses: [a.addresses[0]], pid: 1 }))
    // What a member wrote, with other addresses: its code does not fit them.
    const [name] = (await readdir(folder)).filter(each => each === `${a.id}.json`)
    const { code } = JSON.parse(await readFile(join(folder, name!), 'utf8')) as { code: string }
    const changed = JSON.stringify({ addresses: [a.addresses[0]], pid: 1, code })
    await writeFile(join(folder, `${await fake()}.json`), changed)
    const b = await world.start('b')
    await until(() => everyone([a, b]), 'the true ones meet')
    expect(a.records().length).toBe(2)
    // Only files without a code, of this very user, are given a chance: an older version writes them.
    expect(b.discovery().find(({ way }) => way === 'neighbours')?.state).toBe('2 on this machine, 1 connected')
  })

  it('in which somebody has taken its name still shows it the others', async () => {
    const folder = join(world.root, 'neighbours', swarmTag(swarmSecret(world.config)))
    await mkdir(join(world.root, 'a'), { mode: 0o700 })
    const { id } = await loadIdentity(join(world.root, 'a'))
    // Another user's file of that name cannot be replaced in a folder like /tmp; neither can a folder, by anybody.
    await mkdir(join(folder, `${id}.json`, 'x'), { recursive: true })
    const [a, b] = [await world.start('a'), await world.start('b')]
    await until(() => everyone([a, b]), 'they meet')
    expect(a.discovery().find(({ way }) => way === 'neighbours')?.state).toContain('cannot be written')
  })

  it('is left clean, and what a dead process of the same user left is tidied away', async () => {
    const folder = join(world.root, 'neighbours', swarmTag(swarmSecret(world.config)))
    await mkdir(folder, { recursive: true })
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    const stale = join(folder, `${identityOf(await generateKeyPair('Ed25519')).id}.json`)
    await writeFile(stale, JSON.stringify({ addresses: ['/ip4/127.0.0.1/tcp/1'], pid: child.pid }))
    const longAgo = new Date(Date.now() - 3_600_000)
    await utimes(stale, longAgo, longAgo)
    const a = await world.start('a')
    expect(await readdir(folder)).toEqual([`${a.id}.json`])
    expect(JSON.parse(await readFile(join(folder, `${a.id}.json`), 'utf8'))).toEqual({
      addresses: a.addresses.map(address => address.replace(/\/p2p\/.*/, '')),
      pid: process.pid,
      code: expect.any(String)
    })
    await a.stop()
    expect(await readdir(folder)).toEqual([])
  })
})
