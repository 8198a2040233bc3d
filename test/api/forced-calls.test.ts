/** Calls that a grammar holds a model to: in each form whatever fits is read as calls whose arguments validate, and what a template writes fits. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { offeredIn } from '../../src/api/call-texts.ts'
import { callsGrammar } from '../../src/api/grammars.ts'
import { type CallForm, callForm, callReader } from '../../src/api/tools.ts'
import { seeded } from '../../src/base/rng.ts'
import { renderChat } from '../../src/model/chat.ts'
import { reads, recogniserOf, walk } from '../model/grammar-walk.ts'

const { signal } = new AbortController()
const tool = (name: string, parameters?: Record<string, unknown>, strict = false) => ({
  type: 'function' as const,
  function: { name, ...(parameters === undefined ? {} : { parameters }), strict }
})

const text = { type: 'string' }
const whole = { type: 'integer' }
/** What people have functions take: alone, one of several, named, within others, and of which nothing is said. */
const values: Readonly<Record<string, object>> = {
  text,
  short: { type: 'string', minLength: 2, maxLength: 5 },
  pattern: { type: 'string', pattern: '^[A-Z]{2}[0-9]*$' },
  anywhere: { type: 'string', pattern: '[0-9]' },
  date: { type: 'string', format: 'date' },
  whole: { type: 'integer', minimum: 3, maximum: 20 },
  number: { type: 'number' },
  flag: { type: 'boolean' },
  list: { type: 'array', items: text, maxItems: 3 },
  point: { type: 'object', properties: { x: whole, label: text }, required: ['x'], additionalProperties: false },
  unit: { type: 'string', enum: ['°C', '5', 'null', 'true', ' x ', '"q"', ''] },
  mixedEnum: { enum: ['5', 5, true, null, 'a', [1], 'true', '[1]'] },
  constant: { const: 'on' },
  maybe: { anyOf: [text, { type: 'null' }] },
  maybeFlag: { anyOf: [{ type: 'boolean' }, { type: 'null' }] },
  several: { type: ['string', 'null', 'boolean'] },
  textOrWhole: {
    anyOf: [
      { type: 'string', maxLength: 6 },
      { type: 'integer', minimum: 10 }
    ]
  },
  textOrTexts: { anyOf: [text, { type: 'array', items: text }] },
  patternOrNumber: {
    oneOf: [
      { type: 'string', pattern: '^[0-9]+$' },
      { type: 'number', maximum: 5 }
    ]
  },
  colour: { $ref: '#/$defs/colour' },
  tree: { allOf: [{ $ref: '#/$defs/tree' }] },
  meant: { minLength: 1 },
  anything: {},
  described: { description: 'whatever' }
}
const $defs = {
  colour: { enum: ['red', '7'], type: 'string' },
  tree: { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/$defs/tree' } }, of: text } }
}
const names = Object.keys(values)
const tools = [
  tool('weather', { type: 'object', properties: { city: text }, required: ['city'], additionalProperties: false }),
  tool('ends'),
  tool('bare', { type: 'object', properties: {} }),
  tool('some', { properties: values, required: names.filter((_, i) => i % 3 === 0), $defs }, true),
  tool('all', { type: 'object', properties: values, required: names, $defs }),
  tool('led', {
    $ref: '#/$defs/args',
    $defs: { args: { type: 'object', properties: { n: whole }, required: ['n', 'm'] } }
  }),
  tool('open', { type: 'object' }),
  tool('counts', { type: 'object', additionalProperties: whole })
]
const ajv = new Ajv2020({ strict: false, formats: { date: /^\d{4}-\d{2}-\d{2}$/ } })
const validators = new Map(
  tools.map(each => [each.function.name, ajv.compile(each.function.parameters ?? { maxProperties: 0 })])
)

/** What a value may be taken for, and what ends one, and almost ends one. */
const pieces = [
  ...['5', '12', '-1', 'null', 'None', 'true', 'True', '"', '""', '"5"', '[1]', '{}', '\n', ' ', 'a', 'AB1', '\u00e9'],
  ...['</parameter>', '</parameter', '\n</parameter>\n', '<parameter=text>\n', '</function>', '</function>\n', '</'],
  ...[
    '</arg_value>',
    '</arg_value',
    '</arg_key>',
    '<arg_key>',
    '</tool_call>',
    '</tool_call',
    '\n</tool_call>',
    '; {',
    '}; {'
  ],
  ...['2024-02-29', '[', ']', '}', ', ', '[CALL_ID]', '[TOOL_CALLS]', '\\"', '1e99', 'red', '7', ...names]
]

/** All that a text is read as; as a whole, and as it comes, one character after the other. */
function callsIn(form: CallForm, written: string): { readonly name: string; readonly args: unknown }[] {
  const [at_once, as_it_comes] = [[written], [...written]].map(parts => {
    const reader = callReader({ form, offered: offeredIn(tools) })
    return [...parts.flatMap(part => reader.push(part)), ...reader.end()].filter(
      each => each.kind === 'call' || each.text.trim() !== ''
    )
  })
  expect(as_it_comes).toEqual(at_once)
  return at_once!.map(each => {
    if (each.kind !== 'call') throw new Error(`${JSON.stringify(written)} has text in it: ${JSON.stringify(each.text)}`)
    return { name: each.name, args: JSON.parse(each.arguments) }
  })
}

describe('calls that must be made', () => {
  it.each<CallForm>(['tagged', 'json', 'list', 'marked', 'named', 'functions', 'keyed'])(
    'are read in the form %s, whatever their arguments are, and those validate',
    async form => {
      for (const [i, each] of tools.entries()) {
        const given = [each, ...(i === 0 ? tools.slice(1, 3) : [])]
        const recogniser = recogniserOf(await callsGrammar(form, given, { most: 3, signal }))
        const rng = seeded(11 + i)
        for (let run = 0; run < 25; run++) {
          const written = walk(recogniser, rng, { pieces })
          const calls = callsIn(form, written)
          expect(calls.length, written).toBeGreaterThan(0)
          for (const { name, args } of calls) {
            const validate = validators.get(name)!
            expect(validate(args), `${written}: ${ajv.errorsText(validate.errors)}`).toBe(true)
          }
        }
      }
    }
  )

  /** What is told of one argument, as these two forms write it. */
  const spelt: Readonly<Record<string, (name: string, value: string) => string>> = {
    functions: (name, value) =>
      `<tool_call>\n<function=f>\n<parameter=${name}>\n${value}\n</parameter>\n</function>\n</tool_call>`,
    keyed: (name, value) => `<tool_call>f\n<arg_key>${name}</arg_key>\n<arg_value>${value}</arg_value>\n</tool_call>`
  }

  it.each(['functions', 'keyed'] as const)('may have any text in the form %s, but for what ends it', async form => {
    const recogniser = recogniserOf(await callsGrammar(form, [tool('f', { properties: { x: text } })], { signal }))
    for (const fine of [
      '',
      'if (a < b) {\n  c()\n}',
      '<b></b>',
      '</',
      '5',
      '"',
      'null',
      '\n\n',
      '</parameters>',
      '</func'
    ]) {
      expect(reads(recogniser, spelt[form]!('x', fine)), fine).toBe('whole')
    }
    const end = form === 'functions' ? '</parameter>' : '</arg_value>'
    for (const unfit of [`a${end}b`, `</tool_call>`, `</tool_cal</tool_call>`]) {
      expect(reads(recogniser, spelt[form]!('x', unfit)), unfit).toBe('no')
    }
  })

  it.each(['functions', 'keyed'] as const)('have values in the form %s as their schema wants them', async form => {
    const cases: [keyof typeof values, fine: string[], unfit: string[]][] = [
      ['short', ['ab', '12345'], ['a', '123456']],
      ['pattern', ['AB12'], ['ab', 'A', 'AB1x']],
      ['whole', ['3', '20'], ['2', '21', 'x', '"3"']],
      ['flag', ['true', 'False'], ['yes', 'None']],
      ['maybeFlag', ['None', 'null', 'True'], ['x']],
      ['unit', ['°C', '5', 'null', ''], ['6', 'nul']],
      ['mixedEnum', ['5', '"5"', 'true', 'null', 'a', '[1]', '"[1]"', '"true"'], ['6', '"6"']],
      ['textOrWhole', ['10', 'abc', '"5"', ''], ['5', '-1', '{']],
      ['textOrTexts', ['a', '["a"]', '"[1]"'], ['[1]', '5']],
      ['patternOrNumber', ['"12"', '4'], ['12', 'x']],
      ['colour', ['red', '7'], ['blue', '"7"']],
      ['point', ['{"x": 1}', '{"x":1,"label":"a"}'], ['{}', 'x', '{"y":1}']],
      ['anything', ['5', 'x', '{', '"'], []]
    ]
    for (const [name, fine, unfit] of cases) {
      const given = [tool('f', { properties: { [name]: values[name]! }, required: [name], $defs })]
      const recogniser = recogniserOf(await callsGrammar(form, given, { signal }))
      for (const each of fine) expect(reads(recogniser, spelt[form]!(name, each)), `${name} ${each}`).toBe('whole')
      for (const each of unfit) expect(reads(recogniser, spelt[form]!(name, each)), `${name} ${each}`).toBe('no')
    }
  })

  it.each([
    [
      { anyOf: [{ properties: { a: text } }, { properties: { b: text } }] },
      /schema\.anyOf is not supported in calls of this form/
    ],
    [{ type: 'string' }, /schema\.type must be 'object'/],
    [{ propertyNames: { maxLength: 3 } }, /schema\.propertyNames is not supported in calls/],
    [{ properties: { 'a>b': text } }, /schema\.properties has "a>b", a name that/],
    [
      { properties: { a: { anyOf: [text, { const: true }] } } },
      /schema\.properties\.a\.anyOf\.1\.const has true or false/
    ],
    [{ properties: { a: { const: 'x</tool_call>' } } }, /schema\.properties\.a has no value that/],
    [{ properties: { a: { not: {} } } }, /schema\.properties\.a\.not is not supported/],
    [
      { properties: { a: { anyOf: [text, { type: 'array', contains: {} }] } } },
      /a\.anyOf\.1\.contains is not supported/
    ],
    [{ properties: { a: { $ref: '#/$defs/a' } }, $defs: { a: { $ref: '#/$defs/a' } } }, /refers to itself/],
    [{ required: ['a'], additionalProperties: false }, /schema\.required has "a", which the schema does not allow/]
  ])('cannot be made in forms without quotes with %j', async (parameters, says) => {
    for (const form of ['functions', 'keyed'] as const) {
      await expect(callsGrammar(form, [tool('f', parameters)], { signal })).rejects.toThrow(says)
    }
  })

  it('cannot be made of a name that would not be read', async () => {
    for (const form of ['functions', 'keyed'] as const) {
      const wanted = callsGrammar(form, [tool('two words')], { signal })
      await expect(wanted).rejects.toThrow(/'tools\.0\.function\.name' is no name that this model can call/)
    }
  })
})

describe('a real template', () => {
  it.each([
    ['qwen2.5', 'tagged'],
    ['qwen3', 'tagged'],
    ['qwen3.5', 'functions'],
    ['glm-4.5', 'keyed']
  ] as const)('of %s writes calls as they are held to', async (name, form) => {
    const template = readFileSync(join(import.meta.dirname, `../model/templates/${name}.jinja`), 'utf8')
    expect(callForm(template, name)).toBe(form)
    const args = { city: 'São <Paulo>', days: 3, hours: [1, 2], at: { x: 1 }, note: 'two\nlines "quoted"' }
    const properties = {
      ...{ city: text, days: whole, hours: { type: 'array', items: whole } },
      ...{ at: { type: 'object', properties: { x: whole } }, note: text }
    }
    const given = [tool('weather', { type: 'object', properties, required: ['city'] }), tool('ends')]
    const call = (called: string, its: object) => ({ type: 'function', function: { name: called, arguments: its } })
    const messages = [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: '', tool_calls: [call('weather', args), call('ends', {})] },
      { role: 'tool', content: 'fine' }
    ]
    const rendered = renderChat({ name, source: template, bosToken: '', eosToken: '' }, { messages, tools: given })
    const from = rendered.lastIndexOf('<tool_call>', rendered.lastIndexOf('<tool_call>') - 1)
    const written = rendered.slice(from, rendered.lastIndexOf('</tool_call>') + '</tool_call>'.length)
    const recogniser = recogniserOf(await callsGrammar(form, given, { signal }))
    expect(reads(recogniser, written), written).toBe('whole')
    const reader = callReader({ form, offered: offeredIn(given) })
    const calls = [...reader.push(written), ...reader.end()].filter(each => each.kind === 'call')
    expect(calls.map(each => [each.name, JSON.parse(each.arguments)])).toEqual([
      ['weather', args],
      ['ends', {}]
    ])
  })
})
