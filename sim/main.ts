/** `npm run sim`: one story, or many random worlds until a promise is broken. */
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { dirname, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { jobsDefault, liveThroughMany } from './crowd.ts'
import { BrokenPromise } from './promises.ts'
import { reportPaths } from './report-paths.ts'
import { measureConverging } from './converging.ts'
import { BrokenMembership } from './members-machine.ts'
import { MembersWorld } from './members-world.ts'
import { flyingKinds, measureFlying } from './flying.ts'
import { measureLarge, measurePlacing } from './placing.ts'
import { drawScenario } from './random-world.ts'
import { checkNames, parseScenario } from './scenario.ts'
import { type Scenario, ScenarioError } from './scenario-fields.ts'
import type { Summary } from './stats.ts'
import { manyOfWork } from './work-command.ts'
import { World } from './world.ts'

const usage = `Usage: npm run sim -- [options]

  --scenario NAME|FILE  tell one story; NAME is one of --list, FILE a scenario of your own
  --seed N              the number that decides everything (default 1)
  --seeds N             live through N random worlds, from --seed on; stop at the first broken promise
  --jobs N              threads for that (default: as many as there are processors); the outcome is the same
  --placement N         measure placement on N random swarms against baselines from the literature
  --converging N        change N random swarms, each in three ways, and measure when placement rests
  --members N           live through N worlds of members who are captured and revoked, from --seed on
  --work N              live through N worlds in which somebody computes something else than it should, from --seed on
  --peers N             so many peers in all, in the scenario's proportions
  --minutes M           so many virtual minutes
  --live                have real peers live the scenario too, and compare what was simulated with what was measured
  --report FILE         write the story as a page with pictures, and its numbers beside it as .json and .csv
  --quiet               do not tell the story
  --json                end with one JSON object
  --list                what scenarios there are

Exit codes: 0 all promises held and the scenario's watch was content, 1 a promise was broken, 2 the command or the
scenario is wrong, 3 the watch was not content; with --live also 4 real peers could not live it here, 130 interrupted.`

class UsageError extends Error {}

const file = fileURLToPath(import.meta.url)
const here = dirname(file)
/** Beside the sources, or where the compiled code finds them. */
const folder = [join(here, 'scenarios'), join(here, '../../sim/scenarios')].find(path => existsSync(path))!

/** @param files gets every file that was read for it */
function readScenario(name: string, files: string[] = []): Scenario {
  const known = join(folder, `${name}.json`)
  const path = existsSync(known) ? known : resolve(name)
  if (!existsSync(path)) {
    throw new UsageError(`there is no scenario ${name}: ${names().join(', ')}, or a file`)
  }
  let text: string
  files.push(path)
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new ScenarioError(`${name} is no scenario: it cannot be read (${(error as { code?: string }).code})`)
  }
  let value: unknown
  try {
    // Some editors begin a file with a mark of its byte order.
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (error) {
    const message = (error as Error).message.replace(/[^\x20-\x7e]/g, '?')
    throw new ScenarioError(`${name} is no scenario: it is no JSON: ${message}`)
  }
  return parseScenario(value, name, file => {
    const track = resolve(dirname(path), file)
    files.push(track)
    return readFileSync(track, 'utf8')
  })
}

function names(): string[] {
  return readdirSync(folder)
    .filter(file => file.endsWith('.json'))
    .map(file => file.slice(0, -5))
    .sort()
}

/** The same scenario with another number of peers, shared out as before. */
function resized(scenario: Scenario, peers: number): Scenario {
  const before = scenario.peers.reduce((sum, { count }) => sum + count, 0)
  let left = peers
  const groups = scenario.peers.map((group, i) => {
    const rest = scenario.peers.length - 1 - i
    const count = rest === 0 ? left : Math.max(1, Math.min(left - rest, Math.round((group.count * peers) / before)))
    left -= count
    return { ...group, count }
  })
  // The same density of peers in the air.
  const grow = Math.sqrt(peers / before)
  const area = { widthM: scenario.area.widthM * grow, heightM: scenario.area.heightM * grow }
  return { ...scenario, peers: groups, area }
}

function whole(text: string | undefined, name: string, low: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < low) {
    throw new UsageError(`--${name} must be a whole number from ${low}, not ${text}`)
  }
  return value
}

/** Before anything is lived through: whether the report can be written afterwards. */
function checkReport(path: string, inputs: readonly string[]): void {
  const extension = extname(path)
  if (extension !== '.html' && extension !== '.htm') {
    throw new UsageError(`--report must name a page, as in story.html, not ${path === '' ? 'nothing' : path}`)
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw new UsageError(`--report: ${path} is a folder, not a page`)
  }
  const folder = dirname(resolve(path))
  try {
    accessSync(folder, constants.W_OK)
  } catch {
    throw new UsageError(`--report: nothing can be written to ${folder}`)
  }
  const read = new Set(inputs.map(input => realpathSync(input)))
  const lost = reportPaths(path).find(each => existsSync(each) && read.has(realpathSync(each)))
  if (lost !== undefined) {
    throw new UsageError(`--report: ${lost} would be written over, and the scenario is read from it: say another name`)
  }
}

