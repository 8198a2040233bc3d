/**
 * What an ONNX file says of itself (onnx.proto3 of ONNX 1.20; field numbers are its own): inputs, outputs and operator sets. Read
 * without its weights, and bounded, as it may be from anybody. Read by hand for the reason that `engine/onnx/protobuf.ts` gives, and
 * because a generated reader would hold the weights. Pure.
 *
 * A file that names others is refused, wherever in it that is: a runtime would read what those paths lead to.
 */
import { ImportError } from '../../errors.ts'
import { graphNameCharsMax, graphPortsMax, onnxDepthMax, onnxMessagesMax, tensorRankMax } from '../limits.ts'
import type { OperatorSet } from '../manifest.ts'
import { type GraphPort, type TensorType, tensorTypes } from '../tensors.ts'

/** A file's bytes, read where they are needed. */
export interface OnnxSource {
  readonly bytes: number
  /** Bytes [at, at + bytes), which are valid until the next call. */
  read(at: number, bytes: number): Uint8Array
}

/** What a manifest has of a graph. */
export interface GraphFacts {
  readonly operators: readonly OperatorSet[]
  readonly inputs: readonly GraphPort[]
  readonly outputs: readonly GraphPort[]
  /** Numbers in its constants. */
  readonly parameters: number
}

/** Numbers of `TensorProto.DataType` that no tensor of ours has, by what people call them. */
const otherTypes: Readonly<Record<number, string>> = { 8: 'text', 14: 'complex64', 15: 'complex128', 16: 'bfloat16' }
const typesByNumber = new Map(
  Object.entries(tensorTypes).map(([name, { onnx }]) => [onnx as number, name as TensorType])
)

/** Messages in which weights may be kept in other files, and those of their fields that hold such messages, by number. */
const inside = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  function: { 7: 'node', 11: 'attribute' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {}
} as const satisfies Record<string, Record<number, string>>
type Message = keyof typeof inside

interface Field {
  readonly number: number
  /** Of a number. */
  readonly value: number
  /** Of bytes: where they lie. */
  readonly at: number
  readonly end: number
  readonly isBytes: boolean
}

/**
 * Reads an ONNX file.
 *
 * @param file what sentences call it
 * @throws {ImportError} that says what is wrong with it, or what of it is not taken
 */
export function readOnnx(source: OnnxSource, file: string): GraphFacts {
  return new Reader(source, file).model()
}

class Reader {
  readonly #source: OnnxSource
  readonly #file: string
  #messages = 0

  constructor(source: OnnxSource, file: string) {
    this.#source = source
    this.#file = file
  }

  model(): GraphFacts {
    const operators: OperatorSet[] = []
    const inputs: GraphPort[] = []
    const outputs: GraphPort[] = []
    const constants = new Set<string>()
    let parameters = 0
    let hasGraph = false
    for (const field of this.#fields(0, this.#source.bytes)) {
      if (field.number === 8) operators.push(this.#operatorSet(field))
      if (field.number !== 7 || !field.isBytes) continue
      hasGraph = true
      for (const part of this.#fields(field.at, field.end)) {
        if (part.number === 11) this.#addPort(inputs, part, 'input')
        if (part.number === 12) this.#addPort(outputs, part, 'output')
        if (part.number !== 5 || !part.isBytes) continue
        const { name, elements } = this.#constant(part)
        if (name !== '') constants.add(name)
        parameters += elements
      }
    }
    if (!hasGraph) throw this.#wrong('it is no ONNX file: it holds no graph')
    this.#check('model', 0, this.#source.bytes, 0)
    // Before the fourth revision of the format every constant was an input, too, which nobody has to give.
    const asked = inputs.filter(({ name }) => !constants.has(name))
    if (outputs.length === 0) throw this.#wrong('its graph has no output')
    for (const ports of [asked, outputs]) {
      const twice = ports.find(({ name }, i) => ports.findIndex(each => each.name === name) !== i)
      if (twice !== undefined) throw this.#wrong(`it names ${twice.name} twice`)
    }
    if (!Number.isSafeInteger(parameters)) throw this.#wrong('its constants have impossible sizes')
    return { operators, inputs: asked, outputs, parameters }
  }

  /** Looks through a message and all in it for weights in other files. */
  #check(kind: Message, at: number, end: number, depth: number): void {
    if (depth > 4 * onnxDepthMax) throw this.#wrong(`it has graphs within graphs, more than ${onnxDepthMax} deep`)
    const parts: Record<number, Message | undefined> = inside[kind]
    for (const field of this.#fields(at, end)) {
      if (kind === 'tensor') {
        // 13: where in which file they lie; 14: that they do.
        if (field.number === 13 || (field.number === 14 && field.value !== 0)) throw this.#external(at, end)
      } else {
        const part = parts[field.number]
        if (part !== undefined && field.isBytes) this.#check(part, field.at, field.end, depth + 1)
      }
    }
  }

