/**
 * All sessions at the stages of one peer, as a pure decider: frames, engine results and time come in, frames,
 * engine calls and streams go out. `service.ts` and the simulator drive it; `protocols/stage.md` has the rules.
 *
 * Here is who may speak and when: streams, opening, the driver's end, deadlines. What one session does at one
 * stage is in `seat.ts`.
 */
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import type { LossReason } from '../errors.ts'
import {
  orphanGraceMs,
  orphanLeavingMs,
  orphanYieldMs,
  sessionIdleMs,
  sessionUnusedMs,
  stageCloseMs,
  stageOpenMs,
  stageStreamsPerPeerMax
} from './limits.ts'
import { type Came, DriverEnds } from './driver-ends.ts'
import { checkOpen, checkTerms, checkTermsForStage, type Fault, whyNoCache, type DriverCheck } from './check.ts'
import type { ChannelId, SeatId, StageEffect, StageEvent, StageFacts } from './event.ts'
import type { Frame, OpenFrame, RefuseReason } from './frame.ts'
import type { Commits } from './seat-host.ts'
import type { StageChannel } from './stage-channel.ts'
import { Seat } from './seat.ts'
import { Seating } from './seating.ts'
import { knownNeeds } from './terms.ts'
import type { Place } from './wait-list.ts'

export interface StagesInit {
  readonly self: PeerId
  /** Budget for what stages retain for replay, all sessions together. */
  readonly retainBytesMax: number
  readonly drivers: DriverCheck
  /** @default stages commit to nothing */
  readonly commits?: Commits | undefined
}

