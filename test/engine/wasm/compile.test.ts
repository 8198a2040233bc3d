import { afterEach, expect, it, vi } from 'vitest'
import { EngineError } from '../../../src/errors.ts'
import { compileKernels } from '../../../src/engine/wasm/compile.ts'
import { setCompiler } from '../../../src/engine/wasm/compiler.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { needs } from '../../needs.ts'

const init = {
  config: { hidden: 64, heads: 4, kvHeads: 4, headDim: 16, normEpsilon: 1e-5, ropeTheta: 10_000 },
  types: new Set(['q8'] as const),
  edge: 'f16',
  forms: formsHere()
} as const

const paired = needs(process.arch === 'x64' ? undefined : 'V8 pairs vectors on x64 alone')
afterEach(() => void vi.unstubAllGlobals())

/** A compiler that makes a wrong kernel of bytes that it sees while `isWrong`, and gives the same code for the same bytes ever after. */
function stubCompiler(isWrong: () => boolean): void {
  const { Module, Instance, Memory, validate } = WebAssembly
  const wrong = new Set<string>()
  const bytesOf = new WeakMap<object, string>()
  const compile = (bytes: Uint8Array<ArrayBuffer>): WebAssemblyModule => {
    const key = Buffer.from(bytes).toString('base64')
    if (isWrong()) wrong.add(key)
    const module = new Module(bytes)
    bytesOf.set(module, key)
    return module
  }
  const instantiate = (module: WebAssemblyModule, imports: never): { exports: object } => {
    const { exports } = new Instance(module, imports)
    return { exports: wrong.has(bytesOf.get(module)!) ? { ...exports, norm() {} } : exports }
  }
  vi.stubGlobal('WebAssembly', {
    ...{ Memory, validate },
    Module: new Proxy(Module, { construct: (_, [bytes]) => compile(bytes) }),
    Instance: new Proxy(Instance, { construct: (_, [module, imports]) => instantiate(module, imports as never) })
  })
}

it('compiles again without pairs where a kernel is wrong, and not from what was compiled', paired, () => {
  setCompiler()
  let compiled = 0
  stubCompiler(() => compiled++ === 0)
  expect(() => compileKernels(init, { shared: false })).not.toThrow()
  expect(compiled).toBe(2)
})

it('refuses a machine where that does not help, and names the kernel', () => {
  stubCompiler(() => true)
  expect(() => compileKernels(init, { shared: false })).toThrow(new EngineError('this machine computes norm wrongly'))
})
