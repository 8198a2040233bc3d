/**
 * Arithmetic that is the same bits on every machine. JavaScript leaves sines, logarithms, powers and `Math.hypot` to the
 * engine; sums, products, quotients and (in practice) square roots it does not. Whatever decides what happens in a world
 * uses these instead.
 */

const bits = new DataView(new ArrayBuffer(8))

/** The natural logarithm of a positive, normal number, to some 15 digits. */
export function ln(value: number): number {
  bits.setFloat64(0, value)
  const high = bits.getUint32(0)
  let exponent = (high >>> 20) - 1023
  bits.setUint32(0, (high & 0x000fffff) | 0x3ff00000)
  let mantissa = bits.getFloat64(0)
  if (mantissa > Math.SQRT2) {
    mantissa /= 2
    exponent++
  }
  // ln m = 2 · artanh((m - 1) / (m + 1)), and |s| stays below 0.172.
  const s = (mantissa - 1) / (mantissa + 1)
  let sum = 0
  for (let k = 21; k >= 1; k -= 2) sum = sum * s * s + 1 / k
  return exponent * Math.LN2 + 2 * s * sum
}

/** A number to a whole power from 0. */
export function power(base: number, exponent: number): number {
  let result = 1
  let square = base
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square
    square *= square
  }
  return result
}

/** The length of a way in the plane. */
export function distance(dx: number, dy: number): number {
  return Math.sqrt(dx * dx + dy * dy)
}
