import { expect, test } from 'vitest'
import { ClassPin } from '../../src/route/class-pin.ts'
import { Routing } from '../../src/route/routing-service.ts'
import { peer, peerId, plainModel, stage } from './worlds.ts'

test('a session that has changed its route counts where it runs now, and nowhere once it has ended', async () => {
  const shape = plainModel(4)
  const peers = [1, 2].map(index => peer(index, 100, { stages: [stage(0, 4)] }))
  const routing = new Routing({ self: peerId(0), peers: () => peers })
  const { signal } = new AbortController()
  const next = async (): Promise<string> => {
    const hops = await routing.route(shape, new Set(), { signal })
    routing.release(hops)
    return hops[0]!.peer
  }
  const idle = await next()
  const before = await routing.route(shape, new Set(), { signal })
  const [{ peer: busy }] = before as [(typeof before)[0]]
  expect(busy).toBe(idle)
  const other = await next()
  expect(other).not.toBe(busy)
  const after = routing.detour(shape, before, { excluded: new Set([busy]), pin: new ClassPin() })!.route
  expect(after[0]!.peer).toBe(other)
  // What is only found counts nowhere.
  expect(await next()).toBe(other)
  routing.moved(before, after)
  expect(await next()).toBe(busy)
  routing.release(after)
  expect(await next()).toBe(idle)
})
