import { expect, test } from 'vitest'
import { AnswerParts } from '../../src/session/thinking.ts'

const marks = { open: '<think>', close: '</think>', openId: 1, closeId: 2, opened: false }
const spelt: [number, string][] = [
  [9, '</'],
  [9, 'think'],
  [9, '>\n\n']
]

/** `t` or `a` for each token. */
function parts(thinking: ConstructorParameters<typeof AnswerParts>[0], tokens: readonly (readonly [number, string])[]) {
  const of = new AnswerParts(thinking)
  return tokens.map(([id, text]) => of.next(id, text)[0]).join('')
}

test('thoughts are from the opening mark to the closing one', () => {
  const tokens: [number, string][] = [
    [1, '<think>'],
    [7, 'a'],
    [2, '</think>'],
    [7, 'b'],
    [1, '<think>'],
    [2, '</think>'],
    [7, 'b']
  ]
  expect(parts(marks, tokens)).toBe('tttatta')
})

test('thoughts that the prompt has opened end where the mark is spelt, in however many tokens', () => {
  const opened = { ...marks, openId: undefined, closeId: undefined, opened: true }
  expect(parts(opened, [[7, 'a'], ...spelt, [7, 'b'], ...spelt])).toBe('ttttaaaa')
  expect(
    parts(opened, [
      [7, 'a </think> b'],
      [7, 'b']
    ])
  ).toBe('ta')
})

test('marks that are control tokens have no text', () => {
  expect(
    parts(marks, [
      [1, ''],
      [7, 'a'],
      [2, ''],
      [7, 'b']
    ])
  ).toBe('ttta')
})

test('an answer without marks is no thought, whatever it spells', () => {
  expect(parts(marks, [[7, '<think>'], [7, 'a'], ...spelt])).toBe('aaaaa')
})
