/** Frames that are none, of each protocol: what it costs who sends them, and what it costs nobody else (promise P10). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Protocol } from '../../src/base/protocol.ts'
import { type Rng, seeded } from '../../src/base/rng.ts'
import type { SessionId } from '../../src/base/ids.ts'
import { encodeFrame as encodeInfer } from '../../src/infer/codec.ts'
import { inferProtocol } from '../../src/infer/message.ts'
import { encodeRequest } from '../../src/keep/codec.ts'
import { keepProtocol } from '../../src/keep/message.ts'
import { encodeFrame as encodeStage } from '../../src/stage/codec.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { signTerms } from '../../src/stage/terms.ts'
import { encodeFrame as encodeShards } from '../../src/supply/codec.ts'
import { shardsProtocol } from '../../src/supply/frame.ts'
import { aliveProtocol } from '../../src/swarm/alive-service.ts'
import type { Host } from '../../src/swarm/host.ts'
import type { Identity } from '../../src/swarm/identity.ts'
import { encodeLinkFrame } from '../../src/swarm/link-frame.ts'
import { trustProtocol } from '../../src/swarm/membership-service.ts'
import { encodeRecordsFrame } from '../../src/swarm/records-frame.ts'
import { recordsProtocol } from '../../src/swarm/records-service.ts'
import { encodeFrame as encodeTrust } from '../../src/trust/frame.ts'
import { lineTo } from './raw-peer.ts'
import { Scene } from './scene.ts'

let scene: Scene
let rogue: { readonly host: Host; readonly identity: Identity }
beforeAll(async () => {
  scene = await Scene.start()
  rogue = await scene.rogue(['driver', 'stage', 'keeper', 'source'])
}, 120_000)
afterAll(() => scene?.stop())

const hex = '5a'.repeat(32)

/** Frames of a protocol that are right, as its seeds; and what is counted where one is not. */
function seedsOf(protocol: Protocol): { readonly frames: Uint8Array[]; readonly kind: string } {
  const { host, identity } = rogue
  switch (protocol) {
    case stageProtocol: {
      const route = [
        { peer: scene.stages[0].id, start: 0, end: scene.cut },
        { peer: host.self, start: scene.cut, end: scene.layers }
      ]
      const sampling = { temperature: 0, topP: 1, topK: 0, seed: 1 }
      const session = 'ab'.repeat(16) as SessionId
      const terms = {
        session,
        epoch: 0,
        model: scene.model,
        route,
        driver: host.self,
        tokensMax: 64,
        keep: 0,
        sampling
      }
      const input = { kind: 'ids', ids: Int32Array.of(1, 2, 3) } as const
      return {
        kind: 'malformed',
        frames: [
          encodeStage({ kind: 'open', hop: 0, terms: signTerms(terms, identity.sign) }),
          encodeStage({ kind: 'step', epoch: 0, position: 0, tokens: 3, sample: true, input }),
          encodeStage({ kind: 'ask', epoch: 0, round: 1 }),
          encodeStage({ kind: 'close', epoch: 0 })
        ]
      }
    }
    case inferProtocol:
      return {
        kind: 'infer',
        frames: [
          encodeInfer({ kind: 'ask', model: scene.model, inputs: [], deadlineMs: 1_000 }),
          encodeInfer({ kind: 'piece', data: new Uint8Array(100) })
        ]
      }
    case keepProtocol:
      return {
        kind: 'bad keep frame',
        frames: [
          encodeRequest({ kind: 'get', id: hex }),
          encodeRequest({
            kind: 'put',
            id: hex,
            base: 0,
            version: 1,
            from: 0,
            parts: [new Uint8Array(64)],
            ttlMs: 1_000
          })
        ]
      }
    case shardsProtocol:
      return {
        kind: 'bad shards frame',
        frames: [
          encodeShards({ kind: 'manifest-request', model: scene.model }),
          encodeShards({ kind: 'range-request', file: hex, chunk: 0, offset: 0, length: 8 })
        ]
      }
    case recordsProtocol:
      return {
        kind: 'bad records frame',
        frames: [encodeLinkFrame({ neighbours: 1, wanted: false }), encodeRecordsFrame([new Uint8Array(200)])]
      }
    case aliveProtocol:
      return { kind: 'bad alive frame', frames: [new Uint8Array([8, 1, 16, 1])] }
    default:
      return {
        kind: 'bad trust frame',
        frames: [encodeTrust({ known: { digests: new Uint8Array(32) } }), encodeTrust({ timeMs: Date.now() })]
      }
  }
}

/** A frame with a wound: cut off, a bit turned, a length that lies, something in the middle, or all of it drawn. */
function spoilt(frame: Uint8Array, rng: Rng): Uint8Array {
  const at = Math.floor(rng() * frame.length)
  const drawn = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, () => Math.floor(rng() * 256))
  switch (Math.floor(rng() * 5)) {
    case 0:
      return frame.subarray(0, at)
    case 1:
      return frame.map((byte, i) => (i === at ? byte ^ (1 << Math.floor(rng() * 8)) : byte))
    case 2:
      return frame.map((byte, i) => (i === at ? 0xff : byte))
    case 3:
      return new Uint8Array([...frame.subarray(0, at), ...drawn(8), ...frame.subarray(at)])
    default:
      return drawn(1 + Math.floor(rng() * 300))
  }
}

const all = [stageProtocol, inferProtocol, keepProtocol, shardsProtocol, recordsProtocol, aliveProtocol, trustProtocol]

describe('spoilt frames', () => {
  it.each(all)('of $name end their stream or say nothing, are counted, and harm nobody', async protocol => {
    const { host } = rogue
    const [{ id }] = scene.stages
    const { frames, kind } = seedsOf(protocol)
    const rng = seeded(11)
    const before = scene.counted(kind)
    await scene.unharmed(async () => {
      for (let i = 0; i < 60; i++) {
        const line = await lineTo(host, id, protocol)
        // Behind a good one, too, where only then something is expected.
        if (i % 3 === 0) line.channel.send(frames[0]!)
        line.channel.send(spoilt(frames[i % frames.length]!, rng))
        line.channel.send(new Uint8Array(20).fill(0xff))
        await Promise.race([line.ended, new Promise(resolve => setTimeout(resolve, 20))])
        line.channel.abort(new Error('enough'))
        await line.ended
      }
    })
    expect(scene.counted(kind)).toBeGreaterThan(before)
  })

  it('whose length is beyond all bounds end their stream at once', async () => {
    const { host } = rogue
    const [{ id }] = scene.stages
    const before = scene.counted('bad frame')
    await scene.unharmed(async () => {
      for (const { name, revisions } of all) {
        const [connection] = host.node.getConnections().filter(({ remotePeer }) => remotePeer.toString() === id)
        const stream = await connection!.newStream(`${name}/${revisions[0]}`, { signal: AbortSignal.timeout(5_000) })
        const ended = new Promise(resolve => stream.addEventListener('close', resolve, { once: true }))
        // 2^34 bytes, as it says.
        stream.send(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x40))
        await ended
      }
    })
    expect(scene.counted('bad frame')).toBe(before + all.length)
  })
})
