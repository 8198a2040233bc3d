/**
 * Reading files that others may have put there. A path may lead to a device that never ends or to a FIFO that nobody
 * writes to: only a regular file is read, and never more of it than its reader takes, whatever size it claims.
 */
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/** What the first read asks for where a file claims to be smaller: files of the kernel claim to have no bytes. */
const firstReadBytes = 4096

/**
 * Opens a regular file for reading.
 *
 * @throws an Error whose message goes after `PATH cannot be read: `, with the file system's code where it has one
 */
export async function openPlainFile(path: string): Promise<{ handle: FileHandle; size: number }> {
  // Opening a FIFO waits for a writer unless it is told not to, and nothing can end that wait.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Error(`it is ${kindOf(stat)}, not a regular file`)
    return { handle, size: stat.size }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Reads a regular file of at most `bytesMax` bytes whole.
 *
 * @throws what {@link openPlainFile} throws; an Error of the same form when the file has more bytes
 */
export async function readPlainFile(path: string, bytesMax: number): Promise<Uint8Array> {
  const { handle, size } = await openPlainFile(path)
  try {
    if (size > bytesMax) throw new Error(`it has ${size} bytes, and at most ${bytesMax} are taken`)
    // One byte more than it claims to have, so that its end is seen.
    let bytes = new Uint8Array(Math.min(Math.max(size, firstReadBytes), bytesMax) + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length)
      if (bytesRead === 0) return bytes.subarray(0, length)
      length += bytesRead
      if (length > bytesMax) throw new Error(`it has more than the ${bytesMax} bytes that are taken`)
      if (length < bytes.length) continue
      const longer = new Uint8Array(Math.min(2 * length, bytesMax + 1))
      longer.set(bytes)
      bytes = longer
    }
  } finally {
    await handle.close()
  }
}

/** The same as text; what is no UTF-8 in it becomes the replacement character. */
export async function readPlainText(path: string, bytesMax: number): Promise<string> {
  return new TextDecoder().decode(await readPlainFile(path, bytesMax))
}

function kindOf(stat: Stats): string {
  if (stat.isDirectory()) return 'a directory'
  if (stat.isFIFO()) return 'a FIFO'
  return stat.isCharacterDevice() || stat.isBlockDevice() ? 'a device' : 'something else'
}
