/** What a model is made of, and what it takes of the peers that serve it. Pure. */
import type { CacheType } from '../base/cache-type.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { onnxEngine } from '../engine/onnx/factory.ts'
import { wasmEngine } from '../engine/wasm/factory.ts'
import { shardLayout } from '../model/layout.ts'
import { type GraphManifest, type Manifest, shardOrder } from '../model/manifest.ts'
import { typeOf, type WeightType } from '../model/weight-types.ts'
import { peersHolding } from '../route/fit.ts'
import { stageBytes } from '../route/view.ts'
import { shapeOf } from '../serving/shape.ts'

/** What the weights of a model are. */
export interface ModelContents {
  /** Weights, each counted once: an output matrix that is tied to the embedding is that. */
  readonly parameters: number
  /** Those that a token meets: all but the experts that it does not take. */
  readonly parametersPerToken: number
  /**
   * Types of each kind of matrix (`embedding`, `q`, `down`, …), and how many of its matrices have them, those of all experts of a
   * layer counted as one; the most frequent first.
   */
  readonly weightTypes: Readonly<Record<string, readonly { readonly type: WeightType; readonly matrices: number }[]>>
}

/** What a model takes of the memory of peers whose engines compute it. */
export interface ModelNeeds {
  /** Name of the engine, as {@link EngineFactory} gives it. */
  readonly engine: string
  /** Bytes of a budget that holds all of it, with room for one session of the usual length. */
  readonly wholeBytes: number
  /** The least of a budget that holds one layer, and whatever layer that is. */
  readonly layerBytes: number
  /** Bytes that one token takes in the caches of all layers together. */
  readonly cacheBytesPerToken: number
  /** The same of a token beyond so many of a session, where layers have windows: these hold no more. @default as before */
  readonly beyond?: { readonly tokens: number; readonly cacheBytesPerToken: number }
  /** The same in caches of int8. @default the engine has none */
  readonly i8CacheBytesPerToken?: number
}

/** @param manifest one that was checked */
export function modelContents(manifest: Manifest): ModelContents {
  const counts = new Map<string, Map<WeightType, number>>()
  const { experts } = manifest.config
  let [parameters, unused] = [0, 0]
  for (const place of shardOrder(manifest.config)) {
    const { vectors, matrices } = shardLayout(manifest, place)
    for (const { length } of vectors) parameters += length
    for (const { inputs, parts } of matrices) {
      for (const { rows, expert } of parts) {
        parameters += inputs * rows
        if (expert !== undefined && expert >= experts!.used) unused += inputs * rows
      }
      for (const name of new Set(parts.map(part => part.name))) {
        const type = typeOf(manifest.weights, name, place.layer)
        const of = counts.get(name) ?? new Map<WeightType, number>()
        counts.set(name, of.set(type, (of.get(type) ?? 0) + 1))
      }
    }
  }
  const weightTypes = [...counts].map(([name, of]) => [
    name,
    [...of].map(([type, matrices]) => ({ type, matrices })).toSorted((a, b) => b.matrices - a.matrices)
  ])
  return {
    parameters,
    parametersPerToken: parameters - unused,
    weightTypes: Object.fromEntries(weightTypes) as ModelContents['weightTypes']
  }
}

/**
 * @param engines as with `PeerInit.engines`
 * @returns what the first of them that supports the model takes, or why none does
 */
export function modelNeeds(
  manifest: Manifest,
  engines: readonly EngineFactory[] = [wasmEngine, onnxEngine]
): ModelNeeds | { readonly refusal: string } {
  const found = engineFor(engines, manifest)
  if ('refusal' in found) return found
  const { name, footprint } = found.factory
  const own = footprint(manifest)
  const { layers } = manifest.config
  const shape = shapeOf(manifest, own)
  const { cachePageTokens: page = 1, i8CachePageTokens: i8Page = 1 } = own
  const alike = (tokens: number, type: CacheType): number =>
    layers * (type === 'f32' ? own.cacheBytesPerLayer(tokens) : own.i8CacheBytesPerLayer!(tokens))
  const bytesOf = own.cacheBytes ?? alike
  const { latestTokens = [], givesBackWindows = false } = shape
  const latest = Math.max(...latestTokens.filter(tokens => tokens !== undefined))
  // Where all layers with windows hold what they ever will.
  const far = page * (Math.ceil(latest / page) + 2)
  return {
    engine: name,
    wholeBytes: stageBytes(shape, { start: 0, end: layers }),
    layerBytes: Math.max(...shape.layerBytes.map((_, start) => stageBytes(shape, { start, end: start + 1 }))),
    cacheBytesPerToken: bytesOf(page, 'f32') / page,
    ...(givesBackWindows
      ? { beyond: { tokens: latest, cacheBytesPerToken: (bytesOf(2 * far, 'f32') - bytesOf(far, 'f32')) / far } }
      : {}),
    ...(own.i8CacheBytesPerLayer === undefined ? {} : { i8CacheBytesPerToken: bytesOf(i8Page, 'i8') / i8Page })
  }
}

/** What a graph takes of the budget of a peer that serves it, or why no engine runs graphs. */
export function graphNeeds(
  manifest: GraphManifest,
  engines: readonly EngineFactory[] = [wasmEngine, onnxEngine]
): Pick<ModelNeeds, 'engine' | 'wholeBytes'> | { readonly refusal: string } {
  const runtime = engines.find(({ graphs }) => graphs !== undefined)?.graphs
  if (runtime === undefined) return { refusal: 'none of these engines runs graphs, onnx does' }
  return { engine: runtime.name, wholeBytes: runtime.footprint(manifest) }
}

/**
 * How many peers hold a model together, once, where each gives so much memory.
 *
 * @returns undefined where one of its layers does not fit, or no engine supports the model
 */
export function peersNeeded(
  manifest: Manifest,
  memoryBytes: number,
  engines: readonly EngineFactory[] = [wasmEngine, onnxEngine]
): number | undefined {
  const found = engineFor(engines, manifest)
  if ('refusal' in found) return undefined
  return peersHolding(shapeOf(manifest, found.factory.footprint(manifest)), memoryBytes)
}
