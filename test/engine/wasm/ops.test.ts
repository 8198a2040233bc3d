/** Each instruction that kernels use, alone in a module, against the same in plain JavaScript; and each statement of the emitter. */
import { describe, expect, it } from 'vitest'
import { ModuleWriter, signed, unsigned, type Value } from '../../../src/engine/wasm/emit.ts'
import { f32, f32x4, i16x8, i32, i32x4, i8x16, plus, v128 } from '../../../src/engine/wasm/ops.ts'

type V = Value<'v128'>
type I = Value<'i32'>
type F = Value<'f32'>

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
const bytes = new Uint8Array(memory.buffer)
const view = new DataView(memory.buffer)

type Functions = Record<string, (...values: number[]) => number>

function functionsOf(write: (m: ModuleWriter) => void): Functions {
  const m = new ModuleWriter({ minimum: 1, maximum: 1, shared: false })
  write(m)
  const module = new WebAssembly.Module(m.finish())
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Functions
}

const f = Math.fround
const lanes = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Three vectors of the same bytes for the same number; among them such as make lanes extreme. */
function sample(n: number): [Uint8Array, Uint8Array, Uint8Array] {
  const extremes = [0, 0x7f, 0x80, 0xff, 1]
  let state = n
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return n % 3 === 0 ? extremes[(state >>> 16) % extremes.length]! : state >>> 24
  }
  const one = (): Uint8Array => Uint8Array.from({ length: 16 }, next)
  return [one(), one(), one()]
}

/** Three vectors of finite floats, signed zeros and subnormal numbers among them. */
function floats(n: number): [Uint8Array, Uint8Array, Uint8Array] {
  const special = [0, -0, 1, -1, 2 ** -140, 2 ** -126, 3.5, -0.1, 2 ** 100]
  const [a, b, c] = sample(3 * n + 1)
  const one = (from: Uint8Array): Uint8Array => {
    const values = lanes(4).map(i => (n % 2 === 0 ? special[from[i]! % special.length]! : (from[i]! - 128) * 1.37 ** i))
    return new Uint8Array(Float32Array.from(values).buffer)
  }
  return [one(a), one(b), one(c)]
}

const viewOf = (a: Uint8Array): DataView => new DataView(a.buffer, a.byteOffset, 16)
const i8 = (a: Uint8Array, i: number): number => viewOf(a).getInt8(i)
const i16 = (a: Uint8Array, i: number): number => viewOf(a).getInt16(2 * i, true)
const u16 = (a: Uint8Array, i: number): number => viewOf(a).getUint16(2 * i, true)
const i4 = (a: Uint8Array, i: number): number => viewOf(a).getInt32(4 * i, true)
const f4 = (a: Uint8Array, i: number): number => viewOf(a).getFloat32(4 * i, true)

const bytesBy = (lane: (i: number) => number): Uint8Array => Uint8Array.from(lanes(16), lane)
const shortsBy = (lane: (i: number) => number): Uint8Array => new Uint8Array(Int16Array.from(lanes(8), lane).buffer)
const intsBy = (lane: (i: number) => number): Uint8Array => new Uint8Array(Int32Array.from(lanes(4), lane).buffer)
const floatsBy = (lane: (i: number) => number): Uint8Array => new Uint8Array(Float32Array.from(lanes(4), lane).buffer)
const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most)
/** Bytes of 0 to 127, as relaxed products take them. */
const small = (a: Uint8Array): Uint8Array => a.map(byte => byte & 127)
const smallV = (a: V): V => v128.and(a, i32x4.const(0x7f7f7f7f))
const dot = (a: Uint8Array, b: Uint8Array, from: number, count: number): number =>
  lanes(count).reduce((sum, i) => sum + i8(a, from + i) * i8(b, from + i), 0)

type Case = readonly [
  name: string,
  write: (a: V, b: V, c: V) => V,
  reference: (a: Uint8Array, b: Uint8Array, c: Uint8Array) => Uint8Array,
  of?: 'floats'
]

const mixedLanes = [3, 16, 0, 31, 15, 8, 17, 1, 30, 2, 4, 20, 9, 10, 5, 29]

