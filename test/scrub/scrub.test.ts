/** Personal data in texts: none of it stays, however it is written, and what is none stays as it is. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ScrubKind } from '../../src/scrub/found.ts'
import { scrubTexts } from '../../src/scrub/scrub.ts'
import { ordinary } from './ordinary.ts'

const one = (text: string, country?: string): string => scrubTexts([text], { country }).texts[0]!

describe('finds', () => {
  it.each([
    ['Mail bob.smith+x@mail.example.co.uk, or <ann@x.org>.', 'Mail [email-1], or <[email-2]>.'],
    ['jürgen@müller.de, BOB@X.ORG and bob@x.org', '[email-1], [email-2] and [email-2]'],
    ['Call +49 171 1234567 or (202) 456-1414 or 202-456-1414.', 'Call [phone-1] or [phone-2] or [phone-2].'],
    ['030 12345678, 0171/123 45 67, 06 12 34 56 78', '[phone-1], [phone-2], [phone-3]'],
    ['0044 20 7946 0958 is +44 (0)20 7946 0958', '[phone-1] is [phone-1]'],
    ['tel: 22 33 44 55; phone 5551234', 'tel: [phone-1]; phone [phone-2]'],
    ['card 4111 1111 1111 1111 12/26 123, 378282246310005', 'card [card-1] 12/26 123, [card-2]'],
    ['5500-0000-0000-0004 and 5500000000000004', '[card-1] and [card-1]'],
    ['at 48.20849, 16.37208', 'at [coordinates-1]'],
    ['48.20849, 16.37208; 47.07068, 15.43950', '[coordinates-1]; [coordinates-2]'],
    [`48°12'30"N 16°22'23"E`, '[coordinates-1]'],
    ['N 48° 12.5′ E 16° 22.4′', '[coordinates-1]'],
    ['{"lat": 48.2082, "lng": 16.3738}', '{"lat": [coordinates-1], "lng": [coordinates-2]}'],
    ['geo:48.2,16.3 and 48.2°N, 16.4°E', '[coordinates-1] and [coordinates-2]'],
    ['S33.86 E151.2, 48 12 30 N, 16 22 23 E', '[coordinates-1], [coordinates-2]'],
    ['4807.038,N,01131.000,E', '[coordinates-1]'],
    ['33UXP0448 33U XP 04821 48123', '[coordinates-1] [coordinates-2]'],
    ['33U 601760 5339000', '[coordinates-1]'],
    ['8FWR6955+2Q', '[coordinates-1]'],
    ['192.168.1.17, 10.0.0.1:8080', '[ip-1], [ip-2]:8080'],
    ['fe80::1ff:fe23:4567:890a%eth0, 2001:db8::1', '[ip-1], [ip-2]'],
    ['2001:db8::1 is 2001:0db8:0:0:0:0:0:1', '[ip-1] is [ip-1]'],
    ['Ｃａｌｌ ＋４９ １７１ １２３４５６７', 'Ｃａｌｌ [phone-1]'],
    ['٠١٧١ ١٢٣٤٥٦٧, bob＠example．com, b\u200bob@exa\u200bmple.com', '[phone-1], [email-1], [email-1]']
  ])('%s', (text, expected) => {
    expect(one(text)).toBe(expected)
  })

  it('national numbers of a country by its numbering plan', () => {
    expect(one('22 33 44 55 and 22334455 and 12', 'NO')).toBe('[phone-1] and 22334455 and 12')
    expect(one('ring 22334455', 'NO')).toBe('ring [phone-1]')
    expect(one('+47 22 33 44 55 or 22 33 44 55', 'NO')).toBe('[phone-1] or [phone-1]')
    expect(one('22 33 44 55')).toBe('22 33 44 55')
  })
})

it('gives the same value the same placeholder in all texts of a request, and counts how often', () => {
  const { texts, replaced } = scrubTexts(['a@x.org and b@x.org', 'b@x.org, 192.168.1.17', 'nothing'])
  expect(texts).toEqual(['[email-1] and [email-2]', '[email-2], [ip-1]', 'nothing'])
  expect(replaced).toEqual({ email: 3, ip: 1 })
  expect(scrubTexts(['nothing']).replaced).toEqual({})
})

/** Digits with a check digit at the end that makes Luhn's sum right. */
function withCheck(digits: string): string {
  for (let check = 0; check < 10; check++) {
    const all = `${digits}${check}`
    let sum = 0
    for (let i = 0; i < all.length; i++) {
      const digit = Number(all[all.length - 1 - i])
      sum += i % 2 === 0 ? digit : digit > 4 ? 2 * digit - 9 : 2 * digit
    }
    if (sum % 10 === 0) return all
  }
  throw new Error('no check digit')
}

const digits = (count: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: count, maxLength: count })
const word = fc.string({
  unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789'),
  minLength: 1,
  maxLength: 12
})
const label = fc.string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz'), minLength: 2, maxLength: 8 })
const grouped = (sizes: readonly number[], text: string, by: string): string => {
  const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((sum, size) => sum + size, 0))
  return sizes.map((size, i) => text.slice(ends[i]! - size, ends[i])).join(by)
}
const hex = fc.integer({ min: 0x1000, max: 0xffff }).map(value => value.toString(16))
const latitude = fc.double({ min: -89, max: 89, noNaN: true })
const longitude = fc.double({ min: -179, max: 179, noNaN: true })
const octet = fc.integer({ min: 1, max: 254 })

