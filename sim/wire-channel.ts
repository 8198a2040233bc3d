/** Channels of frames over the radio's connections. */
import type { PeerId } from '../src/base/ids.ts'
import type { LossReason } from '../src/errors.ts'

/** What Yamux (12) and Noise (18) add to a frame. */
const envelopeBytes = 30

/** The end of a connection that a channel is on. */
export interface ChannelEnd {
  readonly channels: Set<WireChannel>
}

/** What has things done at the other end, in order. */
export interface Carrier {
  carry(end: ChannelEnd | undefined, channel: WireChannel | undefined, bytes: number, task: () => void): void
}

export interface ChannelHandlers {
  readonly onFrame: (frame: Uint8Array) => void
  readonly onClose: (message: string | undefined, reason: LossReason) => void
}

/** One end of a channel of frames. */
export class WireChannel {
  readonly protocol: string
  /** That both ends speak; empty until the channel is open. */
  revision = ''
  readonly self: PeerId
  readonly remote: PeerId
  other!: WireChannel
  handlers: ChannelHandlers | undefined
  /** Undefined on a channel from a peer to itself. */
  readonly #end: ChannelEnd | undefined
  readonly #wire: Carrier
  #open = true

  constructor(wire: Carrier, end: ChannelEnd | undefined, protocol: string, self: PeerId, remote: PeerId) {
    this.#wire = wire
    this.#end = end
    this.protocol = protocol
    this.self = self
    this.remote = remote
    end?.channels.add(this)
  }

  get isOpen(): boolean {
    return this.#open
  }

  /**
   * @param wireBytes what the frame would weigh with real hidden states.
   * @param onArrived called when it has arrived.
   */
  send(frame: Uint8Array, wireBytes = frame.length, onArrived?: () => void): void {
    if (!this.#open) return
    this.#wire.carry(this.#end, this, wireBytes + envelopeBytes, () => {
      onArrived?.()
      const { other } = this
      if (other.#open) other.handlers?.onFrame(frame)
    })
  }

  /** Lets what was sent arrive, then closes both ends. */
  close(): void {
    if (!this.#open) return
    this.#wire.carry(this.#end, this, 12, () => this.other.end(undefined))
    this.#quit()
  }

  abort(): void {
    if (!this.#open) return
    this.#wire.carry(this.#end, this, 12, () => this.other.end(`${this.self} reset the channel`))
    this.#quit()
  }

  /** This end closes and is told. */
  end(message: string | undefined, reason: LossReason = 'closed'): void {
    if (!this.#open) return
    this.#quit()
    this.handlers?.onClose(message, reason)
  }

  #quit(): void {
    this.#open = false
    this.#end?.channels.delete(this)
  }
}
