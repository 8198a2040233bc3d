import { describe, expect, it } from 'vitest'
import { CheckFrame as Wire } from '../../protocols/check.ts'
import type { ModelId, SessionId } from '../../src/base/ids.ts'
import { decodeFrame, encodeFrame } from '../../src/check/codec.ts'
import type { CheckFrame } from '../../src/check/frame.ts'
import { caseBytesMax, verdictCharsMax } from '../../src/check/limits.ts'
import { ProtocolError } from '../../src/errors.ts'
import { signCommitment } from '../../src/stage/commitment.ts'
import { signTerms } from '../../src/stage/terms.ts'
import { signerOf } from '../../sim/cast.ts'
import { greedy, peerId } from '../session/world.ts'

const self = peerId('A')
const digest = new Uint8Array(32).fill(9)
const terms = signTerms(
  {
    session: '1d'.repeat(16) as SessionId,
    epoch: 0,
    model: 'ab'.repeat(32) as ModelId,
    route: [{ peer: self, start: 0, end: 6 }],
    driver: self,
    tokensMax: 64,
    keep: 0,
    sampling: greedy
  },
  signerOf(self)
)
const commitment = signCommitment(
  { terms: digest, hop: 0, tokens: 3, input: digest, output: digest, numericClass: 'toy' },
  signerOf(self)
)

describe('check frames', () => {
  const frames: CheckFrame[] = [
    { kind: 'rows-ask', session: terms.session, start: 2, end: 4, tokens: 7 },
    { kind: 'rows', position: 128, data: Uint8Array.of(1, 2, 3) },
    { kind: 'case', terms, commitment, drawn: undefined, rowBytes: 24 },
    { kind: 'case', terms, commitment, drawn: new Uint8Array(12).fill(255), rowBytes: 4 },
    { kind: 'verdict', finding: 'same', message: '' },
    { kind: 'verdict', finding: 'differs', message: 'token 4 is 7, not 8' },
    { kind: 'verdict', finding: 'cannot', message: 'sessions need the room' }
  ]
  it.each(frames)('$kind comes back as it was', frame => {
    // The needs of terms are absent on both sides, or there.
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame)
  })

  it('J9: what is not known is ignored, and an unknown verdict is none', () => {
    expect(decodeFrame(Uint8Array.of(0x7a, 0))).toBeUndefined()
    const later = Wire.encode({ verdict: { verdict: 9, message: 'later' } })
    expect(decodeFrame(later)).toEqual({ kind: 'verdict', finding: 'cannot', message: 'later' })
  })

  it('text of others is cut, and has no control characters', () => {
    const wire = Wire.encode({ verdict: { verdict: 2, message: `a\u001b[31m${'x'.repeat(1000)}` } })
    const { message } = decodeFrame(wire) as Extract<CheckFrame, { kind: 'verdict' }>
    expect(message.startsWith('a [31m')).toBe(true)
    expect(message.length).toBe(verdictCharsMax)
  })

  const none = new Uint8Array(0)
  const wireCase = {
    terms: terms.payload,
    signature: terms.signature,
    commitment: commitment.payload,
    commitmentSignature: commitment.signature,
    drawn: none,
    rowBytes: 24
  }
  it.each([
    ['noise', Uint8Array.of(255, 255, 255, 1)],
    ['nothing', none],
    [
      'a session of 3 bytes',
      Wire.encode({ rowsAsk: { session: Uint8Array.of(1, 2, 3), start: 0, end: 1, tokens: 1 } })
    ],
    ['no layers', Wire.encode({ rowsAsk: { session: new Uint8Array(16), start: 3, end: 3, tokens: 1 } })],
    ['empty rows', Wire.encode({ rows: { position: 0, data: none } })],
    ['a case that is too large', Wire.encode({ case: { ...wireCase, rowBytes: caseBytesMax } })],
    ['what was drawn for other rows', Wire.encode({ case: { ...wireCase, drawn: new Uint8Array(8) } })],
    ['no terms', Wire.encode({ case: { ...wireCase, terms: Uint8Array.of(1) } })]
  ])('is none: %s', (_, bytes) => {
    expect(() => decodeFrame(bytes)).toThrow(ProtocolError)
  })
})