/** What would be ignored is refused: who says it believes that it was done. */
function checkTogether(values: Readonly<Record<string, unknown>>): void {
  const isSaid = (name: string): boolean => values[name] !== undefined && values[name] !== false
  const [crowd, other] = ['seeds', 'placement', 'converging', 'members', 'work'].filter(isSaid)
  if (other !== undefined) throw new UsageError(`--${crowd} and --${other} are two runs: say one of them`)
  const stray = ['scenario', 'peers', 'minutes', 'live', 'report'].find(isSaid)
  if (crowd !== undefined && stray !== undefined) {
    throw new UsageError(`--${crowd} draws its own worlds and has no --${stray}`)
  }
  if (crowd !== 'seeds' && isSaid('jobs')) throw new UsageError('--jobs is for --seeds: everything else has one thread')
}

/** What the scenario watches for and did not get. */
export function discontent({ watch }: Scenario, summary: Summary): string[] {
  const found: string[] = []
  const asked = summary.prompts - summary.driversLost - summary.cancelled
  const ratio = asked === 0 ? 1 : summary.answered / asked
  if (watch.answeredRatioMin !== undefined && asked === 0) {
    found.push('no prompt was asked whose driver stayed, and some were to be answered')
  }
  if (watch.answeredRatioMin !== undefined && ratio < watch.answeredRatioMin) {
    found.push(`${percent(ratio)} % of the prompts were answered, not ${percent(watch.answeredRatioMin)} %`)
  }
  if (watch.pauseP99MsMax !== undefined && (summary.pauseMs?.p99 ?? 0) > watch.pauseP99MsMax) {
    found.push(`the 99th percentile of pauses is ${summary.pauseMs?.p99} ms, not ${watch.pauseP99MsMax} ms`)
  }
  if (watch.coveredRatioMin !== undefined && summary.coveredRatio < watch.coveredRatioMin) {
    found.push(
      `the model was covered ${percent(summary.coveredRatio)} % of the time, not ${percent(watch.coveredRatioMin)} %`
    )
  }
  return found
}

/** Rounded down, so that only the whole is 100. */
function percent(share: number): number {
  return Math.floor(share * 1e4 + 1e-6) / 100
}

function tell(summary: Summary): string {
  const { pauseMs, firstTokenMs, unasked, tainted, cuts } = summary
  const losses = Object.entries(summary.losses).map(([reason, count]) => `${count} ${reason}`)
  return [
    `${summary.answered} of ${summary.prompts} prompts answered, ${summary.failed} failed, ${summary.driversLost} lost with their drivers${summary.cancelled === 0 ? '' : `, ${summary.cancelled} given up`}${unasked === 0 ? '' : `; ${unasked} not asked, since nobody was up`}${tainted === 0 ? '' : `; ${tainted} went through a liar and were not checked`}`,
    `${summary.tokens} tokens, ${summary.tokensPerSecond ?? 'none'} per second and answer; ${firstTokenMs === null ? 'no first token' : `first token after ${firstTokenMs.p50} ms (p50), ${firstTokenMs.p99} ms (p99)`}`,
    `${summary.faults} faults; hops lost: ${losses.join(', ') || 'none'}${cuts === 0 ? '' : `; ${cuts} links between hops`}; ${pauseMs === null ? 'no pauses' : `pauses ${pauseMs.p50} ms (p50), ${pauseMs.p99} ms (p99), ${pauseMs.max} ms (max) over ${summary.recoveries}`}`,
    `covered ${percent(summary.coveredRatio)} % of the time; ${summary.loads} stages loaded; ${summary.tokens === 0 ? `${summary.wireBytes} bytes and ${summary.joules} J in all` : `${summary.bytesPerToken} bytes and ${summary.joulesPerToken} J per token`}`,
    `${summary.checks} checks of promises, none broken; trace ${summary.trace}`
  ].join('\n')
}

/**
 * Does what the arguments say. Returns the exit code; what is wrong with them is printed. `note` hears what no seed
 * decides: how long it took.
 */
