/** The source's decider in virtual time. */
import { describe, expect, it } from 'vitest'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { chunkBytes } from '../../src/model/limits.ts'
import {
  supplyLiveBurstBytes,
  supplyLiveBytesPerMs,
  supplyReadsBurstMax,
  supplyReadsPerSecondMax,
  supplyRequestsMax
} from '../../src/supply/limits.ts'
import { encodeFrame } from '../../src/supply/codec.ts'
import type { AnswerFrame, RequestFrame } from '../../src/supply/frame.ts'
import { BulkRate } from '../../src/supply/bulk-rate.ts'
import { type Found, Serve, type ServeEffect, type ServeEvent } from '../../src/supply/serve.ts'

const file = 'ab'.repeat(32)
const model = 'cd'.repeat(32) as ModelId
const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i)

class Kit {
  live = false
  nowMs = 0
  readonly #serve = new Serve(new BulkRate(() => this.live))

  do(event: ServeEvent): ServeEffect[] {
    return this.#serve.handle(event, this.nowMs)
  }

  accept(client: number): void {
    expect(this.do({ kind: 'accepted', client, peer: `peer ${client}` as PeerId })).toEqual([])
  }

  ask(client: number, request: RequestFrame): ServeEffect[] {
    return this.do({ kind: 'frame', client, bytes: encodeFrame(request) })
  }

  found(client: number, found: Found | undefined): ServeEffect[] {
    return this.do({ kind: 'found', client, found })
  }

  ready(client: number): ServeEffect[] {
    return this.do({ kind: 'ready', client })
  }
}

function kit(clients = 1): Kit {
  const made = new Kit()
  for (let client = 1; client <= clients; client++) made.accept(client)
  return made
}

const range = (offset: number, length: number, chunk = 0): RequestFrame => ({
  kind: 'range-request',
  file,
  chunk,
  offset,
  length
})
const chunk: Found = { kind: 'chunk', bytes }
const answer = (client: number, frame: AnswerFrame): ServeEffect => ({ kind: 'answer', client, frame })
const given = (client: number, offset: number, length: number, live = false): ServeEffect =>
  answer(client, { kind: 'range', file, chunk: 0, offset, data: bytes.subarray(offset, offset + length), live })

