import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomAt } from '../../src/base/rng.ts'
import type { Sampling } from '../../src/engine/engine.ts'
import { biased, hasFilters, whyNoFilters } from '../../src/engine/logit-bias.ts'
import { hasPenalties, penalised } from '../../src/engine/penalties.ts'
import { checkSampling, sample } from '../../src/engine/sampler.ts'
import { EngineError, InvalidStepError } from '../../src/errors.ts'

const plain: Sampling = { temperature: 1, topP: 1, topK: 0, seed: 1 }

/** How often each id is picked over many positions. */
function frequencies(logits: Float32Array, sampling: Sampling, draws = 20_000): number[] {
  const counts = new Array<number>(logits.length).fill(0)
  for (let position = 0; position < draws; position++) counts[sample(logits, sampling, position)]! += 1 / draws
  return counts
}

/** The definition, spelt out: sort everything, cut, renormalise. */
function expected(given: Float32Array, { temperature, topK, topP, minP = 0, logitBias = {} }: Sampling): number[] {
  const logits = given.map((logit, id) => logit + (logitBias[id] ?? 0))
  const max = Math.max(...logits)
  const all = [...logits].map((logit, id) => ({ id, weight: Math.exp((logit - max) / temperature) }))
  all.sort((a, b) => logits[b.id]! - logits[a.id]! || a.id - b.id)
  const kept = topK > 0 ? all.slice(0, topK) : all
  const total = kept.reduce((n, { weight }) => n + weight, 0)
  let sum = 0
  const cut = kept.findIndex(({ weight }) => {
    sum += weight
    return sum >= topP * total
  })
  const reached = cut < 0 || topP === 1 ? kept : kept.slice(0, cut + 1)
  const nucleus = reached.filter(({ weight }) => weight >= minP)
  const mass = nucleus.reduce((n, { weight }) => n + weight, 0)
  const out = new Array<number>(logits.length).fill(0)
  for (const { id, weight } of nucleus) out[id] = weight / mass
  return out
}

