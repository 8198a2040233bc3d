/**
 * Many sessions at once: 64 answers from three drivers without layers over three peers that hold a third of the model each, with
 * room for some ten sessions, all in this process. Says how long the slowest takes beside the median, how late timers are here and
 * in an idle process beside it, and what is left afterwards. `npm run build && node --expose-gc test/bench/many.ts [rounds]`.
 */
import { fork } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import type * as api from '../../src/index.ts'
import type * as swarmFile from '../../src/swarm/swarm-file.ts'

const self = fileURLToPath(import.meta.url)
const answers = 64
/** How often both processes look how late their timers are. */
const lookMs = 5

/** How late timers were since it was asked last, in ms. */
interface Lag {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** Measures this process. */
function lagMeter(): () => Lag {
  const histogram = monitorEventLoopDelay({ resolution: lookMs })
  histogram.enable()
  return () => {
    const late = (ns: number): number => Math.max(0, Math.round((ns / 1e6 - lookMs) * 10) / 10)
    const lag = { p50: late(histogram.percentile(50)), p99: late(histogram.percentile(99)), max: late(histogram.max) }
    histogram.reset()
    return lag
  }
}

if (process.argv[2] === '--idle') {
  const lag = lagMeter()
  process.on('message', () => process.send!(lag()))
} else {
  await measure(Number(process.argv[2] ?? 5))
}

async function measure(rounds: number): Promise<void> {
  const load = async <T>(path: string): Promise<T> =>
    import(new URL(`../../dist/src/${path}`, import.meta.url).href) as Promise<T>
  const { createPeer } = await load<typeof api>('index.js')
  const { newSwarm } = await load<typeof swarmFile>('swarm/swarm-file.js')
  const folder = await mkdtemp(join(tmpdir(), 'skein-many-'))
  const swarm = newSwarm('many')
  const peers: api.Peer[] = []
  const start = async (name: string, layers: { start: number; end: number } | null, memoryBytes: number) => {
    const peer = await createPeer({
      dataDir: join(folder, name),
      swarm: name === 'alone' ? newSwarm('alone') : swarm,
      mdns: false,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: peers.flatMap(({ addresses }) => [...addresses]),
      memoryBytes,
      ...(layers === null ? {} : { layers })
    })
    if (name !== 'alone') peers.push(peer)
    return peer
  }
  const sentences = ['Once upon a time', 'The dog', 'Tom and Lily went to', 'One day, a small boat']
  const ask = async (peer: api.Peer, i: number) => {
    const startMs = performance.now()
    const waited: string[] = []
    const options = { maxTokens: 40, temperature: i % 2, seed: i, client: `client ${i % 7}` }
    const generation = peer.generate(sentences[i % sentences.length]!, options)
    for await (const event of generation.events()) if (event.event === 'waiting') waited.push(event.message)
    return { ids: (await generation.answer).ids.join(), ms: performance.now() - startMs, waited }
  }
  const idle = fork(self, ['--idle'], { execArgv: [] })
  const idleLag = (): Promise<Lag> => {
    const answer = new Promise<Lag>(resolve => idle.once('message', lag => resolve(lag as Lag)))
    idle.send('lag')
    return answer
  }
  const left = async () => {
    globalThis.gc?.()
    await new Promise(resolve => setTimeout(resolve, 1000))
    globalThis.gc?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    const mb = (bytes: number): number => Math.round(bytes / 1e5) / 10
    const descriptors = (await readdir('/proc/self/fd')).length
    return { rssMB: mb(rss), heapMB: mb(heapUsed), externalMB: mb(external), descriptors }
  }
  try {
    const alone = await start('alone', null, 256e6)
    const expected: string[] = []
    for (let i = 0; i < answers; i++) expected.push((await ask(alone, i)).ids)
    await alone.stop()
    for (const [i, from] of [0, 2, 4].entries()) await start(`stage ${i}`, { start: from, end: from + 2 }, 34e6)
    const drivers = await Promise.all([0, 1, 2].map(i => start(`driver ${i}`, null, 0)))
    await ask(drivers[0]!, 0)
    const lag = lagMeter()
    console.log(JSON.stringify({ before: await left() }))
    for (let round = 0; round < rounds; round++) {
      lag()
      await idleLag()
      const all = await Promise.allSettled(Array.from({ length: answers }, (_, i) => ask(drivers[i % 3]!, i)))
      const [here, beside] = [lag(), await idleLag()]
      const done = all.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []))
      const ms = done.map(each => Math.round(each.ms)).sort((a, b) => a - b)
      const median = ms[ms.length >> 1]!
      console.log(
        JSON.stringify({
          round,
          identical: all.filter((each, i) => each.status === 'fulfilled' && each.value.ids === expected[i]).length,
          failed: all.flatMap(each => (each.status === 'rejected' ? [(each.reason as Error).message] : [])).slice(0, 3),
          waiting: done.filter(({ waited }) => waited.length > 0).length,
          said: done.flatMap(({ waited }) => waited.slice(0, 2)).filter((_, i) => i % 20 === 0),
          ms: {
            least: ms[0],
            median,
            slowest: ms.at(-1),
            slowestByMedian: Math.round((100 * ms.at(-1)!) / median) / 100
          },
          lag: { here, beside },
          load: Math.round(loadavg()[0]! * 10) / 10,
          left: await left()
        })
      )
    }
  } finally {
    idle.kill()
    await Promise.all(peers.map(peer => peer.stop()))
    await rm(folder, { recursive: true, force: true })
  }
}
