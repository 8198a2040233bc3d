import fc from 'fast-check'
import { base58btc } from 'multiformats/bases/base58'
import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { bytesOfPeer, peerOfBytes } from '../../src/base/peer-bytes.ts'

describe('peer ids as bytes', () => {
  it('are what base58 makes of them, asked once or again, and however many others were asked for between', () => {
    const some = fc.uint8Array({ minLength: 1, maxLength: 64 })
    fc.assert(
      fc.property(some, bytes => {
        const text = base58btc.baseEncode(bytes) as PeerId
        for (let again = 0; again < 2; again++) {
          expect(peerOfBytes(bytes)).toBe(text)
          expect(Buffer.compare(bytesOfPeer(text), bytes)).toBe(0)
        }
      }),
      // More than are remembered.
      { numRuns: 5_000 }
    )
  })

  it('are not mixed up where they end alike, nor where the caller changes the bytes that it gave', () => {
    const [a, b] = [Uint8Array.of(1, 9, 9, 9, 9), Uint8Array.of(2, 9, 9, 9, 9)]
    const texts = [a, b].map(bytes => base58btc.baseEncode(bytes))
    for (let again = 0; again < 2; again++) expect([a, b].map(peerOfBytes)).toEqual(texts)
    const text = peerOfBytes(b)
    b[0] = 3
    expect(peerOfBytes(Uint8Array.of(2, 9, 9, 9, 9))).toBe(text)
    expect(peerOfBytes(b)).toBe(base58btc.baseEncode(b))
  })
})
