/**
 * Many sessions at once: 64 answers from three drivers without layers over three peers that hold a third of the model each, with
 * room for some ten sessions, all in this process. Says how long the slowest takes beside the median, how late timers are here and
 * in an idle process beside it, and what is left afterwards. `npm run build && node --expose-gc test/bench/many.ts [rounds]`.
 */
import { fork } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import type * as api from '../../src/index.ts'
import type * as swarmFile from '../../src/swarm/swarm-file.ts'
import { ManyScene, sessions } from '../peer/many-scene.ts'

const self = fileURLToPath(import.meta.url)
/** Tokens of each answer. */
const maxTokens = 40
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
  const scene = await ManyScene.create({ createPeer, newSwarm })
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
    const expected = (await scene.alone(() => maxTokens)).map(({ ids }) => ids.join())
    await scene.start()
    const { drivers } = scene
    await scene.ask(drivers[0]!, 0, maxTokens)
    const lag = lagMeter()
    console.log(JSON.stringify({ before: await left() }))
    for (let round = 0; round < rounds; round++) {
      lag()
      await idleLag()
      const asks = Array.from({ length: sessions }, (_, i) => scene.ask(drivers[i % 3]!, i, maxTokens))
      const all = await Promise.allSettled(asks)
      const [here, beside] = [lag(), await idleLag()]
      const done = all.flatMap(each => (each.status === 'fulfilled' ? [each.value] : []))
      const ms = done.map(each => Math.round(each.ms)).sort((a, b) => a - b)
      const median = ms[ms.length >> 1]!
      console.log(
        JSON.stringify({
          round,
          identical: all.filter((each, i) => each.status === 'fulfilled' && each.value.ids.join() === expected[i])
            .length,
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
    await scene.stop()
  }
}
