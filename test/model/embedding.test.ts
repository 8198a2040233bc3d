import { expect, it } from 'vitest'
import { embedding, textInputs } from '../../src/model/embedding.ts'
import type { GraphPort } from '../../src/model/tensors.ts'

const port = (size: number | string): GraphPort => ({ name: 'input_ids', type: 'int64', dims: ['batch', size] })

it('a text takes the size that its graph says, and no memory for one that no run may have', () => {
  expect(textInputs('g', [port('tokens')], [5, 6]).input_ids).toMatchObject({ dims: [1, 2] })
  expect(textInputs('g', [port(4)], [5, 6]).input_ids!.data).toEqual(BigInt64Array.of(5n, 6n, 0n, 0n))
  expect(() => textInputs('g', [port(1)], [5, 6])).toThrow('g takes texts of 1 tokens, and this one has 2')
  for (const size of [8_388_609, Number.MAX_SAFE_INTEGER]) {
    expect(() => textInputs('g', [port(size)], [5, 6])).toThrow(
      `g takes texts of ${size} tokens, and a run has at most`
    )
  }
})

it('a vector has the length 1, and none is made of what is not finite', () => {
  const outputs = (...values: number[]) => ({
    y: { type: 'float32', dims: [1, 2, 2], data: Float32Array.from(values) } as const
  })
  expect([...embedding('g', outputs(2, 4, 4, 4), 2)]).toEqual([0.6, 0.8].map(Math.fround))
  expect(() => embedding('g', outputs(1, Number.NaN, 1, 1), 2)).toThrow('g gives numbers that are not finite')
})
