/** The stage decider by table. Rule numbers are those of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import {
  orphanGraceMs,
  orphanYieldMs,
  seatYieldMs,
  sessionIdleMs,
  sessionUnusedMs,
  stageCloseMs,
  stageFrameBytesMax,
  stageOpenMs,
  stageSessionsMax,
  stepBytesMax
} from '../../src/stage/limits.ts'
import { signerOf } from '../../sim/cast.ts'
import { inDomain } from '../../src/base/signature.ts'
import { encodeFrame } from '../../src/stage/codec.ts'
import type { Frame, OpenFrame } from '../../src/stage/frame.ts'
import type { SignedTerms } from '../../src/stage/terms.ts'
import {
  type Change,
  facts,
  idStep,
  Kit,
  model,
  open,
  peer,
  rowBytes,
  type Seen,
  seatOf,
  session,
  states,
  step,
  terms
} from './kit.ts'

const seat = seatOf(2, 4)
const tailSeat = seatOf(4, 6)

/** Peer B, hop 1, with its engine open and its next stream connected (link -1). */
function middle(change: Change = {}, nextLength?: number): Kit {
  const kit = new Kit('B')
  kit.do({ kind: 'add', stage: facts(2, 4) })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
  kit.frame(1, open(1, change))
  kit.do({ kind: 'opened', seat, length: 0 })
  kit.do({ kind: 'connected', channel: -1 })
  if (nextLength !== undefined)
    kit.frame(-1, { kind: 'ack', epoch: change.epoch ?? 0, length: nextLength, steps: 0, tokens: 0 })
  return kit
}

/** Feeds and computes tokens [from, to) one step a block. */
function feed(kit: Kit, from: number, to: number, epoch = 0, link = 1): Seen[] {
  const seen: Seen[] = []
  for (let at = from; at < to; ) {
    const end = Math.min(to, (Math.floor(at / 128) + 1) * 128)
    seen.push(...kit.frame(link, step(at, end - at, { epoch })))
    seen.push(...kit.computed(seat, { hidden: states(at, end - at) }))
    at = end
  }
  return seen
}

function sent(seen: Seen[], channel: number): Frame[] {
  return seen.flatMap(effect => (effect.kind === 'send' && effect.channel === channel ? [effect.frame] : []))
}

/** `[position, position + tokens)` of the steps among frames. */
function spans(frames: Frame[]): [number, number][] {
  return frames.flatMap(f => (f.kind === 'step' ? [[f.position, f.position + f.tokens] as [number, number]] : []))
}

function violations(seen: Seen[]): string[] {
  return seen.flatMap(effect => (effect.kind === 'violation' ? [`${effect.channel} ${effect.violation}`] : []))
}

describe('opening', () => {
  test('S4, S29: the next stream opens when the cache is there; steps that came before run then', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    expect(kit.frame(1, open(1)).map(e => e.kind)).toEqual(['open-engine'])
    expect(kit.frame(1, step(0, 3))).toEqual([])
    expect(kit.do({ kind: 'opened', seat, length: 0 })).toMatchObject([
      { kind: 'connect', channel: -1, peer: peer('C') },
      { kind: 'compute', step: { position: 0, tokens: 3 } }
    ])
    expect(kit.computed(seat, { hidden: states(0, 3) })).toEqual([])
    const frames = sent(kit.do({ kind: 'connected', channel: -1 }), -1)
    expect(frames).toMatchObject([
      { kind: 'open', hop: 2 },
      { kind: 'step', position: 0, tokens: 3 }
    ])
  })

  test('S9: the tail opens the driver, samples where it is asked to, and sends the token there', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2))
    expect(kit.do({ kind: 'opened', seat: tailSeat, length: 0 })).toEqual([
      { kind: 'connect', channel: -1, peer: peer('D') }
    ])
    expect(sent(kit.do({ kind: 'connected', channel: -1 }), -1)).toMatchObject([{ kind: 'open', hop: 3 }])
    expect(kit.frame(1, step(0, 2))).toMatchObject([{ kind: 'compute', step: { sample: false } }])
    expect(kit.computed(tailSeat)).toEqual([])
    expect(kit.frame(1, step(2, 1, { sample: true }))).toMatchObject([{ kind: 'compute', step: { sample: true } }])
    expect(sent(kit.computed(tailSeat, { tokens: [42] }), -1)).toEqual([
      { kind: 'token', epoch: 0, position: 3, ids: [42] }
    ])
  })

  test.each<[string, Change, string, string]>([
    ['another peer than the one before this hop', {}, 'X', 'impostor'],
    ['a route that ends before the model does', { route: open(0).terms.route.slice(0, 2) }, 'A', 'invalid'],
    ['more tokens than the context holds', { tokensMax: 513 }, 'A', 'invalid']
  ])('S2: aborts an Open with %s', (_, change, remote, violation) => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer(remote) })
    expect(violations(kit.frame(1, open(1, change)))).toEqual([`1 ${violation}`])
    expect(kit.stages.busy).toBe(false)
  })

  test.each<[string, Change]>([
    ['another model', { model: 'ef'.repeat(32) as typeof model }],
    [
      'other layers',
      {
        route: [
          { peer: peer('A'), start: 0, end: 2 },
          { peer: peer('B'), start: 2, end: 6 }
        ]
      }
    ]
  ])('S3: refuses %s with NOT_SERVING and closes', (_, change) => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    const seen = kit.frame(1, open(1, change))
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'not-serving', hop: 1 }])
    expect(seen.at(-1)).toEqual({ kind: 'close', channel: 1 })
    expect(kit.stages.busy).toBe(false)
  })

  test('S26: terms that need what this peer does not know are refused before anything is given', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    const seen = kit.frame(1, open(1, { needs: ['wings', 'ids'] }))
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'unsupported', hop: 1, length: 0 }])
    expect(seen.map(({ kind }) => kind)).toEqual(['send', 'close'])
    expect(kit.stages.sessions).toBe(0)
  })

  test('S26: a hop passes on what it does not know, and the signature holds', () => {
    const kit = middle()
    kit.do({ kind: 'accepted', channel: 9, remote: peer('A') })
    const unknownField = Uint8Array.of(0x9a, 0x06, 2, 7, 7)
    const plain = terms({ epoch: 1 })
    const payload = Uint8Array.from([...plain.payload, ...unknownField])
    const later = { ...plain, payload, signature: signerOf(peer('D'))(inDomain('skein-terms:', payload)) }
    const seen = kit.frame(9, { kind: 'open', hop: 1, terms: later as SignedTerms })
    const connect = seen.find(effect => effect.kind === 'connect')!
    const forwarded = sent(kit.do({ kind: 'connected', channel: connect.channel }), connect.channel)
    expect(forwarded).toMatchObject([{ kind: 'open', hop: 2 }])
    expect([...(forwarded[0] as OpenFrame).terms.payload.slice(-5)]).toEqual([...unknownField])
  })

  test('S3: refuses with NO_ROOM what it could not retain, and takes it when there is room again', () => {
    const kit = new Kit('B', { retainBytesMax: 400 * rowBytes })
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    kit.frame(1, open(1))
    expect(kit.stages.retainBytes).toBe(400 * rowBytes)
    const other = { session: '1e'.repeat(16) as typeof session, tokensMax: 1 }
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    expect(sent(kit.frame(3, open(1, other)), 3)).toMatchObject([{ reason: 'no-room' }])
    kit.do({ kind: 'opened', seat, length: 0 })
    kit.frame(1, { kind: 'close', epoch: 0 })
    kit.do({ kind: 'freed', seat })
    kit.do({ kind: 'accepted', channel: 5, remote: peer('A') })
    expect(sent(kit.frame(5, open(1, { ...other, epoch: 1 })), 5)).toEqual([])
  })

  test('S3: an engine without room is a refusal that leaves nothing behind', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    kit.frame(1, open(1))
    const seen = kit.do({ kind: 'open-failed', seat, noRoom: true, message: 'full' })
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'no-room', message: 'full' }])
    expect(seen).toContainEqual({ kind: 'close', channel: 1 })
    expect(kit.stages.busy).toBe(false)
    expect(kit.stages.retainBytes).toBe(0)
  })
})

