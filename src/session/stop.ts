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

/** Of tokens that follow `generated` others those up to where the answer ends, and why it does there. */
export function stopped(
  ids: readonly number[],
  generated: number,
  stop: (id: number, generated: number) => Stop | undefined
): { readonly generated: readonly number[]; readonly stop: Stop | undefined } {
  for (const [i, id] of ids.entries()) {
    const why = stop(id, generated + i + 1)
    if (why !== undefined) return { generated: ids.slice(0, i + 1), stop: why }
  }
  return { generated: ids, stop: undefined }
}
