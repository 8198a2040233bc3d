/**
 * A sealed directory: its data key is drawn once, lies in `skein.json` sealed by what the operator gives (`seal-source.ts`), and is in
 * memory alone while the directory is open.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { open, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { readPlainText } from '../base/plain-file.ts'
import { reasonOf } from '../base/reason.ts'
import { DataDirectoryError, SealError } from '../errors.ts'
import { makeFolder } from './folders.ts'
import { vaultBytesMax } from './limits.ts'
import { forgetFolder, isOpen, isPlainName, keysWithin, openFolder } from './opened.ts'
import { headerBytes, isSealedHeader } from './sealed-bytes.ts'
import { describeSeal, type Seal, sealOf, type SealRecord, sealSchema } from './seal-source.ts'
import { writeWhole } from './whole-file.ts'

/** What `skein.json` of a sealed directory has; an older Skein refuses it by the number. */
export const sealedFormat = 2
/** What it has of one whose files lie as they are. */
export const plainFormat = 1

const fileSchema = z.strictObject({
  format: z.literal(sealedFormat),
  seal: z.strictObject({
    by: sealSchema,
    /** 16 bytes, in base64. */
    salt: z.base64(),
    /** Nonce, data key and tag, in base64. */
    key: z.base64(),
    /** True while a directory that was not sealed is. */
    unfinished: z.literal(true).optional(),
    /** While the key is changed: the data key before, sealed by the one that is to be, in base64 with nonce and tag. */
    before: z.base64().optional(),
    /** True while the seal is taken off. */
    opening: z.literal(true).optional()
  })
})
type Vault = z.infer<typeof fileSchema>['seal']

const associated = Buffer.from('skein.json')

/**
 * Opens a sealed directory for this process and its threads, until what it returns is called. One that is not there, or empty, is
 * made, and sealed from then on.
 *
 * @param options.make false leaves one that is not there, or empty, as it is. @default true
 * @param seal `keyring`, `tpm2` or the path of a key file, as `skein up --seal` takes them
 * @throws {SealError} when it is sealed with another key, or is not sealed and holds files; {DataDirectoryError}
 */
export async function openSealed(
  dataDir: string,
  seal: string,
  { make = true }: { readonly make?: boolean } = {}
): Promise<() => void> {
  const source = sealOf(seal, dataDir)
  let vault = await readVault(dataDir)
  if (vault === undefined) {
    const isEmpty = await checkEmpty(dataDir, source)
    if (isEmpty && !make) return () => {}
    vault = await begin(dataDir, source)
  }
  checkFinished(dataDir, vault)
  return openFolder(dataDir, await dataKey(dataDir, vault, source))
}

/**
 * Whoever is about to use what lies in a directory asks this first. One that is not there, or not sealed, passes.
 *
 * @throws {SealError} when it is sealed and not open, and says what opens it
 */
export async function checkOpened(dataDir: string): Promise<void> {
  if (isOpen(dataDir)) return
  const vault = await readVault(dataDir)
  if (vault !== undefined) {
    checkFinished(dataDir, vault)
    throw new SealError(`${dataDir} is sealed by ${describeSeal(vault.by)}: give --seal ${hint(vault.by)}`)
  }
}

/** One sentence where files lie plain at the top of a sealed directory that is open: others have put them there. */
export async function whyNotAllSealed(dataDir: string): Promise<string | undefined> {
  const keys = keysWithin(dataDir)
  if (keys === undefined) return undefined
  const isSealed = (name: string): boolean => keys.openName(name.replace(/\.new(-[0-9a-f]{16})?$/, '')) !== undefined
  const plain = (await readdir(dataDir)).filter(name => !isPlainName(name) && !isSealed(name))
  if (plain.length === 0) return undefined
  const more = plain.length > 1 ? ` and ${plain.length - 1} more` : ''
  return `${plain[0]}${more} in ${dataDir} is not sealed, whoever has the disk reads it: skein seal ${dataDir} with the same --seal seals it`
}

/**
 * Whether a directory can be sealed where it lies, before anything is changed there.
 *
 * @throws {SealError} {DataDirectoryError}
 */
export async function checkConvertible(dataDir: string, seal: string): Promise<void> {
  sealOf(seal, dataDir)
  if ((await readVault(dataDir)) === undefined) await checkNotSealed(dataDir)
}

/** Whether the key of a directory was being changed when that was cut short. @throws {DataDirectoryError} */
export async function isRekeying(dataDir: string): Promise<boolean> {
  return (await readVault(dataDir))?.before !== undefined
}

