/** What an answer is made with: text, a model, streams and routes, and who keeps it. Types alone. */
import type { Clock } from '../base/clock.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import type { Sign } from '../base/signature.ts'
import type { CacheType } from '../base/cache-type.ts'
import type { Engine, Sampling } from '../engine/engine.ts'
import type { TokenMask } from '../engine/mask.ts'
import type { Conversation } from '../model/chat.ts'
import type { ConversationPrompt, ConversationRoom } from '../model/chat.ts'
import type { Hop, Without } from '../route/view.ts'
import type { ScrubCounts } from '../scrub/found.ts'
import type { ViolationKind } from '../stage/event.ts'
import type { StageService } from '../stage/service-init.ts'
import type { Links } from '../swarm/links.ts'
import type { Drafter, DrafterInit } from './drafter.ts'
import type { Committed } from './committed.ts'
import type { SessionReport, Stop } from './event.ts'
import type { DraftModelInit } from './init.ts'
import type { AnnouncedSpeed } from './patience.ts'
import type { TracedLap } from './trace.ts'

/** Text to ids and back, as a session needs it. None of it is done in this thread. */
export interface SessionTokenizer {
  /** Length of its longest token: no text of n tokens has more than n times as many characters. */
  longest(options: { signal?: AbortSignal | undefined }): Promise<number>
  /** `special`: control tokens that the text spells become those tokens; else they are text. `bare`: nothing is put in front. */
  encode(
    text: string,
    options: { special: boolean; bare?: boolean; signal?: AbortSignal | undefined }
  ): Promise<readonly number[]>
  /** The prompt of a conversation. @throws {InvalidOptionError} when the model has no chat template, or that refuses it */
  chat(
    conversation: Conversation,
    room: ConversationRoom,
    options: { signal?: AbortSignal | undefined }
  ): Promise<ConversationPrompt>
  /** The bytes that each of some ids adds to a text, be they a part of a character. */
  bytes(ids: readonly number[], options: { signal?: AbortSignal | undefined }): Promise<readonly Uint8Array[]>
  /** Turns the ids that follow a prompt into text as they come: what they complete, and with `last` what is left. */
  stream(promptIds: readonly number[]): {
    push(ids: readonly number[], options: { last?: boolean; signal?: AbortSignal | undefined }): Promise<string>
  }
}

/** What a session must know of its model. */
export interface SessionModel {
  readonly id: ModelId
  /** @default nobody says */
  readonly name?: string
  /** Types of its weights, for people. @default nobody says */
  readonly precision?: string
  readonly layers: number
  readonly vocab: number
  readonly contextMax: number
  readonly eosIds: readonly number[]
}

/** A model that proposes tokens for another one. */
export interface DraftModel extends DraftModelInit {
  /** For messages. */
  readonly name: string
  /** Its ids are below this. */
  readonly vocab: number
  /** Of all its layers. */
  readonly engine: Pick<Engine, 'open' | 'run' | 'free'>
  /** It computes no more: nobody is to draft with it from now on. */
  readonly onFailed: (error: Error) => void
}

/** What an answer must be, for one session: it says token by token what may follow. */
export interface Grammar {
  /**
   * @param text ids of the answer so far, without the prompt: it only ever grows
   * @param drafts ids that may follow it one after the other
   * @param options.after what it says begins after this id, before which any text may stand. @default with the answer
   * @returns [1 + drafts, or fewer] what may follow the text, the text with one draft, and so on up to the first draft that may not
   * @throws {SessionFailedError} when it cannot say, in one sentence @throws the signal's reason
   */
  masks(
    text: readonly number[],
    drafts: readonly number[],
    options: { signal: AbortSignal; after?: number | undefined }
  ): Promise<readonly TokenMask[]>
}

/** The same texts with placeholders for personal data, and how often each kind was replaced. */
export type Scrub = (
  texts: readonly string[],
  options: { readonly signal: AbortSignal }
) => Promise<{ readonly texts: readonly string[]; readonly replaced: ScrubCounts }>

