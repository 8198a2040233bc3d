/**
 * Signing and verifying a model's files as they lie in a folder, before an import or for others, by the OpenSSF's bundles
 * (`trust/model-bundle.ts`). Keys are those of a person, in PEM.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { lstat, readdir, stat } from 'node:fs/promises'
import { basename, join, relative, resolve, sep } from 'node:path'
import { openPlainFile, readPlainFile } from '../base/plain-file.ts'
import { reasonOf } from '../base/reason.ts'
import { shown } from '../base/shown.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { InvalidKeyError, ModelSignatureError } from '../errors.ts'
import { bundleBytesMax, bundleFilesMax } from '../trust/limits.ts'
import {
  bundleText,
  differences,
  isIgnored,
  readBundle,
  readStatement,
  type SignedFile,
  signedPart,
  statementPayload
} from '../trust/model-bundle.ts'
import { folderReadBytes, pemBytesMax } from './limits.ts'

/** What is signed or verified of files, and by which key. */
export interface FolderInit {
  /** The folder, or one file. */
  readonly path: string
  /** The file of the bundle. */
  readonly bundle: string
  /** A key of P-256, P-384 or P-521 in PEM: a private one signs, a public one verifies. */
  readonly key: string
  /** Ends the reading of the files. */
  readonly signal: AbortSignal
}

/** What a folder has of git is none of the model: the public tool leaves it out as well. */
const ofGit = ['.git', '.gitattributes', '.github', '.gitignore']

/** By curve, what it signs with. */
const digests: Readonly<Record<string, string>> = { prime256v1: 'sha256', secp384r1: 'sha384', secp521r1: 'sha512' }

/**
 * Signs all files of a folder, or one file, and writes the bundle, which is never written over a file that is there.
 *
 * @returns how many files were signed
 * @throws {InvalidKeyError} when the key is none
 * @throws {ModelSignatureError} when something cannot be read or written, is a link, or there is no file
 * @throws the signal's reason
 */
export async function signFolder({ path, bundle, key: keyFile, signal }: FolderInit): Promise<number> {
  const { key, digest } = await readKey(keyFile, 'private')
  const ignored = [...ofGit, ...within(path, bundle)]
  const files = await filesOf(path, { ignored, followsLinks: false, signal })
  if (files.length === 0) throw new ModelSignatureError(`there is no file in ${path} to sign`)
  const payload = statementPayload({ name: basename(resolve(path)), files, ignored, followsLinks: false })
  const signature = sign(digest, signedPart(payload), key)
  const text = bundleText({ payload, signature, hint: hintOf(createPublicKey(key)) })
  try {
    await writeWhole(bundle, text, { fresh: true, mode: 0o644 })
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw new ModelSignatureError(
      exists ? `${bundle} exists already and is not overwritten` : `${bundle} cannot be written: ${reasonOf(error)}`
    )
  }
  return files.length
}

/**
 * Checks that the files of a folder, or one file, are those that the owner of a key signed: all of them, and no others.
 *
 * @returns how many files there are
 * @throws {InvalidKeyError} when the key is none
 * @throws {ModelSignatureError} when the bundle is none or not that key's, or the files differ: says which
 * @throws the signal's reason
 */
export async function verifyFolder({ path, bundle, key: keyFile, signal }: FolderInit): Promise<number> {
  const { key, digest } = await readKey(keyFile, 'public')
  const { payload, signature, hint } = readBundle(await read(bundle, bundleBytesMax), bundle)
  if ((hint !== '' && hint !== hintOf(key)) || !verify(digest, signedPart(payload), key, signature)) {
    throw new ModelSignatureError(`${bundle} is not signed by the key ${keyFile}, or it was changed`)
  }
  const { files, ignored, followsLinks } = readStatement(payload, bundle)
  const left = [...ignored, ...within(path, bundle)]
  const differ = differences(files, await filesOf(path, { ignored: left, followsLinks, signal }))
  if (differ !== undefined) throw new ModelSignatureError(`${path} is not what ${bundle} signs: ${differ}`)
  return files.length
}

