/** A mixture of experts beside a dense decoder of which a token meets as many weights, and beside one of as many in all. */
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { startSpan } from '../../src/engine/wasm/engine.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { shardBytes } from '../../src/model/layout.ts'
import { shardName } from '../../src/model/manifest.ts'
import { figure, type Row } from './report.ts'

const layers = 6
const dense: ModelConfig = {
  ...{ layers: layers + 2, hidden: 1024, intermediate: 2048, heads: 16, kvHeads: 4, headDim: 64, vocab: 64 },
  ...{ contextMax: 2048, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true }
}
/** Of 32 experts a token takes 4: as wide together as the dense one. */
const mixture: ModelConfig = { ...dense, experts: { count: 32, used: 4, intermediate: 512, renormalised: true } }
const weights = 'q8-f16' as const
const session = '0'.repeat(32) as SessionId
const prompt = 128
const tokens = 48

interface Round {
  /** CPU time of the process, in ms: of a token, and of the prompt. */
  readonly tokenMs: number
  readonly promptMs: number
}

/** By turns in one process, one thread. */
export async function benchExperts({
  rounds,
  signal
}: {
  readonly rounds: number
  readonly signal: AbortSignal
}): Promise<Row[]> {
  const engines = { mixture: await started(mixture, signal), dense: await started(dense, signal) }
  try {
    const seen = { mixture: [] as Round[], dense: [] as Round[] }
    for (let round = -1; round < rounds; round++) {
      for (const kind of ['mixture', 'dense'] as const) {
        const result = await measured(engines[kind], signal)
        if (round >= 0) seen[kind].push(result)
      }
    }
    const mb = (config: ModelConfig): number => shardBytes({ config, weights }, { role: 'layer', layer: 1 }) / 1e6
    const how = `1 thread, ${layers} layers, hidden 1024, q8; CPU time`
    const row = (what: string, unit: string, values: number[]): Row => ({
      ...{ part: 'experts', what, unit, figure: figure(values), how }
    })
    const ratio = (of: (round: Round) => number): number[] =>
      seen.mixture.map((round, i) => of(seen.dense[i]!) / of(round))
    return [
      row(
        `a token: 4 of 32 experts of 512 (${mb(mixture).toFixed(1)} MB a layer)`,
        'ms',
        seen.mixture.map(r => r.tokenMs)
      ),
      row(
        `a token: dense, 2,048 wide (${mb(dense).toFixed(1)} MB a layer)`,
        'ms',
        seen.dense.map(r => r.tokenMs)
      ),
      row(
        'speed of tokens, mixture / dense',
        '',
        ratio(r => r.tokenMs)
      ),
      row(
        `a prompt of ${prompt}: mixture`,
        'ms',
        seen.mixture.map(r => r.promptMs)
      ),
      row(
        `a prompt of ${prompt}: dense`,
        'ms',
        seen.dense.map(r => r.promptMs)
      ),
      row(
        'speed of prompts, mixture / dense',
        '',
        ratio(r => r.promptMs)
      )
    ]
  } finally {
    for (const engine of Object.values(engines)) await engine.close()
  }
}

/** Layers that its thread makes itself, without embedding and head. */
function started(config: ModelConfig, signal: AbortSignal): Promise<Engine> {
  const shardLocations = new Map<string, string>()
  for (let layer = 1; layer <= layers; layer++) shardLocations.set(shardName({ role: 'layer', layer }), String(layer))
  const source = { kind: 'synthetic' } as const
  const span = { config, weights, edge: 'f16', start: 1, end: 1 + layers, shardLocations, source, threads: 1 } as const
  return startSpan(span, 1 << 28, signal)
}

/** Rows of which no two are alike, so that they take different experts. */
function rows(count: number, seed: number): Uint8Array {
  const values = new Uint16Array(count * dense.hidden)
  let state = seed + 1
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    // Of float16: sizes from 0.5 to 2, of either sign.
    values[i] = ((state >>> 16) & 0x8000) | 0x3800 | ((state >>> 12) & 0x07ff)
  }
  return new Uint8Array(values.buffer)
}

async function measured(engine: Engine, signal: AbortSignal): Promise<Round> {
  const sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }
  await engine.open(session, { tokensMax: prompt + tokens, sampling })
  /** CPU time of steps of so many tokens each. */
  const cpuMs = async (steps: readonly { readonly position: number; readonly count: number }[]): Promise<number> => {
    const inputs = steps.map(({ position, count }) => ({ kind: 'hidden', bytes: rows(count, position) }) as const)
    const before = process.cpuUsage()
    for (const [i, { position, count }] of steps.entries()) {
      await engine.run({ session, position, tokens: count, input: inputs[i]!, sample: false }, { signal })
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  const promptMs = await cpuMs([{ position: 0, count: prompt }])
  const each = Array.from({ length: tokens }, (_, i) => ({ position: prompt + i, count: 1 }))
  const tokenMs = (await cpuMs(each)) / tokens
  await engine.free(session)
  return { tokenMs, promptMs }
}
