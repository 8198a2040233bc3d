/**
 * Keeps sessions with other peers and finds them again: gives `writer.ts` its streams, keys and time. Holds the
 * keeper's end too (`shelf-service.ts`): every peer keeps for others.
 */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Keeping } from '../disk/keeping.ts'
import { ProtocolError, UnknownSessionError } from '../errors.ts'
import {
  keepAnswerMs,
  keepEntryBytesMax,
  keepFetchMs,
  keepFlushMs,
  keepPeerBytesMax,
  keepPeerEntriesMax,
  keepWatchMs
} from './limits.ts'
import type { Links } from '../swarm/links.ts'
import { KeeperLine } from './channel-service.ts'
import type { KeptQuestion, KeptSession, KeptStop } from './kept.ts'
import type { EntryAnswer } from './message.ts'
import { rank } from './rank.ts'
import { type PartSealer, Sealing } from './sealing.ts'
import { createShelfService, type ShelfService } from './shelf-service.ts'
import { Writer, type WriterEffect, type WriterEvent } from './writer.ts'

export interface KeepServiceInit {
  readonly links: Links
  /** Where entries of others lie on disk. */
  readonly folder: string
  /** Other peers that are connected now: they are asked for sessions. */
  readonly peers: () => readonly PeerId[]
  /** Those of them that mean to stay: they may be made keepers. */
  readonly staying: () => readonly PeerId[]
  readonly keeping: Keeping
  readonly onViolation: (peer: PeerId, message: string) => void
  /** The wall's time is for versions only. @default the machine's */
  readonly clock?: Clock
}

/** What is kept by a name, and the key for it: 32 bytes. */
export interface SessionName {
  readonly name: string
  readonly key: Uint8Array
}

/** A session that was found, and the version that it had. */
export interface FoundSession extends KeptSession {
  readonly version: number
}

/** One session that is kept while it is generated. None of this waits for anything. */
export interface SessionKeeper {
  /** Its first route is there. Only the first call counts. @param classes [layers] the class that computes each layer */
  routed(classes: readonly string[]): void
  /** These peers compute it from now on. */
  by(peers: readonly PeerId[]): void
  token(id: number): void
  /** From here on tokens may differ from the undisturbed answer. */
  inexact(): void
  /**
   * No further token comes. What is not there yet is sent on, and keepers that go are replaced, until the session's time
   * has passed or this peer stops.
   */
  end(stop: KeptStop): void
  /** Nothing more is done for it: another answer of that name is kept in its place. */
  close(): void
}

/** What there is of a session when it begins to be kept. */
export interface Begun {
  readonly question: KeptQuestion
  readonly ids: readonly number[]
  /** False when some of them may differ from the undisturbed answer. */
  readonly exact: boolean
  /** Who has computed these ids. @default that is not known */
  readonly peers?: readonly PeerId[] | undefined
  /** The version found when the session was resumed; 0 for a new one. */
  readonly after: number
}

export interface KeepService {
  /** What this peer keeps for others. */
  readonly shelf: Pick<ShelfService, 'entries' | 'bytes'>
  /**
   * Keeps a session from now on, in the place of an older one of that name and key that has ended.
   *
   * @param onWarning called for what goes wrong; nothing of it ends the session.
   */
  keep(session: SessionName, begun: Begun, onWarning: (message: string) => void): SessionKeeper
  /**
   * Asks every reachable peer, this one too; the newest version that opens with the key wins.
   *
   * @throws {UnknownSessionError} when nobody has one. @throws the signal's reason.
   */
  find(session: SessionName, options: { signal: AbortSignal }): Promise<FoundSession>
  /** Has every reachable peer remove the session; returns how many had it. @throws the signal's reason. */
  forget(session: SessionName, options: { signal: AbortSignal }): Promise<number>
  /** Ends keeping, its own and for others. */
  stop(): Promise<void>
}

/** Starts to keep for others, and is ready to have own sessions kept. */
export async function createKeepService(init: KeepServiceInit): Promise<KeepService> {
  return new Service(init, await createShelfService(init))
}

class Service implements KeepService {
  readonly shelf: ShelfService
  readonly #init: KeepServiceInit
  readonly #running = new Set<Running>()

  constructor(init: KeepServiceInit, shelf: ShelfService) {
    this.#init = init
    this.shelf = shelf
  }

