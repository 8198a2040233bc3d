/** Members that do what their roles do not allow: each role at each protocol, while honest members answer (protocols/trust.md, T15). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import { keepProtocol } from '../../src/keep/message.ts'
import { listModels } from '../../src/index.ts'
import { encodeFrame } from '../../src/stage/codec.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { probe } from '../../src/stage/probe-service.ts'
import { signTerms } from '../../src/stage/terms.ts'
import { shardsProtocol } from '../../src/supply/frame.ts'
import { lackingRole } from '../../src/swarm/member-roles.ts'
import { roles } from '../../src/trust/roles.ts'
import { lineTo } from './raw-peer.ts'
import { Scene } from './scene.ts'

/** Those that the stages here speak: `/skein/infer` is tried where somebody does (`test/swarm/members.test.ts`). */
const protocols = [stageProtocol, keepProtocol, shardsProtocol]
let scene: Scene
beforeAll(async () => {
  scene = await Scene.start()
}, 120_000)
afterAll(() => scene?.stop())

describe('a member whose only role is', () => {
  it.each(roles.filter(role => role !== 'driver'))(
    '%s is refused by name at each protocol that this role is not for',
    async role => {
      const { host } = await scene.rogue([role])
      const [{ id }] = scene.stages
      const refused = protocols.filter(({ name }) => lackingRole(name, 'opens', new Set([role])) !== undefined)
      expect(refused.length).toBeGreaterThan(0)
      const [before, from] = [scene.counted('wrong role'), scene.warnings.length]
      await scene.unharmed(async () => {
        for (const protocol of refused) {
          const line = await lineTo(host, id, protocol)
          line.channel.send(new Uint8Array(16))
          expect(await line.ended).toBeInstanceOf(Error)
          expect(line.frames).toEqual([])
        }
      })
      // Each is counted, and the first is told of at once.
      expect(scene.counted('wrong role')).toBe(before + refused.length)
      await scene.warned(`${host.self} opened a channel of ${refused[0]!.name} without the role`, from)
      expect(host.connectedPeers.has(id), 'it stays what it is').toBe(true)
    }
  )

  it('stage may pass sessions on, and is refused where it is the driver of one', async () => {
    const { host, identity } = await scene.rogue(['stage'])
    const [head] = scene.stages
    const { model, layers, cut } = scene
    const before = scene.counted('role')
    await scene.unharmed(async () => {
      const terms = signTerms(
        {
          session: '0f'.repeat(16) as SessionId,
          epoch: 0,
          model,
          route: [
            { peer: head.id, start: 0, end: cut },
            { peer: host.self, start: cut, end: layers }
          ],
          driver: host.self,
          tokensMax: 100,
          keep: 0,
          sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 }
        },
        identity.sign
      )
      const line = await lineTo(host, head.id, stageProtocol)
      line.channel.send(encodeFrame({ kind: 'open', hop: 0, terms }))
      expect(await line.ended).toBeInstanceOf(Error)
      await scene.warned(`${host.self} may have no sessions: it does not have the role driver`)
    })
    expect(scene.counted('role')).toBe(before + 1)
  })

  it('stage may see whether another stage computes, by a step from which no answer comes', async () => {
    const { host, identity } = await scene.rogue(['stage'])
    const [head] = scene.stages
    const { manifest } = (await listModels(scene.dirOf('driver')))[0]!
    const { layers, hidden } = manifest.config
    const model = { id: scene.model, layers, hidden, edge: manifest.edge }
    const range = { start: 0, end: scene.cut }
    const before = scene.counted('role')
    const asked = { links: host, sign: identity.sign, model, peer: head.id, range }
    expect(await scene.unharmed(() => probe(asked, { signal: AbortSignal.timeout(10_000) }))).toBe(true)
    expect(scene.counted('role')).toBe(before)
  })

  it.each([['driver'], ['viewer'], ['gateway']] as const)(
    '%s and that says that it serves all layers at no cost is asked for none of them',
    async role => {
      const swarm = await scene.member([role])
      const opened: string[] = []
      const { model, layers } = scene
      const all = { start: 0, end: layers }
      const offer = { model, name: 'stories15m', layers, held: [all], embedding: true, head: true }
      swarm.announce({
        budgetBytes: 64e9,
        models: [{ ...offer, visitMs: 0, layerMs: 0.001, numericClass: '', pinned: null }],
        stages: [{ model, ...all, serving: true, cacheBytesFree: 64e9 }]
      })
      await swarm.links.handle(stageProtocol, { inboundMax: 9, frameBytesMax: 1 << 20 }, ({ remote }) =>
        opened.push(remote)
      )
      const isKnown = (): boolean => scene.driver.status().peers.some(peer => peer.id === swarm.id)
      await expect.poll(isKnown, { timeout: 10_000 }).toBe(true)
      await scene.unharmed(() => scene.answer())
      expect(scene.driver.status().peers.find(peer => peer.id === swarm.id)!.stages).toEqual([])
      expect(opened).toEqual([])
    }
  )
})
