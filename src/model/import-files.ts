/** Reading the files of a model that is imported: whatever fails there is said of the file. */
import type { z } from 'zod'
import { type OpenFile, openRegular, readStored } from '../disk/files.ts'
import { ImportError } from '../errors.ts'
import { importJsonBytesMax } from './limits.ts'

/** Opens a file; undefined when it is not there. @throws {ImportError} when it is no regular file, or cannot be read */
export async function openFile(file: string): Promise<{ handle: OpenFile; size: number } | undefined> {
  try {
    return await openRegular(file)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(file, err)
  }
}

/** Fills `into` from an offset. @throws {ImportError} when the file ends before or cannot be read */
export async function readAt(handle: OpenFile, into: Uint8Array, offset: number, file: string): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await handle.read(into, done, into.length - done, offset + done).catch(err => {
      throw unreadable(file, err)
    })
    if (bytesRead === 0) {
      throw new ImportError(
        `${file} is truncated: it ends at ${offset + done}, ${offset + into.length} bytes are needed`
      )
    }
    done += bytesRead
  }
}

/** A small file whole; undefined when it is not there. @throws {ImportError} when it is too large or unreadable */
export async function readWhole(file: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    return await readStored(file, bytesMax)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(file, err)
  }
}

/** Parsed, of any shape; undefined when there is no such file. @throws {ImportError} as {@link readWhole}, and when it is no JSON */
export async function readJson(file: string): Promise<unknown> {
  const bytes = await readWhole(file, importJsonBytesMax)
  if (bytes === undefined) return undefined
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch {
    // The parser's own sentence shows how the file begins: it may be one that nobody should see.
    throw new ImportError(`${file} is not JSON`)
  }
}

/** As {@link readJson}. @throws {ImportError} also when there is no such file */
export async function requiredJson(file: string): Promise<unknown> {
  const json = await readJson(file)
  if (json === undefined) throw new ImportError(`there is no ${file}; give a Hugging Face model's folder`)
  return json
}

/** As {@link readJson}, checked. @throws {ImportError} also when it has another shape */
export async function optional<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const json = await readJson(file)
  if (json === undefined) return undefined
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new ImportError(`${file}: ${issue.path.map(String).join('.') || 'it'}: ${issue.message}`)
}

/** A file that is there and does not let itself be read. */
function unreadable(file: string, err: unknown): ImportError {
  return new ImportError(`${file} cannot be read: ${(err as Error).message}`)
}
