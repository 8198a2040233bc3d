/** Kernels of norms: of a row of the hidden state, and of the heads of queries and keys. */
import type { Norms } from '../../model/decoder.ts'
import type { Callee, FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32, f32x4, i32, i32x4, plus, v128 } from './ops.ts'

type V = Local<'v128'>
type I = Local<'i32'>
type RowCallee = Callee<readonly ['i32', 'i32', 'i32']>

export interface NormInit {
  /** Values of a row. */
  readonly width: number
  readonly epsilon: number
  readonly kind: Norms['kind']
}

/** The first lanes of a vector, zeros in the others. */
function firstLanes(value: Value<'v128'>, lanes: number): Value<'v128'> {
  if (lanes === 4) return value
  return v128.and(value, i32x4.lanes([0, 1, 2, 3].map(lane => (lane < lanes ? -1 : 0))))
}

function storeLanes(f: FunctionWriter, at: I, offset: number, value: V, lanes: number): void {
  if (lanes === 4) f.do(v128.store(at, offset, value))
  else for (let lane = 0; lane < lanes; lane++) f.do(f32.store(at, offset + 4 * lane, f32x4.extractLane(value, lane)))
}

/** Visits the vectors of a row, sixteen values at a time, of the last one the lanes that belong to it; `on` moves addresses on. */
function along(f: FunctionWriter, width: number, visit: (vector: number, lanes: number) => void, on: () => void): void {
  const sixteens = Math.floor(width / 16)
  if (sixteens > 0) {
    const left = f.local('i32', i32.const(sixteens))
    f.countdown(left, () => {
      for (let i = 0; i < 4; i++) visit(i, 4)
      on()
    })
  }
  for (let i = 0, rest = width % 16; rest > 0; i++, rest -= 4) visit(i, Math.min(4, rest))
}

/** Of 16 sums the lanes 0…3 of (s0 + s1) + (s2 + s3), as (0 + 2) + (1 + 3). */
function total(f: FunctionWriter, [s0, s1, s2, s3]: readonly V[], value: V): Value<'f32'> {
  f.set(value, f32x4.add(f32x4.add(s0!, s1!), f32x4.add(s2!, s3!)))
  const lane = (i: number): Value<'f32'> => f32x4.extractLane(value, i)
  return f32.add(f32.add(lane(0), lane(2)), f32.add(lane(1), lane(3)))
}

/**
 * `(x, weight, out)`: the norm of one row, which may be in its own place. 16 sums of squares in order, k mod 16, and their
 * {@link total}; r = 1 / sqrt(total / width + epsilon); out = (x · r) · weight. Of the kind `mean`, such a total over width
 * is first taken off each value.
 */
export function norm(m: ModuleWriter, name: string | undefined, { width, epsilon, kind }: NormInit): RowCallee {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [x, weight, out] = f.parameters
    const sums = f.locals('v128', 4)
    const [value, mean] = f.locals('v128', 2) as [V, V]
    const at = f.local('i32')
    const load = (from: I, i: number, lanes: number): void => {
      f.set(value, firstLanes(v128.load(from, 16 * i), lanes))
      if (kind === 'mean') f.set(value, firstLanes(f32x4.sub(value, mean), lanes))
    }
    const summed = (add: (sum: V) => Value<'v128'>): Value<'f32'> => {
      for (const sum of sums) f.set(sum, v128.zero())
      f.set(at, x)
      along(
        f,
        width,
        (i, lanes) => {
          load(at, i, lanes)
          f.set(sums[i]!, add(sums[i]!))
        },
        () => f.set(at, plus(at, 64))
      )
      return f32.div(total(f, sums, value), f32.const(width))
    }
    // Until it is known the mean is 0.
    if (kind === 'mean') f.set(mean, f32x4.splat(summed(sum => f32x4.add(value, sum))))
    const square = summed(sum => f32x4.add(f32x4.mul(value, value), sum))
    const factor = f.local('v128', f32x4.splat(f32.div(f32.const(1), f32.sqrt(f32.add(square, f32.const(epsilon))))))
    along(
      f,
      width,
      (i, lanes) => {
        load(x, i, lanes)
        f.set(value, f32x4.mul(f32x4.mul(value, factor), v128.load(weight, 16 * i)))
        storeLanes(f, out, 16 * i, value, lanes)
      },
      () => {
        for (const each of [x, weight, out]) f.set(each, plus(each, 64))
      }
    )
  })
}

/** `(rows, weight, count)`: the {@link norm} of each of so many rows that lie one behind the other, in their place. */
export function rowNorms(m: ModuleWriter, name: string, init: NormInit) {
  const one = norm(m, undefined, init)
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [rows, weight, count] = f.parameters
    f.countdown(count, () => {
      f.call(one, rows, weight, rows)
      f.set(rows, plus(rows, 4 * init.width))
    })
  })
}
