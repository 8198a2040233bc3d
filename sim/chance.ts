/** Chance from one seed: every part of a world draws from a stream of its own, so that none disturbs another. */
import type { Rng } from '../src/base/rng.ts'
import { randomAt } from '../src/base/rng.ts'
import { ln } from './exact.ts'

/** A hash of a text (FNV-1a, 32 bits). */
export function hashText(text: string, from = 0x811c9dc5): number {
  let hash = from
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** A hash of bytes (FNV-1a, 32 bits). */
export function hashBytes(bytes: Uint8Array, from = 0x811c9dc5): number {
  let hash = from
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash >>> 0
}

/**
 * Draws for one world. The state of a stream comes from the house's own generator; the draws themselves are xoshiro128**
 * (Blackman and Vigna, 2018), since a world draws for every packet and 64 bit integers are slow here.
 */
export class Chance {
  readonly #seed: number
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number) {
    this.#seed = seed
    const word = (i: number): number => Math.floor(randomAt(seed, i) * 2 ** 32) | 0
    this.#a = word(0) | 1
    this.#b = word(1)
    this.#c = word(2)
    this.#d = word(3)
  }

  /** A stream of its own for something that has a name. */
  fork(name: string): Chance {
    return new Chance(Math.floor(randomAt(this.#seed, 16 + hashText(name)) * 2 ** 48))
  }

  /** In [0, 1). */
  readonly next: Rng = () => {
    const seven = Math.imul(this.#b, 5)
    const result = Math.imul((seven << 7) | (seven >>> 25), 9)
    const t = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= t
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return (result >>> 0) / 2 ** 32
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.next()
  }

  /** A whole number in [low, high], both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  happens(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.next() * list.length)]!
  }

  /** A time until the next of events that come `perMs` on average. */
  wait(perMs: number): number {
    return -ln(1 - this.next()) / perMs
  }
}
