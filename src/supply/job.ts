/** A file on its way, and the peers that it comes from: what is known of both. Pure. */
import type { PeerId } from '../base/ids.ts'
import { ChunkSet, chunkCount, chunkLength } from '../model/chunks.ts'
import type { WantedFile } from './event.ts'
import type { Flow } from './flow.ts'
import type { ChunkRange, FileId } from './frame.ts'

/** A chunk that is `storing` is being checked or written. */
export type ChunkState = 'free' | 'coming' | 'storing' | 'here'

export interface Job {
  readonly wanted: WantedFile
  readonly count: number
  peers: readonly PeerId[]
  list: Uint8Array | undefined
  /** [count] once the disk was looked at. */
  chunks: ChunkState[] | undefined
  freeChunks: number
  hereChunks: number
  hereBytes: number
  /** Since when nobody has any of what is missing. */
  nobodySinceMs: number | undefined
  /** When bytes of it last came. */
  heardAtMs: number
}

/** A chunk on its way from one source. */
export interface Assembly {
  readonly job: Job
  readonly chunk: number
  readonly buffer: Uint8Array
  readonly source: Source
  readonly steals: number
  /** First byte that was not asked for. */
  next: number
  filledBytes: number
  /** Another source took it over, or nobody wants it any more. */
  dead: boolean
}

export interface Asked {
  readonly assembly: Assembly
  readonly range: ChunkRange
  readonly askedAtMs: number
  readonly owedBytes: number
}

export interface Source {
  readonly peer: PeerId
  state: 'closed' | 'opening' | 'open'
  failures: number
  retryAtMs: number
  flow: Flow
  /** What it said about each file, or when it was asked or said that it has none. */
  readonly has: Map<FileId, ChunkSet | { readonly askedAtMs: number }>
  readonly lists: Map<FileId, number>
  /** When it said that a chunk is coming to it. */
  readonly coming: Map<FileId, Map<number, number>>
  assemblies: Assembly[]
  asked: Asked[]
  /** When it last answered with bytes. */
  heardAtMs: number
  /** It is late: others go first until then. */
  restUntilMs: number
  neededAtMs: number
}

/** A file of which nothing is known yet, from these peers. */
export function newJob(wanted: WantedFile, peers: readonly PeerId[], nowMs: number): Job {
  return {
    wanted,
    count: chunkCount(wanted.bytes),
    peers,
    list: undefined,
    chunks: undefined,
    freeChunks: 0,
    hereChunks: 0,
    hereBytes: 0,
    nobodySinceMs: nowMs,
    heardAtMs: nowMs
  }
}

/** The disk was looked at: these chunks of the file are there. */
export function resume(job: Job, have: ChunkSet): void {
  job.chunks = Array.from({ length: job.count }, (_, chunk) => (have.has(chunk) ? 'here' : 'free'))
  for (let chunk = 0; chunk < job.count; chunk++) {
    if (job.chunks[chunk] === 'free') {
      job.freeChunks++
      continue
    }
    job.hereChunks++
    job.hereBytes += chunkLength(job.wanted.bytes, chunk)
  }
}

/** Whether a source has a chunk that is not here yet, or may say so any moment. */
export function helps(source: Source, job: Job): boolean {
  if (source.state !== 'open') return false
  const has = source.has.get(job.wanted.file)
  if (!(has instanceof ChunkSet)) return false
  const { chunks } = job
  return chunks === undefined ? has.size > 0 : chunks.some((state, chunk) => state !== 'here' && has.has(chunk))
}
