/**
 * What it costs to watch over connections: bytes and processor time of idle peers, with no link watched and with all.
 *
 *   node --experimental-transform-types test/bench/alive.ts [PEERS [SECONDS]]
 *
 * All peers run in this process; both figures are per peer. Bytes are those of TCP's payload, both ways.
 */
import type { LinkTraffic } from '../../src/swarm/liveness.ts'
import { connectedCount, until, World } from '../swarm/real-peers.ts'

const [peers, seconds] = [Number(process.argv[2] ?? 4), Number(process.argv[3] ?? 20)]
const world = await World.create()
const swarms = await Promise.all(Array.from({ length: peers }, (_, i) => world.start(`p${i}`)))
await until(() => swarms.every(swarm => connectedCount(swarm) === peers - 1), 'all meet', 60_000)

function bytes(): number {
  let sum = 0
  for (const { links } of swarms) {
    for (const { bytesIn, bytesOut } of (links as unknown as { traffic: Iterable<LinkTraffic> }).traffic) {
      sum += bytesIn + bytesOut
    }
  }
  return sum
}

async function measure(state: string): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, 5_000))
  const [from, cpu] = [bytes(), process.cpuUsage()]
  await new Promise(resolve => setTimeout(resolve, seconds * 1000))
  const { user, system } = process.cpuUsage(cpu)
  const links = peers - 1
  const kb = (bytes() - from) / seconds / peers / 1000
  const cpuMs = (user + system) / 1000 / seconds / peers
  console.log(
    `${state}: ${kb.toFixed(2)} kB/s and ${cpuMs.toFixed(2)} ms/s per peer, ${((kb * 1000) / links).toFixed(0)} B/s and ${(cpuMs / links).toFixed(2)} ms/s per link end`
  )
}

await measure(`${peers} idle peers`)
for (const a of swarms) for (const b of swarms) if (a !== b) a.links.watch!(b.id)
await measure('all links watched')
await world.close()
