/** What goes through the memory that an engine and its thread share: it comes out as it went in, or not at all. */
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
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
import { cutEngines, greedy, sessionId, through } from './pipeline.ts'
import { syntheticModel } from './synthetic-model.ts'

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
  const failed = { kind: 'failed', name: 'EngineError', message: 'why', length: 3, reached: 3 } as const
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

test('what is announced wakes the other end before it is said, and is left out the more often the more often that was in vain', async () => {
  // Without what a machine with one processor has.
  const memory = new SharedArrayBuffer(sharedMemory()!.byteLength)
  const [speaker, listener] = [waysOf(memory).back, waysOf(memory).back]
  let said = 0
  const wakes = async (): Promise<boolean> => {
    const waiting = listener.waitAsync(said)!.then(() => true)
    speaker.announce()
    return Promise.race([waiting, delay(20, false)])
  }
  expect(await wakes()).toBe(true)
  expect(listener.comes(said)).toBe(false)
  expect([await wakes(), await wakes()]).toEqual([false, true])
  expect(listener.comes(said)).toBe(false)
  expect([await wakes(), await wakes(), await wakes()]).toEqual([false, false, true])
  speaker.ring()
  expect(listener.comes(said++)).toBe(true)
  expect(await wakes()).toBe(true)
  expect(listener.comes(said)).toBe(false)
  expect([await wakes(), await wakes()]).toEqual([false, true])
  speaker.neverAnnounce()
  expect([await wakes(), await wakes(), await wakes()]).toEqual([false, false, false])
})

const small = {
  ...{ layers: 2, hidden: 32, intermediate: 36, heads: 4, kvHeads: 2, headDim: 8, vocab: 61, contextMax: 128 },
  ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: true }
}

test('an engine that is woken early, late or in vain gives what it gives when it is left alone', {
  timeout: 120_000
}, async () => {
  const model = syntheticModel(small, 'q8', 'f16', 3)
  const engines = await cutEngines(model, [1])
  try {
    const given = async (session: SessionId, wake: (engine: Engine, turn: number) => Promise<void> | void) => {
      for (const engine of engines) await engine.open(session, { tokensMax: 64, sampling: greedy })
      const ids: (number | undefined)[] = []
      for (let position = 0; position < 40; position++) {
        for (const engine of engines) await wake(engine, position)
        ids.push(await through(engines, session, position, [position + 3], true))
      }
      for (const engine of engines) await engine.free(session)
      return ids
    }
    const alone = await given(sessionId(1), () => {})
    expect(new Set(alone).size).toBeGreaterThan(3)
    expect(await given(sessionId(2), engine => engine.wake?.())).toEqual(alone)
    const inVain = async (engine: Engine, turn: number): Promise<void> => {
      engine.wake?.()
      if (turn % 3 === 0) await delay(2)
      engine.wake?.()
    }
    expect(await given(sessionId(3), inVain)).toEqual(alone)
  } finally {
    for (const engine of engines) await engine.close()
  }
  // Nobody is there any more.
  for (const engine of engines) engine.wake?.()
})
