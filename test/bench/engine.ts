/** Decode speed of one engine with the whole model, against llama.cpp on the same weights. */
import path from 'node:path'
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine, StepInput } from '../../src/engine/engine.ts'
import { createOnnxEngine } from '../../src/engine/onnx/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import { exportGguf } from './llama-gguf.ts'
import type { Llama } from './llama.ts'
import type { BenchModel } from './models.ts'
import { figure, median, type Row } from './report.ts'

export interface DecodeInit {
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

/** Our engines, by the names of their factories. */
const runtimes = { wasm: createWasmEngine, onnx: createOnnxEngine } as const

/** Something that generates: all engines look the same to the bench. */
interface Decoder {
  prefill(ids: readonly number[]): Promise<number>
  decode(id: number): Promise<number>
  /** Of the last token, in ms: time in llama.cpp's sampler. */
  readonly samplerMs?: number
  /** Of the last token, in ms: time in the engines' threads. */
  readonly computeMs?: number
}

/** Rounds of all engines by turns; the first round of each warms up and does not count. */
export async function benchDecode(init: DecodeInit): Promise<Row[]> {
  const { model, llama, threads, context, tokens, rounds, signal } = init
  const { manifest } = model.stored
  const { layers, vocab } = manifest.config
  const { shardDirectory } = model
  const span = { manifest, shardDirectory, start: 0, end: layers, cacheBytesMax: 1 << 30, threads, signal }
  const engines = new Map<string, Engine>()
  const file = path.join(init.scratch, `${manifest.name}.gguf`)
  if (llama !== undefined) exportGguf(manifest, model.shardDirectory, file)
  const other = await llama?.load(file, { threads, contextMax: context + tokens })
  // Any ids do for timing; the prompt's must not repeat, or caches of the processor would see few rows of the embedding.
  const prompt = Array.from({ length: context }, (_, i) => 3 + ((i * 7919) % (vocab - 3)))
  const results = new Map<string, { round: Round; cpuMs: number }[]>()
  try {
    for (const [name, create] of Object.entries(runtimes)) engines.set(name, await create(span))
    for (let round = -1; round < rounds; round++) {
      signal.throwIfAborted()
      const decoders = new Map<string, Decoder>(
        [...engines].map(([name, engine]) => [name, engineDecoder([engine], context + tokens, signal)])
      )
      if (other !== undefined) decoders.set('llama.cpp', other)
      for (const [name, decoder] of decoders) {
        const before = process.cpuUsage()
        const result = await decodeRound(decoder, prompt, tokens)
        const { user, system } = process.cpuUsage(before)
        if (round < 0) continue
        const list = results.get(name) ?? []
        results.set(name, [...list, { round: result, cpuMs: (user + system) / 1000 - result.prefillCpuMs }])
      }
    }
  } finally {
    for (const engine of engines.values()) await engine.close()
    await other?.close()
  }
  return decodeRows(init, results)
}

type Results = ReadonlyMap<string, readonly { readonly round: Round; readonly cpuMs: number }[]>

function decodeRows({ model, threads, context, tokens }: DecodeInit, results: Results): Row[] {
  const how = `${threads} thread${threads === 1 ? '' : 's'}, context ${context}–${context + tokens}`
  const row = (what: string, unit: string, values: readonly number[], more: Partial<Row> = {}): Row => ({
    part: 'engine',
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
  for (const [a, b] of [
    ['wasm', 'llama.cpp'],
    ['wasm', 'onnx'],
    ['onnx', 'llama.cpp']
  ] as const) {
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
export async function benchCuts(init: Omit<DecodeInit, 'llama' | 'scratch'>): Promise<Row[]> {
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
    const prompt = Array.from({ length: context }, (_, i) => 3 + ((i * 7919) % (vocab - 3)))
    const tokenMs: [number[], number[]] = [[], []]
    const waitMs: [number[], number[]] = [[], []]
    for (let round = -1; round < rounds; round++) {
      for (const [i, engines] of rows.entries()) {
        signal.throwIfAborted()
        const decoder = engineDecoder(engines, context + tokens, signal)
        const { tokenMs: whole, restMs } = await decodeRound(decoder, prompt, tokens)
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

interface Round {
  readonly prefillMs: number
  readonly prefillCpuMs: number
  readonly tokenMs: number
  /** Without the part that the decoder names. */
  readonly restMs: number
  readonly ids: readonly number[]
}

async function decodeRound(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<Round> {
  const beganMs = performance.now()
  const before = process.cpuUsage()
  let id = await decoder.prefill(prompt)
  const prefillMs = performance.now() - beganMs
  const { user, system } = process.cpuUsage(before)
  const ids = [id]
  const times: number[] = []
  const rest: number[] = []
  for (let i = 0; i < tokens; i++) {
    const began = performance.now()
    id = await decoder.decode(id)
    const ms = performance.now() - began
    times.push(ms)
    rest.push(decoder.samplerMs === undefined ? (decoder.computeMs ?? ms) : ms - decoder.samplerMs)
    ids.push(id)
  }
  // The median token of the round: another process that takes the core for a while does not move it.
  return { prefillMs, prefillCpuMs: (user + system) / 1000, tokenMs: median(times), restMs: median(rest), ids }
}

let sessions = 0

function engineDecoder(engines: readonly Engine[], tokensMax: number, signal: AbortSignal): Decoder {
  const session = (sessions++).toString(16).padStart(32, '0') as SessionId
  let position = 0
  let computeMs = 0
  const step = async (ids: readonly number[]): Promise<number> => {
    let input: StepInput = { kind: 'ids', ids: Int32Array.from(ids) }
    computeMs = 0
    for (const engine of engines) {
      const sample = engine === engines.at(-1)
      const out = await engine.run({ session, position, tokens: ids.length, input, sample }, { signal })
      computeMs += out.computeMs
      if (out.kind === 'tokens') {
        position += ids.length
        return out.ids[0]!
      }
      if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
    }
    throw new TypeError('the last layer gives a token')
  }
  return {
    get computeMs() {
      return computeMs
    },
    async prefill(ids) {
      for (const engine of engines) {
        await engine.open(session, { tokensMax, sampling: { temperature: 0, topK: 0, topP: 1, seed: 0 } })
      }
      return step(ids)
    },
    async decode(id) {
      const next = await step([id])
      if (position === tokensMax) for (const engine of engines) await engine.free(session)
      return next
    }
  }
}
