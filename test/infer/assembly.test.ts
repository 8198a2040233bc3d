import { expect, it } from 'vitest'
import { Assembly, headsOf, piecesOf } from '../../src/infer/assembly.ts'
import type { Tensors } from '../../src/model/tensors.ts'

it('tensors come together of pieces whose borders are not those of elements', () => {
  const tensors: Tensors = {
    b: { type: 'uint8', dims: [3], data: Uint8Array.of(1, 2, 3) },
    d: { type: 'float64', dims: [], data: Float64Array.of(Math.PI) }
  }
  const assembly = new Assembly(headsOf(tensors))
  for (const each of piecesOf(tensors))
    for (const byte of each.data) assembly.push({ kind: 'piece', data: Uint8Array.of(byte) })
  expect(assembly.isWhole).toBe(true)
  expect(assembly.tensors()).toEqual(tensors)
})
