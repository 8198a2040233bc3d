/**
 * One probe step: what a peer sends to a stage of another to see that it computes, and what the answers say. The stage is
 * opened as a stretch of one hop, which rebuilds its cache, says how long it is and sends nothing on; where it is not the
 * head, the peer that asks is the hop before it. Pure.
 */
import type { ModelId, PeerId, Range, SessionId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import { edgeSize } from '../engine/engine.ts'
import { ProtocolError } from '../errors.ts'
import type { EdgeType } from '../model/manifest.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { type RouteHop, signTerms } from './terms.ts'

/** What a probe must know of a model. */
export interface ProbedModel {
  readonly id: ModelId
  readonly layers: number
  readonly hidden: number
  readonly edge: EdgeType
}

export interface ProbeInit {
  readonly self: PeerId
  readonly sign: Sign
  /** A session of its own, which nobody else can name. */
  readonly session: SessionId
  readonly model: ProbedModel
  readonly peer: PeerId
  readonly range: Range
}

/** What to send, in order: the first two at once, the last one when it has answered. */
export interface ProbeFrames {
  readonly open: Uint8Array
  readonly step: Uint8Array
  readonly close: Uint8Array
}

const epoch = 0

export function probeFrames({ self, sign, session, model, peer, range: { start, end } }: ProbeInit): ProbeFrames {
  const hops: RouteHop[] = [
    { peer: self, start: 0, end: start },
    { peer, start, end },
    { peer: self, start: end, end: model.layers }
  ]
  const route = hops.filter(hop => hop.start < hop.end)
  const hop = start === 0 ? 0 : 1
  const terms = signTerms(
    {
      session,
      epoch,
      model: model.id,
      route,
      driver: self,
      tokensMax: 1,
      sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 },
      keep: 0,
      stretch: { from: hop, to: hop + 1 }
    },
    sign
  )
  const input =
    hop === 0
      ? ({ kind: 'ids', ids: Int32Array.of(0) } as const)
      : ({ kind: 'hidden', bytes: new Uint8Array(model.hidden * edgeSize(model.edge)) } as const)
  return {
    open: encodeFrame({ kind: 'open', hop, terms }),
    step: encodeFrame({ kind: 'step', epoch, position: 0, tokens: 1, sample: false, input }),
    close: encodeFrame({ kind: 'close', epoch })
  }
}

/** What a frame that came back says of the stage: that it computes, that it does not, or nothing yet. */
export function judgeProbe(bytes: Uint8Array): boolean | undefined {
  try {
    const frame = decodeFrame(bytes)
    if (frame?.kind === 'ack') return frame.length >= 1 ? true : undefined
    return frame?.kind === 'refuse' || frame?.kind === 'closed' ? false : undefined
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}
