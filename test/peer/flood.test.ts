/** A member that invents peers: what it costs a real one, whole, with the model that ships. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, it } from 'vitest'
import { createPeer, type Peer } from '../../src/index.ts'
import { recordsHearsayMax, recordTtlMaxMs } from '../../src/swarm/limits.ts'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import { encodeLinkFrame } from '../../src/swarm/link-frame.ts'
import { encodeRecord } from '../../src/swarm/record.ts'
import { encodeRecordsFrame } from '../../src/swarm/records-frame.ts'
import { recordsProtocol } from '../../src/swarm/records-service.ts'
import { newSwarm, swarmSecret } from '../../src/swarm/swarm-file.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

it('500 invented records with 16 addresses each neither keep a peer busy nor stay', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-flood-'))
  ends.push(() => rm(dataDir, { recursive: true, force: true }))
  const swarm = newSwarm('flood')
  const peer = await createPeer({
    dataDir,
    swarm,
    memoryBytes: 256e6,
    mdns: false,
    listen: ['/ip4/127.0.0.1/tcp/0']
  })
  ends.push(() => peer.stop())
  await expect.poll(() => peer.status().models[0]?.coverage.every(count => count > 0), { timeout: 60_000 }).toBe(true)
  const [model] = peer.status().models

  const { host, identity } = await member(swarmSecret(swarm))
  await host.dial([multiaddr(peer.addresses[0]!)], { signal: AbortSignal.timeout(5_000) })
  const channel = await host.open(peer.id, recordsProtocol, { signal: AbortSignal.timeout(5_000) })
  channel.receive({ onFrame: () => {}, onClose: () => {} })
  // Nobody is told anything before that.
  channel.send(encodeLinkFrame({ neighbours: 0, wanted: true }))
  // Addresses where nobody answers: each refuses at once, so that dials cost as much as they can.
  const addresses = (i: number): Uint8Array[] =>
    Array.from({ length: 16 }, (_, n) => multiaddr(`/ip4/127.0.0.1/tcp/${1 + ((16 * i + n) % 1000)}`).bytes)
  const invented = await Promise.all(
    Array.from({ length: 500 }, async (_, i) => {
      const { id, sign } = identityOf(await generateKeyPair('Ed25519'))
      const content = { agent: 'flood', hardware: noHardware, budgetBytes: 1e9, battery: null, leaving: false }
      const offer = { model: model!.id, name: 'x', layers: model!.layers, held: [{ start: 0, end: model!.layers }] }
      const speed = { visitMs: 1, layerMs: 1, numericClass: 'x', pinned: null, embedding: true, head: true }
      const record = { ...content, models: [{ ...offer, ...speed }], stages: [], load: { sessions: 0, queuedSteps: 0 } }
      const head = { peer: id, seq: 1, ttlMs: recordTtlMaxMs, neighbours: new Set<number>() }
      return encodeRecord({ ...record, ...head, addresses: addresses(i) }, sign)
    })
  )
  const cpu = process.cpuUsage()
  for (let at = 0; at < invented.length; at += 25) {
    channel.send(encodeRecordsFrame(invented.slice(at, at + 25)))
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  // Each answer has to get a turn of the loop that the records are read on.
  expect(await tokens(peer, 8)).toBe(8)
  await new Promise(resolve => setTimeout(resolve, 2_000))
  expect(await tokens(peer, 8)).toBe(8)
  const { user, system } = process.cpuUsage(cpu)
  expect((user + system) / 1e6).toBeLessThan(4)
  const known = peer.status().peers.length
  expect(known).toBeLessThan(recordsHearsayMax + 3)
  expect(known, 'some of them have come').toBeGreaterThan(10)
  expect(host.connectedPeers.has(peer.id)).toBe(true)
  expect(identity.id).not.toBe(peer.id)
}, 180_000)

const noHardware = { cores: 1, memoryBytes: 1e9, architecture: 'x64', platform: 'linux', cpu: '' }

async function member(secret: Uint8Array) {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  const host = await Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'rogue' })
  ends.push(() => host.stop())
  return { host, identity }
}

async function tokens(peer: Peer, maxTokens: number): Promise<number> {
  let count = 0
  for await (const _ of peer.generate('Once upon a time', { maxTokens })) count++
  return count
}
