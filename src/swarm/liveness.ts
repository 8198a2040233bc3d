/**
 * Who is alive: decides when to send a beat, whom to ask, and who has been silent for too long (protocols/alive.md).
 * Any byte that comes from a peer is a sign of its life. Pure: `handle(event, nowMs)` returns effects, `nowMs` is a
 * monotonic clock.
 *
 * The limit is not one number. A link that has always been prompt is given half a second; one that was late before
 * is given four times the longest delays it has shown, and what its round trips and their deviation call for
 * (RFC 6298), since a lost segment delays all that come after it by one of them.
 */
import { Alive } from '../../protocols/alive.ts'
import type { PeerId } from '../base/ids.ts'
import {
  aliveDoubtMs,
  aliveLateFactor,
  aliveLateFirstMs,
  aliveLateMs,
  aliveMemoryMs,
  aliveOpeningMs,
  alivePingFastMs,
  alivePingMs,
  aliveRttFactor,
  aliveSamplesMin,
  aliveSuspectMs,
  aliveTickMs,
  aliveTickSlowMs,
  aliveUnheardMs,
  aliveUnmeasuredMs,
  aliveWitnessesMax,
  beatFastMs,
  beatKeptMs,
  beatSlowMs,
  silenceMaxMs
} from './liveness-limits.ts'

/** A connected peer as its connections show it. The same object may be given again with other numbers. */
export interface LinkTraffic {
  readonly peer: PeerId
  /** Bytes that ever came from it and went to it, on whatever it is connected by, below encryption. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** It shares a session or a transfer with this peer: its silence hurts somebody now. */
  readonly watched: boolean
  /** It is connected for nothing but that this peer may need it soon. @default false */
  readonly kept?: boolean
}

export type LivenessEvent =
  /** Time has passed; `links` are all connected peers. To be sent every {@link Liveness.tickMs}. */
  | { readonly kind: 'tick'; readonly links: Iterable<LinkTraffic> }
  /** A frame came on a peer's alive channel. */
  | { readonly kind: 'frame'; readonly peer: PeerId; readonly frame: Uint8Array }

export type LivenessEffect =
  /** Without a channel to that peer it is dropped. */
  | { readonly kind: 'send'; readonly peer: PeerId; readonly frame: Uint8Array }
  /**
   * A peer has been silent for too long: end its connections. `alone`: nobody else was heard since, so this peer may
   * be the one that is cut off.
   */
  | { readonly kind: 'silent'; readonly peer: PeerId; readonly quietMs: number; readonly alone: boolean }
  /** A peer says that it does not hear this one, or hears it again. */
  | { readonly kind: 'unheard'; readonly peer: PeerId; readonly isUnheard: boolean }
  | { readonly kind: 'violation'; readonly peer: PeerId; readonly message: string }

interface Neighbour {
  readonly peer: PeerId
  /** The tick that listed it last. */
  listed: number
  bytesIn: number
  bytesOut: number
  watched: boolean
  kept: boolean
  /** When it began to be watched. */
  watchedMs: number
  heardMs: number
  sentMs: number
  askedMs: number
  /** The first question since it was heard last; undefined when there is none. */
  openMs: number | undefined
  answeredMs: number
  /** How soon it says that it will be heard again, and what it was told. */
  dueMs: number
  toldMs: number
  /** It has spoken on its alive channel. */
  met: boolean
  samples: number
  /** The three longest delays beyond what was due, the longest first, fading. */
  late0Ms: number
  late1Ms: number
  late2Ms: number
  rttMs: number | undefined
  rttDeviationMs: number
  rttSamples: number
  /** The last round trip was far out of line, and not counted yet. */
  strangeRtt: boolean
  /** It was over its limit at the last tick. */
  over: boolean
  /** Since when it says that it does not hear this peer. */
  unheardMs: number | undefined
}

const wrap = 2 ** 32

export class Liveness {
  readonly #links = new Map<PeerId, Neighbour>()
  #ticks = 0
  #tickedMs: number | undefined
  #fast = false
  #suspects: ReadonlySet<PeerId> = new Set()
  /** The last verdict found nobody else who was heard, and nobody was since. */
  #wasAlone = false
  #effects: LivenessEffect[] = []