/** What a session works with. */
export interface SessionParts {
  links: Links
  stages: Pick<StageService, 'drive'>
  /**
   * Waits until there is room for the session; what it returns is called when it has ended.
   * @throws {OverloadedError} when that would take too long. @throws the signal's reason. @default begins at once
   */
  admit?: (need: {
    tokensMax: number
    waitMs: number | undefined
    signal: AbortSignal
    onWait: (message: string) => void
  }) => Promise<() => void>
  /** Signs as this peer what it gives out to the hops of its routes. */
  sign: Sign
  tokenizer: SessionTokenizer
  model: SessionModel
  /**
   * Hops that cover all layers and avoid the excluded peers.
   * @throws {NotCoveredError} when there are none; after a loss the session asks again until a deadline.
   */
  route: (
    excluded: Without,
    options: {
      signal: AbortSignal
      doubtful: Without
      /** Tokens that its caches must hold, and stages that hold them already. */
      tokensMax: number
      held: readonly Hop[]
      /** Called whenever there is no route yet; `explain` says what is missing, which takes time to find out. */
      onWait: (explain: () => string) => void
    }
  ) => Promise<readonly Hop[]>
  /**
   * Whether the route that was given last computes every layer in the numeric class of the first one.
   * @default always
   */
  isExact?: () => boolean
  /** Peers that do not answer at this moment, most of which will (`swarm/liveness.ts`). @default none */
  suspects?: () => ReadonlySet<PeerId>
  /** Whether a peer is connected and answers. @default nobody can tell */
  hears?: (peer: PeerId) => boolean
  /** When this peer last came to itself after it had not run for a while. @default it has run all the time */
  stoodStillMs?: () => number | undefined
  /** Whether a peer can keep a session waiting for room, in line (protocol revision 2.1.0). @default none can */
  keepsWaiting?: (peer: PeerId) => boolean
  /** Whether a peer knows steps with drafts (protocol revision 2.2.0). @default none does */
  knowsDrafts?: (peer: PeerId) => boolean
  /** Makes what proposes drafts for a sequence. @default from what it repeats */
  drafter?: ((init: DrafterInit) => Drafter) | undefined
  /** A model that this peer holds whole, whose text has the same ids. @default none: drafts come from the text alone */
  draftModel?: DraftModel | undefined
  /** What the answer must be. @default anything */
  grammar?: Grammar | undefined
  /** How fast a hop has announced to be. @default nobody knows */
  speedOf?: (hop: Hop) => AnnouncedSpeed | undefined
  /** Bytes of one token's hidden state between two hops. @default a 4,096 wide model's */
  stepBytes?: number
  /** Peers that are about to go, and stages of a route that are. @default none */
  leaving?: (route: readonly Hop[]) => Without
  /**
   * A route around them for a session that runs along `route`, as far as there is one now; undefined when there is none.
   * `needsRoom`: only one whose stages have room for the session, as far as they say.
   */
  detour?: (
    route: readonly Hop[],
    excluded: Without,
    options: { readonly needsRoom: boolean }
  ) => { readonly route: readonly Hop[]; readonly exact: boolean } | undefined
  /** Called when the session begins on a route: the one that was given last, or one that `detour` gave. */
  onRoute?: (route: readonly Hop[]) => void
  /** Called at every token, with the route that it came along. */
  onToken?: (route: readonly Hop[]) => void
  /** Keeps the session with other peers from the moment it is asked. @default nobody does */
  keep?: SessionKeep
  /**
   * Looks at what the hops of an answer have committed to, and may have one of them checked; who was found out, if anybody. It does not throw.
   *
   * @param computeMs of all hops
   * @default nobody is checked, and hops commit to nothing
   */
  check?: (committed: Committed, computeMs: number, options: { signal: AbortSignal }) => Promise<PeerId | undefined>
  /** Peers that were found out, by whoever checked them: nothing that they have computed counts. @default none */
  refuted?: () => ReadonlySet<PeerId>
  /** Called when a hop was left out because it did not answer: other sessions do well to go around it, too. */
  onMute?: (peer: PeerId) => void
  /** Called once when the session has ended: its last route is no longer used. */
  onEnd?: () => void
  /** Called once for every stream that a peer broke by breaking the protocol. */
  onViolation?: (remote: PeerId, kind: ViolationKind, message: string) => void
  /**
   * Replaces personal data in the texts of the request. @throws {DeadlineError} {NoRoomError} {EngineError} the signal's reason
   * @default nobody has asked for it
   */
  scrub?: Scrub | undefined
  /** @default the machine's */
  clock?: Clock
  /** Names the session. @default the machine's */
  rng?: Rng
}