describe('S28: a stream that is one too many', () => {
  test('is refused for want of room, which is no violation', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A'), isFull: true })
    const seen = kit.frame(1, open(1))
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', hop: 1, reason: 'no-room' }])
    expect(seen.map(({ kind }) => kind)).toEqual(['send', 'close'])
    expect(kit.stages.busy).toBe(false)
  })

  test('is taken all the same from the tail that the driver waits for: it has asked for it itself', () => {
    const kit = new Kit('D')
    kit.do({ kind: 'drive', session })
    kit.do({ kind: 'admit', session, epoch: 0, tail: peer('C') })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('C'), isFull: true })
    expect(kit.frame(1, open(3))).toEqual([])
    expect(kit.frame(1, { kind: 'token', epoch: 0, position: 5, ids: [9] })).toMatchObject([{ kind: 'deliver' }])
  })
})

describe('steps', () => {
  test("S6: a step beyond the cache is refused with GAP and the cache's length", () => {
    const kit = middle()
    feed(kit, 0, 10)
    expect(sent(kit.frame(1, step(11)), 1)).toMatchObject([{ kind: 'refuse', reason: 'gap', hop: 1, length: 10 }])
  })

  test('S6, S13: a rollback runs, and everything from its position on is sent', () => {
    const kit = middle()
    feed(kit, 0, 10)
    expect(spans(sent(feed(kit, 6, 8), -1))).toEqual([[6, 8]])
    expect(sent(kit.frame(1, step(9)), 1)).toMatchObject([{ reason: 'gap', length: 8 }])
  })

  test('S6: of a cache that is cut below what has been given back nothing is left', () => {
    const kit = middle()
    const compute = (position: number, floor: number): void => {
      kit.frame(1, step(position, 100))
      kit.computed(seat, { hidden: states(position, 100), floor })
    }
    compute(0, 0)
    compute(100, 0)
    compute(200, 44)
    // As far back as is promised, and to the beginning, it goes on.
    expect(kit.frame(1, step(44))).toMatchObject([{ kind: 'compute', step: { position: 44 } }])
    kit.computed(seat, { hidden: states(44, 1), floor: 44 })
    expect(sent(kit.frame(1, step(43)), 1)).toMatchObject([{ kind: 'refuse', reason: 'gap', hop: 1, length: 0 }])
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    expect(sent(kit.frame(3, open(1, { epoch: 1, keep: 45 })), 3)).toMatchObject([{ kind: 'ack', length: 0 }])
    expect(kit.frame(3, step(0, 50, { epoch: 1 }))).toMatchObject([{ kind: 'compute', step: { position: 0 } }])
  })

  test('S6, S11: what an epoch keeps is nothing where the cache cannot be cut to that', () => {
    for (const [keep, length] of [
      [100, 100],
      [99, 0]
    ] as const) {
      const kit = middle()
      kit.frame(1, step(0, 128))
      kit.computed(seat, { hidden: states(0, 128), floor: 100 })
      kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
      expect(sent(kit.frame(3, open(1, { epoch: 1, keep })), 3)).toMatchObject([{ kind: 'ack', length }])
    }
  })

  test.each(['engine', 'invalid'] as const)(
    'S6, S11: it is so after a step that failed (%s), of which a part was computed',
    reason => {
      for (const [keep, length] of [
        [100, 100],
        [99, 0]
      ] as const) {
        const kit = middle()
        kit.frame(1, step(0, 128))
        kit.computed(seat, { hidden: states(0, 128), floor: 0 })
        kit.frame(1, step(128, 100))
        kit.do({ kind: 'compute-failed', seat, reason, length: 128, floor: 100, message: 'it broke' })
        kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
        expect(sent(kit.frame(3, open(1, { epoch: 1, keep })), 3)).toMatchObject([{ kind: 'ack', length }])
      }
    }
  )

  test('S7: one step at a time, in order', () => {
    const kit = middle()
    expect(kit.frame(1, step(0))).toMatchObject([{ kind: 'compute', step: { position: 0 } }])
    expect(kit.frame(1, step(1))).toEqual([])
    expect(kit.frame(1, step(2))).toEqual([])
    expect(kit.stages.queuedSteps).toBe(2)
    // With the one that is computed; at another stage there are none.
    expect(kit.stages.stepsOf(model, { start: 2, end: 4 })).toBe(3)
    expect(kit.stages.stepsOf(model, { start: 0, end: 2 })).toBe(0)
    expect(kit.computed(seat, { hidden: states(0, 1) })).toMatchObject([
      { kind: 'send', channel: -1 },
      { kind: 'compute', step: { position: 1 } }
    ])
  })

  test.each(['engine', 'invalid', 'gap'] as const)(
    'S7: a failed step is refused (%s); the cache stays for a newer epoch',
    reason => {
      const kit = middle()
      feed(kit, 0, 5)
      kit.frame(1, step(5))
      const seen = kit.do({ kind: 'compute-failed', seat, reason, length: 5, message: 'it broke' })
      expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason, hop: 1, length: 5, message: 'it broke' }])
      expect(kit.frame(1, step(6))).toEqual([])
      kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
      expect(sent(kit.frame(3, open(1, { epoch: 1, keep: 5 })), 3)).toMatchObject([{ kind: 'ack', length: 5 }])
    }
  )

  test('S5: acks come every half window, not every step', () => {
    const kit = middle()
    const acks: Frame[] = []
    for (let at = 0; at < 64; at++) {
      kit.frame(1, step(at))
      acks.push(...sent(kit.computed(seat, { hidden: states(at, 1) }), 1))
      // The next hop acknowledges at once.
      kit.frame(-1, { kind: 'ack', epoch: 0, length: at + 1, steps: at + 1, tokens: at + 1 })
    }
    expect(acks.map(a => (a.kind === 'ack' ? a.steps : 'x'))).toEqual([8, 16, 24, 32, 40, 48, 56, 64])
  })

  test('S5: without acks from the next hop sending stops at the window, computing soon after, and both go on with one', () => {
    const kit = middle()
    const down: Frame[] = []
    let computing = 0
    for (let at = 0; at < 36; at++) {
      const seen = kit.frame(1, step(at))
      // The previous hop must not exceed its credit either: it hears acks after 8, 16, … computed steps.
      if (!seen.some(e => e.kind === 'compute')) break
      computing++
      down.push(...sent(kit.computed(seat, { hidden: states(at, 1) }), -1))
    }
    expect(spans(down).length).toBe(16)
    expect(computing).toBe(20)
    const seen = kit.frame(-1, { kind: 'ack', epoch: 0, length: 8, steps: 8, tokens: 8 })
    expect(spans(sent(seen, -1)).length).toBe(4)
    expect(seen.filter(e => e.kind === 'compute').length).toBe(1)
  })

  test('S5: more steps than the credit allows abort the stream', () => {
    const kit = middle()
    const seen: Seen[] = []
    for (let at = 0; at < 17; at++) seen.push(...kit.frame(1, step(at)))
    expect(violations(seen)).toEqual(['1 credit'])
  })

  test.each<[string, Frame]>([
    ['ids where hidden states belong', idStep(0, [1, 2])],
    ['too few bytes', step(0, 3, { input: { kind: 'hidden', bytes: states(0, 2) } })],
    ['too many bytes', step(0, 3, { input: { kind: 'hidden', bytes: states(0, 4) } })],
    ['an end beyond tokensMax', step(399, 2)],
    ['another epoch', step(0, 1, { epoch: 1 })]
  ])('S8: %s', (_, frame) => {
    const kit = middle()
    expect(violations(kit.frame(1, frame))).toEqual(['1 invalid'])
  })

  test('S8: the head takes ids of the vocabulary and nothing else', () => {
    const head = (): Kit => {
      const kit = new Kit('A')
      kit.do({ kind: 'add', stage: facts(0, 2) })
      kit.do({ kind: 'accepted', channel: 1, remote: peer('D') })
      kit.frame(1, open(0))
      kit.do({ kind: 'opened', seat: seatOf(0, 2), length: 0 })
      return kit
    }
    expect(head().frame(1, idStep(0, [0, 99]))).toMatchObject([{ kind: 'compute' }])
    expect(violations(head().frame(1, idStep(0, [0, 100])))).toEqual(['1 invalid'])
    expect(violations(head().frame(1, step(0)))).toEqual(['1 invalid'])
  })
})