const vectorCases: readonly Case[] = [
  ['v128.and', (a, b) => v128.and(a, b), (a, b) => a.map((x, i) => x & b[i]!)],
  ['v128.or', (a, b) => v128.or(a, b), (a, b) => a.map((x, i) => x | b[i]!)],
  ['v128.xor', (a, b) => v128.xor(a, b), (a, b) => a.map((x, i) => x ^ b[i]!)],
  [
    'v128.bitselect',
    (a, b, c) => v128.bitselect(a, b, c),
    (a, b, c) => a.map((x, i) => (x & c[i]!) | (b[i]! & ~c[i]!))
  ],
  ['v128.zero', () => v128.zero(), () => new Uint8Array(16)],
  [
    'i8x16.shuffle',
    (a, b) => i8x16.shuffle(a, b, mixedLanes),
    (a, b) => bytesBy(i => (mixedLanes[i]! < 16 ? a[mixedLanes[i]!]! : b[mixedLanes[i]! - 16]!))
  ],
  ['i8x16.abs', a => i8x16.abs(a), a => bytesBy(i => Math.abs(i8(a, i)))],
  [
    'i8x16.narrowI16x8S',
    (a, b) => i8x16.narrowI16x8S(a, b),
    (a, b) => bytesBy(i => clamp(i < 8 ? i16(a, i) : i16(b, i - 8), -128, 127))
  ],
  [
    'i8x16.narrowI16x8U',
    (a, b) => i8x16.narrowI16x8U(a, b),
    (a, b) => bytesBy(i => clamp(i < 8 ? i16(a, i) : i16(b, i - 8), 0, 255))
  ],
  ['i8x16.shrS', a => i8x16.shrS(a, 7), a => bytesBy(i => i8(a, i) >> 7)],
  ['i16x8.extaddPairwiseI8x16U', a => i16x8.extaddPairwiseI8x16U(a), a => shortsBy(i => a[2 * i]! + a[2 * i + 1]!)],
  [
    'i16x8.narrowI32x4S',
    (a, b) => i16x8.narrowI32x4S(a, b),
    (a, b) => shortsBy(i => clamp(i < 4 ? i4(a, i) : i4(b, i - 4), -32768, 32767))
  ],
  [
    'i16x8.relaxedDotI8x16I7x16S',
    (a, b) => i16x8.relaxedDotI8x16I7x16S(a, smallV(b)),
    (a, b) => shortsBy(i => dot(a, small(b), 2 * i, 2))
  ],
  ['i16x8.extendLowI8x16S', a => i16x8.extendLowI8x16S(a), a => shortsBy(i => i8(a, i))],
  ['i16x8.extendHighI8x16S', a => i16x8.extendHighI8x16S(a), a => shortsBy(i => i8(a, 8 + i))],
  ['i16x8.shrU', a => i16x8.shrU(a, 4), a => shortsBy(i => u16(a, i) >>> 4)],
  ['i16x8.shl', a => i16x8.shl(a, 8), a => shortsBy(i => i16(a, i) << 8)],
  ['i16x8.shrS', a => i16x8.shrS(a, 8), a => shortsBy(i => i16(a, i) >> 8)],
  ['i16x8.add', (a, b) => i16x8.add(a, b), (a, b) => shortsBy(i => i16(a, i) + i16(b, i))],
  ['i32x4.const', () => i32x4.const(-77_777), () => intsBy(() => -77_777)],
  ['i32x4.lanes', () => i32x4.lanes([1, -2, 3, -77_777]), () => intsBy(i => [1, -2, 3, -77_777][i]!)],
  ['i32x4.splat', () => i32x4.splat(i32.const(123_456_789)), () => intsBy(() => 123_456_789)],
  ['i32x4.extendLowI16x8S', a => i32x4.extendLowI16x8S(a), a => intsBy(i => i16(a, i))],
  [
    'i32x4.eq',
    (a, b) => i32x4.eq(v128.and(a, b), a),
    (a, b) => intsBy(i => ((i4(a, i) & i4(b, i)) === i4(a, i) ? -1 : 0))
  ],
  ['i32x4.shl', a => i32x4.shl(a, 13), a => intsBy(i => i4(a, i) << 13)],
  ['i32x4.shrU', a => i32x4.shrU(a, 9), a => intsBy(i => i4(a, i) >>> 9)],
  ['i32x4.add', (a, b) => i32x4.add(a, b), (a, b) => intsBy(i => i4(a, i) + i4(b, i))],
  ['i32x4.sub', (a, b) => i32x4.sub(a, b), (a, b) => intsBy(i => i4(a, i) - i4(b, i))],
  [
    'i32x4.dotI16x8S',
    (a, b) => i32x4.dotI16x8S(a, b),
    (a, b) => intsBy(i => i16(a, 2 * i) * i16(b, 2 * i) + i16(a, 2 * i + 1) * i16(b, 2 * i + 1))
  ],
  ['i32x4.spread', a => i32x4.spread(a, 2), a => intsBy(() => i4(a, 2))],
  [
    'i32x4.relaxedDotI8x16I7x16AddS',
    (a, b, c) => i32x4.relaxedDotI8x16I7x16AddS(a, smallV(b), c),
    (a, b, c) => intsBy(i => i4(c, i) + dot(a, small(b), 4 * i, 4))
  ],
  ['f32x4.const', () => f32x4.const(0.1), () => floatsBy(() => f(0.1))],
  ['f32x4.splat', () => f32x4.splat(f32.const(-2.3)), () => floatsBy(() => f(-2.3))],
  ['f32x4.lt', (a, b) => f32x4.lt(a, b), (a, b) => intsBy(i => (f4(a, i) < f4(b, i) ? -1 : 0)), 'floats'],
  ['f32x4.ge', (a, b) => f32x4.ge(a, b), (a, b) => intsBy(i => (f4(a, i) >= f4(b, i) ? -1 : 0)), 'floats'],
  ['f32x4.abs', a => f32x4.abs(a), a => floatsBy(i => Math.abs(f4(a, i))), 'floats'],
  ['f32x4.neg', a => f32x4.neg(a), a => floatsBy(i => -f4(a, i)), 'floats'],
  ['f32x4.add', (a, b) => f32x4.add(a, b), (a, b) => floatsBy(i => f4(a, i) + f4(b, i)), 'floats'],
  ['f32x4.sub', (a, b) => f32x4.sub(a, b), (a, b) => floatsBy(i => f4(a, i) - f4(b, i)), 'floats'],
  ['f32x4.mul', (a, b) => f32x4.mul(a, b), (a, b) => floatsBy(i => f4(a, i) * f4(b, i)), 'floats'],
  [
    'f32x4.div',
    (a, b) => f32x4.div(a, f32x4.add(f32x4.abs(b), f32x4.const(1))),
    (a, b) => floatsBy(i => f4(a, i) / f(Math.abs(f4(b, i)) + 1)),
    'floats'
  ],
  ['f32x4.max', (a, b) => f32x4.max(a, b), (a, b) => floatsBy(i => Math.max(f4(a, i), f4(b, i))), 'floats'],
  [
    'f32x4.pmin',
    (a, b) => f32x4.pmin(a, b),
    (a, b) => floatsBy(i => (f4(b, i) < f4(a, i) ? f4(b, i) : f4(a, i))),
    'floats'
  ],
  [
    'f32x4.pmax',
    (a, b) => f32x4.pmax(a, b),
    (a, b) => floatsBy(i => (f4(a, i) < f4(b, i) ? f4(b, i) : f4(a, i))),
    'floats'
  ],
  ['f32x4.convertI32x4S', a => f32x4.convertI32x4S(a), a => floatsBy(i => i4(a, i))],
  ['v128.load', (_, b) => b, (_, b) => b],
  ['v128.load8x8S', () => v128.load8x8S(i32.const(13), 4), (_, b) => shortsBy(i => i8(b, 1 + i))],
  ['v128.load16x4S', () => v128.load16x4S(i32.const(14), 4), (_, b) => intsBy(i => i16(b, 1 + i))],
  ['v128.load32Zero', () => v128.load32Zero(i32.const(20)), (_, b) => intsBy(i => (i === 0 ? i4(b, 1) : 0))],
  ['v128.load32Splat', () => v128.load32Splat(i32.const(16), 8), (_, b) => intsBy(() => i4(b, 2))],
  ['v128.load64Zero', () => v128.load64Zero(i32.const(20)), (_, b) => intsBy(i => (i < 2 ? i4(b, 1 + i) : 0))],
  ['v128.load64Splat', () => v128.load64Splat(i32.const(16), 4), (_, b) => intsBy(i => i4(b, 1 + (i % 2)))],
  ['v128.store', a => a, a => a]
]

