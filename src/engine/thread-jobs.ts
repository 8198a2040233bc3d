/** What an engine has to do for others, and what its thread is doing. */
import type { SessionId } from '../base/ids.ts'
import { EngineError, InvalidStepError } from '../errors.ts'
import type { BatchPart } from './batch.ts'
import type { Step, StepOutput } from './engine.ts'
import type { ThreadFailure, ThreadRequest } from './thread-messages.ts'

/** A cache that is to be opened or freed, and whoever waits for it. */
export interface Alone {
  readonly kind: 'alone'
  readonly session: SessionId
  /** Checks the request when its turn comes; undefined when nothing is left to do for the thread. */
  readonly begin: () => ThreadRequest | undefined
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** A step, and whoever waits for it. */
export interface StepJob {
  readonly kind: 'step'
  readonly session: SessionId
  readonly step: Step
  /** Of the step; once it has to wait a copy, since the caller's is its own. */
  input: Int32Array | Uint8Array
  /** The same of its ids, where it has them beside. */
  ids: Int32Array | undefined
  readonly resolve: (output: StepOutput) => void
  readonly reject: (error: unknown) => void
  /** Once it has to wait, that it may be aborted. */
  stopListening: (() => void) | undefined
  /** A pass has some of it: nothing aborts it any more. */
  hasBegun: boolean
  /** Of its passes so far. */
  computeMs: number
  rows: number
  outMs: number
  sampleMs: number
  backMs: number
  /** Of its tokens, those that were known. */
  reused: number
}

/** Of a step that has had none. */
export const noPasses = { computeMs: 0, rows: 0, outMs: 0, sampleMs: 0, backMs: 0, reused: 0 }

export type Job = Alone | StepJob

/** What the thread is doing. */
export type Running =
  | { readonly kind: 'load' | 'close'; readonly resolve: () => void; readonly reject: (error: EngineError) => void }
  | { readonly kind: 'limit' }
  | { readonly kind: 'alone'; readonly id: number; readonly request: ThreadRequest }
  | { readonly kind: 'pass'; readonly parts: readonly BatchPart[] }

/** What a failure of the thread is to whoever waits. */
export function errorOf({ name, message }: ThreadFailure): InvalidStepError | EngineError {
  return name === 'InvalidStepError' ? new InvalidStepError(message) : new EngineError(message)
}
