/**
 * Signatures of models in a store, as bytes: `manifests/<model id>.signatures`, in the store's own folder also for models that are only
 * read. Who signed, and whether that is right, is not known here.
 */
import path from 'node:path'
import type { ModelId } from '../base/ids.ts'
import { readStored, rm } from '../disk/files.ts'
import { writeWhole } from '../disk/whole-file.ts'
import { alone, makeFolder } from './store-files.ts'

/** Held by who adds a signature. */
const signingFile = '.signing'

const fileOf = (own: string, id: ModelId): string => path.join(own, 'manifests', `${id}.signatures`)

/** The signatures of a model; none where nobody signed it. @throws what the file system says, and an Error where there are more bytes */
export async function readSignatures(own: string, id: ModelId, bytesMax: number): Promise<Uint8Array> {
  try {
    return await readStored(fileOf(own, id), bytesMax)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array()
    throw error
  }
}

/**
 * Changes the signatures of a model, alone.
 *
 * @throws what `change` throws, and what the file system says
 */
export async function changeSignatures(
  own: string,
  id: ModelId,
  { bytesMax, change }: { readonly bytesMax: number; readonly change: (signatures: Uint8Array) => Uint8Array }
): Promise<void> {
  await makeFolder(path.join(own, 'manifests'))
  await alone(path.join(own, 'manifests', signingFile), async () => {
    await writeWhole(fileOf(own, id), change(await readSignatures(own, id, bytesMax)))
  })
}

/** Removes all signatures of a model. */
export async function removeSignatures(own: string, id: ModelId): Promise<void> {
  await rm(fileOf(own, id), { force: true })
}
