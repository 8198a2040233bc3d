/** Decode speed of one engine with the whole model, against llama.cpp on the same weights. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Engine } from '../../src/engine/engine.ts'
import { createOnnxEngine } from '../../src/engine/onnx/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import { type Decoder, decodeRound, engineDecoder, promptIds, type Round } from './decoder.ts'
import { exportGguf } from './llama-gguf.ts'
import type { Llama } from './llama.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'

export interface DecodeInit {
  /** Of the bench, as its rows name it. */
  readonly part: string
  /** Those of our engines that are compared. */
  readonly runtimes: readonly Runtime[]
  readonly model: BenchModel
  readonly llama: Llama | undefined
  /** A folder for the GGUF file. */
  readonly scratch: string
  readonly threads: number
  /** Tokens in the cache before the first that is timed. */
  readonly context: number
  /** Tokens timed in a round. */
  readonly tokens: number
  readonly rounds: number
  readonly signal: AbortSignal
}

/** Our engines, by the names of their factories, and what caches their sessions have. */
const runtimes = {
  wasm: { create: createWasmEngine, cache: 'f32' },
  'wasm, cache i8': { create: createWasmEngine, cache: 'i8' },
  onnx: { create: createOnnxEngine, cache: 'f32' }
} as const
export type Runtime = keyof typeof runtimes

/** Rounds of all engines by turns; the first round of each warms up and does not count. */
export async function benchDecode(init: DecodeInit): Promise<Row[]> {
  const { model, llama, threads, context, tokens, rounds, signal } = init
  const { manifest } = model.stored
  const { layers, vocab, contextMax } = manifest.config
  const tokensMax = context + tokens
  if (tokensMax > contextMax) return []
  const { shardDirectory } = model
  const span = { manifest, shardDirectory, start: 0, end: layers, cacheBytesMax: 1 << 30, threads, signal }
  const closing: (() => Promise<void>)[] = []
  const file = path.join(init.scratch, `${manifest.name}.gguf`)
  const prompt = promptIds(context, vocab)
  const results = new Map<string, { round: Round; cpuMs: number }[]>()
  try {
    const decoders = new Map<string, Decoder>()
    const engines = new Map<unknown, Engine>()
    for (const name of init.runtimes) {
      const { create, cache } = runtimes[name]
      const engine = engines.get(create) ?? (await create(span))
      if (!engines.has(create)) closing.push(() => engine.close())
      engines.set(create, engine)
      decoders.set(name, engineDecoder([engine], { tokensMax, cache, signal }))
    }
    if (llama !== undefined) {
      if (!existsSync(file)) exportGguf(manifest, shardDirectory, file)
      const other = await llama.load(file, { threads, contextMax: tokensMax })
      closing.push(() => other.close())
      decoders.set('llama.cpp', other)
    }
    for (let round = -1; round < rounds; round++) {
      for (const [name, decoder] of decoders) {
        signal.throwIfAborted()
        const before = process.cpuUsage()
        const result = await decodeRound(decoder, prompt, tokens)
        const { user, system } = process.cpuUsage(before)
        if (round < 0) continue
        const list = results.get(name) ?? []
        results.set(name, [...list, { round: result, cpuMs: (user + system) / 1000 - result.prefillCpuMs }])
      }
    }
  } finally {
    for (const close of closing) await close()
  }
  return decodeRows(init, results)
}

type Results = ReadonlyMap<string, readonly { readonly round: Round; readonly cpuMs: number }[]>

/** What is compared with what. */
const pairs = [
  ['wasm', 'llama.cpp'],
  ['wasm', 'onnx'],
  ['wasm, cache i8', 'llama.cpp'],
  ['wasm, cache i8', 'onnx'],
  ['onnx', 'llama.cpp']
] as const

