/**
 * A client without layers: a peer with a memory budget of 0 holds and computes nothing. It joins the swarm, has others answer, and leaves.
 * It is what runs on a small machine, or in a program that only asks.
 *
 *   node examples/client.ts --swarm swarm.json "Once upon a time"    # Node 22.18 or later; `npx skein init swarm.json` makes the file
 *
 * Peers of one machine find each other, and of one network with `--listen /ip4/0.0.0.0/tcp/0`; `--no-mdns --bootstrap ADDRESS` dials one
 * instead, at an address that it prints at its start.
 * Ctrl-C ends the answer and frees what it takes elsewhere. It exits with 1 when there is no answer, and says why.
 */
import { parseArgs } from 'node:util'
import { createPeer, SkeinError } from 'skein'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    swarm: { type: 'string', default: 'swarm.json' },
    data: { type: 'string', default: 'client-data' },
    bootstrap: { type: 'string', multiple: true, default: [] },
    listen: { type: 'string', multiple: true, default: ['/ip4/127.0.0.1/tcp/0'] },
    mdns: { type: 'boolean', default: true }
  }
})
const prompt = positionals.join(' ') || 'Once upon a time'
const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))

try {
  const peer = await createPeer({
    swarm: values.swarm,
    dataDir: values.data,
    bootstrap: values.bootstrap,
    listen: values.listen,
    mdns: values.mdns,
    memoryBytes: 0,
    signal: interrupted.signal
  })
  try {
    // Who has just come knows nobody yet: it waits until somebody offers a model, and then until there is a route through all of it.
    const answer = peer.generate(prompt, { maxTokens: 60, waitMs: 20_000, signal: interrupted.signal })
    for await (const event of answer.events()) {
      if (event.event === 'waiting') console.error(`waiting: ${event.message}`)
      else if (event.event === 'route') console.error(`asking ${event.hops.map(hop => hop.peer).join(', ')}`)
      else if (event.event === 'lost')
        console.error(`${event.peer} is lost (${event.reason}); the answer goes on without it`)
      else if (event.event === 'token' || event.event === 'stopped') process.stdout.write(event.text)
      else if (event.event === 'done') {
        const { tokensPerSecond, firstTokenMs } = event.timing
        process.stdout.write('\n')
        console.error(
          `${event.ids.length} tokens, the first after ${Math.round(firstTokenMs)} ms, ${Math.round(tokensPerSecond)} a second`
        )
      }
    }
  } finally {
    await peer.stop()
  }
} catch (error) {
  // What can be expected to fail is a SkeinError, whose message is one sentence for a person. Everything else is a defect.
  if (!(error instanceof SkeinError) && error !== interrupted.signal.reason) throw error
  console.error((error as Error).message)
  process.exitCode = 1
}
