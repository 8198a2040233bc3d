#!/usr/bin/env node
/**
 * `npm run bench`: what Skein costs, by figures that are comparable within one run. What is compared is measured
 * by turns, so that whatever else the machine does meets both sides; nothing here passes or fails.
 * The script sets GLIBC_TUNABLES as `skein up` does for itself (bin/skein.js), for ONNX Runtime and for llama.cpp.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { changes, type EarlierResult, readResult } from './against.ts'
import { benchBatch } from './batch.ts'
import { benchCaches } from './caches.ts'
import { benchDht } from './dht.ts'
import { benchDrafts } from './drafts.ts'
import { benchExperts } from './experts.ts'
import { benchForms } from './forms.ts'
import { benchCuts, benchDecode, type Runtime } from './engine.ts'
import { benchLoad } from './load.ts'
import { findLlama, howToInstall } from './llama.ts'
import { type BenchModel, openBenchStore, randomModel, shippedModel } from './models.ts'
import { benchMemories } from './memories.ts'
import { benchMemory } from './memory.ts'
import { benchPrefill } from './prefill.ts'
import { benchQuality, qualityModels } from './quality.ts'
import { environment, type Row, type Skipped, table } from './report.ts'
import { benchRing } from './ring.ts'
import { benchSeal } from './seal.ts'
import { benchService } from './service.ts'
import { benchSim } from './sim.ts'
import { benchDiscovery, benchHops } from './swarm.ts'
import { benchUp } from './up.ts'
import { benchWork } from './work.ts'
import { benchThreads } from './threads.ts'
import { whyNoNetwork } from '../churn/network.ts'
import { whyNoModel } from '../real-models.ts'

const parts = [
  'engine',
  'long',
  'threads',
  'caches',
  'cuts',
  'batch',
  'experts',
  'drafts',
  'prefill',
  'hops',
  'work',
  'ring',
  'discovery',
  'load',
  'seal',
  'up',
  'service',
  'memory',
  'memories',
  'forms',
  'quality',
  'dht',
  'sim'
] as const
type Part = (typeof parts)[number]

const usage = `usage: npm run bench -- [options]
  --only PART,...   of ${parts.join(', ')}
  --quick           fewer rounds and only the models that ship
  --q4              the 135M shape in q4 too
  --large           the 1.1B shape in q8 and q4 instead, which takes 4 GB of disk and 2 GB of memory (--only engine, long or threads);
                    with --only memories a stage of more than 4 GiB, too, which takes 7 GB of memory;
                    with --only quality Qwen2.5-Coder-0.5B and Gemma 3 270M, too, where they are: 4 GB of disk and of memory
  --threads N       per engine (default 1)
  --llama DIR       folder of node-llama-cpp (default: SKEIN_LLAMA, or where npm puts it)
  --minutes M       for how long --only service loses peers (default 2)
  --against FILE    prints what changed since a result that --json printed
  --date TEXT       for the report (default: today)
  --json            for machines`

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    q4: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    threads: { type: 'string', default: '1' },
    llama: { type: 'string' },
    minutes: { type: 'string', default: '2' },
    against: { type: 'string' },
    date: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false }
  }
})
const wanted = new Set((flags.only ?? parts.join(',')).split(','))
const unknown = [...wanted].find(part => !parts.includes(part as Part))
const threads = Number(flags.threads)
/** Parts whose figures are of no model's weights. */
const modelless: readonly Part[] = ['experts', 'memories', 'forms', 'quality', 'dht', 'sim']
const needsModels = [...wanted].some(part => !modelless.includes(part as Part))
const minutes = Number(flags.minutes)
if (flags.help || unknown !== undefined || !(Number.isSafeInteger(threads) && threads >= 1) || !(minutes > 0)) {
  if (unknown !== undefined) console.error(`bench: there is no part ${unknown}`)
  console.error(usage)
  process.exit(flags.help ? 0 : 2)
}

