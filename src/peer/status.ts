/** What a peer knows of its swarm, as it is shown: plain data made from live records. Pure. */
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import type { WorkStatus } from '../check/known.ts'
import { commonRevision } from '../base/protocol.ts'
import type { PrefixStats } from '../engine/engine.ts'
import type { DiskStatus } from '../model/disk-budget.ts'
import type { DraftStatus } from '../serving/draft-service.ts'
import { coverageOf } from '../route/coverage.ts'
import { peersHolding, shapeOffered } from '../route/fit.ts'
import { type ModelShape, stageBytes } from '../route/view.ts'
import { stageProtocol } from '../stage/frame.ts'
import { peerHint, type SwarmRecord } from '../swarm/record.ts'
import type { AttestedFacts } from '../trust/attested-peers.ts'
import type { Certificate } from '../trust/grant.ts'
import type { Ledger } from '../trust/ledger.ts'
import { type MemberFacts, memberFacts } from '../trust/members.ts'
import type { Role } from '../trust/roles.ts'
import type { FetchStatus } from '../serving/held-shards.ts'
import type { AnswerStatus } from './answers.ts'

/** Layers [start, end) of a model that a peer has loaded; `serving` says whether sessions may begin there. */
export interface StageStatus extends Range {
  readonly model: ModelId
  readonly serving: boolean
}

/** What this peer knows of one peer, itself included, by the record that it announces. */
export interface PeerStatus {
  readonly id: PeerId
  readonly self: boolean
  readonly addresses: readonly string[]
  readonly hardware: {
    readonly cores: number
    readonly memoryBytes: number
    readonly architecture: string
    readonly platform: string
    readonly cpu: string
  }
  readonly budgetBytes: number
  /** Resident bytes of its stages with their reserves, and of its draft model; null for other peers. */
  readonly usedBytes: number | null
  readonly stages: readonly StageStatus[]
  readonly sessions: number
  /** Measured, per model that it offers. */
  readonly timings: readonly {
    readonly model: ModelId
    readonly visitMs: number
    readonly layerMs: number
    readonly numericClass: string
  }[]
  readonly battery: { readonly level: number; readonly charging: boolean } | null
  /** It is about to go: its stages serve until others hold their layers. */
  readonly leaving: boolean
  /** It speaks a revision of the stage protocol that this peer speaks, too: else no session of this peer runs there. */
  readonly speaks: boolean
  /** Age of its record, in ms; 0 for this peer. */
  readonly ageMs: number
  /**
   * So much further than this peer's its clock is, in ms, as its last record shows: within the half minute for which a record counts. A clock that was
   * set back shows what it was before, until it is there again. Absent for this peer.
   */
  readonly clockMs?: number
  /** Whether this peer has a connection with it now: routes from here use no others. True for this peer. */
  readonly connected: boolean
  /** What checks of its work say, as far as this peer had any. Absent for this peer, and where nobody is checked. */
  readonly work?: WorkStatus
}

/** What live peers serve of one model. */
export interface ModelStatus {
  readonly id: ModelId
  readonly name: string
  /** It is a graph that is no decoder, as a model of one layer. @default false */
  readonly isGraph?: boolean
  readonly layers: number
  /** [layers] how many serving stages hold each layer. */
  readonly coverage: readonly number[]
  /**
   * What is lacking to cover every layer: layers, and their bytes. `pinned` when only because peers were told which layers
   * to serve; else the budgets do not suffice. Null when nothing is.
   */
  readonly missing: { readonly layers: readonly Range[]; readonly bytes: number; readonly pinned: boolean } | null
  /** What it takes, known before anything of it is fetched. Null of a graph, and where no record says so. */
  readonly needs: ModelFit | null
}

/** What a model takes of the memory of peers: exactly, where this peer serves it; else within some percent, by what those say that do. */
export interface ModelFit {
  /** Bytes of a budget that holds all of it, with room for one session of the usual length. */
  readonly wholeBytes: number
  /** A budget to count with: this peer's own; where that is 0, the largest that there is. */
  readonly budgetBytes: number
  /** So many peers that give as much hold it together, once. Null: one of its layers is larger. */
  readonly peers: number | null
}

/** Weights on their way from other peers. */
export interface FetchingStatus {
  /** Null while only the model's name or the beginning of its id is known. */
  readonly model: ModelId | null
  /** What is fetched, or why nothing is: `layers 3-5 from 2 peers`. */
  readonly state: string
  /** Nothing is fetched because the name is that of more than one model. */
  readonly unclear: boolean
  /** Somebody has it: its name is right. */
  readonly known: boolean
  /** It was found, and this peer does not serve it: the error's name and exit code; `state` has its sentence. Null otherwise. */
  readonly refusal: { readonly name: string; readonly exitCode: number } | null
  /**
   * What there is to wait for: it is `fetching`; or it may come `soon`, since a peer offers it or is about to, or has just started and
   * may offer it. Null when nothing is known of, or this peer cannot serve it.
   */
  readonly expected: 'fetching' | 'soon' | null
  readonly bytes: number
  readonly bytesTotal: number
}

