/** A stage decider with its frames in typed form, and helpers to drive it by hand. */
import type { ModelId, PeerId, SessionId } from '../../src/base/ids.ts'
import type { StepCost } from '../../src/engine/engine.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import type { ChannelId, SeatId, StageEffect, StageEvent, StageFacts } from '../../src/stage/event.ts'
import { type Frame, framedBytes, type OpenFrame, type PrepareFrame, type StepFrame } from '../../src/stage/frame.ts'
import type { Commits } from '../../src/stage/seat-host.ts'
import { Stages } from '../../src/stage/stage.ts'
import { type SignedTerms, signTerms, type Terms } from '../../src/stage/terms.ts'
import { signerOf, verify } from '../../sim/cast.ts'

export const peer = (name: string): PeerId => `12D3KooW${name}` as PeerId
export const model = 'cd'.repeat(32) as ModelId
export const session = '0f'.repeat(16) as SessionId
export const hidden = 4
export const rowBytes = 2 * hidden

export type Seen = StageEffect

export class Kit {
  readonly stages: Stages
  nowMs = 0

  constructor(self: string, init: { retainBytesMax?: number; commits?: Commits } = {}) {
    const { retainBytesMax = 1 << 20, commits } = init
    this.stages = new Stages({ self: peer(self), retainBytesMax, drivers: { verify }, commits })
  }

  do(event: StageEvent): Seen[] {
    const effects = this.stages.handle(event, this.nowMs)
    for (const effect of effects) {
      if (effect.kind === 'send') this.stages.sent(effect.channel, framedBytes(encodeFrame(effect.frame).length))
    }
    // As they are at the other end of the wire.
    return effects.map(effect =>
      effect.kind === 'send' ? { ...effect, frame: decodeFrame(encodeFrame(effect.frame))! } : effect
    )
  }

  frame(channel: ChannelId, frame: Frame): Seen[] {
    const bytes = encodeFrame(frame)
    return this.do({ kind: 'frame', channel, frame: decodeFrame(bytes)!, bytes: framedBytes(bytes.length) })
  }

  /** Lets time pass and looks at the deadlines. */
  wait(ms: number): Seen[] {
    this.nowMs += ms
    return this.do({ kind: 'tick' })
  }

  /** A step is computed, as the engine says in a pass of its own that took 1 ms. */
  computed(
    seat: SeatId,
    result: { hidden?: Uint8Array; tokens?: readonly number[]; floor?: number } & Partial<StepCost> = {}
  ): Seen[] {
    const { hidden: states, tokens, floor = 0, computeMs = 1, gatherMs = 0 } = result
    const { rows = states === undefined ? 1 : states.length / rowBytes } = result
    return this.do({ kind: 'computed', seat, floor, hidden: states, tokens, cost: { computeMs, rows, gatherMs } })
  }
}

export function facts(start: number, end: number): StageFacts {
  return { model, layers: 6, hidden, edge: 'f16', vocab: 100, contextMax: 512, start, end }
}

/** Terms as a test changes them; `signer` signs them, else it is the driver that they name. */
export type Change = Partial<Terms> & { readonly signer?: PeerId }

/** D drives; A, B, C serve two layers each. */
export function terms({ signer, ...change }: Change = {}): SignedTerms {
  const all: Terms = {
    session,
    epoch: 0,
    model,
    route: [
      { peer: peer('A'), start: 0, end: 2 },
      { peer: peer('B'), start: 2, end: 4 },
      { peer: peer('C'), start: 4, end: 6 }
    ],
    driver: peer('D'),
    tokensMax: 400,
    keep: 0,
    sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 },
    room: 'refuse',
    ...change
  }
  return signTerms(all, signerOf(signer ?? all.driver))
}

export function open(hop: number, change: Change = {}): OpenFrame {
  return { kind: 'open', hop, terms: terms(change) }
}

/** The hop `hop` of epoch 0 shall feed the hops [from, to) of these terms. */
export function prepare(hop: number, from: number, to: number, change: Change = {}): PrepareFrame {
  return { kind: 'prepare', epoch: 0, hop, terms: terms({ epoch: 1, stretch: { from, to }, ...change }) }
}

/** A session of D's at the stage of these layers. */
export function seatOf(start: number, end: number, of: SessionId = session): SeatId {
  return `${peer('D')}/${of}/${start}-${end}`
}

/** Hidden states of tokens [position, position + tokens) that can be told from all others. */
export function states(position: number, tokens: number): Uint8Array {
  return Uint8Array.from({ length: tokens * rowBytes }, (_, i) => position + Math.floor(i / rowBytes))
}

export function step(position: number, tokens = 1, change: Partial<StepFrame> = {}): StepFrame {
  const input = { kind: 'hidden', bytes: states(position, tokens) } as const
  return { kind: 'step', epoch: 0, position, tokens, sample: false, input, ...change }
}

export const idStep = (position: number, ids: number[], change: Partial<StepFrame> = {}): StepFrame =>
  step(position, ids.length, { input: { kind: 'ids', ids: Int32Array.from(ids) }, ...change })

/** A hop with its engine open and its next stream (-1) connected, which is the driver's end at the tail; its stream up is 1. @param width of hidden states */
export function openHop(index: 0 | 1 | 2, change: Change, width?: number): Kit {
  const kit = new Kit('ABC'[index]!, width === undefined ? {} : { retainBytesMax: 2 ** 40 })
  const [start, end] = [2 * index, 2 * index + 2]
  kit.do({ kind: 'add', stage: { ...facts(start, end), ...(width === undefined ? {} : { hidden: width }) } })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('DAB'[index]!) })
  kit.frame(1, open(index, change))
  kit.do({ kind: 'opened', seat: seatOf(start, end), length: 0 })
  kit.do({ kind: 'connected', channel: -1 })
  return kit
}

/** Frames that went out on a stream. */
export function sent(seen: readonly Seen[], channel: number): Frame[] {
  return seen.flatMap(effect => (effect.kind === 'send' && effect.channel === channel ? [effect.frame] : []))
}
