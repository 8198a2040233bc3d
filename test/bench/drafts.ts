/**
 * What drafts gain: answers without them, with those of the text and with a draft model's by turns, over three engines in a row
 * whose peers are links in memory apart, of no delay or of 20 ms there and back. Stages, sessions and engines are the real ones;
 * the draft model of the one that ships is the same with half of the bits.
 */
import { readFile } from 'node:fs/promises'
import { systemClock } from '../../src/base/clock.ts'
import { systemRng } from '../../src/base/entropy.ts'
import type { PeerId } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import { noTemplate } from '../../src/model/chat.ts'
import type { ModelStore } from '../../src/model/store.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import { tokenMsOf } from '../../src/serving/draft-service.ts'
import type { DraftModel, SessionTokenizer } from '../../src/session/parts.ts'
import { generate } from '../../src/session/service.ts'
import { createStageService } from '../../src/stage/service.ts'
import type { StageService } from '../../src/stage/service-init.ts'
import { signerOf, verify } from '../../sim/cast.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'
import { rewriteModel } from './requantised.ts'

export interface DraftsInit {
  readonly model: BenchModel
  readonly store: ModelStore
  /** It is the one that ships: there is a draft model for it. */
  readonly isFirst: boolean
  readonly rounds: number
  readonly signal: AbortSignal
}

const texts = {
  repetitive: 'The cat sat on the mat. The dog sat on the log. '.repeat(8),
  plain: 'Once upon a time, there was a little girl who'
} as const
const answerTokens = 120
const hops = 3

/** What proposes: nothing, the text so far, or the draft model where it gains more. */
type Proposer = 'nothing' | 'text' | 'model'

/** Tokens a second with drafts, and how many times as many that is as without; by text, and by what lies between peers. */
export async function benchDrafts({ model, store, isFirst, rounds, signal }: DraftsInit): Promise<Row[]> {
  const rows: Row[] = []
  const small = isFirst ? await draftModelOf(model, store, signal) : undefined
  try {
    for (const rttMs of [0, 20]) {
      const flock = await Flock.of(model, store, rttMs, signal)
      try {
        for (const text of ['repetitive', 'plain'] as const) {
          const what = `${model.label}: ${text} text, ${hops} hops, ${rttMs} ms between them there and back`
          const answers = await roundsOf(flock, text, small, rounds)
          for (const proposer of small === undefined ? (['text'] as const) : (['text', 'model'] as const)) {
            const by = proposer === 'text' ? 'drafts' : `drafts of ${small!.name} too`
            const aim = text === 'repetitive' && rttMs > 0 ? '≥ 2.0' : '≥ 0.95'
            const how = `${answerTokens} tokens, by rounds`
            const of = (value: (each: Round) => number): Row['figure'] => figure(answers.map(value))
            const common = { part: 'drafts', how }
            rows.push(
              { ...common, what: `${what}, with ${by}`, unit: 'tokens/s', figure: of(each => each[proposer]!.rate) },
              {
                ...common,
                what: `${what}, with ${by} / without`,
                unit: '',
                figure: of(each => each[proposer]!.rate / each.nothing!.rate),
                aim
              },
              {
                ...common,
                what: `${what}, with ${by}: drafts that were right`,
                unit: '',
                figure: of(each => each[proposer]!.right),
                how: 'of a token'
              }
            )
          }
        }
      } finally {
        await flock.stop()
      }
    }
  } finally {
    await small?.stop()
  }
  return rows
}

type Round = Partial<Record<Proposer, Awaited<ReturnType<Flock['answer']>>>>

/** Answers to one text in rounds, each proposer once in each; the first round warms up and does not count. */
async function roundsOf(
  flock: Flock,
  text: keyof typeof texts,
  small: DraftModel | undefined,
  rounds: number
): Promise<Round[]> {
  const answers: Round[] = []
  for (let round = -1; round < rounds; round++) {
    const nothing = await flock.answer(text, { speculate: false })
    const drafted: Round = { text: await flock.answer(text, {}) }
    if (small !== undefined) drafted.model = await flock.answer(text, { draftModel: small })
    for (const each of Object.values(drafted)) {
      if (`${nothing.ids}` !== `${each.ids}`) throw new Error('the answer is another one with drafts')
    }
    if (round >= 0) answers.push({ nothing, ...drafted })
  }
  return answers
}

/** The model with half of the bits, whole in an engine of its own. */
async function draftModelOf(
  { stored }: BenchModel,
  store: ModelStore,
  signal: AbortSignal
): Promise<DraftModel & { stop(): Promise<void> }> {
  const name = `${stored.manifest.name}-q4`
  const { manifest, ...small } = await rewriteModel(store, stored, { name, weights: 'q4', signal })
  const shardDirectory = await store.shardDirectory({ manifest, ...small })
  const { layers, vocab, contextMax } = manifest.config
  const engine = await createWasmEngine({
    manifest,
    shardDirectory,
    start: 0,
    end: layers,
    cacheBytesMax: 1 << 26,
    signal
  })
  const tokenMs = await tokenMsOf(engine, { clock: systemClock, rng: systemRng, signal })
  return { name, vocab, contextMax, engine, tokenMs, onFailed: () => {}, stop: () => engine.close() }
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

  async answer(
    text: keyof typeof texts,
    { speculate = true, draftModel }: { readonly speculate?: boolean; readonly draftModel?: DraftModel }
  ) {
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
      knowsDrafts: () => true,
      draftModel
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
  return {
    longest: async () => 64,
    encode: async text => encode(text),
    chat: async () => {
      throw noTemplate('this model')
    },
    bytes: async ids => ids.map(() => new Uint8Array(0)),
    stream: () => ({ push: async () => '' })
  }
}
