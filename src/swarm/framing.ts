/**
 * Frames on a byte stream: each is prefixed with its length as an unsigned varint, as libp2p's own protocols
 * do (multiformats/unsigned-varint, at most 5 bytes here). Pure: chunks in, whole frames out.
 */
import { ProtocolError } from '../errors.ts'
import { frameReserveBytes } from './limits.ts'

/** A prefix of 5 bytes reaches 2^35; every limit is far below that. */
const prefixBytesMax = 5

/** The length prefix of a frame of `bytes` bytes. */
export function encodeFrameLength(bytes: number): Uint8Array {
  const prefix: number[] = []
  let rest = bytes
  while (rest >= 0x80) {
    prefix.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  prefix.push(rest)
  return Uint8Array.from(prefix)
}

/** Bytes of the length prefix of a frame of `bytes` bytes. */
export function frameLengthBytes(bytes: number): number {
  let n = 1
  for (let rest = Math.floor(bytes / 0x80); rest > 0; rest = Math.floor(rest / 0x80)) n++
  return n
}

/**
 * Cuts chunks into frames. A frame that lies in one chunk is a view of it, not a copy. Any other is assembled in a
 * buffer that grows with what has arrived, so a prefix alone reserves at most {@link frameReserveBytes}.
 */
export class FrameDecoder {
  readonly frameBytesMax: number
  /** Value and number of the prefix bytes read so far. */
  #length = 0
  #prefixBytes = 0
  /** The frame being assembled, its length and how much of it is there; undefined between frames. */
  #frame: Uint8Array | undefined
  #frameBytes = 0
  #filled = 0
  /** What has arrived behind the prefix of a frame that has not been begun. */
  #held: Uint8Array[] = []
  #isHeld = false
  readonly #begin: (bytes: number) => boolean
  readonly #finish: () => void

  /**
   * @param init.begin asked before memory is taken for a frame that arrives in pieces; false: not before `resume`
   * @param init.finish told when such a frame is whole
   */
  constructor(init: { frameBytesMax: number; begin?: (bytes: number) => boolean; finish?: () => void }) {
    this.frameBytesMax = init.frameBytesMax
    this.#begin = init.begin ?? (() => true)
    this.#finish = init.finish ?? (() => {})
  }

  /** True from a `begin` that was refused to `resume`: what is pushed is only held. */
  get held(): boolean {
    return this.#isHeld
  }

  /** The frame that was refused may begin. Yields what has arrived of it and after it. */
  *resume(): Generator<Uint8Array, void, void> {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#reserve()
    const held = this.#held
    this.#held = []
    for (const chunk of held) yield* this.push(chunk)
  }

  /** True in the middle of a frame or of its prefix: a stream that ends here was cut short. */
  get partial(): boolean {
    return this.#frame !== undefined || this.#prefixBytes > 0 || this.#isHeld
  }

  /** The frame that a chunk is, where it is one and nothing else; undefined where `push` is to read it. Frames up to 2 MiB. */
  whole(chunk: Uint8Array): Uint8Array | undefined {
    if (this.partial) return undefined
    const [first, second, third] = [chunk[0]!, chunk[1]!, chunk[2]!]
    const prefix = first < 0x80 ? 1 : second < 0x80 ? 2 : 3
    const length = (first & 0x7f) + (prefix > 1 ? (second & 0x7f) << 7 : 0) + (prefix > 2 ? third << 14 : 0)
    // A padded prefix is no frame: its last byte is 0.
    const isPlain = chunk[prefix - 1]! < 0x80 && (prefix === 1 || chunk[prefix - 1] !== 0)
    if (!isPlain || length > this.frameBytesMax || prefix + length !== chunk.byteLength) return undefined
    return chunk.subarray(prefix)
  }

  /**
   * Reads one chunk and yields every frame that it completes, in order.
   *
   * @throws {ProtocolError} when a prefix is malformed or longer than `frameBytesMax`; the decoder is then unusable.
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    let at = 0
    while (at < chunk.byteLength) {
      if (this.#isHeld) {
        this.#held.push(at === 0 ? chunk : chunk.subarray(at))
        return
      }
      if (this.#frame === undefined) {
        const byte = chunk[at++]!
        this.#length += (byte & 0x7f) * 2 ** (7 * this.#prefixBytes)
        this.#prefixBytes++
        if (this.#length > this.frameBytesMax) {
          throw new ProtocolError(
            `a frame says it is at least ${this.#length} bytes long, the limit is ${this.frameBytesMax}`
          )
        }
        if ((byte & 0x80) !== 0) {
          if (this.#prefixBytes === prefixBytesMax)
            throw new ProtocolError('a frame has a length prefix of over 5 bytes')
          continue
        }
        // Only the shortest form is allowed: one frame, one encoding.
        if (byte === 0 && this.#prefixBytes > 1) throw new ProtocolError('a frame has a padded length prefix')
        const length = this.#length
        this.#length = 0
        this.#prefixBytes = 0
        if (chunk.byteLength - at >= length) {
          yield chunk.subarray(at, at + length)
          at += length
        } else {
          this.#frameBytes = length
          if (this.#begin(length)) this.#reserve()
          else this.#isHeld = true
        }
        continue
      }
      const bytes = Math.min(this.#frameBytes - this.#filled, chunk.byteLength - at)
      if (this.#filled + bytes > this.#frame.byteLength) this.#grow(this.#filled + bytes)
      this.#frame.set(chunk.subarray(at, at + bytes), this.#filled)
      this.#filled += bytes
      at += bytes
      if (this.#filled === this.#frameBytes) {
        const frame = this.#frame
        this.#frame = undefined
        this.#finish()
        yield frame
      }
    }
  }

  #reserve(): void {
    this.#frame = new Uint8Array(Math.min(this.#frameBytes, frameReserveBytes))
    this.#filled = 0
  }

  /** Doubles the buffer, at least to `bytes`, at most to the whole frame. */
  #grow(bytes: number): void {
    const old = this.#frame!
    this.#frame = new Uint8Array(Math.min(this.#frameBytes, Math.max(bytes, 2 * old.byteLength)))
    this.#frame.set(old.subarray(0, this.#filled))
  }
}
