/** Who provides something is kept at hand, as the DHT finds them; on a clock that a test moves. And what the DHT takes. */
import { expect, it } from 'vitest'
import type { ContentId, ModelId, PeerId } from '../../src/base/ids.ts'
import { DhtBytes } from '../../src/swarm/dht-bytes.ts'
import { GatherService } from '../../src/swarm/gather-service.ts'
import { gatherAgainMaxMs, gatherAgainMinMs, gatherHoldMs } from '../../src/swarm/limits.ts'
import { meetingPointOf } from '../../src/swarm/meeting-point.ts'
import { MovedClock } from './moved-clock.ts'

const [x, y] = ['x'.repeat(64), 'y'.repeat(64)] as ContentId[] as [ContentId, ContentId]
const [a, b, c] = ['a', 'b', 'c'] as PeerId[] as [PeerId, PeerId, PeerId]

function gathering(found: Map<ContentId, readonly PeerId[]>, placesMax: number) {
  const clock = new MovedClock()
  const state = { isLarge: true, atHand: new Set<PeerId>() }
  const asked: { content: ContentId; atMs: number }[] = []
  /** Until when each is wanted. */
  const wanted = new Map<PeerId, number>()
  const service = new GatherService({
    find: async function* (content) {
      asked.push({ content, atMs: clock.nowMs() })
      yield* found.get(content) ?? []
    },
    isLarge: () => state.isLarge,
    want: (peer, forMs) => wanted.set(peer, clock.nowMs() + forMs),
    isAtHand: peer => state.atHand.has(peer),
    placesMax,
    clock
  })
  return { service, state, asked, wanted, pass: (ms: number) => clock.pass(ms), now: () => clock.nowMs() }
}

it('R24: asks soon while nobody is found, then less and less often, and keeps whom it found in between', async () => {
  const found = new Map<ContentId, readonly PeerId[]>()
  const { service, asked, wanted, pass, now } = gathering(found, 8)
  service.gather(x)
  await pass(5 * gatherAgainMinMs)
  expect(asked.length).toBe(6)
  found.set(x, [a, b])
  await pass(1_000_000)
  const gaps = asked.map(({ atMs }, i) => atMs - (asked[i - 1]?.atMs ?? 0))
  expect(gaps.at(-1)).toBe(gatherAgainMaxMs)
  expect([...wanted.keys()]).toEqual([a, b])
  // However long it waits, they are wanted until it asks again.
  for (let i = 0; i < 20; i++) {
    await pass(gatherAgainMaxMs / 4)
    expect(wanted.get(a)).toBeGreaterThan(now())
  }
  service.stop()
})

it('R24: in a swarm of neighbours alone the DHT is not asked', async () => {
  const { service, state, asked, pass } = gathering(new Map([[x, [a]]]), 8)
  state.isLarge = false
  service.gather(x)
  await pass(600_000)
  expect(asked).toEqual([])
  state.isLarge = true
  await pass(gatherAgainMinMs)
  expect(asked.length).toBe(1)
  service.stop()
})

it('R24: wants no more than leave room for others, and lets go of them a moment after the last one is done', async () => {
  const found = new Map([
    [x, [a, b, c]],
    [y, [b]]
  ])
  const { service, wanted, asked, pass, now } = gathering(found, 2)
  const ends = [service.gather(x), service.gather(x), service.gather(y)].map(each => () => each.end())
  await pass(100)
  expect(asked.map(({ content }) => content).sort()).toEqual([x, y])
  expect([...wanted.keys()]).toEqual([a, b])
  ends[0]!()
  ends[0]!()
  await pass(1_000)
  expect(wanted.get(a)).toBeGreaterThan(now() + gatherHoldMs)
  ends[1]!()
  expect(wanted.get(a)).toBe(now() + gatherHoldMs)
  // Somebody else still wants this one.
  expect(wanted.get(b)).not.toBe(now() + gatherHoldMs)
  ends[2]!()
  const count = asked.length
  await pass(600_000)
  expect(asked.length).toBe(count)
})

it('R24: of more than there are places those stay who have one, whoever is named first', async () => {
  const found = new Map([[x, [a, b, c]]])
  const { service, state, wanted, pass, now } = gathering(found, 2)
  service.gather(x)
  await pass(100)
  state.atHand.add(a).add(b)
  found.set(x, [c, b, a])
  await pass(1_000_000)
  expect([...wanted.keys()]).toEqual([a, b])
  state.atHand.delete(a)
  await pass(gatherAgainMaxMs)
  expect(wanted.get(c)).toBeGreaterThan(now())
  expect(wanted.get(b)).toBeGreaterThan(now())
  service.stop()
})

it('R24: says whether nobody has been asked yet, or some that were found are not at hand', async () => {
  const { service, state, pass } = gathering(new Map([[x, [a, b]]]), 8)
  const mine = service.gather(x)
  expect(mine.isSeeking).toBe(true)
  await pass(100)
  expect(mine.isSeeking).toBe(true)
  state.atHand.add(a).add(b)
  expect(mine.isSeeking).toBe(false)
  state.atHand.delete(a)
  mine.end()
  expect(mine.isSeeking).toBe(false)
  state.isLarge = false
  expect(service.gather(y).isSeeking).toBe(false)
})

it('R24: the meeting point of a model is a digest of its own', () => {
  const model = 'ab'.repeat(32) as ModelId
  expect(meetingPointOf(model)).toMatch(/^[0-9a-f]{64}$/)
  expect(meetingPointOf(model)).not.toBe(model)
  expect(meetingPointOf('cd'.repeat(32) as ModelId)).not.toBe(meetingPointOf(model))
})

it('bytes of the DHT are told from those of any other stream, what came before the protocol was known included', () => {
  const bytes = new DhtBytes('/kad')
  const taken: number[] = []
  const stream = (): { protocol: string; onData: (d: Uint8Array) => void; sendData: (d: Uint8Array) => void } => ({
    protocol: '',
    onData: data => taken.push(data.byteLength),
    sendData: data => taken.push(-data.byteLength)
  })
  const [kad, other] = [stream(), stream()]
  for (const each of [kad, other]) {
    bytes.count(each as never)
    each.sendData(new Uint8Array(3))
  }
  kad.protocol = '/kad'
  other.protocol = '/other'
  for (const each of [kad, other]) {
    each.onData(new Uint8Array(5))
    each.sendData(new Uint8Array(7))
  }
  expect({ ...bytes }).toMatchObject({ bytesIn: 5, bytesOut: 10 })
  expect(taken).toEqual([-3, -3, 5, -7, 5, -7])
})
