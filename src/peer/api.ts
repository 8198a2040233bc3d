/** The types of the API: what a program says to a peer, and hears from it. */
import type { CacheType } from '../base/cache-type.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import type { Sampling } from '../engine/engine.ts'
import type { EngineFactory } from '../engine/factory.ts'
import type { ChatExtras, ChatMessage } from '../model/chat.ts'
import type { GrammarSpec } from '../model/grammar-spec.ts'
import type { InferResult } from '../infer/service.ts'
import type { RemovedModel } from '../model/removal.ts'
import type { StoredGraph, StoredModel } from '../model/stored.ts'
import type { Tensors } from '../model/tensors.ts'
import type { ShardFetch } from '../serving/held-shards.ts'
import type { Generation } from '../session/generation.ts'
import type { SwarmConfig } from '../swarm/swarm-file.ts'
import type { AttestingInit } from './attesting.ts'
import type { DiskFreed } from './own-disk.ts'
import type { DrainReport } from './departure.ts'
import type { KeptSessionInit, KeptSessionName } from './kept-sessions.ts'
import type { Embeddings } from './own-graphs.ts'
import type { AnswerNews, AnswerStatus } from './answers.ts'
import type { InferenceOptions, TokenizeOptions } from './graph-options.ts'
import type { RequestTrace } from './request-log.ts'
import type { StageStatus, Status } from './status.ts'

export type { DiskFreed } from './own-disk.ts'
export type { DraftStatus } from '../serving/draft-service.ts'
export type { DiskStatus } from '../model/disk-budget.ts'
export type { DrainReport } from './departure.ts'
export type { Embeddings } from './own-graphs.ts'
export type { InferResult } from '../infer/service.ts'
export type { KeptSessionInit, KeptSessionName } from './kept-sessions.ts'
export type {
  Answer,
  AnswerPart,
  Generation,
  GenerationEvent,
  HopReport,
  SpanName,
  PromptToken,
  Scored,
  ScrubCounts,
  ScrubKind,
  Token,
  TokenLogprob,
  TracedLap,
  TraceSpan
} from '../session/generation.ts'
export type { ChatMessage } from '../model/chat.ts'
export type { GrammarSpec, PlainMarks } from '../model/grammar-spec.ts'
export type { ShardFetch } from '../serving/held-shards.ts'
export type { AnswerNews, AnswerStatus } from './answers.ts'
export type {
  AttestationStatus,
  FetchingStatus,
  LinkStatus,
  MembershipStatus,
  ModelFit,
  ModelStatus,
  PeerStatus,
  StageStatus,
  Status
} from './status.ts'
export type { InferenceOptions, TokenizeOptions } from './graph-options.ts'
export type { Happening, RequestTrace } from './request-log.ts'
export type { SwarmConfig } from '../swarm/swarm-file.ts'

