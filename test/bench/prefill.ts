/**
 * A prompt of 1,000 tokens on its way through several stages: what it gains that they compute side by side, each at another
 * chunk, and what is left of it where its beginning is known. In virtual time, and with two peers on loopback.
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine, StepInput } from '../../src/engine/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'
import { simulate } from './sim.ts'
import { askPeer, BenchSwarm } from './swarm.ts'

export interface PrefillInit {
  readonly model: BenchModel
  /** What needs no model is measured with the first one. */
  readonly isFirst: boolean
  /** The bench's store folder. */
  readonly store: string
  readonly scratch: string
  readonly rounds: number
  readonly signal: AbortSignal
}

const promptTokens = 1_000

export async function benchPrefill(init: PrefillInit): Promise<Row[]> {
  const virtual = init.isFirst ? await benchVirtual(init) : []
  const { contextMax } = init.model.stored.manifest.config
  return contextMax < promptTokens + 100 ? virtual : [...virtual, ...(await benchLive(init))]
}

// ── In virtual time ──────────────────────────────────────────────────────────────────────────────────

/** First tokens where `peers` alike hold 30 layers together, in ms. Whoever asks is another peer. */
async function virtualMs(peers: number, texts: number, { scratch, signal }: PrefillInit): Promise<number> {
  // A layer with the cache of one session takes 5.7 MB: three peers have room for 10 each.
  const memoryMB = peers === 1 ? 200 : 61
  const pace = { visitMs: 0.3, layerMs: 0.2 }
  const scenario = {
    name: `a long prompt and ${peers} stages`,
    minutes: 10,
    model: { layers: 30, layerMB: 4, cacheBytesPerToken: 1536, stepBytes: 1172, contextTokens: promptTokens + 100 },
    peers: [
      { name: 'driver', count: 1, memoryMB: 1, ...pace },
      { name: 'p', count: peers, memoryMB, ...pace }
    ],
    workload: [
      {
        from: 'driver',
        perMinute: 3,
        promptTokens: [promptTokens, promptTokens],
        answerTokens: [2, 2],
        fromS: 20,
        texts
      }
    ]
  }
  const file = path.join(scratch, `prefill-${peers}-${texts}.json`)
  writeFileSync(file, JSON.stringify(scenario))
  const { summary } = await simulate(['--scenario', file, '--seed', '1', '--quiet'], signal)
  return (summary.firstTokenMs as { p50: number }).p50
}

async function benchVirtual(init: PrefillInit): Promise<Row[]> {
  const one = await virtualMs(1, 0, init)
  const three = await virtualMs(3, 0, init)
  const known = await virtualMs(3, 1, init)
  const row = (what: string, value: number, unit: string, more: Partial<Row> = {}): Row => ({
    part: 'prefill',
    what: `simulated, ${promptTokens} tokens: ${what}`,
    unit,
    figure: figure([value]),
    ...more
  })
  return [
    row('first token, one peer', one, 'ms', { how: 'all that there is to compute, one stage after the other' }),
    row('first token, three peers', three, 'ms', { how: 'a third of the layers each' }),
    row('three peers / one peer', three / one, '', { aim: '≤ 0.45' }),
    row('three peers, known beginning / not known', known / three, '', { how: 'the median of those who ask the same' })
  ]
}

// ── Two peers ────────────────────────────────────────────────────────────────────────────────────────

/** A prompt of about 1,000 tokens that begins as no other one does. */
function promptOf(round: number): string {
  const words = ['Once', 'upon', 'a', 'time', 'there', 'was', 'little', 'girl', 'who', 'had', 'big', 'red', 'dog']
  const text = Array.from({ length: promptTokens - 10 }, (_, i) => words[(i * (round + 3) + i * i) % words.length]!)
  return `${'one two three four five six seven eight'.split(' ')[round % 8]} ${round}: ${text.join(' ')}`
}

let sessions = 0

/** What the stages take one after the other, each for all of the prompt. */
async function oneAfterAnother(engines: readonly Engine[], ids: Int32Array, signal: AbortSignal): Promise<number> {
  const session = (++sessions).toString(16).padStart(32, '0') as SessionId
  const sampling = { temperature: 0, topP: 1, topK: 0, seed: 1 }
  for (const engine of engines) await engine.open(session, { tokensMax: ids.length + 16, sampling })
  const chunks = Array.from({ length: Math.ceil(ids.length / attentionBlock) }, (_, i) => i * attentionBlock)
  let inputs = chunks.map((at): StepInput => ({ kind: 'ids', ids: ids.slice(at, at + attentionBlock) }))
  const began = performance.now()
  for (const engine of engines) {
    const next: StepInput[] = []
    for (const [i, position] of chunks.entries()) {
      const tokens = Math.min(attentionBlock, ids.length - position)
      const sample = engine === engines.at(-1) && i === chunks.length - 1
      const out = await engine.run({ session, position, tokens, input: inputs[i]!, sample }, { signal })
      if (out.kind === 'hidden') next.push({ kind: 'hidden', bytes: out.bytes })
    }
    inputs = next
  }
  const ms = performance.now() - began
  for (const engine of engines) await engine.free(session)
  return ms
}

async function benchLive(init: PrefillInit): Promise<Row[]> {
  const { model, rounds, signal } = init
  const { manifest } = model.stored
  const { layers } = manifest.config
  const { shardDirectory } = model
  const swarm = new BenchSwarm(init, 2)
  const engines: Engine[] = []
  try {
    const driver = await swarm.driver(signal)
    // Where the peers are cut.
    const { answer } = await askPeer(driver, { prompt: promptOf(100), maxTokens: 1 }, signal)
    for (const { start, end } of answer.hops) {
      const span = { manifest, shardDirectory, start, end, cacheBytesMax: 1 << 30, threads: 1, signal }
      engines.push(await createWasmEngine(span))
    }
    const after: number[] = []
    const beside: number[] = []
    const known: number[] = []
    for (let round = 0; round < rounds; round++) {
      const ask = { prompt: promptOf(round), maxTokens: 1 }
      const first = await askPeer(driver, ask, signal)
      const again = await askPeer(driver, ask, signal)
      beside.push(first.firstTokenMs)
      known.push(again.firstTokenMs)
      after.push(await oneAfterAnother(engines, Int32Array.from(first.answer.promptIds), signal))
    }
    const row = (what: string, unit: string, values: number[], more: Partial<Row> = {}): Row => ({
      part: 'prefill',
      what: `${model.label}, ${answer.promptIds.length} tokens: ${what}`,
      unit,
      figure: figure(values),
      ...more
    })
    const cut = answer.hops.map(({ start, end }) => `${start}-${end}`).join(' and ')
    return [
      row('one stage after the other', 'ms', after, { how: `engines of layers ${cut} of ${layers} in one process` }),
      row('first token, two peers', 'ms', beside, { how: 'on loopback, one thread each' }),
      row(
        'two peers / one stage after the other',
        '',
        beside.map((ms, i) => ms / after[i]!),
        { aim: '≤ 0.65', how: 'by rounds' }
      ),
      row(
        'the same prompt again / the first time',
        '',
        known.map((ms, i) => ms / beside[i]!),
        { how: 'its whole blocks of 128 are known' }
      )
    ]
  } finally {
    await swarm.stop()
    await Promise.all(engines.map(engine => engine.close()))
  }
}
