/** Several threads are never worth much less than one, and all that they can be where nothing disturbs them. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Choice, Choices, layerWork, type Way } from '../../../src/engine/wasm/choice.ts'
import { seeded } from '../../../src/base/rng.ts'

/** What a pass takes in either way, and the longest wait for another thread in it. */
interface Pass {
  readonly aloneMs: number
  readonly togetherMs: number
  readonly waitMs?: number
  readonly work?: number
}

interface Run {
  readonly ms: number
  /** What the same passes would have taken each way. */
  readonly aloneMs: number
  readonly togetherMs: number
  readonly ways: Record<Way, number>
}

function run(choice: Choice, count: number, pass: (i: number) => Pass): Run {
  let [ms, alone, together] = [0, 0, 0]
  const ways = { alone: 0, together: 0 }
  for (let i = 0; i < count; i++) {
    const { aloneMs, togetherMs, waitMs = 0, work = 1 } = pass(i)
    const way = choice.next()
    ways[way]++
    const took = way === 'alone' ? aloneMs : togetherMs
    choice.took(way, took, work, { totalMs: waitMs, longestMs: waitMs })
    ms += took
    alone += aloneMs
    together += togetherMs
  }
  return { ms, aloneMs: alone, togetherMs: together, ways }
}

/** A busy machine: each thread has its processor for half of the time, by turns of some ms, whatever the other one has. */
function busy(seed: number, passMs: number, turnMs: number): () => Pass {
  const random = seeded(seed)
  return () => {
    const away = (): number => (random() < Math.min(1, passMs / turnMs) ? turnMs * random() : 0)
    const own = away()
    const other = away()
    // The rest is computed alone once the other one has come back.
    return { aloneMs: passMs + own, togetherMs: other > 0 ? passMs + own + other : passMs * 0.6 + own, waitMs: other }
  }
}

/**
 * Tokens of the 15M model with two threads beside some twenty busy ones on two processors, alone and together by turns, in ms: a
 * partner that sleeps waits for its processor as long as a hundred tokens take.
 */
const seen = {
  alone: [
    ...[0.56, 0.58, 0.61, 0.76, 0.61, 0.55, 0.77, 0.63, 12.44, 0.67, 0.55, 0.63, 0.63, 0.53, 0.59, 0.59, 0.65, 0.61],
    ...[0.47, 0.7, 0.53, 0.53, 0.62, 0.58, 0.75, 0.6, 0.58, 0.65, 0.57, 0.63, 0.64, 0.56, 0.64, 0.53, 0.51, 21.35],
    ...[0.48, 20.15, 0.59, 0.57, 0.58, 0.56, 0.6, 0.83, 0.58, 0.63, 0.54, 0.52]
  ],
  together: [
    ...[54, 87, 122, 102, 55, 40, 131, 31, 78, 123, 97, 40, 31, 243, 44, 43, 43, 38, 47, 37, 35, 475, 83, 34, 156, 40],
    ...[46, 47, 43, 44, 298, 55, 123, 53, 35, 53, 75, 44, 116, 52, 70, 48, 59, 48, 40, 39, 39, 63]
  ]
}

function measured(i: number): Pass {
  const [aloneMs, togetherMs] = [seen.alone[i % 48]!, seen.together[i % 48]!]
  return { aloneMs, togetherMs, waitMs: togetherMs / 2 }
}