describe('S18: frames that have no place', () => {
  const frames: Frame[] = [
    open(1),
    step(0),
    { kind: 'token', epoch: 0, position: 1, ids: [1] },
    { kind: 'ack', epoch: 0, length: 1, steps: 1, tokens: 1 },
    { kind: 'refuse', epoch: 0, hop: 1, reason: 'engine', length: 0, message: '' },
    { kind: 'close', epoch: 0 },
    { kind: 'closed', hops: [] }
  ]
  test.each(frames.filter(f => f.kind !== 'open'))('S1: $kind as the first frame', frame => {
    const kit = new Kit('B')
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    expect(violations(kit.frame(1, frame))).toEqual(['1 unexpected'])
    expect(kit.stages.busy).toBe(false)
  })
  test.each(frames.filter(f => f.kind !== 'step' && f.kind !== 'close'))('$kind on the way down', frame => {
    expect(violations(middle().frame(1, frame))).toEqual(['1 unexpected'])
  })
  test.each(frames)('$kind on the way up', frame => {
    // An ack of steps that were not sent and a refusal by a hop before it are wrong, too.
    const seen = middle().frame(-1, frame)
    expect(violations(seen).length).toBe(1)
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'next-lost', hop: 1 }])
  })
  test('garbage ends one stream and no other', () => {
    const kit = middle()
    kit.do({ kind: 'accepted', channel: 3, remote: peer('X') })
    expect(violations(kit.do({ kind: 'malformed', channel: 3, message: 'garbage' }))).toEqual(['3 malformed'])
    expect(kit.frame(3, open(1))).toEqual([])
    expect(kit.frame(1, step(0))).toMatchObject([{ kind: 'compute' }])
  })
  test('S1: a stream that says nothing is ended', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    expect(kit.wait(stageOpenMs - 1)).toEqual([])
    expect(violations(kit.wait(1))).toEqual(['1 silent'])
  })
})

