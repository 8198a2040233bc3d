/**
 * Whether a pass is computed by one thread or by all of a stage, by what passes took: on a busy machine the others are given
 * no processor, and a small model takes less time than they take to meet. Pure: times come in as arguments.
 */
import { expertsOf, type ModelConfig } from '../../model/decoder.ts'
import type { Job, Segment } from './job.ts'

export type Way = 'alone' | 'together'

/** What a thread that waits for others saw of them in one pass. */
export interface Waits {
  readonly totalMs: number
  readonly longestMs: number
}

/** What a {@link Team} asks before a pass, in it, and after it. */
export interface TeamPolicy {
  next(pass: Pick<Job, 'kind' | 'rows'>): Way
  /** How long a thread that waits for others spins before it sleeps, in ms. */
  spinMs(pass: Pick<Job, 'kind' | 'rows'>): number
  /** At the edge of a layer: whether the rest of the pass is computed alone. */
  isLost(pass: Pick<Job, 'threads'>, waits: Waits, elapsedMs: number): boolean
  /** @param work of the pass, in any unit that is the same for all passes of one kind */
  took(pass: Pick<Job, 'kind' | 'rows'>, way: Way, ms: number, work: number, waits: Waits): void
}

/** What trying the slower way may cost, of the time that the faster one takes. */
const trialShare = 0.02
/** Passes between two that are computed alone although all together are faster: at first, and at most. */
const checkEvery = { first: 4, most: 256 } as const
/** Of the latest passes alone, the fastest says what one takes: one that was preempted itself would flatter all together. */
const aloneSamples = 5
/**
 * What passes together have gained is kept up to the time of so many passes, and lost again before the way changes: one late
 * thread among many passes changes nothing.
 */
const creditPassesMax = 4
/** What is left of it when the way has changed to `together`: several passes, of which the first one has to wake the others. */
const trialPasses = 0.5
/** A pass that stood still as a whole, as on a laptop that slept, is held against nobody for longer. */
const debtMsMax = 100
/** Spinning of a thread that waits: waking takes some 50 µs, and a preempted thread is away for several ms. */
const spins = { leastMs: 0.02, mostMs: 1 } as const
/** A wait that shows a thread without a processor: longer than that, and than this share of the pass. */
const late = { ms: 0.25, share: 1 / 8 } as const

/**
 * For passes that are alike. What passes together gained and lost against one alone is an account: with a loss on it passes are
 * computed alone, and each of these pays a fiftieth of its time into it. So whatever the machine does, the time lost by having
 * tried is bounded, and what helps is found again.
 */
export class Choice {
  #way: Way = 'together'
  #creditMs = 0
  /** ms for each unit of work, of the latest passes alone. */
  readonly #alone: number[] = []
  #passes = 0
  #sinceAlone = 0
  #checkEvery: number = checkEvery.first
  #spinMs: number = spins.mostMs

  get spinMs(): number {
    return this.#spinMs
  }

