/** An answer under way, as the world follows it. */
import type { CacheType } from '../src/base/cache-type.ts'
import type { PeerId, SessionId } from '../src/base/ids.ts'
import type { Sampling } from '../src/engine/engine.ts'
import type { GrammarSpec } from '../src/model/grammar-spec.ts'
import type { Hop } from '../src/route/view.ts'

/** An answer that somebody has asked for, as the world follows it. */
export interface Asked {
  readonly number: number
  readonly promptIds: readonly number[]
  readonly answerTokens: number
  readonly sampling: Sampling
  readonly cache: CacheType
  /** What it must be; undefined where it may be anything. */
  readonly grammar: GrammarSpec | undefined
  readonly signal: AbortSignal
  /** Undefined before its first route. */
  session: SessionId | undefined
  /** The route that it uses now, detours included. */
  route: readonly Hop[]
  /** It waits for a route. */
  isRouting: boolean
  /** When it last began on a route, or had a token. */
  sinceMs: number
  /** When its last token came. */
  tokenMs: number | undefined
  /** Who was lost, in order. */
  readonly lost: PeerId[]
  isEnded: boolean
}
