/**
 * Bytes to typed frames and back. Everything that can be said about a frame alone is checked here; what
 * depends on the session it belongs to is checked in `check.ts` (promise P10).
 */
import {
  StageFrame,
  type Closed as WireClosed,
  type HopSpans as WireSpans,
  type Mask as WireMask,
  type Score as WireScore,
  type Scores as WireScores,
  type Step as WireStep,
  type Token as WireToken
} from '../../protocols/stage.ts'
import { unreachable } from '../base/assert.ts'
import { ProtocolError } from '../errors.ts'
import { hopsMax } from '../limits.ts'
import { readCommitment } from './commitment.ts'
import { logprobsMax, stepDraftsMax } from '../engine/limits.ts'
import type { TokenScore } from '../engine/scores.ts'
import { attentionBlock } from '../model/limits.ts'
import { maskSlots, refuseMessageCharsMax } from './limits.ts'
import { check, count, positionMax } from './field.ts'
import type { ClosedFrame, Frame, RefuseReason, ScoresFrame, StepFrame, TokenFrame } from './frame.ts'
import { type PlainStep, type PlainToken, readStep, readToken, writeStep, writeToken } from './step-bytes.ts'
import type { MaskForm } from './masks.ts'
import { readTerms } from './terms.ts'
import type { HopSpans } from './trace.ts'

/** Reasons as numbers, as `protocols/stage.proto` lists them. */
const reasons: Readonly<Record<RefuseReason, number>> = {
  'not-serving': 1,
  'no-room': 2,
  gap: 3,
  'stale-epoch': 4,
  'next-lost': 5,
  engine: 6,
  invalid: 7,
  leaving: 8,
  'next-silent': 9,
  unsupported: 10
}
const reasonNames = new Map<number, RefuseReason>(
  Object.entries(reasons).map(([name, reason]) => [reason, name as RefuseReason])
)

const none = new Uint8Array(0)
const draftsRule = `a step has at most ${stepDraftsMax} drafts`
const noIds: readonly number[] = []
const noMasks: WireMask[] = []
const noSpans: WireSpans[] = []

/** Bounds on repeated fields, so that a frame cannot make many objects out of few bytes. */
const limits = {
  step: { ids: attentionBlock, spans: hopsMax, masks: 1 + stepDraftsMax },
  token: {
    ids: 1 + stepDraftsMax,
    spans: hopsMax,
    scores: 1 + stepDraftsMax,
    scores$: { ids: logprobsMax, logprobs: logprobsMax }
  },
  scores: { scores: attentionBlock, scores$: { ids: logprobsMax, logprobs: logprobsMax } },
  closed: { hops: hopsMax, commitments: hopsMax }
}

/** Encodes one frame. The result is the caller's own. */
export function encodeFrame(frame: Frame): Uint8Array {
  if (frame.kind === 'step') return encodeStep(frame)
  if (frame.kind === 'token') return encodeToken(frame)
  return StageFrame.encode(toWire(frame))
}

function encodeStep(frame: StepFrame): Uint8Array {
  const step = stepToWire(frame)
  if (frame.masks === undefined) return writeStep(step)
  const masks = frame.masks.map(({ slot, bits = none, runs = none }) => ({ slot, bits, runs }) as WireMask)
  return StageFrame.encode({ step: { ...step, ids: [...step.ids], masks } })
}

function encodeToken({ epoch, position, ids, scores, spans: all }: TokenFrame): Uint8Array {
  const spans = all?.map(spansToWire) ?? noSpans
  if (scores === undefined) return writeToken({ epoch, position, ids, spans })
  return StageFrame.encode({ token: { epoch, position, ids: [...ids], spans, scores: scores.map(scoreToWire) } })
}

function scoreToWire({ logprob, top }: TokenScore): WireScore {
  return { logprob, ids: top.map(({ id }) => id), logprobs: top.map(each => each.logprob) }
}

function stepToWire({ epoch, position, tokens, sample, input, drafts = noIds, ids, spans }: StepFrame) {
  const sampleFrom = sample ? tokens - 1 - drafts.length : tokens
  const isHead = input.kind === 'ids'
  const hidden = isHead ? none : (input.bytes as Uint8Array<ArrayBuffer>)
  const wireSpans = spans?.map(spansToWire) ?? noSpans
  return { epoch, position, tokens, sampleFrom, ids: isHead ? input.ids : (ids ?? drafts), hidden, spans: wireSpans }
}

