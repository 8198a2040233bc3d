/** Whole peers on loopback: one has a model, the others come to serve it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPeer, type Peer, type PeerInit } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeRandomModel } from './model.ts'

let root: string
let peers: Peer[] = []
const warnings = new Map<Peer, string[]>()

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'skein-test-'))
  await writeRandomModel(path.join(root, 'holder'))
})
afterEach(async () => {
  await Promise.all(peers.map(peer => peer.stop()))
  peers = []
  warnings.clear()
  await rm(root, { recursive: true, force: true })
})

const swarm = newSwarm('supply')

async function start(name: string, init: Partial<PeerInit> = {}): Promise<Peer> {
  const peer = await createPeer({
    dataDir: path.join(root, name),
    swarm,
    model: 'random',
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    bootstrap: peers.flatMap(other => other.addresses).slice(0, 1),
    ...init
  })
  peers.push(peer)
  const said: string[] = []
  warnings.set(peer, said)
  peer.addEventListener('warning', ({ detail }) => {
    said.push(detail.message)
    console.log(name, detail.message)
  })
  peer.addEventListener('shards:fetch', ({ detail }) => console.log(name, JSON.stringify(detail)))
  return peer
}

function stagesOf(peer: Peer): string[] {
  const own = peer.status().peers.find(({ self }) => self)!
  return own.stages.filter(({ serving }) => serving).map(({ start, end }) => `${start}-${end}`)
}

async function answer(peer: Peer, options: { model?: string } = {}): Promise<readonly number[]> {
  const ids: number[] = []
  for await (const { id } of peer.generate('Once upon a time', { maxTokens: 8, ...options })) ids.push(id)
  return ids
}

describe('five peers, one of which holds the model', () => {
  it('all serve it', async () => {
    const holder = await start('holder')
    const others = await Promise.all(['a', 'b', 'c', 'd'].map(name => start(name)))
    const fetched: unknown[] = []
    for (const peer of others) peer.addEventListener('shards:fetch', ({ detail }) => fetched.push(detail))
    await expect.poll(() => peers.map(stagesOf), { timeout: 15_000 }).toEqual(peers.map(() => ['0-6']))
    const expected = await answer(holder)
    expect(expected).toHaveLength(8)
    for (const peer of others) expect(await answer(peer)).toEqual(expected)
    expect([...warnings.values()].flat()).toEqual([])
    for (const peer of peers) expect(peer.status().violations).toEqual({})
    expect(fetched.length).toBeGreaterThanOrEqual(8)
  })
})