describe('a newer epoch', () => {
  const next = { epoch: 1, keep: 200 }

  test('S10, S11: takes over, keeps the cache, says its length first', () => {
    const kit = middle()
    feed(kit, 0, 200)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    const seen = kit.frame(3, open(1, { ...next, keep: 150 }))
    expect(seen.filter(e => e.kind === 'close')).toEqual([
      { kind: 'close', channel: 1 },
      { kind: 'close', channel: -1 }
    ])
    expect(seen.some(e => e.kind === 'open-engine')).toBe(false)
    expect(sent(seen, 3)).toEqual([{ kind: 'ack', epoch: 1, length: 150, steps: 0, tokens: 0 }])
    expect(kit.frame(1, step(200))).toEqual([])
    expect(kit.do({ kind: 'closed', channel: 1, message: '' })).toEqual([])
    expect(kit.frame(3, step(150, 1, { epoch: 1 }))).toMatchObject([{ kind: 'compute', step: { position: 150 } }])
  })

  test('S10: a step of the older epoch that still runs is waited for, and its cache is as good', () => {
    const kit = middle()
    feed(kit, 0, 100)
    kit.frame(1, step(100, 20))
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    expect(sent(kit.frame(3, open(1, { epoch: 1, keep: 110 })), 3)).toEqual([])
    const seen = kit.computed(seat, { hidden: states(100, 20) })
    expect(sent(seen, 3)).toMatchObject([{ kind: 'ack', length: 110 }])
  })

  test('S11: keep holds although its epoch was refused while that step still ran', () => {
    const kit = middle()
    feed(kit, 0, 100)
    kit.frame(1, step(100, 20))
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    kit.frame(3, open(1, { epoch: 1, keep: 110 }))
    kit.do({ kind: 'closed', channel: -2, message: 'reset' })
    kit.computed(seat, { hidden: states(100, 20) })
    kit.do({ kind: 'accepted', channel: 5, remote: peer('A') })
    const seen = kit.frame(5, open(1, { epoch: 2, keep: 115 }))
    expect(sent(seen, 5)).toMatchObject([{ kind: 'ack', length: 110 }])
  })

  test('S11: a step that fails leaves what is valid, though the engine still holds more', () => {
    const kit = middle()
    feed(kit, 0, 100)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    kit.frame(3, open(1, { epoch: 1, keep: 60 }))
    kit.frame(3, step(60, 1, { epoch: 1 }))
    const seen = kit.do({ kind: 'compute-failed', seat, reason: 'engine', length: 100, message: 'it broke' })
    expect(sent(seen, 3)).toMatchObject([{ kind: 'refuse', reason: 'engine', length: 60 }])
  })

  test.each([0, 1])('S10: epoch %i after epoch 1 is refused as stale, and the session goes on', epoch => {
    const kit = middle({ epoch: 1 })
    feed(kit, 0, 5, 1)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    const seen = kit.frame(3, open(1, { epoch }))
    expect(sent(seen, 3)).toMatchObject([{ kind: 'refuse', reason: 'stale-epoch', length: 5 }])
    expect(kit.frame(1, step(5, 1, { epoch: 1 }))).toMatchObject([{ kind: 'compute' }])
  })

  test.each<[string, Change]>([
    ['tokensMax', { tokensMax: 401 }],
    ['sampling', { sampling: { temperature: 1, topP: 1, topK: 0, seed: 1 } }]
  ])('S10: another %s is refused, and the session goes on', (_, change) => {
    const kit = middle()
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    const seen = kit.frame(3, open(1, { epoch: 1, ...change }))
    expect(sent(seen, 3)).toMatchObject([{ kind: 'refuse', reason: 'invalid' }])
    // Its driver signed it: who passed it on has done nothing wrong.
    expect(violations(seen)).toEqual([])
    expect(kit.frame(1, step(0))).toMatchObject([{ kind: 'compute' }])
  })

  function reopened(nextLength: number | undefined): [Kit, Seen[]] {
    const kit = middle()
    feed(kit, 0, 200)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    kit.frame(3, open(1, next))
    const seen = kit.do({ kind: 'connected', channel: -2 })
    if (nextLength !== undefined) {
      seen.push(...kit.frame(-2, { kind: 'ack', epoch: 1, length: nextLength, steps: 0, tokens: 0 }))
    }
    return [kit, seen]
  }

  test.each<[number, [number, number][]]>([
    [
      0,
      [
        [0, 128],
        [128, 200]
      ]
    ],
    [
      100,
      [
        [100, 128],
        [128, 200]
      ]
    ],
    [200, []]
  ])('S12: a next hop that has %i of 200 gets the rest from what was retained', (length, replayed) => {
    const [kit, seen] = reopened(length)
    const frames = sent(seen, -2)
    expect(spans(frames)).toEqual(replayed)
    for (const frame of frames) {
      if (frame.kind !== 'step' || frame.input.kind !== 'hidden') continue
      expect(frame.sample).toBe(false)
      expect(new Uint8Array(frame.input.bytes)).toEqual(states(frame.position, frame.tokens))
    }
    const after = feed(kit, 200, 201, 1, 3)
    expect(spans(sent(after, -2))).toEqual([[200, 201]])
  })

  test('S11: nothing is sent before the next hop has said what it has', () => {
    const [kit, seen] = reopened(undefined)
    seen.push(...feed(kit, 200, 201, 1, 3))
    expect(spans(sent(seen, -2))).toEqual([])
    const late = kit.frame(-2, { kind: 'ack', epoch: 1, length: 199, steps: 0, tokens: 0 })
    expect(spans(sent(late, -2))).toEqual([
      [199, 200],
      [200, 201]
    ])
  })

  test('S11: a length beyond keep is a violation', () => {
    const [kit] = reopened(undefined)
    expect(violations(kit.frame(-2, { kind: 'ack', epoch: 1, length: 201, steps: 0, tokens: 0 }))).toEqual([
      '-2 invalid'
    ])
  })

  test('S13: a stand-in computes what it is sent and passes on only what the next hop lacks', () => {
    const kit = middle({ epoch: 3, keep: 150 }, 140)
    const seen = feed(kit, 0, 160, 3)
    expect(spans(sent(seen, -1))).toEqual([[140, 160]])
    const frame = sent(seen, -1)[0]!
    expect(frame.kind === 'step' && frame.input.kind === 'hidden' && new Uint8Array(frame.input.bytes)).toEqual(
      states(140, 20)
    )
  })

  test('S13: a rollback ends the skipping: from its position on everything is sent', () => {
    const kit = middle({ epoch: 3, keep: 150 }, 140)
    const seen = feed(kit, 0, 128, 3)
    seen.push(...feed(kit, 100, 128, 3), ...feed(kit, 128, 150, 3))
    expect(spans(sent(seen, -1))).toEqual([
      [100, 128],
      [128, 150]
    ])
  })

  test('S12, S13: what is computed again is not replayed as well', () => {
    const kit = middle()
    feed(kit, 0, 200)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    kit.frame(3, open(1, next))
    kit.do({ kind: 'connected', channel: -2 })
    // The previous hop starts below this cache's end before the next hop has spoken.
    const seen = feed(kit, 120, 200, 1, 3)
    seen.push(...kit.frame(-2, { kind: 'ack', epoch: 1, length: 50, steps: 0, tokens: 0 }))
    expect(spans(sent(seen, -2))).toEqual([
      [50, 120],
      [120, 128],
      [128, 200]
    ])
  })
})

describe('S25: nobody but the driver has a seat taken', () => {
  /** X was on the route once and knows the session; it names itself as the hop before B. */
  const stolen = (change: Change = {}) => {
    const [, here, tail] = open(1).terms.route
    return open(1, { route: [{ peer: peer('X'), start: 0, end: 2 }, here!, tail!], ...change })
  }

  test.each<[string, Change]>([
    ['signed by who opens it', { epoch: 2 ** 32 - 1, signer: peer('X') }],
    ['signed by who opens it, of an epoch that is next', { epoch: 1, signer: peer('X') }]
  ])('terms that are %s are a violation, and the session goes on', (_, change) => {
    const kit = middle()
    feed(kit, 0, 5)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('X') })
    const seen = kit.frame(3, stolen(change))
    expect(violations(seen)).toEqual(['3 impostor'])
    expect(seen.map(({ kind }) => kind)).toEqual(['violation'])
    expect(kit.frame(1, step(5))).toMatchObject([{ kind: 'compute' }])
  })

  test.each<[string, Change]>([
    ['epoch', { epoch: 9 }],
    ['route', { route: stolen().terms.route }],
    ['keep', { keep: 7 }],
    ['tokensMax', { tokensMax: 399 }],
    ['sampling', { sampling: { temperature: 0, topP: 1, topK: 0, seed: 2 } }],
    ['stretch', { stretch: { from: 0, to: 2 } }],
    ['model', { model: 'ef'.repeat(32) as typeof model }],
    ['session', { session: '1e'.repeat(16) as SessionId }]
  ])('another %s under a signature of the driver is none', (_, change) => {
    const { signature } = open(1, { epoch: 1 }).terms
    const forged = open(1, { epoch: 1, ...change })
    const kit = middle()
    const remote = forged.terms.route[0]!.peer
    kit.do({ kind: 'accepted', channel: 3, remote })
    expect(violations(kit.frame(3, { ...forged, terms: { ...forged.terms, signature } }))).toEqual(['3 impostor'])
  })

  test('a signature under the bytes alone, without their domain, is none', () => {
    const kit = middle()
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    const { terms } = open(1, { epoch: 1 })
    const signature = signerOf(peer('D'))(terms.payload) as typeof terms.signature
    expect(violations(kit.frame(3, { kind: 'open', hop: 1, terms: { ...terms, signature } }))).toEqual(['3 impostor'])
  })

  test('S35: another driver that has chosen the same id has another session, whose cache shares nothing', () => {
    const kit = middle()
    feed(kit, 0, 5)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('X') })
    const [opened] = kit.frame(3, stolen({ driver: peer('X'), epoch: 7 }))
    const owner = peer('X')
    expect(opened).toMatchObject({ kind: 'open-engine', seat: `${owner}/${session}/2-4`, session, owner })
    const [first] = middle().frame(1, step(0))
    expect(opened?.kind === 'open-engine' && opened.cache).not.toBe(first?.kind === 'compute' && first.step.session)
    expect(kit.stages.sessions).toBe(2)
    expect(kit.frame(1, step(5))).toMatchObject([{ kind: 'compute', seat }])
  })

  test('terms open a seat once, even when it is gone', () => {
    const kit = middle({ epoch: 3 })
    kit.frame(1, { kind: 'close', epoch: 3 })
    kit.frame(-1, { kind: 'closed', hops: [] })
    kit.do({ kind: 'freed', seat })
    expect(kit.stages.sessions).toBe(0)
    for (const epoch of [3, 2]) {
      kit.do({ kind: 'accepted', channel: 3 + epoch, remote: peer('A') })
      expect(sent(kit.frame(3 + epoch, open(1, { epoch })), 3 + epoch)).toMatchObject([{ reason: 'stale-epoch' }])
    }
    expect(kit.stages.sessions).toBe(0)
    kit.do({ kind: 'accepted', channel: 9, remote: peer('A') })
    expect(kit.frame(9, open(1, { epoch: 4 })).map(({ kind }) => kind)).toContain('open-engine')
  })

  test('hops pass on what the driver signed, fields that they do not know included', () => {
    const { terms } = open(1)
    // Field 99, a varint of 7: of a later revision.
    const payload = Uint8Array.from([...terms.payload, 0x98, 0x06, 7])
    const signature = signerOf(peer('D'))(inDomain('skein-terms:', payload)) as typeof terms.signature
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    kit.frame(1, { kind: 'open', hop: 1, terms: { ...terms, payload, signature } })
    kit.do({ kind: 'opened', seat, length: 0 })
    const [next] = sent(kit.do({ kind: 'connected', channel: -1 }), -1)
    expect(next).toMatchObject({ kind: 'open', hop: 2, terms: { payload, signature } })
  })
})

