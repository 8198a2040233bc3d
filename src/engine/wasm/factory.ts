/** The engine in WebAssembly as a factory. */
import { join } from 'node:path'
import { unlessAborted } from '../../base/abort.ts'
import { askThread } from '../ask-thread.ts'
import { whyNotComputable } from '../computable.ts'
import { EngineError } from '../../errors.ts'
import type { EngineFactory, Measured, SelfTest } from '../factory.ts'
import { measureOnce } from '../measured.ts'
import { threadFile } from '../thread-file.ts'
import { measureTimings } from '../timings.ts'
import { compareInWasm } from './comparison-service.ts'
import { createWasmEngine, startSpan } from './engine.ts'
import { wasmFootprint } from './footprint.ts'
import { formsHere, whyNot } from './forms.ts'
import { computed } from './layer-kinds.ts'
import { arithmeticClasses, arithmeticRevision, trialNames } from './numeric-class.ts'
import { whyTooLarge } from './sections.ts'

/** The class that this process has computed: it is the machine's, whichever peer and model it is for. */
let classHere: Promise<string> | undefined

async function classOfThread(signal: AbortSignal): Promise<string> {
  const what = 'the self-test of the WebAssembly engine'
  classHere ??= askThread<string>(threadFile(import.meta.url, 'class-worker'), { what })
  const asked = classHere
  // Who asks after a failure has it tried again.
  asked.catch(() => {
    if (classHere === asked) classHere = undefined
  })
  return unlessAborted(asked, signal)
}

/**
 * The engine in WebAssembly, which gives the same bits on every machine: what a peer computes with, unless it is told otherwise.
 */
export const wasmEngine: EngineFactory = {
  name: 'wasm',
  exactness: 'class',
  supports: manifest => whyNot() ?? whyNotComputable(manifest, computed) ?? whyTooLarge(manifest),
  footprint: wasmFootprint,
  measure({ manifest: { config, weights, edge }, dataDir, keeping, threads, signal }) {
    const init = { config, weights, edge, threads, signal }
    const measure = async (): Promise<Measured> => {
      const numericClass = await classOfThread(signal)
      return { ...(await measureTimings(startSpan, init)), numericClass }
    }
    const key = ['wasm', arithmeticRevision, trialNames, config, weights, edge, threads]
    return measureOnce(join(dataDir, 'measured.json'), key, measure, keeping)
  },
  async selfTest({ signal }): Promise<SelfTest> {
    const refusal = whyNot()
    if (refusal !== undefined) throw new EngineError(refusal)
    const numericClass = await classOfThread(signal)
    return {
      numericClass,
      isExpected: numericClass === arithmeticClasses.f32,
      isRelaxed: formsHere().dot === 'relaxed'
    }
  },
  create: createWasmEngine,
  compare: compareInWasm
}
