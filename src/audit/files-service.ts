/** The files of an audit log, as whoever reads them finds them: of a peer that runs, or of one that does not. */
import { join } from 'node:path'
import { reasonOf } from '../base/reason.ts'
import { readdir, readStoredText } from '../disk/files.ts'
import { readText } from '../disk/lines.ts'
import { AuditError } from '../errors.ts'
import type { ChainEnd } from './chain.ts'
import { auditHeadBytesMax, auditReadFileBytesMax } from './limits.ts'

/** The folder of a log in a data directory, and beside it what its peer remembers of its end. */
export const auditFolder = 'audit'
export const auditHeadFile = 'audit-head.json'

const fileName = /^(\d{6,9})\.jsonl$/

/** A line as it lies in a file. */
export interface StoredLine {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly bytes: Uint8Array
  /** A line end follows it: all but the last one of a file that a crash cut have one. */
  readonly isEnded: boolean
}

/** Names of the files of a log, the oldest first. @throws what the file system says */
export async function auditFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter(name => fileName.test(name))
  return names.sort((a, b) => numberOf(a) - numberOf(b))
}

export function numberOf(name: string): number {
  return Number(fileName.exec(name)![1])
}

export function nameOf(number: number): string {
  return `${String(number).padStart(6, '0')}.jsonl`
}

/** All lines of a log, the oldest first. @throws {AuditError} when there is none, or a file cannot be read */
export async function* storedLines(
  folder: string,
  { signal }: { readonly signal?: AbortSignal | undefined } = {}
): AsyncGenerator<StoredLine> {
  for (const file of await filesOf(folder)) {
    signal?.throwIfAborted()
    yield* linesOf(file, await bytesOf(folder, file))
  }
}

/** @throws {AuditError} when there is no log */
export async function filesOf(folder: string): Promise<string[]> {
  let files: string[]
  try {
    files = await auditFiles(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new AuditError(`${folder} cannot be read: ${reasonOf(error)}`)
    }
    files = []
  }
  if (files.length === 0)
    throw new AuditError(`there is no audit log in ${folder}: a peer keeps one with skein up --audit`)
  return files
}

async function bytesOf(folder: string, file: string): Promise<Uint8Array> {
  try {
    return await readText(join(folder, file), auditReadFileBytesMax)
  } catch (error) {
    // The oldest one was dropped while they were read.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array()
    throw new AuditError(`${join(folder, file)} cannot be read: ${reasonOf(error)}`)
  }
}

/** The lines of one file. */
export function* linesOf(file: string, bytes: Uint8Array): Generator<StoredLine> {
  let line = 0
  for (let from = 0; from < bytes.length; ) {
    const at = bytes.indexOf(10, from)
    const end = at < 0 ? bytes.length : at
    line += 1
    yield { file, line, bytes: bytes.subarray(from, end), isEnded: at >= 0 }
    from = end + 1
  }
}

/** What a peer remembers of the end of its log; undefined where it remembers nothing. */
export async function readHead(dataDir: string): Promise<ChainEnd | undefined> {
  try {
    const { n, digest } = JSON.parse(await readStoredText(join(dataDir, auditHeadFile), auditHeadBytesMax)) as ChainEnd
    return Number.isSafeInteger(n) && n > 0 && /^[0-9a-f]{64}$/.test(digest) ? { n, digest } : undefined
  } catch {
    return undefined
  }
}
