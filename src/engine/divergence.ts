/** How far a model's predictions are from those of the same model in float32, token by token of a text, all in float64. */

/** Of the predictions after some tokens. */
export interface Divergence {
  readonly tokens: number
  /** Sum of -ln(probability of the token that comes), in nats. */
  readonly loss: number
  /** Sum of the Kullback-Leibler divergences KL(reference ‖ this) of the next token, in nats. */
  readonly kl: number
  /** How often the likeliest next token is the reference's. */
  readonly same: number
}

export const none: Divergence = { tokens: 0, loss: 0, kl: 0, same: 0 }

export function sum(parts: readonly Divergence[]): Divergence {
  return parts.reduce(
    (a, b) => ({
      tokens: a.tokens + b.tokens,
      loss: a.loss + b.loss,
      kl: a.kl + b.kl,
      same: a.same + b.same
    }),
    none
  )
}

/** e to the mean loss. @throws {RangeError} when there are no tokens */
export function perplexity({ tokens, loss }: Divergence): number {
  if (tokens === 0) throw new RangeError('a perplexity needs at least one token')
  return Math.exp(loss / tokens)
}

/** Logits [vocab] of one prediction, with what all their probabilities have in common. */
export interface Prediction {
  readonly logits: Float32Array
  /** ln Σ exp(logit). */
  readonly logSum: number
  /** Id of the likeliest token, the lowest of equals. */
  readonly best: number
}

/** @param logits [vocab], which are kept as they are */
export function predict(logits: Float32Array): Prediction {
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
  const largest = logits[best]!
  let sum = 0
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id]! - largest)
  return { logits, logSum: largest + Math.log(sum), best }
}

/**
 * One prediction beside the reference's.
 *
 * @param next id of the token that comes
 * @throws {RangeError} when they are of different vocabularies, or a logit is not finite
 */
export function compare(reference: Prediction, prediction: Prediction, next: number): Divergence {
  const [p, q] = [reference.logits, prediction.logits]
  if (p.length !== q.length) throw new RangeError(`logits of ${q.length} tokens are compared with those of ${p.length}`)
  // ln(p / q) of a token is the difference of its logits, but for what all tokens have in common.
  const common = prediction.logSum - reference.logSum
  let kl = 0
  for (let id = 0; id < p.length; id++) kl += Math.exp(p[id]! - reference.logSum) * (p[id]! - q[id]! + common)
  const loss = prediction.logSum - q[next]!
  if (!Number.isFinite(kl) || !Number.isFinite(loss)) throw new RangeError('a logit is not finite')
  return { tokens: 1, loss, kl, same: prediction.best === reference.best ? 1 : 0 }
}
