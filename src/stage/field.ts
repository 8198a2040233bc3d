/** Checks of single fields, for whoever reads frames and terms. */
import { ProtocolError } from '../errors.ts'

/** Above any context; below it sums of positions and counts stay exact. */
export const positionMax = 2 ** 31

/** @throws {ProtocolError} when the condition does not hold. */
export function check(condition: boolean, rule: string, value: number): asserts condition {
  if (!condition) throw new ProtocolError(`${rule}, but a frame says ${value}`)
}

/** A 64-bit number that is exact. @throws {ProtocolError} */
export function count(value: number): number {
  if (!Number.isSafeInteger(value)) throw new ProtocolError(`${value} is too large for a count or seed`)
  return value
}
