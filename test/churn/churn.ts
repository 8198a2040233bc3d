/**
 * `npm run churn`: peers are lost in mid-answer, again and again, and every answer must be the undisturbed one.
 *
 *   npm run churn -- [--faults N] [--seed S] [--first K] [--layout five|four] [--ways kill,silent,left,…]
 *                    [--network] [--rtt MS] [--json] [--verbose]
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { beginRun, inNamespaces, runCommand, telling } from './command.ts'
import { pausesOf, quantile } from './figures.ts'
import { Network } from './network.ts'
import { planOf, type Way } from './plan.ts'
import { type AnswerResult, type Injection, pauseOf } from './results.ts'
import type { World as Swarm } from './world.ts'

const { values: flags } = parseArgs({
  options: {
    faults: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
    layout: { type: 'string' },
    ways: { type: 'string' },
    network: { type: 'boolean', default: false },
    rtt: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false }
  }
})
const [faultsMax, seed, first, rttMs] = [flags.faults, flags.seed, flags.first, flags.rtt].map(text => {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  console.error(`churn: ${text} is no whole number`)
  return process.exit(2)
}) as [number, number, number, number]
/** Swarms that may fail to start or to come back to calm before the run is given up. */
const collapsesMax = 5
/** Time for a swarm to end. */
const endMs = 60_000
/** Answers between two layouts, where none is asked for. */
const layoutAnswers = 30

const out = telling(flags.json)
const { say, sayJson } = out

/** The command that runs one answer of this run again. */
function again(index: number, layout: string): string {
  const more = `${flags.network ? ` --network --rtt ${rttMs}` : ''}${flags.ways === undefined ? '' : ` --ways ${flags.ways}`}`
  return `npm run churn -- --seed ${seed} --first ${index} --faults 1 --layout ${layout}${more} --verbose`
}

async function main(): Promise<number> {
  const network = flags.network || rttMs > 0
  if (network) {
    const code = await inNamespaces(out, { links: rttMs > 0 })
    if (code !== undefined) return code
  }
  const { signal, scratch } = beginRun('skein-churn-run-')

  const { layouts, shippedModel, startAlone, World } = await import('./world.ts')
  const { Reference, Runner } = await import('./run.ts')
  const { tellingVerdicts, watchVerdicts } = await import('./verdicts.ts')
  if (flags.verbose) await watchVerdicts(verdict => sayTrouble('driver', JSON.stringify(verdict)))
  const possible: Way[] = ['kill', 'silent', 'left', ...(network ? ['drop' as const] : []), 'drain', 'last']
  if (!network) say('packets are dropped with --network only')
  const asked = flags.ways?.split(',') ?? possible
  const ways = possible.filter(way => asked.includes(way))
  if (ways.length === 0) throw new Error(`none of ${asked} can be had here: ${possible} can`)

  const model = await shippedModel(join(scratch, 'alone'))
  const alone = await startAlone(scratch, signal)
  const reference = new Reference(alone)
  const results: AnswerResult[] = []
  const opened = network ? await Network.open({ driverRttMs: rttMs }) : undefined
  let world: Swarm | undefined
  let index = first
  let layout = layouts[0]!
  let trouble: string | undefined
  let collapses = 0
  let leftovers: Awaited<ReturnType<Swarm['leftovers']>> | undefined
  const startedMs = performance.now()
  const endWorld = async (): Promise<void> => {
    const ending = world?.stop()
    world = undefined
    if (!(await within(endMs, ending))) say(`  the swarm did not end within ${endMs / 1000} s`)
  }
  const count = (): number => results.reduce((sum, { injections }) => sum + injections.length, 0)
  const named = layouts.find(({ name }) => name === flags.layout)
  if (flags.layout !== undefined && named === undefined) throw new Error(`no layout ${flags.layout}`)
  // The driver lives in this process: a defect of it is counted and shown, and ends no run of an hour.
  let defects = 0
  const onDefect = (error: unknown): void => {
    defects++
    say(`  DEFECT: ${error instanceof Error ? error.stack : error}`)
    trouble ??= again(index, layout.name)
  }
  process.on('uncaughtException', onDefect).on('unhandledRejection', onDefect)
  try {
    while (count() < faultsMax) {
      layout = named ?? layouts[Math.floor(index / layoutAnswers) % layouts.length]!
      try {
        if (world?.layout !== layout) {
          await endWorld()
          say(`layout ${layout.name}: a driver and ${layout.peers} peers, ${layout.hops} hops`)
          world = await World.start(layout, {
            signal,
            ...(opened === undefined ? {} : { network: opened }),
            // Who was found silent by whom, for those who look into a failure: it costs every start some ms.
            ...(flags.verbose ? { env: tellingVerdicts, onLine: sayTrouble } : {})
          })
        }
        const plan = planOf(seed, index, ways)
        const expected = await reference.of(plan, signal)
        if (flags.verbose) say(`answer ${index}: ${JSON.stringify(plan.faults)}`)
        const runner = new Runner(world, plan, line => flags.verbose && say(line))
        const result = await runner.run(expected, signal)
        results.push(result)
        tell(result, layout.name, `${count()}/${faultsMax}`)
        if (!result.identical || result.blamed.length > 0) trouble ??= again(index, layout.name)
        await runner.heal(signal)
      } catch (error) {
        signal.throwIfAborted()
        say(`  ${(error as Error).message}`)
        trouble ??= again(index, layout.name)
        collapses++
        // One more swarm may do better; more than a few are the same story again.
        if (collapses > collapsesMax) throw error
        await endWorld()
      }
      index++
    }
    leftovers = await world?.leftovers(signal)
    if (leftovers !== undefined && leftovers.sessions > 0) {
      say(`${leftovers.sessions} sessions still hold a cache, though nobody asks anything`)
      trouble ??= again(first, layout.name)
    }
  } catch (error) {
    say(`churn: ${(error as Error).message}`)
    trouble ??= again(index, layout.name)
  }
  await endWorld()
  await within(endMs, alone.stop())
  opened?.close()
  const { hidden } = model.manifest.config
  const rowBytes = hidden * (model.manifest.edge === 'f32' ? 4 : 2)
  return summarise(results, {
    trouble,
    collapses,
    defects,
    leftovers,
    rowBytes,
    minutes: (performance.now() - startedMs) / 60_000
  })
}

