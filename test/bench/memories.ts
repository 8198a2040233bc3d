/**
 * What it costs to have more than 4 GiB: products of the engine's kernels in a memory with addresses of 64 bits, beside the same
 * in one of 32; a stage in several memories, beside the same in one; and, where there is room, a stage of more than 4 GiB.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { freemem } from 'node:os'
import path from 'node:path'
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { fillNoise, syntheticShard } from '../../src/engine/synthetic.ts'
import type { SpanInit } from '../../src/engine/thread-messages.ts'
import { activationBytes, activationsOf } from '../../src/engine/wasm/activations.ts'
import { setCompiler } from '../../src/engine/wasm/compiler.ts'
import { memoryPageBytes, memoryPagesMax } from '../../src/engine/wasm/emit.ts'
import { startSpan } from '../../src/engine/wasm/engine.ts'
import { formsHere } from '../../src/engine/wasm/forms.ts'
import { type Kernels, kernelModule } from '../../src/engine/wasm/kernels.ts'
import { sectionsOf } from '../../src/engine/wasm/sections.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { shardBytes, shardLayout } from '../../src/model/layout.ts'
import { shardName } from '../../src/model/manifest.ts'
import { roundUp } from '../../src/model/tiles.ts'
import { withMemory64 } from './memory64.ts'
import { shapes } from './models.ts'
import { figure, median, type Row } from './report.ts'

interface MemoriesInit {
  /** A folder for a layer's file. */
  readonly scratch: string
  readonly rounds: number
  /** With the stage of more than 4 GiB. */
  readonly large: boolean
  readonly signal: AbortSignal
}

const shape: ModelConfig = shapes['1.1B']

export async function benchMemories(init: MemoriesInit): Promise<Row[]> {
  const rows = [...benchAddresses(init), ...(await benchSections(init))]
  return init.large ? [...rows, ...(await benchLarge(init))] : rows
}

function row(what: string, unit: string, values: readonly number[], how: string): Row {
  return { part: 'memories', what, unit, figure: figure([...values]), how }
}

// ── Addresses ─────────────────────────────────────────────────────────────────────────────────────

/** Layers of which a round multiplies a row: more than a processor's cache holds. */
const streamedLayers = 4

/** The kernels in a memory, with matrices of some layers and a row of activations in it. */
function kernelsIn(type: 'q8' | 'q4', address: 'i32' | 'i64') {
  const [config, weights] = [shape, type]
  const module = kernelModule({
    ...{ config, types: new Set([type]), edge: 'f16', forms: formsHere(() => performance.now()) },
    memory: { minimum: 1, maximum: memoryPagesMax, shared: false }
  })
  const place = { role: 'layer', layer: 0 } as const
  const shard = syntheticShard({ config, weights }, place, 1)
  const stride = roundUp(shard.length, 64)
  const scratch = streamedLayers * stride
  const pages = Math.ceil(scratch / memoryPageBytes) + 64
  const memory64 = { minimum: 1, maximum: 4 * memoryPagesMax, shared: false }
  const memory =
    address === 'i32'
      ? new WebAssembly.Memory({ initial: pages, maximum: memoryPagesMax })
      : new (WebAssembly.Memory as unknown as Memory64)({
          ...{ initial: BigInt(pages), maximum: BigInt(memory64.maximum) },
          address
        })
  const bytes = address === 'i32' ? module : withMemory64(module, memory64)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } })
  const k = exports as unknown as Kernels
  for (let i = 0; i < streamedLayers; i++) new Uint8Array(memory.buffer, i * stride).set(shard)
  const { matrices } = shardLayout({ config, weights }, place)
  const blocks = Math.max(...matrices.map(each => each.blocks))
  const [x, activations] = [scratch, scratch + 4 * 32 * blocks]
  const out = roundUp(activations + blocks * activationBytes[activationsOf(type)].spread, 64)
  fillNoise(new Float32Array(memory.buffer, x, 32 * blocks), 1, 1)
  k[`quantise.${activationsOf(type)}.one`](x, blocks, activations)
  const multiply = (): void => {
    for (let i = 0; i < streamedLayers; i++) {
      for (const { blocks, rows, offset } of matrices) {
        k[`product.${type}.one`](i * stride + offset, blocks, rows / 8, activations, out)
      }
    }
  }
  const { rows } = matrices.at(-1)!
  return { multiply, sums: () => new Float32Array(memory.buffer, out, rows).slice() }
}
type Memory64 = new (limits: { initial: bigint; maximum: bigint; address: 'i64' }) => WebAssemblyMemory

