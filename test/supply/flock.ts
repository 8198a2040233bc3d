/**
 * Several fetch deciders in virtual time, which give one another what they have: one peer holds all files behind a slow
 * link, the others are beside one another. Each peer's sending side is a queue; nothing is lost.
 */
import { createHash } from 'node:crypto'
import type { PeerId } from '../../src/base/ids.ts'
import { seeded } from '../../src/base/rng.ts'
import { chunkBytes } from '../../src/model/limits.ts'
import { supplyTickMs } from '../../src/supply/limits.ts'
import { sameBytes } from '../../src/base/same-bytes.ts'
import { ChunkSet, chunkCount, chunkLength } from '../../src/model/chunks.ts'
import { decodeRequest, encodeFrame } from '../../src/supply/codec.ts'
import type { FetchEffect, FetchEvent } from '../../src/supply/event.ts'
import { Fetch } from '../../src/supply/fetch.ts'
import type { AnswerFrame, FileId } from '../../src/supply/frame.ts'
import { BulkRate } from '../../src/supply/bulk-rate.ts'
import type { TestFile } from './world.ts'

export interface FlockInit {
  readonly files: readonly TestFile[]
  readonly fetchers: number
  /** Bytes per ms and one-way delay of the holder's link. */
  readonly rate: number
  readonly delayMs: number
  /** The same between the fetchers. @default 100_000, 0.2 */
  readonly lanRate?: number
  readonly lanDelayMs?: number
  /** When each of them begins. @default all at once */
  readonly startMs?: (fetcher: number) => number
  readonly seed?: number
  /** A session runs on the holder and on the first of the others: its steps cross the link this often, in ms. */
  readonly stepMs?: number
}

export interface FlockOutcome {
  /** When the last one had everything. */
  readonly tookMs: number
  /** Bytes of all frames over the holder's link. */
  readonly linkBytes: number
  readonly failed: readonly string[]
  readonly violations: number
  /** How long steps waited behind bulk before they could leave: the mean, in ms. */
  readonly stepWaitMs: number
}

interface Node {
  readonly name: PeerId
  readonly fetch: Fetch | undefined
  /** By file: what it has. */
  readonly has: Map<FileId, ChunkSet>
  /** Who watches which file here. */
  readonly watchers: Map<FileId, Set<PeerId>>
  readonly missing: Set<FileId>
  readonly events: FetchEvent[]
  draining: boolean
}

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

export function fetchTogether(init: FlockInit): FlockOutcome {
  return new Flock(init).run()
}

class Flock {
  readonly #init: FlockInit
  readonly #nodes = new Map<PeerId, Node>()
  readonly #files: ReadonlyMap<FileId, TestFile>
  /** A heap would be quicker; times are few enough. */
  readonly #tasks: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = []
  readonly #freeAtMs = new Map<string, number>()
  readonly #failed: string[] = []
  /** The holder's, for what it gives. */
  readonly #bulkRate: BulkRate
  readonly #stepWaitsMs: number[] = []
  #linkBytes = 0
  #violations = 0
  #nowMs = 0
  #order = 0
  #doneAtMs = 0

