/** Imports a model as this machine's engines can compute it, and measures what edge type it takes and what its weight types cost. */
import { type EdgeChoice, chooseEdge } from '../engine/edge-choice.ts'
import { type Compared, type Comparison, type EngineFactory, engineFor } from '../engine/factory.ts'
import { wasmEngine } from '../engine/wasm/factory.ts'
import { EngineError, ImportError } from '../errors.ts'
import type { Comparer } from '../model/import-comparison.ts'
import { importInThread } from '../model/import-thread.ts'
import { importGraphIntoLibrary, type LibraryGraphInit, type LibraryImportInit } from '../model/library.ts'
import type { EdgeType } from '../model/manifest.ts'
import type { StoredGraph, StoredModel } from '../model/store.ts'
import { weightsLabel } from '../model/weight-types.ts'
import { costly, costOf, type WeightCost } from './weight-cost.ts'

/** Which directory or file becomes a model, under which name, and how its weights are stored. */
export interface ImportModelInit extends Omit<LibraryImportInit, 'edge' | 'whyNot' | 'compare'> {
  /**
   * To what hidden states are rounded between layers. `auto`: to float16 where those of a few texts stay well within it, else to
   * bfloat16.
   * @default 'auto'
   */
  readonly edge?: EdgeType | 'auto'
  /** Told what was measured, where `edge` is `auto`. */
  readonly onEdge?: ((choice: EdgeChoice) => void) | undefined
  /**
   * Where weights are converted to 4 bits, compare what they predict with what the weights predict that were read, over three short
   * texts; what costs much is told in `onNote`. It takes some seconds for a hundred million weights, and room on the disk for one
   * layer in float32.
   * @default true
   */
  readonly check?: boolean
  /** Told how far that has come, in layers. */
  readonly onCheck?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined
  /** Told what was found. */
  readonly onCost?: ((cost: WeightCost) => void) | undefined
  /** A model that none of them computes is refused. @default the engine in WebAssembly */
  readonly engines?: readonly EngineFactory[]
}

/**
 * Imports a Hugging Face directory or a GGUF file, holding no more than a part of one layer in memory. All of it is done in
 * threads of its own: whoever awaits it, a peer that serves included, goes on meanwhile.
 *
 * @throws {ImportError} in one sentence that says what is wrong with which file, or why no engine computes the model.
 * @throws {InvalidOptionError} when the name is none.
 * @throws the signal's reason.
 */
export async function importModel(init: ImportModelInit): Promise<StoredModel> {
  const { edge = 'auto', onEdge, check = true, onCheck, onCost, engines = [wasmEngine], ...rest } = init
  const { signal = new AbortController().signal } = init
  const checking = check ? new WeightCheck({ ...init, engines, signal }) : undefined
  try {
    return await importInThread({
      ...rest,
      signal,
      compare: checking,
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
  } finally {
    await checking?.close()
  }
}

type CheckInit = Pick<ImportModelInit, 'onCheck' | 'onCost' | 'onNote'> & {
  readonly engines: readonly EngineFactory[]
  readonly signal: AbortSignal
}

/** Finds out what a model's weight types cost. What hinders that is told, and ends no import. */
class WeightCheck implements Comparer {
  readonly #init: CheckInit
  #comparison: Comparison | undefined
  #types = ''
  #layers = 0
  #found: Compared | undefined

  constructor(init: CheckInit) {
    this.#init = init
  }

  async begin({ manifest, ...compared }: Parameters<Comparer['begin']>[0]): Promise<void> {
    const { engines, signal } = this.#init
    this.#layers = manifest.config.layers
    this.#types = weightsLabel(manifest.weights)
    const factory = engines.find(each => each.supports(manifest) === undefined && each.compare !== undefined)
    this.#comparison = factory?.compare?.({ manifest, ...compared, signal })
  }

  async layer(layer: number, files: ReadonlyMap<string, string>): Promise<void> {
    if (this.#comparison === undefined) throw new EngineError('no engine of this peer compares weights')
    this.#found = await this.#comparison.layer(layer, files)
    this.#init.onCheck?.({ done: layer + 1, total: this.#layers })
  }

  async end(failure: string | undefined): Promise<void> {
    const { onCost, onNote } = this.#init
    await this.close()
    if (this.#found === undefined) {
      onNote?.(`what weights of ${this.#types} cost this model was not measured: ${failure}`)
      return
    }
    const cost = costOf(this.#found)
    onCost?.(cost)
    const sentence = costly(cost, this.#types)
    if (sentence !== undefined) onNote?.(sentence)
  }

  async close(): Promise<void> {
    await this.#comparison?.close()
  }
}

/** Which ONNX file becomes a graph, and under which name. */
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
