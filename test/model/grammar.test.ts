/** JSON Schemas and expressions as grammars: what fits a grammar parses and validates (ajv says so), and the rest is refused by its path. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { describe, expect, test } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { grammarOf } from '../../src/model/grammar.ts'
import type { GrammarSpec } from '../../src/model/grammar-spec.ts'
import { TooManyWaysError } from '../../src/model/recogniser.ts'
import { reads, recogniserOf, walk } from './grammar-walk.ts'

const ajv = new Ajv2020({ strict: false })
addFormats.default(ajv)

const spec = (schema: object, strict?: boolean): GrammarSpec => ({ kind: 'json-schema', schema, strict })

const person = {
  type: 'object',
  properties: {
    name: { type: 'string' },
    age: { type: 'integer', minimum: 0, maximum: 130 },
    email: { type: 'string', format: 'email' }
  },
  required: ['name', 'age'],
  additionalProperties: false
}
const list = {
  $ref: '#/$defs/node',
  $defs: {
    node: {
      type: 'object',
      properties: { value: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
      required: ['value', 'next'],
      additionalProperties: false
    }
  }
}

/** By name: a schema, texts that fit, and texts that do not, of which some are JSON that the schema refuses. */
const schemas: Record<string, readonly [schema: object, fit: readonly string[], unfit: readonly string[]]> = {
  anything: [
    {},
    ['1', '"a"', '[1, {"a": null}]', '{\n  "a": [\n    1\n  ]\n}'],
    ['', '01', '{"a"}', '[1,]', '"\\ud800"', "'a'", '{}  ', '[1 ,2]']
  ],
  'an object': [
    person,
    ['{"name": "Ada", "age": 36}', '{"name":"A","age":0,"email":"a@b.org"}'],
    [
      '{"age":1,"name":"A"}',
      '{"name":"A"}',
      '{"name":"A","age":131}',
      '{"name":"A","age":1,"x":2}',
      '{"name":"A","age":1,}'
    ]
  ],
  'an open object': [
    { type: 'object', properties: { a: { type: 'integer' }, ab: { type: 'string' } }, required: ['ab'] },
    ['{"ab":"x"}', '{"a":1,"ab":"x","b":[],"abc":1,"é":0}'],
    ['{"ab":"x","a":"x"}', '{"ab":"x","ab":1}', '{"ab":"x","\\u0061":1}', '{"a":1}']
  ],
  'optional properties': [
    { type: 'object', properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } }, additionalProperties: false },
    ['{}', '{"a":1}', '{"c":3}', '{"a":1, "c":3}', '{"b":2,"c":3}'],
    ['{"b":2,"a":1}', '{,"b":2}', '{"a":1 "b":2}', '{"a":1,}']
  ],
  'a map': [
    { type: 'object', additionalProperties: { type: 'boolean' } },
    ['{}', '{"a": true, "b": false}'],
    ['{"a":1}']
  ],
  'a map of names': [
    {
      type: 'object',
      propertyNames: { pattern: '^[a-z]+$' },
      additionalProperties: { type: 'integer' },
      minProperties: 1,
      maxProperties: 2
    },
    ['{"a":1}', '{"a":1,"b":2}'],
    ['{}', '{"A":1}', '{"a":1,"b":2,"c":3}']
  ],
  'required without properties': [
    { type: 'object', required: ['z'] },
    ['{"z":1}', '{"z":[],"y":1}'],
    ['{}', '{"y":1}']
  ],
  'names that need escapes': [
    { type: 'object', properties: { 'a"\n€\\': { type: 'null' } }, required: ['a"\n€\\'] },
    ['{"a\\"\\n€\\\\":null}', '{"a\\"\\n€\\\\":null,"a":1}'],
    ['{"a"\n€":null}']
  ],
  'an array': [
    { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 },
    ['[true]', '[true, false,true]'],
    ['[]', '[true,true,true,true]', '[1]']
  ],
  'a tuple': [
    {
      type: 'array',
      prefixItems: [{ type: 'null' }, { type: 'integer' }],
      items: { type: 'string' },
      minItems: 1,
      maxItems: 4
    },
    ['[null]', '[null,1]', '[null,1,"a","b"]'],
    ['[]', '[1]', '[null,"a"]', '[null,1,"a","b","c"]']
  ],
  'a closed tuple': [
    { type: 'array', prefixItems: [{ type: 'null' }, {}], items: false, minItems: 2 },
    ['[null,[]]'],
    ['[null]', '[null,1,2]']
  ],
  'no items': [{ type: 'array', maxItems: 0 }, ['[]'], ['[1]']],
  strings: [
    { type: 'string', minLength: 2, maxLength: 4 },
    ['"ab"', '"a\\"\\nb"', '"😀😀"', '"\\ud83d\\ude00a"'],
    ['"a"', '"abcde"', '"a\tb"', '"\\u12"']
  ],
  'a long string': [{ type: 'string', maxLength: 5000 }, [`"${'a'.repeat(5000)}"`], [`"${'a'.repeat(5001)}"`]],
  'a pattern': [
    { type: 'string', pattern: '^a[0-9]+(-[A-Z]{2,3})?$' },
    ['"a1"', '"a12-AB"'],
    ['"a"', '"a1-A"', '"ba1"']
  ],
  'a pattern somewhere': [{ type: 'string', pattern: 'a|^b' }, ['"xay"', '"bx"'], ['"xb"', '"x"']],
  'a pattern with what JSON escapes': [
    { type: 'string', pattern: '^[a"\\\\\\n]*$' },
    ['"a\\"\\\\\\n"', '""'],
    ['"a"a"', '"b"']
  ],
  'classes of characters': [
    { type: 'string', pattern: '^\\w\\d\\s[^a-c.]\\D.\\u00e9\\x41\\/$' },
    ['"_1 dx?éA/"'],
    ['"_1 ax?éA/"', '"_1 d1?éA/"']
  ],
  'formats of time': [
    {
      type: 'array',
      prefixItems: [
        { type: 'string', format: 'date' },
        { type: 'string', format: 'time' },
        { type: 'string', format: 'date-time' }
      ],
      items: false,
      minItems: 3
    },
    ['["2024-02-29","23:59:59Z","2023-12-31T00:00:00.5+01:00"]'],
    ['["2023-02-29"', '["2023-13-01"', '["2023-04-31"', '["2000-02-30"', '["1900-02-29"']
  ],
  'formats of addresses': [
    {
      type: 'array',
      prefixItems: ['email', 'hostname', 'ipv4', 'uri', 'uuid'].map(format => ({ type: 'string', format })),
      items: false,
      minItems: 5
    },
    [
      '["a.b+c@example.org","example.org","10.0.0.255","https://example.org:8080/a?b=c#d","123e4567-e89b-12d3-a456-426614174000"]'
    ],
    ['["a@"', '["@b.c"']
  ],
  constants: [
    { enum: ['a', '"q', 1, null, true, { x: [1] }, '\ud800'] },
    ['"a"', '"\\"q"', '1', 'null', '{"x":[1]}', '"\\ud800"'],
    ['"b"', '2', 'false']
  ],
  'constants of a type': [{ type: 'string', enum: ['a', 1] }, ['"a"'], ['1']],
  'several types': [
    { type: ['string', 'null', 'integer'], maxLength: 2, minimum: 5 },
    ['"ab"', 'null', '5'],
    ['"abc"', '4', '1.5']
  ],
  'keywords without a type': [
    { properties: { a: { minimum: 3 } }, required: ['a'] },
    ['{"a":3}'],
    ['[]', '{"a":2}', '{"a":""}']
  ],
  unions: [
    { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'integer' } }] },
    ['"a"', '[1]'],
    ['1', '["a"]']
  ],
  'one of several': [
    {
      oneOf: [
        { type: 'object', properties: { kind: { const: 'a' }, x: { type: 'integer' } }, required: ['kind', 'x'] },
        { type: 'object', properties: { kind: { enum: ['b', 'c'] } }, required: ['kind'], additionalProperties: false },
        { type: 'integer' }
      ]
    },
    ['{"kind":"a","x":1}', '{"kind":"c"}', '7'],
    ['{"kind":"b","x":1}', '{"kind":"d"}']
  ],
  'a list of itself': [
    list,
    ['{"value":1,"next":null}', '{"value":1,"next":{"value":2,"next":null}}'],
    ['{"value":1}', '{"value":1,"next":1}']
  ],
  'the whole again': [
    { type: 'object', properties: { child: { $ref: '#' } }, additionalProperties: false },
    ['{}', '{"child":{"child":{}}}'],
    ['{"child":1}']
  ],
  'a reference to a property': [
    {
      type: 'object',
      properties: { 'a/b~c': { type: 'integer' }, d: { $ref: '#/properties/a~1b~0c' } },
      required: ['d'],
      additionalProperties: false
    },
    ['{"d":1}'],
    ['{"d":"a"}']
  ],
  'all of one': [{ allOf: [{ type: 'integer' }], description: 'a count', default: 1, 'x-order': 3 }, ['1'], ['"a"']],
  'whole numbers': [
    { type: 'integer', minimum: -12, exclusiveMaximum: 123 },
    ['-12', '-1', '0', '7', '99', '122'],
    ['-13', '123', '-0', '1.0', '00']
  ],
  'whole numbers above': [
    { type: 'integer', exclusiveMinimum: 0, maximum: 9007199254740991 },
    ['1', '10', '9007199254740991'],
    ['0', '-1', '9007199254740992']
  ],
  'whole numbers with broken bounds': [{ type: 'integer', minimum: 1.5, maximum: 3.5 }, ['2', '3'], ['1', '4']],
  'whole numbers below': [{ type: 'integer', maximum: -100 }, ['-100', '-999', '-1000'], ['-99', '0', '1']],
  numbers: [{ type: 'number' }, ['0', '-1.5', '1e5', '1.25E-7'], ['.5', '1.', '1e', '1e999', '--1']],
  'numbers between': [
    { type: 'number', minimum: -2, maximum: 10 },
    ['-2', '-1.5', '-0.25', '0', '3.75', '9.99', '10'],
    ['-2.1', '10.1', '11', '1e3']
  ],
  'numbers above 0': [
    { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
    ['0.5', '0.001'],
    ['0', '1', '0.0', '-0.5']
  ],
  'numbers below 0': [{ type: 'number', exclusiveMaximum: 0 }, ['-0.5', '-7', '-7.25'], ['0', '-0', '-0.0', '1']]
}

