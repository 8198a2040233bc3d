/** Flags that say how tokens are drawn, of every command that asks. */
import { type Command, Option } from 'commander'
import { InvalidOptionError } from '../index.ts'
import { decimalNumber, wholeNumber } from './flags.ts'

export interface SamplingFlags {
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly seed: number
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  readonly repetitionPenalty: number
  readonly minP: number
  readonly logitBias: Readonly<Record<number, number>>
}

/** Adds them to a command. */
export function takesSampling(command: Command): Command {
  return command
    .option(
      '--temperature <t>',
      '0 takes the most likely token',
      decimalNumber('--temperature', 'from 0 to 100', t => t >= 0 && t <= 100),
      0
    )
    .option(
      '--top-p <p>',
      'sample from the likeliest tokens that reach this probability',
      decimalNumber('--top-p', 'above 0 and at most 1', p => p > 0 && p <= 1),
      1
    )
    .option('--top-k <k>', 'sample from the k likeliest tokens; 0 for all', wholeNumber('--top-k', 0, 1 << 24), 0)
    .option(
      '--min-p <p>',
      'leave out tokens that are less likely than this times the likeliest',
      decimalNumber('--min-p', 'from 0 to 1', p => p >= 0 && p <= 1),
      0
    )
    .addOption(logitBias())
    .option('--seed <n>', 'the same seed gives the same answer', wholeNumber('--seed', 0), 1)
    .addOption(
      penalty('--presence-penalty', 'from -2 to 2: tokens that the answer has already are so much less likely')
    )
    .addOption(penalty('--frequency-penalty', 'from -2 to 2: the same for each time that it has them'))
    .addOption(repetitionPenalty())
}

/** What of them the peer is told; what does nothing is left out, as not every peer knows them. */
export function samplingOptions(flags: SamplingFlags) {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, repetitionPenalty, minP, logitBias } = flags
  return {
    ...{ temperature, topP, topK, seed },
    ...(presencePenalty === 0 ? {} : { presencePenalty }),
    ...(frequencyPenalty === 0 ? {} : { frequencyPenalty }),
    ...(repetitionPenalty === 1 ? {} : { repetitionPenalty }),
    ...(minP === 0 ? {} : { minP }),
    ...(Object.keys(logitBias).length === 0 ? {} : { logitBias })
  }
}

/** Takes so much from the logits of tokens that are there already. */
function penalty(flag: string, description: string): Option {
  const parse = decimalNumber(flag, 'from -2 to 2', p => Math.abs(p) <= 2)
  return new Option(`${flag} <p>`, description).argParser(parse).default(0)
}

/** May be given several times. */
function logitBias(): Option {
  const flag = '--logit-bias'
  const wrong = (given: string): never => {
    throw new InvalidOptionError(`${flag} takes ID=AMOUNT, of a token's id and from -100 to 100, not '${given}'`)
  }
  const parse = (given: string, before: Record<number, number>): Record<number, number> => {
    const [, id, amount] = /^(\d{1,10})=(-?\d+(?:\.\d+)?)$/.exec(given) ?? wrong(given)
    return Math.abs(Number(amount)) <= 100 ? { ...before, [Number(id)]: Number(amount) } : wrong(given)
  }
  return new Option(`${flag} <id=amount>`, 'add from -100 to 100 to the logit of a token; as often as you like')
    .argParser(parse)
    .default({}, 'none')
}

function repetitionPenalty(): Option {
  const flag = '--repetition-penalty'
  const description = 'above 1, tokens of prompt and answer are less likely: 1.1 is usual'
  const parse = decimalNumber(flag, 'from 0.1 to 10', p => p >= 0.1 && p <= 10)
  return new Option(`${flag} <p>`, description).argParser(parse).default(1)
}
