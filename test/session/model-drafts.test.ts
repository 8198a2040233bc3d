/** When a draft model is asked, for how many tokens, and how long a step waits for them: the decider alone, over times that it is told. */
import { describe, expect, test } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { stepDraftsMax } from '../../src/engine/limits.ts'
import { DraftGain } from '../../src/session/draft-gain.ts'
import { modelKind, type Proposal } from '../../src/session/drafter.ts'
import type { DraftAsk } from '../../src/session/event.ts'
import { draftLagTokens, draftLapsFirst, draftPlainLaps, draftTrialLaps } from '../../src/session/limits.ts'
import { ModelDrafts } from '../../src/session/model-drafts.ts'
import { Speculation } from '../../src/session/speculation.ts'
import type { PeerId } from '../../src/base/ids.ts'

const lapMs = 100

function kit({ tokenMs = 2, contextMax = 1000, tokensMax = 1000 } = {}) {
  const gain = new DraftGain()
  const asks: DraftAsk[] = []
  const model = new ModelDrafts({ contextMax, tokenMs, vocab: 500, tokensMax, gain, ask: ask => asks.push(ask) })
  for (let i = 0; i < draftLapsFirst; i++) gain.lap(0, lapMs)
  return { gain, asks, model, ask: () => asks.at(-1)! }
}

const text = (length: number): number[] => Array.from({ length }, (_, i) => i % 100)

/** Has it read a text, and said something else than what comes. */
function read(model: ModelDrafts, length: number): void {
  model.drafted({ length, ids: [499] }, text(length), 0)
}

describe('a draft model', () => {
  test('is waited for twice as long as it should take, and the step goes as soon as it has answered', () => {
    const { model, ask, asks } = kit()
    read(model, 19)
    expect(model.best(text(20), stepDraftsMax).drafts).toBeGreaterThan(0)
    const drafts = 3
    expect(model.take(text(20), drafts, 1000)).toBeUndefined()
    expect(ask()).toMatchObject({ length: 20, count: drafts })
    expect(ask().waitMs).toBeCloseTo(2 * 2 * drafts + 1, 6)
    const ids = [7, 8, 9]
    expect(model.drafted({ length: 20, ids: ids.slice(0, -1) }, text(20), 1001)).toBeUndefined()
    expect(model.drafted({ length: 20, ids }, text(20), 1002)).toEqual(ids)
    // It is too late to be late, and all of them being right is not likely yet: nothing is computed ahead.
    expect(model.late(20, text(20), 1003)).toBeUndefined()
    expect(asks).toHaveLength(1)
  })

  test('that is late has the step go with what there is, and is trusted less: an outlier ends nothing, a habit does', () => {
    const { model } = kit()
    read(model, 19)
    const gains = [model.best(text(20), 4).gain]
    for (let length = 20; length < 60; length++) {
      const { drafts, gain } = model.best(text(length), 4)
      if (drafts === 0) break
      gains.push(gain)
      expect(model.take(text(length), 2, 0)).toBeUndefined()
      if (length === 20) model.drafted({ length, ids: [5] }, text(length), 1)
      // It would have been 10 s.
      expect(model.late(length, text(length), 10_000)).toEqual(length === 20 ? [5] : [])
      read(model, length)
    }
    // Half of three times as long is added each time: 2 ms a token are 4, 8, 16, 32 and then too much.
    expect(gains.length).toBeGreaterThan(2)
    expect(gains.length).toBeLessThan(8)
    expect(gains[2]).toBeGreaterThan(1.1)
    expect(model.best(text(60), 4).drafts).toBe(0)
  })

  test('works ahead where all of its drafts are likely to be right, and what comes true is there at once', () => {
    const { model, gain, ask, asks } = kit()
    for (let i = 0; i < 60; i++) gain.seen(modelKind, 1, false)
    read(model, 19)
    expect(model.take(text(20), 3, 0)).toBeUndefined()
    expect(model.drafted({ length: 20, ids: [1, 2, 3] }, text(20), 5)).toEqual([1, 2, 3])
    expect(ask()).toMatchObject({ length: 20, count: 7, waitMs: undefined })
    model.drafted({ length: 20, ids: [1, 2, 3, 4, 5, 6, 7] }, text(20), 20)
    const known = asks.length
    expect(model.take([...text(20), 1, 2, 3, 4], 3, 100)).toEqual([5, 6, 7])
    expect(asks.length).toBe(known + 1)
    expect(model.after([...text(20), 1, 2, 9])).toEqual([])
  })

  test('that has much to read catches up beside the laps, if the rest of the answer is worth that', () => {
    const { model, ask } = kit()
    const { drafts } = model.best(text(draftLagTokens + 1), 4)
    expect(model.take(text(draftLagTokens + 1), drafts, 0)).toEqual([])
    expect(ask()).toMatchObject({ length: draftLagTokens + 1, waitMs: undefined })
    // 900 tokens to read for 2 laps that are left.
    expect(kit({ tokensMax: 902 }).model.best(text(900), 2).drafts).toBe(0)
    expect(kit({ tokensMax: 1000 }).model.best(text(100), 2).drafts).toBeGreaterThan(0)
  })

  test('of which nothing is expected is looked at now and then, if that is cheap', () => {
    const { model, gain, asks } = kit()
    for (let i = 0; i < 10; i++) gain.seen(modelKind, 0, true)
    read(model, 19)
    for (let lap = 0; lap < 2 * draftTrialLaps; lap++) {
      expect(model.best(text(20), stepDraftsMax).drafts).toBe(0)
      model.look(text(20), lap * lapMs)
      model.came(text(20), [1])
    }
    expect(asks.map(({ count, waitMs }) => [count, waitMs])).toEqual([[1, undefined]])
    const slow = kit({ tokenMs: 200 })
    for (let lap = 0; lap < 100; lap++) {
      slow.model.look(text(20), lap * lapMs)
      slow.model.came(text(20), [1])
    }
    expect(slow.asks).toEqual([])
  })

  test('says nothing beyond its context, nor an id that the other model has not', () => {
    const { model, ask } = kit({ contextMax: 22 })
    read(model, 19)
    expect(model.take(text(20), 2, 0)).toBeUndefined()
    expect(ask().count).toBe(2)
    expect(model.drafted({ length: 20, ids: [3, 500] }, text(20), 1)).toEqual([3])
    expect(model.best(text(22), 4).drafts).toBe(0)
  })
})

