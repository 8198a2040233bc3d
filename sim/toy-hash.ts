/** Hashes of the toy's tokens: two lanes of MurmurHash3's finaliser. */
import type { CacheType } from '../src/base/cache-type.ts'
import type { Sampling } from '../src/engine/engine.ts'
import type { IdLogprob, TokenScore } from '../src/engine/scores.ts'
import { biasesOf } from '../src/engine/logit-bias.ts'

/** 56 bits in two halves of 28, so that they travel as four words of 14. */
export type Hash = readonly [number, number]

const origin: Hash = [0x5ca1ab1, 0xdecade]
/** Where texts begin, by type of caches: a hop that has another one than the hop before it goes wrong at once. */
export const origins: Readonly<Record<CacheType, Hash>> = { f32: origin, i8: [0x18ca1ab, 0xdecade] }

/** Mixes integers below 2^32 into a hash (two lanes of MurmurHash3's finaliser). */
export function mix(hash: Hash, ...values: number[]): Hash {
  let [a, b] = hash
  for (const value of values) {
    a = scramble(a ^ value)
    b = scramble(Math.imul(b, 0x9e3779b1) + value + a)
  }
  return [a >>> 4, b >>> 4]
}

function scramble(value: number): number {
  let x = value
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}

/** What a text is drawn by that has penalties: those, and all ids that a tail was given beside the states that it computed. */
export function toyPenalised(hash: Hash, sampling: Sampling, ids: readonly number[]): Hash {
  const { presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 0, promptTokens = 0 } = sampling
  const penalties = [presencePenalty, frequencyPenalty, repetitionPenalty].map(value => Math.round(value * 1e6) >>> 0)
  return mix(hash, ...penalties, promptTokens, ids.length, ...ids)
}

/** What a text is drawn by that has filters: those as well. */
export function toyFiltered(hash: Hash, { minP = 0, logitBias }: Sampling): Hash {
  const biases = biasesOf(logitBias).flatMap(({ id, bias }) => [id, Math.round(bias * 1e6) >>> 0])
  return mix(hash, Math.round(minP * 1e6), ...biases)
}

/** What a toy makes of a token after a text: numbers that depend on all of it, and are float32 of 0 or less. */
export function toyScore(hash: Hash, id: number, count: number, vocab: number): TokenScore {
  const [base] = mix(hash, vocab)
  const step = (by: number): number => 0 - (mix(hash, by)[0] % 1024) / 1024
  const top: IdLogprob[] = []
  for (let i = 0; i < Math.min(count, vocab); i++) {
    top.push({ id: (base + i) % vocab, logprob: step(i) + (top.at(-1)?.logprob ?? 0) })
  }
  return { logprob: 0 - (mix(hash, vocab + id)[0] % 65_536) / 4096, top }
}

/** What a toy makes of the tokens of a text, one after the other. */
export class ToyScores {
  readonly #text: readonly number[]
  readonly #vocab: number
  /** Of so many tokens. */
  #hash: Hash
  #length = 0

  constructor(text: readonly number[], vocab: number, cache: CacheType) {
    this.#text = text
    this.#vocab = vocab
    this.#hash = origins[cache]
  }

  /** @param position never before that of an earlier question */
  at(position: number, count: number): TokenScore {
    for (; this.#length < position; this.#length++)
      this.#hash = mix(this.#hash, this.#length, this.#text[this.#length]!)
    return toyScore(this.#hash, this.#text[position]!, count, this.#vocab)
  }
}

/** 14 bits a word, so that every value is finite in every edge type. */
export const low = 0x3fff

/** A link (`prefixes.ts`) for what needs no protection from those who look for collisions. */
export function toyLink(before: string, row: Uint8Array): string {
  let hash: Hash = origin
  for (let i = 0; i < before.length; i++) hash = mix(hash, before.charCodeAt(i))
  for (let i = 0; i < row.length; i += 4) {
    hash = mix(hash, row[i]! | (row[i + 1]! << 8) | (row[i + 2]! << 16) | (row[i + 3]! << 24))
  }
  return String.fromCharCode(hash[0] & low, hash[0] >>> 14, hash[1] & low, hash[1] >>> 14)
}
