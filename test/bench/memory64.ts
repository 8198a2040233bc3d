/**
 * A module of the engine's emitter for a memory with addresses of 64 bits: the same instructions, with an address of 32 bits widened
 * before each access. So both differ in nothing but what V8 does to keep an access within its memory.
 */
import { type MemoryLimits, unsigned } from '../../src/engine/wasm/emit.ts'

/** `i64.extend_i32_u` */
const widen = 0xad

/** How many values a plain instruction takes; each leaves one. */
const takes: ReadonlyMap<number, number> = new Map([
  [0x91, 1],
  ...[0x4b, 0x5e, 0x6a, 0x6b, 0x6c, 0x6e, 0x92, 0x93, 0x94, 0x95, 0x97].map(code => [code, 2] as const),
  [0x1b, 3]
])
const simdLoads = new Set([0, 1, 3, 9, 10, 92, 93])
/** Of SIMD: those that take one value, and those that take three. Others take two. */
const simdOne = new Set([17, 19, 83, 96, 125, 126, 135, 136, 167, 168, 224, 225, 250])
const simdThree = new Set([82, 0x113])
const lanes = new Set([27, 31])

interface Type {
  readonly parameters: number
  readonly results: number
}

class Reader {
  readonly bytes: Uint8Array
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  byte(): number {
    return this.bytes[this.at++]!
  }

  number(): number {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = this.byte()
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }

  take(count: number): Uint8Array {
    this.at += count
    return this.bytes.subarray(this.at - count, this.at)
  }
}

/** @param memory of the result: `minimum` and `maximum` may be beyond 4 GiB */
export function withMemory64(module: Uint8Array, memory: MemoryLimits): Uint8Array<ArrayBuffer> {
  const from = new Reader(module)
  const out: number[] = [...from.take(8)]
  let types: Type[] = []
  let functions: number[] = []
  while (from.at < module.length) {
    const id = from.byte()
    const content = from.take(from.number())
    const section = new Reader(content)
    let made: readonly number[] | Uint8Array = content
    if (id === 1) types = vector(section, typeOf)
    else if (id === 2) {
      const name = [...content.subarray(0, content.indexOf(0x02))]
      made = [...name, 0x02, memory.shared ? 0x07 : 0x05, ...unsigned(memory.minimum), ...unsigned(memory.maximum)]
    } else if (id === 3) functions = vector(section, each => each.number())
    else if (id === 10) {
      const bodies = vector(section, each => widened(each.take(each.number()), types, functions))
      made = [...unsigned(bodies.length), ...bodies.flatMap(body => [...unsigned(body.length), ...body])]
    }
    out.push(id, ...unsigned(made.length))
    for (const byte of made) out.push(byte)
  }
  return Uint8Array.from(out)
}

function vector<T>(from: Reader, read: (from: Reader) => T): T[] {
  return Array.from({ length: from.number() }, () => read(from))
}

function typeOf(from: Reader): Type {
  from.byte()
  const [parameters, results] = [from.take(from.number()).length, from.take(from.number()).length]
  return { parameters, results }
}

/** A body whose every address is widened: where the instructions that make it have ended. */
function widened(body: Uint8Array, types: readonly Type[], functions: readonly number[]): number[] {
  const from = new Reader(body)
  // Locals: how many, and their type.
  for (let groups = from.number(); groups > 0; groups--) {
    from.number()
    from.byte()
  }
  /** Where the code of each value on the stack ends. */
  const stack: number[] = []
  const places: number[] = []
  const take = (count: number): number => {
    const ends = stack.splice(stack.length - count, count)
    return ends[0]!
  }
  const memarg = (): void => {
    from.number()
    from.number()
  }
  while (from.at < body.length) {
    const began = from.at
    const code = from.byte()
    let gives = 1
    if (code === 0x20) from.number()
    else if (code === 0x21 || code === 0x22) {
      from.number()
      take(1)
      gives = code === 0x22 ? 1 : 0
    } else if (code === 0x41) from.number()
    else if (code === 0x43) from.take(4)
    else if (code === 0x03) [gives] = [0, from.byte()]
    else if (code === 0x04) [gives] = [0, from.byte(), take(1)]
    else if (code === 0x05 || code === 0x0b) gives = 0
    else if (code === 0x0d) [gives] = [0, from.number(), take(1)]
    else if (code === 0x10) {
      const type = types[functions[from.number()]!]!
      if (type.parameters > 0) take(type.parameters)
      gives = type.results
    } else if (code === 0x2a) {
      places.push(began)
      memarg()
      take(1)
    } else if (code === 0x36 || code === 0x38) {
      memarg()
      places.push(take(2))
      gives = 0
    } else if (code === 0xfd) {
      const simd = from.number()
      if (simdLoads.has(simd)) {
        places.push(began)
        memarg()
        take(1)
      } else if (simd === 11 || (simd >= 88 && simd <= 91)) {
        memarg()
        if (simd !== 11) from.byte()
        places.push(take(2))
        gives = 0
      } else if (simd === 12) from.take(16)
      else if (simd === 13) [gives] = [1, from.take(16).length, take(2)]
      else if (lanes.has(simd)) [gives] = [1, from.byte(), take(1)]
      else take(simdThree.has(simd) ? 3 : simdOne.has(simd) ? 1 : 2)
    } else {
      const count = takes.get(code)
      if (count === undefined) throw new Error(`instruction ${code} is not known here`)
      take(count)
    }
    if (gives > 0) stack.push(from.at)
  }
  const out: number[] = []
  const sorted = places.toSorted((a, b) => a - b)
  for (let i = 0, next = 0; i < body.length; i++) {
    for (; sorted[next] === i; next++) out.push(widen)
    out.push(body[i]!)
  }
  return out
}
