/** A peer that fails, or goes, in one stage of a model and serves another one of it as well as ever. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { EngineError } from '../../src/errors.ts'
import { answerRoute } from '../../src/route/asking.ts'
import { explainNoRoute } from '../../src/route/explain.ts'
import { type Hop, placeOf } from '../../src/route/view.ts'
import { Detour } from '../../src/session/detour.ts'
import { model, peer, peerId as viewId, stage } from '../route/worlds.ts'
import { collect, modelId, peerId, prompt, type TestPeer, TestWorld } from './world.ts'

const first = { start: 0, end: 2 }
const middle = { start: 2, end: 4 }
const last = { start: 4, end: 6 }

describe('a session along a peer that holds the first and the last stage', () => {
  let world: TestWorld
  let both: TestPeer
  let driver: TestPeer
  beforeEach(async () => {
    world = new TestWorld()
    both = await world.add('p', [first, last])
    await world.add('q', [middle])
    await world.add('r', [first])
    driver = await world.add('D', [])
  })
  afterEach(() => world.stop())

  const through = (hop: Hop | undefined): string => `${hop?.peer.slice(8)} ${hop?.start}-${hop?.end}`

  async function answers(): Promise<void> {
    const ids = prompt(10)
    const generation = world.generate(driver, ids, { maxTokens: 20 })
    const events = await collect(generation.events())
    expect(events.flatMap(event => (event.event === 'token' ? [event.id] : []))).toEqual(world.expected(ids, 20))
    expect(world.routes.at(-1)!.map(through)).toEqual(['r 0-2', 'q 2-4', 'p 4-6'])
    expect(driver.violations).toEqual([])
  }

  test('whose engine of the first one fails: only that one is gone around', async () => {
    both.probes[0]!.beforeRun = ({ position }) => {
      if (position >= 15) throw new EngineError('this engine has failed')
    }
    await answers()
  })

  test('that unloads the first one in mid-answer: it has not left', async () => {
    let isGoing = false
    both.probes[0]!.beforeRun = ({ position }) => {
      if (position < 15 || isGoing) return
      isGoing = true
      void both.stages.remove(modelId, first)
      both.probes.splice(0, 1)
    }
    await answers()
  })
})

describe('routes without one stage of a peer', () => {
  const shape = model(4)
  const two = [peer(0, 100, { stages: [stage(0, 2), stage(2, 4)] })]
  const excluded = new Set([placeOf({ peer: viewId(0), start: 0, end: 2 })])
  const ask = (views: typeof two) =>
    answerRoute(views, shape, { from: viewId(9), excluded, inflight: new Map(), waitedMs: 0 })

  test('lead through its other ones', () => {
    expect(ask([...two, peer(1, 100, { stages: [stage(0, 2)] })])).toEqual({
      kind: 'hops',
      hops: [
        { peer: viewId(1), start: 0, end: 2 },
        { peer: viewId(0), start: 2, end: 4 }
      ]
    })
  })

  test('say what is missing, where there is nobody else', () => {
    expect(ask(two)).toEqual({ kind: 'wait' })
    expect(explainNoRoute(two, shape, excluded)?.layers).toEqual([{ start: 0, end: 2 }])
  })
})

test('a way around a stage that goes may use another one of its peer', () => {
  const hop = (name: string, start: number): Hop => ({ peer: peerId(name), start, end: start + 2 })
  const old = [hop('p', 0), hop('q', 2), hop('p', 4)]
  const init = { old, route: [hop('r', 0), hop('q', 2), hop('p', 4)], exact: true, epoch: 0, nowMs: 0 }
  const stages = new Detour({ ...init, leaving: new Set([placeOf(old[0]!)]) })
  expect(stages.left).toEqual([{ ...old[0], hop: 0 }])
  // A whole peer is left only by a route that does without it.
  expect(new Detour({ ...init, leaving: new Set<PeerId>([peerId('p')]) }).left).toEqual([])
})
