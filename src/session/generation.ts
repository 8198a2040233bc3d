/** An answer as the one who asked sees it: tokens and events while it is generated, a summary at the end. */
import type { PeerId } from '../base/ids.ts'
import type { Hop } from '../route/view.ts'
import type { ScrubCounts } from '../scrub/found.ts'
import type { DraftStats } from './speculation.ts'
import type { AnswerPart } from './thinking.ts'
import type { TracedLap } from './trace.ts'

export type { ScrubCounts, ScrubKind } from '../scrub/found.ts'
export type { AnswerPart } from './thinking.ts'
export type { SpanName, TracedLap, TraceSpan } from './trace.ts'

/** One of the likeliest tokens in a place of a text. */
export interface TokenLogprob {
  readonly id: number
  /** Natural logarithm of the probability that the model gives it there: a float32 of 0 or less. */
  readonly logprob: number
  /** As {@link Token.bytes}. */
  readonly bytes: Uint8Array
}

/** What the model makes of a token, where that was asked for (`logprobs`). */
export interface Scored {
  /**
   * Natural logarithm of the probability that the model gives it after the text before it: a float32 of 0 or less, before
   * `logitBias`, penalties, temperature and filters. The same bits whatever batch, draft or loss it came through.
   */
  readonly logprob: number
  /** The bytes that it adds to the text, be they a part of a character. A control token's are how it is spelt, though it is no text. */
  readonly bytes: Uint8Array
  /** As many of the likeliest tokens in its place as were asked for, the likeliest first; it may be one of them. */
  readonly top: readonly TokenLogprob[]
}

/** One token of a prompt, where what the model makes of it was asked for (`promptLogprobs`). */
export interface PromptToken extends Partial<Scored> {
  readonly id: number
  /** Its index in the sequence, from 0 on. The first one has neither `logprob` nor `top`: nothing is before it. */
  readonly position: number
  /** As {@link Scored.bytes}. */
  readonly bytes: Uint8Array
}

/** One generated token. With the option `logprobs` it has all of {@link Scored}. */
export interface Token extends Partial<Scored> {
  readonly id: number
  /** What it adds to the text; empty while a character is incomplete. */
  readonly text: string
  /** Its index in the sequence, the prompt included. */
  readonly position: number
  /** Since the token before it, or since the request for the first, in ms. */
  readonly ms: number
  /** Of an answer in a conversation, where the model marks what it thinks: which of the two this is. The marks are thoughts. */
  readonly part?: AnswerPart
}

/** What one hop did for one answer. */
export interface HopReport extends Hop {
  readonly steps: number
  readonly tokens: number
  /** Time in the engine, in ms: of passes that other sessions share all of it. */
  readonly computeMs: number
  /** Tokens of all sessions in these passes; as many as `tokens` where nobody shared them, fewer where it knew some (rule S35). */
  readonly rows: number
  /** Of `tokens`, those that it knew from an earlier answer to the same beginning; 0 of a hop of an older version, which does not say. */
  readonly reused: number
  /** Time that steps waited for the engine, in ms. */
  readonly queueMs: number
  /** Bytes of frames that came in and went on to the next hop. */
  readonly bytesIn: number
  readonly bytesOut: number
}

/** A whole answer, with what it took: who computed it, in which time, and how much passed between them. */
export interface Answer {
  /** Without a last character of which `maxTokens` has left bytes out. */
  readonly text: string
  readonly promptIds: readonly number[]
  readonly ids: readonly number[]
  readonly stop: 'length' | 'eos'
  readonly timing: { readonly firstTokenMs: number; readonly totalMs: number; readonly tokensPerSecond: number }
  /** Bytes that the route's hops sent to one another and to the driver, per generated token, of the whole answer. */
  readonly bytesPerToken: number
  /**
   * False when a route of another numeric class had to be used after a loss: floating point may then have rounded
   * differently, and the answer may differ from the undisturbed one.
   */
  readonly exact: boolean
  readonly hops: readonly HopReport[]
  /** Tokens that were proposed to be verified several at a time, and those of them that were right. */
  readonly drafts: DraftStats
}

