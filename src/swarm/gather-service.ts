/**
 * Keeps those at hand who provide something, for as long as somebody wants it: the DHT finds them in a swarm that is larger than a
 * neighbourhood. In one that is not, nothing is asked of it.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import type { ContentId, PeerId } from '../base/ids.ts'
import { gatherAgainMaxMs, gatherAgainMinMs, gatherHoldMs } from './limits.ts'
import type { Gathering } from './swarm.ts'

export interface GatherServiceInit {
  /** Live providers, as the DHT finds them. */
  readonly find: (content: ContentId, options: { signal: AbortSignal }) => AsyncIterable<PeerId>
  /** Whether the swarm is larger than the neighbourhood: in one that is not all are found without the DHT. */
  readonly isLarge: () => boolean
  /** Has a live peer at hand, as a neighbour or a contact, for so long from now on, and no longer. */
  readonly want: (peer: PeerId, forMs: number) => void
  readonly isAtHand: (peer: PeerId) => boolean
  /** So many of them at most. */
  readonly placesMax: number
  /** @default the machine's */
  readonly clock?: Clock
}

interface Gathered {
  /** How many want it. */
  count: number
  /** Those that were found last, as far as there are places; undefined while nobody has been asked yet. */
  members: ReadonlySet<PeerId> | undefined
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
      gathering = { count: 0, members: undefined, end: new AbortController() }
      this.#gatherings.set(content, gathering)
      void this.#keepGathering(content, gathering)
    }
    const mine = gathering
    mine.count++
    const { isAtHand, isLarge } = this.#init
    let isOver = false
    return {
      get isSeeking(): boolean {
        if (isOver) return false
        return mine.members === undefined ? isLarge() : ![...mine.members].every(isAtHand)
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
    for (const peer of gathering.members ?? [])
      if (!others.some(({ members }) => members?.has(peer) === true)) this.#init.want(peer, gatherHoldMs)
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
    const { find, want, isAtHand, placesMax } = this.#init
    const { signal } = gathering.end
    const members = new Set<PeerId>()
    // Where there are more than places, those stay who have one: whom the DHT names first is chance.
    const placed = new Set([...(gathering.members ?? [])].filter(isAtHand))
    try {
      for await (const peer of find(content, { signal })) {
        if (!placed.delete(peer) && members.size + placed.size >= placesMax) continue
        members.add(peer)
        want(peer, againMs + gatherHoldMs)
        if (members.size >= placesMax) break
      }
    } catch {
      // The query took too long; whom it named by then counts.
    }
    if (!signal.aborted) gathering.members = members
    return members.size
  }
}