/** This peer's part in a swarm with members. */
export interface MembershipStatus {
  /** The swarm's id: 64 hex digits. */
  readonly swarm: string
  /** The newest epoch of which it has the secret. */
  readonly epoch: number
  /** What it may do. */
  readonly roles: readonly Role[]
  readonly labels: readonly string[]
  /** When its certificate ends, in ms since 1970. */
  readonly notAfterMs: number
  /** Why it may nothing any more; null for a member. */
  readonly refusal: string | null
  readonly members: readonly MemberFacts[]
  /** What an operator has to know of those who sign, a sentence each. */
  readonly alarms: readonly string[]
  readonly attestation: AttestationStatus
}

/** Evidence of machines: what this one gives, and what it has of others. */
export interface AttestationStatus {
  /** The kind of its own: `tpm2`. Null where it was not told to give any. */
  readonly attests: string | null
  /** The key that signs it, by its digest; null as that. */
  readonly key: string | null
  /** Roles of others that count only with evidence. */
  readonly requires: readonly Role[]
  /** Those who are connected and have such a role. */
  readonly peers: readonly AttestedFacts[]
}

/** Everything that a peer knows of itself and of its swarm at one moment. */
export interface Status {
  readonly self: PeerId
  readonly swarm: string
  readonly peers: readonly PeerStatus[]
  readonly models: readonly ModelStatus[]
  /** The first of `fetches`, or null. */
  readonly fetching: FetchingStatus | null
  /** What this peer waits for or fetches from others, of each model that lacks something. */
  readonly fetches: readonly FetchingStatus[]
  /** The model that drafts for sessions of this peer, or is to; null where drafts come from the text alone. */
  readonly draft: DraftStatus | null
  /** Ways of discovery and what became of each. */
  readonly discovery: readonly { readonly way: string; readonly state: string }[]
  /** What the models in its directory take of the disk, and may. */
  readonly disk: DiskStatus
  /** What this peer cannot write to its disk now and keeps in memory, a sentence each with the reason. */
  readonly unkept: readonly string[]
  /** This peer's part in a swarm with members; null where whoever has the secret is in it. */
  readonly membership: MembershipStatus | null
  /** What its stages keep of the beginnings of sessions, so that those with the same one need not have it computed again. */
  readonly prefixes: PrefixStats
  /** Protocol violations by remote peers since the start, by kind. */
  readonly violations: Readonly<Record<string, number>>
  /** Each pair of live peers that are connected, once; those of this peer begin with it. */
  readonly links: readonly LinkStatus[]
  /** Answers that this peer is making, in the order in which they were asked for. */
  readonly answers: readonly AnswerStatus[]
}

/** Which peers are connected with each other, as far as their records say. */
export interface LinkStatus {
  readonly from: PeerId
  readonly to: PeerId
  /** Round trip, as either of them measured it; null before. */
  readonly rttMs: number | null
  /** Bytes of TCP that went that way and back since they connected; null where neither is this peer. */
  readonly bytesThere: number | null
  readonly bytesBack: number | null
}

/** Whether sessions of this peer can run at another one, by the revisions that it announces; who names none is asked. */
export function speaksWithUs({ protocols = [] }: SwarmRecord): boolean {
  const names = protocols.filter(id => id.startsWith(`${stageProtocol.name}/`))
  return names.length === 0 || commonRevision(stageProtocol, names) !== undefined
}

/** A live peer as the swarm service lists it. */
export interface ListedPeer {
  readonly record: SwarmRecord
  readonly addresses: readonly string[]
  readonly ageMs: number
  readonly connected: boolean
}

/** One peer's row. `usedBytes` is null for every peer but this one. @param wallMs since 1970, as this machine believes */
export function peerStatus(
  { record, addresses, ageMs, connected }: ListedPeer,
  usedBytes: number | null,
  wallMs: number,
  work?: WorkStatus
): PeerStatus {
  const self = usedBytes !== null
  return {
    id: record.peer,
    self,
    addresses,
    hardware: record.hardware,
    budgetBytes: record.budgetBytes,
    usedBytes,
    stages: record.stages.map(({ model, start, end, serving }) => ({ model, start, end, serving })),
    sessions: record.load.sessions,
    timings: record.models.map(({ model, visitMs, layerMs, numericClass }) => ({
      model,
      visitMs,
      layerMs,
      numericClass
    })),
    battery: record.battery,
    leaving: record.leaving,
    speaks: speaksWithUs(record),
    ageMs,
    // A seq is the clock of whoever made the record (rule R3).
    ...(self ? {} : { clockMs: Math.round(record.seq - (wallMs - ageMs)) }),
    connected: self || connected,
    ...(self || work === undefined ? {} : { work })
  }
}

