/**
 * An engine is a span of layers [start, end) as the processor sees it. It knows nothing of peers.
 * `threaded.ts` is one whose weights are in a thread of its own, whichever runtime computes there; the hidden state of the
 * simulator's toy engine is a hash of (layer, position, all tokens so far). One compliance suite holds all to this contract.
 */
import type { SessionId } from '../base/ids.ts'
import type { EdgeType } from '../model/manifest.ts'
import type { CacheType } from '../base/cache-type.ts'
import type { TokenMask } from './mask.ts'
import type { PromptScores, TokenScore } from './scores.ts'

/** How the tail picks a token. Greedy when `temperature` is 0. */
export interface Sampling {
  /** 0 or more; 0 takes the most likely token. */
  readonly temperature: number
  /** In (0, 1]: the smallest set of tokens whose probability reaches this. */
  readonly topP: number
  /** The k most likely tokens; 0 for all. */
  readonly topK: number
  /**
   * In [0, 1]: tokens whose probability is less than so much of the likeliest one's are out, after `topK` and `topP`.
   * @default 0: none
   */
  readonly minP?: number | undefined
  /**
   * By token id, in [-100, 100]: added to its logit before all else. At most 300 ids, each in the vocabulary.
   * @default nothing is
   */
  readonly logitBias?: Readonly<Record<number, number>> | undefined
  /**
   * In [0, 20]: with each token its log-probability is told, and those of so many of the likeliest tokens, in the model's own
   * distribution: before `logitBias`, penalties, temperature and filters. 0: its own alone.
   * @default none are
   */
  readonly logprobs?: number | undefined
  /** Safe non-negative integer. Randomness is a function of (seed, position) only (promise P3). */
  readonly seed: number
  /** In [-2, 2], taken from the logits of tokens that the answer has already. @default 0: none */
  readonly presencePenalty?: number | undefined
  /** In [-2, 2], the same for each time that the answer has them. @default 0: none */
  readonly frequencyPenalty?: number | undefined
  /**
   * In [0.1, 10]: logits of tokens that prompt or answer have are divided by it where they are above 0, and else multiplied.
   * @default 0: none, as 1 is
   */
  readonly repetitionPenalty?: number | undefined
  /**
   * In [0, 20]: the same is told of every token of the prompt but its first, whatever of it was computed before.
   * @default nothing is
   */
  readonly promptLogprobs?: number | undefined
  /** Where there are penalties, or `promptLogprobs`: positions below this are the prompt's. @default 0: all tokens are the answer's */
  readonly promptTokens?: number | undefined
  /** Each token is drawn among those alone that its step lets through (`Step.masks`). @default false: among all */
  readonly masked?: boolean | undefined
}

/** What a session is opened with. */
export interface OpenInit {
  /** The most tokens that it ever holds, prompt and answer together: its cache is reserved for so many. */
  readonly tokensMax: number
  /** How the last layer draws its tokens; other layers need some of it, too. */
  readonly sampling: Sampling
  /** In what its keys and values are held. @default `f32` */
  readonly cache?: CacheType | undefined
  /** Whose sessions may share what they begin with. @default nobody's: it shares nothing */
  readonly owner?: string | undefined
}

/** What a step feeds in: token ids at the head, edge-encoded hidden states elsewhere. */
export type StepInput =
  /** [tokens] ids, each in [0, vocab). */
  | { readonly kind: 'ids'; readonly ids: Int32Array }
  /** [tokens, hidden] in the model's edge type, little-endian; `bytes.length = tokens · hidden · edge size`. */
  | { readonly kind: 'hidden'; readonly bytes: Uint8Array }

/** One pass of one session through the layers of an engine. */
export interface Step {
  readonly session: SessionId
  /** Position of the step's first token. A longer cache is truncated to it first (promise P2). */
  readonly position: number
  readonly tokens: number
  readonly input: StepInput
  /** True at the tail for the last step of a prompt and for every step after it: sample a token. */
  readonly sample: boolean
  /**
   * With `sample`, the ids of the step's last tokens, fewer than it has and at most `stepDraftsMax`: they are only
   * proposed. Tokens are drawn for the token before them and then for each of them, until one is drawn that is not the
   * draft that follows.
   * @default none
   */
  readonly drafts?: readonly number[] | undefined
  /**
   * [tokens] ids, each in [0, vocab), beside hidden states: the last layers need them where the session has penalties. Where the
   * input is ids, these are they.
   * @default none
   */
  readonly ids?: Int32Array | undefined
  /**
   * [1 + drafts] with `sample` at the tail of a session that is `masked`: what may be drawn after each row after which a token is. Each lets
   * one through at least.
   * @default none
   */
  readonly masks?: readonly TokenMask[] | undefined
  /**
   * At the tail of a session with `promptLogprobs`: what the model makes of the prompt's tokens is told from the one after this
   * position on, as soon as the row before each is computed and the token itself has come, with this step or the next one.
   * @default of none
   */
  readonly scoresFrom?: number | undefined
}

/** What the passes took that computed a step, alone or with steps of other sessions. */
export interface StepCost {
  /** Of these passes, in ms: what shares a pass with others is there as long as all of it. */
  readonly computeMs: number
  /** Of all sessions in them; as many as the step's tokens where it had them for itself. */
  readonly rows: number
  /** How long it waited for others to share its first pass, in ms. */
  readonly gatherMs: number
  /** Where the time around its passes went. @default unknown */
  readonly spans?: StepSpans | undefined
}

/** Where the time around the passes of a step went, in ms, of all of them together. */
export interface StepSpans {
  /** From a pass being given to the engine's thread to its beginning there. */
  readonly outMs: number
  /** Of `computeMs`, in the head of the model and in drawing tokens. */
  readonly sampleMs: number
  /** From its end there to its result being here. */
  readonly backMs: number
}

