/**
 * Run as a process of its own, in a network namespace: two peers that have only multicast DNS to find each other
 * by. Prints one JSON line. With the word `default` they listen at all addresses, and stay until timers have run.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSwarm } from '../../src/swarm/service.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { connectedCount, until } from './real-peers.ts'

const root = await mkdtemp(join(tmpdir(), 'skein-test-'))
const config = newSwarm('test')
const everywhere = process.argv[2] === 'default'
const common = { ...(everywhere ? {} : { listen: ['/ip4/127.0.0.1/tcp/0'] }), neighbours: false }
const a = await createSwarm({ ...common, config, dataDir: join(root, 'a') })
const b = await createSwarm({ ...common, config, dataDir: join(root, 'b') })
// On the same segment, but of another swarm: it must not even be dialled.
const x = await createSwarm({ ...common, config: newSwarm('other'), dataDir: join(root, 'x') })
const met = await until(() => connectedCount(a) === 1 && connectedCount(b) === 1, 'they meet', 3_000).then(
  () => true,
  () => false
)
// libp2p tells itself of its addresses a second after it listens, and looks for new ones again and again.
if (everywhere) await new Promise(resolve => setTimeout(resolve, 3_000))
const states = [a, b].map(swarm => swarm.discovery().find(({ way }) => way === 'mdns')?.state)
console.log(JSON.stringify({ met, states, strangers: connectedCount(x), refused: x.violations() }))
await Promise.all([a.stop(), b.stop(), x.stop()])
await rm(root, { recursive: true, force: true })
