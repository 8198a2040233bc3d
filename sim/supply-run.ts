/**
 * Weights from peers: drives the deciders of `src/supply` as their services do, on a disk and a radio that are modelled.
 * What is given to others is answered here, since the real source decides nothing but what its disk has.
 */
import type { PeerId } from '../src/base/ids.ts'
import type { Rng } from '../src/base/rng.ts'
import { ProtocolError } from '../src/errors.ts'
import { supplyOpenMs, supplyRequestsMax, supplyTickMs, supplyWatchesMax } from '../src/limits.ts'
import { ChunkSet, chunkCount, chunkLength, sameBytes } from '../src/model/chunks.ts'
import { decodeRequest, encodeFrame } from '../src/supply/codec.ts'
import { Fetch, type FetchEffect, type FetchEvent } from '../src/supply/fetch.ts'
import { type FileId, type RequestFrame, shardsProtocol } from '../src/supply/frame.ts'
import { Pace } from '../src/supply/pace.ts'
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

interface Client {
  readonly channel: Channel
  readonly queue: RequestFrame[]
  readonly watches: Set<FileId>
  isAnswering: boolean
  /** The chunk that was read last: ranges of one chunk follow one another. */
  last: { readonly file: FileId; readonly chunk: number; readonly bytes: Uint8Array } | undefined
}

export class SupplyRun {
  readonly #host: SupplyHost
  readonly #fetch: Fetch
  readonly #pace: Pace
  readonly #channels = new Map<PeerId, Channel>()
  readonly #clients = new Set<Client>()
  readonly #wanted = new Map<FileId, { readonly file: WeightsFile; readonly done: (error?: string) => void }>()
  /** Files that are being fetched and whose chunk list is here: what has come of them is given on. */
  readonly #coming = new Set<FileId>()
  readonly #events: FetchEvent[] = []
  /** Who sent wrong bytes, or broke the protocol. */
  readonly liars = new Set<PeerId>()
  #isDraining = false
  #isTicking = false

  constructor(host: SupplyHost) {
    this.#host = host
    this.#pace = new Pace(host.live)
    this.#fetch = new Fetch({ rng: host.rng, pace: this.#pace, sha256 })
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
    this.#events.push(event)
    if (this.#isDraining) return
    this.#isDraining = true
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const effect of this.#fetch.handle(next, this.#host.nowMs())) this.#do(effect)
      }
    } finally {
      this.#isDraining = false
    }
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
          if (have.size > 0) this.#tellState(file)
          this.#feed({ kind: 'resumed', file: file.file, have: new ChunkSet(have.chunks, have.bits.slice()) })
        })
        break
      }
      case 'coming':
        this.#announce('coming', effect.file, effect.chunk)
        break
      case 'store': {
        const { file: id, chunk, bytes } = effect
        const file = weights.get(id)!
        promises.checks++
        if (!sameBytes(bytes, chunkOf(file, chunk))) {
          promises.broken('wrong-weights', `${name} stores wrong bytes as chunk ${chunk} of ${weights.names([file])}`)
        }
        this.#host.after(this.#host.diskMs(bytes.length), () => {
          disk.write(file, chunk)
          this.#announce('have', id, chunk)
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
    const opening = this.#host.openChannel(peer, shardsProtocol, channel => {
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
    const client: Client = { channel, queue: [], watches: new Set(), isAnswering: false, last: undefined }
    this.#clients.add(client)
    channel.handlers = {
      onFrame: bytes => {
        try {
          client.queue.push(decodeRequest(bytes))
          if (client.queue.length > supplyRequestsMax) throw new ProtocolError('it asks for too much at once')
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          channel.abort()
          this.#clients.delete(client)
          this.#host.violation(channel.remote, 'bad shards frame', error.message)
          return
        }
        this.#answer(client)
      },
      onClose: () => {
        this.#clients.delete(client)
        client.queue.length = 0
      }
    }
  }

  #announce(kind: 'have' | 'coming', file: FileId, chunk: number): void {
    for (const { watches, channel } of this.#clients) {
      if (watches.has(file)) channel.send(encodeFrame({ kind, file, chunk }))
    }
  }

  #tellState(file: WeightsFile): void {
    for (const client of this.#clients) if (client.watches.has(file.file)) this.#sendState(client, file)
  }

  #sendState({ channel }: Client, file: WeightsFile): void {
    const chunks = this.#host.disk.chunks(file)
    const whole = chunks.size === chunks.chunks
    // Of a file that nobody fetches here a part is not given: the real store does not look into it either.
    const bits = this.#coming.has(file.file) ? chunks.bits.slice() : new Uint8Array(chunks.bits.length)
    channel.send(encodeFrame({ kind: 'state', file: file.file, whole, chunks: whole ? new Uint8Array(0) : bits }))
  }

  /** Answers a stream's requests one after another. */
  #answer(client: Client): void {
    if (client.isAnswering) return
    const request = client.queue.shift()
    if (request === undefined) return
    client.isAnswering = true
    const next = (): void => {
      client.isAnswering = false
      if (client.channel.isOpen) this.#answer(client)
    }
    if (request.kind === 'range-request') this.#giveRange(client, request, next)
    else {
      this.#giveWord(client, request)
      next()
    }
  }

  #giveWord(client: Client, request: Exclude<RequestFrame, { readonly kind: 'range-request' }>): void {
    const { channel } = client
    const { weights, disk } = this.#host
    if (request.kind === 'manifest-request') {
      channel.send(encodeFrame({ kind: 'refuse', subject: 'manifest', model: request.model }))
      return
    }
    const file = weights.get(request.file)
    if (request.kind === 'watch') {
      if (file === undefined) {
        channel.send(encodeFrame({ kind: 'refuse', subject: 'file', file: request.file }))
        return
      }
      if (client.watches.size < supplyWatchesMax) client.watches.add(request.file)
      this.#sendState(client, file)
      return
    }
    const isHere = file !== undefined && (disk.has(file.file) || this.#coming.has(file.file))
    channel.send(
      isHere
        ? encodeFrame({ kind: 'list', file: file.file, digests: file.list })
        : encodeFrame({ kind: 'refuse', subject: 'list', file: request.file })
    )
  }

  #giveRange(client: Client, request: RequestFrame & { readonly kind: 'range-request' }, next: () => void): void {
    const { weights, disk, after, diskMs, nowMs } = this.#host
    const { file: id, chunk, offset, length } = request
    const file = weights.get(id)
    const isHere =
      file !== undefined &&
      chunk < chunkCount(file.bytes) &&
      disk.chunks(file).has(chunk) &&
      (disk.has(id) || this.#coming.has(id)) &&
      offset + length <= chunkLength(file.bytes, chunk)
    if (!isHere) {
      client.channel.send(encodeFrame({ kind: 'refuse', subject: 'range', file: id, chunk, offset }))
      next()
      return
    }
    const isRead = client.last?.file === id && client.last.chunk === chunk
    const bytes = isRead ? client.last!.bytes : chunkOf(file, chunk)
    client.last = { file: id, chunk, bytes }
    const give = (): void => {
      const waitMs = this.#pace.waitMs(nowMs())
      if (waitMs > 0) {
        after(Math.min(waitMs, supplyOpenMs), give)
        return
      }
      this.#pace.take(length, nowMs())
      const data = bytes.slice(offset, offset + length)
      if (this.#host.lies()) data[length >> 1]! ^= 0x5a
      client.channel.send(encodeFrame({ kind: 'range', file: id, chunk, offset, data }))
      next()
    }
    if (isRead) give()
    else after(diskMs(bytes.length), give)
  }
}