function decodeRows({ part, model, threads, context, tokens }: DecodeInit, results: Results): Row[] {
  const how = `${threads} thread${threads === 1 ? '' : 's'}, context ${context}–${context + tokens}`
  const row = (what: string, unit: string, values: readonly number[], more: Partial<Row> = {}): Row => ({
    part,
    what: `${model.label}: ${what}`,
    unit,
    figure: figure([...values]),
    how,
    ...more
  })
  const rows: Row[] = []
  for (const [name, list] of results) {
    rows.push(
      row(
        `${name} decode`,
        'tokens/s',
        list.map(({ round }) => 1000 / round.tokenMs)
      )
    )
    const prefills = list.map(({ round }) => round.prefillMs)
    rows.push(
      row(`${name} prompt of ${context}`, 'ms', prefills, { how: `${threads} thread${threads === 1 ? '' : 's'}` })
    )
  }
  const ratios = (
    a: string,
    b: string,
    of: (each: { round: Round; cpuMs: number }) => number
  ): number[] | undefined => {
    const [ours, theirs] = [results.get(a), results.get(b)]
    if (ours === undefined || theirs === undefined) return undefined
    return ours.map((mine, i) => of(theirs[i]!) / of(mine))
  }
  for (const [a, b] of pairs) {
    const agree = results
      .get(a)
      ?.at(-1)
      ?.round.ids.findIndex((id, i) => id !== results.get(b)?.at(-1)?.round.ids[i])
    const same = agree === undefined || agree < 0 ? tokens + 1 : agree
    const wall = ratios(a, b, ({ round }) => round.tokenMs)
    const cpu = ratios(a, b, ({ cpuMs }) => cpuMs)
    const prefill = ratios(a, b, ({ round }) => round.prefillMs)
    if (wall === undefined || cpu === undefined || prefill === undefined) continue
    const by = `by rounds, all greedy; the first ${same} of ${tokens + 1} ids agree`
    rows.push(row(`${a} / ${b}, decode`, '', wall, { how: by }))
    rows.push(row(`${a} / ${b}, decode, CPU time`, '', cpu, { how: 'by rounds; the process’s user and system time' }))
    rows.push(row(`${a} / ${b}, prompt of ${context}`, '', prefill, { how: 'by rounds' }))
    const block = ratios(a, b, ({ round }) => round.lastBlockMs)
    if (block === undefined || context <= attentionBlock) continue
    rows.push(row(`${a} / ${b}, last ${attentionBlock} of a prompt of ${context}`, '', block, { how: 'by rounds' }))
  }
  const rest = ratios('wasm', 'llama.cpp', ({ round }) => round.restMs)
  if (rest !== undefined) {
    rows.push(
      row('wasm / llama.cpp, decode without samplers and the way to the thread', '', rest, { how: 'by rounds' })
    )
  }
  return rows
}

/** One engine and three in a row in this process: what a cut costs before any network. */
export async function benchCuts(init: Omit<DecodeInit, 'part' | 'runtimes' | 'llama' | 'scratch'>): Promise<Row[]> {
  const { model, threads, context, tokens, rounds, signal } = init
  const { manifest } = model.stored
  const { layers, vocab } = manifest.config
  const rows: Engine[][] = []
  try {
    for (const count of [1, 3]) {
      const borders = Array.from({ length: count + 1 }, (_, i) => Math.floor((i * layers) / count))
      const engines: Engine[] = []
      rows.push(engines)
      for (const [i, start] of borders.slice(0, -1).entries()) {
        const { shardDirectory } = model
        const end = borders[i + 1]!
        engines.push(
          await createWasmEngine({ manifest, shardDirectory, start, end, cacheBytesMax: 1 << 30, threads, signal })
        )
      }
    }
    const prompt = promptIds(context, vocab)
    const decoders = rows.map(engines => engineDecoder(engines, { tokensMax: context + tokens, signal }))
    const tokenMs: [number[], number[]] = [[], []]
    const waitMs: [number[], number[]] = [[], []]
    for (let round = -1; round < rounds; round++) {
      for (const [i, engines] of rows.entries()) {
        signal.throwIfAborted()
        const { tokenMs: whole, restMs } = await decodeRound(decoders[i]!, prompt, tokens)
        if (round < 0) continue
        tokenMs[i]!.push(whole)
        waitMs[i]!.push((whole - restMs) / engines.length)
      }
    }
    const [one, three] = tokenMs
    const row = (what: string, unit: string, values: number[], how: string): Row => ({
      part: 'cuts',
      what: `${model.label}: ${what}`,
      unit,
      figure: figure(values),
      how
    })
    const ratios = one.map((ms, i) => ms / three[i]!)
    return [
      row('one engine', 'ms/token', one, 'in one process, no network'),
      row('three engines in a row', 'ms/token', three, 'in one process, no network'),
      row('one engine / three engines', '', ratios, 'by rounds: what is left of the speed'),
      row('to an engine’s thread and back', 'ms', waitMs[0], 'token time − time in the thread'),
      row('the same, three engines, each', 'ms', waitMs[1], 'token time − time in the thread')
    ]
  } finally {
    for (const engines of rows) for (const engine of engines) await engine.close()
  }
}
