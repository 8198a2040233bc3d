/**
 * All sessions at the stages of one peer, as a pure decider: frames, engine results and time come in, frames,
 * engine calls and streams go out. `service.ts` and the simulator drive it; `protocols/stage.md` has the rules.
 *
 * A *seat* is one session at one stage. Its cache outlives streams: a newer epoch finds it and carries on.
 */
import { assert } from '../base/assert.ts'
import type { PeerId, SessionId } from '../base/ids.ts'
import type { Sampling } from '../engine/engine.ts'
import { edgeSize } from '../engine/engine.ts'
import { ProtocolError } from '../errors.ts'
import {
  orphanGraceMs,
  outboxStepsMax,
  retainBlockTokens,
  sessionIdleMs,
  stageCloseMs,
  stageOpenMs,
  stageSessionsMax
} from '../limits.ts'
import { checkOpen, checkOpenForStage, checkStep, type Fault } from './check.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { ReceiveCredit, SendCredit } from './credit.ts'
import type { LinkId, SeatId, StageEffect, StageEvent, StageFacts, ViolationKind } from './event.ts'
import {
  type AckFrame,
  type Frame,
  framedBytes,
  type HopStats,
  type OpenFrame,
  type RefuseFrame,
  type RefuseReason,
  type RouteHop,
  type StepFrame
} from './frame.ts'
import { RetainedStates } from './retain.ts'

/** One stream as its seat sees it. */
interface Link {
  readonly id: LinkId
  readonly remote: PeerId
  /** `new`: nothing said yet. `up`, `down`: to the previous and next hop. `driver`: from a tail to this driver. */
  role: 'new' | 'up' | 'down' | 'driver' | 'dead'
  seat: Seat | undefined
  session: SessionId | undefined
  epoch: number
  connected: boolean
  readonly sinceMs: number
}

interface QueuedStep {
  readonly frame: StepFrame
  readonly arrivedMs: number
}

/** A computed step that waits for the next hop. */
type Output =
  | {
      readonly kind: 'hidden'
      readonly position: number
      readonly tokens: number
      readonly sample: boolean
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'token'; readonly position: number; readonly id: number }

/**
 * Where a seat stands. `opening`: the engine is reserving the cache, or a step of the older epoch is still being
 * computed. `refused`: it has refused and waits for a newer epoch or Close. `closing`: the cache is being freed.
 */
type Phase = 'opening' | 'open' | 'refused' | 'closing'

class Seat {
  readonly id: SeatId
  readonly session: SessionId
  readonly stage: StageFacts
  readonly driver: PeerId
  readonly tokensMax: number
  readonly sampling: Sampling
  readonly isTail: boolean
  /** undefined at the tail, which sends tokens. */
  readonly retained: RetainedStates | undefined

  phase: Phase = 'opening'
  epoch = 0
  keep = 0
  route: readonly RouteHop[] = []
  hop = 0
  up: Link | undefined
  down: Link | undefined

  /** Whether the engine has reserved the cache; undefined once that failed. */
  engine: 'opening' | 'open' | 'failed' = 'opening'
  /** Tokens in the engine's cache. */
  length = 0
  running: QueuedStep | undefined
  queue: QueuedStep[] = []
  received = new ReceiveCredit()

  outbox: Output[] = []
  sent = new SendCredit()
  /** Length of the next hop's cache when the epoch began; undefined until it has said so. */
  nextLength: number | undefined
  /** True when both lengths are known and the next three fields are set. */
  aligned = false
  /** The next hop already has the states below this position: they are not sent. */
  skipBelow = 0
  /** Retained states [replayAt, replayEnd) are sent before the outbox. */
  replayAt = 0
  replayEnd = 0
  /** End of the epoch's last computed step: a step that starts before it is a rollback, not a replay. */
  computedEnd = 0

  steps = 0
  tokens = 0
  computeMs = 0
  queueMs = 0
  bytesIn = 0
  bytesOut = 0
  bytesBack = 0
  replayed = 0

  activeMs = 0
  orphanedMs: number | undefined
  closingMs = 0
  freed = false
  /** The previous hop sent Close and waits for Closed. */
  closeAsked = false
  /** In `closing`: Closed has not come back from the next hop yet. */
  waitsForNext = false
  hopsAfter: readonly HopStats[] = []

