/** The numeric class of this machine's processor with ONNX Runtime. */
import type { Weights } from '../../model/weight-types.ts'
import { askThread } from '../ask-thread.ts'
import { threadFile } from '../thread-file.ts'
import { classWeights } from './numeric-class.ts'

/**
 * 16 hex digits that are equal on two machines whose engines compute the same bits with these weights. Takes
 * 0.2 to 0.5 s, most of it to start a thread.
 * @throws {EngineError} when ONNX Runtime cannot run here, or not in time.
 * @throws the signal's reason when it aborts.
 */
export async function measureNumericClass(
  weights: Weights,
  { signal }: { readonly signal?: AbortSignal } = {}
): Promise<string> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const what = `the numeric class of ${classWeights(weights)}`
  return askThread(threadFile(import.meta.url, 'class-worker'), { workerData: classWeights(weights), what, signal })
}
