/** `skein model sign`, and who signed a model as `skein model show` has it. */
import {
  type AnyModel,
  InvalidOptionError,
  type ModelSigner,
  signersOf,
  signFolder,
  signModel,
  verifyFolder
} from '../index.ts'
import type { CommandContext } from './context.ts'
import type { ModelFlags } from './model-facts.ts'
import { say, sayJson } from './output.ts'

export interface SignFlags extends ModelFlags {
  /** The file of the key. */
  readonly signKey: string
}

/** Signs a model that is here. @throws what {@link signModel} throws */
export async function modelSign(name: string, flags: SignFlags, { signal }: CommandContext): Promise<void> {
  const { model, signer } = await signModel({ dataDir: flags.data, model: name, keyFile: flags.signKey, signal })
  const { id, manifest } = model
  if (flags.json) sayJson({ event: 'signed', id, name: manifest.name, signer })
  else say(`signed ${manifest.name}, id ${id}, every file of which is right, by the key ${signer.key}`)
}

/** A signer by the first digits of its key, and when by its own clock. */
export function describeSigner({ key, signedMs }: ModelSigner): string {
  return `${key.slice(0, 12)}… (${new Date(signedMs).toISOString()})`
}

/** Rows of who signed a model: the whole key, to be compared. */
export async function signerRows(dataDir: string, model: AnyModel): Promise<string[][]> {
  const { good, bad } = await signersOf(dataDir, model)
  const rows = [
    ...good.map(({ key, signedMs }) => `${key} at ${new Date(signedMs).toISOString()}`),
    ...bad.map(key => `not by ${key}, whose signature here was changed, or made of another model`)
  ]
  return rows.map((row, i) => [i === 0 ? 'signed by' : '', row])
}

export interface BundleFlags {
  /** The bundle. */
  readonly oms: string
  readonly json?: boolean
}

/** Signs a folder or file by an OpenSSF bundle. @throws what {@link signFolder} throws */
export async function folderSign(
  path: string,
  { oms, signKey, json }: BundleFlags & { readonly signKey: string },
  { signal }: CommandContext
): Promise<void> {
  const files = await signFolder({ path, bundle: oms, key: signKey, signal })
  if (json) sayJson({ event: 'signed', path, bundle: oms, files })
  else say(`signed ${path}, ${counted(files)}: ${oms} is the bundle, to give along`)
}

/** Verifies one. @throws {InvalidOptionError} without a path or a signer, and what {@link verifyFolder} throws */
export async function folderVerify(
  path: string | undefined,
  { oms, signer, json }: BundleFlags & { readonly signer?: readonly string[] },
  { signal }: CommandContext
): Promise<void> {
  if (path === undefined) throw new InvalidOptionError('--oms takes the folder or file that was signed, too')
  if (signer?.length !== 1) throw new InvalidOptionError('--oms goes with one --signer, a public key in PEM')
  const files = await verifyFolder({ path, bundle: oms, key: signer[0]!, signal })
  if (json) sayJson({ event: 'verified', path, bundle: oms, files })
  else say(`${path}: ${counted(files)}, as the owner of ${signer[0]} signed it`)
}

function counted(files: number): string {
  return files === 1 ? '1 file' : `${files} files`
}
