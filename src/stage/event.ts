/** What happens to the stages of a peer, and what they want done: the two sides of the decider in `stage.ts`. */
import type { ModelId, PeerId, Range, SessionId } from '../base/ids.ts'
import type { CacheType } from '../base/cache-type.ts'
import type { Sampling, Step } from '../engine/engine.ts'
import type { PromptScores, TokenScore } from '../engine/scores.ts'
import type { LossReason } from '../errors.ts'
import type { EdgeType } from '../model/manifest.ts'
import type { Frame, RefuseFrame, ScoresFrame, TokenFrame } from './frame.ts'
import type { ComputedCost } from './standing.ts'

/** What a stage must know of its model to check what peers send. */
export interface StageFacts extends Range {
  readonly model: ModelId
  /** Layers of the whole model. */
  readonly layers: number
  readonly hidden: number
  readonly edge: EdgeType
  readonly vocab: number
  readonly contextMax: number
  /** Bytes that its engine reserves for a session of so many tokens: it may do so in pages. @default one for each token */
  readonly cacheBytes?: (tokensMax: number, type?: CacheType) => number
  /** Of its engine: peers of the same one compute the same bits. @default it is not known */
  readonly numericClass?: string
  /** Types of caches that its engine has. @default `f32` alone */
  readonly cacheTypes?: readonly CacheType[]
}

/** A stream: positive numbers are accepted ones, negative ones are those that stages open. */
export type ChannelId = number

/** A session at one stage: `driver/session/start-end`. One peer may hold two stages of one route. */
export type SeatId = string

export type StageEvent =
  | { readonly kind: 'add'; readonly stage: StageFacts }
  | { readonly kind: 'remove'; readonly model: ModelId; readonly range: Range }
  /** The driver's end of a session is here, or no longer. */
  | { readonly kind: 'drive'; readonly session: SessionId }
  /** The tail of its running epoch: no other peer may open that end. */
  | { readonly kind: 'admit'; readonly session: SessionId; readonly epoch: number; readonly tail: PeerId }
  | { readonly kind: 'undrive'; readonly session: SessionId }
  /** `isFull`: its peer has as many streams here as it may. */
  | { readonly kind: 'accepted'; readonly channel: ChannelId; readonly remote: PeerId; readonly isFull?: boolean }
  | { readonly kind: 'connected'; readonly channel: ChannelId }
  /** A frame came, of so many bytes with its length prefix; or bytes that are none, and why. */
  | {
      readonly kind: 'frame'
      readonly channel: ChannelId
      readonly frame: Frame
      readonly bytes: number
      /** When its bytes were read off the socket. @default now */
      readonly readAtMs?: number
    }
  | { readonly kind: 'malformed'; readonly channel: ChannelId; readonly message: string }
  /** The stream ended or could not be opened. */
  | { readonly kind: 'closed'; readonly channel: ChannelId; readonly message: string; readonly reason?: LossReason }
  /** The engine holds a cache of `length` tokens for the session. `floor`: as with `computed`. */
  | { readonly kind: 'opened'; readonly seat: SeatId; readonly length: number; readonly floor?: number }
  /** `lacking`: so many bytes more would be enough. @default all that it asked for */
  | {
      readonly kind: 'open-failed'
      readonly seat: SeatId
      readonly noRoom: boolean
      readonly lacking?: number
      readonly message: string
    }
  /**
   * A step is done; `hidden` or `tokens` is what it gave, if anything. `floor`: the shortest that the cache can be cut to now, other than
   * to nothing. @default 0
   */
  | {
      readonly kind: 'computed'
      readonly seat: SeatId
      readonly floor?: number
      readonly hidden: Uint8Array | undefined
      readonly tokens: readonly number[] | undefined
      /** Of each of the tokens, where the session asks for log-probabilities. */
      readonly scores?: readonly TokenScore[] | undefined
      /** Of tokens of the prompt, where it was asked for these. */
      readonly prompt?: PromptScores | undefined
      readonly cost: ComputedCost
    }
  /** A step failed, or was refused. `length` tokens are left in the cache. `floor`: as with `computed`. */
  | {
      readonly kind: 'compute-failed'
      readonly seat: SeatId
      readonly reason: 'gap' | 'engine' | 'invalid'
      readonly length: number
      readonly floor?: number
      readonly message: string
    }
  | { readonly kind: 'freed'; readonly seat: SeatId }
  /** Time has passed: deadlines are looked at. */
  | { readonly kind: 'tick' }

/** How a peer broke the protocol; counted by these names. */
export type ViolationKind =
  /** The bytes are no frame. */
  | 'malformed'
  /** A frame that has no place here: a Step before Open, a Token from a peer that is no tail. */
  | 'unexpected'
  /** A frame whose values contradict its session, model or route. */
  | 'invalid'
  /** More steps than the credit allows. */
  | 'credit'
  /** Not the peer that the route or the session names. */
  | 'impostor'
  /** A driver that may have no sessions. */
  | 'role'
  /** A stream that never said what it wants. */
  | 'silent'

export type StageEffect =
  /** Opens a stream and then reports `connected` or `closed`. */
  | { readonly kind: 'connect'; readonly channel: ChannelId; readonly peer: PeerId }
  /** How many bytes it took is reported by `Stages.sent`. */
  | { readonly kind: 'send'; readonly channel: ChannelId; readonly frame: Frame }
  /** Sends what is queued and closes. No `closed` event is needed for it. */
  | { readonly kind: 'close'; readonly channel: ChannelId }
  /** Breaks the protocol's stream and counts it against the peer. */
  | {
      readonly kind: 'violation'
      readonly channel: ChannelId
      readonly remote: PeerId
      readonly violation: ViolationKind
      readonly message: string
    }
  | {
      readonly kind: 'open-engine'
      readonly seat: SeatId
      readonly stage: StageFacts
      readonly session: SessionId
      /** What its engine knows the session by, in steps too: another driver may have chosen the same id. */
      readonly cache: SessionId
      /** Whose sessions may share what they begin with (rule S35). */
      readonly owner: PeerId
      readonly tokensMax: number
      readonly sampling: Sampling
      readonly cacheType?: CacheType | undefined
      /** What the engine charges it. */
      readonly chargedBytes: number
    }
  /** `text`: ids of its tokens, where the step carries them and the engine does not need them. */
  | {
      readonly kind: 'compute'
      readonly seat: SeatId
      readonly step: Step
      readonly text?: Int32Array | undefined
    }
  /** Ends steps that have not started, then frees the cache, then reports `freed`. */
  | { readonly kind: 'free-engine'; readonly seat: SeatId }
  /** For the driver's end of a session. */
  | {
      readonly kind: 'deliver'
      readonly channel: ChannelId
      readonly session: SessionId
      readonly token: TokenFrame
      /** Of the frame with its length prefix. */
      readonly bytes: number
      /** From its bytes being read off the socket to this. */
      readonly readMs: number
    }
  | { readonly kind: 'deliver-scores'; readonly session: SessionId; readonly scores: ScoresFrame }
  | { readonly kind: 'tail-refused'; readonly session: SessionId; readonly refuse: RefuseFrame }
  | {
      readonly kind: 'tail-lost'
      readonly session: SessionId
      readonly epoch: number
      readonly peer: PeerId
      readonly reason: LossReason
    }
