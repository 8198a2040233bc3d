/** Randomness as the machine has it. Whoever does things takes it as an {@link Rng}, so that the simulator can give a seed. */
import type { Rng } from './rng.ts'

/** Numbers that nobody can foresee: ids are drawn from them (`rng.ts`). */
export const systemRng: Rng = () => {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2))
  return (high! * 2 ** 21 + (low! >>> 11)) / 2 ** 53
}

/** Bytes that nobody can foresee. */
export function systemBytes(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(bytes))
}
