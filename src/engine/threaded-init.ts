/** What an engine in a thread of its own is made with. */
import type { CacheType } from '../base/cache-type.ts'
import type { BatchesInit } from './batch.ts'
import type { SpanInit } from './thread-messages.ts'

export interface ThreadedInit {
  /** The thread's file, which calls `serveThread`; it gets `span` as its `workerData`. */
  readonly file: URL
  readonly span: SpanInit
  /** What a session of so many tokens is charged. */
  readonly cacheBytes: (tokensMax: number, type: CacheType) => number
  /** Types of caches that sessions may have. @default `f32` alone */
  readonly cacheTypes?: readonly CacheType[]
  /** Bound on all sessions' caches together. */
  readonly cacheBytesMax: number
  /** What the thread can ever hold of them. @default whatever they are allowed */
  readonly cacheBytesMost?: number
  /** [layers] how far back each sees, where caches give back what lies before. @default they do not */
  readonly windows?: readonly (number | undefined)[]
  /** What a pass of it may hold. */
  readonly batches: BatchesInit
  /** Ends the loading. */
  readonly signal?: AbortSignal | undefined
  readonly onKernels?: (kernels: NonNullable<SpanInit['kernels']>) => void
}
