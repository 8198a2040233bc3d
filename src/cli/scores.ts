/** How likely the tokens of an answer were, for a person. */
import { Buffer } from 'node:buffer'
import { forTerminal, type Token } from '../index.ts'
import { table } from './output.ts'

/** A token with its log-probability. */
export type ScoredToken = Pick<Token, 'id'> & Required<Pick<Token, 'logprob' | 'bytes' | 'top'>>

export function isScored(token: Token): token is Token & ScoredToken {
  return token.logprob !== undefined && token.bytes !== undefined && token.top !== undefined
}

/** A line for each token: its probability, what it adds to the text, and others that were likely. Then how surprising the answer was. */
export function describeScores(tokens: readonly ScoredToken[]): string[] {
  if (tokens.length === 0) return ['no token came whose probability is known']
  const rows = tokens.map(({ id, logprob, bytes, top }) => [
    percent(logprob),
    spelt(bytes),
    top
      .filter(other => other.id !== id)
      .map(other => `${spelt(other.bytes)} ${percent(other.logprob)}`)
      .join('  ')
  ])
  const mean = tokens.reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length
  const perplexity = Math.exp(-mean).toFixed(2)
  return [
    ...table([['probability', 'token', 'likely, too'], ...rows]),
    `mean log-probability ${mean.toFixed(3)}, perplexity ${perplexity}`
  ]
}

function percent(logprob: number): string {
  const share = 100 * Math.exp(logprob)
  return `${share < 0.01 ? share.toExponential(0) : share.toFixed(2)} %`
}

/** What is no text by itself, such as half a character, is shown by its bytes. */
function spelt(bytes: ArrayLike<number>): string {
  const buffer = Buffer.from(Array.from(bytes))
  const text = buffer.toString('utf8')
  return text.includes('\uFFFD') ? `0x${buffer.toString('hex')}` : forTerminal(JSON.stringify(text))
}
