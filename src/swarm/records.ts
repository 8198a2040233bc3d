/**
 * Who is here: decides what this peer believes about the others and what it tells them (protocols/records.md).
 * Pure: `handle(event, nowMs)` returns effects. `nowMs` is a monotonic clock, since the clocks of drones jump when
 * they first see a satellite; `wallMs` only seeds seqs, which must grow across restarts.
 */
import { RecordsFrame, SignedRecord } from '../../protocols/records.ts'
import type { PeerId } from '../base/ids.ts'
import { sameBytes } from '../base/same-bytes.ts'
import type { Sign, Verify } from '../base/signature.ts'
import { ProtocolError } from '../errors.ts'
import { recordsMax } from '../limits.ts'
import { recordMarksMax, recordsBurstMax, recordsFrameBytesMax, recordsPerSecondMax, recordTtlMs } from './limits.ts'
import { AwaitedRecords } from './awaited-records.ts'
import { encodeRecordsFrame } from './records-frame.ts'
import { type LiveRecord, LiveRecords, type Place } from './live-records.ts'
import { OwnLife } from './own-life.ts'
import { Publishing } from './publishing.ts'
import { RecordCredits } from './record-credits.ts'
import { RecordPace } from './record-pace.ts'
import type { RecordsEffect, RecordsEvent } from './records-event.ts'
import {
  encodePayload,
  encodeRecord,
  type RecordContent,
  readRecord,
  type SwarmRecord,
  type UnverifiedRecord
} from './record.ts'

/** A live record as the rest of the house sees it. */
export interface KnownRecord {
  readonly record: SwarmRecord
  /** When it arrived, on the clock of `nowMs`. */
  readonly receivedMs: number
  /** There is a records channel with this peer; true for this peer itself. */
  readonly connected: boolean
  /** It is or was connected, or a connected peer names it as its neighbour; who else is known is so by hearsay. */
  readonly linked: boolean
}

/** One that may be believed, and who sent it; undefined where that was the DHT. */
interface NewRecord {
  readonly record: SwarmRecord
  readonly value: Uint8Array
  readonly from: PeerId | undefined
}

export interface RecordsInit {
  readonly self: PeerId
  readonly sign: Sign
  readonly verify: Verify
  /** The last seq this peer used before it started; 0 for its first start. */
  readonly seq: number
  /** Tells this process from another one with the same identity. @default nothing does */
  readonly life?: { readonly run: string; readonly startMs: number }
  /** Live records that are kept, this peer's included. @default {@link recordsMax} */
  readonly liveMax?: number | undefined
  /** Whether a peer is a member: of others nothing is kept. @default everybody who has the secret is */
  readonly isMember?: (peer: PeerId) => boolean
}

export class Records {
  readonly #init: RecordsInit
  /** Live records of others and, while it runs, of this peer. */
  readonly #live: LiveRecords
  /** Highest seq ever accepted per peer, in order of its last change; an older one never wins. */
  readonly #marks = new Map<PeerId, number>()
  readonly #neighbours = new RecordCredits()
  /** Neighbours that say that they do not hear this peer. */
  readonly #unheard = new Set<PeerId>()
  #seq: number
  #content: RecordContent | undefined
  /** The last announced payload with seq 0, to tell a change from a repetition. */
  #announced: Uint8Array | undefined
  /** What was compared with it last; undefined when something else that the payload has may have changed since. */
  #compared: RecordContent | undefined
  #announcedMs = 0
  readonly #publishing = new Publishing()
  readonly #awaited = new AwaitedRecords()
  readonly #pace = new RecordPace<NewRecord>()
  #left = false
  readonly #life: OwnLife | undefined

  constructor(init: RecordsInit) {
    this.#init = init
    this.#live = new LiveRecords(init.self, init.liveMax)
    this.#seq = init.seq
    this.#life = init.life === undefined ? undefined : new OwnLife(init.life)
  }

