/** Which forms of the kernels this machine can run, and runs faster. All give the same bits. */
import { ModuleWriter } from './emit.ts'
import { f32, i32, i32x4, v128 } from './ops.ts'
import type { ProductForms } from './products.ts'

/** A module of one instruction. */
function probe(instruction: 'simd' | 'relaxed'): Uint8Array<ArrayBuffer> {
  const m = new ModuleWriter({ minimum: 1, maximum: 1, shared: false })
  m.function('probe', ['i32'], f => {
    const [at] = f.parameters
    const value = v128.load(at)
    f.do(v128.store(at, 0, instruction === 'simd' ? value : i32x4.relaxedDotI8x16I7x16AddS(value, value, value)))
    return f32.load(i32.add(at, at))
  })
  return m.finish()
}

/** Why the kernels cannot run here, in one sentence; undefined where they can. */
export function whyNot(): string | undefined {
  if (typeof WebAssembly === 'undefined') return 'this JavaScript engine has no WebAssembly'
  return WebAssembly.validate(probe('simd')) ? undefined : 'this processor has no SIMD that WebAssembly can use'
}

/**
 * The forms that are used here.
 *
 * @param nowMs a clock, to time what cannot be asked. @default the form that is the fastest on most machines is used
 */
export function formsHere(nowMs?: () => number): ProductForms {
  // Safari has no relaxed SIMD.
  if (!WebAssembly.validate(probe('relaxed'))) return { dot: 'plain', signed: 'words', streams: 3, attention: 'words' }
  if (nowMs === undefined || hasByteProducts(nowMs)) return { dot: 'relaxed', streams: 3, attention: 'halves' }
  return { dot: 'relaxed', nibbles: 'i16', signed: 'words', streams: 3, attention: 'words' }
}

/** Sums that are computed side by side, so that none waits for itself. */
const chains = 6
/** Turns that are timed: some 20 µs. The best of a few: what else runs here only adds to them. */
const turns = 2_000
const trials = 5

/** `(turns)`: products of 14 bits, as two of bytes or as two of words with their sums. */
function products(): Uint8Array<ArrayBuffer> {
  const m = new ModuleWriter({ minimum: 1, maximum: 1, shared: false })
  for (const form of ['bytes', 'words'] as const) {
    m.function(form, ['i32'], f => {
      const [left] = f.parameters
      const value = f.local('v128', v128.load(i32.const(0)))
      const sums = f.locals('v128', chains)
      f.countdown(left, () => {
        for (let i = 0; i < 2; i++) {
          for (const sum of sums) {
            if (form === 'bytes') f.set(sum, i32x4.relaxedDotI8x16I7x16AddS(value, value, sum))
            else f.set(sum, i32x4.add(i32x4.dotI16x8S(value, value), sum))
          }
        }
      })
      for (const [i, sum] of sums.entries()) f.do(v128.store(i32.const(16 * i), 0, sum))
    })
  }
  return m.finish()
}

/**
 * Whether this processor has an instruction for sums of products of bytes. Processors of x64 without AVX-VNNI have none, and
 * take five for it.
 */
function hasByteProducts(nowMs: () => number): boolean {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(products()), { env: { memory } })
  const best = (form: 'bytes' | 'words'): number => {
    const run = exports[form] as (turns: number) => void
    const times = Array.from({ length: trials }, () => {
      const began = nowMs()
      run(turns)
      return nowMs() - began
    })
    return Math.min(...times)
  }
  return best('bytes') <= best('words')
}
