/**
 * Files that grow by lines. In a sealed directory each line is sealed by itself, to its file and in base64: so one more is added
 * without those before it being touched, and a power cut costs the last one. What was removed, or stands elsewhere among them, does not
 * show by its seal: who keeps a log chains its lines.
 */
import { appendFile, open, stat, truncate } from 'node:fs/promises'
import { readPlainFile, readPlainText } from '../base/plain-file.ts'
import { DamagedFileError } from '../errors.ts'
import { placeOf } from './opened.ts'
import { sealBytes } from './sealed-bytes.ts'

/** A line as it is to lie in the file at `path`, without its end. */
export function lineToStore(path: string, line: string): string {
  const { sealed } = placeOf(path)
  if (sealed === undefined) return line
  const { keys, within: place } = sealed
  return Buffer.from(keys.lines(place).seal(0, Buffer.from(line), { last: true, place })).toString('base64')
}

/** A line as it was before {@link lineToStore}. @throws {DamagedFileError} where it was cut, changed, or is of another file */
export function storedLine(path: string, line: string): string {
  const { sealed } = placeOf(path)
  if (sealed === undefined) return line
  const { keys, within: place } = sealed
  const slot = Buffer.from(line, 'base64')
  if (slot.length < sealBytes) throw new DamagedFileError('a line of it was cut, or is not sealed')
  const bytes = new Uint8Array(slot.length - sealBytes)
  keys.lines(place).open(0, slot, bytes, { last: true, place })
  return new TextDecoder().decode(bytes)
}

/** Adds lines to a file, and makes it where it is not there. Nobody waits for the disk: who needs that syncs. */
export async function appendLines(path: string, lines: readonly string[]): Promise<void> {
  const text = lines.map(line => `${lineToStore(path, line)}\n`).join('')
  await appendFile(placeOf(path).real, text, { mode: 0o600 })
}

/**
 * The lines of a file of at most so many bytes on the disk, but for those that a power cut has spoilt.
 *
 * @throws the file system's error
 */
export async function readLines(path: string, bytesMax: number): Promise<string[]> {
  const text = await readPlainText(placeOf(path).real, bytesMax)
  return text
    .split('\n')
    .filter(line => line !== '')
    .flatMap(line => {
      try {
        return [storedLine(path, line)]
      } catch (error) {
        if (error instanceof DamagedFileError) return []
        throw error
      }
    })
}

/**
 * Adds text to a file of lines, which it may end, go on with, or begin with a line end.
 *
 * @returns bytes that it takes on the disk
 */
export async function appendText(path: string, text: string): Promise<number> {
  const bytes = Buffer.from(
    text
      .split('\n')
      .map(line => (line === '' ? '' : lineToStore(path, line)))
      .join('\n')
  )
  await appendFile(placeOf(path).real, bytes, { mode: 0o600 })
  return bytes.length
}

/**
 * A file of lines as it would lie there if it were not sealed. A line whose seal is broken stays as it is: it is none of those that were
 * written, and who reads it sees that.
 *
 * @param bytesMax of the file on the disk
 * @throws what `readPlainFile` throws
 */
export async function readText(path: string, bytesMax: number): Promise<Uint8Array> {
  const { real, sealed } = placeOf(path)
  const bytes = await readPlainFile(real, bytesMax)
  if (sealed === undefined) return bytes
  const lines = new TextDecoder().decode(bytes).split('\n')
  return Buffer.from(lines.map(line => (line === '' ? '' : openedLine(path, line))).join('\n'))
}

/** The same from an offset, at most so many bytes of it. */
export async function readTextFrom(
  path: string,
  { offset, length, bytesMax }: { readonly offset: number; readonly length: number; readonly bytesMax: number }
): Promise<Uint8Array> {
  const { real, sealed } = placeOf(path)
  if (sealed !== undefined) return (await readText(path, bytesMax)).subarray(offset, offset + length)
  const handle = await open(real, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** Bytes that a file of lines takes on the disk; 0 where there is none. */
export async function storedBytes(path: string): Promise<number> {
  return (await stat(placeOf(path).real).catch(() => undefined))?.size ?? 0
}

/** Cuts a file of lines to so many bytes on the disk. */
export async function cutStored(path: string, bytes: number): Promise<void> {
  await truncate(placeOf(path).real, bytes)
}

function openedLine(path: string, line: string): string {
  try {
    return storedLine(path, line)
  } catch (error) {
    if (error instanceof DamagedFileError) return line
    throw error
  }
}
