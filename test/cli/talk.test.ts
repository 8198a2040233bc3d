import { expect, test } from 'vitest'
import { chatLineBytes } from '../../src/cli/control.ts'
import { readChatLine, Talk } from '../../src/cli/talk.ts'

test('a line is text, a command, or told to be wrong', () => {
  expect(readChatLine('Hi /reset \r')).toEqual({ kind: 'say', text: 'Hi /reset ' })
  expect(readChatLine('//etc is a folder')).toEqual({ kind: 'say', text: '/etc is a folder' })
  expect(readChatLine(' \r')).toEqual({ kind: 'nothing' })
  expect(readChatLine('/reset ')).toEqual({ kind: 'reset' })
  expect(readChatLine('/save my talk.json')).toEqual({ kind: 'save', file: 'my talk.json' })
  expect(readChatLine('/save')).toMatchObject({ kind: 'wrong', sentence: '/save takes a file: /save talk.json' })
  expect(readChatLine('/quit now')).toMatchObject({ kind: 'wrong' })
  expect(readChatLine('/etc is')).toMatchObject({ kind: 'wrong', sentence: expect.stringContaining('//etc') })
})

test('a talk sends what was said and answered, but for turns that were dropped', () => {
  const talk = new Talk('brief')
  const system = { role: 'system', content: 'brief' }
  const turn = (n: number) => [
    { role: 'user', content: `u${n}` },
    { role: 'assistant', content: `a${n}` }
  ]
  for (const n of [1, 2, 3]) {
    talk.say(`u${n}`)
    talk.answered(`a${n}`)
  }
  talk.say('u4')
  talk.drop(2)
  expect(talk.sent).toEqual([system, ...turn(3), { role: 'user', content: 'u4' }])
  // Nothing came in answer: it counts as never said.
  talk.answered('')
  expect(talk.sent).toEqual([system, ...turn(3)])
  expect(talk.all).toEqual([system, ...turn(1), ...turn(2), ...turn(3)])
  expect(talk.length).toBe(3)
  talk.reset()
  expect(talk.sent).toEqual([system])
  talk.say('u')
  expect(talk.sent).toEqual([system, { role: 'user', content: 'u' }])
})

test('a talk says how many of its oldest turns have so many bytes', () => {
  const talk = new Talk('brief')
  for (const said of ['é"', 'two', 'three']) {
    talk.say(said)
    talk.answered(`to ${said}`)
  }
  talk.say('four')
  const bytes = (): number => chatLineBytes(talk.sent, {})
  const all = bytes()
  expect([talk.turnsOf(0, Number.POSITIVE_INFINITY), talk.turnsOf(1, Number.POSITIVE_INFINITY)]).toEqual([0, undefined])
  talk.drop(1)
  const first = all - bytes()
  talk.drop(-1)
  expect([first, first + 1].map(over => talk.turnsOf(over, 2))).toEqual([1, 2])
  expect([talk.turnsOf(first + 1, 3), talk.turnsOf(all, 1)]).toEqual([undefined, undefined])
})
