/** What a fetch of files is told, and what it wants done. */
import type { PeerId } from '../base/ids.ts'
import type { ChunkSet } from '../model/chunks.ts'
import type { FileId, RequestFrame } from './frame.ts'

/** A file as the manifest describes it. */
export interface WantedFile {
  readonly file: FileId
  readonly bytes: number
  /** Digest of its chunk list. */
  readonly chunks: string
}

export type FetchEvent =
  /** Begins to fetch a file from these peers, the likeliest first. A second time, it changes the peers. */
  | { readonly kind: 'want'; readonly wanted: WantedFile; readonly peers: readonly PeerId[] }
  /** The caller no longer wants it. */
  | { readonly kind: 'drop'; readonly file: FileId }
  /** Answer to `list`: these chunks are on disk. */
  | { readonly kind: 'resumed'; readonly file: FileId; readonly have: ChunkSet }
  /** Answer to `check`: whether the bytes have that digest. */
  | { readonly kind: 'checked'; readonly check: number; readonly isRight: boolean }
  /** Answer to `store`. */
  | { readonly kind: 'stored'; readonly file: FileId; readonly chunk: number }
  /** Answers to `open`; `closed` also when the stream ends later. */
  | { readonly kind: 'opened'; readonly peer: PeerId }
  | { readonly kind: 'closed'; readonly peer: PeerId }
  | { readonly kind: 'frame'; readonly peer: PeerId; readonly bytes: Uint8Array }
  | { readonly kind: 'tick' }

export type FetchEffect =
  | { readonly kind: 'open'; readonly peer: PeerId }
  | { readonly kind: 'close'; readonly peer: PeerId }
  | { readonly kind: 'send'; readonly peer: PeerId; readonly frame: RequestFrame }
  /** The chunk list is here and right: what does the disk have? */
  | { readonly kind: 'list'; readonly file: FileId; readonly list: Uint8Array }
  /** A chunk was asked for: those who watch this peer may leave it alone for now. */
  | { readonly kind: 'coming'; readonly file: FileId; readonly chunk: number }
  /** A chunk is here: is its SHA-256 that digest? Nothing of it counts before. */
  | {
      readonly kind: 'check'
      readonly check: number
      readonly file: FileId
      readonly bytes: Uint8Array
      readonly digest: Uint8Array
    }
  /** A chunk is here and right. */
  | { readonly kind: 'store'; readonly file: FileId; readonly chunk: number; readonly bytes: Uint8Array }
  | { readonly kind: 'done'; readonly file: FileId }
  | { readonly kind: 'failed'; readonly file: FileId; readonly message: string }
  | { readonly kind: 'violation'; readonly peer: PeerId; readonly violation: string; readonly message: string }
  /** Send a `tick` then; a later wake does not cancel an earlier one. */
  | { readonly kind: 'wake'; readonly atMs: number }

/** How far a file has come. */
export interface FetchProgress {
  readonly bytes: number
  readonly bytesTotal: number
  /** Sources that have some of what is missing. */
  readonly peers: number
}
