/** Tensors as nested lists of numbers, as JSON has them. Pure. */
import {
  bytesOfTensor,
  type GraphPort,
  halfBits,
  halfValue,
  InvalidOptionError,
  type Tensor,
  tensorOfBytes,
  type TensorType
} from '../index.ts'

/** Lists within lists. */
const depthMax = 16

/**
 * The tensor that a value is, in the type of an input. Of floats `"NaN"`, `"Infinity"` and `"-Infinity"` are numbers, too.
 *
 * @throws {InvalidOptionError} when it is no number, or list of equally long lists of numbers
 */
export function tensorOfJson(port: Pick<GraphPort, 'name' | 'type'>, value: unknown): Tensor {
  const dims: number[] = []
  for (let each = value; Array.isArray(each); each = each[0]) {
    dims.push(each.length)
    if (dims.length > depthMax) throw wrong(port.name, `has lists more than ${depthMax} deep`)
  }
  const values: unknown[] = []
  const collect = (each: unknown, depth: number): void => {
    if (depth === dims.length) {
      values.push(each)
      return
    }
    if (!Array.isArray(each) || each.length !== dims[depth]) {
      throw wrong(port.name, `has lists of different lengths: it is to be a whole box of ${dims.join(' × ')}`)
    }
    for (const inner of each) collect(inner, depth + 1)
  }
  collect(value, 0)
  return { type: port.type, dims, data: dataOf(port, values) }
}

function wrong(name: string, why: string): InvalidOptionError {
  return new InvalidOptionError(`the input ${name} ${why}`)
}

const ranges: Partial<Record<TensorType, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32_768, 32_767],
  uint16: [0, 65_535],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  bool: [0, 1]
}

/** Numbers that JSON has no way to write, as text. */
const unwritten: Readonly<Record<string, number>> = { NaN: Number.NaN, Infinity, '-Infinity': -Infinity }
const largest: Partial<Record<TensorType, number>> = {
  float16: 65_504,
  float32: 3.4028234663852886e38,
  float64: Number.MAX_VALUE
}

function dataOf({ name, type }: Pick<GraphPort, 'name' | 'type'>, values: readonly unknown[]): Tensor['data'] {
  const range = ranges[type]
  const max = largest[type]
  const numbers = values.map(value => {
    if (max !== undefined && typeof value === 'string' && Object.hasOwn(unwritten, value)) return unwritten[value]!
    const number = type === 'bool' && typeof value === 'boolean' ? Number(value) : value
    if (typeof number !== 'number')
      throw wrong(name, `holds ${JSON.stringify(value)?.slice(0, 40)}, which is no number`)
    if (range !== undefined && !(Number.isInteger(number) && number >= range[0] && number <= range[1])) {
      throw wrong(name, `is ${type} and holds ${number}`)
    }
    if (max !== undefined && Math.abs(number) > max) {
      throw wrong(name, `is ${type}, which goes up to ${max}, and holds ${number}; an infinite one is "Infinity"`)
    }
    return number
  })
  switch (type) {
    case 'float16':
      return Uint16Array.from(new Uint32Array(Float32Array.from(numbers).buffer), halfBits)
    case 'int64':
      return BigInt64Array.from(numbers, BigInt)
    case 'uint64':
      return BigUint64Array.from(numbers, BigInt)
    default: {
      const empty = tensorOfBytes(type, [0], new Uint8Array(0)).data as Float32Array
      return (empty.constructor as Float32ArrayConstructor).from(numbers)
    }
  }
}

/** Nested lists; as text what JSON cannot hold exactly: some numbers of 64 bits, `"NaN"`, `"Infinity"` and `"-Infinity"`. */
export function jsonOfTensor({ type, dims, data }: Tensor): unknown {
  const numbers = Array.from(data as ArrayLike<number | bigint>, value => {
    if (type === 'bool') return value !== 0
    if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
    const number = type === 'float16' ? halfValue(value) : value
    return Number.isFinite(number) ? number : String(number)
  })
  let list: unknown[] = numbers
  for (const size of dims.slice(1).toReversed()) {
    const inner = list
    list = Array.from({ length: inner.length / size }, (_, at) => inner.slice(at * size, (at + 1) * size))
  }
  return dims.length === 0 ? list[0] : list
}

/** As it goes through the control socket. */
export interface WireTensor {
  readonly type: TensorType
  readonly dims: number[]
  /** Base64. */
  readonly data: string
}

export function wireOf(tensor: Tensor): WireTensor {
  return { type: tensor.type, dims: [...tensor.dims], data: Buffer.from(bytesOfTensor(tensor)).toString('base64') }
}

export function tensorOfWire({ type, dims, data }: WireTensor): Tensor {
  const bytes = new Uint8Array(Buffer.from(data, 'base64'))
  return tensorOfBytes(type, dims, bytes)
}
