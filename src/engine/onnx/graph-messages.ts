/** What passes between a graph's process and the one that talks to the network. */
import type { FileOpening } from '../../disk/files-sync.ts'
import type { GraphRun } from '../graph-runtime.ts'
import type { Tensors } from '../../model/tensors.ts'

export interface GraphLoad {
  readonly kind: 'load'
  readonly file: string
  /** What sentences call it. */
  readonly name: string
  readonly threads: number
  /** What opens that file and no other one, where it is sealed. */
  readonly opens: FileOpening | undefined
}

export interface GraphAsk {
  readonly kind: 'run'
  readonly inputs: Tensors
}

export type GraphReply =
  | { readonly kind: 'loaded' }
  | ({ readonly kind: 'ran' } & GraphRun)
  /** It is not loaded, or not run: the same would happen to whoever tries. */
  | { readonly kind: 'failed'; readonly message: string }
