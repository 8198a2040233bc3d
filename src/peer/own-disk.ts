/** The disk of a peer: what must stay on it as its parts see it, and what is told when something gives way. */
import type { Clock, Timer } from '../base/clock.ts'
import { reasonOf } from '../base/reason.ts'
import { formatBytes } from '../base/units.ts'
import { InvalidOptionError } from '../errors.ts'
import type { Keeping } from '../disk/keeping.ts'
import { type ComingFile, DiskBudget, type DiskStatus, type RemovedFile } from '../model/disk-budget.ts'
import type { ModelStore } from '../model/store.ts'
import type { PeerParts } from './parts.ts'
import { diskLookMs, diskStatusMs, diskTrimMs } from './limits.ts'

export interface OwnDiskInit {
  readonly store: ModelStore
  readonly limitBytes: number | undefined
  readonly keeping: Keeping
  readonly clock: Clock
  /** The parts that use it, once they are there. */
  readonly parts: () => Pick<PeerParts, 'serving' | 'supply' | 'sessions'>
  readonly onWarning: (message: string) => void
  /** Files gave way. */
  readonly onFreed: (freed: DiskFreed) => void
}

/** Files of models that gave way to others. */
export interface DiskFreed {
  readonly bytes: number
  /** What they were, the first ones by name: `the layer 3 shard of big`. */
  readonly files: readonly string[]
}

export class OwnDisk {
  readonly #init: OwnDiskInit
  readonly #budget: DiskBudget
  readonly #timers: Timer[] = []
  #stopped = false
  #lookedMs = Number.NEGATIVE_INFINITY
  #warned = ''

  constructor(init: OwnDiskInit) {
    this.#init = init
    const { store, limitBytes, keeping } = init
    this.#budget = new DiskBudget({
      store,
      limitBytes,
      keeping,
      needs: () => {
        const { serving, supply, sessions } = init.parts()
        const needs = serving.needs()
        return { ...needs, files: new Set([...needs.files, ...supply.sending, ...sessions.neededFiles]) }
      },
      onRemoved: removed => this.#removed(removed)
    })
  }

  /** As it was looked at last; a call has it looked at again, where that was a while ago. */
  get status(): DiskStatus {
    const nowMs = this.#init.clock.nowMs()
    if (nowMs - this.#lookedMs > diskStatusMs) this.#do(() => this.#budget.look())
    return this.#budget.status
  }

  async start(): Promise<void> {
    await this.#budget.start()
    const { clock } = this.#init
    this.#timers.push(clock.every(diskLookMs, () => this.#do(() => this.#budget.note())).unref())
    // Before, nobody's records may be here, and everything would pass for the last copy.
    this.#timers.push(clock.after(diskTrimMs, () => this.#do(() => this.#trim())).unref())
  }

  /** What is loaded has changed: that is a use. */
  changed(): void {
    this.#do(() => this.#budget.look())
  }

  /** As `DiskBudget.reserve`. */
  reserve(what: string, coming: readonly ComingFile[]): Promise<() => void> {
    return this.#budget.reserve(what, coming)
  }

  /** As `Peer.makeRoom`. */
  async makeRoom(what: string, bytes: number): Promise<void> {
    if (!(Number.isSafeInteger(bytes) && bytes >= 0)) {
      throw new InvalidOptionError(`room is made for a whole number of bytes, not ${bytes}`)
    }
    const leave = await this.reserve(what, [{ sha256: '', bytes }])
    leave()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) timer.stop()
    await this.#budget.note().catch(() => {})
  }

  #do(work: () => Promise<void>): void {
    // Stages that end after it change nothing that the next start needs, and a sealed directory is closed soon.
    if (this.#stopped) return
    this.#lookedMs = this.#init.clock.nowMs()
    work().catch((error: unknown) => this.#warn(`the disk cannot be looked at: ${reasonOf(error)}`))
  }

  async #trim(): Promise<void> {
    const sentence = await this.#budget.trim()
    if (sentence !== undefined) this.#warn(sentence)
  }

  #warn(message: string): void {
    if (message === this.#warned) return
    this.#warned = message
    this.#init.onWarning(message)
  }

  async #removed(removed: readonly RemovedFile[]): Promise<void> {
    const { parts, onFreed, onWarning } = this.#init
    const { serving, supply } = parts()
    const digests = new Set(removed.map(({ sha256 }) => sha256))
    for (const sha256 of digests) supply.forget(sha256)
    onFreed({
      bytes: removed.reduce((sum, { bytes }) => sum + bytes, 0),
      files: removed.map(({ label }) => label)
    })
    const rare = removed.filter(({ rare }) => rare)
    if (rare.length > 0) {
      const more = rare.length === 1 ? '' : ` and ${rare.length - 1} more`
      onWarning(
        `${rare[0]!.label}${more} (${formatBytes(rare.reduce((sum, { bytes }) => sum + bytes, 0))}) gave way to other files, and no other peer is known to hold it`
      )
    }
    await serving.gone(digests)
  }
}
