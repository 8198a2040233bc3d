/**
 * Terms: what a driver gives out once for each epoch of its session, and signs. Every hop checks the signature before it
 * gives the session a seat or has a newer epoch take it over, so that nobody but its driver can have that done (rule S25).
 * The driver's own bytes travel: a hop passes on fields that it does not know.
 */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { Terms as WireTerms } from '../../protocols/stage.ts'
import type { ModelId, PeerId, Range, SessionId } from '../base/ids.ts'
import { bytesOfPeer, peerOfBytes } from '../base/peer-bytes.ts'
import { inDomain, type Sign, type Verify } from '../base/signature.ts'
import { type CacheType, cacheTypes, usualCache } from '../base/cache-type.ts'
import type { Sampling } from '../engine/engine.ts'
import { biasesOf, hasFilters, whyNoFilters } from '../engine/logit-bias.ts'
import { biasesMax, logprobsMax } from '../engine/limits.ts'
import { hasPenalties, needsText, whyNoPenalties } from '../engine/penalties.ts'
import type { Scored } from '../engine/scores.ts'
import { ProtocolError } from '../errors.ts'
import { hopsMax } from '../limits.ts'
import { termsBytesMax, termsNeedsMax } from './limits.ts'
import { check, count, positionMax } from './field.ts'
import {
  draftsNeed,
  filtersNeed,
  filtersRevision,
  idsNeed,
  idsRevision,
  logprobsNeed,
  logprobsRevision,
  masksNeed,
  masksRevision,
  promptLogprobsNeed
} from './frame.ts'

/** One stage in a route, as a session hands it to stages. */
export interface RouteHop extends Range {
  readonly peer: PeerId
}

/** Who computes what for a session in one epoch. */
export interface Terms {
  readonly session: SessionId
  /** Grows by at least one whenever the session takes a new route. */
  readonly epoch: number
  readonly model: ModelId
  /** [1..hopsMax] hops that cover the layers from 0 without a gap. */
  readonly route: readonly RouteHop[]
  readonly driver: PeerId
  readonly tokensMax: number
  readonly sampling: Sampling
  /** What is cached from older epochs is valid below this position. */
  readonly keep: number
  /** Given, only the hops [from, to) of the route take part, and only rebuild their caches, for an epoch to come. */
  readonly stretch?: { readonly from: number; readonly to: number }
  /** What a hop must know to take part, by name (rule S26). @default nothing */
  readonly needs?: readonly string[] | undefined
  /** In what the caches are held; of another type than usual, hops must know of it (rule S33). @default `f32` */
  readonly cache?: CacheType | undefined
  /**
   * What a hop without room shall do (rules S29, S30). `refuse`: the driver asks elsewhere; `wait`: it keeps the session
   * waiting; undefined: it refuses, and the driver, which knows nothing of waiting, will come again.
   */
  readonly room?: 'refuse' | 'wait' | undefined
  /** W3C trace context of a driver that wants to know where its tokens' time goes (rule S34). @default not traced */
  readonly trace?: string | undefined
}

/** Terms, and the bytes that its driver signed. */
export interface SignedTerms extends Terms {
  readonly payload: Uint8Array<ArrayBuffer>
  readonly signature: Uint8Array<ArrayBuffer>
}

const roomRefuse = 1
const roomWait = 2

const domain = 'skein-terms:'
const layerMax = 65_536
/** What terms need where caches are of another type than usual. */
export const cacheNeed = 'cache'
/** What terms may need, and hops here know (rule S26). */
export const knownNeeds: ReadonlySet<string> = new Set([
  draftsNeed,
  cacheNeed,
  idsNeed,
  filtersNeed,
  logprobsNeed,
  promptLogprobsNeed,
  masksNeed
])
/** Fields that are kept for later, as if they were not there. */
const unused = { prefix: new Uint8Array(0), priority: 0, zone: '' }
const peerBytesMax = 64
const noPenalties = { presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 0, promptTokens: 0 }