  /** How soon the next tick is wanted, in ms. */
  get tickMs(): number {
    return this.#fast ? aliveTickMs : aliveTickSlowMs
  }

  /**
   * Peers that left a question unanswered for longer than an answer takes, or fell silent, as of the last tick. Nothing is
   * wrong with most of them, so nobody may be charged; who can do without them for now had better do so.
   */
  get suspects(): ReadonlySet<PeerId> {
    return this.#suspects
  }

  /** The smoothed round trip to a peer in ms, queues of both ends included; undefined until one was measured. */
  rttMs(peer: PeerId): number | undefined {
    return this.#links.get(peer)?.rttMs
  }

  /** Whether something at the other end depends on this peer: it says that it will be heard again as soon as one that does. */
  isNeeded(peer: PeerId): boolean {
    const link = this.#links.get(peer)
    return link?.met === true && link.dueMs < beatSlowMs
  }

  handle(event: LivenessEvent, nowMs: number): LivenessEffect[] {
    if (event.kind === 'tick') this.#tick(event.links, nowMs)
    else this.#frame(event.peer, event.frame, nowMs)
    const effects = this.#effects
    if (effects.length > 0) this.#effects = []
    return effects
  }

  #tick(traffic: Iterable<LinkTraffic>, nowMs: number): void {
    const sinceMs = this.#tickedMs === undefined ? this.tickMs : nowMs - this.#tickedMs
    const beforeMs = this.#tickedMs ?? nowMs
    // Time in which this process did not run (a blocked loop, a stopped container) is nobody else's silence.
    const pausedMs = Math.max(0, sinceMs - 2 * this.tickMs)
    this.#tickedMs = nowMs
    this.#ticks += 1
    // Half of it is left after about `aliveMemoryMs`. By a division: powers are not the same on every machine.
    const fading = 1 / (1 + (Math.LN2 * sinceMs) / aliveMemoryMs)
    for (const entry of traffic) {
      const link = this.#links.get(entry.peer) ?? this.#add(entry, nowMs)
      link.listed = this.#ticks
      link.late0Ms *= fading
      link.late1Ms *= fading
      link.late2Ms *= fading
      link.heardMs += pausedMs
      link.kept = entry.kept === true
      link.watchedMs += pausedMs
      if (link.openMs !== undefined) link.openMs += pausedMs
      if (entry.watched !== link.watched) {
        link.watched = entry.watched
        link.watchedMs = nowMs
      }
      if (entry.bytesIn !== link.bytesIn) {
        link.bytesIn = entry.bytesIn
        this.#heard(link, nowMs)
      }
      if (entry.bytesOut !== link.bytesOut) {
        link.bytesOut = entry.bytesOut
        link.sentMs = Math.max(link.sentMs, beforeMs)
      }
    }
    for (const link of this.#links.values()) if (link.listed !== this.#ticks) this.#links.delete(link.peer)
    this.#fast = false
    const suspects = new Set<PeerId>()
    this.#suspects = suspects
    for (const link of this.#links.values()) {
      // Before any of them is given up: two that fell silent at once are known together.
      if (link.openMs !== undefined && nowMs - link.openMs >= answerMs(link)) suspects.add(link.peer)
      this.#judge(link, nowMs)
      if (link.watched || link.over || nowMs > dueAt(link)) this.#fast = true
    }
    for (const link of this.#links.values()) this.#speak(link, nowMs)
  }

  #add({ peer, bytesIn, bytesOut, watched }: LinkTraffic, nowMs: number): Neighbour {
    const link: Neighbour = {
      peer,
      listed: this.#ticks,
      bytesIn,
      bytesOut,
      watched,
      kept: false,
      watchedMs: nowMs,
      heardMs: nowMs,
      sentMs: nowMs,
      askedMs: Number.NEGATIVE_INFINITY,
      openMs: undefined,
      answeredMs: Number.NEGATIVE_INFINITY,
      dueMs: beatSlowMs + aliveTickSlowMs,
      toldMs: 0,
      met: false,
      samples: 0,
      late0Ms: 0,
      late1Ms: 0,
      late2Ms: 0,
      rttMs: undefined,
      rttDeviationMs: 0,
      rttSamples: 0,
      strangeRtt: false,
      over: false,
      unheardMs: undefined
    }
    this.#links.set(peer, link)
    return link
  }

