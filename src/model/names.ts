/** What a person means by the name of a model: a model is its content, so one name may be that of several. Pure. */
import type { ModelId } from '../base/ids.ts'
import { type Weights, weightsLabel } from './weight-types.ts'

export interface NamedModel {
  readonly id: ModelId
  readonly name: string
}

/** What people are told of a model. */
export function toldOf({ name, weights }: { readonly name: string; readonly weights: Weights }): {
  readonly name: string
  readonly precision: string
} {
  return { name, precision: weightsLabel(weights) }
}

/** Digits of an id that tell models apart for a person. */
const idDigits = 12

/** The models of that name, or of that id or beginning of an id (at least 6 digits). A whole id is never taken for a name. */
export function meantBy<T extends NamedModel>(nameOrId: string, models: readonly T[]): T[] {
  const isId = /^[0-9a-f]{6,64}$/.test(nameOrId)
  const named = isId && nameOrId.length === 64 ? [] : models.filter(({ name }) => name === nameOrId)
  return named.length > 0 || !isId ? named : models.filter(({ id }) => id.startsWith(nameOrId))
}

/** `stories15m (0123456789ab)`: enough of the id to select it. */
export function nameWithId({ id, name }: NamedModel): string {
  return `${name} (${id.slice(0, idDigits)})`
}
