/**
 * Whether a night's figures are worse than those before: what `npm run nightly` fails by. Only what does not depend on who else uses the
 * machine is judged: accuracy, memory, bytes, and speeds as ratios of what was measured by turns. Pure.
 */
import { z } from 'zod'
import type { Row } from './report.ts'

/** Which way a figure gets worse, and by how much it may. */
export interface Rule {
  /** Of the bench, and of the row within it. */
  readonly part: string
  readonly what: RegExp
  readonly unit: string
  readonly worse: 'more' | 'less'
  /** Of the median of earlier nights. */
  readonly ratio: number
}

export const rules: readonly Rule[] = [
  // Exact figures: any change is one of the code.
  { part: 'quality', what: /perplexity/, unit: '', worse: 'more', ratio: 1.001 },
  { part: 'quality', what: /: KL\(/, unit: 'mnat', worse: 'more', ratio: 1.05 },
  { part: 'quality', what: /likeliest token as with f32/, unit: '%', worse: 'less', ratio: 1.005 },
  { part: 'hops', what: /bytes per token and hop/, unit: 'B', worse: 'more', ratio: 1.02 },
  { part: 'memory', what: /./, unit: 'MB', worse: 'more', ratio: 1.1 },
  { part: 'load', what: /memory \/ weights|memory per weight byte/, unit: '', worse: 'more', ratio: 1.08 },
  // Ratios of one run, by turns: what is left of the machine's moods is some per cent.
  { part: 'engine', what: /wasm \/ .*decode/, unit: '', worse: 'less', ratio: 1.1 },
  { part: 'batch', what: /sessions \/ 1 session/, unit: '', worse: 'less', ratio: 1.12 },
  { part: 'hops', what: /three peers \/ one peer/, unit: '', worse: 'less', ratio: 1.1 },
  { part: 'service', what: /answered within/, unit: '%', worse: 'less', ratio: 1.005 },
  { part: 'service', what: /bytes .* per request/, unit: 'kB', worse: 'more', ratio: 1.1 }
]

const nightSchema = z.object({
  date: z.string(),
  commit: z.string(),
  cpu: z.string(),
  figures: z.record(z.string(), z.number())
})

/** What is kept of one night: medians by what they are of. */
export type Night = z.infer<typeof nightSchema>

/** Nights that a figure is compared with: their median forgives one bad night. */
export const comparedNights = 7

export function keyOf({ part, what, unit }: Pick<Row, 'part' | 'what' | 'unit'>): string {
  return `${part}: ${what}${unit === '' ? '' : ` [${unit}]`}`
}

/** One night of a history, a JSON object a line. @throws {Error} when the line is none, in one sentence */
export function readNight(line: string): Night {
  try {
    return nightSchema.parse(JSON.parse(line))
  } catch {
    throw new Error(`a line of the history is no night: ${line.slice(0, 80)}`)
  }
}

/** A sentence for each figure that has become worse than its rule allows, against nights of the same processor. */
export function worsened(rows: readonly Row[], earlier: readonly Night[], cpu: string): string[] {
  const nights = earlier.filter(night => night.cpu === cpu).slice(-comparedNights)
  return rows.flatMap(row => {
    const rule = rules.find(({ part, what, unit }) => part === row.part && unit === row.unit && what.test(row.what))
    const key = keyOf(row)
    const before = nights.flatMap(({ figures }) => figures[key] ?? []).toSorted((a, b) => a - b)
    if (rule === undefined || before.length === 0) return []
    const usual = before[Math.floor(before.length / 2)]!
    const now = row.figure.median
    const isWorse = rule.worse === 'more' ? now > usual * rule.ratio : now * rule.ratio < usual
    return isWorse
      ? [`${key} is ${now.toPrecision(4)}, and was ${usual.toPrecision(4)} on ${before.length} nights before`]
      : []
  })
}
