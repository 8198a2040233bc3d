/** What passes between the thread that hashes files and the one that talks to the network. */
import type { ShardId } from '../base/ids.ts'

export type HashRequest =
  | { readonly kind: 'whole'; readonly path: string }
  | { readonly kind: 'chunks'; readonly path: string; readonly bytes: number }

/** In place of a digest where bytes do not open: nothing has it. */
export const unreadable = '0'.repeat(64)

export interface FileHashes {
  /** SHA-256 of the file: 64 lower-case hex digits; {@link unreadable} where it is sealed and its seal is broken. */
  readonly sha256: ShardId
  /** The digests of its chunks, one after another (`chunks.ts`), zeros for one whose seal is broken; empty where only the whole was asked for. */
  readonly list: Uint8Array
  /** SHA-256 of that list; empty where there is none. */
  readonly chunks: string
}
