/** The kernel of short convolutions (`protocols/arithmetic.md`, Short convolution). */
import type { Local, ModuleWriter } from './emit.ts'
import { f32, f32x4, i32, plus, v128 } from './ops.ts'

type I = Local<'i32'>

export interface ConvolveInit {
  /** Columns of a row. */
  readonly hidden: number
  /** Positions that a token sees. */
  readonly length: number
}

/**
 * `(row, kernel, before ×(length - 1), own, out, columns)`: so many columns of one token, all addresses those of their first one. `row`
 * is of B, with C and x behind it, [3][hidden]; `kernel` [length][hidden]. own = B · x, and out = C · the sum over `before`, the oldest
 * first, and then `own`, each times its part of the kernel.
 */
export function convolved(m: ModuleWriter, name: string, { hidden, length }: ConvolveInit) {
  const parameters = Array.from({ length: length + 4 }, () => 'i32' as const)
  return m.function(name, parameters, f => {
    const [row, kernel] = f.parameters as readonly [I, I]
    const rows = f.parameters.slice(2, length + 2) as I[]
    const [own, out, columns] = f.parameters.slice(length + 1) as [I, I, I]
    const of = (part: number): number => 4 * hidden * part
    const on = (bytes: number): void => {
      for (const each of [row, kernel, ...rows, out]) f.set(each, plus(each, bytes))
    }
    const vectors = f.local('i32', i32.divU(columns, i32.const(4)))
    f.set(columns, i32.sub(columns, i32.mul(vectors, i32.const(4))))
    const [u, sum] = [f.local('v128'), f.local('v128')]
    f.when(vectors, () =>
      f.countdown(vectors, () => {
        f.set(u, f32x4.mul(v128.load(row), v128.load(row, of(2))))
        f.do(v128.store(own, 0, u))
        f.set(sum, v128.zero())
        for (const [j, each] of rows.entries()) {
          const value = each === own ? u : v128.load(each)
          f.set(sum, f32x4.add(f32x4.mul(v128.load(kernel, of(j)), value), sum))
        }
        f.do(v128.store(out, 0, f32x4.mul(v128.load(row, of(1)), sum)))
        on(16)
      })
    )
    const [u1, sum1] = [f.local('f32'), f.local('f32')]
    f.when(columns, () =>
      f.countdown(columns, () => {
        f.set(u1, f32.mul(f32.load(row), f32.load(row, of(2))))
        f.do(f32.store(own, 0, u1))
        f.set(sum1, f32.const(0))
        for (const [j, each] of rows.entries()) {
          const value = each === own ? u1 : f32.load(each)
          f.set(sum1, f32.add(f32.mul(f32.load(kernel, of(j)), value), sum1))
        }
        f.do(f32.store(out, 0, f32.mul(f32.load(row, of(1)), sum1)))
        on(4)
      })
    )
  })
}
