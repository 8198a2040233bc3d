/** What happens in which answer: a pure function of (seed, index of the answer), so any answer can be run again. */
import { seeded } from '../../src/base/rng.ts'

/**
 * A way to lose a peer. `kill`: SIGKILL. `silent`: SIGSTOP, and SIGCONT once the answer has gone on. `drop`: its
 * packets vanish, later they pass again (network namespaces only). `left`: SIGTERM. `drain`: `skein drain`. `last`:
 * SIGKILL of every peer that serves some layer, so that there is no stand-in: placement has to make one.
 */
export type Way = 'kill' | 'silent' | 'drop' | 'left' | 'drain' | 'last'

/** A loss at a random place and time. */
export interface Fault {
  readonly way: Way
  /** The share of the answer that is there when it happens; 0 is before the first token, in the prompt's pass. */
  readonly at: number
  /** And so long after that token, in ms: the middle of a step is as likely as its edges. */
  readonly delayMs: number
  /** Which of the hops that can be lost, in [0, 1). */
  readonly hop: number
  /** Its neighbour on the route is lost at the same moment. */
  readonly pair: boolean
  /** Another hop is lost so long after the session noticed, in ms: in the middle of the recovery. */
  readonly againMs: number | null
  /** Who was lost comes back as soon as the answer goes on, not only after it. */
  readonly backSoon: boolean
}

/** One answer with its losses. */
export interface AnswerPlan {
  readonly index: number
  readonly prompt: string
  readonly maxTokens: number
  readonly temperature: number
  readonly topP: number
  readonly seed: number
  readonly faults: readonly Fault[]
}

export const prompts = [
  'Once upon a time',
  'The',
  'Tom and his dog went to the lake. The water was cold and',
  'One day, a girl named Mia found a red box under the old tree. She wanted to open it, but',
  [
    'There was a small boat that lived by the sea. Every morning the boat watched the big ships leave the harbour.',
    'It wanted to go with them, but it was too small and the waves were too high. One day an old man came with a can',
    'of blue paint and a new sail. He looked at the boat and smiled. "You are strong enough," he said. The boat was',
    'so happy that it rocked from side to side. They went out at sunrise, and the gulls flew with them, and'
  ].join(' ')
] as const

/** Sampling settings that answers are asked with; few, since every one costs a reference. */
export const samplings = [
  { temperature: 0, topP: 1, seed: 1 },
  { temperature: 0, topP: 1, seed: 1 },
  { temperature: 0.8, topP: 0.9, seed: 7 },
  { temperature: 1.1, topP: 1, seed: 4242 }
] as const

/** Tokens to generate: below what the shipped model's context of 256 leaves after the longest prompt. */
const tokensMax = 130

/** How often each way is drawn. */
const weights: Readonly<Record<Way, number>> = { kill: 6, silent: 2, drop: 2, left: 2, drain: 2, last: 1 }

/** The plan of one answer. `ways`: those that can be had here. `only` leaves single losses of these ways. */
export function planOf(seed: number, index: number, ways: readonly Way[]): AnswerPlan {
  const rng = seeded(seed * 1_000_003 + index)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(rng() * list.length)]!
  const drawWay = (): Way => {
    let at = rng() * ways.reduce((sum, way) => sum + weights[way], 0)
    for (const way of ways) {
      at -= weights[way]
      if (at < 0) return way
    }
    return ways.at(-1)!
  }
  const prompt = pick(prompts)
  const sampling = pick(samplings)
  const count = 1 + Math.floor(rng() * 3)
  const faults = Array.from({ length: count }, (): Fault => {
    const way = drawWay()
    const shape = rng()
    return {
      way,
      at: Math.max(0, rng() * 1.02 - 0.07),
      delayMs: rng() * 12,
      hop: rng(),
      pair: shape < 0.15,
      againMs: shape >= 0.15 && shape < 0.3 ? rng() * 25 : null,
      backSoon: rng() < 0.5
    }
  }).sort((a, b) => a.at - b.at)
  return { index, prompt, maxTokens: tokensMax, ...sampling, faults }
}
