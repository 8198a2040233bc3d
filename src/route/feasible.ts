/** Whether a plan can be reached from what serves now without a pause. Pure. */
import type { PeerId, Range } from '../base/ids.ts'
import { isServed } from './route.ts'
import { type ModelShape, type PeerView, sameRange, shapeAt, stageBytes } from './view.ts'

/**
 * Whether the plan can be reached from what serves now without a pause: each peer loads beside its old
 * stage where its budget holds both, and drops the old one first only while others serve every layer.
 * True where nothing serves the whole model anyway.
 *
 * @param isBeside whether it must be reached without dropping anything first
 */
export function isFeasible(
  views: readonly PeerView[],
  stages: ReadonlyMap<PeerId, Range | null>,
  model: ModelShape,
  isBeside = false
): boolean {
  const serving = new Map<PeerId, readonly Range[]>(
    views.map(view => [view.peer, view.stages.filter(stage => stage.serving).map(({ start, end }) => ({ start, end }))])
  )
  const routable = () =>
    isServed(
      views.map(view => ({ ...view, stages: serving.get(view.peer)!.map(stage => ({ ...stage, serving: true })) })),
      model
    )
  if (!routable()) return true
  let waiting = views.filter(view => {
    const target = stages.get(view.peer) ?? null
    return target !== null && !serving.get(view.peer)!.some(stage => sameRange(stage, target))
  })
  while (waiting.length > 0) {
    const stuck: PeerView[] = []
    for (const view of waiting) {
      const target = stages.get(view.peer)!
      const old = serving.get(view.peer)!
      const shape = shapeAt(view, model)
      const bytes = [...old, target].reduce((sum, stage) => sum + stageBytes(shape, stage), 0)
      if (bytes <= view.budgetBytes) {
        serving.set(view.peer, [...old, target])
        continue
      }
      if (isBeside) return false
      serving.set(view.peer, [])
      if (routable()) {
        serving.set(view.peer, [target])
      } else {
        serving.set(view.peer, old)
        stuck.push(view)
      }
    }
    if (stuck.length === waiting.length) return false
    waiting = stuck
  }
  return true
}
