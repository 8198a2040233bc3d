/** How much of ε reports have spent: what they say of requests adds up, whoever reads them. Pure. */

/** One report that has left. */
export interface Spent {
  /** When, since 1970. */
  readonly wallMs: number
  /** ε in thousandths. */
  readonly epsilonMilli: number
}

/** What is spent of a period that ends now. A clock that was ahead gives nothing back. */
export function spentWithin(all: readonly Spent[], nowMs: number, periodMs: number): number {
  return all.filter(({ wallMs }) => wallMs > nowMs - periodMs).reduce((sum, { epsilonMilli }) => sum + epsilonMilli, 0)
}

/** When so much can be spent, since 1970; undefined where it never can. */
export function affordableMs(
  all: readonly Spent[],
  {
    epsilonMilli,
    budgetMilli,
    periodMs,
    nowMs
  }: {
    readonly epsilonMilli: number
    readonly budgetMilli: number
    readonly periodMs: number
    readonly nowMs: number
  }
): number | undefined {
  if (epsilonMilli > budgetMilli) return undefined
  const times = [nowMs, ...all.map(({ wallMs }) => wallMs + periodMs).filter(ms => ms > nowMs)].sort((a, b) => a - b)
  return times.find(ms => spentWithin(all, ms, periodMs) + epsilonMilli <= budgetMilli)
}

/** A line of the file of what was spent. It begins with a line end: a crash may have cut the one before it. */
export function spentLine({ wallMs, epsilonMilli }: Spent): string {
  return `\n${JSON.stringify({ ts: new Date(wallMs).toISOString(), epsilon: epsilonMilli / 1000 })}\n`
}

/**
 * What that file says; undefined where a line of it is wrong. One that a crash has cut is none: its report was never shown to anybody.
 */
export function readSpent(text: string): Spent[] | undefined {
  const spent: Spent[] = []
  for (const line of text.split('\n').filter(each => each.endsWith('}'))) {
    let read: Partial<Readonly<Record<string, unknown>>>
    try {
      read = JSON.parse(line)
    } catch {
      return undefined
    }
    const [wallMs, epsilonMilli] = [Date.parse(String(read.ts)), Math.round(Number(read.epsilon) * 1000)]
    if (!(Number.isFinite(wallMs) && epsilonMilli > 0)) return undefined
    spent.push({ wallMs, epsilonMilli })
  }
  return spent
}
