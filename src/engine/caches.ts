/**
 * The sessions of an engine's thread as they are seen from outside it: how long each cache is and may become, and which steps
 * can be refused without the weights. Pure.
 */
import type { SessionId } from '../base/ids.ts'
import { CacheGapError, ContextFullError, InvalidStepError } from '../errors.ts'
import type { EdgeType } from '../model/manifest.ts'
import type { CacheType } from '../base/cache-type.ts'
import { attentionBlock } from '../model/limits.ts'
import type { BatchPart } from './batch.ts'
import { CacheBudget } from './cache-budget.ts'
import { edgeSize, type Sampling, type Step } from './engine.ts'
import { stepDraftsMax, stepTokensMax } from './limits.ts'
import { needsText, textBytes } from './penalties.ts'
import { floorOf } from './windows.ts'

export interface CachesInit {
  /** Layers [start, end) of so many. */
  readonly start: number
  readonly end: number
  readonly layers: number
  readonly hidden: number
  readonly edge: EdgeType
  /** Of all sessions together. */
  readonly bytesMax: number
  /** What that can ever be. @default whatever it is set to */
  readonly bytesMost?: number | undefined
  /** [end - start] how many positions a token sees in each layer, where caches give back what lies before. @default they do not */
  readonly windows?: readonly (number | undefined)[] | undefined
}

interface State {
  readonly tokensMax: number
  readonly cache: CacheType
  readonly bytes: number
  readonly sampling: Sampling
  length: number
  /** The most that it has been since it was 0. */
  reached: number
}

/** What is left of a cache. */
export interface Left {
  /** Tokens in it. */
  readonly length: number
  /** The most that it has had since it was empty. */
  readonly reached: number
}

/** @throws {InvalidStepError} when an engine that has caches of these types has none of that one. */
export function checkCacheType(type: CacheType, there: readonly CacheType[]): void {
  if (there.includes(type)) return
  throw new InvalidStepError(`this engine has caches of ${there.join(' and ')}, not of ${type}`)
}

export class Caches {
  readonly budget: CacheBudget
  readonly #init: CachesInit
  readonly #sessions = new Map<SessionId, State>()

  constructor(init: CachesInit) {
    this.#init = init
    this.budget = new CacheBudget(init.bytesMax, init.bytesMost)
  }