/** Begins to seal a directory that holds files: nobody opens it until it is done. Goes on with one that was begun. */
export async function beginConversion(
  dataDir: string,
  seal: string
): Promise<{ readonly key: Uint8Array; readonly done: () => Promise<void> }> {
  const source = sealOf(seal, dataDir)
  const vault = (await readVault(dataDir)) ?? (await draw(source))
  if (vault.before !== undefined) throw rekeying(dataDir)
  const key = await dataKey(dataDir, vault, source)
  const { unfinished: _, opening: __, ...finished } = vault
  await write(dataDir, { ...vault, unfinished: true })
  return { key, done: () => write(dataDir, finished) }
}

/** Before anything is changed there. @throws {SealError} when it is not sealed; {DataDirectoryError} */
export async function checkSealed(dataDir: string): Promise<void> {
  await sealedVault(dataDir)
}

/** A directory whose files are to lie there under another data key, or under none. */
export interface Rekeying {
  readonly oldKey: Uint8Array
  readonly newKey: Uint8Array | undefined
  /** All files do. */
  readonly done: () => Promise<void>
}

/**
 * Begins to change what opens a directory: nobody opens it until that is done. Goes on with one that was begun, by the new key alone.
 *
 * @throws {SealError} when it is not sealed, not wholly, or by another key; {DataDirectoryError}
 */
export async function beginRekeying(dataDir: string, seal: string, from: string): Promise<Rekeying> {
  const [source, before] = [sealOf(seal, dataDir), sealOf(from, dataDir)]
  const vault = await sealedVault(dataDir)
  if (vault.opening || (vault.unfinished && vault.before === undefined)) checkFinished(dataDir, vault)
  if (vault.before !== undefined) {
    const newKey = await dataKey(dataDir, vault, source)
    const { unfinished: _, before: wrapped, ...finished } = vault
    return { oldKey: unwrapBefore(dataDir, newKey, wrapped!), newKey, done: () => write(dataDir, finished) }
  }
  const oldKey = await dataKey(dataDir, vault, before)
  const next = await draw(source)
  const newKey = await dataKey(dataDir, next, source)
  await write(dataDir, { ...next, unfinished: true, before: wrapBefore(newKey, oldKey) })
  return { oldKey, newKey, done: () => write(dataDir, next) }
}

/** Begins to take the seal off a directory, or goes on with it. @throws as {@link beginRekeying} */
export async function beginOpening(dataDir: string, seal: string): Promise<Rekeying> {
  const source = sealOf(seal, dataDir)
  const vault = await sealedVault(dataDir)
  if (vault.before !== undefined) checkFinished(dataDir, vault)
  const oldKey = await dataKey(dataDir, vault, source)
  const { unfinished: _, ...sealed } = vault
  await write(dataDir, { ...sealed, opening: true })
  const done = async (): Promise<void> => {
    await writeWhole(join(dataDir, 'skein.json'), `${JSON.stringify({ format: plainFormat })}\n`)
    forgetFolder(dataDir)
  }
  return { oldKey, newKey: undefined, done }
}

/** What a directory says of its seal. @throws {SealError} when it is not sealed; {DataDirectoryError} */
async function sealedVault(dataDir: string): Promise<Vault> {
  const vault = await readVault(dataDir)
  if (vault !== undefined) return vault
  await checkNotSealed(dataDir)
  throw new SealError(`${dataDir} is not sealed: skein seal ${dataDir} --seal seals it`)
}

const beforeInfo = 'skein seal before'

function wrapBefore(newKey: Uint8Array, oldKey: Uint8Array): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', beforeKey(newKey), nonce).setAAD(associated)
  return Buffer.concat([nonce, cipher.update(oldKey), cipher.final(), cipher.getAuthTag()]).toString('base64')
}

function unwrapBefore(dataDir: string, newKey: Uint8Array, wrapped: string): Uint8Array {
  try {
    return openBox(beforeKey(newKey), Buffer.from(wrapped, 'base64'))
  } catch {
    throw new DataDirectoryError(
      `${join(dataDir, 'skein.json')} is damaged: what it says of the key before does not open`
    )
  }
}

function beforeKey(newKey: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', newKey, '', beforeInfo, 32))
}

