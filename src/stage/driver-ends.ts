/**
 * The driver's ends of the sessions that this peer drives: the tail of the running epoch may open one, and nobody else
 * (rule S25).
 */
import { assert } from '../base/assert.ts'
import type { PeerId, SessionId } from '../base/ids.ts'
import type { LossReason } from '../errors.ts'
import type { Fault } from './check.ts'
import type { StageEffect } from './event.ts'
import type { Frame, RefuseReason } from './frame.ts'
import type { StageChannel } from './stage-channel.ts'
import type { Terms } from './terms.ts'

interface DriverEnd {
  /** The epoch that runs, and the tail of its route. */
  admitted: { readonly epoch: number; readonly tail: PeerId } | undefined
  /** The stream from that tail, or from the one before it until then. */
  channel: StageChannel | undefined
}

/** How a frame came: as so many bytes with its length prefix, and how long ago these were read off the socket. */
export interface Came {
  readonly bytes: number
  readonly readMs: number
}

export class DriverEnds {
  readonly #emit: (effect: StageEffect) => void
  readonly #close: (channel: StageChannel) => void
  readonly #ends = new Map<SessionId, DriverEnd>()

  constructor(init: { readonly emit: (effect: StageEffect) => void; readonly close: (channel: StageChannel) => void }) {
    this.#emit = init.emit
    this.#close = init.close
  }

  add(session: SessionId): void {
    assert(!this.#ends.has(session), `session ${session} is driven already`)
    this.#ends.set(session, { admitted: undefined, channel: undefined })
  }

  admit({ session, epoch, tail }: { session: SessionId; epoch: number; tail: PeerId }): void {
    const end = this.#ends.get(session)
    if (end !== undefined) end.admitted = { epoch, tail }
  }

  remove(session: SessionId): void {
    const channel = this.#ends.get(session)?.channel
    this.#ends.delete(session)
    if (channel !== undefined) this.#close(channel)
  }

  /** Somebody opens a driver's end. Returns why it is turned away, if it is. */
  open(channel: StageChannel, { session, epoch }: Terms): readonly [RefuseReason, string] | undefined {
    const end = this.#ends.get(session)
    if (end === undefined) return ['not-serving', 'this peer does not drive that session']
    const { admitted } = end
    // Who was on an older route still knows the session, and may come late, or wish it ill.
    if (admitted?.epoch !== epoch || admitted.tail !== channel.remote) {
      return ['stale-epoch', 'another epoch runs, or another tail serves it']
    }
    if (end.channel !== undefined) {
      if (end.channel.epoch === epoch) return ['stale-epoch', `epoch ${epoch} is open here`]
      this.#close(end.channel)
    }
    channel.role = 'driver'
    channel.session = session
    channel.epoch = epoch
    end.channel = channel
    return undefined
  }

  /** A frame from a tail. Returns what is wrong with it, if anything is. */
  onFrame(channel: StageChannel, frame: Frame, came: Came): Fault | undefined {
    if (frame.kind !== 'token' && frame.kind !== 'scores' && frame.kind !== 'refuse') {
      return { violation: 'unexpected', message: `a tail sends tokens and scores, not ${frame.kind}` }
    }
    if (frame.epoch !== channel.epoch) {
      return { violation: 'invalid', message: `a ${frame.kind} of epoch ${frame.epoch} in epoch ${channel.epoch}` }
    }
    const session = channel.session!
    if (frame.kind === 'refuse') this.#emit({ kind: 'tail-refused', session, refuse: frame })
    else if (frame.kind === 'scores') this.#emit({ kind: 'deliver-scores', session, scores: frame })
    else this.#emit({ kind: 'deliver', channel: channel.id, session, token: frame, ...came })
    return undefined
  }

  /** A tail's stream is gone. */
  lost(channel: StageChannel, reason: LossReason): void {
    const session = channel.session!
    const end = this.#ends.get(session)
    if (end?.channel !== channel) return
    end.channel = undefined
    this.#emit({ kind: 'tail-lost', session, epoch: channel.epoch, peer: channel.remote, reason })
  }
}
