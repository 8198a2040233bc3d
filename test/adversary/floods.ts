/**
 * What one certified member can take in a swarm, each kind as fast as it can until it is told to end: channels, seats, passes of engines, shelves,
 * weights, records, the DHT, what is said of members, memory for frames, and handshakes. It has all roles, and its certificate is good.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import type { ModelId, PeerId, SessionId } from '../../src/base/ids.ts'
import type { Protocol } from '../../src/base/protocol.ts'
import { encodeFrame as encodeInfer } from '../../src/infer/codec.ts'
import { inferProtocol } from '../../src/infer/message.ts'
import { encodeRequest } from '../../src/keep/codec.ts'
import { keepEntryBytesMax, keepTtlMaxMs } from '../../src/keep/limits.ts'
import { keepProtocol } from '../../src/keep/message.ts'
import { decodeFrame, encodeFrame } from '../../src/stage/codec.ts'
import { ReceiveCredit, SendCredit } from '../../src/stage/credit.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { type RouteHop, type SignedTerms, signTerms } from '../../src/stage/terms.ts'
import { encodeFrame as encodeShards } from '../../src/supply/codec.ts'
import { type FileId, shardsProtocol } from '../../src/supply/frame.ts'
import type { Host } from '../../src/swarm/host.ts'
import type { Identity } from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import { encodeLinkFrame } from '../../src/swarm/link-frame.ts'
import { trustProtocol } from '../../src/swarm/membership-service.ts'
import { encodeRecord } from '../../src/swarm/record.ts'
import { encodeRecordsFrame } from '../../src/swarm/records-frame.ts'
import { recordsProtocol } from '../../src/swarm/records-service.ts'
import { dhtKey } from '../../src/swarm/dht-store.ts'
import { encodeFrame as encodeTrust } from '../../src/trust/frame.ts'

export const floodKinds = [
  'streams',
  'seats',
  'steps',
  'prompts',
  'frames',
  'shelves',
  'weights',
  'records',
  'values',
  'members',
  'garbage',
  'runs',
  'handshakes'
] as const
export type FloodKind = (typeof floodKinds)[number]

/** Whom it has in mind. */
export interface Prey {
  readonly model: ModelId
  readonly layers: number
  readonly hidden: number
  /** The head and the tail that honest sessions run through, and where they listen. */
  readonly stages: readonly {
    readonly peer: PeerId
    readonly start: number
    readonly end: number
    readonly addresses: readonly string[]
  }[]
  /** Files of the model that they have. */
  readonly files: readonly { readonly file: FileId; readonly bytes: number }[]
}

/** The member that floods. */
export interface Flooder {
  readonly host: Host
  readonly identity: Identity
  /** Another host of the same member, for handshakes. */
  readonly again: () => Promise<Host>
}

type Flood = (by: Flooder, prey: Prey, signal: AbortSignal) => Promise<void>

/** Floods until the signal. Never throws. */
export async function flood(kind: FloodKind, by: Flooder, prey: Prey, signal: AbortSignal): Promise<void> {
  await acts[kind](by, prey, signal).catch(() => {})
}

/** Does something again and again, as often as the loop lets it. */
async function again(signal: AbortSignal, work: () => Promise<unknown>): Promise<void> {
  while (!signal.aborted) {
    await work().catch(() => delay(2))
    await new Promise(resolve => setImmediate(resolve))
  }
}

async function open(
  { host }: Flooder,
  peer: PeerId,
  protocol: Protocol,
  onFrame: (bytes: Uint8Array) => void = () => {}
): Promise<Channel> {
  const channel = await host.open(peer, protocol, { signal: AbortSignal.timeout(5_000) })
  channel.receive({ onFrame, onClose: () => {} })
  return channel
}

/** Sends while there is room, and waits where there is none. */
async function pour(channel: Channel, frame: Uint8Array, signal: AbortSignal, pause = 64): Promise<void> {
  for (let n = 1; !signal.aborted; n++) {
    if (!channel.send(frame)) await channel.ready({ signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]) })
    else if (n % pause === 0) await new Promise(resolve => setImmediate(resolve))
  }
}

