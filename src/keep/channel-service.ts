/** One question at a time to one keeper, over a stream that is opened when it is needed. */
import { type Clock, systemClock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { DeadlineError, PeerLostError, ProtocolError } from '../errors.ts'
import { keepAnswerMs } from './limits.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { decodeAnswer, encodeRequest } from './codec.ts'
import { type KeepAnswer, type KeepRequest, keepProtocol } from './message.ts'

export class KeeperLine {
  readonly #links: Links
  readonly #peer: PeerId
  readonly #clock: Clock
  readonly #onViolation: (peer: PeerId, message: string) => void
  #channel: Channel | undefined
  #waiting: { resolve: (answer: KeepAnswer) => void; reject: (error: Error) => void } | undefined
  readonly #closing = new AbortController()

  /** @param init.clock @default the machine's */
  constructor(init: {
    links: Links
    peer: PeerId
    onViolation: (peer: PeerId, message: string) => void
    clock?: Clock | undefined
  }) {
    this.#links = init.links
    this.#clock = init.clock ?? systemClock
    this.#peer = init.peer
    this.#onViolation = init.onViolation
  }

  /**
   * Asks, and waits for the answer. One at a time: the caller waits before it asks again.
   *
   * @throws {PeerLostError} {DeadlineError} {ProtocolError}
   * @throws the signal's reason.
   */
  async ask(request: KeepRequest, { signal }: { signal?: AbortSignal } = {}): Promise<KeepAnswer> {
    const late = this.#clock.deadline(keepAnswerMs)
    const either = AbortSignal.any([late, this.#closing.signal, ...(signal === undefined ? [] : [signal])])
    const onAbort = (): void => {
      const error = late.aborted
        ? new DeadlineError(`${this.#peer} did not answer within ${keepAnswerMs} ms`)
        : (either.reason as Error)
      this.#waiting?.reject(error)
      this.#channel?.abort(error)
    }
    try {
      this.#channel ??= await this.#open(either)
      either.throwIfAborted()
      const answer = new Promise<KeepAnswer>((resolve, reject) => {
        this.#waiting = { resolve, reject }
      })
      either.addEventListener('abort', onAbort, { once: true })
      this.#channel.send(encodeRequest(request))
      return await answer
    } catch (error) {
      throw late.aborted ? new DeadlineError(`${this.#peer} did not answer within ${keepAnswerMs} ms`) : error
    } finally {
      either.removeEventListener('abort', onAbort)
      this.#waiting = undefined
    }
  }

  /** Ends the stream; what is asked fails. */
  close(): void {
    if (this.#waiting === undefined) void this.#channel?.close()
    this.#closing.abort(new PeerLostError(this.#peer, `the stream to ${this.#peer} was closed here`))
    this.#channel = undefined
  }

  async #open(signal: AbortSignal): Promise<Channel> {
    const channel = await this.#links.open(this.#peer, keepProtocol, { signal })
    channel.receive({
      onFrame: bytes => this.#onFrame(channel, bytes),
      onClose: error => {
        if (this.#channel === channel) this.#channel = undefined
        const message = error?.message ?? `${this.#peer} closed the stream`
        this.#waiting?.reject(new PeerLostError(this.#peer, message))
      }
    })
    return channel
  }

  #onFrame(channel: Channel, bytes: Uint8Array): void {
    try {
      const answer = decodeAnswer(bytes)
      if (answer === undefined) return
      if (this.#waiting === undefined) throw new ProtocolError('a keeper answers what it was not asked')
      this.#waiting.resolve(answer)
      channel.wanted?.()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#onViolation(this.#peer, error.message)
      this.#waiting?.reject(error)
      channel.abort(error)
    }
  }
}
