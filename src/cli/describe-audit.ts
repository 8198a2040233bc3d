/** `skein audit` and `skein report`, with what they take. */
import { type Command, Option } from 'commander'
import { InvalidOptionError } from '../index.ts'
import type { CommandContext } from './context.ts'
import { command, data, json, openedData, seal } from './describe.ts'
import { decimalNumber, duration, peerId, repeated, wholeNumber, words } from './flags.ts'
import { auditLinesMax, hourMs, reportPeriodMaxMs, reportSinceMaxMs } from './limits.ts'

/** @param end told the exit code of a command that has one of its own */
export function describeAudit(program: Command, context: CommandContext, end: (code: number) => void): void {
  const audits = command(
    program,
    'audit',
    'Read the log of requests that a peer keeps with up --audit: show its lines, or say whether any is missing, changed or forged.'
  )
  command(audits, 'tail [dir]', 'Show the last requests of a log, of a peer that runs or of one that does not.')
    .addOption(data())
    .addOption(seal())
    .option('--lines <n>', 'so many lines', wholeNumber('--lines', 0, auditLinesMax), 10)
    .option('--follow', 'go on with those that come, until Ctrl-C')
    .addOption(json('print the lines as they are in the file, JSON objects'))
    .action(async (dir: string | undefined, options) => {
      const { tail } = await import('./audit.ts')
      await tail({ ...options, data: await dirOf(dir, options) }, context)
    })
  command(
    audits,
    'verify [dir]',
    'Say whether a log is whole, which line is the first that is missing, changed, moved or forged, and up to where signatures vouch for it. Ends with 3 where one is.'
  )
    .addOption(data())
    .addOption(seal())
    .addOption(
      new Option(
        '--peer <id>',
        'whose log it must be (default: by the key in the data directory, else as its lines say)'
      ).argParser(peerId('--peer'))
    )
    .addOption(json('print one JSON object'))
    .action(async (dir: string | undefined, options) => {
      const { verify } = await import('./audit.ts')
      end(await verify({ ...options, data: await dirOf(dir, options) }, context))
    })
}

export function describeReport(program: Command, context: CommandContext): void {
  command(
    program,
    'report [dir]',
    'Sum up the log of requests that a peer keeps with up --audit: requests and tokens, by model, by hour and by outcome. Exact figures, or with --epsilon such as may leave the swarm.'
  )
    .addOption(data())
    .addOption(seal())
    .option(
      '--since <time>',
      'from so long ago on, in whole hours, such as 24h or 7d',
      duration('--since', hourMs, reportSinceMaxMs),
      24 * hourMs
    )
    .option(
      '--epsilon <e>',
      'add noise: one request changes what can be seen by a factor of exp(e) at most; it is counted down from the budget',
      decimalNumber('--epsilon', 'from 0.01 to 10', value => value >= 0.01 && value <= 10)
    )
    .option(
      '--budget <e>',
      'what reports of this log may spend of epsilon in a period (default: 4)',
      decimalNumber('--budget', 'above 0 and at most 1000', value => value > 0 && value <= 1000)
    )
    .option(
      '--period <time>',
      'how long such a period is (default: 28d)',
      duration('--period', hourMs, reportPeriodMaxMs)
    )
    .option(
      '--model <name>',
      'tell of this model by name, where there is noise; may be repeated (default: those in the data directory)',
      repeated(words('--model'))
    )
    .addOption(json('print one JSON object'))
    .action(async (dir: string | undefined, options) => {
      const { report } = await import('./report.ts')
      await report({ ...options, data: await dirOf(dir, options) }, context)
    })
}

/** The directory, which may be given either way. */
async function dirOf(dir: string | undefined, options: { data?: string; seal?: string }): Promise<string> {
  if (dir !== undefined && options.data !== undefined) {
    throw new InvalidOptionError(`${dir} and --data say twice where the log is: give one of them`)
  }
  return openedData(dir === undefined ? options : { ...options, data: dir })
}
