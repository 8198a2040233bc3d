/** The directory of everything one peer keeps: its format, and the lock that only one running peer can hold. */
import { access, constants, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { readPlainText } from '../base/plain-file.ts'
import { reasonOf } from '../base/reason.ts'
import { isFolder, makeFolder } from '../disk/folders.ts'
import { isOpen } from '../disk/opened.ts'
import { checkOpened, openSealed, plainFormat, sealedFormat } from '../disk/vault.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { DataDirectoryError } from '../errors.ts'
import { ownFileBytesMax } from './limits.ts'

/** The layouts that this version reads and writes: that of a directory as it is, and of a sealed one. */
const format = plainFormat
const formatMax = sealedFormat

export interface DataDirectory {
  readonly path: string
  /** Whether what lies there is sealed. */
  readonly isSealed: boolean
  /** Gives up the lock, and closes what is sealed. Safe to call twice. */
  close(): Promise<void>
}

/**
 * Opens a data directory for one running peer, and makes it (mode 0700) if it does not exist.
 * The lock is LevelDB's own, an fcntl lock: the kernel releases it however the process ends, so no crash leaves it
 * behind and no pid has to be guessed about; `pid` beside it only serves the message.
 *
 * @param seal what opens a sealed directory, or seals a new one. @default none: files lie in it as they are
 * @throws {DataDirectoryError} when it is in use, unreadable or of a newer format.
 * @throws {SealError} when it is sealed, and not by `seal`
 */
export async function openDataDir(
  path: string,
  { seal }: { readonly seal?: string | undefined } = {}
): Promise<DataDirectory> {
  try {
    await makeFolder(resolve(path))
  } catch (error) {
    throw new DataDirectoryError(`${path} cannot be made: ${reasonOf(error)}`)
  }
  const closeSeal = seal === undefined ? undefined : await openSealed(path, seal)
  try {
    await checkFormat(path)
    const lock = await lockFolder(path)
    return {
      path,
      isSealed: isOpen(path),
      close: async () => {
        await lock()
        closeSeal?.()
      }
    }
  } catch (error) {
    closeSeal?.()
    throw error
  }
}

/** @returns what gives it up again */
export async function lockFolder(path: string): Promise<() => Promise<void>> {
  try {
    // The lock would fail as well, but not say why.
    await access(path, constants.W_OK)
  } catch (error) {
    throw new DataDirectoryError(`${path} cannot be written: ${reasonOf(error)}`)
  }
  const lock = new ClassicLevel(join(path, 'lock'))
  try {
    await lock.open()
  } catch (error) {
    if ((error as { cause?: { code?: unknown } }).cause?.code !== 'LEVEL_LOCKED') {
      throw new DataDirectoryError(`${path} cannot be locked: ${reasonOf(error)}`)
    }
    const pid = await readPid(path)
    throw new DataDirectoryError(
      `${path} is in use by ${pid === undefined ? 'another process' : `process ${pid}`}: stop it first, or use another directory`
    )
  }
  let open = true
  const close = async (): Promise<void> => {
    if (!open) return
    open = false
    await rm(join(path, 'pid'), { force: true })
    await lock.close()
  }
  try {
    // After a power cut it names a process that is gone.
    await writeWhole(join(path, 'pid'), `${process.pid}\n`, { durable: false })
    await writeFormat(path)
  } catch (error) {
    await close()
    throw new DataDirectoryError(`${path} cannot be written: ${reasonOf(error)}`)
  }
  return close
}

/** Whether this version reads what a data directory holds; it need not exist. @throws {DataDirectoryError} when it does not, {SealError} when it is sealed and not open */
export async function checkFormat(path: string): Promise<void> {
  const file = join(path, 'skein.json')
  let text: string
  try {
    text = await readPlainText(file, ownFileBytesMax)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw new DataDirectoryError(`${file} cannot be read: ${reasonOf(error)}`)
  }
  // What was not written whole says nothing of a format.
  if (text === '') return
  let found: unknown
  try {
    found = (JSON.parse(text) as { format?: unknown } | null)?.format
  } catch {
    // Told below.
  }
  if (typeof found !== 'number' || !Number.isInteger(found) || found < 1) {
    throw new DataDirectoryError(`${file} does not say which format ${path} has: it should hold {"format":${format}}`)
  }
  if (found > formatMax) {
    throw new DataDirectoryError(
      `${path} has format ${found}, written by a newer Skein; this one reads formats up to ${formatMax}: use the newer one`
    )
  }
  await checkOpened(path)
}

async function writeFormat(path: string): Promise<void> {
  const file = join(path, 'skein.json')
  if ((await readPlainText(file, ownFileBytesMax).catch(() => '')) !== '') return
  await writeWhole(file, `${JSON.stringify({ format })}\n`)
}

/**
 * The process that has a data directory; undefined where nobody has. The lock is tried only where a living process says that it has it, so
 * that nobody who starts at this moment finds it taken.
 */
export async function ownerOf(path: string): Promise<number | undefined> {
  const pid = await readPid(path)
  const file = join(path, 'lock')
  if (pid === undefined || !(await isFolder(file))) return undefined
  const lock = new ClassicLevel(file)
  try {
    await lock.open()
  } catch (error) {
    return (error as { cause?: { code?: unknown } }).cause?.code === 'LEVEL_LOCKED' ? pid : undefined
  }
  await lock.close()
  return undefined
}

/** The process that says it uses this directory, if it is alive. */
async function readPid(path: string): Promise<number | undefined> {
  const pid = Number((await readPlainText(join(path, 'pid'), ownFileBytesMax).catch(() => '')).trim())
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  try {
    process.kill(pid, 0)
    return pid
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? pid : undefined
  }
}
