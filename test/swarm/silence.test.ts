/** Silence with real peers: a process that is stopped, a link that drops everything, a link that is merely slow. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server, Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { PeerLostError } from '../../src/errors.ts'
import type { Channel } from '../../src/swarm/links.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { connectedCount, until, World } from './real-peers.ts'

const script = fileURLToPath(new URL('silence-peer.ts', import.meta.url))

let world: World
const children = new Set<ChildProcess>()
const servers = new Set<Server>()

beforeEach(async () => {
  world = await World.create()
})

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
  for (const server of servers) server.close()
  servers.clear()
  await world.close()
})

/** Starts a peer in a process of its own. */
async function start(name: string): Promise<{ child: ChildProcess; id: PeerId; address: string }> {
  const file = join(world.root, 'swarm.json')
  await writeFile(file, JSON.stringify(world.config))
  const child = spawn(
    process.execPath,
    ['--experimental-transform-types', '--no-warnings', script, join(world.root, name), file],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  children.add(child)
  for await (const line of createInterface({ input: child.stdout! })) {
    const { id, addresses } = JSON.parse(line)
    return { child, id, address: addresses[0] }
  }
  throw new Error('the peer ended before it began')
}

interface Watched {
  readonly channel: Channel
  closed: { error: Error | undefined; atMs: number } | undefined
}

async function watch(swarm: Swarm, peer: PeerId): Promise<Watched> {
  const channel = await swarm.links.open(
    peer,
    { name: '/test', revisions: ['1.0.0'] },
    { signal: AbortSignal.timeout(5000) }
  )
  const watched: Watched = { channel, closed: undefined }
  channel.receive({
    onFrame: () => {},
    onClose: error => {
      watched.closed = { error, atMs: performance.now() }
    }
  })
  return watched
}

/** A relay to a peer that lets so many bytes per second through each way, a segment at a time. */
async function shaped(address: string, bytesPerSecond: number): Promise<string> {
  const parts = address.split('/')
  const server = createServer(near => {
    const far = new Socket().setNoDelay(true).connect(Number(parts[4]), '127.0.0.1')
    near.setNoDelay(true)
    for (const [from, to] of [
      [near, far],
      [far, near]
    ] as const) {
      let freeMs = performance.now()
      from.on('data', async data => {
        from.pause()
        for (let at = 0; at < data.length; at += 1400) {
          const packet = data.subarray(at, at + 1400)
          freeMs = Math.max(freeMs, performance.now()) + (packet.length / bytesPerSecond) * 1000
          await new Promise(resolve => setTimeout(resolve, freeMs - performance.now()))
          if (!to.destroyed) to.write(packet)
        }
        from.resume()
      })
      from.on('close', () => to.destroy())
      from.on('error', () => to.destroy())
    }
  })
  servers.add(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return address.replace(`/tcp/${parts[4]}/`, `/tcp/${port}/`)
}

/** A relay to a peer that, once it is told so, lets nothing of it through any more, though all that is said to it. */
async function oneWay(address: string): Promise<{ address: string; deafen: () => void }> {
  const parts = address.split('/')
  let deaf = false
  const server = createServer(near => {
    const far = new Socket().setNoDelay(true).connect(Number(parts[4]), '127.0.0.1')
    near.setNoDelay(true)
    near.on('data', data => far.write(data))
    far.on('data', data => {
      if (!deaf) near.write(data)
    })
    for (const [from, to] of [
      [near, far],
      [far, near]
    ] as const) {
      from.on('close', () => to.destroy())
      from.on('error', () => to.destroy())
    }
  })
  servers.add(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    address: address.replace(`/tcp/${parts[4]}/`, `/tcp/${port}/`),
    deafen: () => {
      deaf = true
    }
  }
}

it('L4: a process that is stopped is missed at once by whoever depends on it, and is back when it runs again', async () => {
  const { child, id, address } = await start('stopped')
  const other = await start('other')
  const swarm = await world.start('a', { neighbours: false, bootstrap: [address, other.address] })
  await until(() => connectedCount(swarm) === 2, 'they meet')
  const watched = await watch(swarm, id)
  await until(() => swarm.rttMs(id) !== undefined, 'a round trip is measured')
  // Its limit is wider until the link has shown something.
  await new Promise(resolve => setTimeout(resolve, 2000))
  const stoppedMs = performance.now()
  child.kill('SIGSTOP')
  await until(() => watched.closed !== undefined, 'it is missed')
  const { error, atMs } = watched.closed!
  expect(error).toBeInstanceOf(PeerLostError)
  expect(error).toMatchObject({ peer: id, reason: 'silent' })
  // What a LAN needs is held in virtual time; this only tells a heartbeat from TCP, which would need minutes.
  expect(atMs - stoppedMs).toBeLessThan(3000)
  expect(connectedCount(swarm)).toBe(1)
  child.kill('SIGCONT')
  await until(() => connectedCount(swarm) === 2, 'it comes back')
  const again = await watch(swarm, id)
  await new Promise(resolve => setTimeout(resolve, 1500))
  expect(again.closed).toBeUndefined()
}, 120_000)

it('L2: bulk over a slow link never makes a healthy peer look dead, in either direction', async () => {
  const { id, address } = await start('slow')
  const swarm = await world.start('a', { neighbours: false, bootstrap: [await shaped(address, 100_000)] })
  await until(() => connectedCount(swarm) === 1, 'they meet')
  const watched = await watch(swarm, id)
  // One frame of five seconds: it is all or nothing for whoever counts frames.
  const startMs = performance.now()
  watched.channel.send(new Uint8Array(500_000))
  const beats = await watch(swarm, id)
  while (performance.now() - startMs < 6500) {
    expect(watched.closed).toBeUndefined()
    expect(connectedCount(swarm)).toBe(1)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  expect(beats.closed).toBeUndefined()
  expect(swarm.violations()).toEqual({})
}, 120_000)

it('L9: where one hears the other and not the other way round, both come to know that the link is at fault', async () => {
  const a = await world.start('a', { neighbours: false })
  const { address, deafen } = await oneWay(a.addresses[0]!)
  // They are connected before they hear of each other's other addresses.
  const b = await world.start('b', { neighbours: false, bootstrap: [address] })
  await until(() => connectedCount(b) === 1, 'two meet')
  await world.start('c', { neighbours: false, bootstrap: [...a.addresses, ...b.addresses] })
  await until(() => [a, b].every(swarm => connectedCount(swarm) === 2), 'all meet')
  for (const { links } of [a, b]) {
    await links.handle({ name: '/test', revisions: ['1.0.0'] }, { inboundMax: 4, frameBytesMax: 100 }, channel =>
      channel.receive({ onFrame: () => {}, onClose: () => {} })
    )
  }
  const [onA, onB] = [await watch(a, b.id), await watch(b, a.id)]
  await until(() => b.rttMs(a.id) !== undefined, 'a round trip is measured')
  await new Promise(resolve => setTimeout(resolve, 2000))
  // What a says does not come to b any more.
  deafen()
  await until(() => onA.closed !== undefined && onB.closed !== undefined, 'both ends know')
  expect(onB.closed!.error).toMatchObject({ peer: a.id, reason: 'unheard' })
  expect(onA.closed!.error).toMatchObject({ peer: b.id, reason: 'unheard' })
  expect(Math.abs(onA.closed!.atMs - onB.closed!.atMs)).toBeLessThan(3000)
}, 120_000)

const walls = [
  [
    'one peer',
    'ip rule add pref 5 from 127.0.0.2 blackhole && ip rule add pref 6 to 127.0.0.2 blackhole',
    ['silent', 'unheard']
  ],
  ['everybody', 'ip link set lo down', ['alone']]
] as const

it.for(walls)('L4, L5: packets of %s are dropped', { timeout: 30_000 }, async ([, wall, reasons], context) => {
  const before = 'ip link set lo up && ip rule add pref 10 lookup local && ip rule del pref 0'
  try {
    execFileSync('unshare', ['-n', 'sh', '-c', `${before} && ${wall}`], { stdio: 'pipe' })
  } catch (error) {
    context.skip(`packets cannot be dropped here (${(error as Error).message.trim().split('\n').at(-1)})`)
  }
  const file = join(world.root, 'swarm.json')
  await writeFile(file, JSON.stringify(world.config))
  const dropper = fileURLToPath(new URL('silence-drop.ts', import.meta.url))
  const run = `${before} && exec "$0" --experimental-transform-types --no-warnings "$1" "$2" "$3"`
  const options = { timeout: 25_000, encoding: 'utf8' } as const
  const output = execFileSync('unshare', ['-n', 'sh', '-c', run, process.execPath, dropper, world.root, wall], options)
  const lost = JSON.parse(output)
  // Where the wall lets through what the third peer and the lost one say to each other, it is heard elsewhere.
  expect(reasons).toContain(lost.reason)
  expect(lost.ms).toBeLessThan(3000)
})
