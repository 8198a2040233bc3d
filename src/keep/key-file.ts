/** A session key in a file: whoever has a copy can resume the sessions that were kept with it. */
import { randomBytes } from 'node:crypto'
import { openRegular } from '../disk/files.ts'
import { reasonOf } from '../base/reason.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidKeyError } from '../errors.ts'

/** Bytes of a session key. */
export const keyFileBytes = 32

/**
 * Makes a key of 32 random bytes in a file that only its owner can read. A file that holds something is never
 * overwritten.
 *
 * @throws {InvalidKeyError}
 */
export async function makeKeyFile(path: string): Promise<void> {
  try {
    await writeWhole(path, randomBytes(keyFileBytes), { fresh: true })
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new InvalidKeyError(
      exists
        ? `${path} exists already and is not overwritten: sessions may be kept with it`
        : `${path} cannot be written: ${reasonOf(error)}`
    )
  }
}

/** Reads a key. @throws {InvalidKeyError} with a sentence that never holds a byte of it. */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  // One byte more than a key, so that a longer file is seen without being read.
  const bytes = new Uint8Array(keyFileBytes + 1)
  let length = 0
  try {
    const { handle: file } = await openRegular(path)
    try {
      for (let read = -1; read !== 0 && length < bytes.byteLength; length += read) {
        read = (await file.read(bytes, length, bytes.byteLength - length, null)).bytesRead
      }
    } finally {
      await file.close()
    }
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new InvalidKeyError(
      missing ? `there is no key file ${path}: make one with skein key` : `${path} cannot be read: ${reasonOf(error)}`
    )
  }
  if (length === 0) {
    throw new InvalidKeyError(`${path} is empty, as a full disk or a power cut leaves it: copy it again`)
  }
  if (length !== keyFileBytes) {
    throw new InvalidKeyError(`${path} is no session key: it should have ${keyFileBytes} bytes, made by skein key`)
  }
  return bytes.slice(0, keyFileBytes)
}