  constructor(id: SeatId, stage: StageFacts, open: OpenFrame) {
    this.id = id
    this.session = open.session
    this.stage = stage
    this.driver = open.driver
    this.tokensMax = open.tokensMax
    this.sampling = open.sampling
    this.isTail = stage.end === stage.layers
    this.retained = this.isTail ? undefined : new RetainedStates(rowBytes(stage), open.tokensMax)
  }

  get retainedBytes(): number {
    return this.isTail ? 0 : RetainedStates.bytes(rowBytes(this.stage), this.tokensMax)
  }
}

export interface StagesInit {
  readonly self: PeerId
  /** Budget for what stages retain for replay, all sessions together. */
  readonly retainBytesMax: number
}

/** The sessions at one peer's stages. Call `handle` with everything that happens, and do what it returns. */
export class Stages {
  readonly #self: PeerId
  readonly #retainBytesMax: number
  readonly #stages = new Map<string, StageFacts>()
  readonly #seats = new Map<SeatId, Seat>()
  readonly #links = new Map<LinkId, Link>()
  /** Sessions that this peer drives, with the stream from their tail. */
  readonly #driven = new Map<SessionId, { link: Link | undefined }>()
  #retainBytes = 0
  #nextLink = -1
  #effects: StageEffect[] = []
  #nowMs = 0

  constructor({ self, retainBytesMax }: StagesInit) {
    this.#self = self
    this.#retainBytesMax = retainBytesMax
  }

  /** Sessions that hold a cache here. */
  get sessions(): number {
    return this.#seats.size
  }