/** One after another on a channel that is opened again whenever it ends, at each stage. */
function pouring(
  protocol: Protocol,
  frame: () => Uint8Array,
  { lanes = 2, begin = () => [] as Uint8Array[] } = {}
): Flood {
  return async (by, { stages }, signal) => {
    await Promise.all(
      stages.flatMap(({ peer }) =>
        Array.from({ length: lanes }, () =>
          again(signal, async () => {
            const channel = await open(by, peer, protocol)
            for (const first of begin()) channel.send(first)
            try {
              await pour(channel, frame(), signal)
            } finally {
              channel.abort(new Error('enough'))
            }
          })
        )
      )
    )
  }
}

function termsAt(
  { host, identity }: Flooder,
  { model, layers, stages }: Prey,
  at: number,
  { tokensMax = 250, room = undefined as 'wait' | undefined } = {}
): SignedTerms {
  const { peer, start, end } = stages[at]!
  const route: RouteHop[] = [
    { peer: host.self, start: 0, end: start },
    { peer, start, end },
    { peer: host.self, start: end, end: layers }
  ].filter(hop => hop.end > hop.start)
  return signTerms(
    {
      session: randomBytes(16).toString('hex') as SessionId,
      epoch: 0,
      model,
      route,
      driver: host.self,
      tokensMax,
      keep: 0,
      sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 },
      ...(room === undefined ? {} : { room })
    },
    identity.sign
  )
}

const hopAt = ({ stages }: Prey, at: number): number => (stages[at]!.start === 0 ? 0 : 1)

/** Sessions at a stage that step without end: `tokens` at a time, from the beginning again when their cache is full. */
async function stepping(
  by: Flooder,
  prey: Prey,
  { at, tokens, signal }: { at: number; tokens: number; signal: AbortSignal }
): Promise<void> {
  const tokensMax = 250
  await again(signal, async () => {
    const terms = termsAt(by, prey, at, { tokensMax })
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    let position = 0
    const channel = await by.host.open(prey.stages[at]!.peer, stageProtocol, { signal: AbortSignal.timeout(5_000) })
    const credit = new SendCredit()
    const input =
      hopAt(prey, at) === 0
        ? { kind: 'ids' as const, ids: new Int32Array(tokens).fill(5) }
        : { kind: 'hidden' as const, bytes: new Uint8Array(4 * tokens * prey.hidden) }
    const stepAll = (): void => {
      while (!signal.aborted && credit.allows(tokens)) {
        if (position + tokens > tokensMax) position = 0
        channel.send(encodeFrame({ kind: 'step', epoch: 0, position, tokens, sample: false, input }))
        credit.sent(tokens)
        position += tokens
      }
    }
    channel.receive({
      onFrame: bytes => {
        const frame = decodeFrame(bytes)
        if (frame?.kind === 'refuse') resolve()
        if (frame?.kind === 'ack' && credit.acked(frame.steps, frame.tokens)) stepAll()
      },
      onClose: () => resolve()
    })
    channel.send(encodeFrame({ kind: 'open', hop: hopAt(prey, at), terms }))
    stepAll()
    signal.addEventListener('abort', () => resolve(), { once: true })
    await ended
    channel.abort(new Error('enough'))
  })
}

const steppers =
  (lanes: number, tokens: number): Flood =>
  async (by, prey, signal) => {
    await takeOver(by)
    await Promise.all(
      prey.stages.flatMap((_, at) => Array.from({ length: lanes }, () => stepping(by, prey, { at, tokens, signal })))
    )
  }

