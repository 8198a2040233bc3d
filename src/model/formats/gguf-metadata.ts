/** Values of a GGUF file's metadata by their names, checked for what they should be. */
import { shown } from '../../base/shown.ts'
import { ImportError } from '../../errors.ts'
import type { GgufHeader, GgufNumbers, GgufValue } from './gguf.ts'

export class GgufMetadata {
  readonly #header: GgufHeader
  /** What its model's own keys begin with. */
  readonly architecture: string

  /** @throws {ImportError} when there is no architecture */
  constructor(header: GgufHeader) {
    this.#header = header
    this.architecture = this.text('general.architecture')
  }

  /** @throws {ImportError} that begins with the file */
  refuse(what: string): never {
    throw new ImportError(`${this.#header.file}: ${what}`)
  }

  has(key: string): boolean {
    return this.#get(key) !== undefined
  }

  /** In all of these a key that begins with a dot is one of the architecture's own. @throws {ImportError} when it is none, or missing without a default */
  text(key: string): string
  text<T>(key: string, otherwise: T): string | T
  text<T>(...args: [key: string, otherwise?: T]): string | T {
    return this.#one(args, (value): value is string => typeof value === 'string', 'a text')
  }

  number(key: string): number
  number<T>(key: string, otherwise: T): number | T
  number<T>(...args: [key: string, otherwise?: T]): number | T {
    return this.#one(args, (value): value is number => typeof value === 'number' && Number.isFinite(value), 'a number')
  }

  /** A number as the shortest decimal that is the same float32: 1e-5, and not 9.999999747378752e-6. */
  float(key: string): number
  float<T>(key: string, otherwise: T): number | T
  float<T>(...args: [key: string, otherwise?: T]): number | T {
    const value = this.number(...(args as [string, T]))
    return typeof value === 'number' ? shortestFloat(value) : value
  }

  flag<T>(key: string, otherwise: T): boolean | T {
    return this.#one([key, otherwise], (value): value is boolean => typeof value === 'boolean', 'true or false')
  }

  texts(key: string): readonly string[] {
    return this.#one([key], (value): value is readonly string[] => Array.isArray(value), 'a list of texts')
  }

  numbers(key: string): GgufNumbers {
    return this.#one([key], isNumbers, 'a list of numbers')
  }

  /** A number, or a list that has the same number for every layer. @throws {ImportError} when layers differ */
  forAllLayers(key: string): number
  forAllLayers<T>(key: string, otherwise: T): number | T
  forAllLayers<T>(...args: [key: string, otherwise?: T]): number | T {
    const value = this.#get(args[0])
    if (value === undefined || !isNumbers(value)) return this.number(...(args as [string, T]))
    const [first] = value
    if (first === undefined || value.some(each => each !== first)) {
      this.refuse(`${this.#name(args[0])} differs from layer to layer, which cannot be imported`)
    }
    return first
  }

  /** A list of whole numbers, one for each layer; undefined where it is one number for all. @throws {ImportError} when it is neither */
  byLayer(key: string): readonly number[] | undefined {
    const value = this.#get(key)
    if (value === undefined || !isNumbers(value)) return undefined
    const all = [...value].map(Number)
    const layers = this.number('.block_count')
    if (all.length !== layers) {
      this.refuse(`${this.#name(key)} has ${all.length} numbers, and ${this.#name('.block_count')} is ${layers}`)
    }
    if (!all.every(each => Number.isInteger(each) && each >= 0)) this.refuse(`${this.#name(key)} must be whole numbers`)
    return all
  }

  #one<T, U>(
    args: [key: string, otherwise?: U],
    is: (value: GgufValue) => value is T & GgufValue,
    what: string
  ): T | U {
    const [key] = args
    const value = this.#get(key)
    if (value === undefined) {
      if (args.length === 2) return args[1] as U
      return this.refuse(`it has no ${this.#name(key)}`)
    }
    if (!is(value)) this.refuse(`${this.#name(key)} must be ${what}`)
    return value
  }

  #get(key: string): GgufValue | undefined {
    return this.#header.metadata.get(this.#name(key))
  }

  #name(key: string): string {
    return key.startsWith('.') ? `${shown(this.architecture)}${key}` : key
  }
}

function isNumbers(value: GgufValue): value is GgufNumbers {
  return typeof value === 'object' && !Array.isArray(value)
}

/** The shortest decimal that is the same float32. */
export function shortestFloat(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === Math.fround(value)) return short
  }
  return value
}
