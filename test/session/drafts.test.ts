/** Drafts: what proposes them, when they are sent, and what a session makes of what comes back. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import type { ModelId, PeerId, SessionId } from '../../src/base/ids.ts'
import { stepDraftsMax } from '../../src/engine/limits.ts'
import { DraftGain } from '../../src/session/draft-gain.ts'
import type { Drafter } from '../../src/session/drafter.ts'
import type { SessionEffect, SessionEvent } from '../../src/session/event.ts'
import { draftLapsFirst, draftPlainLaps, draftTrialLaps, indexedTokensMax } from '../../src/session/limits.ts'
import { NGrams } from '../../src/session/n-grams.ts'
import { Session } from '../../src/session/session.ts'
import { stopAt } from '../../src/session/stop.ts'
import type { StepFrame } from '../../src/stage/frame.ts'
import { signerOf } from '../../sim/cast.ts'

describe('n-grams', () => {
  test('propose what followed the last time, after the longest passage that is the same', () => {
    const text = [1, 2, 3, 4, 50, 9, 3, 4, 60, 9, 1, 2, 3, 4]
    expect(new NGrams(100).propose(text, 2)).toEqual({ ids: [50, 9], kind: 2 })
    expect(new NGrams(100).propose([...text.slice(0, 10), 7, 8, 3, 4], 3)).toEqual({ ids: [60, 9, 7], kind: 0 })
  })

  test('have no idea of what is new', () => {
    expect(new NGrams(100).propose([1, 2, 3, 4, 5, 6], 3)).toBeUndefined()
    expect(new NGrams(100).propose([1], 3)).toBeUndefined()
  })

  test('go on repeating what repeats itself, the surer the longer it has', () => {
    const text = Array.from({ length: 30 }, (_, i) => i % 3)
    expect(new NGrams(100).propose(text, 7)).toEqual({ ids: [0, 1, 2, 0, 1, 2, 0], kind: 4 })
    expect(new NGrams(100).propose(text.slice(0, 6), 4)).toEqual({ ids: [0, 1, 2, 0], kind: 1 })
  })

  test('find the same whether a text came at once or token by token, and are right about what they found', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 200 }), text => {
        const slowly = new NGrams(256)
        let last: ReturnType<Drafter['propose']>
        for (let n = 1; n <= text.length; n++) last = slowly.propose(text.slice(0, n), 5)
        expect(new NGrams(256).propose(text, 5)).toEqual(last)
        if (last === undefined) return
        // It stands there, after the same two tokens at least.
        const found = [...text, ...last.ids]
        const [a, b] = text.slice(-2)
        expect(text.some((_, i) => i > 1 && text[i - 2] === a && text[i - 1] === b && found[i] === last.ids[0])).toBe(
          true
        )
      })
    )
  })

  test('take a long prompt in bit by bit', () => {
    const prompt = Array.from({ length: 3 * indexedTokensMax }, (_, i) => i)
    prompt.push(...prompt.slice(2 * indexedTokensMax, 2 * indexedTokensMax + 4))
    const nGrams = new NGrams(2 * prompt.length)
    expect(nGrams.propose(prompt, 1)).toBeUndefined()
    expect(nGrams.propose(prompt, 1)).toBeUndefined()
    expect(nGrams.propose(prompt, 1)).toMatchObject({ ids: [2 * indexedTokensMax + 4] })
  })
})

/** Laps that take `plainMs`, and each draft `moreMs` more; drafts of `kind` are right by `share`. */
function laps(
  count: number,
  {
    plainMs = 100,
    moreMs,
    share,
    kind = 2,
    seed = 1
  }: { plainMs?: number; moreMs: number; share: number; kind?: number; seed?: number },
  gain = new DraftGain()
): { tokens: number; ms: number; drafts: number[] } {
  const random = seeded(seed)
  const sum = { tokens: 0, ms: 0, drafts: [] as number[] }
  for (let i = 0; i < count; i++) {
    const drafts = gain.count(kind, stepDraftsMax)
    let right = 0
    while (right < Math.max(1, drafts) && random() < share) right++
    // Links and processors vary.
    const ms = (plainMs + drafts * moreMs) * (0.9 + 0.2 * random())
    gain.lap(drafts, ms)
    gain.seen(kind, right, right < Math.max(1, drafts))
    sum.tokens += 1 + Math.min(right, drafts)
    sum.ms += ms
    sum.drafts.push(drafts)
  }
  return sum
}

