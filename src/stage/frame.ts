/** The typed form of every frame of /skein/stage/2.6.0, as `codec.ts` reads and writes them. */
import type { Protocol } from '../base/protocol.ts'
import type { StepInput } from '../engine/engine.ts'
import type { PromptScores, TokenScore } from '../engine/scores.ts'
import type { SignedCommitment } from './commitment.ts'
import type { MaskForm } from './masks.ts'
import type { SignedTerms } from './terms.ts'
import type { HopSpans } from './trace.ts'

/** The protocol, and the revisions of it that are spoken here. */
export const stageProtocol: Protocol = {
  name: '/skein/stage',
  revisions: ['2.6.0', '2.5.0', '2.4.0', '2.3.0', '2.2.0', '2.1.0', '2.0.0']
}

/** In it and in later ones a stage may keep a session waiting for room (rule S29). */
export const waitingRevision = '2.1.0'

/** In it and in later ones a step may end with drafts (rule S32). */
export const draftsRevision = '2.2.0'
/** What terms need so that steps may have drafts. */
export const draftsNeed = 'drafts'

/** In it and in later ones steps may carry the ids of their tokens all the way (rule S36). */
export const idsRevision = '2.4.0'
/** What terms need so that they do. */
export const idsNeed = 'ids'

/** In it and in later ones tails draw with min-p and with what is added to logits (rule S37). */
export const filtersRevision = '2.5.0'
/** What terms need that have either. */
export const filtersNeed = 'filters'

/** In it and in later ones tokens may come with log-probabilities (rule S38). */
export const logprobsRevision = '2.5.0'
/** What terms need so that they do. */
export const logprobsNeed = 'logprobs'

/** What terms need so that the same is told of the prompt (rule S39). */
export const promptLogprobsNeed = 'prompt-logprobs'

/** In it and in later ones steps may say which tokens can be drawn (rule S40). */
export const masksRevision = '2.6.0'
/** What terms need so that they do. */
export const masksNeed = 'masks'

/** The first frame of a stream. */
export interface OpenFrame {
  readonly kind: 'open'
  /** Index of the receiver in the route; `route.length` at the driver's end. */
  readonly hop: number
  readonly terms: SignedTerms
}

/** Tokens [position, position + tokens). */
export interface StepFrame {
  readonly kind: 'step'
  readonly epoch: number
  readonly position: number
  readonly tokens: number
  readonly sample: boolean
  readonly input: StepInput
  /** With `sample`, the ids of its last tokens, where those are only proposed (rule S32). @default none */
  readonly drafts?: readonly number[] | undefined
  /** [tokens] of hidden states, where terms need `ids`: drafts are the last of them (rule S36). @default none */
  readonly ids?: Int32Array | undefined
  /** [1 + drafts] of a step that samples, where terms need `masks`: what may be drawn after each row (rule S40). @default none */
  readonly masks?: readonly MaskForm[] | undefined
  /** Where terms are traced: of the hops before, in route order (rule S34). @default none */
  readonly spans?: readonly HopSpans[] | undefined
}

/** The tokens from `position` on, from the tail to the driver: drafts that are right, and one more. */
export interface TokenFrame {
  readonly kind: 'token'
  readonly epoch: number
  readonly position: number
  readonly ids: readonly number[]
  /** Of each of the ids, where terms need `logprobs` (rule S38). @default none */
  readonly scores?: readonly TokenScore[] | undefined
  /** Where terms are traced: of all hops, in route order (rule S34). @default none */
  readonly spans?: readonly HopSpans[] | undefined
}

/** What the model makes of tokens of the prompt, from the tail to the driver (rule S39). */
export interface ScoresFrame extends PromptScores {
  readonly kind: 'scores'
  readonly epoch: number
}

/** Cumulative credit of one stream, and the length of the sender's cache. */
export interface AckFrame {
  readonly kind: 'ack'
  readonly epoch: number
  readonly length: number
  readonly steps: number
  readonly tokens: number
}

/**
 * Why a hop cannot go on. `not-serving`: no such stage here. `no-room`: caches or retained states are full.
 * `gap`: the step starts beyond the cache. `stale-epoch`: a newer one is open. `next-lost`: the hop after it is
 * gone. `engine`: its engine failed. `invalid`: what the hop before it sent cannot be computed. `leaving`: the
 * stage is being unloaded. `next-silent`: nothing came from the hop after it for too long. `unsupported`: the
 * terms need what this peer does not know, or its reason is one of a later revision.
 */
