/**
 * What every engine must do for sessions that begin alike (rule S35): it computes their beginning once, the bits are the same,
 * nobody else's are shared, and what is kept is in nobody's way. Run with the suite in `engine.ts`.
 */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import { type Engine, edgeSize, type Sampling, type StepInput, type StepOutput } from '../../src/engine/engine.ts'
import type { EngineSubject } from './engine.ts'

const sampling: Sampling = { temperature: 0.9, topP: 0.95, topK: 0, seed: 11 }
const signal = new AbortController().signal
/** Longer than two blocks. */
const length = 300

interface Run {
  readonly owner?: string
  readonly chunks?: readonly number[]
  readonly text?: readonly number[]
}

/** What a session gave: bytes or tokens, and how much of it was known. */
interface Given {
  readonly bytes: string
  readonly tokens: readonly number[]
  readonly reused: number
}

export function prefixCompliance(name: string, subject: EngineSubject): void {
  const { layers, vocab, contextMax } = subject
  const prompt = Array.from({ length }, (_, i) => (i * i * 5 + 3 * i) % vocab)
  const other = [...prompt.slice(0, 128), ...prompt.slice(128).map(id => (id + 1) % vocab)]
  const made: Engine[] = []
  let sessions = 0

  const make = async (start: number, end: number, cacheBytesMax = 1 << 26): Promise<Engine> => {
    const engine = await subject.make({ start, end, cacheBytesMax })
    made.push(engine)
    return engine
  }
  const next = (): SessionId => (++sessions).toString(16).padStart(32, '0') as SessionId
  const inputOf = (engine: Engine, rows: StepInput, from: number, to: number): StepInput => {
    if (rows.kind === 'ids') return { kind: 'ids', ids: rows.ids.slice(from, to) }
    const row = engine.hidden * edgeSize(engine.edge)
    return { kind: 'hidden', bytes: rows.bytes.slice(from * row, to * row) }
  }
  const feed = async (
    engine: Engine,
    session: SessionId,
    rows: StepInput,
    [from, to]: readonly [number, number]
  ): Promise<StepOutput> =>
    engine.run(
      {
        session,
        position: from,
        tokens: to - from,
        input: inputOf(engine, rows, from, to),
        sample: engine.end === layers && to === length
      },
      { signal }
    )
  const run = async (engine: Engine, rows: StepInput, { owner, chunks = [128] }: Run, session = next()) => {
    await engine.open(session, { tokensMax: contextMax, sampling, owner })
    const bytes: Uint8Array[] = []
    const tokens: number[] = []
    let reused = 0
    for (let at = 0, i = 0; at < length; i++) {
      const to = Math.min(length, at + chunks[i % chunks.length]!)
      const out = await feed(engine, session, rows, [at, to])
      reused += out.reused
      if (out.kind === 'hidden') bytes.push(out.bytes)
      if (out.kind === 'tokens') tokens.push(...out.ids)
      at = to
    }
    expect(engine.length(session)).toBe(length)
    return { bytes: Buffer.concat(bytes).toString('hex'), tokens, reused } satisfies Given
  }
  const ids = (text: readonly number[]): StepInput => ({ kind: 'ids', ids: Int32Array.from(text) })
  /** A head, the rest, and all of it in one, each with what it is fed. */
  const three = async (text = prompt): Promise<[Engine, StepInput][]> => {
    const head = await make(0, 1)
    const session = next()
    await head.open(session, { tokensMax: contextMax, sampling })
    const out = await feed(head, session, ids(text), [0, length])
    await head.free(session)
    if (out.kind !== 'hidden') throw new Error('a head gives hidden states')
    return [
      [head, ids(text)],
      [await make(1, layers), { kind: 'hidden', bytes: out.bytes }],
      [await make(0, layers), ids(text)]
    ]
  }
  /** In whole blocks of 128. */
  const known = 256

  describe(`${name} with sessions that begin alike`, { timeout: 120_000 }, () => {
    afterEach(async () => {
      await Promise.all(made.splice(0).map(engine => engine.close()))
    })

    it("computes once what one owner's sessions begin with, and gives the same bits", async () => {
      for (const [engine, rows] of await three()) {
        const { reused: _, ...want } = await run(engine, rows, {})
        expect(await run(engine, rows, { owner: 'me' })).toEqual({ ...want, reused: 0 })
        expect(await run(engine, rows, { owner: 'me' })).toEqual({ ...want, reused: known })
        expect(engine.prefixes.reused).toBe(known)
        for (const chunks of [[256, 44], [length], [128, 100, 28, 44], [1, 127, 172], [7]]) {
          expect(await run(engine, rows, { owner: 'me', chunks }), `${chunks}`).toMatchObject(want)
        }
      }
    })

    it('computes once what several sessions begin with at the same time, beside one that answers', async () => {
      for (const [engine, rows] of await three()) {
        const { reused: _, ...want } = await run(engine, rows, {})
        // Others that answer have long steps computed in parts.
        const answering = next()
        await engine.open(answering, { tokensMax: contextMax, sampling })
        const all = Promise.all([1, 2, 3, 4].map(() => run(engine, rows, { owner: 'me' })))
        let isOver = false
        void all.then(() => (isOver = true))
        for (let at = 0; !isOver && at < length; at++) await feed(engine, answering, rows, [at, at + 1])
        const seen = await all
        expect(seen.map(({ reused: __, ...given }) => given)).toEqual([want, want, want, want])
        expect(seen.reduce((sum, { reused }) => sum + reused, 0)).toBe(3 * known)
      }
    })

    it('keeps beginnings that came in any pieces', async () => {
      for (const [engine, rows] of await three()) {
        const { reused: _, ...want } = await run(engine, rows, {})
        expect(await run(engine, rows, { owner: 'me', chunks: [1, 50, 77, 3] })).toEqual({ ...want, reused: 0 })
        expect(await run(engine, rows, { owner: 'me' })).toEqual({ ...want, reused: known })
      }
    })

    it('shares nothing with others, nor with sessions of nobody', async () => {
      for (const [engine, rows] of await three()) {
        await run(engine, rows, { owner: 'me' })
        for (const owner of ['you', undefined]) {
          expect(await run(engine, rows, owner === undefined ? {} : { owner })).toMatchObject({ reused: 0 })
        }
      }
    })

    it('goes on alone from the block on in which a beginning differs', async () => {
      const [first, second] = [await three(), await three(other)]
      for (const [i, [engine, rows]] of first.entries()) {
        const [alone, others] = second[i]!
        await run(engine, rows, { owner: 'me' })
        const { reused: _, ...want } = await run(alone, others, {})
        expect(await run(engine, others, { owner: 'me' })).toEqual({ ...want, reused: known / 2 })
      }
    })

    it('computes the row after which a token is drawn, whatever is known', async () => {
      for (const [engine, rows] of (await three()).slice(1)) {
        const { reused: _, ...want } = await run(engine, rows, {})
        await run(engine, rows, { owner: 'me' })
        const session = next()
        await engine.open(session, { tokensMax: contextMax, sampling, owner: 'me' })
        const step = { session, position: 0, tokens: 256, input: inputOf(engine, rows, 0, 256) }
        const whole = await engine.run({ ...step, sample: true }, { signal })
        expect(whole).toMatchObject({ kind: 'tokens', reused: known - 1 })
        const rest = await feed(engine, session, rows, [256, length])
        expect(rest).toMatchObject({ kind: 'tokens', ids: want.tokens })
      }
    })

    it('leaves to others what one session takes back and writes anew', async () => {
      const [first, second] = [await three(), await three(other)]
      for (const [i, [engine, rows]] of first.entries()) {
        const [, others] = second[i]!
        const { reused: _, ...want } = await run(engine, rows, {})
        await run(engine, rows, { owner: 'me' })
        const [one, two] = [next(), next()]
        expect(await run(engine, rows, { owner: 'me' }, one)).toMatchObject({ ...want, reused: known })
        expect(await run(engine, rows, { owner: 'me' }, two)).toMatchObject({ ...want, reused: known })
        // Into the middle of the first block, and of the second.
        await feed(engine, one, others, [60, length])
        await feed(engine, two, others, [200, length])
        expect(await run(engine, rows, { owner: 'me' })).toEqual({ ...want, reused: known })
        const last = await feed(engine, one, rows, [10, length])
        if (last.kind === 'tokens') expect(last.ids).toEqual(want.tokens)
        await engine.free(one)
        await engine.free(two)
        expect(await run(engine, rows, { owner: 'me' })).toEqual({ ...want, reused: known })
      }
    })

    it('has what is kept give way to sessions, and to less memory', async () => {
      const one = (await make(0, layers)).cacheBytes(contextMax)
      // Room for two sessions, and nothing beside them.
      const engine = await make(0, layers, 2 * one)
      const rows = ids(prompt)
      const session = next()
      await run(engine, rows, { owner: 'me' }, session)
      await engine.free(session)
      expect(engine.prefixes.bytes).toBeGreaterThan(0)
      expect(engine.cacheBytesUsed).toBe(0)
      expect(engine.prefixes.bytes).toBeLessThanOrEqual(2 * one)
      const [second, third] = [next(), next()]
      await engine.open(second, { tokensMax: contextMax, sampling, owner: 'me' })
      await engine.open(third, { tokensMax: contextMax, sampling, owner: 'me' })
      for (const each of [second, third]) {
        for (let at = 0; at < contextMax; at += 64) {
          const text = Array.from({ length: Math.min(64, contextMax - at) }, (_, i) => (at + i * 3 + 1) % vocab)
          await engine.run(
            { session: each, position: at, tokens: text.length, input: ids(text), sample: false },
            { signal }
          )
        }
      }
      expect(engine.cacheBytesUsed).toBe(2 * one)
      engine.cacheBytesMax = 0
      await vi.waitFor(() => expect(engine.prefixes.bytes).toBe(0), 5_000)
      expect(engine.length(second)).toBe(contextMax)
    })
  })
}
