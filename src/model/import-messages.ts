/** What passes between the thread that imports a model and the one that talks to the network. */
import type { ImportProgress } from './import-writer.ts'
import type { LibraryImportInit } from './library.ts'
import type { StoredModel } from './store.ts'
import type { ThreadAnswer } from './thread.ts'

/** What one who imports may say and be asked: functions, which stay in the thread that was given them. */
export type ImportCallbacks = Pick<LibraryImportInit, 'room' | 'whyNot' | 'compare' | 'onProgress' | 'onNote'> & {
  readonly chooseEdge?: Exclude<LibraryImportInit['edge'], string | undefined> | undefined
}

/** What is asked of them, and waited for. */
export type ImportQuestion = 'room' | 'whyNot' | 'chooseEdge' | 'beginComparison' | 'compareLayer' | 'endComparison'

export interface LayerToCompare {
  readonly layer: number
  readonly files: ReadonlyMap<string, string>
}

export interface ImportJob {
  /** All that is plain data. */
  readonly options: Omit<LibraryImportInit, 'signal' | 'room' | 'whyNot' | 'compare' | 'onProgress' | 'onNote'>
  /** The questions that somebody answers. */
  readonly answered: readonly ImportQuestion[]
}

/** What the thread says. */
export type FromImport =
  /** It has turned its loop: each {@link ImportJob} says so every `importAliveMs`. */
  | { readonly kind: 'alive' }
  | { readonly kind: 'progress'; readonly progress: ImportProgress }
  | { readonly kind: 'note'; readonly note: string }
  | { readonly kind: 'question'; readonly id: number; readonly question: ImportQuestion; readonly argument: unknown }
  | { readonly kind: 'done'; readonly model: StoredModel }
  /** @param question the one whose answer was an error, where that ended it */
  | { readonly kind: 'failed'; readonly reply: ThreadAnswer; readonly question?: number | undefined }

/** What it is told. */
export type ToImport =
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  /** The error itself stays where it was thrown. */
  | { readonly kind: 'refused'; readonly id: number; readonly message: string }
  | { readonly kind: 'abort' }
