/**
 * Fetchers and sources in virtual time, for the decider: every peer has an uplink of some rate, every link a delay, and
 * sources misbehave at will. The sources here are a few lines that follow the protocol's rules, or break one.
 */
import { createHash } from 'node:crypto'
import type { PeerId } from '../../src/base/ids.ts'
import { type Rng, seeded } from '../../src/base/rng.ts'
import { chunkBytes } from '../../src/model/limits.ts'
import { sameBytes } from '../../src/base/same-bytes.ts'
import { ChunkSet, chunkCount, chunkLength, listDigest } from '../../src/model/chunks.ts'
import { decodeRequest, encodeFrame } from '../../src/supply/codec.ts'
import type { FetchEffect, FetchEvent, WantedFile } from '../../src/supply/event.ts'
import { Fetch } from '../../src/supply/fetch.ts'
import type { AnswerFrame } from '../../src/supply/frame.ts'
import { BulkRate } from '../../src/supply/bulk-rate.ts'

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

/** A file with its chunk list. */
export interface TestFile {
  readonly wanted: WantedFile
  readonly content: Uint8Array
  readonly list: Uint8Array
}

/** A chunk takes so long to be checked, while others come: 256 KiB on a slow processor. */
const checkMs = 5

export function makeFile(bytes: number, seed = 1): TestFile {
  const content = new Uint8Array(bytes)
  let state = seed
  for (let i = 0; i < bytes; i += 4096) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    content[i] = state >>> 24
    content[Math.min(bytes - 1, i + 1)] = state >>> 16
  }
  const digests = Array.from({ length: chunkCount(bytes) }, (_, chunk) => sha256(chunkOf(content, chunk)))
  const list = Buffer.concat(digests)
  return {
    content,
    list,
    wanted: { file: Buffer.from(sha256(content)).toString('hex'), bytes, chunks: listDigest(list) }
  }
}

export function chunkOf(content: Uint8Array, chunk: number): Uint8Array {
  return content.subarray(chunk * chunkBytes, chunk * chunkBytes + chunkLength(content.length, chunk))
}

/** How a source behaves. Times in ms from the beginning. */
export interface SourceInit {
  /** Chunks that it has. @default all */
  readonly has?: readonly number[]
  /** Bytes per ms of its uplink. @default 1,000 */
  readonly rate?: number
  /** One way. @default 1 */
  readonly delayMs?: number
  /** Its streams break then, and cannot be opened until `backMs`. */
  readonly diesMs?: number
  readonly backMs?: number
  /** It answers nothing from then on, though its stream stays open. */
  readonly silentMs?: number
  /** What it gives instead of the truth. */
  readonly lies?: 'chunks' | 'list' | 'length' | 'garbage' | 'unasked'
}

interface Task {
  readonly atMs: number
  readonly order: number
  readonly run: () => void
}

export interface Outcome {
  /** Undefined when the file came. */
  readonly failed: string | undefined
  readonly content: Uint8Array
  readonly tookMs: number
  /** Bytes that arrived in ranges. */
  readonly bytes: number
  readonly violations: readonly { readonly peer: PeerId; readonly violation: string }[]
  /** Bytes that each source sent in ranges. */
  readonly sent: ReadonlyMap<string, number>
  /** Bytes that a source sent from a lie on, until it was dropped. */
  readonly resumedChunks: number
  /** The longest that a range waited at a source behind others. */
  readonly queuedMs: number
}

/** One fetcher and its sources. Ends when the file is there or given up, or after `limitMs`. */
export function fetchFrom(
  file: TestFile,
  sources: Readonly<Record<string, SourceInit>>,
  { have = [], seed = 1, limitMs = 600_000 }: { have?: readonly number[]; seed?: number; limitMs?: number } = {}
): Outcome {
  const world = new FetchWorld(file, sources, have, seeded(seed))
  return world.run(limitMs)
}

class FetchWorld {
  readonly #file: TestFile
  readonly #sources: Readonly<Record<string, SourceInit>>
  readonly #fetch: Fetch
  readonly #content: Uint8Array
  readonly #have: readonly number[]
  readonly #tasks: Task[] = []
  readonly #open = new Map<string, number>()
  readonly #freeAtMs = new Map<string, number>()
  readonly #sent = new Map<string, number>()
  readonly #violations: { peer: PeerId; violation: string }[] = []
  #nowMs = 0
  #order = 0
  #bytes = 0
  #queuedMs = 0
  #failed: string | undefined
  #done = false
  #streams = 0

  constructor(file: TestFile, sources: Readonly<Record<string, SourceInit>>, have: readonly number[], rng: Rng) {
    this.#file = file
    this.#sources = sources
    this.#have = have
    this.#content = new Uint8Array(file.content.length)
    for (const chunk of have) this.#content.set(chunkOf(file.content, chunk), chunk * chunkBytes)
    this.#fetch = new Fetch({ rng, bulkRate: new BulkRate(() => false) })
  }