describe('losing and closing', () => {
  test('S14: a lost next hop is refused upstream, once, and the cache stays', () => {
    const kit = middle()
    feed(kit, 0, 5)
    const seen = kit.do({ kind: 'closed', channel: -1, message: 'reset' })
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'next-lost', hop: 1, length: 5 }])
    expect(kit.stages.sessions).toBe(1)
    kit.frame(1, step(5))
    expect(kit.wait(1000)).toEqual([])
  })

  test('S14: so is one that cannot be reached', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    kit.frame(1, open(1))
    kit.do({ kind: 'opened', seat, length: 0 })
    expect(sent(kit.do({ kind: 'closed', channel: -1, message: 'refused' }), 1)).toMatchObject([
      { reason: 'next-lost' }
    ])
  })

  test('S14: a refusal from further down travels on as it is', () => {
    const kit = middle()
    const refuse: Frame = { kind: 'refuse', epoch: 0, hop: 2, reason: 'engine', length: 7, message: 'broken' }
    expect(sent(kit.frame(-1, refuse), 1)).toEqual([refuse])
    expect(kit.frame(1, step(0))).toEqual([])
  })

  test('S14: the tail tells the driver directly, too', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2))
    kit.do({ kind: 'opened', seat: tailSeat, length: 0 })
    kit.do({ kind: 'connected', channel: -1 })
    const seen = kit.do({ kind: 'remove', model, range: { start: 4, end: 6 } })
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'leaving', hop: 2 }])
    expect(sent(seen, -1)).toEqual(sent(seen, 1))
    // The driver hears why before the stream ends.
    expect(seen.findIndex(e => e.kind === 'close' && e.channel === -1)).toBeGreaterThan(1)
  })

  test('S15: an orphan lets the next hop know, waits for its grace time, then frees itself', () => {
    const kit = middle()
    feed(kit, 0, 5)
    // Without Close: the next hop is an orphan then, too, and may have to give way.
    expect(kit.do({ kind: 'closed', channel: 1, message: 'reset' })).toEqual([{ kind: 'close', channel: -1 }])
    expect(kit.wait(orphanGraceMs - 1)).toEqual([])
    expect(kit.wait(1)).toEqual([{ kind: 'free-engine', seat }])
    kit.do({ kind: 'freed', seat })
    expect(kit.stages.busy).toBe(false)
    expect(kit.stages.retainBytes).toBe(0)
  })

  test('S15: an orphan with a step under way lets go of the next hop only when a recovery would be over', () => {
    const kit = middle()
    kit.frame(1, step(0))
    expect(kit.do({ kind: 'closed', channel: 1, message: 'reset' })).toEqual([])
    // It may still become a token.
    expect(sent(kit.computed(seat, { hidden: states(0, 1) }), -1)).toMatchObject([{ kind: 'step', position: 0 }])
    expect(kit.wait(orphanYieldMs - 1)).toEqual([])
    expect(kit.wait(1)).toEqual([{ kind: 'close', channel: -1 }])
    expect(kit.wait(1)).toEqual([])
  })

  test('S15: an orphaned tail keeps its stream to the driver, who would take it for lost', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2))
    kit.do({ kind: 'connected', channel: -1 })
    kit.do({ kind: 'opened', seat: tailSeat, length: 0 })
    expect(kit.do({ kind: 'closed', channel: 1, message: 'reset' })).toEqual([])
    expect(kit.wait(orphanYieldMs)).toEqual([])
  })

  test('S15: a newer epoch within the grace time finds the cache', () => {
    const kit = middle()
    feed(kit, 0, 5)
    kit.do({ kind: 'closed', channel: 1, message: 'reset' })
    kit.wait(orphanGraceMs - 1)
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    expect(sent(kit.frame(3, open(1, { epoch: 1, keep: 4 })), 3)).toMatchObject([{ kind: 'ack', length: 4 }])
    expect(kit.wait(orphanGraceMs)).toEqual([])
  })

  describe('S15: an orphan gives way to a new session', () => {
    const other = 'aa'.repeat(16) as SessionId
    const arrives = (kit: Kit) => {
      kit.do({ kind: 'accepted', channel: 9, remote: peer('A') })
      return kit.frame(9, open(1, { session: other }))
    }

    test('that the engine has no room for', () => {
      const kit = middle()
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      kit.wait(orphanYieldMs)
      arrives(kit)
      const failed = { kind: 'open-failed', seat: seatOf(2, 4, other), noRoom: true, message: 'full' } as const
      const seen = kit.do(failed)
      expect(sent(seen, 9)).toEqual([])
      // What it frees is freed before the engine is asked again.
      expect(seen.map(({ kind }) => kind)).toEqual(['free-engine', 'open-engine'])
      expect(seen[0]).toEqual({ kind: 'free-engine', seat })
      // There is nobody else who could give way.
      expect(sent(kit.do(failed), 9)).toMatchObject([{ kind: 'refuse', reason: 'no-room' }])
    })

    test('though it is shorter, where the engine reserves as many pages for both', () => {
      const kit = new Kit('B')
      kit.do({ kind: 'add', stage: { ...facts(2, 4), cacheBytes: tokens => 1000 * Math.ceil(tokens / 128) } })
      kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
      kit.frame(1, open(1, { tokensMax: 12 }))
      kit.do({ kind: 'opened', seat, length: 0 })
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      kit.wait(orphanYieldMs)
      kit.do({ kind: 'accepted', channel: 9, remote: peer('A') })
      kit.frame(9, open(1, { session: other, tokensMax: 120 }))
      const failed = { kind: 'open-failed', seat: seatOf(2, 4, other), noRoom: true, message: 'full' } as const
      expect(kit.do({ ...failed, lacking: 1000 }).map(({ kind }) => kind)).toEqual(['free-engine', 'open-engine'])
    })

    test('and a tail says so to its driver, who would take it for lost', () => {
      const kit = new Kit('C')
      kit.do({ kind: 'add', stage: facts(4, 6) })
      kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
      kit.frame(1, open(2))
      kit.do({ kind: 'opened', seat: tailSeat, length: 0 })
      kit.do({ kind: 'connected', channel: -1 })
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      kit.wait(orphanYieldMs)
      kit.do({ kind: 'accepted', channel: 9, remote: peer('B') })
      kit.frame(9, open(2, { session: other }))
      const seen = kit.do({ kind: 'open-failed', seat: seatOf(4, 6, other), noRoom: true, message: 'full' })
      expect(sent(seen, -1)).toMatchObject([{ kind: 'refuse', hop: 2, reason: 'no-room', length: 0 }])
      // A close may be quicker than what was sent before it.
      expect(seen).not.toContainEqual({ kind: 'close', channel: -1 })
      expect(kit.wait(stageCloseMs)).toContainEqual({ kind: 'close', channel: -1 })
    })

    test('that there is no room to retain for', () => {
      const kit = middle()
      kit.stages.retainBytesMax = kit.stages.retainBytes
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      kit.wait(orphanYieldMs)
      expect(arrives(kit).map(({ kind }) => kind)).toContain('open-engine')
    })

    test('and what it retained does not count any more while the rest of it is freed', () => {
      const kit = middle()
      const { retainBytes } = kit.stages
      kit.stages.retainBytesMax = retainBytes
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      kit.wait(orphanYieldMs)
      arrives(kit)
      expect(kit.stages.retainBytes).toBe(retainBytes)
      kit.do({ kind: 'freed', seat })
      expect(kit.stages.retainBytes).toBe(retainBytes)
    })

    test('but not to one that has lost its own previous hop meanwhile', () => {
      const kit = middle()
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      arrives(kit)
      kit.do({ kind: 'closed', channel: 9, message: 'reset' })
      kit.wait(orphanYieldMs)
      const seen = kit.do({ kind: 'open-failed', seat: seatOf(2, 4, other), noRoom: true, message: 'full' })
      expect(seen.map(({ kind }) => kind)).not.toContain('open-engine')
      expect(kit.stages.sessions).toBe(1)
    })

    test('but not while a recovery may still come back to it', () => {
      const kit = middle()
      kit.do({ kind: 'closed', channel: 1, message: 'reset' })
      kit.wait(orphanYieldMs - 1)
      arrives(kit)
      const seen = kit.do({ kind: 'open-failed', seat: seatOf(2, 4, other), noRoom: true, message: 'full' })
      expect(sent(seen, 9)).toMatchObject([{ kind: 'refuse', reason: 'no-room' }])
      expect(seen).not.toContainEqual({ kind: 'free-engine', seat })
    })

    test('but nobody gives way whose previous hop is there, and who was wanted a moment ago', () => {
      const kit = middle()
      kit.wait(seatYieldMs - 1)
      arrives(kit)
      const seen = kit.do({ kind: 'open-failed', seat: seatOf(2, 4, other), noRoom: true, message: 'full' })
      expect(sent(seen, 9)).toMatchObject([{ kind: 'refuse', reason: 'no-room' }])
    })
  })

  test('S15: a session that nobody uses is freed although its streams are open, and nobody is lost', () => {
    const kit = middle()
    feed(kit, 0, 5)
    expect(kit.wait(sessionIdleMs - 1)).toEqual([])
    const seen = kit.wait(1)
    expect(seen).toContainEqual({ kind: 'free-engine', seat })
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'no-room', length: 0 }])
    expect(sent(seen, -1)).toEqual([{ kind: 'close', epoch: 0 }])
  })

  test('S27: one that never stepped is over after seconds, unless its driver says that it waits', () => {
    const kit = middle()
    expect(kit.wait(sessionUnusedMs - 1)).toEqual([])
    kit.frame(1, { kind: 'ask', epoch: 0, round: 1 })
    expect(kit.wait(sessionUnusedMs - 1)).toEqual([])
    const seen = kit.wait(1)
    expect(seen).toContainEqual({ kind: 'free-engine', seat })
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'no-room', length: 0 }])
  })

  describe('S27: who gives way to a session that finds no room', () => {
    const id = (n: number) => n.toString(16).padStart(32, '0') as SessionId
    /** Opens a session of `driver`, whose head is A, at B. */
    const arrives = (kit: Kit, n: number, driver: string) => {
      kit.do({ kind: 'accepted', channel: 10 + n, remote: peer('A') })
      return kit.frame(10 + n, open(1, { session: id(n), driver: peer(driver) }))
    }
    const seatIn = (n: number, driver: string) => `${peer(driver)}/${id(n)}/2-4`
    const isFull = (kit: Kit, n: number, driver: string) =>
      kit.do({ kind: 'open-failed', seat: seatIn(n, driver), noRoom: true, message: 'full' })
    const ended = (seen: Seen[]) => seen.flatMap(each => (each.kind === 'free-engine' ? [each.seat] : []))
    /** B has room for so many sessions; these are there. */
    const holding = (room: number, drivers: readonly string[]): Kit => {
      const kit = new Kit('B', { retainBytesMax: room * 400 * rowBytes })
      kit.do({ kind: 'add', stage: facts(2, 4) })
      for (const [n, driver] of drivers.entries()) {
        arrives(kit, n, driver)
        kit.do({ kind: 'opened', seat: seatIn(n, driver), length: 0 })
      }
      return kit
    }
    const steps = (kit: Kit, n: number, driver: string, position: number, tokens: number) => {
      kit.frame(10 + n, step(position, tokens))
      kit.computed(seatIn(n, driver), { hidden: states(position, tokens) })
    }

    test('one that was opened and is not used', () => {
      const kit = holding(1, ['M'])
      kit.wait(seatYieldMs)
      const seen = arrives(kit, 1, 'D')
      expect(ended(seen)).toEqual([seatIn(0, 'M')])
      // Its hop before hears that this is no failure.
      expect(sent(seen, 10)).toMatchObject([{ kind: 'refuse', hop: 1, reason: 'no-room', length: 0 }])
      expect(sent(seen, 11)).toEqual([])
      expect(seen).toContainEqual(expect.objectContaining({ kind: 'open-engine', seat: seatIn(1, 'D') }))
    })

    test('the same where it is the engine that has no room', () => {
      const kit = holding(9, ['M'])
      kit.wait(seatYieldMs)
      arrives(kit, 1, 'D')
      const seen = isFull(kit, 1, 'D')
      expect(seen.filter(each => each.kind !== 'send').map(({ kind }) => kind)).toEqual([
        'close',
        'free-engine',
        'open-engine'
      ])
      expect(ended(seen)).toEqual([seatIn(0, 'M')])
    })

    test.each<[string, (kit: Kit) => void]>([
      ['that computes', kit => void kit.frame(10, step(0))],
      [
        'that has just computed',
        kit => {
          kit.frame(10, step(0))
          kit.wait(seatYieldMs)
          kit.computed(seatIn(0, 'M'), { hidden: states(0, 1) })
        }
      ],
      [
        'whose first step is still being computed by the hops before, as its driver says',
        kit => {
          kit.wait(seatYieldMs)
          kit.frame(10, { kind: 'ask', epoch: 0, round: 3 })
          kit.nowMs -= seatYieldMs
        }
      ]
    ])('but not one %s', (_, wants) => {
      const kit = holding(1, ['M'])
      wants(kit)
      kit.wait(seatYieldMs - 1)
      const seen = arrives(kit, 1, 'D')
      expect(ended(seen)).toEqual([])
      expect(sent(seen, 11)).toMatchObject([{ kind: 'refuse', reason: 'no-room' }])
    })

    test('of a driver that holds more than its share: the session that is soonest computed again', () => {
      const kit = holding(3, ['M', 'M', 'M'])
      for (const [n, tokens] of [9, 2, 5].entries()) steps(kit, n, 'M', 0, tokens)
      expect(ended(arrives(kit, 3, 'D'))).toEqual([seatIn(1, 'M')])
      // Two and one: whoever takes another one now would hold more than who gives it.
      kit.do({ kind: 'freed', seat: seatIn(1, 'M') })
      expect(sent(arrives(kit, 4, 'D'), 14)).toMatchObject([{ reason: 'no-room' }])
      expect(sent(arrives(kit, 5, 'M'), 15)).toMatchObject([{ reason: 'no-room' }])
      expect(ended(arrives(kit, 6, 'E'))).toEqual([seatIn(2, 'M')])
      expect(sent(arrives(kit, 7, 'F'), 17)).toMatchObject([{ reason: 'no-room' }])
    })

    test('of a driver that fills the cache of one stage', () => {
      const kit = holding(9, ['M', 'M'])
      for (const n of [0, 1]) steps(kit, n, 'M', 0, 3)
      arrives(kit, 2, 'D')
      expect(ended(isFull(kit, 2, 'D'))).toEqual([seatIn(0, 'M')])
      expect(sent(isFull(kit, 2, 'D'), 12)).toMatchObject([{ reason: 'no-room' }])
    })

    test('of a driver that fills the book', () => {
      const kit = holding(
        stageSessionsMax,
        Array.from({ length: stageSessionsMax }, () => 'M')
      )
      kit.stages.retainBytesMax *= 2
      const seen = arrives(kit, 600, 'D')
      expect(ended(seen).length).toBe(1)
      expect(sent(seen, 610)).toMatchObject([{ reason: 'no-room' }])
      // One place is coming free already.
      expect(ended(arrives(kit, 601, 'D'))).toEqual([])
      const [gone] = ended(seen)
      kit.do({ kind: 'freed', seat: gone! })
      kit.do({ kind: 'closed', channel: -1, message: '' })
      expect(kit.stages.sessions).toBe(stageSessionsMax - 1)
      expect(arrives(kit, 602, 'D').map(({ kind }) => kind)).toContain('open-engine')
    })

    test('nobody, where that would not be enough', () => {
      const kit = holding(4, ['M', 'M', 'L', 'K'])
      for (const [n, driver] of ['M', 'M', 'L', 'K'].entries()) steps(kit, n, driver, 0, 3)
      kit.do({ kind: 'accepted', channel: 99, remote: peer('A') })
      kit.stages.retainBytesMax -= 400 * rowBytes
      const seen = kit.frame(99, open(1, { session: id(9) }))
      expect(ended(seen)).toEqual([])
      expect(sent(seen, 99)).toMatchObject([{ reason: 'no-room' }])
    })
  })

  test('S16: Close goes down at once; Closed comes up when all is free, own stats first', () => {
    const kit = middle()
    feed(kit, 0, 5)
    const seen = kit.frame(1, { kind: 'close', epoch: 0 })
    expect(sent(seen, -1)).toEqual([{ kind: 'close', epoch: 0 }])
    expect(seen).toContainEqual({ kind: 'free-engine', seat })
    const tail = {
      hop: 2,
      steps: 1,
      tokens: 5,
      computeMs: 3,
      queueMs: 0,
      bytesIn: 9,
      bytesOut: 8,
      bytesBack: 7,
      replayed: 0,
      rows: 5,
      gatherMs: 0,
      reused: 4
    }
    expect(kit.frame(-1, { kind: 'closed', hops: [tail] })).toEqual([{ kind: 'close', channel: -1 }])
    const last = kit.do({ kind: 'freed', seat })
    expect(sent(last, 1)).toMatchObject([
      { kind: 'closed', hops: [{ hop: 1, steps: 1, tokens: 5, computeMs: 1 }, tail] }
    ])
    expect(last.at(-1)).toEqual({ kind: 'close', channel: 1 })
    expect(kit.stages.busy).toBe(false)
  })

  test('S16: a next hop that does not answer is not waited for longer than its share', () => {
    const kit = middle()
    kit.frame(1, { kind: 'close', epoch: 0 })
    kit.do({ kind: 'freed', seat })
    expect(kit.wait(stageCloseMs / 2 - 1)).toEqual([])
    expect(sent(kit.wait(1), 1)).toMatchObject([{ kind: 'closed', hops: [{ hop: 1 }] }])
  })

  test('S16: Close while a step runs frees after it', () => {
    const kit = middle()
    kit.frame(1, step(0))
    expect(kit.frame(1, { kind: 'close', epoch: 0 })).toContainEqual({ kind: 'free-engine', seat })
    expect(kit.computed(seat, { hidden: states(0, 1) })).toEqual([])
    kit.frame(-1, { kind: 'closed', hops: [] })
    kit.do({ kind: 'freed', seat })
    expect(kit.stages.busy).toBe(false)
  })

  test('a stage that is unloaded refuses with LEAVING and frees', () => {
    const kit = middle()
    const seen = kit.do({ kind: 'remove', model, range: { start: 2, end: 4 } })
    expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'leaving' }])
    expect(seen).toContainEqual({ kind: 'free-engine', seat })
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    expect(sent(kit.frame(3, open(1, { epoch: 1 })), 3)).toMatchObject([{ reason: 'not-serving' }])
  })

  test('S14: it leaves what is cached further down to the next epoch', () => {
    const kit = middle()
    const seen = kit.do({ kind: 'remove', model, range: { start: 2, end: 4 } })
    expect(sent(seen, -1)).toEqual([])
    expect(seen).toContainEqual({ kind: 'close', channel: -1 })
  })

  test('S16: the tail leaves its stream to the driver, who may not know yet why it is free', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2))
    kit.do({ kind: 'opened', seat: tailSeat, length: 0 })
    kit.do({ kind: 'connected', channel: -1 })
    const closed = { kind: 'close', channel: -1 }
    expect(kit.frame(1, { kind: 'close', epoch: 0 })).not.toContainEqual(closed)
    kit.do({ kind: 'freed', seat: tailSeat })
    expect(kit.wait(stageCloseMs - 1)).not.toContainEqual(closed)
    expect(kit.wait(1)).toContainEqual(closed)
    expect(kit.stages.busy).toBe(false)
  })
})

