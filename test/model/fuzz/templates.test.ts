/** Chat templates and tokenizers that attack: each costs its own ask a deadline or a refusal, and the thread that talks to peers nothing. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ModelId } from '../../../src/base/ids.ts'
import { SkeinError } from '../../../src/errors.ts'
import { type Tokenizing, Tokenizers } from '../../../src/model/tokenizer-service.ts'
import { loopTicks } from '../hostile.ts'
import { tinyTokenizer } from '../hugging-face.ts'
import { faultOf } from './odd.ts'
import { scratchFolders } from '../../scratch.ts'

let dir: string
let tokenizers: Tokenizers | undefined
const opened: Tokenizing[] = []

const folder = scratchFolders(afterAll)
beforeAll(async () => {
  dir = await folder()
})
afterEach(async () => {
  for (const each of opened.splice(0)) each.close()
  await tokenizers?.close()
  tokenizers = undefined
})

let n = 0
async function open(chatTemplate: string, json: Uint8Array = tinyTokenizer(), deadlineMs = 2_000): Promise<Tokenizing> {
  const file = path.join(dir, String(n++))
  await writeFile(file, json)
  tokenizers ??= new Tokenizers({ deadlineMs })
  const manifest = { name: 'evil', bosId: 1, eosIds: [2], chatTemplate }
  const tokenizing = tokenizers.open({ id: String(n) as ModelId, manifest, file: async () => file })
  opened.push(tokenizing)
  return tokenizing
}

const room = { contextMax: 4_096, answerTokens: 1 }
const messages = [{ role: 'user', content: 'ab a' }]

/** What a template writes, as text; or the error, which is one of ours. */
async function written(template: string, more: object = {}): Promise<string | SkeinError> {
  const tokenizing = await open(template)
  try {
    const { ids } = await tokenizing.chat({ messages, ...more }, room)
    return await tokenizing.stream([]).push([...ids], { last: true })
  } catch (error) {
    expect(faultOf(error, [SkeinError])).toBeUndefined()
    return error as SkeinError
  }
}