const has = (simd: V): boolean => {
  const m = new ModuleWriter({ minimum: 1, maximum: 1, shared: false })
  m.function('f', [], g => g.do(v128.store(i32.const(0), 0, simd)))
  return WebAssembly.validate(m.finish())
}

describe('instructions of vectors', () => {
  for (const [name, write, reference, of] of vectorCases) {
    it(name, () => {
      const at = (address: number): V => v128.load(i32.const(address))
      const code = write(at(0), at(16), at(32))
      // Safari has no relaxed SIMD.
      if (name.includes('relaxed') && !has(code)) return
      const { run } = functionsOf(m => {
        m.function('run', [], g => g.do(v128.store(i32.const(64), 0, code)))
      })
      for (let n = 1; n <= 60; n++) {
        const given = of === 'floats' ? floats(n) : sample(n)
        for (const [i, each] of given.entries()) bytes.set(each, 16 * i)
        run!()
        expect([...bytes.subarray(64, 80)], `sample ${n}`).toEqual([...reference(...given)])
      }
    })
  }
})

const numbers = [0, 1, -1, 2, 7, 127, -128, 65_536, 2 ** 31 - 1, -(2 ** 31)]
const reals = [0, -0, 1, -1.5, 0.1, 2 ** -140, 2 ** 100, -3.3e38]

