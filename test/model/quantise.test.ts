import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeBF16, decodeF16 } from '../../src/model/half.ts'
import type { PlainType } from '../../src/model/pack.ts'
import { firstNonFinite, quantise, weightMax } from '../../src/model/quantise.ts'
import { quantisedTypes } from '../../src/model/weight-types.ts'

const blocksPerRow = (inputs: number): number => Math.ceil(inputs / 32)

/** Rows of finite float32 over many magnitudes, with lengths that do and do not fill the last block. */
const matrices = fc
  .record({
    inputs: fc.integer({ min: 1, max: 70 }),
    count: fc.integer({ min: 1, max: 3 }),
    exponent: fc.integer({ min: -149, max: 120 })
  })
  .chain(({ inputs, count, exponent }) =>
    fc
      .array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: inputs * count, maxLength: inputs * count })
      .map(values => ({ inputs, rows: Float32Array.from(values, value => value * 2 ** exponent) }))
  )

/** What the layout says a block means, read weight by weight. */
function weightAt(bits: 4 | 8, q: Uint8Array, s: Float32Array, inputs: number, row: number, i: number): number {
  const block = row * blocksPerRow(inputs) + Math.floor(i / 32)
  if (bits === 8) return (q[block * 32 + (i % 32)]! - 128) * s[block]!
  const pair = q[block * 16 + Math.floor((i % 32) / 2)]!
  return ((i % 2 === 0 ? pair & 15 : pair >> 4) - 8) * s[block]!
}

for (const type of ['q8', 'q4', 'q8-f16', 'q4-f16'] as const satisfies PlainType[]) {
  describe(type, () => {
    const { bits, scale } = quantisedTypes[type]
    const width = bits === 8 ? 32 : 16
    const isHalf = scale === 'f16'

    test('every weight is within half a step of what it was, and padding is zero', () => {
      fc.assert(
        fc.property(matrices, ({ inputs, rows }) => {
          const count = rows.length / inputs
          const blocks = blocksPerRow(inputs)
          const q = new Uint8Array(count * blocks * width).fill(77)
          const s = new Float32Array(count * blocks).fill(Number.NaN)
          fc.pre(!isHalf || rows.every(value => Math.abs(value) <= weightMax(type)))
          quantise(type, rows, inputs, { q, s })
          for (let row = 0; row < count; row++) {
            for (let i = 0; i < blocks * 32; i++) {
              const actual = weightAt(bits, q, s, inputs, row, i)
              if (i >= inputs) {
                expect(actual).toBeCloseTo(0, 50)
                continue
              }
              const wanted = rows[row * inputs + i]!
              const step = Math.abs(s[row * blocks + Math.floor(i / 32)]!)
              // The 4-bit range is -8…7: a weight as large as the largest, of the other sign, is cut by up to a
              // step. In the subnormals the scale itself is rounded, by up to 2^-150 for each of its levels.
              const cut = bits === 4 && Math.abs(wanted) > 7.5 * step * (1 - 1e-6)
              const bound = (cut ? 1 : 0.5) * step * (1 + 1e-5) + 128 * 2 ** -149
              expect(Math.abs(actual - wanted)).toBeLessThanOrEqual(bound)
            }
          }
        })
      )
    })

    test('levels written out come back exactly', () => {
      fc.assert(
        fc.property(
          fc.array(fc.integer({ min: bits === 8 ? -127 : -8, max: bits === 8 ? 127 : 7 }), {
            minLength: 64,
            maxLength: 64
          }),
          fc.integer({ min: -20, max: 20 }),
          (levels, exponent) => {
            // With the outermost level present the scale is the power of two that the levels were made with.
            levels[3] = levels[40] = bits === 8 ? 127 : -8
            const rows = Float32Array.from(levels, level => level * 2 ** exponent)
            const q = new Uint8Array(2 * width)
            const s = new Float32Array(2)
            fc.pre(!isHalf || exponent <= 1)
            quantise(type, rows, 64, { q, s })
            expect([...s]).toEqual([2 ** exponent, 2 ** exponent])
            expect(Array.from(rows, (_, i) => weightAt(bits, q, s, 64, 0, i))).toEqual([...rows])
          }
        )
      )
    })

    test('a buffer of the wrong size is a defect', () => {
      expect(() =>
        quantise(type, new Float32Array(32), 32, { q: new Uint8Array(width - 1), s: new Float32Array(1) })
      ).toThrow('do not fill')
    })
  })
}

test('4 bits: low nibble first, and the weight of largest magnitude is -8 with a scale of its sign', () => {
  const rows = new Float32Array(32)
  rows[0] = 4
  rows[1] = -2
  const q = new Uint8Array(16)
  const s = new Float32Array(1)
  quantise('q4', rows, 32, { q, s })
  expect(s[0]).toBe(-0.5)
  expect(q[0]).toBe(0 | (12 << 4))
  expect(q[1]).toBe(8 | (8 << 4))
})