  keep(
    { name, key }: SessionName,
    { question, ids, exact, peers, after }: Begun,
    onWarning: (message: string) => void
  ): SessionKeeper {
    const sealing = new Sealing(key, name)
    this.#unwatch(sealing)
    const running: Running = new Running({
      service: this.#init,
      sealing,
      sealer: sealing.begin(question),
      writer: new Writer({
        name,
        ids,
        ttlMs: question.ttlMs,
        version: Math.max((this.#init.clock ?? systemClock).wallMs(), after + 1),
        routed: false,
        rank: peers => rank(sealing.tag, peers)
      }),
      ids,
      exact,
      peers,
      onWarning,
      onWatch: () => this.#bound(),
      onEnd: () => this.#running.delete(running)
    })
    this.#running.add(running)
    running.begin()
    return running
  }

  async find({ name, key }: SessionName, { signal }: { signal: AbortSignal }): Promise<FoundSession> {
    const sealing = new Sealing(key, name)
    const entries: EntryAnswer[] = []
    const asked = await this.#askAll({ kind: 'get' }, sealing, signal, answer => {
      if (answer.kind === 'entry') entries.push(answer)
    })
    for (const entry of entries.sort((a, b) => b.version - a.version)) {
      try {
        return { ...sealing.open(entry), version: entry.version }
      } catch (error) {
        // Another keeper may have what this one spoiled or made up.
        if (!(error instanceof ProtocolError)) throw error
      }
    }
    const others = asked === 1 ? 'no other peer is reachable' : `none of ${asked} reachable peers keeps one`
    throw new UnknownSessionError(
      `there is no session ${name} for this key: ${others}; it was never kept, has expired, or was kept with another key`
    )
  }

