/** Proposes drafts of a toy's text, which never repeats itself: each token as it will be, or, by chance, another one. */
import { randomAt } from '../src/base/rng.ts'
import type { Drafter, DrafterInit, Proposal } from '../src/session/drafter.ts'
import type { ToyModel } from './toy-engine.ts'
import { ToyText } from './toy-text.ts'

/** @param rightRatio of the tokens, so many are right. */
export function toyDrafter(model: ToyModel, rightRatio: number, { sampling, cache }: DrafterInit): Drafter {
  const text = new ToyText(model, sampling, cache)
  const isRight = (position: number): boolean => randomAt(sampling.seed + 1, position) < rightRatio
  return {
    propose: (ids, count): Proposal => ({
      ids: text.after(ids, count).map((id, i) => (isRight(ids.length + i) ? id : (id + 1) % model.vocab)),
      kind: 3
    })
  }
}