describe('a schema as a grammar', () => {
  test.each(Object.entries(schemas))('%s: what fits validates', (_, [schema, fit, unfit]) => {
    const recogniser = recogniserOf(spec(schema))
    const validate = ajv.compile(schema)
    for (const text of fit) {
      expect(reads(recogniser, text), text).toBe('whole')
      expect(validate(JSON.parse(text)), text).toBe(true)
    }
    for (const text of unfit) expect(reads(recogniser, text), text).not.toBe('whole')
    const rng = seeded(7)
    for (let i = 0; i < 40; i++) {
      const text = walk(recogniser, rng)
      expect(validate(JSON.parse(text)), `${text}: ${ajv.errorsText(validate.errors)}`).toBe(true)
    }
  })
})

describe('what a schema may not have', () => {
  const refused: readonly (readonly [schema: object, message: RegExp])[] = [
    [
      { type: 'object', properties: { a: { type: 'array', contains: {} } } },
      /schema\.properties\.a\.contains is not supported$/
    ],
    ...[
      'not',
      'if',
      'patternProperties',
      'dependentRequired',
      'unevaluatedProperties',
      'minContains',
      'uniqueItems',
      'multipleOf'
    ].map(key => [{ [key]: {} }, new RegExp(`schema\\.${key} is not supported`)] as const),
    [{ type: 'string', nullable: true }, /schema\.nullable is not supported/],
    [
      { type: 'object', properties: {}, anyOf: [{ required: ['a'] }] },
      /schema\.properties is not supported beside anyOf/
    ],
    [{ anyOf: [{}], oneOf: [{}] }, /schema\.oneOf is not supported beside anyOf/],
    [{ $ref: '#/$defs/a', type: 'string', $defs: { a: {} } }, /schema\.type is not supported beside \$ref/],
    [{ allOf: [{}, {}] }, /schema\.allOf is supported with one schema in it/],
    [
      { oneOf: [{ type: 'integer' }, { type: 'number' }] },
      /schema\.oneOf is supported where no value fits two of its schemas/
    ],
    [{ anyOf: [] }, /schema\.anyOf must be an array that is not empty/],
    [{ enum: 'a' }, /schema\.enum must be an array/],
    [{ type: 'string', enum: [1] }, /schema\.enum has no value of the type beside it/],
    [{ type: 'text' }, /schema\.type must be one of object, array/],
    [{ type: 'string', pattern: 'a', minLength: 2 }, /schema\.minLength is not supported beside pattern/],
    [{ type: 'string', pattern: 'a', format: 'date' }, /schema\.format is not supported beside pattern/],
    [{ type: 'string', format: 'phone' }, /schema\.format is supported as one of date, time/],
    [{ type: 'string', minLength: 3, maxLength: 2 }, /schema\.maxLength is below minLength/],
    [{ type: 'string', minLength: -1 }, /schema\.minLength must be a whole number of 0 or more/],
    [{ type: 'number', minimum: 0.5 }, /schema\.minimum is supported for numbers where it is whole/],
    [{ type: 'integer', minimum: 3, maximum: 2 }, /schema has bounds between which there is no number/],
    [{ type: 'integer', exclusiveMinimum: true }, /schema\.exclusiveMinimum must be a number/],
    [{ type: 'array', items: [{}] }, /schema\.items must be a schema: several of them are prefixItems/],
    [{ type: 'array', minItems: 2, maxItems: 1 }, /schema\.maxItems leaves no array that fits/],
    [
      { type: 'object', required: ['a'], additionalProperties: false },
      /schema\.required has "a", which the schema does not allow/
    ],
    [{ type: 'object', minProperties: 2 }, /schema\.minProperties is supported up to/],
    [{ type: 'object', properties: { a: {} }, maxProperties: 1 }, /schema\.maxProperties is supported where/],
    [
      { type: 'object', properties: { a: {} }, propertyNames: { maxLength: 2 } },
      /schema\.propertyNames is supported where/
    ],
    [{ type: 'object', properties: { a: false } }, /schema\.properties\.a is false, which no value fits/],
    [{ type: 'object', properties: { a: 1 } }, /schema\.properties\.a must be an object, or true/],
    [
      { properties: { a: { $ref: 'https://example.org/a' } } },
      /schema\.properties\.a\.\$ref must lead to a place within the schema/
    ],
    [{ $ref: '#/$defs/a' }, /schema\.\$ref leads to nothing: the schema has no "#\/\$defs\/a"/],
    [{ $ref: '#' }, /^schema refers to itself, with nothing before that|no answer of any length/],
    [
      {
        $ref: '#/$defs/a',
        $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }, { type: 'null' }] }, b: { $ref: '#/$defs/a' } }
      },
      /schema\.\$defs\.[ab] refers to itself, with nothing before that/
    ],
    [
      {
        $ref: '#/$defs/a',
        $defs: { a: { type: 'object', properties: { next: { $ref: '#/$defs/a' } }, required: ['next'] } }
      },
      /no answer of any length fits the grammar: schema\.\$defs\.a needs itself/
    ],
    ...(
      [
        ['a(?=b)', "'(?='"],
        ['(?<!a)b', "'(?<'"],
        ['(a)\\1', "'\\1'"],
        ['\\bword', "'\\b'"],
        ['\\p{L}', "'\\p'"],
        ['a^b', "'^' anywhere but at the beginning"],
        ['(a$)b', "'$' anywhere but at the end"],
        ['a$b', "'b' here"],
        ['(a', 'a group that is not closed'],
        ['a)', "')' here"],
        ['[a', 'a class that is not closed'],
        ['[b-a]', 'a range that falls'],
        ['[]', 'a class without characters'],
        ['a**', 'two counts in a row'],
        ['*a', "'*' here"],
        ['a{2,1}', 'a count from 2 down to 1'],
        ['a{,2}', "'{' without a count here"],
        ['\\u12', "'\\u' without its digits"],
        ['\ud800', 'half of a surrogate pair'],
        ['('.repeat(100), 'more than 32 groups within one another']
      ] as const
    ).map(
      ([pattern, what]) =>
        [
          { type: 'string', pattern },
          new RegExp(`schema\\.pattern is not supported: it has ${RegExp.escape(what)}`)
        ] as const
    )
  ]

  test.each(refused)('%j', (schema, message) => {
    expect(() => grammarOf(spec(schema))).toThrow(message)
  })
})

