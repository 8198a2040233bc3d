/** Proposes drafts of a toy's text, which never repeats itself: each token as it will be, or, by chance, another one. */
import { randomAt } from '../src/base/rng.ts'
import type { Drafter, DrafterInit, Proposal } from '../src/session/drafter.ts'
import type { ToyModel } from './toy-engine.ts'
import { ToyGrammar } from './toy-grammar.ts'
import { ToyText } from './toy-text.ts'

/** @param rightRatio of the tokens, so many are right. */
export function toyDrafter(model: ToyModel, rightRatio: number, { sampling, cache }: DrafterInit): Drafter {
  const grammar = new ToyGrammar(model.vocab)
  /** It is asked for the first time when there is one token of the answer; else its drafts are wrong, which harms nobody. */
  let promptTokens: number | undefined
  const after = (ids: readonly number[]) => grammar.after(ids.slice(promptTokens))
  const text = new ToyText(model, sampling, cache, sampling.masked === true ? after : undefined)
  const isRight = (position: number): boolean => randomAt(sampling.seed + 1, position) < rightRatio
  return {
    propose: (ids, count): Proposal => {
      promptTokens ??= ids.length - 1
      return {
        ids: text.after(ids, count).map((id, i) => (isRight(ids.length + i) ? id : (id + 1) % model.vocab)),
        kind: 3
      }
    }
  }
}
