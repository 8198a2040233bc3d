/** How the demo is told. */
import {
  type Answer,
  formatBytes,
  type GenerationEvent,
  type HopReport,
  type PeerId,
  type Range,
  type Status
} from '../index.ts'
import { formatMs, layers, paint, say, sayJson, shortPeer, table, write, writeText } from './output.ts'

/** How the demo is told: to a person or as JSON lines. */
export interface Telling {
  begin(demo: { prompt: string; model: string; layers: number; budgets: readonly number[]; wholeBytes: number }): void
  step(label: string, event: { readonly event: string }): void
  covered(seen: Status, ms: number): void
  /** One more peer starts, with a second copy of these layers. */
  standIn(range: Range): void
  /** A peer of the route was killed. */
  killed(victim: Range & { readonly peer: PeerId }): void
  /** `pauseMs`: from the kill to the token that follows, once it is there. */
  answering(event: GenerationEvent, pauseMs: number | undefined): void
  answered(answer: Answer): void
  alone(): void
  end(outcome: Outcome): void
}

export interface Outcome {
  readonly peers: number
  readonly answer: Answer
  /** The same prompt in one piece. */
  readonly alone: Answer
  readonly identical: boolean
  /** Losses that the story went on after. */
  readonly recovered: number
  readonly pauseMs: number | undefined
}

/** For programs: one object a line, `demo` the last. */
export const jsonTelling: Telling = {
  begin: facts => sayJson({ event: 'begin', ...facts }),
  step: (label, event) => sayJson({ ...event, event: 'peer', what: event.event, label }),
  covered: (seen, ms) => sayJson({ event: 'covered', ms, peers: seen.peers.map(({ id, stages }) => ({ id, stages })) }),
  standIn: range => sayJson({ event: 'stand-in', ...range }),
  killed: ({ peer, start, end }) => sayJson({ event: 'killed', peer, start, end }),
  answering: event => sayJson(event),
  answered: () => {},
  alone: () => {},
  end: ({ peers, answer, alone, identical, recovered, pauseMs }) =>
    sayJson({
      event: 'demo',
      peers,
      hops: answer.hops.length,
      identical,
      recovered,
      ...(pauseMs === undefined ? {} : { pauseMs }),
      text: answer.text,
      tokens: answer.ids.length,
      stop: answer.stop,
      timing: answer.timing,
      bytesPerToken: answer.bytesPerToken,
      perHop: answer.hops.map(perStep),
      onePiece: { ids: alone.ids, timing: alone.timing },
      ids: answer.ids
    })
}