describe('sample', () => {
  it.each<[string, number[], Partial<Sampling>, number]>([
    ['temperature 0 takes the largest', [1, 3, 2], { temperature: 0 }, 1],
    ['the lowest id wins a tie', [1, 3, 3], { temperature: 0 }, 1],
    ['all equal', [0, 0, 0], { temperature: 0 }, 0],
    ['negative logits', [-5, -2, -9], { temperature: 0 }, 1],
    ['minus zero equals zero', [-0, 0], { temperature: 0 }, 0],
    ['k 1 takes the largest', [1, 2, 3], { topK: 1 }, 2],
    ['k 1 takes the lowest id of a tie', [3, 3, 3], { topK: 1, temperature: 9 }, 0],
    ['a tiny nucleus takes the largest', [1, 2, 3], { topP: 1e-9 }, 2],
    ['a tiny nucleus takes the lowest id of a tie', [2, 2, 2], { topP: 1e-9 }, 0],
    ['one token', [5], {}, 0],
    ['a low temperature takes the largest', [1, 2, 1.5], { temperature: 1e-3 }, 1],
    ['a tiny temperature does not overflow', [3e38, -3e38, 0], { temperature: 1e-300 }, 0]
  ])('%s', (_what, logits, sampling, id) => {
    for (let position = 0; position < 50; position++) {
      expect(sample(Float32Array.from(logits), { ...plain, ...sampling }, position)).toBe(id)
    }
  })

  it.each<[string, Partial<Sampling>]>([
    ['everything', {}],
    ['hot', { temperature: 3 }],
    ['likely enough', { minP: 0.3 }],
    ['likely enough of a nucleus', { minP: 0.2, topP: 0.8 }],
    ['likely enough of the k likeliest', { minP: 0.3, topK: 4, topP: 0.99 }],
    ['likely enough when hot', { minP: 0.6, temperature: 3 }],
    ['with amounts added', { logitBias: { 0: 1.5, 3: -2, 4: -100 } }],
    ['with amounts added, of a nucleus', { logitBias: { 1: 3, 2: -1 }, topP: 0.7, minP: 0.1 }],
    ['cold', { temperature: 0.5 }],
    ['the three most likely, of which two tie at the border', { topK: 3 }],
    ['a nucleus', { topP: 0.8 }],
    ['a nucleus of the most likely', { topK: 4, topP: 0.75 }],
    ['more than there are', { topK: 100 }]
  ])('draws with the right frequencies: %s', (_what, change) => {
    const logits = Float32Array.of(0.5, 2, -1, 1, 1, 0, -30, 1.5)
    const sampling = { ...plain, ...change }
    const want = expected(logits, sampling)
    for (const [id, frequency] of frequencies(logits, sampling).entries()) {
      // Five standard deviations of 20,000 draws are below 0.018.
      expect(Math.abs(frequency - want[id]!), `id ${id}`).toBeLessThan(0.018)
      if (want[id] === 0) expect(frequency).toBe(0)
    }
  })

  it('never leaves the set that sorting everything would give', () => {
    const logits = fc.array(fc.float({ min: -40, max: 40, noNaN: true, noDefaultInfinity: true }), {
      minLength: 1,
      maxLength: 200
    })
    const options = fc.record({
      temperature: fc.constantFrom(0.1, 0.7, 1, 2.5),
      topP: fc.constantFrom(1, 0.999, 0.9, 0.5, 0.01),
      topK: fc.constantFrom(0, 1, 2, 5, 40, 199),
      seed: fc.nat()
    })
    fc.assert(
      fc.property(logits, options, fc.nat(), (list, sampling, position) => {
        const values = Float32Array.from(list)
        expect(expected(values, sampling)[sample(values, sampling, position)]).toBeGreaterThan(0)
      }),
      { numRuns: 2000 }
    )
  })

  it('is a function of seed and position', () => {
    const logits = Float32Array.from({ length: 1000 }, (_, id) => Math.sin(id))
    const run = (seed: number): number[] =>
      Array.from({ length: 20 }, (_, position) => sample(logits, { ...plain, topP: 0.9, seed }, position))
    expect(run(3)).toEqual(run(3))
    expect(run(3)).not.toEqual(run(4))
    // Two equal tokens: the draw itself decides between them.
    const even = Float32Array.of(0, 0)
    for (let position = 0; position < 100; position++) {
      expect(sample(even, { ...plain, seed: 9 }, position)).toBe(randomAt(9, position) < 0.5 ? 0 : 1)
    }
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('refuses a logit of %s', bad => {
    for (const sampling of [plain, { ...plain, temperature: 0 }]) {
      const error = expect.objectContaining({ name: 'EngineError', message: expect.stringContaining('token 2') })
      expect(() => sample(Float32Array.of(0, 1, bad, 2), sampling, 0)).toThrow(error)
    }
  })
})

describe('checkSampling', () => {
  it.each<[Partial<Sampling>, string]>([
    [{ temperature: -1 }, 'temperature'],
    [{ temperature: Number.NaN }, 'temperature'],
    [{ topP: 0 }, 'topP'],
    [{ topP: 1.01 }, 'topP'],
    [{ topP: Number.NaN }, 'topP'],
    [{ topK: -1 }, 'topK'],
    [{ topK: 1.5 }, 'topK'],
    [{ seed: -1 }, 'seed'],
    [{ seed: 2 ** 53 }, 'seed']
  ])('refuses %j', (change, word) => {
    expect(() => checkSampling({ ...plain, ...change })).toThrow(
      expect.objectContaining({ name: 'InvalidStepError', message: expect.stringContaining(word) })
    )
  })
})

describe('penalties', () => {
  const off: readonly Partial<Sampling>[] = [
    {},
    { presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 0 },
    { repetitionPenalty: 1, promptTokens: 3 }
  ]
  const values = fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 30 })
  const amounts = fc.record({
    presencePenalty: fc.double({ min: -2, max: 2, noNaN: true }),
    frequencyPenalty: fc.double({ min: -2, max: 2, noNaN: true }),
    repetitionPenalty: fc.oneof(fc.constant(0), fc.double({ min: 0.1, max: 10, noNaN: true })),
    promptTokens: fc.nat({ max: 12 })
  })

  it('take presence once and frequency each time from what the answer has; repetition scales prompt and answer, before them', () => {
    const sampling = { ...plain, presencePenalty: 0.5, frequencyPenalty: 0.25, repetitionPenalty: 2, promptTokens: 2 }
    // 0 is in the prompt, 1 there and once in the answer, 2 three times in the answer, 3 below 0 and once; 4 nowhere.
    const ids = Int32Array.of(0, 1, 2, 1, 2, 3, 2)
    const logits = Float32Array.of(4, 4, 4, -4, 4)
    expect([...penalised(logits, ids, sampling)]).toEqual([2, 2 - 0.25 - 0.5, 2 - 0.75 - 0.5, -8 - 0.25 - 0.5, 4])
    expect([...logits]).toEqual([4, 4, 4, -4, 4])
    expect(sample(logits, { ...sampling, temperature: 0 }, ids.length, ids)).toBe(4)
  })

  it('come before the temperature and the filters: k and the nucleus are of what is left', () => {
    const sampling = { ...plain, presencePenalty: 2, topK: 1 }
    expect(sample(Float32Array.of(3, 2, 1.5), sampling, 1, Int32Array.of(0))).toBe(1)
    const nucleus = { ...plain, presencePenalty: 2, topP: 1e-9, temperature: 5 }
    expect(sample(Float32Array.of(3, 2, 1.5), nucleus, 2, Int32Array.of(0, 1))).toBe(2)
  })

  it('are what the definition says, for any text, and leave other tokens their bits', () => {
    fc.assert(
      fc.property(values, fc.array(fc.nat()), amounts, (list, text, penalties) => {
        const logits = Float32Array.from(list)
        const ids = Int32Array.from(text, id => id % list.length)
        const { presencePenalty, frequencyPenalty, repetitionPenalty, promptTokens } = penalties
        const answer = ids.subarray(promptTokens)
        const want = logits.map((logit, id) => {
          if (!ids.includes(id)) return logit
          const by = repetitionPenalty === 0 ? 1 : repetitionPenalty
          const times = answer.filter(each => each === id).length
          const scaled = logit > 0 ? logit / by : logit * by
          return times === 0 ? scaled : scaled - frequencyPenalty * times - presencePenalty
        })
        expect(penalised(logits, ids, { ...plain, ...penalties })).toEqual(want)
      })
    )
  })

  it('that are none change no bit, and need no ids', () => {
    fc.assert(
      fc.property(values, fc.constantFrom(...off), fc.nat({ max: 1000 }), (list, none, position) => {
        const logits = Float32Array.from(list)
        expect(hasPenalties(none)).toBe(false)
        expect(sample(logits, { ...plain, ...none }, position)).toBe(sample(logits, plain, position))
      })
    )
  })

  it('depend on which ids there are, not on their order', () => {
    fc.assert(
      fc.property(values, fc.array(fc.nat(), { minLength: 1 }), amounts, (list, text, penalties) => {
        const logits = Float32Array.from(list)
        const ids = Int32Array.from(text, id => id % list.length)
        const sampling = { ...plain, ...penalties, promptTokens: 0 }
        expect(penalised(logits, ids.toReversed(), sampling)).toEqual(penalised(logits, ids, sampling))
      })
    )
  })

  it.each<[string, Partial<Sampling>]>([
    ['presence above 2', { presencePenalty: 2.01 }],
    ['presence below -2', { presencePenalty: -2.01 }],
    ['frequency that is infinite', { frequencyPenalty: Number.POSITIVE_INFINITY }],
    ['repetition below a tenth', { repetitionPenalty: 0.09 }],
    ['repetition above ten', { repetitionPenalty: 10.1 }],
    ['repetition that is no number', { repetitionPenalty: Number.NaN }],
    ['a prompt of less than nothing', { promptTokens: -1 }]
  ])('out of range are refused: %s', (_, change) => {
    expect(() => checkSampling({ ...plain, ...change })).toThrow(InvalidStepError)
  })

  it('that have no finite logit fail as ever', () => {
    const bad = Float32Array.of(1, Number.NaN)
    expect(() => sample(bad, { ...plain, presencePenalty: 1 }, 1, Int32Array.of(1))).toThrow(EngineError)
  })
})

