/**
 * Models whose manifests an older Skein wrote: this one cannot use them, and reads of each what it is called and which files it
 * lists, so that these can be removed and are kept until then.
 */
import path from 'node:path'
import type { ModelId } from '../base/ids.ts'
import { readStoredText } from '../disk/files.ts'
import { manifestBytesMax } from './limits.ts'
import { manifestFormat } from './manifest.ts'

/** What a store must know of a model to forget it. */
export interface FormerModel {
  readonly id: ModelId
  readonly name: string
  /** Of its files. */
  readonly digests: readonly string[]
}

/** The one whose manifest this file is; undefined where an older Skein has not written it. */
export async function olderModel(manifest: string): Promise<FormerModel | undefined> {
  const [, id] = /^([0-9a-f]{64})\.json$/.exec(path.basename(manifest)) ?? []
  const read =
    id === undefined ? undefined : olderManifest(await readStoredText(manifest, manifestBytesMax).catch(() => ''))
  return read && { id: id as ModelId, ...read }
}

/** Name and files of a manifest of an earlier format; undefined where it is none. */
function olderManifest(text: string): Pick<FormerModel, 'name' | 'digests'> | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  const { format, name, shards, tokenizer } = (json ?? {}) as Record<string, unknown>
  const isOlder = typeof format === 'number' && format < manifestFormat
  if (!isOlder || typeof name !== 'string' || !Array.isArray(shards)) return undefined
  const digests = [...shards, tokenizer].map(file => (file as { sha256?: unknown } | null)?.sha256)
  return digests.every(isDigest) ? { name, digests } : undefined
}

function isDigest(digest: unknown): digest is string {
  return typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest)
}