  #external(at: number, end: number): ImportError {
    let location = 'another file'
    for (const field of this.#fields(at, end)) {
      if (field.number !== 13 || !field.isBytes) continue
      const [key, value] = this.#pair(field)
      if (key === 'location') location = `another file, ${value}`
    }
    return this.#wrong(
      `it keeps the weights of ${this.#constant({ at, end }).name} in ${location}: a graph is taken in one file alone, as onnx.save writes it`
    )
  }

  #pair({ at, end }: Field): [string, string] {
    let [key, value] = ['', '']
    for (const field of this.#fields(at, end)) {
      if (field.number === 1) key = this.#text(field)
      if (field.number === 2) value = this.#text(field)
    }
    return [key, value]
  }

  #operatorSet({ at, end }: Field): OperatorSet {
    let [domain, version] = ['', 0]
    for (const field of this.#fields(at, end)) {
      if (field.number === 1) domain = this.#text(field)
      if (field.number === 2) version = field.value
    }
    return { domain, version }
  }

  #constant({ at, end }: Pick<Field, 'at' | 'end'>): { readonly name: string; readonly elements: number } {
    let name = ''
    let elements = 1
    for (const field of this.#fields(at, end)) {
      // What is no name of an input need not be short, or readable.
      if (field.number === 8 && field.end - field.at <= graphNameCharsMax) name = this.#text(field)
      if (field.number !== 1) continue
      if (!field.isBytes) elements *= field.value
      else for (const dim of this.#packed(field)) elements *= dim
    }
    return { name, elements }
  }

  #addPort(ports: GraphPort[], { at, end }: Field, what: 'input' | 'output'): void {
    if (ports.length >= graphPortsMax) throw this.#wrong(`it has over ${graphPortsMax} ${what}s`)
    let name = ''
    let found: Omit<GraphPort, 'name'> | undefined
    for (const field of this.#fields(at, end)) {
      if (field.number === 1) name = this.#text(field)
    }
    for (const field of this.#fields(at, end)) {
      if (field.number !== 2) continue
      for (const kind of this.#fields(field.at, field.end)) {
        if (kind.number === 1) found = this.#tensorType(kind, `${what} ${name}`)
      }
    }
    if (found === undefined) {
      throw this.#wrong(`its ${what} ${name} is no tensor: lists, tables and what may be missing are not taken`)
    }
    ports.push({ name, ...found })
  }

  #tensorType({ at, end }: Field, what: string): Omit<GraphPort, 'name'> {
    let number = 0
    let dims: GraphPort['dims'] = null
    for (const field of this.#fields(at, end)) {
      if (field.number === 1) number = field.value
      if (field.number === 2 && field.isBytes) dims = this.#shape(field)
    }
    const type = typesByNumber.get(number)
    if (type === undefined) {
      throw this.#wrong(`its ${what} is of ${otherTypes[number] ?? `the type ${number}`}, which is not taken`)
    }
    if (dims !== null && dims.length > tensorRankMax) throw this.#wrong(`its ${what} has ${dims.length} sizes`)
    return { type, dims }
  }

  #shape({ at, end }: Field): (number | string | null)[] {
    const dims: (number | string | null)[] = []
    for (const dim of this.#fields(at, end)) {
      if (dim.number !== 1) continue
      let size: number | string | null = null
      for (const field of this.#fields(dim.at, dim.end)) {
        // Exporters write 0 and -1 for a size that they do not know.
        if (field.number === 1) size = Number.isSafeInteger(field.value) && field.value > 0 ? field.value : null
        if (field.number === 2) size = this.#text(field) || null
      }
      dims.push(size)
    }
    return dims
  }

  *#packed({ at, end }: Field): Generator<number> {
    while (at < end) {
      const [value, next] = this.#varint(at, end)
      yield value
      at = next
    }
  }

  /** The fields of a message; what they hold is not read. */
  *#fields(at: number, end: number): Generator<Field, void, void> {
    if (++this.#messages > onnxMessagesMax) throw this.#wrong(`it has over ${onnxMessagesMax} parts`)
    while (at < end) {
      const [tag, from] = this.#varint(at, end)
      const number = Math.floor(tag / 8)
      const [value, next] = this.#payload(tag % 8, from, end)
      const isBytes = tag % 8 === 2
      if (number === 0 || next > end) throw this.#cut(at)
      yield { number, value, at: next - (isBytes ? value : 0), end: next, isBytes }
      at = next
    }
  }

  /** A field's number or length, and where it ends. */
  #payload(wireType: number, at: number, end: number): [number, number] {
    if (wireType === 0) return this.#varint(at, end)
    if (wireType === 1) return [0, at + 8]
    if (wireType === 5) return [0, at + 4]
    if (wireType !== 2) throw this.#cut(at)
    const [length, from] = this.#varint(at, end)
    return [length, from + length]
  }

  /** Negative numbers, which take all ten bytes, come out as 2^64 less so much: none of ours may be. */
  #varint(at: number, end: number): [number, number] {
    const bytes = this.#source.read(at, Math.min(10, end - at))
    let value = 0
    for (let i = 0; i < bytes.length; i++) {
      value += (bytes[i]! & 0x7f) * 2 ** (7 * i)
      if (bytes[i]! < 0x80) return [value, at + i + 1]
    }
    throw this.#cut(at)
  }

  #text({ at, end, isBytes }: Field): string {
    if (!isBytes) throw this.#cut(at)
    const text = new TextDecoder().decode(this.#source.read(at, Math.min(end - at, 4 * graphNameCharsMax + 1)))
    if (text.length > graphNameCharsMax || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text)) {
      throw this.#wrong(`it has a name of over ${graphNameCharsMax} characters, or with control characters`)
    }
    return text
  }

  #cut(at: number): ImportError {
    return this.#wrong(`it is no ONNX file, or was cut short: what stands at byte ${at} is no field that ends in it`)
  }

  #wrong(sentence: string): ImportError {
    return new ImportError(`${this.#file} cannot be imported: ${sentence}`)
  }
}