/** What a step gave, and what it cost. */
export type StepOutput = StepCost & {
  /** Of its tokens, those that had been computed for an earlier session with the same beginning. */
  readonly reused: number
  /** Of tokens of the prompt, where the step asks for that. @default of none */
  readonly prompt?: PromptScores | undefined
} & (
    | /** Not the last layer: [tokens, hidden] in the edge type. The buffer is the caller's own. */
    { readonly kind: 'hidden'; readonly bytes: Uint8Array }
    /**
     * Last layer, `sample: true`: the token that follows the step's last one; its logits stay here (promise P8). With drafts,
     * the tokens from the first draft's position on: drafts that are right, and one more. `scores`: of each of them, where the
     * session asks for log-probabilities.
     */
    | { readonly kind: 'tokens'; readonly ids: readonly number[]; readonly scores?: readonly TokenScore[] | undefined }
    /** Last layer, `sample: false`. */
    | { readonly kind: 'none' }
  )

/** What is kept of the beginnings of sessions, so that later ones with the same one need not have it computed again. */
export interface PrefixStats {
  /** Of memory that sessions leave; what they use as well included. */
  readonly bytes: number
  /** Tokens that were not computed, since they had been, for each engine. */
  readonly reused: number
}

/** What one peer's processor shows of itself, as announced in its record. */
export interface EngineTimings {
  /** Fixed price of one visit with one token, in ms (the `a` of `a + b·layers`). */
  readonly visitMs: number
  /** Added per layer for one token, in ms (the `b`). */
  readonly layerMs: number
}

/** Layers [start, end) of one model, loaded, with the caches of the sessions that run through them. */
export interface Engine {
  readonly start: number
  readonly end: number
  /** Width of the hidden state, which is [tokens, hidden]. */
  readonly hidden: number
  readonly edge: EdgeType
  /** Types of caches that sessions may have. @default `f32` alone */
  readonly cacheTypes?: readonly CacheType[]
  /**
   * Cache bytes that a session of `tokensMax` tokens is charged; where it has penalties the last layers charge it `textBytes`,
   * too. @param type @default `f32`
   */
  cacheBytes(tokensMax: number, type?: CacheType): number
  /** Bytes that all open sessions are charged. */
  readonly cacheBytesUsed: number
  /**
   * What they may be together. Lowering it takes nothing away from sessions that are open, and an engine whose memory cannot hold
   * what it is set to has what it can hold. What sessions leave of it holds the beginnings of sessions, which give way to them.
   */
  cacheBytesMax: number
  readonly prefixes: PrefixStats

  /**
   * Reserves the cache of a session for `tokensMax` tokens, in [1, the model's context]. Opening an open session
   * again keeps its cache (and its first sampling) if `tokensMax` and `cache` are the same. What sessions of one `owner` begin
   * with alike is computed once (`prefixes.ts`), which changes no bit; one without an owner shares nothing.
   * @throws {NoRoomError} when the cache budget cannot hold it; the message has the bytes.
   * @throws {InvalidStepError} when `tokensMax`, `sampling` or `cache` is out of range, or it is open with another one of
   *   `tokensMax` and `cache`.
   */
  open(session: SessionId, init: OpenInit): Promise<void>
  /**
   * Runs one step of 1 to `stepTokensMax` tokens. A session's calls are served in their order; steps of several sessions may
   * share a pass, and a long one is computed in parts between those of others, which changes no bit. A refused step leaves the cache
   * as it was; one that fails while it computes (EngineError) leaves the tokens before its position. But a step that starts
   * below {@link floor}, other than at 0, leaves nothing, and so may one of more than `rollbackTokens` tokens that fails. The input
   * stays the caller's.
   * @throws {CacheGapError} when the cache is shorter than `step.position`; carries the cache's length, 0 for a step below `floor`.
   * @throws {ContextFullError} when the step would pass `tokensMax`.
   * @throws {InvalidStepError} when the input has the wrong kind, size or values (non-finite hidden, unknown id), or
   *   the session is not open.
   * @throws {EngineError} when numbers overflow, the engine was closed or its thread has ended.
   * @throws {NoRoomError} when too many calls wait already.
   * @throws the signal's reason when aborted before the step starts; a started step always completes.
   */
  run(step: Step, options: { signal: AbortSignal }): Promise<StepOutput>
  /** A step is about to be run: what computes wakes meanwhile, where it sleeps. @default it is woken by the step */
  wake?(): void
  /** Tokens in a session's cache; undefined when the session is not open. */
  length(session: SessionId): number | undefined
  /**
   * The shortest that a session's cache can be cut to, other than to nothing: layers with a window give back what they have left
   * behind, but nothing of the last `rollbackTokens`. @default 0: to any length
   */
  floor?(session: SessionId): number
  /** Frees a session's cache; unknown sessions are ignored. */
  free(session: SessionId): Promise<void>
  /** Frees everything. Running steps complete first. */
  close(): Promise<void>
}

/** What an engine has of a session's cache: nothing where that is not open. `floor`: the shortest that it can be cut to, other than to nothing. */
export function cacheOf(engine: Engine, session: SessionId): { readonly length: number; readonly floor: number } {
  return { length: engine.length(session) ?? 0, floor: engine.floor?.(session) ?? 0 }
}

/** What several engines keep. */
export function prefixesOf(all: readonly PrefixStats[]): PrefixStats {
  return all.reduce((sum, { bytes, reused }) => ({ bytes: sum.bytes + bytes, reused: sum.reused + reused }), {
    bytes: 0,
    reused: 0
  })
}

/** Bytes of one element in an edge type. */
export function edgeSize(edge: EdgeType): 2 | 4 {
  return edge === 'f32' ? 4 : 2
}
