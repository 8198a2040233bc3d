/** Members that come for sessions of others: with terms that they once had, with terms that they made, and as tails (protocols/stage.md, S2, S25, S28). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { type Frame, type OpenFrame, stageProtocol } from '../../src/stage/frame.ts'
import { type RouteHop, signTerms } from '../../src/stage/terms.ts'
import type { PeerId, Range } from '../../src/index.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.start()
}, 120_000)
afterAll(() => scene?.stop())

/** A member that may serve, says that it does so at no cost, keeps what sessions say to it, and has no room. */
async function thiefOf(range: Range): Promise<{ readonly swarm: Swarm; readonly opens: OpenFrame[] }> {
  const swarm = await scene.member(['stage', 'driver'])
  const opens: OpenFrame[] = []
  await swarm.links.handle(stageProtocol, { inboundMax: 256, frameBytesMax: 16 << 20 }, channel =>
    channel.receive({
      onFrame: bytes => {
        const frame = decodeFrame(bytes)
        if (frame?.kind !== 'open') return
        // The probes of stages are sessions, too: of these nothing can be taken.
        if (frame.terms.driver === scene.driver.id && frame.terms.tokensMax > 10) opens.push(frame)
        const { epoch } = frame.terms
        channel.send(
          encodeFrame({ kind: 'refuse', epoch, hop: frame.hop, reason: 'no-room', length: 0, message: 'no' })
        )
        void channel.close()
      },
      onClose: () => {}
    })
  )
  const { model, layers } = scene
  const honest = scene.driver.status().peers.find(({ id }) => id === scene.stages[0].id)!
  const offer = { model, name: 'stories15m', layers, held: [range], embedding: true, head: true }
  const numericClass = honest.timings.find(each => each.model === model)?.numericClass ?? ''
  swarm.announce({
    budgetBytes: 64e9,
    models: [{ ...offer, visitMs: 0, layerMs: 0.001, numericClass, pinned: null }],
    stages: [{ model, ...range, serving: true, cacheBytesFree: 64e9 }]
  })
  return { swarm, opens }
}

/** Says frames over a stream of its own. @returns all that came back, once it is over or 300 ms have passed */
async function say({ links }: Swarm, to: PeerId, frames: readonly Frame[]): Promise<Frame[]> {
  const channel = await links.open(to, stageProtocol, { signal: AbortSignal.timeout(5_000) })
  const back: Frame[] = []
  const ended = new Promise<void>(resolve =>
    channel.receive({
      onFrame: bytes => {
        const frame = decodeFrame(bytes)
        if (frame !== undefined) back.push(frame)
      },
      onClose: () => resolve()
    })
  )
  for (const frame of frames) channel.send(encodeFrame(frame))
  await Promise.race([ended, new Promise(resolve => setTimeout(resolve, 300))])
  channel.abort(new Error('enough'))
  return back
}

const reasonsIn = (frames: readonly Frame[]): string[] =>
  frames.flatMap(frame => (frame.kind === 'refuse' ? [frame.reason] : []))

/** Until it has been lured, while answers go on. */
async function lured(opens: readonly OpenFrame[]): Promise<OpenFrame> {
  await expect.poll(() => opens.length, { timeout: 60_000, interval: 5 }).toBeGreaterThan(0)
  return opens.at(-1)!
}

