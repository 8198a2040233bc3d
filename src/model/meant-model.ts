/** The one model that a name means among those that may be used here, or the sentence that says what there is. Pure. */
import { AmbiguousModelError, type SkeinError, UnknownModelError } from '../errors.ts'
import { meant } from './named-files.ts'
import { nameWithId } from './names.ts'
import type { AnyModel } from './stored.ts'

/** Models of a store by what may be done with them. */
export interface Usable {
  readonly models: readonly AnyModel[]
  /** Those that are here and may not be used, and why. */
  readonly refused: readonly { readonly model: AnyModel; readonly error: SkeinError }[]
}

/**
 * The model of that name, id, or beginning of an id (at least 6 digits).
 *
 * @param broken why manifests here cannot be read, a sentence each
 * @throws {UnknownModelError} when there is none; says what there is. @throws {AmbiguousModelError} when there is more than one
 * @throws the reason when the one that is meant may not be used
 */
export function meantModel(nameOrId: string, { models, refused }: Usable, broken: readonly string[]): AnyModel {
  const found = meant(models, nameOrId)
  if (found.length === 1) return found[0]!
  const describe = (list: readonly AnyModel[]): string =>
    list.map(({ id, manifest }) => nameWithId({ id, name: manifest.name })).join(', ')
  if (found.length > 1) {
    throw new AmbiguousModelError(
      `'${nameOrId}' is more than one model: ${describe(found)}; give the beginning of an id`
    )
  }
  const [other] = meant(
    refused.map(({ model }) => model),
    nameOrId
  )
  const refusal = refused.find(({ model }) => model === other)
  if (refusal !== undefined) throw refusal.error
  const have = models.length === 0 ? 'there is no model here' : `there are ${describe(models)}`
  throw new UnknownModelError(
    [`no model '${nameOrId}': ${have}`, ...broken.map(message => `unusable: ${message}`)].join('; ')
  )
}