describe('a template gets at nothing of the process', () => {
  test.each([
    "{{ ''.constructor.constructor('return process')() }}",
    "{{ ''['constructor']['constructor']('return process')() }}",
    '{{ messages.constructor }}{{ messages.__proto__ }}{{ messages[0].constructor.constructor }}',
    '{{ range.constructor }}{{ raise_exception.constructor("return 1")() }}',
    '{{ strftime_now.__proto__ }}{{ globalThis }}{{ process }}{{ this }}{{ require }}',
    "{% set o = {'__proto__': {'polluted': 1}} %}{{ o.__proto__.polluted }}{{ {}.polluted }}",
    "{% set ns = namespace() %}{% set ns.__proto__ = {'polluted': 2} %}{% set ns.constructor = 3 %}{{ messages[0].polluted }}",
    '{{ "{{ process }}" | safe }}{% include "/etc/passwd" %}{% import "fs" as fs %}{{ fs }}'
  ])('%s', async template => {
    const made = await written(template)
    const text = typeof made === 'string' ? made : made.message
    expect(text).not.toMatch(/\[object|function \w*\(|native code|root:|=>/)
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  test('whatever the names of fields and variables are', async () => {
    const template = '{{ messages[0].content }}{{ __proto__ }}{{ constructor }}{{ x }}'
    const more = JSON.parse(
      '{"variables": {"__proto__": "b", "constructor": "b", "x": "b", "messages": "no"}}'
    ) as object
    expect(await written(template, more)).toBe('ab abbb')
    const odd = JSON.parse(
      '[{"role": "user", "content": "ab", "__proto__": {"role": "system"}, "constructor": "b"}]'
    ) as object
    expect(
      await written("{% if messages[0].role == 'user' %}{{ messages[0].content }}{% endif %}", { messages: odd })
    ).toBe('ab')
  })
})

describe('a template that does not end', () => {
  test.each([
    ['loops', '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}'],
    ['a range of everything', '{{ range(10 ** 9) | length }}'],
    ['a range without end', '{% for i in range(0, 10, 0) %}{% endfor %}'],
    ['doubling', `{% set s = 'ab' %}${'{% set s = s + s %}'.repeat(40)}{{ s }}`],
    [
      'doubling in a loop',
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}"
    ],
    ['repeating', "{{ 'ab' * (10 ** 9) }}"],
    [
      'a list that doubles',
      '{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s | length }}'
    ],
    ['a macro that calls itself', '{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}'],
    [
      'a macro that calls itself twice',
      '{% macro f(x) %}{% if x > 0 %}{{ f(x - 1) }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(60) }}'
    ],
    ['parentheses', `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`],
    ['statements within statements', `${'{% if 1 %}'.repeat(6_000)}${'{% endif %}'.repeat(5_000)}`],
    ['replacing', "{% set s = 'a' * 4000 %}{{ s | replace('a', s) | replace('a', s) | replace('a', s) }}"],
    ['joining', "{% set s = 'a' * 60000 %}{{ range(60000) | join(s) | length }}"],
    ['what it says when it refuses', "{{ raise_exception('\u001b[31m' + 'x' * 100000) }}"],
    ['tojson of itself', '{% set o = namespace() %}{% set o.me = o %}{{ o | tojson }}']
  ])(
    '%s',
    async (_, template) => {
      const ticks = loopTicks()
      const made = await written(template)
      ticks.stop()
      if (typeof made === 'string') expect(made.length).toBeLessThan(100_000)
      // The next one is answered as ever.
      const good = await open('{{ messages[0].content }}')
      expect((await good.chat({ messages }, room)).ids.length).toBeGreaterThan(0)
    },
    60_000
  )
})

// ── Tokenizers ─────────────────────────────────────────────────────────────────────────────────────

const plain = JSON.parse(new TextDecoder().decode(tinyTokenizer())) as Record<string, unknown>
const withChanges = (changes: object): Uint8Array => new TextEncoder().encode(JSON.stringify({ ...plain, ...changes }))
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })
const text = `${'ab'.repeat(2_000)} ${'a'.repeat(2_000)}!`

describe('a tokenizer that does not end', () => {
  test.each([
    ['(a|a)*$', { pre_tokenizer: split('(a|a)*$') }],
    ['(a|b|ab)*c', { pre_tokenizer: split('^(a|b|ab)*c') }],
    ['(.*)*x of a normalizer', { normalizer: { type: 'Replace', pattern: { Regex: '(.*.*)*x' }, content: '' } }],
    ['a look-behind', { pre_tokenizer: split('(?<=(a+)+c)a') }],
    [
      'a normalizer that grows',
      {
        normalizer: {
          type: 'Sequence',
          normalizers: Array.from({ length: 40 }, () => ({ type: 'Replace', pattern: { String: 'a' }, content: 'aa' }))
        }
      }
    ],
    ['an expression that is none', { pre_tokenizer: split('(((') }],
    ['an expression of everything', { pre_tokenizer: split(`(?:${'a?'.repeat(3_000)}){3000}`) }],
    [
      'a control token of a megabyte',
      {
        added_tokens: [
          {
            id: 1,
            content: '<'.repeat(1 << 20),
            special: true,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false
          }
        ]
      }
    ],
    [
      'a post-processor of nothing',
      { post_processor: { type: 'TemplateProcessing', single: null, pair: null, special_tokens: null } }
    ]
  ])(
    '%s',
    async (_, changes) => {
      const ticks = loopTicks()
      const evil = await open('{{ messages[0].content }}', withChanges(changes))
      for (const ask of [
        () => evil.encode(text),
        () => evil.chat({ messages: [{ role: 'user', content: text }] }, { ...room, contextMax: 1 << 20 })
      ]) {
        await ask().catch((error: unknown) => expect(faultOf(error, [SkeinError])).toBeUndefined())
      }
      expect(ticks.count()).toBeGreaterThan(0)
      ticks.stop()
    },
    60_000
  )
})
