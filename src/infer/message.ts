/** The typed form of what travels in /skein/infer/1.0.0, as `codec.ts` reads and writes it. */
import type { ModelId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import type { TensorType } from '../model/tensors.ts'

/** The protocol, and the revisions of it that are spoken here. */
export const inferProtocol: Protocol = { name: '/skein/infer', revisions: ['1.0.0'] }

/** A tensor without its elements. */
export interface TensorHead {
  readonly name: string
  readonly type: TensorType
  readonly dims: readonly number[]
}

export interface AskFrame {
  readonly kind: 'ask'
  readonly model: ModelId
  readonly inputs: readonly TensorHead[]
  readonly deadlineMs: number
}

export interface PieceFrame {
  readonly kind: 'piece'
  readonly data: Uint8Array
}

export interface AnswerFrame {
  readonly kind: 'answer'
  readonly outputs: readonly TensorHead[]
  readonly computeMs: number
}

/**
 * Why a server gives no outputs: rules N5 to N8 of `protocols/infer.md`. `failed`: with these inputs it would be so anywhere. `lost`:
 * what ran it ended, or took too long.
 */
export type InferReason = 'unknown' | 'busy' | 'wrong' | 'failed' | 'lost' | 'leaving'

export interface RefusedFrame {
  readonly kind: 'refused'
  readonly reason: InferReason
  readonly message: string
}

export type InferFrame = AskFrame | PieceFrame | AnswerFrame | RefusedFrame