export async function main(
  args: string[],
  print: (line: string) => void,
  note: (line: string) => void = () => {}
): Promise<number> {
  try {
    return await command(args, print, note)
  } catch (error) {
    const isExpected =
      error instanceof UsageError ||
      error instanceof ScenarioError ||
      (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true
    if (!isExpected) throw error
    print((error as Error).message)
    return 2
  }
}

async function command(args: string[], print: (line: string) => void, note: (line: string) => void): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string' },
      seed: { type: 'string' },
      seeds: { type: 'string' },
      jobs: { type: 'string' },
      placement: { type: 'string' },
      converging: { type: 'string' },
      members: { type: 'string' },
      work: { type: 'string' },
      peers: { type: 'string' },
      minutes: { type: 'string' },
      live: { type: 'boolean', default: false },
      report: { type: 'string' },
      quiet: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) {
    print(usage)
    return 0
  }
  if (values.list) {
    for (const name of names()) print(`${name.padEnd(16)} ${readScenario(name).about}`)
    return 0
  }
  const seed = whole(values.seed, 'seed', 0) ?? 1
  const seeds = whole(values.seeds, 'seeds', 1)
  checkTogether(values)
  const swarms = whole(values.placement, 'placement', 1)
  if (swarms !== undefined) {
    const result = measurePlacing(seed, swarms)
    const { slower, aboveExactPercent: above, hops, twice } = result
    print(
      `${swarms} random swarms: sharing by memory is ${slower.memory} times slower (${slower.memoryAll} with every peer), Petals ${slower.petals} times, the exact least time ${slower.exact} times`
    )
    print(
      `above the exact least time: ${above.p50} % (p50), ${above.p95} % (p95), ${above.max} % (max); ${hops.ours} hops, not ${hops.exact}`
    )
    print(`covered twice in ${twice.planned} of the ${twice.able} swarms whose budgets suffice`)
    const flying = flyingKinds.map(kind => measureFlying(seed, swarms, kind))
    for (const { kind, longer, longerAny, slowerPercent } of flying) {
      print(
        `batteries ${kind}: the first one that serves lasts ${longer.memory} times longer than with shares by memory (any one ${longerAny.memory} times), at ${slowerPercent.p95} % (p95), ${slowerPercent.max} % (max) more than the least time`
      )
    }
    const large = measureLarge(seed, Math.min(swarms, 40), () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1000
    })
    print(
      `32 peers and 80 layers: planned in ${large.planMs.p50} ms (p50), ${large.planMs.max} ms (max) of the processor, ${large.aboveExactPercent.max} % (max) above the exact least time`
    )
    if (values.json) print(JSON.stringify({ ...result, flying, large }))
    return 0
  }
  const members = whole(values.members, 'members', 1)
  if (members !== undefined) return manyOfMembers({ first: seed, count: members, json: values.json }, print)
  const work = whole(values.work, 'work', 1)
  if (work !== undefined) return manyOfWork({ first: seed, count: work, json: values.json }, print)
  const converging = whole(values.converging, 'converging', 1)
  if (converging !== undefined) {
    const result = await measureConverging(seed, converging)
    for (const [change, { swarms, moved, seconds, movesMax }] of Object.entries(result.changes)) {
      print(
        `a peer ${change}: ${moved} of ${swarms} swarms moved, for the last time after ${seconds.p50} s (p50), ${seconds.p95} s (p95), ${seconds.max} s (max); ${movesMax} moves at most`
      )
    }
    if (values.json) print(JSON.stringify(result))
    return 0
  }
  const jobs = whole(values.jobs, 'jobs', 1) ?? jobsDefault
  if (seeds !== undefined && seed + seeds - 1 > Number.MAX_SAFE_INTEGER) {
    throw new UsageError(`--seed ${seed} leaves no room for ${seeds} seeds: the last one is ${Number.MAX_SAFE_INTEGER}`)
  }
  if (seeds !== undefined) return many({ first: seed, count: seeds, jobs, json: values.json }, print, note)

  let scenario: Scenario
  const files: string[] = []
  let again: string
  if (values.live && values.scenario === undefined) throw new UsageError('--live needs a --scenario')
  if (values.scenario === undefined) {
    if (values.seed === undefined) throw new UsageError(usage)
    scenario = drawScenario(seed)
    again = `npm run sim -- --seed ${seed}`
  } else {
    scenario = readScenario(values.scenario, files)
    again = `npm run sim -- --scenario ${values.scenario} --seed ${seed}`
  }
  const peers = whole(values.peers, 'peers', scenario.peers.length)
  if (peers !== undefined) {
    scenario = resized(scenario, peers)
    checkNames(scenario, `${values.scenario ?? 'the world'} with --peers ${peers}`)
    again += ` --peers ${peers}`
  }
  if (values.minutes !== undefined) {
    const minutes = Number(values.minutes)
    if (!(minutes > 0 && minutes <= 50_000)) {
      throw new UsageError(`--minutes must be above 0 and at most 50,000, not ${values.minutes}`)
    }
    scenario = { ...scenario, minutes }
    again += ` --minutes ${values.minutes}`
  }
  if (values.report !== undefined) checkReport(values.report, files)
  if (values.live) {
    if (values.report !== undefined) throw new UsageError('--live has no --report: its table is all it tells')
    const { commandLive } = await import('./live-command.ts')
    return commandLive({ scenario, seed, quiet: values.quiet, json: values.json, print })
  }
  const startedMs = performance.now()
  const world = new World({
    scenario,
    seed,
    keepsSamples: values.report !== undefined,
    ...(values.quiet ? {} : { onLine: print })
  })
  let summary: Summary
  try {
    summary = await world.run()
  } catch (error) {
    if (!(error instanceof BrokenPromise)) throw error
    print(`broken: ${error.message}`)
    if (values.json) print(JSON.stringify({ event: 'broken', promise: error.promise, atMs: error.atMs, seed }))
    print(again)
    return 1
  }
  const took = ((performance.now() - startedMs) / 1000).toFixed(1)
  const megabytes = Math.round(process.resourceUsage().maxRSS / 1024)
  note(`${Math.round(summary.virtualMs / 1000)} virtual seconds took ${took} s and ${megabytes} MB at most`)
  const wrong = discontent(scenario, summary)
  if (!values.quiet || !values.json) print(tell(summary))
  for (const line of wrong) print(`not content: ${line}`)
  if (values.json) print(JSON.stringify(summary))
  // Last, so that a full disk takes nothing else away.
  if (values.report !== undefined) {
    const { writeReport } = await import('./report.ts')
    for (const [path, text] of writeReport(world, summary, values.report)) writeReportFile(path, text)
  }
  return wrong.length === 0 ? 0 : 3
}