describe("the driver's end", () => {
  const driver = (drives = true): Kit => {
    const kit = new Kit('D')
    if (drives) {
      kit.do({ kind: 'drive', session })
      kit.do({ kind: 'admit', session, epoch: 0, tail: peer('C') })
    }
    kit.do({ kind: 'accepted', channel: 1, remote: peer('C') })
    return kit
  }

  test('S9: tokens of its tail are delivered', () => {
    const kit = driver()
    expect(kit.frame(1, open(3))).toEqual([])
    expect(kit.frame(1, { kind: 'token', epoch: 0, position: 5, ids: [9] })).toMatchObject([
      { kind: 'deliver', session, token: { epoch: 0, position: 5, ids: [9] } }
    ])
    expect(kit.do({ kind: 'closed', channel: 1, message: '' })).toEqual([
      { kind: 'tail-lost', session, epoch: 0, peer: peer('C'), reason: 'closed' }
    ])
  })

  test('S14: so is a refusal by its tail', () => {
    const kit = driver()
    kit.frame(1, open(3))
    const refuse: Frame = { kind: 'refuse', epoch: 0, hop: 2, reason: 'leaving', length: 5, message: '' }
    expect(kit.frame(1, refuse)).toEqual([{ kind: 'tail-refused', session, refuse }])
  })

  test('S3: a session that it does not drive is refused', () => {
    expect(sent(driver(false).frame(1, open(3)), 1)).toMatchObject([{ kind: 'refuse', reason: 'not-serving' }])
  })

  test('S2: only the tail of the route may open it', () => {
    const kit = driver()
    kit.do({ kind: 'accepted', channel: 3, remote: peer('B') })
    expect(violations(kit.frame(3, open(3)))).toEqual(['3 impostor'])
  })

  test('S10: a newer tail replaces an older one, whose end is no loss', () => {
    const kit = driver()
    kit.frame(1, open(3))
    kit.do({ kind: 'admit', session, epoch: 2, tail: peer('C') })
    kit.do({ kind: 'accepted', channel: 3, remote: peer('C') })
    expect(kit.frame(3, open(3, { epoch: 2 }))).toEqual([{ kind: 'close', channel: 1 }])
    expect(kit.frame(1, { kind: 'token', epoch: 0, position: 5, ids: [9] })).toEqual([])
    expect(kit.do({ kind: 'closed', channel: 1, message: '' })).toEqual([])
    kit.do({ kind: 'accepted', channel: 5, remote: peer('C') })
    expect(sent(kit.frame(5, open(3, { epoch: 1 })), 5)).toMatchObject([{ reason: 'stale-epoch' }])
  })

  test.each<[string, number, string]>([
    ['the highest epoch there is', 2 ** 32 - 1, 'X'],
    ['the epoch that runs', 0, 'X'],
    ['an epoch that its own tail was not given', 1, 'C']
  ])('S25: whoever opens it with %s is refused, and the tail stays', (_, epoch, thief) => {
    const kit = driver()
    kit.frame(1, open(3))
    kit.do({ kind: 'accepted', channel: 3, remote: peer(thief) })
    const [head, middle] = open(3).terms.route
    const route = [head!, middle!, { peer: peer(thief), start: 4, end: 6 }]
    const seen = kit.frame(3, open(3, { epoch, route, signer: peer(thief) }))
    expect(sent(seen, 3)).toMatchObject([{ kind: 'refuse', reason: 'stale-epoch' }])
    expect(seen.at(-1)).toEqual({ kind: 'close', channel: 3 })
    // Nobody is lost, nobody broke anything, and no token but the tail's is believed.
    expect(seen.map(each => each.kind)).toEqual(['send', 'close'])
    expect(kit.frame(3, { kind: 'token', epoch, position: 5, ids: [66] })).toEqual([])
    expect(kit.frame(1, { kind: 'token', epoch: 0, position: 5, ids: [9] })).toMatchObject([{ kind: 'deliver' }])
  })

  test('S25: nor may anybody before a tail was named', () => {
    const kit = new Kit('D')
    kit.do({ kind: 'drive', session })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('C') })
    expect(sent(kit.frame(1, open(3)), 1)).toMatchObject([{ kind: 'refuse', reason: 'stale-epoch' }])
  })

  test('S18: a token of another epoch, or anything but a token, ends the stream', () => {
    const frames: Frame[] = [{ kind: 'token', epoch: 7, position: 5, ids: [9] }, step(0), { kind: 'close', epoch: 0 }]
    for (const frame of frames) {
      const kit = driver()
      kit.frame(1, open(3))
      const seen = kit.frame(1, frame)
      expect(violations(seen).length).toBe(1)
      expect(seen).toContainEqual({ kind: 'tail-lost', session, epoch: 0, peer: peer('C'), reason: 'closed' })
    }
  })
})

