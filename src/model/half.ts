/** Numbers of 16 bits as float32 and back: IEEE 754 binary16, and bfloat16, the upper half of a float32. */

let halfTable: Float32Array | undefined

/** All 65,536 float16 values as float32, which holds each of them exactly. */
function halves(): Float32Array {
  if (halfTable !== undefined) return halfTable
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    const magnitude =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -24
          : (1024 + fraction) * 2 ** (exponent - 25)
    table[bits] = bits >= 32768 ? -magnitude : magnitude
  }
  halfTable = table
  return table
}

/** Decodes float16 bit patterns; `to` has as many elements. */
export function decodeF16(bits: Uint16Array, to: Float32Array): void {
  const table = halves()
  for (let i = 0; i < bits.length; i++) to[i] = table[bits[i]!]!
}

/** One of them. */
export function halfValue(bits: number): number {
  return halves()[bits]!
}

/**
 * The float16 nearest to a float32, ties to even: an infinity beyond its range.
 *
 * @param u the float32's 32 bits
 * @returns 16 bits
 */
export function halfBits(u: number): number {
  const sign = (u >>> 16) & 0x8000
  const magnitude = u & 0x7fffffff
  // 65536 and more: infinity, unless it is NaN.
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00)
  if (magnitude >= 0x38800000) {
    // A normal number; a carry out of the mantissa runs into the exponent, up to infinity, as it should.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
  }
  if (magnitude < 0x33000000) return sign
  // A subnormal: the mantissa with its leading one, shifted to units of 2^-24.
  const shift = 126 - (magnitude >>> 23)
  const mantissa = (magnitude & 0x7fffff) | 0x800000
  const kept = mantissa >>> shift
  const rest = mantissa & ((1 << shift) - 1)
  const tie = 1 << (shift - 1)
  return sign | (rest > tie || (rest === tie && (kept & 1) === 1) ? kept + 1 : kept)
}

/** Decodes bfloat16 bit patterns; `to` has as many elements. */
export function decodeBF16(bits: Uint16Array, to: Float32Array): void {
  const words = new Uint32Array(to.buffer, to.byteOffset, to.length)
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16
}
