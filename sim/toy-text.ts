/** What a correct run of the toy engine answers: the oracle of the simulator. */
import { randomAt } from '../src/base/rng.ts'
import { type CacheType, usualCache } from '../src/base/cache-type.ts'
import type { Sampling } from '../src/engine/engine.ts'
import { hasFilters } from '../src/engine/logit-bias.ts'
import { idsThrough, type TokenMask } from '../src/engine/mask.ts'
import { hasPenalties } from '../src/engine/penalties.ts'
import type { ToyModel } from './toy-engine.ts'
import { type Hash, mix, origins, toyFiltered, toyPenalised } from './toy-hash.ts'

/** The hash of a sequence's tokens up to and including `position`. */
export function extend(before: Hash, position: number, id: number): Hash {
  return mix(before, position, id)
}

/** The token that follows a text. @param ids of all of it, where it is drawn by them @param mask what may be drawn. @default all */
export function tokenAfter(
  { layers, vocab }: ToyModel,
  hash: Hash,
  sampling: Sampling,
  position: number,
  ids: readonly number[],
  mask?: TokenMask
): number {
  const through = mask === undefined ? undefined : idsThrough(mask)
  const pick = (hash: Hash): number => (through === undefined ? hash[0] % vocab : through[hash[0] % through.length]!)
  const { temperature, topP, topK, seed } = sampling
  const penalised = hasPenalties(sampling) ? toyPenalised(hash, sampling, ids.slice(0, position)) : hash
  const tokens = hasFilters(sampling) ? toyFiltered(penalised, sampling) : penalised
  if (temperature === 0) return pick(mix(tokens, layers))
  const draw = Math.floor(randomAt(seed, position) * 2 ** 32)
  return pick(mix(tokens, layers, draw, Math.round(temperature * 1e6), Math.round(topP * 1e6), topK))
}

/** What a correct run answers: the `count` tokens that follow the prompt. */
export function toyTokens(
  model: ToyModel,
  prompt: readonly number[],
  sampling: Sampling,
  count: number,
  cache?: CacheType
): number[] {
  return new ToyText(model, sampling, cache).after(prompt, count)
}

/** A text as a correct run writes it on. */
export class ToyText {
  readonly #model: ToyModel
  readonly #sampling: Sampling
  readonly #maskAfter: ((ids: readonly number[]) => TokenMask) | undefined
  /** Of so many tokens. */
  #hash: Hash
  #length = 0

  /** @param maskAfter what may follow a text, where the sampling is masked */
  constructor(
    model: ToyModel,
    sampling: Sampling,
    cache: CacheType = usualCache,
    maskAfter?: (ids: readonly number[]) => TokenMask
  ) {
    this.#hash = origins[cache]
    this.#model = model
    this.#sampling = sampling
    this.#maskAfter = maskAfter
  }

  /** The `count` tokens that follow these. @param ids which only ever grow */
  after(ids: readonly number[], count: number): number[] {
    for (; this.#length < ids.length; this.#length++) this.#hash = extend(this.#hash, this.#length, ids[this.#length]!)
    let hash = this.#hash
    const next: number[] = []
    const all = [...ids]
    for (let position = ids.length; next.length < count; position++) {
      const id = tokenAfter(this.#model, hash, this.#sampling, position, all, this.#maskAfter?.(all))
      next.push(id)
      all.push(id)
      hash = extend(hash, position, id)
    }
    return next
  }
}