  constructor(init: FlockInit) {
    this.#init = init
    const isLive = init.stepMs !== undefined
    this.#bulkRate = new BulkRate(() => isLive)
    this.#files = new Map(init.files.map(file => [file.wanted.file, file]))
    const names = ['holder', ...Array.from({ length: init.fetchers }, (_, i) => `f${i}`)] as PeerId[]
    for (const [i, name] of names.entries()) {
      const rng = seeded((init.seed ?? 1) * 100 + i)
      const has = new Map(
        init.files.map(({ wanted: { file, bytes } }) => {
          const count = chunkCount(bytes)
          return [file, i === 0 ? ChunkSet.all(count) : new ChunkSet(count)]
        })
      )
      const fetch = i === 0 ? undefined : new Fetch({ rng, bulkRate: new BulkRate(() => isLive && i === 1) })
      const missing = new Set(i === 0 ? [] : this.#files.keys())
      this.#nodes.set(name, { name, fetch, has, watchers: new Map(), missing, events: [], draining: false })
    }
  }

  run(): FlockOutcome {
    const names = [...this.#nodes.keys()]
    for (const [i, node] of [...this.#nodes.values()].slice(1).entries()) {
      const peers = names.filter(name => name !== node.name)
      this.#at(this.#init.startMs?.(i) ?? 0, () => {
        for (const { wanted } of this.#init.files) this.#feed(node, { kind: 'want', wanted, peers })
        const tick = (): void => {
          if (node.missing.size === 0) return
          this.#feed(node, { kind: 'tick' })
          this.#at(this.#nowMs + supplyTickMs, tick)
        }
        tick()
      })
    }
    const { stepMs } = this.#init
    const step = (): void => {
      this.#stepWaitsMs.push(Math.max(0, (this.#freeAtMs.get('down') ?? 0) - this.#nowMs))
      this.#send('holder' as PeerId, 'f0' as PeerId, 600, () => {})
      this.#at(this.#nowMs + stepMs!, step)
    }
    if (stepMs !== undefined) step()
    while ([...this.#nodes.values()].some(({ missing }) => missing.size > 0) && this.#nowMs < 3_600_000) this.#step()
    const { length: left } = [...this.#nodes.values()].filter(({ missing }) => missing.size > 0)
    if (left > 0) this.#failed.push(`${left} are not done after ${this.#nowMs} ms`)
    const waits = this.#stepWaitsMs
    return {
      tookMs: this.#doneAtMs,
      linkBytes: this.#linkBytes,
      failed: this.#failed,
      violations: this.#violations,
      stepWaitMs: waits.reduce((sum, ms) => sum + ms, 0) / Math.max(1, waits.length)
    }
  }

  #at(atMs: number, run: () => void): void {
    const task = { atMs, order: this.#order++, run }
    let low = 0
    let high = this.#tasks.length
    while (low < high) {
      const middle = (low + high) >> 1
      // The next one is the last.
      if (this.#tasks[middle]!.atMs > atMs) low = middle + 1
      else high = middle
    }
    this.#tasks.splice(low, 0, task)
  }

  #step(): void {
    const next = this.#tasks.pop()
    if (next === undefined) throw new Error('nothing is left to happen')
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.run()
  }

  /** Bytes from one to another: behind what its sender has sent on that way, after the delay. */
  #send(from: PeerId, to: PeerId, bytes: number, arrived: () => void): void {
    const { rate, delayMs, lanRate = 100_000, lanDelayMs = 0.2 } = this.#init
    const isLink = from === 'holder' || to === 'holder'
    // The link is one way for all; beside one another each has its own.
    const way = from === 'holder' ? 'down' : to === 'holder' ? 'up' : from
    const startMs = Math.max(this.#nowMs, this.#freeAtMs.get(way) ?? 0)
    const endMs = startMs + (bytes + 60) / (isLink ? rate : lanRate)
    this.#freeAtMs.set(way, endMs)
    if (from === 'holder') this.#linkBytes += bytes
    this.#at(endMs + (isLink ? delayMs : lanDelayMs), arrived)
  }

  #feed(node: Node, event: FetchEvent): void {
    node.events.push(event)
    if (node.draining) return
    node.draining = true
    for (let next = node.events.shift(); next !== undefined; next = node.events.shift()) {
      for (const effect of node.fetch!.handle(next, this.#nowMs)) this.#do(node, effect)
    }
    node.draining = false
  }

  #do(node: Node, effect: FetchEffect): void {
    switch (effect.kind) {
      case 'open':
        this.#send(node.name, effect.peer, 100, () =>
          this.#send(effect.peer, node.name, 100, () => this.#feed(node, { kind: 'opened', peer: effect.peer }))
        )
        break
      case 'close':
        break
      case 'send': {
        const bytes = encodeFrame(effect.frame)
        this.#send(node.name, effect.peer, bytes.length, () => this.#answer(node, effect.peer, bytes))
        break
      }
      case 'list':
        this.#at(this.#nowMs, () => {
          const have = new ChunkSet(node.has.get(effect.file)!.chunks)
          this.#feed(node, { kind: 'resumed', file: effect.file, have })
        })
        break
      case 'coming':
        this.#announce(node, { kind: 'coming', file: effect.file, chunk: effect.chunk })
        break
      case 'check': {
        const { check, bytes, digest } = effect
        const isRight = sameBytes(sha256(bytes), digest)
        this.#at(this.#nowMs, () => this.#feed(node, { kind: 'checked', check, isRight }))
        break
      }
      case 'store':
        node.has.get(effect.file)!.add(effect.chunk)
        this.#announce(node, { kind: 'have', file: effect.file, chunk: effect.chunk })
        this.#at(this.#nowMs, () => this.#feed(node, { kind: 'stored', file: effect.file, chunk: effect.chunk }))
        break
      case 'done':
        node.missing.delete(effect.file)
        this.#doneAtMs = this.#nowMs
        break
      case 'failed':
        node.missing.delete(effect.file)
        this.#failed.push(`${node.name}: ${effect.message}`)
        break
      case 'violation':
        this.#violations++
        break
      case 'wake':
        this.#at(effect.atMs, () => this.#feed(node, { kind: 'tick' }))
        break
    }
  }

  #announce(node: Node, frame: AnswerFrame & { readonly kind: 'have' | 'coming' }): void {
    const { length } = encodeFrame(frame)
    for (const peer of node.watchers.get(frame.file) ?? []) {
      const to = this.#nodes.get(peer)!
      this.#send(node.name, peer, length, () =>
        this.#feed(to, { kind: 'frame', peer: node.name, bytes: encodeFrame(frame) })
      )
    }
  }

