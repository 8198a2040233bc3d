/** A stand-in that a seat feeds while its epoch goes on, over a stream of its own (rules S19, S20). */
import type { PeerId } from '../base/ids.ts'
import type { Fault } from './check.ts'
import { Feed } from './feed.ts'
import type { Frame } from './frame.ts'
import type { StageChannel } from './stage-channel.ts'
import type { SignedTerms } from './terms.ts'

export interface FeedingInit {
  /** What one step may hold. */
  readonly stepTokens: number
  readonly connect: (peer: PeerId) => StageChannel
  readonly send: (channel: StageChannel, frame: Frame) => void
  readonly close: (channel: StageChannel) => void
  /** Retained states [position, end), which lie in one block. */
  readonly retained: (position: number, end: number) => Uint8Array
  readonly onReplayed: (tokens: number) => void
  /** Tells the driver: the stand-in of epoch `next` has caught up, or why it will not. */
  readonly prepared: (next: number, failure: string) => void
}

export class Feeding {
  readonly #init: FeedingInit
  #now: { readonly feed: Feed; readonly channel: StageChannel } | undefined
  /** The highest epoch that it was told to feed for. */
  #epoch = 0

  constructor(init: FeedingInit) {
    this.#init = init
  }

  begin(terms: SignedTerms): void {
    // Terms feed once: what comes again is no word of the driver's.
    if (terms.epoch <= this.#epoch) return
    this.#epoch = terms.epoch
    this.drop()
    const { peer } = terms.route[terms.stretch!.from]!
    this.#now = { feed: new Feed(terms, this.#init.stepTokens), channel: this.#init.connect(peer) }
  }

  /** The stream to the stand-in is open. */
  connected(): void {
    if (this.#now === undefined) return
    const { channel, feed } = this.#now
    channel.connected = true
    const { terms } = feed
    this.#init.send(channel, { kind: 'open', hop: terms.stretch!.from, terms })
  }

  /** A frame from the stand-in. Returns what is wrong with it, if anything is. */
  onFrame(frame: Frame): Fault | undefined {
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

  /** Sends what the stand-in lacks of a cache of so many tokens, as far as it has credit. */
  pump(length: number): void {
    if (this.#now?.channel.connected !== true) return
    const { feed, channel } = this.#now
    for (let step = feed.next(length); step !== undefined; step = feed.next(length)) {
      const { position, tokens } = step
      const input = { kind: 'hidden', bytes: this.#init.retained(position, position + tokens) } as const
      this.#init.onReplayed(tokens)
      this.#init.send(channel, { kind: 'step', epoch: feed.terms.epoch, position, tokens, sample: false, input })
    }
  }

  /** Tells the driver, once, when so little of `length` tokens is missing that one short step makes up for it. */
  tellPrepared(length: number): void {
    const feed = this.#now?.feed
    if (feed?.takePrepared(length) === true) this.#init.prepared(feed.terms.epoch, '')
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
    this.#init.prepared(epoch, message)
  }

  /** The session ends: so does what the stand-in holds of it. */
  end(): void {
    const now = this.#now
    if (now?.channel.connected === true) this.#init.send(now.channel, { kind: 'close', epoch: now.feed.terms.epoch })
    this.drop()
  }

  /** Ends the stream to the stand-in, whose cache waits for a newer epoch. */
  drop(): void {
    if (this.#now !== undefined) this.#init.close(this.#now.channel)
    this.#now = undefined
  }
}