function toWire(frame: Exclude<Frame, StepFrame | TokenFrame>): StageFrame {
  switch (frame.kind) {
    case 'ack':
      return { ack: { epoch: frame.epoch, length: frame.length, steps: frame.steps, tokens: frame.tokens } }
    case 'scores': {
      const { epoch, position, scores } = frame
      return { scores: { epoch, position, scores: scores.map(scoreToWire) } }
    }
    case 'open': {
      const { hop, terms } = frame
      return { open: { hop, terms: terms.payload, signature: terms.signature } }
    }
    case 'refuse':
      return {
        refuse: {
          epoch: frame.epoch,
          hop: frame.hop,
          reason: reasons[frame.reason],
          length: frame.length,
          message: frame.message.slice(0, refuseMessageCharsMax)
        }
      }
    case 'close':
      return { close: { epoch: frame.epoch, commitTo: frame.commitTo ?? 0 } }
    case 'closed':
      return {
        closed: {
          hops: [...frame.hops],
          commitments: (frame.commitments ?? []).map(({ payload, signature }) => ({ commitment: payload, signature }))
        }
      }
    case 'prepare': {
      const { epoch, hop, terms } = frame
      return { prepare: { epoch, hop, terms: terms.payload, signature: terms.signature } }
    }
    case 'ask':
      return { ask: { epoch: frame.epoch, round: frame.round } }
    case 'commit':
      return { commit: { epoch: frame.epoch, tokens: frame.tokens } }
    case 'committed': {
      const { payload, signature } = frame.commitment
      return { committed: { epoch: frame.epoch, commitment: { commitment: payload, signature } } }
    }
    case 'standing': {
      const { kind: _, ...standing } = frame
      return { standing }
    }
    case 'prepared': {
      const { epoch, next, failed, message } = frame
      return { prepared: { epoch, next, failed, message: message.slice(0, refuseMessageCharsMax) } }
    }
    default:
      return unreachable(frame)
  }
}

/**
 * Decodes and checks one frame. Hidden states are a view of `bytes`, not a copy. Undefined for a kind of frame that is not
 * known here: a later revision has it, and it is ignored (S18).
 *
 * @throws {ProtocolError} when the bytes are no frame, or hold values that no session could mean.
 */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  const step = readStep(bytes, limits.step)
  if (step !== undefined) return stepOf(step)
  const token = readToken(bytes, limits.token)
  if (token !== undefined) return tokenOf(token)
  let wire: StageFrame
  try {
    wire = StageFrame.decode(bytes, { limits })
  } catch (error) {
    throw new ProtocolError(`a stage frame of ${bytes.length} bytes does not decode: ${(error as Error).message}`)
  }
  if (wire.step != null) return stepOf(wire.step)
  if (wire.token != null) return tokenOf(wire.token)
  if (wire.ack != null) {
    const { epoch, length, steps, tokens } = wire.ack
    check(length <= positionMax, 'lengths are at most 2^31', length)
    return { kind: 'ack', epoch, length, steps, tokens }
  }
  if (wire.open != null) {
    const { hop, signature } = wire.open
    const terms = readTerms(wire.open.terms, signature)
    check(hop <= terms.route.length, 'the hop lies in the route', hop)
    const { stretch } = terms
    check(stretch === undefined || (stretch.from <= hop && hop < stretch.to), 'the hop is one of those prepared', hop)
    return { kind: 'open', hop, terms }
  }
  if (wire.refuse != null) {
    const { epoch, hop, reason, length, message } = wire.refuse
    check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
    check(length <= positionMax, 'lengths are at most 2^31', length)
    // A reason of a later revision counts as UNSUPPORTED (S18): the hop is gone around, and nobody is charged.
    return {
      kind: 'refuse',
      epoch,
      hop,
      reason: reasonNames.get(reason) ?? 'unsupported',
      length,
      message: plain(message)
    }
  }
  if (wire.close != null) {
    const { epoch, commitTo } = wire.close
    check(commitTo <= positionMax, 'positions are at most 2^31', commitTo)
    return commitTo === 0 ? { kind: 'close', epoch } : { kind: 'close', epoch, commitTo }
  }
  if (wire.closed != null) return closedOf(wire.closed)
  if (wire.scores != null) return scoresOf(wire.scores)
  if (wire.ask != null) return { kind: 'ask', epoch: wire.ask.epoch, round: wire.ask.round }
  if (wire.standing != null) {
    const { hop, arrived, length, busyMs, computeMs, queueMs, gatherMs, placeMs } = wire.standing
    count(wire.standing.rows)
    check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
    check(arrived <= positionMax && length <= positionMax, 'positions are at most 2^31', Math.max(arrived, length))
    for (const ms of [busyMs, computeMs, queueMs, gatherMs, placeMs]) check(isAmount(ms), 'times are not negative', ms)
    return { kind: 'standing', ...wire.standing }
  }
  if (wire.commit != null) {
    const { epoch, tokens } = wire.commit
    check(tokens >= 1 && tokens <= positionMax, 'a commitment is about 1 token to 2^31', tokens)
    return { kind: 'commit', epoch, tokens }
  }
  if (wire.committed != null) {
    const { epoch, commitment } = wire.committed
    check(commitment != null, 'Committed has a commitment', epoch)
    return { kind: 'committed', epoch, commitment: readCommitment(commitment!.commitment, commitment!.signature) }
  }
  if (wire.prepare != null) {
    const { epoch, hop, signature } = wire.prepare
    const terms = readTerms(wire.prepare.terms, signature)
    check(terms.epoch > epoch, 'a preparation has a higher epoch', terms.epoch)
    check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
    // The head of a route is fed by its driver, who needs no frame for it.
    const from = terms.stretch?.from ?? 0
    check(from >= 1, 'the hops to feed follow one that feeds them', from)
    return { kind: 'prepare', epoch, hop, terms }
  }
  if (wire.prepared != null) {
    const { epoch, next, failed, message } = wire.prepared
    return { kind: 'prepared', epoch, next, failed, message: plain(message) }
  }
  if (bytes.length === 0) throw new ProtocolError('a stage frame is empty')
  return undefined
}

