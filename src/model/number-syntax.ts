/** Numbers in decimal, as texts between two bounds. Pure. */
import { either, nothing, oneOf, optional, type Syntax, sequence, text, times } from './syntax.ts'

/** Whole numbers, from the first to the last one that count. `undefined`: as far as `digitsMax` digits go. */
export interface Bounds {
  readonly min?: number | undefined
  readonly max?: number | undefined
}

/** Digits before the point, and behind it: as many as a float64 tells apart, so that no model writes digits without end. */
const digitsMax = 15
const decimalsMax = 16

const digit = oneOf('09')
const digits = (min: number, max: number): Syntax => times(digit, min, max)

/** Whole numbers between two whole ones, which count. */
export function wholeBetween({ min, max }: Bounds): Syntax {
  const ways: Syntax[] = []
  if ((min ?? -1) < 0) {
    ways.push(sequence(text('-'), positives(Math.max(1, -(max ?? -1)), min === undefined ? undefined : -min)))
  }
  if ((max ?? 0) >= 0) ways.push(positives(Math.max(0, min ?? 0), max))
  return either(...ways)
}

/** Numbers between two whole ones. @param open a bound that is no such number itself */
export function numberBetween({
  min,
  max,
  open = {}
}: Bounds & { readonly open?: { readonly min?: boolean; readonly max?: boolean } }): Syntax {
  const ways: Syntax[] = []
  // Of numbers below 0 the larger ones are those nearer to it, and -0 is 0.
  if ((min ?? -1) < 0) {
    const [low, high] = [Math.max(0, -(max ?? 0)), min === undefined ? undefined : -min]
    const isOpen = { min: low === 0 || open.max === true, max: open.min === true }
    ways.push(sequence(text('-'), fractions(low, high, isOpen)))
  }
  if ((max ?? 1) >= 0) {
    const low = Math.max(0, min ?? 0)
    ways.push(fractions(low, max, { min: open.min === true && min === low, max: open.max === true }))
  }
  return either(...ways)
}

/** Numbers of 0 and more, with decimals. */
function fractions(
  low: number,
  high: number | undefined,
  open: { readonly min: boolean; readonly max: boolean }
): Syntax {
  const ways: Syntax[] = []
  const decimals = sequence(text('.'), digits(1, decimalsMax))
  // Behind the point something is not 0.
  const some = sequence(text('.'), digits(0, decimalsMax - 1), oneOf('19'))
  const below = high === undefined ? undefined : high - 1
  let from = low
  if (open.min) {
    if (below === undefined || below >= low) ways.push(sequence(text(String(low)), some))
    from = low + 1
  }
  if (below === undefined || below >= from) ways.push(sequence(positives(from, below), optional(decimals)))
  if (high !== undefined && !open.max && (high > low || !open.min)) ways.push(text(String(high)))
  return either(...ways)
}

/** Whole numbers of 0 and more. */
function positives(low: number, high: number | undefined): Syntax {
  const last = high ?? Math.max(10 ** digitsMax - 1, Number.MAX_SAFE_INTEGER * Number(low >= 10 ** digitsMax))
  if (low > last) return either()
  const ways: Syntax[] = []
  // Those of as many digits at a time.
  for (let first = low; first <= last; ) {
    const end = Math.min(last, 10 ** String(first).length - 1)
    ways.push(sameLength(String(first), String(end)))
    first = end + 1
  }
  return either(...ways)
}

/** Digits from `low` to `high`, which have as many. */
function sameLength(low: string, high: string): Syntax {
  if (low === '') return nothing
  if (/^0*$/.test(low) && /^9*$/.test(high)) return digits(low.length, low.length)
  const [lowFirst, highFirst] = [low[0]!, high[0]!]
  const [lowRest, highRest] = [low.slice(1), high.slice(1)]
  if (lowFirst === highFirst) return sequence(text(lowFirst), sameLength(lowRest, highRest))
  const [nines, zeros] = [lowRest.replaceAll(/./g, '9'), lowRest.replaceAll(/./g, '0')]
  const from = Number(lowFirst) + (lowRest === zeros ? 0 : 1)
  const to = Number(highFirst) - (highRest === nines ? 0 : 1)
  const ways: Syntax[] = []
  if (lowRest !== zeros) ways.push(sequence(text(lowFirst), sameLength(lowRest, nines)))
  if (from <= to) ways.push(sequence(oneOf(`${from}${to}`), digits(lowRest.length, lowRest.length)))
  if (highRest !== nines) ways.push(sequence(text(highFirst), sameLength(zeros, highRest)))
  return either(...ways)
}
