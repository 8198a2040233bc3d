/**
 * Who keeps the answer waiting, and what becomes of it: a hop that says nothing, or gets nothing done, is gone around once it has
 * done so for too long; in the line of one that has no room yet the session waits as long as that gets on.
 */
import type { PeerId } from '../base/ids.ts'
import type { Epoch } from './epoch.ts'
import type { SessionOutput } from './event.ts'
import { detourRetryMs, lineLookMs, stuckAnewFactor } from './limits.ts'
import type { Loss } from './loss.ts'
import type { Delay } from './patience.ts'
import type { RoomSearch } from './room.ts'

export interface DelaysInit {
  /** How long whoever asked would wait for room; undefined where nothing was said. */
  readonly waitMs: number | undefined
  readonly room: RoomSearch
  /** Whether this peer hears another one at this moment. */
  readonly hears: (peer: PeerId) => boolean
  readonly tell: (output: SessionOutput) => void
  /** Asks whether there is a way around a hop, one with room where it `needsRoom`: {@link Delays.probed} is the answer. */
  readonly probe: (hop: number, needsRoom: boolean) => void
  /** The epoch ends by a loss. */
  readonly lose: (loss: Loss, message: string) => void
  /** The session ends. */
  readonly fail: (message: string) => void
}

export class Delays {
  readonly #init: DelaysInit
  /** Hops that were left out since the last token because they got nothing done: perhaps all are slower than they said. */
  #tries = 0
  /** When a way around a hop was last asked for. */
  #probedMs = Number.NEGATIVE_INFINITY

  constructor(init: DelaysInit) {
    this.#init = init
  }

  get tries(): number {
    return this.#tries
  }

  /** A token has come. */
  token(): void {
    this.#tries = 0
  }

  /** Looks who keeps the answer waiting, which has `end` tokens, and goes around a hop that does for too long. */
  look(epoch: Epoch, end: number, nowMs: number): void {
    if (!epoch.isConnected) return
    const delay = delayOf(epoch, end, nowMs)
    if (delay === undefined) return
    const { hop, ms } = delay
    if (delay.kind === 'line') this.#waitInLine(epoch, delay, nowMs)
    else if (delay.kind === 'stuck') this.#probe(hop, { everyMs: detourRetryMs, needsRoom: false }, nowMs)
    else if (delay.isOver) {
      // Asked by this driver itself, and heard by it: nobody else can be why it does not answer.
      const isCharged = hop === 0 && this.#init.hears(epoch.route[hop]!.peer)
      const message = `it did not answer for ${Math.floor(ms / 1000)} s`
      this.#init.lose({ kind: 'waited', hop, reason: 'mute', isCharged }, message)
    } else this.#tellWaiting(epoch, `hop ${hop} (${epoch.route[hop]!.peer}) does not answer`)
  }

  /** A hop has no room yet, and keeps the session waiting in line. */
  #waitInLine(epoch: Epoch, delay: Delay & { kind: 'line' }, nowMs: number): void {
    const { room, waitMs, fail, lose } = this.#init
    const { hop, place, placeMs } = delay
    const where = `hop ${hop} (${epoch.route[hop]!.peer}) has no room yet`
    const verdict = room.inLine(delay, waitMs, nowMs)
    if (verdict === 'give-up') {
      const seconds = Math.round(room.forMs(nowMs) / 1000)
      fail(`no room was found within ${seconds} s: ${where}, and ${place - 1} come first`)
    } else if (verdict === 'let-go') lose({ kind: 'no-room', hop }, 'its line does not get on')
    else {
      const turn = `its turn may come in some ${Math.ceil(placeMs / 1000)} s`
      this.#tellWaiting(epoch, `${where}: ${place - 1} come first, ${turn}`)
      this.#probe(hop, { everyMs: lineLookMs, needsRoom: true }, nowMs)
    }
  }

  /** Looks whether there is a way around a hop, not more often than this. */
  #probe(hop: number, { everyMs, needsRoom }: { everyMs: number; needsRoom: boolean }, nowMs: number): void {
    if (nowMs - this.#probedMs < everyMs) return
    this.#probedMs = nowMs
    this.#init.probe(hop, needsRoom)
  }

  /** Whether there is a way around a hop that is stuck is known: without one it may still get on. */
  probed(epoch: Epoch, end: number, { hop, isThere }: { hop: number; isThere: boolean }, nowMs: number): void {
    const { lose } = this.#init
    const delay = delayOf(epoch, end, nowMs)
    if (delay?.kind === 'line' && delay.hop === hop && isThere) {
      lose({ kind: 'no-room', hop }, 'there is another way now')
      return
    }
    if (delay?.kind !== 'stuck' || delay.hop !== hop) return
    const message = `it got nothing done for ${Math.floor(delay.ms / 1000)} s`
    if (isThere || delay.share >= stuckAnewFactor) {
      this.#tries += 1
      lose({ kind: 'waited', hop, reason: 'stuck', isCharged: delay.saysSo }, message)
    } else {
      const { peer } = epoch.route[hop]!
      this.#tellWaiting(epoch, `hop ${hop} (${peer}) gets nothing done, and there is no way around it`)
    }
  }

  /** Says what the answer waits for, once. */
  #tellWaiting(epoch: Epoch, message: string): void {
    if (epoch.toldOf === message) return
    epoch.toldOf = message
    this.#init.tell({ kind: 'waiting', message })
  }
}

function delayOf({ watch, sent }: Epoch, end: number, nowMs: number): Delay | undefined {
  return watch.delay({ end, sent }, nowMs)
}