/** Products of one row, by turns; of each the processor's time. */
function benchAddresses({ rounds, signal }: MemoriesInit): Row[] {
  setCompiler()
  return (['q8', 'q4'] as const).map(type => {
    const both = [kernelsIn(type, 'i32'), kernelsIn(type, 'i64')] as const
    for (const { multiply } of both) multiply()
    if (!both[0].sums().every((sum, i) => sum === both[1].sums()[i])) throw new Error('the kernels do not agree')
    const ratios: number[] = []
    for (let round = 0; round < rounds; round++) {
      signal.throwIfAborted()
      const took = [0, 0]
      for (let turn = 0; turn < 24; turn++) {
        const which = (round + turn) % 2
        const before = process.cpuUsage()
        both[which]!.multiply()
        const { user, system } = process.cpuUsage(before)
        took[which]! += user + system
      }
      ratios.push(took[1]! / took[0]!)
    }
    const how = 'processor time of the kernels of one row, by turns; 1.1B shape, 4 layers'
    return row(`memory of 64 bits / of 32 bits, products of a row, ${type}`, '', ratios, how)
  })
}

// ── Sections ──────────────────────────────────────────────────────────────────────────────────────

type Took = Awaited<ReturnType<Stage['step']>>

const sampling = { temperature: 0, topP: 1, topK: 0, seed: 0 }
const cacheBytesMax = 128 << 20

/** Layers without the head, whose input is hidden states: [tokens, hidden] of about 1. */
class Stage {
  readonly engine: Engine
  readonly #session = '0'.repeat(32) as SessionId
  readonly #signal: AbortSignal

  constructor(engine: Engine, signal: AbortSignal) {
    this.engine = engine
    this.#signal = signal
  }