/** The sessions at one peer's stages. Call `handle` with everything that happens, and do what it returns, in order. */
export class Stages {
  readonly self: PeerId
  readonly drivers: DriverCheck
  readonly commits: Commits | undefined
  /** This peer is about to go: caches whose session has moved on do not hold it up. */
  leaving = false
  readonly #stages = new Map<string, StageFacts>()
  readonly #seating: Seating
  readonly #channels = new Map<ChannelId, StageChannel>()
  /** The driver's ends of sessions that this peer drives. */
  readonly #driven = new DriverEnds({
    emit: effect => this.emit(effect),
    close: channel => this.close(channel)
  })
  #nextChannel = -1
  #effects: StageEffect[] = []
  #nowMs = 0

  constructor({ self, retainBytesMax, drivers, commits }: StagesInit) {
    this.self = self
    this.drivers = drivers
    this.commits = commits
    this.#seating = new Seating({ host: this, retainBytesMax })
  }

  /** Budget for what all sessions retain, in bytes. Lowering it takes nothing away from those that are open. */
  get retainBytesMax(): number {
    return this.#seating.retainBytesMax
  }

  set retainBytesMax(bytes: number) {
    this.#seating.retainBytesMax = bytes
  }

  /** Sessions that hold a cache here, or are about to. */
  get sessions(): number {
    return this.#seating.size - this.#seating.waiting
  }

  /** Sessions that wait for room here. */
  get waiting(): number {
    return this.#seating.waiting
  }

  /** Sessions that hold a cache at one stage. */
  sessionsOf(model: ModelId, range: Range): number {
    return this.#seating.sessionsOf(model, range)
  }

  /** At which the steps that come over a stream are computed. */
  seatAt(channel: ChannelId): SeatId | undefined {
    return this.#channels.get(channel)?.seat?.id
  }

  /** Steps that wait for an engine. */
  get queuedSteps(): number {
    let steps = 0
    for (const seat of this.#seating.all) steps += seat.queued
    return steps
  }

  /** Steps that are at one stage, computed or waiting; a session that waits for room counts as one. */
  stepsOf(model: ModelId, { start, end }: Range): number {
    let steps = 0
    for (const seat of this.#seating.all) {
      const { stage } = seat
      if (stage.model !== model || stage.start !== start || stage.end !== end) continue
      steps += seat.isInLine ? 1 : seat.steps
    }
    return steps
  }

  /** Bytes reserved for replay. */
  get retainBytes(): number {
    return this.#seating.retainBytes
  }

  /** The same for the stages of one model. */
  retainBytesOf(model: ModelId): number {
    return this.#seating.retainBytesOf(model)
  }

  /** True while there is anything that a deadline could end. */
  get busy(): boolean {
    return this.#seating.size > 0 || this.#channels.size > 0
  }

  handle(event: StageEvent, nowMs: number): StageEffect[] {
    this.#nowMs = nowMs
    switch (event.kind) {
      case 'frame': {
        const channel = this.#channels.get(event.channel)
        const readMs = Math.max(0, nowMs - (event.readAtMs ?? nowMs))
        if (channel !== undefined) this.#onFrame(channel, event.frame, { bytes: event.bytes, readMs })
        break
      }
      case 'malformed': {
        const channel = this.#channels.get(event.channel)
        if (channel !== undefined) this.#violate(channel, { violation: 'malformed', message: event.message })
        break
      }
      case 'computed':
        this.#seating.get(event.seat)?.computed(event, nowMs)
        break
      case 'compute-failed':
        this.#seating.get(event.seat)?.computeFailed(event, nowMs)
        break
      case 'accepted':
        this.#channels.set(event.channel, this.#makeChannel(event.channel, event.remote, event.isFull))
        break
      case 'connected':
        {
          const channel = this.#channels.get(event.channel)
          if (channel?.role === 'feed') channel.seat?.feeding.connected()
          else channel?.seat?.connected()
        }
        break
      case 'closed': {
        const channel = this.#channels.get(event.channel)
        if (channel !== undefined) this.#onClosed(channel, event.message, event.reason)
        break
      }
      case 'opened': {
        const seat = this.#seating.get(event.seat)
        if (seat !== undefined) this.#seating.opened(seat, event, nowMs)
        break
      }
      case 'open-failed': {
        const seat = this.#seating.get(event.seat)
        if (seat !== undefined) this.#seating.openFailed(seat, event, nowMs)
        break
      }
      case 'freed':
        this.#seating.get(event.seat)?.freed()
        break
      case 'add':
        this.#stages.set(stageKey(event.stage.model, event.stage.start, event.stage.end), event.stage)
        break
      case 'remove': {
        const key = stageKey(event.model, event.range.start, event.range.end)
        const stage = this.#stages.get(key)
        this.#stages.delete(key)
        for (const seat of this.#seating.all) {
          if (seat.stage !== stage || seat.phase === 'closing') continue
          seat.refuse('leaving', 'the stage is being unloaded')
          seat.end(nowMs, { keepsBelow: true })
        }
        break
      }
      case 'drive':
        this.#driven.add(event.session)
        break
      case 'admit':
        this.#driven.admit(event)
        break
      case 'undrive':
        this.#driven.remove(event.session)
        break
      case 'tick':
        this.#onTick()
        break
    }
    this.#seating.lookAgain(nowMs)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  // ── For seats ───────────────────────────────────────────────────────────────────────────────────

  /** @internal */
  connect(seat: Seat, peer: PeerId, role: 'down' | 'feed'): StageChannel {
    const channel = this.#makeChannel(this.#nextChannel--, peer)
    this.#channels.set(channel.id, channel)
    channel.role = role
    channel.seat = seat
    this.emit({ kind: 'connect', channel: channel.id, peer })
    return channel
  }

  /** @internal */
  emit(effect: StageEffect): void {
    this.#effects.push(effect)
  }

  /** @internal Whatever still arrives on a closed stream is dropped. */
  close(channel: StageChannel): void {
    this.#channels.delete(channel.id)
    channel.role = 'dead'
    this.emit({ kind: 'close', channel: channel.id })
  }

  /** @internal */
  linger(channel: StageChannel): void {
    channel.role = 'lingering'
    channel.seat = undefined
    channel.sinceMs = this.#nowMs
  }

  /** @internal */
  release(seat: Seat): void {
    this.#seating.release(seat, this.#nowMs)
  }

  /** @internal */
  leave(seat: Seat): void {
    this.#seating.leave(seat)
  }

  /** @internal */
  placeOf(seat: Seat): Place | undefined {
    return this.#seating.placeOf(seat)
  }

  // ── Streams ─────────────────────────────────────────────────────────────────────────────────────

  #makeChannel(id: ChannelId, remote: PeerId, isFull = false): StageChannel {
    const connected = id > 0
    const sinceMs = this.#nowMs
    return { id, remote, role: 'new', seat: undefined, session: undefined, epoch: 0, connected, isFull, sinceMs }
  }

  /**
   * A frame has gone out over a stream, as so many bytes with its length prefix.
   *
   * @param ms of a step or a token: from the beginning of the turn that it is of
   */
  sent(id: ChannelId, bytes: number, ms?: number): void {
    const channel = this.#channels.get(id)
    if (channel?.role === 'up') channel.seat?.moved('back', bytes)
    else if (channel?.role === 'down' || channel?.role === 'feed') channel.seat?.moved('out', bytes)
    if (ms !== undefined && channel?.role === 'down') channel.seat?.sent(ms)
  }

  #onFrame(channel: StageChannel, frame: Frame, came: Came): void {
    const fault = this.#take(channel, frame, came)
    if (fault !== undefined) this.#violate(channel, fault)
  }

  /** Gives a frame to whom it is for. Returns what is wrong with it, if anything is. */
  #take(channel: StageChannel, frame: Frame, { bytes, readMs }: Came): Fault | undefined {
    const { role, seat } = channel
    if (role === 'up' && seat !== undefined) {
      seat.moved('in', bytes)
      if (frame.kind === 'step') return seat.step(frame, this.#nowMs, readMs)
      if (frame.kind === 'prepare') return seat.feeding.prepare(frame)
      if (frame.kind === 'ask' || frame.kind === 'commit') return seat.asked(frame, this.#nowMs)
      if (frame.kind !== 'close') return unexpected(`${frame.kind} has no place on the way down`)
      seat.askedToClose(this.#nowMs, frame.commitTo)
      return undefined
    }
    if (role === 'lingering') return undefined
    if (role === 'feed' && seat !== undefined) return seat.feeding.onFrame(frame)
    if (role === 'down' && seat !== undefined) {
      if (frame.kind === 'prepared' && !seat.isTail) {
        seat.feeding.preparedBelow(frame)
        return undefined
      }
      if (frame.kind === 'ack') return seat.ack(frame)
      if (frame.kind === 'committed' && !seat.isTail) return seat.committedBelow(frame)
      if (frame.kind === 'standing' && !seat.isTail) return seat.standingBelow(frame, this.#nowMs)
      if (frame.kind === 'refuse' && !seat.isTail) return seat.refusedBelow(frame)
      if (frame.kind === 'refuse') {
        // The driver's end turns a tail away when its session has gone: for the tail that is a lost driver.
        this.close(channel)
        seat.nextLost(frame.message)
        return undefined
      }
      if (frame.kind !== 'closed' || !seat.ending.waitsForNext)
        return unexpected(`${frame.kind} has no place on the way up`)
      seat.nextClosed(frame)
      return undefined
    }
    if (role === 'driver') return this.#driven.onFrame(channel, frame, { bytes, readMs })
    if (frame.kind !== 'open') return unexpected(`the first frame must be open, not ${frame.kind}`)
    return this.#onOpen(channel, frame, bytes)
  }

  #onClosed(channel: StageChannel, message: string, reason: LossReason = 'closed'): void {
    const { role, seat } = channel
    this.#channels.delete(channel.id)
    channel.role = 'dead'
    if (role === 'driver') {
      this.#driven.lost(channel, reason)
    } else if (role === 'up' && seat !== undefined) {
      seat.orphaned(this.#nowMs)
    } else if (role === 'down' && seat !== undefined) {
      seat.nextLost(message, reason)
    } else if (role === 'feed' && seat !== undefined) {
      seat.feeding.lost(message)
    }
  }

  #violate(channel: StageChannel, { violation, message }: Fault): void {
    this.emit({ kind: 'violation', channel: channel.id, remote: channel.remote, violation, message })
    this.#onClosed(channel, `it broke the protocol: ${message}`)
  }

  // ── Opening ─────────────────────────────────────────────────────────────────────────────────────

  #onOpen(channel: StageChannel, open: OpenFrame, bytes: number): Fault | undefined {
    const fault = checkOpen(open, this.self, channel.remote)
    if (fault !== undefined) return fault
    if (open.hop === open.terms.route.length) {
      const refusal = this.#driven.open(channel, open.terms)
      if (refusal !== undefined) this.#turnAway(channel, open, ...refusal)
      return undefined
    }
    if (channel.isFull) {
      this.#turnAway(
        channel,
        open,
        'no-room',
        `this peer takes no more than ${stageStreamsPerPeerMax} streams of another`
      )
      return undefined
    }
    const { hop, terms } = open
    const forged = checkTerms(terms, this.drivers)
    if (forged !== undefined) return forged
    const lacking = terms.needs?.find(name => !knownNeeds.has(name))
    if (lacking !== undefined) {
      this.#turnAway(channel, open, 'unsupported', `the session needs '${lacking}', which this peer does not know`)
      return undefined
    }
    const { start, end } = terms.route[hop]!
    const stage = this.#stages.get(stageKey(terms.model, start, end))
    if (stage === undefined) {
      this.#turnAway(channel, open, 'not-serving', `no stage of layers ${start}-${end} of that model is served here`)
      return undefined
    }
    const misfit = checkTermsForStage(terms, stage)
    if (misfit !== undefined) return misfit
    const unheld = whyNoCache(terms, stage)
    if (unheld !== undefined) {
      this.#turnAway(channel, open, 'unsupported', unheld)
      return undefined
    }
    const seat = this.#seating.take(terms, stage, this.#nowMs)
    if (!(seat instanceof Seat)) {
      this.#turnAway(channel, open, seat.reason, seat.message, seat.length)
      return undefined
    }
    // The older streams carry nothing of worth any more; their other ends learn it from the close.
    for (const old of [seat.up, seat.down]) if (old !== undefined) this.close(old)
    channel.role = 'up'
    channel.seat = seat
    seat.begin(terms, hop, channel, this.#nowMs)
    seat.moved('in', bytes)
    if (seat.isInLine && terms.room !== 'wait')
      seat.giveWay(this.#nowMs, 'there is no room yet, and others wait for it')
    return undefined
  }

  /** Refuses an Open and closes its stream. The driver's end is no hop: it answers in the name of the last one. */
  #turnAway(channel: StageChannel, { hop, terms }: OpenFrame, reason: RefuseReason, message: string, length = 0): void {
    const { epoch, route } = terms
    const at = Math.min(hop, route.length - 1)
    this.emit({ kind: 'send', channel: channel.id, frame: { kind: 'refuse', epoch, hop: at, reason, length, message } })
    this.close(channel)
  }

  // ── Deadlines ───────────────────────────────────────────────────────────────────────────────────

  #onTick(): void {
    const now = this.#nowMs
    for (const channel of [...this.#channels.values()]) {
      if (channel.role === 'lingering' && now - channel.sinceMs >= stageCloseMs) this.close(channel)
      if (channel.role !== 'new' || now - channel.sinceMs < stageOpenMs) continue
      this.#violate(channel, { violation: 'silent', message: `no open within ${stageOpenMs} ms` })
    }
    for (const seat of this.#seating.all) {
      if (seat.phase === 'closing') {
        // Hops nearer to the tail give up sooner, so that those before them still hear what they know.
        const hops = seat.route.length
        const deadlineMs = (stageCloseMs * (hops - seat.hop)) / (hops + 1)
        if (seat.ending.waitsForNext && now - seat.ending.sinceMs >= deadlineMs) seat.nextClosed({ hops: [] })
      } else if (
        seat.orphanedMs !== undefined &&
        now - seat.orphanedMs >= (this.leaving ? orphanLeavingMs : orphanGraceMs)
      ) {
        seat.end(now)
      } else if (seat.isInLine) {
        if (this.leaving) {
          seat.refuse('leaving', 'this peer is about to go')
          seat.end(now)
        } else if (seat.quietMs(now) >= sessionUnusedMs) {
          seat.giveWay(now, `nobody asked for it for ${sessionUnusedMs / 1000} s`)
        }
      } else if (seat.use.idleMs(now) >= sessionIdleMs) {
        seat.giveWay(now, `it did not step for ${sessionIdleMs / 60_000} min`, { keepsBelow: false })
      } else if (seat.isUnused && seat.quietMs(now) >= sessionUnusedMs) {
        seat.giveWay(now, `no step came for ${sessionUnusedMs / 1000} s`)
      } else if (now - (seat.orphanedMs ?? now) >= orphanYieldMs) {
        seat.letGo()
      }
    }
    this.#seating.look(now)
  }
}

function unexpected(message: string): Fault {
  return { violation: 'unexpected', message }
}

function stageKey(model: string, start: number, end: number): string {
  return `${model}/${start}-${end}`
}
