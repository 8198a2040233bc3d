/**
 * Run as a process of its own, in a network namespace with loopback alone: three peers, one of which is lost, a stranger who multicasts wrong addresses
 * for their ids and for ids of nobody, and a peer that comes while he does. Prints one line of JSON.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromString } from '@libp2p/peer-id'
import type { PeerId } from '../../src/base/ids.ts'
import type { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import { encodeAnswer, encodeQuestion, mdnsService } from '../../src/swarm/mdns-packet.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import { newSwarm, swarmSecret, swarmTag } from '../../src/swarm/swarm-file.ts'
import { connectedCount, until } from './real-peers.ts'

const root = await mkdtemp(join(tmpdir(), 'skein-test-'))
const config = newSwarm('test')
const common = { listen: ['/ip4/127.0.0.1/tcp/0'], neighbours: false, config }
const a = await createSwarm({ ...common, dataDir: join(root, 'a') })
const b = await createSwarm({ ...common, dataDir: join(root, 'b') })
const d = await createSwarm({ ...common, dataDir: join(root, 'd') })
await until(() => [a, b, d].every(swarm => connectedCount(swarm) === 2), 'they meet', 20_000)
// It can be reached no more, and says nothing of it: the others look for it.
await (d.links as Host).stop()
let lost = 0
for (const swarm of [a, b]) {
  swarm.addEventListener('record', () => {
    if (connectedCount(swarm) === 0) lost++
  })
}

// Whoever believes the stranger comes here.
const dialed: string[] = []
const trap = createServer(socket => {
  dialed.push(String(socket.remotePort))
  socket.on('error', () => {})
}).listen(0, '127.0.0.1')
await once(trap, 'listening')
const { port } = trap.address() as { port: number }

const service = mdnsService(swarmTag(swarmSecret(config)))
const socket = createSocket({ type: 'udp4', reuseAddr: true })
// From an address of its own, as another machine would.
await new Promise<void>(resolve => socket.bind(0, '127.0.0.2', resolve))
socket.setMulticastInterface('127.0.0.1')
/** Wrong addresses of a peer; of a true one those come first at which the stranger waits. */
const wrong = (peer: PeerId, first: readonly string[]): Uint8Array => {
  const random = Array.from({ length: 4 }, () => 1025 + Math.floor(Math.random() * 60_000))
  const addresses = [...first, ...random.map(each => `/ip4/127.0.0.1/tcp/${each}`)]
  // A code, as a member makes one: of nobody's secret.
  const code = Buffer.from(random.join(' ')).toString('base64url')
  return encodeAnswer(service, `stranger${random[0]}`, { peer, addresses, code })
}
const nobody = await Promise.all(
  Array.from({ length: 20 }, async () => identityOf(await generateKeyPair('Ed25519')).id)
)
const trapped = [`/ip4/127.0.0.1/tcp/${port}`]
let n = 0
let victims = [a.id, b.id, d.id]
const flood = setInterval(() => {
  for (const each of victims) socket.send(wrong(each, trapped), 5353, '224.0.0.251')
  socket.send(wrong(nobody[n % nobody.length]!, []), 5353, '224.0.0.251')
  if (n++ % 100 === 0) socket.send(encodeQuestion(service), 5353, '224.0.0.251')
}, 5)
// Longer than hearsay waits for better news.
await new Promise(resolve => setTimeout(resolve, 3_000))

// Of the lost one a newcomer hears from nobody but the stranger.
victims = [a.id, b.id]
const startMs = performance.now()
const c = await createSwarm({ ...common, dataDir: join(root, 'c') })
const newcomerMs = await until(() => connectedCount(c) === 2, 'the newcomer is in', 30_000).then(
  () => performance.now() - startMs,
  () => null
)
await new Promise(resolve => setTimeout(resolve, 2_000))
const addresses = (await (a.links as Host).node.peerStore.get(peerIdFromString(b.id))).addresses
clearInterval(flood)
console.log(JSON.stringify({ lost, newcomerMs, stored: addresses.length, dialed }))
socket.close()
trap.close()
await Promise.all([a, b, c, d].map(swarm => swarm.stop()))
await rm(root, { recursive: true, force: true })
process.exit(0)