describe('the choice between one thread and all', () => {
  it('is all where that is faster, and hardly ever one', () => {
    const { ms, aloneMs, ways } = run(new Choice(), 1_000, () => ({ aloneMs: 10, togetherMs: 7 }))
    expect(ways.alone).toBeGreaterThan(3)
    expect(aloneMs / ms).toBeGreaterThan(1.41)
  })

  it('is one where the others are given no processor, until they are again', () => {
    const choice = new Choice()
    const slow = run(choice, 1_000, () => ({ aloneMs: 10, togetherMs: 30 }))
    expect(slow.ms / slow.aloneMs).toBeLessThan(1.03)
    const quick = run(choice, 1_000, () => ({ aloneMs: 10, togetherMs: 6 }))
    expect(quick.ms / quick.togetherMs).toBeLessThan(1.1)
  })

  it('costs no twentieth of what one takes, whatever the machine does', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.double({ min: 0.3, max: 40, noNaN: true }),
        fc.constantFrom(1, 3, 6),
        (seed, ms, turn) => {
          const { ms: took, aloneMs } = run(new Choice(), 2_000, busy(seed, ms, turn))
          expect(took / aloneMs).toBeLessThan(1.05)
        }
      )
    )
  })

  it('tries a partner that has no processor twice in a hundred tokens, and then hardly ever', () => {
    const choice = new Choice()
    const first = run(choice, 100, measured)
    // The first pass, of which nothing is known, and one that is compared.
    expect(first.ways.together).toBe(2)
    const later = run(choice, 5_000, measured)
    expect(later.ways.together).toBeLessThanOrEqual(5)
    expect(later.ms / later.aloneMs).toBeLessThan(1.05)
  })

  it('does not take a long prompt for a slow partner', () => {
    // Each pass attends to more: alone and together take ever longer.
    const { ways } = run(new Choice(), 200, i => {
      const work = layerWork(shape, [{ rows: 128, position: 128 * i }])
      return { aloneMs: work / 1e6, togetherMs: work / 1.8e6, work }
    })
    expect(ways.alone).toBeLessThan(10)
  })

  it('is not changed by one late partner among many that are not', () => {
    const { ways } = run(new Choice(), 2_000, i => ({ aloneMs: 8, togetherMs: i % 50 === 49 ? 14 : 6 }))
    expect(ways.alone).toBeLessThan(20)
  })

  it('is not ruled for long by a machine that slept', () => {
    const choice = new Choice()
    run(choice, 500, i => ({ aloneMs: 8, togetherMs: i === 400 ? 3_600_000 : 6 }))
    const { ways } = run(choice, 1_000, () => ({ aloneMs: 8, togetherMs: 6 }))
    expect(ways.together).toBeGreaterThan(300)
  })
})

it('a thread spins for less where others come late, and for longer where they do not', () => {
  const choice = new Choice()
  const { spinMs } = choice
  run(choice, 20, () => ({ aloneMs: 8, togetherMs: 6, waitMs: 4 }))
  expect(choice.spinMs).toBeLessThan(spinMs / 10)
  run(choice, 20, () => ({ aloneMs: 8, togetherMs: 6, waitMs: 0.1 }))
  expect(choice.spinMs).toBe(spinMs)
})

it('a pass goes on alone once the wait for others was as long as the gain from them can be', () => {
  const choices = new Choices()
  const lost = (totalMs: number, elapsedMs: number, threads = 2): boolean =>
    choices.isLost({ threads }, { totalMs, longestMs: totalMs }, elapsedMs)
  expect(lost(4, 6)).toBe(true)
  expect(lost(2, 6)).toBe(false)
  // Waking takes a while.
  expect(lost(0.1, 0.12)).toBe(false)
  expect(lost(4, 6, 4)).toBe(false)
})

it('passes of one row, of many, and the head are judged each by its own', () => {
  const choices = new Choices()
  const waits = { totalMs: 0, longestMs: 0 }
  const one = { kind: 'layers', rows: 1 } as const
  for (let i = 0; i < 100; i++) {
    const way = choices.next(one)
    choices.took(one, way, way === 'alone' ? 1 : 9, 1, waits)
  }
  expect(choices.next(one)).toBe('alone')
  expect(choices.next({ kind: 'layers', rows: 128 })).toBe('together')
  expect(choices.next({ kind: 'head', rows: 1 })).toBe('together')
})

const shape = {
  ...{ layers: 30, hidden: 576, intermediate: 1536, heads: 9, kvHeads: 3, headDim: 64, vocab: 49152 },
  ...{ contextMax: 65536, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true }
}
