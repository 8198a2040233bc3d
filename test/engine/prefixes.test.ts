/** Whatever sessions share of their beginnings, each gives the bits that it gives alone (promise P3); and nothing is kept beyond a bound. */
import fc from 'fast-check'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { toyEngine } from '../../sim/toy-engine.ts'
import type { CacheType } from '../../src/base/cache-type.ts'
import type { Engine, StepInput, StepOutput } from '../../src/engine/engine.ts'
import { type CacheBlocks, type Link, Prefixes } from '../../src/engine/prefixes.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { cutLength } from '../../src/engine/windows.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import { cutEngines, type Runtime, sessionId, signal } from './pipeline.ts'
import { syntheticModel } from './synthetic-model.ts'

const B = attentionBlock

/** Nothing in it is a multiple of anything that kernels count in. */
const config: ModelConfig = {
  layers: 3,
  hidden: 44,
  intermediate: 36,
  heads: 6,
  kvHeads: 2,
  headDim: 14,
  vocab: 61,
  contextMax: 700,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: true
}
const sampling = { temperature: 1.1, topP: 0.95, topK: 0, seed: 5 }

/** What happens to one of some sessions. */
type Turn =
  /** It goes on with so many tokens of a text, from wherever it is. */
  | { readonly kind: 'feed'; readonly text: number; readonly tokens: number; readonly sample: boolean }
  /** Its next step starts so much earlier. */
  | { readonly kind: 'back'; readonly tokens: number }
  | { readonly kind: 'end' }

const turn: fc.Arbitrary<Turn> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('feed' as const),
      // Mostly the same one: beginnings are alike.
      text: fc.constantFrom(0, 0, 0, 1),
      tokens: fc.constantFrom(B, B, B, 2 * B, 300, 100, 28, 1, 7),
      sample: fc.boolean()
    })
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('back' as const), tokens: fc.nat(200) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'end' as const }) }
)
/** The first half with caches of float32; of each half the last one is another driver's. */
const sessionsMax = 6
/** By round: what some sessions do at the same time. `room`: how much of the least that sessions need is there besides. */
const lives = fc.record({
  rounds: fc.array(fc.array(fc.tuple(fc.nat(sessionsMax - 1), turn), { minLength: 1, maxLength: 3 }), {
    minLength: 8,
    maxLength: 30
  }),
  room: fc.constantFrom(1, 1.3, 3)
})

function textOf(text: number, from: number, tokens: number): Int32Array {
  return Int32Array.from({ length: tokens }, (_, i) => ((from + i) ** 2 * 7 + (from + i) * 3 + text) % config.vocab)
}

/** Sessions of a pipeline, whose outputs are told as text. */
class Pipeline {
  readonly engines: readonly Engine[]
  readonly #owner: (session: number) => string | undefined
  readonly #open = new Map<number, { length: number; opened: number }>()
  #opened = 0
  reused = 0

  constructor(engines: readonly Engine[], owner: (session: number) => string | undefined = () => undefined) {
    this.engines = engines
    this.#owner = owner
  }

  async turn(session: number, turn: Turn): Promise<string[]> {
    const state = await this.#stateOf(session)
    const name = sessionId(state.opened)
    if (turn.kind === 'back') {
      const floors = this.engines.map(engine => engine.floor?.(name) ?? 0)
      state.length = cutLength(Math.max(0, state.length - turn.tokens), Math.max(...floors))
      return []
    }
    if (turn.kind === 'end') {
      this.#open.delete(session)
      await Promise.all(this.engines.map(engine => engine.free(name)))
      return []
    }
    const position = state.length
    const tokens = Math.min(turn.tokens, config.contextMax - position)
    if (tokens === 0) return []
    state.length += tokens
    return this.#through(name, position, tokens, { kind: 'ids', ids: textOf(turn.text, position, tokens) }, turn.sample)
  }