/** What is written, and what of it must not be left. */
const kinds: Readonly<Record<ScrubKind, fc.Arbitrary<string>>> = {
  email: fc
    .tuple(
      word,
      fc.constantFrom('', '.', '+', '_', '-'),
      word,
      label,
      fc.constantFrom('org', 'de', 'co.uk', 'museum', 'io')
    )
    .map(([a, join, b, host, end]) => `${a}${join}${b}@${host}.${end}`),
  phone: fc.oneof(
    fc
      .tuple(fc.constantFrom('30', '171', '89', '221'), digits(7), fc.constantFrom(' ', '-', '', '.', '/'))
      .map(([area, rest, by]) => `+49 ${area}${by}${rest.replace(/^0/, '2')}`),
    fc
      .tuple(fc.constantFrom('202', '415', '617'), digits(4), fc.constantFrom('-', '.'))
      .map(([area, rest, by]) => `${area}${by}555${by}${rest}`),
    fc.tuple(fc.constantFrom('202', '415', '617'), digits(4)).map(([area, rest]) => `(${area}) 555-${rest}`),
    fc.tuple(fc.constantFrom('030', '0171', '089'), digits(7)).map(([area, rest]) => `${area} ${rest}`),
    digits(8).map(rest => `0${1 + (Number(rest[0]) % 6)} ${grouped([2, 2, 2, 2], rest, ' ')}`)
  ),
  card: fc.oneof(
    fc
      .tuple(fc.constantFrom('4', '51', '55', '2221', '6011'), digits(15), fc.constantFrom('', ' ', '-'))
      .map(([begin, rest, by]) => grouped([4, 4, 4, 4], withCheck(`${begin}${rest}`.slice(0, 15)), by)),
    fc
      .tuple(fc.constantFrom('34', '37'), digits(12), fc.constantFrom('', ' ', '-'))
      .map(([begin, rest, by]) => grouped([4, 6, 5], withCheck(`${begin}${rest}`), by))
  ),
  coordinates: fc.oneof(
    fc
      .tuple(latitude, longitude, fc.constantFrom(', ', ',', ' ', '; '))
      .filter(([a, b]) => Math.abs(a) >= 1 || Math.abs(b) >= 1)
      .map(([a, b, by]) => `${a.toFixed(5)}${by}${b.toFixed(5)}`),
    fc
      .tuple(fc.nat(89), fc.nat(59), fc.nat(59), fc.nat(179), fc.nat(59), fc.nat(59), fc.constantFrom(' ', ', '))
      .map(([a, b, c, d, e, f, by]) => `${a}°${b}'${c}"N${by}${d}°${e}'${f}"W`),
    fc
      .tuple(
        fc.integer({ min: 1, max: 60 }),
        fc.constantFrom(...'CDEFGHJKLMNPQRSTUVWX'),
        fc.constantFrom('XP', 'AB', 'QT'),
        digits(5),
        digits(5),
        fc.constantFrom('', ' ')
      )
      .map(([zone, band, square, east, north, by]) => `${zone}${band}${by}${square}${by}${east}${by}${north}`),
    fc
      .tuple(fc.integer({ min: 1, max: 60 }), fc.constantFrom('N', 'U', 'T'), digits(5), digits(6))
      .map(([zone, band, east, north]) => `${zone}${band} 5${east} 5${north}`)
  ),
  ip: fc.oneof(
    fc.tuple(fc.integer({ min: 1, max: 126 }), octet, octet, octet).map(parts => parts.join('.')),
    fc.tuple(hex, hex, hex, hex, hex, hex, hex, hex).map(parts => parts.join(':')),
    fc.tuple(hex, octet).map(([a, b]) => `2001:db8:${a}::${b.toString(16)}1`)
  )
}

describe('leaves nothing', () => {
  const before = fc.constantFrom('', 'I am at ', 'see (', '"', 'Paid with: ', 'It is ', '\n', 'ask – ', '【')
  const after = fc.constantFrom('', '.', ', thanks', ')', '"', ' is mine', '\n', '; and more', '】')
  it.each(Object.entries(kinds))('of the kind %s in 400 texts', (kind, value) => {
    fc.assert(
      fc.property(before, value, after, (start, found, end) => {
        const { texts, replaced } = scrubTexts([`${start}${found}${end}`])
        expect(texts[0]).toBe(`${start}[${kind}-1]${end}`)
        expect(replaced).toEqual({ [kind]: 1 })
      }),
      { numRuns: 400 }
    )
  })

  it('of any kind, where all are in one text', () => {
    const all = fc.tuple(...Object.values(kinds).map(value => fc.array(value, { minLength: 1, maxLength: 2 })))
    fc.assert(
      fc.property(all, fc.infiniteStream(fc.constantFrom('; then ', '.\nIt says: ', ', and — ')), (values, joins) => {
        const flat = values.flat()
        const text = flat.map(value => value + joins.next().value).join('')
        const [left] = scrubTexts([text]).texts
        for (const value of flat) expect(left).not.toContain(value)
        expect(left!.replace(/\[[a-z]+-\d+\]/g, '')).not.toMatch(/\d{3}|@/)
      }),
      { numRuns: 400 }
    )
  })
})

it('leaves ordinary text as it is: prices, dates, versions, code, tables; four numbers of a version, where no word says so, are none', () => {
  const changed = ordinary.filter(text => one(text) !== text)
  expect(changed.map(text => one(text))).toEqual([
    expect.stringMatching(/^Kernel 6.1.0-18-amd64, .* cuDNN \[ip-1\] build$/)
  ])
})

it('leaves placeholders as they are, so that a conversation goes on with them', () => {
  const [once] = scrubTexts(['bob@x.org from 10.1.2.3']).texts
  expect(one(once!)).toBe(once)
  expect(one('The answer to [email-1] is [email-1]; ask bob@x.org')).toBe(
    'The answer to [email-1] is [email-1]; ask [email-1]'
  )
})
