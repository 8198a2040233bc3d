/** Activations and tanh of our own are what mathematics says, as near as float32 comes: the kernels have their bits. */
import { expect, it } from 'vitest'
import { activated, capped, tanh } from '../../../src/engine/wasm/reference.ts'

/** float32 numbers of either sign from 2⁻²⁰ to some hundred, and 0. */
const numbers = [0, ...Array.from({ length: 1_200 }, (_, i) => Math.fround(2 ** (-20 + i / 42)))].flatMap(x => [x, -x])

/** ∫ of the normal density, by Simpson's rule. */
function normal(x: number): number {
  const [steps, end] = [2_000, Math.min(Math.abs(x), 12)]
  const density = (t: number): number => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI)
  let sum = density(0) + density(end)
  for (let i = 1; i < steps; i++) sum += (i % 2 ? 4 : 2) * density((i * end) / steps)
  const half = (sum * end) / steps / 3
  return x < 0 ? 0.5 - half : 0.5 + half
}

const wanted = {
  silu: (x: number): number => x / (1 + Math.exp(-x)),
  'gelu-tanh': (x: number): number => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x: number): number => x * normal(x)
} as const

it.each(['silu', 'gelu-tanh', 'gelu'] as const)('%s', kind => {
  for (const x of numbers) {
    const [got, want] = [activated(x, kind), wanted[kind](x)]
    expect(Math.abs(got - want), `${x}`).toBeLessThanOrEqual(
      2 ** -21 * Math.max(Math.abs(want), Math.min(1, Math.abs(x)))
    )
  }
})

it('tanh, to some units of the last place', () => {
  for (const x of numbers) {
    const want = Math.tanh(x)
    expect(Math.abs(tanh(x) - want), `${x}`).toBeLessThanOrEqual(2 ** -22 * Math.abs(want))
  }
  expect([tanh(1e30), tanh(-1e30), tanh(Number.POSITIVE_INFINITY)]).toEqual([1, -1, 1])
  expect(tanh(Number.NaN)).toBeNaN()
})

it('a cap leaves what is small nearly as it is, and nothing above it', () => {
  expect(Math.abs(capped(0.5, { cap: 50 }) - 0.5)).toBeLessThan(2e-5)
  for (const x of numbers) {
    const got = capped(x, { scale: 3, cap: 30 })
    expect(Math.abs(got)).toBeLessThanOrEqual(30)
    expect(Math.abs(got - 30 * Math.tanh(x / 10))).toBeLessThanOrEqual(2 ** -21 * Math.abs(got))
  }
  expect(capped(2, { scale: 0.125 })).toBe(0.25)
})
