/** Grammars are checked beside the loop where that takes long. */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { checkGrammar } from '../../src/model/grammar-check-service.ts'
import { grammarAtOnceCharsMax, grammarCharsMax } from '../../src/model/limits.ts'
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

  it('refuses one with more characters than may be', async () => {
    await expect(checkGrammar({ kind: 'regex', pattern: 'a'.repeat(grammarCharsMax + 1) })).rejects.toThrow(
      `a grammar may have ${grammarCharsMax} characters`
    )
  })

  it('ends with its signal', async () => {
    await expect(checkGrammar(large, { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone')
  })
})