/** @returns undefined where the directory is not sealed, or not there. @throws {DataDirectoryError} when `skein.json` is spoilt */
async function readVault(dataDir: string): Promise<Vault | undefined> {
  const file = join(dataDir, 'skein.json')
  let text: string
  try {
    text = await readPlainText(file, vaultBytesMax)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Where there is no directory there is none that is sealed: who needs one says so.
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new DataDirectoryError(`${file} cannot be read: ${reasonOf(error)}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  // Another format is told of by who checks formats.
  if ((json as { format?: unknown } | null)?.format !== sealedFormat) return undefined
  const parsed = fileSchema.safeParse(json)
  if (parsed.success) return parsed.data.seal
  throw new DataDirectoryError(
    `${file} does not say how ${dataDir} is sealed (${parsed.error.issues[0]!.path.join('.') || 'it'}): restore it from a copy, without it nothing there opens`
  )
}

/** True where nothing is in a directory, or it is not there. @throws {SealError} when it holds files */
async function checkEmpty(dataDir: string, { given }: Seal): Promise<boolean> {
  const names = await readdir(dataDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new DataDirectoryError(`${dataDir} cannot be read: ${reasonOf(error)}`)
  })
  if (names.every(name => name !== 'skein.json' && isPlainName(name))) return true
  await checkNotSealed(dataDir)
  throw new SealError(
    `${dataDir} is not sealed and holds files already: skein seal ${dataDir} --seal ${given} seals them where they lie, or name a new directory`
  )
}

/**
 * Where `skein.json` is gone, files that are sealed have nothing that opens them until it is back: a new key would only seal them once more.
 *
 * @throws {SealError}
 */
async function checkNotSealed(dataDir: string): Promise<void> {
  for (const entry of await readdir(dataDir, { withFileTypes: true })) {
    if (!entry.isFile() || !(await beginsSealed(join(dataDir, entry.name)))) continue
    throw new SealError(
      `${dataDir} holds sealed files, and its skein.json does not say what opens them: restore that from a copy; nothing there was changed`
    )
  }
}

async function beginsSealed(file: string): Promise<boolean> {
  const handle = await open(file, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(new Uint8Array(headerBytes), 0, headerBytes, 0)
    return isSealedHeader(buffer.subarray(0, bytesRead))
  } finally {
    await handle.close()
  }
}

/** Seals a new directory. */
async function begin(dataDir: string, source: Seal): Promise<Vault> {
  // Whatever is wrong with what seals it, nothing was made.
  const vault = await draw(source)
  try {
    await makeFolder(resolve(dataDir))
  } catch (error) {
    throw new DataDirectoryError(`${dataDir} cannot be made: ${reasonOf(error)}`)
  }
  try {
    await write(dataDir, vault, { fresh: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new DataDirectoryError(`${dataDir} cannot be written: ${reasonOf(error)}`)
    }
    // Another process was a moment earlier: its key counts.
    return (await readVault(dataDir))!
  }
  return vault
}

async function draw(source: Seal): Promise<Vault> {
  const { by, secret } = await source.make()
  const salt = randomBytes(16)
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', wrapping(secret, salt), nonce).setAAD(associated)
  const key = Buffer.concat([nonce, cipher.update(randomBytes(32)), cipher.final(), cipher.getAuthTag()])
  return { by, salt: salt.toString('base64'), key: key.toString('base64') }
}

/** @throws {SealError} */
async function dataKey(dataDir: string, { by, salt, key }: Vault, source: Seal): Promise<Uint8Array> {
  if (!source.fits(by)) {
    throw new SealError(
      `${dataDir} is sealed by ${describeSeal(by)}, which --seal ${source.given} does not open: give --seal ${hint(by)}`
    )
  }
  const secret = await source.read(by)
  try {
    return openBox(wrapping(secret, Buffer.from(salt, 'base64')), Buffer.from(key, 'base64'))
  } catch {
    throw new SealError(`${dataDir} is sealed with another key than ${source.label}; nothing there was changed`)
  }
}

/** Nonce, what is sealed, and tag. @throws when it is sealed by another key */
function openBox(key: Uint8Array, sealed: Uint8Array): Uint8Array {
  const [nonce, end] = [sealed.subarray(0, 12), sealed.length - 16]
  const cipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(associated).setAuthTag(sealed.subarray(end))
  return new Uint8Array(Buffer.concat([cipher.update(sealed.subarray(12, end)), cipher.final()]))
}

function wrapping(secret: Uint8Array, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, 'skein seal', 32))
}

async function write(dataDir: string, seal: Vault, options: { readonly fresh?: boolean } = {}): Promise<void> {
  await writeWhole(join(dataDir, 'skein.json'), `${JSON.stringify({ format: sealedFormat, seal })}\n`, options)
}

/** @throws {SealError} while something that was begun is not done, and says what goes on with it */
function checkFinished(dataDir: string, { unfinished: isUnfinished, before, opening }: Vault): void {
  if (before !== undefined) throw rekeying(dataDir)
  if (opening) {
    throw new SealError(
      `the seal of ${dataDir} was being taken off when that was cut short: skein unseal ${dataDir} goes on with it, and skein seal ${dataDir} seals it again`
    )
  }
  if (isUnfinished) throw unfinished(dataDir)
}

function rekeying(dataDir: string): SealError {
  return new SealError(
    `the key of ${dataDir} was being changed when that was cut short: skein seal ${dataDir} --seal with the new key goes on with it`
  )
}

function unfinished(dataDir: string): SealError {
  return new SealError(
    `${dataDir} was being sealed when that was cut short: skein seal ${dataDir} --seal with the same key goes on with it`
  )
}

function hint({ kind }: SealRecord): string {
  return kind === 'tpm2' ? 'tpm2' : 'FILE, or --seal keyring where the key is there'
}
