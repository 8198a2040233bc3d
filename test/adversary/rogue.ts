/**
 * Members of a swarm that mean no good, one kind at a time: they have the secret and speak the protocols, and do with them what
 * no `skein` does. Real hosts on loopback; each stays until it is told to leave.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type * as keys from '@libp2p/crypto/keys'
import type { ModelId, PeerId, Range, SwarmConfig } from '../../src/index.ts'
import type * as codec from '../../src/stage/codec.ts'
import type * as frames from '../../src/stage/frame.ts'
import type * as termsModule from '../../src/stage/terms.ts'
import type { Host } from '../../src/swarm/host.ts'
import type * as identityModule from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import type * as recordModule from '../../src/swarm/record.ts'
import type * as recordsModule from '../../src/swarm/records-frame.ts'
import type * as recordsServiceModule from '../../src/swarm/records-service.ts'
import type * as service from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'

// As it was built: Node does not take the types off the generated protocols.
const dist = '../../dist/src'
const load = async <T>(path: string): Promise<T> => (await import(`${dist}/${path}`)) as T
const { createSwarm } = await load<typeof service>('swarm/service.js')
const { recordsProtocol } = await load<typeof recordsServiceModule>('swarm/records-service.js')
const { encodeFrame, decodeFrame } = await load<typeof codec>('stage/codec.js')
const { stageProtocol } = await load<typeof frames>('stage/frame.js')
const { signTerms } = await load<typeof termsModule>('stage/terms.js')
const { identityOf } = await load<typeof identityModule>('swarm/identity.js')
const { encodeRecord } = await load<typeof recordModule>('swarm/record.js')
const { encodeRecordsFrame } = await load<typeof recordsModule>('swarm/records-frame.js')
const { generateKeyPair } = (await import('@libp2p/crypto/keys')) as typeof keys

/**
 * `silent`: claims to be fast, takes sessions and answers nothing. `liar`: claims every layer and serves none. `thief`: lures
 * sessions, and comes back for those that go around it. `garbage`: answers with bytes that are no frames. `hoarder`: opens
 * sessions and never steps. `inventor`: tells of peers that do not exist. `stuffer`: puts values under keys without end.
 * `halves`: leaves large frames without their last byte. `idler`: has no secret, and holds connections open.
 */
export const kinds = [
  'silent',
  'liar',
  'thief',
  'garbage',
  'hoarder',
  'inventor',
  'stuffer',
  'halves',
  'idler'
] as const
export type Kind = (typeof kinds)[number]

/** The model that is served, as far as a rogue needs it. */
export interface Prey {
  readonly swarm: SwarmConfig
  readonly model: ModelId
  readonly name: string
  readonly layers: number
  /** The numeric class that honest peers announce. */
  readonly numericClass: string
  /** Addresses of honest peers. */
  readonly addresses: readonly string[]
  /** Stages that honest peers serve now. */
  readonly stages: () => readonly { readonly peer: PeerId; readonly range: Range }[]
}

export interface Rogue {
  readonly kind: Kind
  /** Undefined where it is no member. */
  readonly id: PeerId | undefined
  leave(): Promise<void>
}

const highest = 2 ** 32 - 1