/** Says what a peer prints about others, if it is no good news. */
function sayTrouble(peer: string, line: string): void {
  if (/"event":"(verdict|warning)"/.test(line)) say(`    ${peer}: ${line}`)
}

/** Whether this work, if any, ends within that time; what it throws is said. */
async function within(ms: number, work: Promise<void> | undefined): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(() => resolve(false), ms)
  })
  const done = (work ?? Promise.resolve()).catch((error: Error) => say(`  ${error.message}`)).then(() => true)
  const isInTime = await Promise.race([done, late])
  clearTimeout(timer)
  return isInTime
}

/** What came of one answer. */
function tell(
  { plan, injections, identical, exact, blamed, refusals, failure, tokens, recoveries, tokensPerSecond }: AnswerResult,
  layout: string,
  progress: string
): void {
  const { index } = plan
  say(
    `answer ${index}: ${injections.map(describe).join(', ') || 'no fault'}; ${tokens} tokens, ` +
      `${tokensPerSecond.toFixed(0)} tokens/s ${identical ? 'identical' : 'DIFFERENT'} (${progress})`
  )
  sayJson({ event: 'answer', index, layout, injections, identical, exact, blamed, failure, recoveries })
  if (failure !== undefined) say(`  failed: ${failure}`)
  for (const who of refusals) say(`  refused: ${who}`)
  for (const who of blamed) say(`  blamed, though nobody had hurt it: ${who}`)
}

function describe(injection: Injection): string {
  const { way, hop, shape } = injection
  const ms = pauseOf(injection)
  const pause = ms === undefined ? 'unnoticed' : `${ms.toFixed(0)} ms`
  return `${way}${shape === 'single' ? '' : ` (${shape})`} at hop ${hop}: ${pause}`
}

