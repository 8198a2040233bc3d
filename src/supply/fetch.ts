/**
 * Which chunks come from which source. Pure: frames and times in, effects out. Every source has a window of its own
 * (`flow.ts`), so the fast ones are asked for more; of what a source has, the rarest chunk goes first, so that several
 * peers that fetch from one another spread a file rather than queue at its only holder (BitTorrent's rule). A chunk
 * comes whole from one source, which is what makes a liar known after one chunk.
 */
import type { PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import { ProtocolError } from '../errors.ts'
import { ChunkSet, digestBytes, digestOf, listDigest, singleChunkList } from '../model/chunks.ts'
import { Assemblies } from './assemblies.ts'
import { rarest, slowestOf } from './choice.ts'
import { decodeAnswer } from './codec.ts'
import type { FetchEffect, FetchEvent, FetchProgress, WantedFile } from './event.ts'
import type { AnswerFrame, ChunkRange, FileId } from './frame.ts'
import { type Asked, type Assembly, helps, type Job, newJob, resume, type Source } from './job.ts'
import { supplyChunksMax, supplyIdleMs, supplyNobodyMs, supplyStallMs } from './limits.ts'
import type { BulkRate } from './bulk-rate.ts'
import { Sources } from './sources.ts'

export interface FetchInit {
  readonly rng: Rng
  readonly bulkRate: BulkRate
}

export class Fetch {
  readonly #init: FetchInit
  readonly #jobs = new Map<FileId, Job>()
  readonly #sources = new Sources({
    emit: effect => void this.#effects.push(effect),
    free: (source, which) => this.#assemblies.free(source, which)
  })
  /** Chunks that are being checked; the buffer bounds them. */
  readonly #checks = new Map<number, Assembly>()
  #checksMade = 0
  readonly #assemblies = new Assemblies(job => this.#jobs.get(job.wanted.file) === job)
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
    const peers = this.#sources.of(job).filter(source => helps(source, job)).length
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
        if (source !== undefined) this.#sources.closed(source, nowMs)
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
          this.#sources.violation(source, 'bad shards frame', error.message, nowMs)
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
    const job = newJob(wanted, peers, nowMs)
    const { count } = job
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
    resume(job, have)
    this.#finishWhole(job)
  }

  #stored(file: FileId, chunk: number): void {
    const job = this.#jobs.get(file)
    if (job?.chunks?.[chunk] !== 'storing') return
    this.#assemblies.stored(job, chunk)
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
      this.#assemblies.free(source, assembly => assembly.job === job)
      source.has.delete(file)
      source.coming.delete(file)
    }
    this.#assemblies.forget(job)
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
        this.#assemblies.free(source, assembly => assembly.job.wanted.file === frame.file)
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
    this.#sources.violation(source, 'wrong bytes', message, nowMs)
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
    const live = frame.live === true || this.#init.bulkRate.live
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
    if (isWanted) this.#assemblies.kill(assembly)
    // Several of its chunks may be checked at a time: it is charged once.
    if (this.#sources.isLiar(source.peer)) return
    const message = `${source.peer} sent wrong bytes for chunk ${chunk} of ${file.slice(0, 12)}`
    this.#sources.violation(source, 'wrong bytes', message, nowMs)
  }

  // ── What is done next ───────────────────────────────────────────────────────────────────────────

  /** Everything that time or a change makes possible. */
  #look(nowMs: number): void {
    this.#sources.openNeeded(this.#jobs, nowMs)
    for (const source of this.#sources.values()) {
      if (source.state === 'open') this.#sources.askWhatItHas(source, this.#jobs, nowMs)
      if (source.state === 'open') this.#sources.checkLate(source, nowMs)
      if (source.state === 'open' && nowMs - source.neededAtMs > supplyIdleMs) {
        this.#sources.close(source, nowMs)
        source.failures = 0
        source.retryAtMs = nowMs
      }
    }
    for (const job of this.#jobs.values()) {
      if (job.list === undefined) this.#sources.askList(job, nowMs)
      this.#checkNobody(job, nowMs)
    }
    this.#askRanges(nowMs)
  }

  #checkNobody(job: Job, nowMs: number): void {
    const { file, bytes } = job.wanted
    const anybody = this.#sources.of(job).some(source => helps(source, job))
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

  /** Takes the chunk over that would come last. */
  #steal(source: Source, nowMs: number): Assembly | undefined {
    const slowest = slowestOf(source, this.#sources, nowMs)
    if (slowest === undefined) return undefined
    this.#assemblies.free(slowest.source, assembly => assembly === slowest)
    return this.#assign(source, slowest.job, slowest.chunk, slowest.steals + 1)
  }

  /** The quickest sources first, each as far as its window goes. */
  #askRanges(nowMs: number): void {
    const sources = [...this.#sources.values()].filter(({ state }) => state === 'open')
    sources.sort((a, b) => b.flow.rate - a.flow.rate)
    for (const source of sources) {
      while (source.flow.open) {
        const assembly = this.#nextAssembly(source, nowMs)
        if (assembly === undefined) break
        const waitMs = this.#init.bulkRate.waitMs(nowMs)
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
    if (nowMs < source.restUntilMs || this.#assemblies.isFull) return undefined
    const { rng } = this.#init
    const rare = rarest(source, { jobs: this.#jobs.values(), sources: this.#sources, rng }, nowMs)
    return rare === undefined ? this.#steal(source, nowMs) : this.#assign(source, rare.job, rare.chunk, 0)
  }

  #assign(source: Source, job: Job, chunk: number, steals: number): Assembly {
    this.#effects.push({ kind: 'coming', file: job.wanted.file, chunk })
    return this.#assemblies.assign(source, job, chunk, steals)
  }

  #ask(source: Source, assembly: Assembly, nowMs: number): void {
    const { job, chunk, buffer, next } = assembly
    const length = Math.min(source.flow.rangeBytes, buffer.length - next)
    const range = { file: job.wanted.file, chunk, offset: next, length }
    assembly.next += length
    source.flow.asked(length)
    this.#init.bulkRate.take(length, nowMs)
    source.asked.push({ assembly, range, askedAtMs: nowMs, owedBytes: source.flow.owedBytes })
    this.#effects.push({ kind: 'send', peer: source.peer, frame: { kind: 'range-request', ...range } })
  }
}
