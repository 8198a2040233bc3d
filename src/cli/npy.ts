/**
 * Arrays in NumPy's format (numpy.org/neps/nep-0001-npy-format), versions 1 to 3: what `numpy.save` writes and `numpy.load` reads. By
 * hand, as it is one short header: the packages for it are for browsers, or years old. Pure.
 */
import { InvalidOptionError, type Tensor, tensorBytes, tensorOfBytes, type TensorType } from '../index.ts'

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
/** A header names a type, an order and a shape. */
const headerBytesMax = 4096

/** What NumPy calls the types, lowest byte first. */
const types: Readonly<Record<string, TensorType>> = {
  f4: 'float32',
  f8: 'float64',
  f2: 'float16',
  i1: 'int8',
  u1: 'uint8',
  i2: 'int16',
  u2: 'uint16',
  i4: 'int32',
  u4: 'uint32',
  i8: 'int64',
  u8: 'uint64',
  b1: 'bool'
}

/**
 * Reads one array.
 *
 * @param file what sentences call it
 * @throws {InvalidOptionError} when it is no such file, or holds what no tensor can
 */
export function readNpy(bytes: Uint8Array, file: string): Tensor {
  const wrong = (why: string): InvalidOptionError => new InvalidOptionError(`${file} is not read: ${why}`)
  if (!magic.every((byte, i) => bytes[i] === byte) || bytes.length < 12) {
    throw wrong('it is no .npy file, as numpy.save writes one')
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isShort = bytes[6] === 1
  const length = isShort ? view.getUint16(8, true) : view.getUint32(8, true)
  const start = (isShort ? 10 : 12) + length
  if (length > headerBytesMax || start > bytes.length) throw wrong('its header is longer than any is')
  const header = new TextDecoder('latin1').decode(bytes.subarray(start - length, start))
  const descr = /'descr':\s*'([<>|=])([a-z]\d)'/.exec(header)
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(header)
  if (descr === null || shape === null) throw wrong(`its header is not one of an array of numbers: ${header.trim()}`)
  const type = types[descr[2]!]
  if (type === undefined) throw wrong(`it holds ${descr[2]}, of which there are no tensors`)
  if (descr[1] === '>') throw wrong('its numbers have their highest byte first: save them as little-endian')
  const dims = dimsOf(shape[1]!)
  if (dims.length > 1 && /'fortran_order':\s*True/.test(header)) {
    throw wrong('it is in Fortran order: numpy.save(file, numpy.ascontiguousarray(array))')
  }
  const data = bytes.subarray(start)
  const wanted = tensorBytes({ type, dims })
  if (data.length !== wanted)
    throw wrong(`its shape (${dims.join(', ')}) has ${wanted} bytes, and ${data.length} follow`)
  return tensorOfBytes(type, dims, data)
}

function dimsOf(text: string): number[] {
  return text
    .split(',')
    .map(each => each.trim())
    .filter(each => each !== '')
    .map(Number)
}

/** The bytes of a file that holds one array. */
export function writeNpy({ type, dims, data }: Tensor): Uint8Array {
  const [code] = Object.entries(types).find(([, each]) => each === type)!
  const order = code!.endsWith('1') ? '|' : '<'
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`
  let header = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': ${shape}, }`
  // What follows lies at a multiple of 64.
  header += `${' '.repeat((64 - ((10 + header.length + 1) % 64)) % 64)}\n`
  const out = new Uint8Array(10 + header.length + data.byteLength)
  out.set(magic)
  out.set([1, 0, header.length & 255, header.length >> 8], 6)
  out.set(new TextEncoder().encode(header), 10)
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length)
  return out
}
