/**
 * Numbers that a peer keeps of itself, and their text for Prometheus (exposition format 0.0.4). Pure: whoever counts calls, whoever
 * is asked for the text has it made. Counting costs some 0.1 µs, since it happens between tokens.
 */
import { assert } from './assert.ts'

/** Series of one family, each with its own values of the labels: what comes after them is counted together. */
export const seriesMax = 64
/** The label value of what is counted together. */
export const otherLabel = 'other'
/** Characters of a label's value: longer ones are cut. */
const labelCharsMax = 96

type Values = readonly string[]

interface Series<Value> {
  readonly values: Values
  value: Value
}

/** One name, what it means, and a value for each combination of label values that has come. */
abstract class Family<Value> {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  abstract readonly type: 'counter' | 'gauge' | 'histogram'
  protected readonly series = new Map<string, Series<Value>>()

  constructor(name: string, help: string, labels: readonly string[]) {
    // A colon stands in names of other programs alone, which are aliases here.
    assert(/^(?:[a-z]+:)?[a-z][a-z0-9_]*$/.test(name), `a metric is named in lower case, not ${name}`)
    this.name = name
    this.help = help
    this.labels = labels
  }

  /** The series of these values, made with `first` when it is new; where there are too many, the one of all others. */
  protected at(values: Values, first: () => Value): Series<Value> {
    const key = values.length === 1 ? values[0]! : values.join('\0')
    const found = this.series.get(key)
    if (found !== undefined) return found
    assert(values.length === this.labels.length, `${this.name} has the labels ${this.labels.join(', ')}`)
    const isOver = this.series.size >= seriesMax - 1 && values.some(value => value !== otherLabel)
    if (isOver)
      return this.at(
        values.map(() => otherLabel),
        first
      )
    const made = { values: values.map(value => value.slice(0, labelCharsMax)), value: first() }
    this.series.set(key, made)
    return made
  }

  /** Forgets all series: those that are still there are set again. */
  clear(): void {
    this.series.clear()
  }

  protected abstract lines(): string[]

  text(): string[] {
    const lines = this.lines()
    if (lines.length === 0) return []
    return [`# HELP ${this.name} ${escaped(this.help)}`, `# TYPE ${this.name} ${this.type}`, ...lines]
  }

  protected line(suffix: string, values: Values, value: number, more: readonly [string, string][] = []): string {
    const pairs = [...this.labels.map((label, i): [string, string] => [label, values[i]!]), ...more]
    const list = pairs.map(([label, each]) => `${label}="${escaped(each).replaceAll('"', '\\"')}"`).join(',')
    return `${this.name}${suffix}${list === '' ? '' : `{${list}}`} ${numberText(value)}`
  }
}

/** What only grows. */
export class Counter extends Family<number> {
  readonly type = 'counter'

  add(amount = 1, ...values: string[]): void {
    this.at(values, zero).value += amount
  }

  /** The total, where somebody else counts. A smaller one than before counts as a new beginning, as Prometheus takes it. */
  reach(total: number, ...values: string[]): void {
    this.at(values, zero).value = total
  }

  protected lines(): string[] {
    return [...this.series.values()].map(({ values, value }) => this.line('', values, value))
  }
}

/** What is so at this moment. */
export class Gauge extends Family<number> {
  readonly type = 'gauge'

  set(value: number, ...values: string[]): void {
    this.at(values, zero).value = value
  }

  protected lines(): string[] {
    return [...this.series.values()].map(({ values, value }) => this.line('', values, value))
  }
}

interface Distribution {
  /** [bounds + 1] how many values were at most each bound and above the one before; the last has no bound. */
  readonly counts: number[]
  sum: number
}

/** How often values lay between fixed bounds. */
export class Histogram extends Family<Distribution> {
  readonly type = 'histogram'
  readonly bounds: readonly number[]

  constructor(name: string, help: string, bounds: readonly number[], labels: readonly string[]) {
    super(name, help, labels)
    assert(
      bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!),
      `the bounds of ${name} rise`
    )
    this.bounds = bounds
  }

  observe(value: number, ...values: string[]): void {
    const { value: distribution } = this.at(values, this.#empty)
    let at = 0
    while (at < this.bounds.length && value > this.bounds[at]!) at++
    distribution.counts[at]! += 1
    distribution.sum += value
  }

  readonly #empty = (): Distribution => ({ counts: new Array<number>(this.bounds.length + 1).fill(0), sum: 0 })

  protected lines(): string[] {
    return [...this.series.values()].flatMap(({ values, value: { counts, sum } }) => {
      let below = 0
      const buckets = counts.map((count, i) => {
        below += count
        return this.line('_bucket', values, below, [['le', numberText(this.bounds[i] ?? Infinity)]])
      })
      return [...buckets, this.line('_sum', values, sum), this.line('_count', values, below)]
    })
  }
}

/** All families of one process. */
export class Metrics {
  readonly #families = new Map<string, Family<unknown>>()

  counter(name: string, help: string, labels: readonly string[] = []): Counter {
    assert(name.endsWith('_total'), `a counter ends in _total, not ${name}`)
    return this.#add(new Counter(name, help, labels))
  }

  gauge(name: string, help: string, labels: readonly string[] = []): Gauge {
    return this.#add(new Gauge(name, help, labels))
  }

  /** @param bounds upper ones, rising; values above the last are counted too */
  histogram(name: string, help: string, bounds: readonly number[], labels: readonly string[] = []): Histogram {
    return this.#add(new Histogram(name, help, bounds, labels))
  }

  /** Every family that has a value, in the order in which they were made. */
  text(): string {
    return `${[...this.#families.values()].flatMap(family => family.text()).join('\n')}\n`
  }

  #add<F extends Family<unknown>>(family: F): F {
    assert(!this.#families.has(family.name), `${family.name} is there already`)
    this.#families.set(family.name, family)
    return family
  }
}

function zero(): number {
  return 0
}

/** Lines end where they end: backslashes and line feeds of a text are written out. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf'
  if (value === -Infinity) return '-Inf'
  return String(value)
}
