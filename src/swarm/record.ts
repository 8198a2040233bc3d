/**
 * A record: what a peer announces of itself, signed and expiring (protocols/records.md). Pure: bytes in, a checked
 * record out, and back. Nothing of it is believed before the signature holds, nothing crosses a limit after that.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { PeerRecord, SignedRecord } from '../../protocols/records.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import { bytesOfPeer, peerOfBytes } from '../base/peer-bytes.ts'
import { inDomain, type Sign, type Verify } from '../base/signature.ts'
import { ProtocolError } from '../errors.ts'
import {
  recordAddressBytesMax,
  recordAddressesMax,
  recordBytesMax,
  recordNeighboursMax,
  recordOffersMax,
  recordProtocolsMax,
  recordRangesMax,
  recordTextMax,
  recordTtlMaxMs
} from './limits.ts'
import { rttOfStep, stepOfRtt } from './round-trips.ts'

export interface Hardware {
  /** Logical processors that this process may use. */
  readonly cores: number
  readonly memoryBytes: number
  /** As Node names it: `x64`, `arm64`. */
  readonly architecture: string
  /** As Node names it: `linux`. */
  readonly platform: string
  /** The processor's name, or empty. */
  readonly cpu: string
}

/** What an engine takes of memory for a model, resident: placement plans each peer with its own. */
export interface OfferFootprint {
  /** One layer's weights; the largest, where they differ. */
  readonly layerBytes: number
  readonly embeddingBytes: number
  readonly headBytes: number
  /** One session's cache in one layer, for as many tokens as placement reserves. */
  readonly cacheBytesPerLayer: number
  /** The same of a cache of int8. @default its engine has none */
  readonly i8CacheBytesPerLayer?: number | undefined
  /** Tokens of a page: caches take whole ones. @default 1 */
  readonly cachePageTokens?: number | undefined
  readonly i8CachePageTokens?: number | undefined
  /** Caches give back what windows have left behind. @default they hold all tokens in every layer */
  readonly givesBackWindows?: boolean | undefined
}

/** A model whose shards a peer holds, in whole or in part, and how fast it computes them. */
export interface ModelOffer {
  readonly model: ModelId
  readonly name: string
  readonly layers: number
  /** Layers whose shards it has on disk, in order, not overlapping. */
  readonly held: readonly Range[]
  readonly embedding: boolean
  readonly head: boolean
  /** Measured: one visit of n layers takes `visitMs + n · layerMs` per token. */
  readonly visitMs: number
  readonly layerMs: number
  readonly numericClass: string
  readonly pinned: Range | null
  /** What of its budget it gives to this model. @default all of it */
  readonly budgetBytes?: number | undefined
  /** It is a graph that is no decoder, and a model of one layer in all else. @default false */
  readonly isGraph?: boolean | undefined
  /** Sessions of this model that it drove in the last minutes, coarsely. @default 0 */
  readonly demand?: number
  /** What its engine takes. @default nobody knows: as much as the reader's own */
  readonly footprint?: OfferFootprint | undefined
}

/** A stage that is loaded and serves, or is being loaded. */
export interface StageOffer extends Range {
  readonly model: ModelId
  readonly serving: boolean
  readonly cacheBytesFree: number
  /** Sessions that hold a cache here. @default 0 */
  readonly sessions?: number
  /** Steps that were here at a time lately, smoothed and coarse. @default nobody knows */
  readonly load?: number | undefined
  /** The most of that for some minutes. @default nobody knows */
  readonly peak?: number | undefined
}

/** A model that a peer has and is to serve, and does not offer yet. */
export interface ComingModel {
  readonly model: ModelId
  readonly name: string
}

/** What a peer says of itself that changes while it runs. */
export interface RecordContent {
  /** Multiaddrs in their binary form, without the peer's id. */
  readonly addresses: readonly Uint8Array[]
  readonly agent: string
  readonly hardware: Hardware
  readonly budgetBytes: number
  readonly models: readonly ModelOffer[]
  readonly stages: readonly StageOffer[]
  readonly load: { readonly sessions: number; readonly queuedSteps: number }
  /** Null when it runs on mains or does not know. */
  readonly battery: { readonly level: number; readonly charging: boolean } | null
  /** It is about to go: plans do without it, while its stages serve until others hold their layers. */
  readonly leaving: boolean
  /** Ids of the protocols that it speaks, revisions included; none says nothing. @default none */
  readonly protocols?: readonly string[]
  /** What it is about to offer. @default nobody knows */
  readonly coming?: readonly ComingModel[] | undefined
  /** Measured round trips to neighbours, by their hints, in ms: steps of a coarse scale. @default none */
  readonly rtts?: ReadonlyMap<number, number>
}

