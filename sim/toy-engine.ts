/**
 * The exact oracle: an engine whose hidden state is a hash of (layer, position, all tokens so far). A stage
 * that works on a stale cache, or whose step was lost, doubled or reordered, has a wrong chain from that
 * position on, and every token after it is wrong. Like a real engine it does not notice: the checker does, by
 * comparing with {@link toyTokens}.
 */
import type { SessionId } from '../src/base/ids.ts'
import { type CacheType, cacheTypes, usualCache } from '../src/base/cache-type.ts'
import { CacheBudget } from '../src/engine/cache-budget.ts'
import {
  type Engine,
  type EngineTimings,
  edgeSize,
  type OpenInit,
  type PrefixStats,
  type Step,
  type StepOutput
} from '../src/engine/engine.ts'
import { checkCacheType } from '../src/engine/caches.ts'
import { Prefixes, type Rows } from '../src/engine/prefixes.ts'
import { checkMasks } from '../src/engine/mask.ts'
import { needsText, textBytes } from '../src/engine/penalties.ts'
import { checkSampling } from '../src/engine/sampler.ts'
import type { TokenScore } from '../src/engine/scores.ts'
import { CacheGapError, ContextFullError, EngineError, InvalidStepError } from '../src/errors.ts'
import { stepDraftsMax, stepTokensMax } from '../src/engine/limits.ts'
import type { EdgeType } from '../src/model/manifest.ts'
import { type ToyBlock, ToyBlocks, toyCacheBytes, type ToyPages, toyPages, ToySession } from './toy-cache.ts'
import { type Hash, low, mix, origins, toyLink, toyScore } from './toy-hash.ts'
import { extend, tokenAfter } from './toy-text.ts'

export interface ToyModel {
  readonly layers: number
  readonly vocab: number
  /** At least 5 for float32 edges and 10 for the others: a hidden state carries ten 14-bit words. */
  readonly hidden: number
  readonly edge: EdgeType
  readonly contextMax: number
  /** Width of one layer's keys, for what a cache is said to take. @default hidden */
  readonly kvWidth?: number
  /** [layers] how many positions a token sees. @default all */
  readonly windows?: readonly (number | undefined)[]
  /** Tokens that a cache with windows may be cut by; at least those of a step with drafts. @default as in the real engine */
  readonly rollbackTokens?: number
}

/** The engine for those who have no time to wait: virtual time passes between calls, not in them. */
export interface InstantEngine extends Engine {
  openNow(session: SessionId, init: OpenInit): void
  /** What caches and all that is kept of beginnings take of memory: never more than caches may. */
  readonly heldBytes: number
  /**
   * A step is about to be computed: how many of its tokens, with which it begins, are known, or the session for which they are being
   * computed at this moment.
   */
  begin(step: Step): number | SessionId
  /** What is known of a sequence's beginning up to and including `position`; undefined where the cache ends before it. */
  hashAt(session: SessionId, position: number): string | undefined
  runNow(step: Step): StepOutput
  freeNow(session: SessionId): void
}

export interface ToyEngineInit {
  readonly model: ToyModel
  readonly start: number
  readonly end: number
  readonly cacheBytesMax: number
  /**
   * What a step is said to take, per token and layer; nothing waits here.
   * @default all zero
   */
  readonly timings?: EngineTimings
}

/** Marks a chain that has gone wrong, so that it never looks right again by accident. */
const spoilt = 0xbad

/** Words of a row: layer, position, and the hash before this token and after it (4 words each). */
const wordsNeeded = 10

export function toyEngine(init: ToyEngineInit): InstantEngine {
  return new ToyEngine(init)
}

class ToyEngine implements InstantEngine {
  readonly start: number
  readonly end: number
  readonly hidden: number
  readonly edge: EdgeType
  readonly cacheTypes = cacheTypes
  readonly #model: ToyModel
  readonly #timings: EngineTimings
  readonly #budget: CacheBudget
  readonly #blocks = new ToyBlocks()
  readonly #prefixes: Prefixes<ToySession, ToyBlock>
  readonly #sessions = new Map<SessionId, ToySession>()
  #reused = 0
  #closed = false

