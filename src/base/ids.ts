/** Branded identifiers: strings that cannot be mixed up although all of them are strings. */

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** A peer's libp2p id in its text form (base58btc of an Ed25519 public key, `12D3KooW…`). */
export type PeerId = Branded<'PeerId'>
/** Digest of a model's manifest: 64 lower-case hex digits of SHA-256 (promise P9). */
export type ModelId = Branded<'ModelId'>
/** Digest of a shard file: 64 lower-case hex digits of SHA-256. */
export type ShardId = Branded<'ShardId'>
/** What may be looked for in the DHT by its digest: a shard, or a model's manifest. */
export type ContentId = ShardId | ModelId
/** One stage of one peer, of the model in question: `peer/start-end`. */
export type PlaceId = Branded<'PlaceId'>
/** One sequence being generated: 32 lower-case hex digits (128 random bits). */
export type SessionId = Branded<'SessionId'>

/** A half-open range of layers [start, end). */
export interface Range {
  readonly start: number
  readonly end: number
}
