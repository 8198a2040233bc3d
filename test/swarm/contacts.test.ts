/** Connections that nothing needs, on a clock that a test moves. */
import { expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { ContactsService } from '../../src/swarm/contacts-service.ts'
import { contactIdleMs, contactLookMs, contactsMax } from '../../src/swarm/limits.ts'
import { MovedClock } from './moved-clock.ts'

function looking(needed: ReadonlySet<PeerId>) {
  const clock = new MovedClock()
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
  return { service, connected, closed, pass: (ms: number) => clock.pass(ms) }
}

const peer = (n: number): PeerId => `peer ${n}` as PeerId

it('R22: a connection that nothing needs is closed when it is idle, and not before', async () => {
  const needed = new Set([peer(1)])
  const { connected, closed, pass } = looking(needed)
  connected.set(peer(1), 0).set(peer(2), 0)
  await pass(contactIdleMs - contactLookMs)
  connected.set(peer(2), 100)
  await pass(contactIdleMs)
  expect(closed).toEqual([])
  await pass(contactLookMs)
  expect(closed).toEqual([peer(2)])
  // What was needed for long has its time, too.
  needed.delete(peer(1))
  await pass(contactIdleMs)
  expect(closed).toEqual([peer(2)])
  await pass(contactLookMs)
  expect(closed).toEqual([peer(2), peer(1)])
})

it('R22: of too many the longest idle go first', async () => {
  const { connected, closed, pass } = looking(new Set())
  for (let i = 0; i < contactsMax; i++) connected.set(peer(i), 0)
  await pass(2 * contactLookMs)
  expect(closed).toEqual([])
  for (let i = 0; i < 3; i++) connected.set(peer(100 + i), 0)
  await pass(contactLookMs)
  expect(closed).toEqual([peer(0), peer(1), peer(2)])
})

it('R22: a query of the DHT dials one more where there is room, or one that is idle makes room', async () => {
  const needed = new Set([peer(1)])
  const { service, connected, closed, pass } = looking(needed)
  connected.set(peer(1), 0)
  for (let i = 2; i <= contactsMax; i++) connected.set(peer(i), 0)
  await pass(contactLookMs)
  // One that something needs takes no place.
  expect(service.makeRoom()).toBe(true)
  connected.set(peer(100), 0)
  expect(service.makeRoom()).toBe(false)
  connected.set(peer(2), 1)
  await pass(contactLookMs)
  expect(service.makeRoom()).toBe(true)
  expect(closed).toEqual([peer(3)])
  expect(service.makeRoom()).toBe(true)
  expect(closed).toEqual([peer(3)])
})
