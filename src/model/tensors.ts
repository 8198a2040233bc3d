/**
 * Tensors as graphs take and give them (`GraphManifest`): their types, shapes and sizes, and whether some fit a graph's inputs.
 * Pure. The element types are ONNX's (onnx.proto3, `TensorProto.DataType`), but for text, complex numbers and types of fewer bits.
 */
import { InvalidOptionError } from '../errors.ts'

/** Each element type with its number in ONNX and its bytes. */
export const tensorTypes = {
  float32: { onnx: 1, bytes: 4, array: Float32Array },
  uint8: { onnx: 2, bytes: 1, array: Uint8Array },
  int8: { onnx: 3, bytes: 1, array: Int8Array },
  uint16: { onnx: 4, bytes: 2, array: Uint16Array },
  int16: { onnx: 5, bytes: 2, array: Int16Array },
  int32: { onnx: 6, bytes: 4, array: Int32Array },
  int64: { onnx: 7, bytes: 8, array: BigInt64Array },
  bool: { onnx: 9, bytes: 1, array: Uint8Array },
  float16: { onnx: 10, bytes: 2, array: Uint16Array },
  float64: { onnx: 11, bytes: 8, array: Float64Array },
  uint32: { onnx: 12, bytes: 4, array: Uint32Array },
  uint64: { onnx: 13, bytes: 8, array: BigUint64Array }
} as const

/** Types of elements that tensors have: `float32`, `int64`, `bool`, … */
export type TensorType = keyof typeof tensorTypes

/** Elements in row-major order. `float16` are bit patterns; of `bool` 0 is false and 1 is true. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

/** What a graph takes and gives: numbers of one type in a shape. */
export interface Tensor {
  readonly type: TensorType
  /** Each at least 1; none for a scalar. */
  readonly dims: readonly number[]
  /** As many elements as the dims say, in the typed array of the type. */
  readonly data: TensorData
}

/** Tensors by the names that the graph has for its inputs or outputs. */
export type Tensors = Readonly<Record<string, Tensor>>

/** An input or an output of a graph. */
export interface GraphPort {
  readonly name: string
  readonly type: TensorType
  /** A number, the name of a size that changes from run to run, or null for one without a name; null where its rank is open. */
  readonly dims: readonly (number | string | null)[] | null
}

/** Elements that a shape holds. */
export function elementsOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1)
}

/** Bytes of the elements of a tensor. */
export function tensorBytes({ type, dims }: Pick<Tensor, 'type' | 'dims'>): number {
  return elementsOf(dims) * tensorTypes[type].bytes
}

export function sumBytes(tensors: Tensors): number {
  return Object.values(tensors).reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
}

/** `int64 [batch, 3]`, as sentences call it. */
export function describePort({ type, dims }: Pick<GraphPort, 'type' | 'dims'>): string {
  if (dims === null) return `${type} of any shape`
  return `${type} [${dims.map(dim => dim ?? '?').join(', ')}]`
}

/** The bytes of a tensor's elements, lowest byte first; a view where the data is whole. */
export function bytesOfTensor({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

/** The tensor that so many bytes are, which are copied where they do not lie on a border of elements. */
export function tensorOfBytes(type: TensorType, dims: readonly number[], bytes: Uint8Array): Tensor {
  const { array, bytes: width } = tensorTypes[type]
  const aligned = bytes.byteOffset % width === 0 ? bytes : bytes.slice()
  return { type, dims, data: new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, bytes.byteLength / width) }
}

/**
 * Checks tensors against the inputs of a graph: names, types, shapes, and that sizes of one name are equal.
 *
 * @param model what sentences call the graph
 * @throws {InvalidOptionError} that says what is wrong and what would be right
 */
export function checkInputs(model: string, ports: readonly GraphPort[], tensors: Tensors, bytesMax: number): void {
  const list = ports.map(port => `${port.name} (${describePort(port)})`).join(', ')
  for (const name of Object.keys(tensors)) {
    if (!ports.some(port => port.name === name)) {
      throw new InvalidOptionError(`${model} has no input ${JSON.stringify(name)}: it takes ${list}`)
    }
  }
  const missing = ports.filter(({ name }) => !Object.hasOwn(tensors, name))
  if (missing.length > 0) {
    throw new InvalidOptionError(`${model} needs ${missing.map(({ name }) => name).join(', ')}, too: it takes ${list}`)
  }
  const wrong = wrongTensors(ports, tensors)
  if (wrong !== undefined) throw new InvalidOptionError(`the input ${wrong}`)
  const bytes = sumBytes(tensors)
  if (bytes > bytesMax) {
    throw new InvalidOptionError(`the inputs of ${model} have ${bytes} bytes together, at most ${bytesMax} are taken`)
  }
}

/** What is wrong with tensors that have the names of the ports, beginning with a name; undefined when nothing is. */
export function wrongTensors(ports: readonly GraphPort[], tensors: Tensors): string | undefined {
  const sizes = new Map<string, { readonly size: number; readonly of: string }>()
  for (const port of ports) {
    const tensor = tensors[port.name]!
    const wrong = wrongTensor(port, tensor)
    if (wrong !== undefined) return `${port.name} ${wrong}`
    for (const [i, dim] of (port.dims ?? []).entries()) {
      if (typeof dim !== 'string') continue
      const size = tensor.dims[i]!
      const known = sizes.get(dim)
      if (known === undefined) sizes.set(dim, { size, of: port.name })
      else if (known.size !== size) return `${port.name} has ${size} as ${dim}, and ${known.of} has ${known.size}`
    }
  }
  return undefined
}

/** What is wrong with what a graph has given, beginning with a name; undefined when nothing is. */
export function wrongOutputs(ports: readonly GraphPort[], outputs: Tensors): string | undefined {
  const lacking = ports.find(({ name }) => !Object.hasOwn(outputs, name))
  if (lacking !== undefined) return `${lacking.name} is missing`
  const other = Object.keys(outputs).find(name => !ports.some(port => port.name === name))
  if (other !== undefined) return `${other} is none of the graph's`
  // Sizes of one name may differ in outputs: exporters name them as they like.
  return ports.map(port => wrongTensors([port], outputs)).find(each => each !== undefined)
}

function wrongTensor(port: GraphPort, { type, dims, data }: Tensor): string | undefined {
  if (type !== port.type) return `is ${describePort(port)}, not ${type}`
  const empty = dims.find(dim => !(Number.isSafeInteger(dim) && dim >= 1))
  if (empty !== undefined)
    return `has the shape [${dims.join(', ')}]: every size of it must be a whole number from 1 on`
  const { dims: wanted } = port
  const fits = wanted?.length === dims.length && wanted.every((dim, i) => typeof dim !== 'number' || dim === dims[i])
  if (wanted !== null && !fits) return `is ${describePort(port)}, and has the shape [${dims.join(', ')}]`
  if (!(data instanceof tensorTypes[type].array))
    return `is ${type} and needs its data as ${tensorTypes[type].array.name}`
  const elements = elementsOf(dims)
  if (data.length !== elements) {
    return `has ${data.length} values, and its shape [${dims.join(', ')}] holds ${elements}`
  }
  if (type === 'bool' && data.some((value: number | bigint) => value > 1))
    return 'is bool, and has values other than 0 and 1'
  return undefined
}
