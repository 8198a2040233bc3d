/** What caches of int8 are worth beside those of float32: sessions of both in one engine, by turns. */
import { type CacheType, cacheTypes } from '../../src/base/cache-type.ts'
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import type { BenchModel } from './models.ts'
import { figure, median, type Row } from './report.ts'

export interface CachesInit {
  readonly model: BenchModel
  readonly threads: number
  /** Tokens timed in a round. */
  readonly tokens: number
  readonly rounds: number
  readonly signal: AbortSignal
}

/** Tokens in the cache before those that are timed: the last 128 of a prompt, and what follows it. */
const contexts = [128, 1_024] as const

/** CPU time in ms, of this process with the engine's threads: what else runs on the machine does not count. */
interface Round {
  readonly promptMs: number
  readonly tokenMs: number
  readonly ids: readonly number[]
}

/** Rounds of both types by turns, token by token; the first round warms up and does not count. */
export async function benchCaches(init: CachesInit): Promise<Row[]> {
  const { model, threads, tokens, rounds, signal } = init
  const { manifest } = model.stored
  const { layers, contextMax, vocab } = manifest.config
  const span = { manifest, shardDirectory: model.shardDirectory, start: 0, end: layers, threads, signal }
  const engine = await createWasmEngine({ ...span, cacheBytesMax: 1 << 30 })
  const rows: Row[] = []
  try {
    for (const context of contexts) {
      if (context + tokens > contextMax) continue
      // Ids that do not repeat, or caches of the processor would see few rows of the embedding.
      const prompt = Array.from({ length: context }, (_, i) => 3 + ((i * 7919) % (vocab - 3)))
      const seen: Record<CacheType, Round[]> = { f32: [], i8: [] }
      for (let round = -1; round < rounds; round++) {
        const both = await roundOf(engine, { prompt, tokens, first: cacheTypes[(round + 1) % 2]!, signal })
        if (round >= 0) for (const type of cacheTypes) seen[type].push(both[type])
      }
      rows.push(...rowsOf(init, context, seen, engine))
    }
  } finally {
    await engine.close()
  }
  return rows
}

function rowsOf(
  { model, threads }: CachesInit,
  context: number,
  { f32, i8 }: Record<CacheType, readonly Round[]>,
  engine: Engine
): Row[] {
  const how = `CPU time, ${threads} thread${threads === 1 ? '' : 's'}, by turns`
  const row = (what: string, unit: string, values: readonly number[], more = how): Row => ({
    part: 'caches',
    what: `${model.label}: ${what}`,
    unit,
    figure: figure([...values]),
    how: more
  })
  const ids = i8.at(-1)!.ids
  const other = ids.findIndex((id, i) => id !== f32.at(-1)!.ids[i])
  const agree = `${how}; the first ${other < 0 ? ids.length : other} of ${ids.length} ids agree`
  const bytes = (type: CacheType): number => engine.cacheBytes(context, type) / context
  return [
    row(
      `f32, a token after ${context}`,
      'ms',
      f32.map(({ tokenMs }) => tokenMs)
    ),
    row(
      `i8, a token after ${context}`,
      'ms',
      i8.map(({ tokenMs }) => tokenMs)
    ),
    row(
      `i8 / f32, a token after ${context}`,
      '',
      f32.map(({ tokenMs }, i) => tokenMs / i8[i]!.tokenMs),
      agree
    ),
    row(
      `i8 / f32, the last ${attentionBlock} tokens of a prompt of ${context}`,
      '',
      f32.map(({ promptMs }, i) => promptMs / i8[i]!.promptMs)
    ),
    row(
      `f32 / i8, bytes of a cache for ${context} tokens`,
      '',
      [bytes('f32') / bytes('i8')],
      `${bytes('f32')} and ${Math.ceil(bytes('i8'))} bytes a token`
    )
  ]
}

let sessions = 0

async function roundOf(
  engine: Engine,
  {
    prompt,
    tokens,
    first,
    signal
  }: {
    readonly prompt: readonly number[]
    readonly tokens: number
    readonly first: CacheType
    readonly signal: AbortSignal
  }
): Promise<Record<CacheType, Round>> {
  const order = cacheTypes.toSorted((a, b) => Number(b === first) - Number(a === first))
  const under = order.map(type => ({
    type,
    session: (sessions++).toString(16).padStart(32, '0') as SessionId,
    ids: [] as number[],
    promptMs: 0,
    times: [] as number[]
  }))
  const tokensMax = prompt.length + tokens
  const step = async (session: SessionId, position: number, ids: readonly number[], sample: boolean) => {
    const before = process.cpuUsage()
    const input = { kind: 'ids', ids: Int32Array.from(ids) } as const
    const out = await engine.run({ session, position, tokens: ids.length, input, sample }, { signal })
    const { user, system } = process.cpuUsage(before)
    return { ms: (user + system) / 1000, id: out.kind === 'tokens' ? out.ids[0]! : -1 }
  }
  const sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }
  for (const { type, session } of under) await engine.open(session, { tokensMax, sampling, cache: type })
  for (let at = 0; at < prompt.length; at += attentionBlock) {
    const last = at + attentionBlock >= prompt.length
    for (const each of under) {
      const { ms, id } = await step(each.session, at, prompt.slice(at, at + attentionBlock), last)
      if (last) [each.promptMs, each.ids] = [ms, [id]]
    }
  }
  for (let i = 0; i < tokens; i++) {
    for (const each of under) {
      const { ms, id } = await step(each.session, prompt.length + i, [each.ids.at(-1)!], true)
      each.times.push(ms)
      each.ids.push(id)
    }
  }
  for (const { session } of under) await engine.free(session)
  const of = (type: CacheType): Round => {
    const { promptMs, times, ids } = under.find(each => each.type === type)!
    return { promptMs, tokenMs: median(times), ids }
  }
  return { f32: of('f32'), i8: of('i8') }
}
