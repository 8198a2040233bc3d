/** A peer that has connections before its own start is over: libp2p dials whom it remembers while it starts. */
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, test, vi } from 'vitest'
import { Host } from '../../src/swarm/host.ts'
import { connectedCount, until, World } from './real-peers.ts'

let world: World | undefined
afterEach(async () => {
  vi.restoreAllMocks()
  await world?.close()
})

test('a peer that is connected while it starts, starts, and speaks with whom it is connected', async () => {
  world = await World.create()
  // Either end may have to open the records channel, the smaller id does.
  const others = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(name => world!.start(name, { neighbours: false })))
  const start = Host.start.bind(Host)
  vi.spyOn(Host, 'start').mockImplementation(async init => {
    const host = await start(init)
    const signal = AbortSignal.timeout(5000)
    for (const { addresses } of others) {
      await host.dial(
        addresses.map(address => multiaddr(address)),
        { signal }
      )
    }
    return host
  })
  const target = await world.start('target', { neighbours: false })
  await until(() => connectedCount(target) === others.length, 'it has a records channel with each of them')
  expect(target.violations()).toEqual({})
})