describe('S8: hidden states so wide that 128 of them are no frame', () => {
  /** 65,536 numbers in float32: 32 tokens of them are 8 MiB. */
  const wide = 1 << 16
  const tokens = stepBytesMax / (4 * wide)
  const row = new Uint8Array(4 * wide)

  test('go on in as many steps as it takes, the last of which samples, and so do replayed ones', () => {
    const kit = new Kit('A', { retainBytesMax: Number.POSITIVE_INFINITY })
    kit.do({ kind: 'add', stage: { ...facts(0, 2), hidden: wide, edge: 'f32' } })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('D') })
    kit.frame(1, open(0))
    kit.do({ kind: 'opened', seat: seatOf(0, 2), length: 0 })
    kit.do({ kind: 'connected', channel: -1 })
    const ids = Array.from({ length: 128 }, () => 1)
    kit.frame(1, idStep(0, ids, { sample: true }))
    const steps = (seen: Seen[], channel: number) =>
      sent(seen, channel).flatMap(f =>
        f.kind === 'step' && f.input.kind === 'hidden' ? [[f.position, f.input.bytes.length, f.sample]] : []
      )
    const bytes = tokens * row.length
    const pieces = [0, 32, 64, 96]
    const computed = kit.computed(seatOf(0, 2), { hidden: new Uint8Array(128 * row.length) })
    expect(steps(computed, -1)).toEqual(pieces.map(at => [at, bytes, at === 96]))
    for (const each of computed) {
      if (each.kind === 'send') expect(encodeFrame(each.frame).length).toBeLessThanOrEqual(stageFrameBytesMax)
    }
    kit.do({ kind: 'accepted', channel: 3, remote: peer('D') })
    kit.frame(3, open(0, { epoch: 1, keep: 128 }))
    kit.do({ kind: 'connected', channel: -2 })
    const replayed = kit.frame(-2, { kind: 'ack', epoch: 1, length: 0, steps: 0, tokens: 0 })
    expect(steps(replayed, -2)).toEqual(pieces.map(at => [at, bytes, false]))
  })
})
