/** Connections that nothing needs, on a clock that a test moves. */
import { expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { ContactsService } from '../../src/swarm/contacts-service.ts'
import { contactIdleMs, contactLookMs, contactsMax } from '../../src/swarm/limits.ts'

function looking(needed: ReadonlySet<PeerId>) {
  let nowMs = 0
  let look = (): void => {}
  const clock: Clock = {
    ...systemClock,
    nowMs: () => nowMs,
    every: (_ms, task) => {
      look = task
      const timer = { unref: () => timer, stop: () => {} }
      return timer
    }
  }
  const connected = new Map<PeerId, number>()
  const closed: PeerId[] = []
  const service = new ContactsService({
    traffic: () => [...connected].map(([peer, bytesIn]) => ({ peer, bytesIn, bytesOut: 0, watched: false })),
    isNeeded: peer => needed.has(peer),
    close: peer => {
      closed.push(peer)
      connected.delete(peer)
    },
    clock
  })
  service.start()
  const pass = (ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs; ) {
      nowMs += contactLookMs
      look()
    }
  }
  return { connected, closed, pass }
}

const peer = (n: number): PeerId => `peer ${n}` as PeerId

it('R22: a connection that nothing needs is closed when it is idle, and not before', () => {
  const needed = new Set([peer(1)])
  const { connected, closed, pass } = looking(needed)
  connected.set(peer(1), 0).set(peer(2), 0)
  pass(contactIdleMs - contactLookMs)
  connected.set(peer(2), 100)
  pass(contactIdleMs)
  expect(closed).toEqual([])
  pass(contactLookMs)
  expect(closed).toEqual([peer(2)])
  // What was needed for long has its time, too.
  needed.delete(peer(1))
  pass(contactIdleMs)
  expect(closed).toEqual([peer(2)])
  pass(contactLookMs)
  expect(closed).toEqual([peer(2), peer(1)])
})

it('R22: of too many the longest idle go first', () => {
  const { connected, closed, pass } = looking(new Set())
  for (let i = 0; i < contactsMax; i++) connected.set(peer(i), 0)
  pass(2 * contactLookMs)
  expect(closed).toEqual([])
  for (let i = 0; i < 3; i++) connected.set(peer(100 + i), 0)
  pass(contactLookMs)
  expect(closed).toEqual([peer(0), peer(1), peer(2)])
})
