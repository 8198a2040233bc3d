/** Sessions that wait for room at a stage, by table. Rule numbers are those of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import type { ChannelId, SeatId } from '../../src/stage/event.ts'
import type { Frame } from '../../src/stage/frame.ts'
import {
  askMinMs,
  callerGraceMs,
  callerHoldCalls,
  driverWaitersMax,
  sessionUnusedMs,
  stageCloseMs,
  stageTickMs,
  stageWaitersMax,
  turnMs,
  turnStalledMs,
  turnUnsampledMs
} from '../../src/stage/limits.ts'
import { Turn } from '../../src/stage/turn.ts'
import { type Change, facts, Kit, open, peer, type Seen, states, step } from './kit.ts'

const id = (n: number): SessionId => n.toString(16).padStart(32, '0') as SessionId
const wait: Change = { room: 'wait' }

/** Peer B, the second hop, whose engine has room for so many sessions. Each test's drivers have A as their head. */
class Line {
  readonly kit = new Kit('B')
  #room: number
  readonly #opening = new Set<SeatId>()
  readonly open = new Set<SeatId>()

  constructor(room: number) {
    this.#room = room
    this.kit.do({ kind: 'add', stage: facts(2, 4) })
  }

  seat(n: number, driver: string): SeatId {
    return `${peer(driver)}/${id(n)}/2-4`
  }

  /** Does what the decider wants of an engine, at once. */
  #engine(seen: readonly Seen[]): Seen[] {
    const all = [...seen]
    for (let i = 0; i < all.length; i++) {
      const effect = all[i]!
      if (effect.kind === 'open-engine') {
        const { seat } = effect
        this.#opening.add(seat)
        const noRoom = { kind: 'open-failed', seat, noRoom: true, message: 'full' } as const
        const isThere = this.open.size < this.#room
        if (isThere) this.open.add(seat)
        all.push(...this.kit.do(isThere ? { kind: 'opened', seat, length: 0 } : noRoom))
      } else if (effect.kind === 'free-engine') {
        this.open.delete(effect.seat)
        all.push(...this.kit.do({ kind: 'freed', seat: effect.seat }))
      }
    }
    return all
  }

  comes(n: number, driver: string, change: Change = wait): Seen[] {
    const link = this.link(n, change.epoch)
    this.kit.do({ kind: 'accepted', channel: link, remote: peer('A') })
    return this.frame(link, open(1, { session: id(n), driver: peer(driver), ...change }))
  }

  link(n: number, epoch = 0): ChannelId {
    return 10 + n + 1000 * epoch
  }

  frame(channel: ChannelId, frame: Frame): Seen[] {
    return this.#engine(this.kit.frame(channel, frame))
  }

  /** The answer goes on: a step that samples, and the one after it. */
  samples(n: number, driver: string, position: number): Seen[] {
    const seen: Seen[] = []
    for (const at of [position, position + 1]) {
      this.frame(this.link(n), step(at, 1, { sample: true }))
      seen.push(...this.#engine(this.kit.computed(this.seat(n, driver), { hidden: states(at, 1) })))
    }
    return seen
  }

  wait(ms: number): Seen[] {
    return this.#engine(this.kit.wait(ms))
  }

  /** Its stream ends; it may come back with another epoch. */
  breaks(n: number, epoch = 0): Seen[] {
    return this.#engine(this.kit.do({ kind: 'closed', channel: this.link(n, epoch), message: 'reset' }))
  }

  leaves(n: number): Seen[] {
    return this.#engine(this.kit.frame(this.link(n), { kind: 'close', epoch: 0 }))
  }

  /** `[place, placeMs]` as the session is told when its driver asks. */
  place(n: number, round = 1): [number, number] {
    this.kit.nowMs += askMinMs
    const seen = this.kit.frame(this.link(n), { kind: 'ask', epoch: 0, round })
    const standing = sent(seen, this.link(n)).find(frame => frame.kind === 'standing')
    if (standing?.kind !== 'standing') throw new Error('nothing was answered')
    return [standing.place, standing.placeMs]
  }
}

const sent = (seen: readonly Seen[], channel: ChannelId): Frame[] =>
  seen.flatMap(effect => (effect.kind === 'send' && effect.channel === channel ? [effect.frame] : []))
const kinds = (seen: readonly Seen[]): string[] => seen.map(({ kind }) => kind)

describe('a driver that takes all seats and waits for more', () => {
  test('keeps nobody out for a moment who has fewer', () => {
    const line = new Line(4)
    for (let n = 0; n < 12; n++) line.comes(n, 'F')
    expect(line.open.size).toBe(4)
    line.comes(100, 'E')
    expect(line.open).toContain(line.seat(100, 'E'))
    line.comes(101, 'G')
    expect(line.open).toContain(line.seat(101, 'G'))
  })
})

