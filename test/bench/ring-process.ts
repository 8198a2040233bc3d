/** Child of `ring.ts`, in namespaces of its own: two peers with a link between them, of which the head asks. Prints JSON. */
import type { SpanName } from '../../src/index.ts'
import { type Attachment, Network } from '../churn/network.ts'
import { BenchChild } from './child.ts'
import { openBenchStore, benchModelOf } from './models.ts'
import type { PlainInit } from './plain-process.ts'
import { askPeer, BenchSwarm, besides, decoding, spanMs } from './swarm.ts'

export interface RingInit {
  /** The bench's store folder. */
  readonly store: string
  readonly modelId: string
  readonly scratch: string
  readonly oneWayMs: number
  readonly rounds: number
  /** Of a long answer. */
  readonly tokens: number
}

/** One answer: means for each token after the first ones, in ms. */
export interface RingRound {
  readonly tokenMs: number
  /** Of both hops together. */
  readonly computeMs: number
  /** A lap of two plain sockets that compute for as long. */
  readonly plainMs: number
  /** Of the median lap of a traced answer, what is not computing. */
  readonly spans: Readonly<Partial<Record<SpanName, number>>>
}

/** Rounds that warm up: see `swarm.ts`. */
const warmRounds = 12
/** What a token and its ids take with all that is around them. */
const tokenBytes = 60

const { store: folder, modelId, scratch, oneWayMs, rounds, tokens } = JSON.parse(process.argv[2]!) as RingInit
const stopping = new AbortController()
const { signal } = stopping
process.stdin.resume().once('end', () => stopping.abort(new Error('the bench has ended')))

const store = await openBenchStore(folder)
const model = await benchModelOf(store, modelId)
const network = await Network.open({ everyLink: { delayMs: oneWayMs } })
const places = [await network.attach(), await network.attach()] as const
const swarm = new BenchSwarm({ model, store: folder, scratch }, 2, { places })
const seen: RingRound[] = []
try {
  const driver = await swarm.driver(signal)
  const prompt = 'Once upon a time'
  for (let round = -warmRounds; round < rounds; round++) {
    const short = await askPeer(driver, { prompt, maxTokens: 8 }, signal)
    const long = await askPeer(driver, { prompt, maxTokens: tokens }, signal)
    const { meanMs, computeMs, hops, bytesPerHop } = decoding(short, long)
    if (hops !== 2) throw new Error(`the model is on ${hops} peers, not two`)
    if (round < 0) continue
    const { laps } = await askPeer(driver, { prompt, maxTokens: tokens, trace: true }, signal)
    const spans = Object.fromEntries(besides.map(([name]) => [name, spanMs(laps, name)]))
    const plainMs = await plainLap(places, { bytes: Math.round(bytesPerHop[0]!), computeMs })
    seen.push({ tokenMs: meanMs, computeMs, plainMs, spans })
  }
} finally {
  await swarm.stop()
  network.close()
}

/** The mean lap of plain sockets in the same places. */
async function plainLap(
  [near, far]: readonly [Attachment, Attachment],
  { bytes, computeMs }: { readonly bytes: number; readonly computeMs: number }
): Promise<number> {
  const { address } = far
  const one = { address, computeMs: computeMs / 2, laps: tokens }
  const farInit: PlainInit = { ...one, ownBytes: tokenBytes, otherBytes: bytes }
  const answers = new BenchChild('plain-process.ts', farInit, far.prefix)
  const children = [answers]
  try {
    const { port } = await answers.next('up', { signal })
    const nearInit: PlainInit = { ...one, port: port as number, ownBytes: bytes, otherBytes: tokenBytes }
    const asks = new BenchChild('plain-process.ts', nearInit, near.prefix)
    children.push(asks)
    const { lapMs } = await asks.next('laps', { signal })
    return lapMs as number
  } finally {
    await Promise.all(children.map(child => child.stop()))
  }
}

process.stdout.write(JSON.stringify(seen))
process.exit()
