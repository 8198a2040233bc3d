/** What came from a connected peer and went to it, and whether something depends on it. */
import type { Connection } from '@libp2p/interface'
import type { PeerId } from '../base/ids.ts'
import type { LinkTraffic } from './liveness.ts'

/** One connected peer, counted as it is asked for: nothing is done per frame. */
export class Traffic implements LinkTraffic {
  readonly peer: PeerId
  /** Channels on which something depends, open or being opened, and watches. */
  channels = 0
  /** It is a contact that this peer keeps. */
  kept = false
  readonly #connections = new Set<Connection>()
  /** Of connections that are closed. */
  #closedIn = 0
  #closedOut = 0

  constructor(peer: PeerId) {
    this.peer = peer
  }

  get watched(): boolean {
    return this.channels > 0
  }

  get bytesIn(): number {
    let bytes = this.#closedIn
    for (const connection of this.#connections) bytes += socketOf(connection)?.bytesRead ?? 0
    return bytes
  }

  get bytesOut(): number {
    let bytes = this.#closedOut
    for (const connection of this.#connections) bytes += socketOf(connection)?.bytesWritten ?? 0
    return bytes
  }

  opened(connection: Connection): void {
    this.#connections.add(connection)
  }

  closed(connection: Connection): void {
    if (!this.#connections.delete(connection)) return
    this.#closedIn += socketOf(connection)?.bytesRead ?? 0
    this.#closedOut += socketOf(connection)?.bytesWritten ?? 0
  }
}

/**
 * The TCP socket below a connection. libp2p does not show it, but its own counters are the only ones that grow while a
 * large frame arrives, and cost nothing.
 */
export function socketOf(
  connection: Connection
): { readonly bytesRead: number; readonly bytesWritten: number } | undefined {
  return (connection as { maConn?: { socket?: { bytesRead: number; bytesWritten: number } } }).maConn?.socket
}
