/** Bytes of requests and answers: versions are clocks, and pass 2^31, 2^32 and 2^41 unharmed. */
import { expect, test } from 'vitest'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../../src/keep/codec.ts'
import { keepVersionMax } from '../../src/keep/limits.ts'

const id = 'ab'.repeat(32)
const parts = [new Uint8Array([1, 2, 3])]
const versions = [1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 12_345, 2 ** 32 - 1, 2 ** 32, Date.now(), keepVersionMax]

test.each(versions)('version %d comes out as it went in', version => {
  const put = {
    kind: 'put',
    id,
    base: version - 1,
    version,
    from: version === 1 ? 0 : 1,
    parts,
    ttlMs: 60_000
  } as const
  expect(decodeRequest(encodeRequest(put))).toEqual(put)
  const answers = [
    { kind: 'kept', version },
    { kind: 'refused', reason: 'stale', version },
    { kind: 'entry', version, parts, leftMs: 5 }
  ] as const
  for (const answer of answers) expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer)
})

test('a version above the limit is refused', () => {
  const put = { kind: 'put', id, base: 0, version: keepVersionMax + 1, from: 0, parts, ttlMs: 60_000 } as const
  expect(() => decodeRequest(encodeRequest(put))).toThrow('is over')
})