describe('how many drafts', () => {
  const speedup = (init: Parameters<typeof laps>[1], count = 400): number => {
    const { tokens, ms } = laps(count, init)
    return (tokens / ms) * (init.plainMs ?? 100)
  }

  test('none before it is known what a lap takes', () => {
    const { drafts } = laps(draftLapsFirst + 1, { moreMs: 0, share: 1 })
    expect(drafts.slice(0, -1)).toEqual(new Array<number>(draftLapsFirst).fill(0))
    expect(drafts.at(-1)).toBeGreaterThan(0)
  })

  test('as many as there may be where they are right and the way is long', () => {
    const { drafts } = laps(400, { moreMs: 1, share: 1 })
    expect(drafts.filter(count => count === stepDraftsMax).length).toBeGreaterThan(380)
    expect(drafts.filter(count => count === 0).length).toBeGreaterThanOrEqual(400 / (draftPlainLaps + 2))
    expect(speedup({ moreMs: 1, share: 1 })).toBeGreaterThan(6)
  })

  test('few where each costs and few are right', () => {
    const { drafts } = laps(400, { moreMs: 20, share: 0.6 })
    const mean = drafts.reduce((sum, count) => sum + count) / drafts.length
    expect(mean).toBeGreaterThan(1)
    expect(mean).toBeLessThan(4)
    expect(speedup({ moreMs: 20, share: 0.6 })).toBeGreaterThan(1.3)
  })

  test('one in so many laps where they are seldom right, and none where they never are', () => {
    const { drafts } = laps(400, { moreMs: 100, share: 0.15 })
    expect(drafts.slice(40).filter(count => count > 0).length).toBeLessThanOrEqual(360 / draftTrialLaps)
    expect(laps(400, { moreMs: 100, share: 0 }).drafts.slice(60)).toEqual(new Array<number>(340).fill(0))
  })

  test('never at a loss of more than 5 %, whatever they cost and however often they are right', () => {
    for (let moreMs = 0; moreMs <= 100; moreMs += 5) {
      for (let share = 0; share < 1; share += 0.1) {
        for (const kind of [0, 2, 4]) {
          expect(speedup({ moreMs, share, kind, seed: moreMs + 1 }, 1000), `${moreMs} ms, ${share}`).toBeGreaterThan(
            0.95
          )
        }
      }
    }
  })

  test('other ones when the text changes, and when the route does', () => {
    const gain = new DraftGain()
    laps(100, { moreMs: 1, share: 1 }, gain)
    expect(laps(60, { moreMs: 30, share: 0 }, gain).drafts.slice(-20)).toEqual(new Array<number>(20).fill(0))
    expect(laps(60, { moreMs: 1, share: 1 }, gain).drafts.at(-1)).toBe(stepDraftsMax)
    gain.begins()
    expect(laps(draftLapsFirst, { moreMs: 1, share: 1 }, gain).drafts).toEqual([0, 0, 0])
  })
})

const peer = (name: string): PeerId => `12D3KooW${name}` as PeerId
const names = ['A', 'B', 'C'] as const
const route = names.map((name, i) => ({ peer: peer(name), start: i, end: i + 1 }))

/** A session of three hops, whose tail answers with the next even numbers; laps take `lapMs`. */
class Kit {
  readonly session: Session
  nowMs = 0
  effects: SessionEffect[] = []

  constructor({
    promptIds = [10],
    maxTokens = 100,
    eosIds = [] as number[],
    knows = (_: PeerId): boolean => true,
    proposes = 4 as number
  } = {}) {
    const drafter: Drafter = {
      propose: (ids, count) => ({
        ids: Array.from({ length: Math.min(count, proposes) }, (_, i) => ids.at(-1)! + 2 + 2 * i),
        kind: 4
      })
    }
    this.session = new Session({
      self: peer('D'),
      sign: signerOf(peer('D')),
      session: '0f'.repeat(16) as SessionId,
      model: 'cd'.repeat(32) as ModelId,
      vocab: 1000,
      promptIds,
      tokensMax: promptIds.length + maxTokens,
      sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 },
      drafter,
      knowsDrafts: knows,
      stop: stopAt({ eosIds, maxTokens })
    })
    this.do({ kind: 'start' }).do({ kind: 'routed', route }, { kind: 'connected', epoch: 0 })
  }

  do(...events: SessionEvent[]): this {
    this.effects = events.flatMap(event => this.session.handle(event, this.nowMs))
    return this
  }

  /** 100 ms later. */
  tokens(position: number, ids: readonly number[], epoch = 0): this {
    this.nowMs += 100
    return this.do({ kind: 'tokens', epoch, position, ids })
  }

  /** Tokens at [from, to), one a lap. */
  plainly(from: number, to: number): this {
    for (let at = from; at < to; at++) this.tokens(at, [10 + 2 * at])
    return this
  }

  get step(): StepFrame | undefined {
    return this.effects.flatMap(each => (each.kind === 'send' && each.frame.kind === 'step' ? [each.frame] : [])).at(-1)
  }

  get told(): unknown[] {
    return this.effects.flatMap(each => (each.kind === 'output' ? [each.output] : []))
  }
}