/** A step that has been read, checked. @throws {ProtocolError} */
function stepOf(wire: PlainStep & Partial<WireStep>): StepFrame {
  const { epoch, position, tokens, sampleFrom, ids, hidden } = wire
  check(tokens >= 1 && tokens <= attentionBlock, 'a step has 1 to 128 tokens', tokens)
  check(position + tokens <= positionMax, 'a step ends below 2^31', position)
  check(sampleFrom <= tokens, 'the rows that are sampled are the last of the step, or none', sampleFrom)
  const sample = sampleFrom < tokens
  const proposed = sample ? tokens - 1 - sampleFrom : 0
  check(proposed <= stepDraftsMax, draftsRule, proposed)
  const isHead = hidden.length === 0
  if (isHead) check(ids.length === tokens, 'a step without hidden states has one id per token', ids.length)
  const hasAll = !isHead && ids.length === tokens
  if (!isHead && !hasAll) {
    check(ids.length === proposed, 'a step with hidden states has the ids of its drafts, or all of them', ids.length)
  }
  for (const id of ids) check(id < positionMax, 'ids are below 2^31', id)
  const input = isHead
    ? ({ kind: 'ids', ids: Int32Array.from(ids) } as const)
    : ({ kind: 'hidden', bytes: hidden } as const)
  const { masks: wireMasks = noMasks } = wire
  const masks = wireMasks.length === 0 ? {} : { masks: wireMasks.map(mask => maskFormOf(mask)) }
  check(
    wireMasks.length === 0 || (sample && wireMasks.length === 1 + proposed),
    'each row that is sampled has a mask, or none has',
    wireMasks.length
  )
  const drafts = proposed === 0 ? {} : { drafts: ids.slice(-proposed) }
  const all = hasAll ? { ids: Int32Array.from(ids) } : {}
  return { kind: 'step', epoch, position, tokens, sample, input, ...drafts, ...all, ...masks, ...spansOf(wire) }
}

/** A mask that has been read, checked. @throws {ProtocolError} */
function maskFormOf({ slot, bits, runs }: WireMask): MaskForm {
  check(slot < maskSlots, `masks are kept in ${maskSlots} slots`, slot)
  check(bits.length === 0 || runs.length === 0, 'a mask has one form', bits.length)
  if (bits.length > 0) return { slot, bits }
  return runs.length > 0 ? { slot, runs } : { slot }
}

