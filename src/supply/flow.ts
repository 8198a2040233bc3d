/**
 * How much one source is asked for at a time. Bulk must not fill queues on the way that heartbeats and hidden states
 * pass, too, so the window follows the delay that it causes itself: it grows while an answer takes little longer than
 * the quickest of late, and shrinks when it does (LEDBAT, RFC 6817, with requests in the place of packets).
 */
import { chunkBytes } from '../model/limits.ts'
import {
  supplyLateFactor,
  supplyLateFirstMs,
  supplyLateMinMs,
  supplyQueueLiveMs,
  supplyQueueMs,
  supplyRangeLiveMinBytes,
  supplyRangeMinBytes,
  supplyRangeMs,
  supplyWindowMaxBytes,
  supplyWindowMinBytes
} from './limits.ts'

/** The quickest of so many answers tells the queue: one that waited for a busy processor tells nothing. */
const recentAnswers = 4
/** The quickest answer counts for this long at least, and twice as long at most: links change. */
const baseMs = 10_000

export class Flow {
  #windowBytes = supplyWindowMinBytes
  #starting = true
  /** Sessions run at one of the two ends. */
  #live = false
  /** Asked for and not answered. */
  #owedBytes = 0
  /** Mean time from request to answer; 0 before the first. */
  #answerMs = 0
  /** Bytes per ms; 0 before the first answer. */
  #rate = 0
  #recentMs: number[] = []
  #quickestMs = Number.POSITIVE_INFINITY
  #quickestBeforeMs = Number.POSITIVE_INFINITY
  #baseSinceMs = 0
  #shrunkAtMs = Number.NEGATIVE_INFINITY

  get windowBytes(): number {
    return this.#windowBytes
  }

  get owedBytes(): number {
    return this.#owedBytes
  }

  /** Bytes per ms that the source has shown; 0 before the first answer. */
  get rate(): number {
    return this.#rate
  }

  /** Whether a request may go out now. */
  get open(): boolean {
    return this.#owedBytes < this.#windowBytes
  }

  /** Bytes that the next request should ask for at most. */
  get rangeBytes(): number {
    const bytes = Math.min(this.#rate * supplyRangeMs, this.#windowBytes / 4)
    const least = this.#live ? supplyRangeLiveMinBytes : supplyRangeMinBytes
    return Math.min(chunkBytes, Math.max(least, Math.floor(bytes / 4096) * 4096))
  }

  /** How long bytes asked for now will take, behind what is owed, in ms. Infinite before the first answer. */
  predictedMs(bytes: number): number {
    return this.#rate === 0 ? Number.POSITIVE_INFINITY : this.#answerMs + (this.#owedBytes + bytes) / this.#rate
  }

  /** After this long an answer is late, in ms. */
  get lateMs(): number {
    if (this.#rate === 0) return supplyLateFirstMs
    return Math.max(supplyLateMinMs, supplyLateFactor * (this.#answerMs + this.#owedBytes / this.#rate))
  }

  asked(bytes: number): void {
    this.#owedBytes += bytes
  }

  /** A request was refused, or will not be answered. */
  released(bytes: number): void {
    this.#owedBytes -= bytes
  }

  /** @param owedBytes what was owed when these were asked for, they included */
  answered(
    bytes: number,
    { askedAtMs, owedBytes, live }: { askedAtMs: number; owedBytes: number; live: boolean },
    nowMs: number
  ): void {
    this.#owedBytes -= bytes
    this.#live = live
    // Several fetchers share a source's link: where it is slow, the least of each must be little.
    const least = live ? supplyRangeLiveMinBytes : supplyWindowMinBytes
    const tookMs = Math.max(0.05, nowMs - askedAtMs)
    if (nowMs - this.#baseSinceMs > baseMs) {
      this.#quickestBeforeMs = this.#quickestMs
      this.#quickestMs = Number.POSITIVE_INFINITY
      this.#baseSinceMs = nowMs
      // The window's own queue would become the new measure of quick, and the next one grow on top of it: let it drain.
      this.#windowBytes = least
      this.#starting = true
    }
    this.#quickestMs = Math.min(this.#quickestMs, tookMs)
    const rate = owedBytes / tookMs
    this.#rate = this.#rate === 0 ? rate : this.#rate + (rate - this.#rate) / 8
    this.#answerMs = this.#answerMs === 0 ? tookMs : this.#answerMs + (tookMs - this.#answerMs) / 8
    const targetMs = live ? supplyQueueLiveMs : supplyQueueMs
    this.#recentMs = [...this.#recentMs.slice(1 - recentAnswers), tookMs]
    const queuedMs = Math.min(...this.#recentMs) - Math.min(this.#quickestMs, this.#quickestBeforeMs)
    if (queuedMs > targetMs / 2) this.#starting = false
    if (queuedMs > (live ? targetMs : 2 * targetMs)) {
      // Once per answer time, as what is under way was asked for before.
      if (askedAtMs >= this.#shrunkAtMs) {
        this.#windowBytes *= 0.7
        this.#shrunkAtMs = nowMs
      }
    } else {
      const room = (targetMs - queuedMs) / targetMs
      this.#windowBytes += this.#starting ? bytes : (room * 4 * supplyRangeMinBytes * bytes) / this.#windowBytes
    }
    this.#windowBytes = Math.min(supplyWindowMaxBytes, Math.max(least, this.#windowBytes))
  }
}
