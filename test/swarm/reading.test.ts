/** What one peer takes of the loop of another, over real connections. */
import { setImmediate as nextRound, setTimeout as delay } from 'node:timers/promises'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, expect, it } from 'vitest'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import { loopBurstMs, loopOthersMs, loopShareRatio } from '../../src/swarm/limits.ts'
import { until } from './real-peers.ts'

const protocol = { name: '/skein/test', revisions: ['1.0.0'] }
const limits = { inboundMax: 4, frameBytesMax: 64 << 10 }

const hosts: Host[] = []
afterEach(async () => {
  await Promise.all(hosts.splice(0).map(host => host.stop()))
})

async function startHost(to?: Host): Promise<Host> {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  const secret = new Uint8Array(32).fill(7)
  const host = await Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' })
  hosts.push(host)
  if (to === undefined) return host
  await host.dial([multiaddr(to.addresses[0]!)], { signal: AbortSignal.timeout(30_000) })
  await until(() => to.connectedPeers.has(host.self), 'the connection is open at both ends')
  return host
}

function work(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

/** As much as there is room for, until it is told to end. */
async function pour(channel: Channel, bytes: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    let hasRoom = true
    for (let n = 0; n < 64 && hasRoom; n++) hasRoom = channel.send(new Uint8Array(bytes))
    if (hasRoom) await nextRound()
    else await channel.ready({ signal }).catch(() => {})
  }
}

it('is a part while sessions of others run there, and all that it wants when they are over', async () => {
  const victim = await startHost()
  const [flooder, driver] = [await startHost(victim), await startHost(victim)]
  let [flooded, answered] = [0, 0]
  await victim.handle(protocol, limits, channel =>
    channel.receive({
      onFrame: () => {
        if (channel.remote === flooder.self) {
          // What nobody asked for, and takes a ms of the loop.
          work(1)
          flooded += 1
          return
        }
        answered += 1
        channel.wanted?.()
      },
      onClose: () => {}
    })
  )
  const signal = AbortSignal.timeout(60_000)
  const [flood, session] = [
    await flooder.open(victim.self, protocol, { signal }),
    await driver.open(victim.self, protocol, { signal })
  ]
  const over = new AbortController()
  const pouring = pour(flood, 1 << 10, over.signal)
  let frames = 0
  const startMs = performance.now()
  while (performance.now() < startMs + 3_000) {
    session.send(new Uint8Array(600))
    frames += 1
    await delay(50)
  }
  await until(() => answered === frames, 'every step of the session is there')
  // What is read in one go may be more than is left to it: a socket gives 64 KiB at a time.
  const partMs = loopBurstMs + (performance.now() - startMs) * loopShareRatio
  expect(flooded).toBeLessThan(2 * partMs)
  expect(flooded).toBeGreaterThan(0)

  const before = flooded
  await delay(loopOthersMs)
  await until(() => flooded > before + 300, 'who is alone is read as fast as it can be', 60_000)
  over.abort(new Error('enough'))
  await pouring
})
