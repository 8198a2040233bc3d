/** Imports a model as this machine's engines can compute it, and measures what edge type it takes. */
import { type EdgeChoice, chooseEdge } from '../engine/edge-choice.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { wasmEngine } from '../engine/wasm/factory.ts'
import { EngineError, ImportError } from '../errors.ts'
import {
  importGraphIntoLibrary,
  importIntoLibrary,
  type LibraryGraphInit,
  type LibraryImportInit
} from '../model/library.ts'
import type { EdgeType } from '../model/manifest.ts'
import type { StoredGraph, StoredModel } from '../model/store.ts'

export interface ImportModelInit extends Omit<LibraryImportInit, 'edge' | 'whyNot'> {
  /**
   * To what hidden states are rounded between layers. `auto`: to float16 where those of a few texts stay well within it, else to
   * bfloat16.
   * @default 'auto'
   */
  readonly edge?: EdgeType | 'auto'
  /** Told what was measured, where `edge` is `auto`. */
  readonly onEdge?: ((choice: EdgeChoice) => void) | undefined
  /** A model that none of them computes is refused. @default the engine in WebAssembly */
  readonly engines?: readonly EngineFactory[]
}

/**
 * Imports a Hugging Face directory or a GGUF file, holding no more than a part of one layer in memory.
 *
 * @throws {ImportError} in one sentence that says what is wrong with which file, or why no engine computes the model.
 * @throws {InvalidOptionError} when the name is none.
 * @throws the signal's reason.
 */
export async function importModel(init: ImportModelInit): Promise<StoredModel> {
  const { edge = 'auto', onEdge, engines = [wasmEngine], signal = new AbortController().signal, ...rest } = init
  return importIntoLibrary({
    ...rest,
    signal,
    whyNot(manifest) {
      const found = engineFor(engines, manifest)
      return 'refusal' in found ? found.refusal : undefined
    },
    edge:
      edge !== 'auto'
        ? edge
        : async written => {
            const found = engineFor(engines, written.manifest)
            if ('refusal' in found) throw new ImportError(found.refusal)
            const choice = await chooseEdge({ factory: found.factory, ...written, signal }).catch((err: unknown) => {
              if (!(err instanceof EngineError)) throw err
              throw new ImportError(`${rest.source} cannot be imported: ${err.message}`)
            })
            onEdge?.(choice)
            return choice.edge
          }
  })
}

export type ImportGraphInit = Omit<LibraryGraphInit, 'whyNot'>

/**
 * Imports an ONNX file as it is: a graph that is no decoder, to be asked with tensors (`Peer.infer`).
 *
 * @throws {ImportError} in one sentence that says what is wrong with which file. @throws {InvalidOptionError} when the name is none.
 * @throws the signal's reason.
 */
export async function importGraph(init: ImportGraphInit): Promise<StoredGraph> {
  return importGraphIntoLibrary(init)
}
