/**
 * Writes WebAssembly modules: types, one imported memory, functions, exports, in the binary format of the WebAssembly
 * core specification 3.0, chapter 5. Instructions stand in the module in the order in which they are written here, since
 * V8 keeps the order of loads and has few vector registers: a kernel's speed depends on it.
 */
import { assert } from '../../base/assert.ts'

export type ValueType = 'i32' | 'f32' | 'v128'

/** What leaves one value on the stack when its code has run. A tree of them is written in post-order, left to right. */
export interface Value<T extends ValueType = ValueType> {
  readonly type: T
  readonly code: readonly number[]
}

/** What leaves nothing: a store, a call without results. */
export interface Effect {
  readonly code: readonly number[]
}

export interface Local<T extends ValueType = ValueType> extends Value<T> {
  readonly index: number
}

/** A function of a module: what is called, and what it takes. */
export interface Callee<P extends readonly ValueType[] = readonly ValueType[]> {
  readonly index: number
  readonly parameters: P
  readonly result: ValueType | undefined
}

const typeByte = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const satisfies Record<ValueType, number>

/** Unsigned LEB128. */
export function unsigned(value: number): number[] {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is no unsigned integer`)
  const bytes: number[] = []
  for (let rest = value; ; ) {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    if (rest === 0) return [...bytes, low]
    bytes.push(low | 0x80)
  }
}

/** Signed LEB128 of a 32-bit integer. */
export function signed(value: number): number[] {
  assert(Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 32, `${value} has no 32 bits`)
  const bytes: number[] = []
  for (let rest = value | 0; ; ) {
    const low = rest & 0x7f
    rest >>= 7
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low]
    bytes.push(low | 0x80)
  }
}

type Bytes = readonly number[] | Uint8Array

/** Adds to the end: a spread of a whole kernel takes several times as long. */
export function append(to: number[], bytes: readonly number[]): void {
  for (let i = 0; i < bytes.length; i++) to.push(bytes[i]!)
}

function joined(parts: readonly Bytes[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

function sized(bytes: Bytes): Uint8Array {
  return joined([unsigned(bytes.length), bytes])
}

function list(items: readonly Bytes[]): Uint8Array {
  return joined([unsigned(items.length), ...items])
}

function text(name: string): Uint8Array {
  return sized(new TextEncoder().encode(name))
}

type Locals<P extends readonly ValueType[]> = { readonly [K in keyof P]: Local<P[K]> }

/** The body of one function. */
export class FunctionWriter<P extends readonly ValueType[] = readonly ValueType[]> {
  readonly parameters: Locals<P>
  readonly #types: ValueType[] = []
  readonly #parameterCount: number
  readonly #code: number[] = []
  #depth = 0

  constructor(parameters: P) {
    this.#parameterCount = parameters.length
    this.parameters = parameters.map((type, index) => localOf(type, index)) as unknown as Locals<P>
  }

  /** A new local: 0 until it is set. */
  local<T extends ValueType>(type: T, initial?: Value<T>): Local<T> {
    const local = localOf(type, this.#parameterCount + this.#types.length)
    this.#types.push(type)
    if (initial !== undefined) this.set(local, initial)
    return local
  }

  /** So many new locals. */
  locals<T extends ValueType>(type: T, count: number): Local<T>[] {
    return Array.from({ length: count }, () => this.local(type))
  }

  /** So many addresses, each so far behind the one before it. */
  spaced(first: Value<'i32'>, stride: Value<'i32'>, count: number): Local<'i32'>[] {
    const all = this.locals('i32', count)
    for (const [i, each] of all.entries()) {
      this.set(each, i === 0 ? first : { type: 'i32', code: [...all[i - 1]!.code, ...stride.code, 0x6a] })
    }
    return all
  }

  set<T extends ValueType>(local: Local<T>, value: Value<T>): void {
    assert(local.type === value.type, `a local of ${local.type} takes no ${value.type}`)
    this.#add(value.code, [0x21], unsigned(local.index))
  }

  /** Runs what has an effect and no value. */
  do(effect: Effect): void {
    this.#add(effect.code)
  }

  /** Runs `body` until `again` is 0 after it: at least once. */
  loop(body: () => void, again: () => Value<'i32'>): void {
    this.#add([0x03, 0x40])
    this.#depth++
    body()
    this.#add(again().code, [0x0d, 0x00])
    this.#end()
  }

  /** Runs `body` while `condition` is not 0, not once where it is 0 at first. */
  while(condition: () => Value<'i32'>, body: () => void): void {
    this.when(condition(), () => this.loop(body, condition))
  }

  /** Counts a local down to 0: `body` runs so often, and at least once. */
  countdown(counter: Local<'i32'>, body: () => void, by = 1): void {
    this.loop(body, () => teeLocal(counter, { type: 'i32', code: [...counter.code, 0x41, ...signed(-by), 0x6a] }))
  }

  when(condition: Value<'i32'>, then: () => void, otherwise?: () => void): void {
    this.#add(condition.code, [0x04, 0x40])
    this.#depth++
    then()
    if (otherwise !== undefined) {
      this.#add([0x05])
      otherwise()
    }
    this.#end()
  }

  call<Q extends readonly ValueType[]>(callee: Callee<Q>, ...values: { [K in keyof Q]: Value<Q[K]> }): void {
    assert(callee.result === undefined, 'what a call leaves must be taken')
    this.do(callOf(callee, values))
  }

  #add(...parts: readonly (readonly number[])[]): void {
    for (const part of parts) append(this.#code, part)
  }

  #end(): void {
    this.#depth--
    this.#add([0x0b])
  }

  /** The function's entry in the code section. `result`: what it returns. */
  finish(result: Value | undefined): Uint8Array {
    assert(this.#depth === 0, 'every block has ended')
    const locals = list(this.#types.map(type => [1, typeByte[type]]))
    return sized(joined([locals, this.#code, result?.code ?? [], [0x0b]]))
  }
}

function localOf<T extends ValueType>(type: T, index: number): Local<T> {
  return { type, index, code: [0x20, ...unsigned(index)] }
}

/** Sets a local, and is what it was set to. */
function teeLocal<T extends ValueType>(local: Local<T>, value: Value<T>): Value<T> {
  return { type: local.type, code: [...value.code, 0x22, ...unsigned(local.index)] }
}

function callOf(callee: Callee, values: readonly Value[]): Effect {
  assert(
    values.length === callee.parameters.length && values.every(({ type }, i) => type === callee.parameters[i]),
    `function ${callee.index} takes ${callee.parameters}`
  )
  return { code: [...values.flatMap(({ code }) => code), 0x10, ...unsigned(callee.index)] }
}

/** Bytes of a page of WebAssembly memory. */
export const memoryPageBytes = 65_536
/** Pages that a memory with addresses of 32 bits may have: 4 GiB. */
export const memoryPagesMax = 65_536

export interface MemoryLimits {
  /** In pages of {@link memoryPageBytes}. */
  readonly minimum: number
  readonly maximum: number
  /** Several threads use it. */
  readonly shared: boolean
}

/** A module whose functions work on one memory, imported as `env.memory`. */
export class ModuleWriter {
  readonly #memory: MemoryLimits
  readonly #types: Uint8Array[] = []
  readonly #functions: { readonly type: number; readonly name: string | undefined; readonly code: Uint8Array }[] = []

  constructor(memory: MemoryLimits) {
    this.#memory = memory
  }

  /**
   * Adds a function.
   *
   * @param name what it is exported as; one that only others here call has none
   * @param write writes the body, and returns what the function returns
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is written without a return
  function<const P extends readonly ValueType[], R extends Value | void>(
    name: string | undefined,
    parameters: P,
    write: (f: FunctionWriter<P>) => R
  ): Callee<P> & { readonly result: R extends Value<infer T> ? T : undefined } {
    const f = new FunctionWriter(parameters)
    const result = write(f) as Value | undefined
    const type = this.#type(parameters, result?.type)
    this.#functions.push({ type, name, code: f.finish(result) })
    const callee = { index: this.#functions.length - 1, parameters, result: result?.type }
    return callee as Callee<P> & { readonly result: R extends Value<infer T> ? T : undefined }
  }

  #type(parameters: readonly ValueType[], result: ValueType | undefined): number {
    const type = joined([
      [0x60],
      list(parameters.map(each => [typeByte[each]])),
      list(result === undefined ? [] : [[typeByte[result]]])
    ])
    const known = this.#types.findIndex(each => each.join() === type.join())
    return known >= 0 ? known : this.#types.push(type) - 1
  }

  finish(): Uint8Array<ArrayBuffer> {
    const { minimum, maximum, shared } = this.#memory
    const section = (id: number, content: Bytes): Uint8Array => joined([[id], sized(content)])
    const memory = [0x02, shared ? 0x03 : 0x01, ...unsigned(minimum), ...unsigned(maximum)]
    const exported = this.#functions.flatMap(({ name }, index) => (name === undefined ? [] : [{ name, index }]))
    return joined([
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      section(1, list(this.#types)),
      section(2, list([joined([text('env'), text('memory'), memory])])),
      section(3, list(this.#functions.map(({ type }) => unsigned(type)))),
      section(7, list(exported.map(({ name, index }) => joined([text(name), [0x00], unsigned(index)])))),
      section(10, list(this.#functions.map(({ code }) => code)))
    ])
  }
}