describe('a former head, with terms that the driver signed', () => {
  it('finds its epoch over at the stage behind it, whatever steps it sends', async () => {
    const { swarm, opens } = await thiefOf({ start: 0, end: scene.cut })
    const [, tail] = scene.stages
    const reasons: string[] = []
    await scene.unharmed(async () => {
      const { terms } = await lured(opens)
      expect(terms.route.map(({ peer }) => peer)).toEqual([swarm.id, tail.id])
      for (let i = 0; i < 5; i++) {
        const back = await say(swarm, tail.id, [
          { kind: 'open', hop: 1, terms },
          { kind: 'ask', epoch: terms.epoch, round: 1 }
        ])
        expect(back.some(({ kind }) => kind === 'token')).toBe(false)
        reasons.push(...reasonsIn(back))
      }
    })
    expect(reasons.at(-1)).toBe('stale-epoch')
    await swarm.stop()
  })

  it('cannot make it a newer epoch, at any hop: the driver has not signed it', async () => {
    const { swarm, opens } = await thiefOf({ start: 0, end: scene.cut })
    const [head, tail] = scene.stages
    const before = scene.counted('impostor')
    await scene.unharmed(async () => {
      const { terms } = await lured(opens)
      const { route, payload, signature, ...rest } = terms
      expect(payload.byteLength + signature.byteLength).toBeGreaterThan(64)
      const newest = { ...rest, epoch: 2 ** 32 - 1, keep: 0 }
      const forged = signTerms({ ...newest, route }, swarm.sign)
      await say(swarm, tail.id, [{ kind: 'open', hop: 1, terms: forged }])
      await scene.warned(`the terms of epoch ${newest.epoch} are not signed by ${terms.driver}`)
      // As a driver of its own the same id is another session: a seat beside the one of whom it robs.
      const around: RouteHop[] = [
        { peer: head.id, start: 0, end: scene.cut },
        { peer: swarm.id, start: scene.cut, end: scene.layers }
      ]
      const own = signTerms({ ...newest, driver: swarm.id, route: around }, swarm.sign)
      await say(swarm, head.id, [{ kind: 'open', hop: 0, terms: own }])
    })
    expect(scene.counted('impostor')).toBeGreaterThan(before)
    await swarm.stop()
  })

  it('cannot say that it stands before a hop that has another one before it', async () => {
    const { swarm, opens } = await thiefOf({ start: 0, end: scene.cut })
    const [head, tail] = scene.stages
    const before = scene.counted('impostor')
    await scene.unharmed(async () => {
      const { terms } = await lured(opens)
      const route = [
        { peer: head.id, start: 0, end: scene.cut },
        { peer: tail.id, start: scene.cut, end: scene.layers }
      ]
      // A head is opened by its driver alone, and a tail by its head alone.
      for (const [hop, to] of [
        [0, head.id],
        [1, tail.id]
      ] as const) {
        await say(swarm, to, [{ kind: 'open', hop, terms: signTerms({ ...terms, route }, swarm.sign) }])
      }
    })
    expect(scene.counted('impostor')).toBeGreaterThanOrEqual(before + 2)
    await scene.warned(`but ${swarm.id} opened the stream`)
    await swarm.stop()
  })
})

describe('an impostor as a tail', () => {
  it('that was one gets in no token any more, and one that never was is named', async () => {
    const { swarm, opens } = await thiefOf({ start: scene.cut, end: scene.layers })
    const { driver } = scene
    const before = scene.counted('impostor')
    const reasons: string[] = []
    await scene.unharmed(async () => {
      const { terms } = await lured(opens)
      const tail = terms.route.length
      expect(terms.route.at(-1)!.peer).toBe(swarm.id)
      const token = (epoch: number): Frame => ({ kind: 'token', epoch, position: terms.keep + 1, ids: [66] })
      for (const epoch of [terms.epoch, terms.epoch + 1, terms.epoch + 2, 2 ** 32 - 1]) {
        const mine = epoch === terms.epoch ? terms : signTerms({ ...terms, epoch }, swarm.sign)
        const back = await say(swarm, driver.id, [
          { kind: 'open', hop: tail, terms: mine },
          ...Array.from({ length: 50 }, () => token(epoch))
        ])
        reasons.push(...reasonsIn(back))
      }
      // With the route that is used, where it is nobody.
      const honest = terms.route.map(hop => ({ ...hop, peer: scene.stages[hop.start === 0 ? 0 : 1].id }))
      await say(swarm, driver.id, [
        { kind: 'open', hop: tail, terms: signTerms({ ...terms, route: honest }, swarm.sign) }
      ])
    })
    // The session may be over by then: it is told that, and no more.
    expect(reasons).toHaveLength(4)
    expect(reasons.every(reason => reason === 'stale-epoch' || reason === 'not-serving')).toBe(true)
    expect(scene.counted('impostor')).toBeGreaterThan(before)
    await swarm.stop()
  })
})