/** Every model that some live peer offers, with how many serving stages hold each of its layers. */
export function modelCoverage(peers: readonly ListedPeer[]): Omit<ModelStatus, 'missing' | 'needs'>[] {
  const offers = new Map(peers.flatMap(({ record }) => record.models.map(offer => [offer.model, offer] as const)))
  return [...offers.values()].map(({ model, name, layers, isGraph = false }) => {
    const serving = peers.flatMap(({ record }) => record.stages.filter(stage => stage.model === model && stage.serving))
    return { id: model, name, layers, coverage: coverageOf(serving, { layers }), ...(isGraph ? { isGraph } : {}) }
  })
}

/**
 * The same with what they take, and what the budgets lack, which is only known of models that this peer serves itself.
 *
 * @param served what this peer knows of a model that it serves
 */
export function modelStatuses(
  peers: readonly ListedPeer[],
  self: PeerId,
  served: (model: ModelId) => { readonly shape: ModelShape; readonly missing: ModelStatus['missing'] } | undefined
): ModelStatus[] {
  const budgets = peers.map(({ record }) => record.budgetBytes)
  const own = peers.find(({ record }) => record.peer === self)?.record.budgetBytes ?? 0
  const budgetBytes = own > 0 ? own : Math.max(0, ...budgets)
  return modelCoverage(peers).map(model => {
    const known = served(model.id)
    const offers = peers.flatMap(({ record }) => record.models.filter(offer => offer.model === model.id))
    const shape = known?.shape ?? offers.map(shapeOffered).find(each => each !== undefined)
    return { ...model, missing: known?.missing ?? null, needs: shape === undefined ? null : fitOf(shape, budgetBytes) }
  })
}

function fitOf(shape: ModelShape, budgetBytes: number): ModelFit {
  const wholeBytes = stageBytes(shape, { start: 0, end: shape.layers })
  return { wholeBytes, budgetBytes, peers: peersHolding(shape, budgetBytes) ?? null }
}

/**
 * Each connection between two live peers once. Of its own this peer knows bytes and round trips itself; of others it knows what one of
 * the two announces, whose hints of neighbours are looked up among those who are known.
 */
export function linksOf(
  peers: readonly Pick<ListedPeer, 'record'>[],
  self: PeerId,
  own: readonly {
    readonly peer: PeerId
    readonly bytesIn: number
    readonly bytesOut: number
    readonly rttMs: number | undefined
  }[]
): LinkStatus[] {
  const known = new Map(peers.map(({ record }) => [peerHint(record.peer), record.peer]))
  const links = new Map<string, LinkStatus>()
  for (const { peer, bytesIn, bytesOut, rttMs = null } of own) {
    links.set(pairOf(self, peer), { from: self, to: peer, rttMs, bytesThere: bytesOut, bytesBack: bytesIn })
  }
  for (const { record } of peers) {
    if (record.peer === self) continue
    for (const hint of record.neighbours) {
      const to = known.get(hint)
      // What others say of this peer's links it knows better.
      if (to === undefined || to === self || to === record.peer) continue
      const key = pairOf(record.peer, to)
      const rttMs = record.rtts?.get(hint) ?? links.get(key)?.rttMs ?? null
      links.set(key, { from: record.peer, to, rttMs, bytesThere: null, bytesBack: null })
    }
  }
  return [...links.values()]
}

function pairOf(a: PeerId, b: PeerId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

/** What is looked for, then what is fetched. */
export function fetchesOf({
  seeking,
  fetching
}: {
  readonly seeking: readonly Omit<FetchingStatus, 'model' | 'bytes' | 'bytesTotal'>[]
  readonly fetching: readonly FetchStatus[]
}): FetchingStatus[] {
  return [
    ...seeking.map(sought => ({ model: null, ...sought, bytes: 0, bytesTotal: 0 })),
    ...fetching.map(({ model, shards, bytes, bytesTotal, peers }) => ({
      model,
      state: `${shards} from ${peers === 1 ? '1 peer' : `${peers} peers`}`,
      unclear: false,
      known: true,
      refusal: null,
      expected: 'fetching' as const,
      bytes,
      bytesTotal
    }))
  ]
}

/** What a peer shows of its membership; null where a secret makes everybody a member. */
export function membershipOf(
  membership:
    | {
        readonly id: string
        readonly epoch: number
        readonly ledger: Ledger
        readonly certificate: Certificate
        readonly attestation: { facts(): AttestationStatus }
        nowMs(): number
      }
    | undefined
): MembershipStatus | null {
  if (membership === undefined) return null
  const { id, epoch, ledger, certificate } = membership
  const nowMs = membership.nowMs()
  const { roles, labels, subject } = certificate.last
  const standing = ledger.standingOf(subject, nowMs)
  return {
    swarm: id,
    epoch,
    roles,
    labels,
    notAfterMs: certificate.notAfterMs,
    refusal: standing.isMember ? null : standing.refusal,
    members: memberFacts(ledger, nowMs),
    alarms: ledger.alarms(),
    attestation: membership.attestation.facts()
  }
}
