/** A stand-in that a seat feeds while its epoch goes on, over a stream of its own (rules S19, S20). */
import { checkPrepare, checkTerms, type Fault } from './check.ts'
import { Feed } from './feed.ts'
import type { Frame, PreparedFrame, PrepareFrame } from './frame.ts'
import type { SeatCore, SeatHost } from './seat-host.ts'
import type { SeatSteps } from './seat-steps.ts'
import type { StageChannel } from './stage-channel.ts'
import type { SignedTerms } from './terms.ts'

export class Feeding {
  readonly #seat: SeatCore
  readonly #steps: SeatSteps
  readonly #host: SeatHost
  #now: { readonly feed: Feed; readonly channel: StageChannel } | undefined
  /** The highest epoch that it was told to feed for. */
  #epoch = 0

  constructor(seat: SeatCore, steps: SeatSteps, host: SeatHost) {
    this.#seat = seat
    this.#steps = steps
    this.#host = host
  }

  /** A hop shall feed a stand-in: this one, or one further down. Returns what is wrong with the frame. */
  prepare(frame: PrepareFrame): Fault | undefined {
    const { epoch, phase, down, hop: here } = this.#seat
    if (frame.epoch !== epoch || (phase !== 'open' && phase !== 'opening')) return undefined
    const { hop, terms } = frame
    if (hop < here)
      return { violation: 'invalid', message: `hop ${hop} is to feed a stand-in, but this is hop ${here}` }
    const fault = checkPrepare(frame, this.#seat.terms) ?? checkTerms(terms, this.#host.drivers)
    if (fault !== undefined) return fault
    if (hop === here) this.#begin(terms)
    else if (down?.connected === true) this.#seat.sendDown(frame)
    else this.#prepared(terms.epoch, 'the stream to the next hop is not open')
    return undefined
  }

  #begin(terms: SignedTerms): void {
    // Terms feed once: what comes again is no word of the driver's.
    if (terms.epoch <= this.#epoch) return
    this.#epoch = terms.epoch
    this.drop()
    const { peer } = terms.route[terms.stretch!.from]!
    const channel = this.#seat.connect(peer, 'feed')
    this.#now = { feed: new Feed(terms, this.#steps.stepTokens), channel }
  }

  /** The stream to the stand-in is open. */
  connected(): void {
    if (this.#now === undefined) return
    const { channel, feed } = this.#now
    channel.connected = true
    const { terms } = feed
    this.#send(channel, { kind: 'open', hop: terms.stretch!.from, terms })
    this.pump()
  }

  /** A frame from the stand-in. Returns what is wrong with it, if anything is. */
  onFrame(frame: Frame): Fault | undefined {
    const fault = this.#look(frame)
    if (fault !== undefined) return fault
    this.pump()
    if (frame.kind === 'ack') this.#tellPrepared()
    return undefined
  }

  #look(frame: Frame): Fault | undefined {
    if (this.#now === undefined) return undefined
    const { feed } = this.#now
    if (frame.kind === 'refuse') {
      this.lost(frame.message)
      return undefined
    }
    if (frame.kind !== 'ack') return { violation: 'unexpected', message: `${frame.kind} has no place on the way up` }
    if (frame.epoch === feed.terms.epoch && feed.acked(frame)) return undefined
    return { violation: 'invalid', message: `an ack of ${frame.steps} steps and ${frame.tokens} tokens` }
  }

  /** Sends what the stand-in lacks of the cache here, as far as it has credit. */
  pump(): void {
    const { phase } = this.#seat
    // Only what this epoch has made valid: a cache of an older one may still be cut.
    if ((phase !== 'open' && phase !== 'refused') || this.#now?.channel.connected !== true) return
    const { feed, channel } = this.#now
    const { certain } = this.#steps
    for (let step = feed.next(certain); step !== undefined; step = feed.next(certain)) {
      const { position, tokens } = step
      const input = { kind: 'hidden', bytes: this.#steps.retained(position, position + tokens) } as const
      this.#steps.standing.replayed(tokens)
      const ids = this.#steps.retainedIds(position, position + tokens)
      this.#send(channel, { kind: 'step', epoch: feed.terms.epoch, position, tokens, sample: false, input, ids })
    }
  }

  /** Tells the driver, once, when so little is missing that one short step makes up for it. */
  #tellPrepared(): void {
    const feed = this.#now?.feed
    if (feed?.takePrepared(this.#steps.certain) === true) this.#prepared(feed.terms.epoch, '')
  }

  /** A hop further down tells the driver how a preparation went. */
  preparedBelow(frame: PreparedFrame): void {
    const { epoch, phase } = this.#seat
    if (frame.epoch === epoch && phase !== 'closing') this.#seat.sendUp(frame)
  }

  /** Tells the driver: the stand-in of epoch `next` has caught up, or why it will not. */
  #prepared(next: number, failure: string): void {
    const { epoch } = this.#seat
    this.#seat.sendUp({ kind: 'prepared', epoch, next, failed: failure !== '', message: failure })
  }

  /** The seat has computed from here anew in its epoch. */
  rollback(position: number): void {
    this.#now?.feed.rollback(position)
  }

  /** The stand-in cannot be prepared. */
  lost(message: string): void {
    if (this.#now === undefined) return
    const { epoch } = this.#now.feed.terms
    this.drop()
    this.#prepared(epoch, message)
  }

  /** The session ends: so does what the stand-in holds of it. */
  end(): void {
    const now = this.#now
    if (now?.channel.connected === true) this.#send(now.channel, { kind: 'close', epoch: now.feed.terms.epoch })
    this.drop()
  }

  /** Ends the stream to the stand-in, whose cache waits for a newer epoch. */
  drop(): void {
    if (this.#now !== undefined) this.#host.close(this.#now.channel)
    this.#now = undefined
  }

  #send({ id: channel }: StageChannel, frame: Frame): void {
    this.#host.emit({ kind: 'send', channel, frame })
  }
}
