import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeEdge, encodeEdge, firstNonFinite, float16Path } from '../../src/engine/edge.ts'
import { needs } from '../needs.ts'

/** Any 32 bits as a float, NaN and infinities among them. */
const anyFloat = fc.nat(0xffffffff).map(bits => new Float32Array(Uint32Array.of(bits).buffer)[0]!)
/** The values around which float16 rounding goes wrong first. */
const corners = [0, -0, 1, -1, 65504, 65519.99, 65520, 65536, -65520, 1e38, 2 ** -14, 2 ** -24, 2 ** -25, 2 ** -26]
const half = 2 ** -25
const nearTies = [half * 1.0000001, half * 3, 2 ** -14 - half, 2 ** -14 - 2 ** -24, 1 + 2 ** -11, 1 + 3 * 2 ** -11]

function words(bytes: Uint8Array): number[] {
  return [...new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)]
}

describe('edge bytes', () => {
  const whyNoNative = float16Path === 'native' ? undefined : 'this Node has no Float16Array'
  it('are the same from both float16 paths', needs(whyNoNative), () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(anyFloat, fc.constantFrom(...corners, ...nearTies)), { maxLength: 64 }), list => {
        const values = Float32Array.from(list).map(value => (Number.isNaN(value) ? Number.NaN : value))
        expect(words(encodeEdge(values, 'f16', 'portable'))).toEqual(words(encodeEdge(values, 'f16', 'native')))
      }),
      { numRuns: 2000 }
    )
  })

  it.each(['native', 'portable'] as const)('decode and encode every finite float16 to itself (%s)', path => {
    const finite = Uint16Array.from({ length: 65536 }, (_, i) => i).filter(h => (h & 0x7c00) !== 0x7c00)
    const values = decodeEdge(new Uint8Array(finite.buffer), 'f16', finite.length, path)
    expect(words(encodeEdge(values, 'f16', path))).toEqual([...finite])
    expect(values[1]).toBe(2 ** -24)
    expect(values[0x3c00]).toBe(1)
    expect(values[0x7bff]).toBe(65504)
  })

  it.each([
    ['halfway, to even', 1 + 2 ** -11, 0x3c00],
    ['halfway, to even above', 1 + 3 * 2 ** -11, 0x3c02],
    ['the last that does not overflow', 65519, 0x7bff],
    ['the first that does', 65520, 0x7c00],
    ['half the least subnormal, to even', 2 ** -25, 0],
    ['a little more', 2 ** -25 * 1.001, 1],
    ['the carry from subnormal to normal', 2 ** -14 - 2 ** -26, 0x0400],
    ['minus zero', -0, 0x8000],
    ['minus infinity', Number.NEGATIVE_INFINITY, 0xfc00]
  ])('round to float16: %s', (_what, value, word) => {
    for (const path of ['native', 'portable'] as const) {
      expect(words(encodeEdge(Float32Array.of(value), 'f16', path))).toEqual([word])
    }
  })

  it.each([
    ['halfway, to even', 1 + 2 ** -8, 0x3f80],
    ['halfway, to even above', 1 + 3 * 2 ** -8, 0x3f82],
    ['the carry into the exponent', 2 - 2 ** -10, 0x4000],
    ['overflow', 3.4e38, 0x7f80],
    ['minus zero', -0, 0x8000]
  ])('round to bfloat16: %s', (_what, value, word) => {
    expect(words(encodeEdge(Float32Array.of(value), 'bf16'))).toEqual([word])
  })

  it('keep what is already rounded, at any offset in a shared buffer', () => {
    const values = Float32Array.of(0, -0, 1.5, -65504, 2 ** -24)
    for (const edge of ['f32', 'f16', 'bf16'] as const) {
      const bytes = encodeEdge(values, edge)
      const pool = new Uint8Array(64)
      pool.set(bytes, 3)
      const rounded = decodeEdge(bytes, edge, values.length)
      expect(decodeEdge(pool.subarray(3, 3 + bytes.length), edge, values.length)).toEqual(rounded)
      expect(encodeEdge(rounded, edge)).toEqual(bytes)
    }
  })

  it('do not share memory with the values', () => {
    const values = Float32Array.of(1)
    const bytes = encodeEdge(values, 'f32')
    values[0] = 2
    expect(decodeEdge(bytes, 'f32', 1)[0]).toBe(1)
  })

  it.each(['f32', 'f16', 'bf16'] as const)('are refused when short, long or not finite (%s)', edge => {
    const size = edge === 'f32' ? 4 : 2
    for (const length of [0, size - 1, size + 1, 2 * size]) {
      expect(() => decodeEdge(new Uint8Array(length), edge, 1)).toThrow(`${size} bytes`)
    }
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const path of ['native', 'portable'] as const) {
        const bytes = encodeEdge(Float32Array.of(1, value, 2), edge, path)
        expect(() => decodeEdge(bytes, edge, 3, path)).toThrow(`value 1 of 3 is ${value}`)
      }
    }
  })

  it('finds the first value that is not finite', () => {
    expect(firstNonFinite(Float32Array.of(1, -3e38, 0))).toBe(-1)
    expect(firstNonFinite(Float32Array.of(1, Number.POSITIVE_INFINITY, Number.NaN))).toBe(1)
  })
})
