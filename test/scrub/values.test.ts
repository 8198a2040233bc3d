/** Texts in messages, results of functions and their arguments, taken out and put back. */
import { expect, it } from 'vitest'
import { scrubTexts } from '../../src/scrub/scrub.ts'
import { textsIn, withTexts } from '../../src/scrub/values.ts'

function scrub<T>(value: T): T {
  return withTexts(value, scrubTexts(textsIn(value)).texts)
}

it('is in what people say, in calls of functions and in what these gave; roles and ids are none', () => {
  const messages = [
    { role: 'user', content: 'Where is bob@x.org?', name: 'ann@x.org' },
    {
      role: 'assistant',
      content: '',
      tool_calls: [
        {
          id: 'call_4111111111111111',
          type: 'function',
          function: { name: 'find', arguments: '{"mail":"bob@x.org","n":3}' }
        }
      ]
    },
    {
      role: 'tool',
      tool_call_id: 'call_4111111111111111',
      content: '{"lat": 48.20849, "lon": 16.37208, "ip": "10.1.2.3"}'
    },
    { role: 'assistant', content: 'At his desk.', reasoning_content: 'bob@x.org sits at 48.20849, 16.37208' }
  ]
  expect(scrub(messages)).toEqual([
    { role: 'user', content: 'Where is [email-1]?', name: '[email-2]' },
    {
      role: 'assistant',
      content: '',
      tool_calls: [
        {
          id: 'call_4111111111111111',
          type: 'function',
          function: { name: 'find', arguments: '{"mail":"[email-1]","n":3}' }
        }
      ]
    },
    {
      role: 'tool',
      tool_call_id: 'call_4111111111111111',
      content: '{"lat": [coordinates-1], "lon": [coordinates-2], "ip": "[ip-1]"}'
    },
    { role: 'assistant', content: 'At his desk.', reasoning_content: '[email-1] sits at [coordinates-3]' }
  ])
})

it('is in numbers that their name says to be a place or a telephone', () => {
  const given = {
    function: {
      name: 'go',
      arguments: { lat: 48.2082, lon: 16.3738, phone: 491711234567, count: 12, ok: true, none: null }
    }
  }
  expect(scrub(given).function.arguments).toEqual({
    ...{ lat: '[coordinates-1]', lon: '[coordinates-2]', phone: '[phone-1]' },
    ...{ count: 12, ok: true, none: null }
  })
})

it('leaves arguments that hold nothing as they were written, and those that are no JSON as text', () => {
  const call = (text: string): object => ({ function: { arguments: text } })
  expect(scrub(call('{ "a" : 1 }'))).toEqual(call('{ "a" : 1 }'))
  expect(scrub(call('{ "a" : bob@x.org'))).toEqual(call('{ "a" : [email-1]'))
})
