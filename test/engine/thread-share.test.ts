/** What goes through the memory that an engine and its thread share: it comes out as it went in, or not at all. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { shareBytesMax } from '../../src/engine/limits.ts'
import type { ThreadReply, ThreadRequest } from '../../src/engine/thread-messages.ts'
import {
  putPass,
  putReply,
  SessionNumbers,
  sharedMemory,
  takePass,
  takeReply,
  waysOf
} from '../../src/engine/thread-share.ts'

type Pass = Extract<ThreadRequest, { kind: 'pass' }>
type PassReply = Extract<ThreadReply, { kind: 'pass' }>

const count = fc.nat({ max: 2 ** 31 - 1 })
const ids = fc.array(count, { minLength: 1, maxLength: 8 })
const input = fc.oneof(
  ids.map(values => Int32Array.from(values)),
  fc.uint8Array({ minLength: 1, maxLength: 600 })
)
// As in a Buffer of the network: somewhere in a larger one.
const inLarger = fc
  .tuple(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat({ max: 7 }))
  .map(([bytes, at]) => Buffer.concat([Buffer.alloc(at), bytes, Buffer.alloc(9)]).subarray(at, at + bytes.length))
const beside = fc.option(
  ids.map(values => Int32Array.from(values)),
  { nil: undefined }
)
const step = fc.record({ position: count, tokens: count, input, sample: fc.boolean(), drafts: ids, ids: beside })
const names = ['a', 'b', 'ß 😀']
const session = fc.constantFrom(...names)
const passes: fc.Arbitrary<Pass> = fc.record({
  kind: fc.constant('pass' as const),
  parts: fc.array(fc.oneof(fc.record({ session, tokens: count }), fc.record({ session, tokens: count, step })))
})
const replies: fc.Arbitrary<PassReply> = fc.record({
  kind: fc.constant('pass' as const),
  parts: fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('hidden' as const), bytes: fc.oneof(fc.uint8Array(), inLarger) }),
      fc.record({ kind: fc.constant('hidden' as const), bytes: fc.uint8Array(), reused: fc.constant(128) }),
      fc.record({ kind: fc.constant('tokens' as const), ids }),
      fc.record({ kind: fc.constant('going' as const), reused: fc.integer({ min: 1, max: 2048 }) }),
      fc.record({ kind: fc.constantFrom('going' as const, 'none' as const) })
    )
  ),
  beganMs: fc.double({ min: 0, max: 1e9, noNaN: true }).map(x => x + 0),
  computeMs: fc.constant(2.5),
  sampleMs: fc.constant(0.125),
  prefixBytes: fc.nat({ max: 2 ** 40 })
})

/** The same with bytes and words that are equal whatever holds them. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return [...(value as Uint8Array)]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]))
}

/** Both ends, who have heard of the same sessions. */
function ends() {
  const [engine, thread] = [new SessionNumbers(), new SessionNumbers()]
  const open = (session: string): ThreadRequest => ({ kind: 'open', session }) as ThreadRequest
  const requests = [...names, 'gone', 'a'].map(open)
  requests.splice(4, 0, { kind: 'free', session: 'gone' }, open('gone'), { kind: 'free', session: 'gone' })
  for (const request of requests) for (const end of [engine, thread]) end.asked(request)
  return { ...waysOf(sharedMemory()!), engine, thread }
}

test('passes and what became of them come out as they went in, one after the other, each once', () => {
  const { there, back, engine, thread } = ends()
  fc.assert(
    fc.property(passes, replies, (pass, reply) => {
      expect(putPass(there, pass, engine)).toBe(true)
      expect(putReply(back, reply)).toBe(true)
      expect(plain(takePass(there, thread))).toEqual(plain(pass))
      expect(plain(takeReply(back))).toEqual(plain(reply))
      expect(takePass(there, thread)).toBeUndefined()
      expect(takeReply(back)).toBeUndefined()
    })
  )
})

test('a session that is gone has no number, nor has a failure a place', () => {
  const { there, back, engine } = ends()
  expect(putPass(there, { kind: 'pass', parts: [{ session: 'gone', tokens: 1 }] }, engine)).toBe(false)
  engine.asked({ kind: 'open', session: 'full' } as ThreadRequest)
  engine.answered({ kind: 'failed', name: 'EngineError', message: 'no memory' })
  expect(engine.of('full')).toBeUndefined()
  expect(engine.of('a')).toBeDefined()
  const failed = { kind: 'failed', name: 'EngineError', message: 'why', length: 3 } as const
  expect(putReply(back, { kind: 'pass', parts: [failed], beganMs: 0, computeMs: 0, sampleMs: 0, prefixBytes: 0 })).toBe(
    false
  )
  expect(takeReply(back)).toBeUndefined()
})

test('what was taken is its own: what comes after it changes nothing', () => {
  const { back } = waysOf(sharedMemory()!)
  const reply = (byte: number): PassReply => ({
    kind: 'pass',
    parts: [{ kind: 'hidden', bytes: new Uint8Array(8).fill(byte) }],
    beganMs: 0,
    computeMs: 0,
    sampleMs: 0,
    prefixBytes: 0
  })
  putReply(back, reply(1))
  const first = takeReply(back)
  putReply(back, reply(2))
  expect(first).toEqual(reply(1))
})

test('what does not fit is left out whole, and what comes next fits again', () => {
  const { there, back, engine, thread } = ends()
  const pass = (bytes: number): Pass => ({
    kind: 'pass',
    parts: [
      {
        session: 'a',
        tokens: 1,
        step: { position: 0, tokens: 1, input: new Uint8Array(bytes), sample: true, drafts: [] }
      }
    ]
  })
  const reply = (bytes: number): PassReply => ({
    kind: 'pass',
    parts: [{ kind: 'hidden', bytes: new Uint8Array(bytes) }],
    beganMs: 0,
    computeMs: 0,
    sampleMs: 0,
    prefixBytes: 0
  })
  for (const bytes of [shareBytesMax + 1, shareBytesMax, shareBytesMax - 4]) {
    expect(putPass(there, pass(bytes), engine), `${bytes}`).toBe(false)
    expect(putReply(back, reply(bytes))).toBe(false)
    expect(takePass(there, thread)).toBeUndefined()
  }
  expect(putPass(there, pass(shareBytesMax - 1000), engine)).toBe(true)
  expect(takePass(there, thread)).toMatchObject({ parts: [{ step: { input: { length: shareBytesMax - 1000 } } }] })
})

test('each end hears that something was said, also before it began to wait', async () => {
  const { there, back } = waysOf(sharedMemory()!)
  expect(there.said).toBe(0)
  const heard = back.waitAsync(0)
  back.ring()
  await heard
  expect(back.waitAsync(0)).toBeUndefined()
  expect(back.said).toBe(1)
  there.ring()
  // Would block for ever.
  there.wait(0)
})
