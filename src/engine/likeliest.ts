/** Which tokens have the largest logits. Ties go to the lower id everywhere. Pure. */
import { EngineError } from '../errors.ts'

/** The lowest id of the largest logit. @throws {EngineError} when one is not finite. */
export function argmax(logits: Float32Array): number {
  let best = 0
  let max = Number.NEGATIVE_INFINITY
  // 0 for every finite value; NaN, once in, stays.
  let check = 0
  for (let id = 0; id < logits.length; id++) {
    const value = logits[id]!
    check += value - value
    if (value > max) {
      max = value
      best = id
    }
  }
  if (check !== 0) {
    const bad = logits.findIndex(value => !Number.isFinite(value))
    throw new EngineError(
      `logits must be finite, but token ${bad} has ${logits[bad]}: the weights or the input overflow`
    )
  }
  return best
}

/** The k most likely ids of [vocab] logits, k at most vocab, most likely first, ties by the lower id: a heap has the least likely of those kept at its root. */
export function mostLikely(logits: Float32Array, k: number): number[] {
  const less = (a: number, b: number): boolean => logits[a]! < logits[b]! || (logits[a]! === logits[b]! && a > b)
  const heap: number[] = []
  const sink = (from: number): void => {
    let i = from
    const id = heap[i]!
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && less(heap[child + 1]!, heap[child]!)) child++
      if (!less(heap[child]!, id)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = id
  }
  for (let id = 0; id < k; id++) heap.push(id)
  for (let i = k >> 1; i-- > 0; ) sink(i)
  for (let id = k; id < logits.length; id++) {
    if (!less(heap[0]!, id)) continue
    heap[0] = id
    sink(0)
  }
  return heap.sort((a, b) => logits[b]! - logits[a]! || a - b)
}
