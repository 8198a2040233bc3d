#!/usr/bin/env node
/**
 * `npm run nightly`: accuracy, speed and memory, kept night by night as one JSON object a line, and an exit code of 1 where something has
 * become worse (`verdict.ts` says what that is). It measures with the bench, one part after the other, and takes an hour and a half.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import type { Row } from './report.ts'
import { keyOf, type Night, readNight, worsened } from './verdict.ts'

const root = path.resolve(import.meta.dirname, '../..')
const usualHistory = path.join(root, 'bench/history/nights.jsonl')
const usualParts = 'engine,batch,hops,load,memory,service,quality'

const { values: flags } = parseArgs({
  options: {
    history: { type: 'string', default: usualHistory },
    only: { type: 'string', default: usualParts },
    quick: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '60' },
    llama: { type: 'string' },
    help: { type: 'boolean', default: false }
  }
})
if (flags.help) {
  console.log(`usage: npm run nightly -- [options]
  --history FILE   where nights are kept (default: bench/history/nights.jsonl)
  --only PART,…    parts of the bench (default: ${usualParts})
  --minutes M      for how long --only service loses peers (default 60)
  --llama DIR      folder of node-llama-cpp, to compare with
  --quick          fewer rounds
Exit codes: 0 nothing is worse, 1 something is, 2 a part could not be measured or the command is wrong`)
  process.exit(0)
}

const figure = z.object({ median: z.number(), least: z.number(), most: z.number(), n: z.number() })
const printed = z.object({
  where: z.object({ date: z.string(), cpu: z.string() }),
  rows: z.array(z.object({ part: z.string(), what: z.string(), unit: z.string(), figure })),
  skipped: z.array(z.object({ part: z.string(), reason: z.string() }))
})

let earlier: Night[]
try {
  const lines = existsSync(flags.history) ? readFileSync(flags.history, 'utf8').split('\n') : []
  earlier = lines.filter(line => line !== '').map(readNight)
} catch (error) {
  console.error(`nightly: ${flags.history}: ${(error as Error).message}`)
  process.exit(2)
}

const rows: Row[] = []
let where = { date: '', cpu: '' }
for (const part of flags.only.split(',')) {
  console.error(`nightly: ${part} …`)
  const args = ['--only', part, '--json', '--minutes', flags.minutes]
  if (flags.quick) args.push('--quick')
  if (flags.llama !== undefined) args.push('--llama', flags.llama)
  const node = ['--experimental-transform-types', '--no-warnings', path.join(import.meta.dirname, 'bench.ts'), ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, node, { encoding: 'utf8', maxBuffer: 1 << 26 })
  if (status !== 0) {
    console.error(`nightly: the bench's ${part} ended with ${status}: ${stderr.trim().split('\n').at(-1)}`)
    process.exitCode = 2
    continue
  }
  const result = printed.parse(JSON.parse(stdout))
  for (const skipped of result.skipped) console.error(`nightly: not measured: ${skipped.part}: ${skipped.reason}`)
  rows.push(...result.rows)
  where = result.where
}
if (rows.length === 0) process.exit(2)

const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
const figures = Object.fromEntries(rows.map(row => [keyOf(row), Number(row.figure.median.toPrecision(6))]))
const night: Night = { date: where.date, commit, cpu: where.cpu, figures }
const worse = worsened(rows, earlier, where.cpu)
mkdirSync(path.dirname(flags.history), { recursive: true })
appendFileSync(flags.history, `${JSON.stringify(night)}\n`)
for (const sentence of worse) console.log(`worse: ${sentence}`)
console.log(
  `${rows.length} figures of ${commit} are kept in ${flags.history}; ${worse.length} are worse than ${earlier.length} nights before`
)
if (worse.length > 0) process.exitCode = 1
