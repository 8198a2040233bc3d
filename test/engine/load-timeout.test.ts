/** A thread that loads has a deadline that grows with what it reads. */
import { Worker } from 'node:worker_threads'
import { afterEach, expect, it, vi } from 'vitest'
import { EngineError } from '../../src/errors.ts'
import { engineLoadBytesPerMs, engineLoadMs, engineWatchMs } from '../../src/engine/limits.ts'
import { loadTimeoutMs } from '../../src/engine/load-timeout.ts'
import { startThreaded } from '../../src/engine/threaded.ts'
import { shardBytes } from '../../src/model/layout.ts'

/** Llama 2 70B. */
const config = {
  ...{ layers: 80, hidden: 8192, intermediate: 28_672, heads: 64, kvHeads: 8, headDim: 128, vocab: 32_000 },
  ...{ contextMax: 4096, ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: false }
}
const shape = { config, weights: 'q8' } as const

it('is as long as a card takes to read the stage, and some minutes', () => {
  const layerBytes = shardBytes(shape, { role: 'layer', layer: 4 })
  expect(loadTimeoutMs({ ...shape, start: 4, end: 28 })).toBe(engineLoadMs + (24 * layerBytes) / engineLoadBytesPerMs)
  // Some 20 GB, of which a disk of 100 MB/s gives all in 200 s.
  expect(24 * layerBytes).toBeGreaterThan(20e9)
  expect(loadTimeoutMs({ ...shape, start: 4, end: 28 })).toBeGreaterThan(10 * ((24 * layerBytes) / 100e3))
  // What comes with the first layer and the last one is read, too.
  const [first, last] = [loadTimeoutMs({ ...shape, start: 0, end: 1 }), loadTimeoutMs({ ...shape, start: 79, end: 80 })]
  expect(Math.min(first, last)).toBeGreaterThan(loadTimeoutMs({ ...shape, start: 4, end: 5 }))
})

const post = Worker.prototype.postMessage

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

it('is what a thread has that says nothing', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  const beganMs = performance.now()
  const span = { ...shape, edge: 'f16', start: 4, end: 28, threads: 1, source: { kind: 'synthetic' } } as const
  // It says nothing, and ends when it is told to.
  const silent = `import { parentPort } from 'node:worker_threads'; parentPort.once('message', () => process.exit())`
  let toldMs: number | undefined
  // The first thing that it is told is that it is given up.
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...message) {
    toldMs ??= performance.now() - beganMs
    post.apply(this, message)
  })
  const engine = startThreaded({
    file: new URL(`data:text/javascript,${encodeURIComponent(silent)}`),
    span: { ...span, shardLocations: new Map() },
    cacheBytes: () => 0,
    cacheBytesMax: 0,
    batches: { rowsMax: 128, shares: true }
  })
  const refused = expect(engine).rejects.toThrow(
    new EngineError('the thread of layers 4-28 failed: it did not answer in time')
  )
  const timeoutMs = loadTimeoutMs(span)
  await vi.advanceTimersByTimeAsync(timeoutMs + 10_000)
  await refused
  expect(toldMs).toBeGreaterThan(timeoutMs)
  expect(toldMs).toBeLessThanOrEqual(timeoutMs + 2 * engineWatchMs)
})
