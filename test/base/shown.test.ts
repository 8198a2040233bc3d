import { describe, expect, it } from 'vitest'
import { forTerminal, sentence, shown } from '../../src/base/shown.ts'
import { ImportError } from '../../src/errors.ts'

describe('words of others', () => {
  it('are printable, short and on one line in a sentence', () => {
    expect(shown('blk.0.attn_q — 数')).toBe('blk.0.attn_q — 数')
    expect(shown('\u001b]0;title\u0007\n\u202egnp\u200b')).toBe('?]0;title???gnp?')
    expect(shown('x'.repeat(1 << 20))).toBe(`${'x'.repeat(64)}…`)
    expect([1, null, undefined, true, [1, 'a'], { a: 1 }].map(shown)).toEqual([
      '1',
      'null',
      'undefined',
      'true',
      '[1,"a"]',
      '{"a":1}'
    ])
  })

  it('may be nested deeper than the stack', () => {
    let deep: unknown = 1
    for (let i = 0; i < 100_000; i++) deep = [deep]
    expect(shown(deep)).toBe('[…]')
    expect(shown({ deep })).toBe('{…}')
  })

  it('do nothing to a terminal as text', () => {
    expect(forTerminal('one\ttwo\r\n\u001b[2J\u009b31m👩‍🚀 \u202ex')).toBe('one\ttwo\n\ufffd[2J\ufffd31m👩‍🚀 \ufffdx')
  })

  it('are cleaned in every error of ours, whose lines stay lines', () => {
    const { message, stack, cause } = new ImportError('a\u001b[31m\nb', { cause: 'c' })
    expect([message, cause]).toEqual(['a?[31m\nb', 'c'])
    expect(stack).not.toContain('\u001b')
    expect(new ImportError('x'.repeat(1 << 20)).message.length).toBeLessThan(3_000)
    expect(sentence('x'.repeat(2_000))).toHaveLength(2_000)
  })
})
