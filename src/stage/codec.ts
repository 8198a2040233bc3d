/**
 * Bytes to typed frames and back. Everything that can be said about a frame alone is checked here; what
 * depends on the session it belongs to is checked in `check.ts` (promise P10).
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { base58btc } from 'multiformats/bases/base58'
import { StageFrame } from '../../protocols/stage.ts'
import { unreachable } from '../base/assert.ts'
import type { ModelId, PeerId, SessionId } from '../base/ids.ts'
import { ProtocolError } from '../errors.ts'
import { attentionBlock, hopsMax, refuseMessageCharsMax } from '../limits.ts'
import type { Frame, RefuseReason, RouteHop } from './frame.ts'

/** Above any context; below it sums of positions and counts stay exact. */
const positionMax = 2 ** 31
const layerMax = 65_536
const peerBytesMax = 64

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
  'next-silent': 9
}
const reasonNames = new Map<number, RefuseReason>(
  Object.entries(reasons).map(([name, reason]) => [reason, name as RefuseReason])
)

const none = new Uint8Array(0)

/** Bounds on repeated fields, so that a frame cannot make many objects out of few bytes. */
const limits = {
  open: { route: hopsMax },
  step: { ids: attentionBlock },
  closed: { hops: hopsMax },
  prepare: { route: hopsMax }
}

/** Encodes one frame. The result is the caller's own. */
export function encodeFrame(frame: Frame): Uint8Array {
  return StageFrame.encode(toWire(frame))
}