describe('text and model', () => {
  /** Laps of 100 ms, in which both propose all tokens; the text's are right and so are the model's, by turns of 40. */
  test('each drafts where it gains more', () => {
    const proposal = (ids: readonly number[]): Proposal => ({ ids: [ids.length % 400], kind: 4 })
    const asks: DraftAsk[] = []
    const speculation = new Speculation({
      self: 'D' as PeerId,
      drafter: { propose: proposal },
      draftModel: { contextMax: 10_000, tokenMs: 1 },
      knowsDrafts: () => true,
      tokensMax: 10_000,
      vocab: 500,
      ask: ask => asks.push(ask)
    })
    speculation.begins([{ peer: 'A' as PeerId, start: 0, end: 6 }])
    const ids = text(20)
    let nowMs = 0
    let fromModel = 0
    for (let lap = 0; lap < 200; lap++) {
      let drafts = speculation.next(ids, nowMs)
      const ask = asks.splice(0).at(-1)
      // What it says is what the text's proposals are, as many as it is asked for.
      const said = (count: number): number[] => Array.from({ length: count }, (_, i) => (ids.length + i) % 400)
      if (ask !== undefined) {
        const gone = speculation.heard({ kind: 'drafted', length: ids.length, ids: said(ask.count) }, ids, nowMs + 1)
        drafts ??= gone
      }
      expect(drafts).toBeDefined()
      if (drafts!.length > 1) fromModel++
      nowMs += 100
      const next = said(drafts!.length + 1)
      speculation.came(ids, next, { drafts: drafts!, ms: 100 })
      ids.push(...next)
    }
    // The text proposes one token, the model seven.
    expect(fromModel).toBeGreaterThan(150)
    expect(fromModel).toBeLessThan(200 - 200 / draftPlainLaps)
  })
})