describe('instructions of one number', () => {
  const integer = (write: (a: I, b: I) => I) =>
    functionsOf(m => void m.function('run', ['i32', 'i32'], g => write(...g.parameters))).run!
  it.each<[string, (a: I, b: I) => I, (a: number, b: number) => number]>([
    ['i32.const', () => i32.const(-70_000), () => -70_000],
    ['i32.gtU', (a, b) => i32.gtU(a, b), (a, b) => Number(a >>> 0 > b >>> 0)],
    ['i32.add', (a, b) => i32.add(a, b), (a, b) => (a + b) | 0],
    ['i32.sub', (a, b) => i32.sub(a, b), (a, b) => (a - b) | 0],
    ['i32.mul', (a, b) => i32.mul(a, b), (a, b) => Math.imul(a, b)],
    ['i32.divU', (a, b) => i32.divU(a, i32.add(b, i32.const(3))), (a, b) => ((a >>> 0) / ((b + 3) >>> 0)) | 0],
    ['i32.select', (a, b) => i32.select(a, b, i32.gtU(a, b)), (a, b) => (a >>> 0 > b >>> 0 ? a : b)]
  ])('%s', (_, write, reference) => {
    const run = integer(write)
    for (const a of numbers) for (const b of numbers) expect(run(a, b)).toBe(reference(a, b))
  })

  it.each<[string, (a: F, b: F) => F, (a: number, b: number) => number]>([
    ['f32.const', () => f32.const(0.7), () => f(0.7)],
    ['f32.add', (a, b) => f32.add(a, b), (a, b) => f(f(a) + f(b))],
    ['f32.sub', (a, b) => f32.sub(a, b), (a, b) => f(f(a) - f(b))],
    ['f32.mul', (a, b) => f32.mul(a, b), (a, b) => f(f(a) * f(b))],
    ['f32.div', (a, b) => f32.div(a, b), (a, b) => f(f(a) / f(b))],
    ['f32.max', (a, b) => f32.max(a, b), (a, b) => f(Math.max(f(a), f(b)))],
    ['f32.gt', (a, b) => f32.select(f32.const(1), f32.const(0), f32.gt(a, b)), (a, b) => Number(f(a) > f(b))],
    ['f32.select', (a, b) => f32.select(a, b, f32.gt(a, b)), (a, b) => (f(a) > f(b) ? f(a) : f(b))]
  ])('%s', (_, write, reference) => {
    const { run } = functionsOf(m => void m.function('run', ['f32', 'f32'], g => write(...g.parameters)))
    for (const a of reals) for (const b of reals) expect(run!(a, b)).toBe(reference(a, b))
  })

  it('square roots, lanes, loads and stores', () => {
    const { root, load, lane, real, any, lanes } = functionsOf(m => {
      m.function('root', ['f32'], g => f32.sqrt(g.parameters[0]))
      m.function('load', ['i32'], g => {
        g.do(f32.store(g.parameters[0], 4, f32.const(-7.25)))
        g.do(i32.store(g.parameters[0], 8, i32.const(-2)))
        return f32.load(g.parameters[0], 4)
      })
      m.function('lane', [], () => i32x4.extractLane(v128.load(i32.const(0)), 3))
      m.function('real', [], () => f32x4.extractLane(v128.load(i32.const(0)), 1))
      m.function('any', [], () => v128.anyTrue(v128.load(i32.const(0))))
      m.function('lanes', [], g => {
        g.do(v128.store8Lane(i32.const(200), 3, v128.load(i32.const(0)), 12))
        g.do(v128.store16Lane(i32.const(220), 2, v128.load(i32.const(0)), 6))
        g.do(v128.store64Lane(i32.const(200), 8, v128.load(i32.const(0)), 1))
      })
    })
    for (const value of [0, 1, 2, 0.3, 1e30]) expect(root!(value)).toBe(f(Math.sqrt(f(value))))
    expect(load!(100)).toBe(-7.25)
    expect([view.getFloat32(104, true), view.getInt32(108, true)]).toEqual([-7.25, -2])
    for (const [i, value] of [5, 0, 0, -9].entries()) view.setInt32(4 * i, value, true)
    view.setFloat32(4, 2.5, true)
    expect([lane!(), real!(), any!()]).toEqual([-9, 2.5, 1])
    view.setInt32(8, 77, true)
    bytes.fill(1, 200, 226)
    lanes!()
    // The last lane is -9.
    expect([...bytes.subarray(200, 208)]).toEqual([1, 1, 1, 0xf7, 1, 1, 1, 1])
    expect([208, 212, 216].map(at => view.getInt32(at, true))).toEqual([77, -9, 0x01010101])
    expect([...bytes.subarray(220, 226)]).toEqual([1, 1, 0xf7, 0xff, 1, 1])
    bytes.fill(0, 0, 16)
    expect(any!()).toBe(0)
  })
})