describe('grammars', () => {
  test('a JSON object is one, however deep, and nothing else', () => {
    const recogniser = recogniserOf({ kind: 'json' })
    expect(reads(recogniser, `{"a":${'['.repeat(2000)}${']'.repeat(2000)}}`)).toBe('whole')
    for (const text of ['[]', '1', '{"a":1', 'x{}', ' {}']) expect(reads(recogniser, text)).not.toBe('whole')
  })

  test('white space is one space or one line break with an indentation: it does not go on for ever', () => {
    const recogniser = recogniserOf({ kind: 'json' })
    expect(reads(recogniser, '{\n\t\t"a": 1,\n        "b": 2\n}')).toBe('whole')
    for (const text of ['{  "a"', '{\n\n', `{\n${' '.repeat(21)}`]) expect(reads(recogniser, text)).toBe('no')
  })

  test('a strict schema keeps objects to the properties that it names', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'object' }, b: { type: 'object', additionalProperties: true } }
    }
    expect(reads(recogniserOf(spec(schema)), '{"c":1}')).toBe('whole')
    const strict = recogniserOf(spec(schema, true))
    expect(reads(strict, '{"c":1}')).toBe('no')
    expect(reads(strict, '{"a":{"c":1},"b":{"c":1}}')).toBe('whole')
  })

  test('an expression is for the whole answer', () => {
    const recogniser = recogniserOf({ kind: 'regex', pattern: '(?:yes|no)(?<why>, "[^\\n]*")?' })
    for (const text of ['yes', 'no, "é"']) expect(reads(recogniser, text)).toBe('whole')
    for (const text of ['yess', ' no', 'yes,']) expect(reads(recogniser, text)).not.toBe('whole')
    for (const pattern of [
      '(a*)*b',
      '(a|a)*',
      '(a+)+$',
      '((a?){3}){2}',
      '()',
      '(|a)+',
      '.{2,}',
      '[^a]{0}',
      '(?:a{2}){1,2}'
    ]) {
      const own = recogniserOf({ kind: 'regex', pattern })
      const expression = new RegExp(`^(?:${pattern})$`, 'u')
      for (const text of ['', 'a', 'aa', 'aaa', 'aaaa', 'aaaaaaa', 'ab', 'b', '😀é']) {
        expect(reads(own, text) === 'whole', `${pattern} ${text}`).toBe(expression.test(text))
      }
    }
  })

  test('grammars stand one after the other, beside each other and several times', () => {
    const call: GrammarSpec = {
      kind: 'sequence',
      of: [
        { kind: 'text', text: '<call>' },
        { kind: 'either', of: [spec({ type: 'integer' }), { kind: 'text', text: 'none' }] },
        { kind: 'text', text: '</call>' }
      ]
    }
    const recogniser = recogniserOf({ kind: 'times', of: call, min: 1, max: 2 })
    for (const text of ['<call>12</call>', '<call>none</call><call>0</call>'])
      expect(reads(recogniser, text)).toBe('whole')
    for (const text of ['', '<call></call>', '<call>1</call>'.repeat(3)])
      expect(reads(recogniser, text)).not.toBe('whole')
  })

  test('a grammar without some texts has all others', () => {
    const texts = ['</a>', 'aab', 'ab<', 'é']
    const expression = '[<>/abé]*'
    const recogniser = recogniserOf({ kind: 'without', of: { kind: 'regex', pattern: expression }, texts })
    const rng = seeded(3)
    for (let i = 0; i < 5_000; i++) {
      const text = Array.from({ length: 1 + Math.floor(rng() * 9) }, () => [...'<>/abé'][Math.floor(rng() * 6)]).join(
        ''
      )
      expect(reads(recogniser, text) === 'whole', text).toBe(!texts.some(each => text.includes(each)))
    }
    // What stands beside it is none of it, and each time it comes is looked at by itself.
    const beside = recogniserOf({
      kind: 'times',
      of: {
        kind: 'sequence',
        of: [
          { kind: 'text', text: 'ab' },
          { kind: 'without', of: { kind: 'regex', pattern: 'a?b?' }, texts: ['ab'] },
          { kind: 'text', text: 'b;' }
        ]
      },
      min: 1,
      max: 3
    })
    for (const text of ['abab;', 'abb;abbb;', 'abb;abab;abb;']) expect(reads(beside, text), text).toBe('whole')
    for (const text of ['ababb;', 'abb;ababb;']) expect(reads(beside, text), text).toBe('no')
  })

  test.each<[GrammarSpec, RegExp]>([
    [{ kind: 'without', of: { kind: 'json' }, texts: [] }, /^texts must be an array of texts, and not empty/],
    [
      { kind: 'without', of: { kind: 'json' }, texts: [''] },
      /^texts must be texts that are not empty, of 256 characters/
    ],
    [{ kind: 'without', of: { kind: 'json' }, texts: ['a'.repeat(257)] }, /of 256 characters together/],
    [
      {
        kind: 'sequence',
        of: [{ kind: 'without', of: { kind: 'without', of: { kind: 'json' }, texts: ['a'] }, texts: ['b'] }]
      },
      /^0\.texts is not supported within a grammar that is without some texts/
    ],
    [{ kind: 'plain', schema: {} } as unknown as GrammarSpec, /^marks\.beforeName must be an array of texts/],
    [
      {
        kind: 'plain',
        schema: {},
        marks: { beforeName: ['a'], beforeValue: ['b'], afterValue: [5 as never], never: ['c'] }
      },
      /^marks\.afterValue must be an array of texts/
    ]
  ])('%j is none', (each, message) => {
    expect(() => grammarOf(each)).toThrow(message)
  })

  test('every character of Unicode is read where one may stand, and no bytes that are none', () => {
    const recogniser = recogniserOf({ kind: 'regex', pattern: '[^]'.replace('[^]', '[\\u0000-\\u{10ffff}]') })
    for (const code of [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff]) {
      expect(reads(recogniser, String.fromCodePoint(code)), code.toString(16)).toBe('whole')
    }
    // A surrogate, an overlong form, beyond the last one, and a byte that only follows others.
    for (const bytes of [[0xed, 0xa0], [0xc0], [0xe0, 0x80], [0xf4, 0x90], [0xf5], [0x80]]) {
      const end = bytes
        .slice(0, -1)
        .reduce<ReturnType<typeof recogniser.after>>((at, byte) => recogniser.after(at!, byte), recogniser.start)
      expect(recogniser.after(end!, bytes.at(-1)!), String(bytes)).toBeNull()
    }
  })
})

