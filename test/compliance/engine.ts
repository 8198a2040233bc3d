/**
 * What every engine must do, whatever it computes with. It runs over the real engine and over the simulator's
 * toy, so that what the simulator finds holds for the real one.
 */
import { afterEach, describe, expect, it } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import {
  type Engine,
  edgeSize,
  type Sampling,
  type Step,
  type StepInput,
  type StepOutput
} from '../../src/engine/engine.ts'
import { letsThrough } from '../../src/engine/mask.ts'
import type { TokenScore } from '../../src/engine/scores.ts'
import { ToyGrammar } from '../../sim/toy-grammar.ts'

export interface EngineSubject {
  /** At least 3. */
  readonly layers: number
  readonly vocab: number
  /** At least 300: longer than two attention blocks. */
  readonly contextMax: number
  make(init: { start: number; end: number; cacheBytesMax: number }): Promise<Engine>
}

const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, seed: 0 }
const none = { presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 0 }
const roomy = 1 << 26
const a = '0a'.repeat(16) as SessionId
const b = '0b'.repeat(16) as SessionId

export function engineCompliance(name: string, subject: EngineSubject): void {
  const { layers, vocab, contextMax } = subject
  const prompt = Array.from({ length: 20 }, (_, i) => (i * 37 + 11) % vocab)
  const signal = new AbortController().signal
  const made: Engine[] = []

  const make = async (start = 0, end = layers, cacheBytesMax = roomy): Promise<Engine> => {
    const engine = await subject.make({ start, end, cacheBytesMax })
    made.push(engine)
    return engine
  }
  const opened = async (engine: Engine, session = a, tokensMax = contextMax, sampling = greedy): Promise<Engine> => {
    await engine.open(session, { tokensMax, sampling })
    return engine
  }
  const ids = (position: number, values: readonly number[], session = a, sample = true): Step => ({
    session,
    position,
    tokens: values.length,
    input: { kind: 'ids', ids: Int32Array.from(values) },
    sample
  })
  const token = async (engine: Engine, step: Step): Promise<number> => {
    const out = await engine.run(step, { signal })
    expect(out).toMatchObject({ kind: 'tokens', ids: [expect.any(Number)] })
    return out.kind === 'tokens' ? out.ids[0]! : -1
  }
  const hidden = async (engine: Engine, step: Step): Promise<Uint8Array> => {
    const out = await engine.run(step, { signal })
    expect(out.kind).toBe('hidden')
    return out.kind === 'hidden' ? out.bytes : new Uint8Array()
  }
  /** The prompt in one step, then one token at a time. */
  const generate = async (engine: Engine, count: number, session = a): Promise<number[]> => {
    const out = [await token(engine, ids(0, prompt, session))]
    while (out.length < count) {
      out.push(await token(engine, ids(prompt.length + out.length - 1, [out.at(-1)!], session)))
    }
    return out
  }
  const failure = async (promise: Promise<unknown>): Promise<Error> => {
    try {
      await promise
    } catch (error) {
      return error as Error
    }
    throw new Error('it should have failed')
  }

  describe(`${name} as an engine`, { timeout: 120_000 }, () => {
    afterEach(async () => {
      await Promise.all(made.splice(0).map(engine => engine.close()))
    })

    it('leaves the memory of its input to the caller, also when that is a view of a larger Buffer', async () => {
      const head = await opened(await make(0, 1))
      const rest = await opened(await make(1, layers))
      const bytes = await hidden(head, ids(0, prompt, a, false))
      // As a frame off the network is: a part of the memory that the socket was read into.
      const read = Buffer.concat([Buffer.alloc(64), bytes, Buffer.alloc(64)])
      const input = { kind: 'hidden', bytes: read.subarray(64, 64 + bytes.length) } as const
      const step = { session: a, position: 0, tokens: prompt.length, input, sample: true }
      const first = await token(rest, step)
      expect(Buffer.compare(read.subarray(64, 64 + bytes.length), bytes)).toBe(0)
      expect(await token(rest, step)).toBe(first)
    })

    it('says what it is', async () => {
      const engine = await make(1, 2)
      expect([engine.start, engine.end]).toEqual([1, 2])
      expect(engine.hidden).toBeGreaterThan(0)
      expect(['f32', 'f16', 'bf16']).toContain(engine.edge)
      expect([engine.cacheBytesUsed, engine.cacheBytesMax]).toEqual([0, roomy])
      expect(engine.length(a)).toBeUndefined()
    })

    it('gives hidden states, tokens, or nothing', async () => {
      const head = await opened(await make(0, 1))
      const bytes = await hidden(head, ids(0, prompt, a, false))
      expect(bytes.length).toBe(prompt.length * head.hidden * edgeSize(head.edge))
      expect(bytes.byteLength).toBe(bytes.buffer.byteLength)
      const whole = await opened(await make())
      expect((await whole.run(ids(0, prompt, a, false), { signal })).kind).toBe('none')
      const id = await token(whole, ids(0, prompt))
      expect(id).toBeGreaterThanOrEqual(0)
      expect(id).toBeLessThan(vocab)
      expect(whole.length(a)).toBe(prompt.length)
    })

    it('gives the same tokens in one piece and in parts', async () => {
      const want = await generate(await opened(await make()), 12)
      const parts = [await make(0, 1), await make(1, layers - 1), await make(layers - 1, layers)]
      for (const part of parts) await opened(part)
      const seen: number[] = []
      let feed: readonly number[] = prompt
      for (let position = 0; seen.length < want.length; position += feed.length, feed = [seen.at(-1)!]) {
        let input: StepInput = { kind: 'ids', ids: Int32Array.from(feed) }
        for (const part of parts) {
          const sample = part.end === layers
          const out = await part.run({ session: a, position, tokens: feed.length, input, sample }, { signal })
          if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
          else if (out.kind === 'tokens') seen.push(...out.ids)
        }
      }
      expect(seen).toEqual(want)
    })

    it('gives the same token however a prompt is chunked, also across 128 and 256', async () => {
      const long = Array.from({ length: 290 }, (_, i) => (i * i + 3) % vocab)
      const engine = await opened(await make())
      const want = await token(engine, ids(0, long))
      for (const size of [1, 7, 127, 128, 129, 257]) {
        let last = -1
        for (let at = 0; at < long.length; at += size) last = await token(engine, ids(at, long.slice(at, at + size)))
        expect(last, `chunks of ${size}`).toBe(want)
      }
    })

    it('truncates to where a step starts, and replays to the same tokens', async () => {
      const engine = await opened(await make())
      const want = await generate(engine, 10)
      expect(engine.length(a)).toBe(prompt.length + 9)
      expect(await token(engine, ids(prompt.length, want.slice(0, 3)))).toBe(want[3])
      expect(engine.length(a)).toBe(prompt.length + 3)
      const other = prompt.map(id => (id + 1) % vocab)
      await token(engine, ids(0, other))
      expect(engine.length(a)).toBe(other.length)
      expect(await generate(engine, 10)).toEqual(want)
    })

    it('refuses a step beyond its cache with its length', async () => {
      const engine = await opened(await make())
      await token(engine, ids(0, prompt))
      const error = await failure(engine.run(ids(prompt.length + 1, [1]), { signal }))
      expect(error).toMatchObject({ name: 'CacheGapError', length: prompt.length })
      expect(engine.length(a)).toBe(prompt.length)
    })

    it('refuses a step past tokensMax', async () => {
      const engine = await opened(await make(), a, prompt.length + 1)
      await token(engine, ids(0, prompt))
      const error = await failure(engine.run(ids(prompt.length, [1, 2]), { signal }))
      expect(error.name).toBe('ContextFullError')
      expect(engine.length(a)).toBe(prompt.length)
      await token(engine, ids(prompt.length, [1]))
    })

    it('refuses wrong input and leaves the cache as it was', async () => {
      const engine = await opened(await make())
      const want = await generate(engine, 6)
      const length = engine.length(a)!
      const bytes = new Uint8Array(engine.hidden * edgeSize(engine.edge))
      const position = prompt.length
      const wrong: [string, Step][] = [
        ['unknown id', ids(position, [vocab])],
        ['negative id', ids(position, [1, -1])],
        ['more tokens than ids', { ...ids(position, [1]), tokens: 2 }],
        ['no tokens', ids(position, [])],
        ['too many tokens', ids(0, new Array<number>(100_000).fill(1))],
        ['half a token', { ...ids(position, [1]), tokens: 0.5 }],
        ['negative position', ids(-1, [1])],
        ['hidden states at the head', { ...ids(position, [1]), input: { kind: 'hidden', bytes } }],
        ['another session', ids(0, [1], b)]
      ]
      for (const [what, step] of wrong) {
        expect((await failure(engine.run(step, { signal }))).name, what).toBe('InvalidStepError')
        expect(engine.length(a), what).toBe(length)
      }
      expect(await token(engine, ids(length, [want.at(-1)!]))).toBe((await generate(engine, 7)).at(-1))
    })

    it('refuses hidden states of the wrong kind, size or value', async () => {
      const head = await opened(await make(0, 1))
      const engine = await opened(await make(1, 2))
      const bytes = await hidden(head, ids(0, prompt.slice(0, 2), a, false))
      const step: Step = { session: a, position: 0, tokens: 2, input: { kind: 'hidden', bytes }, sample: false }
      const want = await hidden(engine, step)
      // All ones is NaN in every edge type.
      const poisoned = bytes.slice().fill(255, bytes.length - edgeSize(engine.edge))
      const wrong: [string, Step][] = [
        ['ids', { ...step, input: { kind: 'ids', ids: Int32Array.of(1, 2) } }],
        ['a byte short', { ...step, input: { kind: 'hidden', bytes: bytes.subarray(1) } }],
        ['a byte long', { ...step, input: { kind: 'hidden', bytes: new Uint8Array(bytes.length + 1) } }],
        ['not a number', { ...step, position: 2, input: { kind: 'hidden', bytes: poisoned } }],
        ['sampling in the middle', { ...step, sample: true }]
      ]
      for (const [what, bad] of wrong) {
        expect((await failure(engine.run(bad, { signal }))).name, what).toBe('InvalidStepError')
        expect(engine.length(a), what).toBe(2)
      }
      expect(await hidden(engine, step)).toEqual(want)
    })

    it("leaves the caller's input alone, and its output is the caller's", async () => {
      const head = await opened(await make(0, 1))
      const engine = await opened(await make(1, 2))
      const pool = new Uint8Array(4096 + head.hidden * edgeSize(head.edge))
      const out = await hidden(head, ids(0, [3], a, false))
      // An odd offset in a shared buffer, as a frame's payload has.
      pool.set(out, 13)
      const bytes = pool.subarray(13, 13 + out.length)
      const running = hidden(engine, {
        session: a,
        position: 0,
        tokens: 1,
        input: { kind: 'hidden', bytes },
        sample: false
      })
      pool.fill(255)
      const first = await running
      pool.set(out, 13)
      const kept = first.slice()
      expect(
        await hidden(engine, { session: a, position: 0, tokens: 1, input: { kind: 'hidden', bytes }, sample: false })
      ).toEqual(kept)
      expect(pool.subarray(13, 13 + out.length)).toEqual(out)
      expect(first).toEqual(kept)
    })

    it('keeps sessions apart', async () => {
      const engine = await opened(await make())
      const want = await generate(engine, 5)
      await opened(engine, b)
      const other: number[] = [5, 4, 3]
      for (let i = 0; i < 4; i++) {
        await token(engine, ids(i * other.length, other, b))
        expect(await token(engine, ids(prompt.length + i, [want[i]!]))).toBe(want[i + 1] ?? expect.anything())
      }
    })

    it('computes steps of several sessions at once, each as it would be alone', async () => {
      const engine = await make()
      const sessions = Array.from({ length: 6 }, (_, i) => i.toString(16).padStart(32, '0') as SessionId)
      const prompts = sessions.map((_, i) => Array.from({ length: 1 + 37 * i }, (_, at) => (at * at * 3 + i) % vocab))
      const answer = async (i: number): Promise<number[]> => {
        const session = sessions[i]!
        // They join one after the other, and leave after as many tokens as they like.
        for (let turns = 0; turns < 3 * i; turns++) await new Promise(resolve => setImmediate(resolve))
        await opened(engine, session, contextMax, { temperature: 1.2, topP: 0.9, topK: 0, seed: i })
        const seen: number[] = []
        for (let feed = prompts[i]!, at = 0; seen.length < 9 - i; at += feed.length, feed = [seen.at(-1)!]) {
          const step = ids(at, feed, session)
          const out = await engine.run(step, { signal })
          expect(out.rows).toBeGreaterThanOrEqual(step.tokens)
          if (out.kind === 'tokens') seen.push(...out.ids)
        }
        await engine.free(session)
        return seen
      }
      const alone: number[][] = []
      for (const i of sessions.keys()) alone.push(await answer(i))
      expect(await Promise.all(sessions.map((_, i) => answer(i)))).toEqual(alone)
      expect(engine.cacheBytesUsed).toBe(0)
    })

    it('runs steps in the order of the calls', async () => {
      const engine = await opened(await make())
      const want = await generate(engine, 8)
      const steps = [ids(0, prompt), ...want.slice(0, -1).map((id, i) => ids(prompt.length + i, [id]))]
      const seen = await Promise.all(steps.map(step => token(engine, step)))
      expect(seen).toEqual(want)
    })

    it('samples by seed and position, in parts or again', async () => {
      const sampling = { temperature: 1.5, topP: 0.95, topK: 0, seed: 7 }
      const engine = await opened(await make(), a, contextMax, sampling)
      const want = await generate(engine, 10)
      await opened(engine, b, contextMax, sampling)
      expect(await generate(engine, 10, b)).toEqual(want)
      const c = '0c'.repeat(16) as SessionId
      await opened(engine, c, contextMax, { ...sampling, seed: 8 })
      expect(await generate(engine, 10, c)).not.toEqual(want)
    })

    it('verifies drafts in one step: it draws what one token at a time would, up to the first that is wrong', async () => {
      for (const sampling of [greedy, { temperature: 1.1, topP: 0.95, topK: 0, seed: 3 }]) {
        const engine = await opened(await make(), a, contextMax, sampling)
        const want = await generate(engine, 24)
        await engine.free(a)
        await opened(engine, a, contextMax, sampling)
        // The prompt's last token is there with the drafts, too; a few passes may take the parts of one step.
        const seen: number[] = []
        let feed: readonly number[] = prompt
        for (const [right, wrong] of [
          [3, 2],
          [0, 1],
          [0, 0],
          [7, 0],
          [2, 5],
          [0, 7],
          [1, 0]
        ] as const) {
          const drafts = [
            ...want.slice(seen.length, seen.length + right),
            ...want.slice(seen.length + right, seen.length + right + wrong).map(id => (id + 1) % vocab)
          ]
          const position = prompt.length + seen.length + (feed === prompt ? -prompt.length : -1)
          const step = { ...ids(position, [...feed, ...drafts]), drafts }
          const out = await engine.run(step, { signal })
          expect(out).toMatchObject({ kind: 'tokens', ids: want.slice(seen.length, seen.length + right + 1) })
          expect(engine.length(a)).toBe(position + step.tokens)
          if (out.kind === 'tokens') seen.push(...out.ids)
          feed = [seen.at(-1)!]
        }
        expect(seen).toEqual(want.slice(0, seen.length))
        await engine.free(a)
      }
    })

    it('verifies drafts behind tokens that several passes take, beside steps of other sessions', async () => {
      const long = Array.from({ length: 285 }, (_, i) => (i * i + 3) % vocab)
      const engine = await opened(await make())
      const want = [await token(engine, ids(0, long))]
      for (let i = 0; i < 4; i++) want.push(await token(engine, ids(long.length + i, [want.at(-1)!])))
      await opened(engine, b)
      const drafts = [...want.slice(0, 4), (want[4]! + 1) % vocab]
      const others = Array.from({ length: 6 }, (_, at) => token(engine, ids(at, [at], b)))
      const out = await engine.run({ ...ids(0, [...long, ...drafts]), drafts }, { signal })
      expect(out).toMatchObject({ kind: 'tokens', ids: want })
      await Promise.all(others)
    })

    it('refuses drafts that no step could have', async () => {
      const engine = await opened(await make())
      await token(engine, ids(0, prompt))
      const step = ids(prompt.length, [1, 2, 3, 4, 5, 6, 7, 8, 9])
      for (const [what, bad] of [
        ['as many as tokens', { ...ids(prompt.length, [1, 2]), drafts: [1, 2] }],
        ['more than verified at a time', { ...step, drafts: [2, 3, 4, 5, 6, 7, 8, 9] }],
        ['where nothing is sampled', { ...step, sample: false, drafts: [9] }]
      ] as const) {
        expect((await failure(engine.run(bad, { signal }))).name, what).toBe('InvalidStepError')
        expect(engine.length(a), what).toBe(prompt.length)
      }
    })

    /** Answers along parts of the model, with drafts of which some are right, given the ids beside the states. */
    const penalised = async (
      parts: readonly Engine[],
      count: number,
      all: readonly number[] = [],
      scores: unknown[] = [],
      grammar?: ToyGrammar
    ): Promise<number[]> => {
      const seen: number[] = []
      let feed: readonly number[] = prompt
      for (let position = 0; seen.length < count; position = prompt.length + seen.length - 1, feed = [seen.at(-1)!]) {
        const right = all.slice(seen.length, seen.length + 2)
        const proposed = right.length < 2 ? [] : [...right, (right[1]! + 1) % vocab]
        const masks = await grammar?.masks(seen, proposed)
        const drafts = masks === undefined ? proposed : proposed.slice(0, masks.length - 1)
        const text = Int32Array.from([...feed, ...drafts])
        let input: StepInput = { kind: 'ids', ids: text }
        for (const part of parts) {
          const sample = part.end === layers
          const beside = input.kind === 'hidden' && sample ? { ids: text } : {}
          const step = { session: a, position, tokens: text.length, input, sample, ...beside }
          const out = await part.run(sample ? { ...step, drafts, masks } : step, { signal })
          if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
          else if (out.kind === 'tokens') {
            seen.push(...out.ids)
            scores.push(...(out.scores ?? []))
          }
        }
      }
      return seen.slice(0, count)
    }

    it('draws by the ids so far where there are penalties: in one piece, in parts, with drafts, and after a rollback', async () => {
      for (const sampling of [
        { ...greedy, presencePenalty: 1.5, frequencyPenalty: 0.7, repetitionPenalty: 1.3, promptTokens: prompt.length },
        { temperature: 0.8, topP: 0.95, topK: 0, seed: 3, frequencyPenalty: 2, promptTokens: prompt.length }
      ]) {
        const { presencePenalty: _, frequencyPenalty: __, repetitionPenalty: ___, ...plain } = { ...none, ...sampling }
        const whole = await opened(await make(), a, contextMax, plain)
        const without = await generate(whole, 24)
        await whole.free(a)
        await opened(whole, a, contextMax, sampling)
        const want = await generate(whole, 24)
        expect(want).not.toEqual(without)
        // The tokens that are computed again are others than those that were here before.
        await token(
          whole,
          ids(
            prompt.length,
            want.slice(0, 9).map(id => (id + 1) % vocab)
          )
        )
        expect(await token(whole, ids(prompt.length, want.slice(0, 9)))).toBe(want[9])
        await whole.free(a)
        await opened(whole, a, contextMax, sampling)
        expect(await penalised([whole], 24, want)).toEqual(want)
        const parts = [await make(0, 1), await make(1, layers - 1), await make(layers - 1, layers)]
        for (const drafts of [[], want]) {
          for (const part of parts) await opened(part, a, contextMax, sampling)
          expect(await penalised(parts, 24, drafts)).toEqual(want)
          for (const part of parts) await part.free(a)
        }
      }
    })

    it('refuses steps without the ids that penalties need, and ids that are none', async () => {
      const head = await opened(await make(0, 1))
      const tail = await opened(await make(1, layers), a, contextMax, { ...greedy, presencePenalty: 1 })
      const input = { kind: 'hidden', bytes: await hidden(head, ids(0, prompt, a, false)) } as const
      const step = { ...ids(0, prompt), input }
      for (const [what, wrong] of [
        ['none', undefined],
        ['too few', Int32Array.from(prompt.slice(1))],
        ['outside the vocabulary', Int32Array.from([...prompt.slice(1), vocab])]
      ] as const) {
        expect((await failure(tail.run({ ...step, ids: wrong }, { signal }))).name, what).toBe('InvalidStepError')
        expect(tail.length(a), what).toBe(0)
      }
      await token(tail, { ...step, ids: Int32Array.from(prompt) })
    })

    it('draws with what is added to logits, whatever pass a token comes in', async () => {
      const whole = await opened(await make())
      const without = await generate(whole, 12)
      await whole.free(a)
      const sampling = { ...greedy, logitBias: { [without[1]!]: -100 } }
      await opened(whole, a, contextMax, sampling)
      const want = await generate(whole, 12)
      expect(want).not.toEqual(without)
      await whole.free(a)
      await opened(whole, a, contextMax, sampling)
      expect(await penalised([whole], 12, want)).toEqual(want)
    })

    it('draws what a mask lets through: in one piece, in parts, with drafts, and sampled', async () => {
      for (const plain of [greedy, { temperature: 0.8, topP: 0.95, topK: 5, seed: 3 }]) {
        const grammar = new ToyGrammar(vocab)
        const sampling = { ...plain, masked: true }
        const whole = await opened(await make(), a, contextMax, plain)
        const without = await generate(whole, 16)
        await whole.free(a)
        await opened(whole, a, contextMax, sampling)
        const want = await penalised([whole], 16, [], [], grammar)
        expect(want).not.toEqual(without)
        for (const [i, id] of want.entries()) expect(letsThrough(grammar.after(want.slice(0, i)), id)).toBe(true)
        await whole.free(a)
        await opened(whole, a, contextMax, sampling)
        expect(await penalised([whole], 16, want, [], grammar)).toEqual(want)
        const parts = [await make(0, 1), await make(1, layers)]
        for (const drafts of [[], want]) {
          for (const part of parts) await opened(part, a, contextMax, sampling)
          expect(await penalised(parts, 16, drafts, [], grammar)).toEqual(want)
          for (const part of parts) await part.free(a)
        }
      }
    })

    it('refuses steps without the masks that a session needs, and masks that are none', async () => {
      const engine = await opened(await make(), a, contextMax, { ...greedy, masked: true })
      await opened(engine, b)
      const mask = new ToyGrammar(vocab).after([])
      for (const [what, masks] of [
        ['none', undefined],
        ['too many', [mask, mask]],
        ['of fewer ids', [mask.subarray(1)]],
        ['that lets nothing through', [new Uint8Array(mask.length)]]
      ] as const) {
        expect((await failure(engine.run({ ...ids(0, prompt), masks }, { signal }))).name, what).toBe(
          'InvalidStepError'
        )
        expect(engine.length(a), what).toBe(0)
      }
      const others = { ...ids(0, prompt, b), masks: [mask] }
      expect((await failure(engine.run(others, { signal }))).name).toBe('InvalidStepError')
      const unsampled = { ...ids(0, prompt, a, false), masks: [mask] }
      expect((await failure(engine.run(unsampled, { signal }))).name).toBe('InvalidStepError')
      expect(letsThrough(mask, await token(engine, { ...ids(0, prompt), masks: [mask] }))).toBe(true)
    })

    it('tells of the same log-probabilities in one piece, in parts, and with drafts', async () => {
      const sampling = { ...greedy, logprobs: 3 }
      const whole = await opened(await make(), a, contextMax, sampling)
      const scores: unknown[] = []
      const want: number[] = []
      for (let feed = prompt, at = 0; want.length < 12; at = prompt.length + want.length - 1, feed = [want.at(-1)!]) {
        const out = await whole.run(ids(at, feed), { signal })
        if (out.kind !== 'tokens') throw new Error('nothing was drawn')
        want.push(...out.ids)
        scores.push(...out.scores!)
        expect(out.scores).toHaveLength(1)
        expect(out.scores![0]!.top).toHaveLength(3)
      }
      await whole.free(a)
      const parts = [await make(0, 1), await make(1, layers)]
      for (const pieces of [[whole], parts]) {
        for (const part of pieces) await opened(part, a, contextMax, sampling)
        const told: unknown[] = []
        expect(await penalised(pieces, 12, want, told)).toEqual(want)
        expect(told.slice(0, 12)).toEqual(scores)
        for (const part of pieces) await part.free(a)
      }
      await opened(whole)
      expect(await whole.run(ids(0, prompt), { signal })).not.toHaveProperty('scores')
    })

    it('tells of the same log-probabilities of a prompt, whatever steps it comes in, from where it is asked for on', async () => {
      const long = Array.from({ length: 150 }, (_, i) => (i * i + 3) % vocab)
      const sampling = { ...greedy, promptLogprobs: 2, promptTokens: long.length }
      // What is known of its beginning is computed all the same.
      const init = { tokensMax: contextMax, sampling, owner: 'somebody' }
      const told = async (parts: readonly Engine[], cuts: readonly number[], scoresFrom?: number) => {
        for (const part of parts) await part.open(a, init)
        const all: TokenScore[] = []
        let next: number | undefined
        for (const [i, end] of cuts.entries()) {
          const position = cuts[i - 1] ?? 0
          const text = Int32Array.from(long.slice(position, end))
          let input: StepInput = { kind: 'ids', ids: text }
          for (const part of parts) {
            const isTail = part.end === layers
            const beside = input.kind === 'hidden' && isTail ? { ids: text } : {}
            const asked = isTail && scoresFrom !== undefined ? { scoresFrom } : {}
            const sample = isTail && end === long.length
            const out: StepOutput = await part.run(
              { session: a, position, tokens: text.length, input, sample, ...beside, ...asked },
              { signal }
            )
            if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
            if (out.prompt === undefined) continue
            expect(out.prompt.position).toBe(next ?? out.prompt.position)
            next = out.prompt.position + out.prompt.scores.length
            all.push(...out.prompt.scores)
          }
        }
        for (const part of parts) await part.free(a)
        return { all, next }
      }
      const whole = [await make()]
      const want = await told(whole, [150], 0)
      expect(want.all).toHaveLength(149)
      expect(want.next).toBe(150)
      for (const cuts of [[150], [1, 2, 149, 150], [32, 64, 96, 128, 150]])
        expect(await told(whole, cuts, 0)).toEqual(want)
      const parts = [await make(0, 1), await make(1, layers)]
      expect(await told(parts, [128, 150], 0)).toEqual(want)
      expect((await told(whole, [70, 150], 100)).all).toEqual(want.all.slice(100))
      expect((await told(whole, [100, 150], 99)).all).toEqual(want.all.slice(99))
      expect((await told(parts, [128, 150])).all).toEqual([])
      expect((await told(whole, [150], 149)).all).toEqual([])
    })

    it('refuses sampling and lengths out of range', async () => {
      const engine = await make()
      for (const [what, tokensMax, sampling] of [
        ['no tokens', 0, greedy],
        ['more than the context', contextMax + 1, greedy],
        ['a fraction', 1.5, greedy],
        ['negative temperature', 10, { ...greedy, temperature: -1 }],
        ['infinite temperature', 10, { ...greedy, temperature: Number.POSITIVE_INFINITY }],
        ['topP 0', 10, { ...greedy, topP: 0 }],
        ['topP above 1', 10, { ...greedy, topP: 1.1 }],
        ['negative topK', 10, { ...greedy, topK: -1 }],
        ['a seed that is no integer', 10, { ...greedy, seed: 0.5 }],
        ['a presence penalty above 2', 10, { ...greedy, presencePenalty: 2.1 }],
        ['a frequency penalty that is no number', 10, { ...greedy, frequencyPenalty: Number.NaN }],
        ['a negative repetition penalty', 10, { ...greedy, repetitionPenalty: -1 }],
        ['a min-p above 1', 10, { ...greedy, minP: 2 }],
        ['log-probabilities of 21 tokens of the prompt', 10, { ...greedy, promptLogprobs: 21 }],
        ['log-probabilities of 21 tokens', 10, { ...greedy, logprobs: 21 }],
        ['a logit bias above 100', 10, { ...greedy, logitBias: { 1: 101 } }],
        ['a prompt of a fraction', 10, { ...greedy, promptTokens: 0.5 }]
      ] as const) {
        expect((await failure(engine.open(a, { tokensMax, sampling }))).name, what).toBe('InvalidStepError')
      }
      expect(engine.cacheBytesUsed).toBe(0)
    })

    it('keeps the cache of a session that is opened again', async () => {
      const engine = await opened(await make(), a, 64)
      const want = await generate(engine, 4)
      const used = engine.cacheBytesUsed
      await opened(engine, a, 64)
      expect(engine.cacheBytesUsed).toBe(used)
      expect(engine.length(a)).toBe(prompt.length + 3)
      expect(await token(engine, ids(prompt.length + 2, [want[2]!]))).toBe(want[3])
      expect((await failure(engine.open(a, { tokensMax: 65, sampling: greedy }))).name).toBe('InvalidStepError')
    })

    it('has the types of caches that it says, each with an answer of its own, and refuses others', async () => {
      const engine = await make()
      const { cacheTypes = ['f32'] } = engine
      for (const [i, cache] of (['f32', 'i8'] as const).entries()) {
        const session = [a, b][i]!
        if (!cacheTypes.includes(cache)) {
          const error = await failure(engine.open(session, { tokensMax: 64, sampling: greedy, cache }))
          expect([error.name, error.message]).toEqual(['InvalidStepError', 'this engine has caches of f32, not of i8'])
          continue
        }
        const before = engine.cacheBytesUsed
        await engine.open(session, { tokensMax: 64, sampling: greedy, cache })
        expect(engine.cacheBytesUsed - before).toBe(engine.cacheBytes(64, cache))
        const want = await generate(engine, 4, session)
        // In two parts: the hop before has the same type.
        const halves = [await make(0, 1), await make(1, layers)]
        for (const half of halves) await half.open(session, { tokensMax: 64, sampling: greedy, cache })
        const input = { kind: 'hidden', bytes: await hidden(halves[0]!, ids(0, prompt, session, false)) } as const
        expect(await token(halves[1]!, { ...ids(0, prompt, session), input })).toBe(want[0])
        const other = cache === 'f32' ? 'i8' : 'f32'
        if (!cacheTypes.includes(other)) continue
        const error = await failure(engine.open(session, { tokensMax: 64, sampling: greedy, cache: other }))
        expect(error.name).toBe('InvalidStepError')
      }
    })

    it('holds its cache budget', async () => {
      const one = (await make()).cacheBytes(100)
      expect(one).toBeGreaterThan(0)
      const engine = await make(0, layers, 2 * one)
      await opened(engine, a, 100)
      await opened(engine, b, 100)
      expect(engine.cacheBytesUsed).toBe(2 * one)
      const c = '0c'.repeat(16) as SessionId
      const error = await failure(engine.open(c, { tokensMax: 100, sampling: greedy }))
      expect(error.name).toBe('NoRoomError')
      expect(error.message).toContain(String(one))
      await engine.free(a)
      expect([engine.cacheBytesUsed, engine.length(a)]).toEqual([one, undefined])
      await opened(engine, c, 100)
      await engine.free(c)
      await engine.free(c)
      await engine.free(b)
      expect(engine.cacheBytesUsed).toBe(0)
    })

    it('charges the last layers with the ids that they hold to draw by, where there are penalties', async () => {
      const one = (await make()).cacheBytes(100)
      const ids = 4 * 100
      const engine = await make(0, layers, 2 * one + ids)
      const sampling = { ...greedy, presencePenalty: 1 }
      await opened(engine, a, 100, sampling)
      expect(engine.cacheBytesUsed).toBe(one + ids)
      expect((await failure(engine.open(b, { tokensMax: 100, sampling }))).name).toBe('NoRoomError')
      await opened(engine, b, 100)
      await engine.free(a)
      expect(engine.cacheBytesUsed).toBe(one)
      const head = await opened(await make(0, 1), a, 100, sampling)
      expect(head.cacheBytesUsed).toBe(head.cacheBytes(100))
    })

    it('opens a freed session empty', async () => {
      const engine = await opened(await make())
      await token(engine, ids(0, prompt))
      await engine.free(a)
      expect((await failure(engine.run(ids(0, [1]), { signal }))).name).toBe('InvalidStepError')
      await opened(engine)
      expect(engine.length(a)).toBe(0)
      expect((await failure(engine.run(ids(1, [1]), { signal }))).name).toBe('CacheGapError')
    })

    it('does not start an aborted step, and completes a started one', async () => {
      const engine = await opened(await make())
      const reason = new Error('the caller left')
      expect(await failure(engine.run(ids(0, prompt), { signal: AbortSignal.abort(reason) }))).toBe(reason)
      expect(engine.length(a)).toBe(0)
      const abort = new AbortController()
      const steps = [ids(0, prompt), ids(prompt.length, [1]), ids(prompt.length + 1, [2])]
      const results = Promise.allSettled(steps.map(step => engine.run(step, { signal: abort.signal })))
      abort.abort(reason)
      const done = (await results).filter(result => {
        if (result.status === 'rejected') expect(result.reason).toBe(reason)
        return result.status === 'fulfilled'
      })
      const lengths = [0, prompt.length, prompt.length + 1, prompt.length + 2]
      expect(engine.length(a)).toBe(lengths[done.length])
      await token(engine, ids(0, prompt))
    })

    it('takes nothing more once closed', async () => {
      const engine = await opened(await make())
      const running = engine.run(ids(0, prompt), { signal })
      await Promise.all([engine.close(), engine.close()])
      expect((await running).kind).toBe('tokens')
      expect(engine.cacheBytesUsed).toBe(0)
      expect((await failure(engine.run(ids(prompt.length, [1]), { signal }))).name).toBe('EngineError')
      expect((await failure(engine.open(b, { tokensMax: 10, sampling: greedy }))).name).toBe('EngineError')
      await engine.free(a)
    })
  })
}