describe('S29: a session that finds no room', () => {
  test('waits where its terms say so: with nothing reserved, no stream opened, and its steps kept', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    const { retainBytes } = line.kit.stages
    const seen = line.comes(1, 'D')
    expect(kinds(seen)).not.toContain('connect')
    expect(sent(seen, line.link(1))).toEqual([])
    expect(line.kit.stages).toMatchObject({ sessions: 1, waiting: 1, retainBytes })
    expect(line.frame(line.link(1), step(0, 3))).toEqual([])
    expect(line.place(1)).toEqual([1, expect.any(Number)])
    // For load it counts as one step, whatever it has sent.
    const { start, end } = facts(2, 4)
    expect(line.kit.stages.stepsOf(facts(2, 4).model, { start, end })).toBe(1)
    // It keeps nobody busy meanwhile.
    line.kit.nowMs += 3000
    expect(sent(line.kit.frame(line.link(1), { kind: 'ask', epoch: 0, round: 2 }), line.link(1))).toMatchObject([
      { kind: 'standing', arrived: 3, length: 0, busyMs: 0, place: 1 }
    ])
    const after = line.leaves(0)
    expect(after).toContainEqual(expect.objectContaining({ kind: 'connect', peer: peer('C') }))
    expect(after).toContainEqual(expect.objectContaining({ kind: 'compute', seat: line.seat(1, 'D') }))
    expect(line.kit.stages).toMatchObject({ sessions: 1, waiting: 0, retainBytes })
    expect(line.place(1, 3)).toEqual([0, 0])
  })

  test.each<[string, Change]>([
    ['asks elsewhere first', { room: 'refuse' }],
    ['knows nothing of waiting', { room: undefined }],
    ['only prepares a route', { room: 'wait', stretch: { from: 1, to: 2 }, epoch: 1 }]
  ])('is refused where it %s', (_, change) => {
    const line = new Line(1)
    line.comes(0, 'M')
    const seen = line.comes(1, 'D', change)
    if (change.stretch !== undefined) return
    expect(sent(seen, line.link(1))).toMatchObject([{ kind: 'refuse', reason: 'no-room' }])
    expect(line.kit.stages.waiting).toBe(0)
  })

  test('also where it is what is retained that does not fit', () => {
    const line = new Line(9)
    line.comes(0, 'M')
    line.kit.stages.retainBytesMax = line.kit.stages.retainBytes
    expect(sent(line.comes(1, 'D'), line.link(1))).toEqual([])
    expect(line.kit.stages.waiting).toBe(1)
    expect(kinds(line.leaves(0))).toContain('open-engine')
  })

  test('ends with Close, and is over where nobody asks for it', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    line.comes(1, 'D')
    line.comes(2, 'E')
    expect(sent(line.leaves(1), line.link(1))).toMatchObject([{ kind: 'closed', hops: [{ hop: 1, steps: 0 }] }])
    expect(line.place(2)[0]).toBe(1)
    // The one that has room is used.
    line.kit.frame(line.link(0), { kind: 'ask', epoch: 0, round: 1 })
    line.kit.nowMs += sessionUnusedMs - 1
    line.kit.frame(line.link(0), { kind: 'ask', epoch: 0, round: 2 })
    const seen = line.wait(1)
    expect(sent(seen, line.link(2))).toMatchObject([{ kind: 'refuse', reason: 'no-room' }])
    expect(line.kit.stages.waiting).toBe(0)
    line.wait(stageCloseMs)
  })

  test('a peer that is about to go keeps nobody waiting', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    line.comes(1, 'D')
    line.kit.stages.leaving = true
    expect(sent(line.wait(stageTickMs), line.link(1))).toMatchObject([{ kind: 'refuse', reason: 'leaving' }])
    expect(line.kit.stages.waiting).toBe(0)
  })

  test('a newer epoch keeps its place, and one that is led around it for a while', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    line.comes(1, 'D')
    line.comes(2, 'E')
    line.comes(1, 'D', { room: 'wait', epoch: 1 })
    const link = line.link(1, 1)
    expect(sent(line.kit.frame(link, { kind: 'ask', epoch: 1, round: 1 }), link)).toMatchObject([{ place: 1 }])
    line.breaks(1, 1)
    expect(line.place(2)[0]).toBe(2)
    line.comes(1, 'D', { room: 'wait', epoch: 2 })
    expect(line.place(2, 2)[0]).toBe(2)
    line.breaks(1, 2)
    // Room waits for nobody who is not there.
    line.leaves(0)
    expect(line.open).toEqual(new Set([line.seat(2, 'E')]))
    line.comes(3, 'F')
    line.comes(1, 'D', { room: 'wait', epoch: 3 })
    expect(line.place(3)[0]).toBe(2)
  })
})

