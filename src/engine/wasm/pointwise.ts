/** Kernels that treat one row value by value: rotation, biases, sums at the edges of layers. */
import type { EdgeType } from '../../model/manifest.ts'
import type { Local, ModuleWriter, Value } from './emit.ts'
import { f32, f32x4, i32, i32x4, plus, v128 } from './ops.ts'
import type { RotationForm } from './rotary.ts'

type V = Local<'v128'>

/**
 * `(row, cos, sin, heads)`: rotates pairs of so many heads in place, by the position whose row of the tables is given:
 * a' = a · cos - b · sin, b' = b · cos + a · sin. Of each head the first `dims` dimensions are rotated.
 */
export function rotation(
  m: ModuleWriter,
  name: string,
  { headDim, dims, pairs }: Pick<RotationForm, 'dims' | 'pairs'> & { readonly headDim: number }
) {
  const half = dims / 2
  return m.function(name, ['i32', 'i32', 'i32', 'i32'], f => {
    const [row, cos, sin, heads] = f.parameters
    const [a, b] = f.locals('v128', 2) as [V, V]
    const [x, y] = f.locals('f32', 2) as [Local<'f32'>, Local<'f32'>]
    const one = (i: number, at: number, to: number): void => {
      f.set(x, f32.load(row, 4 * at))
      f.set(y, f32.load(row, 4 * to))
      const [c, s] = [f32.load(cos, 4 * i), f32.load(sin, 4 * i)]
      f.do(f32.store(row, 4 * at, f32.sub(f32.mul(x, c), f32.mul(y, s))))
      f.do(f32.store(row, 4 * to, f32.add(f32.mul(y, c), f32.mul(x, s))))
    }
    f.countdown(heads, () => {
      let i = 0
      for (; pairs === 'halves' && i + 4 <= half; i += 4) {
        f.set(a, v128.load(row, 4 * i))
        f.set(b, v128.load(row, 4 * (i + half)))
        const [c, s] = [v128.load(cos, 4 * i), v128.load(sin, 4 * i)]
        f.do(v128.store(row, 4 * i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s))))
        f.do(v128.store(row, 4 * (i + half), f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s))))
      }
      for (; i < half; i++) pairs === 'halves' ? one(i, i, i + half) : one(i, 2 * i, 2 * i + 1)
      f.set(row, plus(row, 4 * headDim))
    })
  })
}

/** `(x, y, count)`: x = x + y, so many values. */
export function added(m: ModuleWriter, name: string) {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [x, y, count] = f.parameters
    const left = f.local('i32', i32.divU(count, i32.const(4)))
    f.set(count, i32.sub(count, i32.mul(left, i32.const(4))))
    const on = (bytes: number): void => {
      for (const each of [x, y]) f.set(each, plus(each, bytes))
    }
    f.when(left, () =>
      f.countdown(left, () => {
        f.do(v128.store(x, 0, f32x4.add(v128.load(x), v128.load(y))))
        on(16)
      })
    )
    f.when(count, () =>
      f.countdown(count, () => {
        f.do(f32.store(x, 0, f32.add(f32.load(x), f32.load(y))))
        on(4)
      })
    )
  })
}

/** `(y, x, share, vectors)`: y = x · share + y. */
export function addedShare(m: ModuleWriter, name: string) {
  return m.function(name, ['i32', 'i32', 'f32', 'i32'], f => {
    const [y, x, share, left] = f.parameters
    const factor = f.local('v128', f32x4.splat(share))
    f.countdown(left, () => {
      f.do(v128.store(y, 0, f32x4.add(f32x4.mul(v128.load(x), factor), v128.load(y))))
      for (const each of [y, x]) f.set(each, plus(each, 16))
    })
  })
}

/** The largest finite value of float16: an edge is cut to it, since an infinity would become NaN for ever. */
const float16Max = 65_504

/**
 * `(x, y, vectors)`: x = x + y · scale, rounded to the edge type, ties to even.
 *
 * @param edge `undefined`: not rounded
 * @param scale `undefined`: there is none
 */
export function sumAtEdge(m: ModuleWriter, name: string, edge: EdgeType | undefined, scale: number | undefined) {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [x, y, left] = f.parameters
    const [sum, size, near, tiny] = f.locals('v128', 4) as [V, V, V, V]
    const constant = (value: Value<'v128'>): V => f.local('v128', value)
    const rounds = edge === 'f16' || edge === 'bf16'
    const [one, sizeBits] = [constant(i32x4.const(1)), constant(i32x4.const(0x7fffffff))]
    const cut = edge === 'f16' ? 13 : 16
    const [halfBelow, kept] = [constant(i32x4.const(2 ** (cut - 1) - 1)), constant(i32x4.const(-(2 ** cut)))]
    const [half, largest, smallest] = [0.5, float16Max, 2 ** -14].map(value => constant(f32x4.const(value))) as [
      V,
      V,
      V
    ]
    const factor = constant(f32x4.const(scale ?? 1))
    f.countdown(left, () => {
      f.set(sum, f32x4.add(v128.load(x), scale === undefined ? v128.load(y) : f32x4.mul(v128.load(y), factor)))
      if (rounds) {
        f.set(size, v128.and(sum, sizeBits))
        if (edge === 'f16') f.set(size, f32x4.pmin(size, largest))
        const last = v128.and(i32x4.shrU(size, cut), one)
        f.set(near, v128.and(i32x4.add(i32x4.add(size, halfBelow), last), kept))
        if (edge === 'f16') {
          // Below 2⁻¹⁴ float16 has steps of 2⁻²⁴, as float32 has between 0.5 and 1.
          f.set(tiny, f32x4.sub(f32x4.add(size, half), half))
          f.set(near, v128.bitselect(tiny, near, f32x4.lt(size, smallest)))
        }
        // The sign as it was.
        f.set(sum, v128.bitselect(near, sum, sizeBits))
      }
      f.do(v128.store(x, 0, sum))
      for (const each of [x, y]) f.set(each, plus(each, 16))
    })
  })
}

/** `(x, n vectors)` → i32: 1 where one of the values is infinite or NaN. Two vectors at a time. */
export function nonFinite(m: ModuleWriter, name: string) {
  return m.function(name, ['i32', 'i32'], f => {
    const [x, left] = f.parameters
    const exponent = f.local('v128', i32x4.const(0x7f800000))
    const found = f.local('v128')
    f.countdown(left, () => {
      f.set(found, v128.or(found, i32x4.eq(v128.and(v128.load(x), exponent), exponent)))
      f.set(x, plus(x, 16))
    })
    return v128.anyTrue(found)
  })
}
