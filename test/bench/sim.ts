/** What the simulator costs, and what it says of placement. Each part is a process of its own, as a user starts it. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { figure, type Row } from './report.ts'

const main = fileURLToPath(new URL('../../dist/sim/main.js', import.meta.url))

export interface Told {
  /** The last line, parsed. */
  readonly summary: Record<string, unknown>
  readonly notes: string
  readonly tookMs: number
}

/** Runs the simulator with `--json`. @throws {Error} with what it said when it fails */
export async function simulate(args: readonly string[], signal: AbortSignal): Promise<Told> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [main, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'], signal })
  let said = ''
  let notes = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-100_000)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    notes = (notes + text).slice(-10_000)
  })
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject)
  child.once('close', resolve)
  const code = await promise
  const last = said.trim().split('\n').at(-1)!
  // What a scenario watches for is another matter than what it costs.
  if (code !== 0 && code !== 3) throw new Error(`npm run sim -- ${args.join(' ')} ended with ${code}: ${last} ${notes}`)
  return { summary: JSON.parse(last) as Told['summary'], notes, tookMs: performance.now() - startedMs }
}

/** @param quick ten minutes of a thousand peers instead of an hour, and fewer worlds and swarms */
export async function benchSim({ quick, signal }: { quick: boolean; signal: AbortSignal }): Promise<Row[]> {
  const part = 'sim'
  const minutes = quick ? 10 : 60
  const flock = await simulate(
    ['--scenario', 'search-grid', '--peers', '1000', '--minutes', String(minutes), '--quiet'],
    signal
  )
  const virtualS = (flock.summary.virtualMs as number) / 1000
  const megabytes = Number(/ and (\d+) MB/.exec(flock.notes)![1])
  const worlds = quick ? 60 : 300
  const crowd = await simulate(['--seeds', String(worlds)], signal)
  const swarms = quick ? 30 : 200
  const placing = (await simulate(['--placement', String(swarms)], signal)).summary as {
    readonly slower: Record<string, number>
    readonly aboveExactPercent: Record<string, number>
  }
  const one = (value: number): Row['figure'] => figure([value])
  return [
    {
      part,
      what: `1,000 peers, ${minutes} virtual minutes and their end: faster than life`,
      unit: 'times',
      figure: one((1000 * virtualS) / flock.tookMs),
      aim: 'at least 10'
    },
    { part, what: 'memory for it', unit: 'MB', figure: one(megabytes), aim: 'at most 2,000' },
    {
      part,
      what: 'random worlds on all processors',
      unit: 'per minute',
      figure: one((60_000 * worlds) / crowd.tookMs),
      how: `${worlds} worlds, no promise broken`
    },
    {
      part,
      what: `placement: sharing by memory is slower, ${swarms} random swarms`,
      unit: 'times',
      figure: one(placing.slower.memory!),
      aim: 'at least 1.5'
    },
    {
      part,
      what: 'placement: above the exact least time per token, p95 of them',
      unit: '%',
      figure: one(placing.aboveExactPercent.p95!),
      aim: 'at most 5'
    }
  ]
}