describe('S32: a session', () => {
  test('sends drafts with the last token, takes what was right, and goes on behind it', () => {
    const kit = new Kit().plainly(1, 5)
    expect(kit.step).toMatchObject({ position: 4, tokens: 5, sample: true, drafts: [20, 22, 24, 26] })
    expect([...(kit.step!.input as { ids: Int32Array }).ids]).toEqual([18, 20, 22, 24, 26])
    kit.tokens(5, [20, 22, 31])
    expect(kit.told).toMatchObject([
      { kind: 'token', id: 20, position: 5 },
      { kind: 'token', id: 22, position: 6 },
      { kind: 'token', id: 31, position: 7 }
    ])
    // One was wrong: they are less sure.
    expect(kit.step).toMatchObject({ position: 7, tokens: 4, drafts: [33, 35, 37] })
    expect(kit.tokens(8, [33, 35, 37, 39]).step).toMatchObject({ position: 11, drafts: [41, 43, 45, 47] })
  })

  test.each<[string, number, number[]]>([
    ['more than the drafts and one', 5, [20, 22, 24, 26, 28, 30]],
    ['what the vocabulary does not have', 5, [20, 1000]],
    ['a position that is not awaited', 6, [22]],
    ['nothing', 5, []]
  ])('charges the tail that sends %s', (_, position, ids) => {
    const kit = new Kit().plainly(1, 5).tokens(position, ids)
    expect(kit.effects).toMatchObject([
      { kind: 'violation', remote: peer('C'), violation: 'invalid' },
      { kind: 'hang-up' },
      { kind: 'output', output: { kind: 'lost', peer: peer('C'), charged: true } },
      { kind: 'route' }
    ])
  })

  test('charges nobody for other drafts than were sent, which any hop may have changed, and proposes none any more', () => {
    const kit = new Kit().plainly(1, 5).tokens(5, [20, 23, 24])
    expect(kit.effects).toMatchObject([{ kind: 'hang-up' }, { kind: 'route', excluded: new Set() }])
    kit.do({ kind: 'routed', route }, { kind: 'connected', epoch: 1 })
    const terms = kit.effects.flatMap(each =>
      each.kind === 'send' && each.frame.kind === 'open' ? [each.frame.terms] : []
    )
    expect(terms).toMatchObject([{ epoch: 1 }])
    expect(terms[0]!.needs).toBeUndefined()
  })

  test('ends in the middle of what came where the answer does', () => {
    const kit = new Kit({ eosIds: [22] }).plainly(1, 5).tokens(5, [20, 22, 24])
    expect(kit.told).toMatchObject([
      { kind: 'token', id: 20, stop: undefined },
      { kind: 'token', id: 22, stop: 'eos' }
    ])
    expect(kit.step).toBeUndefined()
    kit.do({ kind: 'frame', epoch: 0, frame: { kind: 'closed', hops: [] } })
    expect(kit.told).toMatchObject([{ kind: 'end', outcome: { stop: 'eos' }, drafts: { proposed: 4, taken: 2 } }])
  })

  test('proposes no more than the answer may have, nor beyond the end of a block', () => {
    const kit = new Kit({ maxTokens: 7 }).plainly(1, 5)
    // Tokens 5 to 7 are missing: two drafts and one.
    expect(kit.step!.drafts).toHaveLength(2)
    expect(kit.tokens(5, [20, 22, 24]).told.at(-1)).toMatchObject({ stop: 'length' })
    const promptIds = Array.from({ length: 122 }, (_, i) => 2 * i)
    const other = new Kit({ promptIds })
    for (let at = 122; at < 126; at++) other.tokens(at, [2 * at])
    expect(other.step).toMatchObject({ position: 125, tokens: 3 })
    expect(other.tokens(126, [252, 254]).step).toMatchObject({ position: 127, tokens: 1 })
    expect(other.tokens(128, [256]).step!.drafts).toMatchObject([258, 260, 262])
  })

  test('sends none where a hop does not know them, and says so in its terms where all do', () => {
    const needs = (kit: Kit): unknown =>
      kit.effects.flatMap(each => (each.kind === 'send' && each.frame.kind === 'open' ? [each.frame.terms.needs] : []))
    expect(needs(new Kit())).toEqual([['drafts']])
    const kit = new Kit({ knows: name => name !== peer('B') })
    expect(needs(kit)).toEqual([undefined])
    expect(kit.plainly(1, 15).step).toMatchObject({ tokens: 1 })
  })

  test('begins anew without drafts after a loss: what of them was right is sent as what is known', () => {
    const kit = new Kit().plainly(1, 5).tokens(5, [20, 22, 31])
    kit.do({ kind: 'tail-lost', epoch: 0 }, { kind: 'routed', route }, { kind: 'connected', epoch: 1 })
    expect(kit.effects).toContainEqual(
      expect.objectContaining({
        frame: expect.objectContaining({ kind: 'open', terms: expect.objectContaining({ keep: 7 }) })
      })
    )
    kit.do({ kind: 'frame', epoch: 1, frame: { kind: 'ack', epoch: 1, length: 7, steps: 0, tokens: 0 } })
    expect(kit.step).toMatchObject({ epoch: 1, position: 7, tokens: 1, sample: true })
    // Tokens of the older epoch, right or not, are nobody's any more.
    expect(kit.tokens(8, [33], 0).effects).toEqual([])
    expect(kit.tokens(8, [33], 1).step).toMatchObject({ position: 8, tokens: 1 })
  })
})
