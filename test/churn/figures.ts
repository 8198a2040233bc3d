/** Figures of a run: how long pauses were. */

/** Quantiles of one kind of loss, in whole ms; null where nothing was measured. */
export interface Pauses {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly max: number | null
}

/** The value below which a share `q` of the values lies (nearest rank), or null without values. */
export function quantile(values: readonly number[], q: number): number | null {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!
}

export function pausesOf(values: readonly number[]): Pauses {
  const at = (q: number): number | null => {
    const value = quantile(values, q)
    return value === null ? null : Math.round(value)
  }
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }
}
