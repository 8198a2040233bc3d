/** What has changed since an earlier result of the bench: `--against FILE`, where FILE is what `--json` printed then. */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { type Environment, number, type Row, rowsOfTable } from './report.ts'

const figureSchema = z.object({ median: z.number(), least: z.number(), most: z.number() })
const resultSchema = z.object({
  where: z.object({ date: z.string(), cpu: z.string(), cores: z.number(), load: z.number() }),
  rows: z.array(z.object({ part: z.string(), what: z.string(), unit: z.string(), figure: figureSchema }))
})

export type EarlierResult = z.infer<typeof resultSchema>

/** @throws {Error} in one sentence, when the file cannot be read or is no result */
export function readResult(file: string): EarlierResult {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`--against ${file} cannot be read: ${(error as Error).message}`)
  }
  try {
    return resultSchema.parse(JSON.parse(text))
  } catch {
    throw new Error(`--against ${file} is no result of the bench: it takes what npm run -s bench -- --json printed`)
  }
}

/**
 * A Markdown table with a line for each figure of both results, then what only one of them has. A change counts where the two
 * spreads do not overlap; less is what machines that are shared differ by from minute to minute.
 */
export function changes(
  rows: readonly Row[],
  earlier: EarlierResult,
  where: Pick<Environment, 'cpu' | 'cores'>
): string {
  const before = new Map(earlier.rows.map(row => [keyOf(row), row]))
  const now = new Map(rows.map(row => [keyOf(row), row]))
  const lines = rows.flatMap(row => {
    const old = before.get(keyOf(row))
    if (old === undefined) return []
    const { figure, unit, part } = row
    const isClear = figure.least > old.figure.most || figure.most < old.figure.least
    return [
      [
        `${part}: ${row.what}`,
        `${number(old.figure.median)} ${unit}`.trim(),
        `${number(figure.median)} ${unit}`.trim(),
        old.figure.median === 0 ? '' : (figure.median / old.figure.median).toFixed(2),
        isClear ? 'beyond both spreads' : ''
      ]
    ]
  })
  const onlyIn = (some: ReadonlyMap<string, { part: string; what: string }>, others: ReadonlyMap<string, unknown>) =>
    [...some].flatMap(([key, { part, what }]) => (others.has(key) ? [] : [`${part}: ${what}`]))
  const isOther = earlier.where.cpu !== where.cpu || earlier.where.cores !== where.cores
  return [
    `Against the result of ${earlier.where.date}${isOther ? `, which another machine gave (${earlier.where.cpu}, ${earlier.where.cores} cores)` : ''}, load at its start ${earlier.where.load.toFixed(1)}:`,
    '',
    ...rowsOfTable(['what', 'before', 'now', 'now / before', ''], lines),
    ...onlyIn(now, before).map(what => `\nnew: ${what}`),
    ...onlyIn(before, now).map(what => `\nnot measured now: ${what}`)
  ].join('\n')
}

function keyOf({ part, what, unit }: Pick<Row, 'part' | 'what' | 'unit'>): string {
  return `${part}\n${what}\n${unit}`
}