/** The bundle's own name in the folder, where it lies there. */
function within(folder: string, file: string): string[] {
  const name = relative(resolve(folder), resolve(file))
  return name === '' || name.startsWith('..') ? [] : [name.split(sep).join('/')]
}

interface Looking {
  readonly ignored: readonly string[]
  readonly followsLinks: boolean
  readonly signal: AbortSignal
}

async function filesOf(path: string, looking: Looking): Promise<SignedFile[]> {
  try {
    const isFile = (await stat(path)).isFile()
    const names = isFile ? ['.'] : await namesIn(path, '', looking)
    const files: SignedFile[] = []
    for (const name of names) files.push({ name, sha256: await digestOf(join(path, isFile ? '' : name), looking) })
    return files
  } catch (error) {
    if (looking.signal.aborted || error instanceof ModelSignatureError) throw error
    throw new ModelSignatureError(`${path} cannot be read: ${reasonOf(error)}`)
  }
}

async function namesIn(root: string, folder: string, looking: Looking): Promise<string[]> {
  const names: string[] = []
  for (const entry of await readdir(join(root, folder))) {
    looking.signal.throwIfAborted()
    const name = folder === '' ? entry : `${folder}/${entry}`
    if (isIgnored(name, looking.ignored)) continue
    const about = await lstat(join(root, name))
    if (about.isDirectory()) names.push(...(await namesIn(root, name, looking)))
    else if (about.isSymbolicLink() && !(looking.followsLinks && (await stat(join(root, name))).isFile())) {
      throw new ModelSignatureError(`${shown(name)} in ${root} is a link: what is signed are files`)
    } else names.push(name)
    if (names.length > bundleFilesMax) {
      throw new ModelSignatureError(`${root} has more than the ${bundleFilesMax} files that are signed at once`)
    }
  }
  return names
}

async function digestOf(path: string, { signal }: Looking): Promise<string> {
  const { handle } = await openPlainFile(path)
  try {
    const hash = createHash('sha256')
    const buffer = new Uint8Array(folderReadBytes)
    for (;;) {
      signal.throwIfAborted()
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, null)
      if (bytesRead === 0) return hash.digest('hex')
      hash.update(buffer.subarray(0, bytesRead))
    }
  } finally {
    await handle.close()
  }
}

async function readKey(
  path: string,
  part: 'private' | 'public'
): Promise<{ readonly key: KeyObject; readonly digest: string }> {
  let text: string
  try {
    text = new TextDecoder().decode(await readPlainFile(path, pemBytesMax))
  } catch (error) {
    throw new InvalidKeyError(`${path} cannot be read: ${reasonOf(error)}`)
  }
  // Node makes a public key of a private one, and nobody would learn that a secret lies where others are meant to have it.
  if (part === 'public' && text.includes('PRIVATE KEY')) {
    throw new InvalidKeyError(`${path} is a secret key: a signer is known by its public one`)
  }
  let key: KeyObject
  try {
    key = part === 'private' ? createPrivateKey(text) : createPublicKey(text)
  } catch {
    throw new InvalidKeyError(`${path} is no ${part} key in PEM without a passphrase`)
  }
  const curve = key.asymmetricKeyDetails?.namedCurve
  const digest = digests[curve ?? '']
  if (digest !== undefined) return { key, digest }
  throw new InvalidKeyError(
    `${path} is a key of ${curve ?? key.asymmetricKeyType}: bundles of the OpenSSF are signed with P-256, P-384 or P-521, as openssl ecparam -genkey -noout -name prime256v1 makes one`
  )
}

function hintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'pem' }))
    .digest('hex')
}

async function read(path: string, bytesMax: number): Promise<string> {
  try {
    return new TextDecoder().decode(await readPlainFile(path, bytesMax))
  } catch (error) {
    throw new ModelSignatureError(`${path} cannot be read: ${reasonOf(error)}`)
  }
}
