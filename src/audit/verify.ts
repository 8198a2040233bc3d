/**
 * Whether an audit log is whole: reads its lines in order, and says which is the first that was removed, changed, moved or forged,
 * and up to where a signature of its peer vouches for it. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import type { Verify } from '../base/signature.ts'
import { type AuditHeader, notes, readCut, readDropped, readLine, readMissing, requestMsg } from './entry.ts'
import { type ChainEnd, digestOf, noDigest, signatureOf } from './chain.ts'

/** A place in a log. */
export interface AuditPlace {
  /** Name of a file in the folder of the log. */
  readonly file: string
  /** From 1. */
  readonly line: number
}

/** The first thing that is wrong with a log. */
export interface AuditProblem extends AuditPlace {
  readonly kind: 'removed' | 'changed' | 'moved' | 'forged'
  /** In one sentence, without the place. */
  readonly message: string
}

/** What is known of a log after all of it was read. */
export interface AuditReport {
  /** Whose log it is: as it was to be, else as its lines say, for which nobody but they vouches. */
  readonly peer: PeerId | null
  readonly files: number
  readonly lines: number
  readonly requests: number
  /** Null where nothing is wrong. */
  readonly problem: AuditProblem | null
  /** The last line with a good signature before anything wrong: it vouches for all lines up to it. */
  readonly signed: (AuditPlace & { readonly n: number; readonly ts: string }) | null
  /** Lines after that: they are chained, and whoever can write the file could have made them. */
  readonly unsignedLines: number
  /** Lines of files that were dropped for want of room, as the log says. */
  readonly droppedLines: number
  /** Lines that a crash cut short, each followed by one that says so, or the last one of all. */
  readonly cutLines: number
  /** `stopped`: it ends as its peer stopped. `open`: it does not: its peer runs, or it crashed, or what followed was removed. */
  readonly end: 'empty' | 'stopped' | 'open'
  /** Of its last line. */
  readonly lastTs: string | null
}

interface Suspect {
  readonly problem: AuditProblem
  /** The number that should have come: a line that has it further on was moved. */
  readonly missing?: number
  /** Of the line after the one that may have been changed: where the next line is chained to it, that one was changed. */
  readonly digest?: string
  readonly previous?: AuditPlace
}

export class AuditVerifier {
  readonly #verify: Verify
  readonly #written: ChainEnd | undefined
  #member: PeerId | undefined
  #files = 0
  #file = ''
  #lines = 0
  #requests = 0
  #head: { readonly n: number; readonly digest: string } | undefined
  #first: (AuditPlace & { readonly n: number; readonly prev: string }) | undefined
  #previous: AuditPlace | undefined
  #signed: AuditReport['signed'] = null
  #unsigned = 0
  #cut: (AuditPlace & { readonly bytes: number; readonly sha256: string; readonly isEnded: boolean }) | undefined
  #cutLines = 0
  #dropped: { readonly last: number; readonly sha256: string }[] = []
  #suspect: Suspect | undefined
  #last: AuditHeader | undefined

  /**
   * @param member whose log it must be @default whoever its first line names
   * @param written where its peer remembers that it ended, or went on from there @default nobody knows
   */
  constructor({
    verify,
    member,
    written
  }: { readonly verify: Verify; readonly member?: PeerId | undefined; readonly written?: ChainEnd | undefined }) {
    this.#verify = verify
    this.#member = member
    this.#written = written
  }

  /** Whether something is wrong: what follows only tells what kind of thing that is. */
  get hasProblem(): boolean {
    return this.#suspect !== undefined
  }

  /** The next line, without its end. @param bytes as they are in the file @param isEnded a line end follows them there */
  take(place: AuditPlace, bytes: Uint8Array, { isEnded = true }: { readonly isEnded?: boolean } = {}): void {
    if (place.file !== this.#file) this.#files += 1
    this.#file = place.file
    const text = new TextDecoder().decode(bytes)
    const line = readLine(text)
    if (this.#suspect !== undefined) {
      if (line !== undefined) this.#classify(line, text)
      return
    }
    this.#lines += 1
    if (line === undefined) {
      this.#garbage({ ...place, isEnded }, bytes)
      return
    }
    if (this.#cut !== undefined && !this.#explains(line)) return
    this.#member ??= line.member
    const signature = signatureOf(text, this.#member, this.#verify)
    const wrong = this.#wrongWith(line, { text, signature, place }) ?? this.#forgery(line, signature, place)
    if (wrong === undefined) this.#accept(line, { text, signature, place })
    else this.#suspect = wrong
  }

  /** When all lines were taken. */
  report(): AuditReport {
    const problem = this.#suspect?.problem ?? this.#missingBeginning() ?? this.#changedEnd() ?? this.#missingEnd()
    const isEmpty = this.#lines === 0
    return {
      peer: this.#member ?? null,
      files: this.#files,
      lines: this.#lines,
      requests: this.#requests,
      problem,
      signed: this.#signed,
      unsignedLines: this.#unsigned,
      droppedLines: this.#first === undefined ? 0 : this.#first.n - 1,
      cutLines: this.#cutLines + (this.#cut === undefined ? 0 : 1),
      end: isEmpty ? 'empty' : this.#last?.msg === notes.stopped && this.#cut === undefined ? 'stopped' : 'open',
      lastTs: this.#last?.ts ?? null
    }
  }

  /** A line that is none: a crash may have cut it, and then the next one says so. */
  #garbage(place: AuditPlace & { readonly isEnded: boolean }, bytes: Uint8Array): void {
    if (this.#cut !== undefined) {
      this.#suspect = { problem: changed(this.#cut, 'it is no line of an audit log') }
      return
    }
    this.#cut = { ...place, bytes: bytes.byteLength, sha256: digestOf(bytes) }
  }

  /** Whether a line says of the one before it that a crash cut it. */
  #explains(line: AuditHeader & Readonly<Record<string, unknown>>): boolean {
    const said = readCut(line)
    const cut = this.#cut!
    if (said === undefined || said.bytes !== cut.bytes || said.sha256 !== cut.sha256) {
      this.#suspect = {
        problem: changed(cut, 'it is no line of an audit log, and the next one does not say that a crash cut it')
      }
      return false
    }
    this.#cut = undefined
    this.#cutLines += 1
    return true
  }

