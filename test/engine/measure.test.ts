import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { digestClass } from '../../src/engine/onnx/numeric-class.ts'
import { startEngine } from '../../src/engine/onnx/engine.ts'
import { measureNumericClass } from '../../src/engine/onnx/measure.ts'
import { measureTimings, withFewExperts } from '../../src/engine/timings.ts'
import { startSpan } from '../../src/engine/wasm/engine.ts'

describe('the numeric class', () => {
  it('is the same every time, and another for other weights', async () => {
    const types = ['f32', 'q8', 'q4'] as const
    const first = await Promise.all(types.map(weights => measureNumericClass(weights)))
    for (const digest of first) expect(digest).toMatch(/^[0-9a-f]{16}$/)
    expect(new Set(first).size).toBe(types.length)
    expect(await measureNumericClass('q8')).toBe(first[1])
  })

  it('is measured by a program that node was given on its command line, too', async () => {
    const module = new URL('../../src/engine/onnx/measure.ts', import.meta.url).href
    const program = `import { measureNumericClass } from '${module}'; console.log(await measureNumericClass('q8'))`
    const run = promisify(execFile)
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program])
    expect(stdout.trim()).toBe(await measureNumericClass('q8'))
  })

  it('changes with a single bit', () => {
    const values = Float32Array.of(1, 2, 3)
    const other = values.slice()
    new Uint32Array(other.buffer)[1]! ^= 1
    expect(digestClass([values])).toBe(digestClass([values.slice()]))
    expect(digestClass([other])).not.toBe(digestClass([values]))
  })

  it('ends with its signal', async () => {
    const abort = new AbortController()
    const measured = measureNumericClass('f32', { signal: abort.signal })
    abort.abort(new Error('enough'))
    await expect(measured).rejects.toThrow('enough')
  })
})

describe('timings', () => {
  it('of a mixture of experts are of as many experts as it takes not to stay in a cache', () => {
    const decoder = { layers: 4, hidden: 4096, intermediate: 14_336, heads: 32, kvHeads: 8, headDim: 128, vocab: 50 }
    const rest = { contextMax: 128, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true, ...decoder }
    const countOf = (count: number, used: number, intermediate: number): number | undefined =>
      withFewExperts({ config: { ...rest, experts: { count, used, intermediate } }, weights: 'q4-f16' }).experts?.count
    // Mixtral's: each expert is 99 MB.
    expect(countOf(8, 2, 14_336)).toBe(2)
    expect(countOf(128, 8, 768)).toBe(13)
    expect(countOf(4, 2, 8)).toBe(4)
    expect(withFewExperts({ config: rest, weights: 'q4-f16' })).toBe(rest)
  })

  it('are of layers that another thread makes, however large they are', async () => {
    const wide = { hidden: 2048, intermediate: 8192, heads: 32, kvHeads: 8, headDim: 64, vocab: 50, contextMax: 128 }
    const given = new AbortController()
    const began = process.threadCpuUsage()
    const measured = measureTimings(startEngine, {
      config: { ...wide, layers: 2, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true },
      weights: 'q4',
      edge: 'f16',
      signal: given.signal
    })
    const { user, system } = process.threadCpuUsage(began)
    given.abort(new Error('enough'))
    await expect(measured).rejects.toThrow('enough')
    // In microseconds, whatever else runs here. Made in this thread they took 900 ms.
    expect(user + system).toBeLessThan(200_000)
  })

  const config = {
    layers: 2,
    hidden: 64,
    intermediate: 96,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    vocab: 50,
    contextMax: 128,
    ropeTheta: 10_000,
    normEpsilon: 1e-5,
    tiedEmbeddings: true
  }

  it.each(['f32', 'q8'] as const)('are positive times of a layer and a visit (%s)', async weights => {
    const { visitMs, layerMs } = await measureTimings(startEngine, { config, weights, edge: 'f16' })
    expect(layerMs).toBeGreaterThan(0)
    expect(layerMs).toBeLessThan(1000)
    expect(visitMs).toBeGreaterThanOrEqual(0)
    expect(visitMs).toBeLessThan(1000)
  })

  it('work for a decoder whose layers differ, though more of them are timed than it has', async () => {
    const layers = { of: [{ window: 8 }, { rotation: 'none' }], layers: [0, 1] } as const
    const { layerMs } = await measureTimings(startSpan, {
      config: { ...config, kinds: layers },
      weights: 'q8',
      edge: 'f16'
    })
    expect(layerMs).toBeGreaterThan(0)
  })

  it('work for a context shorter than the measurement', async () => {
    const short = { ...config, contextMax: 3 }
    expect((await measureTimings(startEngine, { config: short, weights: 'q8', edge: 'bf16' })).layerMs).toBeGreaterThan(
      0
    )
  })
})
