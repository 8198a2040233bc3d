/** Counts what happens in a world, and sums it up. */
import type { Range } from '../src/base/ids.ts'

export interface Sample {
  readonly atMs: number
  /** Copies of the least covered layer. */
  readonly covered: number
  readonly up: number
  /** Since the last sample. */
  readonly tokens: number
  readonly losses: number
  readonly pauseMaxMs: number
  readonly coverage: readonly number[]
  /** Charges of those with a battery: the lowest, the median and the highest; undefined where nobody has one. */
  readonly levels: readonly [number, number, number] | undefined
  /** Links that carried most since the last sample, [from, to, bytes]; only of small swarms. */
  readonly flows: readonly (readonly [number, number, number])[]
  /** Empty in most samples of a long life of many peers. */
  readonly peers: readonly {
    readonly x: number
    readonly y: number
    readonly state: 'up' | 'down' | 'frozen' | 'charging'
    readonly level: number | null
    readonly stage: Range | null
  }[]
  readonly joules: number
}

export interface Summary {
  readonly event: 'simulated'
  readonly scenario: string
  readonly seed: number
  readonly peers: number
  /** All of it, `healing.ms` included. */
  readonly virtualMs: number
  readonly events: number
  readonly checks: number
  /** Asked by the workload: the one that is asked after the healing, to see that it works, is in no figure but `healing`. */
  readonly prompts: number
  /** In full. `prompts` is `answered` + `failed` + `cancelled` + `driversLost`. */
  readonly answered: number
  readonly failed: number
  /** Who asked gave up. */
  readonly cancelled: number
  /** Their drivers died. */
  readonly driversLost: number
  /** Nobody was there to ask. */
  readonly unasked: number
  /** Through peers that lie about hidden states: nobody can tell. */
  readonly tainted: number
  /** Until the healing began, as are `wireBytes`, `joules` and what is told per token. */
  readonly tokens: number
  /** Of prompts and replays, tokens that a stage need not compute, since it had for an earlier prompt: those of each stage. */
  readonly known: number
  /** Between the first and last token of answers that ended; null where none had two. */
  readonly tokensPerSecond: number | null
  /** From the question; null where no token came. */
  readonly firstTokenMs: Quantiles | null
  /** Hops that left a route, by reason. */
  readonly losses: Readonly<Record<string, number>>
  /** Links between two hops that broke while both went on: nobody is charged. */
  readonly cuts: number
  /**
   * Answers that went on after a pause, with its length: after a hop or a link was lost, at a planned change of the route, or
   * after this driver heard nobody. One pause may follow several losses, or none that anybody is charged with.
   */
  readonly recoveries: number
  /** Of the recoveries; null where there was none. */
  readonly pauseMs: Quantiles | null
  /** That were done, whether or not they changed anything; flat batteries apart. */
  readonly faults: number
  /** Times that a peer said of another that it broke a protocol. */
  readonly violations: number
  /** Stages that began to load. */
  readonly loads: number
  /** Loads for which weights came from other peers, how long that took, and those for which they did not come. */
  readonly fetches: number
  readonly fetchMs: Quantiles | null
  readonly fetchesFailed: number
  readonly flatBatteries: number
  /** Share of the samples until the healing in which every layer was served, the start included. */
  readonly coveredRatio: number
  /** All that went over the air, beats, records and weights included, by the tokens. */
  readonly bytesPerToken: number | null
  readonly wireBytes: number
  /** Of all peers, motion included. */
  readonly joules: number
  readonly joulesPerToken: number | null
  /** The lowest charge of a battery when the healing began, 0 to 1; null where nobody has one. */
  readonly levelMin: number | null
  /** What the time after the scenario's minutes took, in which faults end and all comes to rest. The files of a report count it in. */
  readonly healing: Spent & { readonly ms: number }
  /** Of the whole story: the same seed gives the same. */
  readonly trace: string
}

/** What was told and what it took. */
export interface Spent {
  readonly tokens: number
  readonly wireBytes: number
  readonly joules: number
}

export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number): number =>
    sorted.length === 0 ? 0 : round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!)
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) }
}

