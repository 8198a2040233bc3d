/** What placement does to the loads of a peer, with the planner's own waits. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Range } from '../../src/base/ids.ts'
import { Placement } from '../../src/route/placement-service.ts'
import type { PeerView } from '../../src/route/view.ts'
import { peer, peerId, plainModel } from './worlds.ts'

let placement: Placement | undefined
afterEach(() => placement?.stop())

describe('a load under way', () => {
  it('is ended when the plan does without it, and another one may begin', async () => {
    const whole = { start: 0, end: 4 }
    let self: PeerView = peer(1, 4)
    const begun: { readonly range: Range; readonly signal: AbortSignal }[] = []
    const warnings: string[] = []
    const made = new Placement({
      self: peerId(1),
      model: plainModel(4),
      peers: () => [
        { view: self, connected: true },
        { view: peer(0, 4), connected: true }
      ],
      load: (range, { signal }) =>
        new Promise((_, reject) => {
          begun.push({ range, signal })
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
      unload: async () => {},
      sessions: () => 0,
      onWarning: message => warnings.push(message)
    })
    placement = made
    made.changed()
    await expect.poll(() => begun.map(({ range }) => range), { timeout: 30_000 }).toEqual([whole])
    expect(begun[0]!.signal.aborted).toBe(false)
    self = { ...self, leaving: true }
    made.changed()
    await expect.poll(() => begun[0]!.signal.aborted, { timeout: 30_000 }).toBe(true)
    self = { ...self, leaving: false }
    made.changed()
    await expect.poll(() => begun.map(({ range }) => range), { timeout: 30_000 }).toEqual([whole, whole])
    expect(warnings).toEqual([])
  })
})

describe('what is missing', () => {
  const lack = (peers: PeerView[]): unknown => {
    placement = new Placement({
      self: peerId(0),
      model: plainModel(4),
      peers: () => peers.map(view => ({ view, connected: true })),
      load: async () => {},
      unload: async () => {},
      sessions: () => 0,
      onWarning: () => {}
    })
    return placement.missing()
  }

  it.each<[string, PeerView[], unknown]>([
    ['nothing', [peer(0, 4)], null],
    ['budget', [peer(0, 3)], { layers: [expect.anything()], bytes: 1, pinned: false }],
    [
      'only who may load it',
      [peer(0, 4, { pinned: { start: 0, end: 3 } })],
      { layers: [{ start: 3, end: 4 }], bytes: 1, pinned: true }
    ],
    [
      'budget, whoever is pinned',
      [peer(0, 3, { pinned: { start: 0, end: 3 } })],
      { layers: [{ start: 3, end: 4 }], bytes: 1, pinned: false }
    ]
  ])('is %s', (_, peers, expected) => {
    expect(lack(peers)).toEqual(expected)
  })
})
