/** Channels of frames over libp2p streams, and in memory for a peer that speaks to itself. */
import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { assert } from '../base/assert.ts'
import type { PeerId } from '../base/ids.ts'
import { type LossReason, PeerLostError, ProtocolError } from '../errors.ts'
import { channelCloseMs, channelHighWaterBytes, channelPendingBytesMax } from './limits.ts'
import { encodeFrameLength, FrameDecoder, frameLengthBytes } from './framing.ts'
import type { Channel } from './links.ts'
import { sendParts, takeBytes } from './short-way.ts'
import { socketTimes } from './socket-times.ts'
import { type Reader, UnfinishedFrames } from './unfinished.ts'

type Handlers = Parameters<Channel['receive']>[0]

/** What both kinds of channel share: frames that wait for a receiver, the one end, and those who wait for room. */
abstract class BaseChannel implements Channel {
  readonly remote: PeerId
  readonly revision: string
  bytesSent = 0
  bytesReceived = 0
  /** Set once, when the channel has ended: no error means it ended as agreed. */
  protected ended: { readonly error: Error | undefined } | undefined
  /** True from the local `close` on: nothing is sent and nothing delivered any more. */
  protected closing = false
  protected pendingBytes = 0
  #pending: Uint8Array[] = []
  #handlers: Handlers | undefined
  #closeTold = false
  readonly #waiting = new Set<() => void>()

  constructor({ remote, revision }: { remote: PeerId; revision: string }) {
    this.remote = remote
    this.revision = revision
  }

  abstract send(frame: Uint8Array): boolean
  abstract close(): Promise<void>
  abstract abort(error: Error): void
  /** True when a sender should wait. */
  protected abstract full(): boolean
  /** Called when frames that waited for a receiver have been delivered. */
  protected abstract pendingDelivered(): void

  get closed(): boolean {
    return this.ended !== undefined
  }