export function signTerms(terms: Terms, sign: Sign): SignedTerms {
  const { session, epoch, model, route, driver, tokensMax, sampling, keep, stretch, room, trace = '' } = terms
  const cache = cacheTypes.indexOf(terms.cache ?? usualCache)
  const needs = [...(terms.needs ?? []), ...(cache === 0 ? [] : [cacheNeed]), ...samplingNeeds(sampling)]
  const payload = WireTerms.encode({
    session: fromHex(session),
    epoch,
    model: fromHex(model),
    route: route.map(({ peer, start, end }) => ({ peer: bytesOfPeer(peer), start, end })),
    driver: bytesOfPeer(driver),
    tokensMax,
    sampling: {
      ...noPenalties,
      minP: 0,
      ...sampling,
      logitBias: biasesOf(sampling.logitBias),
      logProbs: sampling.logprobs ?? 0,
      promptLogProbs: sampling.promptLogprobs ?? 0
    },
    keep,
    from: stretch?.from ?? 0,
    to: stretch?.to ?? 0,
    needs,
    cacheType: cache,
    room: room === undefined ? 0 : room === 'wait' ? roomWait : roomRefuse,
    trace,
    ...unused
  })
  return {
    ...terms,
    ...(needs.length === 0 ? {} : { needs }),
    payload,
    signature: sign(inDomain(domain, payload)) as Uint8Array<ArrayBuffer>
  }
}

/** What the sampling of terms adds to what they need. */
function samplingNeeds(sampling: Sampling): string[] {
  return [
    ...(needsText(sampling) ? [idsNeed] : []),
    ...(hasFilters(sampling) ? [filtersNeed] : []),
    ...(sampling.logprobs === undefined ? [] : [logprobsNeed]),
    ...(sampling.promptLogprobs === undefined ? [] : [promptLogprobsNeed]),
    ...(sampling.masked === true ? [masksNeed] : [])
  ]
}

/** The first revision all of whose tails can draw and tell so; undefined where every one can. */
export function revisionFor(sampling: Partial<Sampling>): string | undefined {
  if (sampling.masked === true) return masksRevision
  if (sampling.logprobs !== undefined || sampling.promptLogprobs !== undefined) return logprobsRevision
  if (hasFilters(sampling)) return filtersRevision
  return hasPenalties(sampling) ? idsRevision : undefined
}

/** Whether the driver that terms name has signed them. */
export function isGenuine({ driver, payload, signature }: SignedTerms, verify: Verify): boolean {
  return verify(driver, inDomain(domain, payload), signature)
}

/**
 * Reads terms and checks all that can be said about them alone, but not their signature.
 *
 * @throws {ProtocolError} when the bytes are none, or hold values that no session could mean.
 */
export function readTerms(payload: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>): SignedTerms {
  check(payload.length <= termsBytesMax, `terms have at most ${termsBytesMax} bytes`, payload.length)
  let wire: WireTerms
  try {
    wire = WireTerms.decode(payload, {
      limits: { route: hopsMax, needs: termsNeedsMax, sampling: { logitBias: biasesMax } }
    })
  } catch (error) {
    throw new ProtocolError(`terms of ${payload.length} bytes does not decode: ${(error as Error).message}`)
  }
  const { session, epoch, model, route, tokensMax, keep, from, to } = wire
  check(session.length === 16, 'a session id has 16 bytes', session.length)
  check(model.length === 32, 'a model id has 32 bytes', model.length)
  check(route.length >= 1, 'a route has a hop', route.length)
  check(tokensMax >= 1 && tokensMax < positionMax, 'tokensMax is 1 or more', tokensMax)
  check(keep < tokensMax, 'keep is below tokensMax', keep)
  const isWhole = from === 0 && to === 0
  check(isWhole || (from < to && to <= route.length), 'the hops to prepare lie in the route', to)
  return {
    session: bytesToHex(session) as SessionId,
    epoch,
    model: bytesToHex(model) as ModelId,
    route: toRoute(route),
    driver: toPeer(wire.driver),
    tokensMax,
    sampling: samplingOf(wire),
    keep,
    ...(isWhole ? {} : { stretch: { from, to } }),
    ...cachesOf(wire),
    // What a later revision may want besides is refused like any other session.
    ...(wire.room === 0 ? {} : { room: wire.room === roomWait ? 'wait' : 'refuse' }),
    ...(wire.trace === '' ? {} : { trace: wire.trace }),
    // Copies: views would keep all that arrived with them for as long as the session lives.
    payload: payload.slice(),
    signature: signature.slice()
  }
}