test('every float16 decodes as the platform decodes it', () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, n) => n)
  const decoded = new Float32Array(65536)
  decodeF16(bits, decoded)
  // Float16Array is in Node 24 and later only.
  const Half = (globalThis as { Float16Array?: new (buffer: ArrayBuffer) => ArrayLike<number> }).Float16Array
  if (Half !== undefined) expect(Array.from(decoded)).toEqual(Array.from(new Half(bits.buffer)))
  expect([0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x7c00].map(n => decoded[n])).toEqual([
    1,
    -2,
    65504,
    2 ** -24,
    -0,
    Number.POSITIVE_INFINITY
  ])
  expect(decoded[0x7e00]).toBeNaN()
})

test('bfloat16 is the upper half of a float32', () => {
  const decoded = new Float32Array(4)
  decodeBF16(Uint16Array.of(0x3f80, 0xc040, 0x7f80, 0x0001), decoded)
  expect([...decoded]).toEqual([1, -3, Number.POSITIVE_INFINITY, 2 ** -133])
})

test('finds what is not finite', () => {
  expect(firstNonFinite(Float32Array.of(1, -0, 3.4e38))).toBe(-1)
  expect(firstNonFinite(Float32Array.of(1, Number.NaN, 2))).toBe(1)
  expect(firstNonFinite(Float32Array.of(1, 2, Number.NEGATIVE_INFINITY))).toBe(2)
})

describe('q4-f16-min', () => {
  const quantised = (rows: Float32Array, inputs: number): { q: Uint8Array; s: Float32Array; m: Float32Array } => {
    const blocks = (rows.length / inputs) * blocksPerRow(inputs)
    const made = { q: new Uint8Array(blocks * 16).fill(77), s: new Float32Array(blocks), m: new Float32Array(blocks) }
    quantise('q4-f16-min', rows, inputs, made)
    return made
  }
  const meant = ({ q, s, m }: ReturnType<typeof quantised>, inputs: number, row: number, i: number): number => {
    const block = row * blocksPerRow(inputs) + Math.floor(i / 32)
    const pair = q[block * 16 + Math.floor((i % 32) / 2)]!
    return (i % 2 === 0 ? pair & 15 : pair >> 4) * s[block]! + m[block]!
  }

  test('every weight is within half a step of what it was, but for what 16 bits round, and padding is level 0', () => {
    const within = fc
      .record({
        inputs: fc.integer({ min: 1, max: 70 }),
        exponent: fc.integer({ min: -12, max: 4 }),
        far: fc.double({ min: -1, max: 1, noNaN: true })
      })
      .chain(({ inputs, exponent, far }) =>
        fc
          .array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 2 * inputs, maxLength: 2 * inputs })
          .map(values => ({ inputs, rows: Float32Array.from(values, value => (value + far) * 0.8 * 2 ** exponent) }))
      )
    fc.assert(
      fc.property(within, ({ inputs, rows }) => {
        expect(rows.every(value => Math.abs(value) <= weightMax('q4-f16-min'))).toBe(true)
        const made = quantised(rows, inputs)
        for (let row = 0; row < 2; row++) {
          for (let i = 0; i < blocksPerRow(inputs) * 32; i++) {
            const block = row * blocksPerRow(inputs) + Math.floor(i / 32)
            if (i >= inputs) {
              expect(meant(made, inputs, row, i) + 0).toBe(made.m[block]! + 0)
              continue
            }
            const [step, least] = [made.s[block]!, Math.abs(made.m[block]!)]
            // Float16 has 11 bits: that of the step counts 15 times.
            const rounded = least * 2 ** -11 + 15 * step * 2 ** -11 + 2 ** -24
            expect(Math.abs(meant(made, inputs, row, i) - rows[row * inputs + i]!)).toBeLessThanOrEqual(
              0.5 * step * (1 + 1e-5) + 2 * rounded
            )
          }
        }
      }),
      { numRuns: 300 }
    )
  })

  test('what a block of that type holds comes back as it was, also where no weight is 0', () => {
    const levels = fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 30, maxLength: 30 })
    fc.assert(
      fc.property(
        levels,
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: -1000, max: 1000 }),
        (some, scale, least) => {
          const [s, m] = [scale * 2 ** -14, least * 2 ** -10]
          const rows = Float32Array.from([0, 15, ...some], level => level * s + m)
          const made = quantised(rows, 32)
          expect([made.s[0], made.m[0]]).toEqual([s, m])
          expect(rows.map((_, i) => meant(made, 32, 0, i))).toEqual(rows)
        }
      )
    )
  })

  test('equal weights have a step of 0', () => {
    const made = quantised(new Float32Array(32).fill(-0.25), 32)
    expect([...made.s, ...made.m, ...made.q]).toEqual([0, -0.25, ...new Array(16).fill(0)])
  })
})
