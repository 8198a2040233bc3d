/** `skein report`: what was asked of a peer, summed up. */
import { type AuditReportInit, type FiguresReport, reportAudit } from '../index.ts'
import type { CommandContext } from './context.ts'
import { say, sayJson, table } from './output.ts'

export interface ReportFlags {
  readonly data: string
  /** In ms, back from now. */
  readonly since: number
  readonly epsilon?: number
  readonly budget?: number
  /** In ms. */
  readonly period?: number
  readonly model?: string[]
  readonly json?: boolean
}

/** @throws what `reportAudit` throws: then nothing is shown */
export async function report(flags: ReportFlags, { signal }: CommandContext): Promise<void> {
  const { data, since, epsilon, budget, period, model } = flags
  const init: AuditReportInit = {
    fromMs: Date.now() - since,
    ...(epsilon === undefined ? {} : { epsilon }),
    ...(budget === undefined ? {} : { budget }),
    ...(period === undefined ? {} : { periodMs: period }),
    ...(model === undefined ? {} : { models: model }),
    signal
  }
  const figures = await reportAudit(data, init)
  if (flags.json) sayJson({ event: 'report', ...figures })
  else for (const line of describeReport(figures)) say(line)
}

/** The lines that a person reads. */
export function describeReport({ from, to, byModel, byHour, byOutcome, privacy, ...all }: FiguresReport): string[] {
  const time = (iso: string): string => iso.slice(0, 16).replace('T', ' ')
  const shown = privacy === null ? byHour.filter(({ requests }) => requests > 0) : byHour
  const { answered, cancelled, failed } = byOutcome
  return [
    `from ${time(from)} to ${time(to)} UTC: ${all.requests} requests, ${all.tokens} tokens`,
    `${answered} answered, ${cancelled} cancelled, ${failed} failed`,
    '',
    ...table([
      ['model', 'requests', 'tokens'],
      ...byModel.map(({ model, requests, tokens }) => [model, String(requests), String(tokens)])
    ]),
    '',
    ...table([
      ['hour', 'requests', 'tokens'],
      ...shown.map(({ hour, requests, tokens }) => [time(hour), String(requests), String(tokens)])
    ]),
    '',
    ...describePrivacy(privacy)
  ]
}

function describePrivacy(privacy: FiguresReport['privacy']): string[] {
  if (privacy === null)
    return ['exact figures, for use here: they tell of single requests, and --epsilon makes some for others']
  const { epsilon, spent, budget, periodMs, tokensMax, error95 } = privacy
  return [
    `with noise for epsilon ${epsilon}: off by ${error95.requests} requests or ${error95.tokens} tokens at most in 95 of 100 cases, where a request counts ${tokensMax} tokens at most`,
    `spent of the budget: ${spent} of ${budget} in ${Math.round(periodMs / 3_600_000)} hours`
  ]
}
