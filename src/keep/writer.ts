/**
 * Keeps one session at other peers while it is generated, and afterwards as long as it is to be kept, as a pure decider:
 * what to seal when, whom to send it, whom to take instead. It never makes anything wait: a put is under way at a keeper
 * or not, and whatever happens meanwhile goes with the next one.
 */
import type { PeerId } from '../base/ids.ts'
import { keepAvoidMs, keepersMax, keepFlushMs, keepFlushTokens, keepPartTokens, keepVersionMax } from './limits.ts'
import type { KeptStop } from './kept.ts'
import type { KeptAnswer, RefusedAnswer } from './message.ts'

export interface WriterInit {
  /** The session's name, for sentences. */
  readonly name: string
  /** Tokens of the answer that are there from the start. */
  readonly ids: readonly number[]
  readonly ttlMs: number
  /** The first version; above all that are known. */
  readonly version: number
  /** False while it has no route: that others are too few is no news then. @default true */
  readonly routed?: boolean
  /** Live peers in the order in which they are to keep this session. */
  readonly rank: (live: readonly PeerId[]) => readonly PeerId[]
}

export type WriterEvent =
  /** The first event, and a look at the time and at who is live: other peers that are connected. */
  | { readonly kind: 'tick'; readonly live: readonly PeerId[] }
  /** The first route is there: the head says more now. */
  | { readonly kind: 'routed' }
  | { readonly kind: 'token'; readonly id: number }
  /** No further token comes; `stop` is undefined when the answer was broken off. */
  | { readonly kind: 'end'; readonly stop: KeptStop }
  | { readonly kind: 'answered'; readonly peer: PeerId; readonly answer: KeptAnswer | RefusedAnswer }
  /** A put did not get there, or its answer did not come. */
  | { readonly kind: 'failed'; readonly peer: PeerId; readonly message: string }

export type WriterEffect =
  /** Seals part `index` anew: the head for 0, else tokens [start, end) of the answer. */
  | {
      readonly kind: 'seal'
      readonly index: number
      readonly version: number
      readonly start: number
      readonly end: number
      readonly stop: KeptStop
    }
  /** Sends parts [from, end) as they are sealed now. */
  | {
      readonly kind: 'put'
      readonly peer: PeerId
      readonly base: number
      readonly version: number
      readonly from: number
      readonly end: number
      /** How long it is to be kept from then on. */
      readonly ttlMs: number
    }
  /** This peer is no keeper any more: its stream can go. */
  | { readonly kind: 'drop'; readonly peer: PeerId }
  | { readonly kind: 'warning'; readonly message: string }
  /** After the end: every keeper has everything, or there is none. Again whenever keepers that went were replaced. */
  | { readonly kind: 'settled' }
  /** Its time has passed, or nobody wants it any more: no further event matters. */
  | { readonly kind: 'over' }

interface Keeper {
  /** The version it has; 0 for none, or none that is known. */
  held: number
  /** It took something from this writer; or it said once that it has a newer version. */
  accepted: boolean
  outdone: boolean
  /** The version that is on its way there. */
  underWay: number | undefined
}

export class Writer {
  readonly #init: WriterInit
  readonly #ids: number[]
  readonly #keepers = new Map<PeerId, Keeper>()
  /** Peers that could not keep it → when they may be asked again. */
  readonly #avoided = new Map<PeerId, number>()
  /** The version in which each part was sealed last. */
  readonly #parts: number[] = []
  #version: number
  /** How many tokens are sealed; undefined before the first time. */
  #sealed: number | undefined
  #sealedMs = 0
  #live: readonly PeerId[] = []
  /** How many keepers the last warning spoke of. */
  #told = keepersMax
  #routed: boolean
  #stop: KeptStop
  /** When the answer ended. */
  #endMs: number | undefined
  /** After the end: everybody has everything now; they all had once, so it is only watched over. */
  #settled = false
  #watching = false
  /** While it is watched over, before a new keeper is taken: does the other one still have it? */
  #asking = false
  /** It has just said so. */
  #isWanted = false
  #over = false
  #effects: WriterEffect[] = []
  #nowMs = 0

  constructor(init: WriterInit) {
    this.#init = init
    this.#ids = [...init.ids]
    this.#version = init.version - 1
    this.#routed = init.routed ?? true
  }