  get #isTail(): boolean {
    return this.#init.end === this.#init.layers
  }

  /** Tokens in a session's cache; undefined when it is not open. */
  length(session: SessionId): number | undefined {
    return this.#sessions.get(session)?.length
  }

  /** The shortest that a session's cache can be cut to, other than to nothing. */
  floor(session: SessionId): number {
    return floorOf(this.#init.windows ?? [], this.#sessions.get(session)?.reached ?? 0)
  }

  /**
   * Reserves `bytes`, and what the last layers hold of the text to draw by. Returns whether the session was not open.
   * @throws {NoRoomError} @throws {InvalidStepError} when it is open for another `tokensMax`, or with another type of cache.
   */
  open(session: SessionId, { tokensMax, cache, bytes: ofCache, sampling }: Omit<State, 'length' | 'reached'>): boolean {
    const known = this.#sessions.get(session)
    if (known !== undefined && known.cache !== cache) {
      throw new InvalidStepError(
        `session ${session.slice(0, 8)} is open with a cache of ${known.cache}, not of ${cache}`
      )
    }
    if (known?.tokensMax === tokensMax) return false
    if (known !== undefined) {
      throw new InvalidStepError(
        `session ${session.slice(0, 8)} is open for ${known.tokensMax} tokens, not for ${tokensMax}`
      )
    }
    const bytes = ofCache + (this.#isTail ? textBytes(sampling, tokensMax) : 0)
    this.budget.reserve(bytes)
    this.#sessions.set(session, { tokensMax, cache, bytes, sampling, length: 0, reached: 0 })
    return true
  }

  drop(session: SessionId): void {
    const state = this.#sessions.get(session)
    if (state === undefined) return
    this.#sessions.delete(session)
    this.budget.release(state.bytes)
  }

  clear(): void {
    for (const session of [...this.#sessions.keys()]) this.drop(session)
  }

  /**
   * Some of a step was computed, or was known.
   *
   * @param failed what is left of the cache where the step has failed: one that was refused has changed nothing
   */
  computed({ session, position }: Step, { done, tokens, known }: Omit<BatchPart, 'id'>, failed?: Left): void {
    const state = this.#sessions.get(session)
    if (state === undefined) return
    if (failed !== undefined) {
      state.length = failed.length
      state.reached = failed.length === 0 ? 0 : failed.reached
      return
    }
    const end = position + done + tokens
    state.length = end
    // What was known came in whole blocks; and a step from 0 on begins afresh.
    const reached = known === true ? Math.ceil(end / attentionBlock) * attentionBlock : end
    const before = position === 0 && done === 0 ? 0 : state.reached
    state.reached = Math.max(reached, before)
  }

  /** Checks what does not depend on what a cache holds. @throws {InvalidStepError} */
  checkShape({ session, position, tokens, input, sample, drafts = [], ids }: Step): void {
    const { start, end, layers, hidden, edge } = this.#init
    const refused = (why: string): InvalidStepError => new InvalidStepError(`session ${session.slice(0, 8)}: ${why}`)
    if (!Number.isSafeInteger(tokens) || tokens < 1 || tokens > stepTokensMax) {
      throw refused(`a step has 1 to ${stepTokensMax} tokens, not ${tokens}`)
    }
    if (!Number.isSafeInteger(position) || position < 0) throw refused(`a position is 0 or more, not ${position}`)
    if (sample && end !== layers) throw refused(`layers ${start}-${end} cannot sample: they are not the last`)
    if (drafts.length > (sample ? Math.min(stepDraftsMax, tokens - 1) : 0)) {
      throw refused(
        `a step of ${tokens} tokens that ${sample ? 'samples' : 'does not sample'} has ${drafts.length} drafts`
      )
    }
    if (ids !== undefined && ids.length !== tokens)
      throw refused(`${tokens} tokens have as many ids, not ${ids.length}`)
    if (start === 0) {
      if (input.kind !== 'ids') throw refused('the first layer takes token ids, not hidden states')
      if (input.ids.length !== tokens) throw refused(`${tokens} tokens need as many ids, not ${input.ids.length}`)
    } else if (input.kind !== 'hidden') {
      throw refused(`layer ${start} takes hidden states, not token ids`)
    } else {
      const bytes = tokens * hidden * edgeSize(edge)
      if (input.bytes.length !== bytes)
        throw refused(`${tokens} hidden states are ${bytes} bytes, not ${input.bytes.length}`)
    }
  }

  /**
   * Checks the rest, once all that came before it has been computed.
   * @throws {InvalidStepError} @throws {CacheGapError} @throws {ContextFullError}
   */
  checkPlace({ session, position, tokens, input, ids, sample, masks }: Step): void {
    const state = this.#sessions.get(session)
    if (state === undefined) throw new InvalidStepError(`session ${session.slice(0, 8)} is not open`)
    if (this.#isTail && input.kind === 'hidden' && ids === undefined && needsText(state.sampling)) {
      throw new InvalidStepError(
        `session ${session.slice(0, 8)} has penalties or scores of its prompt: its steps need their ids`
      )
    }
    if ((masks !== undefined) !== (sample && state.sampling.masked === true)) {
      const has =
        masks === undefined
          ? 'has no masks, and its session is'
          : 'has masks, and it does not sample or its session is not'
      throw new InvalidStepError(`session ${session.slice(0, 8)}: the step ${has} masked`)
    }
    // What lies so far back is gone, and so is what follows it.
    if (position > 0 && position < this.floor(session)) Object.assign(state, { length: 0, reached: 0 })
    if (position > state.length) throw new CacheGapError(session, position, state.length)
    if (position + tokens > state.tokensMax) {
      throw new ContextFullError(
        `session ${session.slice(0, 8)}: a step to ${position + tokens} passes the ${state.tokensMax} tokens reserved`
      )
    }
  }
}
