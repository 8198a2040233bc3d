/**
 * `npm run churn:speed`: what losses cost an answer's speed. Answers of a hundred tokens, turn about: one kind loses a peer
 * in each of them, the other in one of ten, so one loss in a hundred steps and one in a thousand. Time counts from each
 * request to its last token; between answers whoever was lost comes back, and that time does not count.
 *
 *   node test/churn/speed.ts [--blocks 5] [--seed 1] [--json] [--verbose]
 *
 * One block is ten answers of each kind. The last line of `--json` is `{"event":"speed",…}`.
 */
import { loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { seeded } from '../../src/base/rng.ts'
import { beginRun, runCommand, telling } from './command.ts'
import { pausesOf, quantile } from './figures.ts'
import type { AnswerPlan, Fault } from './plan.ts'

const { values: flags } = parseArgs({
  options: {
    blocks: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false }
  }
})
const [blocks, seed] = [flags.blocks, flags.seed].map(text => {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  console.error(`churn: ${text} is no positive whole number`)
  return process.exit(2)
}) as [number, number]

const answerTokens = 100
const answersPerBlock = 10
/** What the rarer losses leave of the speed must be at least so much of what the commoner ones leave. */
const aim = 0.7

const { say, sayJson } = telling(flags.json)

/** Tokens and time of one kind of answers. */
class Pace {
  tokens = 0
  ms = 0
  losses = 0
  get tokensPerSecond(): number {
    return Number(((this.tokens / this.ms) * 1000).toFixed(1))
  }
  add({ tokens, ms, injections }: { tokens: number; ms: number; injections: readonly object[] }): void {
    this.tokens += tokens
    this.ms += ms
    this.losses += injections.length
  }
}

async function main(): Promise<number> {
  const { signal, scratch } = beginRun('skein-speed-')
  const { layouts, startAlone, World } = await import('./world.ts')
  const { Reference, Runner } = await import('./run.ts')
  const alone = await startAlone(scratch, signal)
  const reference = new Reference(alone)
  const rng = seeded(seed)
  const world = await World.start(layouts.find(({ name }) => name === 'five')!, { signal })
  const hundred = new Pace()
  const thousand = new Pace()
  const ratios: number[] = []
  /** Times of answers with a loss and of those without. */
  const pauses: number[] = []
  const [lossy, whole]: [number[], number[]] = [[], []]
  let [answers, identical] = [0, 0]
  try {
    for (let block = 0; block < blocks; block++) {
      const [here, there] = [new Pace(), new Pace()]
      const unlucky = Math.floor(rng() * answersPerBlock)
      for (let i = 0; i < answersPerBlock; i++) {
        // Whose turn is first changes, so that neither always runs in a swarm that has just been hurt.
        const turns = [
          { pace: here, loses: true },
          { pace: there, loses: i === unlucky }
        ]
        for (const { pace, loses } of i % 2 === 0 ? turns : turns.reverse()) {
          const { plan, expected } = await longAnswer(loses)
          const runner = new Runner(world, plan, line => flags.verbose && say(line))
          const result = await runner.run(expected, signal)
          pace.add(result)
          ;(result.injections.length > 0 ? lossy : whole).push(result.ms)
          answers++
          identical += Number(result.identical)
          pauses.push(...result.injections.flatMap(({ pauseMs }) => pauseMs ?? []))
          if (flags.verbose) {
            say(`answer ${answers}: ${result.ms.toFixed(0)} ms, token ${result.tokenMs.toFixed(1)} ms`)
          }
          if (!result.identical) say(`answer ${answers}: DIFFERENT ${result.failure ?? ''}`)
          await runner.heal(signal)
        }
      }
      for (const [all, part] of [
        [hundred, here],
        [thousand, there]
      ] as const) {
        all.tokens += part.tokens
        all.ms += part.ms
        all.losses += part.losses
      }
      ratios.push(Number((here.tokensPerSecond / there.tokensPerSecond).toFixed(3)))
      say(
        `block ${block + 1} of ${blocks}: ${here.tokensPerSecond} tokens/s with ${here.losses} losses in ${here.tokens} tokens, ` +
          `${there.tokensPerSecond} with ${there.losses} in ${there.tokens}: ${ratios.at(-1)} (load ${loadavg()[0]!.toFixed(1)})`
      )
    }
  } finally {
    await world.stop()
    await alone.stop()
  }
  const ratio = Number((hundred.tokensPerSecond / thousand.tokensPerSecond).toFixed(3))
  const kind = ({ tokens, losses, tokensPerSecond }: Pace): object => ({ tokens, losses, tokensPerSecond })
  const summary = {
    event: 'speed',
    answers,
    identical,
    oneInHundred: kind(hundred),
    oneInThousand: kind(thousand),
    ratio,
    perBlock: ratios,
    /** The same from the median answers with a loss and without: what other work on the machine does to a few does not count. */
    ratioOfMedians: medianRatio(lossy, whole),
    answerMs: { withLoss: pausesOf(lossy), without: pausesOf(whole) },
    pauseMs: pausesOf(pauses)
  }
  sayJson(summary)
  if (!flags.json) console.log(JSON.stringify(summary, null, 2))
  return ratio >= aim && identical === answers ? 0 : 1

  /** A plan that gives all its tokens, and what it gives undisturbed. */
  async function longAnswer(loses: boolean): Promise<{ plan: AnswerPlan; expected: readonly number[] }> {
    const kill: Fault = {
      way: 'kill',
      at: 0.05 + 0.85 * rng(),
      delayMs: 5 * rng(),
      hop: rng(),
      pair: false,
      againMs: null,
      backSoon: false
    }
    for (;;) {
      const plan: AnswerPlan = {
        index: answers,
        prompt: 'Once upon a time',
        maxTokens: answerTokens,
        temperature: 0.8,
        topP: 0.9,
        // Few: each costs a reference.
        seed: 1 + Math.floor(rng() * 12),
        faults: loses ? [kill] : []
      }
      const expected = await reference.of(plan, signal)
      if (expected.length === answerTokens) return { plan, expected }
    }
  }
}

/** Speed with a loss in every answer, against one in ten. */
function medianRatio(lossy: readonly number[], whole: readonly number[]): number | null {
  const [withLoss, without] = [quantile(lossy, 0.5), quantile(whole, 0.5)]
  if (withLoss === null || without === null) return null
  const rare = (without * (answersPerBlock - 1) + withLoss) / answersPerBlock
  return Number((rare / withLoss).toFixed(3))
}

await runCommand(main)
