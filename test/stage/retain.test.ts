import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RetainedStates } from '../../src/stage/retain.ts'

const rowBytes = 3

test('what is read is what was last written at that position, whatever was truncated and rewritten', () => {
  const write = fc.record({
    kind: fc.constant('write' as const),
    back: fc.nat({ max: 150 }),
    tokens: fc.integer({ min: 1, max: 300 })
  })
  const truncate = fc.record({
    kind: fc.constant('truncate' as const),
    back: fc.nat({ max: 300 }),
    tokens: fc.constant(0)
  })
  fc.assert(
    fc.property(fc.array(fc.oneof(write, truncate), { maxLength: 20 }), fc.nat(), (operations, at) => {
      const tokensMax = 700
      const retained = new RetainedStates(rowBytes, tokensMax)
      let model: number[] = []
      let stamp = 0
      for (const { kind, back, tokens } of operations) {
        const position = Math.max(0, model.length - back)
        if (kind === 'truncate') {
          retained.truncate(position)
          model = model.slice(0, position)
          continue
        }
        const end = Math.min(tokensMax, position + tokens)
        if (end === position) continue
        const rows = Array.from({ length: end - position }, () => stamp++ % 256)
        retained.write(position, Uint8Array.from(rows.flatMap(row => [row, row, row])))
        model = [...model.slice(0, position), ...rows]
      }
      expect(retained.length).toBe(model.length)
      if (model.length === 0) return
      const position = at % model.length
      const end = Math.min(model.length, (Math.floor(position / 128) + 1) * 128)
      expect([...retained.read(position, end)]).toEqual(model.slice(position, end).flatMap(row => [row, row, row]))
    })
  )
})

test('what is not retained cannot be read, and nothing is written behind a gap or beyond the end', () => {
  const retained = new RetainedStates(rowBytes, 200)
  retained.write(0, new Uint8Array(rowBytes * 150))
  expect(() => retained.read(149, 151)).toThrow('not all retained')
  expect(() => retained.read(100, 150)).toThrow('cross a block border')
  expect(() => retained.write(151, new Uint8Array(rowBytes))).toThrow('leave a gap')
  expect(() => retained.write(150, new Uint8Array(rowBytes * 51))).toThrow('do not fit')
  expect(() => retained.write(150, new Uint8Array(rowBytes + 1))).toThrow('no whole number')
  retained.truncate(100)
  expect(() => retained.read(99, 101)).toThrow('not all retained')
})
