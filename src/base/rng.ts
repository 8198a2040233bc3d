/**
 * Seeded randomness. Deciders take a generator as an argument; nothing here reads a clock or the
 * system's entropy, so one seed decides everything.
 */
import type { SessionId } from './ids.ts'

/** A source of numbers in [0, 1). */
export type Rng = () => number

/** SplitMix64's finaliser: mixes 64 bits so that neighbouring inputs give unrelated outputs (Steele et al., 2014). */
function mix64(value: bigint): bigint {
  let z = BigInt.asUintN(64, value)
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n)
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn)
  return z ^ (z >> 31n)
}

const golden = 0x9e3779b97f4a7c15n

/** Takes the 53 high bits, the most that a double in [0, 1) can hold. */
function toUnit(bits: bigint): number {
  return Number(bits >> 11n) / 2 ** 53
}

/**
 * One number in [0, 1) that is a pure function of (seed, position): the sampler's only randomness
 * (promise P3), so a replayed or retried step draws what the first one drew.
 */
export function randomAt(seed: number, position: number): number {
  return toUnit(mix64(mix64(BigInt(seed) + golden) + BigInt(position) * golden))
}

/** A generator that walks {@link randomAt}'s sequence for `seed`, starting at position 0. */
export function seeded(seed: number): Rng {
  let position = 0
  return () => randomAt(seed, position++)
}

/** So many random bytes in lower-case hex digits; as hard to foresee as the generator. */
export function drawHex(rng: Rng, bytes: number): string {
  let text = ''
  for (let i = 0; i < bytes; i++) {
    text += Math.floor(rng() * 256)
      .toString(16)
      .padStart(2, '0')
  }
  return text
}

/** A session of which nobody can guess the name but who sits on its route: 128 bits. */
export function drawSessionId(rng: Rng): SessionId {
  return drawHex(rng, 16) as SessionId
}
