/**
 * A member that attracts a session, is gone around, and comes back for it, over real libp2p connections on loopback and
 * with real signatures. Rule S25 of `protocols/stage.md`.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { stageFrameBytesMax, stageStreamsPerPeerMax } from '../../src/stage/limits.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { type Frame, stageProtocol } from '../../src/stage/frame.ts'
import { type RouteHop, type SignedTerms, signTerms } from '../../src/stage/terms.ts'
import type { Host } from '../../src/swarm/host.ts'
import type { Identity } from '../../src/swarm/identity.ts'
import { isWithout, type Without } from '../../src/route/view.ts'
import { Mesh } from './mesh.ts'
import { prompt, type TestPeer, type TestWorld } from './world.ts'

const highest = 2 ** 32 - 1
let mesh: Mesh
beforeEach(() => {
  mesh = new Mesh()
})
afterEach(() => mesh.stop())

class Thief {
  readonly #host: Host
  readonly #identity: Identity
  /** The terms that it was given. */
  terms: SignedTerms | undefined
  /** What came back to it. */
  readonly heard: Frame[] = []

  constructor(host: Host, identity: Identity) {
    this.#host = host
    this.#identity = identity
  }

  get id(): PeerId {
    return this.#host.self
  }

  /** Takes every Open and says politely that it has no room. */
  async serve(): Promise<void> {
    const options = { inboundMax: stageStreamsPerPeerMax, frameBytesMax: stageFrameBytesMax }
    await this.#host.handle(stageProtocol, options, channel =>
      channel.receive({
        onFrame: bytes => {
          const frame = decodeFrame(bytes)
          if (frame?.kind !== 'open') return
          this.terms = frame.terms
          const { epoch } = frame.terms
          channel.send(
            encodeFrame({ kind: 'refuse', epoch, hop: frame.hop, reason: 'no-room', length: 0, message: 'full' })
          )
        },
        onClose: () => {}
      })
    )
  }

  /** Opens a stream as hop `hop` of a route and an epoch of its choice, says more, and waits for the end of it. */
  open(
    to: PeerId,
    hop: number,
    route: readonly RouteHop[],
    { epoch = highest, then = [] }: { epoch?: number; then?: readonly Frame[] } = {}
  ): Promise<void> {
    // All is as the driver signed it, but for what it changes and whose signature is under it.
    const terms = signTerms({ ...this.terms!, epoch, route, keep: 0 }, this.#identity.sign)
    return this.#say(to, [{ kind: 'open', hop, terms }, ...then])
  }

  /** Passes on what the driver signed, when nobody asked it to. */
  replay(to: PeerId, hop: number): Promise<void> {
    return this.#say(to, [{ kind: 'open', hop, terms: this.terms! }])
  }

  async #say(to: PeerId, frames: readonly Frame[]): Promise<void> {
    const channel = await this.#host.open(to, stageProtocol, { signal: AbortSignal.timeout(5_000) })
    const ended = new Promise<void>(resolve => {
      channel.receive({ onFrame: bytes => this.heard.push(decodeFrame(bytes)!), onClose: () => resolve() })
    })
    for (const frame of frames) channel.send(encodeFrame(frame))
    await ended
  }
}

interface Scene {
  readonly world: TestWorld
  readonly driver: TestPeer
  readonly head: TestPeer
  readonly tail: TestPeer
  readonly thief: Thief
}

/** A driver without layers, a head and a tail; and a thief that is on the first route as hop `hop`. */
async function scene(): Promise<Scene> {
  const world = await mesh.world([
    [0, 0],
    [0, 3],
    [3, 6]
  ])
  const [driver, head, tail] = [...world.peers.values()] as [TestPeer, TestPeer, TestPeer]
  const { host, identity } = await mesh.join()
  const thief = new Thief(host, identity)
  await thief.serve()
  return { world, driver, head, tail, thief }
}

/** An answer whose first route leads through the thief, who does something at its tenth token. */
async function answer(
  { world, driver, head, tail, thief }: Scene,
  hop: 0 | 1,
  steal: () => Promise<void>
): Promise<void> {
  const honest = [
    { peer: head.id, start: 0, end: 3 },
    { peer: tail.id, start: 3, end: 6 }
  ]
  const lured = honest.with(hop, { ...honest[hop]!, peer: thief.id })
  const ids = prompt(40)
  const routeOf = (excluded: Without) => (isWithout(excluded, lured[hop]!) ? honest : lured)
  const hears = (peer: PeerId): boolean => mesh.hosts[0]!.connectedPeers.has(peer)
  const generation = world.generate(driver, ids, { maxTokens: 40, routeOf, hears })
  let stolen: Promise<void> | undefined
  const events = []
  for await (const event of generation.events()) {
    events.push(event)
    if (event.event === 'token' && event.position === 50) stolen = steal()
  }
  await stolen
  expect(events.at(-1)).toMatchObject({ event: 'done', ids: world.expected(ids, 40) })
  // What it was gone around for is all that went wrong.
  expect(events.filter(each => each.event === 'lost')).toEqual([
    { event: 'lost', peer: thief.id, hop, reason: 'no-room', charged: false }
  ])
}

describe('S25: a hop that was gone around', () => {
  test.each([highest, 1])(
    "cannot open the driver's end with epoch %i, and no token of its is believed",
    async epoch => {
      const all = await scene()
      const { driver, head, thief } = all
      const route = [
        { peer: head.id, start: 0, end: 3 },
        { peer: thief.id, start: 3, end: 6 }
      ]
      const token = (position: number): Frame => ({ kind: 'token', epoch, position, ids: [66] })
      const then = Array.from({ length: 20 }, (_, i) => token(50 + i))
      await answer(all, 1, () => thief.open(driver.id, 2, route, { epoch, then }))
      expect(thief.heard).toMatchObject([{ kind: 'refuse', reason: 'stale-epoch' }])
      expect(driver.violations).toEqual([])
      await all.world.stop()
    }
  )

  test('cannot take over a seat, and that is counted against it alone', async () => {
    const all = await scene()
    const { tail, thief } = all
    const route = [
      { peer: thief.id, start: 0, end: 3 },
      { peer: tail.id, start: 3, end: 6 }
    ]
    await answer(all, 0, () => thief.open(tail.id, 1, route))
    expect(thief.heard).toEqual([])
    expect(tail.violations).toEqual([[thief.id, 'impostor', expect.stringContaining('not signed by')]])
    await all.world.stop()
  })

  test('cannot have the terms that it was given open a seat, neither beside the answer nor after it', async () => {
    const all = await scene()
    const { tail, thief, world } = all
    await answer(all, 0, () => thief.replay(tail.id, 1))
    expect(world.sessions).toBe(0)
    await thief.replay(tail.id, 1)
    expect(world.sessions).toBe(0)
    const refusal = expect.objectContaining({ kind: 'refuse', reason: 'stale-epoch' })
    expect(thief.heard).toEqual([refusal, refusal])
    expect(tail.violations).toEqual([])
    await world.stop()
  })
})