  /** Steps that wait for an engine. */
  get queuedSteps(): number {
    let steps = 0
    for (const seat of this.#seats.values()) steps += seat.queue.length
    return steps
  }

  /** Bytes reserved for replay. */
  get retainBytes(): number {
    return this.#retainBytes
  }

  /** True while there is anything that a deadline could end. */
  get busy(): boolean {
    return this.#seats.size > 0 || this.#links.size > 0
  }

  handle(event: StageEvent, nowMs: number): StageEffect[] {
    this.#nowMs = nowMs
    switch (event.kind) {
      case 'frame': {
        const link = this.#links.get(event.link)
        if (link !== undefined) this.#onFrame(link, event.bytes)
        break
      }
      case 'computed': {
        const seat = this.#seats.get(event.seat)
        if (seat !== undefined) this.#onComputed(seat, event)
        break
      }
      case 'compute-failed': {
        const seat = this.#seats.get(event.seat)
        if (seat !== undefined) this.#onComputeFailed(seat, event.reason, event.length, event.message)
        break
      }
      case 'accepted':
        this.#links.set(event.link, this.#makeLink(event.link, event.remote, 'new'))
        break
      case 'connected': {
        const link = this.#links.get(event.link)
        if (link !== undefined) this.#onConnected(link)
        break
      }
      case 'closed': {
        const link = this.#links.get(event.link)
        if (link !== undefined) this.#onClosed(link, event.message)
        break
      }
      case 'opened': {
        const seat = this.#seats.get(event.seat)
        if (seat === undefined) break
        seat.engine = 'open'
        seat.length = event.length
        if (seat.phase === 'opening') this.#becomeOpen(seat)
        break
      }
      case 'open-failed': {
        const seat = this.#seats.get(event.seat)
        if (seat === undefined) break
        seat.engine = 'failed'
        if (seat.phase === 'closing') break
        if (seat.phase !== 'refused') this.#refuse(seat, event.noRoom ? 'no-room' : 'engine', event.message)
        this.#end(seat)
        break
      }
      case 'freed': {
        const seat = this.#seats.get(event.seat)
        if (seat === undefined) break
        seat.freed = true
        this.#finishClosing(seat)
        break
      }
      case 'add':
        this.#stages.set(stageKey(event.stage.model, event.stage.start, event.stage.end), event.stage)
        break
      case 'remove': {
        const key = stageKey(event.model, event.range.start, event.range.end)
        this.#stages.delete(key)
        for (const seat of [...this.#seats.values()]) {
          if (seat.phase === 'closing' || stageKey(seat.stage.model, seat.stage.start, seat.stage.end) !== key) continue
          this.#refuse(seat, 'leaving', 'the stage is being unloaded')
          this.#end(seat)
        }
        break
      }
      case 'drive':
        assert(!this.#driven.has(event.session), `session ${event.session} is driven already`)
        this.#driven.set(event.session, { link: undefined })
        break
      case 'undrive': {
        const link = this.#driven.get(event.session)?.link
        this.#driven.delete(event.session)
        if (link !== undefined) this.#close(link)
        break
      }
      case 'tick':
        this.#onTick()
        break
    }
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  // ── Streams ─────────────────────────────────────────────────────────────────────────────────────

  #makeLink(id: LinkId, remote: PeerId, role: Link['role']): Link {
    return {
      id,
      remote,
      role,
      seat: undefined,
      session: undefined,
      epoch: 0,
      connected: id > 0,
      sinceMs: this.#nowMs
    }
  }

  #onFrame(link: Link, bytes: Uint8Array): void {
    let frame: Frame
    try {
      frame = decodeFrame(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#violate(link, 'malformed', error.message)
      return
    }
    const { seat } = link
    if (link.role === 'up' && seat !== undefined) {
      seat.bytesIn += framedBytes(bytes.length)
      if (frame.kind === 'step') this.#onStep(link, seat, frame)
      else if (frame.kind === 'close') {
        seat.closeAsked = true
        this.#end(seat)
      } else this.#violate(link, 'unexpected', `${frame.kind} has no place on the way down`)
    } else if (link.role === 'down' && seat !== undefined) {
      if (frame.kind === 'ack') this.#onAck(link, seat, frame)
      else if (frame.kind === 'refuse') this.#onRefuse(link, seat, frame)
      else if (frame.kind === 'closed' && seat.waitsForNext) {
        seat.hopsAfter = frame.hops.filter(({ hop }) => hop > seat.hop)
        this.#nextIsClosed(seat)
      } else this.#violate(link, 'unexpected', `${frame.kind} has no place on the way up`)
    } else if (link.role === 'driver') {
      if (frame.kind !== 'token') this.#violate(link, 'unexpected', `a tail sends tokens, not ${frame.kind}`)
      else if (frame.epoch !== link.epoch) this.#violate(link, 'invalid', `a token of another epoch: ${frame.epoch}`)
      else {
        this.#effects.push({
          kind: 'deliver',
          session: link.session!,
          epoch: frame.epoch,
          position: frame.position,
          id: frame.id,
          bytes: framedBytes(bytes.length)
        })
      }
    } else if (link.role === 'new') {
      if (frame.kind === 'open') this.#onOpen(link, frame, bytes.length)
      else this.#violate(link, 'unexpected', `the first frame must be open, not ${frame.kind}`)
    }
  }

  #onClosed(link: Link, message: string): void {
    const { role, seat } = link
    this.#links.delete(link.id)
    link.role = 'dead'
    if (role === 'driver') {
      const driven = this.#driven.get(link.session!)
      if (driven?.link !== link) return
      driven.link = undefined
      this.#effects.push({ kind: 'tail-lost', session: link.session!, epoch: link.epoch, peer: link.remote })
    } else if (role === 'up' && seat !== undefined) {
      seat.up = undefined
      seat.orphanedMs = this.#nowMs
    } else if (role === 'down' && seat !== undefined) {
      seat.down = undefined
      if (seat.phase === 'closing') this.#nextIsClosed(seat)
      else if (seat.phase !== 'refused') {
        const next = seat.isTail ? `the driver ${link.remote}` : `hop ${seat.hop + 1} (${link.remote})`
        this.#refuse(seat, 'next-lost', `${next} is lost: ${message}`)
      }
    }
  }

