/** Scrubbing as a peer does it: short texts at once, long ones in a thread, within their deadline whatever is in them. */
import { afterEach, expect, it } from 'vitest'
import { scrubAtOnceChars } from '../../src/scrub/limits.ts'
import { Scrubbing } from '../../src/scrub/service.ts'

const open: Scrubbing[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})

function scrubbing(country?: string): Scrubbing {
  open.push(new Scrubbing({ country }))
  return open.at(-1)!
}

it('gives the same in a thread as at once', async () => {
  const text = 'bob@x.org, 10.1.2.3, +49 171 1234567. '
  const long = text.repeat(Math.ceil((2 * scrubAtOnceChars) / text.length))
  const scrub = scrubbing()
  const short = await scrub.texts([text, 'nothing'])
  expect(short).toEqual({
    texts: ['[email-1], [ip-1], [phone-1]. ', 'nothing'],
    replaced: { email: 1, ip: 1, phone: 1 }
  })
  const { texts, replaced } = await scrub.texts([long])
  expect(texts[0]).toBe(short.texts[0]!.repeat(long.length / text.length))
  expect(replaced.email).toBe(long.length / text.length)
})

it('comes to its end with texts that are made to be slow', { timeout: 60_000 }, async () => {
  const units = [
    '1 ',
    '+1 (2 ',
    '+49 171 1234567 ',
    'a@',
    'a@b.',
    '1.1.',
    'a:',
    `1°1'`,
    '1.12345,',
    '4111 1111 ',
    '(',
    'lat ',
    '0',
    ' ',
    '٠'
  ]
  const texts = units.map(unit => unit.repeat(Math.ceil(100_000 / unit.length)))
  expect((await scrubbing().texts(texts)).texts).toHaveLength(units.length)
})

it('ends with whoever has asked, and knows no country of another name', async () => {
  const gone = new AbortController()
  const scrub = scrubbing('DE')
  const asked = scrub.texts(['x'.repeat(2 * scrubAtOnceChars)], { signal: gone.signal })
  gone.abort(new Error('gone'))
  await expect(asked).rejects.toThrow('gone')
  expect(() => new Scrubbing({ country: 'Germany' })).toThrow(
    /scrubCountry must be the two letters of a country such as DE, not Germany/
  )
})
