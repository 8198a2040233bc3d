/** What people who mean no good put into files, for fast-check; and what an import may make of it. */
import fc from 'fast-check'
import type { SkeinError } from '../../../src/errors.ts'

/** Names that every object has in JavaScript, and such as leave a sentence. */
export const oddTexts: readonly string[] = [
  ...['', 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf'],
  ...['x'.repeat(5_000), '\u001b]0;title\u0007', '\u202egnp.exe', '\ud800', '▁', '🙂'],
  ...['llama', 'yarn', 'linear', 'longrope', 'llama3', 'dynamic', 'none', 'default']
]

export const oddNumbers: readonly number[] = [
  ...[0, -0, -1, 1, 2, 3, 0.5, 1e-320, 1e-300, 1e300, Number.MAX_VALUE, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63]
]

/** A list in a list, and so on: deeper than the stack. */
export function nested(depth: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

/** Values of JSON. */
export const oddJson: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(...oddTexts, ...oddNumbers, true, false, null, nested(20_000)),
  fc.constantFrom<unknown>([], {}, [1, 0, 1], ['sliding_attention', 'full_attention', 'full_attention']),
  fc.double(),
  fc.integer(),
  fc.string(),
  fc.jsonValue()
)

/** Sets a field whatever its name is: `__proto__` as well. */
export function put(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
}

/** Mostly nothing: `usual`, and now and then something else. */
export function seldom<T>(weight: number, odd: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: odd })
}

const sentenceCharsMax = 1_000

/**
 * What of an error is not as it should be: a class of ours with an exit code for data, and one short sentence that shows itself and
 * does nothing else. Undefined where it is.
 */
export function faultOf(
  error: unknown,
  classes: readonly (abstract new (...args: never[]) => SkeinError)[]
): string | undefined {
  const { name, message, stack } = error as Error
  if (!classes.some(each => error instanceof each)) return `${name}: ${message.slice(0, 200)}\n${stack}`
  if (message.length > sentenceCharsMax) return `a sentence of ${message.length} characters: ${message.slice(0, 100)}`
  const odd = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u.exec(message)?.[0]
  return odd === undefined ? undefined : `U+${odd.codePointAt(0)!.toString(16)} in: ${JSON.stringify(message)}`
}

/** Processor time of this process, in ms: what waits for others counts for nothing. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
