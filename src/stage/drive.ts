/** The driver's end of a session at the stage service. Types alone. */
import type { PeerId } from '../base/ids.ts'
import type { TokenScore } from '../engine/scores.ts'
import type { LossReason } from '../errors.ts'
import type { RefuseFrame, ScoresFrame } from './frame.ts'
import type { HopSpans } from './trace.ts'

/** What the driver of a session hears from its tail. */
export interface DriveHandlers {
  /** `bytes`: of the frame with its length prefix. */
  onTokens: (tokens: {
    readonly epoch: number
    readonly position: number
    readonly ids: readonly number[]
    readonly scores: readonly TokenScore[] | undefined
    readonly bytes: number
    /** Of a session that is traced: of the hops of its route, as far as they said. */
    readonly spans: readonly HopSpans[]
    /** From the frame's bytes being read off the socket to this. */
    readonly readMs: number
  }) => void
  /** What the model makes of tokens of the prompt. */
  onScores: (scores: ScoresFrame) => void
  /** The tail of that epoch's route cannot go on. */
  onTailRefused: (refuse: RefuseFrame) => void
  /** The tail of that epoch's route closed its stream, or its connection broke. */
  onTailLost: (lost: { epoch: number; peer: PeerId; reason: LossReason }) => void
}

/** The driver's end of a session. */
export interface Drive {
  /** The tail of the epoch that runs from now on may open it, and nobody else. */
  admit(epoch: number, tail: PeerId): void
  stop(): void
}