  async forget({ name, key }: SessionName, { signal }: { signal: AbortSignal }): Promise<number> {
    let removed = 0
    const sealing = new Sealing(key, name)
    this.#unwatch(sealing)
    await this.#askAll({ kind: 'remove' }, sealing, signal, answer => {
      if (answer.kind === 'kept') removed++
    })
    return removed
  }

  async stop(): Promise<void> {
    // Whoever has just ended may still have its last tokens on the way.
    await Promise.all([...this.#running].map(running => running.finish(undefined)))
    for (const running of [...this.#running]) running.close()
    await this.shelf.stop()
  }

  /** What is kept of an answer that has ended is left to its keepers. */
  #unwatch(sealing: Sealing): void {
    const self = sealing.id(this.#init.links.self)
    for (const running of [...this.#running]) if (running.watching && running.id === self) running.close()
  }

  /** No more is watched over than keepers take of one peer: the oldest goes first. */
  #bound(): void {
    const watched = [...this.#running].filter(({ watching }) => watching)
    let bytes = watched.reduce((sum, each) => sum + each.bytes, 0)
    for (const [i, oldest] of watched.entries()) {
      if (watched.length - i <= keepPeerEntriesMax && bytes <= keepPeerBytesMax) break
      bytes -= oldest.bytes
      oldest.close()
    }
  }

  /** Asks all reachable peers and this one at once. Returns how many. @throws the signal's reason. */
  async #askAll(
    { kind }: { kind: 'get' | 'remove' },
    sealing: Sealing,
    signal: AbortSignal,
    onAnswer: (answer: Awaited<ReturnType<KeeperLine['ask']>>) => void
  ): Promise<number> {
    signal.throwIfAborted()
    const { links, peers, onViolation, clock = systemClock } = this.#init
    const deadline = AbortSignal.any([signal, clock.deadline(keepFetchMs)])
    const all = [links.self, ...peers()]
    await Promise.all(
      all.map(async peer => {
        const line = new KeeperLine({ links, peer, onViolation, clock })
        try {
          onAnswer(await line.ask({ kind, id: sealing.id(peer) }, { signal: deadline }))
        } catch {
          // Who does not answer has nothing to say.
        } finally {
          line.close()
        }
      })
    )
    signal.throwIfAborted()
    return all.length
  }
}

interface RunningInit {
  readonly service: KeepServiceInit
  readonly sealing: Sealing
  readonly sealer: PartSealer
  readonly writer: Writer
  readonly ids: readonly number[]
  readonly exact: boolean
  readonly peers: readonly PeerId[] | undefined
  readonly onWarning: (message: string) => void
  /** It has ended and is watched over from now on. */
  readonly onWatch: () => void
  readonly onEnd: () => void
}

/** One session that is kept: does what its writer says. */
class Running implements SessionKeeper {
  readonly #init: RunningInit
  readonly #clock: Clock
  readonly #ids: number[]
  /** The sealed parts, as they are now. */
  readonly #parts: Uint8Array[] = []
  readonly #lines = new Map<PeerId, KeeperLine>()
  #timer: Timer | undefined
  readonly #done = Promise.withResolvers<void>()
  #ending: Timer | undefined
  #classes: readonly string[] | undefined
  #exact: boolean
  readonly #peers: Set<PeerId>
  #over = false
  /** The answer has ended, and every keeper has had all of it. */
  #watching = false

  constructor(init: RunningInit) {
    this.#init = init
    this.#clock = init.service.clock ?? systemClock
    this.#ids = [...init.ids]
    this.#exact = init.exact
    this.#peers = new Set(init.peers)
  }

  get watching(): boolean {
    return this.#watching
  }

  /** What this peer itself would know it by: the same for one name and key. */
  get id(): string {
    return this.#init.sealing.id(this.#init.service.links.self)
  }

  get bytes(): number {
    return this.#parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  begin(): void {
    this.#every(keepFlushMs)
    this.#look()
  }

  routed(classes: readonly string[]): void {
    if (this.#over || this.#classes !== undefined) return
    this.#classes = classes
    this.#feed({ kind: 'routed' })
  }

  by(peers: readonly PeerId[]): void {
    for (const peer of peers) this.#peers.add(peer)
  }

  token(id: number): void {
    if (this.#over) return
    this.#ids.push(id)
    this.#feed({ kind: 'token', id })
  }

  inexact(): void {
    this.#exact = false
  }

  end(stop: KeptStop): void {
    void this.finish(stop)
  }

  /** Resolves when every keeper has everything, or the time to wait for it has passed. */
  finish(stop: KeptStop): Promise<void> {
    if (this.#ending === undefined && !this.#over) {
      this.#ending = this.#clock.after(keepAnswerMs, () => this.#done.resolve()).unref()
      this.#feed({ kind: 'end', stop })
    }
    return this.#done.promise
  }

  /** Leaves it to its keepers. */
  close(): void {
    if (this.#over) return
    this.#over = true
    this.#timer?.stop()
    this.#ending?.stop()
    this.#hangUp()
    this.#init.onEnd()
    this.#done.resolve()
  }

  #every(ms: number): void {
    this.#timer?.stop()
    this.#timer = this.#clock.every(ms, () => this.#look()).unref()
  }

  #look(): void {
    this.#feed({ kind: 'tick', live: this.#init.service.staying() })
  }

  #feed(event: WriterEvent): void {
    if (this.#over) return
    for (const effect of this.#init.writer.handle(event, this.#clock.nowMs())) {
      this.#do(effect)
      if (this.#over) return
    }
  }

  #do(effect: WriterEffect): void {
    switch (effect.kind) {
      case 'seal': {
        const { index, version, start, end, stop } = effect
        const { sealer } = this.#init
        const part = { start, ids: this.#ids.slice(start, end), stop, exact: this.#exact, peers: [...this.#peers] }
        this.#parts[index] = index === 0 ? sealer.head(version, this.#classes) : sealer.tokens(index, version, part)
        const { bytes } = this
        if (bytes <= keepEntryBytesMax) break
        // Keepers would take it for a violation. What they have stays with them until its time is over.
        this.#init.onWarning(`the session is too long to be kept: sealed it has over ${keepEntryBytesMax} bytes`)
        this.close()
        break
      }
      case 'put':
        void this.#put(effect)
        break
      case 'drop':
        this.#lines.get(effect.peer)?.close()
        this.#lines.delete(effect.peer)
        break
      case 'warning':
        this.#init.onWarning(effect.message)
        break
      case 'settled':
        this.#done.resolve()
        this.#hangUp()
        if (this.#watching) break
        this.#watching = true
        this.#every(keepWatchMs)
        this.#init.onWatch()
        break
      case 'over':
        this.close()
        break
    }
  }

  async #put({ peer, base, version, from, end, ttlMs }: WriterEffect & { kind: 'put' }): Promise<void> {
    const { service, sealing } = this.#init
    const { links, onViolation, clock } = service
    const line = this.#lines.get(peer) ?? new KeeperLine({ links, peer, onViolation, clock })
    this.#lines.set(peer, line)
    const parts = this.#parts.slice(from, end)
    let event: WriterEvent
    try {
      const answer = await line.ask({
        kind: 'put',
        id: sealing.id(peer),
        base,
        version,
        from,
        parts,
        ttlMs
      })
      event =
        answer.kind === 'entry'
          ? { kind: 'failed', peer, message: 'it answers a put with an entry' }
          : { kind: 'answered', peer, answer }
    } catch (error) {
      event = { kind: 'failed', peer, message: (error as Error).message }
    }
    // It may be a keeper no more, or again one with another line.
    if (this.#lines.get(peer) === line) this.#feed(event)
  }

  #hangUp(): void {
    for (const line of this.#lines.values()) line.close()
    this.#lines.clear()
  }
}
