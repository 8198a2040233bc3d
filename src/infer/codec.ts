/** Bytes to frames of /skein/infer/1.0.0 and back. Everything that can be said about one of them alone is checked here (promise P10). */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { InferFrame as Wire } from '../../protocols/infer.ts'
import type { ModelId } from '../base/ids.ts'
import { ProtocolError } from '../errors.ts'
import { graphNameCharsMax, graphPortsMax, tensorRankMax, tensorsBytesMax } from '../model/limits.ts'
import { tensorBytes, type TensorType, tensorTypes } from '../model/tensors.ts'
import { inferMessageCharsMax, inferPieceBytes } from './limits.ts'
import type { InferFrame, InferReason, TensorHead } from './message.ts'

const limits = {
  ask: { inputs: graphPortsMax, inputs$: { dims: tensorRankMax } },
  answer: { outputs: graphPortsMax, outputs$: { dims: tensorRankMax } }
}
const typesByNumber = new Map(
  Object.entries(tensorTypes).map(([name, { onnx }]) => [onnx as number, name as TensorType])
)

/** Reasons as numbers, as `protocols/infer.proto` lists them. */
const reasons: Readonly<Record<InferReason, number>> = { unknown: 1, busy: 2, wrong: 3, failed: 4, lost: 5, leaving: 6 }
const reasonNames = new Map(Object.entries(reasons).map(([name, reason]) => [reason, name as InferReason]))

/** Bytes in an ArrayBuffer of their own kind, as the generated codecs are typed. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}

export function encodeFrame(frame: InferFrame): Uint8Array {
  switch (frame.kind) {
    case 'ask': {
      const { model, inputs, deadlineMs } = frame
      return Wire.encode({ ask: { model: owned(hexToBytes(model)), inputs: inputs.map(headOf), deadlineMs } })
    }
    case 'piece':
      return Wire.encode({ piece: { data: owned(frame.data) } })
    case 'answer':
      return Wire.encode({ answer: { outputs: frame.outputs.map(headOf), computeMs: frame.computeMs } })
    case 'refused': {
      const message = frame.message.slice(0, inferMessageCharsMax)
      return Wire.encode({ refused: { reason: reasons[frame.reason], message } })
    }
  }
}

function headOf({ name, type, dims }: TensorHead): { name: string; type: number; dims: number[] } {
  return { name, type: tensorTypes[type].onnx, dims: [...dims] }
}

/**
 * Undefined for a kind of frame that is not known here: a later revision has it, and it is ignored (N3).
 * @throws {ProtocolError} when the bytes are no frame, or cross a limit
 */
export function decodeFrame(bytes: Uint8Array): InferFrame | undefined {
  let frame: Wire
  try {
    frame = Wire.decode(bytes, { limits })
  } catch (error) {
    throw new ProtocolError(`a frame cannot be read: ${(error as Error).message}`)
  }
  const { ask, piece, answer, refused } = frame
  if (ask !== undefined) {
    if (ask.model.byteLength !== 32) throw new ProtocolError(`a model id has ${ask.model.byteLength} bytes, not 32`)
    const model = bytesToHex(ask.model) as ModelId
    return { kind: 'ask', model, inputs: headsOf(ask.inputs), deadlineMs: ask.deadlineMs }
  }
  if (piece !== undefined) {
    const { data } = piece
    if (data.byteLength === 0 || data.byteLength > inferPieceBytes) {
      throw new ProtocolError(`a piece has ${data.byteLength} bytes, not from 1 to ${inferPieceBytes}`)
    }
    return { kind: 'piece', data }
  }
  if (answer !== undefined) {
    const { computeMs } = answer
    if (!(computeMs >= 0 && computeMs < 1e9)) throw new ProtocolError(`computeMs is ${computeMs}, no duration in ms`)
    return { kind: 'answer', outputs: headsOf(answer.outputs), computeMs }
  }
  if (refused !== undefined) {
    // A reason of a later revision counts as busy: another server may do it.
    const reason = reasonNames.get(refused.reason) ?? 'busy'
    return { kind: 'refused', reason, message: text(refused.message, inferMessageCharsMax, 'a reason') }
  }
  if (bytes.byteLength > 0) return undefined
  throw new ProtocolError('a frame is empty')
}

function headsOf(heads: readonly { name: string; type: number; dims: number[] }[]): TensorHead[] {
  let bytes = 0
  const names = new Set<string>()
  return heads.map(head => {
    const name = text(head.name, graphNameCharsMax, 'the name of a tensor')
    if (names.has(name)) throw new ProtocolError(`the tensor ${name} is there twice`)
    names.add(name)
    const type = typesByNumber.get(head.type)
    if (type === undefined) throw new ProtocolError(`the tensor ${name} is of the type ${head.type}`)
    if (head.dims.some(dim => dim < 1)) throw new ProtocolError(`the tensor ${name} has a size of 0`)
    bytes += tensorBytes({ type, dims: head.dims })
    if (!(bytes <= tensorsBytesMax)) throw new ProtocolError(`tensors have over ${tensorsBytesMax} bytes together`)
    return { name, type, dims: head.dims }
  })
}

/** It ends up on a person's terminal. Names are those that a manifest may have (`read-graph-manifest.ts`). */
function text(value: string, charsMax: number, what: string): string {
  if (value.length > charsMax || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)) {
    throw new ProtocolError(`${what} has over ${charsMax} characters or control characters`)
  }
  return value
}
