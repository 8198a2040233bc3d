/**
 * The air between real peers: a proxy on loopback that every connection passes. When a piece of a stream arrives at
 * the other end is decided by the very radio of the simulator, by positions, rate, delay, jitter, loss and turns.
 * A proxy of streams cannot lose packets: it holds what is lost for as long as TCP would take to send it again.
 */
import { createServer, connect, type Server, type Socket } from 'node:net'
import type { Chance } from './chance.ts'
import { airHeaderBytes, readAirHeader } from './live-header.ts'
import type { Radio } from './radio.ts'

export interface AirInit {
  readonly radio: Radio
  readonly chance: Chance
}

/** Bytes on their way in one direction above which no more are read: a TCP window. */
const windowBytes = 1 << 20
/** A port that nobody has is waited for this long: a peer may be found before it has said where it listens. */
const portWaitMs = 3_000
const lateMax = 8_192
/** The longest sleep that does not look at the sockets. */
const napMs = 0.1
/** What is due within it is handed over now: what the way through this proxy takes (measured: 0.09). */
const earlyMs = 0.1

interface Piece {
  /** Infinite while there is no way. */
  atMs: number
  /** Undefined is the end of the stream. */
  readonly bytes: Buffer | undefined
}

/** One direction of a connection. */
interface Flow {
  readonly link: Link
  readonly from: number
  readonly to: number
  readonly source: Socket
  readonly sink: Socket
  readonly pieces: Piece[]
  queuedBytes: number
  lastMs: number
  heldSinceMs: number | undefined
  isFlushing: boolean
}

interface Link {
  flows: readonly Flow[]
  /** [2] how often the stations had lost power when the link was made. */
  readonly outages: readonly [number, number]
}

export class Air {
  readonly #radio: Radio
  readonly #chance: Chance
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #links = new Set<Link>()
  readonly #stationAt = new Map<number, number>()
  /** How often each station has lost power. */
  readonly #outages: number[] = []
  readonly #isOff = new Set<number>()
  readonly #cell = new Int32Array(new SharedArrayBuffer(4))
  #timer: NodeJS.Timeout | undefined
  #napping = false
  #closed = false
  /** Bytes that were handed to the air. */
  bytes = 0
  /** How much later than they should pieces were handed over: of the last few thousand. */
  readonly lateMs: number[] = []
  #pieces = 0

