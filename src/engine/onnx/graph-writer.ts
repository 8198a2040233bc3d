/**
 * Writes an ONNX graph node by node (onnx.proto3 of ONNX 1.16; field numbers are its own). Weights stay
 * in their shard files: an initialiser here is a name, a shape and where its bytes lie.
 */
import { Message } from './protobuf.ts'

/** Numbers of onnx.proto3's `TensorProto.DataType`. */
export const onnxType = { f32: 1, u8: 2, i32: 6, i64: 7, f16: 10, bf16: 16 } as const
export type OnnxType = keyof typeof onnxType

type Attribute =
  | { readonly i: number }
  | { readonly f: number }
  | { readonly ints: readonly number[] }
  /** The body of a branch or a loop. */
  | { readonly g: Message }
export type Attributes = Readonly<Record<string, Attribute>>
/** A named dimension is one that changes from run to run. */
type Dimension = number | string

const microsoft = 'com.microsoft'

export class GraphWriter {
  readonly #graph = new Message()
  readonly #constants = new Map<string, string>()
  #nodes = 0

  constructor(name: string) {
    this.#graph.string(2, name)
  }

  /** Adds a node with one output and returns its name. */
  node(type: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.nodes(type, inputs, 1, attributes)[0]!
  }

  /** Adds a node with several outputs and returns their names. */
  nodes(type: string, inputs: readonly string[], outputs: number, attributes: Attributes = {}): readonly string[] {
    const id = this.#nodes++
    const names = Array.from({ length: outputs }, (_, i) => `${type}_${id}_${i}`)
    this.#add(type, `${type}_${id}`, inputs, names, attributes)
    return names
  }

  /** Gives a value the name of a graph output. Costs a copy: see {@link outputNode}. */
  output(name: string, value: string, type: OnnxType, shape: readonly Dimension[]): void {
    this.outputNode(name, type, shape, 'Identity', [value])
  }

  /** Adds a node whose one output is the graph output `name`, written where it is handed out from. */
  outputNode(
    name: string,
    type: OnnxType,
    shape: readonly Dimension[],
    operator: string,
    inputs: readonly string[],
    attributes: Attributes = {}
  ): void {
    this.#add(operator, `output_${name}`, inputs, [name], attributes)
    this.#graph.message(12, valueInfo(name, type, shape))
  }

  input(name: string, type: OnnxType, shape: readonly Dimension[]): string {
    this.#graph.message(11, valueInfo(name, type, shape))
    return name
  }

  /** A tensor whose bytes lie in a file beside the model. */
  external(
    name: string,
    type: OnnxType,
    shape: readonly number[],
    file: string,
    offset: number,
    bytes: number
  ): string {
    const tensor = tensorHead(name, type, shape)
    for (const [key, value] of [
      ['location', file],
      ['offset', String(offset)],
      ['length', String(bytes)]
    ] as const) {
      tensor.message(13, new Message().string(1, key).string(2, value))
    }
    this.#graph.message(5, tensor.int(14, 1))
    return name
  }

  /** A small int64 vector: a shape, axes or the border of a slice. Equal ones are written once. */
  ints(...values: number[]): string {
    const key = `i64_${values.join('_')}`
    return this.#constant(key, () => {
      const raw = new BigInt64Array(values.map(BigInt))
      return tensorHead(key, 'i64', [values.length]).bytes(9, new Uint8Array(raw.buffer))
    })
  }

  /** A float32 scalar. */
  scalar(value: number): string {
    const key = `f32_${value}`
    return this.#constant(key, () =>
      tensorHead(key, 'f32', []).bytes(9, new Uint8Array(new Float32Array([value]).buffer))
    )
  }

  #constant(key: string, make: () => Message): string {
    if (!this.#constants.has(key)) {
      this.#constants.set(key, key)
      this.#graph.message(5, make())
    }
    return key
  }

  /** The bytes of the ModelProto. */
  finish(): Uint8Array {
    return new Message()
      .int(1, 10)
      .string(2, 'skein')
      .message(7, this.#graph)
      .message(8, new Message().string(1, '').int(2, 21))
      .message(8, new Message().string(1, microsoft).int(2, 1))
      .finish()
  }

  #add(
    type: string,
    name: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Attributes
  ): void {
    const node = new Message()
    for (const input of inputs) node.string(1, input)
    for (const output of outputs) node.string(2, output)
    node.string(3, name).string(4, type)
    for (const [key, value] of Object.entries(attributes)) {
      const attribute = new Message().string(1, key)
      if ('i' in value) attribute.int(3, value.i).int(20, 2)
      else if ('f' in value) attribute.float(2, value.f).int(20, 1)
      else if ('g' in value) attribute.message(6, value.g).int(20, 5)
      else {
        for (const i of value.ints) attribute.int(8, i)
        attribute.int(20, 7)
      }
      node.message(5, attribute)
    }
    if (contributed.has(type)) node.string(7, microsoft)
    this.#graph.message(1, node)
  }
}

/** Operators of ONNX Runtime's own domain that the graphs use. */
const contributed = new Set([
  'FusedMatMul',
  'MatMulNBits',
  'QuickGelu',
  'RotaryEmbedding',
  'SkipSimplifiedLayerNormalization'
])

function tensorHead(name: string, type: OnnxType, shape: readonly number[]): Message {
  const tensor = new Message()
  for (const dimension of shape) tensor.int(1, dimension)
  return tensor.int(2, onnxType[type]).string(8, name)
}

function valueInfo(name: string, type: OnnxType, shape: readonly Dimension[]): Message {
  const dimensions = new Message()
  for (const d of shape) {
    dimensions.message(1, typeof d === 'number' ? new Message().int(1, d) : new Message().string(2, d))
  }
  const tensor = new Message().int(1, onnxType[type]).message(2, dimensions)
  return new Message().string(1, name).message(2, new Message().message(1, tensor))
}