/** How to start a peer. */
export interface PeerInit extends AttestingInit {
  /** Directory of everything this peer keeps: identity, shards, remembered peers. Made if it does not exist. */
  dataDir: string
  /**
   * Has everything in `dataDir` lie there sealed, with names and all, so that a copy of the disk is worth nothing without this: the path
   * of a file of 32 random bytes or more, which lies elsewhere; `keyring` or `keyring:NAME`, where the kernel has these bytes; or `tpm2`,
   * where this machine's TPM gives a secret. A new directory is sealed with it, and opens with nothing else from then on.
   * @default none: files lie as they are
   */
  seal?: string | undefined
  /**
   * The swarm to be in: a file made by `skein init`, or its contents.
   * @default the one that `dataDir` has joined by an invitation
   */
  swarm?: string | SwarmConfig
  /**
   * Name or id of the model to serve. What is not in `dataDir` is fetched from peers that have it, once there are some.
   * @default the only model in `dataDir`, or the one that ships when there is none
   */
  model?: string
  /**
   * Models to serve, where it is several or their layers differ; instead of `model`. The budget is shared out among them by
   * their size and by how much the swarm asks for each.
   */
  models?: readonly ModelInit[]
  /**
   * Name or id of a model that this peer holds whole, besides what it serves, to propose the next tokens of its own answers, which
   * have the same tokens with it and come sooner: a small model with the same vocabulary. It takes its part of `memoryBytes`; where
   * nothing is left for layers, and no model to serve is named, the peer serves none.
   * @default none: proposals come from what a text repeats
   */
  draft?: string
  /**
   * Budget for weights and caches, in bytes, of all models together. Placement never exceeds it. 0 is a peer that holds no
   * layers: it asks others.
   * @default half of the machine's memory
   */
  memoryBytes?: number
  /**
   * What models may take of the disk under `dataDir`, in bytes. Before anything is fetched that would pass it, what this peer does
   * not need gives way, oldest use first; what was imported never does, unless that was said when it was
   * ({@link ImportModelInit.givesWay}).
   * @default no limit
   */
  diskBytes?: number
  /** Serve exactly these layers of the only model, half-open, instead of what placement decides. */
  layers?: Range
  /**
   * Multiaddrs to listen on.
   * @default ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0']
   */
  listen?: string[]
  /** Multiaddrs of peers to dial besides those that are discovered or remembered. */
  bootstrap?: string[]
  /**
   * Look for peers by multicast DNS.
   * @default true
   */
  mdns?: boolean
  /**
   * Threads per engine. More than one hurts when several peers share a machine.
   * @default 1
   */
  threads?: number
  /**
   * What computes, in order of preference: a model is served with the first that supports it.
   * @default [wasmEngine, onnxEngine]
   */
  engines?: readonly EngineFactory[]
  /**
   * One of so many own answers is traced for the metrics, which then say what passes between hops: it costs a frame some 25 bytes for
   * each hop before it. 0 is none.
   * @default 0
   */
  traceEvery?: number
  /**
   * Keep a log of the requests that this peer drives in `audit/` of its data directory: when, who asked, which model over which peers, how
   * it ended, and a digest of the answer; never a prompt or an answer. Its lines are chained and signed: {@link verifyAudit}.
   * @default false
   */
  audit?: boolean
  /**
   * Work only with models that one of these has signed: what else is here is not served, and what others offer is refused by name
   * before a byte of its weights is fetched. Each is a public key (64 hex digits, 43 letters of base64url, or the path of its file), or
   * `swarm` for the authority of a swarm with members and the keys that it has certified ({@link certifySigner}).
   * @default models need no signature
   */
  requireSigned?: readonly string[]
  /**
   * Have the work of others checked: after some answers one hop of the route is computed again, here or by others of its class, and who has signed
   * something else computes for this peer no more. Stages of this peer say what they computed, so that others can check it, too.
   * @default true
   */
  checkWork?: boolean
  /** Replace personal data in all that this peer is asked, as with {@link GenerateOptions.scrub}. @default false: where a request asks for it */
  scrub?: boolean
  /**
   * The country of telephone numbers without a country's code, by its two letters (ISO 3166): by its numbering plan they are told from
   * other numbers. @default they are known by how they are written
   */
  scrubCountry?: string
  /** Told of each problem that does not end the peer, from the start on; events `warning` come to who listens later. */
  onWarning?: (message: string) => void
  /** Ends the start; a started peer is ended by `stop()`. */
  signal?: AbortSignal
}

/** One of several models to serve. */
export interface ModelInit {
  /** Name or id, as with {@link PeerInit.model}. */
  model: string
  /** Serve exactly these layers, half-open, instead of what placement decides. */
  layers?: Range
}