describe('S30: room goes', () => {
  test('to who waits, and not to who comes', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    line.comes(1, 'D')
    const seen = line.leaves(0)
    expect(line.open).toEqual(new Set([line.seat(1, 'D')]))
    expect(sent(seen, line.link(1))).toEqual([])
    line.comes(2, 'E')
    expect(line.place(2)[0]).toBe(1)
  })

  test('to the driver that has least, then to drivers in turn, and of each to its sessions as they came', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    for (const n of [1, 2, 3]) line.comes(n, 'M')
    for (const n of [4, 5]) line.comes(n, 'D')
    line.comes(6, 'E')
    // M has one: its next one comes as if it were its second.
    expect([4, 6, 1, 5, 2, 3].map(n => line.place(n)[0])).toEqual([1, 2, 3, 4, 5, 6])
    const order: SeatId[] = []
    for (const n of [0, 4, 6, 1, 5, 2, 3]) {
      line.leaves(n)
      order.push(...line.open)
    }
    expect(order.map(seat => seat.slice(8, 9))).toEqual(['D', 'E', 'M', 'D', 'M', 'M'])
  })

  test('to who is refused and comes again, while its place is kept', () => {
    /** D is refused and comes again, so often in all; E waits. */
    const called = (times: number): Line => {
      const line = new Line(1)
      line.comes(0, 'M')
      for (let epoch = 0; epoch < times; epoch++) line.comes(1, 'D', { room: undefined, epoch })
      line.comes(2, 'E')
      return line
    }
    const left = (line: Line): Line => {
      line.leaves(0)
      return line
    }
    const line = called(callerHoldCalls)
    expect(line.place(2)[0]).toBe(2)
    expect(left(line).open.size).toBe(0)
    const again = { room: undefined, epoch: callerHoldCalls }
    expect(sent(line.comes(1, 'D', again), line.link(1, callerHoldCalls))).toEqual([])
    expect(line.open).toEqual(new Set([line.seat(1, 'D')]))

    // It may have found room elsewhere: who is there is not kept waiting for it.
    expect(left(called(callerHoldCalls - 1)).open).toEqual(new Set([line.seat(2, 'E')]))

    const late = left(called(callerHoldCalls))
    late.wait(callerGraceMs - 1)
    expect(late.open.size).toBe(0)
    late.wait(1)
    expect(late.open).toEqual(new Set([late.seat(2, 'E')]))
  })

  test('and no more wait than there is room for in the line', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    for (let n = 1; n <= driverWaitersMax; n++) expect(sent(line.comes(n, 'D'), line.link(n))).toEqual([])
    expect(sent(line.comes(100, 'D'), line.link(100))).toMatchObject([{ reason: 'no-room' }])
    for (const [i, driver] of ['E', 'F', 'G'].entries()) {
      for (let n = 0; n < driverWaitersMax; n++) line.comes(200 + driverWaitersMax * i + n, driver)
    }
    expect(line.kit.stages.waiting).toBe(stageWaitersMax)
    expect(sent(line.comes(500, 'H'), line.link(500))).toMatchObject([{ reason: 'no-room' }])
  })
})

