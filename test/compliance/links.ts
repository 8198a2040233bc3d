/**
 * The contract of `src/swarm/links.ts`, held against any Links: those over libp2p, and those of the simulator.
 * Every claim is made twice, for a channel to another peer and for one to oneself.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import type { Protocol } from '../../src/base/protocol.ts'
import type { Channel, Links } from '../../src/swarm/links.ts'

/** Two peers that can reach each other. */
export interface LinksPair {
  readonly a: Links
  readonly b: Links
  /** A well-formed id of a peer that nobody can reach. */
  readonly stranger: PeerId
  close(): Promise<void>
}

/** What one end of a channel has seen. */
interface Seen {
  readonly channel: Channel
  readonly frames: Uint8Array[]
  /** How often `onClose` was called, and with what. */
  readonly closes: (Error | undefined)[]
}

function watch(channel: Channel): Seen {
  const seen: Seen = { channel, frames: [], closes: [] }
  channel.receive({ onFrame: frame => seen.frames.push(frame), onClose: error => seen.closes.push(error) })
  return seen
}

const signal = (): AbortSignal => AbortSignal.timeout(10_000)

async function until(condition: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`never happened: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

/** A few turns of the loop and then some: long enough for what must not happen to happen. */
const aWhile = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 60))

function bytes(length: number, fill: number): Uint8Array {
  return new Uint8Array(length).fill(fill)
}

/** Bytes of a frame with its varint prefix. */
function framed(length: number): number {
  return length + (length < 2 ** 7 ? 1 : length < 2 ** 14 ? 2 : length < 2 ** 21 ? 3 : 4)
}

export function linksCompliance(name: string, make: () => Promise<LinksPair>): void {
  describe(`${name} keep the contract of Links`, () => {
    let pair: LinksPair
    let protocols = 0
    beforeAll(async () => {
      pair = await make()
    })
    afterAll(async () => {
      await pair?.close()
    })

    for (const far of ['another peer', 'oneself'] as const) {
      describe(`on a channel to ${far}`, () => {
        const target = (): Links => (far === 'oneself' ? pair.a : pair.b)

        /** A fresh protocol at the target, and whoever knocks there. */
        async function serve({
          revisions = ['1.0.0'],
          ...limits
        }: {
          revisions?: readonly string[]
          inboundMax?: number
          frameBytesMax?: number
          onFull?: (channel: Channel) => void
        } = {}) {
          const protocol: Protocol = { name: `/skein/test-${protocols++}`, revisions }
          const inbound: Channel[] = []
          await target().handle(protocol, { inboundMax: 8, frameBytesMax: 4 << 20, ...limits }, channel => {
            inbound.push(channel)
          })
          return {
            protocol,
            inbound,
            open: (spoken = revisions) =>
              pair.a.open(target().self, { name: protocol.name, revisions: spoken }, { signal: signal() })
          }
        }

        /** Both ends of one open channel, watched. */
        async function connect(
          limits: { inboundMax?: number; frameBytesMax?: number; onFull?: (channel: Channel) => void } = {}
        ) {
          const served = await serve(limits)
          const near = watch(await served.open())
          await until(() => served.inbound.length === 1, 'the channel arrives')
          return { ...served, near, far: watch(served.inbound[0]!) }
        }

        it('each end knows who the other is', async () => {
          const { near, far } = await connect()
          expect(near.channel.remote).toBe(target().self)
          expect(far.channel.remote).toBe(pair.a.self)
          await near.channel.close()
        })

        it('frames of any size arrive whole, in order and in both directions', async () => {
          const { near, far } = await connect()
          const sizes = [0, 1, 127, 128, 16_383, 16_384, 300_000, 0, 3, 1 << 20, 2]
          for (const [i, size] of sizes.entries()) {
            near.channel.send(bytes(size, i))
            far.channel.send(bytes(size, 100 + i))
          }
          await until(() => far.frames.length === sizes.length && near.frames.length === sizes.length, 'all frames')
          for (const [i, size] of sizes.entries()) {
            expect(Buffer.compare(far.frames[i]!, bytes(size, i)), `frame ${i} out`).toBe(0)
            expect(Buffer.compare(near.frames[i]!, bytes(size, 100 + i)), `frame ${i} back`).toBe(0)
          }
          await near.channel.close()
        })

        it('counts frames with their length prefixes', async () => {
          const { near, far } = await connect()
          const sizes = [0, 127, 128, 20_000]
          for (const size of sizes) near.channel.send(bytes(size, 1))
          await until(() => far.frames.length === sizes.length, 'all frames')
          const total = sizes.reduce((sum, size) => sum + framed(size), 0)
          expect(near.channel.bytesSent).toBe(total)
          expect(far.channel.bytesReceived).toBe(total)
          expect(near.channel.bytesReceived).toBe(0)
          await near.channel.close()
        })

        it('frames that came before receive() are delivered first', async () => {
          const { open, inbound } = await serve()
          const channel = await open()
          for (let i = 0; i < 5; i++) channel.send(Uint8Array.of(i))
          await until(() => inbound.length === 1, 'the channel arrives')
          await aWhile()
          const late = watch(inbound[0]!)
          channel.send(Uint8Array.of(5))
          await until(() => late.frames.length === 6, 'all frames')
          expect(late.frames.map(frame => frame[0])).toEqual([0, 1, 2, 3, 4, 5])
          await channel.close()
        })

        it('frames and a close that came before receive() are both told, in that order', async () => {
          const { open, inbound } = await serve()
          const channel = await open()
          channel.send(Uint8Array.of(7))
          await until(() => inbound.length === 1, 'the channel arrives')
          void channel.close()
          await aWhile()
          const order: string[] = []
          inbound[0]!.receive({
            onFrame: frame => order.push(`frame ${frame[0]}`),
            onClose: error => order.push(error === undefined ? 'close' : `error ${error.message}`)
          })
          await until(() => order.length === 2, 'frame and close')
          expect(order).toEqual(['frame 7', 'close'])
        })

        it('send never enters a receiver in the same turn', async () => {
          const { open, inbound } = await serve()
          const channel = await open()
          await until(() => inbound.length === 1, 'the channel arrives')
          let sending = false
          let entered = false
          let rounds = 0
          const bounce = (end: Channel) => (): void => {
            if (sending) entered = true
            if (++rounds > 50) return
            sending = true
            end.send(Uint8Array.of(1))
            sending = false
          }
          channel.receive({ onFrame: bounce(channel), onClose: () => {} })
          inbound[0]!.receive({ onFrame: bounce(inbound[0]!), onClose: () => {} })
          bounce(channel)()
          await until(() => rounds > 50, 'fifty bounces')
          expect(entered).toBe(false)
          await channel.close()
        })

        it('send asks to wait, ready() waits, and nothing is lost', async () => {
          const { near, far } = await connect()
          const chunk = bytes(256 << 10, 9)
          let sent = 0
          let waits = 0
          while (sent < 96) {
            sent++
            if (near.channel.send(chunk)) continue
            waits++
            await near.channel.ready({ signal: signal() })
          }
          expect(waits, 'send said to wait').toBeGreaterThan(0)
          await until(() => far.frames.length === sent, 'all frames')
          expect(far.frames.every(frame => frame.byteLength === chunk.byteLength)).toBe(true)
          await near.channel.close()
        })

        it('ready() ends with the reason of its signal', async () => {
          const { near } = await connect()
          const chunk = bytes(1 << 20, 9)
          let asked = false
          for (let i = 0; i < 64 && !asked; i++) asked = !near.channel.send(chunk)
          expect(asked).toBe(true)
          const reason = new Error('enough')
          await expect(near.channel.ready({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
          near.channel.abort(new Error('test over'))
        })

        it('ready() ends when the channel does', async () => {
          const { near, far } = await connect()
          far.channel.abort(new Error('gone'))
          await until(() => near.closes.length === 1, 'the end arrives')
          await expect(near.channel.ready({ signal: signal() })).rejects.toBeInstanceOf(Error)
        })

        it('close() sends what is queued and tells both ends once, without an error', async () => {
          const { near, far } = await connect()
          for (let i = 0; i < 20; i++) near.channel.send(bytes(100_000, i))
          await near.channel.close()
          await until(() => far.closes.length > 0 && near.closes.length > 0, 'both ends are told')
          await aWhile()
          expect(far.frames.length).toBe(20)
          expect(far.closes).toEqual([undefined])
          expect(near.closes).toEqual([undefined])
        })

        it('a frame sent after close or abort is dropped', async () => {
          const { near, far } = await connect()
          void near.channel.close()
          expect(near.channel.send(Uint8Array.of(1))).toBe(false)
          await until(() => far.closes.length > 0, 'the close arrives')
          expect(far.channel.send(Uint8Array.of(1))).toBe(false)
          await near.channel.close()
          near.channel.abort(new Error('too late'))
          await aWhile()
          expect(far.frames).toEqual([])
          expect(far.closes).toEqual([undefined])
        })

        it('abort() gives its error here and an error there, once each', async () => {
          const { near, far } = await connect()
          const error = new Error('no more')
          near.channel.abort(error)
          near.channel.abort(new Error('again'))
          await until(() => far.closes.length > 0, 'the abort arrives')
          await aWhile()
          expect(near.closes).toEqual([error])
          expect(far.closes.length).toBe(1)
          expect(far.closes[0]).toBeInstanceOf(Error)
        })

        it('a frame over the limit ends that channel with a ProtocolError, and no other', async () => {
          const { near, far, open, inbound } = await connect({ frameBytesMax: 1000 })
          const other = watch(await open())
          await until(() => inbound.length === 2, 'the second channel arrives')
          const otherFar = watch(inbound[1]!)
          near.channel.send(bytes(1000, 1))
          try {
            near.channel.send(bytes(1001, 1))
          } catch {
            // Where both ends know the limit, sending more is a defect of this program and may throw at once.
            return
          }
          await until(() => far.closes.length > 0 && near.closes.length > 0, 'both ends are told')
          expect(far.frames.length).toBe(1)
          expect(far.closes[0]?.name).toBe('ProtocolError')
          expect(near.closes[0]).toBeInstanceOf(Error)
          other.channel.send(Uint8Array.of(1))
          await until(() => otherFar.frames.length === 1, 'the other channel works')
          await other.channel.close()
        })

        it('at most inboundMax channels are open at once; one that closes makes room', async () => {
          const { near, far, open, inbound } = await connect({ inboundMax: 2 })
          const second = watch(await open())
          await until(() => inbound.length === 2, 'the second arrives')
          const secondFar = watch(inbound[1]!)
          // The third fails to open, or ends with an error at once.
          const third = await open().then(watch, (error: Error) => error)
          if (!(third instanceof Error)) {
            await until(() => third.closes.length === 1, 'the third ends')
            expect(third.closes[0]).toBeInstanceOf(Error)
          }
          expect(inbound.length).toBe(2)
          near.channel.send(Uint8Array.of(1))
          second.channel.send(Uint8Array.of(2))
          await until(() => far.frames.length === 1 && secondFar.frames.length === 1, 'the first two work')
          await near.channel.close()
          await until(() => far.closes.length === 1 && near.closes.length === 1, 'the first is closed')
          await aWhile()
          const fourth = watch(await open())
          await until(() => inbound.length === 3, 'the fourth arrives')
          const fourthFar = watch(inbound[2]!)
          fourth.channel.send(Uint8Array.of(4))
          await until(() => fourthFar.frames.length === 1, 'the fourth works')
          await second.channel.close()
          await fourth.channel.close()
        })

        it('channels beyond inboundMax go to onFull, where they are refused in the own words of a protocol', async () => {
          const refused: Channel[] = []
          const { near, far, open, inbound } = await connect({ inboundMax: 1, onFull: each => refused.push(each) })
          const second = watch(await open())
          await until(() => refused.length === 1, 'the second arrives')
          refused[0]!.send(Uint8Array.of(9))
          await refused[0]!.close()
          await until(() => second.closes.length === 1, 'the second ends')
          expect(second.frames.map(frame => [...frame])).toEqual([[9]])
          expect(second.closes).toEqual([undefined])
          expect(inbound.length).toBe(1)
          near.channel.send(Uint8Array.of(1))
          await until(() => far.frames.length === 1, 'the first works')
          await near.channel.close()
        })

        it('channels that are aborted at once leave their places free', async () => {
          const { open, inbound } = await serve({ inboundMax: 2 })
          for (let i = 0; i < 10; i++) {
            const hasty = await open().catch(() => undefined)
            hasty?.abort(new Error('changed my mind'))
          }
          await aWhile()
          const before = inbound.length
          const near = watch(await open())
          await until(() => inbound.length === before + 1, 'the channel arrives')
          const far = watch(inbound.at(-1)!)
          near.channel.send(Uint8Array.of(1))
          await until(() => far.frames.length === 1, 'it works')
          await near.channel.close()
        })

        it('both ends speak the newest revision that they have in common', async () => {
          const { open, inbound } = await serve({ revisions: ['1.2.0', '1.1.0', '1.0.0'] })
          for (const spoken of [['1.2.0', '1.1.0'], ['1.3.0', '1.1.0', '1.0.0'], ['1.0.0']]) {
            const common = spoken.find(each => each !== '1.3.0')
            const before = inbound.length
            const near = watch(await open(spoken))
            await until(() => inbound.length === before + 1, 'the channel arrives')
            const far = watch(inbound.at(-1)!)
            expect([near.channel.revision, far.channel.revision]).toEqual([common, common])
            near.channel.send(Uint8Array.of(1))
            await until(() => far.frames.length === 1, 'it works')
            await near.channel.close()
          }
          await expect(open(['2.0.0'])).rejects.toMatchObject({ name: 'PeerLostError' })
        })

        it('open() throws PeerLostError for a protocol that is not, or no longer, spoken', async () => {
          const { protocol, open } = await serve()
          await expect(
            pair.a.open(target().self, { name: '/skein/never', revisions: ['1.0.0'] }, { signal: signal() })
          ).rejects.toMatchObject({
            name: 'PeerLostError',
            peer: target().self
          })
          await target().unhandle(protocol)
          await expect(open()).rejects.toMatchObject({ name: 'PeerLostError' })
        })

        it('open() throws the reason of a signal that is aborted', async () => {
          const { protocol } = await serve()
          const reason = new Error('not now')
          await expect(pair.a.open(target().self, protocol, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
        })
      })
    }

    it('open() throws PeerLostError for a peer that cannot be reached', async () => {
      await expect(
        pair.a.open(pair.stranger, { name: '/skein/test', revisions: ['1.0.0'] }, { signal: signal() })
      ).rejects.toMatchObject({
        name: 'PeerLostError',
        peer: pair.stranger
      })
    })
  })
}
