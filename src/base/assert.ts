/**
 * Assertions state what this program's own code promises. They are never used on remote input
 * (promise P10): a peer's bytes are checked and refused, not asserted.
 */

/** Thrown by {@link assert}: a defect in this program, not something a user or a peer did. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/**
 * @param message as a function where it has values in it and is passed for every token: making it costs more than the rest
 * @throws {AssertionError} when `condition` does not hold.
 */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === 'string' ? message : message())
}

/** Marks the branch of a discriminated union that cannot be reached; the compiler checks it. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
