/**
 * A kept session as those who have its key know it, and the plain bytes of its parts. Pure: `sealing.ts` seals and
 * opens them. What is authentic is checked all the same: keys are copied, and versions differ.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { KeptHead, KeptTokens } from '../../protocols/keep.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import { bytesOfPeer, peerOfBytes } from '../base/peer-bytes.ts'
import { type CacheType, cacheTypes, usualCache } from '../base/cache-type.ts'
import { ProtocolError } from '../errors.ts'
import { keepPadBytes, keepTtlMaxMs, keepWorkersMax, keptBiasesMax } from './limits.ts'

/** Why an answer has ended; undefined while it has not. */
export type KeptStop = 'eos' | 'length' | undefined

/** What was asked. */
export interface KeptQuestion {
  readonly model: ModelId
  readonly promptIds: readonly number[]
  readonly sampling: {
    readonly temperature: number
    readonly topP: number
    readonly topK: number
    readonly seed: number
    /** Each where it is not 0: as in a session's sampling. */
    readonly presencePenalty?: number | undefined
    readonly frequencyPenalty?: number | undefined
    readonly repetitionPenalty?: number | undefined
    readonly minP?: number | undefined
    readonly logitBias?: Readonly<Record<number, number>> | undefined
  }
  /** In what its hops hold keys and values. @default `f32` */
  readonly cache?: CacheType | undefined
  /** What the answer must be, as JSON; `after`: it begins behind this token of the answer. @default anything */
  readonly grammar?: { readonly spec: string; readonly after?: number | undefined } | undefined
  /** Tokens of the whole answer at most. */
  readonly maxTokens: number
  /** How long it is kept after each put. */
  readonly ttlMs: number
  /** [layers] the numeric class that computed each layer first. */
  readonly classes: readonly string[]
}

/** A session with its answer so far. */
export interface KeptSession extends KeptQuestion {
  readonly ids: readonly number[]
  readonly stop: KeptStop
  /** False when tokens may differ from the undisturbed answer. */
  readonly exact: boolean
  /** Who has computed them; nobody where that was not kept. */
  readonly peers: readonly PeerId[]
}

export interface TokensPart {
  /** Index in the answer of the first of `ids`. */
  readonly start: number
  readonly ids: readonly number[]
  readonly stop: KeptStop
  readonly exact: boolean
  /** Who has computed these, and all before them. @default that is not kept */
  readonly peers?: readonly PeerId[]
}

export const runBytes = 16
const idMax = 2 ** 31
const stops: readonly KeptStop[] = [undefined, 'eos', 'length']

/** The bytes of part 0. `run`: {@link runBytes} random bytes, one value per answer. */
export function packHead(
  run: Uint8Array,
  { model, promptIds, sampling, classes, cache = usualCache, grammar, ...rest }: KeptQuestion
): Uint8Array {
  const type = cacheTypes.indexOf(cache)
  const head = {
    run: run as Uint8Array<ArrayBuffer>,
    model: hexToBytes(model) as Uint8Array<ArrayBuffer>,
    promptIds: packIds(promptIds),
    ...termsToWire(sampling, type, grammar),
    classes: [...classes],
    ...rest
  }
  return pad(KeptHead.encode(head))
}

/** With the session's topP where nobody looks for it who does not know all that the session has. */
function termsToWire(sampling: KeptQuestion['sampling'], type: number, grammar: KeptQuestion['grammar']) {
  const { temperature, topP, topK, seed } = sampling
  const { presencePenalty: presence = 0, frequencyPenalty: frequency = 0, repetitionPenalty: repetition = 0 } = sampling
  const isPenalised = presence !== 0 || frequency !== 0 || repetition !== 0
  const { minP = 0 } = sampling
  const logitBias = Object.entries(sampling.logitBias ?? {}).map(([id, bias]) => ({ id: Number(id), bias }))
  const isFiltered = minP !== 0 || logitBias.length > 0
  // Of those that there are, in the order in which Skein came to know of them, the last one has it.
  const has = [true, type !== 0, isPenalised, isFiltered, grammar !== undefined]
  const topPAt = (place: number): number => (has.lastIndexOf(true) === place ? topP : 0)
  return {
    ...{ temperature, topP: topPAt(0), topK, seed },
    ...(type === 0 ? {} : { cache: { type, topP: topPAt(1) } }),
    ...(isPenalised ? { penalties: { presence, frequency, repetition, topP: topPAt(2) } } : {}),
    ...(isFiltered ? { filters: { minP, logitBias, topP: topPAt(3) } } : {}),
    ...(grammar === undefined ? {} : { grammar: { ...grammar, topP: topPAt(4) } })
  }
}

/** The bytes of a further part. */
export function packTokens({ start, ids, stop, exact, peers = [] }: TokensPart): Uint8Array {
  const by = peers.slice(-keepWorkersMax).map(bytesOfPeer)
  return pad(KeptTokens.encode({ start, ids: packIds(ids), stop: stops.indexOf(stop), inexact: !exact, peers: by }))
}