  #answer(asker: Node, peer: PeerId, bytes: Uint8Array): void {
    const source = this.#nodes.get(peer)!
    const request = decodeRequest(bytes)!
    if (request.kind === 'manifest-request') throw new Error('a fetcher of files asks for no manifest')
    const { file } = request
    const { content, list } = this.#files.get(file)!
    const has = source.has.get(file)!
    let answer: AnswerFrame
    if (request.kind === 'watch') {
      source.watchers.set(file, (source.watchers.get(file) ?? new Set()).add(asker.name))
      answer = { kind: 'state', file, whole: has.size === has.chunks, chunks: has.bits.slice() }
    } else if (request.kind === 'list-request') {
      answer = { kind: 'list', file, digests: list }
    } else {
      const { chunk, offset, length } = request
      const start = chunk * chunkBytes
      const live = peer === 'holder' && this.#bulkRate.live
      const isHere = has.has(chunk) && offset + length <= chunkLength(content.length, chunk)
      answer = isHere
        ? { kind: 'range', file, chunk, offset, data: content.subarray(start + offset, start + offset + length), live }
        : { kind: 'refuse', subject: 'range', file, chunk, offset }
    }
    const frame = encodeFrame(answer)
    const give = (): void => {
      // As the serving side does: an answer leaves when its turn has come.
      const waitMs = peer === 'holder' && answer.kind === 'range' ? this.#bulkRate.waitMs(this.#nowMs) : 0
      if (waitMs > 0) {
        this.#at(this.#nowMs + waitMs, give)
        return
      }
      if (peer === 'holder' && answer.kind === 'range') this.#bulkRate.take(frame.length, this.#nowMs)
      this.#send(peer, asker.name, frame.length, () => this.#feed(asker, { kind: 'frame', peer, bytes: frame }))
    }
    give()
  }
}
