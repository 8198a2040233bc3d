/** What an engine's thread says of a step or a request. Pure. */
import { InvalidStepError } from '../errors.ts'
import type { PartReply, ThreadFailure } from './thread-messages.ts'

/** What a step that does not sample gives. */
export function given(bytes: Uint8Array | undefined): PartReply {
  return bytes === undefined ? { kind: 'none' } : { kind: 'hidden', bytes }
}

/** What becomes of a request that fails. */
export function failed(error: unknown): ThreadFailure {
  const name = error instanceof InvalidStepError ? 'InvalidStepError' : 'EngineError'
  return { kind: 'failed', name, message: error instanceof Error ? error.message : String(error) }
}
