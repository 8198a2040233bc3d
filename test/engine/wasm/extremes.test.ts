/** Products of the largest levels with the largest activations, which sums in few bits must hold. */
import { expect, it } from 'vitest'
import { activationBytes, activationsOf } from '../../../src/engine/wasm/activations.ts'
import { memoryPagesMax } from '../../../src/engine/wasm/emit.ts'
import { type Kernels, kernelModule } from '../../../src/engine/wasm/kernels.ts'
import type { ProductForms } from '../../../src/engine/wasm/products.ts'
import { groupBytes, levelBytes, recordBytes, tileRows, tileStride } from '../../../src/model/tiles.ts'
import { type QuantisedType, quantisedTypes } from '../../../src/model/weight-types.ts'

const config = { hidden: 64, heads: 4, kvHeads: 4, headDim: 16, normEpsilon: 1e-5, ropeTheta: 10_000 }
const [blocks, tiles, rows] = [2, 4, 7]
const forms: readonly ProductForms[] = [
  { dot: 'plain', streams: 1 },
  { dot: 'relaxed', streams: 3 },
  { dot: 'relaxed', streams: 3, nibbles: 'i16', signed: 'words' }
]
const levels = [0x00, 0x0f, 0xf0, 0x7f, 0x80, 0xff]
const signs = [
  (): number => 1,
  (): number => -1,
  (i: number): number => (i % 2 === 0 ? 1 : -1),
  (i: number): number => (i % 32 < 16 ? 1 : -1)
]

const memory = new WebAssembly.Memory({ initial: 4, maximum: memoryPagesMax })

function kernelsOf(type: QuantisedType, form: ProductForms): Kernels {
  const limits = { minimum: 1, maximum: memoryPagesMax, shared: false }
  const module = kernelModule({ config, types: new Set([type]), edge: 'f16', forms: form, memory: limits })
  return new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory } }).exports as unknown as Kernels
}

function sums(k: Kernels, type: QuantisedType, level: number, sign: (i: number) => number): Uint32Array[] {
  const [weights, x, activations, out] = [0, 65_536, 98_304, 131_072]
  const stride = tileStride({ type, blocks })
  // Scales and minima: finite, of whatever type.
  new Uint8Array(memory.buffer, weights, tiles * stride).fill(0x2c)
  for (let tile = 0; tile < tiles; tile++) {
    for (let block = 0; block < blocks; block++) {
      const at = tile * stride + groupBytes(type) + block * recordBytes(type)
      new Uint8Array(memory.buffer, weights + at, levelBytes(type)).fill(level)
    }
  }
  new Float32Array(memory.buffer, x).set(Array.from({ length: 32 * blocks }, (_, i) => sign(i)))
  const bits = activationsOf(type)
  const results: Uint32Array[] = []
  k[`quantise.${bits}.one`](x, blocks, activations)
  k[`product.${type}.one`](weights, blocks, tiles, activations, out)
  results.push(new Uint32Array(memory.buffer, out, tileRows * tiles).slice())
  const bytes = blocks * activationBytes[bits].compact
  for (let t = 0; t < rows; t++) k[`quantise.${bits}.many`](x, blocks, activations + t * bytes)
  k[`product.${type}.many`](weights, blocks, tiles, activations, bytes, out, 4 * tileRows * tiles, rows)
  for (let t = 0; t < rows; t++) {
    results.push(new Uint32Array(memory.buffer, out + 4 * tileRows * tiles * t, tileRows * tiles).slice())
  }
  return results
}

it.each(Object.keys(quantisedTypes) as QuantisedType[])('%s: are the same in every form', type => {
  const { bits, zero } = quantisedTypes[type]
  const kernels = forms.map(form => kernelsOf(type, form))
  // Signed bytes have all values, others of 8 bits at most 7.
  for (const level of bits === 8 && zero !== 'signed' ? levels.map(each => each & 0x7f) : levels) {
    for (const sign of signs) {
      const [plain, ...others] = kernels.map(k => sums(k, type, level, sign))
      expect(new Set(plain!.map(String)).size, 'a lone row and several').toBe(1)
      for (const other of others) expect(other).toEqual(plain)
    }
  }
})
