/** What ends an answer, and what of it was said by then: it depends on the text alone, not on the pieces in which it comes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answerPieces, nothingTaken, type Piece } from '../../src/api/answer.ts'
import { Stops } from '../../src/api/stop.ts'
import { callForm, callReader, type CallForm } from '../../src/api/tools.ts'
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

/** The pieces of an answer whose text comes so, as a peer would tell of it. */
async function piecesOf(
  texts: readonly string[],
  init: { stops?: readonly string[]; calls?: CallForm; oneCall?: boolean }
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
  for await (const piece of answerPieces(generation, { stops: [], ...init }, taken)) pieces.push(piece)
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
      ['list', ' [{"name": "a", "arguments": {"x": "<b>"}}, {"name": "b", "arguments": {}}]', '']
    ]
    for (const [form, text, words] of forms) {
      for (const texts of [[text], [...text], text.match(/.{1,5}/gs)!]) {
        const { pieces, end } = await piecesOf(texts, { calls: form })
        expect(said(pieces), form).toBe(words)
        expect(calls(pieces)).toEqual([
          { kind: 'call', index: 0, name: 'a', arguments: '{"x":"<b>"}' },
          { kind: 'call', index: 1, name: 'b', arguments: '{}' }
        ])
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
      ['list', '[{"name": "a"}, 5]'],
      ['list', '[1] and so on']
    ] as [CallForm, string][]) {
      for (const texts of [[text], [...text]]) {
        const { pieces, end } = await piecesOf(texts, { calls: form })
        expect(said(pieces)).toBe(text)
        expect(end).toEqual({ kind: 'end', finish: 'stop' })
      }
    }
  })

  it('has the form of calls that its template teaches, or is refused by name', () => {
    expect(callForm('{% if tools %}<tool_call>{% endif %}', 'm')).toBe('tagged')
    expect(callForm('{% if tools %}ipython{% endif %}', 'm')).toBe('json')
    expect(callForm('{% if tools %}[TOOL_CALLS]{% endif %}', 'm')).toBe('list')
    expect(() => callForm('{{ messages }}', 'm')).toThrow(
      "'tools' are not done by m: its chat template has no place for them"
    )
    expect(() => callForm('{% if tools %}<tool_call><arg_key>{% endif %}', 'm')).toThrow('is not known here')
    expect(callReader('tagged').push('x')).toEqual([{ kind: 'text', text: 'x' }])
  })
})