/** What stages send on to this member as the next hop, it takes and acknowledges. */
async function takeOver({ host }: Flooder): Promise<void> {
  if (host.protocols.some(id => id.startsWith(stageProtocol.name))) return
  await host.handle(stageProtocol, { inboundMax: 1_024, frameBytesMax: 16 << 20 }, channel => {
    const credit = new ReceiveCredit()
    channel.receive({
      onFrame: bytes => {
        const frame = decodeFrame(bytes)
        if (frame?.kind !== 'step') return
        const { position, tokens } = frame
        credit.arrived(tokens)
        credit.done(tokens)
        if (!credit.takeAck()) return
        const { steps, tokens: all } = credit
        channel.send(encodeFrame({ kind: 'ack', epoch: 0, length: position + tokens, steps, tokens: all }))
      },
      onClose: () => {}
    })
  })
}

const hardware = { cores: 1, memoryBytes: 1e9, architecture: 'x64', platform: 'linux', cpu: '' }

const acts: Record<FloodKind, Flood> = {
  /** Opens and leaves them open; whatever is refused is asked for again. */
  async streams(by, { stages }, signal) {
    const protocols = [stageProtocol, keepProtocol, shardsProtocol, recordsProtocol, trustProtocol]
    await Promise.all(
      stages.flatMap(({ peer }) =>
        protocols.map(protocol =>
          again(signal, async () => {
            const opening = Array.from({ length: 16 }, () => open(by, peer, protocol))
            for (const { status, ...rest } of await Promise.allSettled(opening)) {
              if (status === 'fulfilled') (rest as { value: Channel }).value.abort(new Error('enough'))
            }
          })
        )
      )
    )
  },

  /** Sessions that reserve caches and what is kept for replay, and never step. */
  async seats(by, prey, signal) {
    await takeOver(by)
    const held: Channel[] = []
    await Promise.all(
      prey.stages.map(({ peer }, at) =>
        again(signal, async () => {
          const channel = await open(by, peer, stageProtocol)
          const terms = termsAt(by, prey, at, { room: 'wait' })
          channel.send(encodeFrame({ kind: 'open', hop: hopAt(prey, at), terms }))
          held.push(channel)
          if (held.length > 400) held.shift()!.abort(new Error('enough'))
        })
      )
    )
    for (const channel of held) channel.abort(new Error('enough'))
  },

  steps: steppers(16, 1),
  prompts: steppers(4, 128),

  /** Large frames without their last byte. */
  async frames({ host }, { stages }, signal) {
    const [name, revision] = [stageProtocol.name, stageProtocol.revisions[0]]
    await Promise.all(
      stages.map(({ peer }) =>
        again(signal, async () => {
          const [connection] = host.node.getConnections().filter(({ remotePeer }) => remotePeer.toString() === peer)
          const streams = await Promise.all(
            Array.from({ length: 16 }, () =>
              connection!.newStream(`${name}/${revision}`, { signal: AbortSignal.timeout(5_000) })
            )
          )
          for (const stream of streams) {
            stream.send(Uint8Array.of(0x80, 0x80, 0x80, 0x04))
            stream.send(new Uint8Array(1 << 20))
          }
          await delay(200)
          for (const stream of streams) stream.abort(new Error('enough'))
        })
      )
    )
  },

  /** The largest entries, each under another name. */
  async shelves(by, { stages }, signal) {
    await Promise.all(
      stages.flatMap(({ peer }) =>
        Array.from({ length: 8 }, () =>
          again(signal, async () => {
            const { promise: answered, resolve } = Promise.withResolvers<void>()
            const channel = await open(by, peer, keepProtocol, () => resolve())
            const id = randomBytes(32).toString('hex')
            const parts = [new Uint8Array(keepEntryBytesMax)]
            channel.send(encodeRequest({ kind: 'put', id, base: 0, version: 1, from: 0, parts, ttlMs: keepTtlMaxMs }))
            await Promise.race([answered, delay(1_000)])
            channel.abort(new Error('enough'))
          })
        )
      )
    )
  },

  /** One byte of each chunk of each file, on two streams. */
  async weights(by, { stages, files }, signal) {
    await Promise.all(
      stages.flatMap(({ peer }) =>
        [0, 1].map(() =>
          again(signal, async () => {
            let waiting = 0
            let resume = (): void => {}
            const channel = await open(by, peer, shardsProtocol, () => {
              waiting -= 1
              resume()
            })
            for (const { file, bytes } of files) {
              for (let chunk = 0; chunk * (256 << 10) < bytes && !signal.aborted; chunk++) {
                channel.send(encodeShards({ kind: 'range-request', file, chunk, offset: 0, length: 1 }))
                waiting += 1
                if (waiting < 64) continue
                await Promise.race([
                  new Promise<void>(resolve => {
                    resume = resolve
                  }),
                  delay(500)
                ])
              }
            }
            channel.abort(new Error('enough'))
          })
        )
      )
    )
  },

  /** Its own record, new each time, and records of identities that it invents. */
  async records(by, { stages, model, layers }, signal) {
    const { host, identity } = by
    const all = { start: 0, end: layers }
    let seq = Date.now()
    const record = (): Uint8Array => {
      const speed = { visitMs: 0, layerMs: 0.001, numericClass: 'x', pinned: null }
      const offer = { model, name: 'x', layers, held: [all], embedding: true, head: true, ...speed }
      const content = { addresses: [], agent: 'x', hardware, budgetBytes: 1e9, models: [offer], stages: [] }
      const rest = {
        load: { sessions: 0, queuedSteps: 0 },
        battery: null,
        leaving: false,
        neighbours: new Set<number>()
      }
      return encodeRecord({ peer: host.self, seq: seq++, ttlMs: 60_000, ...content, ...rest }, identity.sign)
    }
    await Promise.all(
      stages.map(({ peer }) =>
        again(signal, async () => {
          const channel = await open(by, peer, recordsProtocol)
          channel.send(encodeLinkFrame({ neighbours: 0, wanted: true }))
          for (let n = 0; n < 50 && !signal.aborted; n++) {
            // New ones, which are checked and passed on, and then as many old ones as there is time for.
            const frame = encodeRecordsFrame(Array.from({ length: 20 }, record))
            for (let i = 0; i < 10; i++) channel.send(frame)
            await channel.ready({ signal: AbortSignal.timeout(5_000) })
            await new Promise(resolve => setImmediate(resolve))
          }
          channel.abort(new Error('enough'))
        })
      )
    )
  },

  /** Values and providers in the DHT. */
  async values({ host }, _prey, signal) {
    await Promise.all(
      Array.from({ length: 8 }, () =>
        again(signal, async () => {
          const limited = AbortSignal.any([signal, AbortSignal.timeout(2_000)])
          for await (const _event of host.dht.put(dhtKey(host.self), new Uint8Array(4_000), { signal: limited }));
        })
      )
    )
  },

  /** Asks again and again for all that is known of members. */
  members: pouring(trustProtocol, () => encodeTrust({ known: { digests: new Uint8Array() } })),

  /** What is no frame at all. */
  garbage: pouring(trustProtocol, () => new Uint8Array(64).fill(0xff)),

  /** Runs of a graph that nobody has. */
  async runs(by, { stages, model }, signal) {
    await Promise.all(
      stages.flatMap(({ peer }) =>
        Array.from({ length: 8 }, () =>
          again(signal, async () => {
            const { promise: answered, resolve } = Promise.withResolvers<void>()
            const channel = await open(by, peer, inferProtocol, () => resolve())
            channel.send(encodeInfer({ kind: 'ask', model, inputs: [], deadlineMs: 1_000 }))
            await Promise.race([answered, delay(1_000)])
            channel.abort(new Error('enough'))
          })
        )
      )
    )
  },

  /** Connects, is admitted, and hangs up. */
  async handshakes(by, { stages }, signal) {
    const host = await by.again()
    try {
      await Promise.all(
        stages.map(({ peer, addresses }) =>
          again(signal, async () => {
            await host.dial(
              addresses.map(text => multiaddr(text)),
              { signal: AbortSignal.timeout(5_000) }
            )
            host.disconnect(peer, 'enough')
          })
        )
      )
    } finally {
      await host.stop()
    }
  }
}