/** The process that made a record. */
export interface Life {
  /** Drawn at its start, as hex digits. */
  readonly run: string
  readonly upMs: number
  /** Another run that it has heard under its own identity. */
  readonly heard: string | undefined
  /** It stops, so that the one it has heard goes on. */
  readonly yields: boolean
}

/** A record that has been checked. */
export interface SwarmRecord extends RecordContent {
  readonly peer: PeerId
  /** Grows with every record of a peer; the highest wins. */
  readonly seq: number
  /** It counts for this long after it arrived; 0 is a goodbye. */
  readonly ttlMs: number
  /** Hints ({@link peerHint}) of the peers that it has a records channel with. */
  readonly neighbours: ReadonlySet<number>
  readonly life?: Life
}

const domain = 'skein-record:'
/** An Ed25519 peer id: identity multihash of a protobuf with the key type and 32 bytes of key (libp2p peer-ids). */
const idPrefix = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20]
const idBytes = 38
const signatureBytes = 64
/** Bytes of a run: nobody draws the same one twice. */
export const runBytes = 8

/** A peer id from its binary form; undefined when it is none of an Ed25519 key. */
export function peerFromBytes(bytes: Uint8Array): PeerId | undefined {
  if (bytes.byteLength !== idBytes || idPrefix.some((byte, i) => bytes[i] !== byte)) return undefined
  return peerOfBytes(bytes)
}

/** The last 4 bytes of a peer's key as a number: enough to tell a few dozen neighbours apart. */
export function peerHint(peer: PeerId): number {
  const bytes = bytesOfPeer(peer)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(bytes.byteLength - 4)
}

/** Encodes and signs a record: the bytes of a `SignedRecord`, as they travel and as the DHT keeps them. */
export function encodeRecord(record: SwarmRecord, sign: Sign): Uint8Array {
  const payload = encodePayload(record)
  return SignedRecord.encode({ payload: owned(payload), signature: owned(sign(inDomain(domain, payload))) })
}

/** Bytes in an ArrayBuffer of their own kind, as the generated codecs are typed. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}

/** The unsigned bytes of a record. */
export function encodePayload(record: SwarmRecord): Uint8Array {
  const neighbours = new Uint8Array(4 * record.neighbours.size)
  const view = new DataView(neighbours.buffer)
  for (const [i, hint] of [...record.neighbours].entries()) view.setUint32(4 * i, hint)
  const steps = Uint8Array.from(record.neighbours, hint => stepOfRtt(record.rtts?.get(hint)))
  return PeerRecord.encode({
    peer: bytesOfPeer(record.peer),
    seq: record.seq,
    ttlMs: record.ttlMs,
    addresses: record.addresses.map(owned),
    agent: record.agent,
    hardware: { ...record.hardware },
    budgetBytes: record.budgetBytes,
    models: record.models.map(
      ({ model, pinned, held, demand = 0, budgetBytes, footprint, isGraph = false, ...offer }) => ({
        ...offer,
        demand,
        isGraph,
        ...(budgetBytes === undefined ? {} : { budgetBytes }),
        ...(footprint === undefined ? {} : { footprint: { ...footprint } }),
        model: owned(hexToBytes(model)),
        held: held.map(range => ({ ...range })),
        ...(pinned === null ? {} : { pinned: { ...pinned } })
      })
    ),
    stages: record.stages.map(({ model, cacheBytesFree, sessions = 0, load, peak, ...stage }) => ({
      ...stage,
      ...(load === undefined ? {} : { load }),
      ...(peak === undefined ? {} : { peak }),
      sessions,
      model: owned(hexToBytes(model)),
      cacheBytesFree
    })),
    load: { ...record.load },
    ...(record.battery === null ? {} : { battery: { ...record.battery } }),
    neighbours,
    leaving: record.leaving,
    protocols: [...(record.protocols ?? [])],
    roundTrips: steps.some(step => step > 0) ? steps : new Uint8Array(0),
    ...(record.life === undefined ? {} : { life: lifeBytes(record.life) }),
    ...(record.coming === undefined
      ? {}
      : { coming: { models: record.coming.map(({ model, name }) => ({ model: owned(hexToBytes(model)), name })) } })
  })
}

function lifeBytes({ run, upMs, heard, yields }: Life): PeerRecord['life'] {
  const heardBytes = heard === undefined ? new Uint8Array() : hexToBytes(heard)
  return { run: owned(hexToBytes(run)), upMs, heard: owned(heardBytes), yields }
}