function writeReportFile(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new UsageError(`--report: ${path} cannot be written (${(error as { code?: string }).code})`)
  }
}

/** Worlds of members until a promise is broken. */
async function manyOfMembers(
  { first, count, json }: { first: number; count: number; json: boolean },
  print: (line: string) => void
): Promise<number> {
  const sum = { revocations: 0, admissions: 0, refusals: 0, doors: 0, checks: 0 }
  for (let seed = first; seed < first + count; seed++) {
    try {
      const counts = await new MembersWorld(seed).run()
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += counts[name]
    } catch (error) {
      if (!(error instanceof BrokenMembership)) throw error
      print(`broken: ${error.message}`)
      if (json) print(JSON.stringify({ event: 'broken', promise: error.promise, seed, message: error.message }))
      print(`npm run sim -- --members 1 --seed ${seed}`)
      return 1
    }
    if ((seed - first + 1) % 500 === 0) print(`${seed - first + 1} worlds`)
  }
  const { revocations, admissions, refusals, doors, checks } = sum
  print(`${count} worlds of members from seed ${first}: no promise broken in ${checks} checks`)
  print(`${revocations} revocations, ${admissions} admissions, ${doors} by the door, ${refusals} refusals`)
  if (json) print(JSON.stringify({ event: 'members', first, count, broken: 0, ...sum }))
  return 0
}

/** Random worlds until a promise is broken. How long it took goes to `note`: everything else is decided by the seeds. */
async function many(
  { first, count, jobs, json }: { first: number; count: number; jobs: number; json: boolean },
  print: (line: string) => void,
  note: (line: string) => void
): Promise<number> {
  const startedMs = performance.now()
  const crowd = await liveThroughMany(first, count, jobs, worlds => {
    if (worlds % 500 === 0) print(`${worlds} worlds`)
  })
  const { counts: sum, trace, worlds, broken } = crowd
  note(`${worlds} worlds took ${Math.round((performance.now() - startedMs) / 100) / 10} s on ${jobs} threads`)
  const virtualS = Math.round(sum.virtualMs / 1000)
  if (broken !== undefined) {
    print(`broken: ${broken.message}`)
    if (json) print(JSON.stringify({ event: 'broken', ...broken, worlds }))
    print(`npm run sim -- --seed ${broken.seed}`)
    return 1
  }
  print(`${count} random worlds from seed ${first}: no promise broken in ${sum.checks} checks; trace ${trace}`)
  print(
    `${sum.faults} faults, ${sum.prompts} prompts, ${sum.answered} answered, ${sum.failed} failed, ${sum.cancelled} given up, ${sum.recoveries} recoveries, ${virtualS} virtual seconds`
  )
  if (json) print(JSON.stringify({ event: 'worlds', first, count, broken: 0, ...sum, trace }))
  return 0
}

/** Whether this is what node was started with: by its name with or without an end, and by whatever links lead here. */
function isStarted([, path = '']: readonly string[]): boolean {
  return [path, `${path}.js`].some(
    each => statSync(each, { throwIfNoEntry: false })?.isFile() === true && realpathSync(each) === file
  )
}

if (isStarted(process.argv)) {
  process.exitCode = await main(
    process.argv.slice(2),
    line => console.log(line),
    line => console.error(line)
  )
}
