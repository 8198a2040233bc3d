/** The typed form of every frame of /skein/shards/1.0.0, as `codec.ts` reads and writes them. */
import type { ModelId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'

/** The protocol, and the revisions of it that are spoken here. */
export const shardsProtocol: Protocol = { name: '/skein/shards', revisions: ['1.0.0'] }

/** Digest of a file, a shard or a tokenizer: 64 lower-case hex digits of SHA-256. */
export type FileId = string

/** Bytes [offset, offset + length) of one chunk. */
export interface ChunkRange {
  readonly file: FileId
  readonly chunk: number
  readonly offset: number
  readonly length: number
}

/** What a fetcher says. */
export type RequestFrame =
  | { readonly kind: 'manifest-request'; readonly model: ModelId }
  | { readonly kind: 'watch'; readonly file: FileId }
  | { readonly kind: 'list-request'; readonly file: FileId }
  | ({ readonly kind: 'range-request' } & ChunkRange)

/** What was refused: a range is named by where it begins. */
export type RefuseFrame =
  | { readonly kind: 'refuse'; readonly subject: 'manifest'; readonly model: ModelId }
  | { readonly kind: 'refuse'; readonly subject: 'file' | 'list'; readonly file: FileId }
  | {
      readonly kind: 'refuse'
      readonly subject: 'range'
      readonly file: FileId
      readonly chunk: number
      readonly offset: number
    }

/** What a source says. */
export type AnswerFrame =
  | {
      readonly kind: 'manifest'
      readonly model: ModelId
      readonly json: Uint8Array
      /** Signatures of the model, one after another; empty where nobody is known to have signed it. */
      readonly signatures: Uint8Array
    }
  | { readonly kind: 'state'; readonly file: FileId; readonly whole: boolean; readonly chunks: Uint8Array }
  | { readonly kind: 'have' | 'coming'; readonly file: FileId; readonly chunk: number }
  | { readonly kind: 'list'; readonly file: FileId; readonly digests: Uint8Array }
  | {
      readonly kind: 'range'
      readonly file: FileId
      readonly chunk: number
      readonly offset: number
      readonly data: Uint8Array
      /** Sessions run at the source. @default false */
      readonly live?: boolean
    }
  | RefuseFrame

export type Frame = RequestFrame | AnswerFrame
