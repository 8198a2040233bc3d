/** The decider that keeps a session at others: by table, and by property against keepers that come, go and forget. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { rank } from '../../src/keep/rank.ts'
import { Shelf } from '../../src/keep/shelf.ts'
import { Writer, type WriterEffect, type WriterEvent } from '../../src/keep/writer.ts'
import { keepAvoidMs, keepFlushMs, keepFlushTokens, keepPartTokens, keepVersionMax } from '../../src/keep/limits.ts'
import { peer } from './kit.ts'

const [A, B, C] = [peer('A'), peer('B'), peer('C')]
const ttlMs = 60_000

class Desk {
  readonly writer: Writer
  nowMs = 0
  live: PeerId[]
  effects: WriterEffect[] = []

  constructor(live: PeerId[], { ids = [] as number[], version = 100, routed = true } = {}) {
    this.live = live
    this.writer = new Writer({ name: 'n', ids, ttlMs, version, routed, rank: peers => [...peers].sort() })
  }

  do(...events: WriterEvent[]): this {
    this.effects = events.flatMap(event => this.writer.handle(event, this.nowMs))
    return this
  }

  tick(ms = 0): this {
    this.nowMs += ms
    return this.do({ kind: 'tick', live: this.live })
  }

  tokens(n: number): this {
    return this.do(...Array.from({ length: n }, (_, id): WriterEvent => ({ kind: 'token', id })))
  }

  kept(...peers: PeerId[]): this {
    return this.do(
      ...peers.map((peer): WriterEvent => ({ kind: 'answered', peer, answer: { kind: 'kept', version: 0 } }))
    )
  }

  refused(peer: PeerId, reason: 'gap' | 'stale' | 'no-room', version: number): this {
    return this.do({ kind: 'answered', peer, answer: { kind: 'refused', reason, version } })
  }

  get puts() {
    return this.effects.flatMap(effect =>
      effect.kind === 'put' ? [[effect.peer, effect.base, effect.version, effect.from, effect.end]] : []
    )
  }

  get seals() {
    return this.effects.flatMap(effect =>
      effect.kind === 'seal' ? [[effect.index, effect.version, effect.start, effect.end]] : []
    )
  }

  get warnings(): string[] {
    return this.effects.flatMap(effect => (effect.kind === 'warning' ? [effect.message] : []))
  }
}

describe('a session that is kept', () => {
  test('K12: goes to two peers at once, then only with what is new', () => {
    const desk = new Desk([C, B, A]).tick()
    expect(desk.seals).toEqual([[0, 100, 0, 0]])
    expect(desk.puts).toEqual([
      [A, 0, 100, 0, 1],
      [B, 0, 100, 0, 1]
    ])
    desk.kept(A, B).tokens(3)
    expect(desk.puts).toEqual([])
    desk.tick(keepFlushMs)
    expect(desk.seals).toEqual([[1, 101, 0, 3]])
    expect(desk.puts).toEqual([
      [A, 100, 101, 1, 2],
      [B, 100, 101, 1, 2]
    ])
    desk.kept(A, B).tokens(keepFlushTokens)
    expect(desk.seals).toEqual([[1, 102, 0, 3 + keepFlushTokens]])
  })

  test('K12: the prompt goes out before there is a route, and all of it anew with the first one', () => {
    const desk = new Desk([A], { routed: false }).tick()
    expect(desk.seals).toEqual([[0, 100, 0, 0]])
    expect(desk.puts).toEqual([[A, 0, 100, 0, 1]])
    // That one keeper is too few is no news while there is no answer.
    expect(desk.warnings).toEqual([])
    desk.do({ kind: 'routed' })
    expect(desk.seals).toEqual([[0, 101, 0, 0]])
    expect(desk.warnings).toHaveLength(1)
    expect(desk.kept(A).puts).toEqual([[A, 0, 101, 0, 1]])
  })

  test('seals nothing but the last part again', () => {
    const desk = new Desk([A, B], { ids: new Array(2 * keepPartTokens).fill(1) }).tick()
    expect(desk.seals).toEqual([
      [0, 100, 0, 0],
      [1, 100, 0, 256],
      [2, 100, 256, 512]
    ])
    desk.kept(A, B).tokens(keepFlushTokens)
    expect(desk.seals).toEqual([[3, 101, 512, 576]])
    expect(desk.puts).toEqual([
      [A, 100, 101, 3, 4],
      [B, 100, 101, 3, 4]
    ])
  })

  test('one put at a time is under way; what happens meanwhile goes with the next', () => {
    const desk = new Desk([A, B]).tick().kept(B)
    for (let i = 0; i < 3; i++) {
      desk.tokens(keepFlushTokens)
      expect(desk.puts.filter(([to]) => to === A)).toEqual([])
      desk.kept(B)
    }
    desk.kept(A)
    expect(desk.puts).toEqual([[A, 100, 103, 1, 2]])
  })

  test('is put again long before it expires', () => {
    const desk = new Desk([A, B]).tick().kept(A, B)
    expect(desk.tick(ttlMs / 3 - 1).puts).toEqual([])
    // The only part is the head: from 0 on nothing is extended.
    expect(desk.tick(1).puts).toEqual([
      [A, 0, 101, 0, 1],
      [B, 0, 101, 0, 1]
    ])
  })

  test('K13: another takes the place of who leaves, and gets all; who stays, stays', () => {
    const desk = new Desk([B, C]).tick().kept(B, C).tokens(keepFlushTokens).kept(B, C)
    desk.live = [A, B]
    desk.tick()
    expect(desk.effects).toContainEqual({ kind: 'drop', peer: C })
    expect(desk.puts).toEqual([[A, 0, 101, 0, 2]])
    expect(desk.warnings).toEqual([])
    desk.live = [A, B, C]
    expect(desk.tick().effects).toEqual([])
    expect(desk.writer.keepers).toEqual([B, A])
  })

  test('K13: says when there are too few, once each time, and goes on', () => {
    const desk = new Desk([]).tick()
    expect(desk.warnings).toEqual(['session n is kept by no other peer: no more are reachable that can keep it'])
    expect(desk.tick().effects).toEqual([])
    desk.live = [A]
    expect(desk.tick().warnings).toEqual([
      'session n is kept by 1 other peer only, not 2: no more are reachable that can keep it'
    ])
    desk.live = [A, B]
    expect(desk.tick().warnings).toEqual([])
    expect(desk.writer.keepers).toEqual([A, B])
    desk.live = [B]
    expect(desk.tick().warnings).toHaveLength(1)
  })

  test('a peer that fails is left alone for a while', () => {
    const desk = new Desk([A, B, C]).tick().kept(B)
    desk.do({ kind: 'failed', peer: A, message: 'reset' })
    expect(desk.writer.keepers).toEqual([B, C])
    desk.live = [A, B]
    expect(desk.tick().warnings).toHaveLength(1)
    desk.tick(keepAvoidMs)
    expect(desk.writer.keepers).toEqual([B, A])
  })

  test('a peer without room is too', () => {
    const desk = new Desk([A, B, C]).tick().refused(A, 'no-room', 0)
    expect(desk.warnings).toEqual([`${A} has no room to keep session n`])
    expect(desk.writer.keepers).toEqual([B, C])
  })

  test('K6: a keeper that lost what it had gets all of it', () => {
    const desk = new Desk([A, B]).tick().kept(A, B).tokens(keepFlushTokens).kept(B).refused(A, 'gap', 0)
    expect(desk.puts).toEqual([[A, 0, 101, 0, 2]])
    expect(desk.refused(A, 'gap', 0).writer.keepers).toEqual([B])
  })

  test('K11: goes on above what an earlier answer of this name left, once', () => {
    const desk = new Desk([A, B]).tick().kept(B).refused(A, 'stale', 5000)
    expect(desk.puts).toEqual([
      [A, 0, 5001, 0, 1],
      [B, 0, 5001, 0, 1]
    ])
    expect(desk.refused(A, 'stale', 9000).writer.keepers).toEqual([B])
    const high = new Desk([A, B]).tick().refused(A, 'stale', keepVersionMax)
    expect(high.writer.keepers).toEqual([B])
  })

  test('K11: a keeper that takes a newer version from another driver is lost to this one', () => {
    const desk = new Desk([A, B, C]).tick().kept(A, B).tokens(keepFlushTokens).refused(A, 'stale', 900)
    expect(desk.warnings[0]).toContain('was resumed elsewhere')
    expect(desk.writer.keepers).toEqual([B, C])
    desk.live = [A, B]
    desk.tick(10 * keepAvoidMs)
    expect(desk.writer.keepers).toEqual([B])
  })

  test('its end is put at once, and settled when all keepers have it', () => {
    const desk = new Desk([A, B]).tick().kept(A, B).tokens(3).do({ kind: 'end', stop: 'eos' })
    expect(desk.effects[0]).toMatchObject({ kind: 'seal', index: 1, start: 0, end: 3, stop: 'eos' })
    expect(desk.kept(A).effects).toEqual([])
    expect(desk.kept(B).effects).toEqual([{ kind: 'settled' }])
    expect(new Desk([]).tick().do({ kind: 'end', stop: undefined }).effects.at(-1)).toEqual({ kind: 'settled' })
  })

  /** A session of three tokens that has ended, and that two keepers have. */
  function ended(live: PeerId[]): Desk {
    return new Desk(live).tick().kept(A, B).tokens(3).do({ kind: 'end', stop: 'eos' }).kept(A, B)
  }

  test('K13: after the end another takes the place of who leaves, once the other one says that it has it still', () => {
    const desk = ended([A, B, C])
    desk.live = [B, C]
    desk.tick(10_000)
    expect(desk.effects).toContainEqual({ kind: 'drop', peer: A })
    expect(desk.puts).toEqual([[B, 101, 102, 1, 2]])
    desk.kept(B)
    expect(desk.puts).toEqual([[C, 0, 102, 0, 2]])
    // No longer than was asked for, counted from the end.
    expect(desk.effects).toContainEqual(expect.objectContaining({ kind: 'put', peer: C, ttlMs: ttlMs - 10_000 }))
    expect(desk.kept(C).effects).toEqual([{ kind: 'settled' }])
    expect(desk.writer.keepers).toEqual([B, C])
    expect(desk.tick(1000).effects).toEqual([])
  })

  test.each(['gap', 'stale'] as const)('K13: what was removed or resumed meanwhile does not come back (%s)', reason => {
    const desk = ended([A, B, C])
    desk.live = [B, C]
    expect(desk.tick().puts).toEqual([[B, 101, 102, 1, 2]])
    expect(desk.refused(B, reason, 900).effects).toEqual([{ kind: 'over' }])
    desk.live = [C]
    expect(desk.tick().effects).toEqual([])
  })

  test('K13: after the end two others take the place of both', () => {
    const desk = ended([A, B])
    desk.live = [C]
    expect(desk.tick().puts).toEqual([[C, 0, 101, 0, 2]])
    expect(desk.kept(C).effects).toEqual([{ kind: 'settled' }])
  })

  test('is over when its time has passed', () => {
    const desk = ended([A, B])
    expect(desk.tick(ttlMs - 1).effects).toEqual([])
    expect(desk.tick(1).effects).toEqual([{ kind: 'over' }])
    desk.live = [C]
    expect(desk.tick().effects).toEqual([])
  })

  test('whatever comes and goes: no put is ever refused for a gap by a keeper with a memory, and in the end two have all', () => {
    const peers = ['A', 'B', 'C', 'D'].map(peer)
    const step = fc.record({
      live: fc.subarray(peers),
      tokens: fc.integer({ min: 0, max: 200 }),
      passMs: fc.integer({ min: 0, max: 3000 }),
      fails: fc.constantFrom('never', 'never', 'never', 'lost', 'forgotten'),
      deliver: fc.integer({ min: 0, max: 6 })
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.integer({ min: 0, max: 600 }), (steps, begun) => {
        const ids = Array.from({ length: begun }, (_, i) => i)
        let nowMs = 0
        let version = 0
        const writer = new Writer({ name: 'n', ids, ttlMs, version: 1, rank: live => rank(new Uint8Array(32), live) })
        const shelves = new Map(peers.map(each => [each, new Shelf()]))
        const forgetful = new Set<PeerId>()
        /** Text of each part: what would be sealed. */
        const parts: string[] = []
        const waiting: (WriterEffect & { kind: 'put'; bytes: Uint8Array[] })[] = []
        const feed = (event: WriterEvent): void => {
          for (const effect of writer.handle(event, nowMs)) {
            if (effect.kind === 'seal') {
              const { index, start, end } = effect
              version = effect.version
              parts[index] = `${index} ${effect.version} ${index === 0 ? '' : ids.slice(start, end).join()}`
            } else if (effect.kind === 'put') {
              const bytes = parts.slice(effect.from, effect.end).map(text => new TextEncoder().encode(text))
              waiting.push({ ...effect, bytes })
            } else if (effect.kind === 'drop') {
              const at = waiting.findIndex(put => put.peer === effect.peer)
              if (at >= 0) waiting.splice(at, 1)
            }
          }
        }
        const deliver = (isLost: boolean): void => {
          const put = waiting.shift()
          if (put === undefined) return
          const { peer: to, base, version, from, bytes } = put
          const request = { kind: 'put' as const, id: '0'.repeat(64), base, version, from, parts: bytes, ttlMs }
          const { answer } = shelves.get(to)!.handle(A, request, nowMs)
          if (answer.kind === 'entry') throw new Error('a put is not answered with an entry')
          if (answer.kind === 'refused' && answer.reason === 'gap') expect(forgetful.has(to)).toBe(true)
          feed(isLost ? { kind: 'failed', peer: to, message: '' } : { kind: 'answered', peer: to, answer })
        }
        for (const { live, tokens, passMs, fails, deliver: count } of steps) {
          nowMs += passMs
          feed({ kind: 'tick', live })
          expect(writer.keepers.length).toBeLessThanOrEqual(2)
          for (const keeper of writer.keepers) expect(live).toContain(keeper)
          for (let i = 0; i < tokens; i++) {
            ids.push(ids.length)
            feed({ kind: 'token', id: ids.length - 1 })
          }
          if (fails === 'forgotten') {
            shelves.set(peers[0]!, new Shelf())
            forgetful.add(peers[0]!)
          }
          for (let i = 0; i < count; i++) deliver(fails === 'lost')
        }
        // Everyone is back and answers: two keepers have all of it.
        nowMs += keepAvoidMs
        for (let i = 0; i < 3; i++) {
          feed({ kind: 'tick', live: peers })
          while (waiting.length > 0) deliver(false)
        }
        feed({ kind: 'end', stop: 'length' })
        while (waiting.length > 0) deliver(false)
        const whole = [...shelves.values()].filter(shelf => {
          const entry = shelf.entry('0'.repeat(64))
          if (entry?.version !== version) return false
          const texts = entry.parts.map(bytes => new TextDecoder().decode(bytes))
          return texts.flatMap(text => text.split(' ')[2]!.split(',').filter(Boolean)).join() === ids.join()
        })
        expect(whole.length).toBe(2)
      }),
      { numRuns: 200 }
    )
  })
})

test('K13: who keeps what is spread evenly, the same for all, and a loss moves nobody else', () => {
  const peers = Array.from({ length: 10 }, (_, i) => peer(`P${i}`))
  const counts = new Map<PeerId, number>()
  for (let i = 0; i < 1000; i++) {
    const tag = new Uint8Array(32)
    new DataView(tag.buffer).setUint32(0, i)
    const order = rank(tag, peers)
    expect(rank(tag, [...peers].reverse())).toEqual(order)
    const gone = order[i % 10]!
    expect(
      rank(
        tag,
        peers.filter(each => each !== gone)
      )
    ).toEqual(order.filter(each => each !== gone))
    for (const keeper of order.slice(0, 2)) counts.set(keeper, (counts.get(keeper) ?? 0) + 1)
  }
  // 200 each are expected, with a standard deviation of 12.6.
  for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(65)
})
