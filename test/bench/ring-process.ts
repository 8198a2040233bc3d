/** Child of `ring.ts`, in namespaces of its own: two peers with a link between them, of which the head asks. Prints JSON. */
import { Network } from '../churn/network.ts'
import { openBenchStore, benchModelOf } from './models.ts'
import { askPeer, BenchSwarm, decoding } from './swarm.ts'

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
}

/** Rounds that warm up. */
const warmRounds = 2

const { store: folder, modelId, scratch, oneWayMs, rounds, tokens } = JSON.parse(process.argv[2]!) as RingInit
const stopping = new AbortController()
const { signal } = stopping
process.stdin.resume().once('end', () => stopping.abort(new Error('the bench has ended')))

const store = await openBenchStore(folder)
const model = await benchModelOf(store, modelId)
const network = await Network.open({ everyLink: { delayMs: oneWayMs } })
const swarm = new BenchSwarm({ model, store: folder, scratch }, 2, {
  places: [await network.attach(), await network.attach()]
})
const seen: RingRound[] = []
try {
  const driver = await swarm.driver(signal)
  const prompt = 'Once upon a time'
  for (let round = -warmRounds; round < rounds; round++) {
    const short = await askPeer(driver, { prompt, maxTokens: 8 }, signal)
    const long = await askPeer(driver, { prompt, maxTokens: tokens }, signal)
    const { meanMs, computeMs, hops } = decoding(short, long)
    if (hops !== 2) throw new Error(`the model is on ${hops} peers, not two`)
    if (round >= 0) seen.push({ tokenMs: meanMs, computeMs })
  }
} finally {
  await swarm.stop()
  network.close()
}
process.stdout.write(JSON.stringify(seen))
process.exit()
