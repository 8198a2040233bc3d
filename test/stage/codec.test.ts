import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StageFrame, Terms as WireTerms } from '../../protocols/stage.ts'
import type { ModelId, PeerId, SessionId } from '../../src/base/ids.ts'
import { ProtocolError } from '../../src/errors.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { type Frame, framedBytes, type RefuseReason } from '../../src/stage/frame.ts'
import { termsBytesMax } from '../../src/stage/limits.ts'
import { signTerms } from '../../src/stage/terms.ts'
import { signerOf } from '../../sim/cast.ts'
import { idStep, open, prepare, step } from './kit.ts'

const u31 = fc.integer({ min: 0, max: 2 ** 31 - 1 })
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const amount = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map(x => x + 0)
const hex = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(bytes => Buffer.from(bytes).toString('hex'))
const id = fc
  .string({
    minLength: 1,
    maxLength: 44,
    unit: fc.constantFrom(...'23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz')
  })
  .map(s => s as PeerId)
const reasons: RefuseReason[] = [
  'not-serving',
  'no-room',
  'gap',
  'stale-epoch',
  'next-lost',
  'engine',
  'invalid',
  'leaving'
]

/** To a µs, as they travel. */
const micros = u32.map(n => n / 1000)
const spans = fc.array(
  fc.record({
    hop: fc.nat({ max: 63 }),
    readMs: micros,
    waitMs: micros,
    outMs: micros,
    computeMs: micros,
    sampleMs: micros,
    backMs: micros,
    sentMs: micros
  }),
  { minLength: 1, maxLength: 4 }
)

const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc
    .record({
      session: hex(16),
      epoch: u32,
      model: hex(32),
      peers: fc.array(id, { minLength: 1, maxLength: 64 }),
      hop: fc.nat(),
      driver: id,
      tokensMax: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      keep: fc.nat(),
      from: fc.nat({ max: 63 }),
      temperature: amount,
      topP: fc.double({ min: 0.001, max: 1, noNaN: true }),
      topK: u31,
      seed: safe,
      needs: fc.array(fc.constantFrom('ids', 'drafts', 'cache-i8'), { maxLength: 3 })
    })
    .map(({ session, epoch, model, peers, hop, driver, tokensMax, keep, from, needs, ...sampling }): Frame => {
      const stretch = from < peers.length ? { stretch: { from, to: peers.length } } : {}
      const terms = signTerms(
        {
          session: session as SessionId,
          epoch,
          model: model as ModelId,
          route: peers.map((peer, i) => ({ peer, start: 3 * i, end: 3 * i + 3 })),
          driver,
          tokensMax,
          keep: keep % tokensMax,
          ...stretch,
          ...(needs.length === 0 ? {} : { needs }),
          sampling
        },
        signerOf(driver)
      )
      if (from >= 1 && from < peers.length && epoch > 0)
        return { kind: 'prepare', epoch: epoch - 1, hop: from - 1, terms }
      return { kind: 'open', hop: from < peers.length ? from : hop % (peers.length + 1), terms }
    }),
  fc
    .record({
      epoch: u32,
      position: fc.integer({ min: 0, max: 2 ** 30 }),
      sample: fc.boolean(),
      ids: fc.array(u31, { minLength: 1, maxLength: 128 }),
      proposed: fc.nat({ max: 7 })
    })
    .map(
      ({ ids, proposed, ...rest }): Frame => ({
        kind: 'step',
        ...rest,
        tokens: ids.length,
        input: { kind: 'ids', ids: Int32Array.from(ids) },
        ...(rest.sample && proposed > 0 && proposed < ids.length ? { drafts: ids.slice(-proposed) } : {})
      })
    ),
  fc
    .record({
      epoch: u32,
      position: fc.integer({ min: 0, max: 2 ** 30 }),
      sample: fc.boolean(),
      tokens: fc.integer({ min: 1, max: 128 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 2000 }),
      proposed: fc.array(u31, { maxLength: 7 }),
      own: fc.option(spans)
    })
    .map(
      ({ bytes, proposed, own, ...rest }): Frame => ({
        kind: 'step',
        ...rest,
        input: { kind: 'hidden', bytes },
        ...(rest.sample && proposed.length > 0 && proposed.length < rest.tokens ? { drafts: proposed } : {}),
        ...(own === null ? {} : { spans: own })
      })
    ),
  fc.record({
    kind: fc.constant('token' as const),
    epoch: u32,
    position: u31,
    ids: fc.array(u32, { minLength: 1, maxLength: 8 })
  }),
  fc.record({
    kind: fc.constant('token' as const),
    epoch: u32,
    position: u31,
    ids: fc.array(u32, { minLength: 1, maxLength: 8 }),
    spans
  }),
  fc.record({ kind: fc.constant('ack' as const), epoch: u32, length: u31, steps: u32, tokens: u32 }),
  fc.record({
    kind: fc.constant('refuse' as const),
    epoch: u32,
    hop: fc.nat({ max: 63 }),
    reason: fc.constantFrom(...reasons),
    length: u31,
    message: fc.string({ maxLength: 100 })
  }),
  fc.record({ kind: fc.constant('close' as const), epoch: u32 }),
  fc.record({
    kind: fc.constant('closed' as const),
    hops: fc.array(
      fc.record({
        hop: fc.nat({ max: 63 }),
        steps: u32,
        tokens: u32,
        computeMs: amount,
        queueMs: amount,
        bytesIn: safe,
        bytesOut: safe,
        bytesBack: safe,
        replayed: u32,
        rows: safe,
        gatherMs: amount,
        reused: u32
      }),
      { maxLength: 64 }
    )
  })
)

