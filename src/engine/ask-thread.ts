/** One answer of a thread that has one thing to do and ends after it. */
import { Worker } from 'node:worker_threads'
import { reasonOf } from '../base/reason.ts'
import { EngineError } from '../errors.ts'
import { measureTimeoutMs } from './limits.ts'
import { threadEnd } from './thread-end.ts'

export interface AskThreadInit {
  readonly workerData?: unknown
  /** What it finds out, for messages. */
  readonly what: string
  readonly signal?: AbortSignal | undefined
}

/**
 * The first message of the thread in `file`.
 * @throws {EngineError} when it fails, or says nothing within {@link measureTimeoutMs}.
 * @throws the signal's reason when it aborts.
 */
export async function askThread<T>(file: URL, { workerData, what, signal }: AskThreadInit): Promise<T> {
  signal?.throwIfAborted()
  const worker = new Worker(file, { workerData, execArgv: [] })
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  const abort = (): void => reject(signal!.reason)
  const timer = setTimeout(
    () => reject(new EngineError(`${what} took longer than ${measureTimeoutMs} ms`)),
    measureTimeoutMs
  )
  worker.once('message', resolve)
  worker.once('error', error => reject(new EngineError(`${what} failed: ${reasonOf(error)}`)))
  worker.once('exit', code => reject(new EngineError(`${what}: the thread ended (code ${code})`)))
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    await threadEnd(worker)
  }
}
