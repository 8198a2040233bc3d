/**
 * Run as a process of its own: a peer in the directory and swarm that are given, for the tests of silence. It takes
 * streams of `/test/1.0.0`, says nothing on them, and prints one JSON line with its id and addresses.
 */
import { readFileSync } from 'node:fs'
import { createSwarm } from '../../src/swarm/service.ts'

const [dataDir, configFile] = process.argv.slice(2)
const swarm = await createSwarm({
  dataDir: dataDir!,
  config: JSON.parse(readFileSync(configFile!, 'utf8')),
  listen: ['/ip4/127.0.0.1/tcp/0'],
  mdns: false,
  neighbours: false
})
await swarm.links.handle({ name: '/test', revisions: ['1.0.0'] }, { inboundMax: 4, frameBytesMax: 1 << 20 }, channel =>
  channel.receive({ onFrame: () => {}, onClose: () => {} })
)
console.log(JSON.stringify({ id: swarm.id, addresses: swarm.addresses }))
process.on('SIGTERM', () => void swarm.stop().then(() => process.exit(0)))
