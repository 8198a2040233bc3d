/** What happens to a session, and what it wants done: the two sides of the decider in `session.ts`. */
import type { PeerId } from '../base/ids.ts'
import type { TokenMask } from '../engine/mask.ts'
import type { PromptScores, TokenScore } from '../engine/scores.ts'
import type { LossReason } from '../errors.ts'
import type { Hop, Without } from '../route/view.ts'
import type { ViolationKind } from '../stage/event.ts'
import type { Frame, HopStats, RefuseFrame } from '../stage/frame.ts'
import type { Committed } from './committed.ts'
import type { DraftStats } from './speculation.ts'

/** What a draft model has said: how the text of `length` tokens goes on. */
export interface Drafted {
  readonly length: number
  readonly ids: readonly number[]
}

export type DraftEvent =
  | ({ readonly kind: 'drafted' } & Drafted)
  /** A step has waited long enough for the drafts that follow so many tokens. */
  | { readonly kind: 'draft-late'; readonly length: number }
  /** The draft model drafts no more in this session. */
  | { readonly kind: 'undrafted' }

/** What is asked of a grammar: what may follow a text, and that text with each of these drafts in turn. */
export interface MaskAsk {
  /** The whole text, of which the first `length` tokens count; it only ever grows. */
  readonly text: readonly number[]
  readonly length: number
  readonly drafts: readonly number[]
}

/** What it has said: `drafts` are those that were asked about, and of them one fewer than there are masks are allowed. */
export interface Masked {
  readonly length: number
  readonly drafts: readonly number[]
  readonly masks: readonly TokenMask[]
}

/** Tokens as a tail gives them: from `position` on, and what the model makes of each where the session asks for that. */
export interface Came {
  readonly position: number
  readonly ids: readonly number[]
  readonly scores?: readonly TokenScore[] | undefined
}

export type SessionEvent =
  | { readonly kind: 'start' }
  /** `exact`: every layer is computed in the numeric class that the session's first route had there. @default true */
  | { readonly kind: 'routed'; readonly route: readonly Hop[]; readonly exact?: boolean }
  | { readonly kind: 'unroutable'; readonly error: Error }
  /** The stream to the head is open, or it could not be opened, or it broke. */
  | { readonly kind: 'connected'; readonly epoch: number }
  | { readonly kind: 'head-lost'; readonly epoch: number; readonly message: string; readonly reason?: LossReason }
  /** A frame from the head, or bytes that are none, and why. */
  | { readonly kind: 'frame'; readonly epoch: number; readonly frame: Frame }
  | { readonly kind: 'malformed'; readonly epoch: number; readonly message: string }
  /** From the tail. */
  | ({ readonly kind: 'tokens'; readonly epoch: number } & Came)
  | ({ readonly kind: 'scores'; readonly epoch: number } & PromptScores)
  | { readonly kind: 'tail-refused'; readonly refuse: RefuseFrame }
  | { readonly kind: 'tail-lost'; readonly epoch: number; readonly reason?: LossReason }
  /** Peers that are about to go, and stages that are; comes again while there are any, and once without. */
  | { readonly kind: 'leaving'; readonly those: Without }
  /** The answer to `detour`, with its `stuck`. */
  | {
      readonly kind: 'detoured'
      readonly route: readonly Hop[] | undefined
      readonly exact: boolean
      readonly stuck?: number | undefined
    }
  | DraftEvent
  | ({ readonly kind: 'masked' } & Masked)
  /** `message`: why, where it was not the one who asked. */
  | { readonly kind: 'cancel'; readonly message?: string }
  /** Time has passed: deadlines are looked at. */
  | { readonly kind: 'tick' }

/** Why an answer ended of its own accord. */
export type Stop = 'eos' | 'length'

export type SessionOutcome =
  | { readonly kind: 'stopped'; readonly stop: Stop }
  | { readonly kind: 'cancelled' }
  /** `error` is set when the first question for a route failed: it says more than the session could. */
  | { readonly kind: 'failed'; readonly message: string; readonly error: Error | undefined }

