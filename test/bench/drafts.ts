/**
 * What drafts gain: answers with and without them by turns, over three engines in a row whose peers are links in memory apart,
 * of no delay or of 20 ms there and back. Stages, sessions and engines are the real ones.
 */
import { readFile } from 'node:fs/promises'
import type { PeerId } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import type { ModelStore } from '../../src/model/store.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import type { SessionTokenizer } from '../../src/session/parts.ts'
import { generate } from '../../src/session/service.ts'
import { createStageService, type StageService } from '../../src/stage/service.ts'
import { signerOf, verify } from '../../sim/cast.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'

export interface DraftsInit {
  readonly model: BenchModel
  readonly store: ModelStore
  readonly rounds: number
  readonly signal: AbortSignal
}

const texts = {
  repetitive: 'The cat sat on the mat. The dog sat on the log. '.repeat(8),
  plain: 'Once upon a time, there was a little girl who'
} as const
const answerTokens = 120
const hops = 3

/** Tokens a second with drafts, and how many times as many that is as without; by text, and by what lies between peers. */
export async function benchDrafts({ model, store, rounds, signal }: DraftsInit): Promise<Row[]> {
  const rows: Row[] = []
  for (const rttMs of [0, 20]) {
    const flock = await Flock.of(model, store, rttMs, signal)
    try {
      for (const text of ['repetitive', 'plain'] as const) {
        const rates: number[] = []
        const ratios: number[] = []
        const right: number[] = []
        for (let round = -1; round < rounds; round++) {
          const [plain, drafted] = [await flock.answer(text, false), await flock.answer(text, true)]
          if (`${plain.ids}` !== `${drafted.ids}`) throw new Error('the answer is another one with drafts')
          if (round < 0) continue
          rates.push(drafted.rate)
          ratios.push(drafted.rate / plain.rate)
          right.push(drafted.right)
        }
        const what = `${model.label}: ${text} text, ${hops} hops, ${rttMs} ms between them there and back`
        const aim = text === 'repetitive' && rttMs > 0 ? '≥ 2.0' : '≥ 0.95'
        const how = `${answerTokens} tokens, by rounds`
        rows.push({ part: 'drafts', what: `${what}, with drafts`, unit: 'tokens/s', figure: figure(rates), how })
        rows.push({ part: 'drafts', what: `${what}, with / without`, unit: '', figure: figure(ratios), aim, how })
        rows.push({
          part: 'drafts',
          what: `${what}: drafts that were right`,
          unit: '',
          figure: figure(right),
          how: 'of a token'
        })
      }
    } finally {
      await flock.stop()
    }
  }
  return rows
}

/** Three peers that hold a third of the model each, and one that asks. */
class Flock {
  readonly #model: BenchModel
  readonly #tokenizer: SessionTokenizer
  readonly #world: MemoryWorld
  readonly #signal: AbortSignal
  readonly #engines: Engine[] = []
  readonly #stages: StageService[] = []
  readonly #route: { readonly peer: PeerId; readonly start: number; readonly end: number }[] = []

  private constructor(model: BenchModel, tokenizer: SessionTokenizer, rttMs: number, signal: AbortSignal) {
    this.#model = model
    this.#tokenizer = tokenizer
    this.#signal = signal
    const schedule = (ms: number, task: () => void): void => void (ms > 0 ? setTimeout(task, ms) : queueMicrotask(task))
    this.#world = new MemoryWorld({ schedule, delayMs: () => rttMs / 2 })
  }

  static async of(model: BenchModel, store: ModelStore, rttMs: number, signal: AbortSignal): Promise<Flock> {
    const { manifest } = model.stored
    const json = await readFile(await store.tokenizerFile(model.stored, { signal }))
    const tokenizer = loadTokenizer(json, manifest)
    const flock = new Flock(
      model,
      ofIds(text => tokenizer.encode(text, { special: false })),
      rttMs,
      signal
    )
    const { config } = manifest
    const { layers, vocab, contextMax } = config
    for (let i = 0; i < hops; i++) {
      const [start, end] = [Math.floor((i * layers) / hops), Math.floor(((i + 1) * layers) / hops)]
      const { shardDirectory } = model
      const engine = await createWasmEngine({ manifest, shardDirectory, start, end, cacheBytesMax: 1 << 28, signal })
      flock.#engines.push(engine)
      const peer = `12D3KooWHop${i + 1}` as PeerId
      const stages = await createStageService({ links: flock.#world.join(peer), retainBytesMax: 1 << 28, verify })
      stages.add(engine, { model: model.stored.id, layers, vocab, contextMax })
      flock.#stages.push(stages)
      flock.#route.push({ peer, start, end })
    }
    return flock
  }

  async answer(text: keyof typeof texts, speculate: boolean) {
    const { stored } = this.#model
    const { layers, vocab, contextMax } = stored.manifest.config
    const self = `12D3KooWDriver${this.#stages.length}` as PeerId
    const links = this.#world.join(self)
    const stages = await createStageService({ links, retainBytesMax: 0, verify })
    const model = { id: stored.id, layers, vocab, contextMax, eosIds: [] }
    const sign = signerOf(self)
    const parts = {
      links,
      stages,
      sign,
      tokenizer: this.#tokenizer,
      model,
      route: async () => this.#route,
      knowsDrafts: () => true
    }
    const generation = generate(parts, texts[text], { maxTokens: answerTokens, speculate, signal: this.#signal })
    for await (const _ of generation.events());
    const { ids, timing, drafts } = await generation.answer
    await stages.stop()
    this.#world.kill(self)
    return { ids, rate: timing.tokensPerSecond, right: drafts.taken / ids.length }
  }

  async stop(): Promise<void> {
    for (const stages of this.#stages) await stages.stop()
    for (const engine of this.#engines) await engine.close()
  }
}

/** Nobody reads these answers. */
function ofIds(encode: (text: string) => readonly number[]): SessionTokenizer {
  return { longest: async () => 64, encode: async text => encode(text), stream: () => ({ push: async () => '' }) }
}