/** What happens while an answer is generated. Later versions add kinds; these stay. */
export type GenerationEvent =
  /** First of all, when a session is resumed: what was there already. `text` may lack an incomplete last character. */
  | { readonly event: 'resumed'; readonly tokens: number; readonly text: string }
  /** First of all, in a conversation: its prompt's tokens, and how many of its oldest turns had to stay out (`keepTurns`). */
  | { readonly event: 'conversation'; readonly tokens: number; readonly droppedTurns: number }
  /** Personal data in what was asked was replaced, with the option `scrub`: how often each kind; never what it was. Before `conversation`. */
  | { readonly event: 'scrubbed'; readonly replaced: ScrubCounts }
  | { readonly event: 'route'; readonly hops: readonly Hop[] }
  /**
   * What the model makes of the next tokens of the prompt, with the option `promptLogprobs`: all of them come in order, the first one alone
   * and before there is a route, the last one before the first token of the answer. What is lost meanwhile changes nothing of it.
   */
  | { readonly event: 'prompt'; readonly tokens: readonly PromptToken[] }
  /**
   * Nobody offers the model yet, or no route covers all layers now: the answer goes on as soon as one does. Or a hop of the route keeps it
   * waiting. `message` says what is missing, or which hop that is.
   */
  | { readonly event: 'waiting'; readonly message: string }
  | ({ readonly event: 'token' } & Token)
  /**
   * A peer is off the route. `charged`: it failed. Else nothing is known to be wrong with it: it has no room (`no-room`), it
   * does not know what the answer needs (`unsupported`), it goes (`left`), somebody else may be why it was not heard, or this peer itself did not run for a while.
   */
  | {
      readonly event: 'lost'
      readonly peer: PeerId
      readonly hop: number
      readonly reason: string
      readonly charged: boolean
    }
  /** Two neighbours on the route do not hear each other, though both are there: the answer goes another way. */
  | { readonly event: 'cut'; readonly peer: PeerId; readonly next: PeerId }
  | {
      readonly event: 'recovered'
      readonly ms: number
      /** Tokens that a hop of the new route had to be sent again before it could go on; the most of any hop. */
      readonly replayedTokens: number
      readonly route: readonly Hop[]
      /** See {@link Answer.exact}: true means that what follows is the same as without the loss. */
      readonly exact: boolean
    }
  /**
   * A peer that has computed a part of the answer was found out by a check of its work: it has signed something else than it should have
   * computed. All `tokens` of the answer so far are void, whether it had `stopped` or not: they are computed anew without that peer, and come
   * again from the first. What was shown to somebody cannot be taken back; `done` has what counts. In `promptLogprobs` the prompt comes again, too.
   */
  | { readonly event: 'refuted'; readonly peer: PeerId; readonly tokens: number }
  /** Where the time of one lap went, one lap later; of an answer with `trace`. `startMs`: since the request. */
  | ({ readonly event: 'trace' } & TracedLap)
  /** A problem that does not end the answer, in one sentence: the session is kept by fewer peers than it should. */
  | { readonly event: 'warning'; readonly message: string }
  /** The answer is complete; what the hops did for it follows with `done`. `text`: where the model
   * ended it, U+FFFD for a last character that is incomplete. */
  | { readonly event: 'stopped'; readonly stop: Answer['stop']; readonly text: string }
  | ({ readonly event: 'done' } & Answer)

/**
 * An answer in the making. Iterate it for tokens, or `events()` for everything; either starts it, once. Tokens end with the last
 * one, events with what the hops did.
 * `answer` settles when it ends. Who wants nothing else only awaits it: asked for when nobody has begun to iterate by the end of the same turn, it
 * starts the answer too. @throws {SessionFailedError} and the errors of routing.
 */
export interface Generation extends AsyncIterable<Token> {
  events(): AsyncIterable<GenerationEvent>
  readonly answer: Promise<Answer>
}
