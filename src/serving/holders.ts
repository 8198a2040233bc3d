/** Asks the DHT for holders of what is missing here and no record names anybody for. */
import { type Clock, systemClock } from '../base/clock.ts'
import type { ContentId, PeerId } from '../base/ids.ts'
import { holdersAgainMaxMs, holdersAgainMinMs, holdersLookMs } from './limits.ts'
import type { Swarm } from '../swarm/swarm.ts'

export interface HoldersInit {
  readonly swarm: Pick<Swarm, 'findProviders'>
  /** What nobody is known to have; undefined while records name somebody for all that is missing: then nothing is asked. */
  readonly wanted: () => ContentId | undefined
  /** There is one more holder, and it is live. */
  readonly onFound: (peer: PeerId) => void
  /** @default the machine's */
  readonly clock?: Clock
}

/** Whom the DHT has found so far. */
export class Holders {
  readonly #init: HoldersInit
  readonly #found = new Set<PeerId>()

  constructor(init: HoldersInit) {
    this.#init = init
  }

  get found(): readonly PeerId[] {
    return [...this.#found]
  }

  /** Asks once, for what is wanted now. @throws the signal's reason */
  async ask({ signal }: { signal: AbortSignal }): Promise<void> {
    const content = this.#init.wanted()
    if (content === undefined) return
    for await (const peer of this.#init.swarm.findProviders(content, { signal })) {
      if (this.#found.has(peer)) continue
      this.#found.add(peer)
      this.#init.onFound(peer)
    }
  }

  /** Asks while work goes on, again and again, less and less often. @returns what the work gives. @throws what it throws */
  async during<T>(work: () => Promise<T>, { signal }: { signal: AbortSignal }): Promise<T> {
    const ended = new AbortController()
    const asking = this.keepAsking({ signal: AbortSignal.any([signal, ended.signal]) })
    try {
      return await work()
    } finally {
      ended.abort(new Error('holders are not looked for any more'))
      await asking
    }
  }

  /** Asks for what is wanted until the signal; it never rejects. */
  async keepAsking({ signal }: { signal: AbortSignal }): Promise<void> {
    const { clock = systemClock } = this.#init
    let waitMs = holdersAgainMinMs
    while (!signal.aborted) {
      const isWanted = this.#init.wanted() !== undefined
      if (isWanted) await this.ask({ signal }).catch(() => {})
      await clock.sleep(isWanted ? waitMs : holdersLookMs, { signal, ref: false })
      waitMs = isWanted ? Math.min(2 * waitMs, holdersAgainMaxMs) : holdersAgainMinMs
    }
  }
}
