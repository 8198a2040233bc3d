/** Keeps what this peer knows of the work of others in its data directory: who was found out is gone around after a restart, too. */
import { join } from 'node:path'
import { z } from 'zod'
import type { Clock, Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import type { KnownEntry } from '../check/known.ts'
import { verdictCharsMax } from '../check/limits.ts'
import { readStoredText } from '../disk/files.ts'
import type { Keeper } from '../disk/keeping.ts'
import { knownWorkBytesMax, knownWorkWriteMs } from './limits.ts'

const fileName = 'work.json'
const what = 'what is known of the work of others'

const count = z.number().int().nonnegative()
const sentence = z.string().max(2 * verdictCharsMax)
const fileSchema = z.object({
  format: z.literal(1),
  peers: z.array(
    z.object({
      peer: z.string().regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/),
      sessions: count,
      checkable: count,
      passed: count,
      inRow: count,
      doubt: sentence.optional(),
      refuted: sentence.optional(),
      unchecked: sentence
    })
  )
})

export interface KnownWorkInit {
  readonly dataDir: string
  readonly keeping: Keeper
  readonly clock: Clock
}

export class KnownWorkFile {
  readonly #init: KnownWorkInit
  /** As it was read. */
  readonly entries: readonly KnownEntry[]
  #known: (() => readonly KnownEntry[]) | undefined
  #later: Timer | undefined
  #isChanged = false
  #writing: Promise<unknown> = Promise.resolve()

  private constructor(init: KnownWorkInit, entries: readonly KnownEntry[]) {
    this.#init = init
    this.entries = entries
  }

  /** Reads what an earlier run left. What cannot be read is told of and learnt anew: it does not throw. */
  static async open(init: KnownWorkInit): Promise<KnownWorkFile> {
    const { dataDir, keeping } = init
    try {
      const { peers } = fileSchema.parse(JSON.parse(await readStoredText(join(dataDir, fileName), knownWorkBytesMax)))
      return new KnownWorkFile(
        init,
        peers.map(({ peer, ...rest }) => ({ ...rest, peer: peer as PeerId, doubt: rest.doubt, refuted: rest.refuted }))
      )
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        const reason = error instanceof z.ZodError ? 'it is no such list' : reasonOf(error)
        keeping.warn(`${what}, ${fileName} in ${dataDir}, cannot be read (${reason}): who was found out counts as new`)
      }
      return new KnownWorkFile(init, [])
    }
  }

  /** Keeps what is known from now on. @param known all of it, whoever was heard of least lately first */
  follow(known: () => readonly KnownEntry[]): void {
    this.#known = known
  }

  /** Something else is known. @param isUrgent it must not be lost: somebody was found out */
  changed({ isUrgent }: { readonly isUrgent: boolean }): void {
    this.#isChanged = true
    if (isUrgent) void this.#write()
    else this.#later ??= this.#init.clock.after(knownWorkWriteMs, () => void this.#write()).unref()
  }

  /** Writes what has changed. It does not throw. */
  async stop(): Promise<void> {
    await this.#write()
    this.#known = undefined
  }

  /** One write at a time. */
  #write(): Promise<unknown> {
    this.#later?.stop()
    this.#later = undefined
    this.#writing = this.#writing.then(async () => {
      if (!this.#isChanged || this.#known === undefined) return
      this.#isChanged = false
      const { dataDir, keeping } = this.#init
      const text = `${JSON.stringify({ format: 1, peers: this.#known() })}\n`
      if (await keeping.write(what, join(dataDir, fileName), text)) return
      this.#isChanged = true
      this.#later ??= this.#init.clock.after(knownWorkWriteMs, () => void this.#write()).unref()
    })
    return this.#writing
  }
}