  private constructor({ radio, chance }: AirInit, server: Server) {
    this.#radio = radio
    this.#chance = chance
    this.#server = server
    server.on('connection', socket => void this.#accept(socket))
  }

  /** Listens on a free port of loopback. */
  static async open(init: AirInit): Promise<Air> {
    const server = createServer({ noDelay: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    return new Air(init, server)
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  /** A peer listens there now. */
  register(station: number, port: number): void {
    this.#stationAt.set(port, station)
  }

  /** All of it is gone at once: nobody hears that its process ends. */
  powerOff(station: number): void {
    this.#isOff.add(station)
    this.#outages[station] = (this.#outages[station] ?? 0) + 1
    this.#radio.changed()
  }

  powerOn(station: number): void {
    this.#isOff.delete(station)
    this.changed()
  }

  isOn(station: number): boolean {
    return !this.#isOff.has(station)
  }

  /** Positions, partitions or cuts have changed: what was held may find a way, after the pause that TCP has grown to. */
  changed(): void {
    this.#radio.changed()
    for (const link of this.#links) {
      for (const flow of link.flows) {
        if (flow.heldSinceMs === undefined || flow.isFlushing) continue
        if (this.#radio.path(flow.from, flow.to) === undefined) continue
        flow.isFlushing = true
        const pauseMs = this.#chance.between(0, Math.min(30_000, nowMs() - flow.heldSinceMs))
        setTimeout(() => this.#flush(flow), pauseMs).unref()
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>(resolve => this.#server.close(() => resolve()))
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => this.#sockets.delete(socket))
  }

  async #accept(near: Socket): Promise<void> {
    this.#keep(near)
    const header = await firstBytes(near, airHeaderBytes)
    const said = header === undefined ? undefined : readAirHeader(header)
    const to = said === undefined ? undefined : await this.#stationOf(said.port)
    if (said === undefined || to === undefined || near.destroyed) {
      near.destroy()
      return
    }
    const from = said.station
    const out = this.#radio.path(from, to)
    const back = this.#radio.path(to, from)
    // Nothing answers: the one who dials gives up when its own time is over.
    if (out === undefined || back === undefined || !this.isOn(to) || !this.isOn(from)) {
      near.resume()
      return
    }
    // The handshake of TCP.
    await new Promise(resolve => setTimeout(resolve, out.delayMs + back.delayMs))
    const far = connect({ port: said.port, host: '127.0.0.1', noDelay: true })
    this.#keep(far)
    far.once('error', () => near.destroy())
    far.once('connect', () => {
      if (near.destroyed || this.#closed) {
        far.destroy()
        return
      }
      const outages = [this.#outages[from] ?? 0, this.#outages[to] ?? 0] as const
      const link: Link = { flows: [], outages }
      link.flows = [this.#flow(link, from, to, near, far), this.#flow(link, to, from, far, near)]
      this.#links.add(link)
    })
  }

  async #stationOf(port: number): Promise<number | undefined> {
    for (const untilMs = nowMs() + portWaitMs; nowMs() < untilMs && !this.#closed; ) {
      const station = this.#stationAt.get(port)
      if (station !== undefined) return station
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    return undefined
  }

  #flow(link: Link, from: number, to: number, source: Socket, sink: Socket): Flow {
    const flow: Flow = {
      link,
      from,
      to,
      source,
      sink,
      pieces: [],
      queuedBytes: 0,
      lastMs: 0,
      heldSinceMs: undefined,
      isFlushing: false
    }
    source.on('data', bytes => this.#send(flow, bytes as Buffer))
    source.once('close', () => this.#send(flow, undefined))
    source.resume()
    return flow
  }

  /** The station at one end has lost power since: what its process still says was never sent. */
  #isGone({ link, from, to }: Flow, station: number): boolean {
    const [first] = link.flows
    const near = first!.from === from ? link.outages[0] : link.outages[1]
    const far = first!.from === from ? link.outages[1] : link.outages[0]
    return (this.#outages[station] ?? 0) !== (station === from ? near : station === to ? far : 0)
  }

  #send(flow: Flow, bytes: Buffer | undefined): void {
    if (this.#closed || this.#isGone(flow, flow.from)) return
    const piece: Piece = { atMs: Number.POSITIVE_INFINITY, bytes }
    flow.pieces.push(piece)
    const length = bytes?.length ?? 0
    this.bytes += length
    flow.queuedBytes += length
    if (flow.queuedBytes > windowBytes) flow.source.pause()
    if (flow.heldSinceMs === undefined) this.#fly(flow, piece)
    this.#pump()
  }

  #fly(flow: Flow, piece: Piece): void {
    const path = this.isOn(flow.to) ? this.#radio.path(flow.from, flow.to) : undefined
    if (path === undefined) {
      flow.heldSinceMs ??= nowMs()
      return
    }
    const bytes = piece.bytes?.length ?? 40
    const arrivalMs = this.#radio.arrival(flow.from, path, bytes, nowMs(), this.#chance)
    flow.lastMs = Math.max(flow.lastMs, arrivalMs)
    piece.atMs = flow.lastMs
  }

  #flush(flow: Flow): void {
    flow.isFlushing = false
    flow.heldSinceMs = undefined
    for (const piece of flow.pieces) {
      if (piece.atMs === Number.POSITIVE_INFINITY && flow.heldSinceMs === undefined) this.#fly(flow, piece)
    }
    this.#pump()
  }

  /** Hands over what is due, and comes back when more is. */
  #pump(): void {
    if (this.#closed) return
    const atMs = nowMs()
    let nextMs = Number.POSITIVE_INFINITY
    for (const link of this.#links) {
      for (const flow of link.flows) {
        while (flow.pieces.length > 0 && flow.pieces[0]!.atMs <= atMs + earlyMs) {
          if (!this.#arrive(flow, flow.pieces[0]!)) break
        }
        nextMs = Math.min(nextMs, flow.pieces[0]?.atMs ?? Number.POSITIVE_INFINITY)
      }
    }
    if (nextMs === Number.POSITIVE_INFINITY || this.#napping) return
    const waitMs = nextMs - nowMs()
    clearTimeout(this.#timer)
    // Timers count whole milliseconds: the rest of a wait is slept through in naps, between which sockets are read.
    if (waitMs > 3) {
      this.#timer = setTimeout(() => this.#pump(), Math.floor(waitMs - 2))
      return
    }
    this.#napping = true
    setImmediate(() => {
      this.#napping = false
      if (waitMs > earlyMs) Atomics.wait(this.#cell, 0, 0, Math.min(waitMs, napMs))
      this.#pump()
    })
  }

  /** Whether the piece has left the queue. */
  #arrive(flow: Flow, piece: Piece): boolean {
    if (this.#isGone(flow, flow.from)) {
      flow.pieces.length = 0
      flow.queuedBytes = 0
      return false
    }
    const path = this.isOn(flow.to) ? this.#radio.path(flow.from, flow.to) : undefined
    if (path === undefined) {
      for (const waiting of flow.pieces) waiting.atMs = Number.POSITIVE_INFINITY
      flow.heldSinceMs ??= nowMs()
      return false
    }
    flow.pieces.shift()
    this.lateMs[this.#pieces++ % lateMax] = nowMs() - piece.atMs
    if (this.#isGone(flow, flow.to)) {
      // The host is back and knows no such connection.
      setTimeout(() => flow.source.resetAndDestroy(), path.delayMs)
      this.#links.delete(flow.link)
      return true
    }
    if (piece.bytes === undefined) {
      flow.sink.end(() => flow.sink.destroy())
      this.#links.delete(flow.link)
      return true
    }
    flow.queuedBytes -= piece.bytes.length
    if (!flow.sink.destroyed) flow.sink.write(piece.bytes)
    if (flow.source.isPaused() && flow.queuedBytes < windowBytes / 2) flow.source.resume()
    return true
  }
}

function nowMs(): number {
  return performance.now()
}

/** The first bytes of a stream; what came with them stays in it. Undefined when it ends before. */
async function firstBytes(socket: Socket, length: number): Promise<Uint8Array | undefined> {
  return new Promise(resolve => {
    const read = (): void => {
      const bytes = socket.read(length) as Buffer | null
      if (bytes === null) return
      socket.off('readable', read)
      resolve(bytes.length < length ? undefined : bytes)
    }
    socket.on('readable', read)
    socket.once('close', () => resolve(undefined))
    read()
  })
}
