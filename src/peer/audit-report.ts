/** Figures of an audit log, exact ones for where it is, and others with noise for elsewhere, of which each spends of a budget. */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { affordableMs, readSpent, type Spent, spentLine, spentWithin } from '../audit/budget.ts'
import { readLine, readRequest } from '../audit/entry.ts'
import { storedLines } from '../audit/files-service.ts'
import {
  reportBudgetBytesMax,
  reportBudgetDefault,
  reportEpsilonMax,
  reportEpsilonMin,
  reportHoursMax,
  reportModelsMax,
  reportPeriodMs,
  reportSinceMs,
  reportTokensMax
} from '../audit/limits.ts'
import {
  type AuditFigures,
  type Count,
  type CountedRequest,
  errorOf,
  figuresOf,
  hourMs,
  withNoise
} from '../audit/report.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import { reasonOf } from '../base/reason.ts'
import { appendText, readText } from '../disk/lines.ts'
import { syncPath } from '../disk/whole-file.ts'
import { AuditError, InvalidOptionError, PrivacyBudgetError } from '../errors.ts'
import { listGraphs, listModels } from '../model/library.ts'
import { auditFolderOf } from './audit-files.ts'

export type { AuditFigures } from '../audit/report.ts'

/** What a report is to be of, and how much of a single request may show in it. */
export interface AuditReportInit {
  /** From the beginning of the hour of this time on, since 1970. @default a day before `toMs` */
  readonly fromMs?: number
  /** To the beginning of the hour of this time. @default now; without `epsilon` this hour counts as well */
  readonly toMs?: number
  /**
   * How much one request may change what can be seen: by a factor of exp(ε) at most. Figures then have noise, and may leave the swarm; someone who
   * made k requests shows by k times as much. From 0.01 to 10, in thousandths.
   * @default figures are exact, for use where the log is
   */
  readonly epsilon?: number
  /** What reports on this log may spend of ε in `periodMs`, this one included. @default 4 */
  readonly budget?: number
  /** @default 28 days */
  readonly periodMs?: number
  /**
   * Names of models that figures with noise tell of; requests of all others are one figure. Whoever chooses them by what was asked tells of that.
   * @default those in the data directory
   */
  readonly models?: readonly string[]
  /** Ends the reading. */
  readonly signal?: AbortSignal
  /** @default the machine's */
  readonly clock?: Clock
}

/** Figures of a log. */
export interface FiguresReport extends AuditFigures {
  /** As ISO 8601: half-open, whole hours. */
  readonly from: string
  readonly to: string
  /** Null where figures are exact, and not for others. */
  readonly privacy: {
    readonly epsilon: number
    /** Of the budget of the period that ends now: what is spent, this report included, and all of it. */
    readonly spent: number
    readonly budget: number
    readonly periodMs: number
    /** Tokens of a request that count at most. */
    readonly tokensMax: number
    /** How far a figure is off at most, in 95 of 100 cases. */
    readonly error95: Count
  } | null
}

const budgetFile = 'report-budget.jsonl'

/**
 * Figures of an audit log, of a peer that runs or of one that does not: requests and tokens, by model, by hour and by outcome.
 *
 * @param dir a data directory, or a folder of files of a log
 * @throws {InvalidOptionError} when an option is out of its range. @throws {AuditError} when there is no log, or it or what was spent cannot be read or written
 * @throws {PrivacyBudgetError} when the budget has no room for it: nothing is told then. @throws the signal's reason.
 */
export async function reportAudit(dir: string, init: AuditReportInit = {}): Promise<FiguresReport> {
  const { epsilon, signal, clock = systemClock } = init
  const nowMs = clock.wallMs()
  const { fromMs, toMs } = timeOf(init, nowMs)
  const folder = await auditFolderOf(dir)
  const requests: CountedRequest[] = []
  for await (const { bytes } of storedLines(folder, { signal })) {
    const line = readLine(new TextDecoder().decode(bytes))
    const request = line === undefined ? undefined : readRequest(line)
    if (line === undefined || request === undefined) continue
    const { modelName: model, tokens, outcome } = request
    requests.push({ wallMs: Date.parse(line.ts), model, tokens, outcome })
  }
  const time = { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() }
  if (epsilon === undefined) return { ...time, ...figuresOf(requests, { fromMs, toMs }), privacy: null }
  const { epsilonMilli, budgetMilli, periodMs } = checkedBudget(init, epsilon)
  const models = init.models ?? (folder === dir ? [] : await namesIn(dir))
  if (models.length > reportModelsMax) {
    throw new InvalidOptionError(`a report tells of ${reportModelsMax} models at most by name, not ${models.length}`)
  }
  const figures = figuresOf(requests, { fromMs, toMs, models, tokensMax: reportTokensMax })
  const spent = await spend(join(dir, budgetFile), { epsilonMilli, budgetMilli, periodMs, nowMs })
  return {
    ...time,
    ...withNoise(figures, epsilonMilli, max => randomInt(max)),
    privacy: {
      ...{ epsilon: epsilonMilli / 1000, spent: spent / 1000, budget: budgetMilli / 1000, periodMs },
      tokensMax: reportTokensMax,
      error95: errorOf(epsilonMilli)
    }
  }
}