function toWire(frame: Frame): StageFrame {
  switch (frame.kind) {
    case 'step': {
      const { epoch, position, tokens, sample, input } = frame
      return {
        step:
          input.kind === 'ids'
            ? { epoch, position, tokens, sample, ids: [...input.ids], hidden: none }
            : { epoch, position, tokens, sample, ids: [], hidden: input.bytes as Uint8Array<ArrayBuffer> }
      }
    }
    case 'token':
      return { token: { epoch: frame.epoch, position: frame.position, id: frame.id } }
    case 'ack':
      return { ack: { epoch: frame.epoch, length: frame.length, steps: frame.steps, tokens: frame.tokens } }
    case 'open':
      return {
        open: {
          session: fromHex(frame.session),
          epoch: frame.epoch,
          model: fromHex(frame.model),
          route: frame.route.map(fromHop),
          hop: frame.hop,
          driver: fromPeer(frame.driver),
          tokensMax: frame.tokensMax,
          keep: frame.keep,
          prepare: frame.prepare ?? 0,
          sampling: frame.sampling
        }
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
      return { close: { epoch: frame.epoch } }
    case 'closed':
      return {
        closed: {
          hops: [...frame.hops]
        }
      }
    case 'prepare': {
      const { epoch, hop, next, route, from, to, keep } = frame
      return { prepare: { epoch, hop, next, route: route.map(fromHop), from, to, keep } }
    }
    case 'ask':
      return { ask: { epoch: frame.epoch, round: frame.round } }
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
  let wire: StageFrame
  try {
    wire = StageFrame.decode(bytes, { limits })
  } catch (error) {
    throw new ProtocolError(`a stage frame of ${bytes.length} bytes does not decode: ${(error as Error).message}`)
  }
  if (wire.step != null) {
    const { epoch, position, tokens, sample, ids, hidden } = wire.step
    check(tokens >= 1 && tokens <= attentionBlock, 'a step has 1 to 128 tokens', tokens)
    check(position + tokens <= positionMax, 'a step ends below 2^31', position)
    if (hidden.length > 0) {
      check(ids.length === 0, 'a step has ids or hidden states, not both', ids.length)
      return { kind: 'step', epoch, position, tokens, sample, input: { kind: 'hidden', bytes: hidden } }
    }
    check(ids.length === tokens, 'a step without hidden states has one id per token', ids.length)
    for (const id of ids) check(id < positionMax, 'ids are below 2^31', id)
    return { kind: 'step', epoch, position, tokens, sample, input: { kind: 'ids', ids: Int32Array.from(ids) } }
  }
  if (wire.token != null) {
    const { epoch, position, id } = wire.token
    check(position < positionMax, 'positions are below 2^31', position)
    return { kind: 'token', epoch, position, id }
  }
  if (wire.ack != null) {
    const { epoch, length, steps, tokens } = wire.ack
    check(length <= positionMax, 'lengths are at most 2^31', length)
    return { kind: 'ack', epoch, length, steps, tokens }
  }
  if (wire.open != null) return fromOpen(wire.open)
  if (wire.refuse != null) {
    const { epoch, hop, reason, length, message } = wire.refuse
    check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
    check(length <= positionMax, 'lengths are at most 2^31', length)
    // A reason of a later revision counts as no room (S18): the hop is gone around, and nobody is charged.
    return { kind: 'refuse', epoch, hop, reason: reasonNames.get(reason) ?? 'no-room', length, message: plain(message) }
  }
  if (wire.close != null) return { kind: 'close', epoch: wire.close.epoch }
  if (wire.closed != null) {
    return {
      kind: 'closed',
      hops: wire.closed.hops.map(stats => {
        check(stats.hop < hopsMax, `a hop is below ${hopsMax}`, stats.hop)
        check(isAmount(stats.computeMs) && isAmount(stats.queueMs), 'times are not negative', stats.computeMs)
        return {
          ...stats,
          bytesIn: count(stats.bytesIn),
          bytesOut: count(stats.bytesOut),
          bytesBack: count(stats.bytesBack)
        }
      })
    }
  }
  if (wire.ask != null) return { kind: 'ask', epoch: wire.ask.epoch, round: wire.ask.round }
  if (wire.standing != null) {
    const { hop, arrived, length, busyMs, computeMs, queueMs } = wire.standing
    check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
    check(arrived <= positionMax && length <= positionMax, 'positions are at most 2^31', Math.max(arrived, length))
    for (const ms of [busyMs, computeMs, queueMs]) check(isAmount(ms), 'times are not negative', ms)
    return { kind: 'standing', ...wire.standing }
  }
  if (wire.prepare != null) {
    const { epoch, hop, next, from, to, keep } = wire.prepare
    check(next > epoch, 'a preparation has a higher epoch', next)
    check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
    check(from >= 1 && from < to && to <= wire.prepare.route.length, 'the hops to feed lie in the route', from)
    check(keep < positionMax, 'keep is below 2^31', keep)
    return { kind: 'prepare', epoch, hop, next, route: toRoute(wire.prepare.route), from, to, keep }
  }
  if (wire.prepared != null) {
    const { epoch, next, failed, message } = wire.prepared
    return { kind: 'prepared', epoch, next, failed, message: plain(message) }
  }
  if (bytes.length === 0) throw new ProtocolError('a stage frame is empty')
  return undefined
}

function fromOpen(open: NonNullable<StageFrame['open']>): Frame {
  check(open.session.length === 16, 'a session id has 16 bytes', open.session.length)
  check(open.model.length === 32, 'a model id has 32 bytes', open.model.length)
  check(open.route.length >= 1, 'a route has a hop', open.route.length)
  check(open.hop <= open.route.length, 'the hop lies in the route', open.hop)
  check(open.tokensMax >= 1 && open.tokensMax < positionMax, 'tokensMax is 1 or more', open.tokensMax)
  check(open.keep < open.tokensMax, 'keep is below tokensMax', open.keep)
  check(open.prepare === 0 || open.hop < open.prepare, 'a hop that is prepared lies below prepare', open.prepare)
  check(open.prepare <= open.route.length, 'prepare lies in the route', open.prepare)
  const route = toRoute(open.route)
  const { temperature, topP, topK, seed } = open.sampling ?? { temperature: -1, topP: 0, topK: 0, seed: 0 }
  check(Number.isFinite(temperature) && temperature >= 0, 'the temperature is 0 or more', temperature)
  check(topP > 0 && topP <= 1, 'topP is in (0, 1]', topP)
  check(topK < positionMax, 'topK is below 2^31', topK)
  return {
    kind: 'open',
    session: bytesToHex(open.session) as SessionId,
    epoch: open.epoch,
    model: bytesToHex(open.model) as ModelId,
    route,
    hop: open.hop,
    driver: toPeer(open.driver),
    tokensMax: open.tokensMax,
    keep: open.keep,
    ...(open.prepare === 0 ? {} : { prepare: open.prepare }),
    sampling: { temperature, topP, topK, seed: count(seed) }
  }
}

function toRoute(hops: NonNullable<StageFrame['open']>['route']): RouteHop[] {
  let at = 0
  return hops.map(({ peer, start, end }) => {
    check(start === at && end > start && end <= layerMax, 'hops follow one another from layer 0', start)
    at = end
    return { peer: toPeer(peer), start, end }
  })
}

function fromHop({ peer, start, end }: RouteHop): NonNullable<StageFrame['open']>['route'][number] {
  return { peer: fromPeer(peer), start, end }
}

function check(condition: boolean, rule: string, value: number): asserts condition {
  if (!condition) throw new ProtocolError(`${rule}, but a frame says ${value}`)
}

function isAmount(value: number): boolean {
  return Number.isFinite(value) && value >= 0
}

function count(value: number): number {
  if (!Number.isSafeInteger(value)) throw new ProtocolError(`${value} is too large for a count or seed`)
  return value
}

/** Remote text may reach a terminal: control characters become spaces. */
function plain(text: string): string {
  return text.slice(0, refuseMessageCharsMax).replace(/\p{C}/gu, ' ')
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return hexToBytes(hex) as Uint8Array<ArrayBuffer>
}

function fromPeer(peer: PeerId): Uint8Array<ArrayBuffer> {
  return base58btc.baseDecode(peer) as Uint8Array<ArrayBuffer>
}

function toPeer(bytes: Uint8Array): PeerId {
  check(bytes.length >= 1 && bytes.length <= peerBytesMax, 'a peer id has 1 to 64 bytes', bytes.length)
  return base58btc.baseEncode(bytes) as PeerId
}
