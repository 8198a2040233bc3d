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

test('S33: a session with caches of int8 goes through peers that have them, and where these have room for them', async () => {
  const footprint = { layerBytes: 1, embeddingBytes: 0, headBytes: 0, cacheBytesPerLayer: 9 }
  const room = { cacheBytesFree: 4 * 3 }
  const served = { stages: [{ ...stage(0, 4), ...room }] }
  const plain = peer(1, 100, { ...served, layerMs: 0.1, footprint })
  const silent = peer(2, 100, { ...served, layerMs: 0.1 })
  const bytes = peer(3, 100, { ...served, footprint: { ...footprint, i8CacheBytesPerLayer: 3 } })
  const shape = { ...plainModel(4), cacheBytesPerLayer: 9, i8CacheBytesPerLayer: 3, cacheTokens: 10 }
  const routing = new Routing({ self: peerId(0), peers: () => [plain, silent, bytes] })
  const { signal } = new AbortController()
  const route = await routing.route(shape, new Set(), { signal, tokensMax: 10, needs: { cache: 'i8' } })
  expect(route.map(hop => hop.peer)).toEqual([bytes.peer])
  routing.release(route)
  // As many of them as fit, and none of float32.
  expect([routing.room(shape, 10, { cache: 'i8' }), routing.room(shape, 10)]).toEqual([1, 0])
  const detour = { excluded: new Set<never>(), pin: new ClassPin(), tokensMax: 10 }
  expect(
    routing.detour(shape, route, { ...detour, excluded: new Set([bytes.peer]), needs: { cache: 'i8' } })
  ).toBeUndefined()
  expect(routing.detour(shape, route, { ...detour, excluded: new Set([bytes.peer]) })).toBeDefined()
  const nobody = new Routing({ self: peerId(0), peers: () => [plain, silent] })
  await expect(
    nobody.route(shape, new Set(), { signal: AbortSignal.abort(), tokensMax: 10, needs: { cache: 'i8' } })
  ).rejects.toThrow('test cannot answer with caches of i8: no peer that is here has them')
})

test('S36: a session with penalties goes through peers that take ids, though others are faster', async () => {
  const able = peer(2, 100, { stages: [stage(0, 4)], layerMs: 9 })
  const old = peer(1, 100, { stages: [stage(0, 4)], layerMs: 0.1 })
  const shape = plainModel(4)
  const { signal } = new AbortController()
  const needs = { draws: (id: string) => id === able.peer }
  const routing = new Routing({ self: peerId(0), peers: () => [old, able] })
  const hops = async (needs = {}): Promise<string[]> => {
    const route = await routing.route(shape, new Set(), { signal, needs })
    routing.release(route)
    return route.map(hop => hop.peer)
  }
  expect([await hops(), await hops(needs)]).toEqual([[old.peer], [able.peer]])
  const route = [{ peer: able.peer, start: 0, end: 4 }]
  const detour = { excluded: new Set([able.peer]), pin: new ClassPin() }
  expect(routing.detour(shape, route, { ...detour, needs })).toBeUndefined()
  expect(routing.detour(shape, route, detour)).toBeDefined()
  const nobody = new Routing({ self: peerId(0), peers: () => [old] })
  await expect(nobody.route(shape, new Set(), { signal: AbortSignal.abort(), needs })).rejects.toThrow(
    'test cannot answer with this sampling: no peer that is here knows all of it'
  )
})
