/**
 * Where the time of each token went, put together by its driver: what it did itself, what every hop says of its own part (rule
 * S34), and what is left of the lap, which passed between them. Durations alone: no clock is compared with another machine's. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import type { Hop } from '../route/view.ts'
import type { HopSpans } from '../stage/trace.ts'

/**
 * What time was spent on. Of a peer, in this order: `read`: its bytes were off the socket, and had to be deciphered, decoded and
 * taken; `wait`: the engine had other steps before it; `out`: on the way to the engine's thread; `compute`: in the layers;
 * `sample`: at the tail, in drawing tokens; `back`: on the way from the engine's thread; `send`: until its frame was about to be
 * written to the socket. `wire`: from there to the next peer's having read it.
 */
export type SpanName = 'read' | 'wait' | 'out' | 'compute' | 'sample' | 'back' | 'send' | 'wire'

/** Where a part of the time of one lap went. */
export interface TraceSpan {
  readonly name: SpanName
  /** Index of the hop that spent it, or that a `wire` leads to; undefined for the driver. */
  readonly hop: number | undefined
  readonly ms: number
}

/** One lap of the route: from the driver's turn in which a step went out to the one in which its tokens came. */
export interface TracedLap {
  /** Of the first token that it gave, and how many it gave. */
  readonly position: number
  readonly tokens: number
  /** Tokens of the step. */
  readonly rows: number
  /** By the driver's clock. */
  readonly startMs: number
  readonly ms: number
  readonly hops: readonly Hop[]
  /** One after the other, in the order of the lap: they add up to `ms`. */
  readonly spans: readonly TraceSpan[]
}

/** A step that is on its way. */
interface Sent {
  readonly rows: number
  readonly startMs: number
  readonly sentMs: number
}

/** A lap whose hops have not said how long sending took: they do with the next one. */
interface Came extends Sent {
  readonly position: number
  readonly tokens: number
  readonly hops: readonly Hop[]
  readonly spans: readonly HopSpans[]
  readonly readMs: number
  readonly endMs: number
}

export class Trace {
  readonly #self: PeerId
  #sent: Sent | undefined
  #last: Came | undefined

  constructor(self: PeerId) {
    this.#self = self
  }

  /** A step that samples has been sent: its turn began at `startMs`, and it was about to be written to the socket at `sentMs`. */
  stepped(step: Sent): void {
    this.#sent = step
  }

  /** Its tokens have come. Returns the lap before, of which all is known now. */
  came(
    tokens: {
      readonly position: number
      readonly tokens: number
      readonly hops: readonly Hop[]
      readonly spans: readonly HopSpans[]
      /** From the socket to this driver. */
      readonly readMs: number
    },
    nowMs: number
  ): TracedLap | undefined {
    const before = this.#last && lapOf(this.#self, this.#last, tokens)
    this.#last = this.#sent && { ...this.#sent, ...tokens, endMs: nowMs }
    this.#sent = undefined
    return before
  }

  /** The answer has ended. Returns the last lap: what sending took its hops counts as time between them. */
  end(): TracedLap | undefined {
    const last = this.#last && lapOf(this.#self, this.#last, undefined)
    this.#last = undefined
    return last
  }
}

/** Spans of hop `hop`; what it says is a peer's word, and the first one counts. */
function spansAt(spans: readonly HopSpans[], hop: number): HopSpans | undefined {
  return spans.find(each => each.hop === hop)
}

function lapOf(self: PeerId, lap: Came, next: Pick<Came, 'hops' | 'spans'> | undefined): TracedLap {
  const { position, tokens, rows, startMs, sentMs, hops, readMs, endMs } = lap
  const perHop = hops.map((at, hop): TraceSpan[] => {
    const own = spansAt(lap.spans, hop)
    if (own === undefined) return []
    // On another route it is another hop's.
    const isSame = next?.hops[hop]?.peer === at.peer
    const after = isSame ? spansAt(next!.spans, hop)?.sentMs : undefined
    const all: [SpanName, number][] = [
      ['read', own.readMs],
      ['wait', own.waitMs],
      ['out', own.outMs],
      ['compute', own.computeMs],
      ['sample', own.sampleMs],
      ['back', own.backMs],
      ['send', after ?? 0]
    ]
    return all.filter(([name, ms]) => ms > 0 || name === 'compute').map(([name, ms]) => ({ name, hop, ms }))
  })
  const sendMs = sentMs - startMs
  const gotMs = endMs - readMs
  const told = perHop.flat().reduce((sum, { ms }) => sum + ms, 0)
  const betweenMs = Math.max(0, gotMs - sentMs - told)
  const wires = wiresOf(self, hops, betweenMs)
  const spans: TraceSpan[] = [{ name: 'send', hop: undefined, ms: sendMs }]
  for (const [hop, those] of perHop.entries()) spans.push({ name: 'wire', hop, ms: wires[hop]! }, ...those)
  spans.push({ name: 'wire', hop: undefined, ms: wires.at(-1)! }, { name: 'read', hop: undefined, ms: readMs })
  const shown = spans.filter(({ name, ms }) => name !== 'wire' || ms > 0)
  return {
    position,
    tokens,
    rows,
    startMs,
    ms: shown.reduce((sum, { ms }) => sum + ms, 0),
    hops,
    spans: shown
  }
}

/**
 * How long each way took, from the driver to the head and so on to the driver: nobody measures one way alone, so those between
 * machines share what is left evenly, and a peer's way to itself is none where there are others.
 */
function wiresOf(self: PeerId, hops: readonly Hop[], ms: number): number[] {
  const peers = [self, ...hops.map(({ peer }) => peer), self]
  const ways = peers.slice(1).map((peer, i) => (peer === peers[i] ? 0 : 1))
  const real = ways.reduce<number>((sum, way) => sum + way, 0)
  return ways.map(way => (real === 0 ? ms / ways.length : (way * ms) / real))
}