/** Whole hours: the one that is not over yet is left to a later report where figures are to leave. */
function timeOf(
  { fromMs, toMs, epsilon }: AuditReportInit,
  nowMs: number
): { readonly fromMs: number; readonly toMs: number } {
  const hour = (ms: number): number => Math.floor(ms / hourMs) * hourMs
  const to = toMs === undefined ? hour(nowMs) + (epsilon === undefined ? hourMs : 0) : hour(toMs)
  const from = fromMs === undefined ? to - reportSinceMs : hour(fromMs)
  if (!Number.isFinite(from) || !Number.isFinite(to) || to - from < hourMs || to - from > reportHoursMax * hourMs) {
    throw new InvalidOptionError(`a report is of 1 to ${reportHoursMax} hours, not of ${(to - from) / hourMs}`)
  }
  return { fromMs: from, toMs: to }
}

function checkedBudget(
  { budget = reportBudgetDefault, periodMs = reportPeriodMs }: AuditReportInit,
  epsilon: number
): { readonly epsilonMilli: number; readonly budgetMilli: number; readonly periodMs: number } {
  const milli = (value: number): number => Math.round(value * 1000)
  const isMilli = (value: number): boolean => Math.abs(value * 1000 - milli(value)) < 1e-6
  if (!(epsilon >= reportEpsilonMin && epsilon <= reportEpsilonMax && isMilli(epsilon))) {
    const range = `from ${reportEpsilonMin} to ${reportEpsilonMax}, in thousandths`
    throw new InvalidOptionError(`epsilon must be a number ${range}, not ${epsilon}`)
  }
  if (!(budget > 0 && budget <= 1000 && isMilli(budget))) {
    throw new InvalidOptionError(`budget must be a number above 0 and at most 1000, in thousandths, not ${budget}`)
  }
  if (!(Number.isSafeInteger(periodMs) && periodMs >= hourMs)) {
    throw new InvalidOptionError(`periodMs must be a whole number of ms, an hour at least, not ${periodMs}`)
  }
  return { epsilonMilli: milli(epsilon), budgetMilli: milli(budget), periodMs }
}

async function namesIn(dir: string): Promise<string[]> {
  const names = [...(await listModels(dir)), ...(await listGraphs(dir))].map(({ manifest }) => manifest.name)
  return [...new Set(names)].sort().slice(0, reportModelsMax)
}

/**
 * Writes down what a report spends, before anybody sees it: what a crash takes away was spent all the same.
 * Returns what is spent of the period then. Of two at once for which there is room for one, neither is told.
 */
async function spend(
  path: string,
  ask: {
    readonly epsilonMilli: number
    readonly budgetMilli: number
    readonly periodMs: number
    readonly nowMs: number
  }
): Promise<number> {
  const { epsilonMilli, budgetMilli, periodMs, nowMs } = ask
  const before = await spentIn(path)
  const atMs = affordableMs(before, ask)
  if (atMs === undefined || atMs > nowMs) {
    const left = Math.max(0, budgetMilli - spentWithin(before, nowMs, periodMs)) / 1000
    const when = atMs === undefined ? '' : `; there is room for it from ${new Date(atMs).toISOString()} on`
    throw new PrivacyBudgetError(
      `reports on this log may spend ${budgetMilli / 1000} of epsilon in ${periodMs / hourMs} hours, of which ${left} is left, and this one would spend ${epsilonMilli / 1000}${when}`
    )
  }
  try {
    await appendText(path, spentLine({ wallMs: nowMs, epsilonMilli }))
    await syncPath(path)
  } catch (error) {
    throw new AuditError(`${path} cannot be written, and no report leaves that is not counted: ${reasonOf(error)}`)
  }
  const spent = spentWithin(await spentIn(path), nowMs, periodMs)
  if (spent > budgetMilli) throw new PrivacyBudgetError('another report has spent what was left meanwhile')
  return spent
}

async function spentIn(path: string): Promise<Spent[]> {
  let text: string
  try {
    text = new TextDecoder().decode(await readText(path, reportBudgetBytesMax))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new AuditError(`${path} cannot be read, and no report leaves that is not counted: ${reasonOf(error)}`)
  }
  const spent = readSpent(text)
  if (spent === undefined) {
    throw new AuditError(`${path} is damaged: it says what reports have spent, and without that none leaves`)
  }
  return spent
}