/** How many times as fast an answer of 1,000 tokens is over laps of 100 ms, each draft `moreMs` more, with a model of `tokenMs` that is right by `share`. */
function speedup({
  tokenMs,
  moreMs,
  share,
  seed
}: {
  tokenMs: number
  moreMs: number
  share: number
  seed: number
}): number {
  const random = seeded(seed)
  const ids = text(100)
  let nowMs = 0
  /** What the model is asked, since when it is at it, and what it has said of that. */
  let job: { ask: DraftAsk; fromMs: number; said: number[] } | undefined
  let [read, busyMs, chain, chainFrom] = [0, 0, [] as number[], 0]
  const speculation = new Speculation({
    self: 'D' as PeerId,
    drafter: { propose: () => undefined },
    draftModel: { contextMax: 10_000, tokenMs },
    knowsDrafts: () => true,
    tokensMax: 1_100,
    vocab: 500,
    ask: ask => {
      const known = ask.length - chainFrom
      const isTrue = known >= 0 && chain.every((id, i) => i >= known || id === ids[chainFrom + i])
      chain = isTrue ? chain.slice(known) : []
      chainFrom = ask.length
      // What it reads it reads to the end, whatever it is asked meanwhile.
      busyMs = Math.max(nowMs, busyMs) + 0.3 * Math.max(0, ask.length - read - 1) * tokenMs
      read = ask.length
      job = { ask, fromMs: busyMs, said: chain }
    }
  })
  /** The token at a position, and what the model takes it for. */
  const right = (at: number): number => (at * 7) % 400
  const guess = (at: number): number => (random() < share ? right(at) : 499)
  /** Tokens that the model has said by then, one event each; the drafts of a step that has waited for them. */
  const hear = (untilMs: number): readonly number[] | undefined => {
    for (let sent: readonly number[] | undefined; job !== undefined && job.said.length < job.ask.count; ) {
      const { ask, said, fromMs } = job
      if (fromMs + tokenMs > untilMs) return undefined
      job.fromMs += tokenMs
      said.push(guess(ask.length + said.length))
      sent = speculation.heard({ kind: 'drafted', length: ask.length, ids: [...said] }, ids, job.fromMs)
      if (sent !== undefined) {
        nowMs = Math.max(nowMs, fromMs + tokenMs)
        return sent
      }
    }
    return undefined
  }
  speculation.begins([{ peer: 'A' as PeerId, start: 0, end: 6 }])
  while (ids.length < 1_100) {
    let drafts = speculation.next(ids, nowMs)
    if (drafts === undefined) {
      const lateMs = nowMs + job!.ask.waitMs!
      drafts = hear(lateMs)
      if (drafts === undefined) {
        nowMs = lateMs
        drafts = speculation.heard({ kind: 'draft-late', length: ids.length }, ids, nowMs)!
      }
    }
    const ms = (100 + drafts.length * moreMs) * (0.9 + 0.2 * random())
    hear(nowMs + ms)
    nowMs += ms
    let n = 0
    while (n < drafts.length && drafts[n] === right(ids.length + n)) n++
    const next = [...drafts.slice(0, n), right(ids.length + n)]
    speculation.came(ids, next, { drafts, ms })
    ids.push(...next)
  }
  return (1_000 * 100) / nowMs
}

test('a draft model is never at a loss of more than 5 %, whatever it takes and however often it is right', () => {
  for (const tokenMs of [0.1, 1, 5, 20, 60, 200]) {
    for (const moreMs of [1, 10, 30, 100]) {
      for (let share = 0; share <= 1; share += 0.2) {
        const factor = speedup({ tokenMs, moreMs, share, seed: Math.round(1 + tokenMs + moreMs) })
        expect(factor, `${tokenMs} ms a token, ${moreMs} ms a draft, right by ${share}`).toBeGreaterThan(0.95)
      }
    }
  }
  expect(speedup({ tokenMs: 1, moreMs: 1, share: 0.8, seed: 1 })).toBeGreaterThan(3)
  expect(speedup({ tokenMs: 10, moreMs: 10, share: 0.8, seed: 1 })).toBeGreaterThan(1.5)
})
