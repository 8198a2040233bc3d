/** What comes to a seat: steps in order, no more of them than it has given credit for, one under way at a time. */
import { ReceiveCredit } from './credit.ts'
import type { StepFrame } from './frame.ts'

export interface QueuedStep {
  readonly frame: StepFrame
  readonly arrivedMs: number
  /** From its bytes being read off the socket to its arrival, in ms. */
  readonly readMs: number
}

export class Inlet {
  /** The step that is being computed. */
  #running: QueuedStep | undefined
  #queue: QueuedStep[] = []
  #received = new ReceiveCredit()
  #arrived = 0

  /** End of the last step that arrived in this epoch, without its drafts. */
  get arrived(): number {
    return this.#arrived
  }

  /** Steps that wait. */
  get queued(): number {
    return this.#queue.length
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  /** Nothing waits, and nothing is being computed. */
  get isIdle(): boolean {
    return this.#running === undefined && this.#queue.length === 0
  }

  /** When the oldest step that is not computed came; undefined when there is none. */
  get oldestMs(): number | undefined {
    return (this.#running ?? this.#queue[0])?.arrivedMs
  }

  /** A new epoch begins on a new stream. What runs, runs on. */
  begin(): void {
    this.#queue = []
    this.#received = new ReceiveCredit()
    this.#arrived = 0
  }

  /** Counts a step in. False when the credit does not allow it. */
  allows(tokens: number): boolean {
    return this.#received.arrived(tokens)
  }

  push(frame: StepFrame, nowMs: number, readMs: number): void {
    this.#queue.push({ frame, arrivedMs: nowMs, readMs })
    this.#arrived = frame.position + frame.tokens - (frame.drafts?.length ?? 0)
  }

  /** Drops what waits. */
  clear(): void {
    this.#queue = []
  }

  /** The step that may be computed now; undefined when there is none, or one runs. */
  get next(): StepFrame | undefined {
    return this.#running === undefined ? this.#queue[0]?.frame : undefined
  }

  /** That step is being computed. */
  start(): void {
    this.#running = this.#queue.shift()
  }

  /** The step that runs is done, or has failed. */
  ended(): QueuedStep | undefined {
    const step = this.#running
    this.#running = undefined
    return step
  }

  /** Steps and tokens that are done, if an Ack is due. With `atOnce` one is due after every step. */
  done(tokens: number, { atOnce }: { readonly atOnce: boolean }): { steps: number; tokens: number } | undefined {
    const received = this.#received
    received.done(tokens)
    return received.takeAck(atOnce) ? { steps: received.steps, tokens: received.tokens } : undefined
  }
}