/** A token that has been read, checked. @throws {ProtocolError} */
function tokenOf(wire: PlainToken & Partial<WireToken>): TokenFrame {
  const { epoch, position, ids, scores = [] } = wire
  check(position < positionMax, 'positions are below 2^31', position)
  check(ids.length >= 1, 'a token frame has an id', ids.length)
  if (scores.length === 0) return { kind: 'token', epoch, position, ids, ...spansOf(wire) }
  check(scores.length === ids.length, 'each id of a token frame has a score, or none has', scores.length)
  return { kind: 'token', epoch, position, ids, scores: scores.map(scoreOf), ...spansOf(wire) }
}

/** What hops did, checked. @throws {ProtocolError} */
function closedOf(wire: WireClosed): ClosedFrame {
  const commitments = wire.commitments.map(each => readCommitment(each.commitment, each.signature))
  return {
    kind: 'closed',
    ...(commitments.length === 0 ? {} : { commitments }),
    hops: wire.hops.map(stats => {
      check(stats.hop < hopsMax, `a hop is below ${hopsMax}`, stats.hop)
      for (const ms of [stats.computeMs, stats.queueMs, stats.gatherMs])
        check(isAmount(ms), 'times are not negative', ms)
      return {
        ...stats,
        bytesIn: count(stats.bytesIn),
        bytesOut: count(stats.bytesOut),
        bytesBack: count(stats.bytesBack),
        rows: count(stats.rows)
      }
    })
  }
}

/** Scores that have been read, checked. @throws {ProtocolError} */
function scoresOf({ epoch, position, scores }: WireScores): ScoresFrame {
  check(position < positionMax, 'positions are below 2^31', position)
  check(scores.length >= 1, 'a scores frame has one', scores.length)
  return { kind: 'scores', epoch, position, scores: scores.map(scoreOf) }
}

/** @throws {ProtocolError} when it is none of any token */
function scoreOf({ logprob, ids, logprobs }: WireScore): TokenScore {
  check(ids.length === logprobs.length, 'each id of a score has a log-probability', logprobs.length)
  for (const value of [logprob, ...logprobs]) {
    check(Number.isFinite(value) && value <= 0, 'a log-probability is a number of 0 or less', value)
  }
  return { logprob, top: ids.map((id, i) => ({ id, logprob: logprobs[i]! })) }
}

/** What bytes from a stream are to a decider: a frame, or none and why. */
export type ReadFrame =
  | { readonly kind: 'frame'; readonly frame: Frame }
  | { readonly kind: 'malformed'; readonly message: string }

/** {@link decodeFrame} for whoever tells a decider: it does not throw. Undefined for a kind of frame that is not known here. */
export function readFrame(bytes: Uint8Array): ReadFrame | undefined {
  try {
    const frame = decodeFrame(bytes)
    return frame === undefined ? undefined : { kind: 'frame', frame }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { kind: 'malformed', message: error.message }
  }
}

const microsMax = 0xffff_ffff

function micros(ms: number): number {
  return Math.min(microsMax, Math.max(0, Math.round(1000 * ms)))
}

function spansToWire(spans: HopSpans): WireSpans {
  return {
    hop: spans.hop,
    read: micros(spans.readMs),
    wait: micros(spans.waitMs),
    out: micros(spans.outMs),
    compute: micros(spans.computeMs),
    sample: micros(spans.sampleMs),
    back: micros(spans.backMs),
    sent: micros(spans.sentMs)
  }
}

/** Absent where there are none, as in nearly all frames. */
function spansOf({ spans }: { readonly spans: readonly WireSpans[] }): { spans?: readonly HopSpans[] } {
  if (spans.length === 0) return {}
  return {
    spans: spans.map(({ hop, read, wait, out, compute, sample, back, sent }) => {
      check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
      return {
        hop,
        readMs: read / 1000,
        waitMs: wait / 1000,
        outMs: out / 1000,
        computeMs: compute / 1000,
        sampleMs: sample / 1000,
        backMs: back / 1000,
        sentMs: sent / 1000
      }
    })
  }
}

function isAmount(value: number): boolean {
  return Number.isFinite(value) && value >= 0
}

/** Remote text may reach a terminal: control characters become spaces. */
function plain(text: string): string {
  return text.slice(0, refuseMessageCharsMax).replace(/\p{C}/gu, ' ')
}