  run(limitMs: number): Outcome {
    const peers = Object.keys(this.#sources) as PeerId[]
    for (const [name, { diesMs }] of Object.entries(this.#sources)) {
      if (diesMs === undefined) continue
      this.#at(diesMs, () => {
        if (!this.#open.delete(name)) return
        this.#feed({ kind: 'closed', peer: name as PeerId })
      })
    }
    this.#feed({ kind: 'want', wanted: this.#file.wanted, peers })
    const tick = (): void => {
      this.#feed({ kind: 'tick' })
      this.#at(this.#nowMs + 100, tick)
    }
    tick()
    while (!this.#done && this.#nowMs < limitMs) {
      const next = this.#next()
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
    }
    if (!this.#done) this.#failed = `not done within ${limitMs} ms`
    return {
      failed: this.#failed,
      content: this.#content,
      tookMs: this.#nowMs,
      bytes: this.#bytes,
      violations: this.#violations,
      sent: this.#sent,
      resumedChunks: this.#have.length,
      queuedMs: this.#queuedMs
    }
  }

  #at(atMs: number, run: () => void): void {
    this.#tasks.push({ atMs, order: this.#order++, run })
  }

  #next(): Task {
    let best = 0
    for (const [i, task] of this.#tasks.entries()) {
      const first = this.#tasks[best]!
      if (task.atMs < first.atMs || (task.atMs === first.atMs && task.order < first.order)) best = i
    }
    return this.#tasks.splice(best, 1)[0]!
  }

  #feed(event: FetchEvent): void {
    for (const effect of this.#fetch.handle(event, this.#nowMs)) this.#do(effect)
  }

  #do(effect: FetchEffect): void {
    switch (effect.kind) {
      case 'open':
        this.#connect(effect.peer)
        break
      case 'close':
        this.#open.delete(effect.peer)
        break
      case 'send': {
        const stream = this.#open.get(effect.peer)
        const { delayMs = 1 } = this.#sources[effect.peer]!
        const bytes = encodeFrame(effect.frame)
        this.#at(this.#nowMs + delayMs, () => {
          if (stream !== undefined && this.#open.get(effect.peer) === stream) this.#answer(effect.peer, stream, bytes)
        })
        break
      }
      case 'list':
        this.#at(this.#nowMs, () => {
          const have = new ChunkSet(chunkCount(this.#content.length))
          for (const chunk of this.#have) have.add(chunk)
          this.#feed({ kind: 'resumed', file: effect.file, have })
        })
        break
      case 'check': {
        const { check, bytes, digest } = effect
        const isRight = sameBytes(sha256(bytes), digest)
        this.#at(this.#nowMs + checkMs, () => this.#feed({ kind: 'checked', check, isRight }))
        break
      }
      case 'store':
        this.#content.set(effect.bytes, effect.chunk * chunkBytes)
        this.#at(this.#nowMs, () => this.#feed({ kind: 'stored', file: effect.file, chunk: effect.chunk }))
        break
      case 'done':
        this.#done = true
        break
      case 'failed':
        this.#done = true
        this.#failed = effect.message
        break
      case 'coming':
        break
      case 'violation':
        this.#violations.push({ peer: effect.peer, violation: effect.violation })
        break
      case 'wake':
        this.#at(effect.atMs, () => this.#feed({ kind: 'tick' }))
        break
    }
  }

  #connect(peer: PeerId): void {
    const { delayMs = 1, diesMs, backMs } = this.#sources[peer]!
    const stream = ++this.#streams
    this.#at(this.#nowMs + 2 * delayMs, () => {
      const isGone = diesMs !== undefined && this.#nowMs >= diesMs && (backMs === undefined || this.#nowMs < backMs)
      if (!isGone) this.#open.set(peer, stream)
      this.#feed({ kind: isGone ? 'closed' : 'opened', peer })
    })
  }

  #answer(peer: PeerId, stream: number, bytes: Uint8Array): void {
    const { rate = 1_000, delayMs = 1, silentMs, has, lies } = this.#sources[peer]!
    if (silentMs !== undefined && this.#nowMs >= silentMs) return
    const request = decodeRequest(bytes)!
    const { content, list, wanted } = this.#file
    const { file } = wanted
    const owns = (chunk: number): boolean => has === undefined || has.includes(chunk)
    let answer: AnswerFrame
    if (request.kind === 'watch') {
      const set = new ChunkSet(chunkCount(content.length))
      for (const chunk of has ?? []) set.add(chunk)
      answer = { kind: 'state', file, whole: has === undefined, chunks: set.bits }
    } else if (request.kind === 'list-request') {
      const wrong = list.map((byte, i) => (i === 3 ? byte ^ 1 : byte))
      answer = { kind: 'list', file, digests: lies === 'list' ? wrong : list }
    } else if (request.kind === 'range-request') {
      const { chunk, offset, length } = request
      let data: Uint8Array = chunkOf(content, chunk).slice(offset, offset + length)
      if (lies === 'chunks') data[0]! ^= 1
      if (lies === 'length' && data.length > 1) data = data.subarray(1)
      answer = owns(chunk)
        ? { kind: 'range', file, chunk, offset: lies === 'unasked' ? (offset + 1) % chunkBytes : offset, data }
        : { kind: 'refuse', subject: 'range', file, chunk, offset }
    } else {
      throw new Error(`a fetcher of files asks for ${request.kind}`)
    }
    const frame = lies === 'garbage' && answer.kind === 'range' ? new Uint8Array([255, 255, 1]) : encodeFrame(answer)
    const startMs = Math.max(this.#nowMs, this.#freeAtMs.get(peer) ?? 0)
    const endMs = startMs + frame.length / rate
    this.#queuedMs = Math.max(this.#queuedMs, startMs - this.#nowMs)
    this.#freeAtMs.set(peer, endMs)
    this.#at(endMs + delayMs, () => {
      if (this.#open.get(peer) !== stream) return
      if (answer.kind === 'range') {
        this.#bytes += answer.data.length
        this.#sent.set(peer, (this.#sent.get(peer) ?? 0) + answer.data.length)
      }
      this.#feed({ kind: 'frame', peer, bytes: frame })
    })
  }
}