  constructor({ model, start, end, cacheBytesMax, timings = { visitMs: 0, layerMs: 0 } }: ToyEngineInit) {
    if (!(0 <= start && start < end && end <= model.layers)) {
      throw new EngineError(`layers ${start}-${end} are no range of a model of ${model.layers}`)
    }
    if ((model.hidden * edgeSize(model.edge)) / 2 < wordsNeeded) {
      throw new EngineError(`a toy hidden state has at least ${wordsNeeded} words of 16 bits, not ${model.hidden}`)
    }
    this.start = start
    this.end = end
    this.hidden = model.hidden
    this.edge = model.edge
    this.#model = model
    this.#timings = timings
    this.#budget = new CacheBudget(cacheBytesMax)
    this.#prefixes = new Prefixes({
      blocks: this.#blocks,
      rowBytes: end === model.layers ? 0 : model.hidden * edgeSize(model.edge),
      link: toyLink
    })
    this.#prefixes.limit(cacheBytesMax)
  }

  get cacheBytesUsed(): number {
    return this.#budget.used
  }

  get cacheBytesMax(): number {
    return this.#budget.bytesMax
  }

  set cacheBytesMax(bytes: number) {
    this.#budget.bytesMax = bytes
    this.#prefixes.limit(bytes)
  }

  get heldBytes(): number {
    return this.#prefixes.bytesUsed
  }

  get prefixes(): PrefixStats {
    return { bytes: this.#prefixes.bytes, reused: this.#reused }
  }

  cacheBytes(tokensMax: number, cache: CacheType = usualCache): number {
    return toyCacheBytes(this.#paging(cache), tokensMax)
  }

  #paging(cache: CacheType): ToyPages {
    const { kvWidth = this.hidden, layers, windows = new Array<undefined>(layers).fill(undefined) } = this.#model
    return toyPages(kvWidth, windows.slice(this.start, this.end), cache, this.#model.rollbackTokens)
  }

  #chargedBytes({ tokensMax, sampling, cache }: Pick<OpenInit, 'tokensMax' | 'sampling' | 'cache'>): number {
    const text = this.end === this.#model.layers ? textBytes(sampling, tokensMax) : 0
    return this.cacheBytes(tokensMax, cache) + text
  }

  length(session: SessionId): number | undefined {
    return this.#sessions.get(session)?.chain.length
  }

  floor(session: SessionId): number {
    return this.#sessions.get(session)?.floor ?? 0
  }

  async open(session: SessionId, init: OpenInit): Promise<void> {
    this.openNow(session, init)
  }

  async run(step: Step, { signal }: { signal: AbortSignal }): Promise<StepOutput> {
    signal.throwIfAborted()
    return this.runNow(step)
  }

  async free(session: SessionId): Promise<void> {
    this.freeNow(session)
  }

  openNow(session: SessionId, init: OpenInit): void {
    const { tokensMax, sampling, cache = usualCache, owner } = init
    this.#refuseClosed()
    const { contextMax } = this.#model
    if (!Number.isSafeInteger(tokensMax) || tokensMax < 1 || tokensMax > contextMax) {
      throw new InvalidStepError(`tokensMax must be in [1, ${contextMax}], not ${tokensMax}`)
    }
    checkSampling(sampling)
    checkCacheType(cache, cacheTypes)
    const known = this.#sessions.get(session)
    if (known?.tokensMax === tokensMax && known.cache === cache) return
    if (known !== undefined) {
      throw new InvalidStepError(
        `session ${session.slice(0, 8)} is open for ${known.tokensMax} tokens of ${known.cache}, not ${tokensMax} of ${cache}`
      )
    }
    this.#budget.reserve(this.#chargedBytes(init))
    const letGo = (state: ToySession): void => this.#blocks.drop(state, 0)
    const paging = this.#paging(cache)
    this.#sessions.set(session, new ToySession({ tokensMax, sampling, cache, paging, letGo }))
    const isScored = this.end === this.#model.layers && sampling.promptLogprobs !== undefined
    if (owner !== undefined && !isScored) this.#prefixes.open(session, `${cache} ${owner}`)
  }

  begin(step: Step): number | SessionId {
    const rows = rowsOf(step)
    const known = this.#prefixes.find(step.session, rows)
    if (known === undefined) return 0
    const other = this.#prefixes.awaited(step.session, rows, known)
    if (other === undefined) this.#prefixes.expect(step.session, rows, known)
    return (other as SessionId | undefined) ?? known.tokens
  }

  hashAt(session: SessionId, position: number): string | undefined {
    return this.#sessions.get(session)?.chain[position]?.join()
  }

  runNow(step: Step): StepOutput {
    this.#refuseClosed()
    const { session, position, tokens } = step
    const state = this.#sessions.get(session)
    this.#prefixes.over(session)
    this.#check(step, state)
    const { chain } = state!
    const known = this.#prefixes.find(session, rowsOf(step))
    const reused = known?.tokens ?? 0
    this.#reused += reused
    state!.truncate(position)
    const words = new Uint16Array((tokens * this.hidden * edgeSize(this.edge)) / 2)
    const width = words.length / tokens
    const input = step.input.kind === 'ids' ? step.input.ids : asWords(step.input.bytes)
    const isLast = this.end === this.#model.layers
    if (isLast) state!.wrote(position, step.input.kind === 'ids' ? step.input.ids : (step.ids ?? []))
    const out = isLast ? undefined : new Uint8Array(words.buffer)
    this.#prefixes.begin(session, state!, known, out)
    this.#prefixes.makeRoom(this.#blocks.needs(state!, tokens - reused))
    let grown = reused
    for (let t = reused; t < tokens; t++) {
      const at = position + t
      if (t === grown) grown += this.#blocks.grow(state!, tokens - t)
      const before = chain[at - 1] ?? origins[state!.cache]
      const after =
        this.start === 0 ? extend(before, at, input[t]!) : this.#follow(before, at, input.subarray(t * width))
      // Like a real engine it does not notice when what it reads is not there.
      const seen = state!.sees(at) ? after : mix(after, spoilt)
      chain.push(seen)
      writeRow(words.subarray(t * width, (t + 1) * width), this.end, at, before, seen)
    }
    this.#prefixes.end(session, state!, position, known, out)
    const computeMs = this.#timings.visitMs + this.#timings.layerMs * (this.end - this.start) * (tokens - reused)
    const cost = { computeMs, rows: tokens - reused, gatherMs: 0, reused }
    if (out !== undefined) return { kind: 'hidden', bytes: out, ...cost }
    const prompt = this.#scored(step, state!)
    if (!step.sample) return { kind: 'none', ...cost, ...prompt }
    return { kind: 'tokens', ...this.#draw(step, state!), ...cost, ...prompt }
  }

  /** The tokens that follow what is certain of a step: drafts of it that are right, and one more. */
  #draw({ position, tokens, drafts = [], masks }: Step, { chain, sampling, ids: text }: ToySession) {
    const ids: number[] = []
    const scores: TokenScore[] = []
    const { logprobs } = sampling
    const first = position + tokens - drafts.length
    for (let at = first; at <= position + tokens; at++) {
      const id = tokenAfter(this.#model, chain[at - 1]!, sampling, at, text, masks?.[at - first])
      ids.push(id)
      if (logprobs !== undefined) scores.push(toyScore(chain[at - 1]!, id, logprobs, this.#model.vocab))
      if (id !== drafts[at - first]) break
    }
    return logprobs === undefined ? { ids } : { ids, scores }
  }

  /** What it makes of the prompt's tokens that come with a step, and of no others: what is asked for begins with the row before. */
  #scored({ position, tokens, scoresFrom }: Step, { chain, sampling, ids: text }: ToySession) {
    const { promptLogprobs, promptTokens = 0 } = sampling
    if (promptLogprobs === undefined || scoresFrom === undefined) return {}
    const first = Math.max(scoresFrom + 1, position)
    const scores: TokenScore[] = []
    for (let at = first; at < Math.min(promptTokens, position + tokens); at++)
      scores.push(toyScore(chain[at - 1]!, text[at]!, promptLogprobs, this.#model.vocab))
    return scores.length === 0 ? {} : { prompt: { position: first, scores } }
  }

  freeNow(session: SessionId): void {
    const state = this.#sessions.get(session)
    if (state === undefined) return
    this.#sessions.delete(session)
    this.#prefixes.free(session)
    this.#blocks.drop(state, 0)
    this.#budget.release(this.#chargedBytes(state))
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const session of [...this.#sessions.keys()]) await this.free(session)
  }

  /** The hash that a row hands on, or a spoilt one when the row does not continue this cache. */
  #follow(before: Hash, position: number, row: ArrayLike<number>): Hash {
    const carried = readRow(row)
    const right =
      carried.layer === this.start &&
      carried.position === (position & low) &&
      carried.before[0] === before[0] &&
      carried.before[1] === before[1]
    return right ? carried.after : mix(before, spoilt, position, ...carried.after)
  }

  #refuseClosed(): void {
    if (this.#closed) throw new EngineError(`the engine of layers ${this.start}-${this.end} was closed`)
  }

  #check(step: Step, state: ToySession | undefined): void {
    const { session, position, tokens, input, sample, drafts = [], ids, masks } = step
    const refused = (why: string): InvalidStepError => new InvalidStepError(`session ${session.slice(0, 8)}: ${why}`)
    if (!Number.isSafeInteger(tokens) || tokens < 1 || tokens > stepTokensMax) {
      throw refused(`a step has 1 to ${stepTokensMax} tokens, not ${tokens}`)
    }
    if (!Number.isSafeInteger(position) || position < 0) throw refused(`a position is 0 or more, not ${position}`)
    if (sample && this.end !== this.#model.layers) throw refused('only the last layers can sample')
    if (drafts.length > (sample ? Math.min(stepDraftsMax, tokens - 1) : 0)) throw refused('too many drafts')
    if (this.start === 0) {
      if (input.kind !== 'ids') throw refused('the first layer takes token ids, not hidden states')
      if (input.ids.length !== tokens) throw refused(`${tokens} tokens need as many ids, not ${input.ids.length}`)
      const { vocab } = this.#model
      if (input.ids.some(id => id < 0 || id >= vocab)) throw refused(`token ids must lie in [0, ${vocab})`)
    } else {
      if (input.kind !== 'hidden') throw refused(`layer ${this.start} takes hidden states, not token ids`)
      const bytes = tokens * this.hidden * edgeSize(this.edge)
      if (input.bytes.length !== bytes)
        throw refused(`${tokens} hidden states are ${bytes} bytes, not ${input.bytes.length}`)
      // The exponent bits: all ones is an infinity or NaN. A toy row has them only if it was tampered with.
      const infinite = this.edge === 'f16' ? 0x7c00 : 0x7f80
      const step = this.edge === 'f32' ? 2 : 1
      const words = asWords(input.bytes)
      for (let i = step - 1; i < words.length; i += step) {
        if ((words[i]! & infinite) === infinite) throw refused('hidden states must be finite')
      }
    }
    if (ids !== undefined && ids.length !== tokens)
      throw refused(`${tokens} tokens have as many ids, not ${ids.length}`)
    if (ids?.some(id => id < 0 || id >= this.#model.vocab))
      throw refused(`token ids must lie in [0, ${this.#model.vocab})`)
    if (state === undefined) throw refused('is not open')
    const needsIds = this.end === this.#model.layers && needsText(state.sampling)
    if (needsIds && input.kind === 'hidden' && ids === undefined)
      throw refused('has penalties: its steps need their ids')
    if ((masks !== undefined) !== (sample && state.sampling.masked === true))
      throw refused('masks are for steps that sample, of sessions that are masked')
    if (masks !== undefined) checkMasks(masks, { rows: 1 + drafts.length, vocab: this.#model.vocab })
    if (position > 0 && position < state.floor) state.truncate(position)
    if (position > state.chain.length) throw new CacheGapError(session, position, state.chain.length)
    if (position + tokens > state.tokensMax) {
      throw new ContextFullError(
        `session ${session.slice(0, 8)}: a step to ${position + tokens} passes the ${state.tokensMax} tokens reserved`
      )
    }
  }
}

/** A step as its rows came: what is drawn after is computed in any case. */
function rowsOf({ position, tokens, input, sample, drafts = [] }: Step): Rows {
  const { buffer, byteOffset, byteLength } = input.kind === 'ids' ? input.ids : input.bytes
  const bytes = new Uint8Array(buffer, byteOffset, byteLength)
  return { position, tokens, bytes, least: sample ? 1 + drafts.length : 0 }
}

function asWords(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(new Uint8Array(bytes).buffer)
}

/** 14 bits a word, so that every value is finite in every edge type. */
function writeRow(row: Uint16Array, layer: number, position: number, before: Hash, after: Hash): void {
  row.set([layer & low, position & low])
  for (const [i, half] of [...before, ...after].entries()) {
    row[2 + 2 * i] = half & low
    row[3 + 2 * i] = half >>> 14
  }
}

function readRow(row: ArrayLike<number>): { layer: number; position: number; before: Hash; after: Hash } {
  const half = (i: number): number => row[2 + 2 * i]! + row[3 + 2 * i]! * 2 ** 14
  return { layer: row[0]!, position: row[1]!, before: [half(0), half(1)], after: [half(2), half(3)] }
}
