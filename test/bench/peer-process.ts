/** Child of `swarm.ts`: one peer, driven by messages. It uses what `npm run build` made, as any program would. */
import type { Answer, Generation, PeerInit, TracedLap } from '../../src/index.ts'

export interface PeerProcessInit extends PeerInit {
  /** Asks as soon as the peer is up, before it has found anyone. */
  readonly ask?: Ask
  /** Has a door for HTTP, on loopback. @default false */
  readonly http?: boolean
}

export interface Ask {
  readonly prompt: string | readonly number[]
  readonly maxTokens: number
  /** @default false */
  readonly trace?: boolean
  /** @default 0 */
  readonly temperature?: number
  /** @default 1 */
  readonly seed?: number
  /** @default false */
  readonly speculate?: boolean
}

/** What an `answer` message carries. */
export interface Answered {
  /** From the question to the first token, in ms. */
  readonly firstTokenMs: number
  /** Time of each further token, in ms. */
  readonly tokenMs: readonly number[]
  readonly answer: Answer
  /** Of an answer that is traced. */
  readonly laps: readonly TracedLap[]
}

// Not a static import: its types would need the build to be there before they can be checked.
const built = '../../dist/src/index.js'
const { createPeer } = (await import(built)) as typeof import('../../src/index.ts')
const door = '../../dist/src/api/serve.js'
const { serveApi } = (await import(door)) as typeof import('../../src/api/serve.ts')

const { ask: first, http = false, ...init } = JSON.parse(process.argv[2]!) as PeerProcessInit
const say = (kind: string, details: object = {}): void => void process.send?.({ kind, ...details })

try {
  const peer = await createPeer(init)
  const api = http ? await serveApi(peer, { port: 0 }) : undefined
  say('up', { id: peer.id })
  process.on('message', (message: { kind: string } & Partial<Ask>) => {
    if (message.kind === 'status') say('status', { status: peer.status() })
    if (message.kind === 'ask') void answer(message as Ask)
    if (message.kind === 'http') say('http', { url: api?.url })
    if (message.kind === 'address')
      say('address', { address: peer.status().peers.find(({ self }) => self)!.addresses[0] })
    if (message.kind === 'cpu') say('cpu', { ms: (process.cpuUsage().user + process.cpuUsage().system) / 1000 })
    if (message.kind === 'stop') void stop()
  })
  process.once('disconnect', () => void stop())
  const answer = async (ask: Ask): Promise<void> => {
    const { prompt, maxTokens, trace = false, temperature = 0, seed = 1, speculate = false } = ask
    try {
      // A model of random weights repeats itself: its drafts would be right, and what is measured is a lap with one token.
      const options = { maxTokens, temperature, seed, speculate, trace }
      say('answer', await collect(peer.generate(prompt, options)))
    } catch (error) {
      say('failed', { message: `${(error as Error).name}: ${(error as Error).message}` })
    }
  }
  const stop = async (): Promise<void> => {
    await api?.close()
    await peer.stop()
    process.exit()
  }
  if (first !== undefined) await answer(first)
} catch (error) {
  say('failed', { message: `${(error as Error).name}: ${(error as Error).message}` })
  process.exitCode = 1
}

async function collect(generation: Generation): Promise<Answered> {
  const began = performance.now()
  const times: number[] = []
  const laps: TracedLap[] = []
  for await (const event of generation.events()) {
    if (event.event === 'token') times.push(performance.now())
    if (event.event === 'trace') laps.push(event)
  }
  return {
    firstTokenMs: times[0]! - began,
    tokenMs: times.slice(1).map((ms, i) => ms - times[i]!),
    answer: await generation.answer,
    laps
  }
}