/** Frames with bytes as plain arrays, since views of a frame and whole arrays differ in class only. */
function plain(frame: Frame): unknown {
  if (frame.kind !== 'step') return frame
  const { input } = frame
  return { ...frame, input: input.kind === 'ids' ? [...input.ids] : [...input.bytes] }
}

test('every frame comes back as it was', () => {
  fc.assert(
    fc.property(frames, frame => {
      expect(plain(decodeFrame(encodeFrame(frame))!)).toEqual(plain(frame))
    }),
    { numRuns: 500 }
  )
})

test('S18: whatever the bytes, the worst is a ProtocolError', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    // Real frames, cut, and with some bytes changed.
    fc
      .tuple(frames, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 5 }), fc.nat())
      .map(([frame, edits, cut]) => {
        const out = encodeFrame(frame).slice()
        for (const [at, value] of edits) out[at % out.length] = value
        return cut % 3 === 0 ? out.subarray(0, cut % out.length) : out
      })
  )
  let refused = 0
  fc.assert(
    fc.property(bytes, input => {
      try {
        decodeFrame(input)
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError)
        refused++
      }
    }),
    { numRuns: 3000 }
  )
  expect(refused).toBeGreaterThan(100)
})

test.each([2 ** 31 - 1, 2 ** 31, 3_000_000_000, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER])(
  'a seed of %i arrives as it was sent',
  seed => {
    const sent = open(1, { sampling: { temperature: 0, topP: 1, topK: 0, seed } })
    expect(decodeFrame(encodeFrame(sent))).toEqual(sent)
  }
)

