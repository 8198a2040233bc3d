/** Yamux, with what @chainsafe/libp2p-yamux leaves to be mended. */
import { yamux } from '@chainsafe/libp2p-yamux'
import type { StreamMuxerFactory } from '@libp2p/interface'
import type { CountedStream, DhtBytes } from './dht-bytes.ts'
import { shortenStream, shortenYamux } from './short-way.ts'

/** What {@link mendStreams} has to know of a stream of @chainsafe/libp2p-yamux 8.0. */
interface YamuxStream extends CountedStream {
  /** 0 and 2 until the opening flags are sent, 5 while reading is paused. */
  readonly state: number
  readonly recvWindow: number
  readonly recvWindowCapacity: number
  sendWindowUpdate(): void
}

/**
 * Grants a sender more only when half of its window is used up, as other implementations of Yamux do. Left alone,
 * @chainsafe/libp2p-yamux 8.0 answers every frame of data with one of its own, however small: a step of 600 bytes costs
 * its receiver a second cipher and system call before anything else gets its turn, and wakes its sender for nothing.
 */
function mendStreams(muxer: object, dhtBytes: DhtBytes | undefined): void {
  const owner = muxer as { _newStream?: (...args: unknown[]) => YamuxStream }
  const create = owner._newStream?.bind(muxer)
  if (create === undefined) return
  owner._newStream = (...args) => {
    const stream = create(...args)
    dhtBytes?.count(stream)
    shortenStream(stream, muxer)
    const update = stream.sendWindowUpdate.bind(stream)
    stream.sendWindowUpdate = () => {
      const isOpening = stream.state === 0 || stream.state === 2
      if (isOpening || 2 * stream.recvWindowCapacity <= stream.recvWindow) update()
    }
    return stream
  }
}

/**
 * Yamux that survives a connection which closes while a stream is being opened. The muxer of
 * @chainsafe/libp2p-yamux 8.0 sends the opening frame in a microtask of its own, where `send` on a closed
 * connection throws and nobody catches: the process would end (reproduced by stopping a peer while its neighbour
 * queries the DHT). The streams of a closed muxer are told so anyway.
 */
export function steadyYamux(init: Parameters<typeof yamux>[0], dhtBytes?: DhtBytes) {
  return (): StreamMuxerFactory => {
    const factory = yamux(init)()
    const create = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = connection => {
      const muxer = create(connection) as ReturnType<typeof create> & { send(data: Uint8Array): boolean }
      mendStreams(muxer, dhtBytes)
      shortenYamux(connection, muxer)
      const send = muxer.send.bind(muxer)
      muxer.send = data => {
        try {
          return send(data)
        } catch (error) {
          if ((error as Error).name === 'StreamStateError') return false
          throw error
        }
      }
      return muxer
    }
    return factory
  }
}
