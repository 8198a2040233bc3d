/** A swarm larger than a neighbourhood: 16 hosts with at most 4 neighbours. `npm run large` has 48 with at most 8. */
import { afterEach, describe, expect, it } from 'vitest'
import { LargeSwarm, neighboursOf } from './large.ts'
import { until } from './real-peers.ts'

let swarm: LargeSwarm | undefined
afterEach(async () => {
  await swarm?.stop()
  swarm = undefined
})

// Three hosts, no two of them neighbours, that hold five of six layers at most: none can answer alone.
const size = { groups: 4, perGroup: 4, linksMax: 4, givers: 3, layersEach: 5 }

describe('16 hosts with at most 4 neighbours', () => {
  it('R25: cover a model, answer several at once as one peer alone would, and recover from a loss, through the DHT', {
    timeout: 240_000
  }, async () => {
    swarm = await LargeSwarm.start({ ...size, dht: true })
    const { hosts, givers, drivers } = swarm
    await until(() => swarm!.isCovered(1), 'those that give memory plan together', 60_000)
    await until(() => hosts.every(host => neighboursOf(host) >= 2), 'nobody is left alone', 30_000)
    // More of them than any giver has places for neighbours, and none waits until another one is done.
    const many = drivers.slice(0, 2 * size.linksMax)
    const asks = many.map(driver => swarm!.ask(driver, { maxTokens: 30, waitMs: 25_000 }))
    for (const { ids, alone } of await Promise.all(asks)) expect(ids).toEqual(alone)
    const second = await swarm.ask(drivers.at(-1)!, { maxTokens: 60, killAt: 10, waitMs: 60_000 })
    expect(second.killed).toBeDefined()
    expect(second.ids).toEqual(second.alone)
    expect(second.recovered).toBeGreaterThan(0)
    expect(swarm.givers.length).toBe(givers.length - 1)
    expect(Math.max(...hosts.map(({ neighboursMost }) => neighboursMost))).toBeLessThanOrEqual(size.linksMax)
    // A handshake that a query had no time for, or one with the host that was killed, is nobody's fault.
    for (const { swarm: each } of swarm.hosts)
      expect(Object.keys(each.violations()).filter(kind => kind !== 'unfinished handshake')).toEqual([])
  })

  it('do none of it without the DHT: those that give memory never meet', { timeout: 180_000 }, async () => {
    swarm = await LargeSwarm.start({ ...size, dht: false })
    const { hosts, givers } = swarm
    await until(
      () => givers.every(({ swarm: { id }, peer }) => peer.status().peers.some(each => each.id === id)),
      'they have started'
    )
    // Everybody knows of everybody by records, which pass from neighbour to neighbour; that connects nobody.
    await until(() => hosts.every(host => host.swarm.records().length === hosts.length), 'records pass', 30_000)
    await expect(swarm.ask(swarm.drivers[0]!, { maxTokens: 30, waitMs: 15_000 })).rejects.toMatchObject({
      name: 'NotCoveredError'
    })
    expect(swarm.haveGiversMet).toBe(false)
    expect(swarm.isCovered(1)).toBe(false)
  })
})