it('every instruction is among them', () => {
  const tested = new Set(vectorCases.map(([name]) => name))
  const rest = [
    'v128.store8Lane',
    'v128.store16Lane',
    'v128.store64Lane',
    'v128.anyTrue',
    'i32x4.extractLane',
    'f32x4.extractLane'
  ]
  const all = Object.entries({ v128, i8x16, i16x8, i32x4, f32x4 }).flatMap(([group, ops]) =>
    Object.keys(ops).map(name => `${group}.${name}`)
  )
  expect(all.filter(name => !tested.has(name))).toEqual(rest)
  expect(Object.keys(i32)).toHaveLength(8)
  expect(Object.keys(f32)).toHaveLength(11)
})

describe('statements', () => {
  it('loop, branch, call and count as they say', () => {
    const { sum, whole, least, spaced } = functionsOf(m => {
      const twice = m.function(undefined, ['i32'], g => {
        g.do(i32.store(i32.const(200), 0, i32.mul(g.parameters[0], i32.const(2))))
      })
      m.function('sum', ['i32'], g => {
        const total = g.local('i32')
        g.countdown(g.parameters[0], () => g.set(total, i32.add(total, g.parameters[0])))
        return total
      })
      m.function('whole', ['i32'], g => {
        const [n] = g.parameters
        const turns = g.local('i32')
        g.while(
          () => i32.gtU(n, i32.const(2)),
          () => {
            g.set(n, i32.sub(n, i32.const(3)))
            g.set(turns, plus(turns, 1))
          }
        )
        return turns
      })
      m.function('least', ['i32', 'i32'], g => {
        const [a, b] = g.parameters
        const out = g.local('i32')
        g.when(
          i32.gtU(a, b),
          () => g.set(out, b),
          () => g.set(out, a)
        )
        g.call(twice, out)
        return out
      })
      m.function('spaced', ['i32', 'i32'], g => {
        const all = g.spaced(g.parameters[0], g.parameters[1], 3)
        return i32.add(i32.mul(all[0]!, i32.const(10_000)), i32.add(i32.mul(all[1]!, i32.const(100)), all[2]!))
      })
    })
    expect([1, 2, 5].map(n => sum!(n))).toEqual([1, 3, 15])
    expect([0, 2, 3, 11].map(n => whole!(n))).toEqual([0, 0, 1, 3])
    expect([least!(4, 9), view.getInt32(200, true)]).toEqual([4, 8])
    expect([least!(9, 4), view.getInt32(200, true)]).toEqual([4, 8])
    expect(spaced!(3, 7)).toBe(31_017)
  })

  it('numbers have the bytes of LEB128', () => {
    expect([0, 1, 127, 128, 624_485].map(unsigned)).toEqual([[0], [1], [127], [0x80, 1], [0xe5, 0x8e, 0x26]])
    expect([0, 63, 64, -1, -64, -65, -123_456].map(signed)).toEqual([
      ...[[0], [63], [0xc0, 0], [0x7f], [0x40], [0xbf, 0x7f]],
      [0xc0, 0xbb, 0x78]
    ])
  })

  it('what does not fit is a defect', () => {
    const m = new ModuleWriter({ minimum: 1, maximum: 1, shared: false })
    m.function('f', ['f32'], g => {
      expect(() => g.set(g.parameters[0], i32.const(1) as unknown as F)).toThrow('a local of f32 takes no i32')
    })
    expect(() => unsigned(-1)).toThrow('is no unsigned integer')
    expect(() => signed(2 ** 33)).toThrow('has no 32 bits')
  })
})