let earlier: EarlierResult | undefined
try {
  earlier = flags.against === undefined ? undefined : readResult(flags.against)
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exit(2)
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
  const models: BenchModel[] = flags.large && needsModels ? [] : [await shippedModel(store)]
  const random = flags.large || flags.q4 ? (['q8', 'q4'] as const) : (['q8'] as const)
  const shape = flags.large ? '1.1B' : '135M'
  for (const dtype of !needsModels || (flags.quick && !flags.large) ? [] : random) {
    say(`making the ${shape} shape in ${dtype} …`)
    models.push(await randomModel(store, shape, dtype, signal))
  }
  const rounds = flags.quick ? 3 : 7

  const whyNone = qualityModels(flags.large).map(name => whyNoModel(name))
  const noQuality = flags.quick
    ? 'it is of models that do not ship'
    : whyNone.every(why => why !== undefined)
      ? whyNone[0]
      : undefined
  if (wanted.has('quality') && noQuality !== undefined) {
    wanted.delete('quality')
    skipped.push({ part: 'quality', reason: noQuality })
  }

  const compares = wanted.has('engine') || wanted.has('long') || wanted.has('quality')
  const llama = compares ? await findLlama(flags.llama ?? process.env.SKEIN_LLAMA) : undefined
  if (compares && llama === undefined) {
    skipped.push({ part: 'llama.cpp', reason: `node-llama-cpp is not installed: ${howToInstall}` })
  }
  if (llama !== undefined) where.nodeLlamaCpp = llama.version

  const noNetwork = whyNoNetwork({ links: true })
  if (wanted.has('ring') && noNetwork !== undefined) {
    wanted.delete('ring')
    skipped.push({ part: 'ring', reason: noNetwork })
  }

  // ONNX Runtime would take 1.6 GB more of memory, and is compared with on the smaller ones.
  const runtimes: readonly Runtime[] = flags.large ? ['wasm'] : ['wasm', 'onnx']
  const longRuntimes: readonly Runtime[] = flags.large ? ['wasm', 'wasm, cache i8'] : ['wasm', 'wasm, cache i8', 'onnx']
  const decoding = { threads, context: 128, tokens: 64, rounds, signal }
  const swarm = { store: folder, scratch, rounds, tokens: 72, signal }
  const benches: Record<Part, (model: BenchModel) => Promise<Row[]>> = {
    engine: model => benchDecode({ part: 'engine', runtimes, model, llama, scratch, ...decoding }),
    long: model =>
      benchDecode({ part: 'long', runtimes: longRuntimes, model, llama, scratch, ...decoding, context: 1_024 }),
    threads: model => benchThreads({ model, rounds, signal }),
    caches: model => benchCaches({ model, ...decoding }),
    cuts: model => benchCuts({ model, ...decoding }),
    batch: model => benchBatch({ model, ...decoding }),
    experts: model => (model === models[0] ? benchExperts({ rounds, signal }) : Promise.resolve([])),
    drafts: model => benchDrafts({ model, store, isFirst: model === models[0], rounds, signal }),
    prefill: model => benchPrefill({ model, isFirst: model === models[0], store: folder, scratch, rounds, signal }),
    hops: model => benchHops({ model, ...swarm }),
    work: model => benchWork({ model, ...swarm }),
    ring: model => benchRing({ model, ...swarm }),
    discovery: model => benchDiscovery({ model, ...swarm }),
    load: model => benchLoad({ model, store: folder, rounds, signal }),
    seal: model => benchSeal({ model, store, scratch, rounds, signal }),
    // With the model that ships, as people first run it.
    up: model => (model === models[0] ? benchUp({ scratch, rounds, signal }) : Promise.resolve([])),
    service: model => benchService({ model, ...swarm, isFirst: model === models[0], minutes }),
    // One model shows it: what is measured is what comes beside the weights.
    memory: model => (model === models[0] ? benchMemory({ scratch, quick: flags.quick, signal }) : Promise.resolve([])),
    memories: model =>
      model === models[0] ? benchMemories({ scratch, rounds, large: flags.large, signal }) : Promise.resolve([]),
    forms: model => (model === models[0] ? benchForms({ rounds, signal }) : Promise.resolve([])),
    quality: model =>
      model === models[0] ? benchQuality({ scratch, large: flags.large, llama, signal }) : Promise.resolve([]),
    // Neither needs a model's weights.
    dht: model => (model === models[0] ? benchDht({ scratch, quick: flags.quick, signal }) : Promise.resolve([])),
    sim: model => (model === models[0] ? benchSim({ quick: flags.quick, signal }) : Promise.resolve([]))
  }
  for (const part of parts) {
    if (!wanted.has(part)) continue
    for (const model of models) {
      say(`${part}: ${model.label} …`)
      try {
        rows.push(...(await benches[part](model)))
      } catch (error) {
        // What else there is to measure is worth having; what failed is said in the report and by the exit code.
        if (signal.aborted) throw error
        skipped.push({ part: `${part} of ${model.label}`, reason: (error as Error).message })
        process.exitCode = 1
      }
    }
  }
  await llama?.close()
  if (flags.json) console.log(JSON.stringify({ where, rows, skipped }))
  else console.log(table(rows, skipped, where))
  // Beside what is for machines it goes where a person looks.
  if (earlier !== undefined) (flags.json ? console.error : console.log)(`\n${changes(rows, earlier, where)}`)
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exitCode = signal.aborted ? 130 : 1
}
