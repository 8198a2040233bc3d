/** When an answer ends of its own accord. */
import type { Stop } from './event.ts'

/** A function of a token and how many were generated with it; the last `maxTokens`-th one always ends the answer. */
export function stopAt({
  eosIds,
  maxTokens
}: {
  eosIds: readonly number[]
  maxTokens: number
}): (id: number, generated: number) => Stop | undefined {
  const ends = new Set(eosIds)
  return (id, generated) => (ends.has(id) ? 'eos' : generated >= maxTokens ? 'length' : undefined)
}
