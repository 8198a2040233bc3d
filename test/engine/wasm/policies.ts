/** Threads of a stage that compute together whatever it takes, or part by chance: what they are worth is nothing to a test of bits. */
import { seeded } from '../../../src/base/rng.ts'
import type { TeamPolicy } from '../../../src/engine/wasm/choice.ts'

export const alwaysTogether: TeamPolicy = {
  next: () => 'together',
  spinMs: () => 0.1,
  isLost: () => false,
  took() {}
}

/** One thread or all, with the head as with the layers; passes change hands at any layer, and threads sleep or spin. */
export function byChance(seed: number): TeamPolicy & { readonly seen: Set<string> } {
  const random = seeded(seed)
  const seen = new Set<string>()
  return {
    seen,
    next: () => (random() < 0.3 ? 'alone' : 'together'),
    spinMs: () => (random() < 0.5 ? 0 : 0.5),
    isLost: () => random() < 0.3,
    took: ({ kind }, way) => void seen.add(`${kind} ${way}`)
  }
}
