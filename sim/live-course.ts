/** What happened, simulated or measured, in the same words; the figures of it; and the table of both. */
import type { WorldCourse } from './world.ts'

export type CourseEvent =
  | { readonly kind: 'ask'; readonly atMs: number; readonly number: number }
  | { readonly kind: 'token'; readonly atMs: number; readonly number: number }
  | { readonly kind: 'lost'; readonly number: number; readonly reason: string }
  | {
      readonly kind: 'end'
      readonly number: number
      readonly outcome: 'answered' | 'failed'
      /** What the last route's hops did; bytes of steps to the next hop. */
      readonly hops: readonly HopCourse[]
      /** Of all frames that hops and driver sent for this answer. */
      readonly bytes: number
    }

export interface HopCourse {
  readonly steps: number
  readonly tokens: number
  readonly computeMs: number
  readonly bytesOut: number
}

/** A simulated world's answers in these words: those that were asked for up to its end, however long they took. */
export function simulatedCourse(events: readonly WorldCourse[], endMs: number): CourseEvent[] {
  const asked = new Set<number>()
  return events.flatMap((event): CourseEvent[] => {
    const { kind, atMs } = event
    if (kind === 'fault') return []
    const { number } = event
    if (kind === 'ask') {
      if (atMs > endMs) return []
      asked.add(number)
      return [{ kind, atMs, number }]
    }
    if (!asked.has(number)) return []
    const { output } = event
    switch (output.event) {
      case 'token':
        return [{ kind: 'token', atMs, number }]
      case 'lost':
        return [{ kind: 'lost', number, reason: output.reason }]
      case 'done': {
        const bytes = output.bytesPerToken * output.ids.length
        return [{ kind: 'end', number, outcome: 'answered', hops: output.hops, bytes }]
      }
      case 'failed':
        return [{ kind: 'end', number, outcome: 'failed', hops: [], bytes: 0 }]
      default:
        return []
    }
  })
}

/** Least, median and greatest of so many. */
export interface Spread {
  readonly n: number
  readonly median: number | null
  readonly least: number | null
  readonly most: number | null
}

export interface Figures {
  readonly asked: number
  readonly answered: number
  readonly failed: number
  readonly tokens: number
  readonly losses: Readonly<Record<string, number>>
  /** Of each answer without a loss, from its first token to its last. */
  readonly tokensPerSecond: Spread
  readonly firstTokenMs: Spread
  /** From the last token before a loss was noticed to the next one. */
  readonly pauseMs: Spread
  /** Of steps, from one hop to the next, per token that went over it. */
  readonly bytesPerTokenHop: Spread
  /** Of everything that hops and driver sent, per generated token. */
  readonly bytesPerToken: Spread
  readonly hops: Spread
  /** In all engines of a route, per step. */
  readonly computeMs: Spread
  /** Of all streams over all links, what nobody asked for included, per second. */
  readonly airBytes: Spread
}

interface Answering {
  readonly askedMs: number
  readonly tokenMs: number[]
  /** Tokens that were there when a loss was noticed. */
  readonly lostAfter: number[]
}

