/** Masks: what is drawn among those that are let through is what would be drawn if the others were as unlikely as can be. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Sampling } from '../../src/engine/engine.ts'
import { checkMasks, idsThrough, isMask, letsThrough, maskBytes } from '../../src/engine/mask.ts'
import { sample } from '../../src/engine/sampler.ts'
import { EngineError, InvalidStepError } from '../../src/errors.ts'
import { formOf, KeptMasks, maskOf, SentMasks } from '../../src/stage/masks.ts'

/** Masks of some, of nearly none and of nearly all ids. */
const masks = (vocab: number): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      fc.constantFrom(0.02, 0.5, 0.98),
      fc.array(fc.double({ noNaN: true, min: 0, max: 1 }), { minLength: vocab, maxLength: vocab }),
      fc.nat({ max: vocab - 1 })
    )
    .map(([share, draws, one]) => maskFrom(vocab, id => id === one || draws[id]! < share))

function maskFrom(vocab: number, lets: (id: number) => boolean): Uint8Array {
  const mask = new Uint8Array(maskBytes(vocab))
  for (let id = 0; id < vocab; id++) if (lets(id)) mask[id >> 3]! |= 1 << (id & 7)
  return mask
}

const samplings: Sampling[] = [
  { temperature: 0, topP: 1, topK: 0, seed: 1 },
  { temperature: 0.8, topP: 1, topK: 0, seed: 2 },
  { temperature: 1.5, topP: 0.7, topK: 0, seed: 3, minP: 0.05 },
  { temperature: 1, topP: 0.9, topK: 1, seed: 4 },
  { temperature: 1, topP: 1, topK: 0, seed: 5, logitBias: { 3: 50, 7: -50 } }
]

test('what is drawn is let through, and is what would be drawn if all else had hardly any probability', () => {
  const vocab = 61
  fc.assert(
    fc.property(
      masks(vocab),
      fc.array(fc.float({ noNaN: true, min: -8, max: 8 }), { minLength: vocab, maxLength: vocab }),
      fc.nat({ max: 500 }),
      (mask, values, position) => {
        const logits = Float32Array.from(values)
        const without = logits.map((logit, id) => (letsThrough(mask, id) ? logit : -3e38))
        for (const sampling of samplings) {
          const id = sample(logits, sampling, position, undefined, mask)
          expect(letsThrough(mask, id)).toBe(true)
          expect(id).toBe(sample(without, sampling, position))
        }
      }
    )
  )
})

test('the k likeliest are the k likeliest of those that are let through', () => {
  const mask = maskFrom(8, id => id >= 4)
  const logits = Float32Array.from([9, 8, 7, 6, 1, 3, 2, 0])
  const sampling = { temperature: 1, topP: 1, topK: 2, seed: 1 }
  const seen = new Set(Array.from({ length: 200 }, (_, at) => sample(logits, sampling, at, undefined, mask)))
  expect([...seen].sort()).toEqual([5, 6])
})

test('a logit that is not finite is an error wherever it is', () => {
  const logits = Float32Array.from([1, Number.NaN, 2])
  expect(() =>
    sample(
      logits,
      samplings[0]!,
      0,
      undefined,
      maskFrom(3, id => id === 2)
    )
  ).toThrow(EngineError)
})

test('masks of another number, of other ids, or that let nothing through, are refused', () => {
  const good = maskFrom(11, id => id === 10)
  checkMasks([good, good], { rows: 2, vocab: 11 })
  for (const wrong of [
    [good],
    [good, new Uint8Array(2)],
    [good, good.subarray(1)],
    [good, maskFrom(12, id => id === 11)]
  ]) {
    expect(() => checkMasks(wrong, { rows: 2, vocab: 11 })).toThrow(InvalidStepError)
  }
  expect([...idsThrough(maskFrom(19, id => id % 9 === 0))]).toEqual([0, 9, 18])
})

// ── Under way ──────────────────────────────────────────────────────────────────────────────────────

test('a mask is the same after the way, in the shorter of two forms', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }).chain(vocab => fc.tuple(fc.constant(vocab), masks(vocab))),
      ([vocab, mask]) => {
        const form = formOf(3, mask)
        expect(maskOf(form, vocab)).toEqual(mask)
        expect((form.bits ?? form.runs)!.length).toBeLessThanOrEqual(mask.length)
      }
    )
  )
  const vocab = 151_936
  expect(
    formOf(
      0,
      maskFrom(vocab, id => id === 151_643)
    ).runs
  ).toHaveLength(4)
  expect(
    formOf(
      0,
      maskFrom(vocab, id => id % 100 !== 7)
    ).runs!.length
  ).toBeLessThan(vocab / 49)
  expect(
    formOf(
      0,
      maskFrom(vocab, id => id % 3 === 0)
    ).bits
  ).toHaveLength(vocab / 8)
})

test('whatever bytes come are a mask of so many ids, or none', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.uint8Array({ maxLength: 60 }),
      fc.boolean(),
      (vocab, bytes, isRuns) => {
        const mask = maskOf(isRuns ? { slot: 0, runs: bytes } : { slot: 0, bits: bytes }, vocab)
        if (mask !== undefined) expect(isMask(mask, vocab)).toBe(true)
      }
    )
  )
  expect(maskOf({ slot: 0 }, 8)).toBeUndefined()
  expect(maskOf({ slot: 0, runs: Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 1) }, 2 ** 31)).toBeUndefined()
})

test('S40: a slot is named alone only once a token was drawn by it, whatever drafts are dropped on the way', () => {
  const vocab = 40
  const steps = fc.array(
    fc.record({
      kinds: fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 8 }),
      dropped: fc.boolean(),
      drawn: fc.nat({ max: 7 })
    }),
    { minLength: 1, maxLength: 60 }
  )
  let named = 0
  fc.assert(
    fc.property(steps, all => {
      const [sent, kept] = [new SentMasks(), new KeptMasks(vocab)]
      for (const { kinds, dropped, drawn } of all) {
        const wanted = kinds.map(kind => maskFrom(vocab, id => (id * (kind + 3)) % 7 < 3 || id === kind))
        const forms = sent.send(wanted)
        named += forms.filter(form => form.bits === undefined && form.runs === undefined).length
        const there = dropped ? forms.slice(0, 1) : forms
        expect(kept.take(there)).toEqual(wanted.slice(0, there.length))
        sent.came(Math.min(1 + drawn, there.length))
      }
    })
  )
  expect(named).toBeGreaterThan(100)
})

test('S40: a slot with nothing in it is no mask, and slots are empty when an epoch begins', () => {
  const kept = new KeptMasks(16)
  expect(kept.take([{ slot: 2 }])).toBeUndefined()
  const mask = Uint8Array.of(1, 2)
  expect(kept.take([{ slot: 2, bits: mask }, { slot: 2 }])).toEqual([mask, mask])
  kept.begin()
  expect(kept.take([{ slot: 2 }])).toBeUndefined()
})
