/** Kernels that treat one row of a hidden state: norm, rotation, activation function, sums at the edges of layers. */
import type { EdgeType } from '../../model/manifest.ts'
import type { Local, ModuleWriter, Value } from './emit.ts'
import { Exponential } from './exponential.ts'
import { f32, f32x4, i32, i32x4, plus, v128 } from './ops.ts'

type V = Local<'v128'>

/**
 * `(x, weight, out)`: root mean square norm of `width` values, rows filled up with zeros to a multiple of 16. 16 sums in
 * order, k mod 16; then lanes 0…3 of (s0 + s1) + (s2 + s3), as (0 + 2) + (1 + 3); r = 1 / sqrt(sum / width + epsilon);
 * out = (x · r) · weight.
 */
export function norm(m: ModuleWriter, name: string, width: number, epsilon: number) {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [x, weight, out] = f.parameters
    const sums = f.locals('v128', 4)
    const value = f.local('v128')
    const at = f.local('i32', x)
    const left = f.local('i32', i32.const(Math.ceil(width / 16)))
    f.countdown(left, () => {
      for (const [i, sum] of sums.entries()) {
        f.set(value, v128.load(at, 16 * i))
        f.set(sum, f32x4.add(f32x4.mul(value, value), sum))
      }
      f.set(at, plus(at, 64))
    })
    const [s0, s1, s2, s3] = sums as [V, V, V, V]
    f.set(value, f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)))
    const lane = (i: number): Value<'f32'> => f32x4.extractLane(value, i)
    const sum = f32.add(f32.add(lane(0), lane(2)), f32.add(lane(1), lane(3)))
    const mean = f32.add(f32.div(sum, f32.const(width)), f32.const(epsilon))
    const factor = f.local('v128', f32x4.splat(f32.div(f32.const(1), f32.sqrt(mean))))
    f.set(left, i32.const(Math.ceil(width / 4)))
    f.countdown(left, () => {
      f.do(v128.store(out, 0, f32x4.mul(f32x4.mul(v128.load(x), factor), v128.load(weight))))
      for (const each of [x, weight, out]) f.set(each, plus(each, 16))
    })
  })
}

/**
 * `(row, cos, sin, heads)`: rotates pairs (i, i + headDim / 2) of so many heads in place, by the position whose row of
 * the tables is given: a' = a · cos - b · sin, b' = b · cos + a · sin.
 */
export function rotation(m: ModuleWriter, name: string, headDim: number) {
  const half = headDim / 2
  return m.function(name, ['i32', 'i32', 'i32', 'i32'], f => {
    const [row, cos, sin, heads] = f.parameters
    const [a, b] = f.locals('v128', 2) as [V, V]
    const [x, y] = f.locals('f32', 2) as [Local<'f32'>, Local<'f32'>]
    f.countdown(heads, () => {
      let i = 0
      for (; i + 4 <= half; i += 4) {
        f.set(a, v128.load(row, 4 * i))
        f.set(b, v128.load(row, 4 * (i + half)))
        const [c, s] = [v128.load(cos, 4 * i), v128.load(sin, 4 * i)]
        f.do(v128.store(row, 4 * i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s))))
        f.do(v128.store(row, 4 * (i + half), f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s))))
      }
      for (; i < half; i++) {
        f.set(x, f32.load(row, 4 * i))
        f.set(y, f32.load(row, 4 * (i + half)))
        const [c, s] = [f32.load(cos, 4 * i), f32.load(sin, 4 * i)]
        f.do(f32.store(row, 4 * i, f32.sub(f32.mul(x, c), f32.mul(y, s))))
        f.do(f32.store(row, 4 * (i + half), f32.add(f32.mul(y, c), f32.mul(x, s))))
      }
      f.set(row, plus(row, 4 * headDim))
    })
  })
}

/**
 * `(gate, up, vectors)`: gate = (gate / (1 + exp(-gate))) · up, the argument of exp kept in [-87, 88]. Two vectors at a
 * time: `vectors` is even.
 */
export function gated(m: ModuleWriter, name: string) {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [gate, up, left] = f.parameters
    const exponential = new Exponential(f)
    const lowest = f.local('v128', f32x4.const(-87))
    const highest = f.local('v128', f32x4.const(88))
    const [g, x, p] = [f.locals('v128', 2), f.locals('v128', 2), f.locals('v128', 2)]
    const spare = g.map(() => f.locals('v128', 2) as [V, V])
    f.countdown(
      left,
      () => {
        for (const [i, gi] of g.entries()) {
          f.set(gi, v128.load(gate, 16 * i))
          f.set(x[i]!, f32x4.pmin(f32x4.pmax(f32x4.neg(gi), lowest), highest))
        }
        exponential.of(x, p, spare)
        for (const [i, gi] of g.entries()) {
          const swish = f32x4.div(gi, f32x4.add(exponential.one, p[i]!))
          f.do(v128.store(gate, 16 * i, f32x4.mul(swish, v128.load(up, 16 * i))))
        }
        for (const each of [gate, up]) f.set(each, plus(each, 32))
      },
      2
    )
  })
}

/** The largest finite value of float16: an edge is cut to it, since an infinity would become NaN for ever. */
const float16Max = 65_504

/** `(x, y, vectors)`: x = x + y, rounded to the edge type, ties to even. `undefined`: not rounded. */
export function sumAtEdge(m: ModuleWriter, name: string, edge: EdgeType | undefined) {
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
    f.countdown(left, () => {
      f.set(sum, f32x4.add(v128.load(x), v128.load(y)))
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
