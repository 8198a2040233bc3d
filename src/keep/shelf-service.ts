/** The keeper's end: gives the shelf its streams, its clock and a folder, so that it survives a restart. */
import { join } from 'node:path'
import { ShelfFile } from '../../protocols/keep.ts'
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { mkdir, readdir, readStored, rm } from '../disk/files.ts'
import type { Keeping } from '../disk/keeping.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { ProtocolError } from '../errors.ts'
import {
  keepEntriesMax,
  keepFrameBytesMax,
  keepIdleMs,
  keepPartsMax,
  keepSaveMs,
  keepSaveRetryMs,
  keepStreamsPerPeerMax,
  keepTickMs,
  keepTtlMaxMs,
  keepVersionMax
} from './limits.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { decodeRequest, encodeAnswer } from './codec.ts'
import { type EntryId, keepProtocol } from './message.ts'
import { Shelf, type ShelfEntry } from './shelf.ts'

/** As it is called when it cannot be written. */
const what = 'the sessions of others'

export interface ShelfServiceInit {
  readonly links: Links
  /** Where entries lie on disk, one file each. Made if it does not exist. */
  readonly folder: string
  readonly keeping: Keeping
  readonly onViolation: (peer: PeerId, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export interface ShelfService {
  readonly entries: number
  readonly bytes: number
  /** Stops to keep for others; what is on the shelf is on disk when it resolves. */
  stop(): Promise<void>
}

/** Reads what was kept before, and keeps from now on. A folder that cannot be used costs a warning: memory is left. */
export async function createShelfService(init: ShelfServiceInit): Promise<ShelfService> {
  const service = new Service(init)
  await service.start()
  return service
}

class Service implements ShelfService {
  readonly #init: ShelfServiceInit
  readonly #clock: Clock
  readonly #shelf = new Shelf()
  readonly #channels = new Set<Channel>()
  /** Entries whose files differ from the shelf. */
  readonly #changed = new Set<EntryId>()
  #saving: Promise<void> | undefined
  #saveTimer: Timer | undefined
  #tick: Timer | undefined

  constructor(init: ShelfServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  async start(): Promise<void> {
    await this.#init.keeping.try(what, () => this.#restore())
    this.#tick = this.#clock.every(keepTickMs, () => this.#erased(this.#shelf.expire(this.#clock.nowMs()))).unref()
    await this.#init.links.handle(
      keepProtocol,
      { inboundMax: keepStreamsPerPeerMax, frameBytesMax: keepFrameBytesMax },
      channel => this.#accept(channel)
    )
  }

  get entries(): number {
    return this.#shelf.size
  }

  get bytes(): number {
    return this.#shelf.bytes
  }

  async stop(): Promise<void> {
    this.#tick?.stop()
    await this.#init.links.unhandle(keepProtocol)
    await Promise.all([...this.#channels].map(channel => channel.close()))
    this.#erased(this.#shelf.expire(this.#clock.nowMs()))
    this.#saveTimer?.stop()
    await this.#saving
    await this.#save()
    this.#saveTimer?.stop()
  }

  // ── Streams ─────────────────────────────────────────────────────────────────────────────────────

  #accept(channel: Channel): void {
    const { remote } = channel
    this.#channels.add(channel)
    let busy = false
    let idle: Timer | undefined
    const rest = (): void => {
      idle?.stop()
      idle = this.#clock.after(keepIdleMs, () => void channel.close()).unref()
    }
    rest()
    const ready = async (): Promise<void> => {
      try {
        await channel.ready({ signal: this.#clock.deadline(keepIdleMs) })
        busy = false
      } catch (error) {
        channel.abort(error as Error)
      }
    }
    channel.receive({
      onFrame: bytes => {
        rest()
        try {
          // K2: whoever asks on without reading answers would have them pile up here.
          if (busy) throw new ProtocolError('a peer asks a keeper again before it has read the answer')
          const request = decodeRequest(bytes)
          if (request === undefined) return
          const { answer, saved, erased } = this.#shelf.handle(remote, request, this.#clock.nowMs())
          for (const id of saved) this.#changed.add(id)
          this.#erased(erased)
          if (this.#changed.size > 0) this.#saveSoon()
          if (channel.send(encodeAnswer(answer))) return
          busy = true
          void ready()
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#init.onViolation(remote, error.message)
          channel.abort(error)
        }
      },
      onClose: () => {
        idle?.stop()
        this.#channels.delete(channel)
      }
    })
  }

  // ── Disk ────────────────────────────────────────────────────────────────────────────────────────

  #erased(ids: readonly EntryId[]): void {
    for (const id of ids) this.#changed.add(id)
    if (ids.length > 0) this.#saveSoon()
  }

  #saveSoon(afterMs = keepSaveMs): void {
    this.#saveTimer ??= this.#clock
      .after(afterMs, () => {
        this.#saveTimer = undefined
        this.#saving = (this.#saving ?? Promise.resolve()).then(() => this.#save())
      })
      .unref()
  }

  /**
   * Brings the files of changed entries up to date. What cannot be written, or removed, is kept in memory all the same
   * and tried again.
   */
  async #save(): Promise<void> {
    const { keeping, folder } = this.#init
    const failed: EntryId[] = []
    for (const id of [...this.#changed]) {
      this.#changed.delete(id)
      const entry = this.#shelf.entry(id)
      const path = join(folder, id)
      const isDone =
        entry === undefined
          ? await keeping.try(what, () => rm(path, { force: true }))
          : await keeping.try(what, async () => {
              await mkdir(folder, { recursive: true, mode: 0o700 })
              await writeWhole(path, this.#encode(entry))
            })
      if (!isDone) failed.push(id)
    }
    for (const id of failed) this.#changed.add(id)
    if (failed.length > 0) this.#saveSoon(keepSaveRetryMs)
  }

  #encode(entry: ShelfEntry): Uint8Array {
    return ShelfFile.encode({
      owner: entry.owner,
      version: entry.version,
      parts: entry.parts.map(part => part as Uint8Array<ArrayBuffer>),
      leftMs: Math.max(1, Math.floor(entry.untilMs - this.#clock.nowMs())),
      savedMs: Math.max(0, this.#clock.wallMs())
    })
  }

  async #restore(): Promise<void> {
    const { folder } = this.#init
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const found: { name: string; savedMs: number; entry: Omit<ShelfEntry, 'bytes'> }[] = []
    for (const name of await readdir(folder)) {
      const read = found.length < keepEntriesMax && /^[0-9a-f]{64}$/.test(name) ? await this.#read(name) : undefined
      if (read === undefined) await rm(join(folder, name), { force: true, recursive: true })
      else found.push({ name, ...read })
    }
    found.sort((a, b) => a.savedMs - b.savedMs)
    for (const { entry } of found) this.#erased(this.#shelf.restore(entry, this.#clock.nowMs()))
  }

  /** One file; undefined when it is none of ours, too large, or past its time. */
  async #read(name: EntryId): Promise<{ savedMs: number; entry: Omit<ShelfEntry, 'bytes'> } | undefined> {
    const path = join(this.#init.folder, name)
    try {
      const file = ShelfFile.decode(await readStored(path, keepFrameBytesMax), { limits: { parts: keepPartsMax } })
      const { savedMs } = file
      // A clock that went back, or one without a battery that began anew in 1970, does not make an entry older.
      const leftMs = Math.min(file.leftMs, keepTtlMaxMs) - Math.max(0, this.#clock.wallMs() - savedMs)
      if (leftMs <= 0 || file.version > keepVersionMax) return undefined
      const { owner, parts } = file
      const untilMs = this.#clock.nowMs() + leftMs
      return { savedMs, entry: { id: name, owner: owner as PeerId, version: file.version, parts, untilMs } }
    } catch {
      return undefined
    }
  }
}
