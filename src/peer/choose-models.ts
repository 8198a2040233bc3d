/** Which models a peer serves from its start on. */
import type { Range } from '../base/ids.ts'
import { InvalidOptionError, UnknownModelError } from '../errors.ts'
import type { AnyModel, ModelStore, StoredModel } from '../model/store.ts'
import type { PeerInit } from './api.ts'

/** A model to serve. */
export interface ChosenModel {
  /** A name or id where the model has to come from peers. */
  readonly model: AnyModel | string
  readonly pinned: Range | null
}

/**
 * The models that a peer is to serve: those that are named, else the one that is plainly meant; none where it holds no layers.
 *
 * @param draft is there to draft with: it is meant only where it is named too.
 * @throws {InvalidOptionError} when a model is named twice, or for a peer that holds no layers. @throws {UnknownModelError}
 */
export async function chooseModels(store: ModelStore, init: PeerInit, draft?: StoredModel): Promise<ChosenModel[]> {
  const { model, models = model === undefined ? [] : [{ model }], layers = null, memoryBytes } = init
  if (model !== undefined && init.models !== undefined) {
    throw new InvalidOptionError('the models to serve are given either as `model` or as `models`, not as both')
  }
  if (memoryBytes === 0) {
    if (models.length === 0 && layers === null) return []
    throw new InvalidOptionError(
      'a peer with no memory for layers serves no model: leave the model out, or give it memory'
    )
  }
  if (models.length === 0) return [{ model: await chooseModel(store, undefined, draft), pinned: layers }]
  if (layers !== null && models.length > 1) {
    throw new InvalidOptionError('with several models, layers are given with the model that they are of')
  }
  const chosen: ChosenModel[] = []
  for (const named of models) {
    const found = { model: await chooseModel(store, named.model), pinned: named.layers ?? layers }
    const id = (each: ChosenModel): string => (typeof each.model === 'string' ? each.model : each.model.id)
    if (chosen.some(each => id(each) === id(found))) {
      throw new InvalidOptionError(`the model '${named.model}' is named twice`)
    }
    chosen.push(found)
  }
  return chosen
}

/**
 * The named model, or its name when it, or who signed it, is not known here and must come from peers; else the only one that was imported or
 * fetched; else the only one that ships. While a manifest here cannot be read it has to be named: that may be the one
 * that this peer is meant to serve, and another in its place would be no help to the swarm and look like it.
 */
export async function chooseModel(
  store: ModelStore,
  nameOrId: string | undefined,
  draft?: StoredModel
): Promise<AnyModel | string> {
  if (nameOrId !== undefined) return (await store.find(nameOrId)).length > 0 ? store.resolve(nameOrId) : nameOrId
  const broken: string[] = []
  const { models, refused } = await store.usable({ onBroken: ({ message }) => broken.push(message) })
  // A model that this peer only asked others about has no shards here.
  const held = await Promise.all(models.map(model => store.held(model)))
  const imported = models.filter(({ shipped, id }, i) => !shipped && held[i]!.length > 0 && id !== draft?.id)
  const choice = imported.length > 0 ? imported : models.filter(({ shipped }) => shipped)
  if (choice.length === 1 && broken.length === 0) return choice[0]!
  const names = choice.map(({ manifest }) => manifest.name).join(', ')
  const which =
    choice.length === 0
      ? 'there is no usable model here: import one'
      : choice.length === 1
        ? `it is not clear which model to serve, name it: ${names} can be used`
        : `there are several models here, name one: ${names}`
  const unusable = [...broken, ...refused.map(({ error }) => error.message)]
  throw new UnknownModelError([which, ...unusable.map(message => `unusable: ${message}`)].join('; '))
}