  #wrongWith(
    line: AuditHeader,
    { text, signature, place }: { readonly text: string; readonly signature: string; readonly place: AuditPlace }
  ): Suspect | undefined {
    if (line.member !== this.#member) {
      return { problem: forged(place, `it is a line of ${line.member}, and the log is of ${this.#member}`) }
    }
    const head = this.#head
    if (head === undefined) {
      if (line.n !== 1 || line.prev === noDigest) return undefined
      return { problem: forged(place, 'it is the first line of a log and names one before it') }
    }
    if (line.n > head.n + 1) {
      const range =
        line.n === head.n + 2 ? `line number ${head.n + 1} is` : `lines number ${head.n + 1} to ${line.n - 1} are`
      return { problem: { ...place, kind: 'removed', message: `${range} missing before it` }, missing: head.n + 1 }
    }
    if (line.n < head.n + 1) {
      const message = `it has number ${line.n} and stands after number ${head.n}`
      return { problem: { ...place, kind: line.n === 1 ? 'forged' : 'moved', message } }
    }
    if (line.prev !== head.digest) {
      // Who signed this one had the other one before him as it was.
      if (signature === 'good') {
        return { problem: changed(this.#previous!, 'it was changed after the next one was written and signed') }
      }
      const problem = changed(place, 'its digest of the line before it is wrong: one of the two was changed')
      return { problem, digest: digestOf(text), previous: this.#previous! }
    }
    return undefined
  }

  /** A line that tells of the log itself has a signature, or somebody else wrote it. */
  #forgery(
    line: AuditHeader & Readonly<Record<string, unknown>>,
    signature: string,
    place: AuditPlace
  ): Suspect | undefined {
    const isNote = (Object.values(notes) as string[]).includes(line.msg)
    if (signature === 'bad' || (isNote && signature === 'none')) {
      const from = this.#signed === null ? 'the beginning' : `number ${this.#signed.n + 1}`
      const message = `it has no signature of ${line.member} that holds: lines from ${from} to it may be forged`
      return { problem: forged(place, message) }
    }
    const missing = readMissing(line)
    if (missing === undefined) return undefined
    const message = `lines number ${missing.from} to ${missing.to} were missing when this peer started here`
    return { problem: { ...place, kind: 'removed', message } }
  }

  #accept(
    line: AuditHeader & Readonly<Record<string, unknown>>,
    { text, signature, place }: { readonly text: string; readonly signature: string; readonly place: AuditPlace }
  ): void {
    this.#first ??= { ...place, n: line.n, prev: line.prev }
    this.#head = { n: line.n, digest: digestOf(text) }
    this.#previous = place
    this.#last = line
    if (line.msg === requestMsg) this.#requests += 1
    const dropped = readDropped(line)
    if (dropped !== undefined) this.#dropped.push(dropped)
    if (signature === 'none') {
      this.#unsigned += 1
      return
    }
    this.#signed = { ...place, n: line.n, ts: line.ts }
    this.#unsigned = 0
  }

  /** What follows the first thing that is wrong says what it was. */
  #classify(line: AuditHeader, text: string): void {
    const suspect = this.#suspect!
    if (suspect.digest !== undefined) {
      // The line after it agrees with this one: it is the one before that was changed.
      const isWhole = line.prev === suspect.digest
      const place = isWhole ? suspect.previous! : suspect.problem
      const message = isWhole
        ? 'it was changed after the next one was written'
        : 'it was changed, or put in place of another'
      this.#suspect = { problem: changed(place, message) }
      return
    }
    if (suspect.missing === line.n && signatureOf(text, line.member, this.#verify) !== 'bad') {
      const { file, line: at } = suspect.problem
      const message = `it stands before number ${suspect.missing}, which comes later: lines were moved`
      this.#suspect = { problem: { file, line: at, kind: 'moved', message } }
    }
  }

  /** The last line of all is none, and no crash left it: it has an end. */
  #changedEnd(): AuditProblem | null {
    return this.#cut?.isEnded === true ? changed(this.#cut, 'it is no line of an audit log') : null
  }

  /** It ends before the line that its peer remembers. */
  #missingEnd(): AuditProblem | null {
    const [n, to] = [this.#head?.n ?? 0, this.#written?.n ?? 0]
    if (n >= to) return null
    const { file, line } = this.#previous ?? { file: this.#file, line: 1 }
    return {
      file,
      line,
      kind: 'removed',
      message: `lines number ${n + 1} to ${to} are missing after it: its peer has written them`
    }
  }

  /** A log that does not begin with its first line, and does not say what became of the beginning. */
  #missingBeginning(): AuditProblem | null {
    const first = this.#first
    if (first === undefined || first.n === 1) return null
    const isTold = this.#dropped.some(({ last, sha256 }) => last === first.n - 1 && sha256 === first.prev)
    if (isTold) return null
    const { file, line } = first
    const message = `lines number 1 to ${first.n - 1} are missing before it, and no line says that they were dropped`
    return { file, line, kind: 'removed', message }
  }
}

function changed({ file, line }: AuditPlace, message: string): AuditProblem {
  return { file, line, kind: 'changed', message }
}

function forged({ file, line }: AuditPlace, message: string): AuditProblem {
  return { file, line, kind: 'forged', message }
}