describe('what is added to logits', () => {
  it('is added before all else, and each sum is rounded once', () => {
    const logits = Float32Array.of(0.1, 2, 3)
    expect([...biased(logits, { 0: 0.2, 2: -100 })]).toEqual([Math.fround(Math.fround(0.1) + 0.2), 2, -97])
    expect([...logits]).toEqual([Math.fround(0.1), 2, 3])
    const forced = { ...plain, temperature: 0, logitBias: { 0: 100 } }
    expect(sample(logits, forced, 1)).toBe(0)
    // Then 3 · 0.5 - 1 is what a penalty leaves of token 2.
    const penalised = { ...plain, temperature: 0, logitBias: { 2: -2 }, repetitionPenalty: 2 }
    expect(sample(Float32Array.of(0.6, 0, 3), penalised, 1, Int32Array.of(2))).toBe(0)
  })

  it('that is none changes no bit', () => {
    const logits = Float32Array.of(1, -0, 3)
    for (const none of [{}, { minP: 0 }, { logitBias: {} }]) {
      expect(hasFilters(none)).toBe(false)
      for (let position = 0; position < 50; position++) {
        expect(sample(logits, { ...plain, ...none }, position)).toBe(sample(logits, plain, position))
      }
    }
  })

  it.each<[string, Partial<Sampling>, string]>([
    ['min-p above 1', { minP: 1.1 }, 'minP must be from 0 to 1, not 1.1'],
    ['min-p below 0', { minP: -0.1 }, 'minP must be from 0 to 1, not -0.1'],
    ['min-p that is no number', { minP: Number.NaN }, 'minP must be from 0 to 1, not NaN'],
    ['an amount above 100', { logitBias: { 3: 101 } }, 'logitBias must be from -100 to 100, and that of 3 is 101'],
    ['an amount that is none', { logitBias: { 3: Number.NaN } }, 'that of 3 is NaN'],
    ['an id below 0', { logitBias: { [-1]: 1 } }, 'one is -1'],
    ['an id of half a token', { logitBias: { 1.5: 1 } }, 'one is 1.5'],
    ['an id that is no number', { logitBias: { five: 1 } as Record<number, number> }, 'one is NaN'],
    [
      'of more than 300 tokens',
      { logitBias: Object.fromEntries(Array.from({ length: 301 }, (_, id) => [id, 1])) },
      'logitBias must be of at most 300 tokens, not of 301'
    ]
  ])('out of range is refused: %s', (_, change, sentence) => {
    expect(() => checkSampling({ ...plain, ...change })).toThrow(InvalidStepError)
    expect(() => checkSampling({ ...plain, ...change })).toThrow(sentence)
  })

  it('may be of ids in the vocabulary alone', () => {
    expect(whyNoFilters({ logitBias: { 9: 1 } }, 10)).toBeUndefined()
    expect(whyNoFilters({ logitBias: { 10: 1 } }, 10)).toBe('logitBias must be of token ids from 0 to 9, and one is 10')
  })
})