function lifeOf({ run, upMs, heard, yields }: NonNullable<PeerRecord['life']>): Life {
  for (const bytes of heard.byteLength === 0 ? [run] : [run, heard]) {
    if (bytes.byteLength !== runBytes) throw new ProtocolError(`a run has ${bytes.byteLength} bytes, not ${runBytes}`)
  }
  return {
    run: bytesToHex(run),
    upMs: whole(upMs, 'upMs'),
    heard: heard.byteLength === 0 ? undefined : bytesToHex(heard),
    yields
  }
}

/** A record that was read but whose signature has not been checked. */
export interface UnverifiedRecord {
  readonly peer: PeerId
  readonly seq: number
  /** Checks the signature, then every field. @throws {ProtocolError} */
  verified(verify: Verify): SwarmRecord
}

/**
 * Reads who a record is of and its seq, so that what is already known costs no signature check.
 *
 * @param value the bytes of a `SignedRecord`.
 * @throws {ProtocolError} when they are none, or too long.
 */
export function readRecord(value: Uint8Array): UnverifiedRecord {
  if (value.byteLength > recordBytesMax) {
    throw new ProtocolError(`a record is ${value.byteLength} bytes long, the limit is ${recordBytesMax}`)
  }
  let payload: Uint8Array
  let signature: Uint8Array
  let fields: PeerRecord
  try {
    ;({ payload, signature } = SignedRecord.decode(value))
    fields = PeerRecord.decode(payload, {
      limits: {
        addresses: recordAddressesMax,
        models: recordOffersMax,
        stages: recordOffersMax,
        protocols: recordProtocolsMax,
        models$: { held: recordRangesMax },
        coming: { models: recordOffersMax }
      }
    })
  } catch (error) {
    throw new ProtocolError(`a record cannot be read: ${(error as Error).message}`)
  }
  const peer = peerFromBytes(fields.peer)
  if (peer === undefined) throw new ProtocolError('a record is of no Ed25519 peer id')
  const seq = whole(fields.seq, 'seq')
  return {
    peer,
    seq,
    verified(verify) {
      if (signature.byteLength !== signatureBytes || !verify(peer, inDomain(domain, payload), signature)) {
        throw new ProtocolError(`a record of ${peer} has a wrong signature`)
      }
      return check(peer, seq, fields)
    }
  }
}

function check(peer: PeerId, seq: number, fields: PeerRecord): SwarmRecord {
  const { hardware, load, battery } = fields
  if (fields.ttlMs > recordTtlMaxMs) {
    throw new ProtocolError(`ttlMs is ${fields.ttlMs}, the limit is ${recordTtlMaxMs}`)
  }
  if (fields.neighbours.byteLength % 4 !== 0 || fields.neighbours.byteLength > 4 * recordNeighboursMax) {
    throw new ProtocolError(`neighbours has ${fields.neighbours.byteLength} bytes`)
  }
  const { roundTrips } = fields
  const count = fields.neighbours.byteLength / 4
  if (roundTrips.byteLength !== 0 && roundTrips.byteLength !== count) {
    throw new ProtocolError(`roundTrips has ${roundTrips.byteLength} steps for ${count} neighbours`)
  }
  const neighbours = new Set<number>()
  const rtts = new Map<number, number>()
  const view = new DataView(fields.neighbours.buffer, fields.neighbours.byteOffset, fields.neighbours.byteLength)
  for (let at = 0; at < count; at++) {
    const hint = view.getUint32(4 * at)
    const rttMs = rttOfStep(roundTrips[at] ?? 0)
    neighbours.add(hint)
    if (rttMs !== undefined) rtts.set(hint, rttMs)
  }
  for (const address of fields.addresses) {
    if (address.byteLength > recordAddressBytesMax) {
      throw new ProtocolError(`an address has ${address.byteLength} bytes, the limit is ${recordAddressBytesMax}`)
    }
  }
  const models = fields.models.map(offer => {
    const model = digest(offer.model)
    if (offer.layers < 1 || offer.layers > 1024) throw new ProtocolError(`model ${model} has ${offer.layers} layers`)
    return {
      model,
      name: text(offer.name, 'name'),
      layers: offer.layers,
      held: ranges(offer.held, offer.layers),
      embedding: offer.embedding,
      head: offer.head,
      visitMs: duration(offer.visitMs, 'visitMs'),
      layerMs: duration(offer.layerMs, 'layerMs'),
      numericClass: text(offer.numericClass, 'numericClass'),
      pinned: offer.pinned === undefined ? null : range(offer.pinned, offer.layers),
      budgetBytes: offer.budgetBytes === undefined ? undefined : whole(offer.budgetBytes, 'budgetBytes'),
      demand: offer.demand,
      ...(offer.isGraph ? { isGraph: true } : {}),
      ...(offer.footprint === undefined ? {} : { footprint: footprintOf(offer.footprint) })
    }
  })
  const stages = fields.stages.map(stage => ({
    model: digest(stage.model),
    ...range(stage, 1024),
    serving: stage.serving,
    cacheBytesFree: whole(stage.cacheBytesFree, 'cacheBytesFree'),
    sessions: stage.sessions,
    ...(stage.load === undefined ? {} : { load: stage.load }),
    ...(stage.peak === undefined ? {} : { peak: stage.peak })
  }))
  if (battery !== undefined && !(battery.level >= 0 && battery.level <= 1)) {
    throw new ProtocolError(`battery.level is ${battery.level}, not in [0, 1]`)
  }
  return {
    peer,
    seq,
    ttlMs: fields.ttlMs,
    addresses: fields.addresses,
    agent: text(fields.agent, 'agent'),
    hardware: hardwareOf(hardware),
    budgetBytes: whole(fields.budgetBytes, 'budgetBytes'),
    models,
    stages,
    load: { sessions: load?.sessions ?? 0, queuedSteps: load?.queuedSteps ?? 0 },
    battery: battery === undefined ? null : { level: battery.level, charging: battery.charging },
    leaving: fields.leaving,
    protocols: fields.protocols.map(id => text(id, 'protocols')),
    ...(rtts.size === 0 ? {} : { rtts }),
    neighbours,
    ...(fields.life === undefined ? {} : { life: lifeOf(fields.life) }),
    ...(fields.coming === undefined ? {} : { coming: fields.coming.models.map(comingOf) })
  }
}