function summarise(
  results: readonly AnswerResult[],
  {
    trouble,
    collapses,
    defects,
    leftovers,
    rowBytes,
    minutes
  }: {
    trouble: string | undefined
    collapses: number
    defects: number
    leftovers: object | undefined
    rowBytes: number
    minutes: number
  }
): number {
  const all = results.flatMap(result => result.injections.map(injection => ({ result, injection })))
  const pausesWhere = (test: (injection: Injection) => boolean): number[] =>
    all.flatMap(({ injection }) => (test(injection) ? (pauseOf(injection) ?? []) : []))
  const pauses = (...these: readonly Way[]) => pausesOf(pausesWhere(({ way }) => these.includes(way)))
  const shapes = (shape: string) =>
    pausesOf(pausesWhere(injection => injection.shape === shape && injection.way !== 'last'))
  // What a loss in every hundredth step leaves of the speed with one in every thousandth, from the mean pause.
  const kills = pausesWhere(({ way }) => way === 'kill')
  const killMs = kills.reduce((sum, ms) => sum + ms, 0) / kills.length
  const tokenMs =
    quantile(
      results.map(result => result.tokenMs),
      0.5
    ) ?? 0
  const speedKept = kills.length === 0 ? null : (tokenMs + killMs / 1000) / (tokenMs + killMs / 100)
  const last = all.filter(({ injection }) => injection.way === 'last')
  const recoveries = results.flatMap(result => result.recoveries)
  const replayed = recoveries.map(({ replayedTokens }) => replayedTokens)
  const notExact = results.filter(({ exact }) => !exact)
  const details = {
    event: 'details',
    answers: results.length,
    minutes: Number(minutes.toFixed(1)),
    tokens: results.reduce((sum, { tokens }) => sum + tokens, 0),
    recoveries: recoveries.length,
    refusals: results.reduce((sum, { refusals }) => sum + refusals.length, 0),
    replayedTokens: { total: replayed.reduce((sum, n) => sum + n, 0), ...pausesOf(replayed) },
    /** Hidden states that went over a link again, at one hop each: the head is sent ids, and several stand-ins more. */
    replayedBytes: replayed.reduce((sum, n) => sum + n, 0) * rowBytes,
    noticedToToken: pausesOf(recoveries.map(({ ms }) => ms)),
    perShape: { single: shapes('single'), pair: shapes('pair'), again: shapes('again') },
    faultsPerWay: Object.fromEntries(
      [...new Set(all.map(({ injection }) => injection.way))].map(way => [
        way,
        all.filter(({ injection }) => injection.way === way).length
      ])
    ),
    /** Every copy of a layer lost: until placement had made one and the answer went on, and how often that was said. */
    lastCopy: {
      faults: last.length,
      identical: last.filter(({ result }) => result.identical).length,
      told: last.filter(({ injection }) => injection.told).length,
      pauseMs: pauses('last')
    },
    tokenMs: Number(tokenMs.toFixed(2)),
    speedAtOneKillIn100Of1000: speedKept === null ? null : Number(speedKept.toFixed(3)),
    otherClass: { answers: notExact.length, differing: notExact.filter(({ identical }) => !identical).length },
    collapses,
    defects,
    ...leftovers
  }
  const summary = {
    event: 'churn',
    faults: all.length,
    identical: all.filter(({ result }) => result.identical).length,
    blamed: results.reduce((sum, { blamed }) => sum + blamed.length, 0),
    tokensLost: results.reduce((sum, { tokensLost }) => sum + tokensLost, 0),
    pauseMs: { kill: pauses('kill'), silent: pauses('silent', 'drop'), left: pauses('left', 'drain') }
  }
  sayJson(details)
  sayJson(summary)
  if (!flags.json) {
    console.log(
      `${summary.faults} faults in ${details.answers} answers and ${details.minutes} minutes: ` +
        `${summary.identical} identical, ${summary.blamed} blamed, ${summary.tokensLost} tokens lost`
    )
    console.log(`  pause, ms: ${JSON.stringify(summary.pauseMs)}`)
    console.log(`  ${JSON.stringify(details)}`)
  }
  if (trouble === undefined) return 0
  process.stderr.write(`${trouble}\n`)
  return 1
}

await runCommand(main)
