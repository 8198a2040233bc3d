/** What lies there of a file that comes from a hub. */
import { createHash } from 'node:crypto'
import { openRegular, stat } from '../disk/files.ts'
import { verifyChunkBytes } from './limits.ts'

/** Bytes of a file; undefined where it is none. */
export async function size(file: string): Promise<number | undefined> {
  const found = await stat(file).catch(() => undefined)
  return found?.isFile() === true ? found.size : undefined
}

/**
 * Whether a file is what its ETag says. The hub's is the SHA-256 of a large file and git's blob digest of a small
 * one; other servers' say nothing of the content, and the size has to do.
 */
export async function hasContent(file: string, bytes: number, etag: string): Promise<boolean> {
  if ((await size(file)) !== bytes) return false
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) return true
  const hash = etag.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`)
  const { handle } = await openRegular(file)
  try {
    const buffer = new Uint8Array(verifyChunkBytes)
    for (let at = 0; at < bytes; ) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) return false
      hash.update(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
  } finally {
    await handle.close()
  }
  return hash.digest('hex') === etag
}
