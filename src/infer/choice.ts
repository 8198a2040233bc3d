/** Who is asked to run a graph: of those who serve it, who is expected to answer first. Pure. */
import type { ModelId, PeerId } from '../base/ids.ts'
import type { SwarmRecord } from '../swarm/record.ts'

/** A live peer as far as this goes. */
export interface HeardServer {
  readonly record: SwarmRecord
  /** It can be asked now: it is connected, a contact, or this peer. */
  readonly isAtHand: boolean
  /** The round trip to it in ms; 0 for this peer. @default it was not measured */
  readonly rttMs?: number | undefined
}

/** What a peer that was not measured is taken for: somewhere on a LAN. */
const unknownRttMs = 5

/**
 * Peers that serve a graph and mean to stay, the one that is expected to answer first at the beginning. Those that go come last: they
 * still run what they are asked.
 */
export function serversOf(heard: readonly HeardServer[], model: ModelId): PeerId[] {
  return heard
    .flatMap(({ record, isAtHand, rttMs = unknownRttMs }) => {
      const stage = record.stages.find(each => each.model === model && each.serving)
      if (stage === undefined || !isAtHand) return []
      const runMs = record.models.find(each => each.model === model)?.visitMs ?? 0
      // Those before it are run one after the other.
      const expectedMs = rttMs + Math.max(1, runMs) * (1 + (stage.sessions ?? 0))
      return [{ peer: record.peer, expectedMs, leaving: record.leaving }]
    })
    .sort((a, b) => Number(a.leaving) - Number(b.leaving) || a.expectedMs - b.expectedMs || (a.peer < b.peer ? -1 : 1))
    .map(({ peer }) => peer)
}

/** Whether somebody is loading it: it can be asked soon. */
export function isComing(heard: readonly HeardServer[], model: ModelId): boolean {
  return heard.some(({ record }) => record.stages.some(each => each.model === model && !each.serving))
}

/** Live peers that hold its file, whether they run it or not. */
export function holdersOf(heard: readonly HeardServer[], model: ModelId): number {
  return heard.filter(({ record }) => record.models.some(each => each.model === model && each.held.length > 0)).length
}