/** Of nothing there are none: 0 ms would be a figure. */
function someQuantiles(values: readonly number[]): Quantiles | null {
  return values.length === 0 ? null : quantiles(values)
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** More dots than these nobody sees. */
const recoveredMax = 4_000

interface Asked {
  readonly atMs: number
  firstMs: number | undefined
  lastMs: number
  tokens: number
}

export class Stats {
  faults = 0
  violations = 0
  loads = 0
  flat = 0
  driversLost = 0
  unasked = 0
  cuts = 0
  /** When answers went on after a loss, and the pause, both in ms; the first few thousand. */
  readonly recoveredAt: (readonly [number, number])[] = []
  readonly #asked = new Map<number, Asked>()
  /** When the last answer ended so far that the workload asked for. */
  endedMs = 0
  readonly #outcomes: Record<string, number> = {}
  readonly #losses: Record<string, number> = {}
  readonly #pauses: number[] = []
  readonly #firsts: number[] = []
  readonly #fetches: number[] = []
  #fetchesFailed = 0
  #prompts = 0
  #tokens = 0
  #tainted = 0
  #decodeTokens = 0
  #decodeMs = 0
  #samples = 0
  #covered = 0
  /** Until the healing began. */
  #spent: (Spent & { readonly atMs: number; readonly levels: readonly number[] }) | undefined
  #sinceTokens = 0
  #sinceLosses = 0
  #sincePause = 0

  /** Tokens that stages need not compute. */
  known = 0

  asked(number: number, atMs: number): void {
    this.#prompts++
    this.#asked.set(number, { atMs, firstMs: undefined, lastMs: atMs, tokens: 0 })
  }

  token(number: number, atMs: number): void {
    this.#tokens++
    this.#sinceTokens++
    const asked = this.#asked.get(number)
    if (asked === undefined) return
    if (asked.firstMs === undefined) {
      asked.firstMs = atMs
      this.#firsts.push(atMs - asked.atMs)
    }
    asked.lastMs = atMs
    asked.tokens++
  }

  fetched(ms: number, isWhole: boolean): void {
    if (isWhole) this.#fetches.push(ms)
    else this.#fetchesFailed++
  }

  lost(reason: string): void {
    this.#losses[reason] = (this.#losses[reason] ?? 0) + 1
    this.#sinceLosses++
  }

  recovered(atMs: number, ms: number): void {
    if (this.recoveredAt.length < recoveredMax) this.recoveredAt.push([Math.round(atMs), round(ms)])
    this.#pauses.push(ms)
    this.#sincePause = Math.max(this.#sincePause, ms)
  }

  ended(number: number, atMs: number, outcome: string, isTainted: boolean): void {
    const asked = this.#asked.get(number)
    // The probe after the healing says nothing about the scenario.
    if (asked === undefined) return
    this.endedMs = atMs
    this.#asked.delete(number)
    this.#outcomes[outcome] = (this.#outcomes[outcome] ?? 0) + 1
    if (isTainted) this.#tainted++
    if (asked.firstMs === undefined || asked.tokens < 2) return
    this.#decodeTokens += asked.tokens - 1
    this.#decodeMs += asked.lastMs - asked.firstMs
  }

  /** The scenario's minutes are over. */
  healed(now: Omit<Spent, 'tokens'> & { readonly atMs: number; readonly levels: readonly number[] }): void {
    this.#spent = { ...now, tokens: this.#tokens }
  }

  sample(
    atMs: number,
    covered: number,
    up: number
  ): Pick<Sample, 'atMs' | 'covered' | 'up' | 'tokens' | 'losses' | 'pauseMaxMs'> {
    if (this.#spent === undefined) {
      this.#samples++
      if (covered > 0) this.#covered++
    }
    const sample = {
      atMs: Math.round(atMs),
      covered,
      up,
      tokens: this.#sinceTokens,
      losses: this.#sinceLosses,
      pauseMaxMs: round(this.#sincePause)
    }
    this.#sinceTokens = 0
    this.#sinceLosses = 0
    this.#sincePause = 0
    return sample
  }

  /** `wallMs` is left out of the summary: it is the only thing that a seed does not decide. */
  summary(world: {
    scenario: string
    seed: number
    peers: number
    virtualMs: number
    wallMs: number
    events: number
    checks: number
    trace: string
    wireBytes: number
    joules: number
    levels: readonly number[]
  }): Summary {
    const spent = this.#spent ?? {
      atMs: world.virtualMs,
      tokens: this.#tokens,
      wireBytes: world.wireBytes,
      joules: world.joules,
      levels: world.levels
    }
    const { tokens, wireBytes, levels } = spent
    const joules = Math.round(spent.joules)
    return {
      event: 'simulated',
      scenario: world.scenario,
      seed: world.seed,
      peers: world.peers,
      virtualMs: world.virtualMs,
      events: world.events,
      checks: world.checks,
      prompts: this.#prompts,
      answered: this.#outcomes.stopped ?? 0,
      failed: this.#outcomes.failed ?? 0,
      cancelled: this.#outcomes.cancelled ?? 0,
      driversLost: this.driversLost,
      unasked: this.unasked,
      tainted: this.#tainted,
      tokens,
      known: this.known,
      tokensPerSecond: this.#decodeMs > 0 ? round((1000 * this.#decodeTokens) / this.#decodeMs) : null,
      firstTokenMs: someQuantiles(this.#firsts),
      losses: { ...this.#losses },
      cuts: this.cuts,
      recoveries: this.#pauses.length,
      pauseMs: someQuantiles(this.#pauses),
      faults: this.faults,
      violations: this.violations,
      loads: this.loads,
      fetches: this.#fetches.length,
      fetchMs: someQuantiles(this.#fetches),
      fetchesFailed: this.#fetchesFailed,
      flatBatteries: this.flat,
      coveredRatio: this.#samples > 0 ? Math.round((1e4 * this.#covered) / this.#samples) / 1e4 : 0,
      bytesPerToken: tokens > 0 ? Math.round(wireBytes / tokens) : null,
      wireBytes,
      joules,
      joulesPerToken: tokens > 0 ? round(spent.joules / tokens) : null,
      levelMin: levels.length > 0 ? round(Math.min(...levels)) : null,
      healing: {
        ms: Math.round(world.virtualMs - spent.atMs),
        tokens: this.#tokens - tokens,
        wireBytes: world.wireBytes - wireBytes,
        joules: Math.round(world.joules) - joules
      },
      trace: world.trace
    }
  }
}