describe('a source', () => {
  it.each([
    ['a manifest', { kind: 'manifest-request', model }, { kind: 'refuse', subject: 'manifest', model }],
    ['a file', { kind: 'watch', file }, { kind: 'refuse', subject: 'file', file }],
    ['a list', { kind: 'list-request', file }, { kind: 'refuse', subject: 'list', file }],
    ['a range', range(8, 4, 3), { kind: 'refuse', subject: 'range', file, chunk: 3, offset: 8 }]
  ] as const)('refuses %s that is not here (W3)', (_, request, refusal) => {
    const source = kit()
    expect(source.ask(1, request)).toEqual([{ kind: 'find', client: 1, request }])
    expect(source.found(1, undefined)).toEqual([answer(1, refusal)])
  })

  it('refuses what goes beyond its chunk (W6)', () => {
    const source = kit()
    source.ask(1, range(990, 11))
    expect(source.found(1, chunk)).toEqual([
      answer(1, { kind: 'refuse', subject: 'range', file, chunk: 0, offset: 990 })
    ])
  })

  it('answers every request once, in order, and the next one when its stream is ready (W6)', () => {
    const source = kit()
    source.ask(1, range(0, 10))
    expect(source.ask(1, { kind: 'list-request', file })).toEqual([])
    expect(source.found(1, chunk)).toEqual([given(1, 0, 10)])
    expect(source.ready(1)).toEqual([{ kind: 'find', client: 1, request: { kind: 'list-request', file } }])
    expect(source.found(1, { kind: 'list', digests: bytes })).toEqual([
      answer(1, { kind: 'list', file, digests: bytes })
    ])
    expect(source.ready(1)).toEqual([])
  })

  it('finds a chunk once for ranges that follow one another, until it counts no more', () => {
    const source = kit()
    source.ask(1, range(0, 10))
    source.found(1, chunk)
    source.ready(1)
    expect(source.ask(1, range(10, 10))).toEqual([given(1, 10, 10)])
    source.ready(1)
    source.do({ kind: 'forget', file })
    expect(source.ask(1, range(20, 10))).toMatchObject([{ kind: 'find' }])
  })

  it('reads no more than so many chunks a second for one peer while sessions run, and delays nobody else by it (W13)', () => {
    const source = kit(2)
    source.live = true
    const asked = (client: number, at: number): ServeEffect[] => {
      const effects = source.ask(client, range(0, 1, at))
      source.found(client, undefined)
      source.ready(client)
      return effects
    }
    for (let at = 0; at < supplyReadsBurstMax; at++) expect(asked(1, at)).toMatchObject([{ kind: 'find' }])
    expect(source.ask(1, range(0, 1, 99))).toMatchObject([{ kind: 'wake' }])
    expect(asked(2, 0)).toContainEqual({ kind: 'find', client: 2, request: range(0, 1, 0) })
    source.nowMs += 1_000 / supplyReadsPerSecondMax
    expect(source.do({ kind: 'tick' })).toEqual([{ kind: 'find', client: 1, request: range(0, 1, 99) }])
    // Whoever hangs up is read nothing.
    source.found(1, undefined)
    source.ready(1)
    source.ask(1, range(0, 1, 100))
    source.do({ kind: 'closed', client: 1 })
    source.nowMs += 1_000
    expect(source.do({ kind: 'tick' })).toEqual([])
  })

  it('tells those who watch what comes after their answer, and nobody else (W5)', () => {
    const source = kit(2)
    source.ask(1, { kind: 'watch', file })
    expect(source.do({ kind: 'have', file, chunk: 1 })).toEqual([])
    const chunks = Uint8Array.of(2)
    expect(source.found(1, { kind: 'state', whole: false, chunks })).toEqual([
      answer(1, { kind: 'state', file, whole: false, chunks })
    ])
    const have: AnswerFrame = { kind: 'have', file, chunk: 2 }
    // Beside the answers: it waits for nothing.
    expect(source.do({ kind: 'have', file, chunk: 2 })).toEqual([{ kind: 'tell', client: 1, frame: have }])
    expect(source.do({ kind: 'searched', file, chunks })).toMatchObject([{ kind: 'tell', client: 1 }])
    source.do({ kind: 'closed', client: 1 })
    expect(source.do({ kind: 'have', file, chunk: 3 })).toEqual([])
  })

  it('gives no more than sessions leave it, whoever has waited longest first (W10)', () => {
    const source = kit(3)
    source.live = true
    const whole: Found = { kind: 'chunk', bytes: new Uint8Array(chunkBytes) }
    const sent = (effects: readonly ServeEffect[]): number[] =>
      effects.flatMap(effect => (effect.kind === 'answer' ? [effect.client] : []))
    for (const client of [1, 2, 3]) source.ask(client, range(0, supplyLiveBurstBytes))
    const served = [1, 2, 3].flatMap(client => sent(source.found(client, whole)))
    let bytesSent = served.length * supplyLiveBurstBytes
    const rounds = 12
    while (served.length < rounds) {
      const last = served.at(-1)!
      source.ready(last)
      const effects = source.ask(last, range(0, supplyLiveBurstBytes))
      const wake = effects.find(effect => effect.kind === 'wake')
      if (wake === undefined) throw new Error('nobody is woken for what waits')
      source.nowMs = wake.atMs
      const now = sent(source.do({ kind: 'tick' }))
      bytesSent += now.length * supplyLiveBurstBytes
      served.push(...now)
      expect(bytesSent).toBeLessThanOrEqual(2 * supplyLiveBurstBytes + supplyLiveBytesPerMs * source.nowMs)
    }
    expect(served).toEqual(Array.from({ length: rounds }, (_, i) => (i % 3) + 1))
  })

  it('does not hold bulk back once no session runs', () => {
    const source = kit(2)
    source.live = true
    source.ask(1, range(0, 10))
    source.ask(2, range(0, 10))
    const large = new Uint8Array(2 * supplyLiveBurstBytes)
    source.found(1, { kind: 'chunk', bytes: large })
    source.ready(1)
    source.ask(1, range(0, large.length - 1))
    expect(source.found(2, chunk)).toMatchObject([{ kind: 'wake' }])
    source.live = false
    expect(source.do({ kind: 'tick' })).toEqual([given(2, 0, 10)])
  })

  it('gives a chunk that it found even if what was known of its file has changed since', () => {
    const source = kit(2)
    source.live = true
    const burst: Found = { kind: 'chunk', bytes: new Uint8Array(2 * supplyLiveBurstBytes) }
    source.ask(1, range(0, 2 * supplyLiveBurstBytes))
    source.found(1, burst)
    source.ask(2, range(0, 10))
    source.found(2, chunk)
    source.do({ kind: 'forget', file })
    source.nowMs = 10_000
    expect(source.do({ kind: 'tick' })).toEqual([given(2, 0, 10, true)])
  })

  it('ends the stream that asks for too much at once, and no other (W12)', () => {
    const source = kit(2)
    // One is being answered, so many wait.
    for (let i = 0; i <= supplyRequestsMax; i++) source.ask(1, range(0, 1))
    expect(source.ask(1, range(0, 1))).toMatchObject([{ kind: 'violation', client: 1, peer: 'peer 1' }])
    expect(source.found(1, chunk)).toEqual([])
    expect(source.ask(1, range(0, 1))).toEqual([])
    source.ask(2, range(0, 1))
    expect(source.found(2, chunk)).toEqual([given(2, 0, 1)])
  })
})
