/** What the DHT takes of peers that have nothing to do: whole hosts in this process, on loopback. */
import { mkdtempSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type * as serviceModule from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import type * as fileModule from '../../src/swarm/swarm-file.ts'
import { figure, type Row } from './report.ts'

// As `npm run build` made it: Node does not take the types off the generated protocols that it imports.
const built = '../../dist/src/swarm'
const { createSwarm } = (await import(`${built}/service.js`)) as typeof serviceModule
const { newSwarm } = (await import(`${built}/swarm-file.js`)) as typeof fileModule

const peers = 8
const meetMs = 60_000

export async function benchDht(init: { scratch: string; quick: boolean; signal: AbortSignal }): Promise<Row[]> {
  const { signal } = init
  // Records are put once a minute, and the table is looked after every half.
  const seconds = init.quick ? 60 : 180
  const root = mkdtempSync(path.join(init.scratch, 'dht-'))
  const config = newSwarm('bench')
  const swarms: Swarm[] = []
  try {
    for (let i = 0; i < peers; i++) {
      swarms.push(
        await createSwarm({
          dataDir: path.join(root, `peer-${i}`),
          config,
          listen: ['/ip4/127.0.0.1/tcp/0'],
          mdns: false,
          neighbours: false,
          bootstrap: swarms.flatMap(({ addresses }) => [...addresses]),
          signal
        })
      )
    }
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(meetMs)])
    while (!swarms.every(swarm => swarm.records().filter(({ connected }) => connected).length >= peers - 1)) {
      if (deadline.aborted) throw new Error('the peers of the bench did not meet in time')
      await delay(100)
    }
    const bytes = (): number[] => swarms.map(swarm => swarm.dhtBytes().bytesIn + swarm.dhtBytes().bytesOut)
    // What they say as they meet is not what they say when they rest.
    await delay(15_000, undefined, { signal })
    const before = bytes()
    await delay(seconds * 1000, undefined, { signal })
    const perMinute = bytes().map((after, i) => ((after - before[i]!) / 1000) * (60 / seconds))
    return [
      {
        part: 'dht',
        what: `DHT of one of ${peers} idle peers, both ways`,
        unit: 'kB/min',
        figure: figure(perMinute),
        how: `over ${seconds} s, all neighbours of one another; streams without Yamux and Noise`
      }
    ]
  } finally {
    await Promise.all(swarms.map(swarm => swarm.stop()))
    rmSync(root, { recursive: true, force: true })
  }
}