/** Joins and begins. */
export async function begin(kind: Kind, prey: Prey): Promise<Rogue> {
  if (kind === 'idler') return idle(prey)
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-rogue-'))
  const swarm = await createSwarm({
    dataDir,
    config: prey.swarm,
    mdns: false,
    neighbours: false,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: prey.addresses
  })
  const gone = new AbortController()
  const leave = async (): Promise<void> => {
    gone.abort(new Error('it leaves'))
    await swarm.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
  const act = acts[kind]
  await act(swarm, prey, gone.signal)
  return { kind, id: swarm.id, leave }
}

type Act = (swarm: Swarm, prey: Prey, signal: AbortSignal) => Promise<void>

/** Whole model on disk, served at no cost at all. */
function lure(swarm: Swarm, { model, name, layers, numericClass }: Prey): void {
  const all = { start: 0, end: layers }
  const offer = { model, name, layers, held: [all], embedding: true, head: true, visitMs: 0, layerMs: 0.001 }
  swarm.announce({
    budgetBytes: 1e9,
    models: [{ ...offer, numericClass, pinned: null }],
    stages: [all, { start: 0, end: 1 }].map(range => ({ model, ...range, serving: true, cacheBytesFree: 1e9 }))
  })
}

/** Takes stage streams, and does something with each frame. */
async function take(swarm: Swarm, onFrame: (channel: Channel, frame: frames.Frame) => void): Promise<void> {
  await swarm.links.handle(stageProtocol, { inboundMax: 256, frameBytesMax: 16 << 20 }, channel =>
    channel.receive({
      onFrame: bytes => {
        const frame = decodeFrame(bytes)
        if (frame !== undefined) onFrame(channel, frame)
      },
      onClose: () => {}
    })
  )
}

async function open(swarm: Swarm, peer: PeerId, signal: AbortSignal): Promise<Channel | undefined> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(5_000)])
  const channel = await swarm.links.open(peer, stageProtocol, { signal: limited }).catch(() => undefined)
  channel?.receive({ onFrame: () => {}, onClose: () => {} })
  return channel
}

/** Runs again and again until the signal; what fails is tried again. */
function every(ms: number, signal: AbortSignal, work: () => Promise<void>): void {
  void (async () => {
    while (!signal.aborted) {
      await work().catch(() => {})
      await new Promise(resolve => setTimeout(resolve, ms))
    }
  })()
}

const refuse = (frame: frames.OpenFrame, reason: frames.RefuseReason): Uint8Array =>
  encodeFrame({ kind: 'refuse', epoch: frame.terms.epoch, hop: frame.hop, reason, length: 0, message: 'no' })

