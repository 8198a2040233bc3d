/** GGUF's blocks against gguf-py's values, and our tiles against both (`scripts/gguf-blocks-reference.py`). */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { dequantise, isReadable, keptAs, oddNumber, readBlocks } from '../../../src/model/formats/gguf-blocks.ts'
import { type GgufType, ggufTypes } from '../../../src/model/formats/gguf-types.ts'
import { emptyBlocks, packBlocks, unpackRow } from '../../../src/model/pack.ts'
import { tileBytes } from '../../../src/model/tiles.ts'
import { halfBitsOf } from './gguf-writer.ts'

const reference = JSON.parse(readFileSync(new URL('gguf-blocks.json', import.meta.url), 'utf8')) as Record<
  string,
  { readonly bytes: string; readonly values: string }
>
const inputs = 256
const typeNamed = (name: string): GgufType => [...ggufTypes.values()].find(type => type.name === name)!
const bytesOf = (name: string): Uint8Array => new Uint8Array(Buffer.from(reference[name]!.bytes, 'base64'))
function valuesOf(name: string): Float32Array {
  const bytes = Buffer.from(reference[name]!.values, 'base64')
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i))
}

/** Bit for bit, but for the sign of a zero. */
function expectSame(actual: ArrayLike<number>, wanted: Float32Array): void {
  expect(actual.length).toBe(wanted.length)
  const differs = wanted.findIndex((value, i) => value !== actual[i])
  expect(differs < 0 ? 'same' : `${actual[differs]} in the place of ${wanted[differs]} at ${differs}`).toBe('same')
}

describe('blocks of GGUF', () => {
  test.each(Object.keys(reference))('%s as float32 are what gguf-py makes of them', name => {
    const out = new Float32Array(2 * inputs)
    dequantise(typeNamed(name), bytesOf(name), out)
    expectSame(out, valuesOf(name))
  })

  const kept = Object.keys(reference).filter(name => (keptAs(typeNamed(name)) ?? 'f32') !== 'f32')
  test('of eight types are kept', () => {
    expect(kept.sort()).toEqual(['Q4_0', 'Q4_1', 'Q4_K', 'Q5_0', 'Q5_1', 'Q5_K', 'Q6_K', 'Q8_0'])
  })

  test.each(kept)('%s in tiles have the same bits', name => {
    const type = keptAs(typeNamed(name))!
    if (type === 'f32') throw new Error('not reached')
    const blocks = emptyBlocks(type, 2, inputs)
    readBlocks(typeNamed(name), bytesOf(name), blocks)
    const shape = { type, rows: 8, blocks: inputs / 32 }
    const tiles = new Uint8Array(tileBytes(shape))
    packBlocks(type, blocks, { from: 0, count: 2 }, shape.blocks, tiles, 3)
    const values = valuesOf(name)
    for (const row of [0, 1]) {
      const out = new Float32Array(inputs)
      unpackRow(shape, tiles, 3 + row, out)
      expectSame(out, values.subarray(row * inputs, (row + 1) * inputs))
    }
  })

  test.each(kept)('%s show a scale that is not finite, and one that is too large', name => {
    const type = typeNamed(name)
    const bytes = bytesOf(name)
    expect(oddNumber(type, bytes)).toBeUndefined()
    const view = new DataView(bytes.buffer)
    const blocks = bytes.length / type.bytes
    const scale = name === 'Q6_K' ? 208 : 0
    view.setUint16(scale, halfBitsOf(-4), true)
    expect(oddNumber(type, bytes)).toEqual({ value: -4, index: 0 })
    view.setUint16((blocks - 1) * type.bytes + scale, 0x7c00, true)
    expect(oddNumber(type, bytes)).toEqual({ value: Number.POSITIVE_INFINITY, index: blocks - 1 })
  })

  test.each(['Q4_1', 'Q5_1'])('%s in tiles hold minima up to 64, and show larger ones', name => {
    const type = typeNamed(name)
    const kept = keptAs(type) as 'q4-f16-min'
    const bytes = bytesOf(name)
    const view = new DataView(bytes.buffer)
    view.setUint16(2, halfBitsOf(-63.96875), true)
    expect(oddNumber(type, bytes)).toBeUndefined()
    const blocks = emptyBlocks(kept, 2, inputs)
    readBlocks(type, bytes, blocks)
    const shape = { type: kept, rows: 8, blocks: inputs / 32 }
    const tiles = new Uint8Array(tileBytes(shape))
    packBlocks(kept, blocks, { from: 0, count: 2 }, shape.blocks, tiles, 0)
    const [out, wanted] = [new Float32Array(inputs), new Float32Array(2 * inputs)]
    unpackRow(shape, tiles, 0, out)
    dequantise(type, bytes, wanted)
    expectSame(out, wanted.subarray(0, inputs))
    expect(Math.min(...out)).toBeLessThan(-50)
    view.setUint16(2, halfBitsOf(-64), true)
    expect(oddNumber(type, bytes)).toEqual({ value: -64, index: 0 })
  })

  test('of types whose levels stand in tables that are not here are not readable', () => {
    const names = [...ggufTypes.values()].filter(type => !isReadable(type)).map(({ name }) => name)
    expect(names).toContain('IQ2_XXS')
    expect(names).toContain('TQ1_0')
    expect(names).not.toContain('Q2_K')
  })
})
