/** Bytes to typed frames and back. What can be said about a frame alone is checked here (promise P10). */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { ShardsFrame } from '../../protocols/shards.ts'
import { unreachable } from '../base/assert.ts'
import type { ModelId } from '../base/ids.ts'
import { ProtocolError } from '../errors.ts'
import { chunkBytes } from '../model/limits.ts'
import { signaturesBytesMax, supplyChunksMax } from './limits.ts'
import type { AnswerFrame, Frame, RequestFrame } from './frame.ts'

const idBytes = 32
/** Subjects of a refusal as numbers, as `protocols/shards.proto` lists them. */
const subjects = { manifest: 1, file: 2, list: 3, range: 4 } as const

/** Encodes one frame. The result is the caller's own. */
export function encodeFrame(frame: Frame): Uint8Array {
  return ShardsFrame.encode(toWire(frame))
}

function toWire(frame: Frame): ShardsFrame {
  switch (frame.kind) {
    case 'manifest-request':
      return { manifestRequest: { model: fromHex(frame.model) } }
    case 'manifest':
      return {
        manifest: { model: fromHex(frame.model), json: owned(frame.json), signatures: owned(frame.signatures) }
      }
    case 'watch':
      return { watch: { file: fromHex(frame.file) } }
    case 'state':
      return { state: { file: fromHex(frame.file), whole: frame.whole, chunks: owned(frame.chunks) } }
    case 'have':
      return { have: { file: fromHex(frame.file), chunk: frame.chunk } }
    case 'coming':
      return { coming: { file: fromHex(frame.file), chunk: frame.chunk } }
    case 'list-request':
      return { listRequest: { file: fromHex(frame.file) } }
    case 'list':
      return { list: { file: fromHex(frame.file), digests: owned(frame.digests) } }
    case 'range-request': {
      const { file, chunk, offset, length } = frame
      return { rangeRequest: { file: fromHex(file), chunk, offset, length } }
    }
    case 'range': {
      const { file, chunk, offset, data, live = false } = frame
      return { range: { file: fromHex(file), chunk, offset, data: owned(data), live } }
    }
    case 'refuse':
      switch (frame.subject) {
        case 'manifest':
          return { refuse: { subject: subjects.manifest, id: fromHex(frame.model), chunk: 0, offset: 0 } }
        case 'file':
          return { refuse: { subject: subjects.file, id: fromHex(frame.file), chunk: 0, offset: 0 } }
        case 'list':
          return { refuse: { subject: subjects.list, id: fromHex(frame.file), chunk: 0, offset: 0 } }
        case 'range': {
          const { file, chunk, offset } = frame
          return { refuse: { subject: subjects.range, id: fromHex(file), chunk, offset } }
        }
        default:
          return unreachable(frame)
      }
    default:
      return unreachable(frame)
  }
}

/**
 * Decodes and checks what a fetcher said. Undefined for a kind of frame that is not known here: a later revision has it, and
 * it is ignored (W12).
 * @throws {ProtocolError} when it is no request.
 */
export function decodeRequest(bytes: Uint8Array): RequestFrame | undefined {
  const wire = read(bytes)
  if (wire.rangeRequest != null) {
    const { file, chunk, offset, length } = wire.rangeRequest
    check(chunk < supplyChunksMax, 'a chunk lies below 32,768', chunk)
    check(length >= 1 && offset + length <= chunkBytes, 'a range lies in its chunk', offset + length)
    return { kind: 'range-request', file: toHex(file), chunk, offset, length }
  }
  if (wire.watch != null) return { kind: 'watch', file: toHex(wire.watch.file) }
  if (wire.listRequest != null) return { kind: 'list-request', file: toHex(wire.listRequest.file) }
  if (wire.manifestRequest != null) {
    return { kind: 'manifest-request', model: toHex(wire.manifestRequest.model) as ModelId }
  }
  if (isUnknown(wire, bytes)) return undefined
  throw new ProtocolError('a frame to a source holds no request')
}

/**
 * Decodes and checks what a source said. Data are views of `bytes`. Undefined for a kind of frame or of refusal that is not
 * known here: a later revision has it, and it is ignored (W12).
 * @throws {ProtocolError} when it is no answer.
 */
export function decodeAnswer(bytes: Uint8Array): AnswerFrame | undefined {
  const wire = read(bytes)
  if (wire.range != null) {
    const { file, chunk, offset, data, live } = wire.range
    check(chunk < supplyChunksMax, 'a chunk lies below 32,768', chunk)
    check(data.length >= 1 && offset + data.length <= chunkBytes, 'a range lies in its chunk', offset + data.length)
    return { kind: 'range', file: toHex(file), chunk, offset, data, live }
  }
  const news = wire.have ?? wire.coming
  if (news != null) {
    const { file, chunk } = news
    check(chunk < supplyChunksMax, 'a chunk lies below 32,768', chunk)
    return { kind: wire.have == null ? 'coming' : 'have', file: toHex(file), chunk }
  }
  if (wire.state != null) {
    const { file, whole, chunks } = wire.state
    check(chunks.length <= supplyChunksMax / 8, 'a file has at most 32,768 chunks', 8 * chunks.length)
    return { kind: 'state', file: toHex(file), whole, chunks }
  }
  if (wire.list != null) {
    const { file, digests } = wire.list
    check(digests.length % idBytes === 0, 'a list holds whole digests', digests.length)
    return { kind: 'list', file: toHex(file), digests }
  }
  if (wire.manifest != null) {
    const { model, json, signatures } = wire.manifest
    check(signatures.length <= signaturesBytesMax, 'signatures of a model', signatures.length)
    return { kind: 'manifest', model: toHex(model) as ModelId, json, signatures }
  }
  if (wire.refuse != null) {
    const { subject, id, chunk, offset } = wire.refuse
    const hex = toHex(id)
    switch (subject) {
      case subjects.manifest:
        return { kind: 'refuse', subject: 'manifest', model: hex as ModelId }
      case subjects.file:
        return { kind: 'refuse', subject: 'file', file: hex }
      case subjects.list:
        return { kind: 'refuse', subject: 'list', file: hex }
      case subjects.range:
        return { kind: 'refuse', subject: 'range', file: hex, chunk, offset }
      default:
        return undefined
    }
  }
  if (isUnknown(wire, bytes)) return undefined
  throw new ProtocolError('a frame from a source holds no answer')
}

/** A frame, and none of those of this revision. */
function isUnknown(wire: ShardsFrame, bytes: Uint8Array): boolean {
  return bytes.length > 0 && Object.values(wire).every(frame => frame == null)
}

function read(bytes: Uint8Array): ShardsFrame {
  try {
    return ShardsFrame.decode(bytes)
  } catch (error) {
    throw new ProtocolError(`a shards frame of ${bytes.length} bytes does not decode: ${(error as Error).message}`)
  }
}

function check(condition: boolean, rule: string, value: number): asserts condition {
  if (!condition) throw new ProtocolError(`${rule}, but a frame says ${value}`)
}

function toHex(bytes: Uint8Array): string {
  check(bytes.length === idBytes, 'an id has 32 bytes', bytes.length)
  return bytesToHex(bytes)
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return hexToBytes(hex) as Uint8Array<ArrayBuffer>
}

/** Bytes in an ArrayBuffer of their own kind, as the generated codecs are typed. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