/** For a person who watches. The text begins with the prompt, so that it reads as one story. */
export function personTelling(prompt: string): Telling {
  /** The hop that was lost last. */
  let lost = 0
  return {
    begin({ model, layers: count, budgets, wholeBytes }) {
      const shares = budgets.map(formatBytes).join(', ')
      say(`${paint('bold', model)} has ${count} layers and needs ${formatBytes(wholeBytes)} to run.`)
      say(
        `Starting ${budgets.length} ${budgets.length === 1 ? 'peer' : 'peers, each too small for all of it'}: ${shares}.`
      )
      say()
    },
    step() {},
    covered(seen, ms) {
      say(`They found one another and cover every layer after ${formatMs(ms)}:`)
      say()
      const [model] = seen.models
      for (const { id, stages, self, budgetBytes, usedBytes } of [...seen.peers].sort(
        (a, b) => firstLayer(a) - firstLayer(b)
      )) {
        const bar = Array.from({ length: model?.layers ?? 0 }, (_, layer) =>
          stages.some(stage => stage.serving && stage.start <= layer && layer < stage.end) ? '█' : '·'
        ).join('')
        const used = usedBytes === null ? '' : `, uses ${formatBytes(usedBytes)}`
        const what = stages.map(layers).join(', ') || 'nothing'
        say(
          `  ${shortPeer(id)}  ${paint('cyan', bar)}  ${what} (${formatBytes(budgetBytes)}${used})${self ? '  ← asked' : ''}`
        )
      }
      say()
    },
    standIn(range) {
      say(`One more peer loads ${layers(range)} a second time, as a stand-in.`)
      say()
    },
    killed({ peer, ...range }) {
      say(`\n${paint('red', `[${shortPeer(peer)} with ${layers(range)} is killed here]`)}`)
    },
    answering(event, pauseMs) {
      if (event.event === 'route') {
        say(`  ${drawRoute(event.hops)}\n`)
        write(prompt)
      }
      if (event.event === 'token') writeText(event.text, 'bold')
      else if (event.event === 'lost' && pauseMs === undefined) lost = event.hop
      else if (event.event === 'recovered') {
        const hop = event.route[lost] ?? event.route[0]!
        const ms = formatMs(pauseMs ?? event.ms)
        say(`${paint('green', `[${shortPeer(hop.peer)} goes on in its place: a pause of ${ms}]`)}`)
      } else if (event.event === 'done') say('\n')
    },
    answered({ ids, timing, bytesPerToken, hops, stop }) {
      const speed = `${timing.tokensPerSecond.toFixed(1)} tokens/s`
      const ended = stop === 'eos' ? 'the story ended' : 'stopped at --max-tokens'
      say(
        `${ids.length} tokens (${ended}), first after ${formatMs(timing.firstTokenMs)}, ${speed}, ${Math.round(bytesPerToken)} bytes a token`
      )
      say()
      const rows = hops.map(hop => {
        const { computeMs, queueMs, bytesIn, bytesOut } = perStep(hop)
        return [
          shortPeer(hop.peer),
          layers(hop),
          `${computeMs.toFixed(2)} ms`,
          `${queueMs.toFixed(2)} ms`,
          `${Math.round(bytesIn)} B`,
          `${Math.round(bytesOut)} B`
        ]
      })
      for (const line of table([['per step', '', 'computing', 'waiting', 'bytes in', 'bytes out'], ...rows]))
        say(`  ${line}`)
      say()
    },
    alone: () => say('Now the same prompt in one piece, by a single peer that can hold all of it …'),
    end({ peers, alone, identical, recovered }) {
      const by = peers === 1 ? 'one peer' : `${peers} peers`
      const speed = `${alone.timing.tokensPerSecond.toFixed(1)} tokens/s`
      const despite = recovered > 0 ? ', one of them killed in mid-story,' : ''
      if (identical)
        say(
          `${paint('green', 'identical')}: all ${alone.ids.length} tokens are the same by ${by}${despite} and in one piece (${speed}).`
        )
      else say(`${paint('red', 'NOT identical')}: in one piece (${speed}) it reads:\n${alone.text}`)
    }
  }
}

function drawRoute(hops: readonly ({ readonly peer: PeerId } & Range)[]): string {
  return ['prompt', ...hops.map(hop => `[${shortPeer(hop.peer)} ${layers(hop)}]`), 'token'].join(' → ')
}

function firstLayer({ stages }: { readonly stages: readonly Range[] }): number {
  return Math.min(Number.MAX_SAFE_INTEGER, ...stages.map(({ start }) => start))
}

/** A hop's share of one step, on average over the answer (the prompt's steps included). */
function perStep({ peer, start, end, steps, computeMs, queueMs, bytesIn, bytesOut }: HopReport): {
  readonly peer: PeerId
  readonly start: number
  readonly end: number
  readonly computeMs: number
  readonly queueMs: number
  readonly bytesIn: number
  readonly bytesOut: number
} {
  const n = Math.max(1, steps)
  return {
    peer,
    start,
    end,
    computeMs: computeMs / n,
    queueMs: queueMs / n,
    bytesIn: bytesIn / n,
    bytesOut: bytesOut / n
  }
}
