/** Numbers of 16 bits as float32 and back: IEEE 754 binary16, and bfloat16, the upper half of a float32. */

/** What 16 bits mean, which float32 holds exactly. */
export function halfValue(bits: number): number {
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
  return bits >= 32768 ? -magnitude : magnitude
}

let halfTable: Float32Array | undefined

// Whole tensors are decoded: looking up all 65,536 beforehand pays.
const halves = (): Float32Array => (halfTable ??= Float32Array.from({ length: 65536 }, (_, bits) => halfValue(bits)))

/** What 16 bits mean, looked up: for many of them. */
export function halfAt(bits: number): number {
  return halves()[bits]!
}

/** Decodes float16 bit patterns; `to` has as many elements. */
export function decodeF16(bits: Uint16Array, to: Float32Array): void {
  const table = halves()
  for (let i = 0; i < bits.length; i++) to[i] = table[bits[i]!]!
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