/** What an answer is to be: by which model, how long, drawn how, and what to do where peers are missing or go. */
export interface GenerateOptions extends Partial<Omit<Sampling, 'promptTokens' | 'masked'>> {
  /**
   * Tokens to generate at most. With `promptLogprobs` it may be 0: then the answer has none, and the events `prompt` are all that comes.
   * @default 256, or what the context leaves
   */
  maxTokens?: number
  /** Where the context leaves fewer tokens than `maxTokens`, the answer gets these. @default it is refused */
  fit?: boolean
  /**
   * Name or id of a model that is known here or that a live peer offers; one that nobody offers yet is waited for, as `waitMs` says.
   * @default the first model that this peer serves, else the only one offered
   */
  model?: string
  /** What the one who asks calls this request, for {@link Peer.traces}: up to 128 characters. @default a number of this peer */
  request?: string
  /**
   * Who asks, of several whom this peer answers: where room is short they take turns.
   * @default one and the same
   */
  client?: string
  /**
   * Keep prompt and answer, sealed with a key, on two other peers, so that `resume` can go on with them wherever that
   * key is. What cannot be kept is an event `warning`, not an error.
   * @default not kept
   */
  session?: KeptSessionInit
  /**
   * How long to wait until somebody offers the model, and how long for peers where no route covers all layers, from the start or
   * from a loss, in ms: up to a day. What is missing is told in `waiting` events, and by the error when the time is over.
   * @default 30 s after a loss; before the first token, until no more peers are to be expected
   */
  waitMs?: number
  /**
   * In what every hop holds the keys and values of the session: `f32`, as they are computed, or `i8`, bytes, which take a
   * half to a third of the memory and give another answer, nearly as good. Only peers whose engine has such caches are asked.
   * @default `f32`
   */
  cache?: CacheType
  /**
   * Replace personal data in the prompt or the messages with placeholders (`[email-1]`, the same for the same value) before they are tokens, so that it
   * never leaves this peer: addresses of e-mail, telephone numbers, payment cards, coordinates, IP addresses. The event `scrubbed` says how often
   * each was. A prompt of ids is refused.
   * @default false
   */
  scrub?: boolean
  /**
   * What the answer must be: no token is drawn that this does not allow, and it ends where it is whole. An answer that its length ends
   * first (`maxTokens`) is the beginning of one. Only peers that know how are asked. With `session` it is kept, too.
   * @default anything
   */
  grammar?: GrammarSpec
  /**
   * Control tokens that the prompt spells (`</s>`) become those tokens, as a chat template wants it.
   * @default false: they are text, as all that people write
   */
  special?: boolean
  /**
   * Have several tokens verified in one lap of the route, where the text so far or a draft model suggests them and that makes the
   * answer faster. It has the same tokens either way.
   * @default true
   */
  speculate?: boolean
  /**
   * Have every hop say where the time of each token goes, as far as it knows how to: events `trace`. It costs a frame some 25
   * bytes for each hop before it.
   * @default false
   */
  trace?: boolean
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
}

/** The same of an answer in a conversation, with what the chat template of the model is given beside the messages. */
export interface ChatOptions extends Omit<GenerateOptions, 'special'>, ChatExtras {
  /**
   * Where the conversation and its answer do not fit the model's context, its oldest turns go, but for so many of the newest, and
   * the event `conversation` says how many. What the system says at its beginning stays.
   * @default it is refused
   */
  keepTurns?: number
}

/** How to go on with a session that is kept: with which key, and how far. */
export interface ResumeOptions extends Omit<KeptSessionInit, 'name'> {
  /**
   * Tokens of the whole answer at most, those that are there included.
   * @default as it was asked for
   */
  maxTokens?: number
  /** As with {@link GenerateOptions.waitMs}. */
  waitMs?: number
  /** Log-probabilities of the tokens that come, as an answer has them; those that are there already were not kept with theirs. @default none */
  logprobs?: number
  /** Cancels the answer and frees every cache on its route. */
  signal?: AbortSignal
}

/** Events of a peer, as a typed EventTarget. */
export interface PeerEvents {
  /** A peer's first live record was accepted. */
  'peer:join': CustomEvent<{ readonly peer: PeerId }>
  /** A peer's record expired, or it said goodbye. */
  'peer:leave': CustomEvent<{ readonly peer: PeerId }>
  /** A peer, this one included, announced that it is about to go, or that it stays after all. */
  'peer:leaving': CustomEvent<{ readonly peer: PeerId; readonly leaving: boolean }>
  /** A stage of this peer began or ceased to serve. */
  'stage:up': CustomEvent<StageStatus>
  'stage:down': CustomEvent<StageStatus>
  /** Shards that this peer needs are being fetched from others, and later have come. */
  'shards:fetch': CustomEvent<ShardFetch>
  /** Files of models gave way to others, within the disk budget. */
  'disk:freed': CustomEvent<DiskFreed>
  /** A model became covered, or is no longer. */
  'model:covered': CustomEvent<{ readonly model: ModelId }>
  'model:uncovered': CustomEvent<{ readonly model: ModelId }>
  /** The peer cannot go on and is stopping: the error says why. Nothing ends the program that holds it. */
  failed: CustomEvent<{ readonly error: Error }>
  /** Something has happened to an answer that this peer makes; not each token, and nothing that it says. */
  answer: CustomEvent<AnswerNews>
  /** A problem that does not end the peer, in one sentence. */
  warning: CustomEvent<{ readonly message: string }>
}

