/** Two machines made from one image: real peers with one identity. */
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { twinForgetMs, twinLookMs, twinsMax, twinTieMs, yieldMs } from '../../src/swarm/limits.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { Twins } from '../../src/swarm/twins.ts'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { PeerId } from '../../src/base/ids.ts'
import { until, World } from './real-peers.ts'

let world: World
beforeEach(async () => {
  world = await World.create()
})
afterEach(async () => {
  await world.close()
})

/** A copy of a peer's identity under another name, before either has started. */
async function copyOf(name: string, copy: string): Promise<void> {
  await mkdir(join(world.root, name), { recursive: true })
  await loadIdentity(join(world.root, name))
  await mkdir(join(world.root, copy), { recursive: true })
  await cp(join(world.root, name, 'identity.key'), join(world.root, copy, 'identity.key'))
}

function heard(swarm: Swarm): { warnings: string[]; yields: string[] } {
  const warnings: string[] = []
  const yields: string[] = []
  swarm.addEventListener('warning', ({ detail }) => warnings.push(detail.message))
  swarm.yielding.addEventListener('abort', () => yields.push((swarm.yielding.reason as Error).message))
  return { warnings, yields }
}

const bare = (swarm: Swarm): string => swarm.addresses[0]!.replace(/\/p2p\/.*/, '')

describe('two machines with one identity', () => {
  it('R17: both say so, with the address of the other, and the one that started later is to stop', async () => {
    await copyOf('a', 'b')
    const only = { neighbours: false }
    // Whichever id is the smaller opens the records channel: both ways must lead there.
    const others = [await world.start('c', only), await world.start('d', only), await world.start('e', only)]
    const bootstrap = others.flatMap(({ addresses }) => [...addresses])
    const a = await world.start('a', { ...only, bootstrap })
    const old = heard(a)
    await until(() => others.every(other => other.records().length === 4), 'the first one is known')
    // Longer than a record takes to come, so that it is clear which of them is the younger.
    await new Promise(resolve => setTimeout(resolve, twinTieMs + 1_000))
    const b = await world.start('b', { ...only, bootstrap })
    const young = heard(b)
    const where = bare(b)
    // As a peer does.
    b.yielding.addEventListener('abort', () => void b.stop())
    expect(b.id).toBe(a.id)
    await until(() => young.yields.length > 0, 'the later one is to stop', 30_000)
    await until(() => old.warnings.some(text => text.includes(where)), 'the earlier one says so', 30_000)
    expect(young.yields[0]).toContain(bare(a))
    expect(young.warnings.some(text => text.includes(bare(a)))).toBe(true)
    expect(old.yields).toEqual([])
    expect(a.discovery().find(({ way }) => way === 'identity')?.state).toContain(where)
    // Nobody took its stop for the goodbye of the other.
    await until(
      () => others.every(other => other.records().some(({ addresses }) => addresses.includes(bare(a)))),
      'everybody knows the one that stays'
    )
  }, 120_000)

  it('R17: a second machine that nobody else has met is found where discovery names it', async () => {
    await copyOf('a', 'b')
    const a = await world.start('a', { neighbours: false })
    const b = await world.start('b', { neighbours: false, bootstrap: [...a.addresses] })
    const old = heard(a)
    const young = heard(b)
    await until(() => b.discovery()[0]?.way === 'identity', 'it is looked who answers there')
    expect(b.discovery()[0]?.state).toContain(bare(a))
    // They are alone: nobody else carries the record of one to the other.
    await until(() => young.yields.length > 0, 'the later one is to stop', 20_000)
    expect(young.yields[0]).toContain(bare(a))
    await until(() => old.warnings.some(text => text.includes(bare(b))), 'the earlier one says so')
    await b.stop()
    expect(old.yields).toEqual([])
    expect(a.records().map(({ record }) => record.peer)).toEqual([a.id])
  }, 120_000)

  it('R17: two on one machine, which write one file for their neighbours in turn, both say so', async () => {
    await copyOf('a', 'b')
    const a = await world.start('a')
    const b = await world.start('b')
    const said = [heard(a), heard(b)]
    await until(() => said[0]!.warnings.some(text => text.includes(bare(b))), 'the first one says so')
    await until(() => said[1]!.warnings.some(text => text.includes(bare(a))), 'the second one says so')
    // They started within a moment of each other: one of them stops, and only one.
    await until(() => said.some(({ yields }) => yields.length > 0), 'one is to stop', 20_000)
    await new Promise(resolve => setTimeout(resolve, yieldMs))
    expect(said.filter(({ yields }) => yields.length > 0)).toHaveLength(1)
  })

  it('a peer that is told of its own addresses, or of ones where nobody is, says nothing', async () => {
    await copyOf('a', 'gone')
    const gone = await world.start('gone', { neighbours: false })
    const [address] = gone.addresses
    await gone.stop()
    const a = await world.start('a', { neighbours: false, bootstrap: [address!] })
    const { warnings } = heard(a)
    const b = await world.start('b', { neighbours: false, bootstrap: [...a.addresses] })
    await until(() => b.records().length === 2, 'the swarm goes on')
    expect(warnings).toEqual([])
    expect(a.discovery().some(({ way }) => way === 'identity')).toBe(false)
  })
})

describe('what is known of a second machine', () => {
  it('P10: no number of addresses makes a peer look at more than so many, nor the same twice in a row', async () => {
    const self = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString() as PeerId
    const twins = new Twins(self)
    const own = [`/ip4/10.0.0.1/tcp/4001/p2p/${self}`]
    expect(twins.suspect(['/ip4/10.0.0.1/tcp/4001'], own, 0)).toBeUndefined()
    expect(twins.suspect(['/ip4/10.0.0.1/tcp/4001', '/ip4/10.0.0.2/tcp/4001'], own, 0)).toBe('/ip4/10.0.0.2/tcp/4001')
    expect(twins.suspect(['/ip4/10.0.0.2/tcp/4001'], own, 1)).toBeUndefined()
    let looks = 1
    for (let i = 0; i < 1000; i++) if (twins.suspect([`/ip4/10.1.0.1/tcp/${i}`], own, i) !== undefined) looks++
    expect(looks).toBe(twinsMax)
    expect(twins.suspect(['/ip4/10.0.0.2/tcp/4001'], own, twinLookMs + 1000)).toBeDefined()
  })

  it('is said once in a while, and forgotten when it is not heard again', () => {
    const twins = new Twins('me' as PeerId)
    expect(twins.proven(['/ip4/10.0.0.2/tcp/1'], 0)).toContain('/ip4/10.0.0.2/tcp/1')
    expect(twins.proven(['/ip4/10.0.0.2/tcp/1'], 1)).toBeUndefined()
    expect(twins.proven(['/ip4/10.0.0.3/tcp/1'], 2)).toContain('/ip4/10.0.0.3/tcp/1')
    expect(twins.state(3)).toContain('/ip4/10.0.0.3/tcp/1')
    expect(twins.state(twinForgetMs + 3)).toBeUndefined()
    expect(twins.proven(['/ip4/10.0.0.2/tcp/1'], twinForgetMs)).toContain('identity')
  })
})