function hardwareOf(said: PeerRecord['hardware']): Hardware {
  return {
    cores: said?.cores ?? 0,
    memoryBytes: whole(said?.memoryBytes ?? 0, 'memoryBytes'),
    architecture: text(said?.architecture ?? '', 'architecture'),
    platform: text(said?.platform ?? '', 'platform'),
    cpu: text(said?.cpu ?? '', 'cpu')
  }
}

function comingOf({ model, name }: { readonly model: Uint8Array; readonly name: string }): ComingModel {
  return { model: digest(model), name: text(name, 'name') }
}

function footprintOf(announced: OfferFootprint): OfferFootprint {
  const { layerBytes, embeddingBytes, headBytes, cacheBytesPerLayer, i8CacheBytesPerLayer: i8 } = announced
  const { cachePageTokens: page, i8CachePageTokens: i8Page, givesBackWindows } = announced
  return {
    layerBytes: whole(layerBytes, 'layerBytes'),
    embeddingBytes: whole(embeddingBytes, 'embeddingBytes'),
    headBytes: whole(headBytes, 'headBytes'),
    cacheBytesPerLayer: whole(cacheBytesPerLayer, 'cacheBytesPerLayer'),
    ...(i8 === undefined ? {} : { i8CacheBytesPerLayer: whole(i8, 'i8CacheBytesPerLayer') }),
    ...(page === undefined ? {} : { cachePageTokens: some(page, 'cachePageTokens') }),
    ...(i8Page === undefined ? {} : { i8CachePageTokens: some(i8Page, 'i8CachePageTokens') }),
    ...(givesBackWindows === true ? { givesBackWindows } : {})
  }
}

function some(value: number, name: string): number {
  if (value === 0) throw new ProtocolError(`${name} is 0: it is 1 or more, or left out`)
  return whole(value, name)
}

function whole(value: number, name: string): number {
  if (!(Number.isSafeInteger(value) && value >= 0)) throw new ProtocolError(`${name} is ${value}, over 2^53 - 1`)
  return value
}

function digest(bytes: Uint8Array): ModelId {
  if (bytes.byteLength !== 32) throw new ProtocolError(`a model id has ${bytes.byteLength} bytes, not 32`)
  return bytesToHex(bytes) as ModelId
}

/** Texts end up on a person's terminal: no control characters, and not long. */
function text(value: string, name: string): string {
  if (value.length > recordTextMax || /[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]/u.test(value)) {
    throw new ProtocolError(`${name} is over ${recordTextMax} characters or has control characters`)
  }
  return value
}

function duration(ms: number, name: string): number {
  if (!(ms >= 0 && ms < 1e9)) throw new ProtocolError(`${name} is ${ms}, no duration in ms`)
  return ms
}

function range({ start, end }: Range, layers: number): Range {
  if (start >= end || end > layers) throw new ProtocolError(`[${start}, ${end}) is no range of ${layers} layers`)
  return { start, end }
}

function ranges(held: readonly Range[], layers: number): Range[] {
  let last = 0
  return held.map(candidate => {
    const { start, end } = range(candidate, layers)
    if (start < last) throw new ProtocolError('held ranges overlap or are out of order')
    last = end
    return { start, end }
  })
}