/** @param airBytes that went over all links, per second. */
export function figuresOf(course: readonly CourseEvent[], airBytes: number): Figures {
  const answers = new Map<number, Answering>()
  const losses: Record<string, number> = {}
  const sets = {
    tokensPerSecond: [] as number[],
    firstTokenMs: [] as number[],
    pauseMs: [] as number[],
    bytesPerTokenHop: [] as number[],
    bytesPerToken: [] as number[],
    hops: [] as number[],
    computeMs: [] as number[],
    airBytes: [airBytes]
  }
  let [asked, answered, failed, tokens] = [0, 0, 0, 0]
  for (const event of course) {
    const { number } = event
    if (event.kind === 'ask') {
      asked++
      answers.set(number, { askedMs: event.atMs, tokenMs: [], lostAfter: [] })
      continue
    }
    const answer = answers.get(number)
    if (answer === undefined) continue
    const { tokenMs, lostAfter, askedMs } = answer
    if (event.kind === 'token') {
      tokens++
      tokenMs.push(event.atMs)
    } else if (event.kind === 'lost') {
      losses[event.reason] = (losses[event.reason] ?? 0) + 1
      if (lostAfter.at(-1) !== tokenMs.length) lostAfter.push(tokenMs.length)
    } else {
      if (event.outcome === 'answered') answered++
      else failed++
      const [first, last] = [tokenMs[0], tokenMs.at(-1)]
      if (event.outcome === 'failed' || first === undefined || last === undefined) continue
      if (lostAfter[0] !== 0) sets.firstTokenMs.push(first - askedMs)
      for (const at of lostAfter) {
        const [before, after] = [tokenMs[at - 1], tokenMs[at]]
        if (before !== undefined && after !== undefined) sets.pauseMs.push(after - before)
      }
      if (lostAfter.length > 0) continue
      if (tokenMs.length > 1) sets.tokensPerSecond.push((1000 * (tokenMs.length - 1)) / (last - first))
      sets.bytesPerToken.push(event.bytes / tokenMs.length)
      sets.hops.push(event.hops.length)
      const [head] = event.hops
      if (head === undefined) continue
      sets.computeMs.push(event.hops.reduce((sum, hop) => sum + hop.computeMs / hop.steps, 0))
      for (const { bytesOut, tokens: passed } of event.hops.slice(0, -1)) {
        sets.bytesPerTokenHop.push(bytesOut / passed)
      }
    }
  }
  const spreads = Object.fromEntries(Object.entries(sets).map(([name, values]) => [name, spreadOf(values)]))
  return { asked, answered, failed, tokens, losses, ...(spreads as { [name in keyof typeof sets]: Spread }) }
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number): number | null => (sorted.length === 0 ? null : Number(sorted[index]!.toPrecision(4)))
  return { n: sorted.length, least: at(0), median: at(sorted.length >> 1), most: at(sorted.length - 1) }
}

/** A line of the table. */
export interface Row {
  readonly what: string
  readonly unit: string
  readonly simulated: Spread
  readonly measured: Spread
  /** Simulated by measured, of the medians; null where one of them is missing. */
  readonly ratio: number | null
}

const lines: readonly (readonly [keyof Figures & string, string, string])[] = [
  ['tokensPerSecond', 'tokens per second', '1/s'],
  ['firstTokenMs', 'first token', 'ms'],
  ['pauseMs', 'pause after a loss', 'ms'],
  ['bytesPerTokenHop', 'bytes per token and hop', 'B'],
  ['bytesPerToken', 'bytes per token, all frames', 'B'],
  ['hops', 'hops', ''],
  ['computeMs', 'engines, per step', 'ms'],
  ['airBytes', 'bytes on the air, per second', 'B']
]

export function tableOf(simulated: Figures, measured: Figures): Row[] {
  return lines.map(([name, what, unit]) => {
    const [ours, theirs] = [simulated[name] as Spread, measured[name] as Spread]
    const ratio =
      ours.median === null || theirs.median === null || theirs.median === 0 ? null : ours.median / theirs.median
    return { what, unit, simulated: ours, measured: theirs, ratio: ratio === null ? null : Number(ratio.toFixed(2)) }
  })
}

/** How far a ratio may be from 1, by a factor, before a line says that it is off. */
export const offFactor = 1.25

export function isOff({ ratio }: Row): boolean {
  return ratio !== null && (ratio > offFactor || ratio < 1 / offFactor)
}

/** The table as Markdown. */
export function renderTable(rows: readonly Row[]): string[] {
  const show = ({ n, median, least, most }: Spread): string =>
    median === null ? '–' : least === most ? `${median} (${n})` : `${median} (${least}–${most}, ${n})`
  const cells = rows.map(row => [
    `${row.what}${row.unit === '' ? '' : `, ${row.unit}`}`,
    show(row.simulated),
    show(row.measured),
    row.ratio === null ? '–' : `${row.ratio.toFixed(2)}${isOff(row) ? ' off' : ''}`
  ])
  const head = ['median (least–most, how many)', 'simulated', 'measured', 'ratio']
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map(row => row[i]!.length)))
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(head), line(widths.map(width => '-'.repeat(width))), ...cells.map(line)]
}
