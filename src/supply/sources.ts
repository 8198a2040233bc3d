/** The peers that files come from: when to open and to close them, what to ask of them, and who is a source no more. Pure. */
import type { PeerId } from '../base/ids.ts'
import { ChunkSet } from '../model/chunks.ts'
import type { FetchEffect } from './event.ts'
import { Flow } from './flow.ts'
import type { FileId } from './frame.ts'
import { type Assembly, helps, type Job, type Source } from './job.ts'
import {
  supplyAskAgainMs,
  supplyOpenMs,
  supplyRetryMaxMs,
  supplyRetryMs,
  supplySilentMs,
  supplySourcesMax
} from './limits.ts'

interface SourcesInit {
  readonly emit: (effect: FetchEffect) => void
  /** Gives back chunks that will not come from a source. */
  readonly free: (source: Source, which: (assembly: Assembly) => boolean) => void
}

export class Sources {
  readonly #emit: SourcesInit['emit']
  readonly #free: SourcesInit['free']
  readonly #sources = new Map<PeerId, Source>()
  readonly #liars = new Set<PeerId>()

  constructor({ emit, free }: SourcesInit) {
    this.#emit = emit
    this.#free = free
  }

  get(peer: PeerId): Source | undefined {
    return this.#sources.get(peer)
  }

  values(): Iterable<Source> {
    return this.#sources.values()
  }

  /** Whether it has broken the protocol or lied. */
  isLiar(peer: PeerId): boolean {
    return this.#liars.has(peer)
  }

  /** Those of a file's peers that are open. */
  of(job: Job): Source[] {
    return job.peers.flatMap(peer => {
      const source = this.#sources.get(peer)
      return source?.state === 'open' ? [source] : []
    })
  }

  /** Opens those that files are wanted from, and forgets those that none is. */
  openNeeded(jobs: ReadonlyMap<FileId, Job>, nowMs: number): void {
    const needed = new Set([...jobs.values()].flatMap(job => job.peers))
    let open = [...this.#sources.values()].filter(({ state }) => state !== 'closed').length
    for (const peer of needed) {
      const known = this.#sources.get(peer)
      if (known !== undefined) known.neededAtMs = nowMs
      if (this.#liars.has(peer) || open >= supplySourcesMax) continue
      if (known !== undefined && (known.state !== 'closed' || nowMs < known.retryAtMs)) continue
      open++
      const source = known ?? this.#add(peer, nowMs)
      source.state = 'opening'
      this.#emit({ kind: 'open', peer })
    }
    for (const [peer, source] of this.#sources) {
      if (source.state === 'closed' && !needed.has(peer)) this.#sources.delete(peer)
    }
  }

  askWhatItHas(source: Source, jobs: ReadonlyMap<FileId, Job>, nowMs: number): void {
    for (const job of jobs.values()) {
      const { file } = job.wanted
      if (!job.peers.includes(source.peer)) continue
      const has = source.has.get(file)
      if (has instanceof ChunkSet || (has !== undefined && nowMs - has.askedAtMs < supplyAskAgainMs)) continue
      source.has.set(file, { askedAtMs: nowMs })
      this.#emit({ kind: 'send', peer: source.peer, frame: { kind: 'watch', file } })
    }
  }

  askList(job: Job, nowMs: number): void {
    const { file } = job.wanted
    const sources = this.of(job)
    for (const source of sources) {
      const askedAtMs = source.lists.get(file)
      if (askedAtMs !== undefined && nowMs - askedAtMs < supplyOpenMs) return
    }
    const source = sources.find(each => !each.lists.has(file) && helps(each, job))
    if (source === undefined) return
    source.lists.set(file, nowMs)
    this.#emit({ kind: 'send', peer: source.peer, frame: { kind: 'list-request', file } })
  }

  /** A late source rests and its chunks go to others, if there are any; one that fell silent is given up. */
  checkLate(source: Source, nowMs: number): void {
    const oldest = source.asked[0]
    const listAtMs = Math.min(...source.lists.values())
    const owedSinceMs = Math.min(oldest?.askedAtMs ?? Number.POSITIVE_INFINITY, listAtMs)
    if (nowMs - Math.max(owedSinceMs, source.heardAtMs) > supplySilentMs) {
      this.close(source, nowMs)
      return
    }
    if (oldest === undefined || nowMs < source.restUntilMs) return
    const { lateMs } = source.flow
    if (nowMs - oldest.askedAtMs <= lateMs) return
    const isElsewhere = ({ job, chunk }: Assembly): boolean =>
      this.of(job).some(other => {
        const has = other.has.get(job.wanted.file)
        return other !== source && nowMs >= other.restUntilMs && has instanceof ChunkSet && has.has(chunk)
      })
    // Where nobody else has them, slow is all there is.
    if (!source.assemblies.some(isElsewhere)) return
    source.restUntilMs = nowMs + lateMs
    this.#free(source, isElsewhere)
  }

  /** Whoever breaks the protocol or lies is a source no more, as long as this process runs. */
  violation(source: Source, violation: string, message: string, nowMs: number): void {
    this.#liars.add(source.peer)
    this.#emit({ kind: 'violation', peer: source.peer, violation, message })
    this.close(source, nowMs)
  }

  /** Ends its stream. */
  close(source: Source, nowMs: number): void {
    this.#emit({ kind: 'close', peer: source.peer })
    this.closed(source, nowMs)
  }

  /** Its stream has ended: what it owed goes to others. */
  closed(source: Source, nowMs: number): void {
    if (source.state === 'closed') return
    source.state = 'closed'
    source.failures++
    source.retryAtMs = nowMs + Math.min(supplyRetryMaxMs, supplyRetryMs * 2 ** (source.failures - 1))
    source.asked = []
    source.has.clear()
    source.lists.clear()
    source.coming.clear()
    source.flow = new Flow()
    this.#free(source, () => true)
  }

  #add(peer: PeerId, nowMs: number): Source {
    const source: Source = {
      peer,
      state: 'closed',
      failures: 0,
      retryAtMs: 0,
      flow: new Flow(),
      has: new Map(),
      lists: new Map(),
      coming: new Map(),
      assemblies: [],
      asked: [],
      heardAtMs: nowMs,
      restUntilMs: Number.NEGATIVE_INFINITY,
      neededAtMs: nowMs
    }
    this.#sources.set(peer, source)
    return source
  }
}
