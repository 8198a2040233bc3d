/**
 * Weights from peers: drives the deciders of `src/supply` as their services do, on a disk and a radio that are modelled.
 */
import type { PeerId } from '../src/base/ids.ts'
import type { Rng } from '../src/base/rng.ts'
import { Turns } from '../src/base/turns.ts'
import { supplyOpenMs, supplyTickMs } from '../src/supply/limits.ts'
import { ChunkSet, chunkCount, chunkLength, sameBytes } from '../src/model/chunks.ts'
import { encodeFrame } from '../src/supply/codec.ts'
import type { FetchEffect, FetchEvent } from '../src/supply/event.ts'
import { Fetch } from '../src/supply/fetch.ts'
import { type AnswerFrame, type FileId, type RequestFrame, shardsProtocol } from '../src/supply/frame.ts'
import { Pace } from '../src/supply/pace.ts'
import { type ClientId, type Found, Serve, type ServeEffect, type ServeEvent } from '../src/supply/serve.ts'
import type { Promises } from './promises.ts'
import { chunkOf, type Disk, sha256, type Weights, type WeightsFile } from './weights.ts'
import type { Channel } from './wire.ts'

export interface SupplyHost {
  readonly name: string
  readonly nowMs: () => number
  readonly after: (delayMs: number, task: () => void) => void
  readonly openChannel: (
    peer: PeerId,
    protocol: string,
    done: (channel: Channel | undefined, message: string) => void
  ) => { cancel(): void }
  readonly weights: Weights
  readonly disk: Disk
  readonly rng: Rng
  readonly promises: Promises
  /** Peers that may have files of the model, the likeliest first. */
  readonly sources: () => readonly PeerId[]
  /** Whether sessions run here now: then bulk goes slowly. */
  readonly live: () => boolean
  readonly diskMs: (bytes: number) => number
  /** It gives wrong bytes. */
  readonly lies: () => boolean
  readonly violation: (peer: PeerId, kind: string, message: string) => void
}

