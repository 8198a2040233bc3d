import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { frameReserveBytes } from '../../src/swarm/limits.ts'
import { encodeFrameLength, FrameDecoder, frameLengthBytes } from '../../src/swarm/framing.ts'

const frameBytesMax = 4 << 20

function encode(frames: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(frames.flatMap(frame => [encodeFrameLength(frame.byteLength), frame]))
}

/** Cuts bytes at the given places, which may repeat: empty chunks are chunks too. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const borders = [0, ...places.map(place => place % (bytes.byteLength + 1)).sort((a, b) => a - b), bytes.byteLength]
  return borders.slice(1).map((end, i) => bytes.subarray(borders[i], end))
}

describe('framing', () => {
  it('R1: frames survive any chunking, byte by byte too', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 40 }),
        fc.boolean(),
        (frames, places, single) => {
          const bytes = encode(frames)
          const chunks = single ? [...bytes].map(byte => Uint8Array.of(byte)) : cut(bytes, places)
          const decoder = new FrameDecoder({ frameBytesMax })
          const out = chunks.flatMap(chunk => [...decoder.push(chunk)])
          expect(out.map(frame => Buffer.from(frame).toString('hex'))).toEqual(
            frames.map(frame => Buffer.from(frame).toString('hex'))
          )
          expect(decoder.partial).toBe(false)
        }
      )
    )
  })

  it('a chunk that is one frame and nothing else is known as that, and no other one is', () => {
    const lengths = fc.constantFrom(0, 1, 127, 128, 300, 16_383, 16_384, 2 ** 21 - 1, 2 ** 21)
    fc.assert(
      fc.property(lengths, fc.array(fc.nat({ max: 255 }), { maxLength: 3 }), fc.boolean(), (length, bytes, wild) => {
        const whole = encode([new Uint8Array(length).fill(1)])
        const chunk = wild ? Uint8Array.from([...bytes, ...whole.subarray(bytes.length, 300)]) : whole
        const frame = new FrameDecoder({ frameBytesMax }).whole(chunk)
        if (!wild) expect(frame?.byteLength).toBe(length < 2 ** 21 ? length : undefined)
        if (frame === undefined) return
        const decoder = new FrameDecoder({ frameBytesMax })
        expect([...decoder.push(chunk)].map(each => Buffer.compare(each, frame))).toEqual([0])
        expect(decoder.partial).toBe(false)
        // In the middle of a frame there is none.
        expect([...decoder.push(Uint8Array.of(9))]).toEqual([])
        expect(decoder.whole(chunk)).toBeUndefined()
      })
    )
    expect(new FrameDecoder({ frameBytesMax: 99 }).whole(encode([new Uint8Array(100)]))).toBeUndefined()
    expect(new FrameDecoder({ frameBytesMax }).whole(new Uint8Array(0))).toBeUndefined()
  })

  it('a frame that is cut short leaves the decoder partial, wherever the cut is', () => {
    const bytes = encode([new Uint8Array(300).fill(1)])
    for (let end = 1; end < bytes.byteLength; end++) {
      const decoder = new FrameDecoder({ frameBytesMax })
      expect([...decoder.push(bytes.subarray(0, end))]).toEqual([])
      expect(decoder.partial).toBe(true)
    }
  })

  it('a frame in one chunk is a view of it, not a copy', () => {
    const bytes = new Uint8Array(encode([new Uint8Array(100).fill(5)]))
    const [frame] = [...new FrameDecoder({ frameBytesMax }).push(bytes)]
    expect(frame!.buffer).toBe(bytes.buffer)
  })

  it('prefixes are the varints of multiformats', () => {
    expect([...encodeFrameLength(0)]).toEqual([0])
    expect([...encodeFrameLength(127)]).toEqual([0x7f])
    expect([...encodeFrameLength(128)]).toEqual([0x80, 0x01])
    expect([...encodeFrameLength(300)]).toEqual([0xac, 0x02])
    expect([...encodeFrameLength(2 ** 28)]).toEqual([0x80, 0x80, 0x80, 0x80, 0x01])
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), length => {
        expect(frameLengthBytes(length)).toBe(encodeFrameLength(length).byteLength)
      })
    )
  })

  it.each([
    ['longer than the limit', encodeFrameLength(frameBytesMax + 1)],
    ['longer than 2^32', Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f)],
    ['of six bytes', Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x01)],
    ['padded with a zero byte', Uint8Array.of(0x81, 0x00)]
  ])('R2: refuses a prefix that is %s', (_name, prefix) => {
    const decoder = new FrameDecoder({ frameBytesMax })
    expect(() => [...decoder.push(prefix)]).toThrow(expect.objectContaining({ name: 'ProtocolError' }))
  })

  it('R2: the longest allowed frame passes', () => {
    const decoder = new FrameDecoder({ frameBytesMax: 1000 })
    expect([...decoder.push(encode([new Uint8Array(1000)]))].length).toBe(1)
  })

  it('a prefix alone reserves no more than its bound', () => {
    const decoder = new FrameDecoder({ frameBytesMax: 2 ** 30 })
    const before = process.memoryUsage().arrayBuffers
    const decoders = Array.from({ length: 20 }, () => new FrameDecoder({ frameBytesMax: 2 ** 30 }))
    for (const one of decoders) expect([...one.push(encodeFrameLength(2 ** 30))]).toEqual([])
    for (const one of decoders) expect([...one.push(Uint8Array.of(1))]).toEqual([])
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * frameReserveBytes)
    expect(decoder.partial).toBe(false)
  })

  it('frames longer than the reserve grow as they arrive', () => {
    const frame = new Uint8Array(3 * frameReserveBytes + 17).map((_, i) => i)
    const bytes = encode([frame])
    const decoder = new FrameDecoder({ frameBytesMax })
    const out: Uint8Array[] = []
    for (let at = 0; at < bytes.byteLength; at += 65_519) out.push(...decoder.push(bytes.subarray(at, at + 65_519)))
    expect(out.length).toBe(1)
    expect(Buffer.compare(out[0]!, frame)).toBe(0)
  })
})
