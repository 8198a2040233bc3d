import { expect, test } from 'vitest'
import { Turns } from '../../src/base/turns.ts'

test('what comes while something is taken waits its turn, and the first call sees to it', () => {
  const seen: string[] = []
  const answers: boolean[] = []
  const turns: Turns<{ readonly name: string; readonly causes?: readonly string[] }> = new Turns(
    ({ name, causes = [] }) => {
      seen.push(`${name} begins`)
      for (const cause of causes) answers.push(turns.give({ name: cause }))
      seen.push(`${name} ends`)
    }
  )
  expect(turns.give({ name: 'a', causes: ['b', 'c'] })).toBe(true)
  expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  expect(answers).toEqual([false, false])
})

test('what throws leaves the way free for the next, and what waited comes before it', () => {
  const seen: string[] = []
  const turns: Turns<{ readonly name: string }> = new Turns(({ name }) => {
    if (name === 'bad') {
      turns.give({ name: 'late' })
      throw new Error('no')
    }
    seen.push(name)
  })
  expect(() => turns.give({ name: 'bad' })).toThrow('no')
  expect(turns.give({ name: 'next' })).toBe(true)
  expect(seen).toEqual(['late', 'next'])
})
