/** A stage that feeds a stand-in, and a stage that is fed, by hand. */
import { describe, expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import { orphanGraceMs, orphanLeavingMs } from '../../src/stage/limits.ts'
import {
  type Change,
  facts,
  idStep,
  Kit,
  open,
  peer,
  prepare as preparing,
  rowBytes,
  seatOf,
  states,
  step
} from './kit.ts'

const seat = seatOf(0, 2)
const around = [
  { peer: peer('A'), start: 0, end: 2 },
  { peer: peer('X'), start: 2, end: 4 },
  { peer: peer('C'), start: 4, end: 6 }
]
const prepare = preparing(0, 1, 2, { route: around, keep: 10 })

/** A is the head and has computed ten tokens; its stream to B is -1. */
function head(): Kit {
  const kit = new Kit('A')
  kit.do({ kind: 'add', stage: facts(0, 2) })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('D') })
  kit.frame(1, open(0))
  kit.do({ kind: 'opened', seat, length: 0 })
  kit.do({ kind: 'connected', channel: -1 })
  kit.frame(1, idStep(0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
  kit.computed(seat, { hidden: states(0, 10) })
  return kit
}

describe('a stage that feeds a stand-in', () => {
  test('S19: opens a stream to it, sends what it has retained, then what it computes', () => {
    const kit = head()
    expect(kit.frame(1, prepare)).toEqual([{ kind: 'connect', channel: -2, peer: peer('X') }])
    expect(kit.do({ kind: 'connected', channel: -2 })).toEqual([
      { kind: 'send', channel: -2, frame: { kind: 'open', hop: 1, terms: prepare.terms } }
    ])
    expect(kit.frame(-2, { kind: 'ack', epoch: 1, length: 0, steps: 0, tokens: 0 })).toEqual([
      { kind: 'send', channel: -2, frame: step(0, 10, { epoch: 1 }) }
    ])
    // The epoch goes on, and its next hop comes first.
    kit.frame(1, idStep(10, [4]))
    expect(kit.computed(seat, { hidden: states(10, 1) })).toEqual([
      { kind: 'send', channel: -1, frame: step(10) },
      { kind: 'send', channel: -2, frame: step(10, 1, { epoch: 1 }) }
    ])
  })

  test('S20: tells the driver once that the stand-in has caught up', () => {
    const kit = head()
    kit.frame(1, prepare)
    kit.do({ kind: 'connected', channel: -2 })
    const ack = (length: number, steps: number, tokens: number) =>
      kit.frame(-2, { kind: 'ack', epoch: 1, length, steps, tokens })
    ack(0, 0, 0)
    kit.frame(1, idStep(10, [4]))
    kit.computed(seat, { hidden: states(10, 1) })
    expect(ack(10, 1, 10)).toEqual([
      { kind: 'send', channel: 1, frame: { kind: 'prepared', epoch: 0, next: 1, failed: false, message: '' } }
    ])
    expect(ack(11, 2, 11)).toEqual([])
  })

  test('S13, S19: a stand-in that has more than this stage has computed is not sent it again', () => {
    const kit = head()
    kit.frame(1, preparing(0, 1, 2, { route: around, keep: 14 }))
    kit.do({ kind: 'connected', channel: -2 })
    const toStandIn = (from: number, ids: number[]) => {
      kit.frame(1, idStep(from, ids))
      return kit
        .computed(seat, { hidden: states(from, ids.length) })
        .filter(each => 'channel' in each && each.channel === -2)
    }
    // It has been on this session's route before, and this stage, which is new there, still computes the prompt.
    kit.frame(-2, { kind: 'ack', epoch: 1, length: 13, steps: 0, tokens: 0 })
    expect(toStandIn(10, [1, 2])).toEqual([])
    // The step reaches beyond what is there, and only the rest of it is new.
    expect(toStandIn(12, [3, 4, 5])).toEqual([{ kind: 'send', channel: -2, frame: step(13, 2, { epoch: 1 }) }])
    expect(toStandIn(15, [6])).toEqual([{ kind: 'send', channel: -2, frame: step(15, 1, { epoch: 1 }) }])
    // A rollback makes void what the stand-in was fed, too.
    expect(toStandIn(14, [7])).toEqual([{ kind: 'send', channel: -2, frame: step(14, 1, { epoch: 1 }) }])
  })

  test.each([
    [
      'refuses',
      (kit: Kit) => kit.frame(-2, { kind: 'refuse', epoch: 1, hop: 1, reason: 'no-room', length: 0, message: 'full' })
    ],
    ['is lost', (kit: Kit) => kit.do({ kind: 'closed', channel: -2, message: 'full' })]
  ])('S20: tells the driver when the stand-in %s, and the epoch goes on', (_, fail) => {
    const kit = head()
    kit.frame(1, prepare)
    kit.do({ kind: 'connected', channel: -2 })
    expect(fail(kit)).toContainEqual({
      kind: 'send',
      channel: 1,
      frame: { kind: 'prepared', epoch: 0, next: 1, failed: true, message: 'full' }
    })
    kit.frame(1, idStep(10, [4]))
    expect(kit.computed(seat, { hidden: states(10, 1) })).toEqual([{ kind: 'send', channel: -1, frame: step(10) }])
  })

  test('S21: Close travels to the stand-in; a higher epoch only ends the stream to it', () => {
    const closing = head()
    closing.frame(1, prepare)
    closing.do({ kind: 'connected', channel: -2 })
    const ends = closing.frame(1, { kind: 'close', epoch: 0 })
    expect(ends).toContainEqual({ kind: 'send', channel: -2, frame: { kind: 'close', epoch: 1 } })
    expect(ends).toContainEqual({ kind: 'close', channel: -2 })

    const moving = head()
    moving.frame(1, prepare)
    moving.do({ kind: 'connected', channel: -2 })
    moving.do({ kind: 'accepted', channel: 2, remote: peer('D') })
    const takes = moving.frame(2, open(0, { epoch: 2, route: around, keep: 10 }))
    expect(takes).toContainEqual({ kind: 'close', channel: -2 })
    expect(takes).not.toContainEqual({ kind: 'send', channel: -2, frame: { kind: 'close', epoch: 1 } })
    expect(takes).toContainEqual({ kind: 'connect', channel: -3, peer: peer('X') })
  })

  test.each([
    [
      'another stage',
      {
        route: [
          { peer: peer('A'), start: 0, end: 3 },
          { peer: peer('X'), start: 3, end: 6 }
        ]
      }
    ],
    ['another peer', { route: [{ peer: peer('Z'), start: 0, end: 2 }, ...around.slice(1)] }],
    ['another model', { route: around.slice(0, 2) }]
  ] as [string, Change][])('S19: a route that goes on from %s is a violation', (_, change) => {
    const to = Math.min(2, change.route?.length ?? 2)
    expect(head().frame(1, preparing(0, 1, to, { route: around, keep: 10, ...change }))).toContainEqual(
      expect.objectContaining({ kind: 'violation', channel: 1, violation: 'invalid' })
    )
  })

  /** What a hop does when the stream to the hop before it ends. */
  const letsGo = { kind: 'close', channel: -1 }

  test.each<[string, Change, string]>([
    ['signed by somebody else', { signer: peer('X') }, 'impostor'],
    ['of another session', { session: '1e'.repeat(16) as SessionId }, 'invalid'],
    ['of another driver', { driver: peer('X') }, 'invalid'],
    ['that want another tokensMax', { tokensMax: 401 }, 'invalid']
  ])('S19, S25: terms %s make no hop feed anybody', (_, change, violation) => {
    const seen = head().frame(1, preparing(0, 1, 2, { route: around, keep: 10, ...change }))
    expect(seen).toEqual([expect.objectContaining({ kind: 'violation', channel: 1, violation }), letsGo])
  })

  test('S25: nor are they passed on to the hop that they are for', () => {
    const route = [...open(0).terms.route.slice(0, 2), { peer: peer('X'), start: 4, end: 6 }]
    const seen = head().frame(1, preparing(1, 2, 3, { route, signer: peer('X') }))
    expect(seen).toEqual([expect.objectContaining({ kind: 'violation', channel: 1, violation: 'impostor' }), letsGo])
  })

  test('S25: terms make a hop feed once', () => {
    const kit = head()
    kit.frame(1, prepare)
    kit.do({ kind: 'closed', channel: -2, message: 'gone' })
    expect(kit.frame(1, prepare)).toEqual([])
    const next = preparing(0, 1, 2, { route: around, keep: 10, epoch: 2 })
    expect(kit.frame(1, next)).toEqual([{ kind: 'connect', channel: -3, peer: peer('X') }])
  })

  test('S19: Prepare for a hop further down is passed on, and its answer back', () => {
    const kit = head()
    const further = preparing(1, 2, 3, {
      route: [...open(0).terms.route.slice(0, 2), { peer: peer('X'), start: 4, end: 6 }]
    })
    expect(kit.frame(1, further)).toEqual([{ kind: 'send', channel: -1, frame: further }])
    const answer = { kind: 'prepared', epoch: 0, next: 1, failed: false, message: '' } as const
    expect(kit.frame(-1, answer)).toEqual([{ kind: 'send', channel: 1, frame: answer }])
    expect(kit.frame(1, { ...further, hop: 7 })).toContainEqual(expect.objectContaining({ kind: 'violation' }))
  })
})

describe('a stage that is fed', () => {
  const fed = seatOf(2, 4)

  function standIn(): Kit {
    const kit = new Kit('X')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    const opened = kit.frame(1, open(1, { epoch: 1, route: around, keep: 3, stretch: { from: 1, to: 2 } }))
    expect(opened.map(({ kind }) => kind)).toEqual(['open-engine'])
    expect(kit.do({ kind: 'opened', seat: fed, length: 0 })).toEqual([
      { kind: 'send', channel: 1, frame: { kind: 'ack', epoch: 1, length: 0, steps: 0, tokens: 0 } }
    ])
    return kit
  }

  test('S20: computes, acknowledges each step and sends nothing on, however many steps there are', () => {
    const kit = standIn()
    for (let position = 0; position < 20; position++) {
      expect(kit.frame(1, step(position, 1, { epoch: 1 })).map(({ kind }) => kind)).toEqual(['compute'])
      expect(kit.computed(fed, { hidden: states(position, 1) })).toEqual([
        {
          kind: 'send',
          channel: 1,
          frame: { kind: 'ack', epoch: 1, length: position + 1, steps: position + 1, tokens: position + 1 }
        }
      ])
    }
  })

  test('S21: its own epoch finds the cache and what it retained', () => {
    const kit = standIn()
    kit.frame(1, step(0, 3, { epoch: 1 }))
    kit.computed(fed, { hidden: states(0, 3) })
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    const taken = kit.frame(2, open(1, { epoch: 2, route: around, keep: 3 }))
    expect(taken).toContainEqual({ kind: 'close', channel: 1 })
    expect(taken).toContainEqual({
      kind: 'send',
      channel: 2,
      frame: { kind: 'ack', epoch: 2, length: 3, steps: 0, tokens: 0 }
    })
    kit.do({ kind: 'connected', channel: -1 })
    // The next hop has lost all: it gets what was computed while nobody listened.
    expect(kit.frame(-1, { kind: 'ack', epoch: 2, length: 0, steps: 0, tokens: 0 })).toEqual([
      { kind: 'send', channel: -1, frame: step(0, 3, { epoch: 2 }) }
    ])
    expect(states(0, 3).length).toBe(3 * rowBytes)
  })

  test('S15: without its feeder it waits for the grace time; at a leaving peer not for long', () => {
    for (const leaving of [false, true]) {
      const kit = standIn()
      kit.stages.leaving = leaving
      kit.do({ kind: 'closed', channel: 1, message: 'gone' })
      const graceMs = leaving ? orphanLeavingMs : orphanGraceMs
      expect(kit.wait(graceMs - 1)).toEqual([])
      expect(kit.wait(1)).toEqual([{ kind: 'free-engine', seat: fed }])
    }
  })
})
