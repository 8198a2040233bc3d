/** Audit logs as whoever looks after them has them: of a data directory, or of a folder of lines that was copied from one. */
import { join } from 'node:path'
import { type AuditHeader, readLine } from '../audit/entry.ts'
import { auditFiles, auditFolder, filesOf, numberOf, readHead, storedLines } from '../audit/files-service.ts'
import { auditFollowMs, auditLineBytesMax, auditReadFileBytesMax } from '../audit/limits.ts'
import { type AuditReport, AuditVerifier } from '../audit/verify.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { stat } from '../disk/files.ts'
import { checkOpened } from '../disk/vault.ts'
import { readTextFrom, storedBytes } from '../disk/lines.ts'
import { checkFormat, ownerOf } from '../swarm/data-dir.ts'
import { readIdentity, verifySignature } from '../swarm/identity.ts'

export type { AuditPlace, AuditProblem, AuditReport } from '../audit/verify.ts'

/** An audit log after all of it was read. */
export interface VerifiedAudit extends AuditReport {
  /** Where its files are. */
  readonly folder: string
  /** How it is known whose log it must be: by the key in the data directory, as it was said, or only by its own lines. */
  readonly knownBy: 'key' | 'told' | 'lines'
  /** Whether a peer runs there, that may write more at any moment. */
  readonly isRunning: boolean
}

/** One line of a log. */
export interface AuditLine extends AuditHeader {
  readonly [key: string]: unknown
}

/**
 * Says whether an audit log is whole: which is the first line that was removed, changed, moved or forged, and up to where signatures of its
 * peer vouch for it. The peer may be running.
 *
 * @param dir a data directory, or a folder of files of a log
 * @param options.peer whose log it must be. @default by the key in the data directory, else whoever its first line names
 * @throws {AuditError} when there is none, or it cannot be read. @throws {DataDirectoryError} when the directory or its key is damaged
 * @throws the signal's reason.
 */
export async function verifyAudit(
  dir: string,
  { peer, signal }: { readonly peer?: PeerId; readonly signal?: AbortSignal } = {}
): Promise<VerifiedAudit> {
  const folder = await auditFolderOf(dir)
  const isData = folder !== dir
  // A peer that runs writes its lines first, then where they end.
  const written = isData ? await readHead(dir) : undefined
  const own = isData && peer === undefined ? await readIdentity(dir) : undefined
  const member = peer ?? own?.id
  const verifier = new AuditVerifier({ verify: verifySignature, member, written })
  for await (const { bytes, isEnded, ...place } of storedLines(folder, { signal })) {
    verifier.take(place, bytes, { isEnded })
  }
  return {
    folder,
    knownBy: peer !== undefined ? 'told' : own === undefined ? 'lines' : 'key',
    isRunning: isData && (await ownerOf(dir)) !== undefined,
    ...verifier.report()
  }
}

/**
 * The last lines of an audit log, and with `follow` those that are still to come, as they are in its files; what is no line is left out.
 *
 * @param options.lines how many at most. @default 10
 * @throws {AuditError} when there is none, or it cannot be read. @throws the signal's reason while it follows.
 */
export async function* tailAudit(
  dir: string,
  {
    lines = 10,
    follow = false,
    signal,
    clock = systemClock
  }: { readonly lines?: number; readonly follow?: boolean; readonly signal?: AbortSignal; readonly clock?: Clock } = {}
): AsyncGenerator<{ readonly text: string; readonly line: AuditLine }> {
  const folder = await auditFolderOf(dir)
  let at: Place = { file: (await filesOf(folder)).at(-1)!, offset: 0 }
  let last: Uint8Array[] = []
  for await (const { file, bytes, isEnded } of storedLines(folder, { signal })) {
    if (file !== at.file && numberOf(file) < numberOf(at.file)) {
      last = [...last, bytes].slice(-lines)
      continue
    }
    if (file !== at.file) at = { file, offset: 0 }
    if (!isEnded) break
    at = { file, offset: at.offset + bytes.length + 1 }
    last = [...last, bytes].slice(-lines)
  }
  for (const bytes of lines === 0 ? [] : last) yield* readable(bytes)
  while (follow) {
    signal?.throwIfAborted()
    const more = await linesAfter(folder, at)
    at = more.at
    for (const bytes of more.lines) yield* readable(bytes)
    if (more.lines.length === 0) await clock.sleep(auditFollowMs, { ...(signal && { signal }) })
  }
}

interface Place {
  readonly file: string
  /** Bytes of it that were read, in whole lines. */
  readonly offset: number
  /** Bytes that it took on the disk when it was read to its end. @default it was not */
  readonly stored?: number
}

function* readable(bytes: Uint8Array): Generator<{ text: string; line: AuditLine }> {
  const text = new TextDecoder().decode(bytes)
  const line = readLine(text)
  if (line !== undefined) yield { text, line }
}

/** Whole lines that have come, of one file; where it is at its end, the next file follows. */
async function linesAfter(folder: string, at: Place): Promise<{ lines: Uint8Array[]; at: Place }> {
  const path = join(folder, at.file)
  const lines: Uint8Array[] = []
  let { offset } = at
  const stored = await storedBytes(path)
  if (stored !== at.stored) {
    // More than a line, so that a whole one is in it.
    const bounds = { offset, length: 4 * auditLineBytesMax, bytesMax: auditReadFileBytesMax }
    const bytes = await readTextFrom(path, bounds).catch(() => new Uint8Array())
    for (let from = 0; ; ) {
      const end = bytes.indexOf(10, from)
      if (end < 0) break
      lines.push(bytes.subarray(from, end))
      from = end + 1
      offset = at.offset + from
    }
  }
  if (lines.length === 0) at = { ...at, stored }
  if (lines.length > 0) return { lines, at: { ...at, offset } }
  const next = (await auditFiles(folder)).find(file => numberOf(file) > numberOf(at.file))
  return { lines, at: next === undefined ? at : { file: next, offset: 0 } }
}

/** Where the files of a log are: below a data directory, or in the folder itself. @throws {DataDirectoryError} */
export async function auditFolderOf(dir: string): Promise<string> {
  await checkOpened(dir)
  const below = join(dir, auditFolder)
  const isData = (await stat(below).catch(() => undefined))?.isDirectory() === true
  if (isData) await checkFormat(dir)
  const files = isData ? [] : await auditFiles(dir).catch(() => [])
  return files.length > 0 ? dir : below
}
