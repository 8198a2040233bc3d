/**
 * A server of one's own that answers over a peer: POST a prompt as plain text to `/`, and the answer streams back as it is generated.
 * A client that hangs up ends its answer at once on every peer that computes it, and one that reads slowly is waited for, up to
 * a bound. An answer that fails after its beginning breaks off and never looks complete.
 *
 *   node examples/server.ts --swarm swarm.json       # Node 22.18 or later; `npx skein init swarm.json` makes the file
 *   curl -N --data "Once upon a time" http://127.0.0.1:8080/
 *   curl http://127.0.0.1:8080/healthz
 *
 * It asks for no key and so listens on loopback alone, as its peer does unless it is told `--listen /ip4/0.0.0.0/tcp/0`. OpenAI's API with keys and TLS is there already: `serveApi` of `skein/api`.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import {
  createPeer,
  InvalidOptionError,
  NotCoveredError,
  OverloadedError,
  PeerLeavingError,
  PromptTooLongError,
  UnknownModelError
} from 'skein'

const promptBytesMax = 64 * 1024
/** How long a client may take nothing of what waits for it before its answer is given up. */
const slowReaderMs = 30_000

const { values } = parseArgs({
  allowNegative: true,
  options: {
    swarm: { type: 'string', default: 'swarm.json' },
    data: { type: 'string', default: 'server-data' },
    bootstrap: { type: 'string', multiple: true, default: [] },
    listen: { type: 'string', multiple: true, default: ['/ip4/127.0.0.1/tcp/0'] },
    mdns: { type: 'boolean', default: true },
    memory: { type: 'string', default: '256000000' },
    port: { type: 'string', default: '8080' }
  }
})

const peer = await createPeer({
  swarm: values.swarm,
  dataDir: values.data,
  bootstrap: values.bootstrap,
  listen: values.listen,
  mdns: values.mdns,
  memoryBytes: Number(values.memory)
})
peer.addEventListener('warning', ({ detail }) => console.error(detail.message))

/** Refusals that a client can do something about. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

async function promptOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // A body that is too large is answered, not cut off: its stream has to live on.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > promptBytesMax) throw new Refusal(413, `a prompt has at most ${promptBytesMax} bytes`)
    chunks.push(chunk)
  }
  if (bytes === 0) throw new Refusal(400, 'the body is empty: it should be the prompt, as plain text')
  return Buffer.concat(chunks).toString('utf8')
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hungUp = new AbortController()
  // It closes after a whole answer as well; then nobody listens to this signal any more.
  response.once('close', () => hungUp.abort(new Error('the client hung up')))
  let tokens = 0
  try {
    const prompt = await promptOf(request)
    // Clients take turns where room is short: here everybody from one address is one client.
    const client = request.socket.remoteAddress ?? 'unknown'
    for await (const { text } of peer.generate(prompt, {
      maxTokens: 200,
      fit: true,
      waitMs: 3_000,
      client,
      signal: hungUp.signal
    })) {
      tokens++
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
      if (text !== '' && !response.write(text)) {
        const signal = AbortSignal.any([hungUp.signal, AbortSignal.timeout(slowReaderMs)])
        await once(response, 'drain', { signal })
      }
    }
    response.end()
    console.log(`answered with ${tokens} tokens`)
  } catch (error) {
    if (hungUp.signal.aborted) console.log(`the client hung up after ${tokens} tokens`)
    else refuse(response, error as Error)
  }
}

function refuse(response: ServerResponse, error: Error): void {
  if (response.headersSent) {
    // A clean end would look like a whole answer.
    console.log(`an answer broke off: ${error.message}`)
    response.destroy()
    return
  }
  const headers: Record<string, string> = { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }
  if (error instanceof OverloadedError) headers['retry-after'] = String(Math.ceil(error.retryAfterMs / 1000))
  response.writeHead(statusOf(error), headers).end(`${error.message}\n`)
}

function statusOf(error: Error): number {
  if (error instanceof Refusal) return error.status
  if (error instanceof InvalidOptionError || error instanceof PromptTooLongError) return 400
  if (error instanceof OverloadedError) return 429
  if ([NotCoveredError, PeerLeavingError, UnknownModelError].some(kind => error instanceof kind)) return 503
  return 500
}

const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
  if (request.method === 'POST' && request.url === '/') void answer(request, response)
  else if (request.method === 'GET' && request.url === '/healthz') {
    const isReady = peer.status().models.some(({ coverage }) => coverage.every(copies => copies > 0))
    const body = JSON.stringify({ ready: isReady, answering: peer.answers().length })
    response.writeHead(isReady ? 200 : 503, { 'content-type': 'application/json' }).end(body)
  } else refuse(response, new Refusal(404, 'POST a prompt to /, or GET /healthz'))
})
server.listen(Number(values.port), '127.0.0.1')
await once(server, 'listening')
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close()
    // Answers under way are completed, and others take over what this peer serves, if that takes no longer than this.
    await peer.drain({ deadlineMs: 10_000 })
    await peer.stop()
    server.closeAllConnections()
  })
}