/** What a session tells the one who asked. */
export type SessionOutput =
  /** The first one: what is sent along the route. `answered`: what was there already of an answer that is resumed. */
  | {
      readonly kind: 'prompt'
      readonly ids: readonly number[]
      readonly answered: readonly number[] | undefined
      /** False when that may differ from the undisturbed answer. */
      readonly exact: boolean
      /** As in a session's content. */
      readonly thoughtsEnd?: number | undefined
    }
  /** What the model makes of the next tokens of the prompt, from its second one on. */
  | ({ readonly kind: 'scores' } & PromptScores)
  /** The first route. */
  | { readonly kind: 'route'; readonly hops: readonly Hop[] }
  /** There is no route now, and why; or which hop keeps the answer waiting. */
  | { readonly kind: 'waiting'; readonly message: string }
  | {
      readonly kind: 'token'
      readonly id: number
      readonly position: number
      readonly stop: Stop | undefined
      readonly score?: TokenScore | undefined
    }
  /**
   * A peer is off the route. `reason`: `closed`, `silent`, `slow`, `left`; `mute`: it is connected and does not answer
   * questions; `stuck`: it answers, and gets nothing done; `unsupported`: it does not know what the session needs; or what it refused, or the violation of the protocol that it
   * committed. `charged`: it failed; else it may be as well as ever, and is only done without.
   */
  | {
      readonly kind: 'lost'
      readonly peer: PeerId
      readonly hop: number
      readonly reason: string
      readonly charged: boolean
    }
  /** Neighbours on the route do not hear each other, though this driver hears both: another way is taken. */
  | { readonly kind: 'cut'; readonly peer: PeerId; readonly next: PeerId }
  | {
      readonly kind: 'recovered'
      readonly ms: number
      /** Tokens that a hop of the new route had to be sent again before it could go on; the most of any hop. */
      readonly replayedTokens: number
      readonly route: readonly Hop[]
      /** False once a route of another numeric class was used: the answer may differ from the undisturbed one. */
      readonly exact: boolean
    }
  /** The last one. */
  | {
      readonly kind: 'end'
      readonly outcome: SessionOutcome
      readonly route: readonly Hop[]
      readonly exact: boolean
      /** What the hops of the last route did; those that could not say are missing. */
      readonly hops: readonly HopStats[]
      readonly drafts: DraftStats
      /** What they say that they computed, where they were asked and could. @default nothing */
      readonly committed?: Committed | undefined
    }

/** The same from whoever runs a session: bytes of the frames that it sent, of all epochs, with their length prefixes. */
export type SessionReport =
  | Exclude<SessionOutput, { kind: 'end' }>
  | (Extract<SessionOutput, { kind: 'end' }> & { readonly bytesSent: number })

/** What a draft model is asked. */
export interface DraftAsk {
  /** The whole text, of which the first `length` tokens count; it only ever grows. */
  readonly text: readonly number[]
  readonly length: number
  /** So many tokens that follow. */
  readonly count: number
  /** A step waits for them so long, in ms: then `draft-late` is due. @default none does */
  readonly waitMs?: number | undefined
}

export type SessionEffect =
  /**
   * Asks for a route without the excluded peers and stages, then reports `routed` or `unroutable`. Those of them that are
   * `doubtful` failed a while ago: where there is no way around them, they are asked again at once.
   */
  | { readonly kind: 'route'; readonly excluded: Without; readonly doubtful: Without }
  /**
   * Asks for a route around the peers that are leaving and those that are excluded, for a session that runs along `route`;
   * never waits. `stuck`: whether there is one is all that is asked, because this hop gets nothing done; `needsRoom`: one that
   * has room for the session, because this hop has none.
   */
  | {
      readonly kind: 'detour'
      readonly route: readonly Hop[]
      readonly excluded: Without
      readonly stuck?: number
      readonly needsRoom?: boolean
    }
  /** Has the draft model say how a text goes on, in `drafted` events; what it was asked before counts no more. */
  | ({ readonly kind: 'draft' } & DraftAsk)
  /** Has the grammar say what may follow, in one `masked` event; what it was asked before counts no more. */
  | ({ readonly kind: 'mask' } & MaskAsk)
  /** A new epoch's tail: it alone may open the driver's end from now on. */
  | { readonly kind: 'admit'; readonly epoch: number; readonly tail: PeerId }
  /** Opens the stream to the head of this epoch's route. */
  | { readonly kind: 'connect'; readonly epoch: number; readonly peer: PeerId }
  | { readonly kind: 'send'; readonly epoch: number; readonly frame: Frame }
  /** Closes the stream to the head. */
  | { readonly kind: 'hang-up'; readonly epoch: number }
  | { readonly kind: 'output'; readonly output: SessionOutput }
  | {
      readonly kind: 'violation'
      readonly remote: PeerId
      readonly violation: ViolationKind
      readonly message: string
    }
