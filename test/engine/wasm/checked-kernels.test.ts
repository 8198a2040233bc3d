/** Kernels are compiled and checked once for a process, and its threads take them from one another. */
import { expect, it } from 'vitest'
import type { SessionId } from '../../../src/base/ids.ts'
import { checkedModulesMax } from '../../../src/engine/limits.ts'
import type { SpanInit } from '../../../src/engine/thread-messages.ts'
import { threadFile } from '../../../src/engine/thread-file.ts'
import { startThreaded } from '../../../src/engine/threaded.ts'
import { CheckedModules, compileKernels } from '../../../src/engine/wasm/compile.ts'
import { memoryPagesMax } from '../../../src/engine/wasm/emit.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { kernelModule } from '../../../src/engine/wasm/kernels.ts'

const config = {
  ...{ layers: 3, hidden: 64, intermediate: 96, heads: 4, kvHeads: 2, headDim: 16, vocab: 100, contextMax: 64 },
  ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true }
}
const init = { config, types: new Set(['q8'] as const), edge: 'f16', forms: formsHere() } as const

it('compiles again for whatever else they are made of', () => {
  const checked = new CheckedModules()
  const compile = (other: object, shared = false): unknown => compileKernels({ ...init, ...other }, { shared }, checked)
  const first = compile({})
  expect(compile({})).toBe(first)
  const others = [
    compile({ config: { ...config, hidden: 96 } }),
    compile({ config: { ...config, headDim: 32 } }),
    compile({ config: { ...config, normEpsilon: 1e-6 } }),
    compile({ config: { ...config, ropeTheta: 500_000 } }),
    compile({ types: new Set(['q8', 'f32']) }),
    compile({ edge: 'bf16' }),
    compile({ forms: { ...init.forms, streams: 2 } }),
    compile({ forms: { ...init.forms, nibbles: init.forms.nibbles === 'i16' ? 'i32' : 'i16' } }),
    compile({ forms: { ...init.forms, signed: init.forms.signed === 'words' ? 'bytes' : 'words' } }),
    compile({}, true)
  ]
  expect(new Set([first, ...others]).size).toBe(1 + others.length)
  expect(compile({})).toBe(first)
})

it('keeps the newest of many', () => {
  const checked = new CheckedModules()
  const module = compileKernels(init, { shared: false })
  for (let i = 0; i < checkedModulesMax + 2; i++) checked.add(new Map([[String(i), module]]))
  expect([...checked.modules.keys()].at(0)).toBe('2')
  expect(checked.modules.size).toBe(checkedModulesMax)
})

it('gives those of one thread to the next one, which takes them', async () => {
  const span: SpanInit = {
    ...{ config, weights: 'q8', edge: 'f16', start: 1, end: 2, threads: 1, source: { kind: 'synthetic' } },
    shardLocations: new Map([['layer 1', '1']])
  }
  /** Loads, runs a token, and tells what came of it, with the kernels that the thread has. */
  const run = async (kernels: SpanInit['kernels']): Promise<{ has: SpanInit['kernels']; bytes: Uint8Array }> => {
    let has: SpanInit['kernels']
    const engine = await startThreaded({
      file: threadFile(new URL('../../../src/engine/wasm/engine.ts', import.meta.url).href, 'worker'),
      ...{
        span: { ...span, kernels },
        cacheBytes: () => 0,
        cacheBytesMax: 1e6,
        batches: { rowsMax: 128, shares: true }
      },
      onKernels: found => (has = found)
    })
    try {
      const session = '0'.repeat(32) as SessionId
      await engine.open(session, { tokensMax: 1, sampling: { temperature: 0, topK: 0, topP: 1, seed: 0 } })
      const input = { kind: 'hidden', bytes: new Uint8Array(2 * config.hidden).fill(0x3c) } as const
      const signal = new AbortController().signal
      const out = await engine.run({ session, position: 0, tokens: 1, input, sample: false }, { signal })
      if (out.kind !== 'hidden') throw new Error(`a middle stage gave ${out.kind}`)
      return { has, bytes: out.bytes.slice() }
    } finally {
      await engine.close()
    }
  }
  const first = await run(undefined)
  expect(first.has?.size).toBe(1)
  const second = await run(first.has)
  expect(second.bytes).toEqual(first.bytes)
  expect([...second.has!.keys()]).toEqual([...first.has!.keys()])
  // One with no kernels for its weights shows that nothing else is compiled.
  const [key] = [...first.has!.keys()] as [string]
  const memory = { minimum: 1, maximum: memoryPagesMax, shared: false }
  const other = new WebAssembly.Module(kernelModule({ ...init, types: new Set(['f32']), memory }))
  await expect(run(new Map([[key, other]]))).rejects.toThrow(/is not a function/)
})
