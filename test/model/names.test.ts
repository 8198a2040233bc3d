import { expect, test } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import { meantBy, nameWithId } from '../../src/model/names.ts'

const a = { id: `abcdef${'0'.repeat(58)}` as ModelId, name: 'fox' }
const b = { id: `abcdef${'1'.repeat(58)}` as ModelId, name: 'fox' }
/** Whoever names a model may name it after another one's id. */
const c = { id: 'c'.repeat(64) as ModelId, name: a.id }
const d = { id: 'd'.repeat(64) as ModelId, name: 'abcdef1' }

test.each([
  ['fox', [a, b]],
  ['FOX', []],
  ['abcdef', [a, b]],
  ['abcdef0', [a]],
  ['abcde', []],
  // Shorter than a whole id it may be a name that somebody chose.
  ['abcdef1', [d]],
  ['abcdef11', [b]],
  [a.id, [a]],
  [c.id, [c]],
  ['f'.repeat(64), []]
])('%s means %j', (nameOrId, models) => {
  expect(meantBy(nameOrId, [a, b, c, d])).toEqual(models)
})

test('a model is shown with enough of its id to select it', () => {
  expect(nameWithId(b)).toBe('fox (abcdef111111)')
  expect(meantBy('abcdef111111', [a, b, c, d])).toEqual([b])
})
