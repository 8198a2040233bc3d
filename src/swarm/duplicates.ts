/** Several connections with one peer: which of them counts, and when the others are closed. */
import type { Connection, PeerId as Libp2pPeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import { duplicateGraceMs } from './limits.ts'

export interface DuplicatesInit {
  readonly self: PeerId
  readonly connectionsOf: (peer: Libp2pPeerId) => readonly Connection[]
  /** Whether a protocol is one of ours, by its id on the wire. */
  readonly isOurs: (protocol: string) => boolean
  /** The process at the other end is another one than before, without a moment in which there was no connection. */
  readonly onReplaced: (peer: PeerId) => void
}

export class Duplicates {
  readonly #init: DuplicatesInit
  /** Where the other end of a connection says that it listens. */
  readonly #listening = new WeakMap<Connection, ReadonlySet<string>>()
  /** Peers with several connections that are being looked after. */
  readonly #watched = new Set<string>()
  #stopped = false

  constructor(init: DuplicatesInit) {
    this.#init = init
  }

  stop(): void {
    this.#stopped = true
  }

  /**
   * A process that listens elsewhere than the one on an older connection to this peer has taken its place, or has its identity
   * as well. The newest counts; and who is pushed out comes back and hears of the other one.
   */
  identified(connection: Connection, listen: readonly Multiaddr[]): void {
    const texts = new Set(listen.map(address => address.toString()))
    this.#listening.set(connection, texts)
    if (texts.size === 0) return
    let replaced = false
    for (const other of this.#init.connectionsOf(connection.remotePeer)) {
      const others = this.#listening.get(other)
      if (other === connection || others === undefined || others.size === 0) continue
      if (other.timeline.open > connection.timeline.open || [...others].some(text => texts.has(text))) continue
      other.abort(new Error('another process answers under this identity'))
      replaced = true
    }
    if (replaced) this.#init.onReplaced(connection.remotePeer.toString() as PeerId)
  }

  /**
   * Both ends dialled at once. New channels go where channels of ours are already, else to a connection that the
   * smaller id dialled, the oldest of them, so that both ends choose alike without a word.
   */
  preferred(connections: readonly Connection[]): Connection | undefined {
    const rank = (connection: Connection): number =>
      2 * this.#carries(connection) +
      ((connection.direction === 'outbound') === this.#init.self < connection.remotePeer.toString() ? 1 : 0)
    return connections
      .filter(({ status }) => status === 'open')
      .toSorted((a, b) => rank(b) - rank(a) || a.timeline.open - b.timeline.open)[0]
  }

  /** Channels of protocols that are handled here, on one connection. */
  #carries(connection: Connection): number {
    return connection.streams.filter(({ protocol }) => this.#init.isOurs(protocol)).length
  }

  /** Only the smaller id closes, and only what carries no channel of ours: the other end would lose frames. */
  #closeDuplicates(peer: Libp2pPeerId): void {
    this.#watched.delete(peer.toString())
    const connections = this.#init.connectionsOf(peer)
    if (this.#stopped || connections.length < 2) return
    if (this.#init.self < peer.toString()) {
      const preferred = this.preferred(connections)
      for (const connection of connections) {
        if (connection === preferred || this.#carries(connection) > 0) continue
        void connection.close().catch(() => connection.abort(new Error('a duplicate')))
      }
    }
    this.watch(peer)
  }

  /** Looks again until one connection is left. */
  watch(peer: Libp2pPeerId): void {
    const key = peer.toString()
    if (this.#watched.has(key)) return
    this.#watched.add(key)
    setTimeout(() => this.#closeDuplicates(peer), duplicateGraceMs).unref()
  }
}
