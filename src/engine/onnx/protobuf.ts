/**
 * Just enough of Protocol Buffers' wire format to write an ONNX model: varints, 32-bit floats and
 * length-delimited fields (protobuf.dev, "Encoding"). Written by hand because the published ONNX bindings
 * carry a protobufjs two majors behind, and a model of ours is a few hundred small nodes.
 */

const text = new TextEncoder()

/** One message being written; fields appear in the order of the calls. */
export class Message {
  readonly #parts: Uint8Array[] = []
  #length = 0

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#length += bytes.length
  }

  #tag(field: number, wireType: number): void {
    this.#push(varint(field * 8 + wireType))
  }

  /** An integer field: int32, int64 or an enum. Negative values take ten bytes, as the format asks. */
  int(field: number, value: number): this {
    this.#tag(field, 0)
    this.#push(varint(value))
    return this
  }

  /** A 32-bit float field. */
  float(field: number, value: number): this {
    this.#tag(field, 5)
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    this.#push(bytes)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, 2)
    this.#push(varint(value.length))
    this.#push(value)
    return this
  }

  string(field: number, value: string): this {
    return this.bytes(field, text.encode(value))
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish())
  }

  finish(): Uint8Array {
    const out = new Uint8Array(this.#length)
    let offset = 0
    for (const part of this.#parts) {
      out.set(part, offset)
      offset += part.length
    }
    return out
  }
}

/** Base-128 digits, least significant first; negatives as 64-bit two's complement. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest >= 128n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}
