/**
 * Says in the DHT what this peer provides, and says it again where too few peers were told: in a swarm that starts many requests fail,
 * and in one that has grown since, others are asked than those who were told.
 */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { ContentId } from '../base/ids.ts'
import {
  dhtBucketSize,
  dhtTellMs,
  provideAgainMaxMs,
  provideAgainMinMs,
  provideGrowth,
  provideLookMs,
  provideSettleMs
} from './limits.ts'

export interface ProvideServiceInit {
  /** Tells those who are closest to it that this peer provides something. @returns how many were told. @throws the signal's reason */
  readonly tell: (content: ContentId, options: { signal: AbortSignal }) => Promise<number>
  /** It is provided no longer; whoever was told forgets it in time. */
  readonly untell: (content: ContentId) => Promise<void>
  /** Other peers that are known to live. */
  readonly others: () => number
  /** @default the machine's */
  readonly clock?: Clock
}

interface Provided {
  /** How many others there were when enough were told; undefined when that has not been yet. */
  among: number | undefined
  failures: number
  nextMs: number
}

export class ProvideService {
  readonly #init: ProvideServiceInit
  readonly #clock: Clock
  readonly #abort = new AbortController()
  /** In the order in which they are told. */
  readonly #provided = new Map<ContentId, Provided>()
  #turn: Promise<void> = Promise.resolve()
  /** A turn that has not begun. */
  #nextTurn: Promise<void> | undefined
  #timer: Timer | undefined

  constructor(init: ProvideServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  start(): void {
    this.#timer ??= this.#clock
      .every(provideLookMs, () => {
        if ([...this.#provided.values()].some(each => this.#isDue(each))) void this.#tellAll()
      })
      .unref()
  }

  stop(): void {
    this.#timer?.stop()
    this.#abort.abort(new Error('this peer is stopping'))
  }

  /** These are provided, and nothing else. Resolves when each that is new has been told once. */
  async provide(contents: Iterable<ContentId>): Promise<void> {
    const wanted = new Set(contents)
    for (const content of [...this.#provided.keys()]) {
      if (wanted.has(content)) continue
      this.#provided.delete(content)
      void this.#init.untell(content).catch(() => {})
    }
    for (const content of wanted)
      if (!this.#provided.has(content)) this.#provided.set(content, { among: undefined, failures: 0, nextMs: 0 })
    await this.#tellAll()
  }

  /** This peer was alone and is no longer: what was told to nobody is told anew, once the DHT knows who came. */
  async anew(): Promise<void> {
    await this.#clock.sleep(provideSettleMs, { signal: this.#abort.signal, ref: false })
    for (const content of this.#provided.keys())
      this.#provided.set(content, { among: undefined, failures: 0, nextMs: 0 })
    await this.#tellAll()
  }

  #isDue({ among, nextMs }: Provided): boolean {
    if (among === undefined) return this.#clock.nowMs() >= nextMs
    return this.#init.others() >= provideGrowth * Math.max(dhtBucketSize, among)
  }

  /** One after the other: each is a query to many peers, and a swarm that starts does this everywhere at once. */
  #tellAll(): Promise<void> {
    this.#nextTurn ??= this.#turn.then(async () => {
      this.#nextTurn = undefined
      for (const [content, provided] of [...this.#provided]) {
        if (this.#abort.signal.aborted) return
        if (this.#provided.get(content) === provided && this.#isDue(provided)) await this.#tell(content, provided)
      }
    })
    this.#turn = this.#nextTurn
    return this.#turn
  }

  async #tell(content: ContentId, provided: Provided): Promise<void> {
    const { tell, others } = this.#init
    const signal = AbortSignal.any([this.#abort.signal, this.#clock.deadline(dhtTellMs)])
    const among = others()
    const told = await tell(content, { signal }).catch(() => 0)
    // With half of those that a query asks it finds one soon, whoever asks.
    if (2 * told >= Math.min(dhtBucketSize, among)) {
      Object.assign(provided, { among, failures: 0 })
      return
    }
    const waitMs = Math.min(provideAgainMinMs * 2 ** provided.failures, provideAgainMaxMs)
    Object.assign(provided, { among: undefined, failures: provided.failures + 1, nextMs: this.#clock.nowMs() + waitMs })
  }
}
