/** The engine in WebAssembly: kernels that are written for a model's dimensions, in a thread of their own. */
import { cacheTypes } from '../../base/cache-type.ts'
import type { Engine } from '../engine.ts'
import type { EngineInit } from '../factory.ts'
import type { SpanInit } from '../thread-messages.ts'
import { spanOf } from '../span-of.ts'
import { threadFile } from '../thread-file.ts'
import { startThreaded } from '../threaded.ts'
import { CheckedModules } from './compile.ts'
import { stageCacheBytes } from './footprint.ts'
import { passRowsMax } from './kernels.ts'
import { sectionsOf } from './sections.ts'
import { windowsOf } from '../windows.ts'

/**
 * Loads layers [start, end) of a model into the memory of a thread that computes them.
 * @throws {EngineError} when the range is none of the model's, or the files cannot be loaded.
 * @throws the signal's reason when it aborts.
 */
export async function createWasmEngine(
  init: Omit<EngineInit, 'threads' | 'signal'> & Partial<Pick<EngineInit, 'threads' | 'signal'>>
): Promise<Engine> {
  return startSpan(spanOf(init), init.cacheBytesMax, init.signal)
}

/** Of all engines of this process: whoever has measured it, or loads another stage of a model, need not compile again. */
const checked = new CheckedModules()

/** {@link createWasmEngine} for weights from anywhere: timings use it with layers that the thread makes itself. */
export async function startSpan(span: SpanInit, cacheBytesMax: number, signal?: AbortSignal): Promise<Engine> {
  const { config, start, end } = span
  const { cacheBytesMost } = sectionsOf({ ...span, cacheBytesMax })
  return startThreaded({
    file: threadFile(import.meta.url, 'worker'),
    span: { ...span, cacheBytesMax, kernels: checked.modules },
    cacheBytes: (tokensMax, type) => stageCacheBytes(config, span, tokensMax, type),
    cacheTypes,
    cacheBytesMax,
    cacheBytesMost,
    windows: windowsOf(config, start, end),
    batches: { rowsMax: passRowsMax, shares: true },
    signal,
    onKernels: kernels => checked.add(kernels)
  })
}
