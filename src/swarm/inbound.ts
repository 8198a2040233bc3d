/** Channels that others have opened, by peer and protocol: so many of each may be open at once, and so many of a peer may come in a second. Pure. */
import { PeerBudgets } from '../base/budget.ts'
import type { PeerId } from '../base/ids.ts'
import { channelsInBurstMax, channelsInPerSecondMax } from './limits.ts'

type Ending = { readonly closed: boolean }

export class InboundChannels {
  readonly #channels = new Map<PeerId, Map<string, Set<Ending>>>()
  readonly #budgets = new PeerBudgets({
    perSecond: channelsInPerSecondMax,
    burst: channelsInBurstMax
  })

  /** A peer opens one. Why it may not, where it has opened too many just now. */
  take(peer: PeerId, nowMs: number): string | undefined {
    if (this.#budgets.take(peer, nowMs)) return undefined
    return `${peer} opens more than ${channelsInPerSecondMax} channels a second`
  }

  /** Those of a protocol and peer that have not ended. */
  of(name: string, peer: PeerId): Set<Ending> {
    const byName = this.#channels.get(peer) ?? new Map<string, Set<Ending>>()
    this.#channels.set(peer, byName)
    const channels = byName.get(name) ?? new Set()
    byName.set(name, channels)
    for (const channel of channels) if (channel.closed) channels.delete(channel)
    return channels
  }

  /** A peer is not connected any more. */
  forget(peer: PeerId): void {
    this.#channels.delete(peer)
  }
}
