/**
 * What the engine and its thread say to each other. One request is under way at a time, so an answer needs no
 * number. A pass and what became of it may go through shared memory, field by field (`thread-share.ts`). Both ends are this
 * program's own; values that a peer may have made are checked where they are used.
 */
import type { ModelConfig } from '../model/decoder.ts'
import type { EdgeType } from '../model/manifest.ts'
import type { Weights } from '../model/weight-types.ts'
import type { CacheType } from '../base/cache-type.ts'
import type { Sampling } from './engine.ts'
import type { TokenMask } from './mask.ts'
import type { PromptScores, TokenScore } from './scores.ts'

/** Layers of a model, as a thread is told of them in its `workerData`. */
export interface SpanInit {
  readonly config: ModelConfig
  readonly weights: Weights
  readonly edge: EdgeType
  /** Layers [start, end). */
  readonly start: number
  readonly end: number
  /** From `shardName` to the shard's file name in `source`. */
  readonly shardLocations: ReadonlyMap<string, string>
  /** `synthetic`: layers without a model, which the thread makes itself (`synthetic.ts`). */
  readonly source: WeightSource | { readonly kind: 'synthetic' }
  /** Processor threads of one step. */
  readonly threads: number
  /** What all sessions' caches are to have together at first: an engine may lay out its memory for it. @default little */
  readonly cacheBytesMax?: number | undefined
  /** What one memory of the engine in WebAssembly may have, in whole pages of 64 KiB. @default 4 GiB */
  readonly memoryBytesMax?: number | undefined
  /** Memory that passes go through (`thread-share.ts`). @default all goes by message */
  readonly share?: SharedArrayBuffer | undefined
  /** Those of other threads. @default none */
  readonly kernels?: CheckedKernels | undefined
}

/** Where the weights are: a folder whose files are mapped or read, or bytes in memory by file name (for self-tests). */
export type WeightSource =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'memory'; readonly files: ReadonlyMap<string, Uint8Array> }

/** A step, as its first part brings it: what comes in several passes is sent and checked once. */
export interface ThreadStep {
  readonly position: number
  readonly tokens: number
  /** Token ids at the head, otherwise hidden states in the edge type. */
  readonly input: Int32Array | Uint8Array
  readonly sample: boolean
  /** The ids of its last tokens, where those are proposed. */
  readonly drafts: readonly number[]
  /** [tokens] beside hidden states, where the session needs them. */
  readonly ids?: Int32Array | undefined
  /** As in `Step`. */
  readonly masks?: readonly TokenMask[] | undefined
  /** As in `Step`. */
  readonly scoresFrom?: number | undefined
}

/** The next tokens of one session's step. */
export interface ThreadPart {
  readonly session: string
  readonly tokens: number
  /** With the first part of a step, the step. */
  readonly step?: ThreadStep | undefined
}

export type ThreadRequest =
  | {
      readonly kind: 'open'
      readonly session: string
      readonly tokensMax: number
      readonly cache: CacheType
      readonly sampling: Sampling
      readonly owner: string | undefined
    }
  /** All caches and what is kept of sessions' beginnings may take so much together. */
  | { readonly kind: 'limit'; readonly cacheBytesMax: number }
  /** Parts of different sessions that are computed together. */
  | { readonly kind: 'pass'; readonly parts: readonly ThreadPart[] }
  | { readonly kind: 'free'; readonly session: string }
  | { readonly kind: 'close' }

export interface ThreadFailure {
  readonly kind: 'failed'
  readonly name: 'InvalidStepError' | 'EngineError'
  readonly message: string
}

/**
 * What became of a part: `going` while its step has more tokens. `reused`: so many were known, and nothing was computed.
 * `prompt`: what the whole step says of the prompt's tokens. `waitsFor`: its step has not begun, since one of that session gives the same at this moment.
 */
export type PartReply = {
  readonly reused?: number
  readonly waitsFor?: string
  readonly prompt?: PromptScores | undefined
} & (
  | { readonly kind: 'going' }
  | { readonly kind: 'hidden'; readonly bytes: Uint8Array }
  | { readonly kind: 'tokens'; readonly ids: readonly number[]; readonly scores?: readonly TokenScore[] | undefined }
  | { readonly kind: 'none' }
  /** With the tokens in the session's cache now, and the most that it has had since it was empty. */
  | (ThreadFailure & { readonly length: number; readonly reached: number })
)

/** `prefixBytes`: what is kept of sessions' beginnings. */
/** A module of kernels, by what it is made of: threads of one process that have compiled and checked some give them to one another. */
export type CheckedKernels = ReadonlyMap<string, WebAssemblyModule>

export type ThreadReply =
  | {
      readonly kind: 'done'
      readonly prefixBytes?: number | undefined
      /** Those that it has; with its first reply. */
      readonly kernels?: CheckedKernels | undefined
    }
  | {
      readonly kind: 'pass'
      readonly parts: readonly PartReply[]
      /** When it began, as `thread-clock.ts` says, and how long it took; of that, the head of the model and drawing tokens. */
      readonly beganMs: number
      readonly computeMs: number
      readonly sampleMs: number
      readonly prefixBytes: number
    }
  | ThreadFailure