/** @throws {ProtocolError} when the bytes are no head. */
export function unpackHead(bytes: Uint8Array): { readonly run: Uint8Array; readonly question: KeptQuestion } {
  const { run, model, promptIds, temperature, topK, seed, maxTokens, ttlMs, classes, ...head } = read(KeptHead, bytes, {
    filters: { logitBias: keptBiasesMax }
  })
  const { type } = head.cache ?? { type: 0 }
  const { topP } = head.grammar ?? head.filters ?? head.penalties ?? head.cache ?? head
  const filters = filtersOf(head.filters)
  const { presence = 0, frequency = 0, repetition = 0 } = head.penalties ?? {}
  const penalties =
    head.penalties == null
      ? {}
      : { presencePenalty: presence, frequencyPenalty: frequency, repetitionPenalty: repetition }
  const cache = cacheTypes[type]
  if (cache === undefined) throw new ProtocolError('what was kept has caches of a type that this Skein does not know')
  const ids = unpackIds(promptIds)
  const holds =
    run.byteLength === runBytes &&
    model.byteLength === 32 &&
    ids.length > 0 &&
    Number.isFinite(temperature) &&
    temperature >= 0 &&
    topP > 0 &&
    topP <= 1 &&
    topK < idMax &&
    Number.isSafeInteger(seed) &&
    [presence, frequency, repetition, ...amountsOf(filters)].every(Number.isFinite) &&
    maxTokens >= 1 &&
    maxTokens < idMax &&
    ttlMs >= 1 &&
    ttlMs <= keepTtlMaxMs
  if (!holds) throw new ProtocolError('what was kept has values that no session could have')
  return {
    run,
    question: {
      model: bytesToHex(model) as ModelId,
      promptIds: ids,
      sampling: { temperature, topP, topK, seed, ...penalties, ...filters },
      ...(cache === usualCache ? {} : { cache }),
      ...(head.grammar == null ? {} : { grammar: grammarOf(head.grammar) }),
      maxTokens,
      ttlMs,
      classes
    }
  }
}

/** What else tokens are drawn by; neither is there where it is none. */
function filtersOf(filters: KeptHead['filters']): Pick<KeptQuestion['sampling'], 'minP' | 'logitBias'> {
  const { minP = 0, logitBias = [] } = filters ?? {}
  return {
    ...(minP === 0 ? {} : { minP }),
    ...(logitBias.length === 0 ? {} : { logitBias: Object.fromEntries(logitBias.map(({ id, bias }) => [id, bias])) })
  }
}

function grammarOf({ spec, after }: NonNullable<KeptHead['grammar']>): NonNullable<KeptQuestion['grammar']> {
  try {
    JSON.parse(spec)
  } catch {
    throw new ProtocolError('what was kept has a grammar that is no JSON')
  }
  return { spec, ...(after == null ? {} : { after }) }
}

/** All numbers of them. */
function amountsOf({ minP = 0, logitBias = {} }: ReturnType<typeof filtersOf>): number[] {
  return [minP, ...Object.values(logitBias)]
}

/** @throws {ProtocolError} when the bytes are no tokens. */
export function unpackTokens(bytes: Uint8Array): TokensPart {
  const { start, ids, stop, inexact, peers } = read(KeptTokens, bytes, { peers: keepWorkersMax })
  if (stop >= stops.length) throw new ProtocolError(`what was kept ended for a reason ${stop} that is none`)
  return { start, ids: unpackIds(ids), stop: stops[stop], exact: !inexact, peers: peers.map(peerOfBytes) }
}

/** Token ids as 4 bytes each, the lowest first. */
function packIds(ids: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * ids.length)
  const view = new DataView(bytes.buffer)
  for (const [i, id] of ids.entries()) view.setUint32(4 * i, id, true)
  return bytes
}

function unpackIds(bytes: Uint8Array): number[] {
  if (bytes.byteLength % 4 !== 0) throw new ProtocolError(`${bytes.byteLength} bytes are no token ids`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const ids: number[] = []
  for (let at = 0; at < bytes.byteLength; at += 4) ids.push(view.getUint32(at, true))
  if (ids.some(id => id >= idMax)) throw new ProtocolError('a kept token id is 2^31 or more')
  return ids
}

/** The length in 4 bytes, the lowest first, the bytes, and zeros up to a multiple of {@link keepPadBytes}. */
function pad(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil((4 + bytes.byteLength) / keepPadBytes) * keepPadBytes)
  new DataView(padded.buffer).setUint32(0, bytes.byteLength, true)
  padded.set(bytes, 4)
  return padded
}

function read<T, L>(
  codec: { decode(bytes: Uint8Array, options?: { limits?: L }): T },
  padded: Uint8Array,
  limits?: L
): T {
  const length =
    padded.byteLength < 4 ? -1 : new DataView(padded.buffer, padded.byteOffset, padded.byteLength).getUint32(0, true)
  if (length < 0 || 4 + length > padded.byteLength) throw new ProtocolError('a kept part is shorter than it says')
  try {
    return codec.decode(padded.subarray(4, 4 + length), limits === undefined ? {} : { limits })
  } catch (error) {
    throw new ProtocolError(`a kept part cannot be read: ${(error as Error).message}`)
  }
}
