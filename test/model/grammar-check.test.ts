/** Grammars are checked beside the loop where that takes long. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { checkGrammar } from '../../src/model/grammar-check-service.ts'
import { grammarAtOnceCharsMax, grammarCharsMax, grammarsKnownMax } from '../../src/model/limits.ts'
import type { GrammarSpec } from '../../src/model/grammar-spec.ts'

/** A schema of so many dates, each of which has a long expression. */
const dates = (count: number, last: object = { type: 'string' }): GrammarSpec => ({
  kind: 'json-schema',
  schema: {
    type: 'object',
    properties: Object.fromEntries([
      ...Array.from({ length: count }, (_, i) => [`date${i}`, { type: 'string', format: 'date-time' }]),
      ['last', last]
    ])
  }
})
const large = dates(300)
const unfit = { type: 'array', contains: {} }

describe('the check of a grammar', () => {
  it('leaves the loop to others where the grammar is long', async () => {
    expect(JSON.stringify(large).length).toBeGreaterThan(grammarAtOnceCharsMax)
    let isChecked = false
    const checking = checkGrammar(large).then(() => {
      isChecked = true
    })
    await setImmediate()
    expect(isChecked).toBe(false)
    await checking
  })

  it.each([
    ['small', 1],
    ['large', 300]
  ])('says of a %s one the same: what, and where', async (_, count) => {
    await expect(checkGrammar(dates(count, unfit))).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringContaining('schema.properties.last.contains is not supported')
    })
    await expect(checkGrammar(dates(count))).resolves.toBeUndefined()
  })

  /** Whether it is known without anything that takes time: nothing else has its turn meanwhile. */
  const isKnown = async (spec: GrammarSpec): Promise<boolean> => {
    let isChecked = false
    const checking = checkGrammar(spec).then(() => {
      isChecked = true
    })
    await setImmediate()
    const wasChecked = isChecked
    await checking
    return wasChecked
  }

  it('is made once of a large one, which is known then alone and within others', async () => {
    const [one, other, third] = [201, 202, 203].map(count => dates(count)) as [GrammarSpec, GrammarSpec, GrammarSpec]
    expect(await isKnown(one)).toBe(false)
    expect(await isKnown(structuredClone(one))).toBe(true)
    const call: GrammarSpec = { kind: 'sequence', of: [{ kind: 'text', text: '<call>' }, one] }
    const calls = (of: GrammarSpec): GrammarSpec => ({
      kind: 'sequence',
      of: [of, { kind: 'times', of, min: 0, max: 7 }]
    })
    expect(await isKnown(calls(call))).toBe(true)
    expect(await isKnown({ kind: 'either', of: [calls(call), other] })).toBe(false)
    expect(await isKnown(other)).toBe(false)
    expect(await isKnown({ kind: 'either', of: [calls(call), other] })).toBe(true)
    // What is beside it is not passed over.
    const unfit = [
      { kind: 'times', of: one, min: 3, max: 2 },
      { kind: 'sequence', of: [one, { kind: 'text', text: '\ud800' }] },
      { kind: 'sequence', of: [one, null] },
      { kind: 'either', of: 'x' },
      { kind: 'regex' },
      null
    ] as GrammarSpec[]
    for (const each of unfit) await expect(checkGrammar(each)).rejects.toMatchObject({ name: 'InvalidOptionError' })
    await expect(checkGrammar({ kind: 'without', of: call, texts: [''] })).rejects.toThrow('texts that are not empty')
    // Many others: they are not remembered for ever.
    for (let i = 0; i < grammarsKnownMax; i++) await checkGrammar({ kind: 'text', text: `${i}` })
    expect(await isKnown(one)).toBe(false)
    expect(await isKnown(third)).toBe(false)
  })

  it('refuses several that are too large together, each of which is known', async () => {
    const parts = [300, 301, 302].map(count => dates(count))
    for (const each of parts) await checkGrammar(each)
    await expect(checkGrammar({ kind: 'either', of: parts })).rejects.toThrow('the grammar is too large')
  })

  it('refuses one with more characters than may be', async () => {
    await expect(checkGrammar({ kind: 'regex', pattern: 'a'.repeat(grammarCharsMax + 1) })).rejects.toThrow(
      `a grammar may have ${grammarCharsMax} characters`
    )
  })

  it('ends with its signal', async () => {
    await expect(checkGrammar(large, { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone')
  })
})
