/** What a peer is made of before it starts: its swarm, its disk and what computes. */
import type { Clock } from '../base/clock.ts'
import type { Rng } from '../base/rng.ts'
import type { Keeping } from '../disk/keeping.ts'
import type { EngineFactory } from '../engine/factory.ts'
import type { ModelStore } from '../model/store.ts'
import type { KnownSignatures } from '../supply/service.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { OwnAudit } from './own-audit.ts'
import type { OwnScrubbing } from './own-scrubbing.ts'
import type { SignedServingInit } from './signed-service.ts'

export interface RunningPeerInit {
  readonly swarm: Swarm
  readonly swarmName: string
  readonly store: ModelStore
  /** What is told and kept of who signed models, and which need it. @default none does */
  readonly signatures?: KnownSignatures
  /** Why a model that is here counts as not signed, by who is believed now. @default none needs a signature */
  readonly whyUnsigned?: SignedServingInit['whyUnsigned'] | undefined
  readonly engines: readonly EngineFactory[]
  readonly keeping: Keeping
  /** Tells of a problem, as an event of this peer too. */
  readonly warn: (message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
  /** @default the machine's */
  readonly rng?: Rng
  /** @default 0 */
  readonly traceEvery?: number | undefined
  /** @default requests are told of nowhere */
  readonly audit?: OwnAudit | undefined
  /** @default what a request asks for */
  readonly scrub?: OwnScrubbing
}