/** What has to be known to go on with a session elsewhere. */
export interface SessionContent {
  readonly promptIds: readonly number[]
  /** Tokens of the answer so far. */
  readonly ids: readonly number[]
  /** False when some of them may differ from the undisturbed answer (see `Answer.exact`). */
  readonly exact: boolean
  /** In what its hops hold keys and values. @default `f32` */
  readonly cache?: CacheType | undefined
  readonly sampling: Sampling
  /** Tokens of the whole answer at most. */
  readonly maxTokens: number
  /** The id that ends the thoughts which the prompt has opened: what the answer must be begins after it. */
  readonly thoughtsEnd?: number | undefined
}

/** Begins to keep a session. `onWarning`: what goes wrong ends nothing. */
export type SessionKeep = (content: SessionContent, onWarning: (message: string) => void) => AnswerKeeper

/** Takes what happens to a session that is kept. None of it waits. */
export interface AnswerKeeper {
  /** There is a route, or another one: these peers compute from now on. */
  routed(peers: readonly PeerId[]): void
  token(id: number): void
  /** From here on tokens may differ from the undisturbed answer. */
  inexact(): void
  /** `stop` is undefined when the answer was broken off. Only the first call counts. */
  end(stop: Stop | undefined): void
  /** What is kept counts for nothing: it is kept anew from then on. */
  leave(): void
}

/** A session's output with the time at which it happened: later stages of the pipe may be slow. */
export type Timed = (
  | SessionReport
  | { readonly kind: 'warning'; readonly message: string }
  /** Personal data in what was asked: how often each kind was replaced. */
  | { readonly kind: 'scrubbed'; readonly replaced: ScrubCounts }
  /** What became of a conversation. */
  | { readonly kind: 'conversation'; readonly prompt: ConversationPrompt }
  /** A peer was found to compute something else than it should: the answer is made anew, without it. */
  | { readonly kind: 'refuted'; readonly peer: PeerId }
  /** The last token has come. */
  | { readonly kind: 'stopped'; readonly stop: Stop }
  /** Where the time of a lap went. */
  | { readonly kind: 'trace'; readonly lap: TracedLap }
) & { readonly atMs: number }

/** An answer that was begun before. */
export interface BegunAnswer {
  readonly promptIds: readonly number[]
  /** Tokens of the answer that are there. */
  readonly ids: readonly number[]
  readonly exact: boolean
  /** Why it has ended, when it has. */
  readonly stop: Stop | undefined
  /** As in a session's content. */
  readonly thoughtsEnd?: number | undefined
}

/** A conversation whose next message is asked for. */
export interface ConversationAsk extends Conversation {
  /** Where it does not fit, its oldest turns go but for so many of the newest. @default it is refused */
  readonly keepTurns?: number | undefined
}

/** What a session begins with: a prompt alone, or an answer that was begun before. */
export interface Sequence {
  readonly promptIds: readonly number[]
  /** Personal data that was replaced in it, where that was asked for. */
  readonly replaced?: ScrubCounts | undefined
  /** What the prompt is of, if it is a conversation. */
  readonly conversation?: ConversationPrompt | undefined
  readonly begun: BegunAnswer | undefined
}