  /** The peers that keep the session, or are about to. */
  get keepers(): readonly PeerId[] {
    return [...this.#keepers.keys()]
  }

  handle(event: WriterEvent, nowMs: number): WriterEffect[] {
    this.#nowMs = nowMs
    if (this.#over) return []
    switch (event.kind) {
      case 'tick':
        this.#live = event.live
        if (this.#watching && this.#leftMs() <= 0) this.#finish()
        break
      case 'routed':
        this.#routed = true
        // From the head on, as if nothing had been sealed.
        this.#sealed = undefined
        break
      case 'token':
        this.#ids.push(event.id)
        break
      case 'end':
        this.#endMs = nowMs
        this.#stop = event.stop
        this.#seal()
        break
      case 'answered':
        this.#onAnswer(event.peer, event.answer)
        break
      case 'failed':
        if (this.#keepers.has(event.peer)) this.#avoid(event.peer, nowMs + keepAvoidMs)
        break
    }
    if (!this.#over) {
      this.#choose()
      if (this.#due()) this.#seal()
      this.#send()
    }
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  // ── Keepers ─────────────────────────────────────────────────────────────────────────────────────

  /** Those that live stay; empty places are filled in the order of rank. */
  #choose(): void {
    for (const peer of [...this.#keepers.keys()]) if (!this.#live.includes(peer)) this.#drop(peer)
    for (const [peer, untilMs] of this.#avoided) if (untilMs <= this.#nowMs) this.#avoided.delete(peer)
    if (this.#keepers.size === 0) this.#asking = false
    if (this.#keepers.size < keepersMax && !this.#asking) {
      const free = this.#live.filter(peer => !this.#keepers.has(peer) && !this.#avoided.has(peer))
      const chosen = this.#init.rank(free).slice(0, keepersMax - this.#keepers.size)
      if (chosen.length > 0 && this.#watching && this.#keepers.size > 0 && !this.#isWanted) {
        // Whoever has the key may have had it removed meanwhile: then it must not come back.
        this.#asking = true
        this.#seal()
      } else {
        for (const peer of chosen) {
          this.#keepers.set(peer, { held: 0, accepted: false, outdone: false, underWay: undefined })
        }
      }
    }
    this.#isWanted = false
    const { size } = this.#keepers
    if (!this.#routed || this.#watching) return
    if (size !== this.#told && size < keepersMax) {
      const where = size === 0 ? 'by no other peer' : `by ${size} other peer only, not ${keepersMax}`
      this.#warn(`session ${this.#init.name} is kept ${where}: no more are reachable that can keep it`)
    }
    this.#told = size
  }

  #avoid(peer: PeerId, untilMs: number): void {
    this.#avoided.set(peer, untilMs)
    this.#drop(peer)
  }

  #drop(peer: PeerId): void {
    this.#keepers.delete(peer)
    this.#effects.push({ kind: 'drop', peer })
  }

  #onAnswer(peer: PeerId, answer: KeptAnswer | RefusedAnswer): void {
    const keeper = this.#keepers.get(peer)
    if (keeper?.underWay === undefined) return
    const version = keeper.underWay
    keeper.underWay = undefined
    if (answer.kind === 'kept') {
      keeper.held = version
      keeper.accepted = true
      this.#isWanted = this.#asking
      this.#asking = false
    } else if (this.#asking && (answer.reason === 'gap' || answer.reason === 'stale')) {
      // It was removed, or somebody else has gone on with it.
      this.#finish()
    } else if (answer.reason === 'gap' && keeper.held > 0) {
      // It lost what it had, as after a restart: everything is sent again.
      keeper.held = 0
    } else if (
      answer.reason === 'stale' &&
      !keeper.accepted &&
      !keeper.outdone &&
      answer.version < keepVersionMax / 2
    ) {
      // Left over from an earlier answer of this name, by a clock ahead of this one: go on above it, once.
      keeper.outdone = true
      this.#version = Math.max(this.#version, answer.version)
      this.#seal()
    } else if (answer.reason === 'stale' && keeper.accepted) {
      this.#warn(`session ${this.#init.name} was resumed elsewhere: ${peer} keeps it for another driver now`)
      this.#avoid(peer, Number.POSITIVE_INFINITY)
    } else {
      if (answer.reason === 'no-room') this.#warn(`${peer} has no room to keep session ${this.#init.name}`)
      this.#avoid(peer, this.#nowMs + keepAvoidMs)
    }
  }

  // ── Parts ───────────────────────────────────────────────────────────────────────────────────────

  /** Whether there is enough to say. An entry that nothing is added to is put again long before it expires. */
  #due(): boolean {
    if (this.#endMs !== undefined || this.#keepers.size === 0) return false
    if (this.#sealed === undefined) return true
    const quietMs = this.#nowMs - this.#sealedMs
    const fresh = this.#ids.length - this.#sealed
    return (
      fresh >= keepFlushTokens || (fresh > 0 && quietMs >= keepFlushMs) || quietMs >= Math.floor(this.#init.ttlMs / 3)
    )
  }

  /** Seals what is new, or else the last part, which carries the entry's version. */
  #seal(): void {
    this.#version++
    const last = Math.ceil(this.#ids.length / keepPartTokens)
    const fresh = this.#sealed !== undefined && this.#ids.length > this.#sealed
    const first = this.#sealed === undefined ? 0 : fresh ? 1 + Math.floor(this.#sealed / keepPartTokens) : last
    for (let index = first; index <= last; index++) {
      this.#parts[index] = this.#version
      this.#effects.push({
        kind: 'seal',
        index,
        version: this.#version,
        start: Math.max(0, index - 1) * keepPartTokens,
        end: Math.min(index * keepPartTokens, this.#ids.length),
        stop: index === last ? this.#stop : undefined
      })
    }
    this.#sealed = this.#ids.length
    this.#sealedMs = this.#nowMs
  }

  #send(): void {
    if (this.#sealed !== undefined) {
      for (const [peer, keeper] of this.#keepers) {
        if (keeper.underWay !== undefined || keeper.held === this.#version) continue
        keeper.underWay = this.#version
        const from = keeper.held === 0 ? 0 : this.#parts.findIndex(version => version > keeper.held)
        const base = from === 0 ? 0 : keeper.held
        const ttlMs = Math.max(1, Math.ceil(this.#leftMs()))
        this.#effects.push({ kind: 'put', peer, base, version: this.#version, from, end: this.#parts.length, ttlMs })
      }
    }
    if (this.#endMs === undefined) return
    const settled = [...this.#keepers.values()].every(({ held }) => held === this.#version)
    if (settled && !this.#settled) this.#effects.push({ kind: 'settled' })
    this.#settled = settled
    this.#watching ||= settled
  }

  /** How long it is still to be kept: after the end no longer than was asked for. */
  #leftMs(): number {
    return this.#init.ttlMs - (this.#nowMs - (this.#endMs ?? this.#nowMs))
  }

  #finish(): void {
    this.#over = true
    this.#effects.push({ kind: 'over' })
  }

  #warn(message: string): void {
    this.#effects.push({ kind: 'warning', message })
  }
}