/**
 * A peer that has started: it serves its part of models to its swarm, and answers whoever holds it. `createPeer` starts one.
 */
export interface Peer {
  /** Its id, made from the key in its data directory: the same after every start. */
  readonly id: PeerId
  /** Multiaddrs that others can dial, with this peer's id. */
  readonly addresses: readonly string[]
  /** What it knows now of itself, its swarm and the models there; made anew for each call. */
  status(): Status
  /** Answers that this peer is making: the same as in its status, where that alone is asked for often. */
  answers(): readonly AnswerStatus[]
  /**
   * What it has counted since its start and what is so now, as text for Prometheus (exposition format 0.0.4). Nothing of what prompts and
   * answers say is in it.
   *
   * @param options.aliases has names of vLLM for what they mean there, too (`vllm:num_requests_running`). @default none
   */
  metrics(options?: { aliases?: 'vllm' }): string
  /**
   * The last requests that this peer answers or has answered, the newest first: where their time went, and what happened to them; nothing
   * that they say.
   *
   * @param request one of them, or the beginning of its name. @default all of them, without their laps
   */
  traces(request?: string): readonly RequestTrace[]
  /**
   * Answers a prompt. Nothing runs until the result is iterated.
   *
   * @param prompt a text, in front of which its tokenizer puts what the model wants there, or [tokens] ids, which are taken as they are
   */
  generate(prompt: string | readonly number[], options?: GenerateOptions): Generation
  /**
   * Answers what was said last in a conversation, by the model's chat template. What messages spell is text (`<|im_end|>` as
   * well), and only the template writes control tokens. Else as {@link generate}.
   * Iterating throws {InvalidOptionError}, too, when the model has no template or it refuses the messages.
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Generation
  /**
   * Runs a graph once, here or at the peer that is expected to answer first; where that one fails, another one is asked.
   *
   * @param model name or id of a graph, from here or from a live peer
   * @param inputs all that the graph takes: {@link graph} says what
   * @throws {InvalidOptionError} when these are not its inputs. @throws {GraphRunError} when it cannot be run with them
   * @throws {WrongModelKindError} {UnknownModelError} {NotCoveredError} {OverloadedError} when it is no graph, not known, served by
   *   nobody, or all are busy. @throws {PeerLostError} {EngineError} {DeadlineError} when whoever was asked failed
   * @throws the signal's reason.
   */
  infer(model: string, inputs: Tensors, options?: InferenceOptions): Promise<InferResult>
  /**
   * Texts as vectors, by a graph that was imported with its tokenizer: the mean of the tokens' vectors, of length 1. Texts that are
   * longer than the tokenizer's file says are cut, and the result says by how much.
   *
   * @param texts up to 1,024
   * @throws {InvalidOptionError} when the graph takes no text or gives no vectors, and as {@link infer}
   */
  embed(model: string, texts: readonly string[], options?: InferenceOptions): Promise<Embeddings>
  /**
   * A model that continues text: its manifest says what it is.
   *
   * @param nameOrId @default the one that answers where none is named
   * @throws {WrongModelKindError} {UnknownModelError} {AmbiguousModelError} {NotHeldError}, the signal's reason
   */
  model(nameOrId?: string, options?: { signal?: AbortSignal }): Promise<StoredModel>
  /**
   * The ids of a text, as this model reads it. What it spells is text.
   *
   * @param options.bare without the token that the model wants in front. @default false
   * @param options.special control tokens that the text spells become those tokens. @default false
   * @throws {PromptTooLongError} when it has more characters than any context holds; {DeadlineError}, and as {@link model}
   */
  tokenize(text: string, options?: TokenizeOptions): Promise<number[]>
  /**
   * The text of ids. Control tokens have none.
   *
   * @param options.special they are spelt out all the same. @default false
   * @throws {InvalidOptionError} when one is no id of the model; {DeadlineError}, and as {@link model}
   */
  detokenize(
    ids: readonly number[],
    options?: { model?: string; special?: boolean; signal?: AbortSignal }
  ): Promise<string>
  /** What a graph takes and gives. @throws {WrongModelKindError} {UnknownModelError}, the signal's reason */
  graph(nameOrId: string, options?: { signal?: AbortSignal }): Promise<StoredGraph>
  /**
   * Goes on with a session that was kept under that name and key, where it stopped, with the sampling that it began
   * with. Log-probabilities are not kept, but may be asked for of what comes. The first event says what was there; the answer is the whole one. It goes on being kept.
   * Iterating throws {UnknownSessionError} {InvalidKeyError} and what `generate` throws.
   */
  resume(name: string, options?: ResumeOptions): Generation
  /**
   * Has the peers that keep a session remove it, as far as they are reachable. Returns how many had it.
   * @throws {InvalidOptionError} {InvalidKeyError} @throws the signal's reason.
   */
  forget(session: KeptSessionName, options?: { signal?: AbortSignal }): Promise<number>
  /**
   * Serves a model from now on, beside those that it serves. One that is not here is looked for among the peers; `status` says
   * how far that has come.
   *
   * @param options.layers exactly these layers, half-open, instead of what placement decides
   * @returns whether the model is here; false while it is looked for.
   * @throws {UnknownModelError} when more than one model has that name. @throws {EngineError} {InvalidOptionError}
   *   {BudgetTooSmallError} when this peer cannot serve it. @throws the signal's reason.
   */
  serve(nameOrId: string, options?: { layers?: Range; signal?: AbortSignal }): Promise<boolean>
  /**
   * Serves a model no longer, or stops looking for it. Its stages go at once: answers under way find others that serve them.
   * What is on disk of it stays.
   * @throws {UnknownModelError} when it is not served here.
   */
  unserve(nameOrId: string): Promise<void>
  /**
   * Announces that this peer goes and has others take over what it serves, while it still does: sessions move on
   * between two tokens, its own answers are completed, and nothing new is begun here. Returns when nothing needs it any
   * more, when nobody can take its layers and nothing runs, or at the deadline. `stop` ends it.
   * @throws the signal's reason; the announcement stands.
   */
  drain(options?: { deadlineMs?: number; signal?: AbortSignal }): Promise<DrainReport>
  /**
   * Takes items of a ledger of members, as `revokeMember` and `renewMember` make them, and tells them to all others at once.
   * @returns how many are new. @throws {InvalidMembershipError} in a swarm without members. @throws {ProtocolError} when one is none
   */
  learnMembers(items: readonly Uint8Array[]): number
  /**
   * Removes a model from this peer's directory: its manifest, and the files that no other model there has.
   * @throws {ModelInUseError} when it is the one that this peer serves
   * @throws {UnknownModelError} {InvalidOptionError} when there is none of that name or id, or it ships with Skein
   */
  removeModel(nameOrId: string): Promise<RemovedModel>
  /**
   * Has what is not needed here give way, so that files of another process (an import) fit into the disk budget.
   * @param options.what what they are called in the error. @default `a model`
   * @throws {DiskBudgetError} when they do not: then nothing was removed
   */
  makeRoom(bytes: number, options?: { what?: string }): Promise<void>
  /** Listens to one of {@link PeerEvents}. */
  addEventListener<K extends keyof PeerEvents>(type: K, listener: (event: PeerEvents[K]) => void): void
  /** Listens no longer. */
  removeEventListener<K extends keyof PeerEvents>(type: K, listener: (event: PeerEvents[K]) => void): void
  /** Says goodbye, ends sessions, closes everything. Safe to call twice. */
  stop(): Promise<void>
}
