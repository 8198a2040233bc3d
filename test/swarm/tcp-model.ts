/**
 * One direction of a TCP connection over a bad link, in virtual time: bytes arrive whole and in order, so a lost or
 * late packet shows up as a delay of all that come after it. Loss is repaired as Linux does: by what is acknowledged
 * later (RACK, RFC 8985), or when nothing is, after a timeout that doubles (RFC 6298).
 */
import type { Rng } from '../../src/base/rng.ts'

/** Virtual time: tasks in order of their moment, equal ones in the order of the calls. */
export class Clock {
  nowMs = 0
  #next = 0
  /** A binary heap. */
  readonly #heap: { atMs: number; order: number; task: () => void }[] = []

  at(atMs: number, task: () => void): void {
    const heap = this.#heap
    let i = heap.push({ atMs: Math.max(atMs, this.nowMs), order: this.#next++, task }) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.#less(i, parent)) break
      this.#swap(i, parent)
      i = parent
    }
  }

  after(ms: number, task: () => void): void {
    this.at(this.nowMs + ms, task)
  }

  /** Runs what is due until then. */
  run(untilMs: number): void {
    const heap = this.#heap
    while (heap.length > 0 && heap[0]!.atMs <= untilMs) {
      const first = heap[0]!
      const last = heap.pop()!
      if (heap.length > 0) {
        heap[0] = last
        for (let i = 0; ; ) {
          let least = i
          for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && this.#less(child, least)) least = child
          if (least === i) break
          this.#swap(i, least)
          i = least
        }
      }
      this.nowMs = first.atMs
      first.task()
    }
    this.nowMs = untilMs
  }

  #less(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a]!, this.#heap[b]!]
    return x.atMs < y.atMs || (x.atMs === y.atMs && x.order < y.order)
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap
    const kept = heap[a]!
    heap[a] = heap[b]!
    heap[b] = kept
  }
}

export interface LinkQuality {
  /** One way. */
  readonly delayMs: number
  /** Up to so much more, anew for every packet. */
  readonly jitterMs: number
  /** 0..1, of packets in either direction. */
  readonly loss: number
}

interface Segment {
  readonly bytes: Uint8Array
  sentMs: number
  /** It has arrived, though perhaps not all before it. */
  there: boolean
  /** The sender knows. */
  acked: boolean
}

export class TcpModel {
  quality: LinkQuality
  /** Nothing passes, as if the cable was cut or the other end had no power. */
  down = false
  bytesIn = 0
  bytesOut = 0
  readonly #clock: Clock
  readonly #rng: Rng
  readonly #onBytes: (bytes: Uint8Array) => void
  #segments: Segment[] = []
  /** What the receiver has handed on; segments before it are forgotten. */
  #delivered = 0
  #srttMs: number | undefined
  #deviationMs = 0
  #backoff = 1
  #timer = 0

  constructor(clock: Clock, rng: Rng, quality: LinkQuality, onBytes: (bytes: Uint8Array) => void) {
    this.#clock = clock
    this.#rng = rng
    this.quality = quality
    this.#onBytes = onBytes
  }

  send(bytes: Uint8Array): void {
    this.bytesOut += bytes.length
    const segment: Segment = { bytes, sentMs: 0, there: false, acked: false }
    this.#segments.push(segment)
    this.#transmit(segment)
  }

  #transmit(segment: Segment): void {
    segment.sentMs = this.#clock.nowMs
    const sentMs = segment.sentMs
    this.#packet(() => {
      segment.there = true
      this.#handOn()
      this.#packet(() => this.#acked(segment, sentMs))
    })
    this.#arm()
  }

  /** One packet over the link, in either direction. */
  #packet(arrive: () => void): void {
    const { delayMs, jitterMs, loss } = this.quality
    if (this.down || this.#rng() < loss) return
    this.#clock.after(delayMs + this.#rng() * jitterMs, () => {
      if (!this.down) arrive()
    })
  }

  #handOn(): void {
    while (this.#delivered < this.#segments.length && this.#segments[this.#delivered]!.there) {
      const { bytes } = this.#segments[this.#delivered++]!
      this.bytesIn += bytes.length
      this.#onBytes(bytes)
    }
  }

  #acked(segment: Segment, sentMs: number): void {
    if (segment.acked) return
    const rttMs = this.#clock.nowMs - sentMs
    if (segment.sentMs === sentMs) {
      this.#deviationMs =
        this.#srttMs === undefined
          ? rttMs / 2
          : this.#deviationMs + (Math.abs(this.#srttMs - rttMs) - this.#deviationMs) / 4
      this.#srttMs = this.#srttMs === undefined ? rttMs : this.#srttMs + (rttMs - this.#srttMs) / 8
    }
    segment.acked = true
    // An acknowledgement is cumulative and selective: whatever is there is known now.
    for (const other of this.#segments) if (other.there) other.acked = true
    this.#backoff = 1
    const windowMs = (this.#srttMs ?? rttMs) / 4
    for (const other of this.#segments) {
      if (!other.acked && other.sentMs + windowMs < sentMs) this.#transmit(other)
    }
    this.#forget()
    this.#arm()
  }

  #forget(): void {
    let known = 0
    while (known < this.#delivered && this.#segments[known]!.acked) known++
    if (known === 0) return
    this.#segments = this.#segments.slice(known)
    this.#delivered -= known
  }

  /** The retransmission timer: for the oldest only, and twice as long each time. */
  #arm(): void {
    const mine = ++this.#timer
    if (this.#segments.every(({ acked }) => acked)) return
    const timeoutMs = this.#srttMs === undefined ? 1000 : this.#srttMs + Math.max(200, 4 * this.#deviationMs)
    this.#clock.after(timeoutMs * this.#backoff, () => {
      if (mine !== this.#timer) return
      this.#backoff = Math.min(64, 2 * this.#backoff)
      const oldest = this.#segments.find(({ acked }) => !acked)
      if (oldest !== undefined) this.#transmit(oldest)
    })
  }
}
