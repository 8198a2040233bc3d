/**
 * What a driver that traces its session hears of each step: where its time went at every hop, by that hop's own clock (rule
 * S34). Pure.
 */
import type { Clock } from '../base/clock.ts'
import type { SessionId } from '../base/ids.ts'
import type { StepCost } from '../engine/engine.ts'
import type { Channel } from '../swarm/links.ts'

/** Where the time of one step went at one hop, in ms. */
export interface HopSpans {
  readonly hop: number
  /** From its bytes being read off the socket to the stage having the step: deciphered and decoded. */
  readonly readMs: number
  /** Until its pass was given to the engine's thread: steps before it, and others to share the pass with. */
  readonly waitMs: number
  /** Until the thread began it. */
  readonly outMs: number
  /** In the layers. */
  readonly computeMs: number
  /** At the tail: in the head of the model, and in drawing the tokens. */
  readonly sampleMs: number
  /** From the thread's end of it to the stage having the result. */
  readonly backMs: number
  /** Of the step before this one: from there to its frame being about to be written to the socket, encoded and enciphered. */
  readonly sentMs: number
}

/** `00`, trace id, span id, and flags of which bit 0 says that spans are wanted. */
const context = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]([0-9a-f])$/

/** The W3C trace context of an epoch: the session is the trace, and the epoch a span of it. */
export function traceContext(session: SessionId, epoch: number): string {
  // A span id of 0 is none.
  return `00-${session}-${(epoch + 1).toString(16).padStart(16, '0')}-01`
}

/** Whether a trace context asks for spans; another form of it, of a later version, asks for nothing that is known here. */
export function asksForSpans(trace: string | undefined): boolean {
  const flags = trace === undefined ? undefined : context.exec(trace)?.[1]
  return flags !== undefined && (Number.parseInt(flags, 16) & 1) === 1
}

/** A step that was computed, as its seat has known it. */
export interface TracedStep {
  readonly arrivedMs: number
  /** From the socket to its arrival. */
  readonly readMs: number
  /** Of the hops before, as they came with it. */
  readonly before: readonly HopSpans[]
}

/** The spans of one seat's steps. */
export class SeatTrace {
  /** Of the last step that was sent. */
  #sentMs = 0

  /** A step or a token is on its way: it took so long from its turn's beginning. */
  sent(ms: number): void {
    this.#sentMs = ms
  }

  /** What goes on with what a step gave: the spans of the hops before, and those of this one. */
  computed({ arrivedMs, readMs, before }: TracedStep, cost: StepCost, hop: number, nowMs: number): HopSpans[] {
    const { outMs, sampleMs, backMs } = cost.spans ?? { outMs: 0, sampleMs: 0, backMs: 0 }
    const own = {
      hop,
      readMs,
      waitMs: Math.max(0, nowMs - arrivedMs - outMs - cost.computeMs - backMs),
      outMs,
      computeMs: Math.max(0, cost.computeMs - sampleMs),
      sampleMs,
      backMs,
      sentMs: this.#sentMs
    }
    // Whatever else came is not from the hops before.
    return [...before.filter(each => each.hop < hop), own]
  }
}

/** How long after the beginning of a turn what a channel has just taken was handed to the system. */
export function sentAfterMs(channel: Channel | undefined, turnMs: number, clock: Clock): number {
  const writtenMs = channel?.writtenAtMs ?? turnMs
  // What waits for room was not handed over in this turn.
  return (writtenMs > turnMs ? writtenMs : clock.nowMs()) - turnMs
}
