/**
 * The safetensors format: a 64-bit length, a JSON header that names each tensor with type, shape and offsets,
 * then the bytes (huggingface/safetensors, README "Format"). Only parsing: the importer reads the files.
 */
import { z } from 'zod'
import { shown } from '../base/shown.ts'
import { ImportError } from '../errors.ts'
import { safetensorsHeaderBytesMax, safetensorsTensorsMax } from './limits.ts'

/** Element types that an import can read. */
export type SafetensorsType = 'F32' | 'F16' | 'BF16'

export interface SafetensorsEntry {
  readonly type: SafetensorsType
  readonly shape: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly bytes: number
}

export const elementBytes: Record<SafetensorsType, number> = { F32: 4, F16: 2, BF16: 2 }

const header = z.record(
  z.string(),
  z.object({
    dtype: z.string(),
    shape: z.array(z.int().nonnegative()).max(8),
    data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()])
  })
)

/**
 * Length of the header, from the first 8 bytes of a file.
 *
 * @param fileBytes size of the file
 * @throws {ImportError} when the file is too short for it, or it passes our bound
 */
export function headerBytes(first: Uint8Array, fileBytes: number, file: string): number {
  if (fileBytes < 8 || first.length < 8) {
    throw new ImportError(`${file} is truncated: it has ${fileBytes} bytes, a safetensors file has at least 8`)
  }
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true))
  if (length > safetensorsHeaderBytesMax) {
    throw new ImportError(
      `${file} is no safetensors file that can be imported: its header would have ${length} bytes, at most ${safetensorsHeaderBytesMax} are read`
    )
  }
  if (8 + length > fileBytes) {
    throw new ImportError(`${file} is truncated: it has ${fileBytes} bytes, its header alone ends at ${8 + length}`)
  }
  return length
}

/**
 * Reads and checks a header: types, that every tensor has the bytes of its shape, that none overlap, and that the
 * file ends where the last one does.
 *
 * @param bytes of the header, after the length
 * @param fileBytes size of the file
 * @returns tensors by name, in the header's order
 * @throws {ImportError} that names the file and the tensor
 */
export function parseHeader(bytes: Uint8Array, fileBytes: number, file: string): Map<string, SafetensorsEntry> {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new ImportError(`${file} is no safetensors file: its header is not JSON`)
  }
  if (json !== null && typeof json === 'object') {
    delete (json as Record<string, unknown>).__metadata__
    // Before each of them is checked: that takes 40 µs.
    const count = Object.keys(json).length
    if (count > safetensorsTensorsMax) {
      throw new ImportError(`${file} names ${count} tensors, at most ${safetensorsTensorsMax} are read`)
    }
  }
  const parsed = header.safeParse(json)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new ImportError(
      `${file} has a malformed header: ${shown(issue.path.map(String).join('.')) || 'it'}: ${issue.message}`
    )
  }
  const start = 8 + bytes.length
  const tensors = new Map<string, SafetensorsEntry>()
  const spans: { name: string; from: number; to: number }[] = []
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [from, to]
    }
  ] of Object.entries(parsed.data)) {
    if (!isSupported(dtype)) {
      throw new ImportError(
        `${file}: tensor ${shown(name)} has the type ${shown(dtype)}; F32, F16 and BF16 can be imported`
      )
    }
    const expected = shape.reduce((a, b) => a * b, elementBytes[dtype])
    if (to - from !== expected) {
      throw new ImportError(
        `${file}: tensor ${shown(name)} has ${to - from} bytes, its shape [${shape.join(', ')}] in ${dtype} needs ${expected}`
      )
    }
    tensors.set(name, { type: dtype, shape, offset: start + from, bytes: expected })
    spans.push({ name, from, to })
  }
  spans.sort((a, b) => a.from - b.from || a.to - b.to)
  let end = 0
  let before = ''
  for (const { name, from, to } of spans) {
    if (from < end) throw new ImportError(`${file}: the tensors ${shown(before)} and ${shown(name)} overlap`)
    end = to
    before = name
  }
  if (start + end !== fileBytes) {
    throw new ImportError(
      start + end > fileBytes
        ? `${file} is truncated: it has ${fileBytes} bytes, its tensors end at ${start + end}`
        : `${file} has ${fileBytes} bytes, but its tensors end at ${start + end}`
    )
  }
  return tensors
}

function isSupported(type: string): type is SafetensorsType {
  return Object.hasOwn(elementBytes, type)
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) })

/**
 * Which file holds which tensor, from `model.safetensors.index.json`.
 *
 * @throws {ImportError} when it is malformed, names too many tensors, or a file outside its own folder
 */
export function parseIndex(json: unknown, file: string): Map<string, string> {
  const parsed = indexSchema.safeParse(json)
  if (!parsed.success) {
    throw new ImportError(`${file} is no safetensors index: its weight_map must give each tensor's file`)
  }
  const map = new Map(Object.entries(parsed.data.weight_map))
  if (map.size > safetensorsTensorsMax) {
    throw new ImportError(`${file} names ${map.size} tensors, at most ${safetensorsTensorsMax} are read`)
  }
  for (const name of map.values()) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/.test(name)) {
      throw new ImportError(`${file} names ${shown(JSON.stringify(name))}, which is no safetensors file in its folder`)
    }
  }
  return map
}
