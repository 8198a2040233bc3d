/** Models as clients see them: those that can answer now. */
import type { ModelStatus, Peer, Status, StoredModel } from '../index.ts'
import { ApiError } from './errors.ts'

export interface ListedModel {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
  readonly skein: { readonly id: string; readonly layers: number; readonly graph: boolean }
}

/** Every layer of it is served by somebody. */
export function isReady({ coverage }: ModelStatus): boolean {
  return coverage.length > 0 && coverage.every(count => count > 0)
}

/** Names by which the models that can answer now are asked: whole ids where two have one name. */
export function answeringNames(status: Status): string[] {
  return listed(status).map(({ id }) => id)
}

/** @param startedS when this peer's front door opened: models have no date of their own */
export function listed(status: Status, startedS = 0): ListedModel[] {
  const ready = status.models.filter(isReady)
  const names = ready.map(({ name }) => name)
  return ready.map(({ id, name, layers, isGraph = false }) => ({
    id: names.filter(each => each === name).length > 1 ? id : name,
    object: 'model',
    created: startedS,
    owned_by: status.swarm,
    skein: { id, layers, graph: isGraph }
  }))
}

/** @throws {ApiError} 404 when no model of that name or id can answer now */
export function listedModel(status: Status, startedS: number, name: string): ListedModel {
  const models = listed(status, startedS)
  const found = models.find(({ id, skein }) => id === name || skein.id === name)
  if (found !== undefined) return found
  const known = models.length === 0 ? 'none can answer now' : models.map(({ id }) => id).join(', ')
  throw new ApiError(404, 'invalid_request_error', `there is no model '${name}' that can answer now: ${known}`, {
    param: 'model',
    code: 'model_not_found'
  })
}

/**
 * What an answer's bits depend on beside its request: the model's content, the precision of its edges, and the classes of the
 * machines that serve it. Answers with the same one and the same seed are the same.
 */
export function fingerprint(peer: Peer, { id, manifest }: StoredModel): string {
  const { peers } = peer.status()
  const classes = peers
    .filter(({ stages }) => stages.some(({ model, serving }) => model === id && serving))
    .flatMap(({ timings }) => timings.filter(({ model }) => model === id).map(({ numericClass }) => numericClass))
  const kinds = [...new Set(classes)].toSorted().map(each => each.slice(0, 12))
  return [id.slice(0, 12), manifest.edge, ...kinds].join('-')
}
