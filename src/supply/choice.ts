/** Which chunk a source is asked for next. Pure. */
import type { Rng } from '../base/rng.ts'
import { ChunkSet } from '../model/chunks.ts'
import { chunkBytes } from '../model/limits.ts'
import type { Assembly, Job, Source } from './job.ts'
import { supplyComingMs, supplyLateMinMs } from './limits.ts'
import type { Sources } from './sources.ts'

/** More than once is bad luck, more than twice is thrashing. */
const stealsMax = 2
/** A thief must win by so much. */
const stealMarginMs = 100
/** Candidates that one choice looks at. */
const rareLookMax = 512

/** The rarest of the free chunks that a source has, of the file that was wanted first. */
export function rarest(
  source: Source,
  { jobs, sources, rng }: { readonly jobs: Iterable<Job>; readonly sources: Sources; readonly rng: Rng },
  nowMs: number
): { readonly job: Job; readonly chunk: number } | undefined {
  const freshMs = nowMs - Math.max(supplyComingMs, 4 * chunkMs(source))
  for (const job of jobs) {
    const has = source.has.get(job.wanted.file)
    if (job.chunks === undefined || job.freeChunks === 0 || !(has instanceof ChunkSet)) continue
    const others = sources.of(job).flatMap(other => {
      const set = other === source ? undefined : other.has.get(job.wanted.file)
      return set instanceof ChunkSet ? [set] : []
    })
    const coming = sources.of(job).flatMap(other => other.coming.get(job.wanted.file) ?? [])
    const first = Math.floor(rng() * job.count)
    let best: number | undefined
    let fewest = Number.POSITIVE_INFINITY
    let looked = 0
    for (let i = 0; i < job.count && looked < rareLookMax && fewest > 0; i++) {
      const chunk = (first + i) % job.count
      if (job.chunks[chunk] !== 'free' || !has.has(chunk)) continue
      // Another fetcher has just asked for it and will have it to give.
      if (coming.some(chunks => (chunks.get(chunk) ?? Number.NEGATIVE_INFINITY) > freshMs)) continue
      looked++
      const copies = others.filter(set => set.has(chunk)).length
      if (copies >= fewest) continue
      fewest = copies
      best = chunk
    }
    if (best !== undefined) return { job, chunk: best }
  }
  return undefined
}

/** The chunk that would come last, which a source without work takes over at the end, if it is clearly quicker. */
export function slowestOf(source: Source, sources: Sources, nowMs: number): Assembly | undefined {
  let slowest: Assembly | undefined
  let slowestMs = 0
  for (const owner of sources.values()) {
    if (owner === source) continue
    for (const assembly of owner.assemblies) {
      const { job, chunk, buffer, next, steals } = assembly
      const has = source.has.get(job.wanted.file)
      if (steals >= stealsMax || !(has instanceof ChunkSet) || !has.has(chunk)) continue
      const ownMs = source.flow.predictedMs(buffer.length)
      const ownerMs = predictedMs(owner, buffer.length - next, nowMs)
      if (ownerMs <= 2 * ownMs + stealMarginMs || ownerMs <= slowestMs) continue
      slowest = assembly
      slowestMs = ownerMs
    }
  }
  return slowest
}

/** What a chunk takes from a source, in ms; 0 when nothing came from it yet. */
function chunkMs({ flow }: Source): number {
  return flow.rate === 0 ? 0 : flow.predictedMs(chunkBytes)
}

function predictedMs(owner: Source, bytes: number, nowMs: number): number {
  if (nowMs < owner.restUntilMs) return Number.POSITIVE_INFINITY
  if (owner.flow.rate > 0) return owner.flow.predictedMs(bytes)
  // Nothing came from it yet: it may be about to, but not for ever.
  const sinceMs = nowMs - (owner.asked[0]?.askedAtMs ?? nowMs)
  return sinceMs > supplyLateMinMs ? Number.POSITIVE_INFINITY : 0
}
