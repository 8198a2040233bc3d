/**
 * `npm run large`: a swarm that is larger than a neighbourhood, whole peers over libp2p in this process. With the DHT they cover a
 * model, answer, and recover after a stage on the route is killed; without it they do not. Bytes are those of the DHT's streams.
 *
 *   npm run large -- [GROUPS [PER_GROUP [LINKS [GIVERS [LAYERS_EACH [dht|none]]]]]]
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type LargeHost, LargeSwarm, neighboursOf } from '../swarm/large.ts'

const [groups = 6, perGroup = 8, linksMax = 8, givers = 6, layersEach = 3] = process.argv.slice(2, 7).map(Number)
const size = { groups, perGroup, linksMax, givers, layersEach }
const idleMs = 60_000

/** Until a condition holds. @returns after how many ms; undefined when it did not in time */
async function within(limitMs: number, condition: () => boolean): Promise<number | undefined> {
  const startMs = performance.now()
  for (;;) {
    if (condition()) return performance.now() - startMs
    if (performance.now() - startMs > limitMs) return undefined
    await delay(100)
  }
}

const seconds = (ms: number | undefined): string => (ms === undefined ? 'never' : `${(ms / 1000).toFixed(1)} s`)
const spread = (values: readonly number[]): string => {
  const sorted = values.toSorted((a, b) => a - b)
  return `${sorted[sorted.length >> 1]} (${sorted[0]}–${sorted.at(-1)})`
}
/** Takes a line of the report, and shows it as it comes. */
function reported(): { readonly lines: string[]; readonly say: (line: string) => void } {
  const lines: string[] = []
  return {
    lines,
    say: line => {
      lines.push(line)
      process.stderr.write(`${line}\n`)
    }
  }
}

const dhtBytes = (hosts: readonly LargeHost[]): number[] =>
  hosts.map(({ swarm }) => swarm.dhtBytes().bytesIn + swarm.dhtBytes().bytesOut)

/** More answers at once than a giver has places for neighbours. */
async function askMany(swarm: LargeSwarm, drivers: readonly LargeHost[], say: (line: string) => void): Promise<void> {
  const startMs = performance.now()
  const answers = await Promise.allSettled(drivers.map(driver => swarm.ask(driver, { maxTokens: 60, waitMs: 30_000 })))
  const same = answers.filter(each => each.status === 'fulfilled' && each.value.ids.join() === each.value.alone.join())
  const failed = answers.flatMap(each => (each.status === 'rejected' ? [(each.reason as Error).message] : []))
  const why = failed.length === 0 ? '' : `; ${failed.join('; ')}`
  say(
    `- asked at ${drivers.length} hosts at once: ${same.length} identical in ${seconds(performance.now() - startMs)}${why}`
  )
  if (same.length < drivers.length) process.exitCode = 1
}

async function run(dht: boolean): Promise<string[]> {
  const { lines, say } = reported()
  const cpu = process.cpuUsage()
  const swarm = await LargeSwarm.start({ ...size, dht })
  try {
    const { hosts } = swarm
    const started = dhtBytes(hosts)
    const upMs = process.cpuUsage(cpu)
    say(`- processor until all had started: ${seconds((upMs.user + upMs.system) / 1000)}`)
    const coveredMs = await within(dht ? 120_000 : 60_000, () => swarm.isCovered(1))
    const twiceMs = coveredMs === undefined ? undefined : await within(60_000, () => swarm.isCovered(2))
    await within(60_000, () => hosts.every(host => neighboursOf(host) >= Math.min(4, linksMax / 2)))
    for (const line of [
      `- every layer served, after the last host has started: ${seconds(coveredMs)}; twice: ${seconds(twiceMs)}`,
      `- records known: ${spread(hosts.map(({ swarm }) => swarm.records().length))} of ${hosts.length}`
    ])
      say(line)
    const drivers = [...swarm.drivers]
    if (dht) await askMany(swarm, drivers.slice(0, 2 * linksMax), say)
    for (const [i, driver] of [drivers[0]!, drivers[drivers.length >> 1]!, drivers.at(-1)!].entries()) {
      const startMs = performance.now()
      const killAt = i === 0 ? undefined : 10
      const options = { maxTokens: 60, waitMs: 30_000, ...(killAt === undefined ? {} : { killAt }) }
      try {
        const { ids, alone, killed, recovered, hops } = await swarm.ask(driver, options)
        const isSame = ids.join() === alone.join()
        const fate = killed === undefined ? '' : `, ${killed} killed at token ${killAt}, recovered ${recovered} times`
        say(
          `- asked at host ${driver.name}: ${isSame ? 'identical' : 'NOT IDENTICAL'}, ${ids.length} tokens over ${hops} hops in ${seconds(performance.now() - startMs)}${fate}`
        )
        if (!dht || !isSame || (killed !== undefined && recovered === 0)) process.exitCode = 1
      } catch (error) {
        say(`- asked at host ${driver.name}: ${(error as Error).name}: ${(error as Error).message}`)
        if (dht || (error as Error).name !== 'NotCoveredError') process.exitCode = 1
      }
    }
    const before = dhtBytes(swarm.hosts)
    const idle = process.cpuUsage()
    await delay(idleMs)
    const { user, system } = process.cpuUsage(idle)
    const perMinute = dhtBytes(swarm.hosts).map((bytes, i) => Math.round((bytes - before[i]!) / 1000))
    for (const line of [
      `- neighbours now: ${spread(swarm.hosts.map(neighboursOf))}; the most at any time: ${Math.max(...hosts.map(({ neighboursMost }) => neighboursMost))}`,
      `- other connections, the most at any time: ${spread(hosts.map(({ contactsMost }) => contactsMost))}`,
      `- DHT until all had started, kB per peer, both ways: ${spread(started.map(bytes => Math.round(bytes / 1000)))}`,
      `- DHT of the minute after the answers, kB per peer, both ways: ${spread(perMinute)}`,
      `- processor in that minute, ms per s and peer: ${((user + system) / idleMs / swarm.hosts.length).toFixed(1)}`,
      `- violations: ${JSON.stringify(swarm.hosts.map(({ swarm }) => swarm.violations()).filter(each => Object.keys(each).length > 0))}`
    ])
      say(line)
    if (Math.max(...hosts.map(({ neighboursMost }) => neighboursMost)) > linksMax) process.exitCode = 1
    say(`- two givers were neighbours at some time: ${swarm.haveGiversMet ? 'yes' : 'no'}`)
    if (dht !== (coveredMs !== undefined) || dht !== swarm.haveGiversMet) process.exitCode = 1
    const all = process.cpuUsage(cpu)
    say(`- processor in all: ${seconds((all.user + all.system) / 1000)}`)
    return lines
  } finally {
    await swarm.stop()
  }
}

console.log(
  `# ${groups * perGroup} hosts with at most ${linksMax} neighbours each\n\n${givers} of them give memory for ${layersEach} of the layers each, no two of them neighbours when they begin to; the toy engine computes. ${groups} groups of ${perGroup} know one another from the start.`
)
for (const dht of process.argv[7] === undefined ? [true, false] : [process.argv[7] === 'dht']) {
  console.log(`\n## ${dht ? 'With' : 'Without'} the DHT\n`)
  console.log((await run(dht)).join('\n'))
}
process.exit()
