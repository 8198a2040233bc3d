/**
 * What the engine and its thread say to each other. One request is under way at a time, so an answer needs no
 * number. Both ends are this program's own; values that a peer may have made are checked where they are used.
 */
import type { EdgeType, ModelConfig, WeightType } from '../model/manifest.ts'
import type { Sampling } from './engine.ts'
import type { WeightSource } from './onnx-span.ts'

/** The thread's `workerData`. */
export interface ThreadInit {
  readonly config: ModelConfig
  readonly weights: WeightType
  readonly edge: EdgeType
  readonly start: number
  readonly end: number
  readonly shardLocations: ReadonlyMap<string, string>
  /** `synthetic`: layers without a model, which the thread makes itself (`synthetic.ts`). */
  readonly source: WeightSource | { readonly kind: 'synthetic' }
  readonly threads: number
  /** Decided by a self-test when left out. */
  readonly twinRows?: boolean
}

export type ThreadRequest =
  | { readonly kind: 'open'; readonly session: string; readonly tokensMax: number; readonly sampling: Sampling }
  | {
      readonly kind: 'run'
      readonly session: string
      readonly position: number
      readonly tokens: number
      /** Token ids at the head, otherwise hidden states in the edge type. */
      readonly input: Int32Array | Uint8Array
      readonly sample: boolean
    }
  | { readonly kind: 'free'; readonly session: string }
  | { readonly kind: 'close' }

export type ThreadReply =
  | { readonly kind: 'done' }
  | { readonly kind: 'hidden'; readonly bytes: Uint8Array; readonly computeMs: number }
  | { readonly kind: 'token'; readonly id: number; readonly computeMs: number }
  | { readonly kind: 'none'; readonly computeMs: number }
  | {
      readonly kind: 'failed'
      readonly name: 'InvalidStepError' | 'EngineError'
      readonly message: string
      /** Tokens in the session's cache now; undefined when it is not open. */
      readonly length: number | undefined
    }
