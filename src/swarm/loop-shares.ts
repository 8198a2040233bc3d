/**
 * How much of the loop's time what one peer sends may take while others' sessions run here (promise P10). A loop reads for all: whoever sends what nobody
 * asked for, or far more of it than can be of use, would take it from everybody, whatever comes of its frames. So its sockets are read no further
 * once it has had more than its part, until it has paid; TCP has it wait. What a session needs costs its peer nothing, and who is alone has all
 * of it. Pure: time comes in as an argument.
 */
import type { PeerId } from '../base/ids.ts'
import {
  loopBurstMs,
  loopBytesPerMs,
  loopDebtMaxMs,
  loopOthersMs,
  loopPauseMaxMs,
  loopPeersMax,
  loopShareRatio,
  loopWantedBytesPerMs,
  loopWantedFactor
} from './limits.ts'

interface Part {
  /** Below 0 where it has had more than its part. */
  leftMs: number
  atMs: number
  /** When something of it was last of use to a session. */
  wantedMs: number
}

export class LoopShares {
  /** Who sent nothing for longest first. */
  readonly #parts = new Map<PeerId, Part>()

  /** The loop has worked for a peer for so long, on so many bytes. */
  spent(peer: PeerId, { ms, bytes }: { readonly ms: number; readonly bytes: number }, nowMs: number): void {
    const part = this.#part(peer, nowMs)
    part.leftMs = Math.max(-loopDebtMaxMs, part.leftMs - ms - bytes / loopBytesPerMs)
  }

  /** Frames of a peer, which it took so long to act upon, were what a session waited for. */
  wanted(peer: PeerId, { ms, bytes }: { readonly ms: number; readonly bytes: number }, nowMs: number): void {
    const part = this.#part(peer, nowMs)
    part.wantedMs = nowMs
    part.leftMs = Math.min(loopBurstMs, part.leftMs + loopWantedFactor * ms + bytes / loopWantedBytesPerMs)
  }

  /** How long a peer is to be read no further; 0 where it may be. */
  pauseMs(peer: PeerId, nowMs: number): number {
    const part = this.#parts.get(peer)
    if (part === undefined || part.leftMs >= 0) return 0
    refill(part, nowMs)
    if (part.leftMs >= 0 || !this.areWanted(nowMs, peer)) return 0
    return Math.min(loopPauseMaxMs, -part.leftMs / loopShareRatio)
  }

  /** Whether what peers send is of use to sessions here. @param but whose sessions do not count */
  areWanted(nowMs: number, but?: PeerId): boolean {
    for (const [peer, { wantedMs }] of this.#parts) if (peer !== but && nowMs - wantedMs <= loopOthersMs) return true
    return false
  }

  #part(peer: PeerId, nowMs: number): Part {
    const part = this.#parts.get(peer) ?? { leftMs: loopBurstMs, atMs: nowMs, wantedMs: Number.NEGATIVE_INFINITY }
    this.#parts.delete(peer)
    this.#parts.set(peer, part)
    if (this.#parts.size > loopPeersMax) this.#parts.delete(this.#parts.keys().next().value!)
    refill(part, nowMs)
    return part
  }
}

function refill(part: Part, nowMs: number): void {
  part.leftMs = Math.min(loopBurstMs, part.leftMs + Math.max(0, nowMs - part.atMs) * loopShareRatio)
  part.atMs = nowMs
}