  receive(handlers: Handlers): void {
    assert(this.#handlers === undefined, 'a channel has one receiver')
    this.#handlers = handlers
    while (this.#pending.length > 0 && !this.closing && this.ended?.error === undefined) {
      const frame = this.#pending.shift()!
      this.pendingBytes -= frame.byteLength
      handlers.onFrame(frame)
    }
    this.#pending = []
    this.pendingBytes = 0
    if (this.ended === undefined) this.pendingDelivered()
    else this.#tellClose()
  }

  async ready({ signal }: { signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted()
    while (this.ended === undefined && !this.closing && this.full()) {
      await new Promise<void>((resolve, reject) => {
        const settle = (): void => {
          this.#waiting.delete(settle)
          signal.removeEventListener('abort', settle)
          if (signal.aborted) reject(signal.reason)
          else resolve()
        }
        this.#waiting.add(settle)
        signal.addEventListener('abort', settle)
      })
    }
    if (this.ended !== undefined || this.closing) {
      throw this.ended?.error ?? new PeerLostError(this.remote, `the channel to ${this.remote} is closed`)
    }
  }

  /** Hands one frame to the receiver, or keeps it until there is one. */
  protected deliver(frame: Uint8Array): void {
    if (this.closing || this.ended !== undefined) return
    if (this.#handlers === undefined) {
      this.#pending.push(frame)
      this.pendingBytes += frame.byteLength
    } else {
      this.#handlers.onFrame(frame)
    }
  }

  /** Lets those who wait in `ready` look again. */
  protected wake(): void {
    for (const settle of [...this.#waiting]) settle()
  }

  /** Ends the channel for this side; the first call counts. False when it had ended before. */
  protected end(error: Error | undefined): boolean {
    if (this.ended !== undefined) return false
    this.ended = { error }
    this.wake()
    this.#tellClose()
    return true
  }

  #tellClose(): void {
    if (this.#handlers === undefined || this.#closeTold) return
    this.#closeTold = true
    this.#handlers.onClose(this.ended?.error)
  }
}

/** A channel over a libp2p stream. */
export class StreamChannel extends BaseChannel {
  readonly #stream: Stream
  readonly #decoder: FrameDecoder
  readonly #lossReason: () => LossReason | undefined
  readonly #onViolation: (error: ProtocolError) => void
  /** The other end said that it sends no more, rather than the connection having gone away. */
  #remoteFinished = false
  #drainScheduled = false
  /** Frames since `wanted` was called last: how long it took to act upon them, and their bytes. */
  #takenMs = 0
  #takenBytes = 0
  readonly #onWanted: (taken: { ms: number; bytes: number }) => void
  /** Gives back what was booked for a frame that will not be finished. */
  readonly #forget: () => void

  /**
   * @param init.onViolation called when the other end breaks the framing rules, before the channel is aborted.
   */
  constructor(
    stream: Stream,
    init: {
      remote: PeerId
      revision: string
      frameBytesMax: number
      /** Memory for frames that have not wholly arrived, where it is shared. @default its own */
      unfinished?: UnfinishedFrames
      /** What is known of why its peer is lost, if it is. */
      lossReason?: () => LossReason | undefined
      onViolation?: (error: ProtocolError) => void
      /** Frames of it were what a session waited for. */
      onWanted?: (taken: { ms: number; bytes: number }) => void
    }
  ) {
    super(init)
    this.#stream = stream
    this.#lossReason = init.lossReason ?? (() => undefined)
    const unfinished = init.unfinished ?? new UnfinishedFrames()
    const reader: Reader = {
      remote: init.remote,
      resume: () => this.#resume(),
      evict: () => this.abort(new PeerLostError(init.remote, 'too many frames of this peer stood unfinished'))
    }
    this.#decoder = new FrameDecoder({
      frameBytesMax: init.frameBytesMax,
      begin: bytes => unfinished.begin(reader, bytes),
      finish: () => unfinished.end(reader)
    })
    this.#forget = () => unfinished.end(reader)
    this.#onViolation = init.onViolation ?? (() => {})
    this.#onWanted = init.onWanted ?? (() => {})
    takeBytes(stream, bytes => this.#read(bytes))
    stream.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) this.#read(data)
      else for (const chunk of data) this.#read(chunk)
    })
    stream.addEventListener('drain', () => this.#drained())
    stream.addEventListener('remoteCloseWrite', () => {
      this.#remoteFinished = true
      // The last bytes may still be on their way to the 'message' listener above; 'end' comes after them.
      if (stream.readableEnded) this.#finished()
    })
    stream.addEventListener('end', () => this.#finished())
    stream.addEventListener('close', ({ error }) => {
      if (error === undefined && (this.#remoteFinished || this.closing)) this.#finished()
      else this.end(this.#lost(error))
    })
    // What happened before these listeners were there is told by the stream's state alone.
    if (stream.status !== 'open') this.end(this.#lost())
    this.#remoteFinished = stream.remoteWriteStatus === 'closed'
    if (stream.readableEnded) this.#finished()
  }

  get readAtMs(): number | undefined {
    return socketTimes.readMs
  }

  get writtenAtMs(): number | undefined {
    return socketTimes.writeMs
  }

  wanted(): void {
    const taken = { ms: this.#takenMs, bytes: this.#takenBytes }
    this.#takenMs = 0
    this.#takenBytes = 0
    this.#onWanted(taken)
  }

  send(frame: Uint8Array): boolean {
    assert(
      frame.byteLength <= this.#decoder.frameBytesMax,
      () => `a frame of ${frame.byteLength} bytes is over the limit of ${this.#decoder.frameBytesMax}`
    )
    if (this.closing || this.ended !== undefined) return false
    const prefix = encodeFrameLength(frame.byteLength)
    try {
      if (sendParts(this.#stream, prefix, frame) === undefined) this.#stream.send(new Uint8ArrayList(prefix, frame))
    } catch (error) {
      // The stream ended between its event and this call: the frame is dropped as after a close.
      this.end(this.#lost(error))
      return false
    }
    this.bytesSent += prefix.byteLength + frame.byteLength
    return !this.full()
  }

  async close(): Promise<void> {
    if (this.closing || this.ended !== undefined) return
    this.closing = true
    this.#forget()
    this.wake()
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(channelCloseMs) })
      // Some ends never answer: without this their half of the stream would stay open for good.
      if (!this.closed) setTimeout(() => this.abort(this.#lost()), channelCloseMs).unref()
    } catch (error) {
      this.abort(this.#lost(error))
    }
  }

  abort(error: Error): void {
    if (!this.end(error)) return
    this.#stream.abort(error)
  }

  protected override end(error: Error | undefined): boolean {
    if (!super.end(error)) return false
    this.#forget()
    return true
  }

  protected full(): boolean {
    return this.#stream.writeBufferLength > channelHighWaterBytes || this.#stream.writableNeedsDrain
  }

  protected pendingDelivered(): void {
    if (this.#stream.readStatus === 'paused' && !this.#decoder.held) this.#stream.resume()
  }

  /** There is memory for the frame that had to wait. */
  #resume(): void {
    if (this.ended === undefined && !this.closing) this.#take(this.#decoder.resume())
    if (this.ended === undefined && this.#stream.readStatus === 'paused' && !this.#isToPause) this.#stream.resume()
  }

  get #isToPause(): boolean {
    return this.#decoder.held || this.pendingBytes > channelPendingBytesMax
  }

  #read(chunk: Uint8Array): void {
    // What still comes in while it closes is for nobody.
    if (this.ended !== undefined || this.closing) return
    const whole = this.#decoder.whole(chunk)
    this.#take(whole === undefined ? this.#decoder.push(chunk) : [whole])
  }

  #take(frames: Iterable<Uint8Array>): void {
    try {
      for (const frame of frames) {
        const bytes = frameLengthBytes(frame.byteLength) + frame.byteLength
        this.bytesReceived += bytes
        const startMs = performance.now()
        this.deliver(frame)
        this.#takenMs += performance.now() - startMs
        this.#takenBytes += bytes
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#onViolation(error)
      this.abort(error)
      return
    }
    if (this.#isToPause && this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  /** The other end has sent everything, or both have. */
  #finished(): void {
    if (this.ended !== undefined) return
    if (!this.#remoteFinished && !this.closing) return
    if (this.#decoder.partial && !this.closing) {
      const error = new ProtocolError(`${this.remote} closed its stream in the middle of a frame`)
      this.#onViolation(error)
      this.abort(error)
      return
    }
    this.end(undefined)
    // What is queued still leaves, then both halves are closed.
    void this.#closeOurHalf()
  }

  async #closeOurHalf(): Promise<void> {
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(channelCloseMs) })
    } catch (error) {
      this.#stream.abort(this.#lost(error))
    }
  }

  /**
   * Not `stream.onDrain()`: in @libp2p/utils 7.4 it keeps its first promise, so after one drain it never waits
   * again. The stream refills itself in a microtask after 'drain'; those who wait look after that.
   */
  #drained(): void {
    if (this.#drainScheduled) return
    this.#drainScheduled = true
    queueMicrotask(() =>
      queueMicrotask(() => {
        this.#drainScheduled = false
        if (!this.full()) this.wake()
      })
    )
  }

  #lost(cause?: unknown): Error {
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    return new PeerLostError(this.remote, `the channel to ${this.remote} broke${why}`, this.#lossReason())
  }
}

/** One end of a channel from a peer to itself. Frames are handed over as they are, not copied. */
export class MemoryChannel extends BaseChannel {
  readonly #frameBytesMax: number
  other!: MemoryChannel
  /** Bytes that this end sent and the other has not received yet. */
  inFlightBytes = 0

  constructor({ frameBytesMax, ...init }: { remote: PeerId; revision: string; frameBytesMax: number }) {
    super(init)
    this.#frameBytesMax = frameBytesMax
  }

  send(frame: Uint8Array): boolean {
    if (this.closing || this.ended !== undefined) return false
    const bytes = frameLengthBytes(frame.byteLength) + frame.byteLength
    this.bytesSent += bytes
    this.inFlightBytes += bytes
    const other = this.other
    // Never at once: the receiver may answer, and the sender must not be entered again in the middle of its turn. But
    // before anything that the sender wakes after it: a step to oneself leaves before its token is shown to anyone.
    queueMicrotask(() => {
      this.inFlightBytes -= bytes
      if (!this.full()) this.wake()
      if (other.closed) return
      if (frame.byteLength > other.#frameBytesMax) {
        const error = new ProtocolError(
          `a frame is ${frame.byteLength} bytes long, the limit is ${other.#frameBytesMax}`
        )
        other.abort(error)
        return
      }
      other.bytesReceived += bytes
      other.deliver(frame)
    })
    return !this.full()
  }

  async close(): Promise<void> {
    if (this.closing || this.ended !== undefined) return
    this.closing = true
    this.wake()
    const other = this.other
    // After every frame that was sent before, and whatever came of it.
    await new Promise<void>(resolve => {
      setImmediate(() => {
        other.end(undefined)
        this.end(undefined)
        resolve()
      })
    })
  }

  abort(error: Error): void {
    if (!this.end(error)) return
    const other = this.other
    setImmediate(() => other.end(new PeerLostError(this.remote, `the channel to ${this.remote} was aborted`)))
  }

  /** Frames that wait for a receiver count too: memory has no window that would stop the sender. */
  protected full(): boolean {
    return this.inFlightBytes + this.other.pendingBytes > channelHighWaterBytes
  }

  protected pendingDelivered(): void {
    this.other.wake()
  }
}

/** Two ends of a channel from `self` to itself: what one sends, the other receives when the sender's turn is over. */
export function memoryChannels(
  self: PeerId,
  init: { revision: string; frameBytesMax: number }
): [MemoryChannel, MemoryChannel] {
  const a = new MemoryChannel({ remote: self, ...init })
  const b = new MemoryChannel({ remote: self, ...init })
  a.other = b
  b.other = a
  return [a, b]
}
