/** A stage says how far it has come, and how it lost its next hop. Rule numbers are those of `protocols/stage.md`. */
import { describe, expect, test } from 'vitest'
import { askMinMs, commitsFree } from '../../src/stage/limits.ts'
import { type SignedCommitment, signCommitment } from '../../src/stage/commitment.ts'
import type { Commits } from '../../src/stage/seat-host.ts'
import { signerOf } from '../../sim/cast.ts'
import type { Frame, StandingFrame } from '../../src/stage/frame.ts'
import { facts, idStep, Kit, open, peer, seatOf, states, step } from './kit.ts'

const seat = seatOf(2, 4)

/** B, the middle hop, with its streams up (1) and down (-1) open. */
function middle(commits?: Commits): Kit {
  const kit = new Kit('B', commits && { commits })
  kit.do({ kind: 'add', stage: facts(2, 4) })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
  kit.frame(1, open(1))
  kit.do({ kind: 'opened', seat, length: 0 })
  kit.do({ kind: 'connected', channel: -1 })
  return kit
}

const ask = { kind: 'ask', epoch: 0, round: 7 } as const
const standing: StandingFrame = {
  kind: 'standing',
  epoch: 0,
  round: 7,
  hop: 2,
  arrived: 5,
  length: 4,
  busyMs: 30,
  steps: 4,
  computeMs: 40,
  queueMs: 1,
  rows: 4,
  gatherMs: 0,
  place: 0,
  placeMs: 0
}

describe('S42: what a hop has computed so far', () => {
  const digest = new Uint8Array(32).fill(1)
  const signed = (hop: number, tokens: number): SignedCommitment =>
    signCommitment(
      { terms: digest, hop, tokens, input: digest, output: digest, numericClass: 'toy' },
      signerOf(peer('C'))
    )
  const commit = (tokens: number, epoch = 0): Frame => ({ kind: 'commit', epoch, tokens })
  const sent = (to: number, frame: Frame): object => ({ kind: 'send', channel: to, frame })

  test('it passes the question on and signs, and passes on what those behind it have signed', () => {
    const kit = middle({ commit: ({ hop, tokens }) => signed(hop, tokens) })
    kit.frame(1, step(0, 3))
    kit.computed(seat, { hidden: states(0, 3) })
    expect(kit.frame(1, commit(3))).toEqual([
      sent(-1, commit(3)),
      sent(1, { kind: 'committed', epoch: 0, commitment: signed(1, 3) })
    ])
    const below = { kind: 'committed', epoch: 0, commitment: signed(2, 3) } as const
    expect(kit.frame(-1, below)).toEqual([sent(1, below)])
  })

  test('it says nothing of tokens that it has not computed, and of another epoch', () => {
    const kit = middle({ commit: ({ hop, tokens }) => signed(hop, tokens) })
    kit.frame(1, step(0, 3))
    kit.computed(seat, { hidden: states(0, 3) })
    expect(kit.frame(1, commit(4))).toEqual([])
    expect(kit.frame(1, commit(3, 1))).toEqual([])
  })

  test('it signs no more often than it has computed, however often it is asked', () => {
    let count = 0
    const kit = middle({
      commit: ({ hop, tokens }) => {
        count++
        return signed(hop, tokens)
      }
    })
    kit.frame(1, step(0, 3))
    kit.computed(seat, { hidden: states(0, 3) })
    for (let i = 0; i < 50; i++) kit.frame(1, commit(3))
    expect(count).toBe(commitsFree + 1)
  })

  test('a commitment of a hop that is not behind it is a violation', () => {
    const kit = middle()
    const effects = kit.frame(-1, { kind: 'committed', epoch: 0, commitment: signed(1, 3) })
    expect(effects).toContainEqual(expect.objectContaining({ kind: 'violation' }))
  })
})

