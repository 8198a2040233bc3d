/**
 * The short way through libp2p for whole messages over streams on which nothing waits: one buffer for each, one call from layer to
 * layer. Its own way (@libp2p/utils 7.4, @chainsafe/libp2p-noise 17, @chainsafe/libp2p-yamux 8) puts each message through a dozen
 * lists of buffers and six events at each end, which is most of what a hop costs beside computing. Whatever is not the plain case,
 * or not as it is known here, goes that way.
 */
import { socketTimes } from './socket-times.ts'

type Bytes = Uint8Array
type Listed = { readonly byteLength: number; subarray(): Bytes }

/** What is used of a message stream beside its type. */
interface Inner {
  readonly readStatus: string
  readonly writeStatus: string
  readonly remoteWriteStatus: string
  readonly readBuffer: { readonly byteLength: number }
  readonly writeBuffer: { readonly byteLength: number }
  sendingData: boolean
  writableNeedsDrain: boolean
  onData(data: Bytes | Listed): void
  sendData(data: Iterable<Bytes>): { readonly canSendMore: boolean }
  send(data: Bytes | Listed): boolean
  abort(error: Error): void
}

/** Of a stream of Noise. */
interface Sealed extends Inner {
  readonly decoder: { readonly buffer: { readonly byteLength: number } }
  readonly handshake: { encrypt(plain: Bytes): Bytes; decrypt(box: Bytes, dst: Bytes): Bytes }
}

/** Of Yamux, and of a stream of it. */
interface Muxer {
  readonly decoder: { readonly buffer: { readonly byteLength: number } }
  readonly streams: readonly (MuxedStream & { handleData(frame: object): void })[]
  onData(data: Bytes | Listed): void
  send(data: Bytes): boolean
  abort(error: Error): void
}
interface MuxedStream extends Inner {
  readonly streamId: number
  readonly state: number
  readonly maxMessageSize: number
  sendWindowCapacity: number
  [sendWhole]?: (data: Bytes) => boolean
}

/** What sends one whole frame of a stream. */
const sendWhole = Symbol('sendWhole')

function isInner(stream: object): stream is Inner {
  const { onData, sendData, readBuffer, writeBuffer } = stream as Partial<Inner>
  return (
    typeof onData === 'function' &&
    typeof sendData === 'function' &&
    typeof readBuffer?.byteLength === 'number' &&
    typeof writeBuffer?.byteLength === 'number'
  )
}

/** Nothing waits to be sent, and nothing keeps it from leaving. */
function isFree(stream: Inner): boolean {
  return (
    stream.writeStatus === 'writable' &&
    !stream.sendingData &&
    !stream.writableNeedsDrain &&
    stream.writeBuffer.byteLength === 0
  )
}

/** What comes is taken at once, and nothing came before it that is not. */
function isAwake(stream: Inner): boolean {
  return stream.readStatus === 'readable' && stream.remoteWriteStatus !== 'closed' && stream.readBuffer.byteLength === 0
}

/** Sends at once, as the stream itself would. @throws what sending throws, after which the stream is aborted. */
function sendNow(stream: Inner, send: () => boolean): boolean {
  stream.sendingData = true
  try {
    const more = send()
    if (!more) stream.writableNeedsDrain = true
    return more
  } catch (error) {
    stream.abort(error as Error)
    throw error
  } finally {
    stream.sendingData = false
  }
}

// ── The socket ─────────────────────────────────────────────────────────────────────────────────────

/**
 * Gives the socket of a connection each message in one piece. Noise hands over a length of two bytes and a ciphertext, and
 * @libp2p/tcp 11 writes each part of a list by itself: two system calls and two packets, for which the receiver wakes twice.
 */
export function shortenSocket(connection: object): void {
  const inner = connection as Inner
  const send = inner.send.bind(inner)
  const isKnown = isInner(inner)
  inner.send = data => {
    const piece = data.subarray()
    socketTimes.writeMs = performance.now()
    if (!isKnown || piece.byteLength === 0 || !isFree(inner)) return send(piece)
    return sendNow(inner, () => inner.sendData([piece]).canSendMore)
  }
}

// ── Noise ──────────────────────────────────────────────────────────────────────────────────────────

const sealBytesMax = 65_535
const tagBytes = 16

/** Seals and opens messages between a socket's connection and the stream of Noise over it. */
export function shortenNoise(connection: object, stream: object): void {
  if (!isInner(connection) || !isInner(stream)) return
  const sealed = stream as Sealed
  if (typeof sealed.handshake?.encrypt !== 'function' || sealed.decoder?.buffer === undefined) return
  const send = sealed.send.bind(sealed)
  sealed.send = data => {
    const isShort = data instanceof Uint8Array && data.byteLength > 0 && data.byteLength <= sealBytesMax - tagBytes
    if (!isShort || !isFree(sealed)) return send(data)
    return sendNow(sealed, () => connection.send(boxed(sealed.handshake.encrypt(data))))
  }
  const onData = connection.onData.bind(connection)
  connection.onData = data => {
    socketTimes.readMs = performance.now()
    if (!(data instanceof Uint8Array) || !isAwake(connection) || !openAll(sealed, data)) onData(data)
  }
}