export class SupplyRun {
  readonly #host: SupplyHost
  readonly #fetch: Fetch
  readonly #serve: Serve
  readonly #channels = new Map<PeerId, Channel>()
  readonly #clients = new Map<ClientId, Channel>()
  readonly #wanted = new Map<FileId, { readonly file: WeightsFile; readonly done: (error?: string) => void }>()
  /** Files that are being fetched and whose chunk list is here: what has come of them is given on. */
  readonly #coming = new Set<FileId>()
  readonly #turns = new Turns<FetchEvent>(event => {
    for (const effect of this.#fetch.handle(event, this.#host.nowMs())) this.#do(effect)
  })
  readonly #serveTurns = new Turns<ServeEvent>(event => {
    for (const effect of this.#serve.handle(event, this.#host.nowMs())) this.#doServe(effect)
  })
  /** Who sent wrong bytes, or broke the protocol. */
  readonly liars = new Set<PeerId>()
  #isTicking = false
  #accepted = 0
  /** When the next tick of what waits to be given comes. */
  #serveAtMs = Number.POSITIVE_INFINITY

  constructor(host: SupplyHost) {
    this.#host = host
    const pace = new Pace(host.live)
    this.#fetch = new Fetch({ rng: host.rng, pace })
    this.#serve = new Serve(pace)
  }

  /** Brings files to the disk. `done` hears why some did not come; what has come stays. */
  fetch(files: readonly WeightsFile[], done: (error: string | undefined) => void): void {
    let left = files.length
    let failure: string | undefined
    for (const file of files) {
      const settle = (error?: string): void => {
        failure ??= error
        if (--left === 0) done(failure)
      }
      this.#wanted.set(file.file, { file, done: settle })
    }
    for (const { file, bytes, chunks } of files) {
      this.#feed({ kind: 'want', wanted: { file, bytes, chunks }, peers: this.#host.sources() })
    }
  }

  /** Peers or what they hold may have changed. */
  changed(): void {
    for (const { file } of [...this.#wanted.values()]) {
      const { file: id, bytes, chunks } = file
      this.#feed({ kind: 'want', wanted: { file: id, bytes, chunks }, peers: this.#host.sources() })
    }
  }

  stop(): void {
    for (const file of [...this.#wanted.keys()]) {
      this.#wanted.delete(file)
      this.#feed({ kind: 'drop', file })
    }
  }

  // ── Fetching ────────────────────────────────────────────────────────────────────────────────────

  #feed(event: FetchEvent): void {
    if (!this.#turns.give(event)) return
    if (this.#isTicking || !this.#fetch.busy) return
    this.#isTicking = true
    const tick = (): void => {
      this.#feed({ kind: 'tick' })
      if (this.#fetch.busy) this.#host.after(supplyTickMs, tick)
      else this.#isTicking = false
    }
    this.#host.after(supplyTickMs, tick)
  }

  #do(effect: FetchEffect): void {
    const { promises, name, disk, weights } = this.#host
    switch (effect.kind) {
      case 'open':
        if (this.liars.has(effect.peer)) {
          promises.broken('wrong-weights', `${name} asks ${effect.peer} again, which sent it wrong bytes`)
        }
        this.#open(effect.peer)
        break
      case 'close':
        this.#channels.get(effect.peer)?.close()
        this.#channels.delete(effect.peer)
        break
      case 'send':
        this.#channels.get(effect.peer)?.send(encodeFrame(effect.frame))
        break
      case 'list': {
        const file = weights.get(effect.file)!
        if (!sameBytes(effect.list, file.list)) {
          promises.broken('wrong-weights', `${name} believes a wrong chunk list of ${weights.names([file])}`)
        }
        const have = disk.chunks(file)
        // Whatever is on the disk is read and checked first.
        const readMs = this.#host.diskMs(Math.min(file.bytes, have.size * chunkLength(file.bytes, 0)))
        this.#host.after(readMs, () => {
          if (!this.#wanted.has(file.file)) return
          this.#coming.add(file.file)
          if (have.size > 0) this.#toServe({ kind: 'searched', file: file.file, chunks: have.bits.slice() })
          this.#feed({ kind: 'resumed', file: file.file, have: new ChunkSet(have.chunks, have.bits.slice()) })
        })
        break
      }
      case 'coming':
        this.#toServe({ kind: 'coming', file: effect.file, chunk: effect.chunk })
        break
      case 'check': {
        const { check, bytes, digest } = effect
        this.#feed({ kind: 'checked', check, isRight: sameBytes(sha256(bytes), digest) })
        break
      }
      case 'store': {
        const { file: id, chunk, bytes } = effect
        const file = weights.get(id)!
        promises.checks++
        if (!sameBytes(bytes, chunkOf(file, chunk))) {
          promises.broken('wrong-weights', `${name} stores wrong bytes as chunk ${chunk} of ${weights.names([file])}`)
        }
        this.#host.after(this.#host.diskMs(bytes.length), () => {
          disk.write(file, chunk)
          this.#toServe({ kind: 'have', file: id, chunk })
          this.#feed({ kind: 'stored', file: id, chunk })
        })
        break
      }
      case 'done':
      case 'failed': {
        const wanted = this.#wanted.get(effect.file)
        if (wanted === undefined) break
        this.#wanted.delete(effect.file)
        this.#coming.delete(effect.file)
        const isWhole = disk.has(effect.file)
        if (effect.kind === 'done' && !isWhole) {
          promises.broken(
            'wrong-weights',
            `${name} takes ${weights.names([wanted.file])} for whole, and some of it is missing`
          )
        }
        wanted.done(effect.kind === 'failed' ? effect.message : undefined)
        break
      }
      case 'violation':
        this.liars.add(effect.peer)
        this.#channels.get(effect.peer)?.abort()
        this.#channels.delete(effect.peer)
        this.#host.violation(effect.peer, effect.violation, effect.message)
        break
      case 'wake':
        this.#host.after(Math.max(1, effect.atMs - this.#host.nowMs()), () => this.#feed({ kind: 'tick' }))
        break
      default:
        throw new Error(`the simulator does not know what a fetch means by ${(effect as { kind: string }).kind}`)
    }
  }

  #open(peer: PeerId): void {
    let isSettled = false
    const opening = this.#host.openChannel(peer, shardsProtocol.name, channel => {
      if (isSettled) {
        channel?.close()
        return
      }
      isSettled = true
      if (channel === undefined) {
        this.#feed({ kind: 'closed', peer })
        return
      }
      this.#channels.set(peer, channel)
      channel.handlers = {
        onFrame: bytes => {
          if (this.#channels.get(peer) === channel) this.#feed({ kind: 'frame', peer, bytes })
        },
        onClose: () => {
          if (this.#channels.get(peer) !== channel) return
          this.#channels.delete(peer)
          this.#feed({ kind: 'closed', peer })
        }
      }
      this.#feed({ kind: 'opened', peer })
    })
    this.#host.after(supplyOpenMs, () => {
      if (isSettled) return
      isSettled = true
      opening.cancel()
      this.#feed({ kind: 'closed', peer })
    })
  }

  // ── Giving ──────────────────────────────────────────────────────────────────────────────────────

  accept(channel: Channel): void {
    const client = ++this.#accepted
    this.#clients.set(client, channel)
    channel.handlers = {
      onFrame: bytes => this.#toServe({ kind: 'frame', client, bytes }),
      onClose: () => {
        this.#clients.delete(client)
        this.#toServe({ kind: 'closed', client })
      }
    }
    this.#toServe({ kind: 'accepted', client, peer: channel.remote })
  }

  #toServe(event: ServeEvent): void {
    this.#serveTurns.give(event)
  }

  #doServe(effect: ServeEffect): void {
    switch (effect.kind) {
      case 'find':
        this.#find(effect.client, effect.request)
        break
      case 'answer':
      case 'tell':
        this.#clients.get(effect.client)?.send(encodeFrame(this.#host.lies() ? lieOf(effect.frame) : effect.frame))
        if (effect.kind === 'answer') this.#toServe({ kind: 'ready', client: effect.client })
        break
      case 'violation':
        this.#clients.get(effect.client)?.abort()
        this.#clients.delete(effect.client)
        this.#host.violation(effect.peer, effect.violation, effect.message)
        break
      case 'wake': {
        const { nowMs, after } = this.#host
        if (this.#serveAtMs <= effect.atMs) break
        this.#serveAtMs = effect.atMs
        after(Math.max(1, effect.atMs - nowMs()), () => {
          if (this.#serveAtMs === effect.atMs) this.#serveAtMs = Number.POSITIVE_INFINITY
          this.#toServe({ kind: 'tick' })
        })
        break
      }
      default:
        throw new Error(`the simulator does not know what serving means by ${(effect as { kind: string }).kind}`)
    }
  }

  #find(client: ClientId, request: RequestFrame): void {
    const { weights, disk, after, diskMs } = this.#host
    const tell = (found: Found | undefined): void => this.#toServe({ kind: 'found', client, found })
    const file = request.kind === 'manifest-request' ? undefined : weights.get(request.file)
    if (file === undefined) {
      tell(undefined)
      return
    }
    const chunks = disk.chunks(file)
    // Of a file that nobody fetches here a part is not given: the real store does not look into it either.
    const isGiven = disk.has(file.file) || this.#coming.has(file.file)
    switch (request.kind) {
      case 'watch': {
        const bits = isGiven ? chunks.bits.slice() : new Uint8Array(chunks.bits.length)
        tell({ kind: 'state', whole: disk.has(file.file), chunks: bits })
        break
      }
      case 'list-request':
        tell(isGiven ? { kind: 'list', digests: file.list } : undefined)
        break
      case 'range-request': {
        const { chunk } = request
        if (!isGiven || chunk >= chunkCount(file.bytes) || !chunks.has(chunk)) {
          tell(undefined)
          break
        }
        const bytes = chunkOf(file, chunk)
        after(diskMs(bytes.length), () => tell({ kind: 'chunk', bytes }))
        break
      }
    }
  }
}

/** The same with one byte wrong, where it carries bytes. */
function lieOf(frame: AnswerFrame): AnswerFrame {
  if (frame.kind !== 'range') return frame
  const data = frame.data.slice()
  data[data.length >> 1]! ^= 0x5a
  return { ...frame, data }
}