describe('S31: turns', () => {
  test('a session gives way between two steps once it has sampled for a turn, to another driver that waits', () => {
    const line = new Line(1)
    line.comes(0, 'M')
    line.samples(0, 'M', 0)
    line.comes(1, 'D')
    // Its driver asks, or it would give way as one that nobody uses (S27).
    let leftMs = turnMs - 1
    for (let round = 1; leftMs > 2_000; leftMs -= 2_000, round++) {
      line.wait(2_000)
      line.frame(line.link(0), { kind: 'ask', epoch: 0, round })
    }
    line.wait(leftMs)
    expect(line.open).toEqual(new Set([line.seat(0, 'M')]))
    // A step runs: what it gives is handed on first.
    line.frame(line.link(0), step(2, 1, { sample: true }))
    line.wait(1)
    expect(line.open).toEqual(new Set([line.seat(0, 'M')]))
    const seen = line.kit.computed(line.seat(0, 'M'), { hidden: states(2, 1) })
    expect(sent(seen, line.link(0))).toMatchObject([{ kind: 'refuse', reason: 'no-room', hop: 1 }])
    expect(kinds(seen)).toContain('free-engine')
    line.kit.do({ kind: 'freed', seat: line.seat(0, 'M') })
    expect(line.kit.stages).toMatchObject({ sessions: 0, waiting: 1 })
  })

  test.each<[string, Change, string]>([
    ['another of its own driver', wait, 'M'],
    ['one that only asks elsewhere first', { room: 'refuse' }, 'D']
  ])('but not to %s', (_, change, driver) => {
    const line = new Line(1)
    line.comes(0, 'M')
    line.samples(0, 'M', 0)
    line.wait(turnMs)
    line.place(0)
    line.comes(1, driver, change)
    line.wait(stageTickMs)
    expect(line.open).toEqual(new Set([line.seat(0, 'M')]))
  })

  test('nor to one of a driver that has as many', () => {
    const line = new Line(2)
    for (const [n, driver] of ['M', 'D'].entries()) {
      line.comes(n, driver)
      line.samples(n, driver, 0)
    }
    line.wait(turnMs)
    for (const n of [0, 1]) line.place(n)
    line.comes(2, 'D')
    line.wait(stageTickMs)
    expect(line.open).toEqual(new Set([line.seat(0, 'M'), line.seat(1, 'D')]))
    // One of a driver that has none: the longest there goes.
    line.comes(3, 'E')
    line.wait(stageTickMs)
    expect(line.open).toEqual(new Set([line.seat(1, 'D'), line.seat(3, 'E')]))
  })

  test('do not go round in a circle among drivers that have nearly as many', () => {
    const line = new Line(3)
    for (const [n, driver] of ['M', 'M', 'D'].entries()) {
      line.comes(n, driver)
      line.samples(n, driver, 0)
    }
    line.wait(turnMs)
    for (const n of [0, 1, 2]) line.place(n)
    line.comes(3, 'D')
    line.wait(stageTickMs)
    expect(line.open).toEqual(new Set([line.seat(0, 'M'), line.seat(1, 'M'), line.seat(2, 'D')]))
  })

  test('end for nobody where that would make no room: the budget has sunk below what is open', () => {
    const line = new Line(9)
    for (const [n, driver] of ['M', 'D', 'E'].entries()) {
      line.comes(n, driver)
      line.samples(n, driver, 0)
    }
    line.kit.stages.retainBytesMax = line.kit.stages.retainBytes / 3
    line.wait(turnMs)
    for (const n of [0, 1, 2]) line.place(n)
    line.comes(3, 'F')
    line.wait(stageTickMs)
    expect(line.open.size).toBe(3)
    expect(line.kit.stages.waiting).toBe(1)
  })

  test('are as long as what they cost', () => {
    const turn = new Turn()
    const step = (position: number, sample: boolean) => ({ position, tokens: 1000, sample })
    expect(turn.isOver(1e9)).toBe(false)
    turn.begins(0)
    for (let at = 0; at < 30_000; at += 1000) {
      turn.computed(step(at, false), at)
      expect(turn.isOver(at + turnStalledMs - 1)).toBe(false)
      expect(turn.isOver(at + turnStalledMs)).toBe(true)
    }
    turn.computed(step(30_000, true), 30_000)
    turn.computed(step(31_000, true), 31_000)
    expect(turn.isOver(61_999)).toBe(false)
    expect(turn.isOver(62_000)).toBe(true)
    const quick = new Turn()
    quick.begins(0)
    for (const at of [0, 1000]) quick.computed(step(at, true), at / 100)
    expect(quick.isOver(10 + turnMs - 1)).toBe(false)
    expect(quick.isOver(10 + turnMs)).toBe(true)
  })

  test('are not over while a prompt that is computed here is on its way to the tail', () => {
    const turn = new Turn()
    turn.begins(0)
    turn.computed({ position: 0, tokens: 800, sample: true }, 1_000)
    for (let length = 1; length <= 5; length++) turn.heardBelow(2, 128 * length, 15_000 * length)
    expect(turn.isOver(75_000 + turnStalledMs - 1)).toBe(false)
    // The first token has come back, and the answer may go on as long as that took.
    turn.computed({ position: 800, tokens: 1, sample: true }, 80_000)
    expect(turn.isOver(159_999)).toBe(false)
    expect(turn.isOver(160_000)).toBe(true)
  })

  test('end for one that computes the same again and again, or for ever', () => {
    const same = new Turn()
    same.begins(0)
    const again = { position: 0, tokens: 1, sample: false }
    for (let at = 0; at < turnStalledMs; at += 500) same.computed(again, at)
    for (let at = 0; at < turnStalledMs; at += 500) same.heardBelow(1, 1, at)
    expect(same.isOver(turnStalledMs)).toBe(true)
    const endless = new Turn()
    endless.begins(0)
    for (let at = 0; at < turnUnsampledMs; at += 1000) endless.computed({ position: at, tokens: 1, sample: false }, at)
    expect(endless.isOver(turnUnsampledMs - 1)).toBe(false)
    expect(endless.isOver(turnUnsampledMs)).toBe(true)
  })
})
