/** A session key in a file: whoever has a copy can resume the sessions that were kept with it. */
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { openPlainFile } from '../base/plain-file.ts'
import { InvalidKeyError } from '../errors.ts'

/** Bytes of a session key. */
export const keyFileBytes = 32

/**
 * Makes a key of 32 random bytes in a file that only its owner can read. An existing file is never overwritten.
 *
 * @throws {InvalidKeyError}
 */
export async function makeKeyFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(randomBytes(keyFileBytes))
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new InvalidKeyError(
      exists
        ? `${path} exists already and is not overwritten: sessions may be kept with it`
        : `${path} cannot be written: ${(error as Error).message}`
    )
  }
}

/** Reads a key. @throws {InvalidKeyError} with a sentence that never holds a byte of it. */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  // One byte more than a key, so that a longer file is seen without being read.
  const bytes = new Uint8Array(keyFileBytes + 1)
  let length = 0
  try {
    const { handle: file } = await openPlainFile(path)
    try {
      for (let read = -1; read !== 0 && length < bytes.byteLength; length += read) {
        read = (await file.read(bytes, length, bytes.byteLength - length)).bytesRead
      }
    } finally {
      await file.close()
    }
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new InvalidKeyError(
      missing
        ? `there is no key file ${path}: make one with skein key`
        : `${path} cannot be read: ${(error as Error).message}`
    )
  }
  if (length !== keyFileBytes) {
    throw new InvalidKeyError(`${path} is no session key: it should have ${keyFileBytes} bytes, made by skein key`)
  }
  return bytes.slice(0, keyFileBytes)
}
