/** The thread of the engine in WebAssembly. */
import { availableParallelism } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../base/assert.ts'
import { serveThread } from '../serve-thread.ts'
import { syntheticLayers } from '../synthetic.ts'
import type { SpanInit } from '../thread-messages.ts'
import { CheckedModules } from './compile.ts'
import { setCompiler } from './compiler.ts'
import { formsHere } from './forms.ts'
import { largePages } from './large-pages.ts'
import { WasmSpan } from './span.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
setCompiler()
const init = workerData as SpanInit
await serveThread(parentPort, init, async () => {
  const source =
    init.source.kind === 'synthetic' ? ({ kind: 'memory', files: syntheticLayers(init) } as const) : init.source
  // More threads than processors wait for one another.
  const threads = Math.min(init.threads, availableParallelism())
  const checked = new CheckedModules(init.kernels)
  const span = await WasmSpan.load({
    ...{ ...init, source, forms: formsHere(() => performance.now()), threads, checked, largePages: largePages() }
  })
  await span.gather()
  return span
})
