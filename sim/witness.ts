/**
 * Sees what one life of a peer does at its ports, and holds it to the promises: frames on its streams, and calls of its engines.
 * Here a peer that means harm also says what it should not, and one that does nothing leaves what comes undone.
 */
import type { PeerId, Range, SessionId } from '../src/base/ids.ts'
import type { Step } from '../src/engine/engine.ts'
import { ProtocolError } from '../src/errors.ts'
import type { ModelShape } from '../src/route/view.ts'
import { weightBytes } from '../src/serving/shape.ts'
import { decodeFrame } from '../src/stage/codec.ts'
import { draftsNeed, type OpenFrame, type RefuseFrame, stageProtocol } from '../src/stage/frame.ts'
import type { StageService } from '../src/stage/service-init.ts'
import { isGenuine, type SignedTerms } from '../src/stage/terms.ts'
import { decodeAnswer, encodeFrame as encodeSupply } from '../src/supply/codec.ts'
import { type AnswerFrame, shardsProtocol } from '../src/supply/frame.ts'
import { verify } from './cast.ts'
import { hearsayBytes } from './hearsay.ts'
import type { Promises } from './promises.ts'
import type { RadioChannel, Tap } from './radio-links.ts'
import type { Rogue, Roguery } from './rogue.ts'
import { type EngineWitness, ownerOf, type TimedEngine } from './timed-engine.ts'

/** How a peer means harm. */
export type Lie = 'corrupt' | 'garble' | 'claim' | Roguery

export interface WitnessInit {
  readonly self: PeerId
  readonly name: string
  readonly shape: ModelShape
  readonly budgetBytes: number
  readonly promises: Promises
  readonly lie: () => Lie | undefined
  /** It does nothing with what sessions of others say. */
  readonly isMute: () => boolean
  /** Has a task done once it does something again. */
  readonly hold: (task: () => void) => void
  /** Does a task when all that happens now has been done. */
  readonly later: (task: () => void) => void
  readonly stages: () => StageService | undefined
  readonly rogue: () => Rogue
  /** What real hidden states would add to a frame of this length. */
  readonly wireBytes: (frame: Uint8Array) => number
  readonly moved: (what: 'loads' | 'serves' | 'unloads', range: Range) => void
  /** A stage refuses, or passes a refusal on; undefined for the session of a stream on which no Open was read. */
  readonly refused: (refusal: RefuseFrame, session: SessionId | undefined) => void
  /** So many tokens need not be computed at a stage. */
  readonly knew: (tokens: number) => void
  /** A session of this peer begins an epoch. */
  readonly begun: (terms: SignedTerms) => void
  /** A session of this peer found that the head of its route broke the protocol. */
  readonly violated: (session: SessionId, peer: PeerId, message: string) => void
}

/** What an Open said, for the checks. */
interface Opened {
  readonly epoch: number
  readonly keep: number
  /** Its steps may have drafts, or those of an epoch before may have had some. */
  readonly drafts: boolean
}

/** First bytes of frames by their field, each of them length-delimited: Open is 1, Refuse is 5. */
const openTag = 0x0a
const refuseTag = 0x2a

/** What a pass takes is learnt, and some percent are noise. */
const delaySlack = 1.6

export class Witness implements Tap, EngineWitness {
  readonly #init: WitnessInit
  /** Stages that are loaded or being loaded, by range. */
  readonly #engines = new Map<string, { readonly range: Range; engine: TimedEngine | undefined }>()
  /** Streams of others on which an Open was read, and of which session. */
  readonly #opened = new Map<RadioChannel, SessionId>()
  /** By seat: what was opened there last, and how many tokens of its cache count. */
  readonly #seats = new Map<string, Opened>()
  readonly #valid = new Map<string, number>()
  /** Streams to sessions that it drives: it is no hop of theirs there. */
  readonly #driven = new WeakSet<RadioChannel>()
  readonly #heard = new WeakSet<RadioChannel>()
  /** Streams of its own sessions, and of its questions to stages. */
  readonly #own = new WeakSet<RadioChannel>()
  /** Streams to heads of its own sessions, and of which epoch they are. */
  readonly #heads = new Map<RadioChannel, SignedTerms>()
  /** Bytes that its stages retained at the last look. */
  #retained = 0
  /** Who sent it wrong weights: it takes none from them any more. */
  readonly liars = new Set<PeerId>()
  /** By engine and driver: full blocks of caches that were computed there, by the hash of all their tokens. */
  readonly #filled = new WeakMap<TimedEngine, Map<PeerId, Set<string>>>()

