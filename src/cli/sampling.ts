/** Flags that say how tokens are drawn, of every command that asks. */
import { type Command, Option } from 'commander'
import { decimalNumber, wholeNumber } from './flags.ts'

export interface SamplingFlags {
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly seed: number
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  readonly repetitionPenalty: number
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
    .option('--seed <n>', 'the same seed gives the same answer', wholeNumber('--seed', 0), 1)
    .addOption(
      penalty('--presence-penalty', 'from -2 to 2: tokens that the answer has already are so much less likely')
    )
    .addOption(penalty('--frequency-penalty', 'from -2 to 2: the same for each time that it has them'))
    .addOption(repetitionPenalty())
}

/** What of them the peer is told; penalties that do nothing are left out, as not every peer knows them. */
export function samplingOptions(flags: SamplingFlags) {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, repetitionPenalty } = flags
  return {
    ...{ temperature, topP, topK, seed },
    ...(presencePenalty === 0 ? {} : { presencePenalty }),
    ...(frequencyPenalty === 0 ? {} : { frequencyPenalty }),
    ...(repetitionPenalty === 1 ? {} : { repetitionPenalty })
  }
}

/** Takes so much from the logits of tokens that are there already. */
function penalty(flag: string, description: string): Option {
  const parse = decimalNumber(flag, 'from -2 to 2', p => Math.abs(p) <= 2)
  return new Option(`${flag} <p>`, description).argParser(parse).default(0)
}

function repetitionPenalty(): Option {
  const flag = '--repetition-penalty'
  const description = 'above 1, tokens of prompt and answer are less likely: 1.1 is usual'
  const parse = decimalNumber(flag, 'from 0.1 to 10', p => p >= 0.1 && p <= 10)
  return new Option(`${flag} <p>`, description).argParser(parse).default(1)
}