const acts: Record<Exclude<Kind, 'idler'>, Act> = {
  async silent(swarm, prey) {
    await take(swarm, () => {})
    lure(swarm, prey)
  },

  async liar(swarm, prey) {
    await take(swarm, (channel, frame) => {
      if (frame.kind === 'open') channel.send(refuse(frame, 'not-serving'))
    })
    lure(swarm, prey)
  },

  async garbage(swarm, prey) {
    await take(swarm, channel => channel.send(Uint8Array.of(0xff, 0xff, 0xff, 1, 2, 3)))
    lure(swarm, prey)
  },

  async thief(swarm, prey, signal) {
    await take(swarm, (channel, frame) => {
      if (frame.kind !== 'open') return
      channel.send(refuse(frame, 'no-room'))
      const { terms } = frame
      const mine = { peer: swarm.id, start: 0, end: prey.layers }
      const stolen = signTerms({ ...terms, epoch: highest, route: [mine], keep: 0 }, swarm.sign)
      void (async () => {
        const end = await open(swarm, terms.driver, signal)
        end?.send(encodeFrame({ kind: 'open', hop: 1, terms: stolen }))
        for (let i = 0; i < 50; i++) {
          end?.send(encodeFrame({ kind: 'token', epoch: highest, position: terms.keep + i, ids: [66] }))
        }
        for (const { peer, range } of prey.stages()) {
          if (range.start === 0) continue
          const before = { peer: swarm.id, start: 0, end: range.start }
          const after = range.end === prey.layers ? [] : [{ peer: swarm.id, start: range.end, end: prey.layers }]
          const route = [before, { peer, ...range }, ...after]
          const seat = signTerms({ ...terms, epoch: highest, route, keep: 0 }, swarm.sign)
          const channel = await open(swarm, peer, signal)
          channel?.send(encodeFrame({ kind: 'open', hop: 1, terms: seat }))
        }
      })()
    })
    lure(swarm, prey)
  },

  async hoarder(swarm, prey, signal) {
    let n = 0
    every(2_000, signal, async () => {
      for (const { peer, range } of prey.stages()) {
        for (let i = 0; i < 60 && !signal.aborted; i++) {
          const before = range.start === 0 ? [] : [{ peer: swarm.id, start: 0, end: range.start }]
          const after = range.end === prey.layers ? [] : [{ peer: swarm.id, start: range.end, end: prey.layers }]
          const terms = signTerms(
            {
              session: (n++).toString(16).padStart(32, '0') as termsModule.Terms['session'],
              epoch: 0,
              model: prey.model,
              route: [...before, { peer, ...range }, ...after],
              driver: swarm.id,
              tokensMax: 250,
              keep: 0,
              sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 }
            },
            swarm.sign
          )
          const channel = await open(swarm, peer, signal)
          channel?.send(encodeFrame({ kind: 'open', hop: before.length, terms }))
        }
      }
    })
  },

  async inventor(swarm, prey, signal) {
    const hardware = { cores: 1, memoryBytes: 1e9, architecture: 'x64', platform: 'linux', cpu: '' }
    every(5_000, signal, async () => {
      const values: Uint8Array[] = []
      for (let i = 0; i < 300; i++) {
        const { id, sign } = identityOf(await generateKeyPair('Ed25519'))
        const all = { start: 0, end: prey.layers }
        const offer = { model: prey.model, name: prey.name, layers: prey.layers, held: [all], embedding: true }
        const speed = { head: true, visitMs: 0, layerMs: 0.001, numericClass: prey.numericClass, pinned: null }
        const addresses = Array.from({ length: 16 }, (_, k) =>
          Uint8Array.of(4, 127, 0, 0, 1, 6, (i * 16 + k) >> 8, (i * 16 + k) & 255)
        )
        values.push(
          encodeRecord(
            {
              ...{ peer: id, seq: Date.now(), ttlMs: 60_000, addresses, agent: 'x', hardware, budgetBytes: 1e9 },
              models: [{ ...offer, ...speed }],
              stages: [{ model: prey.model, ...all, serving: true, cacheBytesFree: 1e9 }],
              ...{ load: { sessions: 0, queuedSteps: 0 }, battery: null, leaving: false, neighbours: new Set() }
            },
            sign
          )
        )
      }
      for (const { peer } of prey.stages()) {
        const limited = AbortSignal.any([signal, AbortSignal.timeout(5_000)])
        const channel = await swarm.links.open(peer, recordsProtocol, { signal: limited }).catch(() => undefined)
        channel?.receive({ onFrame: () => {}, onClose: () => {} })
        for (let at = 0; at < values.length; at += 20) channel?.send(encodeRecordsFrame(values.slice(at, at + 20)))
      }
    })
  },

  async stuffer(swarm, _prey, signal) {
    const { dht } = swarm.links as Host
    let n = 0
    every(10, signal, async () => {
      const key = new TextEncoder().encode(`/skein/${swarm.id}/${n++}`)
      const value = new Uint8Array(4_000).fill(n)
      const limited = AbortSignal.any([signal, AbortSignal.timeout(2_000)])
      for await (const _event of dht.put(key, value, { signal: limited }));
    })
  },

  async halves(swarm, _prey, signal) {
    const { node } = swarm.links as Host
    every(3_000, signal, async () => {
      for (const connection of node.getConnections()) {
        for (let i = 0; i < 30 && !signal.aborted; i++) {
          const stream = await connection.newStream(`${stageProtocol.name}/${stageProtocol.revisions[0]}`, { signal })
          // A length of 8 MiB, and all of it but the last byte, as far as the window lets it.
          stream.send(Uint8Array.of(0x80, 0x80, 0x80, 0x04))
          stream.send(new Uint8Array(1 << 20))
        }
      }
    })
  }
}

/** 100 connections to each peer that say nothing, opened again when they are closed. */
async function idle({ addresses }: Prey): Promise<Rogue> {
  const sockets = new Set<Socket>()
  let over = false
  const connect = (port: number): void => {
    if (over) return
    const socket = createConnection({ host: '127.0.0.1', port, localAddress: '127.0.0.9' })
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      setTimeout(() => connect(port), 100).unref()
    })
  }
  for (const address of addresses) {
    const port = Number(/\/tcp\/(\d+)/.exec(address)?.[1])
    for (let i = 0; i < 100; i++) connect(port)
  }
  return {
    kind: 'idler',
    id: undefined,
    leave: async () => {
      over = true
      for (const socket of sockets) socket.destroy()
    }
  }
}