  /** Every live record, the own one first. */
  known(): KnownRecord[] {
    const own = this.#live.get(this.#init.self)
    const all = own === undefined ? [] : [own]
    for (const [peer, known] of this.#live) if (peer !== this.#init.self) all.push(known)
    return all.map(({ record, receivedMs }) => ({
      record,
      receivedMs,
      connected: record.peer === this.#init.self || this.#neighbours.has(record.peer),
      linked: this.#live.isLinked(record.peer)
    }))
  }

  /** When a peer's record arrived, on the clock of `nowMs`. */
  receivedMs(peer: PeerId): number | undefined {
    return this.#live.get(peer)?.receivedMs
  }

  get(peer: PeerId): SwarmRecord | undefined {
    return this.#live.get(peer)?.record
  }

  /**
   * Why a value must not be stored or believed under a peer's key in the DHT, or undefined when it may.
   * The DHT itself would let an older record replace a newer one (it runs no selector on a put).
   */
  refusal(peer: string, value: Uint8Array): string | undefined {
    try {
      const unverified = readRecord(value)
      if (unverified.peer !== peer) return `the record is of ${unverified.peer}, not of ${peer}`
      if (this.#init.isMember?.(unverified.peer) === false) return `${peer} is no member`
      const mark = this.#marks.get(unverified.peer) ?? -1
      if (unverified.seq < mark) return `seq ${unverified.seq} is older than ${mark}`
      const live = this.#live.get(unverified.peer)
      if (unverified.seq === mark && live !== undefined && sameBytes(live.value, value)) return undefined
      unverified.verified(this.#init.verify)
      return undefined
    } catch (error) {
      if (error instanceof ProtocolError) return error.message
      throw error
    }
  }

  handle(event: RecordsEvent, nowMs: number): RecordsEffect[] {
    switch (event.kind) {
      case 'announce':
        if (this.#left) return []
        this.#content = event.content
        return this.#announceIfNew(nowMs, event.wallMs)
      case 'leave':
        return this.#leave(nowMs, event.wallMs)
      case 'opened':
        return this.#opened(event.peer, nowMs)
      case 'closed':
        return this.#closed(event.peer)
      case 'unheard':
        if (event.isUnheard) this.#unheard.add(event.peer)
        else this.#unheard.delete(event.peer)
        this.#compared = undefined
        return this.#announceIfNew(nowMs, event.wallMs)
      case 'frame':
        return this.#frame(event.peer, event.frame, nowMs)
      case 'value':
        return this.#accept(event.value, undefined, nowMs)
      case 'members':
        return this.#members(nowMs)
      case 'tick':
        return this.#tick(nowMs, event.wallMs)
    }
  }

  #announceIfNew(nowMs: number, wallMs: number): RecordsEffect[] {
    if (this.#content === undefined || this.#left) return []
    // Several times a second, and hardly ever with anything new.
    if (this.#compared === this.#content) return []
    this.#compared = this.#content
    const payload = encodePayload(this.#own(this.#content, { seq: 0, ttlMs: recordTtlMs }))
    if (this.#announced !== undefined && sameBytes(this.#announced, payload)) return []
    this.#announced = payload
    return this.#announce(recordTtlMs, nowMs, wallMs)
  }

  /** @param nowMs undefined for a record that is only compared */
  #own(content: RecordContent, { seq, ttlMs, nowMs }: { seq: number; ttlMs: number; nowMs?: number }): SwarmRecord {
    const heard = [...this.#neighbours.peers].filter(peer => !this.#unheard.has(peer))
    const neighbours = heard.map(peer => this.#live.hint(peer)).sort((a, b) => a - b)
    const record = { ...content, peer: this.#init.self, seq, ttlMs, neighbours: new Set(neighbours) }
    return this.#life === undefined ? record : { ...record, life: this.#life.said(nowMs) }
  }

  #announce(ttlMs: number, nowMs: number, wallMs: number): RecordsEffect[] {
    const least = Math.max(this.#seq + 1, Math.floor(wallMs))
    this.#seq = this.#life?.seqFrom(least) ?? least
    const record = this.#own(this.#content!, { seq: this.#seq, ttlMs, nowMs })
    const value = encodeRecord(record, this.#init.sign)
    this.#announcedMs = nowMs
    this.#mark(this.#init.self, this.#seq)
    const effects: RecordsEffect[] = [{ kind: 'persist', seq: this.#seq }]
    if (ttlMs > 0) {
      const joined = !this.#live.has(this.#init.self)
      this.#live.set(this.#init.self, { record, value, receivedMs: nowMs, via: this.#init.self })
      if (joined) effects.push({ kind: 'join', peer: this.#init.self })
      effects.push({ kind: 'record', peer: this.#init.self })
    }
    const frame = encodeRecordsFrame([value])
    for (const peer of this.#neighbours.peers) effects.push({ kind: 'send', peer, frame })
    const isDue = ttlMs === 0 || this.#publishing.isDue(record.addresses, nowMs)
    if (isDue) effects.push(this.#publish({ value, record }, nowMs))
    return effects
  }

  #publish({ value, record }: Pick<LiveRecord, 'value' | 'record'>, nowMs: number): RecordsEffect {
    this.#publishing.published(record.addresses, nowMs)
    return { kind: 'publish', value }
  }

  #leave(nowMs: number, wallMs: number): RecordsEffect[] {
    // The goodbye of one that yields would be that of both.
    if (this.#left || this.#life?.yields === true || this.#content === undefined) {
      this.#left = true
      return []
    }
    const effects = this.#announce(0, nowMs, wallMs)
    this.#left = true
    this.#live.delete(this.#init.self)
    return [...effects, { kind: 'leave', peer: this.#init.self }]
  }

  #opened(peer: PeerId, nowMs: number): RecordsEffect[] {
    if (peer === this.#init.self) return []
    if (this.#neighbours.size === 0 && this.#content !== undefined) this.#publishing.anew(nowMs)
    this.#neighbours.opened(peer, nowMs)
    this.#compared = undefined
    const effects = this.#linkedBy(() => this.#live.connect(peer))
    // Everything known, in frames of bounded size; of its own record it can only learn that it is not alone.
    let batch: Uint8Array[] = []
    let bytes = 0
    for (const [known, { value, record }] of this.#live) {
      if (known === peer && record.life === undefined) continue
      if (bytes + value.byteLength + 8 > recordsFrameBytesMax) {
        effects.push(sending(peer, batch))
        batch = []
        bytes = 0
      }
      batch.push(value)
      bytes += value.byteLength + 8
    }
    if (batch.length > 0) effects.push(sending(peer, batch))
    return effects
  }

  #closed(peer: PeerId): RecordsEffect[] {
    this.#neighbours.closed(peer)
    this.#unheard.delete(peer)
    this.#compared = undefined
    this.#live.disconnect(peer)
    return []
  }

  #frame(peer: PeerId, frame: Uint8Array, nowMs: number): RecordsEffect[] {
    if (!this.#neighbours.has(peer)) return []
    // Nobody sends one today; it says nothing (R11).
    if (frame.byteLength === 0) return []
    let values: Uint8Array[]
    try {
      values = RecordsFrame.decode(frame, { limits: { records: recordsBurstMax } }).records.map(record =>
        SignedRecord.encode(record)
      )
    } catch (error) {
      return [{ kind: 'violation', peer, violation: 'bad records frame', message: (error as Error).message }]
    }
    if (!this.#neighbours.spend(peer, Math.max(1, values.length), nowMs)) {
      const message = `${peer} sends over ${recordsPerSecondMax} records per second`
      return [{ kind: 'violation', peer, violation: 'too many records', message }]
    }
    return values.flatMap(value => this.#accept(value, peer, nowMs))
  }

  /** @param from the neighbour that sent it; undefined when it is from the DHT. */
  #accept(value: Uint8Array, from: PeerId | undefined, nowMs: number): RecordsEffect[] {
    let record: SwarmRecord
    let place: Place = { victim: undefined }
    try {
      const unverified = readRecord(value)
      const { peer, seq } = unverified
      const isOwn = peer === this.#init.self
      if (seq <= (this.#marks.get(peer) ?? -1)) return isOwn ? this.#heardOwnAgain(unverified, nowMs) : []
      if (!isOwn && this.#init.isMember?.(peer) === false) {
        this.#awaited.hold(peer, { value: new Uint8Array(value), from })
        return []
      }
      // What there is no room for costs no signature check, leaves no mark and goes no further.
      if (!isOwn && !this.#live.has(peer)) {
        const found = this.#admit(peer, from)
        if (found === undefined) return []
        place = found
      }
      record = unverified.verified(this.#init.verify)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return from === undefined
        ? []
        : [{ kind: 'violation', peer: from, violation: 'bad record', message: error.message }]
    }
    const { peer, seq } = record
    if (peer === this.#init.self) return this.#heardOwn(record, nowMs)
    this.#mark(peer, seq)
    const came = { record, value: new Uint8Array(value), from }
    if (record.ttlMs === 0) this.#pace.drop(peer)
    else if (this.#live.has(peer) && !this.#pace.take(peer, came, nowMs)) return []
    return this.#believe(came, place, nowMs)
  }

  #believe({ record, value, from }: NewRecord, place: Place, nowMs: number): RecordsEffect[] {
    const { peer } = record
    const before = this.#live.get(peer)
    const effects: RecordsEffect[] = []
    if (record.ttlMs === 0) {
      if (this.#live.delete(peer)) effects.push({ kind: 'leave', peer })
    } else {
      if (place.victim !== undefined && this.#live.delete(place.victim)) {
        effects.push({ kind: 'leave', peer: place.victim })
      }
      const live = { record, value, receivedMs: nowMs, via: before?.via ?? from }
      const linked = this.#linkedBy(() => this.#live.set(peer, live), peer)
      if (before === undefined) effects.push({ kind: 'join', peer })
      effects.push({ kind: 'record', peer }, ...linked)
    }
    // Once to everyone who does not have it from its origin, the sender or the origin being themselves: only where it says
    // which process made it, an origin learns from it whether there are two.
    let frame: Uint8Array | undefined
    for (const other of this.#neighbours.peers) {
      if (other === from || (other === peer && record.life === undefined)) continue
      if (record.neighbours.has(this.#live.hint(other))) continue
      frame ??= encodeRecordsFrame([value])
      effects.push({ kind: 'send', peer: other, frame })
    }
    return effects
  }

  /** A newer record of this very peer that this process did not make. */
  #heardOwn({ seq, life, addresses }: SwarmRecord, nowMs: number): RecordsEffect[] {
    // A past life may have used this seq and not kept it: go on above it, and say so at the next tick.
    this.#seq = Math.max(this.#seq, seq)
    this.#mark(this.#init.self, seq)
    this.#announced = undefined
    this.#compared = undefined
    return this.#heardLife({ life, addresses, isNewer: true }, nowMs)
  }

  /** One that is no newer: it can still say that another process has heard of this one. */
  #heardOwnAgain(unverified: UnverifiedRecord, nowMs: number): RecordsEffect[] {
    if (this.#life === undefined || this.#live.get(this.#init.self)?.record.seq === unverified.seq) return []
    const { life, addresses } = unverified.verified(this.#init.verify)
    // Old ones can be repeated by anybody: they may not make this peer announce anew each time.
    if (!this.#life.isHeardBy(life) && this.#life.hasHeard) return []
    return this.#heardLife({ life, addresses, isNewer: false }, nowMs)
  }

  #heardLife(
    { life, addresses, isNewer }: Pick<SwarmRecord, 'life' | 'addresses'> & { readonly isNewer: boolean },
    nowMs: number
  ): RecordsEffect[] {
    if (this.#left || this.#life === undefined || life === undefined) return []
    const heard = this.#life.hear(life, nowMs)
    if (heard === undefined) return []
    this.#compared = undefined
    // At once: the other one may hold the next moment's channels, and what it says then wins over what this one said before.
    const isDue = heard.isNews || (heard.isTwin && heard.yields) || (isNewer && heard.isUnaware)
    const said = isDue ? this.#announceIfNew(nowMs, 0) : []
    if (heard.isTwin) return [...said, { kind: 'twin', addresses, yields: heard.yields }]
    return heard.yields ? said : [...said, { kind: 'namesake', addresses }]
  }

  /**
   * Where somebody new fits in; undefined when nowhere. Of peers that no connected peer names, a neighbour may bring so
   * many at once and so many a second: a swarm that is joined is told in one go, a flood of invented identities is cut.
   */
  #admit(peer: PeerId, from: PeerId | undefined): Place | undefined {
    if (from !== undefined && !this.#live.isLinked(peer) && !this.#neighbours.spendHearsay(from)) return undefined
    return this.#live.placeFor(peer, from)
  }

  /** Does what changes who names whom, and tells of those who are linked by it, and of `peer` if it is. */
  #linkedBy(change: () => void, peer?: PeerId): RecordsEffect[] {
    const isNeighbours = peer === undefined || this.#neighbours.has(peer)
    const before = isNeighbours ? this.#live.linked() : undefined
    change()
    const after = isNeighbours ? this.#live.linked() : new Set(this.#live.isLinked(peer) ? [peer] : [])
    return [...after]
      .filter(candidate => candidate === peer || before?.has(candidate) !== true)
      .map(candidate => ({ kind: 'linked', peer: candidate }))
  }

  /** Forgets those who are no members any more, and takes what waited for those who are now. */
  #members(nowMs: number): RecordsEffect[] {
    const { isMember = () => true, self } = this.#init
    const gone = [...this.#live].map(([peer]) => peer).filter(peer => peer !== self && !isMember(peer))
    for (const peer of gone) this.#live.delete(peer)
    const come = this.#awaited.take(isMember).flatMap(({ value, from }) => this.#accept(value, from, nowMs))
    return [...gone.map((peer): RecordsEffect => ({ kind: 'leave', peer })), ...come]
  }

  #tick(nowMs: number, wallMs: number): RecordsEffect[] {
    const effects: RecordsEffect[] = []
    for (const [peer, { record, receivedMs }] of this.#live) {
      if (peer === this.#init.self || nowMs - receivedMs <= record.ttlMs) continue
      this.#live.delete(peer)
      effects.push({ kind: 'leave', peer })
    }
    for (const came of this.#pace.due(nowMs)) {
      if (this.#live.has(came.record.peer)) effects.push(...this.#believe(came, { victim: undefined }, nowMs))
    }
    if (this.#content !== undefined && !this.#left) {
      if (nowMs - this.#announcedMs >= recordTtlMs / 3) effects.push(...this.#announce(recordTtlMs, nowMs, wallMs))
      else effects.push(...this.#announceIfNew(nowMs, wallMs))
      const own = this.#live.get(this.#init.self)
      if (own !== undefined && this.#publishing.isDue(own.record.addresses, nowMs))
        effects.push(this.#publish(own, nowMs))
    }
    return effects
  }

  #mark(peer: PeerId, seq: number): void {
    this.#marks.delete(peer)
    this.#marks.set(peer, seq)
    if (this.#marks.size <= recordMarksMax) return
    // Forget the longest unchanged of those that are not here; a replay of it would live one ttl at most.
    for (const candidate of this.#marks.keys()) {
      if (this.#live.has(candidate)) continue
      this.#marks.delete(candidate)
      return
    }
  }
}

function sending(peer: PeerId, values: readonly Uint8Array[]): RecordsEffect {
  return { kind: 'send', peer, frame: encodeRecordsFrame(values) }
}
