/**
 * The audit log of a running peer: a chain of lines in files of its data directory (`audit/`). Who drives an answer hands over what
 * there is to say of it and waits for nothing; a disk that is full or fails costs lines, of which the log says how many, and never an answer.
 */
import { join } from 'node:path'
import type { Clock, Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { BoundedQueue } from '../base/queue.ts'
import { reasonOf } from '../base/reason.ts'
import type { Sign } from '../base/signature.ts'
import { mkdir, rm } from '../disk/files.ts'
import type { Keeper } from '../disk/keeping.ts'
import { appendText, cutStored, readText, readTextFrom, storedBytes } from '../disk/lines.ts'
import { syncPath } from '../disk/whole-file.ts'
import { DataDirectoryError } from '../errors.ts'
import { Chain, type ChainEnd, digestOf } from './chain.ts'
import { type AuditRequest, bounded, lostMsg, notes, readLine, requestMsg } from './entry.ts'
import { auditFiles, auditFolder, auditHeadFile, linesOf, nameOf, numberOf, readHead } from './files-service.ts'
import {
  auditFileBytesMax,
  auditFilesMax,
  auditFlushMs,
  auditLineBytesMax,
  auditLookMs,
  auditReadFileBytesMax,
  auditWaitingMax
} from './limits.ts'

export interface AuditLogInit {
  readonly dataDir: string
  /** Whose log it is. */
  readonly member: PeerId
  readonly sign: Sign
  readonly keeping: Keeper
  readonly clock: Clock
  /** Bytes of a file, and files. @default as `limits.ts` has them */
  readonly bounds?: { readonly fileBytesMax: number; readonly filesMax: number }
}

const what = 'the audit log'

interface Waiting {
  readonly request: AuditRequest
  readonly wallMs: number
}

/** A batch that is to be written as it is, whatever fails: its lines are in the chain. */
interface Batch {
  readonly text: string
  readonly isSigned: boolean
  /** A file that goes once it is written that it does. */
  readonly drops: string | undefined
}

export class AuditLog {
  readonly #init: AuditLogInit
  readonly #folder: string
  readonly #waiting = new BoundedQueue<Waiting>(auditWaitingMax)
  readonly #chain: Chain
  readonly #looking: Timer
  #flushing: Timer | undefined
  #writing: Promise<void> | undefined
  #batch: Batch | undefined
  #lost = 0
  #files: string[]
  /** Of the last file, as far as it was written. */
  #size: number
  #hasFailed = false
  #stopped = false
  #isOver = false

  /**
   * Opens the log of a data directory, or begins one, and says so in it. A line that a crash has cut is told of.
   * @throws {DataDirectoryError} when its folder cannot be used
   */
  static async start(init: AuditLogInit): Promise<AuditLog> {
    const folder = join(init.dataDir, auditFolder)
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const files = await auditFiles(folder)
      const found = await endOf(folder, files)
      const head = await readHead(init.dataDir)
      const end = found.end
      const missing = head !== undefined && head.n > (end?.n ?? 0) ? { from: (end?.n ?? 0) + 1, to: head.n } : undefined
      if (missing !== undefined) {
        init.keeping.warn(
          `the audit log in ${folder} has lost its lines number ${missing.from} to ${missing.to}: they were there when this peer last ran`
        )
      }
      const log = new AuditLog(init, { folder, files, ...found })
      await log.#begin({ ...(found.cut && { cut: found.cut }), ...(missing && { missing }) }, found.isOpen)
      return log
    } catch (error) {
      throw new DataDirectoryError(`${folder} cannot be used for an audit log: ${reasonOf(error)}`)
    }
  }

  private constructor(
    init: AuditLogInit,
    { folder, files, size, end }: { folder: string; files: string[]; size: number; end: ChainEnd | undefined }
  ) {
    this.#init = init
    this.#folder = folder
    this.#files = files
    this.#size = size
    this.#chain = new Chain({ member: init.member, sign: init.sign, end })
    this.#looking = init.clock.every(auditLookMs, () => void this.#flush()).unref()
  }

  /** Something has been asked of this peer, and is over. Nothing waits for the disk. */
  add(request: AuditRequest): void {
    if (this.#stopped) return
    if (!this.#waiting.push({ request, wallMs: this.#init.clock.wallMs() })) this.#lost += 1
    this.#flushing ??= this.#init.clock.after(auditFlushMs, () => void this.#flush()).unref()
  }

  /** Writes what waits, and that the log ends here. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#looking.stop()
    this.#flushing?.stop()
    await this.#flush()
    if (this.#batch !== undefined) return
    this.#isOver = true
    this.#batch = this.#signed(notes.stopped, {})
    await this.#flush()
  }

  async #begin(says: Readonly<Record<string, unknown>>, isOpen: boolean): Promise<void> {
    const batch = this.#signed(notes.started, says)
    // What a crash has cut is no line, and this one must be.
    this.#batch = isOpen ? { ...batch, text: `\n${batch.text}` } : batch
    await this.#flush()
  }

  #now(): { nowMs: number; wallMs: number } {
    const { clock } = this.#init
    return { nowMs: clock.nowMs(), wallMs: clock.wallMs() }
  }

  #signed(msg: (typeof notes)[keyof typeof notes], says: Readonly<Record<string, unknown>>): Batch {
    return { text: `${this.#chain.note(msg, says, this.#now())}\n`, isSigned: true, drops: undefined }
  }

  /** One write at a time; what comes meanwhile is written after it. */
  async #flush(): Promise<void> {
    this.#flushing?.stop()
    this.#flushing = undefined
    if (this.#writing !== undefined) {
      await this.#writing
      if (this.#waiting.length === 0 && this.#batch === undefined) return
    }
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    const { keeping } = this.#init
    for (;;) {
      this.#batch ??= await this.#next()
      const batch = this.#batch
      if (batch === undefined) return
      if (!(await keeping.try(what, () => this.#write(batch)))) return
      this.#batch = undefined
      if (batch.isSigned) await this.#remember()
      const { drops } = batch
      if (drops !== undefined) await keeping.try('the bound of the audit log', () => rm(join(this.#folder, drops)))
    }
  }

  /** What is to be written next. */
  async #next(): Promise<Batch | undefined> {
    const { filesMax } = this.#bounds
    // The last word of a peer that stops is the last one: what is too much then goes at its next start.
    if (this.#files.length > filesMax && !this.#isOver) {
      const [oldest, second] = this.#files as [string, string]
      this.#files = this.#files.slice(1)
      const end = await endBefore(this.#folder, second)
      return { ...this.#signed(notes.dropped, { file: oldest, ...end }), drops: oldest }
    }
    const lines: string[] = []
    if (this.#lost > 0) {
      lines.push(this.#chain.line({ level: 'warn', msg: lostMsg, requests: this.#lost }, this.#now()))
      this.#lost = 0
    }
    // A disk that takes one line takes these.
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { request, wallMs } = next
      const level = isFailure(request.outcome) ? 'warn' : 'info'
      lines.push(this.#chain.line({ level, msg: requestMsg, ...bounded(request) }, { ...this.#now(), wallMs }))
      if (this.#chain.isDue(this.#init.clock.nowMs())) break
    }
    const isDue = this.#chain.isDue(this.#init.clock.nowMs())
    if (isDue) lines.push(this.#chain.note(notes.signed, {}, this.#now()))
    return lines.length === 0 ? undefined : { text: `${lines.join('\n')}\n`, isSigned: isDue, drops: undefined }
  }

  async #write({ text, isSigned }: Batch): Promise<void> {
    const { fileBytesMax } = this.#bounds
    const isNew = this.#files.length === 0 || (this.#size > 0 && this.#size + Buffer.byteLength(text) > fileBytesMax)
    if (isNew) {
      this.#files.push(nameOf(this.#files.length === 0 ? 1 : numberOf(this.#files.at(-1)!) + 1))
      this.#size = 0
    }
    const path = join(this.#folder, this.#files.at(-1)!)
    await this.#checkSize(path)
    this.#hasFailed = true
    const bytes = await appendText(path, text)
    if (isSigned) await syncPath(path)
    if (isNew) await syncPath(this.#folder)
    this.#hasFailed = false
    this.#size += bytes
  }

  /** What a write that failed has left goes; what somebody else has done is told, and the chain shows it. */
  async #checkSize(path: string): Promise<void> {
    const size = await storedBytes(path)
    if (size === this.#size) return
    if (this.#hasFailed && size > this.#size) {
      await cutStored(path, this.#size)
      return
    }
    this.#init.keeping.warn(
      `the audit log ${path} has ${size} bytes, and this peer has written ${this.#size}: somebody else changes it`
    )
    this.#size = size
  }

  async #remember(): Promise<void> {
    const path = join(this.#init.dataDir, auditHeadFile)
    await this.#init.keeping.write('the end of the audit log', path, `${JSON.stringify(this.#chain.end)}\n`, {
      durable: false
    })
  }

  get #bounds(): { readonly fileBytesMax: number; readonly filesMax: number } {
    return this.#init.bounds ?? { fileBytesMax: auditFileBytesMax, filesMax: auditFilesMax }
  }
}

function isFailure(outcome: string): boolean {
  return !['stop', 'length', 'done', 'cancelled'].includes(outcome)
}

/** Where a log ends, and what a crash has cut there. `isOpen`: no line end follows that. */
async function endOf(
  folder: string,
  files: readonly string[]
): Promise<{
  end: ChainEnd | undefined
  size: number
  cut: { bytes: number; sha256: string } | undefined
  isOpen: boolean
}> {
  let size: number | undefined
  let cut: { bytes: number; sha256: string } | undefined
  let isOpen = false
  for (const file of files.toReversed()) {
    const bytes = await readText(join(folder, file), auditReadFileBytesMax)
    const lines = [...linesOf(file, bytes)]
    const isLast = size === undefined
    size ??= await storedBytes(join(folder, file))
    if (isLast) isOpen = lines.at(-1)?.isEnded === false
    for (const { bytes: line } of lines.toReversed()) {
      const read = readLine(new TextDecoder().decode(line))
      if (read !== undefined) return { end: { n: read.n, digest: digestOf(line) }, size, cut, isOpen }
      cut ??= { bytes: line.byteLength, sha256: digestOf(line) }
    }
  }
  return { end: undefined, size: size ?? 0, cut, isOpen }
}

/** The end of what stands before a file, as its first line says. */
async function endBefore(folder: string, file: string): Promise<{ last?: number; sha256?: string }> {
  try {
    const bounds = { offset: 0, length: auditLineBytesMax, bytesMax: auditReadFileBytesMax }
    const [first] = linesOf(file, await readTextFrom(join(folder, file), bounds))
    const line = first === undefined ? undefined : readLine(new TextDecoder().decode(first.bytes))
    return line === undefined ? {} : { last: line.n - 1, sha256: line.prev }
  } catch {
    // Whoever removed it has broken the log, which says so by itself.
    return {}
  }
}
