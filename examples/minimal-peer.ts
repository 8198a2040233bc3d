/**
 * The least that is a peer: it joins a swarm, serves what it can of the model that ships with Skein, answers one prompt, and goes on
 * serving until Ctrl-C; then others take over what it serves.
 *
 *   npx skein init swarm.json                      # once; copy the file to every machine
 *   node examples/minimal-peer.ts swarm.json data  # Node 22.18 or later; on each machine, or with other folders on the same one
 *
 * Peers of one machine find each other, and those of one network with LISTEN=/ip4/0.0.0.0/tcp/0 before the command: without it, it listens on
 * loopback. Addresses after the folder are dialled instead: each peer prints its own.
 */
import { createPeer } from 'skein'

const [swarm = 'swarm.json', dataDir = 'data', ...bootstrap] = process.argv.slice(2)
const listen = [process.env.LISTEN ?? '/ip4/127.0.0.1/tcp/0']
const peer = await createPeer({ swarm, dataDir, listen, bootstrap, mdns: bootstrap.length === 0, memoryBytes: 256e6 })
console.log(`listening on ${peer.addresses.join(' ')}`)
peer.addEventListener('stage:up', ({ detail }) => console.log(`serving layers ${detail.start}-${detail.end}`))
peer.addEventListener('warning', ({ detail }) => console.error(detail.message))
const { text, hops } = await peer.generate('Once upon a time', { maxTokens: 40 }).answer
console.log(`Once upon a time${text}\n(computed by ${hops.length} peer(s))`)
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await peer.drain({ deadlineMs: 10_000 })
    await peer.stop()
  })
}
