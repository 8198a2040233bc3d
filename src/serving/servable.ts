/** Whether a peer can serve a model within its budget. Pure. */
import type { Range } from '../base/ids.ts'
import { formatBytes } from '../base/units.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { graphRuntimeOf } from '../engine/graph-runtime.ts'
import { BudgetTooSmallError, EngineError, InvalidOptionError } from '../errors.ts'
import type { AnyModel, StoredGraph, StoredModel } from '../model/stored.ts'
import { isStoredGraph } from '../model/stored.ts'
import { checkBudget, shapeOf } from './shape.ts'

export interface ServableBy {
  readonly engines: readonly EngineFactory[]
  readonly budgetBytes: number
  readonly pinned: Range | null
}

/**
 * @throws {EngineError} when nothing here computes it. @throws {InvalidOptionError} {BudgetTooSmallError} when the budget cannot hold
 *   that part of it.
 */
export function checkServableModel(model: AnyModel, by: ServableBy): void {
  if (isStoredGraph(model)) graphBytes(model, by)
  else checkServable(model, by)
}

/**
 * The engine that serves a decoder within a budget.
 * @throws as {@link checkServableModel}
 */
export function checkServable({ manifest }: StoredModel, { engines, budgetBytes, pinned }: ServableBy): EngineFactory {
  const found = engineFor(engines, manifest)
  if ('refusal' in found) throw new EngineError(found.refusal)
  const { layers } = manifest.config
  if (pinned !== null && !(pinned.start >= 0 && pinned.start < pinned.end && pinned.end <= layers)) {
    throw new InvalidOptionError(
      `layers ${pinned.start}-${pinned.end} are no range of ${manifest.name}, which has layers 0-${layers} (the end is not included)`
    )
  }
  checkBudget(shapeOf(manifest, found.factory.footprint(manifest)), budgetBytes, pinned)
  return found.factory
}

/** Bytes of a budget that a graph takes. @throws as {@link checkServableModel} */
export function graphBytes({ manifest }: StoredGraph, { engines, budgetBytes, pinned }: ServableBy): number {
  const { name } = manifest
  const found = graphRuntimeOf(engines, name)
  if ('refusal' in found) throw new EngineError(found.refusal)
  if (pinned !== null) throw new InvalidOptionError(`${name} is a graph and served whole: it goes without layers`)
  const bytes = found.runtime.footprint(manifest)
  if (bytes > budgetBytes) {
    throw new BudgetTooSmallError(
      `a budget of ${formatBytes(budgetBytes)} cannot hold the graph ${name}: it takes ${bytes} bytes (${formatBytes(bytes)}), of which its runs may use most`
    )
  }
  return bytes
}

/** What something that is to be held whole takes of a budget, and what is to stay beside it. */
export interface WholeRoom {
  readonly bytes: number
  /** Of what is held whole already. */
  readonly wholeBytes: number
  /** That stages need at least. */
  readonly leastBytes: number
  readonly budgetBytes: number
}

/** @throws {BudgetTooSmallError} where there is no room for it. */
export function checkRoom(what: string, { bytes, wholeBytes, leastBytes, budgetBytes }: WholeRoom): void {
  if (bytes + wholeBytes + leastBytes <= budgetBytes) return
  const others = [
    ...(wholeBytes === 0 ? [] : [`the ${formatBytes(wholeBytes)} of what is held whole already`]),
    ...(leastBytes === 0 ? [] : [`the ${formatBytes(leastBytes)} that stages need at least`])
  ]
  const beside = others.length === 0 ? '' : ` beside ${others.join(' and ')}`
  throw new BudgetTooSmallError(
    `a budget of ${formatBytes(budgetBytes)} cannot hold ${what}${beside}: it takes ${bytes} bytes (${formatBytes(bytes)})`
  )
}