/** A ciphertext after its length. */
function boxed(box: Bytes): Bytes {
  const out = new Uint8Array(2 + box.byteLength)
  out[0] = box.byteLength >>> 8
  out[1] = box.byteLength
  out.set(box, 2)
  return out
}

/** Opens the messages of a chunk that holds nothing else. False where it does: then none was. */
function openAll(sealed: Sealed, chunk: Bytes): boolean {
  if (sealed.decoder.buffer.byteLength > 0) return false
  let end = 0
  while (end + 2 <= chunk.byteLength) {
    const bytes = (chunk[end]! << 8) | chunk[end + 1]!
    if (bytes <= tagBytes) return false
    end += 2 + bytes
  }
  if (end !== chunk.byteLength) return false
  try {
    for (let at = 0; at < end; ) {
      const bytes = (chunk[at]! << 8) | chunk[at + 1]!
      const from = at + 2
      at = from + bytes
      sealed.onData(sealed.handshake.decrypt(chunk.subarray(from, at), chunk.subarray(from, at - tagBytes)))
    }
  } catch (error) {
    sealed.abort(error as Error)
  }
  return true
}

// ── Yamux ──────────────────────────────────────────────────────────────────────────────────────────

const headerBytes = 12
/** States of a stream in which it has nothing to say beside its data. */
const established = 3
const paused = 5

/** Gives a muxer what comes over its connection, and its streams their frames. */
export function shortenYamux(connection: object, muxer: object): void {
  const mux = muxer as Muxer
  if (!isInner(connection) || mux.decoder?.buffer === undefined) return
  const onData = mux.onData.bind(mux)
  mux.onData = data => {
    const rest = data instanceof Uint8Array && mux.decoder.buffer.byteLength === 0 ? takeFrames(mux, data) : data
    if (rest.byteLength > 0) onData(rest)
  }
  const took = connection.onData.bind(connection)
  connection.onData = data => {
    if (!(data instanceof Uint8Array) || data.byteLength === 0 || !isAwake(connection)) {
      took(data)
      return
    }
    try {
      mux.onData(data)
    } catch (error) {
      mux.abort(error as Error)
      connection.abort(error as Error)
    }
  }
}

/** Hands plain frames of data to their streams. Returns what is left from the first other one on. */
function takeFrames(muxer: Muxer, chunk: Bytes): Bytes {
  let at = 0
  while (chunk.byteLength - at >= headerBytes) {
    // Version 0, type data, no flags.
    if ((chunk[at]! | chunk[at + 1]! | chunk[at + 2]! | chunk[at + 3]!) !== 0) break
    const length = uint32(chunk, at + 8)
    const end = at + headerBytes + length
    const streamID = uint32(chunk, at + 4)
    if (end > chunk.byteLength || streamID === 0) break
    const data = chunk.subarray(at + headerBytes, end)
    at = end
    const header = { type: 0, flag: 0, streamID, length }
    muxer.streams.find(each => each.streamId === streamID)?.handleData({ header, data })
  }
  return at === 0 ? chunk : chunk.subarray(at)
}

function uint32(bytes: Bytes, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

/** A stream of the muxer can send whole frames. */
export function shortenStream(stream: object, muxer: object): void {
  ;(stream as MuxedStream)[sendWhole] = data => (muxer as Muxer).send(data)
}

// ── One stream ─────────────────────────────────────────────────────────────────────────────────────

/** Sends one message that is made of two parts. Undefined where that is to be left to the stream. */
export function sendParts(stream: object, first: Bytes, second: Bytes): boolean | undefined {
  const muxed = stream as MuxedStream
  const send = muxed[sendWhole]
  if (send === undefined || !isFree(muxed)) return undefined
  const bytes = first.byteLength + second.byteLength
  if (bytes > muxed.sendWindowCapacity || bytes > muxed.maxMessageSize) return undefined
  if (muxed.state !== established && muxed.state !== paused) return undefined
  const frame = new Uint8Array(headerBytes + bytes)
  putUint32(frame, 4, muxed.streamId)
  putUint32(frame, 8, bytes)
  frame.set(first, headerBytes)
  frame.set(second, headerBytes + first.byteLength)
  return sendNow(muxed, () => {
    const more = send(frame)
    muxed.sendWindowCapacity -= bytes
    return more
  })
}

function putUint32(bytes: Bytes, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** Takes what comes over a stream. Besides, and for all that does not come this way, its event `message` tells of it. */
export function takeBytes(stream: object, take: (bytes: Bytes) => void): void {
  const inner = stream as Inner & Partial<MuxedStream>
  if (!isInner(inner) || inner[sendWhole] === undefined) return
  const onData = inner.onData.bind(inner)
  inner.onData = data => {
    if (data instanceof Uint8Array && data.byteLength > 0 && isAwake(inner)) take(data)
    else onData(data)
  }
}