  #onConnected(link: Link): void {
    const { seat } = link
    if (seat === undefined) return
    link.connected = true
    const { session, epoch, route, hop, driver, tokensMax, keep, sampling, stage } = seat
    const open: OpenFrame = {
      kind: 'open',
      session,
      epoch,
      model: stage.model,
      route,
      hop: hop + 1,
      driver,
      tokensMax,
      keep,
      sampling
    }
    this.#sendDown(seat, link, open)
    this.#align(seat)
    this.#pump(seat)
    this.#advance(seat)
  }

  #sendUp(seat: Seat, frame: Frame): void {
    if (seat.up === undefined) return
    const bytes = encodeFrame(frame)
    seat.bytesBack += framedBytes(bytes.length)
    this.#effects.push({ kind: 'send', link: seat.up.id, bytes })
  }

  #sendDown(seat: Seat, link: Link, frame: Frame): void {
    const bytes = encodeFrame(frame)
    seat.bytesOut += framedBytes(bytes.length)
    this.#effects.push({ kind: 'send', link: link.id, bytes })
  }

  /** Closes a stream after what is queued on it. Whatever still arrives on it is dropped. */
  #close(link: Link): void {
    this.#links.delete(link.id)
    link.role = 'dead'
    this.#effects.push({ kind: 'close', link: link.id })
  }

  #violate(link: Link, violation: ViolationKind, message: string): void {
    this.#effects.push({ kind: 'violation', link: link.id, remote: link.remote, violation, message })
    this.#onClosed(link, `${link.remote} broke the protocol: ${message}`)
  }

  // ── Opening ─────────────────────────────────────────────────────────────────────────────────────

  #onOpen(link: Link, open: OpenFrame, bytes: number): void {
    const fault = checkOpen(open, this.#self, link.remote)
    if (fault !== undefined) {
      this.#violate(link, fault.violation, fault.message)
      return
    }
    if (open.hop === open.route.length) {
      this.#onDriverOpen(link, open)
      return
    }

    const { start, end } = open.route[open.hop]!
    const stage = this.#stages.get(stageKey(open.model, start, end))
    if (stage === undefined) {
      this.#turnAway(link, open, 'not-serving', `no stage of layers ${start}-${end} of that model is served here`)
      return
    }
    const misfit = checkOpenForStage(open, stage)
    if (misfit !== undefined) {
      this.#violate(link, misfit.violation, misfit.message)
      return
    }

    const id: SeatId = `${open.session}/${start}-${end}`
    let seat = this.#seats.get(id)
    if (seat === undefined) {
      seat = new Seat(id, stage, open)
      if (this.#seats.size >= stageSessionsMax) {
        this.#turnAway(link, open, 'no-room', `this peer serves ${stageSessionsMax} sessions already`)
        return
      }
      if (this.#retainBytes + seat.retainedBytes > this.#retainBytesMax) {
        this.#turnAway(
          link,
          open,
          'no-room',
          `keeping what the stage sends needs ${seat.retainedBytes} bytes, ${this.#retainBytesMax - this.#retainBytes} are left`
        )
        return
      }
      this.#retainBytes += seat.retainedBytes
      this.#seats.set(id, seat)
      const { session, tokensMax, sampling } = open
      this.#effects.push({ kind: 'open-engine', seat: id, stage, session, tokensMax, sampling })
    } else {
      const change = whatChanged(seat, open)
      if (change !== undefined) {
        this.#violate(link, change.violation, change.message)
        return
      }
      if (open.epoch <= seat.epoch || seat.phase === 'closing') {
        this.#turnAway(link, open, 'stale-epoch', `epoch ${seat.epoch} is open here`, seat.length)
        return
      }
      // The older streams carry nothing of worth any more; their ends learn it from the close.
      for (const old of [seat.up, seat.down]) if (old !== undefined) this.#close(old)
    }

    link.role = 'up'
    link.seat = seat
    seat.up = link
    seat.bytesIn += framedBytes(bytes)
    seat.phase = 'opening'
    seat.epoch = open.epoch
    seat.keep = open.keep
    seat.route = open.route
    seat.hop = open.hop
    seat.queue = []
    seat.received = new ReceiveCredit()
    seat.outbox = []
    seat.sent = new SendCredit()
    // At the tail there is no cache after it; with keep 0 whatever the next hop holds is void.
    seat.nextLength = seat.isTail || open.keep === 0 ? 0 : undefined
    seat.aligned = false
    seat.activeMs = this.#nowMs
    seat.orphanedMs = undefined

    // The next hop prepares while this one does: one trip through the route before the first step, not two.
    const peer = seat.isTail ? open.driver : open.route[open.hop + 1]!.peer
    const down = this.#makeLink(this.#nextLink--, peer, 'down')
    down.seat = seat
    seat.down = down
    this.#links.set(down.id, down)
    this.#effects.push({ kind: 'connect', link: down.id, peer })
    if (seat.engine === 'open') this.#becomeOpen(seat)
  }

  #onDriverOpen(link: Link, open: OpenFrame): void {
    const driven = this.#driven.get(open.session)
    if (driven === undefined) {
      this.#turnAway(link, open, 'not-serving', 'this peer does not drive that session')
      return
    }
    if (driven.link !== undefined) {
      if (open.epoch <= driven.link.epoch) {
        this.#turnAway(link, open, 'stale-epoch', `epoch ${driven.link.epoch} is open here`)
        return
      }
      this.#close(driven.link)
    }
    link.role = 'driver'
    link.session = open.session
    link.epoch = open.epoch
    driven.link = link
  }

  /** Refuses an Open and closes its stream. */
  #turnAway(link: Link, { epoch, hop, route }: OpenFrame, reason: RefuseReason, message: string, length = 0): void {
    // The driver's end is no hop: it answers in the name of the last one.
    const refuse: RefuseFrame = {
      kind: 'refuse',
      epoch,
      hop: Math.min(hop, route.length - 1),
      reason,
      length,
      message
    }
    this.#effects.push({ kind: 'send', link: link.id, bytes: encodeFrame(refuse) })
    this.#close(link)
  }

  /** The cache is there and nothing of an older epoch runs: steps may run. */
  #becomeOpen(seat: Seat): void {
    if (seat.running !== undefined) return
    seat.phase = 'open'
    const length = Math.min(seat.length, seat.keep)
    seat.length = length
    seat.retained?.truncate(length)
    seat.replayEnd = seat.isTail ? 0 : length
    seat.skipBelow = Number.POSITIVE_INFINITY
    seat.computedEnd = 0
    if (seat.keep > 0) this.#sendUp(seat, { kind: 'ack', epoch: seat.epoch, length, steps: 0, tokens: 0 })
    this.#align(seat)
    this.#pump(seat)
    this.#advance(seat)
  }

  /**
   * Compares what this stage has sent with what the next hop has, once both are known. What the next hop lacks is
   * replayed from what was retained; what it has is not sent again, though it may have to be computed again here.
   */
  #align(seat: Seat): void {
    if (seat.aligned || seat.phase !== 'open' || seat.nextLength === undefined) return
    seat.aligned = true
    seat.skipBelow = Math.min(seat.skipBelow, seat.nextLength)
    seat.replayAt = seat.nextLength
  }

  // ── Steps ───────────────────────────────────────────────────────────────────────────────────────

  #onStep(link: Link, seat: Seat, frame: StepFrame): void {
    const fault = checkStep(frame, seat.stage, seat)
    if (fault !== undefined) {
      this.#violate(link, fault.violation, fault.message)
      return
    }
    if (!seat.received.arrived(frame.tokens)) {
      this.#violate(link, 'credit', 'more steps than the credit allows')
      return
    }
    if (seat.phase !== 'opening' && seat.phase !== 'open') return
    seat.activeMs = this.#nowMs
    seat.queue.push({ frame, arrivedMs: this.#nowMs })
    this.#advance(seat)
  }

  /** Starts the next step if there is one, none is running, and the next hop keeps up. */
  #advance(seat: Seat): void {
    if (seat.phase !== 'open' || seat.running !== undefined || seat.outbox.length >= outboxStepsMax) return
    const step = seat.queue.shift()
    if (step === undefined) return
    const { position, tokens, sample, input } = step.frame
    if (position > seat.length) {
      this.#refuse(seat, 'gap', `the step starts at ${position}, the cache ends at ${seat.length}`)
      return
    }
    seat.running = step
    this.#effects.push({
      kind: 'compute',
      seat: seat.id,
      step: { session: seat.session, position, tokens, input, sample: sample && seat.isTail }
    })
  }

  #onComputed(
    seat: Seat,
    { hidden, token, computeMs }: { hidden: Uint8Array | undefined; token: number | undefined; computeMs: number }
  ): void {
    assert(seat.running !== undefined, 'a result needs a step')
    const { frame, arrivedMs } = seat.running
    const { position, tokens, sample } = frame
    seat.running = undefined
    seat.length = position + tokens
    seat.steps += 1
    seat.tokens += tokens
    seat.computeMs += computeMs
    seat.queueMs += Math.max(0, this.#nowMs - arrivedMs - computeMs)
    if (seat.phase === 'closing') return
    if (hidden !== undefined) seat.retained?.write(position, hidden)
    // A newer epoch came while an older one's step ran: its cache is as good, its output nobody waits for.
    if (seat.phase === 'opening') {
      this.#becomeOpen(seat)
      return
    }
    if (seat.phase !== 'open') return

    // Fewer retained states are left to replay; after a rollback the next hop's older states are void, too.
    seat.replayEnd = Math.min(seat.replayEnd, position)
    if (position < seat.computedEnd) seat.skipBelow = Math.min(seat.skipBelow, position)
    seat.computedEnd = position + tokens
    if (hidden !== undefined) seat.outbox.push({ kind: 'hidden', position, tokens, sample, bytes: hidden })
    else if (token !== undefined) seat.outbox.push({ kind: 'token', position: position + tokens, id: token })

    this.#pump(seat)
    seat.received.done(tokens)
    if (seat.received.takeAck()) this.#sendAck(seat)
    this.#advance(seat)
  }

  #sendAck(seat: Seat): void {
    const { epoch, length, received } = seat
    this.#sendUp(seat, { kind: 'ack', epoch, length, steps: received.steps, tokens: received.tokens })
  }

  #onComputeFailed(seat: Seat, reason: 'gap' | 'engine' | 'invalid', length: number, message: string): void {
    seat.running = undefined
    // The engine may still hold more than what is valid in this epoch.
    seat.length = Math.min(seat.length, length)
    if (seat.phase === 'opening') this.#becomeOpen(seat)
    else if (seat.phase === 'open') this.#refuse(seat, reason, message)
  }

  /** Sends what the next hop has credit for: first what it has lost, then what was just computed. */
  #pump(seat: Seat): void {
    const { down } = seat
    if (seat.phase !== 'open' || down === undefined || !down.connected || !seat.aligned) return
    while (seat.replayAt < seat.replayEnd) {
      const position = seat.replayAt
      const border = (Math.floor(position / retainBlockTokens) + 1) * retainBlockTokens
      const tokens = Math.min(border, seat.replayEnd) - position
      if (!seat.sent.allows(tokens)) return
      seat.replayAt += tokens
      seat.replayed += tokens
      this.#sendStep(seat, down, position, tokens, false, seat.retained!.read(position, position + tokens))
    }
    for (let output = seat.outbox[0]; output !== undefined; output = seat.outbox[0]) {
      if (output.kind === 'token') {
        this.#sendDown(seat, down, { kind: 'token', epoch: seat.epoch, position: output.position, id: output.id })
      } else {
        const { position, tokens, sample, bytes } = output
        const skip = Math.max(0, seat.skipBelow - position)
        if (skip < tokens) {
          if (!seat.sent.allows(tokens - skip)) return
          const rest = skip === 0 ? bytes : bytes.subarray((bytes.length / tokens) * skip)
          this.#sendStep(seat, down, position + skip, tokens - skip, sample, rest)
          seat.skipBelow = 0
        }
      }
      seat.outbox.shift()
    }
  }

  #sendStep(seat: Seat, down: Link, position: number, tokens: number, sample: boolean, bytes: Uint8Array): void {
    seat.sent.sent(tokens)
    const input = { kind: 'hidden', bytes } as const
    this.#sendDown(seat, down, { kind: 'step', epoch: seat.epoch, position, tokens, sample, input })
  }

  #onAck(link: Link, seat: Seat, ack: AckFrame): void {
    if (ack.epoch !== seat.epoch || seat.phase === 'closing') return
    if (seat.isTail || !seat.sent.acked(ack.steps, ack.tokens)) {
      this.#violate(link, 'invalid', `an ack of ${ack.steps} steps and ${ack.tokens} tokens that were not sent`)
      return
    }
    if (seat.nextLength === undefined) {
      if (ack.length > seat.keep) {
        this.#violate(link, 'invalid', `a length of ${ack.length} where ${seat.keep} is all that is valid`)
        return
      }
      seat.nextLength = ack.length
      this.#align(seat)
    }
    this.#pump(seat)
    this.#advance(seat)
  }

  // ── Refusing ────────────────────────────────────────────────────────────────────────────────────

  /** This hop cannot go on; its cache stays as it is for a newer epoch. */
  #refuse(seat: Seat, reason: RefuseReason, message: string): void {
    const { epoch, hop, length } = seat
    this.#refuseWith(seat, { kind: 'refuse', epoch, hop, reason, length, message })
  }

  #refuseWith(seat: Seat, frame: RefuseFrame): void {
    this.#sendUp(seat, frame)
    seat.phase = 'refused'
    seat.queue = []
    seat.outbox = []
  }

  /** A hop further down cannot go on: the driver must know. */
  #onRefuse(link: Link, seat: Seat, refuse: RefuseFrame): void {
    // The driver's end turns a tail away when its session has gone: for the tail that is a lost driver.
    if (seat.isTail) {
      this.#effects.push({ kind: 'close', link: link.id })
      this.#onClosed(link, refuse.message)
      return
    }
    if (refuse.hop <= seat.hop || refuse.hop >= seat.route.length) {
      this.#violate(link, 'invalid', `a refusal by hop ${refuse.hop} came from behind hop ${seat.hop}`)
      return
    }
    if (refuse.epoch !== seat.epoch || seat.phase === 'refused' || seat.phase === 'closing') return
    this.#refuseWith(seat, refuse)
  }

  // ── Closing ─────────────────────────────────────────────────────────────────────────────────────

  /** Frees the seat here and further down; says Closed to the previous hop, if it is still there, when done. */
  #end(seat: Seat): void {
    if (seat.phase === 'closing') return
    seat.phase = 'closing'
    seat.closingMs = this.#nowMs
    seat.queue = []
    seat.outbox = []
    if (seat.down !== undefined) {
      if (seat.isTail || !seat.down.connected) {
        this.#close(seat.down)
        seat.down = undefined
      } else {
        this.#sendDown(seat, seat.down, { kind: 'close', epoch: seat.epoch })
        seat.waitsForNext = true
      }
    }
    if (seat.engine === 'failed') seat.freed = true
    else this.#effects.push({ kind: 'free-engine', seat: seat.id })
    this.#finishClosing(seat)
  }

  #nextIsClosed(seat: Seat): void {
    seat.waitsForNext = false
    if (seat.down !== undefined) this.#close(seat.down)
    seat.down = undefined
    this.#finishClosing(seat)
  }

  #finishClosing(seat: Seat): void {
    if (seat.phase !== 'closing' || !seat.freed || seat.waitsForNext) return
    this.#seats.delete(seat.id)
    this.#retainBytes -= seat.retainedBytes
    if (seat.up === undefined) return
    if (!seat.closeAsked) {
      this.#close(seat.up)
      return
    }
    const { hop, steps, tokens, computeMs, queueMs, bytesIn, bytesOut, bytesBack, replayed } = seat
    const own: HopStats = { hop, steps, tokens, computeMs, queueMs, bytesIn, bytesOut, bytesBack, replayed }
    this.#sendUp(seat, { kind: 'closed', hops: [own, ...seat.hopsAfter] })
    this.#close(seat.up)
  }

  // ── Deadlines ───────────────────────────────────────────────────────────────────────────────────

  #onTick(): void {
    const now = this.#nowMs
    for (const link of [...this.#links.values()]) {
      if (link.role === 'new' && now - link.sinceMs >= stageOpenMs) {
        this.#violate(link, 'silent', `no open within ${stageOpenMs} ms`)
      }
    }
    for (const seat of [...this.#seats.values()]) {
      if (seat.phase === 'closing') {
        // Hops nearer to the tail give up sooner, so that those before them still hear what they know.
        const { length } = seat.route
        const deadlineMs = (stageCloseMs * (length - seat.hop)) / (length + 1)
        if (seat.waitsForNext && now - seat.closingMs >= deadlineMs) this.#nextIsClosed(seat)
      } else if (seat.orphanedMs !== undefined && now - seat.orphanedMs >= orphanGraceMs) {
        this.#end(seat)
      } else if (now - seat.activeMs >= sessionIdleMs) {
        this.#end(seat)
      }
    }
  }
}

function rowBytes(stage: StageFacts): number {
  return stage.hidden * edgeSize(stage.edge)
}

function stageKey(model: string, start: number, end: number): string {
  return `${model}/${start}-${end}`
}

/** What a session may not change between its epochs. */
function whatChanged(seat: Seat, open: OpenFrame): Fault | undefined {
  if (open.driver !== seat.driver) return { violation: 'impostor', message: `the session's driver is ${seat.driver}` }
  const a = seat.sampling
  const b = open.sampling
  const same =
    open.model === seat.stage.model &&
    open.tokensMax === seat.tokensMax &&
    a.temperature === b.temperature &&
    a.topP === b.topP &&
    a.topK === b.topK &&
    a.seed === b.seed
  return same ? undefined : { violation: 'invalid', message: 'a session keeps its model, tokensMax and sampling' }
}