  async #through(
    session: ReturnType<typeof sessionId>,
    position: number,
    tokens: number,
    ids: StepInput,
    drawn: boolean
  ) {
    const outs: string[] = []
    let input = ids
    for (const engine of this.engines) {
      const sample = drawn && engine === this.engines.at(-1)
      const out: StepOutput = await engine.run({ session, position, tokens, input, sample }, { signal })
      this.reused += out.reused
      outs.push(
        out.kind === 'hidden' ? Buffer.from(out.bytes).toString('hex') : JSON.stringify('ids' in out && out.ids)
      )
      if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
    }
    return outs
  }

  async #stateOf(session: number): Promise<{ length: number; opened: number }> {
    const known = this.#open.get(session)
    if (known !== undefined) return known
    const state = { length: 0, opened: ++this.#opened }
    this.#open.set(session, state)
    const hasBytes = this.engines.every(({ cacheTypes }) => cacheTypes?.includes('i8'))
    const cache: CacheType = hasBytes && session >= sessionsMax / 2 ? 'i8' : 'f32'
    const init = { tokensMax: config.contextMax, sampling, cache, owner: this.#owner(session) }
    await Promise.all(this.engines.map(engine => engine.open(sessionId(state.opened), init)))
    return state
  }

  async end(): Promise<void> {
    for (const session of [...this.#open.keys()]) await this.turn(session, { kind: 'end' })
  }
}

const model = syntheticModel(config, 'q8', 'f16', 3)
/** As Gemma: layers at both stages give back what lies before their windows. */
const kinds = { of: [{ window: 30 }, {}, { window: 100 }], layers: [0, 1, 2] }
const windowed = syntheticModel({ ...config, kinds }, 'q8', 'f16', 3)
const engines: Engine[] = []
afterEach(async () => {
  await Promise.all(engines.splice(0).map(engine => engine.close()))
})
afterAll(() => {
  for (const each of [model, windowed]) each.remove()
})

async function real(runtime: Runtime, threads: number, of = model): Promise<Engine[]> {
  const made = await cutEngines(of, [1], { threads, runtime })
  engines.push(...made)
  return made
}

function toys(): Engine[] {
  const { layers, vocab, contextMax } = config
  const toy = { layers, vocab, hidden: 12, edge: 'f16', contextMax } as const
  return [
    [0, 1],
    [1, layers]
  ].map(([start, end]) => toyEngine({ model: toy, start: start!, end: end!, cacheBytesMax: 1 << 26 }))
}

describe.each([
  ['WebAssembly', (threads: number) => real('wasm', threads), 12],
  ['WebAssembly with windows', (threads: number) => real('wasm', threads, windowed), 8],
  ['ONNX Runtime', (threads: number) => real('onnx', threads), 6],
  ['the toy', async () => toys(), 100]
] as const)('%s', (_, make, numRuns) => {
  it('gives every session the bits that it has alone, whatever it shares', { timeout: 240_000 }, async () => {
    const alone = await make(1)
    const shared = [await make(1), await make(2)]
    let reused = 0
    await fc.assert(
      fc.asyncProperty(lives, async ({ rounds, room }) => {
        const want = new Pipeline(alone)
        const got = shared.map(each => new Pipeline(each, session => `driver ${session % 3 === 2}`))
        for (const engine of shared.flat())
          engine.cacheBytesMax = room * sessionsMax * engine.cacheBytes(config.contextMax)
        for (const round of rounds) {
          // A session's turns come one after the other.
          const turns = [...new Map(round)]
          const wanted: string[][] = []
          for (const [session, turn] of turns) wanted.push(await want.turn(session, turn))
          for (const pipeline of got) {
            expect(await Promise.all(turns.map(([session, turn]) => pipeline.turn(session, turn)))).toEqual(wanted)
          }
        }
        for (const pipeline of [want, ...got]) await pipeline.end()
        for (const pipeline of got) {
          reused += pipeline.reused
          for (const engine of pipeline.engines) {
            expect(engine.cacheBytesUsed).toBe(0)
            expect(engine.prefixes.bytes).toBeLessThanOrEqual(engine.cacheBytesMax)
          }
        }
      }),
      { numRuns }
    )
    // Otherwise it shows nothing.
    expect(reused).toBeGreaterThan(50 * numRuns)
  })
})

// ── What is kept ─────────────────────────────────────────────────────────────────────────────────────

/** A cache is its tokens, and a held block a list of them. */
class Tokens {
  readonly ids: number[] = []
  get length(): number {
    return this.ids.length
  }
  truncate(length: number): void {
    this.ids.length = length
  }
}

/** A store whose blocks take 100 bytes, beside caches that take `used.bytes`. */
function store(rowBytes = 1, onLink = (): void => {}) {
  const used = { bytes: 0, held: 0 }
  const blocks: CacheBlocks<Tokens, readonly number[]> = {
    blockBytes: () => 100,
    holdBytes: () => 100,
    adoptBytes: () => 0,
    bytesMax: 1e9,
    get bytesUsed() {
      return used.bytes + 100 * used.held
    },
    needs: () => 0,
    hold: ({ ids }, block) => {
      used.held++
      return ids.slice(block * B, (block + 1) * B)
    },
    adopt: ({ ids }, held) => void ids.push(...held),
    release: () => void used.held--
  }
  const link: Link = (before, row) => {
    onLink()
    return `${before}${row[0]!.toString(36)}`
  }
  const prefixes = new Prefixes({ blocks, rowBytes, link })
  /** A session of `owner` that begins with these blocks, each of one id. Returns how many tokens were known. */
  const session = (name: string, owner: string, firsts: readonly number[]): number => {
    prefixes.open(name, owner)
    const cache = new Tokens()
    let known = 0
    for (const id of firsts) {
      const position = cache.length
      const found = prefixes.find(name, { position, tokens: B, bytes: new Uint8Array(B).fill(id), least: 0 })
      const out = new Uint8Array(B * rowBytes)
      prefixes.begin(name, cache, found, out)
      known += found!.tokens
      while (cache.length < position + B) cache.ids.push(id)
      out.fill(id)
      prefixes.end(name, cache, position, found, out)
    }
    prefixes.free(name)
    return known
  }
  return { prefixes, session, used }
}

describe('what is kept of beginnings', () => {
  const block = 100 + B

  it('stays within what caches leave, and the least recently used goes first, never before what follows it', () => {
    const { prefixes, session } = store()
    prefixes.limit(4 * block)
    session('a', 'me', [1, 2])
    session('b', 'me', [3, 4])
    expect(prefixes.bytes).toBe(4 * block)
    // Used again: the others are older now.
    expect(session('c', 'me', [1, 2])).toBe(2 * B)
    expect(session('d', 'me', [5])).toBe(0)
    expect(prefixes.bytes).toBe(4 * block)
    expect(session('e', 'me', [3])).toBe(B)
    expect(session('f', 'me', [1, 2])).toBe(2 * B)
    // The end of the older one has gone, and not its beginning.
    expect(session('g', 'me', [3, 4])).toBe(B)
  })

  it('makes room for caches, and keeps nothing where they leave none', () => {
    const { prefixes, session, used } = store()
    prefixes.limit(3 * block)
    session('a', 'me', [1, 2, 3])
    used.bytes = block
    expect(prefixes.makeRoom(0)).toBe(true)
    expect(prefixes.bytes).toBe(2 * block)
    expect(prefixes.makeRoom(2 * block)).toBe(true)
    expect([prefixes.bytes, used.held]).toEqual([0, 0])
    used.bytes = 3 * block
    session('b', 'me', [1])
    expect(prefixes.bytes).toBe(0)
  })

  it('keeps what there is room for of one beginning rather than nothing', () => {
    const { prefixes, session } = store()
    prefixes.limit(2 * block + 50)
    session('a', 'me', [1, 2, 3, 4])
    expect(session('b', 'me', [1, 2, 3])).toBe(2 * B)
  })

  it('knows a block by all that comes before it, and by whose it is', () => {
    const { prefixes, session } = store()
    prefixes.limit(1e6)
    session('a', 'me', [1, 2])
    expect(session('b', 'me', [2, 1])).toBe(0)
    expect(session('c', 'me', [2, 2])).toBe(B)
    expect(session('d', 'you', [1, 2])).toBe(0)
  })

  it('makes the links of a token after it was answered, or with the next one, and finds the block all the same', () => {
    for (const catchesUp of [true, false]) {
      let links = 0
      const { prefixes, session } = store(1, () => void links++)
      prefixes.limit(1e6)
      prefixes.open('a', 'me')
      const cache = new Tokens()
      for (let position = 0; position < B; position++) {
        const before = links
        const found = prefixes.find('a', { position, tokens: 1, bytes: Uint8Array.of(7), least: 1 })
        prefixes.begin('a', cache, found, new Uint8Array(1))
        cache.ids.push(7)
        prefixes.end('a', cache, position, found, Uint8Array.of(7))
        const late = catchesUp || position === 0 ? 0 : 1
        // The last one fills the block, which is kept under its link.
        expect(links - before).toBe(position === B - 1 ? late + 1 : late)
        if (catchesUp) prefixes.catchUp()
        expect(links).toBe(position + 2 - (catchesUp || position === B - 1 ? 0 : 1))
      }
      expect(prefixes.bytes).toBe(block)
      expect(session('b', 'me', [7])).toBe(B)
    }
  })

  it('does not take a session for what it was before it was cut back', () => {
    const { prefixes } = store()
    prefixes.limit(1e6)
    prefixes.open('a', 'me')
    const cache = new Tokens()
    const step = (position: number, ids: readonly number[]): number => {
      const bytes = Uint8Array.from(ids)
      const found = prefixes.find('a', { position, tokens: ids.length, bytes, least: 0 })
      cache.truncate(position)
      const out = new Uint8Array(ids.length)
      prefixes.begin('a', cache, found, out)
      expect([...out.subarray(0, found!.tokens)]).toEqual(ids.slice(0, found!.tokens))
      cache.ids.push(...ids.slice(found!.tokens))
      out.set(ids)
      prefixes.end('a', cache, position, found, out)
      return found!.tokens
    }
    const ones = new Array<number>(B).fill(1)
    step(0, ones)
    // Row 100 is another one now, and what follows it.
    step(100, new Array<number>(28).fill(2))
    step(B, ones)
    expect(step(0, ones)).toBe(B)
    expect(step(B, ones)).toBe(0)
    const mixed = [...ones.slice(0, 100), ...new Array<number>(28).fill(2)]
    for (const known of [0, B]) expect([step(0, mixed), step(B, ones)]).toEqual([known, known])
    expect(cache.ids.slice(98, 102)).toEqual([1, 1, 2, 2])
  })
})