/** How the tail draws; penalties are not there where there are none. */
function samplingOf({ sampling, needs }: WireTerms): Sampling {
  const { temperature, topP, topK, seed } = sampling ?? { temperature: -1, topP: 0, topK: 0, seed: 0 }
  check(Number.isFinite(temperature) && temperature >= 0, 'the temperature is 0 or more', temperature)
  check(topP > 0 && topP <= 1, 'topP is in (0, 1]', topP)
  check(topK < positionMax, 'topK is below 2^31', topK)
  const plain = {
    temperature,
    topP,
    topK,
    seed: count(seed),
    ...filtersOf(sampling!, needs),
    ...scoredOf(sampling!, needs),
    ...(needs.includes(masksNeed) ? { masked: true } : {})
  }
  const { presencePenalty, frequencyPenalty, repetitionPenalty, promptTokens } = sampling!
  const penalties = { presencePenalty, frequencyPenalty, repetitionPenalty }
  if (!needsText({ ...plain, ...penalties })) return plain
  check(whyNoPenalties(penalties) === undefined, 'penalties lie in their ranges', presencePenalty)
  check(needs.includes(idsNeed), 'what is drawn by ids needs them', needs.length)
  check(promptTokens < positionMax, 'a prompt has less than 2^31 tokens', promptTokens)
  return { ...plain, ...(hasPenalties(penalties) ? penalties : {}), promptTokens }
}

/** What a tail draws by besides; neither is there where it is none. */
function filtersOf(
  { minP, logitBias }: NonNullable<WireTerms['sampling']>,
  needs: readonly string[]
): Pick<Sampling, 'minP' | 'logitBias'> {
  if (minP === 0 && logitBias.length === 0) return {}
  const isRising = logitBias.every(({ id }, i) => i === 0 || logitBias[i - 1]!.id < id)
  check(isRising, 'the ids of logitBias rise', logitBias.length)
  const filters = {
    ...(minP === 0 ? {} : { minP }),
    ...(logitBias.length === 0 ? {} : { logitBias: Object.fromEntries(logitBias.map(({ id, bias }) => [id, bias])) })
  }
  check(whyNoFilters(filters) === undefined, 'minP and logitBias lie in their ranges', minP)
  check(needs.includes(filtersNeed), 'what is drawn with filters needs them', needs.length)
  return filters
}

/** What is told of tokens beside their ids; not there where it is nothing. */
function scoredOf({ logProbs, promptLogProbs }: NonNullable<WireTerms['sampling']>, needs: readonly string[]): Scored {
  const counts = { logprobs: logProbs, promptLogprobs: promptLogProbs }
  const names = { logprobs: logprobsNeed, promptLogprobs: promptLogprobsNeed }
  const asked: { logprobs?: number; promptLogprobs?: number } = {}
  for (const name of ['logprobs', 'promptLogprobs'] as const) {
    const count = counts[name]
    const isNeeded = needs.includes(names[name])
    check(isNeeded || count === 0, 'log-probabilities need that hops know of them', count)
    check(count <= logprobsMax, `a token has log-probabilities of at most ${logprobsMax} others`, count)
    if (isNeeded) asked[name] = count
  }
  return asked
}

/** What terms need, and in what the caches are held. A type of a later time is one more thing that they need. */
function cachesOf({ needs, cacheType }: WireTerms): Pick<Terms, 'needs' | 'cache'> {
  const names = needs.map(needed)
  if (cacheType === 0) return names.length === 0 ? {} : { needs: names }
  check(names.includes(cacheNeed), 'caches of another type than usual are needed', cacheType)
  const cache = cacheTypes[cacheType]
  return cache === undefined ? { needs: [...names, `${cacheNeed}-${cacheType}`] } : { needs: names, cache }
}

/** A name of something that a hop must know; it may be said to a person. */
function needed(name: string): string {
  check(/^[a-z0-9-]{1,32}$/.test(name), 'what terms need has a name of 1 to 32 letters, digits and dashes', name.length)
  return name
}

function toRoute(hops: WireTerms['route']): RouteHop[] {
  let at = 0
  return hops.map(({ peer, start, end }) => {
    check(start === at && end > start && end <= layerMax, 'hops follow one another from layer 0', start)
    at = end
    return { peer: toPeer(peer), start, end }
  })
}

function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  return hexToBytes(hex) as Uint8Array<ArrayBuffer>
}

function toPeer(bytes: Uint8Array): PeerId {
  check(bytes.length >= 1 && bytes.length <= peerBytesMax, 'a peer id has 1 to 64 bytes', bytes.length)
  return peerOfBytes(bytes)
}
