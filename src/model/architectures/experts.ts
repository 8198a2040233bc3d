/** Fields of mixtures of experts that several architectures have. */
import { z } from 'zod'
import { expertsMax, type Experts } from '../decoder.ts'
import type { Extras, Refuse } from './architecture.ts'

export const expertsPerToken = z.int().positive().nullish()

/** Fields by their names in the file, for messages. */
interface Names {
  readonly count: string
  /** @default num_experts_per_tok */
  readonly used?: string
}

/** @throws what `refuse` does, where a token cannot take so many of so many */
export function mixture(experts: Experts, { count, used = 'num_experts_per_tok' }: Names, refuse: Refuse): Extras {
  if (experts.count > expertsMax.count) {
    refuse(`${count} is ${experts.count}, at most ${expertsMax.count} can be imported`)
  }
  if (experts.used > expertsMax.used) refuse(`${used} is ${experts.used}, at most ${expertsMax.used} can be imported`)
  if (experts.used > experts.count) refuse(`${used} is ${experts.used}, and ${count} only ${experts.count}`)
  return { experts }
}
