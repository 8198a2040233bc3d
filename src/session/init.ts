/** What a session is made with. */
import type { ModelId, PeerId, SessionId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import type { CacheType } from '../base/cache-type.ts'
import type { Sampling } from '../engine/engine.ts'
import type { Hop } from '../route/view.ts'
import type { Drafter } from './drafter.ts'
import type { Stop } from './event.ts'
import type { AnnouncedSpeed } from './patience.ts'

/** What a session must know of a draft model. */
export interface DraftModelInit {
  /** Tokens of a text that it can go on with. */
  readonly contextMax: number
  /** What it takes for each token, in ms, until this session has seen it. */
  readonly tokenMs: number
}

export interface SessionInit {
  readonly self: PeerId
  /** Signs as this peer. */
  readonly sign: Sign
  readonly session: SessionId
  readonly model: ModelId
  readonly vocab: number
  /** One id or more. */
  readonly promptIds: readonly number[]
  /** Tokens of the answer that are there already, when a session is resumed. @default none */
  readonly answered?: readonly number[] | undefined
  /** False when some of these may differ from the undisturbed answer. @default true */
  readonly exact?: boolean | undefined
  /** Cache that every hop reserves: the prompt and the longest answer. */
  readonly tokensMax: number
  /** In what every hop holds the session's keys and values. @default `f32` */
  readonly cache?: CacheType | undefined
  readonly sampling: Sampling
  /**
   * Time to wait for a route, from the start or from a loss, in ms.
   * @default 30 s after a loss; none beyond what the question for a route takes before the first route
   */
  readonly waitMs?: number | undefined
  /** Whether this peer hears another one at this moment: it is connected, and answers. @default nobody can tell */
  readonly hears?: ((peer: PeerId) => boolean) | undefined
  /** When this peer last came to itself after it had not run for a while. @default it has run all the time */
  readonly stoodStillMs?: number | undefined
  /** Whether a peer can keep a session waiting for room, in line. @default none can */
  readonly keepsWaiting?: ((peer: PeerId) => boolean) | undefined
  /** Proposes tokens, which the tail verifies. @default there are no drafts */
  readonly drafter?: Drafter | undefined
  /** What a draft model of the driver's own can do, where it has one for this model's text. @default it has none */
  readonly draftModel?: DraftModelInit | undefined
  /** Whether a peer knows steps with drafts. @default none does */
  readonly knowsDrafts?: ((peer: PeerId) => boolean) | undefined
  /** How fast a hop has announced to be. @default nobody knows */
  readonly speedOf?: ((hop: Hop) => AnnouncedSpeed | undefined) | undefined
  /** Bytes of one token's hidden state between two hops. @default a 4,096 wide model's */
  readonly stepBytes?: number | undefined
  /** Hops are to commit to what they computed when the session ends (rule S41). @default false */
  readonly commits?: boolean | undefined
  /** Hops are to say where the time of each step goes. @default false */
  readonly traced?: boolean | undefined
  /** Whether the answer ends with this token, the `generated`-th one. It must end before `tokensMax` is passed, or with the token after. */
  readonly stop: (id: number, generated: number) => Stop | undefined
}
