import { expect, test } from 'vitest'
import { standstillLookMs, standstillMs } from '../../src/session/limits.ts'
import { Standstill } from '../../src/session/standstill.ts'

test('a peer that looks as often as it should, or a little late, has not stood still', () => {
  const standstill = new Standstill()
  for (let nowMs = 0; nowMs < 10_000; nowMs += standstillMs + standstillLookMs - 1) standstill.look(nowMs)
  expect(standstill.endMs).toBeUndefined()
})

test('one that has comes to itself when it looks again', () => {
  const standstill = new Standstill()
  standstill.look(1_000)
  standstill.look(6_000)
  standstill.look(6_000 + standstillLookMs)
  expect(standstill.endMs).toBe(6_000)
})
