/**
 * How a thread that computes with ONNX Runtime ends: by itself. Terminated from outside while it is in there, what the
 * binding then throws has nobody to catch it, and the whole process is aborted (`terminate called after throwing an
 * instance of 'Napi::Error'`).
 */
import type { Worker } from 'node:worker_threads'
import { engineCloseTimeoutMs } from './limits.ts'

/**
 * Waits until a thread that has nothing more to do, or was asked to close, has ended. One that is stuck is left behind:
 * it holds its memory, but the process lives and may end without it.
 */
export async function threadEnd(worker: Worker): Promise<void> {
  // Node sets the id to -1 when the thread has ended.
  if (worker.threadId === -1) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = (): void => resolve()
  worker.once('exit', done)
  const timer = setTimeout(done, engineCloseTimeoutMs)
  await promise
  clearTimeout(timer)
  worker.off('exit', done)
  worker.unref()
}
