/** One probe step, asked of real stages over links in memory. */
import { afterEach, describe, expect, it } from 'vitest'
import { stageProtocol } from '../../src/stage/frame.ts'
import { judgeProbe } from '../../src/stage/probe.ts'
import { probe } from '../../src/stage/probe-service.ts'
import { encodeFrame } from '../../src/stage/codec.ts'
import { modelId, type TestPeer, TestWorld, toy } from '../session/world.ts'

let world: TestWorld
afterEach(() => world.stop())

const model = { id: modelId, layers: toy.layers, hidden: toy.hidden, edge: toy.edge }
const within = (ms: number): AbortSignal => AbortSignal.timeout(ms)

/** A peer that serves a range, and one that asks it. */
async function pair(range: { start: number; end: number }): Promise<{ asker: TestPeer; asked: TestPeer }> {
  world = new TestWorld()
  return { asker: await world.add('asker', []), asked: await world.add('asked', [range]) }
}

const ask = ({ links, sign }: TestPeer, peer: TestPeer, range: { start: number; end: number }, ms = 5_000) =>
  probe({ links, sign, model, peer: peer.id, range }, { signal: within(ms) })

describe('a probe', () => {
  it.each([
    ['a whole model', { start: 0, end: 6 }],
    ['a head', { start: 0, end: 2 }],
    ['a middle', { start: 2, end: 4 }],
    ['a tail', { start: 4, end: 6 }]
  ])('of %s has it compute one step, charges nobody and leaves nothing', async (_, range) => {
    const { asker, asked } = await pair(range)
    expect(await ask(asker, asked, range)).toBe(true)
    expect(asked.probes[0]!.steps.map(({ position, tokens, sample }) => [position, tokens, sample])).toEqual([
      [0, 1, false]
    ])
    await expect.poll(() => [world.sessions, world.cacheBytesUsed]).toEqual([0, 0])
    expect(asked.violations).toEqual([])
    expect(asker.violations).toEqual([])
  })

  it('fails where no such stage is served, there is no room, or the engine does not compute', async () => {
    const range = { start: 2, end: 4 }
    const { asker, asked } = await pair(range)
    expect(await ask(asker, asked, { start: 2, end: 5 })).toBe(false)
    asked.probes[0]!.beforeRun = () => {
      throw new Error('out of order')
    }
    expect(await ask(asker, asked, range)).toBe(false)
    const full = await world.add('packed', [range], { cacheBytesMax: 1 })
    expect(await ask(asker, full, range)).toBe(false)
    await expect.poll(() => world.sessions).toBe(0)
  })

  it('fails where nothing comes in time, and where nobody is there', async () => {
    const range = { start: 2, end: 4 }
    const { asker, asked } = await pair(range)
    let release = (): void => {}
    asked.probes[0]!.beforeRun = () => new Promise(resolve => (release = resolve))
    expect(await ask(asker, asked, range, 50)).toBe(false)
    release()
    await expect.poll(() => [world.sessions, world.cacheBytesUsed]).toEqual([0, 0])
    world.kill(asked.id)
    expect(await ask(asker, asked, range)).toBe(false)
  })

  it('fails at a peer that takes all and says nothing, or says what is no frame', async () => {
    world = new TestWorld()
    const asker = await world.add('asker', [])
    const mute = world.links.join('12D3KooWmute' as typeof asker.id)
    const heard: number[] = []
    await mute.handle(stageProtocol, { inboundMax: 9, frameBytesMax: 1e6 }, channel =>
      channel.receive({ onFrame: bytes => void heard.push(bytes.length), onClose: () => {} })
    )
    const at = { links: asker.links, sign: asker.sign, model, peer: mute.self, range: { start: 0, end: 6 } }
    expect(await probe(at, { signal: within(50) })).toBe(false)
    // What a probe sends: terms and one step.
    expect(heard.length).toBeGreaterThanOrEqual(2)
    expect(heard[0]! + heard[1]!).toBeLessThan(600)
    expect(judgeProbe(Uint8Array.of(1, 2, 3))).toBe(false)
    expect(judgeProbe(encodeFrame({ kind: 'ack', epoch: 0, length: 0, steps: 0, tokens: 0 }))).toBeUndefined()
  })
})