  /** What a pass is expected to take alone, in ms for each unit of work; undefined before there was one. */
  get #aloneMs(): number | undefined {
    return this.#alone.length === 0 ? undefined : Math.min(...this.#alone)
  }

  next(): Way {
    if (this.#passes === 0) return 'together'
    if (this.#alone.length === 0) return 'alone'
    return this.#way === 'together' && this.#sinceAlone >= this.#checkEvery ? 'alone' : this.#way
  }

  took(way: Way, ms: number, work: number, waits: Waits): void {
    const isFirst = this.#passes++ === 0
    if (way === 'alone') this.#tookAlone(ms, work)
    // Of the first one there is nothing to learn: the code is being compiled, and memory is touched for the first time.
    else if (!isFirst) this.#tookTogether(ms, work, waits)
  }

  #tookAlone(ms: number, work: number): void {
    const isSeed = this.#alone.length === 0
    this.#alone.push(ms / work)
    if (this.#alone.length > aloneSamples) this.#alone.shift()
    this.#sinceAlone = 0
    if (isSeed) {
      this.#creditMs = ms
    } else if (this.#way === 'together') {
      this.#checkEvery = Math.min(2 * this.#checkEvery, checkEvery.most)
    } else {
      this.#creditMs += trialShare * ms
      if (this.#creditMs >= trialPasses * ms) this.#way = 'together'
    }
  }

  #tookTogether(ms: number, work: number, { longestMs }: Waits): void {
    const isLate = longestMs > Math.max(late.ms, late.share * ms)
    this.#spinMs = isLate ? Math.max(spins.leastMs, this.#spinMs / 2) : Math.min(spins.mostMs, 2 * this.#spinMs)
    const aloneMs = this.#aloneMs
    if (aloneMs === undefined) return
    this.#sinceAlone++
    const expectedMs = aloneMs * work
    const creditMs = this.#creditMs + expectedMs - ms
    this.#creditMs = Math.max(-debtMsMax, Math.min(creditPassesMax * expectedMs, creditMs))
    if (this.#creditMs >= 0) return
    this.#way = 'alone'
    this.#checkEvery = checkEvery.first
  }
}

/** Until the others have woken for a pass. */
const graceMs = 0.25

export class Choices implements TeamPolicy {
  readonly #choices = new Map<string, Choice>()

  /** Rows from one power of two to the next: what a row takes is about the same within each. */
  #choice({ kind, rows }: Pick<Job, 'kind' | 'rows'>): Choice {
    const key = `${kind} ${Math.ceil(Math.log2(rows))}`
    const choice = this.#choices.get(key) ?? new Choice()
    this.#choices.set(key, choice)
    return choice
  }

  next(pass: Pick<Job, 'kind' | 'rows'>): Way {
    return this.#choice(pass).next()
  }

  spinMs(pass: Pick<Job, 'kind' | 'rows'>): number {
    return this.#choice(pass).spinMs
  }

  /** Once a thread has waited for so much of the pass that it would have been as far by itself. */
  isLost({ threads }: Pick<Job, 'threads'>, { totalMs }: Waits, elapsedMs: number): boolean {
    return totalMs > graceMs + elapsedMs * (1 - 1 / threads)
  }

  took(pass: Pick<Job, 'kind' | 'rows'>, way: Way, ms: number, work: number, waits: Waits): void {
    this.#choice(pass).took(way, ms, work, waits)
  }
}

/** Attention computes with float32 where products of weights take bytes: a product there takes as long as two. */
const attentionWeight = 2

/** Products with one row in a layer's feed-forward part, or in what it takes of a mixture. */
function feedForwardWork(config: ModelConfig): number {
  const { hidden, intermediate, experts, layers } = config
  const dense = 3 * hidden * intermediate
  if (experts === undefined) return dense
  const mixture = hidden * (experts.count + 3 * experts.used * experts.intermediate)
  let mixtures = 0
  for (let layer = 0; layer < layers; layer++) if (expertsOf(config, layer) !== undefined) mixtures++
  return (mixtures * mixture + (layers - mixtures) * dense) / layers
}

/** Products in one layer for all rows of a pass, as a measure of its work: where layers differ, in the mean of them. */
export function layerWork(config: ModelConfig, segments: readonly Pick<Segment, 'rows' | 'position'>[]): number {
  const { hidden, heads, kvHeads, headDim, layers, kinds } = config
  const perKey = attentionWeight * 2 * heads * headDim
  // The few positions that a short convolution sees are nothing beside its products.
  const convolves = kinds?.layers.map(kind => kinds.of[kind]!.convolution !== undefined) ?? []
  const windows =
    kinds?.layers.map((kind, layer) => (convolves[layer] ? 0 : (kinds.of[kind]!.window ?? Number.POSITIVE_INFINITY))) ??
    []
  const share = convolves.filter(Boolean).length / layers
  const mixer = (1 - share) * (2 * heads + 2 * kvHeads) * headDim + share * 4 * hidden
  const perRow = hidden * mixer + feedForwardWork(config)
  const keys = (seen: number): number =>
    windows.length === 0 ? seen : windows.reduce((sum, window) => sum + Math.min(seen, window), 0) / layers
  return segments.reduce((sum, { rows, position }) => sum + rows * (perRow + perKey * keys(position + rows / 2)), 0)
}
