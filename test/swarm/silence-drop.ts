/**
 * Run as a process of its own in a network namespace: three peers, of which one or all are suddenly behind a wall.
 * Prints one JSON line: when and why another missed it.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PeerLostError } from '../../src/errors.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import { connectedCount, until } from './real-peers.ts'

const [root, wall] = process.argv.slice(2)
const config = JSON.parse(readFileSync(join(root!, 'swarm.json'), 'utf8'))
const common = { config, listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, neighbours: false }
const b = await createSwarm({ ...common, listen: ['/ip4/127.0.0.2/tcp/0'], dataDir: join(root!, 'b') })
const c = await createSwarm({ ...common, dataDir: join(root!, 'c') })
const a = await createSwarm({ ...common, dataDir: join(root!, 'a'), bootstrap: [b.addresses[0]!, c.addresses[0]!] })
await b.links.handle({ name: '/test', revisions: ['1.0.0'] }, { inboundMax: 4, frameBytesMax: 1024 }, channel =>
  channel.receive({ onFrame: () => {}, onClose: () => {} })
)
await until(() => connectedCount(a) === 2, 'they meet')
const channel = await a.links.open(b.id, { name: '/test', revisions: ['1.0.0'] }, { signal: AbortSignal.timeout(5000) })
const lost = new Promise<PeerLostError>(resolve => {
  channel.receive({ onFrame: () => {}, onClose: error => resolve(error as PeerLostError) })
})
await new Promise(resolve => setTimeout(resolve, 3000))
const startMs = performance.now()
execFileSync('sh', ['-c', wall!])
const { reason } = await lost
const ms = performance.now() - startMs
console.log(JSON.stringify({ ms, reason }))
process.exit(0)
