/**
 * Stages that do not come. A peer says that it loads layers, or the plan has it load them and it says nothing; where that takes
 * far longer than its bytes can explain, something is wrong with its disk, its sources or its engine, and who goes on planning
 * with it leaves those layers uncovered for ever. Then placement asks it for nothing but what it serves, until the stage
 * serves after all, or a while has passed since it gave up: it may try again, less and less often. Nobody charges it. Pure.
 */
import type { PeerId, Range } from '../base/ids.ts'
import { overdueFetchBytesPerMs, overdueHoldMaxMs, overdueHoldMs, overdueLoadBytesPerMs, overdueMs } from './limits.ts'
import { lacks, type ModelShape, type PeerView, sameRange, shapeAt, stageBytes } from './view.ts'

interface Awaited {
  /** What is to come. */
  range: Range | undefined
  /** Since when it is awaited, or since when some of what it lacked has come. */
  sinceMs: number
  /** Bytes of shards that it had to fetch then. */
  lackedBytes: number
  /** How often in a row nothing came. */
  misses: number
  /** It is done without until then; undefined while it is not. Infinite as long as it says that it loads. */
  stuckUntilMs: number | undefined
}

export class Overdue {
  readonly #self: PeerId
  readonly #awaited = new Map<PeerId, Awaited>()

  constructor(self: PeerId) {
    this.#self = self
  }

  /** Whether placement does without what a peer was to load. */
  isStuck(peer: PeerId): boolean {
    return this.#awaited.get(peer)?.stuckUntilMs !== undefined
  }

  /**
   * Looks at what peers have and at what the plan has them load.
   *
   * @param views of the present peers, with what each may fetch
   * @param targets the plan that this peer follows, if it follows one
   * @returns when to look again at the latest, or null
   */
  look(
    views: readonly PeerView[],
    targets: ReadonlyMap<PeerId, Range | null> | undefined,
    model: ModelShape,
    nowMs: number
  ): number | null {
    const present = new Set(views.map(({ peer }) => peer))
    // Who goes begins anew when it comes back: it is another process then.
    for (const peer of this.#awaited.keys()) if (!present.has(peer)) this.#awaited.delete(peer)
    let wakeAtMs = Number.POSITIVE_INFINITY
    for (const view of views) {
      if (view.peer === this.#self) continue
      const dueMs = this.#lookAt(view, targets?.get(view.peer) ?? null, model, nowMs)
      wakeAtMs = Math.min(wakeAtMs, dueMs)
    }
    return Number.isFinite(wakeAtMs) ? wakeAtMs : null
  }

  /** @returns when something about it may change by time alone */
  #lookAt(view: PeerView, target: Range | null, model: ModelShape, nowMs: number): number {
    const loading = view.stages.find(stage => !stage.serving)
    const isPlanned = target !== null && !view.stages.some(stage => sameRange(stage, target))
    const range = view.leaving === true ? undefined : (loading ?? (isPlanned ? target : undefined))
    const known = this.#awaited.get(view.peer)
    if (known === undefined && range === undefined) return Number.POSITIVE_INFINITY
    const awaited = known ?? { range: undefined, sinceMs: nowMs, lackedBytes: 0, misses: 0, stuckUntilMs: undefined }
    this.#awaited.set(view.peer, awaited)
    if (awaited.stuckUntilMs !== undefined) {
      const isThere = awaited.range !== undefined && view.stages.some(at => at.serving && sameRange(at, awaited.range!))
      if (isThere) {
        this.#awaited.delete(view.peer)
        return Number.POSITIVE_INFINITY
      }
      // While it says that it loads it is not asked for anything else; from then on it has its pause.
      if (loading !== undefined) awaited.stuckUntilMs = Number.POSITIVE_INFINITY
      else if (awaited.stuckUntilMs === Number.POSITIVE_INFINITY) awaited.stuckUntilMs = nowMs + holdMs(awaited)
      if (nowMs < awaited.stuckUntilMs) return awaited.stuckUntilMs
      awaited.stuckUntilMs = undefined
      awaited.range = undefined
    }
    if (range === undefined) {
      // What was awaited serves, or is not wanted any more.
      if (awaited.range !== undefined && view.stages.some(at => at.serving && sameRange(at, awaited.range!))) {
        this.#awaited.delete(view.peer)
      }
      awaited.range = undefined
      return Number.POSITIVE_INFINITY
    }
    const lackedBytes = lackedBytesOf(view, model, range)
    if (awaited.range === undefined || !sameRange(awaited.range, range) || lackedBytes < awaited.lackedBytes) {
      awaited.range = { start: range.start, end: range.end }
      awaited.sinceMs = nowMs
    }
    awaited.lackedBytes = lackedBytes
    const dueMs = awaited.sinceMs + patienceMs(view, model, range, lackedBytes)
    if (nowMs < dueMs) return dueMs
    awaited.misses++
    awaited.stuckUntilMs = loading === undefined ? nowMs + holdMs(awaited) : Number.POSITIVE_INFINITY
    return awaited.stuckUntilMs
  }
}

/** A peer whose stage does not come, as plans see it: with what it serves. */
export function withoutAwaited(view: PeerView): PeerView {
  return { ...view, stages: view.stages.filter(({ serving }) => serving), isStuck: true }
}

/** How long a stage may take to serve. */
function patienceMs(view: PeerView, model: ModelShape, range: Range, lackedBytes: number): number {
  const bytes = stageBytes(shapeAt(view, model), range)
  return overdueMs + bytes / overdueLoadBytesPerMs + lackedBytes / overdueFetchBytesPerMs
}

function holdMs({ misses }: Awaited): number {
  return Math.min(overdueHoldMaxMs, overdueHoldMs * 2 ** (misses - 1))
}

/** Bytes of a stage's shards that a peer has not on its disk. */
function lackedBytesOf(view: PeerView, model: ModelShape, { start, end }: Range): number {
  const { layerBytes, embeddingBytes, headBytes, layers, tiedEmbeddings } = shapeAt(view, model)
  const isTail = end === layers
  let bytes = 0
  for (const [layer, isLacked] of lacks(view, model).entries()) {
    if (isLacked && layer >= start && layer < end) bytes += layerBytes[layer]!
  }
  if (!view.holdsEmbedding && (start === 0 || (isTail && tiedEmbeddings))) bytes += embeddingBytes
  if (!view.holdsHead && isTail) bytes += headBytes
  return bytes
}
