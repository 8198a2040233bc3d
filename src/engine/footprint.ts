/** What an engine needs of a machine's memory for a model: placement plans with it, whatever the engine. Pure. */
import type { CacheType } from '../base/cache-type.ts'

/** Memory of the parts of one model, in bytes, once an engine has loaded them. */
export interface Footprint {
  /** Resident memory of a shard whose file is so long. */
  weightBytes(fileBytes: number): number
  /** One session's cache in one layer, for so many tokens, all of which it holds: where layers differ, in the one that takes most. */
  cacheBytesPerLayer(tokens: number): number
  /** The same of a cache of int8. @default the engine has none */
  i8CacheBytesPerLayer?(tokens: number): number
  /** One session's cache in all layers together. @default all take alike */
  cacheBytes?(tokens: number, type: CacheType): number
  /** A page of a session's cache in one layer. @default pages of all layers take alike */
  cachePageBytes?(layer: number, type: CacheType): number
  /** Tokens of a page of a session's cache, which are reserved whole: of float32, and of int8. @default 1 */
  readonly cachePageTokens?: number
  readonly i8CachePageTokens?: number
  /** Caches give back what windows have left behind (`windows.ts`). @default they hold all tokens in every layer */
  readonly givesBackWindows?: boolean
  /** One token's hidden state with its frame, from one stage to the next. @default as wide as the model's edge type has it */
  readonly stepBytes?: number
}
