/** What two threads of an engine are worth beside one: by turns, with nothing beside them and beside a process for each core. */
import { availableParallelism } from 'node:os'
import type { Engine } from '../../src/engine/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import { BenchChild } from './child.ts'
import { type Decoder, engineDecoder, promptIds } from './decoder.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'

export interface ThreadsInit {
  readonly model: BenchModel
  readonly rounds: number
  readonly signal: AbortSignal
}

/** What each engine computes before it is the other one's turn, several times a round: the machine is the same for both. */
const turn = { prompts: 2, answers: 2, answerTokens: 48 } as const
const turns = 2
/** Turns after which an engine knows what its threads are worth, as one that serves does; they do not count. */
const warmTurns = 3

interface Taken {
  readonly promptMs: number
  readonly tokenMs: number
}

/** @returns nothing on a machine with one processor. */
export async function benchThreads(init: ThreadsInit): Promise<Row[]> {
  if (availableParallelism() < 2) return []
  const { model, signal } = init
  const { manifest } = model.stored
  const { layers } = manifest.config
  const { shardDirectory } = model
  const span = { manifest, shardDirectory, start: 0, end: layers, cacheBytesMax: 1 << 30, signal }
  const engines: Engine[] = []
  const rows: Row[] = []
  try {
    for (const threads of [1, 2]) engines.push(await createWasmEngine({ ...span, threads }))
    const tokensMax = attentionBlock + turn.answerTokens
    const decoders = engines.map(engine => engineDecoder([engine], { tokensMax, signal }))
    rows.push(...(await benchBeside(init, decoders, 'a calm machine')))
    const others = Array.from({ length: availableParallelism() }, () => new BenchChild('spin-process.ts', {}))
    try {
      for (const other of others) await other.next('up', { signal })
      rows.push(...(await benchBeside(init, decoders, 'a busy process for each core')))
    } finally {
      await Promise.all(others.map(other => other.stop()))
    }
  } finally {
    for (const engine of engines) await engine.close()
  }
  return rows
}

async function benchBeside(
  { model, rounds, signal }: ThreadsInit,
  decoders: readonly Decoder[],
  beside: string
): Promise<Row[]> {
  const prompt = promptIds(attentionBlock, model.stored.manifest.config.vocab)
  const seen: Taken[][] = decoders.map(() => [])
  for (let round = -1; round < rounds; round++) {
    const sums = decoders.map(() => ({ promptMs: 0, tokenMs: 0 }))
    for (let i = 0; i < (round < 0 ? warmTurns : turns); i++) {
      for (const [n, decoder] of decoders.entries()) {
        signal.throwIfAborted()
        const { promptMs, tokenMs } = await takeTurn(decoder, prompt)
        sums[n]!.promptMs += promptMs / turns
        sums[n]!.tokenMs += tokenMs / turns
      }
    }
    if (round >= 0) for (const [n, sum] of sums.entries()) seen[n]!.push(sum)
  }
  const [one, two] = seen as [Taken[], Taken[]]
  const row = (what: string, unit: string, values: number[], more: Partial<Row> = {}): Row => ({
    part: 'threads',
    what: `${model.label}, ${beside}: ${what}`,
    unit,
    figure: figure(values),
    how: 'means, by turns',
    ...more
  })
  const ratios = (of: (taken: Taken) => number): number[] => one.map((taken, i) => of(taken) / of(two[i]!))
  const isCalm = beside === 'a calm machine'
  return [
    ...[one, two].flatMap((taken, i) => [
      row(
        `${i + 1} thread${i === 0 ? '' : 's'}, a token`,
        'ms',
        taken.map(({ tokenMs }) => tokenMs)
      ),
      row(
        `${i + 1} thread${i === 0 ? '' : 's'}, prompt of ${attentionBlock}`,
        'ms',
        taken.map(({ promptMs }) => promptMs)
      )
    ]),
    row(
      '2 threads / 1 thread, decode',
      '',
      ratios(({ tokenMs }) => tokenMs),
      { aim: isCalm ? '≥ 1.35' : '≥ 0.95' }
    ),
    row(
      `2 threads / 1 thread, prompt of ${attentionBlock}`,
      '',
      ratios(({ promptMs }) => promptMs),
      { aim: isCalm ? '≥ 1.85' : '≥ 0.95' }
    )
  ]
}

/** Means of one turn: all of its time, so also what a thread waited that was given no processor. */
async function takeTurn(decoder: Decoder, prompt: readonly number[]): Promise<Taken> {
  const { prompts, answers, answerTokens } = turn
  let [promptMs, tokenMs] = [0, 0]
  for (let i = 0; i < prompts + answers; i++) {
    await decoder.begin()
    const began = performance.now()
    let id = await decoder.read(prompt)
    const read = performance.now()
    promptMs += (read - began) / (prompts + answers)
    if (i < prompts) continue
    for (let token = 0; token < answerTokens; token++) id = await decoder.read([id])
    tokenMs += (performance.now() - read) / (answers * answerTokens)
  }
  return { promptMs, tokenMs }
}
