/** Whom the DHT names as providers: who of them is tried, and when again. */
import { describe, expect, it } from 'vitest'
import type { PeerId, ShardId } from '../../src/base/ids.ts'
import { providerAgainMinMs, providersTriedMax } from '../../src/swarm/limits.ts'
import { Providers } from '../../src/swarm/providers.ts'
import type { SwarmRecord } from '../../src/swarm/record.ts'

const shard = 'ab'.repeat(32) as ShardId
const self = 'self' as PeerId

/** A swarm in which the DHT names peers, has records of these lifetimes, and of which some answer when they are dialled. */
function scene(named: readonly string[], { ttls = {}, answering = [] }: Scene = {}) {
  const live = new Set<PeerId>()
  const looked: string[] = []
  const dialled: string[] = []
  let nowMs = 0
  const providers = new Providers({
    self,
    query: async function* () {
      yield* named as PeerId[]
    },
    lookup: async peer => {
      looked.push(peer)
      const ttlMs = ttls[peer]
      return ttlMs === undefined ? undefined : ({ peer, ttlMs } as SwarmRecord)
    },
    isLive: peer => live.has(peer),
    offer: ({ peer }) => {
      dialled.push(peer)
      if (answering.includes(peer)) live.add(peer)
    },
    untilLive: async peer => live.has(peer),
    nowMs: () => nowMs
  })
  const find = async (signal = AbortSignal.timeout(5_000)): Promise<string[]> => {
    const found: string[] = []
    for await (const peer of providers.find(shard, { signal })) found.push(peer)
    return found
  }
  return { find, live, looked, dialled, wait: (ms: number) => (nowMs += ms) }
}

interface Scene {
  readonly ttls?: Readonly<Record<string, number>>
  readonly answering?: readonly string[]
}

describe('providers that the DHT names', () => {
  it('whose records live come at once, others once they were looked up, dialled and live; this peer never', async () => {
    const { find, live, looked } = scene(['self', 'far', 'near', 'far'], { ttls: { far: 1 }, answering: ['far'] })
    live.add('near' as PeerId)
    expect(await find()).toEqual(['near', 'far'])
    expect(looked).toEqual(['far'])
  })

  it('without a record, or with a goodbye, are not dialled', async () => {
    const { find, dialled } = scene(['unknown', 'gone'], { ttls: { gone: 0 }, answering: ['unknown', 'gone'] })
    expect(await find()).toEqual([])
    expect(dialled).toEqual([])
  })

  it('are tried up to a number in one query', async () => {
    const many = Array.from({ length: 3 * providersTriedMax }, (_, n) => `p${n}`)
    const { find, looked } = scene(many)
    await find()
    expect(looked.length).toBe(providersTriedMax)
  })

  it('are tried again after a wait that doubles', async () => {
    const { find, looked, wait } = scene(['dead'], { ttls: { dead: 1 } })
    const tries = async (): Promise<number> => {
      await find()
      return looked.length
    }
    expect(await tries()).toBe(1)
    expect(await tries()).toBe(1)
    wait(providerAgainMinMs)
    expect(await tries()).toBe(2)
    wait(providerAgainMinMs)
    expect(await tries()).toBe(2)
    wait(providerAgainMinMs)
    expect(await tries()).toBe(3)
  })

  it('are not asked for when the signal has ended it', async () => {
    const { find, looked } = scene(['far'], { ttls: { far: 1 } })
    await expect(find(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
    expect(looked).toEqual([])
  })
})