  constructor(init: WitnessInit) {
    this.#init = init
  }

  get engines(): Iterable<{ readonly range: Range; readonly engine: TimedEngine | undefined }> {
    return this.#engines.values()
  }

  engineOf(range: Range): TimedEngine | undefined {
    return this.#engines.get(nameOf(range))?.engine
  }

  get cacheBytesUsed(): number {
    let bytes = 0
    for (const { engine } of this.#engines.values()) bytes += engine?.cacheBytesUsed ?? 0
    return bytes
  }

  // ── Streams ─────────────────────────────────────────────────────────────────────────────────────

  wireBytes(frame: Uint8Array): number {
    return hearsayBytes(frame) ?? this.#init.wireBytes(frame)
  }

  opening(peer: PeerId, protocol: string): void {
    if (protocol !== shardsProtocol.name || !this.liars.has(peer)) return
    const { promises, name } = this.#init
    promises.broken('wrong-weights', `${name} asks ${peer} again, which sent it wrong bytes`)
  }

  accepts({ protocol }: RadioChannel): boolean {
    return protocol !== stageProtocol.name || this.#init.lie() !== 'claim'
  }

  sending(channel: RadioChannel, frame: Uint8Array): Uint8Array {
    const { lie } = this.#init
    if (channel.protocol === shardsProtocol.name) return lie() === 'garble' && !channel.isOpener ? spoilt(frame) : frame
    if (channel.protocol !== stageProtocol.name) return frame
    if (frame[0] === refuseTag) this.#noteRefusal(channel, frame)
    else if (frame[0] === openTag && channel.isOpener) this.#noteOwnOpen(channel, frame)
    // What it says for its own sessions and questions is no lie to others.
    return lie() === 'garble' && !this.#own.has(channel) ? garbled(frame) : frame
  }

  arriving(channel: RadioChannel, frame: Uint8Array | undefined, take: () => void): void {
    if (channel.protocol !== stageProtocol.name || channel.isOpener) {
      if (channel.protocol === stageProtocol.name && this.#isStill(channel)) this.#init.hold(take)
      else take()
      return
    }
    if (frame !== undefined && !this.#heard.has(channel)) {
      this.#heard.add(channel)
      if (isForDriver(frame)) this.#driven.add(channel)
    }
    if (this.#init.isMute() && !this.#driven.has(channel)) this.#init.hold(take)
    else take()
  }

  /** Mute, on a stream that one of its stages has opened. */
  #isStill(channel: RadioChannel): boolean {
    return this.#init.isMute() && !this.#heads.has(channel)
  }

  taking(channel: RadioChannel, frame: Uint8Array): boolean {
    if (channel.protocol !== stageProtocol.name || channel.isOpener || this.#opened.has(channel)) return true
    if (this.#init.rogue().lures(channel, frame)) return false
    this.#noteOpen(channel, frame)
    return true
  }

  taken(channel: RadioChannel): void {
    if (channel.protocol === stageProtocol.name) this.#checkQueues()
  }

  aborted(channel: RadioChannel, error: Error): void {
    if (!channel.isOpener || !(error instanceof ProtocolError)) return
    if (channel.protocol === shardsProtocol.name) this.liars.add(channel.remote)
    const terms = this.#heads.get(channel)
    if (terms === undefined || terms.stretch !== undefined) return
    // Of who is only being prepared nobody says that it is lost.
    const isAlone = [...this.#heads].every(([other, { session }]) => other === channel || session !== terms.session)
    if (isAlone) this.#init.violated(terms.session, channel.remote, error.message)
  }

  ended(channel: RadioChannel): void {
    this.#opened.delete(channel)
    this.#heads.delete(channel)
  }

  #noteRefusal(channel: RadioChannel, frame: Uint8Array): void {
    const refusal = decodeFrame(frame)
    if (refusal?.kind === 'refuse') this.#init.refused(refusal, this.#opened.get(channel))
  }

  /** A stream that this peer opens as a driver. */
  #noteOwnOpen(channel: RadioChannel, frame: Uint8Array): void {
    const open = openOf(frame)
    if (open === undefined || open.terms.driver !== this.#init.self) return
    this.#own.add(channel)
    if (open.hop !== 0) return
    this.#heads.set(channel, open.terms)
    if (open.terms.stretch === undefined) this.#init.begun(open.terms)
  }

  /** Remembers what an Open says, for the checks of steps. */
  #noteOpen(channel: RadioChannel, frame: Uint8Array): void {
    const open = openOf(frame)
    // What nobody has signed opens nothing.
    if (open === undefined || !isGenuine(open.terms, verify)) return
    const { session, driver, epoch, keep, route, needs = [] } = open.terms
    this.#opened.set(channel, session)
    const hop = route[open.hop]
    if (hop === undefined) return
    const seat = seatName(driver, session, hop)
    const before = this.#seats.get(seat)
    if (before !== undefined && before.epoch >= epoch) return
    this.#seats.set(seat, { epoch, keep, drafts: needs.includes(draftsNeed) || before?.drafts === true })
    const valid = this.#valid.get(seat)
    if (valid !== undefined) this.#valid.set(seat, Math.min(valid, keep))
  }

  // ── Engines ─────────────────────────────────────────────────────────────────────────────────────

  loading(range: Range): void {
    this.#engines.set(nameOf(range), { range, engine: undefined })
    this.#init.moved('loads', range)
    this.#checkBudget()
  }

  /** A load that began has come to nothing. */
  failed(range: Range): void {
    if (this.#engines.get(nameOf(range))?.engine === undefined) this.#engines.delete(nameOf(range))
  }

  loaded(engine: TimedEngine): void {
    this.#engines.set(nameOf(engine), { range: { start: engine.start, end: engine.end }, engine })
    this.#init.moved('serves', engine)
  }

  closed(engine: TimedEngine): void {
    if (this.#engines.get(nameOf(engine))?.engine === engine) this.#engines.delete(nameOf(engine))
  }

  opened(engine: TimedEngine, cache: SessionId, length: number): void {
    if (length === 0) this.#valid.set(this.#seatOf(engine, cache), 0)
    this.#checkBudget()
  }

  freed(engine: TimedEngine, cache: SessionId): void {
    const seat = this.#seatOf(engine, cache)
    this.#valid.delete(seat)
    this.#seats.delete(seat)
  }

  computing(engine: TimedEngine, step: Step): () => void {
    const { promises, self } = this.#init
    const { session } = ownerOf(step.session)
    const seat = this.#seatOf(engine, step.session)
    const opened = this.#seats.get(seat)
    if (opened !== undefined) {
      const valid = this.#valid.get(seat) ?? 0
      const cache = { length: valid, floor: engine.floor(step.session) }
      promises.step(self, engine.start, opened.epoch, opened, cache, { ...step, session })
    }
    return () => {
      const newest = this.#seats.get(seat)
      const end = step.position + step.tokens
      this.#valid.set(seat, newest !== undefined && newest !== opened ? Math.min(end, newest.keep) : end)
      this.#init.later(() => this.#checkQueues())
    }
  }

  filled(engine: TimedEngine, cache: SessionId, hash: string, isKnown: boolean): void {
    const { promises, name } = this.#init
    const { driver, session } = ownerOf(cache)
    const drivers = this.#filled.get(engine) ?? new Map<PeerId, Set<string>>()
    this.#filled.set(engine, drivers)
    const own = drivers.get(driver) ?? new Set()
    drivers.set(driver, own)
    promises.checks++
    if (isKnown && !own.has(hash)) {
      promises.broken(
        'foreign-prefix',
        `${name} knows a beginning of ${driver}'s ${session} that it has not computed for it`
      )
    }
    own.add(hash)
    this.#checkBudget()
  }

  knew(tokens: number): void {
    this.#init.knew(tokens)
  }

  delayed(engine: TimedEngine, ms: number, allowedMs: number): void {
    const { promises, name } = this.#init
    promises.checks++
    if (ms <= delaySlack * allowedMs) return
    const layers = nameOf(engine)
    promises.broken(
      'delay',
      `${name} adds ${ms.toFixed(0)} ms of a prompt to a pass of layers ${layers}: ${allowedMs} may be`
    )
  }

  hadMore(engine: TimedEngine, driver: PeerId, ms: number): void {
    const { promises, name } = this.#init
    const layers = nameOf(engine)
    promises.broken(
      'part',
      `${driver} had ${ms.toFixed(0)} ms more than its part of layers ${layers} of ${name} while others waited`
    )
  }

  #seatOf(engine: Range, cache: SessionId): string {
    const { driver, session } = ownerOf(cache)
    return seatName(driver, session, engine)
  }

  // ── Limits ──────────────────────────────────────────────────────────────────────────────────────

  #checkBudget(): void {
    const { shape, budgetBytes, promises, name, stages } = this.#init
    let bytes = stages()?.stats.retainBytes ?? 0
    for (const { range, engine } of this.#engines.values()) {
      // What is kept of prompts is in memory that sessions may take, and do not.
      bytes += weightBytes(shape, range) + Math.max(engine?.cacheBytesUsed ?? 0, engine?.heldBytes ?? 0)
    }
    promises.budget(name, bytes, budgetBytes)
  }

  #checkQueues(): void {
    const stages = this.#init.stages()
    if (stages === undefined) return
    const { stats } = stages
    // A limit that has become lower takes nothing away, but nothing may come to what is above it.
    const allowed = Math.max(this.#retained, stages.retainBytesMax)
    this.#init.promises.queues(this.#init.name, stats, allowed)
    this.#retained = stats.retainBytes
  }
}

export function seatName(driver: PeerId, session: SessionId, range: Range): string {
  return `${driver}/${session}/${nameOf(range)}`
}

function nameOf({ start, end }: Range): string {
  return `${start}-${end}`
}

/** Whether the first frame of a stream comes from a tail to the driver. */
function isForDriver(frame: Uint8Array): boolean {
  const open = openOf(frame)
  return open !== undefined && open.hop === open.terms.route.length
}

/** By frames, which travel by reference: sender and receiver look at the same ones, and more than once. */
const opens = new WeakMap<Uint8Array, { readonly open: OpenFrame | undefined }>()

function openOf(frame: Uint8Array): OpenFrame | undefined {
  let known = opens.get(frame)
  if (known === undefined) {
    known = { open: readOpen(frame) }
    opens.set(frame, known)
  }
  return known.open
}

function readOpen(frame: Uint8Array): OpenFrame | undefined {
  try {
    const open = decodeFrame(frame)
    return open?.kind === 'open' ? open : undefined
  } catch {
    // The decider says what is wrong with it.
    return undefined
  }
}

/** Wrong bytes: a frame of its length that says something else. */
function garbled(frame: Uint8Array): Uint8Array {
  return frame.map((byte, i) => (i % 3 === 0 ? byte ^ 0x5a : byte))
}

/** The same with one byte wrong, where it carries bytes. */
function spoilt(bytes: Uint8Array): Uint8Array {
  const frame: AnswerFrame | undefined = decodeAnswer(bytes)
  if (frame?.kind !== 'range') return bytes
  const data = frame.data.slice()
  data[data.length >> 1]! ^= 0x5a
  return encodeSupply({ ...frame, data })
}
