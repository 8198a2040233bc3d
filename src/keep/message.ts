/** The typed form of what travels in /skein/keep/1.0.0, as `codec.ts` reads and writes it. */
import type { Protocol } from '../base/protocol.ts'

/** The protocol, and the revisions of it that are spoken here. */
export const keepProtocol: Protocol = { name: '/skein/keep', revisions: ['1.0.0'] }

/** An entry as its keeper knows it: 64 lower-case hex digits that say nothing about name or key. */
export type EntryId = string

/** Parts [from, from + parts.length) of an entry; what it held from `from` on is replaced. */
export interface PutRequest {
  readonly kind: 'put'
  readonly id: EntryId
  /** The version that this one extends; 0 when `from` is 0. */
  readonly base: number
  /** Above `base`. */
  readonly version: number
  readonly from: number
  /** [1..keepPartsMax] sealed parts. */
  readonly parts: readonly Uint8Array[]
  /** [1..keepTtlMaxMs] from its arrival. */
  readonly ttlMs: number
}

export interface GetRequest {
  readonly kind: 'get'
  readonly id: EntryId
}

export interface RemoveRequest {
  readonly kind: 'remove'
  readonly id: EntryId
}

export type KeepRequest = PutRequest | GetRequest | RemoveRequest

/** The put is kept, or what was to be removed is gone (version 0). */
export interface KeptAnswer {
  readonly kind: 'kept'
  readonly version: number
}

export interface EntryAnswer {
  readonly kind: 'entry'
  readonly version: number
  readonly parts: readonly Uint8Array[]
  readonly leftMs: number
}

/** Why a keeper does not do what it is asked: rules K5 to K8 of `protocols/keep.md`. */
export type KeepReason = 'unknown' | 'gap' | 'stale' | 'no-room'

export interface RefusedAnswer {
  readonly kind: 'refused'
  readonly reason: KeepReason
  /** What the keeper has of this entry; 0 for nothing. */
  readonly version: number
}

export type KeepAnswer = KeptAnswer | EntryAnswer | RefusedAnswer
