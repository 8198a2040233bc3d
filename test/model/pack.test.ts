/** Tiles hold what was put into them, by a reader that shares no code with what packs. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { syntheticBlocks } from '../../src/engine/synthetic.ts'
import { type MatrixEntry, type MatrixPart, shardLayout } from '../../src/model/layout.ts'
import { heldNumber, packBlocks, packFloats, type PlainType, unpackBlocks, unpackRow } from '../../src/model/pack.ts'
import { tileBytes, tileStride } from '../../src/model/tiles.ts'
import { halfUnit, type QuantisedType, quantisedTypes, type WeightType } from '../../src/model/weight-types.ts'
import { readMatrix } from './tile-reader.ts'

const plain = ['q8', 'q4', 'q8-f16', 'q4-f16'] as const satisfies PlainType[]

function entryOf(type: WeightType, inputs: number, rows: number): MatrixEntry {
  const parts: MatrixPart[] = [{ name: 'o', rows, at: 0 }]
  const shape = { type, rows: Math.ceil(rows / 8) * 8, blocks: Math.ceil(inputs / 32) }
  return { name: 'o', inputs, parts, ...shape, offset: 0, bytes: tileBytes(shape) }
}

const shapes = { inputs: fc.integer({ min: 1, max: 300 }), rows: fc.integer({ min: 1, max: 20 }), seed: fc.nat() }

/** The same numbers for the same seed. */
function* bytes(seed: number): Generator<number> {
  for (let state = seed >>> 0; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state >>> 24
  }
}

describe.each(plain)('%s', type => {
  it('holds every level and scale, and gives the rows back', () => {
    fc.assert(
      fc.property(fc.record(shapes), ({ inputs, rows, seed }) => {
        const entry = entryOf(type, inputs, rows)
        const { bits, scale } = quantisedTypes[type]
        const next = bytes(seed)
        const draw = (): number => next.next().value as number
        const q = Uint8Array.from({ length: rows * entry.blocks * 4 * bits }, draw)
        const s = Float32Array.from({ length: rows * entry.blocks }, () => heldNumber(scale, (draw() - 127) / 4096))
        const tiles = new Uint8Array(entry.bytes)
        packBlocks(type, { q, s }, { from: 0, count: rows }, entry.blocks, tiles, 0)
        const read = readMatrix(entry, tiles)
        for (let row = 0; row < rows; row++) {
          const looked = new Float32Array(inputs)
          unpackRow(entry, tiles, row, looked)
          for (let k = 0; k < inputs; k++) {
            const block = row * entry.blocks + (k >> 5)
            const byte = q[block * 4 * bits + (bits === 8 ? k % 32 : (k % 32) >> 1)]!
            const level = bits === 8 ? byte - 128 : ((byte >> (4 * (k & 1))) & 15) - 8
            expect(read.level(row, k)).toBe(level)
            expect(read.scale(row, k)).toBe(s[block])
            expect(looked[k]).toBe(Math.fround(level * s[block]!))
          }
          const back = { q: new Uint8Array(4 * bits * entry.blocks), s: new Float32Array(entry.blocks) }
          unpackBlocks({ ...entry, type }, tiles, row, back, 0)
          const width = entry.blocks * 4 * bits
          expect(back.q).toEqual(q.subarray(row * width, (row + 1) * width))
          expect(back.s).toEqual(s.subarray(row * entry.blocks, (row + 1) * entry.blocks))
        }
      }),
      { numRuns: 30 }
    )
  })
})

it('f32 holds every number', () => {
  fc.assert(
    fc.property(fc.record(shapes), ({ inputs, rows, seed }) => {
      const entry = entryOf('f32', inputs, rows)
      const next = bytes(seed)
      const values = Float32Array.from({ length: rows * inputs }, () => (next.next().value as number) / 7)
      const tiles = new Uint8Array(entry.bytes)
      packFloats(values, inputs, { from: 0, count: rows }, entry.blocks, tiles, 0)
      const { level } = readMatrix(entry, tiles)
      for (let n = 0; n < values.length; n++) expect(level(Math.floor(n / inputs), n % inputs)).toBe(values[n])
    }),
    { numRuns: 30 }
  )
})