  #heard(link: Neighbour, nowMs: number): void {
    noteDelay(link, Math.min(nowMs - dueAt(link), silenceMaxMs))
    link.samples += 1
    link.heardMs = nowMs
    this.#wasAlone = false
    link.openMs = undefined
    link.over = false
  }

  /** Asks a peer whose next byte is late, and gives it up after its limit. */
  #judge(link: Neighbour, nowMs: number): void {
    const lateMs = nowMs - dueAt(link)
    if (lateMs < aliveDoubtMs) return
    if (nowMs - link.askedMs >= aliveDoubtMs) {
      const isDire = 2 * lateMs >= limitMs(link)
      const unheard = isDire ? { unheardMs: Math.floor(nowMs - link.heardMs) } : {}
      this.#send(link, nowMs, { ping: stamp(nowMs), ...unheard })
      this.#askWitnesses(link, nowMs)
    }
    if (lateMs < limitMs(link)) return
    // Twice, since what has come while this process did not run is read between two ticks and not before the first.
    if (!link.over) {
      link.over = true
      return
    }
    this.#links.delete(link.peer)
    const quietMs = nowMs - link.heardMs
    this.#wasAlone = this.#isAlone(link)
    this.#effects.push({ kind: 'silent', peer: link.peer, quietMs, alone: this.#wasAlone })
  }

  /** Sends a beat where this peer owes one. */
  #speak(link: Neighbour, nowMs: number): void {
    const everyMs = link.rttSamples < aliveSamplesMin ? 0 : link.watched ? alivePingFastMs : alivePingMs
    const pings = nowMs - link.askedMs >= everyMs && nowMs <= dueAt(link)
    const promised = this.#promiseMs(link)
    const owed = nowMs - link.sentMs >= paceMs(link) || promised !== link.toldMs
    // A link that is busy from its first moment on owes no beats, and would not be measured: what was asked before its alive
    // channel was open has been dropped.
    const isUnmeasured = link.rttMs === undefined && nowMs - link.askedMs >= beatFastMs
    if (owed || (pings && isUnmeasured)) this.#send(link, nowMs, pings ? { ping: stamp(nowMs) } : {})
  }

  /** Within what time this peer will send something again: looking takes a tick. */
  #promiseMs(link: Neighbour): number {
    return paceMs(link) + (link.watched ? aliveTickMs : aliveTickSlowMs)
  }

  #askWitnesses(suspect: Neighbour, nowMs: number): void {
    let asked = 0
    for (const link of this.#links.values()) {
      if (asked === aliveWitnessesMax) return
      if (link === suspect || link.heardMs > dueAt(suspect)) continue
      asked += 1
      if (nowMs - link.askedMs >= aliveDoubtMs) this.#send(link, nowMs, { ping: stamp(nowMs) })
    }
  }

  #isAlone(suspect: Neighbour): boolean {
    // With nobody left to compare with it is what it was for the one before; of two peers nobody can tell.
    if (this.#links.size === 0) return this.#wasAlone
    for (const link of this.#links.values()) if (link.heardMs > dueAt(suspect)) return false
    return true
  }

  #send(link: Neighbour, nowMs: number, frame: { ping?: number; pong?: number; unheardMs?: number }): void {
    const dueMs = this.#promiseMs(link)
    link.toldMs = dueMs
    link.sentMs = nowMs
    if (frame.ping !== undefined) {
      link.askedMs = nowMs
      link.openMs ??= nowMs
    }
    this.#effects.push({ kind: 'send', peer: link.peer, frame: Alive.encode({ dueMs, ...frame }) })
  }

  #frame(peer: PeerId, bytes: Uint8Array, nowMs: number): void {
    const link = this.#links.get(peer)
    if (link === undefined) return
    let frame: Alive
    try {
      frame = Alive.decode(bytes)
    } catch (error) {
      this.#effects.push({ kind: 'violation', peer, message: (error as Error).message })
      return
    }
    this.#heard(link, nowMs)
    this.#noteUnheard(link, frame.unheardMs !== undefined, nowMs)
    link.met = true
    // Nobody is believed who wants to be missed late, or asked all the time.
    link.dueMs = Math.min(Math.max(frame.dueMs, beatFastMs), beatSlowMs + aliveTickSlowMs)
    if (frame.pong !== undefined) this.#measured(link, (stamp(nowMs) - frame.pong + wrap) % wrap)
    if (frame.ping !== undefined && nowMs - link.answeredMs >= aliveDoubtMs / 4) {
      link.answeredMs = nowMs
      this.#send(link, nowMs, { pong: frame.ping })
    }
  }

  #noteUnheard(link: Neighbour, isUnheard: boolean, nowMs: number): void {
    if (isUnheard === (link.unheardMs !== undefined)) return
    if (link.unheardMs !== undefined && nowMs - link.unheardMs < aliveUnheardMs) return
    link.unheardMs = isUnheard ? nowMs : undefined
    this.#effects.push({ kind: 'unheard', peer: link.peer, isUnheard })
  }

  /** RFC 6298, sections 2.2 and 2.3. */
  #measured(link: Neighbour, rttMs: number): void {
    if (rttMs > silenceMaxMs) return
    link.rttSamples += 1
    // The first ones are measured while much else begins: the best of them shows what the link can do.
    if (link.rttMs === undefined || (link.rttSamples <= aliveSamplesMin && rttMs < link.rttMs / 2)) {
      link.rttMs = rttMs
      link.rttDeviationMs = rttMs / 2
      return
    }
    // One alone is a stall of either end, and would weigh for long; two are what the link is like.
    const isStrange = rttMs > 2 * (link.rttMs + 4 * link.rttDeviationMs) + aliveLateMs / 4
    const { strangeRtt } = link
    link.strangeRtt = isStrange
    if (isStrange && !strangeRtt) {
      link.askedMs = Number.NEGATIVE_INFINITY
      return
    }
    link.rttDeviationMs += (Math.abs(link.rttMs - rttMs) - link.rttDeviationMs) / 4
    link.rttMs += (rttMs - link.rttMs) / 8
  }
}