describe('S22: how far a hop has come', () => {
  test('it passes the question on and answers it, whatever it computes', () => {
    const kit = middle()
    kit.frame(1, step(0, 3))
    kit.computed(seat, { hidden: states(0, 3) })
    kit.nowMs += 10
    kit.frame(1, step(3))
    kit.frame(1, step(4))
    kit.nowMs += 25
    expect(kit.frame(1, ask)).toEqual([
      { kind: 'send', channel: -1, frame: ask },
      {
        kind: 'send',
        channel: 1,
        frame: { ...standing, hop: 1, arrived: 5, length: 3, busyMs: 25, steps: 1, computeMs: 1, queueMs: 0, rows: 3 }
      }
    ])
  })

  test('a step that shared its passes says how many rows they had, and how long it waited for them', () => {
    const kit = middle()
    kit.frame(1, step(0, 3))
    kit.nowMs += 50
    kit.computed(seat, { hidden: states(0, 3), computeMs: 30, rows: 11, gatherMs: 4 })
    kit.frame(1, step(3))
    kit.nowMs += 20
    kit.computed(seat, { hidden: states(3, 1), computeMs: 20, rows: 8 })
    const own = kit.frame(1, ask).at(-1)
    expect(own).toMatchObject({ frame: { steps: 2, computeMs: 50, queueMs: 20, rows: 19, gatherMs: 4 } })
  })

  test('one that has nothing to do says so', () => {
    const [, own] = middle().frame(1, ask)
    expect(own).toMatchObject({ frame: { kind: 'standing', arrived: 0, length: 0, busyMs: 0, steps: 0 } })
  })

  test('one that still reserves its cache says since when it has the epoch, and asks nobody behind it', () => {
    const kit = new Kit('B')
    kit.do({ kind: 'add', stage: facts(2, 4) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
    kit.frame(1, open(1))
    kit.nowMs += 40
    expect(kit.frame(1, ask)).toMatchObject([{ channel: 1, frame: { kind: 'standing', arrived: 0, busyMs: 40 } }])
    kit.do({ kind: 'opened', seat, length: 0 })
    kit.nowMs += 40
    expect(kit.frame(1, ask)).toMatchObject([{ channel: 1, frame: { kind: 'standing', arrived: 0, busyMs: 0 } }])
  })

  test('it does not answer all the time', () => {
    const kit = middle()
    expect(kit.frame(1, ask).length).toBe(2)
    expect(kit.frame(1, ask)).toEqual([])
    kit.nowMs += askMinMs
    expect(kit.frame(1, ask).length).toBe(2)
  })

  test('the tail asks nobody: the driver has no cache', () => {
    const kit = new Kit('C')
    kit.do({ kind: 'add', stage: facts(4, 6) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('B') })
    kit.frame(1, open(2))
    kit.do({ kind: 'connected', channel: -1 })
    expect(kit.frame(1, ask).map(effect => effect.kind === 'send' && effect.channel)).toEqual([1])
  })

  test('what hops further down say goes on to the driver as it is', () => {
    expect(middle().frame(-1, standing)).toEqual([{ kind: 'send', channel: 1, frame: standing }])
    expect(middle().frame(-1, { ...standing, epoch: 3 })).toEqual([])
  })

  test('another epoch is none of its business', () => {
    expect(middle().frame(1, { ...ask, epoch: 1 })).toEqual([])
  })

  test.each<[string, number, Frame]>([
    ['that is not behind it', -1, { ...standing, hop: 1 }],
    ['that is not on the route', -1, { ...standing, hop: 3 }],
    ['from before it', 1, standing],
    ['asked from behind it', -1, ask]
  ])('S18: a word of a hop %s is a violation', (_, link, frame) => {
    expect(middle().frame(link, frame)).toContainEqual(expect.objectContaining({ kind: 'violation' }))
  })

  test('a question after the end of a session is dropped', () => {
    const kit = middle()
    kit.frame(1, { kind: 'close', epoch: 0 })
    expect(kit.frame(1, ask)).toEqual([])
  })

  test('the head answers for ids, too', () => {
    const kit = new Kit('A')
    kit.do({ kind: 'add', stage: facts(0, 2) })
    kit.do({ kind: 'accepted', channel: 1, remote: peer('D') })
    kit.frame(1, open(0))
    kit.do({ kind: 'opened', seat: seatOf(0, 2), length: 0 })
    kit.frame(1, idStep(0, [1, 2]))
    // Its next stream is not open yet: there is nobody to ask.
    expect(kit.frame(1, ask)).toMatchObject([{ channel: 1, frame: { hop: 0, arrived: 2, length: 0 } }])
  })
})

test.each([
  ['closed', 'next-lost'],
  ['silent', 'next-silent'],
  ['alone', 'next-silent'],
  ['unheard', 'next-silent']
] as const)('S14: a next hop that is %s is refused as %s', (reason, refused) => {
  const seen = middle().do({ kind: 'closed', channel: -1, message: 'gone', reason })
  expect(seen).toMatchObject([{ kind: 'send', channel: 1, frame: { kind: 'refuse', hop: 1, reason: refused } }])
})
