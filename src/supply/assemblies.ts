/** Chunks on their way and being written: what state each is in, and how much memory they take together. Pure. */
import { chunkLength } from '../model/chunks.ts'
import type { Assembly, Job, Source } from './job.ts'
import { supplyBufferBytesMax } from './limits.ts'

export class Assemblies {
  readonly #isWanted: (job: Job) => boolean
  #bufferBytes = 0

  /** @param isWanted whether a file is still being fetched */
  constructor(isWanted: (job: Job) => boolean) {
    this.#isWanted = isWanted
  }

  /** No further chunk may be begun. */
  get isFull(): boolean {
    return this.#bufferBytes >= supplyBufferBytesMax
  }

  /** A free chunk is to come from this source. */
  assign(source: Source, job: Job, chunk: number, steals: number): Assembly {
    const buffer = new Uint8Array(chunkLength(job.wanted.bytes, chunk))
    const assembly = { job, chunk, buffer, source, steals, next: 0, filledBytes: 0, dead: false }
    this.#bufferBytes += buffer.length
    job.chunks![chunk] = 'coming'
    job.freeChunks--
    source.assemblies.push(assembly)
    return assembly
  }

  /** Gives back a chunk that will not come this way. */
  kill(assembly: Assembly): void {
    if (assembly.dead) return
    assembly.dead = true
    this.#bufferBytes -= assembly.buffer.length
    const { job, chunk } = assembly
    if (job.chunks === undefined || !this.#isWanted(job)) return
    job.chunks[chunk] = 'free'
    job.freeChunks++
  }

  /** Gives back those of a source's chunks that are still coming. */
  free(source: Source, which: (assembly: Assembly) => boolean): void {
    for (const assembly of source.assemblies) if (which(assembly)) this.kill(assembly)
    source.assemblies = source.assemblies.filter(({ dead }) => !dead)
  }

  /** A chunk that was being written is on disk. */
  stored(job: Job, chunk: number): void {
    const bytes = chunkLength(job.wanted.bytes, chunk)
    this.#bufferBytes -= bytes
    job.chunks![chunk] = 'here'
    job.hereChunks++
    job.hereBytes += bytes
  }

  /** Nobody wants the file any more. Chunks of it that are being written are the caller's to wait for. */
  forget(job: Job): void {
    for (const [chunk, state] of (job.chunks ?? []).entries()) {
      if (state === 'storing') this.#bufferBytes -= chunkLength(job.wanted.bytes, chunk)
    }
  }
}
