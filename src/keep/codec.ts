/**
 * Bytes to requests and answers of /skein/keep/1.0.0 and back. Everything that can be said about one of them alone is
 * checked here (promise P10).
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { KeepFrame } from '../../protocols/keep.ts'
import { ProtocolError } from '../errors.ts'
import { keepEntryBytesMax, keepPartsMax, keepTtlMaxMs, keepVersionMax } from './limits.ts'
import type { EntryId, KeepAnswer, KeepReason, KeepRequest } from './message.ts'

const idBytes = 32
const limits = { put: { parts: keepPartsMax }, entry: { parts: keepPartsMax } }

/** Reasons as numbers, as `protocols/keep.proto` lists them. */
const reasons: Readonly<Record<KeepReason, number>> = { unknown: 1, gap: 2, stale: 3, 'no-room': 4 }
const reasonNames = new Map<number, KeepReason>(
  Object.entries(reasons).map(([name, reason]) => [reason, name as KeepReason])
)

/** Bytes in an ArrayBuffer of their own kind, as the generated codecs are typed. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}

/** Encodes one request. */
export function encodeRequest(request: KeepRequest): Uint8Array {
  const id = owned(hexToBytes(request.id))
  if (request.kind === 'get') return KeepFrame.encode({ get: { id } })
  if (request.kind === 'remove') return KeepFrame.encode({ remove: { id } })
  const { base, version, from, parts, ttlMs } = request
  return KeepFrame.encode({
    put: { id, base, version, from, parts: parts.map(owned), ttlMs }
  })
}

/** Encodes one answer. */
export function encodeAnswer(answer: KeepAnswer): Uint8Array {
  const { version } = answer
  if (answer.kind === 'kept') return KeepFrame.encode({ kept: { version } })
  if (answer.kind === 'refused') return KeepFrame.encode({ refused: { reason: reasons[answer.reason], version } })
  return KeepFrame.encode({ entry: { version, parts: answer.parts.map(owned), leftMs: answer.leftMs } })
}

/**
 * Undefined for a kind of frame that is not known here: a later revision has it, and it is ignored (K3).
 * @throws {ProtocolError} when the bytes are no request, or cross a limit.
 */
export function decodeRequest(bytes: Uint8Array): KeepRequest | undefined {
  const frame = decode(bytes)
  const { put, get, remove } = frame
  if (get !== undefined) return { kind: 'get', id: entryId(get.id) }
  if (remove !== undefined) return { kind: 'remove', id: entryId(remove.id) }
  if (isUnknown(frame, bytes)) return undefined
  if (put === undefined) throw new ProtocolError('a frame to a keeper is no request')
  const base = versionOf(put.base)
  const version = versionOf(put.version)
  const { from, ttlMs } = put
  if (version <= base) throw new ProtocolError(`version ${version} does not follow version ${base}`)
  if ((from === 0) !== (base === 0)) throw new ProtocolError(`a put from part ${from} extends version ${base}`)
  if (put.parts.length === 0) throw new ProtocolError('a put has no parts')
  if (from + put.parts.length > keepPartsMax) {
    throw new ProtocolError(`a put ends at part ${from + put.parts.length}, the limit is ${keepPartsMax}`)
  }
  if (ttlMs < 1 || ttlMs > keepTtlMaxMs) {
    throw new ProtocolError(`ttlMs is ${ttlMs}, not from 1 to ${keepTtlMaxMs}`)
  }
  return { kind: 'put', id: entryId(put.id), base, version, from, parts: partsOf(put.parts), ttlMs }
}

/**
 * Undefined for a kind of frame that is not known here: a later revision has it, and it is ignored (K3).
 * @throws {ProtocolError} when the bytes are no answer, or cross a limit.
 */
export function decodeAnswer(bytes: Uint8Array): KeepAnswer | undefined {
  const frame = decode(bytes)
  const { kept, entry, refused } = frame
  if (kept !== undefined) return { kind: 'kept', version: versionOf(kept.version) }
  if (entry !== undefined) {
    if (entry.parts.length === 0) throw new ProtocolError('an entry has no parts')
    const leftMs = Math.min(entry.leftMs, keepTtlMaxMs)
    return { kind: 'entry', version: versionOf(entry.version), parts: partsOf(entry.parts), leftMs }
  }
  if (isUnknown(frame, bytes)) return undefined
  if (refused === undefined) throw new ProtocolError('a frame from a keeper is no answer')
  // A reason of a later revision counts as no room: another keeper may have some.
  const reason = reasonNames.get(refused.reason) ?? 'no-room'
  return { kind: 'refused', reason, version: versionOf(refused.version) }
}

/** A frame, and none of those of this revision. */
function isUnknown(frame: KeepFrame, bytes: Uint8Array): boolean {
  return bytes.length > 0 && Object.values(frame).every(each => each == null)
}

function decode(bytes: Uint8Array): KeepFrame {
  try {
    return KeepFrame.decode(bytes, { limits })
  } catch (error) {
    throw new ProtocolError(`a frame cannot be read: ${(error as Error).message}`)
  }
}

function entryId(bytes: Uint8Array): EntryId {
  if (bytes.byteLength !== idBytes) throw new ProtocolError(`an id has ${bytes.byteLength} bytes, not ${idBytes}`)
  return bytesToHex(bytes)
}

function versionOf(value: number): number {
  if (value > keepVersionMax) throw new ProtocolError(`version ${value} is over ${keepVersionMax}`)
  return value
}

/** Copies, so that what is kept does not hold the buffers that it came in. */
function partsOf(parts: readonly Uint8Array[]): Uint8Array[] {
  let bytes = 0
  for (const part of parts) {
    if (part.byteLength === 0) throw new ProtocolError('a part is empty')
    bytes += part.byteLength
  }
  if (bytes > keepEntryBytesMax) throw new ProtocolError(`parts have ${bytes} bytes, the limit is ${keepEntryBytesMax}`)
  return parts.map(part => part.slice())
}
