/** What ends an answer, and what of it was said by then: it depends on the text alone, not on the pieces in which it comes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answerPieces, nothingTaken, type Piece } from '../../src/api/answer.ts'
import { Stops } from '../../src/api/stop.ts'
import { offeredIn } from '../../src/api/call-texts.ts'
import { usageOf } from '../../src/api/usage.ts'
import { callForm, callReader, type CallForm, withTools } from '../../src/api/tools.ts'
import type { Generation, GenerationEvent } from '../../src/index.ts'

/** The text before the stop string that is complete first, the longest of those that are at once: character by character. */
function cutSlowly(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const ended = stops.filter(stop => text.slice(0, end).endsWith(stop))
    if (ended.length > 0) return text.slice(0, end - Math.max(...ended.map(({ length }) => length)))
  }
  return text
}

/** A text in pieces that end at these places. */
function cutAt(text: string, ends: readonly number[]): string[] {
  const places = [...new Set(ends.map(end => end % (text.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((start, i) => text.slice(start, places[i] ?? text.length))
}

function heard(pieces: readonly string[], stops: readonly string[]): string {
  const reader = new Stops(stops)
  let out = ''
  for (const piece of pieces) out += reader.push(piece)
  return out + reader.end()
}

describe('stop strings', () => {
  const letters = fc.stringMatching(/^[ab🦊é\n]{0,14}$/u)
  const words = fc.array(fc.stringMatching(/^[ab🦊é\n]{1,4}$/u), { maxLength: 4 })

  it('cut a text in the same place, however it comes, and lose nothing of it else', () => {
    fc.assert(
      fc.property(letters, words, fc.array(fc.nat(40)), (text, stops, ends) => {
        expect(heard(cutAt(text, ends), stops)).toBe(cutSlowly(text, stops))
        expect(heard([...text], stops)).toBe(cutSlowly(text, stops))
      }),
      { numRuns: 3_000 }
    )
  })

  it('are withheld until it is clear that they are none, and no longer', () => {
    const reader = new Stops(['###', '\n\nUser:'])
    expect(['Hi #', '# there\n', '\nUs', 'ed', '\n\nUser', ': x'].map(piece => reader.push(piece))).toEqual([
      'Hi ',
      '## there',
      '',
      '\n\nUsed',
      '',
      ''
    ])
    expect(reader.isOver).toBe(true)
    expect(reader.end()).toBe('')
  })

  it('end with the first that is complete, not with the first in the list', () => {
    expect(heard(['one two three'], ['three', 'two'])).toBe('one ')
    expect(heard(['xaby'], ['b', 'ab'])).toBe('x')
  })
})

/** Two functions: one takes a text, a number, a list and what is not said. */
const offered = offeredIn([
  {
    type: 'function',
    function: {
      name: 'a',
      parameters: {
        type: 'object',
        properties: {
          x: { type: 'string' },
          n: { type: 'integer' },
          l: { anyOf: [{ type: 'array' }, { type: 'null' }] }
        }
      }
    }
  },
  { type: 'function', function: { name: 'b' } }
])

/** The pieces of an answer whose text comes so, as a peer would tell of it. */
async function piecesOf(
  texts: readonly string[],
  { calls: form, ...init }: { stops?: readonly string[]; calls?: CallForm; oneCall?: boolean }
) {
  let read = 0
  async function* events(): AsyncGenerator<GenerationEvent> {
    for (const [i, text] of texts.entries()) {
      read = i + 1
      yield {
        event: 'token',
        id: i,
        text,
        position: 5 + i,
        ms: 1,
        logprob: -i,
        bytes: new TextEncoder().encode(text),
        top: []
      }
    }
    yield { event: 'stopped', stop: 'eos', text: '' }
  }
  const generation = { events, answer: Promise.resolve() } as unknown as Generation
  const taken = nothingTaken()
  const pieces: Piece[] = []
  const calls = form === undefined ? {} : { calls: { form, offered } }
  for await (const piece of answerPieces(generation, { stops: [], ...init, ...calls }, taken)) pieces.push(piece)
  return { pieces, taken, read, end: pieces.at(-1) }
}
const said = (pieces: readonly Piece[]): string =>
  pieces.map(piece => (piece.kind === 'text' ? piece.text : '')).join('')
const calls = (pieces: readonly Piece[]) => pieces.filter(piece => piece.kind === 'call')

describe('an answer', () => {
  it('ends where a stop string does, reads no further, and tells of the tokens before it', async () => {
    const { pieces, taken, read, end } = await piecesOf(['One', ' tw', 'o EN', 'D th', 'ree'], { stops: ['END'] })
    expect(said(pieces)).toBe('One two ')
    expect(end).toEqual({ kind: 'end', finish: 'stop' })
    expect({ read, tokens: taken.tokens, prompt: taken.promptTokens }).toEqual({ read: 4, tokens: 4, prompt: 5 })
    // The token that begins within the stop string is not one of the answer's.
    expect(pieces.filter(({ kind }) => kind === 'scored')).toHaveLength(3)
  })

  it('says what was known of its prompt only where all hops have said so', async () => {
    const knownOf = async (promptTokens: number, hops?: readonly { reused: number }[]) => {
      async function* events(): AsyncGenerator<GenerationEvent> {
        yield { event: 'token', id: 1, text: 'One', position: promptTokens, ms: 1 }
        yield { event: 'stopped', stop: 'eos', text: '' }
        if (hops === undefined) return
        const promptIds = new Array<number>(promptTokens).fill(1)
        yield { event: 'done', promptIds, ids: [1], hops, exact: true } as unknown as GenerationEvent
      }
      const taken = nothingTaken()
      const generation = { events, answer: Promise.resolve() } as unknown as Generation
      for await (const _ of answerPieces(generation, { stops: [] }, taken));
      return usageOf([taken], [taken], 1).prompt_tokens_details
    }
    expect(await knownOf(300, [{ reused: 256 }, { reused: 128 }])).toEqual({ cached_tokens: 128 })
    expect(await knownOf(300, [{ reused: 512 }])).toEqual({ cached_tokens: 300 })
    expect(await knownOf(128)).toEqual({ cached_tokens: 0 })
    expect(await knownOf(300)).toBe(undefined)
  })

  it('has its thoughts apart, without their marks, and stop strings end none of them', async () => {
    async function* events(): AsyncGenerator<GenerationEvent> {
      const tokens = [
        ['<think>', 'thinking'],
        ['END?', 'thinking'],
        ['</think>', 'thinking'],
        ['So ', 'answer'],
        ['END', 'answer']
      ] as const
      for (const [i, [text, part]] of tokens.entries())
        yield { event: 'token', id: i, text, part, position: 9 + i, ms: 1 }
    }
    const taken = nothingTaken()
    const pieces: Piece[] = []
    const generation = { events, answer: Promise.resolve() } as unknown as Generation
    for await (const piece of answerPieces(generation, { stops: ['END'] }, taken)) pieces.push(piece)
    expect(pieces).toEqual([
      { kind: 'thought', text: 'END?' },
      { kind: 'text', text: 'So ' },
      { kind: 'end', finish: 'stop' }
    ])
    expect(taken).toMatchObject({ tokens: 5, thoughts: 3 })
  })

  it('has the same calls of functions however they come, in each form, and its words around them', async () => {
    const forms: [CallForm, string, string][] = [
      [
        'tagged',
        'Let me see.\n<tool_call>\n{"name": "a", "arguments": {"x": "<b>"}}\n</tool_call>\n<tool_call>{"name": "b", "arguments": {}}</tool_call>\n',
        'Let me see.'
      ],
      ['json', '{"name": "a", "parameters": {"x": "<b>"}}; {"name": "b", "parameters": {}}', ''],
      ['json', '<|python_tag|>a.call(x="<b>")', ''],
      ['json', "a.call(x='<b>')", ''],
      ['list', ' [{"name": "a", "arguments": {"x": "<b>"}}, {"name": "b", "arguments": {}}]', ''],
      ['list', '[TOOL_CALLS] [{"name": "a", "arguments": {"x": "<b>"}}, {"name": "b", "arguments": {}}]', ''],
      [
        'functions',
        'Let me see.\n\n<tool_call>\n<function=a>\n<parameter=x>\n<b>\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=b>\n</function>\n</tool_call>',
        'Let me see.'
      ],
      [
        'keyed',
        'Let me see.\n<tool_call>a\n<arg_key>x</arg_key>\n<arg_value><b></arg_value>\n</tool_call>\n<tool_call>b</tool_call>',
        'Let me see.'
      ],
      ['keyed', '<tool_call>a<arg_key>x</arg_key><arg_value><b></arg_value></tool_call><tool_call>b\n</tool_call>', ''],
      [
        'marked',
        'Let me see. <|tool_call|>[{"name": "a", "arguments": {"x": "<b>"}}, {"name": "b"}]<|/tool_call|>',
        'Let me see.'
      ],
      ['marked', '<|tool_call|>{"name": "a", "arguments": {"x": "<b>"}}<|/tool_call|><|tool_call|>[{"name": "b"}]', ''],
      ['marked', 'functools[{"name": "a", "arguments": {"x": "<b>"}}, {"name": "b", "arguments": {}}]', ''],
      ['marked', '[{"name": "a", "arguments": {"x": "<b>"}}, {"name": "b", "arguments": {}}]', ''],
      ['named', 'Let me see.[TOOL_CALLS]a[ARGS]{"x": "<b>"}[TOOL_CALLS]b[ARGS]{}', 'Let me see.'],
      ['named', '[TOOL_CALLS]a[CALL_ID]abcdef123[ARGS]{"x": "<b>"}[TOOL_CALLS]b{}\n', ''],
      // The marks are control tokens, and have no text.
      ['named', 'a{"x": "<b>"}b{}', ''],
      ['named', ' aabcdef123{"x": "<b>"} b{}', '']
    ]
    for (const [form, text, words] of forms) {
      for (const texts of [[text], [...text], text.match(/.{1,5}/gs)!]) {
        const { pieces, end } = await piecesOf(texts, { calls: form })
        expect(said(pieces).trim(), form).toBe(words)
        expect(calls(pieces), text).toEqual(
          [
            { kind: 'call', index: 0, name: 'a', arguments: '{"x":"<b>"}' },
            { kind: 'call', index: 1, name: 'b', arguments: '{}' }
          ].slice(0, text.includes('.call(') ? 1 : 2)
        )
        expect(end).toEqual({ kind: 'end', finish: 'tool_calls' })
        const one = await piecesOf(texts, { calls: form, oneCall: true })
        expect(calls(one.pieces)).toHaveLength(1)
      }
    }
  })

  it('keeps as text what looks like a call and is none', async () => {
    for (const [form, text] of [
      ['tagged', 'a <tool_call>{"name": 5}</tool_call> b'],
      ['tagged', 'a <tool_call>{"name": "x"'],
      ['tagged', 'a <tool_ca'],
      ['json', '{"weather": "fine"}'],
      ['json', 'It is {"name": "a"}'],
      ['json', '<|python_tag|>c.call(x="b")'],
      ['json', 'a.call(x=)'],
      ['json', 'a.calling is fun'],
      ['list', '[{"name": "a"}, 5]'],
      ['functions', 'So <tool_call><function=a><parameter=x>1</function></tool_call> it is'],
      ['functions', 'So <tool_call><function=a><parameter=x>1</parameter>'],
      ['functions', 'So <tool_call><function=a></function> b</tool_call>'],
      ['keyed', '<tool_call>a <b></tool_call>'],
      ['keyed', '<tool_call>a<arg_key>x</arg_key></tool_call>'],
      ['keyed', '<tool_call>a<arg_key>x</arg_key><arg_value>1</arg_value>'],
      ['marked', '{"weather": "fine"} or so'],
      ['marked', 'See <|tool_call|>[5]<|/tool_call|>'],
      ['named', '[TOOL_CALLS]a[ARGS]{"x": 1'],
      ['named', '[TOOL_CALLS]a[ARGS]{"x": }! and [TOOL_CALLS]'],
      ['named', 'about a{"x": 1}'],
      ['named', 'c{"x": 1}'],
      ['named', 'a cat, a dog'],
      ['named', '[TOOL_CALLS]!'],
      ['list', '[1] and so on']
    ] as [CallForm, string][]) {
      for (const texts of [[text], [...text]]) {
        const { pieces, end } = await piecesOf(texts, { calls: form })
        expect(said(pieces)).toBe(text)
        expect(end).toEqual({ kind: 'end', finish: 'stop' })
      }
    }
  })

  it('has arguments that are spelt out as their schema says, or else as they look', async () => {
    const values = [
      ['x', '12', '12'],
      ['n', '12', 12],
      ['n', 'twelve', 'twelve'],
      ['l', '[1, "2"]', [1, '2']],
      ['l', 'None', null],
      ['y', 'True', true],
      ['y', '{"z": 1}', { z: 1 }],
      ['__proto__', 'plain\ntext', 'plain\ntext']
    ] as const
    for (const [key, text, value] of values) {
      const wanted = [
        { kind: 'call', index: 0, name: 'a', arguments: JSON.stringify(Object.fromEntries([[key, value]])) }
      ]
      const lines = `<tool_call><function=a>\n<parameter=${key}>\n${text}\n</parameter></function></tool_call>`
      expect(calls((await piecesOf([lines], { calls: 'functions' })).pieces)).toEqual(wanted)
      const keyed = `<tool_call>a\n<arg_key>${key}</arg_key>\n<arg_value>${text}</arg_value>\n</tool_call>`
      expect(calls((await piecesOf([keyed], { calls: 'keyed' })).pieces)).toEqual(wanted)
    }
    const literals = `a.call(n=-1.5, y=True, z=None, x='it\\'s "so"', w="a, b")`
    expect(calls((await piecesOf([literals], { calls: 'json' })).pieces)).toMatchObject([
      {
        arguments: JSON.stringify({ n: -1.5, y: true, z: 'None', x: 'it\'s "so"', w: 'a, b' }).replace('"None"', 'null')
      }
    ])
  })

  it('that never ends a call, or nests it too deeply, is text again, and read in the time of its length', async () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000)
    for (const [form, before] of [
      ['functions', '<tool_call><function=a><parameter=x>'],
      ['keyed', '<tool_call>a<arg_key>x</arg_key><arg_value>'],
      ['named', '[TOOL_CALLS]a[ARGS]{"x": "'],
      ['tagged', '<tool_call>{"name": "a", "arguments": '],
      ['marked', '[{"name": ']
    ] as [CallForm, string][]) {
      const texts = [before, ...new Array(600).fill('x'.repeat(2_000))]
      const startMs = performance.now()
      const { pieces } = await piecesOf(texts, { calls: form })
      expect(performance.now() - startMs, form).toBeLessThan(3_000)
      expect(said(pieces)).toBe(texts.join(''))
    }
    const nested = `<tool_call>{"name": "a", "arguments": {"x": ${deep}}}</tool_call>`
    expect(said((await piecesOf([nested], { calls: 'tagged' })).pieces)).toBe(nested)
    const many = `<tool_call>a${'<arg_key>x</arg_key><arg_value>1</arg_value>'.repeat(20_000)}</tool_call>`
    expect(calls((await piecesOf([many], { calls: 'keyed' })).pieces)).toMatchObject([{ arguments: '{"x":"1"}' }])
  })

  it('has the form of calls that its template teaches, or is refused by name', () => {
    expect(callForm('{% if tools %}<tool_call>{% endif %}', 'm')).toBe('tagged')
    expect(callForm('{% if tools %}ipython{% endif %}', 'm')).toBe('json')
    expect(callForm('{% if tools %}[TOOL_CALLS]{% endif %}', 'm')).toBe('list')
    expect(() => callForm('{{ messages }}', 'm')).toThrow(
      "'tools' are not done by m: its chat template has no place for them"
    )
    for (const [template, form] of [
      ['<tool_call>{name}<arg_key>', 'keyed'],
      ['<tool_call><function=f><parameter=p>', 'functions'],
      ["'[TOOL_CALLS]' + name + '[ARGS]'", 'named'],
      ['<|tool|>', 'marked'],
      ['functools[{', 'marked']
    ]) {
      expect(callForm(`{% if tools %}${template}{% endif %}`, 'm')).toBe(form)
    }
    for (const template of ['<function=f>{}', '<|tool_calls_section_begin|>', '<|channel|>commentary']) {
      expect(() => callForm(`{% if tools %}${template}{% endif %}`, 'm')).toThrow('is not known here')
    }
    const templates = join(import.meta.dirname, '../model/templates')
    const real = (name: string): string => readFileSync(join(templates, `${name}.jinja`), 'utf8')
    const forms = ['qwen2.5', 'qwen3', 'qwen3.5', 'glm-4.5'].map(name => callForm(real(name), name))
    expect(forms).toEqual(['tagged', 'tagged', 'functions', 'keyed'])
    for (const name of ['gpt-oss', 'gemma-4']) expect(() => callForm(real(name), name)).toThrow('is not known here')
    expect(callReader({ form: 'tagged', offered }).push('x')).toEqual([{ kind: 'text', text: 'x' }])
  })

  it('of a model whose template looks for functions in what the system says is told of them there', () => {
    const template =
      "{% if message['role'] == 'system' and 'tools' in message %}<|tool|>{{ message['tools'] }}{% endif %}"
    const tools = [{ type: 'function', function: { name: 'b' } }]
    const user = { role: 'user', content: 'Hi' }
    const told = { role: 'system', tools: '[{"name":"b"}]' }
    expect(withTools([user], template, tools)).toEqual([{ ...told, content: '' }, user])
    const system = { role: 'system', content: 'Be kind.' }
    expect(withTools([system, user], template, tools)).toEqual([{ ...told, content: 'Be kind.' }, user])
    expect(withTools([system, user], '{% if tools %}<|tool|>{% endif %}', tools)).toEqual([system, user])
  })
})
