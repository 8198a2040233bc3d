/** Does what `loop-shares.ts` decides: a connection whose peer has had more than its part of the loop's time is read no further for a while. */
import type { Connection } from '@libp2p/interface'
import { type LoopPayer, loopWorksFor } from '../base/loop-time.ts'
import type { PeerId } from '../base/ids.ts'
import { LoopShares } from './loop-shares.ts'

/** What is used of the connection below one of libp2p, as @libp2p/tcp 11 makes it. */
interface Below {
  readonly readStatus: string
  readonly socket: { readonly destroyed: boolean; pause(): void; resume(): void; isPaused(): boolean }
  onData(data: { readonly byteLength: number }): void
}

export class ReadingService {
  readonly #shares = new LoopShares()

  /** A connection is there: what comes over it counts from now on. */
  opened(peer: PeerId, connection: Connection): void {
    const { maConn } = connection as { maConn?: Partial<Below> }
    if (maConn?.socket === undefined || maConn.onData === undefined) return
    const below = maConn as Below
    const payer = new Payer(peer, below, this.#shares)
    const take = below.onData.bind(below)
    below.onData = data => {
      loopWorksFor(payer, performance.now())
      payer.came(data.byteLength)
      take(data)
    }
  }

  /** Whether sessions run here. */
  get isBusy(): boolean {
    return this.#shares.areWanted(performance.now())
  }

  /** Frames of a peer were what a session waited for. */
  wanted(peer: PeerId, taken: { readonly ms: number; readonly bytes: number }): void {
    this.#shares.wanted(peer, taken, performance.now())
  }
}

class Payer implements LoopPayer {
  readonly #peer: PeerId
  readonly #below: Below
  readonly #shares: LoopShares
  #isPausing = false
  /** That came since time was last spent. */
  #bytes = 0

  constructor(peer: PeerId, below: Below, shares: LoopShares) {
    this.#peer = peer
    this.#below = below
    this.#shares = shares
  }

  came(bytes: number): void {
    this.#bytes += bytes
  }

  spent(ms: number): void {
    const nowMs = performance.now()
    this.#shares.spent(this.#peer, { ms, bytes: this.#bytes }, nowMs)
    this.#bytes = 0
    if (this.#isPausing) return
    const pauseMs = this.#shares.pauseMs(this.#peer, nowMs)
    const { socket } = this.#below
    if (pauseMs === 0 || socket.destroyed || socket.isPaused()) return
    this.#isPausing = true
    socket.pause()
    setTimeout(() => this.#goOn(), pauseMs).unref()
  }

  #goOn(): void {
    this.#isPausing = false
    // libp2p may have paused it meanwhile, and says itself when it goes on.
    if (!this.#below.socket.destroyed && this.#below.readStatus !== 'paused') this.#below.socket.resume()
  }
}