it('records have the bytes that the types say, groups of eight theirs', () => {
  const bytesOf = (type: WeightType, blocks: number): number => tileStride({ type, blocks })
  expect(Object.fromEntries(Object.keys(quantisedTypes).map(type => [type, bytesOf(type as WeightType, 9)]))).toEqual({
    q8: 9 * (256 + 32),
    q4: 9 * (128 + 32),
    'q8-f16': 9 * (256 + 16),
    'q4-f16': 9 * (128 + 16),
    'q8-f16-min': 9 * (256 + 32),
    'q4-f16-min': 9 * (128 + 32),
    'q8-f16i8-16': 9 * (256 + 16) + 2 * 16,
    'q8-f16i8-min': 9 * (256 + 16) + 2 * 32,
    'q4-f16i8-min': 9 * (128 + 16) + 2 * 32
  })
  // What GGUF's Q6_K and Q4_K take for 256 weights, and a sixteenth more or less.
  expect(bytesOf('q8-f16i8-16', 8) / 8).toBe(256 + 18)
  expect(bytesOf('q4-f16i8-min', 8) / 8).toBe(144 + 4)
})

it('parts of one type are one matrix, and what is gated begins at whole records', () => {
  const config = {
    ...{ layers: 1, hidden: 76, intermediate: 52, heads: 6, kvHeads: 2, headDim: 14, vocab: 61, contextMax: 9 },
    ...{ ropeTheta: 1e4, normEpsilon: 1e-5, tiedEmbeddings: false }
  }
  const { vectors, matrices, bytes } = shardLayout({ config, weights: 'q8-f16' }, { role: 'layer', layer: 0 })
  expect(vectors).toMatchObject([
    { name: 'norm1', offset: 0, length: 76, bytes: 4 * 96 },
    { name: 'norm2', offset: 384, bytes: 384 }
  ])
  expect(matrices.map(({ name, parts, rows, blocks }) => [name, parts.map(({ at }) => at), rows, blocks])).toEqual([
    ['qkv', [0, 84, 112], 144, 3],
    ['o', [0], 80, 3],
    ['gateup', [0, 64], 128, 3],
    ['down', [0], 80, 2]
  ])
  for (const { offset } of matrices) expect(offset % 64).toBe(0)
  const last = matrices.at(-1)!
  expect(bytes).toBe(last.offset + last.bytes)
})

it('scales of 16 bits are normal numbers, and reach from the smallest to 4', () => {
  for (const wanted of [1e-30, 2 ** -28, 1e-6, 0.3, 3.9, -1e-6]) {
    const half = Math.abs(heldNumber('f16', wanted)) / halfUnit
    expect(half).toBeGreaterThanOrEqual(2 ** -14)
    expect(half).toBeLessThanOrEqual(65_504)
    if (Math.abs(wanted) >= 2 ** -28)
      expect(Math.abs(heldNumber('f16', wanted) / wanted - 1)).toBeLessThanOrEqual(2 ** -11)
  }
  expect(heldNumber('f16', 0)).toBe(0)
})

describe.each(Object.keys(quantisedTypes) as QuantisedType[])('random rows of %s', type => {
  it('mean the same to the reader of every kind of tile', () => {
    for (const [inputs, rows] of [
      [32, 3],
      [300, 13]
    ] as const) {
      const entry = entryOf(type, inputs, rows)
      const { bits, zero, block, scale } = quantisedTypes[type]
      const blocks = syntheticBlocks(type, rows, entry.blocks, 5, 0.01)
      const tiles = new Uint8Array(entry.bytes)
      packBlocks(type, blocks, { from: 0, count: rows }, entry.blocks, tiles, 0)
      const read = readMatrix(entry, tiles)
      const groups = Math.ceil(entry.blocks / 8)
      for (let row = 0; row < rows; row++) {
        const looked = new Float32Array(inputs)
        unpackRow(entry, tiles, row, looked)
        for (let k = 0; k < inputs; k++) {
          const byte = blocks.q[((row * entry.blocks * 32 + k) * bits) >> 3]!
          const stored = bits === 8 ? byte - (zero === 'signed' ? 128 : 0) : (byte >> (4 * (k & 1))) & 15
          expect(read.level(row, k)).toBe(stored - (zero === 'signed' ? 0 : zero))
          const at = Math.floor((row * entry.blocks * 32 + k) / block)
          const group = row * groups + Math.floor(k / 256)
          const number = (values: Float32Array | undefined, factors: Float32Array | undefined): number =>
            (values?.[at] ?? 0) * (scale === 'f16i8' ? factors![group]! : 1)
          expect(read.scale(row, k)).toBe(number(blocks.s, blocks.sFactors))
          expect(read.minimum(row, k)).toBe(blocks.m === undefined ? 0 : number(blocks.m, blocks.mFactors))
          const scaled = Math.fround(read.level(row, k) * read.scale(row, k))
          expect(looked[k]).toBe(Math.fround(scaled + read.minimum(row, k)))
        }
      }
    }
  })
})
