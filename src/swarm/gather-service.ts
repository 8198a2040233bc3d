/**
 * Makes neighbours of those who provide something, in place of others, for as long as somebody wants it: the DHT finds them in a
 * swarm that is larger than a neighbourhood. In one that is not, nothing is asked of it.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import type { ContentId, PeerId } from '../base/ids.ts'
import { gatherAgainMaxMs, gatherAgainMinMs, gatherHoldMs, neighboursMax } from './limits.ts'
import { keptOf } from './neighbourhood.ts'
import type { Gathering } from './swarm.ts'

export interface GatherServiceInit {
  /** Live providers, as the DHT finds them. */
  readonly find: (content: ContentId, options: { signal: AbortSignal }) => AsyncIterable<PeerId>
  /** Whether the swarm is larger than the neighbourhood: in one that is not all are found without the DHT. */
  readonly isLarge: () => boolean
  /** Makes a live peer a neighbour, and keeps it one for so long from now on, and no longer. */
  readonly want: (peer: PeerId, forMs: number) => void
  readonly isNeighbour: (peer: PeerId) => boolean
  readonly neighboursMax?: number | undefined
  /** @default the machine's */
  readonly clock?: Clock
}

interface Gathered {
  /** How many want it. */
  count: number
  members: ReadonlySet<PeerId>
  readonly end: AbortController
}

export class GatherService {
  readonly #init: GatherServiceInit
  readonly #clock: Clock
  readonly #gatherings = new Map<ContentId, Gathered>()
  #stopped = false

  constructor(init: GatherServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  stop(): void {
    this.#stopped = true
    for (const { end } of this.#gatherings.values()) end.abort(new Error('this peer is stopping'))
    this.#gatherings.clear()
  }

  /** Until it is ended, and for a while after that. */
  gather(content: ContentId): Gathering {
    if (this.#stopped) return { isSeeking: false, end: () => {} }
    let gathering = this.#gatherings.get(content)
    if (gathering === undefined) {
      gathering = { count: 0, members: new Set(), end: new AbortController() }
      this.#gatherings.set(content, gathering)
      void this.#keepGathering(content, gathering)
    }
    const mine = gathering
    mine.count++
    const { isNeighbour } = this.#init
    let isOver = false
    return {
      get isSeeking(): boolean {
        return !isOver && ![...mine.members].every(isNeighbour)
      },
      end: () => {
        if (!isOver && --mine.count === 0) this.#end(content, mine)
        isOver = true
      }
    }
  }

  #end(content: ContentId, gathering: Gathered): void {
    gathering.end.abort(new Error('nobody wants them any more'))
    if (this.#gatherings.get(content) !== gathering) return
    this.#gatherings.delete(content)
    const others = [...this.#gatherings.values()]
    for (const peer of gathering.members)
      if (!others.some(({ members }) => members.has(peer))) this.#init.want(peer, gatherHoldMs)
  }

  async #keepGathering(content: ContentId, gathering: Gathered): Promise<void> {
    const { signal } = gathering.end
    let waitMs = gatherAgainMinMs
    while (!signal.aborted) {
      const isDue = this.#init.isLarge()
      const found = isDue ? await this.#look(content, gathering, 2 * waitMs) : 0
      // Who is alone, or has just come, asks soon again; a group that stands is looked at now and then.
      waitMs = found > 0 ? Math.min(2 * waitMs, gatherAgainMaxMs) : gatherAgainMinMs
      await this.#clock.sleep(waitMs, { signal, ref: false })
    }
  }

  /** Asks once. Whoever is found stays until it is asked again after so long. @returns how many there are */
  async #look(content: ContentId, gathering: Gathered, againMs: number): Promise<number> {
    const { find, want } = this.#init
    const { signal } = gathering.end
    const members = new Set<PeerId>()
    try {
      for await (const peer of find(content, { signal })) {
        members.add(peer)
        if (members.size <= this.#placesMax) want(peer, againMs + gatherHoldMs)
      }
    } catch {
      // The query took too long; whom it named by then counts.
    }
    if (!signal.aborted) gathering.members = members
    return members.size
  }

  get #placesMax(): number {
    const { neighboursMax: max = neighboursMax } = this.#init
    return Math.max(1, max - keptOf(max))
  }
}