describe('schemas and expressions that are there to harm', () => {
  /** So many levels, made without recursion. */
  const nested = (levels: number): object => {
    let schema: object = { type: 'null' }
    for (let i = 0; i < levels; i++) schema = { type: 'array', items: schema }
    return schema
  }
  const circle: Record<string, unknown> = { type: 'array' }
  circle.items = circle

  test.each<[string, GrammarSpec, RegExp]>([
    ['100,000 levels', spec(nested(100_000)), /nested 64 levels deep/],
    ['a circle', spec(circle), /nested 64 levels deep/],
    ['a million constants', spec({ enum: Array.from({ length: 1_000_000 }, (_, i) => i) }), /65536 characters as JSON/],
    ['a long expression', { kind: 'regex', pattern: 'a'.repeat(100_000) }, /65536 characters as JSON/],
    ['a function', spec({ default: () => 1 }), /plain JSON, without a function/],
    [
      'a thousand schemas to be told apart',
      spec({ oneOf: Array.from({ length: 1_000 }, (_, i) => ({ const: i })) }),
      /schema\.oneOf is supported with 64 schemas, and has 1000: use anyOf, or enum/
    ],
    ['another kind', { kind: 'lark' } as unknown as GrammarSpec, /kind "lark" is not known/]
  ])('%s', (_, each, message) => {
    const startMs = performance.now()
    expect(() => grammarOf(each)).toThrow(message)
    expect(performance.now() - startMs).toBeLessThan(2_000)
  })

  test('what is large and allowed is made ready in time', () => {
    const many = (count: number, each: (i: number) => object): object =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, each(i)]))
    const large: GrammarSpec[] = [
      spec({ enum: Array.from({ length: 6_000 }, (_, i) => `w${i}`) }),
      spec({ type: 'object', properties: many(2_000, () => ({ type: 'string' })) }),
      spec({
        $ref: '#/$defs/p0',
        $defs: many(1_500, i => (i < 1_499 ? { $ref: `#/$defs/p${i + 1}` } : { type: 'null' }))
      }),
      { kind: 'regex', pattern: '(a+)+(a*)*(a|aa)*b'.repeat(20) }
    ]
    for (const each of large) {
      const startMs = performance.now()
      const recogniser = recogniserOf(each)
      expect(reads(recogniser, each.kind === 'regex' ? 'a'.repeat(500) : '')).not.toBe('no')
      expect(performance.now() - startMs, JSON.stringify(each).slice(0, 60)).toBeLessThan(5_000)
    }
  })

  test('what a text may be in too many ways at once is refused, however it goes on', () => {
    const recogniser = recogniserOf({ kind: 'regex', pattern: '(?:(?:[a-z]{1,1000}){1,1000}){1,1000}' })
    expect(() => reads(recogniser, 'a'.repeat(500))).toThrow(TooManyWaysError)
    expect(() => recogniserOf({ kind: 'regex', pattern: '(?:(?:a?){1000}){1000}' })).toThrow(TooManyWaysError)
  })
})
