/**
 * Which chunks come from which source. Pure: frames and times in, effects out. Every source has a window of its own
 * (`flow.ts`), so the fast ones are asked for more; of what a source has, the rarest chunk goes first, so that several
 * peers that fetch from one another spread a file rather than queue at its only holder (BitTorrent's rule). A chunk
 * comes whole from one source, which is what makes a liar known after one chunk.
 */
import type { PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import { ProtocolError } from '../errors.ts'
import { chunkBytes } from '../model/limits.ts'
import {
  supplyAskAgainMs,
  supplyBufferBytesMax,
  supplyChunksMax,
  supplyComingMs,
  supplyIdleMs,
  supplyLateMinMs,
  supplyNobodyMs,
  supplyOpenMs,
  supplyRetryMaxMs,
  supplyRetryMs,
  supplySilentMs,
  supplyStallMs,
  supplySourcesMax
} from './limits.ts'
import {
  ChunkSet,
  chunkCount,
  chunkLength,
  digestBytes,
  digestOf,
  listDigest,
  singleChunkList
} from '../model/chunks.ts'
import { decodeAnswer } from './codec.ts'
import { Flow } from './flow.ts'
import type { AnswerFrame, ChunkRange, FileId, RequestFrame } from './frame.ts'
import type { Pace } from './pace.ts'

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

export interface FetchInit {
  readonly rng: Rng
  readonly pace: Pace
}

/** How far a file has come. */
export interface FetchProgress {
  readonly bytes: number
  readonly bytesTotal: number
  /** Sources that have some of what is missing. */
  readonly peers: number
}

/** A chunk that is `storing` is being checked or written. */
type ChunkState = 'free' | 'coming' | 'storing' | 'here'

interface Job {
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
interface Assembly {
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

interface Asked {
  readonly assembly: Assembly
  readonly range: ChunkRange
  readonly askedAtMs: number
  readonly owedBytes: number
}

interface Source {
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

/** More than once is bad luck, more than twice is thrashing. */
const stealsMax = 2
/** A thief must win by so much. */
const stealMarginMs = 100
/** Candidates that one choice looks at. */
const rareLookMax = 512

export class Fetch {
  readonly #init: FetchInit
  readonly #jobs = new Map<FileId, Job>()
  readonly #sources = new Map<PeerId, Source>()
  readonly #liars = new Set<PeerId>()
  /** Chunks that are being checked; the buffer bounds them. */
  readonly #checks = new Map<number, Assembly>()
  #checksMade = 0
  #bufferBytes = 0
  #effects: FetchEffect[] = []

  constructor(init: FetchInit) {
    this.#init = init
  }

  /** Whether there is something to do, or a stream to close some time. */
  get busy(): boolean {
    return this.#jobs.size > 0 || [...this.#sources.values()].some(source => source.state !== 'closed')
  }

  get files(): readonly FileId[] {
    return [...this.#jobs.keys()]
  }

  /** Undefined when the file is not being fetched. */
  progress(file: FileId): FetchProgress | undefined {
    const job = this.#jobs.get(file)
    if (job === undefined) return undefined
    const peers = this.#sourcesOf(job).filter(source => this.#helps(source, job)).length
    return { bytes: job.hereBytes, bytesTotal: job.wanted.bytes, peers }
  }

  handle(event: FetchEvent, nowMs: number): FetchEffect[] {
    this.#effects = []
    this.#note(event, nowMs)
    this.#look(nowMs)
    return this.#effects
  }

  #note(event: FetchEvent, nowMs: number): void {
    switch (event.kind) {
      case 'want':
        this.#want(event.wanted, event.peers, nowMs)
        break
      case 'drop':
        this.#drop(event.file)
        break
      case 'resumed':
        this.#resumed(event.file, event.have)
        break
      case 'checked':
        this.#checked(event.check, event.isRight, nowMs)
        break
      case 'stored':
        this.#stored(event.file, event.chunk)
        break
      case 'opened': {
        const source = this.#sources.get(event.peer)
        if (source === undefined) break
        source.state = 'open'
        source.heardAtMs = nowMs
        break
      }
      case 'closed': {
        const source = this.#sources.get(event.peer)
        if (source !== undefined) this.#closed(source, nowMs)
        break
      }
      case 'frame': {
        const source = this.#sources.get(event.peer)
        if (source?.state !== 'open') break
        try {
          const frame = decodeAnswer(event.bytes)
          if (frame !== undefined) this.#frame(source, frame, nowMs)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#violation(source, 'bad shards frame', error.message, nowMs)
        }
        break
      }
      case 'tick':
        break
    }
  }

  #want(wanted: WantedFile, peers: readonly PeerId[], nowMs: number): void {
    const known = this.#jobs.get(wanted.file)
    if (known !== undefined) {
      known.peers = peers
      return
    }
    const count = chunkCount(wanted.bytes)
    const job: Job = {
      wanted,
      count,
      peers,
      list: undefined,
      chunks: undefined,
      freeChunks: 0,
      hereChunks: 0,
      hereBytes: 0,
      nobodySinceMs: nowMs,
      heardAtMs: nowMs
    }
    this.#jobs.set(wanted.file, job)
    if (count > supplyChunksMax) {
      this.#fail(job, `${wanted.file} has ${wanted.bytes} bytes, more than peers send one another`)
    } else if (count === 1) {
      const list = singleChunkList(wanted.file)
      if (listDigest(list) === wanted.chunks) this.#listed(job, list)
      else this.#fail(job, `the manifest contradicts itself: the chunk list of ${wanted.file} is not its digest`)
    }
  }

  #listed(job: Job, list: Uint8Array): void {
    job.list = list
    this.#effects.push({ kind: 'list', file: job.wanted.file, list })
  }

  #resumed(file: FileId, have: ChunkSet): void {
    const job = this.#jobs.get(file)
    if (job === undefined || job.chunks !== undefined) return
    job.chunks = Array.from({ length: job.count }, (_, chunk) => (have.has(chunk) ? 'here' : 'free'))
    for (let chunk = 0; chunk < job.count; chunk++) {
      if (job.chunks[chunk] === 'free') {
        job.freeChunks++
        continue
      }
      job.hereChunks++
      job.hereBytes += chunkLength(job.wanted.bytes, chunk)
    }
    this.#finishWhole(job)
  }

  #stored(file: FileId, chunk: number): void {
    const job = this.#jobs.get(file)
    if (job?.chunks?.[chunk] !== 'storing') return
    const bytes = chunkLength(job.wanted.bytes, chunk)
    this.#bufferBytes -= bytes
    job.chunks[chunk] = 'here'
    job.hereChunks++
    job.hereBytes += bytes
    this.#finishWhole(job)
  }

  #finishWhole(job: Job): void {
    if (job.hereChunks < job.count) return
    this.#effects.push({ kind: 'done', file: job.wanted.file })
    this.#drop(job.wanted.file)
  }

  #fail(job: Job, message: string): void {
    this.#effects.push({ kind: 'failed', file: job.wanted.file, message })
    this.#drop(job.wanted.file)
  }

  #drop(file: FileId): void {
    const job = this.#jobs.get(file)
    if (job === undefined) return
    this.#jobs.delete(file)
    for (const source of this.#sources.values()) {
      for (const assembly of source.assemblies) if (assembly.job === job) this.#kill(assembly)
      source.assemblies = source.assemblies.filter(({ dead }) => !dead)
      source.has.delete(file)
      source.coming.delete(file)
    }
    // Chunks that are being written are the caller's to wait for.
    for (const [chunk, state] of (job.chunks ?? []).entries()) {
      if (state === 'storing') this.#bufferBytes -= chunkLength(job.wanted.bytes, chunk)
    }
  }

  // ── What sources say ────────────────────────────────────────────────────────────────────────────

  #frame(source: Source, frame: AnswerFrame, nowMs: number): void {
    switch (frame.kind) {
      case 'state': {
        const job = this.#jobs.get(frame.file)
        // A file that is no longer wanted: the answer crossed our loss of interest.
        if (job === undefined) break
        const bits = new Uint8Array(Math.ceil(job.count / 8))
        if (!frame.whole && frame.chunks.length !== bits.length) {
          throw new ProtocolError(
            `a file of ${job.count} chunks has ${bits.length} bytes of state, not ${frame.chunks.length}`
          )
        }
        bits.set(frame.whole ? [] : frame.chunks)
        source.has.set(frame.file, frame.whole ? ChunkSet.all(job.count) : new ChunkSet(job.count, bits))
        break
      }
      case 'have': {
        const job = this.#jobs.get(frame.file)
        const has = source.has.get(frame.file)
        if (job === undefined || !(has instanceof ChunkSet)) break
        if (frame.chunk >= job.count) throw new ProtocolError(`chunk ${frame.chunk} is beyond the file's ${job.count}`)
        has.add(frame.chunk)
        source.coming.get(frame.file)?.delete(frame.chunk)
        break
      }
      case 'coming': {
        const job = this.#jobs.get(frame.file)
        if (job === undefined) break
        if (frame.chunk >= job.count) throw new ProtocolError(`chunk ${frame.chunk} is beyond the file's ${job.count}`)
        const coming = source.coming.get(frame.file) ?? new Map<number, number>()
        source.coming.set(frame.file, coming.set(frame.chunk, nowMs))
        break
      }
      case 'list':
        this.#list(source, frame.file, frame.digests, nowMs)
        break
      case 'range':
        this.#range(source, frame, nowMs)
        break
      case 'refuse':
        if (frame.subject === 'manifest') throw new ProtocolError('it refuses a manifest that was not asked for')
        if (frame.subject === 'list') source.lists.delete(frame.file)
        if (frame.subject === 'range') this.#takeAsked(source, frame)
        // It has changed its mind about the file: ask again later what it has.
        if (this.#jobs.has(frame.file)) source.has.set(frame.file, { askedAtMs: nowMs })
        this.#free(source, assembly => assembly.job.wanted.file === frame.file)
        break
      case 'manifest':
        throw new ProtocolError('it sends a manifest that was not asked for')
    }
  }

  #list(source: Source, file: FileId, digests: Uint8Array, nowMs: number): void {
    if (!source.lists.delete(file)) throw new ProtocolError('it sends a chunk list that was not asked for')
    source.heardAtMs = nowMs
    const job = this.#jobs.get(file)
    if (job === undefined || job.list !== undefined) return
    if (digests.length === job.count * digestBytes && listDigest(digests) === job.wanted.chunks) {
      this.#listed(job, digests.slice())
      return
    }
    const message = `${source.peer} sent a wrong chunk list of ${file.slice(0, 12)}`
    this.#violation(source, 'wrong bytes', message, nowMs)
  }

  #takeAsked(source: Source, { file, chunk, offset }: Pick<ChunkRange, 'file' | 'chunk' | 'offset'>): Asked {
    const index = source.asked.findIndex(
      ({ range }) => range.file === file && range.chunk === chunk && range.offset === offset
    )
    const asked = source.asked[index]
    if (asked === undefined) throw new ProtocolError('it answers a range that was not asked for')
    source.asked.splice(index, 1)
    source.flow.released(asked.range.length)
    return asked
  }

  #range(source: Source, frame: AnswerFrame & { readonly kind: 'range' }, nowMs: number): void {
    const asked = this.#takeAsked(source, frame)
    const { assembly, range, askedAtMs, owedBytes } = asked
    if (frame.data.length !== range.length) {
      throw new ProtocolError(`${range.length} bytes were asked for, ${frame.data.length} came`)
    }
    source.heardAtMs = nowMs
    assembly.job.heardAtMs = nowMs
    source.flow.asked(range.length)
    const live = frame.live === true || this.#init.pace.live
    source.flow.answered(range.length, { askedAtMs, owedBytes, live }, nowMs)
    source.failures = 0
    if (assembly.dead) return
    assembly.buffer.set(frame.data, range.offset)
    assembly.filledBytes += range.length
    if (assembly.filledBytes < assembly.buffer.length) return
    const { job, chunk, buffer } = assembly
    source.assemblies = source.assemblies.filter(each => each !== assembly)
    job.chunks![chunk] = 'storing'
    const check = ++this.#checksMade
    this.#checks.set(check, assembly)
    const digest = digestOf(job.list!, chunk)
    this.#effects.push({ kind: 'check', check, file: job.wanted.file, bytes: buffer, digest })
  }

  #checked(check: number, isRight: boolean, nowMs: number): void {
    const assembly = this.#checks.get(check)
    if (assembly === undefined) return
    this.#checks.delete(check)
    const { job, chunk, buffer, source } = assembly
    const { file } = job.wanted
    const isWanted = this.#jobs.get(file) === job
    if (isRight) {
      if (isWanted) this.#effects.push({ kind: 'store', file, chunk, bytes: buffer })
      return
    }
    // Whoever does not want it any more has given back its place in the buffer.
    if (isWanted) this.#kill(assembly)
    // Several of its chunks may be checked at a time: it is charged once.
    if (this.#liars.has(source.peer)) return
    const message = `${source.peer} sent wrong bytes for chunk ${chunk} of ${file.slice(0, 12)}`
    this.#violation(source, 'wrong bytes', message, nowMs)
  }

  /** Whoever breaks the protocol or lies is a source no more, as long as this process runs. */
  #violation(source: Source, violation: string, message: string, nowMs: number): void {
    this.#liars.add(source.peer)
    this.#effects.push({ kind: 'violation', peer: source.peer, violation, message })
    this.#close(source, nowMs)
  }

  // ── Chunks ──────────────────────────────────────────────────────────────────────────────────────

  /** Gives back a chunk that will not come this way. */
  #kill(assembly: Assembly): void {
    if (assembly.dead) return
    assembly.dead = true
    this.#bufferBytes -= assembly.buffer.length
    const { job, chunk } = assembly
    if (job.chunks === undefined || !this.#jobs.has(job.wanted.file)) return
    job.chunks[chunk] = 'free'
    job.freeChunks++
  }

  #free(source: Source, which: (assembly: Assembly) => boolean): void {
    for (const assembly of source.assemblies) if (which(assembly)) this.#kill(assembly)
    source.assemblies = source.assemblies.filter(({ dead }) => !dead)
  }

  #assign(source: Source, job: Job, chunk: number, steals: number): Assembly {
    const length = chunkLength(job.wanted.bytes, chunk)
    const buffer = new Uint8Array(length)
    const assembly = { job, chunk, buffer, source, steals, next: 0, filledBytes: 0, dead: false }
    this.#bufferBytes += length
    job.chunks![chunk] = 'coming'
    job.freeChunks--
    source.assemblies.push(assembly)
    this.#effects.push({ kind: 'coming', file: job.wanted.file, chunk })
    return assembly
  }

  /** The rarest of the free chunks that a source has, of the file that was wanted first. */
  #rarest(source: Source, nowMs: number): Assembly | undefined {
    const freshMs = nowMs - Math.max(supplyComingMs, 4 * this.#chunkMs(source))
    for (const job of this.#jobs.values()) {
      const has = source.has.get(job.wanted.file)
      if (job.chunks === undefined || job.freeChunks === 0 || !(has instanceof ChunkSet)) continue
      const others = this.#sourcesOf(job).flatMap(other => {
        const set = other === source ? undefined : other.has.get(job.wanted.file)
        return set instanceof ChunkSet ? [set] : []
      })
      const coming = this.#sourcesOf(job).flatMap(other => other.coming.get(job.wanted.file) ?? [])
      const first = Math.floor(this.#init.rng() * job.count)
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
      if (best !== undefined) return this.#assign(source, job, best, 0)
    }
    return undefined
  }

  /** What a chunk takes from a source, in ms; 0 when nothing came from it yet. */
  #chunkMs({ flow }: Source): number {
    return flow.rate === 0 ? 0 : flow.predictedMs(chunkBytes)
  }

  /** At the end, a source without work takes over the chunk that would come last, if it is clearly quicker. */
  #steal(source: Source, nowMs: number): Assembly | undefined {
    let slowest: Assembly | undefined
    let slowestMs = 0
    for (const owner of this.#sources.values()) {
      if (owner === source) continue
      for (const assembly of owner.assemblies) {
        const { job, chunk, buffer, next, steals } = assembly
        const has = source.has.get(job.wanted.file)
        if (steals >= stealsMax || !(has instanceof ChunkSet) || !has.has(chunk)) continue
        const ownMs = source.flow.predictedMs(buffer.length)
        const ownerMs = this.#predictedMs(owner, buffer.length - next, nowMs)
        if (ownerMs <= 2 * ownMs + stealMarginMs || ownerMs <= slowestMs) continue
        slowest = assembly
        slowestMs = ownerMs
      }
    }
    if (slowest === undefined) return undefined
    this.#kill(slowest)
    slowest.source.assemblies = slowest.source.assemblies.filter(({ dead }) => !dead)
    return this.#assign(source, slowest.job, slowest.chunk, slowest.steals + 1)
  }

  #predictedMs(owner: Source, bytes: number, nowMs: number): number {
    if (nowMs < owner.restUntilMs) return Number.POSITIVE_INFINITY
    if (owner.flow.rate > 0) return owner.flow.predictedMs(bytes)
    // Nothing came from it yet: it may be about to, but not for ever.
    const sinceMs = nowMs - (owner.asked[0]?.askedAtMs ?? nowMs)
    return sinceMs > supplyLateMinMs ? Number.POSITIVE_INFINITY : 0
  }

  // ── Sources ─────────────────────────────────────────────────────────────────────────────────────

  #sourcesOf(job: Job): Source[] {
    return job.peers.flatMap(peer => {
      const source = this.#sources.get(peer)
      return source?.state === 'open' ? [source] : []
    })
  }

  /** Whether a source has a chunk that is not here yet, or may say so any moment. */
  #helps(source: Source, job: Job): boolean {
    if (source.state !== 'open') return false
    const has = source.has.get(job.wanted.file)
    if (!(has instanceof ChunkSet)) return false
    const { chunks } = job
    return chunks === undefined ? has.size > 0 : chunks.some((state, chunk) => state !== 'here' && has.has(chunk))
  }

  #close(source: Source, nowMs: number): void {
    this.#effects.push({ kind: 'close', peer: source.peer })
    this.#closed(source, nowMs)
  }

  #closed(source: Source, nowMs: number): void {
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

  /** Everything that time or a change makes possible. */
  #look(nowMs: number): void {
    this.#openSources(nowMs)
    for (const source of this.#sources.values()) {
      if (source.state === 'open') this.#askWhatItHas(source, nowMs)
      if (source.state === 'open') this.#checkLate(source, nowMs)
      if (source.state === 'open' && nowMs - source.neededAtMs > supplyIdleMs) {
        this.#close(source, nowMs)
        source.failures = 0
        source.retryAtMs = nowMs
      }
    }
    for (const job of this.#jobs.values()) {
      if (job.list === undefined) this.#askList(job, nowMs)
      this.#checkNobody(job, nowMs)
    }
    this.#askRanges(nowMs)
  }

  #openSources(nowMs: number): void {
    const needed = new Set([...this.#jobs.values()].flatMap(job => job.peers))
    let open = [...this.#sources.values()].filter(({ state }) => state !== 'closed').length
    for (const peer of needed) {
      const known = this.#sources.get(peer)
      if (known !== undefined) known.neededAtMs = nowMs
      if (this.#liars.has(peer) || open >= supplySourcesMax) continue
      if (known !== undefined && (known.state !== 'closed' || nowMs < known.retryAtMs)) continue
      open++
      const source = known ?? this.#newSource(peer, nowMs)
      source.state = 'opening'
      this.#effects.push({ kind: 'open', peer })
    }
    for (const [peer, source] of this.#sources) {
      if (source.state === 'closed' && !needed.has(peer)) this.#sources.delete(peer)
    }
  }

  #newSource(peer: PeerId, nowMs: number): Source {
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

  #askWhatItHas(source: Source, nowMs: number): void {
    for (const job of this.#jobs.values()) {
      const { file } = job.wanted
      if (!job.peers.includes(source.peer)) continue
      const has = source.has.get(file)
      if (has instanceof ChunkSet || (has !== undefined && nowMs - has.askedAtMs < supplyAskAgainMs)) continue
      source.has.set(file, { askedAtMs: nowMs })
      this.#effects.push({ kind: 'send', peer: source.peer, frame: { kind: 'watch', file } })
    }
  }

  #askList(job: Job, nowMs: number): void {
    const { file } = job.wanted
    const sources = this.#sourcesOf(job)
    for (const source of sources) {
      const askedAtMs = source.lists.get(file)
      if (askedAtMs !== undefined && nowMs - askedAtMs < supplyOpenMs) return
    }
    const source = sources.find(each => !each.lists.has(file) && this.#helps(each, job))
    if (source === undefined) return
    source.lists.set(file, nowMs)
    this.#effects.push({ kind: 'send', peer: source.peer, frame: { kind: 'list-request', file } })
  }

  /** A late source rests and its chunks go to others, if there are any; one that fell silent is given up. */
  #checkLate(source: Source, nowMs: number): void {
    const oldest = source.asked[0]
    const listAtMs = Math.min(...source.lists.values())
    const owedSinceMs = Math.min(oldest?.askedAtMs ?? Number.POSITIVE_INFINITY, listAtMs)
    if (nowMs - Math.max(owedSinceMs, source.heardAtMs) > supplySilentMs) {
      this.#close(source, nowMs)
      return
    }
    if (oldest === undefined || nowMs < source.restUntilMs) return
    const { lateMs } = source.flow
    if (nowMs - oldest.askedAtMs <= lateMs) return
    const isElsewhere = ({ job, chunk }: Assembly): boolean =>
      this.#sourcesOf(job).some(other => {
        const has = other.has.get(job.wanted.file)
        return other !== source && nowMs >= other.restUntilMs && has instanceof ChunkSet && has.has(chunk)
      })
    // Where nobody else has them, slow is all there is.
    if (!source.assemblies.some(isElsewhere)) return
    source.restUntilMs = nowMs + lateMs
    this.#free(source, isElsewhere)
  }

  #checkNobody(job: Job, nowMs: number): void {
    const { file, bytes } = job.wanted
    const anybody = this.#sourcesOf(job).some(source => this.#helps(source, job))
    // What is being looked for on disk, or written, needs nobody.
    const local = (job.list !== undefined && job.chunks === undefined) || job.chunks?.includes('storing') === true
    if (anybody || local) {
      job.nobodySinceMs = undefined
      if (local) job.heardAtMs = nowMs
      if (nowMs - job.heardAtMs < supplyStallMs) return
      this.#fail(
        job,
        `nothing of ${file.slice(0, 12)} came for ${supplyStallMs / 1000} s, although peers say that they have it`
      )
      return
    }
    job.nobodySinceMs ??= nowMs
    if (nowMs - job.nobodySinceMs < supplyNobodyMs) return
    const what = job.hereBytes === 0 ? 'it' : `the ${bytes - job.hereBytes} bytes of it that are missing`
    this.#fail(job, `nobody has ${what}: ${file.slice(0, 12)} was asked of ${job.peers.length} peers`)
  }

  /** The quickest sources first, each as far as its window goes. */
  #askRanges(nowMs: number): void {
    const sources = [...this.#sources.values()].filter(({ state }) => state === 'open')
    sources.sort((a, b) => b.flow.rate - a.flow.rate)
    for (const source of sources) {
      while (source.flow.open) {
        const assembly = this.#nextAssembly(source, nowMs)
        if (assembly === undefined) break
        const waitMs = this.#init.pace.waitMs(nowMs)
        if (waitMs > 0) {
          this.#effects.push({ kind: 'wake', atMs: nowMs + waitMs })
          return
        }
        this.#ask(source, assembly, nowMs)
      }
    }
  }

  #nextAssembly(source: Source, nowMs: number): Assembly | undefined {
    const begun = source.assemblies.find(({ next, buffer }) => next < buffer.length)
    if (begun !== undefined) return begun
    if (nowMs < source.restUntilMs || this.#bufferBytes >= supplyBufferBytesMax) return undefined
    return this.#rarest(source, nowMs) ?? this.#steal(source, nowMs)
  }

  #ask(source: Source, assembly: Assembly, nowMs: number): void {
    const { job, chunk, buffer, next } = assembly
    const length = Math.min(source.flow.rangeBytes, buffer.length - next)
    const range = { file: job.wanted.file, chunk, offset: next, length }
    assembly.next += length
    source.flow.asked(length)
    this.#init.pace.take(length, nowMs)
    source.asked.push({ assembly, range, askedAtMs: nowMs, owedBytes: source.flow.owedBytes })
    this.#effects.push({ kind: 'send', peer: source.peer, frame: { kind: 'range-request', ...range } })
  }
}
