/** Which forms of the kernels this machine can run. All give the same bits. */
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

/** The forms that are used here. */
export function formsHere(): ProductForms {
  // Safari has no relaxed SIMD.
  return { dot: WebAssembly.validate(probe('relaxed')) ? 'relaxed' : 'plain', streams: 3 }
}
