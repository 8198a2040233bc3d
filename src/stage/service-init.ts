/** What the service of stages is started with, and what it offers. */
import type { Clock } from '../base/clock.ts'
import type { ModelId, PeerId, Range, SessionId } from '../base/ids.ts'
import type { Sign, Verify } from '../base/signature.ts'
import type { Engine } from '../engine/engine.ts'
import type { Links } from '../swarm/links.ts'
import type { Committing } from './committing-service.ts'
import type { ComputedStep } from './computed-step.ts'
import type { Drive, DriveHandlers } from './drive.ts'
import type { StageFacts, ViolationKind } from './event.ts'

export interface StageServiceInit {
  links: Links
  /** Budget for the hidden states that stages retain for replay, in bytes, all sessions together. */
  retainBytesMax: number
  /** Checks that a driver has signed the terms of its session. */
  verify: Verify
  /** Whether a peer may have sessions, or a probe (as with `DriverCheck.mayDrive`). @default everybody may */
  mayDrive?: ((driver: PeerId, isProbe: boolean) => boolean) | undefined
  /** Signs what stages commit to. @default they commit to nothing */
  sign?: Sign | undefined
  /** Called once for every stream that a peer broke by breaking the protocol. */
  onViolation?: (remote: PeerId, kind: ViolationKind, message: string) => void
  /** Called for every step that was computed here. It must not throw, and does well to be quick. */
  onStep?: (step: ComputedStep) => void
  /** @default the machine's */
  clock?: Clock
}

/** The model's part of what a stage must know; the engine knows the rest. */
export type StageModel = Pick<StageFacts, 'model' | 'layers' | 'vocab' | 'contextMax' | 'numericClass'>

export interface StageService {
  /** Budget for the hidden states that stages retain for replay, in bytes, all sessions together. */
  retainBytesMax: number
  /** This peer is about to go: caches whose session has moved on are freed sooner. */
  leaving: boolean
  /** Serves an engine's layers. The engine stays the caller's own. */
  add(engine: Engine, model: StageModel): void
  /** Ends a stage: its sessions are refused and freed, then the engine may be closed. */
  remove(model: ModelId, range: Range): Promise<void>
  /** What the stages here have committed to; undefined where they commit to nothing. */
  readonly committing: Committing | undefined
  /** Registers the driver's end of a session, until `stop`. */
  drive(session: SessionId, handlers: DriveHandlers): Drive
  readonly stats: {
    readonly sessions: number
    /** Sessions that wait for room. */
    readonly waiting: number
    readonly queuedSteps: number
    /** Bytes reserved for replay. */
    readonly retainBytes: number
  }
  /** Sessions that hold a cache at one stage. */
  sessionsOf(model: ModelId, range: Range): number
  /** Steps that are at one stage, computed or waiting; a session that waits for room counts as one. */
  stepsOf(model: ModelId, range: Range): number
  /** Bytes that the stages of one model have reserved for replay. */
  retainBytesOf(model: ModelId): number
  /** Ends every session and stream here. Engines stay open. */
  stop(): Promise<void>
}
