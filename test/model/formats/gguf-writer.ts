/** Writes GGUF files one field at a time, by the words of the format and with none of the reader's code. */

export type Written =
  | { readonly u32: number }
  | { readonly i32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly f32s: readonly number[] }
  | { readonly i32s: readonly number[] }
  | { readonly u64: bigint }
  /** Bytes after a type's number. */
  | { readonly type: number; readonly raw: Uint8Array }

export interface WrittenTensor {
  /** Number of the type. */
  readonly type: number
  /** Outermost first. */
  readonly shape: readonly number[]
  readonly data: Uint8Array
  /** @default the next multiple of the alignment */
  readonly offset?: number
}

export interface GgufInit {
  readonly metadata: Readonly<Record<string, Written>>
  readonly tensors: ReadonlyMap<string, WrittenTensor>
  /** @default 3 */
  readonly version?: number
  /** @default the numbers of what is there */
  readonly tensorCount?: bigint
  readonly pairCount?: bigint
  /** @default 32 */
  readonly alignment?: number
}

class Writer {
  readonly #parts: Uint8Array[] = []
  length = 0

  bytes(part: Uint8Array): this {
    this.#parts.push(part)
    this.length += part.length
    return this
  }

  #number(size: number, set: (view: DataView) => void): this {
    const part = new Uint8Array(size)
    set(new DataView(part.buffer))
    return this.bytes(part)
  }

  u32(value: number): this {
    return this.#number(4, view => view.setUint32(0, value, true))
  }

  i32(value: number): this {
    return this.#number(4, view => view.setInt32(0, value, true))
  }

  f32(value: number): this {
    return this.#number(4, view => view.setFloat32(0, value, true))
  }

  u64(value: number | bigint): this {
    return this.#number(8, view => view.setBigUint64(0, BigInt(value), true))
  }

  text(value: string): this {
    const part = new TextEncoder().encode(value)
    return this.u64(part.length).bytes(part)
  }

  align(to: number): this {
    return this.bytes(new Uint8Array((to - (this.length % to)) % to))
  }

  done(): Uint8Array {
    const all = new Uint8Array(this.length)
    let at = 0
    for (const part of this.#parts) {
      all.set(part, at)
      at += part.length
    }
    return all
  }
}

function writeValue(out: Writer, value: Written): void {
  if ('u32' in value) out.u32(4).u32(value.u32)
  else if ('i32' in value) out.u32(5).i32(value.i32)
  else if ('f32' in value) out.u32(6).f32(value.f32)
  else if ('bool' in value) out.u32(7).bytes(Uint8Array.of(value.bool ? 1 : 0))
  else if ('text' in value) out.u32(8).text(value.text)
  else if ('u64' in value) out.u32(10).u64(value.u64)
  else if ('texts' in value) {
    out.u32(9).u32(8).u64(value.texts.length)
    for (const text of value.texts) out.text(text)
  } else if ('f32s' in value) {
    out.u32(9).u32(6).u64(value.f32s.length)
    for (const number of value.f32s) out.f32(number)
  } else if ('i32s' in value) {
    out.u32(9).u32(5).u64(value.i32s.length)
    for (const number of value.i32s) out.i32(number)
  } else out.u32(value.type).bytes(value.raw)
}

export function writeGguf({ metadata, tensors, version = 3, alignment = 32, ...init }: GgufInit): Uint8Array {
  const out = new Writer()
  out.bytes(new TextEncoder().encode('GGUF')).u32(version)
  out.u64(init.tensorCount ?? BigInt(tensors.size)).u64(init.pairCount ?? BigInt(Object.keys(metadata).length))
  for (const [key, value] of Object.entries(metadata)) {
    out.text(key)
    writeValue(out, value)
  }
  let end = 0
  for (const [name, { type, shape, data, offset }] of tensors) {
    out.text(name).u32(shape.length)
    for (const size of [...shape].reverse()) out.u64(size)
    out.u32(type).u64(offset ?? end)
    end = Math.ceil((end + data.length) / alignment) * alignment
  }
  if (tensors.size > 0) out.align(alignment)
  for (const { data } of tensors.values()) out.bytes(data).align(alignment)
  return out.done()
}

/** Float16 bits of a number that float16 holds as a normal one. */
export function halfBitsOf(value: number): number {
  if (value === 0) return Object.is(value, -0) ? 0x8000 : 0
  const exponent = Math.floor(Math.log2(Math.abs(value)))
  const fraction = Math.abs(value) / 2 ** exponent - 1
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.round(fraction * 1024)
}