export type RefuseReason =
  | 'not-serving'
  | 'no-room'
  | 'gap'
  | 'stale-epoch'
  | 'next-lost'
  | 'engine'
  | 'invalid'
  | 'leaving'
  | 'next-silent'
  | 'unsupported'

export interface RefuseFrame {
  readonly kind: 'refuse'
  readonly epoch: number
  /** The hop that refuses. */
  readonly hop: number
  readonly reason: RefuseReason
  /** Tokens in its cache. */
  readonly length: number
  /** One sentence for a person. */
  readonly message: string
}

export interface CloseFrame {
  readonly kind: 'close'
  readonly epoch: number
  /** Each hop is to commit to what it computed of so many tokens (rule S41). @default none is */
  readonly commitTo?: number | undefined
}

/** What one hop did for a session since its first epoch. Bytes are of frames with their length prefixes. */
export interface HopStats {
  readonly hop: number
  readonly steps: number
  readonly tokens: number
  /** Time of the passes that computed these steps: what shares a pass counts with all of it. */
  readonly computeMs: number
  /** Time between a step's arrival and its result that was not spent computing it. */
  readonly queueMs: number
  /** From the previous hop, on to the next one, and back to the previous one. */
  readonly bytesIn: number
  readonly bytesOut: number
  readonly bytesBack: number
  /** Tokens sent to the next hop again from what was retained. */
  readonly replayed: number
  /** Rows of all sessions in the passes that computed these steps; as many as `tokens` where each step has its own. */
  readonly rows: number
  /** Of queueMs, time that steps waited for others to share their pass. */
  readonly gatherMs: number
  /** Of `tokens`, those that it knew from an earlier session with the same beginning (rule S35); 0 of a peer that does not say. */
  readonly reused: number
}

export interface ClosedFrame {
  readonly kind: 'closed'
  readonly hops: readonly HopStats[]
  /** Of the hops that could commit to what they computed, in route order (rule S41). @default none */
  readonly commitments?: readonly SignedCommitment[] | undefined
}

/** A hop shall feed the stretch of a terms while this epoch goes on. */
export interface PrepareFrame {
  readonly kind: 'prepare'
  readonly epoch: number
  /** The hop of this epoch that feeds: the one before the stretch in the terms's route. */
  readonly hop: number
  readonly terms: SignedTerms
}

/** The fed hops have caught up, or why they will not. */
export interface PreparedFrame {
  readonly kind: 'prepared'
  readonly epoch: number
  readonly next: number
  readonly failed: boolean
  /** One sentence for a person; empty unless it failed. */
  readonly message: string
}

/** How far has everybody come? */
export interface AskFrame {
  readonly kind: 'ask'
  readonly epoch: number
  readonly round: number
}

/** How far one hop has come. */
export interface StandingFrame {
  readonly kind: 'standing'
  readonly epoch: number
  readonly round: number
  readonly hop: number
  /** End of the last step that arrived in this epoch, without its drafts. */
  readonly arrived: number
  /** End of its cache, without drafts. */
  readonly length: number
  /** How long the oldest step that is not computed has been there; 0 when there is none. */
  readonly busyMs: number
  /** As in {@link HopStats}. */
  readonly steps: number
  readonly computeMs: number
  readonly queueMs: number
  readonly rows: number
  readonly gatherMs: number
  /** Its place among those who wait for room here, from 1 on; 0 when it has room. */
  readonly place: number
  /** How long it may be until it has room, in ms, at a guess. */
  readonly placeMs: number
}

/** What has everybody computed of the tokens [0, tokens) (rule S42)? */
export interface CommitFrame {
  readonly kind: 'commit'
  readonly epoch: number
  readonly tokens: number
}

/** What one hop commits to before a session ends. */
export interface CommittedFrame {
  readonly kind: 'committed'
  readonly epoch: number
  readonly commitment: SignedCommitment
}

export type Frame =
  | OpenFrame
  | StepFrame
  | TokenFrame
  | ScoresFrame
  | AckFrame
  | RefuseFrame
  | CloseFrame
  | ClosedFrame
  | PrepareFrame
  | PreparedFrame
  | AskFrame
  | StandingFrame
  | CommitFrame
  | CommittedFrame

/** [tokens] ids of a step, wherever it has them; undefined where it has none. */
export function idsOf({ input, ids }: Pick<StepFrame, 'input' | 'ids'>): Int32Array | undefined {
  return input.kind === 'ids' ? input.ids : ids
}

/** Bytes of a frame on its channel: a varint length comes before it. */
export function framedBytes(bytes: number): number {
  let prefix = 1
  for (let rest = bytes; rest >= 128; rest = Math.floor(rest / 128)) prefix++
  return prefix + bytes
}
