#!/usr/bin/env node
/**
 * `npm run bench`: what Skein costs, by figures that are comparable within one run. What is compared is measured
 * by turns, so that whatever else the machine does meets both sides; nothing here passes or fails.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { benchCuts, benchDecode } from './engine.ts'
import { benchLoad } from './load.ts'
import { findLlama, howToInstall } from './llama.ts'
import { type BenchModel, openBenchStore, shippedModel, smolModel } from './models.ts'
import { environment, type Row, type Skipped, table } from './report.ts'
import { benchDiscovery, benchHops } from './swarm.ts'

const parts = ['engine', 'cuts', 'hops', 'discovery', 'load'] as const
type Part = (typeof parts)[number]

const usage = `usage: npm run bench -- [options]
  --only PART,...   of ${parts.join(', ')}
  --quick           fewer rounds and only the models that ship
  --q4              the 135M shape in q4 too
  --threads N       per engine (default 1)
  --llama DIR       folder of node-llama-cpp (default: SKEIN_LLAMA, or where npm puts it)
  --date TEXT       for the report (default: today)
  --json            for machines`

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    q4: { type: 'boolean', default: false },
    threads: { type: 'string', default: '1' },
    llama: { type: 'string' },
    date: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})
const wanted = new Set((flags.only ?? parts.join(',')).split(','))
const unknown = [...wanted].find(part => !parts.includes(part as Part))
const threads = Number(flags.threads)
if (flags.help || unknown !== undefined || !(Number.isSafeInteger(threads) && threads >= 1)) {
  if (unknown !== undefined) console.error(`bench: there is no part ${unknown}`)
  console.error(usage)
  process.exit(flags.help ? 0 : 2)
}

process.env.ORT_DISABLE_TELEMETRY = '1'
const scratch = mkdtempSync(path.join(tmpdir(), 'skein-bench-'))
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }))
const controller = new AbortController()
const { signal } = controller
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(name, () => {
    controller.abort(new Error(`ended by ${name}`))
    // A second one ends at once; `exit` removes the files either way.
    process.once(name, () => process.exit(130))
  })
}

const rows: Row[] = []
const skipped: Skipped[] = []
const say = (text: string): void => {
  if (!flags.json) process.stderr.write(`${text}\n`)
}

try {
  const where = environment(flags.date ?? new Date().toISOString().slice(0, 10))
  const folder = path.join(scratch, 'store')
  const store = await openBenchStore(folder)
  const models: BenchModel[] = [await shippedModel(store)]
  if (!flags.quick) {
    say('making the 135M shape …')
    models.push(await smolModel(store, 'q8', signal))
    if (flags.q4) models.push(await smolModel(store, 'q4', signal))
  }
  const rounds = flags.quick ? 3 : 7

  if (wanted.has('engine')) {
    const llama = await findLlama(flags.llama ?? process.env.SKEIN_LLAMA)
    if (llama === undefined) {
      skipped.push({ part: 'llama.cpp', reason: `node-llama-cpp is not installed: ${howToInstall}` })
    }
    for (const model of models) {
      say(`engine: ${model.label} …`)
      const init = { model, llama, scratch, threads, context: 128, tokens: 64, rounds, signal }
      rows.push(...(await benchDecode(init)))
    }
    await llama?.close()
    Object.assign(where, { nodeLlamaCpp: llama?.version ?? null })
  }
  if (wanted.has('cuts')) {
    for (const model of models) {
      say(`cuts: ${model.label} …`)
      rows.push(...(await benchCuts({ model, threads, context: 128, tokens: 64, rounds, signal })))
    }
  }
  for (const [part, bench] of [
    ['hops', benchHops],
    ['discovery', benchDiscovery]
  ] as const) {
    if (!wanted.has(part)) continue
    for (const model of models.filter(({ stored }) => stored.manifest.weights === 'q8')) {
      say(`${part}: ${model.label} …`)
      rows.push(...(await bench({ model, store: folder, scratch, rounds, tokens: 72, signal })))
    }
  }
  if (wanted.has('load')) {
    for (const model of models) {
      say(`load: ${model.label} …`)
      rows.push(...(await benchLoad({ model, store: folder, rounds, signal })))
    }
  }
  if (flags.json) console.log(JSON.stringify({ where, rows, skipped }))
  else console.log(table(rows, skipped, where))
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exitCode = signal.aborted ? 130 : 1
}