describe('a frame that no session could mean is refused', () => {
  const wire = (change: (frame: StageFrame) => void, frame: Frame = open(1)): Uint8Array => {
    const decoded = StageFrame.decode(encodeFrame(frame))
    change(decoded)
    return StageFrame.encode(decoded)
  }
  const terms = (change: (terms: WireTerms) => void, hop = 1): Uint8Array =>
    wire(f => {
      const decoded = WireTerms.decode(f.open!.terms)
      change(decoded)
      f.open!.terms = WireTerms.encode(decoded)
      f.open!.hop = hop
    })
  const route = (...spans: [number, number][]) =>
    terms(t => {
      t.route = spans.map(([start, end]) => ({ peer: Uint8Array.of(1), start, end }))
    }, 0)
  const zeros = (length: number) => new Uint8Array(length)
  /** The same bytes with the largest number that an encoder here writes made larger: its varint's last byte. */
  const beyondSafe = (bytes: Uint8Array): Uint8Array => {
    const last = bytes.findIndex((_, i) => bytes.subarray(i, i + 8).join() === '255,255,255,255,255,255,255,15')
    return bytes.with(last + 7, 127)
  }

  test.each<[string, Uint8Array]>([
    ['nothing', zeros(0)],
    [
      'more drafts than are verified at a time',
      wire(
        f => {
          f.step!.sampleFrom = 1
        },
        idStep(0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], { sample: true })
      )
    ],
    [
      'hidden states whose drafts have no ids',
      wire(
        f => {
          f.step!.sampleFrom = 1
        },
        step(0, 3, { sample: true })
      )
    ],
    [
      'a token frame of more ids than a step has drafts',
      wire(
        f => {
          f.token!.ids = [1, 2, 3, 4, 5, 6, 7, 8, 9]
        },
        { kind: 'token', epoch: 0, position: 3, ids: [1] }
      )
    ],
    ['an empty route', route()],
    ['a route that does not begin at layer 0', route([1, 2])],
    ['a route with a gap', route([0, 2], [3, 4])],
    ['a route with an overlap', route([0, 2], [1, 4])],
    ['a hop without layers', route([0, 0])],
    ['a hop that ends before it starts', route([0, 2], [2, 1])],
    ['65 hops', route(...Array.from({ length: 65 }, (_, i): [number, number] => [i, i + 1]))],
    [
      'a hop behind the route',
      wire(f => {
        f.open!.hop = 4
      })
    ],
    [
      'a short session id',
      terms(t => {
        t.session = zeros(15)
      })
    ],
    [
      'a long model id',
      terms(t => {
        t.model = zeros(33)
      })
    ],
    [
      'a driver without an id',
      terms(t => {
        t.driver = zeros(0)
      })
    ],
    [
      'an endless driver id',
      terms(t => {
        t.driver = zeros(65)
      })
    ],
    [
      'no tokens',
      terms(t => {
        t.tokensMax = 0
      })
    ],
    [
      'keep beyond tokensMax',
      terms(t => {
        t.keep = 400
      })
    ],
    [
      'a negative temperature',
      terms(t => {
        t.sampling!.temperature = -1
      })
    ],
    [
      'a temperature that is no number',
      terms(t => {
        t.sampling!.temperature = Number.NaN
      })
    ],
    [
      'topP 0',
      terms(t => {
        t.sampling!.topP = 0
      })
    ],
    [
      'topP above 1',
      terms(t => {
        t.sampling!.topP = 1.01
      })
    ],
    [
      'a seed of 64 bits',
      beyondSafe(
        terms(t => {
          t.sampling!.seed = Number.MAX_SAFE_INTEGER
        })
      )
    ],
    [
      'no sampling',
      terms(t => {
        t.sampling = undefined
      })
    ],
    [
      'terms that are none',
      wire(f => {
        f.open!.terms = Uint8Array.of(9, 9, 9)
      })
    ],
    [
      'terms that are too long',
      wire(f => {
        const { terms } = f.open!
        const rest = termsBytesMax + 1 - terms.length
        // Field 99, bytes: of no revision known here.
        f.open!.terms = Uint8Array.from([...terms, 0x9a, 0x06, (rest & 0x7f) | 0x80, rest >> 7, ...zeros(rest)])
      })
    ],
    [
      'a stretch without an end',
      terms(t => {
        t.from = 1
      })
    ],
    [
      'a stretch that ends behind the route',
      terms(t => {
        t.to = 4
      })
    ],
    [
      'a hop before the stretch',
      terms(t => {
        ;[t.from, t.to] = [2, 3]
      })
    ],
    [
      'a hop behind the stretch',
      terms(t => {
        ;[t.from, t.to] = [0, 1]
      })
    ],
    [
      'a preparation of no higher epoch',
      wire(
        f => {
          f.prepare!.epoch = 1
        },
        prepare(0, 1, 2)
      )
    ],
    [
      'a preparation of a whole route',
      wire(
        f => {
          f.prepare!.terms = open(0, { epoch: 1 }).terms.payload
        },
        prepare(0, 1, 2)
      )
    ],
    ['a preparation from the head on', encodeFrame(prepare(0, 0, 2))],
    [
      'a step without tokens',
      wire(f => {
        f.step!.tokens = 0
      }, step(0))
    ],
    [
      'a step of 129 tokens',
      wire(f => {
        f.step!.tokens = 129
      }, step(0))
    ],
    [
      'a step beyond 2^31',
      wire(f => {
        f.step!.position = 2 ** 31
      }, step(0))
    ],
    [
      'a step with hidden states and more ids than tokens',
      wire(f => {
        f.step!.ids = [1, 2]
      }, step(0))
    ],
    [
      'a step with neither',
      wire(f => {
        f.step!.hidden = zeros(0)
      }, step(0))
    ],
    [
      'fewer ids than tokens',
      wire(
        f => {
          f.step!.hidden = zeros(0)
          f.step!.ids = [1]
        },
        step(0, 2)
      )
    ],
    [
      'a thousand ids',
      wire(
        f => {
          f.step!.hidden = zeros(0)
          f.step!.ids = Array(1000).fill(1)
        },
        step(0, 2)
      )
    ],
    [
      'times that are no number',
      wire(
        f => {
          f.closed = {
            hops: [
              {
                hop: 0,
                steps: 0,
                tokens: 0,
                computeMs: Number.NaN,
                queueMs: 0,
                bytesIn: 0,
                bytesOut: 0,
                bytesBack: 0,
                replayed: 0,
                rows: 0,
                gatherMs: 0,
                reused: 0
              }
            ],
            commitments: []
          }
          f.close = undefined
        },
        { kind: 'close', epoch: 1 }
      )
    ]
  ])('%s', (_, bytes) => {
    expect(() => decodeFrame(bytes)).toThrow(ProtocolError)
  })
})

test("text from a peer loses what could move a terminal's cursor", () => {
  const frame = decodeFrame(
    encodeFrame({ kind: 'refuse', epoch: 0, hop: 0, reason: 'engine', length: 0, message: 'a\u001b[2Jb\nc' })
  )
  expect(frame?.kind === 'refuse' && frame.message).toBe('a [2Jb c')
})

test('a decode step costs at most 20 bytes of frame, its length prefix included', () => {
  for (const hidden of [288, 576, 4096]) {
    for (const position of [0, 127, 128, 5000, 100_000]) {
      const bytes = new Uint8Array(2 * hidden)
      const frame = encodeFrame({
        kind: 'step',
        epoch: 300,
        position,
        tokens: 1,
        sample: true,
        input: { kind: 'hidden', bytes }
      })
      expect(framedBytes(frame.length) - bytes.length).toBeLessThanOrEqual(20)
    }
  }
})
