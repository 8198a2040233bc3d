/**
 * Models whose manifests an older Skein wrote: this one cannot use them, and reads of each what it is called and which files it
 * lists, so that these can be removed and are kept until then.
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { ModelId } from '../base/ids.ts'
import { manifestFormat } from './manifest.ts'
import { names } from './store-files.ts'

/** What a store must know of a model to forget it. */
export interface FormerModel {
  readonly id: ModelId
  readonly name: string
  /** Of its files. */
  readonly digests: readonly string[]
}

export interface OlderModel extends FormerModel {
  /** Of its manifest. */
  readonly file: string
}

/** Those whose manifests lie in a store's own folder. */
export async function olderModels(own: string): Promise<OlderModel[]> {
  const folder = path.join(own, 'manifests')
  const models: OlderModel[] = []
  for (const name of await names(folder)) {
    if (!/^[0-9a-f]{64}\.json$/.test(name)) continue
    const file = path.join(folder, name)
    const text = await readFile(file, 'utf8').catch(() => '')
    const read = olderManifest(text)
    if (read !== undefined) models.push({ id: name.slice(0, 64) as ModelId, file, ...read })
  }
  return models
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