  async open(): Promise<void> {
    await this.engine.open(this.#session, { tokensMax: 256, sampling })
  }

  /** What a step takes, in ms: of its thread, and of the processor with the way to the thread. */
  async step(position: number, tokens: number): Promise<{ readonly ms: number; readonly cpuMs: number }> {
    const bytes = new Uint8Array(2 * tokens * this.engine.hidden).fill(0x3c)
    const step = { session: this.#session, position, tokens, input: { kind: 'hidden', bytes }, sample: false } as const
    const before = process.cpuUsage()
    const { computeMs } = await this.engine.run(step, { signal: this.#signal })
    const { user, system } = process.cpuUsage(before)
    return { ms: computeMs, cpuMs: (user + system) / 1_000 }
  }
}

/** The 135M shape's layers in 1, 2, 5 and 15 memories, by turns. */
async function benchSections({ rounds, signal }: MemoriesInit): Promise<Row[]> {
  const config = { ...shape, layers: 32, hidden: 576, intermediate: 1536, heads: 9, kvHeads: 3 }
  const names = Array.from({ length: 30 }, (_, i) => shardName({ role: 'layer', layer: i + 1 }))
  const span: SpanInit = {
    ...{ config, weights: 'q8', edge: 'f16', start: 1, end: 31, threads: 1 },
    ...{ shardLocations: new Map(names.map(name => [name, name])), source: { kind: 'synthetic' } }
  }
  const counts = [1, 2, 5, 15]
  const stages: Stage[] = []
  try {
    for (const count of counts) {
      const engine = await startSpan({ ...span, memoryBytesMax: memoryFor(span, count) }, cacheBytesMax, signal)
      const stage = new Stage(engine, signal)
      stages.push(stage)
      await stage.open()
    }
    const ratios = counts.map(() => ({ one: [] as number[], many: [] as number[] }))
    for (let round = -1; round < rounds; round++) {
      const times = stages.map(() => ({ one: [] as number[], many: 0 }))
      for (const [i, stage] of stages.entries()) times[i]!.many = (await stage.step(0, 128)).cpuMs
      for (let n = 0; n < 40; n++)
        for (const [i, stage] of stages.entries()) times[i]!.one.push((await stage.step(128 + n, 1)).cpuMs)
      if (round < 0) continue
      for (const [i, { one, many }] of times.entries()) {
        ratios[i]!.one.push(median(one) / median(times[0]!.one))
        ratios[i]!.many.push(many / times[0]!.many)
      }
    }
    return counts
      .slice(1)
      .flatMap((count, i) => [
        row(
          `${count} memories / 1, one row`,
          '',
          ratios[i + 1]!.one,
          '135M shape q8, 30 layers; processor time of a step, by turns'
        ),
        row(`${count} memories / 1, 128 rows`, '', ratios[i + 1]!.many, 'likewise')
      ])
  } finally {
    for (const { engine } of stages) await engine.close()
  }
}

/** The largest memories of which a stage needs so many. */
function memoryFor(span: SpanInit, count: number): number {
  for (let pages = memoryPagesMax; pages > 0; pages = Math.min(pages - 1, Math.floor(0.98 * pages))) {
    const memoryBytesMax = pages * memoryPageBytes
    if (sectionsOf({ ...span, cacheBytesMax, memoryBytesMax }).sections.length >= count) return memoryBytesMax
  }
  throw new Error(`no memory makes ${count} sections`)
}

// ── More than 4 GiB ───────────────────────────────────────────────────────────────────────────────

/** Layers of the 1.1B shape in q8 that take 4.8 GB, and as many as fit into one memory. */
const layers = { large: 96, small: 24 } as const

async function benchLarge({ scratch, rounds, signal }: MemoriesInit): Promise<Row[]> {
  const model = { config: { ...shape, layers: layers.large + 2 }, weights: 'q8' } as const
  const layerBytes = shardBytes(model, { role: 'layer', layer: 1 })
  const bytes = layers.large * layerBytes
  if (freemem() < 1.5 * bytes)
    throw new Error(`a stage of ${bytes} bytes needs ${1.5 * bytes} of memory, ${freemem()} are free`)
  const folder = mkdtempSync(path.join(scratch, 'large-'))
  // All layers are one file: what lies in memory is as large as if they were not.
  writeFileSync(path.join(folder, 'layer'), syntheticShard(model, { role: 'layer', layer: 1 }, 1))
  const load = async (count: number): Promise<{ stage: Stage; ms: number; sections: number }> => {
    const names = Array.from({ length: count }, (_, i) => shardName({ role: 'layer', layer: i + 1 }))
    const span: SpanInit = {
      ...{ ...model, edge: 'f16', start: 1, end: count + 1, threads: 1 },
      ...{ shardLocations: new Map(names.map(name => [name, 'layer'])), source: { kind: 'folder', path: folder } }
    }
    const beganMs = performance.now()
    const engine = await startSpan(span, cacheBytesMax, signal)
    const { sections } = sectionsOf({ ...span, cacheBytesMax })
    return { stage: new Stage(engine, signal), ms: performance.now() - beganMs, sections: sections.length }
  }
  const before = process.memoryUsage().rss
  const large = await load(layers.large)
  const resident = (process.memoryUsage().rss - before) / bytes
  const small = await load(layers.small)
  try {
    const stages = [large.stage, small.stage]
    for (const stage of stages) await stage.open()
    const [speeds, ratios]: [number[], number[]] = [[], []]
    for (let round = -1; round < rounds; round++) {
      const times: [Took[], Took[]] = [[], []]
      for (const stage of stages) await stage.step(0, 16)
      for (let n = 0; n < 8; n++) for (const [i, stage] of stages.entries()) times[i]!.push(await stage.step(16 + n, 1))
      if (round < 0) continue
      const [most, few] = times.map(took => median(took.map(({ cpuMs }) => cpuMs)))
      speeds.push(1_000 / median(times[0].map(({ ms }) => ms)))
      ratios.push(most! / layers.large / (few! / layers.small))
    }
    const what = `a stage of ${(bytes / 1e9).toFixed(2)} GB in ${large.sections} memories`
    return [
      row(
        `${what}: decode`,
        'tokens/s',
        speeds,
        `1.1B shape q8, ${layers.large} layers, 1 thread, without embedding and head`
      ),
      row(
        `${what}: processor time per layer / in one memory`,
        '',
        ratios,
        `beside ${layers.small} layers in one memory, by turns`
      ),
      row(`${what}: load`, 's', [large.ms / 1_000], 'from the cache of files'),
      row(`${what}: memory per weight byte`, '', [resident], 'growth of what is resident')
    ]
  } finally {
    for (const { engine } of [large.stage, small.stage]) await engine.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
