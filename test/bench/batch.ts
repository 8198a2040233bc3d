/** Several sessions at once: in one engine, and over two engines in a row. */
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine, StepInput } from '../../src/engine/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'

export interface BatchInit {
  readonly model: BenchModel
  readonly threads: number
  /** Tokens in each cache before the first that is timed. */
  readonly context: number
  /** Tokens of each session timed in a round. */
  readonly tokens: number
  readonly rounds: number
  readonly signal: AbortSignal
}

const counts = [1, 2, 4, 8] as const

/** What one round of so many sessions took. */
interface Round {
  readonly ms: number
  readonly cpuMs: number
  /** By engine: ms in which it computed. */
  readonly busyMs: readonly number[]
  /** Rows of the passes, on average. */
  readonly rows: number
}

/** Tokens a second of 1, 2, 4 and 8 sessions together, by turns, and how much of the time two engines in a row compute. */
export async function benchBatch(init: BatchInit): Promise<Row[]> {
  const { model, rounds, tokens, threads, context } = init
  const { layers } = model.stored.manifest.config
  const row = (what: string, unit: string, values: number[], how: string, aim?: string): Row => ({
    part: 'batch',
    what: `${model.label}: ${what}`,
    unit,
    figure: figure(values),
    how,
    ...(aim === undefined ? {} : { aim })
  })
  const how = `${threads} thread${threads === 1 ? '' : 's'}, context ${context}–${context + tokens}`
  const one = await started(init, [layers])
  const two = await started(init, [Math.floor(layers / 2), layers])
  try {
    const seen = new Map<number, Round[]>(counts.map(count => [count, []]))
    const pairs: Round[] = []
    for (let round = -1; round < rounds; round++) {
      for (const count of counts) {
        const result = await together(one, count, init)
        if (round >= 0) seen.get(count)!.push(result)
      }
      const result = await together(two, 8, init)
      if (round >= 0) pairs.push(result)
    }
    const rows: Row[] = []
    const rate = ({ ms }: Round, count: number): number => (1000 * count * tokens) / ms
    for (const count of counts) {
      const sessions = `${count} session${count === 1 ? '' : 's'}`
      const list = seen.get(count)!
      rows.push(
        row(
          `${sessions}, together`,
          'tokens/s',
          list.map(each => rate(each, count)),
          how
        )
      )
      if (count === 1) continue
      const alone = seen.get(1)!
      const ratios = list.map((each, i) => rate(each, count) / rate(alone[i]!, 1))
      const cpu = list.map((each, i) => (count * alone[i]!.cpuMs) / each.cpuMs)
      const aim = count === 8 && model.label.endsWith('q8') ? '≥ 2.7' : undefined
      rows.push(row(`${sessions} / 1 session`, '', ratios, 'by rounds', aim))
      rows.push(row(`${sessions} / 1 session, CPU time`, '', cpu, 'by rounds; tokens for the same time of the process'))
      rows.push(
        row(
          `${sessions}: rows of a pass`,
          '',
          list.map(each => each.rows),
          'on average'
        )
      )
    }
    rows.push(
      row(
        '8 sessions over two engines in a row',
        'tokens/s',
        pairs.map(each => rate(each, 8)),
        how
      )
    )
    const busy = pairs.map(({ busyMs, ms }) => Math.min(...busyMs) / ms)
    rows.push(row('the same: time in which each engine computes', '', busy, 'the lesser of both', '≥ 0.85'))
    rows.push(
      row(
        'the same: rows of a pass',
        '',
        pairs.map(each => each.rows),
        'on average'
      )
    )
    return rows
  } finally {
    for (const engine of [...one, ...two]) await engine.close()
  }
}

async function started({ model, threads, signal }: BatchInit, ends: readonly number[]): Promise<Engine[]> {
  const { manifest } = model.stored
  const { shardDirectory } = model
  const engines: Engine[] = []
  for (const [i, end] of ends.entries()) {
    const start = ends[i - 1] ?? 0
    engines.push(
      await createWasmEngine({ manifest, shardDirectory, start, end, cacheBytesMax: 1 << 30, threads, signal })
    )
  }
  return engines
}

let sessions = 0

/** So many sessions, each with its prompt in the caches, from one moment on. */
async function together(engines: readonly Engine[], count: number, init: BatchInit): Promise<Round> {
  const { context, tokens, signal, model } = init
  const { vocab } = model.stored.manifest.config
  const ids = Array.from({ length: count }, () => (sessions++).toString(16).padStart(32, '0') as SessionId)
  const busyMs = engines.map(() => 0)
  let steps = 0
  let rows = 0
  const step = async (session: SessionId, position: number, feed: readonly number[]): Promise<number> => {
    let input: StepInput = { kind: 'ids', ids: Int32Array.from(feed) }
    for (const [i, engine] of engines.entries()) {
      const sample = i === engines.length - 1
      const out = await engine.run({ session, position, tokens: feed.length, input, sample }, { signal })
      // What shares a pass shares its time.
      busyMs[i]! += (out.computeMs * feed.length) / out.rows
      steps++
      rows += out.rows
      if (out.kind === 'tokens') return out.ids[0]!
      if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
    }
    throw new TypeError('the last layer gives a token')
  }
  const last: number[] = []
  for (const [n, session] of ids.entries()) {
    const sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }
    for (const engine of engines) await engine.open(session, { tokensMax: context + tokens, sampling })
    const prompt = Array.from({ length: context }, (_, i) => 3 + (((i + 31 * n) * 7919) % (vocab - 3)))
    last.push(await step(session, 0, prompt))
  }
  busyMs.fill(0)
  steps = 0
  rows = 0
  const beganMs = performance.now()
  const before = process.cpuUsage()
  await Promise.all(
    ids.map(async (session, n) => {
      for (let i = 0; i < tokens; i++) last[n] = await step(session, context + i, [last[n]!])
    })
  )
  const ms = performance.now() - beganMs
  const { user, system } = process.cpuUsage(before)
  for (const session of ids) for (const engine of engines) await engine.free(session)
  return { ms, cpuMs: (user + system) / 1000, busyMs, rows: rows / steps }
}
