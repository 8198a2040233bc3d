/** Models as a store has them, by kind. */
import type { ModelId } from '../base/ids.ts'
import { WrongModelKindError } from '../errors.ts'
import { type AnyManifest, type GraphManifest, isGraph, type Manifest } from './manifest.ts'

/** A model in a store, of whatever kind. */
export interface Stored<M extends AnyManifest> {
  readonly id: ModelId
  readonly manifest: M
  /** The store folder whose `manifests/` names it. */
  readonly folder: string
  /** True when it is in a read-only folder. */
  readonly shipped: boolean
}

/** A decoder, which continues text. */
export type StoredModel = Stored<Manifest>
/** A graph, which is asked with tensors. */
export type StoredGraph = Stored<GraphManifest>
/** A decoder or a graph that is known here. */
export type AnyModel = StoredModel | StoredGraph

/** Whether a model is a graph, which is asked with tensors and continues no text. */
export function isStoredGraph(model: AnyModel): model is StoredGraph {
  return isGraph(model.manifest)
}

export function isStoredDecoder(model: AnyModel): model is StoredModel {
  return !isGraph(model.manifest)
}

/** @throws {WrongModelKindError} when it is a graph */
export function asDecoder(model: AnyModel): StoredModel {
  if (!isStoredGraph(model)) return model
  const { name } = model.manifest
  throw new WrongModelKindError(`${name} is a graph and continues no text: skein infer ${name} asks it`)
}

/** @throws {WrongModelKindError} when it is a decoder */
export function asGraph(model: AnyModel): StoredGraph {
  if (isStoredGraph(model)) return model
  const { name } = model.manifest
  throw new WrongModelKindError(`${name} continues text and is no graph: skein ask --model ${name} asks it`)
}