/** How often this peer sends something. */
function paceMs({ watched, kept }: Neighbour): number {
  return watched ? beatFastMs : kept ? beatKeptMs : beatSlowMs
}

/** When something of this peer is due: as it said, or as a watched one must be able to answer. */
function dueAt({ heardMs, dueMs, watched, watchedMs }: Neighbour): number {
  const said = heardMs + dueMs
  return watched ? Math.min(said, Math.max(heardMs, watchedMs) + beatFastMs + aliveTickMs) : said
}

function noteDelay(link: Neighbour, ms: number): void {
  if (ms > link.late0Ms) {
    link.late2Ms = link.late1Ms
    link.late1Ms = link.late0Ms
    link.late0Ms = ms
  } else if (ms > link.late1Ms) {
    link.late2Ms = link.late1Ms
    link.late1Ms = ms
  } else if (ms > link.late2Ms) {
    link.late2Ms = ms
  }
}

/** How late a peer may be. The third longest delay counts: a stall or two, as of a start, are not what a link is like. */
function limitMs({ met, watched, samples, late2Ms, rttMs, rttDeviationMs }: Neighbour): number {
  // It may be starting, as long as nothing depends on it yet.
  if (!met && !watched) return aliveOpeningMs
  if (rttMs === undefined) return aliveUnmeasuredMs
  const floorMs = samples < aliveSamplesMin ? aliveLateFirstMs : aliveLateMs
  const roundMs = aliveDoubtMs + aliveRttFactor * (rttMs + 4 * rttDeviationMs)
  const shownMs = Math.max(aliveLateFactor * late2Ms, roundMs)
  return Math.min(Math.max(floorMs, shownMs), silenceMaxMs)
}

/** How long an answer may take before its absence says something, though not enough to give anyone up. */
function answerMs({ rttMs = 0, rttDeviationMs }: Neighbour): number {
  return Math.min(aliveSuspectMs + 3 * (rttMs + 4 * rttDeviationMs), silenceMaxMs)
}

/** A moment as 32 bits can say it. */
function stamp(nowMs: number): number {
  return Math.floor(nowMs) % wrap
}
