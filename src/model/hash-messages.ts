/** What passes between the thread that hashes files and the one that talks to the network. */
import type { ShardId } from '../base/ids.ts'

export type HashRequest =
  | { readonly kind: 'whole'; readonly path: string }
  | { readonly kind: 'chunks'; readonly path: string; readonly bytes: number }

export interface FileHashes {
  /** SHA-256 of the file: 64 lower-case hex digits. */
  readonly sha256: ShardId
  /** The digests of its chunks, one after another (`chunks.ts`); empty where only the whole was asked for. */
  readonly list: Uint8Array
  /** SHA-256 of that list; empty where there is none. */
  readonly chunks: string
}
